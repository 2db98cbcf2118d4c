//! The time, as an argument: the system's, or one that a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Where the time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock; run NTP, WeChat allows 5 minutes.
    #[default]
    System,
    /// The system's clock and so many milliseconds more; a test moves it.
    Shifted(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that a test can move.
    pub fn movable() -> Self {
        Self::Shifted(Arc::new(AtomicI64::new(0)))
    }

    /// Moves a movable clock forward (or back); the system's stays where it is.
    pub fn advance(&self, by_ms: i64) {
        if let Self::Shifted(shift) = self {
            shift.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Shifted(shift) => {
                let by = jiff::SignedDuration::from_millis(shift.load(Ordering::Relaxed));
                Timestamp::now().saturating_add(by).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Now, in Unix milliseconds, as the store keeps times.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}
