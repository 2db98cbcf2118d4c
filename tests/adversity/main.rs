//! The bad day: attacks, faults and generated histories, each on both databases, and a table of what was tried and what held.
//!
//! `cargo test --test adversity` runs all of it and prints the table; words after `--` choose cases by a part of their name.

#![expect(
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::pedantic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected has to fail, and the support is a module tree"
)]

#[path = "../support/all.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "every test binary uses its part")]
mod support;

mod attacks;
mod case;
mod faults;
mod gate;
mod histories;
mod invariants;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    case::run(
        &arguments,
        [attacks::cases(), faults::cases(), histories::cases()].concat(),
    )
}
