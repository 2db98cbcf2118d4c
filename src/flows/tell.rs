//! The words of an event: a version, the moment, the order's own record, and WeChat's resource where there is one.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::anomaly::{AnomalyKind, NewAnomaly};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::ids::{OutBillNo, OutRefundNo, OutTradeNo, new_id};
use crate::domain::money::Fen;

#[derive(Serialize)]
struct Payload<'a, T> {
    version: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    /// RFC 3339, UTC.
    timestamp: String,
    data: Data<'a, T>,
}

#[derive(Serialize)]
struct Data<'a, T> {
    #[serde(flatten)]
    record: T,
    /// WeChat's own words, as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
}

/// An order's own record.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OrderRecord<'a> {
    pub(crate) out_trade_no: &'a str,
    pub(crate) appid: &'a str,
    /// Fen.
    pub(crate) total: Fen,
    pub(crate) trade_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transaction_id: Option<&'a str>,
}

/// A refund's own record.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct RefundRecord<'a> {
    pub(crate) out_trade_no: &'a str,
    pub(crate) out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refund_id: Option<&'a str>,
    /// Fen.
    pub(crate) refund: Fen,
    pub(crate) refund_status: &'static str,
}

/// A transfer's own record.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct TransferRecord<'a> {
    pub(crate) out_bill_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transfer_bill_no: Option<&'a str>,
    /// Fen.
    pub(crate) transfer_amount: Fen,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fail_reason: Option<&'a str>,
}

/// An anomaly's own record.
#[derive(Serialize)]
struct AnomalyRecord<'a> {
    anomaly_id: &'a str,
    kind: &'static str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
}

fn payload<T: Serialize>(kind: EventKind, record: T, resource: Option<&RawValue>, now: i64) -> String {
    let timestamp = Timestamp::from_millisecond(now)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string();
    let payload = Payload {
        version: 1,
        kind: kind.as_str(),
        timestamp,
        data: Data { record, resource },
    };
    serde_json::to_string(&payload).expect("texts and numbers always serialise")
}

/// An event of an order.
pub(crate) fn of_order(
    kind: EventKind,
    number: &OutTradeNo,
    record: &OrderRecord<'_>,
    resource: Option<&RawValue>,
    now: i64,
) -> NewEvent {
    NewEvent::of_order(kind, number, payload(kind, record, resource, now))
}

/// An event of a refund.
pub(crate) fn of_refund(
    kind: EventKind,
    (order, refund): (&OutTradeNo, &OutRefundNo),
    turn: i64,
    record: &RefundRecord<'_>,
    resource: Option<&RawValue>,
    now: i64,
) -> NewEvent {
    NewEvent::of_refund(kind, order, refund, turn, payload(kind, record, resource, now))
}

/// An event of a transfer.
pub(crate) fn of_transfer(
    kind: EventKind,
    number: &OutBillNo,
    record: &TransferRecord<'_>,
    resource: Option<&RawValue>,
    now: i64,
) -> NewEvent {
    NewEvent::of_transfer(kind, number, payload(kind, record, resource, now))
}

/// An anomaly with the event that tells of it: what it is about, the fact that showed it, and the type of the notification where that is
/// all that is known.
pub(crate) fn of_anomaly(
    kind: AnomalyKind,
    subject: &str,
    fact: String,
    event_type: Option<&str>,
    resource: &RawValue,
    now: i64,
) -> NewAnomaly {
    let id = new_id();
    let record = AnomalyRecord {
        anomaly_id: &id,
        kind: kind.as_str(),
        subject,
        event_type,
    };
    let detail = payload(EventKind::AnomalyDetected, record, Some(resource), now);
    NewAnomaly {
        id,
        kind,
        subject: subject.to_owned(),
        fact,
        detail,
    }
}
