//! What a bill has lines of, as the books have it.
//!
//! The wording of the fund flow, and a fee that comes back with a refund as a negative one, are seen in the field and not documented.

use jiff::civil::{Date, time};
use jiff::{Timestamp, tz};

use crate::sandbox::wechat::books::{Books, Order, Paid, Refund, RefundStatus};
use crate::sandbox::wechat::schema::text;
use crate::sandbox::wechat::transfers::{Transfer, TransferState};

/// Six in a thousand.
const RATE: &str = "0.60%";
/// What each account held before everything that the books know, in fen.
const OPENING: i64 = 10_000_000_000;

/// The lines of the bills of one day. A test may change any of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BillLines {
    /// Of the trade bill, the oldest first.
    pub trade: Vec<TradeLine>,
    /// Of the fund flow bills of all accounts, the oldest first.
    pub flow: Vec<FlowLine>,
}

/// A payment or a refund. Amounts in fen.
#[derive(Debug, Clone, PartialEq)]
pub struct TradeLine {
    /// When it was paid, or when the refund was applied for.
    pub at: Timestamp,
    /// The app.
    pub appid: String,
    /// The merchant.
    pub mchid: String,
    /// WeChat's number.
    pub transaction_id: String,
    /// The merchant's number.
    pub out_trade_no: String,
    /// Who paid.
    pub openid: String,
    /// For example `MWEB` for H5.
    pub trade_type: String,
    /// `SUCCESS`, `REFUND` or `REVOKED`.
    pub state: String,
    /// The payer's bank.
    pub bank_type: String,
    /// `CNY`.
    pub currency: String,
    /// What is settled.
    pub settled: i64,
    /// What coupons paid.
    pub coupon: i64,
    /// What only a refund has.
    pub refund: Option<RefundLine>,
    /// What was bought.
    pub description: String,
    /// What the merchant attached.
    pub attach: String,
    /// In hundred-thousandths of a yuan.
    pub fee: i64,
    /// For example `0.60%`.
    pub rate: String,
    /// The amount of the order; 0 for a refund.
    pub total: i64,
}

/// A refund within a line. Amounts in fen.
#[derive(Debug, Clone, PartialEq)]
pub struct RefundLine {
    /// WeChat's number.
    pub refund_id: String,
    /// The merchant's number.
    pub out_refund_no: String,
    /// When it was applied for.
    pub applied: Timestamp,
    /// When the money arrived.
    pub arrived: Option<Timestamp>,
    /// What was applied for.
    pub amount: i64,
    /// What is settled of it.
    pub settled: i64,
    /// What goes back as a coupon.
    pub coupon: i64,
    /// `ORIGINAL` or `BALANCE`.
    pub kind: String,
    /// `SUCCESS`, `PROCESSING`, `FAIL` or `CHANGE`.
    pub status: String,
}

/// A movement on an account. Amounts in fen.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowLine {
    /// `BASIC`, `OPERATION` or `FEES`.
    pub account: String,
    /// When it was booked.
    pub at: Timestamp,
    /// WeChat's number of the payment, refund or transfer.
    pub business_no: String,
    /// WeChat's number of the movement.
    pub flow_no: String,
    /// What it is.
    pub name: String,
    /// Of which kind.
    pub kind: String,
    /// Whether the account got it.
    pub is_income: bool,
    /// How much.
    pub amount: i64,
    /// What the account held afterwards.
    pub balance: i64,
    /// Who caused it.
    pub applicant: String,
    /// Text for a person.
    pub remark: String,
    /// A further number.
    pub voucher: String,
}

/// In hundred-thousandths of a yuan.
const fn fee(settled: i64) -> i64 {
    settled * 6
}

/// In fen, as an account can pay it.
const fn whole_fee(settled: i64) -> i64 {
    (fee(settled) + 500) / 1000
}

impl Books {
    /// Everything that happened on this day in China.
    pub(crate) fn lines_of(&self, day: Date, mchid: &str) -> BillLines {
        let on_the_day = |at: Timestamp| tz::offset(8).to_datetime(at).date() == day;
        let mut trade: Vec<TradeLine> = self
            .payments()
            .map(|(order, paid)| payment(order, paid, mchid))
            .collect();
        let of_refunds = self.refunds.values().filter_map(|refund| {
            let order = self.orders.get(&refund.out_trade_no)?;
            Some(refunded(order, order.paid.as_ref()?, refund, day, mchid))
        });
        trade.extend(of_refunds);
        trade.retain(|line| on_the_day(line.at));
        trade.sort_by_key(|line| line.at);
        let mut flow = self.flow();
        flow.retain(|line| on_the_day(line.at));
        BillLines { trade, flow }
    }

    fn payments(&self) -> impl Iterator<Item = (&Order, &Paid)> {
        self.orders
            .values()
            .filter_map(|order| Some((order, order.paid.as_ref()?)))
    }

    /// All movements that there ever were, with what each account held after them.
    fn flow(&self) -> Vec<FlowLine> {
        let mut flow = Vec::new();
        for (order, paid) in self.payments() {
            let (income, fee) = (paid.payer_total, whole_fee(paid.payer_total));
            let movement = Movement::new("BASIC", paid.at, &paid.transaction_id, &order.out_trade_no);
            flow.push(movement.line('1', "交易", true, income));
            flow.push(movement.line('2', "扣除交易手续费", false, fee));
        }
        for refund in self
            .refunds
            .values()
            .filter(|refund| refund.status != RefundStatus::Closed)
        {
            let (back, fee) = (refund.payer_refund(), whole_fee(refund.payer_refund()));
            let movement = Movement::new("BASIC", refund.created, &refund.id, &refund.out_refund_no);
            flow.push(movement.line('3', "退款", false, back));
            flow.push(movement.line('4', "退还交易手续费", true, fee));
        }
        let arrived = |transfer: &&Transfer| transfer.state == TransferState::Success;
        for transfer in self.transfers.values().filter(arrived) {
            let movement = Movement::new("OPERATION", transfer.updated, &transfer.bill_no, &transfer.out_bill_no);
            flow.push(movement.line('5', "商家转账", false, transfer.amount));
        }
        flow.retain(|line| line.amount > 0);
        flow.sort_by(|one, other| (one.at, &one.flow_no).cmp(&(other.at, &other.flow_no)));
        let (mut basic, mut operation) = (OPENING, OPENING);
        for line in &mut flow {
            let balance = if line.account == "BASIC" {
                &mut basic
            } else {
                &mut operation
            };
            *balance += if line.is_income { line.amount } else { -line.amount };
            line.balance = *balance;
        }
        flow
    }
}

/// What the movements of one payment, refund or transfer have in common.
struct Movement<'a> {
    account: &'static str,
    at: Timestamp,
    business_no: &'a str,
    voucher: &'a str,
}

impl<'a> Movement<'a> {
    const fn new(account: &'static str, at: Timestamp, business_no: &'a str, voucher: &'a str) -> Self {
        Self {
            account,
            at,
            business_no,
            voucher,
        }
    }

    /// The balance is known once all movements are in order.
    fn line(&self, number: char, name: &str, is_income: bool, amount: i64) -> FlowLine {
        FlowLine {
            account: self.account.to_owned(),
            at: self.at,
            business_no: self.business_no.to_owned(),
            flow_no: format!("100{number}{}", self.business_no),
            name: name.to_owned(),
            kind: name.to_owned(),
            is_income,
            amount,
            balance: 0,
            applicant: "system".to_owned(),
            remark: String::new(),
            voucher: self.voucher.to_owned(),
        }
    }
}

fn payment(order: &Order, paid: &Paid, mchid: &str) -> TradeLine {
    TradeLine {
        at: paid.at,
        appid: order.appid.clone(),
        mchid: mchid.to_owned(),
        transaction_id: paid.transaction_id.clone(),
        out_trade_no: order.out_trade_no.clone(),
        openid: paid.openid.clone(),
        trade_type: order.channel.trade_type().to_owned(),
        state: "SUCCESS".to_owned(),
        bank_type: paid.bank_type.clone(),
        currency: "CNY".to_owned(),
        settled: paid.payer_total,
        coupon: order.total - paid.payer_total,
        refund: None,
        description: text(&order.params, "/description").to_owned(),
        attach: order.attach.clone().unwrap_or_default(),
        fee: fee(paid.payer_total),
        rate: RATE.to_owned(),
        total: order.total,
    }
}

fn refunded(order: &Order, paid: &Paid, refund: &Refund, day: Date, mchid: &str) -> TradeLine {
    // A bill shows how things stood when it was made, at nine in the morning of the day after, and is never updated.
    let made = day.tomorrow().unwrap_or(day).to_datetime(time(9, 0, 0, 0));
    let made = tz::offset(8).to_timestamp(made).unwrap_or(Timestamp::MAX);
    let arrived = refund.arrived.filter(|arrived| *arrived < made);
    let status = match (refund.status, arrived) {
        (RefundStatus::Success, Some(_)) => "SUCCESS",
        (RefundStatus::Success | RefundStatus::Processing, _) => "PROCESSING",
        (RefundStatus::Closed, _) => "FAIL",
        (RefundStatus::Abnormal, _) => "CHANGE",
    };
    let settled = refund.payer_refund();
    TradeLine {
        at: refund.created,
        state: "REFUND".to_owned(),
        settled: 0,
        coupon: 0,
        fee: -fee(settled),
        total: 0,
        refund: Some(RefundLine {
            refund_id: refund.id.clone(),
            out_refund_no: refund.out_refund_no.clone(),
            applied: refund.created,
            arrived,
            amount: refund.amount,
            settled,
            coupon: 0,
            kind: "ORIGINAL".to_owned(),
            status: status.to_owned(),
        }),
        ..payment(order, paid, mchid)
    }
}
