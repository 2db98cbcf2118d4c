//! The business side hears of it: events are sent in order within their stream, many streams at a time, until each was taken or is dead.
//!
//! An event is sent by whoever holds its lease, so never by two at a time; a holder that dies lets it run out, and the event is sent
//! again with the same id. So it arrives at least once, and the receiver tells the repeats by the id.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::outbound::webhook::{Message, Outcome, Sender};
use crate::store::error::StoreError;
use crate::store::outbox::{self, Ended, Taken, Then};

/// Messages under way at a time.
const AT_A_TIME: usize = 16;

/// Longest wait for the receiver; what the specification recommends at most is 30 s, and a receiver should write down and answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds for which a taken event is nobody else's: longer than an attempt may take, its writing down included.
const LEASE_MS: i64 = 20_000;

/// Milliseconds between one attempt and the next. With the jitter, the last is made between 25.9 and 31 hours after the first: a
/// receiver that is down for a day loses nothing.
const PAUSES_MS: [i64; 12] = [
    5_000, 30_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 28_800_000,
    14_400_000,
];

/// Longest time in which nobody looks whether another instance left something to be sent.
const LOOK: Duration = Duration::from_secs(1);

/// What one round of sending did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Delivered {
    /// Attempts that the receiver took.
    pub(crate) taken: usize,
    /// Attempts that it did not.
    pub(crate) refused: usize,
}

/// Sends everything that is due now, and what becomes due by that.
pub(crate) async fn due(app: &App) -> Result<Delivered, StoreError> {
    send_until(app, None).await
}

/// Sends what is due now until `end`, and leaves nothing under way: for a process that is frozen after its answer.
pub(crate) async fn within(app: &App, end: Instant) -> Result<Delivered, StoreError> {
    send_until(app, Some(end)).await
}

async fn send_until(app: &App, end: Option<Instant>) -> Result<Delivered, StoreError> {
    let mut delivered = Delivered::default();
    let Some(sender) = &app.webhooks else {
        return Ok(delivered);
    };
    let mut under_way = JoinSet::new();
    let mut failed = None;
    loop {
        let patience = end.map_or(PATIENCE, |end| {
            PATIENCE.min(end.saturating_duration_since(Instant::now()))
        });
        let free = AT_A_TIME.saturating_sub(under_way.len());
        if failed.is_none() && !patience.is_zero() && !app.tasks.is_closed() && free > 0 {
            match claim(app, free).await {
                Ok(events) => {
                    for event in events {
                        let (app, sender) = (app.clone(), sender.clone());
                        under_way.spawn(async move { attempt(&app, &sender, &event, patience).await });
                    }
                }
                // What is under way is written down first.
                Err(error) => failed = Some(error),
            }
        }
        match under_way.join_next().await {
            None => return failed.map_or(Ok(delivered), Err),
            Some(Ok(Ok(true))) => delivered.taken = delivered.taken.saturating_add(1),
            Some(Ok(Ok(false))) => delivered.refused = delivered.refused.saturating_add(1),
            // Its lease runs out, and it is sent again.
            Some(Ok(Err(error))) => tracing::error!(%error, "what became of a webhook could not be written down"),
            Some(Err(error)) => tracing::error!(%error, "a defect while a webhook was sent"),
        }
    }
}

async fn claim(app: &App, most: usize) -> Result<Vec<Taken>, StoreError> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let events = outbox::claim_due(&mut tx, now, now.saturating_add(LEASE_MS), most).await?;
    tx.commit().await?;
    Ok(events)
}

/// Sends an event once and writes down what became of it; whether the receiver took it.
async fn attempt(app: &App, sender: &Sender, event: &Taken, patience: Duration) -> Result<bool, StoreError> {
    let began = app.clock.now();
    let message = Message {
        id: &event.event_id,
        timestamp: began.as_second(),
        body: &event.payload,
    };
    let outcome = sender.send(message, patience).await;
    let at = app.clock.now_ms();
    let (status, problem, then) = match outcome {
        Outcome::Taken(status) => (Some(status), None, Then::Delivered),
        Outcome::Gone => (Some(410), Some("the receiver is gone".to_owned()), Then::Dead),
        Outcome::Refused(status, pause) => (Some(status), Some(format!("status {status}")), next(event, at, pause)),
        Outcome::NoAnswer(why) => (None, Some(why.to_owned()), next(event, at, None)),
    };
    let ended = Ended {
        began_at: began.as_millisecond(),
        at,
        status,
        problem,
        then,
    };
    let mut tx = app.db.begin().await?;
    let written = outbox::end(&mut tx, event, &ended).await?;
    tx.commit().await?;
    if !written {
        tracing::warn!(
            event.id = event.event_id,
            "the lease of a webhook ran out while it was sent; another sender has it now"
        );
        return Ok(false);
    }
    report(event, &ended);
    Ok(then == Then::Delivered)
}

fn report(event: &Taken, ended: &Ended) {
    let (id, kind, attempt) = (&event.event_id, &event.kind, event.attempt);
    let problem = ended.problem.as_deref().unwrap_or_default();
    match ended.then {
        Then::Delivered => tracing::debug!(event.id = id, event.kind = kind, attempt, "told the business side"),
        Then::Again(at) => tracing::warn!(
            event.id = id,
            event.kind = kind,
            attempt,
            problem,
            again_at_ms = at,
            "the business side did not take a webhook; it is sent again"
        ),
        Then::Dead => tracing::error!(
            event.id = id,
            event.kind = kind,
            attempt,
            problem,
            "the business side did not take a webhook and is not asked any more: `pay-common webhooks replay {id}` once it can"
        ),
    }
}

/// When it is tried again, if it is. What the receiver asks for may make a pause longer, not shorter.
fn next(event: &Taken, now: i64, asked_for: Option<Duration>) -> Then {
    let turn = usize::try_from(event.turn.saturating_sub(1)).unwrap_or(0);
    let Some(pause) = PAUSES_MS.get(turn) else {
        return Then::Dead;
    };
    let asked_for = asked_for.map_or(0, |pause| i64::try_from(pause.as_millis()).unwrap_or(0));
    Then::Again(now.saturating_add(jittered(*pause, event).max(asked_for)))
}

/// Up to a fifth more, by the event's own id: what failed together does not come back together.
fn jittered(pause: i64, event: &Taken) -> i64 {
    let sum = event.event_id.bytes().fold(event.attempt, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(i64::from(byte))
    });
    pause.saturating_add(pause / 1000 * sum.rem_euclid(200))
}

/// Sends what is due, if anything is; how long there will be nothing.
async fn look(app: &App) -> Result<Duration, StoreError> {
    let left = |at: Option<i64>| at.map(|at| at.saturating_sub(app.clock.now_ms()));
    let mut next = left(outbox::next_due(&app.db).await?);
    if next.is_some_and(|left| left <= 0) {
        due(app).await?;
        next = left(outbox::next_due(&app.db).await?);
    }
    // One that is due still is being taken by somebody, or cannot be taken now.
    let pause = next.map(|left| Duration::from_millis(left.max(20).unsigned_abs()));
    Ok(pause.map_or(LOOK, |pause| pause.min(LOOK)))
}

/// Sends what is due, whenever there is something, until `stop`.
pub(crate) async fn dispatch(app: App, stop: CancellationToken) {
    if app.webhooks.is_none() {
        return;
    }
    loop {
        // Looked for first: taking needs the store's writer, and most looks find nothing.
        let pause = match look(&app).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "the webhooks that are due could not be read or written");
                LOOK
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.db.told() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
