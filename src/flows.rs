//! A file per thing that happens: the only place that joins the books and WeChat.
//!
//! The pattern is always the same: what is about to be asked is committed, then WeChat is asked with no transaction open, then what it
//! said is committed together with its event. A process that dies anywhere in between leaves a row that says what to ask next.

#![deny(clippy::wildcard_enum_match_arm)]

pub(crate) mod close_order;
pub(crate) mod deliver;
pub(crate) mod known;
pub(crate) mod place_order;
pub(crate) mod prove;
pub(crate) mod query_order;
pub(crate) mod reconcile;
pub(crate) mod refund;
pub(crate) mod remember;
pub(crate) mod settle;
pub(crate) mod settle_refund;
pub(crate) mod settle_transfer;
pub(crate) mod sweep;
pub(crate) mod tell;
pub(crate) mod tick;
pub(crate) mod transfer;

use crate::app::App;
use crate::numbers::Turn;
use crate::wechat::error::{Unknown, WechatError};

/// The right to act on a number. Whoever has it may be waiting for WeChat; nobody waits behind them for longer than that.
async fn turn<'a>(app: &'a App, number: &str) -> Result<Turn<'a>, WechatError> {
    let turn = app.numbers.turn_within(number, app.config.call_timeout).await;
    turn.ok_or(WechatError::OutcomeUnknown(Unknown::TimedOut))
}

/// Milliseconds after which an intent without an outcome is asked about: longer than any call to WeChat takes.
pub(crate) const INTENT_GRACE_MS: i64 = 15_000;

/// Milliseconds from an order's acceptance to the first question about it, and between the questions while its buyer is paying. Less than
/// the ten seconds in which a payment is to be known, by the time that a question takes.
pub(crate) const FIRST_ASK_MS: i64 = 9_000;
