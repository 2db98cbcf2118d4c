//! The description of the service, OpenAPI 3.1, made of the code that it describes: the forms of requests are drafted by the readers
//! that read them, the failures are asked of the failures, the names of actions and callbacks are those that are dispatched on.
//!
//! It is the same for every deployment and says nothing of a merchant: no number, no app, no address, no key. App ids are no secret by
//! themselves, since every payment shows one; but a list of all of one merchant's would be, and so none is given to whoever asks.

mod actions;
mod answers;
mod browser;
mod callbacks;
mod document;
mod examples;
mod failures;
mod page;
mod schema;
mod service;
mod words;

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::entry;
use crate::app::App;
use crate::config::Config;

/// The description as it is served.
struct Published {
    json: Page,
    html: Page,
}

struct Page {
    content_type: &'static str,
    body: Bytes,
    etag: HeaderValue,
    /// What a browser may do with it.
    policy: HeaderValue,
}

impl Page {
    fn new(content_type: &'static str, body: String, policy: &str) -> Self {
        let etag = URL_SAFE_NO_PAD.encode(digest(&SHA256, body.as_bytes()));
        let ascii = |text: &str| HeaderValue::from_str(text).expect("it is made of visible ASCII");
        Self {
            content_type,
            body: body.into(),
            etag: ascii(&format!("\"{etag}\"")),
            policy: ascii(policy),
        }
    }

    /// The page, or that it is still the one that the client has.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes());
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type))];
            (content_type, self.body.clone()).into_response()
        };
        let said = [
            (header::ETAG, self.etag.clone()),
            // Kept, and asked for again: the next version may describe something else.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        response.headers_mut().extend(said);
        entry::name(&mut response, headers);
        response
    }
}

impl Published {
    /// Made once, when first asked for.
    fn get(config: &Config) -> &'static Self {
        static PUBLISHED: OnceLock<Published> = OnceLock::new();
        PUBLISHED.get_or_init(|| {
            let document = document::document(config);
            let style = STANDARD.encode(digest(&SHA256, page::STYLE.as_bytes()));
            let page_policy =
                format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
            Self {
                html: Page::new("text/html; charset=utf-8", page::page(&document), &page_policy),
                json: Page::new(
                    "application/json; charset=utf-8",
                    document.to_string(),
                    "default-src 'none'; frame-ancestors 'none'",
                ),
            }
        })
    }
}

/// `GET /openapi.json`.
pub(crate) async fn json(State(app): State<App>, headers: HeaderMap) -> Response {
    Published::get(&app.config).json.answer(&headers)
}

/// `GET /docs`: the same for a person, without a script and without anything from elsewhere.
pub(crate) async fn docs(State(app): State<App>, headers: HeaderMap) -> Response {
    Published::get(&app.config).html.answer(&headers)
}

#[cfg(test)]
mod tests;
