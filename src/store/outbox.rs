//! What the business side is to be told, written in the transaction of its cause.

use sqlx::AnyConnection;

use super::error::StoreError;
use crate::domain::event::NewEvent;
use crate::domain::ids::new_id;

/// Adds an event at the end of its stream. Whoever moved the state calls this, holding the order's row; `false` means that the fact was
/// told before.
pub(crate) async fn add(conn: &mut AnyConnection, event: &NewEvent, now: i64) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at)
         VALUES ($1, $2, $3, (SELECT COALESCE(MAX(position), 0) + 1 FROM events WHERE stream = $3), $4, $5, $6)
         ON CONFLICT (fact) DO NOTHING",
    )
    .bind(new_id())
    .bind(&event.fact)
    .bind(&event.stream)
    .bind(event.kind.as_str())
    .bind(&event.payload)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(added.rows_affected() == 1)
}
