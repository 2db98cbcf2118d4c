//! What a browser has to hear before a page of another origin may call and read the answer (the Fetch standard's CORS protocol).
//!
//! Own code, because tower-http's `CorsLayer` answers otherwise: a preflight with 200, every `OPTIONS` as if it were one, and
//! methods, headers and `Expose-Headers` to origins that are not listed.
//!
//! No cookie counts here, so credentials are never allowed; and nobody is kept out by this: a browser keeps the page from reading.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::entry;
use crate::app::App;
use crate::config::Cors;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");

const HEADERS: HeaderValue = HeaderValue::from_static("content-type, authorization, x-request-id, accept-language");

const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id");

/// How long a browser may remember, in seconds: two hours, the most that Chromium takes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Around every path, also those that do not exist: a page has to be able to read why it was refused.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let cors = &app.config.cors;
    if *cors == Cors::Off {
        return next.run(request).await;
    }
    let allowed = allowed(cors, request.headers());
    let preflight = is_preflight(&request);
    let mut response = if preflight {
        entry::nothing_more(request.headers())
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    if *cors != Cors::Any {
        // Also where no origin was sent or none is allowed: a cache may not hand this answer to a page of another origin.
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
    response
}

/// What is said about the origin of the request; `None` when it has none or it is not listed.
fn allowed(cors: &Cors, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if *cors == Cors::Any {
        return Some(HeaderValue::from_static("*"));
    }
    cors.allows(origin.to_str().ok()?).then(|| origin.clone())
}

/// A question of the browser, before it lets the page call.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
