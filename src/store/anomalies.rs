//! What is genuine and does not fit: kept once per fact, and told once.

use sqlx::AnyConnection;

use super::error::StoreError;
use super::{outbox, row};
use crate::domain::anomaly::NewAnomaly;
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::ids::new_id;

/// Keeps an anomaly and tells of it; `false` when the same fact has shown it before.
pub(crate) async fn add(conn: &mut AnyConnection, anomaly: &NewAnomaly, now: i64) -> Result<bool, StoreError> {
    let id = new_id();
    let kind = anomaly.kind.as_str();
    let fact = format!("{kind}/{}", row::key(&anomaly.fact));
    let added = sqlx::query(
        "INSERT INTO anomalies (anomaly_id, fact, kind, subject, detail, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (fact) DO NOTHING",
    )
    .bind(&id)
    .bind(&fact)
    .bind(kind)
    .bind(&*row::key(&anomaly.subject))
    .bind(&anomaly.detail)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    if added.rows_affected() == 0 {
        return Ok(false);
    }
    // A stream of its own: a person looks at it when there is time, and the order's own events do not wait for that.
    let event = NewEvent {
        kind: EventKind::AnomalyDetected,
        fact: format!("{}/{fact}", EventKind::AnomalyDetected.as_str()),
        stream: format!("anomaly/{id}"),
        payload: anomaly.detail.clone(),
    };
    outbox::add(conn, &event, now).await?;
    tracing::error!(
        anomaly.kind = kind,
        anomaly.subject = anomaly.subject,
        "{kind}: something genuine does not fit and needs a person"
    );
    Ok(true)
}
