//! What the business side is to be told: written in the transaction of its cause, taken by one sender at a time, ended once.
//!
//! Of the events of a stream that wait, one has its turn: a time to be sent at. The next gets its own when that one ended. So a receiver
//! that is down for a day costs one look an attempt, not one an event. Whoever adds, ends or replays holds the stream meanwhile, or an
//! event that is added while the last one ends would get its turn from nobody.

mod operate;

use sqlx::any::AnyRow;

#[cfg(test)]
pub(in crate::store) use self::operate::STUCK;
pub(crate) use self::operate::{Kept, Replay, Those, Wanted, dead, list, replay};
use super::db::{Db, Dialect, Tx};
use super::error::StoreError;
use super::row;
use crate::domain::event::{Delivery, NewEvent};
use crate::domain::ids::new_id;

/// Adds an event at the end of its stream. Whoever moved the state calls this, holding the order's row; `false` means that the fact was
/// told before.
pub(crate) async fn add(tx: &mut Tx, event: &NewEvent, now: i64) -> Result<bool, StoreError> {
    let delivery = if tx.tells() {
        hold(tx, &event.stream).await?;
        Delivery::Waiting
    } else {
        Delivery::Unsent
    };
    let added = sqlx::query(
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at, delivery, deliver_at)
         VALUES ($1, $2, $3, (SELECT COALESCE(MAX(position), 0) + 1 FROM events WHERE stream = $3), $4, $5, $6, $7,
                 CASE WHEN $7 = 'WAITING' AND NOT EXISTS (
                      SELECT 1 FROM events WHERE stream = $3 AND deliver_at IS NOT NULL) THEN $6 END)
         ON CONFLICT (fact) DO NOTHING",
    )
    .bind(new_id())
    .bind(&event.fact)
    .bind(&event.stream)
    .bind(event.kind.as_str())
    .bind(&event.payload)
    .bind(now)
    .bind(delivery.as_str())
    .execute(tx.conn())
    .await?
    .rows_affected()
        == 1;
    if added {
        tx.has_moved(event.kind.as_str());
    }
    if added && delivery == Delivery::Waiting {
        tx.has_told();
    }
    Ok(added)
}

/// Keeps everybody else from moving the events of a stream until the transaction ends: its first one never changes its place, so that is
/// what they all wait for. SQLite has one writer anyway.
async fn hold(tx: &mut Tx, stream: &str) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres {
        sqlx::query("SELECT position FROM events WHERE stream = $1 AND position = 1 FOR NO KEY UPDATE")
            .bind(stream)
            .fetch_optional(tx.conn())
            .await?;
    }
    Ok(())
}

/// An event that was taken to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) event_id: String,
    pub(crate) stream: String,
    pub(crate) kind: String,
    pub(crate) payload: String,
    /// Which attempt this is, from 1; the lease is told by it.
    pub(crate) attempt: i64,
    /// Which one since it was last asked for, from 1; the back-off goes by it.
    pub(crate) turn: i64,
}

/// Which of the events that are due are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    /// Any.
    Due,
    /// Those that nobody has tried to send yet.
    New,
}

macro_rules! claim {
    ($and:literal, $lock:literal) => {
        concat!(
            "UPDATE events SET deliver_at = $2, attempts = attempts + 1
              WHERE deliver_at <= $1 AND event_id IN (
                    SELECT event_id FROM events WHERE deliver_at <= $1",
            $and,
            " ORDER BY deliver_at LIMIT $3",
            $lock,
            ") RETURNING event_id, stream, kind, payload, attempts, attempts_before"
        )
    };
}

/// Takes events that are due until `lease`: whoever dies with one lets it become due again.
pub(crate) async fn claim_due(
    tx: &mut Tx,
    which: Which,
    now: i64,
    lease: i64,
    most: i64,
) -> Result<Vec<Taken>, StoreError> {
    let statement = match (which, tx.dialect()) {
        (Which::Due, Dialect::Sqlite) => claim!("", ""),
        (Which::Due, Dialect::Postgres) => claim!("", " FOR UPDATE SKIP LOCKED"),
        (Which::New, Dialect::Sqlite) => claim!(" AND attempts = 0", ""),
        (Which::New, Dialect::Postgres) => claim!(" AND attempts = 0", " FOR UPDATE SKIP LOCKED"),
    };
    let rows = sqlx::query(statement)
        .bind(now)
        .bind(lease)
        .bind(most)
        .fetch_all(tx.conn())
        .await?;
    rows.iter().map(taken).collect()
}

fn taken(found: &AnyRow) -> Result<Taken, StoreError> {
    let attempt = row::number(found, "attempts")?;
    Ok(Taken {
        event_id: row::text(found, "event_id")?,
        stream: row::text(found, "stream")?,
        kind: row::text(found, "kind")?,
        payload: row::text(found, "payload")?,
        attempt,
        turn: attempt.saturating_sub(row::number(found, "attempts_before")?),
    })
}

/// How an attempt ended. Times in Unix milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) began_at: i64,
    pub(crate) at: i64,
    /// What the receiver answered, if it did.
    pub(crate) status: Option<u16>,
    /// Why it does not count as delivered.
    pub(crate) problem: Option<String>,
    pub(crate) then: Then,
}

/// What becomes of an event after an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    /// It was taken by the receiver.
    Delivered,
    /// It is tried again at that time.
    Again(i64),
    /// Nobody tries any more.
    Dead,
}

/// Writes down how an attempt ended, and lets the stream go on when the event did. `false` when the lease was lost: somebody else has
/// taken the event since, and it is theirs to write.
pub(crate) async fn end(tx: &mut Tx, event: &Taken, ended: &Ended) -> Result<bool, StoreError> {
    let (delivery, deliver_at, ended_at) = match ended.then {
        Then::Delivered => (Delivery::Delivered, None, Some(ended.at)),
        Then::Again(at) => (Delivery::Waiting, Some(at), None),
        Then::Dead => (Delivery::Dead, None, Some(ended.at)),
    };
    hold(tx, &event.stream).await?;
    let moved = sqlx::query(
        "UPDATE events SET delivery = $3, deliver_at = $4, ended_at = $5
          WHERE event_id = $1 AND attempts = $2 AND delivery = 'WAITING'",
    )
    .bind(&event.event_id)
    .bind(event.attempt)
    .bind(delivery.as_str())
    .bind(deliver_at)
    .bind(ended_at)
    .execute(tx.conn())
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO attempts (event_id, attempt, at, took_ms, status, problem) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&event.event_id)
    .bind(event.attempt)
    .bind(ended.began_at)
    .bind(ended.at.saturating_sub(ended.began_at).max(0))
    .bind(ended.status.map(i64::from))
    .bind(&ended.problem)
    .execute(tx.conn())
    .await?;
    if delivery != Delivery::Waiting {
        begin_next(tx, &event.stream, ended.at).await?;
    }
    Ok(true)
}

/// Gives the first event of a stream that waits its turn, once no other one has it.
async fn begin_next(tx: &mut Tx, stream: &str, now: i64) -> Result<(), StoreError> {
    let begun = sqlx::query(
        "UPDATE events SET deliver_at = $2 WHERE event_id = (
                SELECT event_id FROM events WHERE stream = $1 AND delivery = 'WAITING' ORDER BY position LIMIT 1)",
    )
    .bind(stream)
    .bind(now)
    .execute(tx.conn())
    .await?;
    if begun.rows_affected() == 1 {
        tx.has_told();
    }
    Ok(())
}

/// When the next event is due, Unix milliseconds; `None` when nothing waits.
pub(crate) async fn next_due(db: &Db) -> Result<Option<i64>, StoreError> {
    let mut conn = db.read().await?;
    let found = sqlx::query("SELECT deliver_at FROM events WHERE deliver_at IS NOT NULL ORDER BY deliver_at LIMIT 1")
        .fetch_optional(&mut *conn)
        .await?;
    found.as_ref().map(|row| row::number(row, "deliver_at")).transpose()
}

#[cfg(test)]
mod tests;
