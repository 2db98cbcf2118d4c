//! What WeChat knows about one merchant: orders, payments, refunds, transfers. Nothing here waits or signs; every rule is applied
//! under the one lock around the books, so no two requests can both take the last fen.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::transfers::{Transfer, TransferStart};

/// A payment channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Service account or mini program.
    Jsapi,
    /// Mobile app.
    App,
    /// Browser outside WeChat.
    H5,
    /// QR code.
    Native,
}

impl Channel {
    /// The `trade_type` of a payment.
    pub const fn trade_type(self) -> &'static str {
        match self {
            Self::Jsapi => "JSAPI",
            Self::App => "APP",
            Self::H5 => "MWEB",
            Self::Native => "NATIVE",
        }
    }

    /// How long a prepay answer of this channel can be paid with.
    const fn prepay_life(self) -> SignedDuration {
        match self {
            Self::H5 => SignedDuration::from_mins(5),
            Self::Jsapi | Self::App | Self::Native => PREPAY_LIFE,
        }
    }
}

/// The state of an order as WeChat names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeState {
    /// Waiting for the buyer.
    NotPay,
    /// Paid.
    Success,
    /// Paid, and at least one refund was applied for.
    Refund,
    /// Closed, by the merchant or by time.
    Closed,
}

impl TradeState {
    /// WeChat's constant.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotPay => "NOTPAY",
            Self::Success => "SUCCESS",
            Self::Refund => "REFUND",
            Self::Closed => "CLOSED",
        }
    }

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::NotPay => "订单未支付",
            Self::Success => "支付成功",
            Self::Refund => "订单发生过退款，退款详情请查询退款单",
            Self::Closed => "订单已关闭",
        }
    }
}

/// The state of a refund as WeChat names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundStatus {
    /// Accepted, under way.
    Processing,
    /// Arrived.
    Success,
    /// Nothing was paid back, and nothing will be.
    Closed,
    /// It could not be paid out.
    Abnormal,
}

impl RefundStatus {
    /// WeChat's constant.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Closed => "CLOSED",
            Self::Abnormal => "ABNORMAL",
        }
    }
}

/// A `prepay_id` lives two hours, and so long the same question gets the same one.
pub(crate) const PREPAY_LIFE: SignedDuration = SignedDuration::from_hours(2);
const LIFE_WITHOUT_EXPIRY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// After `time_expire` the order stays `NOTPAY` for a while before WeChat closes it.
const CLOSED_AFTER_EXPIRY: SignedDuration = SignedDuration::from_mins(10);

/// The buyer's payment of an order.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    pub(crate) transaction_id: String,
    pub(crate) at: Timestamp,
    pub(crate) payer_total: i64,
    pub(crate) openid: String,
    pub(crate) bank_type: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) out_trade_no: String,
    pub(crate) channel: Channel,
    pub(crate) params: Value,
    pub(crate) appid: String,
    pub(crate) total: i64,
    pub(crate) notify_url: String,
    pub(crate) attach: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) prepay_id: String,
    pub(crate) prepay_made: Timestamp,
    pub(crate) closed: bool,
    pub(crate) paid: Option<Paid>,
    pub(crate) refunds: Vec<String>,
}

impl Order {
    pub(crate) fn state(&self, now: Timestamp) -> TradeState {
        let closed_by_time = match self.expires {
            Some(expires) => expires + CLOSED_AFTER_EXPIRY,
            None => self.created + LIFE_WITHOUT_EXPIRY,
        };
        match &self.paid {
            Some(_) if self.refunds.is_empty() => TradeState::Success,
            Some(_) => TradeState::Refund,
            None if self.closed || now >= closed_by_time => TradeState::Closed,
            None => TradeState::NotPay,
        }
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    pub(crate) fn prepay_is_alive(&self, now: Timestamp) -> bool {
        now < self.prepay_made + self.channel.prepay_life()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Refund {
    pub(crate) out_refund_no: String,
    pub(crate) id: String,
    pub(crate) out_trade_no: String,
    pub(crate) transaction_id: String,
    pub(crate) params: Value,
    pub(crate) amount: i64,
    pub(crate) total: i64,
    pub(crate) payer_total: i64,
    pub(crate) notify_url: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) status: RefundStatus,
    pub(crate) arrived: Option<Timestamp>,
}

impl Refund {
    /// The buyer's part of the refund: in proportion to what the buyer paid.
    pub(crate) fn payer_refund(&self) -> i64 {
        let share = i128::from(self.amount) * i128::from(self.payer_total) / i128::from(self.total.max(1));
        i64::try_from(share).unwrap_or(self.amount)
    }
}

/// Orders, refunds and transfers by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) refunds: BTreeMap<String, Refund>,
    pub(crate) by_transaction: BTreeMap<String, String>,
    /// What the merchant has for refunds; without it there is always enough.
    pub(crate) balance: Option<i64>,
    pub(crate) refund_gap: Duration,
    pub(crate) transfers: BTreeMap<String, Transfer>,
    pub(crate) by_transfer_bill: BTreeMap<String, String>,
    /// What the merchant has for transfers, on an account of its own; without it there is always enough.
    pub(crate) transfer_balance: Option<i64>,
    pub(crate) transfer_start: TransferStart,
}

impl Books {
    pub(crate) fn by_transaction(&self, transaction_id: &str) -> Option<&Order> {
        self.orders.get(self.by_transaction.get(transaction_id)?)
    }

    /// The refunds of an order that went out or may still go out.
    pub(crate) fn reserved(&self, order: &Order) -> i64 {
        let of_order = order.refunds.iter().filter_map(|number| self.refunds.get(number));
        of_order
            .filter(|refund| refund.status != RefundStatus::Closed)
            .map(|refund| refund.amount)
            .sum()
    }
}

/// One order, for a test to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderView {
    /// The merchant's number.
    pub out_trade_no: String,
    /// The channel of the prepay request.
    pub channel: Channel,
    /// The app that ordered.
    pub appid: String,
    /// The amount in fen.
    pub total: i64,
    /// The state now.
    pub state: TradeState,
    /// The prepay id given last.
    pub prepay_id: String,
    /// Where the payment is announced.
    pub notify_url: String,
    /// WeChat's number, once paid.
    pub transaction_id: Option<String>,
    /// What the buyer paid after coupons, once paid.
    pub payer_total: Option<i64>,
    /// Who paid, or for `JSAPI` who is to pay.
    pub openid: Option<String>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// The numbers of its refunds, oldest first.
    pub refunds: Vec<String>,
    /// The body of the prepay request.
    pub params: Value,
}

impl OrderView {
    pub(crate) fn of(order: &Order, now: Timestamp) -> Self {
        let paid = order.paid.as_ref();
        let asked = super::schema::optional_text(&order.params, "/payer/openid");
        Self {
            out_trade_no: order.out_trade_no.clone(),
            channel: order.channel,
            appid: order.appid.clone(),
            total: order.total,
            state: order.state(now),
            prepay_id: order.prepay_id.clone(),
            notify_url: order.notify_url.clone(),
            transaction_id: paid.map(|paid| paid.transaction_id.clone()),
            payer_total: paid.map(|paid| paid.payer_total),
            openid: paid.map(|paid| paid.openid.clone()).or(asked),
            paid_at: paid.map(|paid| paid.at),
            refunds: order.refunds.clone(),
            params: order.params.clone(),
        }
    }
}

/// One refund, for a test to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct RefundView {
    /// The merchant's number.
    pub out_refund_no: String,
    /// WeChat's number.
    pub refund_id: String,
    /// The order.
    pub out_trade_no: String,
    /// WeChat's number of the order.
    pub transaction_id: String,
    /// The amount in fen.
    pub refund: i64,
    /// The total of the order in fen.
    pub total: i64,
    /// The state now.
    pub status: RefundStatus,
    /// Where its end is announced.
    pub notify_url: Option<String>,
    /// The body of the request.
    pub params: Value,
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        Self {
            out_refund_no: refund.out_refund_no.clone(),
            refund_id: refund.id.clone(),
            out_trade_no: refund.out_trade_no.clone(),
            transaction_id: refund.transaction_id.clone(),
            refund: refund.amount,
            total: refund.total,
            status: refund.status,
            notify_url: refund.notify_url.clone(),
            params: refund.params.clone(),
        }
    }
}
