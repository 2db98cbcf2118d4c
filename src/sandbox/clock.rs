//! The time of the simulated world.
//!
//! It is the time of the system, moved ahead by as much as a test wants: a prepay id that is two hours old, an order that
//! nobody paid for a week, a token that has run out. Nothing else in the sandbox asks for the time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::Duration;

use jiff::{Timestamp, tz};

/// The clock that all the parties share.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The present moment of the simulated world.
    pub fn now(&self) -> Timestamp {
        let ms = system_time()
            .as_millisecond()
            .saturating_add(self.ahead_ms.load(Ordering::SeqCst));
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }

    /// Moves the simulated world ahead. Callbacks that wait for their next attempt do not notice: they wait in real
    /// time, by the scale of `retry_unit`.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Puts the simulated world at this moment, from which it goes on.
    pub fn move_to(&self, at: Timestamp) {
        let ms = at.as_millisecond().saturating_sub(system_time().as_millisecond());
        self.ahead_ms.store(ms, Ordering::SeqCst);
    }
}

/// RFC 3339 in China time and whole seconds, as WeChat writes it.
pub(crate) fn china_time(at: Timestamp) -> String {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    whole.display_with_offset(tz::offset(8)).to_string()
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
    }

    #[test]
    fn the_world_goes_on_from_where_it_was_put() {
        let clock = Clock::default();
        let at = Timestamp::from_second(1_554_208_460).unwrap();
        clock.move_to(at);
        assert!(clock.now().duration_since(at).as_secs() < 5);
    }

    #[test]
    fn a_clone_moves_with_its_original() {
        let clock = Clock::default();
        let other = clock.clone();
        clock.advance(Duration::from_hours(2));
        assert!(other.now().as_second() - system_time().as_second() >= 7199);
    }
}
