//! Callbacks: raw bytes in, an acknowledgement out, and only after what they prove is durable.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::text::{Language, Text};
use crate::app::App;
use crate::flows::prove::{self, Fact, Forgery, NotProven};
use crate::flows::settle::{self, Delivery, Settled};
use crate::flows::{settle_refund, settle_transfer};
use crate::store::error::StoreError;
use crate::wechat::notification::{NotACallback, Notification, Subject};
use crate::wechat::verify::NotGenuine;

/// How long a callback may take in all; WeChat waits 5 s.
pub(crate) const WHOLE: Duration = Duration::from_millis(4500);

/// What the sender of a callback is told.
#[derive(Debug)]
pub(crate) enum Acknowledgement {
    /// What it says is durable; also a duplicate, and an anomaly that is kept.
    Settled,
    /// WeChat, when asked, says that nothing has happened yet.
    NothingYet,
    /// Not genuine.
    Forged,
    /// It could not be proven or kept now: send it again.
    Later,
    /// Not the form of a callback.
    Unreadable(Failure),
}

impl Acknowledgement {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Settled => StatusCode::OK,
            Self::NothingYet => StatusCode::CONFLICT,
            Self::Forged => StatusCode::UNAUTHORIZED,
            Self::Later => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreadable(failure) => failure.status(),
        }
    }

    /// One word for each kind.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::NothingYet => "nothing_yet",
            Self::Forged => "forged",
            Self::Later => "later",
            Self::Unreadable(failure) => failure.constant(),
        }
    }

    pub(crate) fn text(&self) -> Text {
        match self {
            // The sender compares it; it has one language.
            Self::Settled => Text::new("成功", "成功"),
            Self::NothingYet => Text::new("微信支付尚未确认此结果", "WeChat Pay does not confirm this yet"),
            Self::Forged => Text::new("无法证明来自微信支付", "not proven to come from WeChat Pay"),
            Self::Later => Text::new("暂时无法处理，请重发", "cannot be settled now, send it again"),
            Self::Unreadable(failure) => failure.text(),
        }
    }

    pub(crate) fn body(&self, language: Language) -> Vec<u8> {
        let code = match self {
            Self::Settled => "SUCCESS",
            Self::NothingYet | Self::Forged | Self::Later | Self::Unreadable(_) => "FAIL",
        };
        json!({"code": code, "message": self.text().in_language(language)})
            .to_string()
            .into_bytes()
    }
}

/// Takes a callback: shape, proof, books, and then the answer.
pub(crate) async fn receive(
    app: &App,
    headers: &HeaderMap,
    raw: &[u8],
    body: Map<String, Value>,
    by_path: Option<Subject>,
) -> Acknowledgement {
    let note = match Notification::read(body) {
        Ok(note) => note,
        Err(NotACallback) => {
            app.metrics.callback("none", "unreadable");
            tracing::warn!("a callback has not the form of one");
            return Acknowledgement::Unreadable(Failure::NotACallback);
        }
    };
    match tokio::time::timeout(WHOLE, take(app, headers, raw, &note, by_path)).await {
        Ok(said) => said,
        Err(_) => {
            app.metrics.callback("none", "late");
            tracing::error!(
                notification = note.id,
                "a callback could not be settled in time; it will come again"
            );
            Acknowledgement::Later
        }
    }
}

async fn take(
    app: &App,
    headers: &HeaderMap,
    raw: &[u8],
    note: &Notification,
    by_path: Option<Subject>,
) -> Acknowledgement {
    let fact = match prove::callback(app, headers, raw, note, by_path).await {
        Ok(fact) => fact,
        Err(NotProven::Forged(Forgery::NotGenuine(NotGenuine::Probe))) => {
            app.metrics.callback("none", "probe");
            tracing::info!("WeChat Pay probed the verification of callbacks");
            return Acknowledgement::Forged;
        }
        Err(NotProven::Forged(forgery)) => {
            app.metrics.callback("none", "forged");
            tracing::warn!(%forgery, "a callback is not genuine and was refused");
            return Acknowledgement::Forged;
        }
        Err(NotProven::CannotSayNow(why)) => {
            app.metrics.callback("none", "cannot_say_now");
            tracing::error!(why, "a callback cannot be proven now; it will come again");
            return Acknowledgement::Later;
        }
    };
    let settled = settle(app, note, &fact).await;
    let outcome = settled.as_ref().map_or("store_failed", |settled| settled.as_str());
    app.metrics.callback(fact.proof().as_str(), outcome);
    match settled {
        Ok(Settled::NothingYet) => {
            tracing::warn!(
                notification = note.id,
                "a callback tells of something that WeChat Pay does not confirm; it was refused"
            );
            Acknowledgement::NothingYet
        }
        Ok(settled) => {
            let (outcome, notification) = (settled.as_str(), note.id.as_deref());
            // What moved the books has said so itself.
            if settled == Settled::Applied {
                tracing::debug!(outcome, notification, "callback: {outcome}");
            } else {
                tracing::info!(outcome, notification, "callback: {outcome}");
            }
            Acknowledgement::Settled
        }
        Err(error) => {
            tracing::error!(%error, notification = note.id, "a callback could not be kept; it will come again");
            Acknowledgement::Later
        }
    }
}

async fn settle(app: &App, note: &Notification, fact: &Fact) -> Result<Settled, StoreError> {
    let delivery = Delivery {
        event_type: note.event_type.as_deref(),
        notification_id: note.id.as_deref(),
    };
    match fact {
        Fact::Payment(proven) => settle::transaction(app, proven, Some(delivery)).await,
        Fact::Transfer(proven) => settle_transfer::transfer(app, proven, Some(delivery)).await,
        Fact::Refund(proven) => settle_refund::refund(app, proven, delivery).await,
        Fact::Unknown { resource, proof } => settle::unknown(app, resource, *proof, delivery).await,
    }
}
