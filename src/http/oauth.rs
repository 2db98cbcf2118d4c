//! Web authorization: a browser goes to WeChat and comes back as somebody.
//!
//! `GET /oauth/authorize` gives it a journey (a signed cookie, named by `state`) and sends it to WeChat; `GET /oauth/callback` takes the
//! code that it brings back, asks WeChat whose it is, and gives it a session. What is not well is told on a page, or as the envelope to
//! whoever asks for no page.

mod page;
mod return_to;

use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use super::entry;
use super::failure::{Failure, NotAuthorized};
use super::origin::OwnAddress;
use crate::app::App;
use crate::auth::authorizer::NoOpenid;
use crate::auth::browsers::Browsers;
use crate::auth::session::{Journey, Session};
use crate::config::WebAuthorization;
use crate::domain::ids::{Openid, new_nonce};

/// The cookie that says who a browser's owner is.
pub(crate) const SESSION: &str = "pay_session";

/// Begins the cookie of a journey; its state ends it, so that two tabs are two journeys.
const JOURNEY: &str = "pay_way_";

/// How long a browser may be at WeChat's, in seconds. A code lives for five minutes.
const JOURNEY_S: u64 = 600;

/// Where a journey leads that says nothing else.
const CASHIER: &str = "/pay";

/// What a browser brings to `/oauth/authorize`.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    return_to: Option<String>,
}

/// What it brings back from WeChat.
#[derive(Deserialize)]
pub(crate) struct Back {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

/// `GET /oauth/authorize?return_to=...`
pub(crate) async fn authorize(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let sent = async {
        let browsers = on(&app)?;
        let own = own_address(&browsers.settings, &headers)?;
        let Query(wanted) = query.map_err(|_| NotAuthorized::ReturnTo)?;
        let return_to = wanted.return_to.as_deref().unwrap_or(CASHIER);
        let return_to = return_to::allowed(return_to, &browsers.settings, &own).ok_or(NotAuthorized::ReturnTo)?;
        send(&app, browsers, &own, return_to, false)
    };
    sent.await.unwrap_or_else(|failure| told(&headers, &failure, None))
}

/// `GET /oauth/callback?code=...&state=...`
pub(crate) async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Back>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let back = query.map_or(
        Back {
            code: None,
            state: None,
        },
        |Query(back)| back,
    );
    match arrive(&app, &headers, &back).await {
        Ok(response) => response,
        Err((failure, return_to)) => told(&headers, &failure, return_to.as_deref()),
    }
}

type Strayed = (Failure, Option<String>);

async fn arrive(app: &App, headers: &HeaderMap, back: &Back) -> Result<Response, Strayed> {
    let lost = |failure: Failure| (failure, None);
    let browsers = on(app).map_err(lost)?;
    let own = own_address(&browsers.settings, headers).map_err(lost)?;
    let now_s = app.clock.now().as_second();
    let journey = back
        .state
        .as_deref()
        .filter(|state| is_state(state))
        .and_then(|state| {
            let kept = own.cookie(headers, &format!("{JOURNEY}{state}"))?;
            browsers.seals.open_journey(&kept, state, now_s).ok()
        })
        .ok_or_else(|| lost(NotAuthorized::OtherBrowser.into()))?;
    let on_the_way = |failure: Failure| (failure, Some(journey.return_to.clone()));
    let code = back
        .code
        .as_deref()
        .filter(|code| !code.is_empty() && code.len() <= 512)
        .ok_or_else(|| on_the_way(NotAuthorized::NoCode.into()))?;
    match openid(app, &journey.state, code).await {
        Ok(openid) => welcome(app, browsers, &own, &journey, &openid).map_err(on_the_way),
        // The page was loaded again, at another instance or later.
        Err(NoOpenid::CodeOver(_)) if session(browsers, headers, now_s).is_ok() => {
            found(&journey.return_to).map_err(on_the_way)
        }
        // WeChat gives a new code without asking the buyer anything.
        Err(NoOpenid::CodeOver(code)) if !journey.again => {
            tracing::info!(
                code,
                "a code of web authorization was used or is too old; the browser starts over"
            );
            send(app, browsers, &own, journey.return_to.clone(), true).map_err(on_the_way)
        }
        Err(error) => Err(on_the_way(NotAuthorized::from(error).into())),
    }
}

/// Whose code it is; asked of WeChat once, however often the browser loads the page.
async fn openid(app: &App, state: &str, code: &str) -> Result<Openid, NoOpenid> {
    app.limits.admit().map_err(|_| NoOpenid::Busy(0))?;
    let work = {
        let (app, state, code) = (app.clone(), state.to_owned(), code.to_owned());
        async move {
            let browsers = app.browsers.as_ref().ok_or(NoOpenid::Busy(0))?;
            let _turn = app.numbers.turn(&format!("oauth {state}")).await;
            let now_ms = app.clock.now_ms();
            if let Some(known) = browsers.arrived.get(&state, now_ms) {
                return Ok(known);
            }
            let openid = browsers.authorizer.exchange(&code).await?;
            browsers.arrived.put(state, openid.clone(), now_ms);
            Ok(openid)
        }
    };
    // A task of its own: a browser that goes away has used the code all the same.
    match app.tasks.spawn(work).await {
        Ok(openid) => openid,
        Err(error) => Err(NoOpenid::NoAnswer(crate::telemetry::ending(&error).to_owned())),
    }
}

fn welcome(
    app: &App,
    browsers: &Browsers,
    own: &OwnAddress,
    journey: &Journey,
    openid: &Openid,
) -> Result<Response, Failure> {
    let seconds = browsers.settings.session_time.as_secs();
    let exp = app.clock.now().as_second().saturating_add_unsigned(seconds);
    let session = browsers.seals.session(openid, exp).map_err(defect)?;
    tracing::info!(%openid, "a browser's owner is known");
    let mut response = found(&journey.return_to)?;
    // The journey's own cookie stays for its ten minutes: a page that is loaded again arrives again, as the same person.
    keep(&mut response, own.keep(SESSION, &session, seconds))?;
    Ok(response)
}

/// Sends the browser to WeChat, on a journey of its own.
fn send(app: &App, browsers: &Browsers, own: &OwnAddress, return_to: String, again: bool) -> Result<Response, Failure> {
    app.limits.admit()?;
    let state = new_nonce();
    let exp = app.clock.now().as_second().saturating_add_unsigned(JOURNEY_S);
    let journey = Journey {
        state,
        return_to,
        again,
        exp,
    };
    let signed = browsers.seals.journey(&journey).map_err(defect)?;
    let redirect_uri = own.address_of("/oauth/callback");
    let mut response = found(&browsers.authorizer.address(&redirect_uri, &journey.state))?;
    keep(
        &mut response,
        own.keep(&format!("{JOURNEY}{}", journey.state), &signed, JOURNEY_S),
    )?;
    Ok(response)
}

/// `GET /pay/context`: what the cashier has to know before it can show anything.
pub(crate) async fn context(State(app): State<App>, headers: HeaderMap) -> Response {
    let (authorization, origins) = match &app.browsers {
        None => ("off", [].as_slice()),
        Some(browsers) => {
            let known = session(browsers, &headers, app.clock.now().as_second()).is_ok();
            let state = if known { "done" } else { "needed" };
            (state, browsers.settings.return_origins.as_slice())
        }
    };
    let said = json!({
        "code": 0,
        "msg": "success",
        "data": {
            "payee": app.config.merchant_name,
            "authorization": authorization,
            "return_origins": origins,
        },
    });
    entry::about_itself(&headers, StatusCode::OK, &said)
}

/// Why a request has no session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoVisit {
    /// It brings none.
    Nobody,
    /// It brings one that is not signed here, or too old.
    Over,
    /// It comes from a page of somebody else's.
    ForeignPage,
}

/// Who sits in front of the browser of this request.
pub(crate) fn session(browsers: &Browsers, headers: &HeaderMap, now_s: i64) -> Result<Session, NoVisit> {
    let own = OwnAddress::of(&browsers.settings, headers).ok_or(NoVisit::Nobody)?;
    let kept = own.cookie(headers, SESSION).ok_or(NoVisit::Nobody)?;
    if !own.is_where_it_comes_from(headers) {
        return Err(NoVisit::ForeignPage);
    }
    browsers.seals.open_session(&kept, now_s).map_err(|_| NoVisit::Over)
}

fn on(app: &App) -> Result<&Browsers, Failure> {
    app.browsers.as_ref().ok_or_else(|| NotAuthorized::Off.into())
}

fn own_address(settings: &WebAuthorization, headers: &HeaderMap) -> Result<OwnAddress, Failure> {
    OwnAddress::of(settings, headers).ok_or_else(|| NotAuthorized::NoAddress.into())
}

/// As WeChat hands it back: letters and digits, 128 at most.
fn is_state(state: &str) -> bool {
    (1..=128).contains(&state.len()) && state.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn found(address: &str) -> Result<Response, Failure> {
    let location = HeaderValue::from_str(address).map_err(defect)?;
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The address of the callback holds a code.
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Ok((StatusCode::FOUND, headers).into_response())
}

fn keep(response: &mut Response, cookie: Option<HeaderValue>) -> Result<(), Failure> {
    let cookie = cookie.ok_or_else(|| Failure::Internal("a cookie cannot be written".to_owned()))?;
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(())
}

fn defect(error: impl std::fmt::Display) -> Failure {
    Failure::Internal(error.to_string())
}

/// A person reads a page; a program the envelope. `return_to` was checked when the journey began.
fn told(headers: &HeaderMap, failure: &Failure, return_to: Option<&str>) -> Response {
    let wants_page = headers
        .get(axum::http::header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_page {
        failure.log("oauth");
        page::page(headers, failure, return_to)
    } else {
        entry::stray(headers, failure)
    }
}
