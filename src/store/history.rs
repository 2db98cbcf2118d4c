//! The history of one order, out of everything the books hold of it, in time order.

use sqlx::Row as _;

use super::db::Db;
use super::error::StoreError;
use super::row;
use crate::domain::event::transfer_stream;
use crate::domain::ids::{OutBillNo, OutTradeNo};

/// One thing that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// When, in Unix milliseconds.
    pub at: i64,
    /// Where it is kept: `order`, `refund`, `callback`, `event` or `anomaly`.
    pub kind: String,
    /// What happened.
    pub what: String,
}

/// Everything that happened to an order. Empty when there is none of that number.
pub async fn of_order(db: &Db, number: &OutTradeNo) -> Result<Vec<Entry>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query(
        "SELECT created_at AS at, 0 AS rank, 'order' AS kind, 'asked for, ' || CAST(total AS TEXT) || ' fen' AS what
           FROM orders WHERE out_trade_no = $1
         UNION ALL
         SELECT accepted_at, 1, 'order', 'accepted by WeChat Pay: NOTPAY' FROM orders WHERE out_trade_no = $1 AND accepted_at IS NOT NULL
         UNION ALL
         SELECT failed_at, 1, 'order', 'not accepted by WeChat Pay: FAILED' FROM orders WHERE out_trade_no = $1 AND failed_at IS NOT NULL
         UNION ALL
         SELECT close_asked_at, 1, 'order', 'to be closed' FROM orders WHERE out_trade_no = $1 AND close_asked_at IS NOT NULL
         UNION ALL
         SELECT closed_at, 1, 'order', 'closed: CLOSED' FROM orders WHERE out_trade_no = $1 AND closed_at IS NOT NULL
         UNION ALL
         SELECT e.created_at, 1, 'order', 'paid: SUCCESS, ' || o.transaction_id
           FROM orders o JOIN events e ON e.fact = 'order.paid/' || o.out_trade_no WHERE o.out_trade_no = $1
         UNION ALL
         SELECT created_at, 0, 'refund', out_refund_no || ' asked for, ' || CAST(amount AS TEXT) || ' fen' FROM refunds WHERE out_trade_no = $1
         UNION ALL
         SELECT accepted_at, 1, 'refund', out_refund_no || ' accepted by WeChat Pay' FROM refunds WHERE out_trade_no = $1 AND accepted_at IS NOT NULL
         UNION ALL
         SELECT ended_at, 1, 'refund', out_refund_no || ' ended: ' || state FROM refunds WHERE out_trade_no = $1 AND ended_at IS NOT NULL
         UNION ALL
         SELECT first_at, 1, 'callback', fact || ' proven by ' || proof || ', ' || outcome || ', heard ' || CAST(times AS TEXT) || ' times' FROM callbacks WHERE stream = $1
         UNION ALL
         SELECT created_at, 1 + position, 'event', kind FROM events WHERE stream = $1
         UNION ALL
         SELECT created_at, 1, 'anomaly', kind FROM anomalies
          WHERE subject = $1 OR subject IN (SELECT out_refund_no FROM refunds WHERE out_trade_no = $1)
         ORDER BY 1, 2",
    )
    .bind(number.as_str())
    .fetch_all(&mut *conn)
    .await?;
    rows.iter()
        .map(|found| {
            Ok(Entry {
                at: found.try_get("at")?,
                kind: row::text(found, "kind")?,
                what: row::text(found, "what")?,
            })
        })
        .collect()
}

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
