//! What becomes of a callback on its way: nothing, unless the network was told to misbehave, or has a seed of its own.
//!
//! With a seed, the fate of an attempt hangs on nothing but the seed, the place of its announcement and its number: the same seed is the
//! same weather, whatever runs beside it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::sandbox::{clock::Clock, lock};

/// The weather between WeChat and those who wait for its callbacks.
#[derive(Debug, Default)]
pub(crate) struct Network {
    told: Mutex<Told>,
    seed: Option<u64>,
}

/// What the network was told to do next.
#[derive(Debug, Default)]
struct Told {
    lose: u32,
    delay: (u32, Duration),
    copies: u32,
    probe: u32,
    hold_back: u32,
}

/// What happens to one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// It never arrives.
    pub(super) lost: bool,
    /// So long it waits in real time.
    pub(super) late: Duration,
    /// So long it waits in the simulated world.
    pub(super) held: Duration,
    /// It waits for another announcement to be sent before it.
    pub(super) behind: bool,
    /// So often it is sent besides, at once.
    pub(super) copies: u32,
    /// After so long in the simulated world it is sent once more, whatever was answered.
    pub(super) echo: Option<Duration>,
    /// It carries WeChat's probe instead of a signature.
    pub(super) probed: bool,
}

impl Network {
    /// A network with a mind of its own, or none.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self {
            told: Mutex::default(),
            seed,
        }
    }

    /// Whether waits are those of the simulated world: with a seed, time is moved on and not waited for.
    pub(super) const fn is_chaotic(&self) -> bool {
        self.seed.is_some()
    }

    pub(crate) fn lose(&self, times: u32) {
        lock(&self.told).lose = times;
    }

    pub(crate) fn delay(&self, times: u32, by: Duration) {
        lock(&self.told).delay = (times, by);
    }

    pub(crate) fn duplicate(&self, copies: u32) {
        lock(&self.told).copies = copies;
    }

    pub(crate) fn probe(&self, times: u32) {
        lock(&self.told).probe = times;
    }

    pub(crate) fn hold_back(&self, times: u32) {
        lock(&self.told).hold_back = times;
    }

    /// The fate of an attempt (from 1) at the announcement of that place (from 0). What the network was told comes first.
    pub(super) fn next(&self, place: usize, attempt: usize) -> Fate {
        let told = self.told_next();
        match self.seed {
            Some(seed) if told == Fate::default() => of_chance(seed, place, attempt),
            Some(_) | None => told,
        }
    }

    fn told_next(&self) -> Fate {
        let mut told = lock(&self.told);
        let mut fate = Fate::default();
        if take_one(&mut told.lose) {
            fate.lost = true;
            return fate;
        }
        if take_one(&mut told.delay.0) {
            fate.late = told.delay.1;
        }
        fate.probed = take_one(&mut told.probe);
        fate.behind = take_one(&mut told.hold_back);
        fate.copies = std::mem::take(&mut told.copies);
        fate
    }
}

fn take_one(left: &mut u32) -> bool {
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}

/// About one announcement in seven never arrives at all. Of the others, each attempt is lost in three of ten cases, late by seconds or
/// by so many minutes that others overtake it, sent several times at once, or sent again long after.
fn of_chance(seed: u64, place: usize, attempt: usize) -> Fate {
    let never = Dice::new(seed, &format!("{place}")).below(100) < 15;
    let mut dice = Dice::new(seed, &format!("{place}/{attempt}"));
    let lost = dice.below(100) < 30;
    if never || lost {
        return Fate {
            lost: true,
            ..Fate::default()
        };
    }
    let held = match dice.below(100) {
        0..=24 => dice.between(1, 120),
        25..=44 => dice.between(5 * 60, 45 * 60),
        _ => 0,
    };
    let copies = if dice.below(100) < 25 { dice.between(1, 3) } else { 0 };
    let echo = (dice.below(100) < 20).then(|| Duration::from_secs(dice.between(60, 90 * 60)));
    Fate {
        held: Duration::from_secs(held),
        copies: u32::try_from(copies).unwrap_or(u32::MAX),
        echo,
        ..Fate::default()
    }
}

/// Numbers that look random and are always the same ones for the same seed and purpose.
pub(crate) struct Dice {
    seed: u64,
    purpose: String,
    thrown: u32,
}

impl Dice {
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        Self {
            seed,
            purpose: purpose.to_owned(),
            thrown: 0,
        }
    }

    /// A number from 0 on, below `end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let digest = Sha256::digest(format!("{}/{}/{}", self.seed, self.purpose, self.thrown));
        self.thrown += 1;
        let number = digest
            .iter()
            .take(8)
            .fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
        number.checked_rem(end).unwrap_or(0)
    }

    /// A number from `least` to `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }
}

/// What is on its way: who moves the clock has to know when everything that is due has arrived.
#[derive(Debug, Default)]
pub(super) struct Underway(Mutex<(u64, BTreeMap<u64, Option<Timestamp>>)>);

impl Underway {
    /// Takes a place among what is on its way. It counts from here on, not from when its task first runs.
    pub(super) fn enter(&self) -> u64 {
        let mut inner = lock(&self.0);
        inner.0 += 1;
        let id = inner.0;
        inner.1.insert(id, None);
        id
    }

    pub(super) fn leave(&self, id: u64) {
        lock(&self.0).1.remove(&id);
    }

    /// Waits until it is `at` in the simulated world.
    pub(super) async fn wait(&self, id: u64, clock: &Clock, at: Timestamp) {
        lock(&self.0).1.insert(id, Some(at));
        clock.reaches(at).await;
        self.go_on(id);
    }

    /// It waits no longer.
    pub(super) fn go_on(&self, id: u64) {
        lock(&self.0).1.insert(id, None);
    }

    /// Whether nothing is due now.
    pub(super) fn is_quiet(&self, now: Timestamp) -> bool {
        let inner = lock(&self.0);
        inner.1.values().all(|wakes| wakes.is_some_and(|at| at > now))
    }

    /// Whether nothing will ever arrive any more.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.0).1.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_passes_after_as_often_as_it_was_asked_for() {
        let network = Network::default();
        network.lose(1);
        network.delay(1, Duration::from_millis(5));
        network.duplicate(3);
        network.hold_back(1);
        assert!(network.next(0, 1).lost);
        let second = network.next(0, 2);
        assert_eq!(
            (second.late, second.copies, second.behind),
            (Duration::from_millis(5), 3, true)
        );
        assert_eq!(network.next(0, 3), Fate::default());
    }

    fn fates(seed: u64) -> Vec<Fate> {
        let network = Network::new(Some(seed));
        let all = (0..200).flat_map(|place| (1..=16).map(move |attempt| (place, attempt)));
        all.map(|(place, attempt)| network.next(place, attempt)).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_weather_and_another_is_another() {
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
    }

    #[test]
    fn a_seed_brings_every_trouble_and_good_weather_too() {
        let fates = fates(7);
        let share = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count() * 100 / fates.len();
        assert!((30..=50).contains(&share(|fate| fate.lost)));
        assert!((15..=40).contains(&share(|fate| !fate.held.is_zero())));
        assert!((5..=25).contains(&share(|fate| fate.held > Duration::from_mins(2))));
        assert!((8..=25).contains(&share(|fate| fate.copies > 0)));
        assert!((5..=20).contains(&share(|fate| fate.echo.is_some())));
        assert!((10..=35).contains(&share(|fate| *fate == Fate::default())));
    }
}
