//! The rows of a fund flow bill: whatever an account got and gave. Transfers, fees and withdrawals are in no other bill.

use super::cells::{Cells, Column, Header, Wrong};
use super::error::Problem;
use super::parse::{Record, Total};
use crate::domain::money::Fen;

/// One movement on an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FundFlowRow {
    /// Unix milliseconds: when it was booked.
    pub at_ms: i64,
    /// WeChat's number of what it belongs to: a payment, a refund, a transfer.
    pub business_no: String,
    /// WeChat's number of the movement.
    pub flow_no: String,
    /// What it is, in WeChat's words: 业务名称.
    pub name: String,
    /// Of which kind, in WeChat's words: 业务类型.
    pub kind: String,
    /// Which way it went.
    pub direction: Direction,
    /// How much.
    pub amount: Fen,
    /// What the account held afterwards.
    pub balance: Fen,
    /// A further number, for a transfer the merchant's own; `None` where there is none.
    pub voucher: Option<String>,
}

/// Which way money went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Onto the account: 收入.
    Income,
    /// From the account: 支出.
    Expense,
}

/// Where the columns of a fund flow bill stand.
#[derive(Debug)]
pub(crate) struct FundFlowColumns {
    time: Column,
    business_no: Column,
    flow_no: Column,
    name: Column,
    kind: Column,
    direction: Column,
    amount: Column,
    balance: Column,
    voucher: Option<Column>,
}

impl Record for FundFlowRow {
    type Columns = FundFlowColumns;
    type Adds = [Option<i128>; 5];

    const TOTALS: &'static [Total] = &[
        Total {
            column: "资金流水总笔数",
            places: 0,
        },
        Total {
            column: "收入笔数",
            places: 0,
        },
        Total {
            column: "收入金额",
            places: 2,
        },
        Total {
            column: "支出笔数",
            places: 0,
        },
        Total {
            column: "支出金额",
            places: 2,
        },
    ];

    fn columns(header: &Header) -> Result<FundFlowColumns, Wrong> {
        Ok(FundFlowColumns {
            time: header.required("记账时间")?,
            business_no: header.required("微信支付业务单号")?,
            flow_no: header.required("资金流水单号")?,
            name: header.required("业务名称")?,
            kind: header.required("业务类型")?,
            direction: header.required("收支类型")?,
            amount: header.required("收支金额(元)")?,
            balance: header.required("账户结余(元)")?,
            voucher: header.optional("业务凭证号")?,
        })
    }

    fn read(columns: &FundFlowColumns, cells: &Cells<'_>) -> Result<(Self, Self::Adds), Wrong> {
        let direction = match cells.text(columns.direction) {
            "收入" => Direction::Income,
            "支出" => Direction::Expense,
            _ => return Err(Wrong::at("收支类型", Problem::NotDirection)),
        };
        let row = Self {
            at_ms: cells.time_ms(columns.time)?,
            business_no: cells.owned(columns.business_no),
            flow_no: cells.owned(columns.flow_no),
            name: cells.owned(columns.name),
            kind: cells.owned(columns.kind),
            direction,
            amount: cells.fen(columns.amount)?,
            balance: cells.fen(columns.balance)?,
            voucher: cells.number(columns.voucher),
        };
        let (one, fen) = (Some(1), Some(i128::from(row.amount.get())));
        let adds = match direction {
            Direction::Income => [one, one, fen, Some(0), Some(0)],
            Direction::Expense => [one, Some(0), Some(0), one, fen],
        };
        Ok((row, adds))
    }
}
