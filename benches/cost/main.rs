//! What one operation costs the service's process, beside what its signatures alone cost on the same machine in the same minute.
//!
//! `cargo bench --bench cost` measures everything on SQLite; `-- order --database-url postgres://...` one thing on `PostgreSQL`. The service is
//! the release binary as a process of its own; WeChat Pay, the business side and the generator are another one, so that their cost is not
//! counted.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    clippy::disallowed_methods,
    reason = "a measurement that meets the unexpected is none"
)]

mod floor;
mod generator;
mod history;
mod scenario;
#[path = "../load/service.rs"]
mod service;
#[path = "../load/store.rs"]
mod store;
mod upstream;

use clap::Parser;

use self::floor::Floor;
use self::scenario::{Measured, Scenario};

/// What is measured.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scenarios; all when none is named
    scenarios: Vec<Scenario>,
    /// A `PostgreSQL` server, where a database is made and dropped for each run; without it, a SQLite file
    #[arg(long)]
    database_url: Option<String>,
    /// Runs of each; the medians are shown
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Operations in a run
    #[arg(long, default_value_t = 5000)]
    operations: usize,
    /// Requests under way at a time
    #[arg(long, default_value_t = 16)]
    at_a_time: usize,
    /// Settled orders in the store before a run
    #[arg(long, default_value_t = 10_000)]
    stored: u64,
    /// A setting of the service, for a comparison: `NAME=VALUE`
    #[arg(long)]
    set: Vec<String>,
    /// Said by `cargo bench` to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let scenarios = if arguments.scenarios.is_empty() {
        Scenario::all().to_vec()
    } else {
        arguments.scenarios.clone()
    };
    println!(
        "{:<28} {:>8} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8} {:>7}",
        "scenario", "us/op", "floor us", "ratio", "op/s", "p50 ms", "p99 ms", "p999 ms", "MiB"
    );
    for scenario in scenarios {
        let mut runs: Vec<(Measured, Floor)> = (0..arguments.runs)
            .map(|_| {
                let before = Floor::measure();
                let measured = runtime.block_on(scenario.run(&arguments));
                (measured, before.between(&Floor::measure()))
            })
            .collect();
        runs.sort_by(|(one, _), (other, _)| one.cost_us.total_cmp(&other.cost_us));
        let (measured, floor) = &runs[runs.len() / 2];
        // What has no signature in it is set beside an order's, to have a measure of the machine.
        let floor_us = floor.order_us();
        println!(
            "{:<28} {:>8.0} {:>8.0} {:>7.2} {:>9.0} {:>8.1} {:>8.1} {:>8.1} {:>7.1}",
            scenario.name(),
            measured.cost_us,
            floor_us,
            measured.cost_us / floor_us,
            measured.per_second,
            measured.ms(50.0),
            measured.ms(99.0),
            measured.ms(99.9),
            measured.peak_mib
        );
    }
}
