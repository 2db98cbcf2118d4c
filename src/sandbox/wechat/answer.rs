//! The bytes of an answer: signed where WeChat signs, and spoilt where a test asked for it.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::Value;

use super::Wechat;
use super::bills::File;
use super::faults::After;
use super::notification::{BY_WECHAT, probe_signature, request_id, signature_headers, signed_by};
use super::refusal::Refusal;
use crate::sandbox::{keys::NamedKey, outbound::Headers, tasks::busy};

/// What became of a request that was not refused.
pub(super) enum Done {
    /// 200.
    Content(Value),
    /// 200, the one answer that is never signed.
    File(File),
    /// 204.
    Nothing,
}

impl Wechat {
    pub(super) async fn answer(
        &self,
        entry: usize,
        done: Result<Done, Refusal>,
        signer: Arc<NamedKey>,
        after: Option<After>,
    ) -> Response {
        let (status, body, number, signed) = match done {
            Ok(Done::Content(body)) => (200, body.to_string(), 0, true),
            Ok(Done::File(file)) => return file.into_answer(),
            Ok(Done::Nothing) => (204, String::new(), 0, true),
            Err(refusal) => (
                refusal.status,
                refusal.body().to_string(),
                refusal.number,
                refusal.signed,
            ),
        };
        let mut headers = Headers::new();
        if signed && after != Some(After::NoSignature) {
            headers = self.sign_answer(&body, signer, after).await;
            self.inner.journal.proven(entry, BY_WECHAT, &signed_by(&headers, &body));
        }
        headers.push(("Request-ID".to_owned(), request_id(number)));
        // By the clock that judges signatures.
        if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&self.inner.clock.now()) {
            headers.push((header::DATE.to_string(), date));
        }
        if !body.is_empty() {
            headers.push((
                header::CONTENT_TYPE.to_string(),
                "application/json; charset=utf-8".to_owned(),
            ));
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    async fn sign_answer(&self, body: &str, signer: Arc<NamedKey>, after: Option<After>) -> Headers {
        let content = if after == Some(After::BadSignature) {
            format!("{body} ")
        } else {
            body.to_owned()
        };
        let now = self.inner.clock.now();
        let mut headers = busy(move || signature_headers(&signer, &content, now)).await;
        for (name, value) in &mut headers {
            match (name.as_str(), after) {
                ("Wechatpay-Serial", Some(After::WrongSerial)) => *value = nobodys(value),
                ("Wechatpay-Signature", Some(After::SignTest)) => *value = probe_signature(),
                _ => {}
            }
        }
        headers
    }
}

/// The id of a key that nobody has, of the same kind as this one.
fn nobodys(id: &str) -> String {
    let digits = if id.starts_with("PUB_KEY_ID_") {
        ("PUB_KEY_ID_", 34)
    } else {
        ("", 40)
    };
    format!("{}{}", digits.0, "0".repeat(digits.1))
}

/// A status with no body, as an unknown path is answered.
pub(super) fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What a gateway in front of WeChat answers when WeChat is not there.
pub(super) fn page_of_a_gateway() -> Response {
    let mut response = Response::new(Body::from("<html><body><h1>502 Bad Gateway</h1></body></html>"));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}
