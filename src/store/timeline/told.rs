//! What orders and transfers have alike: requests, callbacks, events with their deliveries, anomalies.

use super::{Entry, Happened};
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use crate::store::row;

/// What callers asked for.
pub(super) async fn requests(conn: &mut Conn, stream: &str) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT action, subject, who, outcome, first_at, last_at, times FROM requests WHERE stream = $1 ORDER BY first_at",
    )
    .bind(stream)
    .fetch_all(conn)
    .await?;
    let entry = |found| {
        Ok(Entry {
            at_ms: row::number(found, "first_at")?,
            happened: Happened::Request {
                action: row::text(found, "action")?,
                subject: row::text(found, "subject")?,
                who: row::text(found, "who")?,
                outcome: row::text(found, "outcome")?,
                last_at_ms: row::number(found, "last_at")?,
                times: row::number(found, "times")?,
            },
        })
    };
    rows.iter().map(entry).collect()
}

/// What callbacks told.
pub(super) async fn callbacks(conn: &mut Conn, stream: &str) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT fact, event_type, notification_id, proof, outcome, first_at, last_at, times
           FROM callbacks WHERE stream = $1 ORDER BY first_at",
    )
    .bind(stream)
    .fetch_all(conn)
    .await?;
    let entry = |found| {
        Ok(Entry {
            at_ms: row::number(found, "first_at")?,
            happened: Happened::Callback {
                fact: row::text(found, "fact")?,
                event_type: row::maybe_text(found, "event_type")?,
                notification_id: row::maybe_text(found, "notification_id")?,
                proof: row::text(found, "proof")?,
                outcome: row::text(found, "outcome")?,
                last_at_ms: row::number(found, "last_at")?,
                times: row::number(found, "times")?,
            },
        })
    };
    rows.iter().map(entry).collect()
}

/// Whether a callback was the first to tell of a fact that begins like this; else it was known by asking.
pub(super) fn by_callback(callbacks: &[Entry], begins: &str) -> bool {
    callbacks.iter().any(|entry| {
        matches!(&entry.happened, Happened::Callback { fact, outcome, .. }
            if fact.starts_with(begins) && outcome == "applied")
    })
}

/// What the business side is told, and every attempt at it that ended.
pub(super) async fn events(conn: &mut Conn, stream: &str) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT event_id, kind, position, created_at, delivery, attempts, deliver_at, ended_at
           FROM events WHERE stream = $1 ORDER BY position",
    )
    .bind(stream)
    .fetch_all(&mut *conn)
    .await?;
    let event = |found| {
        Ok(Entry {
            at_ms: row::number(found, "created_at")?,
            happened: Happened::Event {
                event_id: row::text(found, "event_id")?,
                name: row::text(found, "kind")?,
                position: row::number(found, "position")?,
                delivery: row::text(found, "delivery")?,
                attempts: row::number(found, "attempts")?,
                deliver_at_ms: row::maybe_number(found, "deliver_at")?,
                ended_at_ms: row::maybe_number(found, "ended_at")?,
            },
        })
    };
    let mut entries: Vec<Entry> = rows.iter().map(event).collect::<Result<_, StoreError>>()?;
    let rows = sqlx::query(
        "SELECT a.event_id, e.kind, a.attempt, a.at, a.took_ms, a.status, a.problem
           FROM events e JOIN attempts a ON a.event_id = e.event_id WHERE e.stream = $1 ORDER BY a.at, a.attempt",
    )
    .bind(stream)
    .fetch_all(conn)
    .await?;
    for found in &rows {
        entries.push(Entry {
            at_ms: row::number(found, "at")?,
            happened: Happened::Attempt {
                event_id: row::text(found, "event_id")?,
                name: row::text(found, "kind")?,
                attempt: row::number(found, "attempt")?,
                status: row::maybe_number(found, "status")?,
                problem: row::maybe_text(found, "problem")?,
                took_ms: row::number(found, "took_ms")?,
            },
        });
    }
    Ok(entries)
}

/// What does not fit about one number, with the events that told of it.
pub(super) async fn anomalies(conn: &mut Conn, subject: &str) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT anomaly_id, kind, subject, created_at, resolved_at, resolved_by, note
           FROM anomalies WHERE subject = $1 ORDER BY created_at",
    )
    .bind(subject)
    .fetch_all(&mut *conn)
    .await?;
    let mut entries = Vec::new();
    for found in &rows {
        let (anomaly_id, name) = (row::text(found, "anomaly_id")?, row::text(found, "kind")?);
        let resolved_at_ms = row::maybe_number(found, "resolved_at")?;
        entries.extend(events(&mut *conn, &format!("anomaly/{anomaly_id}")).await?);
        if let Some(at_ms) = resolved_at_ms {
            entries.push(Entry {
                at_ms,
                happened: Happened::Resolved {
                    anomaly_id: anomaly_id.clone(),
                    name: name.clone(),
                    by: row::maybe_text(found, "resolved_by")?,
                    note: row::maybe_text(found, "note")?,
                },
            });
        }
        entries.push(Entry {
            at_ms: row::number(found, "created_at")?,
            happened: Happened::Anomaly {
                anomaly_id,
                name,
                subject: row::text(found, "subject")?,
                resolved_at_ms,
            },
        });
    }
    Ok(entries)
}
