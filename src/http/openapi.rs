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
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::published::Published;
use crate::app::App;
use crate::config::Config;

/// The description as it is served.
struct Description {
    json: Published,
    html: Published,
}

impl Description {
    /// Made once, when first asked for.
    fn get(config: &Config) -> &'static Self {
        static PUBLISHED: OnceLock<Description> = OnceLock::new();
        PUBLISHED.get_or_init(|| {
            let document = document::document(config);
            let style = STANDARD.encode(digest(&SHA256, page::STYLE.as_bytes()));
            let page_policy =
                format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
            Self {
                html: Published::new("text/html; charset=utf-8", page::page(&document), &page_policy),
                json: Published::new(
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
    Description::get(&app.config).json.answer(&headers)
}

/// `GET /docs`: the same for a person, without a script and without anything from elsewhere.
pub(crate) async fn docs(State(app): State<App>, headers: HeaderMap) -> Response {
    Description::get(&app.config).html.answer(&headers)
}

#[cfg(test)]
mod tests;
