//! The clock of the service's host jumps: by more than the five minutes for which a signature counts.

use super::actions::{every_action, stage};
use crate::case::{Tried, cases};
use crate::support::database::Store;

cases!(Fault:
    the_clock_jumps_ten_minutes_ahead => "paid orders closed, fresh answers taken for old ones",
    the_clock_jumps_ten_minutes_back => "open rows that nobody asks about, old answers taken for fresh ones",
);

const TEN_MINUTES_MS: i64 = 600_000;

async fn the_clock_jumps_ten_minutes_ahead(store: Store, tried: Tried) {
    jumps(store, tried, TEN_MINUTES_MS).await;
}

async fn the_clock_jumps_ten_minutes_back(store: Store, tried: Tried) {
    jumps(store, tried, -TEN_MINUTES_MS).await;
}

async fn jumps(store: Store, tried: Tried, by_ms: i64) {
    let t = stage(store).await;
    for round in 0..2 {
        let there = async || t.clock.advance(by_ms);
        tried.times(every_action(&t, round, there, async || t.clock.advance(-by_ms)).await);
    }
    // And for good: the other side's clock was the wrong one, and follows a little later.
    if by_ms > 0 {
        let there = async || t.clock.advance(by_ms);
        let follows = async || {
            t.world
                .clock()
                .advance(std::time::Duration::from_millis(by_ms.unsigned_abs()))
        };
        tried.times(every_action(&t, 2, there, follows).await);
    }
}
