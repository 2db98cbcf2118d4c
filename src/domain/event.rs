//! What the business side is told, and by which key one fact is one event.

use super::ids::{OutBillNo, OutRefundNo, OutTradeNo};

/// The moments of an order's life that the business side hears of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// An order was placed (the template's `handlerUnified`).
    OrderCreated,
    /// It was paid (`handlerUnifiedTrigger`).
    OrderPaid,
    /// It can no longer be paid.
    OrderClosed,
    /// A refund was accepted (`handlerRefund`).
    RefundCreated,
    /// A refund ended (`handlerRefundTrigger`): the payer has the money.
    RefundSucceeded,
    /// A refund ended: nothing was paid back.
    RefundClosed,
    /// A refund is stuck and needs a person.
    RefundAbnormal,
    /// A transfer was accepted.
    TransferCreated,
    /// A transfer ended: its receiver has the money.
    TransferSucceeded,
    /// A transfer ended: nothing was paid out, or it was taken back.
    TransferFailed,
    /// Something genuine that does not fit.
    AnomalyDetected,
}

impl EventKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => "order.created",
            Self::OrderPaid => "order.paid",
            Self::OrderClosed => "order.closed",
            Self::RefundCreated => "refund.created",
            Self::RefundSucceeded => "refund.succeeded",
            Self::RefundClosed => "refund.closed",
            Self::RefundAbnormal => "refund.abnormal",
            Self::TransferCreated => "transfer.created",
            Self::TransferSucceeded => "transfer.succeeded",
            Self::TransferFailed => "transfer.failed",
            Self::AnomalyDetected => "anomaly.detected",
        }
    }
}

/// What became of the telling of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// There was nobody to tell.
    Unsent,
    /// It is to be told.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// The receiver did not take it for about a day, or said that it is gone. A person may have it told anew.
    Dead,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unsent, Self::Waiting, Self::Delivered, Self::Dead];

    /// The name in the store and on the terminal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsent => "UNSENT",
            Self::Waiting => "WAITING",
            Self::Delivered => "DELIVERED",
            Self::Dead => "DEAD",
        }
    }

    /// The one of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// One event to be told: which, of what, with what.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Which moment.
    pub kind: EventKind,
    /// The key of the fact. The store takes one event per key, ever.
    pub fact: String,
    /// Events of one stream are told in order: the order's number, or the anomaly's id.
    pub stream: String,
    /// What is told, as JSON.
    pub payload: String,
}

impl NewEvent {
    /// An event of an order.
    pub fn of_order(kind: EventKind, out_trade_no: &OutTradeNo, payload: String) -> Self {
        let stream = out_trade_no.as_str().to_owned();
        Self {
            kind,
            fact: format!("{}/{stream}", kind.as_str()),
            stream,
            payload,
        }
    }

    /// An event of a refund; it belongs to the stream of its order.
    ///
    /// A stuck refund can become stuck again after it was mended, so `turn` tells those apart: the state changes so far.
    pub fn of_refund(
        kind: EventKind,
        out_trade_no: &OutTradeNo,
        out_refund_no: &OutRefundNo,
        turn: i64,
        payload: String,
    ) -> Self {
        let fact = match kind {
            EventKind::RefundAbnormal => format!("{}/{out_refund_no}/{turn}", kind.as_str()),
            EventKind::OrderCreated
            | EventKind::OrderPaid
            | EventKind::OrderClosed
            | EventKind::RefundCreated
            | EventKind::RefundSucceeded
            | EventKind::RefundClosed
            | EventKind::TransferCreated
            | EventKind::TransferSucceeded
            | EventKind::TransferFailed
            | EventKind::AnomalyDetected => format!("{}/{out_refund_no}", kind.as_str()),
        };
        Self {
            kind,
            fact,
            stream: out_trade_no.as_str().to_owned(),
            payload,
        }
    }

    /// An event of a transfer, in a stream of its own: an order may have the same number.
    pub fn of_transfer(kind: EventKind, out_bill_no: &OutBillNo, payload: String) -> Self {
        Self {
            kind,
            fact: format!("{}/{out_bill_no}", kind.as_str()),
            stream: transfer_stream(out_bill_no),
            payload,
        }
    }
}

/// The stream of a transfer's events and callbacks.
pub fn transfer_stream(out_bill_no: &OutBillNo) -> String {
    format!("transfer/{out_bill_no}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_telling_keeps_its_name() {
        for delivery in Delivery::ALL {
            assert_eq!(Delivery::parse(delivery.as_str()), Some(delivery));
        }
        assert_eq!(Delivery::parse("TOLD"), None);
    }

    #[test]
    fn a_transfer_and_an_order_of_one_number_have_streams_of_their_own() {
        let order = NewEvent::of_order(
            EventKind::OrderPaid,
            &OutTradeNo::parse("NUMBER_1").unwrap(),
            String::new(),
        );
        let number = OutBillNo::parse("NUMBER1").unwrap();
        let transfer = NewEvent::of_transfer(EventKind::TransferSucceeded, &number, String::new());

        assert_eq!(
            (order.stream.as_str(), order.fact.as_str()),
            ("NUMBER_1", "order.paid/NUMBER_1")
        );
        assert_eq!(
            (transfer.stream.as_str(), transfer.fact.as_str()),
            ("transfer/NUMBER1", "transfer.succeeded/NUMBER1")
        );
    }
}
