//! The books against a bill: what of a day has to be on both sides, and how one side's word fits the other's.
//!
//! A bill shows how things stood in the morning after its day and is never updated, so a refund may have gone on since. What has no line
//! by WeChat's rules, like an order that nobody paid, is not missed.

use serde::{Deserialize, Serialize};

use super::anomaly::AnomalyKind;
use super::order::TradeState;
use super::refund::RefundState;
use super::transfer::TransferState;

/// Which of WeChat's bills.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bill {
    /// Payments and refunds.
    Trade,
    /// What the accounts got and gave; the only bill with transfers.
    FundFlow,
}

impl Bill {
    /// Every bill.
    pub const ALL: [Self; 2] = [Self::Trade, Self::FundFlow];

    /// The name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trade => "TRADE",
            Self::FundFlow => "FUND_FLOW",
        }
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The payment of an order; its number is the order's.
    Payment,
    /// A refund, by the merchant's number, or WeChat's where the merchant gave it none.
    Refund,
    /// A transfer, by WeChat's number.
    Transfer,
}

impl Subject {
    /// Every subject.
    pub const ALL: [Self; 3] = [Self::Payment, Self::Refund, Self::Transfer];

    /// The name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Transfer => "transfer",
        }
    }

    /// The subject of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.as_str() == text)
    }
}

/// In what way the two sides do not agree.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The bill has it, and the books do not know its number; or the bill has it twice.
    MissingHere,
    /// The books count it to the day, and the bill does not have it.
    MissingThere,
    /// A payment or a transfer of another amount.
    Amount,
    /// A payment or a transfer that the books do not hold for made, or for another one.
    State,
    /// A refund of another amount, state or order.
    Refund,
}

impl DifferenceKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::MissingHere,
        Self::MissingThere,
        Self::Amount,
        Self::State,
        Self::Refund,
    ];

    /// The name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingHere => "missing_here",
            Self::MissingThere => "missing_there",
            Self::Amount => "amount",
            Self::State => "state",
            Self::Refund => "refund",
        }
    }

    /// The kind of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// As what a person is shown it.
    pub const fn anomaly(self) -> AnomalyKind {
        match self {
            Self::MissingHere => AnomalyKind::BillMissingHere,
            Self::MissingThere => AnomalyKind::BillMissingThere,
            Self::Amount => AnomalyKind::BillAmount,
            Self::State => AnomalyKind::BillState,
            Self::Refund => AnomalyKind::BillRefund,
        }
    }
}

/// What one side says of a payment, a refund or a transfer.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Entry {
    /// What it is.
    pub subject: Subject,
    /// By what it is found on the other side.
    pub number: String,
    /// Of a refund the order's number, of a transfer the merchant's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// WeChat's number of the payment or the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The app; only of payments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// How much, in the smallest unit of the currency; the bills of some old merchants do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// `CNY`.
    pub currency: String,
    /// The state in the words of that side.
    pub state: String,
    /// Unix milliseconds of WeChat's clock: paid, applied for, or received. Not yet, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
}

/// One day in China, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// Its first moment.
    pub from_ms: i64,
    /// The first moment after it.
    pub until_ms: i64,
}

impl Span {
    /// Whether that moment is in it.
    pub const fn holds(self, at_ms: i64) -> bool {
        self.from_ms <= at_ms && at_ms < self.until_ms
    }
}

/// What is wrong between what the books and what the bill of the day say of one number; `None` when it fits.
pub fn judge(day: Span, here: Option<&Entry>, there: Option<&Entry>) -> Option<DifferenceKind> {
    match (here, there) {
        (None, None) => None,
        (None, Some(_)) => Some(DifferenceKind::MissingHere),
        (Some(here), None) => {
            let of_the_day = here.at_ms.is_some_and(|at_ms| day.holds(at_ms));
            (of_the_day && has_a_line(here)).then_some(DifferenceKind::MissingThere)
        }
        (Some(here), Some(there)) => match here.subject {
            Subject::Payment => payment(here, there),
            Subject::Refund => refund(here, there),
            Subject::Transfer => transfer(here, there),
        },
    }
}

/// Whether what stands so in the books has moved money, or may have: then it has a line in the bill of its day. A refund that ended
/// without a payment has one too, but nothing is missed without it.
fn has_a_line(here: &Entry) -> bool {
    match here.subject {
        Subject::Payment => is_paid(here),
        Subject::Refund => matches!(
            RefundState::parse(&here.state),
            Some(RefundState::Processing | RefundState::Success | RefundState::Abnormal)
        ),
        Subject::Transfer => TransferState::parse(&here.state) == Some(TransferState::Success),
    }
}

fn is_paid(here: &Entry) -> bool {
    matches!(
        TradeState::parse(&here.state),
        Some(TradeState::Success | TradeState::Refund)
    )
}

fn is_as_much(here: &Entry, there: &Entry) -> bool {
    here.currency == there.currency && there.amount.is_none_or(|amount| here.amount == Some(amount))
}

/// An order that is not paid for because another amount came differs in that, and asking again would not change it.
fn payment(here: &Entry, there: &Entry) -> Option<DifferenceKind> {
    if !is_as_much(here, there) {
        Some(DifferenceKind::Amount)
    } else if !is_paid(here) || there.state != "SUCCESS" || here.id != there.id || here.app_id != there.app_id {
        Some(DifferenceKind::State)
    } else {
        None
    }
}

fn refund(here: &Entry, there: &Entry) -> Option<DifferenceKind> {
    use RefundState as S;
    let state = RefundState::parse(&here.state);
    let fits = match there.state.as_str() {
        "SUCCESS" => state == Some(S::Success),
        // It may have ended since the bill was made.
        "PROCESSING" => matches!(state, Some(S::Processing | S::Success | S::Closed | S::Abnormal)),
        "FAIL" => state == Some(S::Closed),
        // Stuck; a person may have mended it since.
        "CHANGE" => matches!(state, Some(S::Abnormal | S::Processing | S::Success | S::Closed)),
        _ => false,
    };
    let same = here.of == there.of && (there.id.is_none() || here.id == there.id);
    (!fits || !same || !is_as_much(here, there)).then_some(DifferenceKind::Refund)
}

/// Money that left the account for a transfer.
fn transfer(here: &Entry, there: &Entry) -> Option<DifferenceKind> {
    if !is_as_much(here, there) {
        Some(DifferenceKind::Amount)
    } else if TransferState::parse(&here.state) != Some(TransferState::Success) {
        Some(DifferenceKind::State)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Span = Span {
        from_ms: 1000,
        until_ms: 2000,
    };

    fn entry(subject: Subject, state: &str) -> Entry {
        Entry {
            subject,
            number: "NUMBER".to_owned(),
            of: None,
            id: None,
            app_id: None,
            amount: Some(20),
            currency: "CNY".to_owned(),
            state: state.to_owned(),
            at_ms: Some(1000),
        }
    }

    #[test]
    fn only_what_moved_money_on_the_day_is_missed_in_its_bill() {
        for (subject, state, missed) in [
            (Subject::Payment, "CREATED", false),
            (Subject::Payment, "NOTPAY", false),
            (Subject::Payment, "CLOSED", false),
            (Subject::Payment, "FAILED", false),
            (Subject::Payment, "SUCCESS", true),
            (Subject::Payment, "REFUND", true),
            (Subject::Refund, "CREATED", false),
            (Subject::Refund, "FAILED", false),
            (Subject::Refund, "CLOSED", false),
            (Subject::Refund, "PROCESSING", true),
            (Subject::Refund, "SUCCESS", true),
            (Subject::Refund, "ABNORMAL", true),
            (Subject::Transfer, "PROCESSING", false),
            (Subject::Transfer, "FAIL", false),
            (Subject::Transfer, "CANCELLED", false),
            (Subject::Transfer, "SUCCESS", true),
        ] {
            let mut here = entry(subject, state);
            let expected = missed.then_some(DifferenceKind::MissingThere);
            for (at_ms, of_the_day) in [
                (Some(999), false),
                (Some(1000), true),
                (Some(1999), true),
                (Some(2000), false),
                (None, false),
            ] {
                here.at_ms = at_ms;
                let expected = expected.filter(|_| of_the_day);
                assert_eq!(
                    judge(DAY, Some(&here), None),
                    expected,
                    "{subject:?} {state} at {at_ms:?}"
                );
            }
        }
        let there = entry(Subject::Payment, "SUCCESS");
        assert_eq!(judge(DAY, None, Some(&there)), Some(DifferenceKind::MissingHere));
        assert_eq!(judge(DAY, None, None), None);
    }

    #[test]
    fn a_refund_may_have_gone_on_since_the_bill_and_not_have_gone_back() {
        let states = ["CREATED", "FAILED", "PROCESSING", "SUCCESS", "CLOSED", "ABNORMAL"];
        for (there, fit) in [
            ("SUCCESS", &["SUCCESS"][..]),
            ("PROCESSING", &["PROCESSING", "SUCCESS", "CLOSED", "ABNORMAL"]),
            ("FAIL", &["CLOSED"]),
            ("CHANGE", &["ABNORMAL", "PROCESSING", "SUCCESS", "CLOSED"]),
            ("", &[]),
        ] {
            for here in states {
                let differs = judge(
                    DAY,
                    Some(&entry(Subject::Refund, here)),
                    Some(&entry(Subject::Refund, there)),
                );
                let expected = (!fit.contains(&here)).then_some(DifferenceKind::Refund);
                assert_eq!(differs, expected, "{here} here, {there} there");
            }
        }
    }

    #[test]
    fn each_value_of_a_payment_counts_and_an_amount_before_a_state() {
        let (here, there) = (entry(Subject::Payment, "REFUND"), entry(Subject::Payment, "SUCCESS"));
        assert_eq!(judge(DAY, Some(&here), Some(&there)), None);
        let unpaid = entry(Subject::Payment, "NOTPAY");
        let differs = |change: fn(&mut Entry)| {
            let mut there = there.clone();
            change(&mut there);
            (
                judge(DAY, Some(&here), Some(&there)),
                judge(DAY, Some(&unpaid), Some(&there)),
            )
        };
        let (amount, state) = (Some(DifferenceKind::Amount), Some(DifferenceKind::State));
        assert_eq!(differs(|_| {}), (None, state));
        assert_eq!(differs(|there| there.amount = Some(21)), (amount, amount));
        assert_eq!(differs(|there| there.currency = "USD".to_owned()), (amount, amount));
        assert_eq!(differs(|there| there.state = "REVOKED".to_owned()), (state, state));
        assert_eq!(differs(|there| there.id = Some("4200".to_owned())), (state, state));
        assert_eq!(differs(|there| there.app_id = Some("wx1".to_owned())), (state, state));
        // The bills of some old merchants do not say the amount of an order.
        assert_eq!(differs(|there| there.amount = None), (None, state));
    }

    #[test]
    fn names_are_kept() {
        for kind in DifferenceKind::ALL {
            assert_eq!(DifferenceKind::parse(kind.as_str()), Some(kind));
            assert_eq!(
                AnomalyKind::parse(&format!("bill_{}", kind.as_str())),
                Some(kind.anomaly())
            );
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for subject in Subject::ALL {
            assert_eq!(Subject::parse(subject.as_str()), Some(subject));
            assert_eq!(serde_json::to_value(subject).unwrap(), subject.as_str());
        }
    }
}
