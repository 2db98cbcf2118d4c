//! The bills of a day: `/v3/bill/...`, and the file that the answer names.
//!
//! A bill is asked for in two steps. The first answer is signed, and holds the hash of the file and an address that is good for five
//! minutes. The file itself is not signed: it is WeChat's once its hash is the one that was signed, and whole once its own last line
//! agrees with what was counted. Both are known only at its end, and it can be hundreds of megabytes, so its rows go through a bounded
//! channel as they are read, and nobody may believe them before [`BillFile::download`] has said `Ok`.

pub mod error;
pub mod fund_flow;
pub mod trade;

mod cells;
mod download;
pub(crate) mod parse;
pub(crate) mod reader;

use std::marker::PhantomData;

use jiff::civil::Date;
use reqwest::Method;
use serde::Deserialize;
use tokio::sync::mpsc::Sender;
use url::Url;

pub use self::error::{BillError, Difference, Malformed, Problem};
pub use self::fund_flow::{Direction, FundFlowRow};
pub use self::reader::{Hashed, Whole};
pub use self::trade::{RefundPart, TradeRow, TradeState};
use super::client::{Call, Client, Repeat, Said};
use super::error::{Unknown, WechatError};

/// Which rows a trade bill has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TradeBillKind {
    /// Payments of the day and refunds that were applied for on it.
    All,
    /// Payments alone.
    Success,
    /// Refunds alone, with their own times.
    Refund,
}

/// Which account a fund flow bill is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Account {
    /// The basic account: 基本账户.
    Basic,
    /// The operation account, which transfers are paid from: 运营账户.
    Operation,
    /// The account for fees: 手续费账户.
    Fees,
}

/// How the file is wanted. What comes is recognised by its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packing {
    /// As text.
    Plain,
    /// As a gzip file: a twentieth of the size.
    Gzip,
}

/// What becomes of the application for a bill.
#[derive(Debug)]
pub enum Applied<R> {
    /// It is there.
    Ready(BillFile<R>),
    /// WeChat says, with its signature, that nothing happened on that day. Final.
    Empty,
    /// It is still being made: again in half an hour, and not before ten in the morning, Beijing time, of the day after.
    NotYet,
}

/// A file that is ready, for five minutes.
#[derive(Debug)]
pub struct BillFile<R> {
    /// SHA-1 in lower-case hexadecimal digits.
    hash: String,
    url: Url,
    rows: PhantomData<fn() -> R>,
}

/// Applies for the trade bill of a day in China.
///
/// # Errors
/// When there is no answer that could be used. Asking again is harmless.
pub async fn trade_bill(
    client: &Client,
    day: Date,
    kind: TradeBillKind,
    packing: Packing,
) -> Result<Applied<TradeRow>, BillError> {
    let kind = match kind {
        TradeBillKind::All => "ALL",
        TradeBillKind::Success => "SUCCESS",
        TradeBillKind::Refund => "REFUND",
    };
    let target = format!("/v3/bill/tradebill?bill_date={day}&bill_type={kind}{}", suffix(packing));
    apply(client, target).await
}

/// Applies for the fund flow bill of a day in China.
///
/// # Errors
/// When there is no answer that could be used. Asking again is harmless.
pub async fn fund_flow_bill(
    client: &Client,
    day: Date,
    account: Account,
    packing: Packing,
) -> Result<Applied<FundFlowRow>, BillError> {
    let account = match account {
        Account::Basic => "BASIC",
        Account::Operation => "OPERATION",
        Account::Fees => "FEES",
    };
    let target = format!(
        "/v3/bill/fundflowbill?bill_date={day}&account_type={account}{}",
        suffix(packing)
    );
    apply(client, target).await
}

const fn suffix(packing: Packing) -> &'static str {
    match packing {
        Packing::Plain => "",
        Packing::Gzip => "&tar_type=GZIP",
    }
}

impl BillFile<TradeRow> {
    /// Downloads the bill and sends its rows to `rows` as they are read; the sender goes with the last of them.
    ///
    /// # Errors
    /// Unless the file has the hash that WeChat has signed, and its summary agrees with its rows. Then nothing of it may be believed.
    pub async fn download(&self, client: &Client, rows: Sender<TradeRow>) -> Result<Whole, BillError> {
        download::download(client, self, rows, download::STALL).await
    }
}

impl BillFile<FundFlowRow> {
    /// Downloads the bill and sends its rows to `rows` as they are read; the sender goes with the last of them.
    ///
    /// # Errors
    /// Unless the file has the hash that WeChat has signed, and its summary agrees with its rows. Then nothing of it may be believed.
    pub async fn download(&self, client: &Client, rows: Sender<FundFlowRow>) -> Result<Whole, BillError> {
        download::download(client, self, rows, download::STALL).await
    }
}

#[derive(Deserialize)]
struct Offered {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

async fn apply<R>(client: &Client, target: String) -> Result<Applied<R>, BillError> {
    let call = Call {
        method: Method::GET,
        target,
        body: "",
        repeat: Repeat::Harmless,
        serial: None,
    };
    let answer = match client.call(&call).await {
        Ok(answer) => answer,
        // An empty day is final, and so is taken from a signed word alone.
        Err(WechatError::Refused(refusal)) if refusal.proven && refusal.is("NO_STATEMENT_EXIST") => {
            return Ok(Applied::Empty);
        }
        Err(WechatError::Refused(refusal)) if refusal.is("STATEMENT_CREATING") => return Ok(Applied::NotYet),
        Err(error) => return Err(error.into()),
    };
    let Said { content, .. } = answer.read::<Offered>()?;
    let is_sha1 = content.hash_value.len() == 40 && content.hash_value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unreadable = |why: &str| WechatError::OutcomeUnknown(Unknown::Unreadable(why.to_owned()));
    if !content.hash_type.eq_ignore_ascii_case("SHA1") || !is_sha1 {
        return Err(unreadable("it holds no SHA-1").into());
    }
    let url = Url::parse(&content.download_url).map_err(|_| unreadable("it holds no address"))?;
    Ok(Applied::Ready(BillFile {
        hash: content.hash_value.to_ascii_lowercase(),
        url,
        rows: PhantomData,
    }))
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
