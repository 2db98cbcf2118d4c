//! The rows of a trade bill: payments and refunds.

use super::cells::{Cells, Column, Header, Wrong};
use super::error::Problem;
use super::parse::{Record, Total};
use crate::domain::money::{Fee, Fen};

/// A payment, or an application for a refund, as it stood when the bill was made. Bills are never updated.
///
/// Numbers are texts as they came: other systems of the same merchant are in the same bill, and number by rules of their own. Who paid is
/// left out; nothing is compared with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TradeRow {
    /// Unix milliseconds: when it was paid, or when the refund was applied for.
    pub at_ms: i64,
    /// The app.
    pub app_id: String,
    /// The merchant.
    pub mchid: String,
    /// WeChat's number of the payment.
    pub transaction_id: String,
    /// The merchant's number of the order.
    pub out_trade_no: String,
    /// `JSAPI`, `APP`, `MWEB` (H5), `NATIVE` and others that this service does not use.
    pub trade_type: String,
    /// What this row tells of.
    pub state: TradeState,
    /// `CNY`.
    pub currency: String,
    /// The whole amount of the order: what to compare. Zero in the row of a refund, and absent in the bills of some old merchants.
    pub total: Option<Fen>,
    /// What is settled of it: without the coupons that WeChat does not pay out.
    pub settled: Fen,
    /// The part that coupons paid.
    pub coupon: Fen,
    /// The refund, where the row has the number or the money of one.
    pub refund: Option<RefundPart>,
    /// WeChat's fee.
    pub fee: Fee,
}

/// What a row tells of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TradeState {
    /// A payment.
    Success,
    /// A refund.
    Refund,
    /// A payment at a counter that was taken back.
    Revoked,
    /// Something that is not documented, as it came.
    Other(String),
}

/// What a row says of a refund.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefundPart {
    /// WeChat's number. In the row of a refund it has this one or the next.
    pub refund_id: Option<String>,
    /// The merchant's number; a refund by hand in the merchant platform may have none.
    pub out_refund_no: Option<String>,
    /// What was applied for: what to compare. Absent in the bills of some old merchants.
    pub amount: Option<Fen>,
    /// What is settled of it.
    pub settled: Fen,
    /// The part that goes back as a coupon.
    pub coupon: Fen,
    /// `SUCCESS`, `PROCESSING`, `FAIL`, `CHANGE`: at the time of the bill.
    pub status: String,
    /// Unix milliseconds; only bills of refunds alone have it.
    pub applied_ms: Option<i64>,
    /// The same, once the money has arrived.
    pub arrived_ms: Option<i64>,
}

/// Where the columns of a trade bill stand.
#[derive(Debug)]
pub(crate) struct TradeColumns {
    time: Column,
    app_id: Column,
    mchid: Column,
    transaction_id: Column,
    out_trade_no: Column,
    trade_type: Column,
    state: Column,
    currency: Column,
    settled: Column,
    coupon: Column,
    fee: Column,
    total: Option<Column>,
    refund: Option<RefundColumns>,
}

/// Where the columns of refunds stand; a bill of payments has none.
#[derive(Debug)]
struct RefundColumns {
    refund_id: Column,
    out_refund_no: Column,
    settled: Column,
    coupon: Option<Column>,
    status: Column,
    amount: Option<Column>,
    applied: Option<Column>,
    arrived: Option<Column>,
}

impl RefundColumns {
    fn find(header: &Header) -> Result<Option<Self>, Wrong> {
        let Some(refund_id) = header.optional("微信退款单号")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            refund_id,
            out_refund_no: header.required("商户退款单号")?,
            settled: header.required("退款金额")?,
            coupon: header.optional("充值券退款金额")?,
            status: header.required("退款状态")?,
            amount: header.optional("申请退款金额")?,
            applied: header.optional("退款申请时间")?,
            arrived: header.optional("退款成功时间")?,
        }))
    }

    /// The amounts are read in every row: they are in the summary, and in a row without a refund they are zero.
    fn read(&self, cells: &Cells<'_>) -> Result<RefundPart, Wrong> {
        let zero = Fen::not_negative(0).expect("zero is not negative");
        Ok(RefundPart {
            refund_id: cells.number(Some(self.refund_id)),
            out_refund_no: cells.number(Some(self.out_refund_no)),
            amount: self.amount.map(|column| cells.fen(column)).transpose()?,
            settled: cells.fen(self.settled)?,
            coupon: self.coupon.map_or(Ok(zero), |column| cells.fen(column))?,
            status: cells.owned(self.status),
            applied_ms: cells.optional_time_ms(self.applied)?,
            arrived_ms: cells.optional_time_ms(self.arrived)?,
        })
    }
}

impl RefundPart {
    const fn has_number(&self) -> bool {
        self.refund_id.is_some() || self.out_refund_no.is_some()
    }

    fn has_money(&self) -> bool {
        let amount = self.amount.map_or(0, Fen::get);
        [amount, self.settled.get(), self.coupon.get()]
            .iter()
            .any(|fen| *fen > 0)
    }
}

impl Record for TradeRow {
    type Columns = TradeColumns;
    type Adds = [Option<i128>; 7];

    const TOTALS: &'static [Total] = &[
        Total {
            column: "总交易单数",
            places: 0,
        },
        Total {
            column: "应结订单总金额",
            places: 2,
        },
        Total {
            column: "退款总金额",
            places: 2,
        },
        Total {
            column: "充值券退款总金额",
            places: 2,
        },
        Total {
            column: "手续费总金额",
            places: 5,
        },
        Total {
            column: "订单总金额",
            places: 2,
        },
        Total {
            column: "申请退款总金额",
            places: 2,
        },
    ];

    fn columns(header: &Header) -> Result<TradeColumns, Wrong> {
        Ok(TradeColumns {
            time: header.required("交易时间")?,
            app_id: header.required("公众账号ID")?,
            mchid: header.required("商户号")?,
            transaction_id: header.required("微信订单号")?,
            out_trade_no: header.required("商户订单号")?,
            trade_type: header.required("交易类型")?,
            state: header.required("交易状态")?,
            currency: header.required("货币种类")?,
            settled: header.required("应结订单金额")?,
            coupon: header.required("代金券金额")?,
            fee: header.required("手续费")?,
            total: header.optional("订单金额")?,
            refund: RefundColumns::find(header)?,
        })
    }

    fn read(columns: &TradeColumns, cells: &Cells<'_>) -> Result<(Self, Self::Adds), Wrong> {
        let state = match cells.text(columns.state) {
            "SUCCESS" => TradeState::Success,
            "REFUND" => TradeState::Refund,
            "REVOKED" => TradeState::Revoked,
            other => TradeState::Other(other.to_owned()),
        };
        let part = columns.refund.as_ref().map(|columns| columns.read(cells)).transpose()?;
        // Only of refunds: what a payment that was taken back at a counter has here is not documented.
        if state == TradeState::Refund && !part.as_ref().is_some_and(RefundPart::has_number) {
            return Err(Wrong::at("微信退款单号", Problem::NoRefundNumber));
        }
        let row = Self {
            at_ms: cells.time_ms(columns.time)?,
            app_id: cells.owned(columns.app_id),
            mchid: cells.owned(columns.mchid),
            transaction_id: cells.owned(columns.transaction_id),
            out_trade_no: cells.owned(columns.out_trade_no),
            trade_type: cells.owned(columns.trade_type),
            state,
            currency: cells.owned(columns.currency),
            total: columns.total.map(|column| cells.fen(column)).transpose()?,
            settled: cells.fen(columns.settled)?,
            coupon: cells.fen(columns.coupon)?,
            fee: cells.fee(columns.fee)?,
            refund: None,
        };
        let fen = |fen: Fen| i128::from(fen.get());
        let adds = [
            Some(1),
            Some(fen(row.settled)),
            part.as_ref().map(|part| fen(part.settled)),
            part.as_ref().map(|part| fen(part.coupon)),
            Some(i128::from(row.fee.get())),
            row.total.map(fen),
            part.as_ref().and_then(|part| part.amount).map(fen),
        ];
        let refund = part.filter(|part| part.has_number() || part.has_money());
        Ok((Self { refund, ..row }, adds))
    }
}
