//! What an operator sees of the events, and has told anew.

use sqlx::any::AnyRow;

use super::super::db::Db;
use super::super::error::StoreError;
use super::super::row;
use crate::domain::event::Delivery;

/// An event as it is kept. Times in Unix milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) event_id: String,
    pub(crate) kind: String,
    pub(crate) stream: String,
    pub(crate) delivery: Delivery,
    pub(crate) attempts: i64,
    pub(crate) created_at: i64,
    pub(crate) deliver_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    /// Why the last attempt that ended did not count.
    pub(crate) problem: Option<String>,
}

/// Which events, by what became of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Those {
    /// All that wait or are dead.
    Unheard,
    /// The same without those that wait for an earlier one of their stream: what somebody can do something about.
    Stuck,
    /// Those in one state.
    In(Delivery),
}

/// Which events are listed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) those: Those,
    /// The last one of the page before.
    pub(crate) after: Option<String>,
    /// The most rows.
    pub(crate) most: i64,
}

macro_rules! listed {
    ($where:literal) => {
        concat!(
            "SELECT event_id, kind, stream, delivery, attempts, created_at, deliver_at, ended_at,
                    (SELECT a.problem FROM attempts a WHERE a.event_id = e.event_id ORDER BY a.attempt DESC LIMIT 1) AS problem
               FROM events e
              WHERE ",
            $where,
            " AND ($1 IS NULL OR (created_at, event_id) < (SELECT created_at, event_id FROM events WHERE event_id = $1))
              ORDER BY created_at DESC, event_id DESC LIMIT $2"
        )
    };
}

/// The statement of [`Those::Stuck`].
pub(in crate::store) const STUCK: &str = listed!(
    "event_id IN (SELECT event_id FROM events WHERE deliver_at IS NOT NULL
                  UNION ALL
                  SELECT event_id FROM events WHERE delivery = 'DEAD')"
);

/// The events that are wanted, newest first.
///
/// To those that are stuck lead the indexes of what is due and of what is dead. No index leads to the others, because every order would
/// pay for it: the table is read through.
pub(crate) async fn list(db: &Db, wanted: &Wanted) -> Result<Vec<Kept>, StoreError> {
    let mut conn = db.read().await?;
    let (statement, state) = match wanted.those {
        Those::Unheard => (listed!("delivery IN ('WAITING', 'DEAD')"), None),
        Those::Stuck => (STUCK, None),
        Those::In(state) => (listed!("delivery = $3"), Some(state)),
    };
    let mut query = sqlx::query(statement)
        .bind(wanted.after.as_deref().map(row::storable).as_deref())
        .bind(wanted.most);
    if let Some(state) = state {
        query = query.bind(state.as_str());
    }
    let rows = query.fetch_all(&mut *conn).await?;
    rows.iter().map(kept).collect()
}

fn kept(found: &AnyRow) -> Result<Kept, StoreError> {
    let event_id = row::text(found, "event_id")?;
    let delivery = Delivery::parse(&row::text(found, "delivery")?);
    Ok(Kept {
        delivery: row::read(delivery, "events", "delivery", &event_id)?,
        event_id,
        kind: row::text(found, "kind")?,
        stream: row::text(found, "stream")?,
        attempts: row::number(found, "attempts")?,
        created_at: row::number(found, "created_at")?,
        deliver_at: row::maybe_number(found, "deliver_at")?,
        ended_at: row::maybe_number(found, "ended_at")?,
        problem: row::maybe_text(found, "problem")?,
    })
}

/// The dead events, in the order in which they are to be told.
pub(crate) async fn dead(db: &Db) -> Result<Vec<String>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query("SELECT event_id FROM events WHERE delivery = 'DEAD' ORDER BY created_at, stream, position")
        .fetch_all(&mut *conn)
        .await?;
    rows.iter().map(|found| row::text(found, "event_id")).collect()
}

/// What became of the wish to tell an event anew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Replay {
    /// It waits to be told, with a whole day of attempts before it; it is of this stream.
    Waits(String),
    /// It is being sent just now.
    UnderWay,
    /// It was sent since whoever wishes this looked at it.
    SentSince,
    /// There is none of that id.
    Unknown,
}

/// Lets an event be told anew, whatever became of it before. It keeps its id, so that the receiver knows it. It goes before the later
/// ones of its stream that wait, unless one of them is being sent, and not before the earlier ones.
///
/// `seen` is how many attempts there had been when it was looked at: whoever wishes it by the same look again, by a page that was sent
/// twice, has nothing sent twice. `None` is whatever happened since.
pub(crate) async fn replay(db: &Db, event_id: &str, seen: Option<i64>, now: i64) -> Result<Replay, StoreError> {
    let event_id = &*row::storable(event_id);
    let mut tx = db.begin().await?;
    let Some(found) = sqlx::query("SELECT stream, position FROM events WHERE event_id = $1")
        .bind(event_id)
        .fetch_optional(tx.conn())
        .await?
    else {
        return Ok(Replay::Unknown);
    };
    let stream = row::text(&found, "stream")?;
    super::hold(&mut tx, &stream).await?;
    // An event is being sent exactly if its last attempt has not ended.
    sqlx::query(
        "UPDATE events SET deliver_at = NULL
          WHERE stream = $1 AND deliver_at IS NOT NULL AND position > $2 AND (attempts = 0 OR EXISTS (
                SELECT 1 FROM attempts a WHERE a.event_id = events.event_id AND a.attempt = events.attempts))",
    )
    .bind(&stream)
    .bind(row::number(&found, "position")?)
    .execute(tx.conn())
    .await?;
    let moved = sqlx::query(
        "UPDATE events SET delivery = 'WAITING', attempts_before = attempts, ended_at = NULL,
                deliver_at = CASE WHEN NOT EXISTS (
                    SELECT 1 FROM events o
                     WHERE o.stream = events.stream AND o.deliver_at IS NOT NULL AND o.event_id <> events.event_id) THEN $2 END
          WHERE event_id = $1 AND ($3 IS NULL OR attempts = $3) AND (delivery <> 'WAITING' OR attempts = 0 OR EXISTS (
                SELECT 1 FROM attempts a WHERE a.event_id = events.event_id AND a.attempt = events.attempts))",
    )
    .bind(event_id)
    .bind(now)
    .bind(seen)
    .execute(tx.conn())
    .await?;
    if moved.rows_affected() == 0 {
        let attempts = sqlx::query("SELECT attempts FROM events WHERE event_id = $1")
            .bind(event_id)
            .fetch_one(tx.conn())
            .await?;
        let attempts = row::number(&attempts, "attempts")?;
        // Rolled back with the turn that a later one gave away.
        return Ok(match seen {
            Some(seen) if seen != attempts => Replay::SentSince,
            Some(_) | None => Replay::UnderWay,
        });
    }
    tx.has_told();
    tx.commit().await?;
    Ok(Replay::Waits(stream))
}
