//! What WeChat was asked: for a test to look at.

use jiff::Timestamp;
use serde_json::Value;

use super::{Endpoint, Wechat};
use crate::sandbox::lock;

/// One request as WeChat saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it came.
    pub at: Timestamp,
    /// Where it went; nothing for an unknown path.
    pub endpoint: Option<Endpoint>,
    /// The HTTP method.
    pub method: String,
    /// The address exactly as it was sent.
    pub path_and_query: String,
    /// The body.
    pub body: String,
    /// The key that the request named by `Wechatpay-Serial`.
    pub wechatpay_serial: Option<String>,
    /// The status that WeChat decided on, even if the answer was then spoilt or never sent.
    pub status: Option<u16>,
    /// The error code; nothing when all went well.
    pub code: Option<String>,
    /// The body of the answer that WeChat decided on, even if it was then spoilt or never sent.
    pub answer: String,
}

impl Seen {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

impl Wechat {
    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.inner.seen).clone()
    }

    /// How many requests came to this endpoint, refused ones included.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        let seen = lock(&self.inner.seen);
        seen.iter()
            .filter(|seen| seen.endpoint.is_some_and(|at| endpoint.covers(at)))
            .count()
    }

    pub(super) fn see(&self, seen: Seen) -> usize {
        let mut all = lock(&self.inner.seen);
        all.push(seen);
        all.len() - 1
    }

    pub(super) fn judge(&self, number: usize, status: u16, code: &str, answer: String) {
        if let Some(seen) = lock(&self.inner.seen).get_mut(number) {
            seen.status = Some(status);
            seen.answer = answer;
            seen.code = if code.is_empty() { None } else { Some(code.to_owned()) };
        }
    }
}
