//! What a form brings.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use url::form_urlencoded;

use super::places::Way;
use crate::config::Limits;
use crate::http::entry;
use crate::http::failure::Failure;

/// Longest form, in bytes: a note of a thousand characters, each of which may take twelve, and the rest.
const LONGEST: usize = 32 * 1024;

/// The fields of a form. A field that stands twice counts as it stood first.
pub(super) struct Sent(Vec<(String, String)>);

impl Sent {
    /// A field; empty when it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The page that the form stood on; the first one when it does not say.
    pub(super) fn back(&self) -> Way {
        Way::parse(self.get("back")).unwrap_or_else(Way::top)
    }
}

/// Reads a form.
///
/// # Errors
/// It is none, is too long, or does not come in time.
pub(super) async fn read(limits: &Limits, headers: &HeaderMap, body: Body) -> Result<Sent, Failure> {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Failure::UnsupportedMediaType);
    }
    let body = tokio::time::timeout(limits.body_time, entry::collect(body, LONGEST))
        .await
        .map_err(|_| Failure::TooSlow)??;
    Ok(Sent(form_urlencoded::parse(&body).into_owned().collect()))
}
