//! The time of the simulated world.
//!
//! It is the time of the system, moved ahead by as much as a test wants: a prepay id that is two hours old, an order that
//! nobody paid for a week, a token that has run out. Nothing else in the sandbox asks for the time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, tz};
use tokio::{sync::watch, time::sleep};

/// The clock that all the parties share.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<watch::Sender<i64>>,
}

impl Clock {
    /// The present moment of the simulated world.
    pub fn now(&self) -> Timestamp {
        let ms = system_time().as_millisecond().saturating_add(*self.ahead_ms.borrow());
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }

    /// Moves the simulated world ahead. Callbacks that wait for their next attempt do not notice: they wait in real
    /// time, by the scale of `retry_unit`.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.send_modify(|ahead| *ahead = ahead.saturating_add(ms));
    }

    /// Puts the simulated world at this moment, from which it goes on.
    pub fn move_to(&self, at: Timestamp) {
        let ms = at.as_millisecond().saturating_sub(system_time().as_millisecond());
        self.ahead_ms.send_replace(ms);
    }

    /// Waits until it is `at` in the simulated world, whether that comes by itself or by a move.
    pub(crate) async fn reaches(&self, at: Timestamp) {
        let mut moves = self.ahead_ms.subscribe();
        while let Ok(left) = Duration::try_from(at.duration_since(self.now()))
            && !left.is_zero()
        {
            tokio::select! {
                () = sleep(left) => {}
                moved = moves.changed() => debug_assert!(moved.is_ok(), "this clock keeps the sender"),
            }
        }
    }
}

/// RFC 3339 in China time and whole seconds, as WeChat writes it.
pub(crate) fn china_time(at: Timestamp) -> String {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    whole.display_with_offset(tz::offset(8)).to_string()
}

/// The same with milliseconds, as merchant transfers have it.
pub(crate) fn china_time_ms(at: Timestamp) -> String {
    let whole = china_time(at);
    let (date_and_time, offset) = whole.split_once('+').unwrap_or((&whole, ""));
    format!("{date_and_time}.{:03}+{offset}", at.as_millisecond().rem_euclid(1000))
}

/// `20261123150405`: the start of most of WeChat's numbers.
pub(crate) fn china_digits(at: Timestamp) -> String {
    china_time(at).chars().filter(char::is_ascii_digit).take(14).collect()
}

/// China time with milliseconds, for the journal.
pub(crate) fn in_china<S: serde::Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&at.display_with_offset(tz::offset(8)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the sandbox that asks the system for the time"
)]
fn system_time() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wechat_writes_china_time_with_its_offset() {
        let at = Timestamp::from_millisecond(1_795_420_800_123).unwrap();
        assert_eq!(china_time(at), "2026-11-23T16:00:00+08:00");
        assert_eq!(china_digits(at), "20261123160000");
        assert_eq!(china_time_ms(at), "2026-11-23T16:00:00.123+08:00");
        let early = Timestamp::from_millisecond(1_795_420_800_007).unwrap();
        assert_eq!(china_time_ms(early), "2026-11-23T16:00:00.007+08:00");
    }

    #[test]
    fn the_world_goes_on_from_where_it_was_put() {
        let clock = Clock::default();
        let at = Timestamp::from_second(1_554_208_460).unwrap();
        clock.move_to(at);
        assert!(clock.now().duration_since(at).as_secs() < 5);
    }

    #[tokio::test]
    async fn who_waits_for_a_moment_notices_that_the_world_was_moved_to_it() {
        let clock = Clock::default();
        let tomorrow = clock.now() + jiff::SignedDuration::from_hours(24);
        let waits = clock.reaches(tomorrow);
        let moves = async {
            clock.advance(Duration::from_hours(23));
            tokio::task::yield_now().await;
            clock.advance(Duration::from_hours(2));
        };
        tokio::join!(waits, moves);
        assert!(clock.now() >= tomorrow);
    }

    #[test]
    fn a_clone_moves_with_its_original() {
        let clock = Clock::default();
        let other = clock.clone();
        clock.advance(Duration::from_hours(2));
        assert!(other.now().as_second() - system_time().as_second() >= 7199);
    }
}
