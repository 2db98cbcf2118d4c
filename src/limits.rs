//! Who has asked too much, in this process.
//!
//! Rates are counted by a leaky bucket (GCRA) that holds ten seconds' worth, so that a burst passes and a flood does not. Nothing of
//! this guards the books: it guards the merchant's quota at WeChat Pay and this process's memory.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::Limits as Settings;
use crate::domain::caller::Authority;

type Instant = <MonotonicClock as governor::clock::Clock>::Instant;
type Unit = NoOpMiddleware<Instant>;
type OfAll = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, Unit>;
type OfEach = RateLimiter<u64, HashMapStateStore<u64>, MonotonicClock, Unit>;

/// Seconds' worth that may come at once.
const BURST: u32 = 10;

/// Callers remembered before those are forgotten whose bucket is empty again.
const MOST_REMEMBERED: usize = 10_000;

/// Callbacks without a proof that are asked about at a time, of all questions to WeChat: orders have to go on beside a flood of them.
const SHARE_OF_CONFIRMATIONS: usize = 4;

/// Tries a second of somebody who wants to be let into the console, of all together: who asks from where is nobody's to know behind a
/// proxy, and a right key of the usual length is found by nobody's tries. No setting makes them more.
const SIGN_INS: NonZeroU32 = NonZeroU32::MIN;

/// Counts what callers ask.
#[derive(Debug)]
pub(crate) struct Limits {
    all: Option<OfAll>,
    each: Option<OfEach>,
    confirmations: Option<OfAll>,
    confirming: Semaphore,
    sign_ins: OfAll,
    /// Seeded by the system: nobody chooses whom he shares a bucket with.
    names: RandomState,
    clock: MonotonicClock,
}

/// Too much; the same call may be made again after so long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooMany(pub(crate) Duration);

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let all = |rate: NonZeroU32| RateLimiter::direct_with_clock(quota(rate), MonotonicClock);
        Self {
            all: settings.requests.map(all),
            each: settings
                .requests_per_caller
                .map(|rate| RateLimiter::hashmap_with_clock(quota(rate), MonotonicClock)),
            confirmations: settings.confirmations.map(all),
            confirming: Semaphore::new((settings.upstream / SHARE_OF_CONFIRMATIONS).max(1)),
            sign_ins: all(SIGN_INS),
            names: RandomState::new(),
            clock: MonotonicClock,
        }
    }

    /// Counts an action of anybody.
    pub(crate) fn admit(&self) -> Result<(), TooMany> {
        match &self.all {
            Some(limiter) => limiter.check().map_err(|until| self.too_many(&until)),
            None => Ok(()),
        }
    }

    /// Counts an action of this caller. The merchant's own servers are not kept back.
    pub(crate) fn admit_caller(&self, caller: &Authority) -> Result<(), TooMany> {
        let (Some(limiter), Authority::Person(person)) = (&self.each, caller) else {
            return Ok(());
        };
        let name = match &person.sub {
            Some(sub) => self.names.hash_one(sub),
            None => self
                .names
                .hash_one(person.openid.as_ref().map(crate::domain::ids::Openid::as_str)),
        };
        let counted = limiter.check_key(&name);
        if limiter.len() > MOST_REMEMBERED {
            limiter.retain_recent();
        }
        counted.map_err(|until| self.too_many(&until))
    }

    /// Counts a try to be let into the console.
    pub(crate) fn admit_sign_in(&self) -> Result<(), TooMany> {
        self.sign_ins.check().map_err(|until| self.too_many(&until))
    }

    /// The right to ask WeChat about a callback that proves nothing; `None` when too many do already.
    pub(crate) fn confirm(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.confirming.try_acquire().ok()?;
        match &self.confirmations {
            Some(limiter) => limiter.check().is_ok().then_some(permit),
            None => Some(permit),
        }
    }

    fn too_many(&self, until: &NotUntil<Instant>) -> TooMany {
        TooMany(until.wait_time_from(self.clock.now()))
    }
}

fn quota(rate: NonZeroU32) -> Quota {
    Quota::per_second(rate).allow_burst(rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1)))
}
