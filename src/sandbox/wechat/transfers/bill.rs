//! One merchant transfer: its states, what moves it, and how a test sees it.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The receiver has a day to confirm; then the transfer fails with this reason and the money goes back.
pub(crate) const CONFIRM_WITHIN: SignedDuration = SignedDuration::from_hours(24);
pub(crate) const OVERDUE: &str = "OVERDUE_CLOSE";

/// The state of a transfer, in WeChat's own spelling: one R, one L, two L.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferState {
    /// Taken in.
    Accepted,
    /// Under way, for example because the balance is being looked at.
    Processing,
    /// The receiver is to confirm.
    WaitUserConfirm,
    /// The receiver has confirmed; the money is on its way.
    Transfering,
    /// Arrived.
    Success,
    /// Nothing was paid, and nothing will be.
    Fail,
    /// The merchant took it back; not yet done.
    Canceling,
    /// Taken back.
    Cancelled,
}

impl TransferState {
    /// WeChat's constant.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::Processing => "PROCESSING",
            Self::WaitUserConfirm => "WAIT_USER_CONFIRM",
            Self::Transfering => "TRANSFERING",
            Self::Success => "SUCCESS",
            Self::Fail => "FAIL",
            Self::Canceling => "CANCELING",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether nothing follows any more.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Success | Self::Fail | Self::Cancelled => true,
            Self::Accepted | Self::Processing | Self::WaitUserConfirm | Self::Transfering | Self::Canceling => false,
        }
    }

    /// Whether the receiver has not confirmed: until then it can be taken back, and runs out after a day.
    pub(crate) const fn is_unconfirmed(self) -> bool {
        match self {
            Self::Accepted | Self::Processing | Self::WaitUserConfirm => true,
            Self::Transfering | Self::Success | Self::Fail | Self::Canceling | Self::Cancelled => false,
        }
    }

    /// The state after one step on the way that nothing disturbs; itself where that way ends.
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Accepted => Self::Processing,
            Self::Processing => Self::WaitUserConfirm,
            Self::WaitUserConfirm => Self::Transfering,
            Self::Transfering => Self::Success,
            Self::Canceling => Self::Cancelled,
            Self::Success | Self::Fail | Self::Cancelled => self,
        }
    }
}

/// In which state a new transfer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransferStart {
    /// Taken in, and no more.
    Accepted,
    /// Under way.
    Processing,
    /// The receiver can confirm at once: the usual one.
    #[default]
    WaitUserConfirm,
}

impl TransferStart {
    pub(crate) const fn state(self) -> TransferState {
        match self {
            Self::Accepted => TransferState::Accepted,
            Self::Processing => TransferState::Processing,
            Self::WaitUserConfirm => TransferState::WaitUserConfirm,
        }
    }
}

/// How a transfer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferEnd {
    /// The money arrived.
    Success,
    /// Nothing was paid, for this reason: one of WeChat's constants, for example `PAYEE_ACCOUNT_ABNORMAL`.
    Fail(String),
    /// The merchant took it back. Only possible after a cancellation was accepted.
    Cancelled,
}

impl TransferEnd {
    pub(crate) const fn state(&self) -> TransferState {
        match self {
            Self::Success => TransferState::Success,
            Self::Fail(_) => TransferState::Fail,
            Self::Cancelled => TransferState::Cancelled,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Transfer {
    pub(crate) out_bill_no: String,
    pub(crate) bill_no: String,
    /// The body of the request with the name in the clear, so that equal questions are equal.
    pub(crate) params: Value,
    pub(crate) appid: String,
    pub(crate) openid: String,
    pub(crate) amount: i64,
    pub(crate) remark: String,
    pub(crate) user_name: Option<String>,
    pub(crate) notify_url: Option<String>,
    pub(crate) package_info: String,
    pub(crate) state: TransferState,
    pub(crate) fail_reason: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

impl Transfer {
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.state.is_unconfirmed() && now >= self.created + CONFIRM_WITHIN
    }

    pub(crate) fn move_to(&mut self, state: TransferState, fail_reason: Option<String>, now: Timestamp) {
        self.state = state;
        self.fail_reason = fail_reason;
        self.updated = now;
    }
}

/// One transfer, for a test to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferView {
    /// The merchant's number.
    pub out_bill_no: String,
    /// WeChat's number.
    pub transfer_bill_no: String,
    /// The app that the receiver's openid belongs to.
    pub appid: String,
    /// The receiver.
    pub openid: String,
    /// The amount in fen.
    pub amount: i64,
    /// The receiver's name as WeChat read it.
    pub user_name: Option<String>,
    /// The state now.
    pub state: TransferState,
    /// Why it failed.
    pub fail_reason: Option<String>,
    /// What the page confirms with; given out while the receiver can confirm.
    pub package_info: String,
    /// Where its end is announced.
    pub notify_url: Option<String>,
    /// The body of the request, with `user_name` in the clear.
    pub params: Value,
}

impl From<&Transfer> for TransferView {
    fn from(transfer: &Transfer) -> Self {
        Self {
            out_bill_no: transfer.out_bill_no.clone(),
            transfer_bill_no: transfer.bill_no.clone(),
            appid: transfer.appid.clone(),
            openid: transfer.openid.clone(),
            amount: transfer.amount,
            user_name: transfer.user_name.clone(),
            state: transfer.state,
            fail_reason: transfer.fail_reason.clone(),
            package_info: transfer.package_info.clone(),
            notify_url: transfer.notify_url.clone(),
            params: transfer.params.clone(),
        }
    }
}
