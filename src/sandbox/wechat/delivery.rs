//! Sending callbacks until somebody says 2xx, over a network that can be told to misbehave.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::notification::{Notice, probe_signature, signed};
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
    /// 1 for the first.
    pub attempt: usize,
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

/// The weather between WeChat and those who wait for its callbacks.
#[derive(Debug, Default)]
pub(crate) struct Network(Mutex<Weather>);

#[derive(Debug, Default)]
struct Weather {
    lose: u32,
    delay: (u32, Duration),
    copies: u32,
    probe: u32,
}

/// What happens to one attempt.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fate {
    lost: bool,
    late: Duration,
    copies: u32,
    probed: bool,
}

impl Network {
    pub(crate) fn lose(&self, times: u32) {
        lock(&self.0).lose = times;
    }

    pub(crate) fn delay(&self, times: u32, by: Duration) {
        lock(&self.0).delay = (times, by);
    }

    pub(crate) fn duplicate(&self, copies: u32) {
        lock(&self.0).copies = copies;
    }

    pub(crate) fn probe(&self, times: u32) {
        lock(&self.0).probe = times;
    }

    fn next(&self) -> Fate {
        let mut weather = lock(&self.0);
        let mut fate = Fate::default();
        if take_one(&mut weather.lose) {
            fate.lost = true;
            return fate;
        }
        if take_one(&mut weather.delay.0) {
            fate.late = weather.delay.1;
        }
        fate.probed = take_one(&mut weather.probe);
        fate.copies = std::mem::take(&mut weather.copies);
        fate
    }
}

fn take_one(left: &mut u32) -> bool {
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}

/// What is sent again and again: only the signature is new each time.
#[derive(Debug, Clone)]
struct Parcel {
    url: String,
    id: String,
    event_type: String,
    body: String,
}

impl Wechat {
    /// Announces `notice` at `url` until it is acknowledged or the schedule is over.
    pub(super) fn announce(&self, url: &str, notice: &Notice) {
        let parcel = Parcel {
            url: url.to_owned(),
            id: notice.id.clone(),
            event_type: notice.event_type.clone(),
            body: notice.envelope(&self.inner.keys),
        };
        let wechat = self.clone();
        self.inner.tasks.spawn(async move { wechat.deliver(parcel).await });
    }

    async fn deliver(self, parcel: Parcel) {
        for attempt in 1.. {
            let fate = self.inner.network.next();
            for _ in 0..fate.copies {
                let (wechat, parcel) = (self.clone(), parcel.clone());
                self.inner.tasks.spawn(async move {
                    wechat.inner.attempt(&parcel, attempt, &Fate::default()).await;
                });
            }
            if self.inner.attempt(&parcel, attempt, &fate).await {
                return;
            }
            let Some(wait) = RETRY_SCHEDULE.get(attempt - 1) else {
                return;
            };
            sleep(self.inner.rules.retry_unit.saturating_mul(*wait)).await;
        }
    }
}

impl Inner {
    /// One attempt; whether it was acknowledged.
    async fn attempt(&self, parcel: &Parcel, attempt: usize, fate: &Fate) -> bool {
        let what = format!("{} {} attempt {attempt}", parcel.event_type, parcel.url);
        let number = self.journal.sent(Party::Wechat, self.receiver, what);
        sleep(fate.late).await;
        let at = self.clock.now();
        let (status, error) = if fate.lost {
            (None, Some("lost on the way".to_owned()))
        } else {
            match self.post(parcel, at, fate.probed).await {
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
            attempt,
            status,
            error,
        };
        let acknowledged = delivery.is_acknowledged();
        lock(&self.deliveries).push(delivery);
        acknowledged
    }

    async fn post(&self, parcel: &Parcel, at: Timestamp, probed: bool) -> Result<u16, CallError> {
        let (signer, body) = (self.platform.signer_of_callback(), parcel.body.clone());
        let mut notification = busy(move || signed(&signer, body, at)).await;
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

    #[test]
    fn each_trouble_passes_after_as_often_as_it_was_asked_for() {
        let network = Network::default();
        network.lose(1);
        network.delay(1, Duration::from_millis(5));
        network.duplicate(3);
        assert!(network.next().lost);
        let second = network.next();
        assert_eq!((second.late, second.copies), (Duration::from_millis(5), 3));
        assert_eq!(network.next(), Fate::default());
    }
}
