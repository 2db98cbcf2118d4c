//! What is genuine and does not fit. It is kept, shown to operators, told to the business side, and acknowledged.

mod meaning;

/// Why something genuine does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AnomalyKind {
    /// WeChat tells of an order that this store does not know.
    UnknownOrder,
    /// WeChat tells of a refund that this store does not know.
    UnknownRefund,
    /// WeChat tells of a transfer that this store does not know.
    UnknownTransfer,
    /// It belongs to another merchant.
    ForeignMerchant,
    /// It belongs to an app that the order was not placed for.
    ForeignApp,
    /// The amount or the currency is not the order's.
    AmountMismatch,
    /// The order was closed when the payment came. It counts as paid; deliver, or refund.
    PaidAfterClose,
    /// The order was given up when the payment came. It counts as paid; deliver, or refund.
    PaidAfterFailure,
    /// The number is of an order that was placed elsewhere, and somebody had named it here. It belongs to its payer.
    PlacedElsewhere,
    /// A second payment for an order that is paid.
    SecondPayment,
    /// What WeChat says contradicts what it said before.
    Contradiction,
    /// A notification of a kind that this version does not know.
    UnknownEvent,
    /// A notification that opens, but cannot be read.
    Unreadable,
    /// A bill has what the books do not know.
    BillMissingHere,
    /// The books have what is not in the bill of its day.
    BillMissingThere,
    /// A bill has another amount of a payment or a transfer.
    BillAmount,
    /// A bill has a payment or a transfer that the books do not hold for made.
    BillState,
    /// A bill has another amount or state of a refund.
    BillRefund,
}

impl AnomalyKind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::UnknownOrder,
        Self::UnknownRefund,
        Self::UnknownTransfer,
        Self::ForeignMerchant,
        Self::ForeignApp,
        Self::AmountMismatch,
        Self::PaidAfterClose,
        Self::PaidAfterFailure,
        Self::PlacedElsewhere,
        Self::SecondPayment,
        Self::Contradiction,
        Self::UnknownEvent,
        Self::Unreadable,
        Self::BillMissingHere,
        Self::BillMissingThere,
        Self::BillAmount,
        Self::BillState,
        Self::BillRefund,
    ];

    /// The kind of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown_order",
            Self::UnknownRefund => "unknown_refund",
            Self::UnknownTransfer => "unknown_transfer",
            Self::ForeignMerchant => "foreign_merchant",
            Self::ForeignApp => "foreign_app",
            Self::AmountMismatch => "amount_mismatch",
            Self::PaidAfterClose => "paid_after_close",
            Self::PaidAfterFailure => "paid_after_failure",
            Self::PlacedElsewhere => "placed_elsewhere",
            Self::SecondPayment => "second_payment",
            Self::Contradiction => "contradiction",
            Self::UnknownEvent => "unknown_event",
            Self::Unreadable => "unreadable",
            Self::BillMissingHere => "bill_missing_here",
            Self::BillMissingThere => "bill_missing_there",
            Self::BillAmount => "bill_amount",
            Self::BillState => "bill_state",
            Self::BillRefund => "bill_refund",
        }
    }
}

/// One anomaly to be kept.
#[derive(Clone, Debug)]
pub struct NewAnomaly {
    /// Its own; kept if it is the first of its fact.
    pub id: String,
    /// Why it does not fit.
    pub kind: AnomalyKind,
    /// The number it is about: of an order, a refund, a transfer, or a notification.
    pub subject: String,
    /// The fact that showed it, so that the same fact heard again is the same anomaly.
    pub fact: String,
    /// What the business side is told of it, as JSON.
    pub detail: String,
}

/// What was found and done about an anomaly, by whoever resolved it: 1 to 1000 characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note(String);

impl Note {
    /// The note without the space around it; `None` when nothing is left, or too much.
    pub fn parse(text: &str) -> Option<Self> {
        let note = text.trim();
        (1..=1000)
            .contains(&note.chars().count())
            .then(|| Self(note.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_something_and_has_an_end() {
        assert_eq!(Note::parse(" refunded by hand\n").unwrap().as_str(), "refunded by hand");
        assert!(Note::parse(&"钱".repeat(1000)).is_some());
        for bad in ["", " \n\t", &"x".repeat(1001)] {
            assert_eq!(Note::parse(bad), None);
        }
    }
}
