//! The business side hears of it: events are sent in order within their stream, many streams at a time, until each was taken or is dead.
//!
//! An event is sent by whoever holds its lease, so never by two at a time; a holder that dies lets it run out, and the event is sent
//! again with the same id. So it arrives at least once, and the receiver tells the repeats by the id.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::outbound::webhook::{Message, Outcome, Sender};
use crate::store::error::StoreError;
use crate::store::outbox::{self, Ended, Taken, Then, Which};

/// Messages under way at a time.
const AT_A_TIME: usize = 16;

/// Longest wait for the receiver, which should write down what it hears and answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shortest wait that is worth an attempt.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);

/// What writing down the end of an attempt may take of a budget.
const WRITING: Duration = Duration::from_millis(250);

/// Milliseconds for which a taken event is nobody else's: as long as an attempt may take to begin and to end, and as the clocks of two
/// instances may differ. What is written down later than that is refused by the store.
const LEASE_MS: i64 = 30_000;

/// Milliseconds after its taking in which the sending of an event has to begin. A process that was frozen meanwhile wakes up too late.
const BEGIN_MS: i64 = 5_000;

/// Milliseconds between one attempt and the next. With the jitter, the last one is made between 25.9 and 31.1 hours after the first: a
/// receiver that is down for a day loses nothing, and hears of everything within about two hours of its return.
const PAUSES_MS: [i64; 19] = [
    5_000, 30_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 7_200_000, 7_200_000, 7_200_000,
    7_200_000, 7_200_000, 7_200_000, 7_200_000, 7_200_000, 7_200_000, 7_200_000, 7_200_000,
];

/// Longest time in which nobody looks whether another instance left something to be sent.
const LOOK: Duration = Duration::from_secs(1);

/// Pause before one more look at what is due and cannot be taken: somebody else is at it just now.
const IN_OTHER_HANDS: Duration = Duration::from_millis(100);

/// What one round of sending did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Delivered {
    /// Attempts that the receiver took.
    pub taken: usize,
    /// Attempts that it did not.
    pub refused: usize,
}

/// Sends everything that is due now, and what becomes due by that.
pub(crate) async fn due(app: &App) -> Result<Delivered, StoreError> {
    Round::of(app, Which::Due, None).run().await
}

/// The same until `end` at most; leaves nothing under way.
pub(crate) async fn within(app: &App, end: Instant) -> Result<Delivered, StoreError> {
    let end = end.checked_sub(WRITING).unwrap_or(end);
    Round::of(app, Which::Due, Some(end)).run().await
}

/// Sends what was never sent before, for `budget` at most, and leaves nothing under way: for a process that is frozen after its answer.
/// What was sent before has a schedule, and is the tick's.
pub(crate) async fn first_attempts(app: &App, budget: Duration) -> Result<Delivered, StoreError> {
    let end = Instant::now() + budget.saturating_sub(WRITING);
    Round::of(app, Which::New, Some(end)).run().await
}

/// Sends what is due, whenever there is something, until `stop`; then what is under way is written down.
pub(crate) async fn dispatch(app: App, stop: CancellationToken) {
    if app.webhooks.is_none() {
        return;
    }
    let mut round = Round::of(&app, Which::Due, None);
    while !stop.is_cancelled() {
        let pause = round.look().await.unwrap_or_else(|error| {
            tracing::error!(%error, "the webhooks that are due could not be read or written");
            LOOK
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.db.told() => {}
            () = tokio::time::sleep(pause) => {}
            // One that is slow to end holds up its own stream and no other.
            true = round.ended() => {}
        }
    }
    while round.ended().await {}
}

/// Messages that are under way together.
struct Round<'a> {
    app: &'a App,
    which: Which,
    /// When the last one has to have ended.
    end: Option<Instant>,
    under_way: JoinSet<Result<bool, StoreError>>,
    delivered: Delivered,
}

impl<'a> Round<'a> {
    fn of(app: &'a App, which: Which, end: Option<Instant>) -> Self {
        Self {
            app,
            which,
            end,
            under_way: JoinSet::new(),
            delivered: Delivered::default(),
        }
    }

    /// Sends until nothing is left to be taken, or it is time to end.
    async fn run(mut self) -> Result<Delivered, StoreError> {
        loop {
            match self.take().await {
                Ok(0) => {
                    if !self.ended().await {
                        return Ok(self.delivered);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    // What is under way is written down first, if it can be.
                    while self.ended().await {}
                    return Err(error);
                }
            }
        }
    }

    /// Takes what is due into the free places, and begins to send it; how many there were.
    async fn take(&mut self) -> Result<usize, StoreError> {
        let Some(sender) = &self.app.webhooks else { return Ok(0) };
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        let patience = left.map_or(PATIENCE, |left| left.min(PATIENCE));
        let free = AT_A_TIME.saturating_sub(self.under_way.len());
        if free == 0 || patience < LEAST_PATIENCE || self.app.tasks.is_closed() {
            return Ok(0);
        }
        let (events, begin_by) = claim(self.app, self.which, free).await?;
        let taken = events.len();
        for event in events {
            let (app, sender) = (self.app.clone(), Arc::clone(sender));
            self.under_way
                .spawn(async move { attempt(&app, &sender, &event, begin_by, patience).await });
        }
        Ok(taken)
    }

    /// Waits until one of those under way ended; `false` when there is none.
    async fn ended(&mut self) -> bool {
        match self.under_way.join_next().await {
            None => return false,
            Some(Ok(Ok(true))) => self.delivered.taken = self.delivered.taken.saturating_add(1),
            Some(Ok(Ok(false))) => self.delivered.refused = self.delivered.refused.saturating_add(1),
            // Its lease runs out, and it is sent again.
            Some(Ok(Err(error))) => tracing::error!(%error, "what became of a webhook could not be written down"),
            Some(Err(error)) => tracing::error!(
                what = crate::telemetry::ending(&error),
                "a defect while a webhook was sent"
            ),
        }
        true
    }

    /// Begins to send what is due, if anything is; how long there will be nothing more.
    async fn look(&mut self) -> Result<Duration, StoreError> {
        while self.under_way.len() < AT_A_TIME {
            // Looked for first: taking needs the store's writer, and most looks find nothing.
            let Some(at) = outbox::next_due(&self.app.db).await? else {
                return Ok(LOOK);
            };
            let left = at.saturating_sub(self.app.clock.now_ms());
            if left > 0 {
                return Ok(Duration::from_millis(left.unsigned_abs()).min(LOOK));
            }
            if self.take().await? == 0 {
                return Ok(IN_OTHER_HANDS);
            }
        }
        // Until one of them ended.
        Ok(LOOK)
    }
}

/// Takes events for this process, and says by when their sending has to begin.
async fn claim(app: &App, which: Which, most: usize) -> Result<(Vec<Taken>, i64), StoreError> {
    let now = app.clock.now_ms();
    let lease = now.saturating_add(LEASE_MS);
    let mut tx = app.db.begin().await?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let events = outbox::claim_due(&mut tx, which, now, lease, most).await?;
    tx.commit().await?;
    Ok((events, now.saturating_add(BEGIN_MS)))
}

/// Sends an event once and writes down what became of it; whether the receiver took it.
async fn attempt(
    app: &App,
    sender: &Sender,
    event: &Taken,
    begin_by: i64,
    patience: Duration,
) -> Result<bool, StoreError> {
    let began = app.clock.now();
    if began.as_millisecond() > begin_by {
        tracing::warn!(
            event.id = event.event_id,
            "this process slept after it took a webhook; another sender has it now"
        );
        return Ok(false);
    }
    let message = Message {
        id: &event.event_id,
        timestamp: began.as_second(),
        body: &event.payload,
    };
    let outcome = sender.send(message, patience).await;
    app.metrics.delivery(outcome.as_str());
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

#[cfg(test)]
mod tests;
