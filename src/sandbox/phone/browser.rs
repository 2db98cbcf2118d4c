//! WeChat's own browser: it says who it is, and gives every page of the service the bridge.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{Browser, Phone, Way};
use crate::sandbox::journal::Party;

const BODY_LIMIT: usize = 4 << 20;

const WECHAT: &str = " MicroMessenger/8.0.50 (pay-common sandbox)";

/// Passes a request on to whom it is for: the gateway, the Official Account, else the service.
pub(super) async fn open(State(phone): State<Phone>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (path, target) = (
        parts.uri.path().to_owned(),
        parts.uri.path_and_query().map_or("/", |target| target.as_str()),
    );
    let around = &phone.inner.around;
    let (browser, way) = phone.held(|held| (held.browser, held.way));
    let mut headers = parts.headers;
    if browser != Browser::Other {
        let own = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let named = format!("{}{WECHAT}", own.unwrap_or_default());
        if let Ok(named) = HeaderValue::try_from(named) {
            headers.insert(header::USER_AGENT, named);
        }
    }
    // The page has to be read, to be given the bridge, and is never an older one.
    for name in [header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::CONNECTION] {
        headers.remove(name);
    }
    let (base, is_service) = if path.starts_with("/v1/functions/") {
        (around.gateway.url(), false)
    } else if path.starts_with("/connect/") {
        (around.offiaccount.url(), false)
    } else {
        let Some(address) = around.service.address() else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        (format!("http://{address}"), true)
    };
    let is_told = is_service && !is_file(&path);
    if is_told
        && parts.method == axum::http::Method::POST
        && phone.held(|held| std::mem::take(&mut held.forgets_session))
    {
        headers.remove(header::COOKIE);
    }
    let number = is_told.then(|| {
        let number = around
            .journal
            .sent(Party::Page, Party::Service, format!("{} {path}", parts.method));
        explain(&phone, number, &headers, &body);
        number
    });
    let sent = phone
        .inner
        .http
        .request(parts.method, format!("{base}{target}"))
        .headers(headers)
        .body(body)
        .send()
        .await;
    let answer = match sent {
        Ok(answer) => read(answer).await,
        Err(error) => Err(error),
    };
    let (status, headers, body) = match answer {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(number) = number {
                around.journal.answered(number, None, error.without_url().to_string());
            }
            return StatusCode::BAD_GATEWAY.into_response();
        }
    };
    if let Some(number) = number {
        around.journal.answered(number, Some(status.as_u16()), note(&body));
    }
    given(status, headers, body, browser, way)
}

async fn read(answer: reqwest::Response) -> Result<(StatusCode, HeaderMap, Bytes), reqwest::Error> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok((status, headers, answer.bytes().await?))
}

/// The answer as the page gets it.
fn given(status: StatusCode, mut headers: HeaderMap, body: Bytes, browser: Browser, way: Way) -> Response {
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
        headers.remove(name);
    }
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().starts_with(b"text/html"));
    let mut scripts = String::new();
    if browser == Browser::Wechat {
        scripts += "<script src=\"/phone/bridge.js\"></script>";
    } else if browser == Browser::Disguised {
        scripts += "<script src=\"/phone/bridge.js?without\"></script>";
    }
    if way == Way::Gateway {
        scripts += "<script src=\"/phone/hooks.js\"></script>";
    }
    let body = if is_page && !scripts.is_empty() {
        headers.remove(header::ETAG);
        let page = String::from_utf8_lossy(&body);
        Body::from(page.replacen("<head>", &format!("<head>{scripts}"), 1))
    } else {
        Body::from(body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The files of the cashier are no message.
fn is_file(path: &str) -> bool {
    path.starts_with("/pay/") && path != "/pay/context"
}

/// What the page is believed by: its session, and what the merchant's backend signed.
fn explain(phone: &Phone, number: usize, headers: &HeaderMap, body: &[u8]) {
    let journal = &phone.inner.around.journal;
    let cookies = headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
    let cookies = cookies.unwrap_or_default();
    if cookies.contains("pay_session=") {
        let by = "会话 Cookie，HS256 / the session's cookie";
        let session = cookies
            .split("pay_session=")
            .nth(1)
            .and_then(|rest| rest.split(';').next());
        journal.proven(number, by, claims(session.unwrap_or_default()).as_bytes());
    }
    let form: Option<Value> = serde_json::from_slice(body).ok();
    if let Some(ticket) = form.as_ref().and_then(|form| form.get("order_ticket")?.as_str()) {
        let by = "商户后端 orderTicketSecret，HS256 / the merchant's backend";
        journal.proven(number, by, claims(ticket).as_bytes());
    }
}

/// What a compact JWS says; never its signature.
fn claims(jws: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let parts = jws
        .split('.')
        .take(2)
        .filter_map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let texts: Vec<String> = parts.map(|part| String::from_utf8_lossy(&part).into_owned()).collect();
    texts.join(".")
}

/// Why it was refused, or where an order stands.
fn note(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let error = text("/error").map(|error| match text("/data/data/code") {
        Some(inner) => format!("{error} {inner}"),
        None => error.to_owned(),
    });
    error
        .or_else(|| text("/data/data/trade_state").map(str::to_owned))
        .or_else(|| text("/data/data/package").map(str::to_owned))
        .or_else(|| text("/data/authorization").map(|state| format!("authorization: {state}")))
        .unwrap_or_default()
}
