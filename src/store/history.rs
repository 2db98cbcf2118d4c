//! A few short looks at the books, for those who check them.

use super::db::Db;
use super::error::StoreError;
use super::row;
use crate::domain::event::transfer_stream;
use crate::domain::ids::{OutBillNo, OutTradeNo};

/// The events of an order, in the order in which they are told.
pub async fn events_of(db: &Db, number: &OutTradeNo) -> Result<Vec<String>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query("SELECT kind FROM events WHERE stream = $1 ORDER BY position")
        .bind(number.as_str())
        .fetch_all(&mut *conn)
        .await?;
    rows.iter().map(|found| row::text(found, "kind")).collect()
}

/// The events of a transfer, in the order in which they are told.
pub async fn events_of_transfer(db: &Db, number: &OutBillNo) -> Result<Vec<String>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query("SELECT kind FROM events WHERE stream = $1 ORDER BY position")
        .bind(transfer_stream(number))
        .fetch_all(&mut *conn)
        .await?;
    rows.iter().map(|found| row::text(found, "kind")).collect()
}

/// A transfer's state; `None` when there is none of that number.
pub async fn state_of_transfer(db: &Db, number: &OutBillNo) -> Result<Option<String>, StoreError> {
    let mut conn = db.read().await?;
    let found = sqlx::query("SELECT state FROM transfers WHERE out_bill_no = $1")
        .bind(number.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    found.map(|found| row::text(&found, "state")).transpose()
}

/// Whether there is no order yet.
pub async fn is_new(db: &Db) -> Result<bool, StoreError> {
    let mut conn = db.read().await?;
    let found = sqlx::query("SELECT out_trade_no FROM orders LIMIT 1")
        .fetch_optional(&mut *conn)
        .await?;
    Ok(found.is_none())
}

/// The anomalies of the whole store, as kind and subject, oldest first.
pub async fn anomalies(db: &Db) -> Result<Vec<(String, String)>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query("SELECT kind, subject FROM anomalies ORDER BY created_at, anomaly_id")
        .fetch_all(&mut *conn)
        .await?;
    rows.iter()
        .map(|found| Ok((row::text(found, "kind")?, row::text(found, "subject")?)))
        .collect()
}

/// An order's state, what refunds hold of it, and its total, in fen; `None` when there is none of that number.
pub async fn standing_of(db: &Db, number: &OutTradeNo) -> Result<Option<(String, i64, i64)>, StoreError> {
    let mut conn = db.read().await?;
    let found = sqlx::query("SELECT state, held, total FROM orders WHERE out_trade_no = $1")
        .bind(number.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    found
        .map(|found| {
            Ok((
                row::text(&found, "state")?,
                row::number(&found, "held")?,
                row::number(&found, "total")?,
            ))
        })
        .transpose()
}
