//! Proven facts that callbacks told of; the same fact heard again is counted on the same row.

use super::conn::Conn;
use super::error::StoreError;
use super::row;

/// A callback whose content is proven.
pub(crate) struct Heard<'a> {
    /// The business key of the fact: a payment's transaction id, a refund's id and status.
    pub(crate) fact: String,
    /// The order it belongs to, or the notification's id.
    pub(crate) stream: &'a str,
    pub(crate) event_type: Option<&'a str>,
    pub(crate) notification_id: Option<&'a str>,
    pub(crate) proof: &'static str,
    pub(crate) outcome: &'static str,
    /// The proven content, as JSON.
    pub(crate) resource: &'a str,
}

/// Whether a callback has told of this fact before.
pub(crate) async fn is_known(conn: &mut Conn, fact: &str) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT fact FROM callbacks WHERE fact = $1")
        .bind(&*row::key(fact))
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

/// Keeps it, or counts it when it was heard before.
pub(crate) async fn record(conn: &mut Conn, heard: &Heard<'_>, now: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO callbacks (fact, stream, event_type, notification_id, proof, outcome, resource, first_at, last_at, times)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 1)
         ON CONFLICT (fact) DO UPDATE SET times = callbacks.times + 1, last_at = excluded.last_at",
    )
    .bind(&*row::key(&heard.fact))
    .bind(&*row::key(heard.stream))
    .bind(heard.event_type)
    .bind(heard.notification_id)
    .bind(heard.proof)
    .bind(heard.outcome)
    .bind(heard.resource)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
