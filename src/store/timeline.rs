//! The whole history of an order or of a transfer, out of everything the books hold of it, in time order.
//!
//! Read row by row, not in one transaction: what is written meanwhile may be in one part and not yet in another.

mod order;
mod shown;
mod told;
mod transfer;

use serde::Serialize;

pub(in crate::store) use self::order::head;
pub(crate) use self::order::{OrderHead, OrderHistory, RefundHead, of_order};
pub(crate) use self::transfer::{TransferHead, of_transfer};
use crate::domain::money::Fen;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// When, in Unix milliseconds; the first time of what happened often.
    pub(crate) at_ms: i64,
    /// What.
    #[serde(flatten)]
    pub(crate) happened: Happened,
}

/// What happened. The names and members are those of `--json`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Happened {
    /// The order stands in a state from now on.
    Order { state: &'static str, cause: Cause },
    /// A refund does.
    Refund {
        out_refund_no: String,
        state: String,
        amount_fen: Fen,
        cause: Cause,
    },
    /// The transfer does.
    Transfer { state: String, cause: Cause },
    /// Somebody asked for a change.
    Request {
        action: String,
        /// The refund's number; else empty.
        subject: String,
        who: String,
        /// `OK`, or the constant of the refusal.
        outcome: String,
        last_at_ms: i64,
        times: i64,
    },
    /// A callback told of a proven fact.
    Callback {
        fact: String,
        event_type: Option<String>,
        notification_id: Option<String>,
        proof: String,
        outcome: String,
        last_at_ms: i64,
        times: i64,
    },
    /// The business side is to be told.
    Event {
        event_id: String,
        name: String,
        position: i64,
        /// `UNSENT`, `WAITING`, `DELIVERED` or `DEAD`.
        delivery: String,
        attempts: i64,
        deliver_at_ms: Option<i64>,
        ended_at_ms: Option<i64>,
    },
    /// One attempt to tell it ended.
    Attempt {
        event_id: String,
        name: String,
        attempt: i64,
        status: Option<i64>,
        problem: Option<String>,
        took_ms: i64,
    },
    /// Something genuine did not fit.
    Anomaly {
        anomaly_id: String,
        name: String,
        subject: String,
        resolved_at_ms: Option<i64>,
    },
    /// An operator has seen to it.
    Resolved {
        anomaly_id: String,
        name: String,
        by: Option<String>,
        note: Option<String>,
    },
}

/// Why something stands as it does now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// Somebody asked for it here.
    Request,
    /// WeChat's answer to that, or to a later question.
    Answer,
    /// A callback.
    Callback,
}

/// Sorts what happened; of one moment, what was asked comes before what moved, and that before what was told of it.
fn in_order(mut entries: Vec<Entry>) -> Vec<Entry> {
    let rank = |happened: &Happened| match happened {
        Happened::Order {
            cause: Cause::Request, ..
        }
        | Happened::Refund {
            cause: Cause::Request, ..
        }
        | Happened::Transfer {
            cause: Cause::Request, ..
        } => 0,
        Happened::Callback { .. } => 1,
        Happened::Order { .. } | Happened::Refund { .. } | Happened::Transfer { .. } => 2,
        Happened::Event { .. } => 3,
        Happened::Anomaly { .. } => 4,
        Happened::Attempt { .. } => 5,
        Happened::Resolved { .. } => 6,
        Happened::Request { .. } => 7,
    };
    entries.sort_by_key(|entry| (entry.at_ms, rank(&entry.happened)));
    entries
}
