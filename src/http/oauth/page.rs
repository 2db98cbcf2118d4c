//! What a person reads when web authorization did not work: what is wrong, and a link that begins again where that may help.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, html};
use url::form_urlencoded;

use crate::http::entry;
use crate::http::failure::Failure;
use crate::http::text::Language;

/// It shows text and a link, and loads the style of the cashier.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn page(headers: &HeaderMap, failure: &Failure, return_to: Option<&str>) -> Response {
    let language = Language::of(headers);
    let (tag, title, again) = match language {
        Language::Chinese => ("zh-CN", "微信授权未完成", "重试"),
        Language::English => ("en", "WeChat authorization did not work", "Try again"),
    };
    let link = return_to.map(|return_to| {
        let query: String = form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
        // Relative: the service may stand below a path.
        format!("authorize?return_to={query}")
    });
    let text = failure.text();
    let markup = html! {
        (DOCTYPE)
        html lang=(tag) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="../pay/cashier.css";
            }
            body {
                main {
                    h1 { (title) }
                    p { (text.in_language(language)) }
                    p { code { (failure.constant()) } }
                    @if let Some(link) = link { p { a href=(link) { (again) } } }
                }
            }
        }
    };
    let said = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    let mut response = (failure.status(), said, markup.into_string()).into_response();
    entry::name(&mut response, headers);
    response
}
