//! The text of a bill, letter by letter as WeChat writes it: no quotes, a backtick before every cell of a row, and yuan.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

use super::lines::{BillLines, FlowLine, TradeLine};
use crate::sandbox::clock::china_time;

const BOM: &str = "\u{feff}";

const START: [&str; 14] = [
    "交易时间",
    "公众账号ID",
    "商户号",
    "特约商户号",
    "设备号",
    "微信订单号",
    "商户订单号",
    "用户标识",
    "交易类型",
    "交易状态",
    "付款银行",
    "货币种类",
    "应结订单金额",
    "代金券金额",
];
const TIMES: [&str; 2] = ["退款申请时间", "退款成功时间"];
const REFUND: [&str; 6] = [
    "微信退款单号",
    "商户退款单号",
    "退款金额",
    "充值券退款金额",
    "退款类型",
    "退款状态",
];
const GOODS: [&str; 5] = ["商品名称", "商户数据包", "手续费", "费率", "订单金额"];
const APPLIED: &str = "申请退款金额";
const NOTE: &str = "费率备注";

const FLOW: [&str; 11] = [
    "记账时间",
    "微信支付业务单号",
    "资金流水单号",
    "业务名称",
    "业务类型",
    "收支类型",
    "收支金额(元)",
    "账户结余(元)",
    "资金变更提交申请人",
    "备注",
    "业务凭证号",
];

/// Which columns a trade bill has, and which lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeColumns {
    /// `ALL`.
    All,
    /// `SUCCESS`.
    Success,
    /// `REFUND`.
    Refund,
}

impl TradeColumns {
    pub(super) fn of(bill_type: &str) -> Self {
        match bill_type {
            "SUCCESS" => Self::Success,
            "REFUND" => Self::Refund,
            _ => Self::All,
        }
    }

    pub(super) fn holds(self, line: &TradeLine) -> bool {
        match self {
            Self::All => true,
            Self::Success => line.refund.is_none(),
            Self::Refund => line.refund.is_some(),
        }
    }

    fn header(self) -> String {
        let mut names = START.to_vec();
        if self == Self::Refund {
            names.extend(TIMES);
        }
        if self != Self::Success {
            names.extend(REFUND);
        }
        names.extend(GOODS);
        if self != Self::Success {
            names.push(APPLIED);
        }
        names.push(NOTE);
        names.join(",")
    }

    fn row(self, line: &TradeLine) -> Vec<String> {
        let mut cells = vec![
            time(line.at),
            line.appid.clone(),
            line.mchid.clone(),
            "0".to_owned(),
            String::new(),
            line.transaction_id.clone(),
            line.out_trade_no.clone(),
            line.openid.clone(),
            line.trade_type.clone(),
            line.state.clone(),
            line.bank_type.clone(),
            line.currency.clone(),
            yuan(line.settled),
            yuan(line.coupon),
        ];
        let refund = line.refund.as_ref();
        if self == Self::Refund {
            cells.push(refund.map(|refund| time(refund.applied)).unwrap_or_default());
            cells.push(refund.and_then(|refund| refund.arrived).map(time).unwrap_or_default());
        }
        if self != Self::Success {
            cells.extend(match refund {
                Some(refund) => [
                    refund.refund_id.clone(),
                    refund.out_refund_no.clone(),
                    yuan(refund.settled),
                    yuan(refund.coupon),
                    refund.kind.clone(),
                    refund.status.clone(),
                ],
                None => ["0", "0", "0.00", "0.00", "", ""].map(str::to_owned),
            });
        }
        cells.extend([
            line.description.clone(),
            line.attach.clone(),
            fee(line.fee),
            line.rate.clone(),
            yuan(line.total),
        ]);
        if self != Self::Success {
            cells.push(yuan(refund.map_or(0, |refund| refund.amount)));
        }
        cells.push(String::new());
        cells
    }

    fn summary(self, lines: &[TradeLine], one_more: u64) -> [String; 2] {
        let sum = |of: fn(&TradeLine) -> i64| lines.iter().map(of).sum::<i64>();
        let of_refunds =
            |of: fn(&super::RefundLine) -> i64| lines.iter().filter_map(|l| l.refund.as_ref()).map(of).sum();
        let mut names = vec!["总交易单数", "应结订单总金额"];
        let mut cells = vec![format!("{}.0", count(lines, one_more)), yuan(sum(|line| line.settled))];
        if self != Self::Success {
            names.extend(["退款总金额", "充值券退款总金额"]);
            cells.extend([yuan(of_refunds(|r| r.settled)), yuan(of_refunds(|r| r.coupon))]);
        }
        names.extend(["手续费总金额", "订单总金额"]);
        cells.extend([fee(sum(|line| line.fee)), yuan(sum(|line| line.total))]);
        if self != Self::Success {
            names.push("申请退款总金额");
            cells.push(yuan(of_refunds(|r| r.amount)));
        }
        [names.join(","), joined(&cells)]
    }
}

impl BillLines {
    /// The text of the trade bill with these columns that these lines make.
    pub fn trade_bill(&self, columns: TradeColumns, bom: bool) -> String {
        let lines: Vec<TradeLine> = self.trade.iter().filter(|line| columns.holds(line)).cloned().collect();
        trade_bill(&lines, columns, bom, 0)
    }

    /// The text of the fund flow bill that these lines make, of all accounts.
    pub fn fund_flow_bill(&self, bom: bool) -> String {
        fund_flow_bill(&self.flow, bom, 0)
    }
}

/// The text of a trade bill. Its summary counts so many lines more than there are.
pub(super) fn trade_bill(lines: &[TradeLine], columns: TradeColumns, bom: bool, one_more: u64) -> String {
    let mut all = vec![columns.header()];
    all.extend(lines.iter().map(|line| joined(&columns.row(line))));
    all.extend(columns.summary(lines, one_more));
    text(&all, bom)
}

/// The text of a fund flow bill. Its summary counts so many lines more than there are.
pub(super) fn fund_flow_bill(lines: &[FlowLine], bom: bool, one_more: u64) -> String {
    let mut all = vec![FLOW.join(",")];
    all.extend(lines.iter().map(|line| {
        joined(&[
            time(line.at),
            line.business_no.clone(),
            line.flow_no.clone(),
            line.name.clone(),
            line.kind.clone(),
            if line.is_income { "收入" } else { "支出" }.to_owned(),
            yuan(line.amount),
            yuan(line.balance),
            line.applicant.clone(),
            line.remark.clone(),
            line.voucher.clone(),
        ])
    }));
    let way = |income: bool| lines.iter().filter(move |line| line.is_income == income);
    let (got, given) = (way(true).count(), way(false).count());
    let sum = |income: bool| yuan(way(income).map(|line| line.amount).sum());
    all.push("资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额".to_owned());
    all.push(joined(&[
        count(lines, one_more).to_string(),
        got.to_string(),
        sum(true),
        given.to_string(),
        sum(false),
    ]));
    text(&all, bom)
}

/// The file that is sent to who asked for `GZIP`.
pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    let written = file.write_all(text).and_then(|()| file.finish());
    written.expect("a Vec takes every write")
}

fn count<T>(lines: &[T], one_more: u64) -> u64 {
    u64::try_from(lines.len()).unwrap_or(u64::MAX).saturating_add(one_more)
}

fn text(lines: &[String], bom: bool) -> String {
    let start = if bom { BOM } else { "" };
    format!("{start}{}\r\n", lines.join("\r\n"))
}

/// A comma or the end of a line within a cell would be another cell or another line.
fn joined(cells: &[String]) -> String {
    let plain = |cell: &String| {
        cell.replace(',', "\\ ")
            .replace("\r\n", "\\n")
            .replace(['\n', '\r'], "\\n")
    };
    let cells: Vec<String> = cells.iter().map(|cell| format!("`{}", plain(cell))).collect();
    cells.join(",")
}

/// `2026-11-22 10:00:01`, in China.
fn time(at: Timestamp) -> String {
    china_time(at).replace('T', " ").chars().take(19).collect()
}

fn yuan(fen: i64) -> String {
    let (sign, fen) = (if fen < 0 { "-" } else { "" }, fen.unsigned_abs());
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// Of hundred-thousandths of a yuan.
fn fee(number: i64) -> String {
    let (sign, number) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    format!("{sign}{}.{:05}", number / 100_000, number % 100_000)
}
