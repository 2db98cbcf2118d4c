//! The two sides against each other, and each difference once more against the books as they are then, before it is written down.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::{self, Sender};

use super::days::Day;
use super::join::{Suspect, join};
use super::spool::{Slip, Spool, Sums};
use super::{Progress, ReconcileError, There, WAITING, repair, spooled};
use crate::app::App;
use crate::domain::anomaly::NewAnomaly;
use crate::domain::event::EventKind;
use crate::domain::ids::new_id;
use crate::domain::reconciliation::{Bill, DifferenceKind, Entry, Subject, judge};
use crate::store::anomalies;
use crate::store::error::StoreError;
use crate::store::reconciliation::{self as books, Difference};
use crate::telemetry;

/// Rows that are read of the books at once.
const PAGE: i64 = 5000;

/// Differences that are looked at again, and written down, at once.
const BATCH: usize = 200;

/// How the differences of a run are told.
pub(super) struct Told<'a> {
    pub(super) run_id: &'a str,
    pub(super) day: Day,
    pub(super) bill: Bill,
    /// Whether a person is to see to them.
    pub(super) are_anomalies: bool,
}

/// Finds and keeps every difference; gives what the books count to the day, and how many differences there are.
pub(super) async fn differences(
    app: &App,
    told: &Told<'_>,
    there: &Arc<There>,
    progress: &Progress,
) -> Result<(Sums, i64), ReconcileError> {
    let subjects: &[Subject] = match told.bill {
        Bill::Trade => {
            repair::date_refunds(app, told.day.span).await?;
            &[Subject::Payment, Subject::Refund]
        }
        Bill::FundFlow => &[Subject::Transfer],
    };
    let read = |slips| read(app, subjects, told.day, slips, progress);
    let (here, ()) = spooled(Spool::empty()?, &there.cut, read, Some).await?;
    let sums = here.sums;
    let (sender, mut suspects) = mpsc::channel(WAITING);
    let (lines, span) = (Arc::clone(there), told.day.span);
    let joining = tokio::task::spawn_blocking(move || join(span, &here, &lines.spool, &sender));
    let mut count = 0;
    let mut batch = Vec::with_capacity(BATCH);
    while suspects.recv_many(&mut batch, BATCH).await > 0 {
        let found = look_again(app, told.day, std::mem::take(&mut batch)).await?;
        count = keep(app, told, count, &found).await?;
    }
    joining
        .await
        .map_err(|error| ReconcileError::Defect(telemetry::ending(&error)))??;
    Ok((sums, count))
}

/// What the books have of the day.
async fn read(
    app: &App,
    subjects: &[Subject],
    day: Day,
    slips: Sender<Slip>,
    progress: &Progress,
) -> Result<(), StoreError> {
    for subject in subjects {
        let mut after = None;
        loop {
            let (entries, next) = books::page(&app.db, *subject, day.span, after, PAGE).await?;
            progress.read(entries.len());
            for entry in entries {
                // Whoever takes them has ended with an error of its own, which says more.
                if slips.send(Slip { entry, ours: true }).await.is_err() {
                    return Ok(());
                }
            }
            match next {
                Some(place) => after = Some(place),
                None => break,
            }
        }
    }
    Ok(())
}

/// What still does not fit by the books as they are now.
async fn look_again(app: &App, day: Day, suspects: Vec<Suspect>) -> Result<Vec<Difference>, StoreError> {
    let mut now: HashMap<(Subject, String), Entry> = HashMap::new();
    for subject in Subject::ALL {
        let numbers = suspects.iter().filter_map(|suspect| {
            let entry = suspect.here.as_ref().or(suspect.there.as_ref())?;
            (entry.subject == subject).then_some(entry.number.as_str())
        });
        let numbers: Vec<&str> = numbers.collect();
        for entry in books::standing(&app.db, subject, &numbers).await? {
            now.insert((subject, entry.number.clone()), entry);
        }
    }
    let mut differences = Vec::new();
    for Suspect { here, there, again } in suspects {
        let Some(Entry { subject, number, .. }) = here.as_ref().or(there.as_ref()) else {
            continue;
        };
        let (subject, number) = (*subject, number.clone());
        let here = now.get(&(subject, number.clone())).cloned();
        let kind = if again {
            Some(DifferenceKind::MissingHere)
        } else {
            judge(day.span, here.as_ref(), there.as_ref())
        };
        differences.extend(kind.map(|kind| Difference {
            kind,
            subject,
            number,
            here,
            there,
        }));
    }
    Ok(differences)
}

/// Writes the differences down in one transaction, each with its anomaly; gives how many there are now.
async fn keep(app: &App, told: &Told<'_>, before: i64, found: &[Difference]) -> Result<i64, StoreError> {
    let now = app.clock.now_ms();
    let mut count = before;
    let mut tx = app.db.begin().await?;
    for difference in found {
        count = count.saturating_add(1);
        books::add(tx.conn(), told.run_id, count, difference).await?;
        if told.are_anomalies {
            anomalies::keep(&mut tx, &anomaly(app, told, difference), now).await?;
        }
    }
    tx.commit().await?;
    Ok(count)
}

/// One per day, number and kind, however often they are compared.
fn anomaly(app: &App, told: &Told<'_>, difference: &Difference) -> NewAnomaly {
    let Difference {
        kind,
        subject,
        number,
        here,
        there,
    } = difference;
    let (kind, subject, date) = (kind.anomaly(), subject.as_str(), told.day.date);
    let id = new_id();
    let detail = serde_json::json!({
        "version": 1,
        "type": EventKind::AnomalyDetected.as_str(),
        "timestamp": app.clock.now().to_string(),
        "data": {
            "anomaly_id": id,
            "kind": kind.as_str(),
            "subject": number,
            "of": subject,
            "bill": told.bill,
            "date": date.to_string(),
            "here": here,
            "there": there,
        },
    });
    NewAnomaly {
        id,
        kind,
        subject: number.clone(),
        fact: format!("{date}/{subject}/{number}"),
        detail: detail.to_string(),
    }
}
