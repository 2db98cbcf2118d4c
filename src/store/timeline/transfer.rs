//! The history of a transfer.

use serde::Serialize;

use super::{Cause, Entry, Happened, in_order, told};
use crate::domain::event::transfer_stream;
use crate::domain::ids::{OutBillNo, ends};
use crate::domain::money::Fen;
use crate::domain::transfer::TransferState;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::row;

/// How a transfer stands. Times in Unix milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TransferHead {
    pub(crate) out_bill_no: String,
    pub(crate) transfer_bill_no: Option<String>,
    pub(crate) state: String,
    pub(crate) amount_fen: Fen,
    pub(crate) app_id: String,
    /// The ends of the receiver's name.
    pub(crate) openid: String,
    pub(crate) fail_reason: Option<String>,
    pub(crate) created_at_ms: i64,
    pub(crate) ended_at_ms: Option<i64>,
    /// When WeChat is asked about it next.
    pub(crate) ask_at_ms: Option<i64>,
    pub(crate) asked: i64,
}

/// A transfer and all that happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TransferHistory {
    pub(crate) transfer: TransferHead,
    pub(crate) timeline: Vec<Entry>,
}

/// Everything that happened to a transfer; `None` when there is none of that number.
pub(crate) async fn of_transfer(db: &Db, number: &OutBillNo) -> Result<Option<TransferHistory>, StoreError> {
    let mut conn = db.read().await?;
    let found = sqlx::query(
        "SELECT out_bill_no, transfer_bill_no, state, amount, app_id, openid, fail_reason, created_at, accepted_at, ended_at,
                ask_at, asked
           FROM transfers WHERE out_bill_no = $1",
    )
    .bind(number.as_str())
    .fetch_optional(&mut *conn)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let amount = Fen::not_negative(row::number(&found, "amount")?);
    let head = TransferHead {
        out_bill_no: number.as_str().to_owned(),
        transfer_bill_no: row::maybe_text(&found, "transfer_bill_no")?,
        state: row::text(&found, "state")?,
        amount_fen: row::read(amount, "transfers", "amount", number.as_str())?,
        app_id: row::text(&found, "app_id")?,
        openid: ends(&row::text(&found, "openid")?),
        fail_reason: row::maybe_text(&found, "fail_reason")?,
        created_at_ms: row::number(&found, "created_at")?,
        ended_at_ms: row::maybe_number(&found, "ended_at")?,
        ask_at_ms: row::maybe_number(&found, "ask_at")?,
        asked: row::number(&found, "asked")?,
    };
    let stream = transfer_stream(number);
    let callbacks = told::callbacks(&mut conn, &stream).await?;
    let ended = if told::by_callback(&callbacks, "transfer/") {
        Cause::Callback
    } else {
        Cause::Answer
    };
    let mut entries = Vec::new();
    for (column, state, cause) in [
        ("created_at", TransferState::Created.as_str(), Cause::Request),
        ("accepted_at", TransferState::Accepted.as_str(), Cause::Answer),
        ("ended_at", head.state.as_str(), ended),
    ] {
        if let Some(at_ms) = row::maybe_number(&found, column)? {
            let state = state.to_owned();
            let happened = Happened::Transfer { state, cause };
            entries.push(Entry { at_ms, happened });
        }
    }
    entries.extend(callbacks);
    entries.extend(told::requests(&mut conn, &stream).await?);
    entries.extend(told::events(&mut conn, &stream).await?);
    entries.extend(told::anomalies(&mut conn, number.as_str()).await?);
    Ok(Some(TransferHistory {
        transfer: head,
        timeline: in_order(entries),
    }))
}
