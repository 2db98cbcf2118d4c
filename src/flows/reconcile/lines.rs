//! The lines of a bill as one side of a comparison.

use super::spool::Slip;
use crate::config::Config;
use crate::domain::money::Fen;
use crate::domain::reconciliation::{Entry, Subject};
use crate::wechat::bills::{Direction, FundFlowRow, TradeRow, TradeState};

/// What WeChat calls a transfer in a fund flow, under whichever product it was made.
const TRANSFER: &str = "转账";

/// What else leaves an account, and is in the trade bill.
const NOT_TRANSFERS: [&str; 2] = ["手续费", "退款"];

/// Whose lines are this service's.
pub(super) struct Ours {
    mchid: String,
    app_ids: Vec<String>,
}

impl Ours {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            mchid: config.merchant_id.as_str().to_owned(),
            app_ids: config.apps().map(|app_id| app_id.as_str().to_owned()).collect(),
        }
    }

    /// A line of a trade bill.
    pub(super) fn trade(&self, row: TradeRow) -> Slip {
        let ours = row.mchid == self.mchid && self.app_ids.contains(&row.app_id);
        let state = match row.state {
            TradeState::Refund => {
                return Slip {
                    entry: refund(row),
                    ours,
                };
            }
            TradeState::Success => "SUCCESS".to_owned(),
            TradeState::Revoked => "REVOKED".to_owned(),
            TradeState::Other(other) => other,
        };
        let entry = Entry {
            subject: Subject::Payment,
            number: row.out_trade_no,
            of: None,
            id: Some(row.transaction_id),
            app_id: Some(row.app_id),
            amount: row.total.map(Fen::get),
            currency: row.currency,
            state,
            at_ms: Some(row.at_ms),
        };
        Slip { entry, ours }
    }
}

/// The reader has seen to it that there is a number.
fn refund(row: TradeRow) -> Entry {
    let (out_refund_no, refund_id, amount, state) = match row.refund {
        Some(part) => (
            part.out_refund_no,
            part.refund_id,
            part.amount.map(Fen::get),
            part.status,
        ),
        None => (None, None, None, String::new()),
    };
    Entry {
        subject: Subject::Refund,
        number: out_refund_no.or_else(|| refund_id.clone()).unwrap_or_default(),
        of: Some(row.out_trade_no),
        id: refund_id,
        app_id: None,
        amount,
        currency: row.currency,
        state,
        at_ms: Some(row.at_ms),
    }
}

/// A line of a fund flow, where it may be a transfer. What WeChat does not call one is compared only if the books know its number.
pub(super) fn flow(row: FundFlowRow) -> Option<Slip> {
    let says = |words: &str| row.name.contains(words) || row.kind.contains(words);
    let ours = says(TRANSFER);
    if row.direction != Direction::Expense || NOT_TRANSFERS.into_iter().any(says) {
        return None;
    }
    let entry = Entry {
        subject: Subject::Transfer,
        number: row.business_no,
        of: row.voucher,
        id: None,
        app_id: None,
        amount: Some(row.amount.get()),
        currency: "CNY".to_owned(),
        state: row.name,
        at_ms: Some(row.at_ms),
    };
    Some(Slip { entry, ours })
}
