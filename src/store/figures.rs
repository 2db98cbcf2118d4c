//! What an operator watches: how much waits, and for how long. Each statement reads an index of what is open, not the books.

use sqlx::Row as _;

use super::db::Db;
use super::error::StoreError;

/// How much waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Figures {
    /// Streams of events that wait to be told: orders, refunds and transfers.
    pub(crate) streams: i64,
    /// When the oldest event that has its turn was written, Unix milliseconds.
    pub(crate) oldest_event: Option<i64>,
    /// Events that were given up.
    pub(crate) dead: i64,
    /// Anomalies that nobody has resolved.
    pub(crate) anomalies: i64,
}

/// Reads them.
pub(crate) async fn figures(db: &Db) -> Result<Figures, StoreError> {
    let mut conn = db.read().await?;
    let waiting = sqlx::query("SELECT COUNT(*), MIN(created_at) FROM events WHERE deliver_at IS NOT NULL")
        .fetch_one(&mut *conn)
        .await?;
    let dead = sqlx::query_scalar("SELECT COUNT(*) FROM events WHERE delivery = 'DEAD'")
        .fetch_one(&mut *conn)
        .await?;
    let anomalies = sqlx::query_scalar("SELECT COUNT(*) FROM anomalies WHERE resolved_at IS NULL")
        .fetch_one(&mut *conn)
        .await?;
    Ok(Figures {
        streams: waiting.try_get(0)?,
        oldest_event: waiting.try_get(1)?,
        dead,
        anomalies,
    })
}
