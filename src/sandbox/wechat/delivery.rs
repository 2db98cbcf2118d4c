//! Sending callbacks until somebody says 2xx, over a network that can be told to misbehave.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::notification::{BY_WECHAT, Notice, probe_signature, signed, signed_by};
use super::weather::Fate;
use super::{Inner, Wechat};
use crate::sandbox::{journal::Party, lock, outbound::CallError, tasks::busy};

/// The waits after each failed attempt, in units of `retry_unit`; with a unit of one second they are WeChat's.
pub const RETRY_SCHEDULE: [u32; 15] = [
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600,
];

/// One attempt to deliver a callback.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// When it was sent.
    pub at: Timestamp,
    /// To which address.
    pub url: String,
    /// The id of the notification.
    pub id: String,
    /// For example `TRANSACTION.SUCCESS`.
    pub event_type: String,
    /// The place of its fact among all that were announced, from 0.
    pub place: usize,
    /// 1 for the first.
    pub attempt: usize,
    /// Whether it was lost on the way.
    pub lost: bool,
    /// Whether it was held up.
    pub late: bool,
    /// Whether it was sent besides, without being due.
    pub copy: bool,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
}

impl Delivery {
    /// Whether this attempt ended the series.
    pub const fn is_acknowledged(&self) -> bool {
        matches!(self.status, Some(200..=299))
    }
}

/// What became of the callbacks so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WeatherReport {
    /// Facts that were announced.
    pub announced: usize,
    /// Attempts, repeats included.
    pub sent: usize,
    /// Of those, never arrived.
    pub lost: usize,
    /// Arrived later than they were meant to.
    pub late: usize,
    /// Sent besides, at once or long after.
    pub repeated: usize,
    /// Taken after one that was announced later.
    pub overtaken: usize,
}

/// What is sent again and again: only the signature is new each time.
#[derive(Debug, Clone)]
struct Parcel {
    place: usize,
    url: String,
    id: String,
    event_type: String,
    body: String,
}

/// How long one that was told to wait for another waits at most, in the simulated world.
const LONGEST_BEHIND: Duration = Duration::from_mins(1);

impl Wechat {
    /// Announces `notice` at `url` until it is acknowledged or the schedule is over.
    pub(super) fn announce(&self, url: &str, notice: &Notice) {
        let parcel = Parcel {
            place: self.inner.announced.fetch_add(1, Ordering::Relaxed),
            url: url.to_owned(),
            id: notice.id.clone(),
            event_type: notice.event_type.clone(),
            body: notice.envelope(&self.inner.keys),
        };
        let wechat = self.clone();
        let id = self.inner.underway.enter();
        self.inner.tasks.spawn(async move {
            wechat.deliver(parcel, id).await;
            wechat.inner.underway.leave(id);
        });
    }

    /// What became of the callbacks so far.
    pub fn weather(&self) -> WeatherReport {
        let deliveries = self.deliveries();
        let count = |is: fn(&Delivery) -> bool| deliveries.iter().filter(|delivery| is(delivery)).count();
        let mut newest = 0;
        let taken = deliveries.iter().filter(|delivery| delivery.is_acknowledged());
        let overtaken = taken.filter(|delivery| {
            let overtaken = delivery.place < newest;
            newest = newest.max(delivery.place);
            overtaken
        });
        WeatherReport {
            announced: self.inner.announced.load(Ordering::Relaxed),
            sent: deliveries.len(),
            lost: count(|delivery| delivery.lost),
            late: count(|delivery| delivery.late),
            repeated: count(|delivery| delivery.copy),
            overtaken: overtaken.count(),
        }
    }

    /// Whether no callback is due at this moment of the simulated world.
    pub fn is_quiet(&self) -> bool {
        self.inner.underway.is_quiet(self.inner.clock.now())
    }

    /// Whether no callback will come any more.
    pub fn is_over(&self) -> bool {
        self.inner.underway.is_over()
    }

    async fn deliver(&self, parcel: Parcel, id: u64) {
        for attempt in 1.. {
            let fate = self.inner.network.next(parcel.place, attempt);
            for _ in 0..fate.copies {
                self.copy(&parcel, attempt, Duration::ZERO);
            }
            if let Some(after) = fate.echo {
                self.copy(&parcel, attempt, after);
            }
            if self.inner.attempt(&parcel, attempt, &fate, id).await {
                return;
            }
            let Some(wait) = RETRY_SCHEDULE.get(attempt - 1) else {
                return;
            };
            if self.inner.network.is_chaotic() {
                self.inner.wait(id, Duration::from_secs(u64::from(*wait))).await;
            } else {
                sleep(self.inner.rules.retry_unit.saturating_mul(*wait)).await;
            }
        }
    }

    /// Sends the same besides, once, after so long in the simulated world.
    fn copy(&self, parcel: &Parcel, attempt: usize, after: Duration) {
        let (wechat, parcel) = (self.clone(), parcel.clone());
        let id = self.inner.underway.enter();
        self.inner.tasks.spawn(async move {
            wechat.inner.wait(id, after).await;
            wechat.inner.send(&parcel, attempt, &Fate::default(), true).await;
            wechat.inner.underway.leave(id);
        });
    }
}

impl Inner {
    /// Waits so long in the simulated world.
    async fn wait(&self, id: u64, by: Duration) {
        if !by.is_zero() {
            self.underway.wait(id, &self.clock, self.clock.now() + by).await;
        }
    }

    /// One attempt; whether it was acknowledged.
    async fn attempt(&self, parcel: &Parcel, attempt: usize, fate: &Fate, id: u64) -> bool {
        if fate.behind {
            self.let_one_pass(id).await;
        }
        self.wait(id, fate.held).await;
        sleep(fate.late).await;
        self.send(parcel, attempt, fate, false).await
    }

    /// Waits until another delivery has ended, for a while at most.
    async fn let_one_pass(&self, id: u64) {
        let mut ended = self.ended.subscribe();
        tokio::select! {
            _ = ended.changed() => {}
            () = self.wait(id, LONGEST_BEHIND) => {}
        }
        self.underway.go_on(id);
    }

    async fn send(&self, parcel: &Parcel, attempt: usize, fate: &Fate, copy: bool) -> bool {
        let what = format!("{} {} attempt {attempt}", parcel.event_type, parcel.url);
        let number = self.journal.sent(Party::Wechat, self.receiver, what);
        let at = self.clock.now();
        let (status, error) = if fate.lost {
            (None, Some("lost on the way".to_owned()))
        } else {
            match self.post(parcel, at, fate.probed, number).await {
                Ok(status) => (Some(status), None),
                Err(error) => (None, Some(error.to_string())),
            }
        };
        self.journal.answered(number, status, error.clone().unwrap_or_default());
        let delivery = Delivery {
            at,
            url: parcel.url.clone(),
            id: parcel.id.clone(),
            event_type: parcel.event_type.clone(),
            place: parcel.place,
            attempt,
            lost: fate.lost,
            late: fate.behind || !fate.held.is_zero() || !fate.late.is_zero(),
            copy,
            status,
            error,
        };
        let acknowledged = delivery.is_acknowledged();
        lock(&self.deliveries).push(delivery);
        self.ended.send_modify(|ended| *ended += 1);
        acknowledged
    }

    async fn post(&self, parcel: &Parcel, at: Timestamp, probed: bool, entry: usize) -> Result<u16, CallError> {
        let (signer, body) = (self.platform.signer_of_callback(), parcel.body.clone());
        let mut notification = busy(move || signed(&signer, body, at)).await;
        let lines = signed_by(&notification.headers, &notification.body);
        self.journal.proven(entry, BY_WECHAT, &lines);
        if probed {
            notification = notification.with_header("Wechatpay-Signature", &probe_signature());
        }
        let time_out = self.rules.callback_time_out;
        let reply = self
            .outbound
            .post(&parcel.url, &notification.headers, notification.bytes(), time_out)
            .await?;
        Ok(reply.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_fifteen_attempts_over_a_day() {
        assert_eq!(RETRY_SCHEDULE.iter().sum::<u32>(), 24 * 3600 + 4 * 60);
    }
}
