//! The buyer, the bank and the clock: what happens to an order without the merchant asking.

use jiff::Timestamp;

use super::books::{Books, Order, Paid, Refund, RefundStatus, TradeState};
use super::schema::optional_text;
use crate::sandbox::{
    clock::china_digits,
    crypto::{random_digits, random_text},
};

/// How the buyer pays. The default is the whole amount, by the person whom the order names, and announced.
#[derive(Debug, Clone)]
pub struct Payment {
    /// What is left to pay after a coupon, in fen; the whole amount if `None`.
    pub payer_total: Option<i64>,
    /// Who pays; the openid of the order, else a made-up one, if `None`.
    pub openid: Option<String>,
    /// The bank, `OTHERS` by default.
    pub bank_type: String,
    /// Whether WeChat announces the payment; `false` is a callback that never comes.
    pub notify: bool,
    /// Whether it was on its way before the order was closed: then it arrives all the same.
    pub under_way: bool,
}

impl Default for Payment {
    fn default() -> Self {
        Self {
            payer_total: None,
            openid: None,
            bank_type: "OTHERS".to_owned(),
            notify: true,
            under_way: false,
        }
    }
}

/// How a refund ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundEnd {
    /// The money arrived.
    Success,
    /// Nothing was paid back.
    Closed,
    /// The money could not be paid out; it can still end well later.
    Abnormal,
}

/// Why something cannot happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// WeChat has no such order.
    #[error("there is no such order")]
    NoSuchOrder,
    /// It was paid before.
    #[error("the order is already paid")]
    AlreadyPaid,
    /// It has not been paid.
    #[error("the order is not paid")]
    NotPaid,
    /// It was closed.
    #[error("the order is closed")]
    Closed,
    /// `time_expire` is over.
    #[error("the order can no longer be paid")]
    Expired,
    /// The prepay id is older than it may be.
    #[error("the prepay id has run out; order again with the same parameters")]
    PrepayExpired,
    /// More than the order or less than nothing.
    #[error("the buyer cannot pay this amount")]
    BadAmount,
    /// WeChat has no such refund.
    #[error("there is no such refund")]
    NoSuchRefund,
    /// The refund has ended, or not yet.
    #[error("the refund is not in a state from which this can happen")]
    WrongRefundState,
    /// WeChat has no such transfer.
    #[error("there is no such transfer")]
    NoSuchTransfer,
    /// The transfer has ended, or is not where this can happen.
    #[error("the transfer is not in a state from which this can happen")]
    WrongTransferState,
}

impl Books {
    /// The buyer pays; gives the order as it is afterwards.
    pub(crate) fn pay(&mut self, out_trade_no: &str, how: &Payment, now: Timestamp) -> Result<Order, Impossible> {
        let order = self.orders.get_mut(out_trade_no).ok_or(Impossible::NoSuchOrder)?;
        match order.state(now) {
            TradeState::Success | TradeState::Refund => return Err(Impossible::AlreadyPaid),
            TradeState::Closed if !how.under_way => return Err(Impossible::Closed),
            TradeState::Closed => {}
            TradeState::NotPay if order.has_expired(now) => return Err(Impossible::Expired),
            TradeState::NotPay if !order.prepay_is_alive(now) => return Err(Impossible::PrepayExpired),
            TradeState::NotPay => {}
        }
        let payer_total = how.payer_total.unwrap_or(order.total);
        if !(0..=order.total).contains(&payer_total) {
            return Err(Impossible::BadAmount);
        }
        let asked = || optional_text(&order.params, "/payer/openid");
        let today: String = china_digits(now).chars().take(8).collect();
        let paid = Paid {
            transaction_id: format!("4200002026{today}{}", random_digits(10)),
            at: now,
            payer_total,
            openid: how
                .openid
                .clone()
                .or_else(asked)
                .unwrap_or_else(|| format!("o{}", random_text(27))),
            bank_type: how.bank_type.clone(),
        };
        self.by_transaction
            .insert(paid.transaction_id.clone(), out_trade_no.to_owned());
        order.paid = Some(paid);
        Ok(order.clone())
    }

    /// The refund ends; gives it as it is afterwards.
    pub(crate) fn end_refund(
        &mut self,
        out_refund_no: &str,
        end: RefundEnd,
        now: Timestamp,
    ) -> Result<Refund, Impossible> {
        let refund = self.refunds.get_mut(out_refund_no).ok_or(Impossible::NoSuchRefund)?;
        refund.status = match (refund.status, end) {
            (RefundStatus::Processing | RefundStatus::Abnormal, RefundEnd::Success) => RefundStatus::Success,
            (RefundStatus::Processing, RefundEnd::Closed) => RefundStatus::Closed,
            (RefundStatus::Processing, RefundEnd::Abnormal) => RefundStatus::Abnormal,
            (RefundStatus::Success | RefundStatus::Closed | RefundStatus::Abnormal, _) => {
                return Err(Impossible::WrongRefundState);
            }
        };
        if refund.status == RefundStatus::Success {
            refund.arrived = Some(now);
        }
        if let (RefundStatus::Closed, Some(balance)) = (refund.status, &mut self.balance) {
            *balance += refund.amount;
        }
        Ok(refund.clone())
    }
}
