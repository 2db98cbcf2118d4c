//! What is genuine and does not fit: kept once per fact, told once, and resolved once by a person.

use sqlx::any::AnyRow;

use super::db::{Db, Tx};
use super::error::StoreError;
use super::{outbox, row};
use crate::domain::anomaly::{AnomalyKind, NewAnomaly, Note};
use crate::domain::event::{EventKind, NewEvent};

/// Keeps an anomaly, tells of it, and logs it; `false` when the same fact has shown it before.
pub(crate) async fn add(tx: &mut Tx, anomaly: &NewAnomaly, now: i64) -> Result<bool, StoreError> {
    let added = keep(tx, anomaly, now).await?;
    if added {
        let kind = anomaly.kind.as_str();
        tracing::error!(
            anomaly.kind = kind,
            anomaly.subject = anomaly.subject,
            "{kind}: something genuine does not fit and needs a person"
        );
    }
    Ok(added)
}

/// The same for whoever finds many at once and logs them together.
pub(crate) async fn keep(tx: &mut Tx, anomaly: &NewAnomaly, now: i64) -> Result<bool, StoreError> {
    let kind = anomaly.kind.as_str();
    let fact = format!("{kind}/{}", row::key(&anomaly.fact));
    let added = sqlx::query(
        "INSERT INTO anomalies (anomaly_id, fact, kind, subject, detail, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (fact) DO NOTHING",
    )
    .bind(&anomaly.id)
    .bind(&fact)
    .bind(kind)
    .bind(&*row::key(&anomaly.subject))
    .bind(&anomaly.detail)
    .bind(now)
    .execute(tx.conn())
    .await?;
    if added.rows_affected() == 0 {
        return Ok(false);
    }
    // A stream of its own: a person looks at it when there is time, and the order's own events do not wait for that.
    let event = NewEvent {
        kind: EventKind::AnomalyDetected,
        fact: format!("{}/{fact}", EventKind::AnomalyDetected.as_str()),
        stream: format!("anomaly/{}", anomaly.id),
        payload: anomaly.detail.clone(),
    };
    outbox::add(tx, &event, now).await?;
    Ok(true)
}

/// An anomaly as it is kept. Times in Unix milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) anomaly_id: String,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) created_at: i64,
    pub(crate) resolved_at: Option<i64>,
    /// Who resolved it; empty for what was resolved before that was written down.
    pub(crate) resolved_by: Option<String>,
    pub(crate) note: Option<String>,
}

/// Which anomalies, by what became of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    /// Nobody has seen to them yet.
    Open,
    /// Somebody has.
    Resolved,
    /// Either.
    All,
}

/// Which anomalies are listed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) which: Which,
    /// Of one kind, or of any.
    pub(crate) kind: Option<AnomalyKind>,
    /// The last one of the page before.
    pub(crate) after: Option<String>,
    /// The most rows.
    pub(crate) most: i64,
}

macro_rules! listed {
    ($where:literal) => {
        concat!(
            "SELECT anomaly_id, kind, subject, created_at, resolved_at, resolved_by, note FROM anomalies
              WHERE ",
            $where,
            "($1 IS NULL OR kind = $1)
                AND ($2 IS NULL OR (created_at, anomaly_id) < (SELECT created_at, anomaly_id FROM anomalies WHERE anomaly_id = $2))
              ORDER BY created_at DESC, anomaly_id DESC LIMIT $3"
        )
    };
}

/// The anomalies that are wanted, newest first.
pub(crate) async fn list(db: &Db, wanted: &Wanted) -> Result<Vec<Kept>, StoreError> {
    let mut conn = db.read().await?;
    // Texts of their own, because only the first can use the index of the open ones.
    let statement = match wanted.which {
        Which::Open => listed!("resolved_at IS NULL AND "),
        Which::Resolved => listed!("resolved_at IS NOT NULL AND "),
        Which::All => listed!(""),
    };
    let rows = sqlx::query(statement)
        .bind(wanted.kind.map(AnomalyKind::as_str))
        .bind(wanted.after.as_deref().map(row::storable).as_deref())
        .bind(wanted.most)
        .fetch_all(&mut *conn)
        .await?;
    rows.iter().map(kept).collect()
}

/// The most anomalies of one number that are looked at together.
const MOST_OF_A_NUMBER: i64 = 50;

/// The anomaly of that id, or those about that number, whether it is in the books or not; newest first.
pub(crate) async fn about(db: &Db, number: &str) -> Result<Vec<Kept>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query(
        "SELECT anomaly_id, kind, subject, created_at, resolved_at, resolved_by, note FROM anomalies
          WHERE subject = $1 OR anomaly_id = $1 ORDER BY created_at DESC, anomaly_id DESC LIMIT $2",
    )
    .bind(&*row::key(number))
    .bind(MOST_OF_A_NUMBER)
    .fetch_all(&mut *conn)
    .await?;
    rows.iter().map(kept).collect()
}

/// What became of the wish to resolve an anomaly.
#[derive(Clone, Debug)]
pub(crate) enum Resolved {
    /// It is resolved now.
    Now(Kept),
    /// It was before.
    Before(Kept),
    /// There is none of that id.
    Unknown,
}

/// Writes down that a person has seen to an anomaly, who it was, and what they found. Once: the first note stays.
pub(crate) async fn resolve(db: &Db, id: &str, note: &Note, by: &str, now: i64) -> Result<Resolved, StoreError> {
    let id = row::storable(id);
    let mut tx = db.begin().await?;
    let moved = sqlx::query(
        "UPDATE anomalies SET resolved_at = $2, resolved_by = $3, note = $4
          WHERE anomaly_id = $1 AND resolved_at IS NULL",
    )
    .bind(&*id)
    .bind(now)
    .bind(&*row::storable(by))
    .bind(&*row::storable(note.as_str()))
    .execute(tx.conn())
    .await?;
    let found = sqlx::query(
        "SELECT anomaly_id, kind, subject, created_at, resolved_at, resolved_by, note FROM anomalies
          WHERE anomaly_id = $1",
    )
    .bind(&*id)
    .fetch_optional(tx.conn())
    .await?;
    let resolved = match found.as_ref().map(kept).transpose()? {
        None => Resolved::Unknown,
        Some(kept) if moved.rows_affected() == 1 => Resolved::Now(kept),
        Some(kept) => Resolved::Before(kept),
    };
    tx.commit().await?;
    Ok(resolved)
}

fn kept(found: &AnyRow) -> Result<Kept, StoreError> {
    Ok(Kept {
        anomaly_id: row::text(found, "anomaly_id")?,
        kind: row::text(found, "kind")?,
        subject: row::text(found, "subject")?,
        created_at: row::number(found, "created_at")?,
        resolved_at: row::maybe_number(found, "resolved_at")?,
        resolved_by: row::maybe_text(found, "resolved_by")?,
        note: row::maybe_text(found, "note")?,
    })
}
