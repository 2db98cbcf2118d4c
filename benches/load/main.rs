//! A load generator for the whole service: the release binary as a process of its own, asked over real sockets at a fixed pace.
//!
//! `cargo bench --bench load -- callbacks --database-url postgres://...`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    reason = "a measurement that meets the unexpected is none"
)]

mod callbacks;
mod lost;
mod pace;
mod service;
mod store;
mod sweep;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
    /// Said by `cargo bench` to every bench.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Payments' callbacks, some of them more than once.
    Callbacks(callbacks::Arguments),
    /// One sweep over a few open orders among many settled ones.
    Sweep(sweep::Arguments),
    /// Payments whose every callback is lost.
    Lost(lost::Arguments),
}

fn main() {
    let Arguments { scenario, bench: _ } = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            match scenario {
                Scenario::Callbacks(arguments) => callbacks::run(&arguments).await,
                Scenario::Sweep(arguments) => sweep::run(&arguments).await,
                Scenario::Lost(arguments) => lost::run(&arguments).await,
            }
        });
}
