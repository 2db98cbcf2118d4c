//! The console: pages for the merchant's own people, behind an operator key. They look up an order by any of its numbers, read what
//! happened to it, see to anomalies, and have webhooks told anew.
//!
//! Everything is made here, of the books, and complete without a script. What is changed is changed by the functions that the operator's
//! commands call. Who sits in front of the browser is said by a signed cookie (`auth::operators`), so there is nothing to be kept here,
//! and any instance answers.

mod anomalies;
mod cookies;
mod desk;
mod door;
mod form;
mod listing;
mod order;
mod orders;
mod overview;
mod page;
mod places;
mod search;
mod shown;
mod timeline;
mod transfer;
mod visit;
mod webhooks;
mod words;

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use tracing::Instrument as _;

use self::desk::{Answer, Desk};
use self::places::{Deed, Page};
use self::visit::Visit;
use super::entry;
use super::failure::Failure;
use super::published::Published;
use crate::app::App;
use crate::auth::operators::Session;

/// The only file that a page loads, besides the icon of the cashier.
const STYLE: &str = include_str!("console/console.css");

/// All paths of the console.
pub(super) fn router() -> Router<App> {
    let mut router = Router::new()
        .route("/console/", get(top))
        .route("/console/console.css", get(style))
        .route("/console/{*rest}", get(nowhere));
    for page in Page::ALL {
        let show = move |State(app): State<App>, request: Request| answer(app, request, Wish::Look(page));
        router = router.route(page.path(), get(show));
    }
    for deed in Deed::ALL {
        let act = move |State(app): State<App>, request: Request| answer(app, request, Wish::Act(deed));
        router = router.route(deed.path(), post(act));
    }
    router.method_not_allowed_fallback(not_so)
}

/// What a request wants.
#[derive(Clone, Copy)]
enum Wish {
    /// To see a page.
    Look(Page),
    /// To have something done.
    Act(Deed),
    /// What there is not.
    Nothing,
    /// What there is, in a way in which it is not.
    Otherwise,
}

/// Answers a request, within its time.
async fn answer(app: App, request: Request, wish: Wish) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = entry::request_id(&parts.headers);
    let span = tracing::info_span!("request", request_id);
    let work = {
        let time = app.config.limits.request_time;
        async move {
            let Some(visit) = Visit::of(&app, &parts) else {
                // Without an address of its own the service knows neither which pages nor which cookies are its own.
                return entry::stray(&parts.headers, &super::failure::NotAuthorized::NoAddress.into());
            };
            let answered = tokio::time::timeout(time, heard(&app, &visit, &parts, body, wish)).await;
            let mut response = answered.unwrap_or_else(|_| page::failure(&visit, None, &Failure::Overdue));
            visit.keep_language(&mut response);
            response
        }
    };
    let mut response = work.instrument(span).await;
    entry::name_request(&mut response, &request_id);
    response
}

async fn heard(app: &App, visit: &Visit, parts: &Parts, body: Body, wish: Wish) -> Response {
    if app.operators.is_nobody() {
        return page::no_keys(visit);
    }
    let session = visit.session(app);
    match wish {
        Wish::Look(page) => look(app, visit, session, page).await,
        Wish::Act(deed) => act(app, visit, session, parts, body, deed).await,
        Wish::Nothing => page::failure(visit, session.as_ref(), &Failure::NotFound),
        Wish::Otherwise => page::failure(visit, session.as_ref(), &Failure::MethodNotAllowed),
    }
}

async fn look(app: &App, visit: &Visit, session: Option<Session>, page: Page) -> Response {
    let Some(session) = session else {
        return door::shut(visit, page);
    };
    let desk = Desk::new(app, visit, &session);
    let shown = async {
        app.limits.admit()?;
        match page {
            Page::Overview => overview::page(&desk).await,
            Page::Search => search::page(&desk).await,
            Page::Orders => orders::page(&desk).await,
            Page::Order => order::page(&desk).await,
            Page::Transfer => transfer::page(&desk).await,
            Page::Anomalies => anomalies::page(&desk).await,
            Page::Webhooks => webhooks::page(&desk).await,
        }
    };
    let response = finish(&desk, Some(page), shown.await);
    // Who looked, for whoever has to know that later; what was looked for may be anything.
    let (operator, path, status) = (&session.visitor, page.path(), response.status().as_u16());
    tracing::info!(%operator, path, status, "{path} was looked at");
    response
}

async fn act(app: &App, visit: &Visit, session: Option<Session>, parts: &Parts, body: Body, deed: Deed) -> Response {
    if !visit.is_of_own_page() {
        return door::foreign(visit);
    }
    let sent = match form::read(&app.config.limits, &parts.headers, body).await {
        Ok(sent) => sent,
        Err(failure) => return page::failure(visit, session.as_ref(), &failure),
    };
    if deed == Deed::SignIn {
        return door::sign_in(app, visit, &sent);
    }
    let Some(session) = session else {
        return door::over(visit, &sent.back());
    };
    if !session.is_own_form(sent.get("token")) {
        tracing::warn!(operator = %session.visitor, "a form of the console without its token was refused");
        return door::foreign(visit);
    }
    let desk = Desk::new(app, visit, &session);
    let done = async {
        app.limits.admit()?;
        match deed {
            // Whoever is in and comes in again was answered above.
            Deed::SignIn | Deed::SignOut => Ok(Answer::Go(door::sign_out(&desk))),
            Deed::Resolve => anomalies::resolve(&desk, &sent).await,
            Deed::Replay => webhooks::replay(&desk, &sent).await,
        }
    };
    let mut response = finish(&desk, None, done.await);
    if deed == Deed::SignOut {
        visit.forget_session(&mut response);
    }
    response
}

fn finish(desk: &Desk<'_>, page: Option<Page>, answered: Result<Answer, Failure>) -> Response {
    match answered {
        Ok(Answer::Page { status, title, body }) => {
            page::whole(desk.visit, Some(desk.session), page, status, &title, &body)
        }
        Ok(Answer::Go(address)) => page::go(&address),
        Err(failure) => page::failure(desk.visit, Some(desk.session), &failure),
    }
}

/// `GET /console/`: relative addresses begin at the path without the slash.
async fn top(headers: HeaderMap) -> Response {
    let mut response = page::go("../console");
    entry::name(&mut response, &headers);
    response
}

/// `GET /console/console.css`
async fn style(headers: HeaderMap) -> Response {
    static PUBLISHED: OnceLock<Published> = OnceLock::new();
    let policy = "default-src 'none'; frame-ancestors 'none'";
    let published = PUBLISHED.get_or_init(|| Published::new("text/css; charset=utf-8", STYLE, policy));
    published.answer(&headers)
}

async fn nowhere(State(app): State<App>, request: Request) -> Response {
    answer(app, request, Wish::Nothing).await
}

async fn not_so(State(app): State<App>, request: Request) -> Response {
    answer(app, request, Wish::Otherwise).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_loads_nothing_and_is_small() {
        for never in ["@import", "url(", "http:", "https:", "expression("] {
            assert!(!STYLE.contains(never), "{never}");
        }
        assert!(STYLE.len() < 12_000, "{}", STYLE.len());
    }

    #[test]
    fn every_path_is_below_the_cookies() {
        let pages = Page::ALL.into_iter().map(Page::path);
        for path in pages.chain(Deed::ALL.into_iter().map(Deed::path)) {
            assert!(path == "/console" || path.starts_with("/console/"), "{path}");
        }
    }
}
