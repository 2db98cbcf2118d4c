//! A merchant transfer: money that the merchant pays out and a receiver confirms in WeChat.

use super::ids::{AppId, Openid, OutBillNo, TransferBillNo};
use super::money::Fen;
use super::order::Owner;

/// What a caller asks for, checked.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// The merchant's number; every repeat keeps it.
    pub out_bill_no: OutBillNo,
    /// The app that the receiver is known under.
    pub app_id: AppId,
    /// Who receives it.
    pub openid: Openid,
    /// What is paid out.
    pub amount: Fen,
    /// The body that WeChat will be asked with, without the receiver's name.
    pub request: String,
    /// A digest of the receiver's name: the name itself is nowhere kept.
    pub name_digest: Option<String>,
    /// Who may see it: who asked for it, or, when the merchant's server did, its receiver.
    pub owner: Owner,
}

/// A transfer as the store holds it.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The merchant's number.
    pub out_bill_no: OutBillNo,
    /// WeChat's number, once it is accepted.
    pub transfer_bill_no: Option<TransferBillNo>,
    /// Who receives it.
    pub openid: Openid,
    /// What is paid out.
    pub amount: Fen,
    /// Who may see it.
    pub owner: Owner,
    /// The body that WeChat was, or is about to be, asked with, without the receiver's name.
    pub request: String,
    /// A digest of the receiver's name.
    pub name_digest: Option<String>,
    /// Where it stands.
    pub state: TransferState,
    /// What the receiver confirms with.
    pub package_info: Option<String>,
    /// WeChat has accepted it, and the business side was told.
    pub accepted: bool,
    /// When it was last asked for, Unix milliseconds.
    pub asked_for_at: i64,
}

/// Where a transfer stands. WeChat's names, with WeChat's spelling; `CREATED` and `REJECTED` are ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransferState {
    /// We are about to ask, or have asked and do not know the answer.
    Created,
    /// WeChat says that it never accepted it. The same number may be asked for again.
    Rejected,
    /// Accepted, and never yet success.
    Accepted,
    /// Under way; when it stays so, the merchant's balance is usually too small.
    Processing,
    /// The receiver has 24 hours to confirm.
    WaitUserConfirm,
    /// Confirmed, on its way.
    Transfering,
    /// It is being taken back; the receiver may still be faster.
    Canceling,
    /// The receiver has the money.
    Success,
    /// It ended without a payment.
    Fail,
    /// It was taken back.
    Cancelled,
}

impl TransferState {
    /// Every state, in the order in which a transfer can pass them.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Rejected,
        Self::Accepted,
        Self::Processing,
        Self::WaitUserConfirm,
        Self::Transfering,
        Self::Canceling,
        Self::Success,
        Self::Fail,
        Self::Cancelled,
    ];

    /// The name in the store and in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Rejected => "REJECTED",
            Self::Accepted => "ACCEPTED",
            Self::Processing => "PROCESSING",
            Self::WaitUserConfirm => "WAIT_USER_CONFIRM",
            Self::Transfering => "TRANSFERING",
            Self::Canceling => "CANCELING",
            Self::Success => "SUCCESS",
            Self::Fail => "FAIL",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing follows.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Success | Self::Fail | Self::Cancelled)
    }

    /// The whole life of a transfer: what a fact that WeChat vouches for does to it.
    ///
    /// The guards of the UPDATEs in `store::transfers` are this table again; a test walks every pair.
    pub const fn after(self, fact: TransferFact) -> TransferStep {
        use {
            TransferFact as F, TransferState as S,
            TransferStep::{Contradiction, Known, To},
        };
        match (self, fact) {
            (S::Created, F::Unknown) => To(S::Rejected),
            (S::Rejected, F::Unknown) => Known,
            (S::Success, F::Success) | (S::Fail, F::Fail) | (S::Cancelled, F::Cancelled) => Known,
            // One end and then another.
            (S::Success | S::Fail | S::Cancelled, F::Success | F::Fail | F::Cancelled | F::Unknown) => Contradiction,
            // An older word that arrives late.
            (
                S::Success | S::Fail | S::Cancelled,
                F::Accepted | F::Processing | F::WaitUserConfirm | F::Transfering | F::Canceling,
            ) => Known,
            (S::Accepted | S::Processing | S::WaitUserConfirm | S::Transfering | S::Canceling, F::Unknown) => {
                Contradiction
            }
            (_, F::Success) => To(S::Success),
            (_, F::Fail) => To(S::Fail),
            (_, F::Cancelled) => To(S::Cancelled),
            (S::Created | S::Rejected, F::Accepted) => To(S::Accepted),
            (S::Created | S::Rejected | S::Accepted, F::Processing) => To(S::Processing),
            (S::Created | S::Rejected | S::Accepted | S::Processing, F::WaitUserConfirm) => To(S::WaitUserConfirm),
            (S::Created | S::Rejected | S::Accepted | S::Processing | S::WaitUserConfirm, F::Transfering) => {
                To(S::Transfering)
            }
            (
                S::Created | S::Rejected | S::Accepted | S::Processing | S::WaitUserConfirm | S::Transfering,
                F::Canceling,
            ) => To(S::Canceling),
            (
                S::Accepted | S::Processing | S::WaitUserConfirm | S::Transfering | S::Canceling,
                F::Accepted | F::Processing | F::WaitUserConfirm | F::Transfering | F::Canceling,
            ) => Known,
        }
    }
}

/// What WeChat's proven word says of a transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransferFact {
    /// `ACCEPTED`
    Accepted,
    /// `PROCESSING`
    Processing,
    /// `WAIT_USER_CONFIRM`
    WaitUserConfirm,
    /// `TRANSFERING`
    Transfering,
    /// `CANCELING`
    Canceling,
    /// `SUCCESS`
    Success,
    /// `FAIL`
    Fail,
    /// `CANCELLED`
    Cancelled,
    /// WeChat does not know this number: it never accepted it.
    Unknown,
}

impl TransferFact {
    /// Every fact.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Processing,
        Self::WaitUserConfirm,
        Self::Transfering,
        Self::Canceling,
        Self::Success,
        Self::Fail,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The fact behind WeChat's `state`.
    pub fn of_state(state: &str) -> Option<Self> {
        match TransferState::parse(state)? {
            TransferState::Created | TransferState::Rejected => None,
            TransferState::Accepted => Some(Self::Accepted),
            TransferState::Processing => Some(Self::Processing),
            TransferState::WaitUserConfirm => Some(Self::WaitUserConfirm),
            TransferState::Transfering => Some(Self::Transfering),
            TransferState::Canceling => Some(Self::Canceling),
            TransferState::Success => Some(Self::Success),
            TransferState::Fail => Some(Self::Fail),
            TransferState::Cancelled => Some(Self::Cancelled),
        }
    }
}

/// What a fact does to a transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransferStep {
    /// It moves there.
    To(TransferState),
    /// It was heard before, or is older than what is known.
    Known,
    /// Genuine, and yet it cannot be: for a person.
    Contradiction,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_name_and_only_wechats_are_facts() {
        for state in TransferState::ALL {
            assert_eq!(TransferState::parse(state.as_str()), Some(state));
        }
        assert_eq!(TransferFact::of_state("CREATED"), None);
        assert_eq!(TransferFact::of_state("TRANSFERRING"), None, "one R");
        assert_eq!(TransferFact::of_state("CANCELLED"), Some(TransferFact::Cancelled));
    }

    #[test]
    fn no_fact_leads_back_and_an_end_is_an_end() {
        let rank = |state| TransferState::ALL.iter().position(|known| *known == state);
        for state in TransferState::ALL {
            for fact in TransferFact::ALL {
                if let TransferStep::To(next) = state.after(fact) {
                    assert!(!state.is_end(), "{state:?} after {fact:?}");
                    assert!(rank(next) > rank(state), "{state:?} after {fact:?} is {next:?}");
                    assert_eq!(next.after(fact), TransferStep::Known, "{state:?} after {fact:?} twice");
                }
            }
        }
    }

    #[test]
    fn only_success_is_success() {
        for state in TransferState::ALL {
            for fact in TransferFact::ALL {
                let succeeds = state.after(fact) == TransferStep::To(TransferState::Success);
                assert!(!succeeds || fact == TransferFact::Success, "{state:?} after {fact:?}");
            }
        }
    }
}
