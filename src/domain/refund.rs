//! A refund: its states, and what its amount does to the order meanwhile.

use super::ids::{OutRefundNo, OutTradeNo, RefundId};
use super::money::Fen;

/// What a caller asks for, checked against the order it names.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// The merchant's number of the refund; every repeat keeps it.
    pub out_refund_no: OutRefundNo,
    /// The order that is refunded.
    pub out_trade_no: OutTradeNo,
    /// What goes back.
    pub amount: Fen,
    /// The body that WeChat will be asked with.
    pub request: String,
}

/// A refund as the store holds it.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The merchant's number.
    pub out_refund_no: OutRefundNo,
    /// The order that is refunded.
    pub out_trade_no: OutTradeNo,
    /// WeChat's number, once it is accepted.
    pub refund_id: Option<RefundId>,
    /// What goes back.
    pub amount: Fen,
    /// The body that WeChat was, or is about to be, asked with.
    pub request: String,
    /// Where it stands.
    pub state: RefundState,
    /// How often its state has changed.
    pub moves: i64,
    /// WeChat has accepted it, and the business side was told.
    pub accepted: bool,
    /// When it was last asked for, Unix milliseconds.
    pub asked_for_at: i64,
}

/// Where a refund stands. WeChat's names where it has one; `CREATED` and `FAILED` are ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefundState {
    /// We are about to ask, or have asked and do not know the answer.
    Created,
    /// WeChat says that it never accepted it. The same number may be asked for again.
    Failed,
    /// Accepted, under way; to a card that can take days.
    Processing,
    /// The money is back with the payer.
    Success,
    /// Nothing was paid back and nothing will be; a new attempt needs a new number.
    Closed,
    /// It cannot be paid out by itself; a person has to act on this same refund.
    Abnormal,
}

impl RefundState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::Failed,
        Self::Processing,
        Self::Success,
        Self::Closed,
        Self::Abnormal,
    ];

    /// The name in the store and in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Failed => "FAILED",
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Closed => "CLOSED",
            Self::Abnormal => "ABNORMAL",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the refund's amount counts against its order.
    ///
    /// Only a refund of which WeChat says that nothing is or will be paid gives its amount back.
    pub const fn holds(self) -> bool {
        match self {
            Self::Created | Self::Processing | Self::Success | Self::Abnormal => true,
            Self::Failed | Self::Closed => false,
        }
    }

    /// The whole life of a refund: what a fact that WeChat vouches for does to it.
    pub const fn after(self, fact: RefundFact) -> RefundStep {
        use {
            RefundFact as F, RefundState as S,
            RefundStep::{Contradiction, Known, To},
        };
        match (self, fact) {
            (S::Created | S::Failed, F::Processing) => To(S::Processing),
            // By hand, in the merchant platform or with the card mended.
            (S::Abnormal, F::Processing) => To(S::Processing),
            (S::Created | S::Failed | S::Processing | S::Abnormal, F::Success) => To(S::Success),
            (S::Created | S::Failed | S::Processing | S::Abnormal, F::Closed) => To(S::Closed),
            (S::Created | S::Failed | S::Processing, F::Abnormal) => To(S::Abnormal),
            (S::Created, F::Unknown) => To(S::Failed),
            (S::Processing, F::Processing) | (S::Success, F::Success) => Known,
            (S::Closed, F::Closed) | (S::Abnormal, F::Abnormal) | (S::Failed, F::Unknown) => Known,
            // An older word that arrives late.
            (S::Success | S::Closed, F::Processing) | (S::Success, F::Abnormal) => Known,
            (S::Success, F::Closed) | (S::Closed, F::Success | F::Abnormal) => Contradiction,
            (S::Processing | S::Success | S::Closed | S::Abnormal, F::Unknown) => Contradiction,
        }
    }
}

/// What WeChat's proven word says of a refund.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefundFact {
    /// Accepted and under way.
    Processing,
    /// Paid back.
    Success,
    /// Ended without a payment.
    Closed,
    /// Stuck.
    Abnormal,
    /// WeChat does not know this number: it never accepted it.
    Unknown,
}

impl RefundFact {
    /// Every fact.
    pub const ALL: [Self; 5] = [
        Self::Processing,
        Self::Success,
        Self::Closed,
        Self::Abnormal,
        Self::Unknown,
    ];

    /// The fact behind WeChat's `status` or `refund_status`.
    pub fn of_status(status: &str) -> Option<Self> {
        match status {
            "PROCESSING" => Some(Self::Processing),
            "SUCCESS" => Some(Self::Success),
            "CLOSED" => Some(Self::Closed),
            "ABNORMAL" => Some(Self::Abnormal),
            _ => None,
        }
    }
}

/// What a fact does to a refund.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefundStep {
    /// It moves there.
    To(RefundState),
    /// It was heard before, or is older than what is known.
    Known,
    /// Genuine, and yet it cannot be: for a person.
    Contradiction,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_name() {
        for state in RefundState::ALL {
            assert_eq!(RefundState::parse(state.as_str()), Some(state));
        }
    }

    #[test]
    fn an_end_is_an_end() {
        for end in [RefundState::Success, RefundState::Closed] {
            for fact in RefundFact::ALL {
                assert!(!matches!(end.after(fact), RefundStep::To(_)), "{end:?} after {fact:?}");
            }
        }
    }

    #[test]
    fn a_fact_heard_twice_moves_once() {
        for state in RefundState::ALL {
            for fact in RefundFact::ALL {
                if let RefundStep::To(next) = state.after(fact) {
                    assert_eq!(next.after(fact), RefundStep::Known, "{state:?} after {fact:?} twice");
                }
            }
        }
    }

    #[test]
    fn only_a_refund_that_pays_nothing_gives_its_amount_back() {
        let free: Vec<_> = RefundState::ALL.into_iter().filter(|state| !state.holds()).collect();
        assert_eq!(free, [RefundState::Failed, RefundState::Closed]);
    }
}
