//! The service as its callers see it: over HTTP, among the simulated parties, on both databases.

#![cfg(feature = "sandbox")]
#![expect(
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::pedantic,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected has to fail, and the support is a module tree"
)]

#[path = "../support/all.rs"]
mod support;

mod actions;
mod apps;
mod callbacks;
mod callers;
mod cashier;
mod certificates;
mod commands;
mod console;
mod contract;
mod cors;
mod crash;
mod deployment;
mod dispatch;
mod doctor;
mod documents;
mod endpoints;
mod envelope;
mod frozen;
mod kinds;
mod metrics;
mod money;
mod oauth;
mod open_rows;
mod openapi;
mod operators;
mod parameters;
mod pooler;
mod process;
mod reconcile;
mod reconcile_command;
mod serverless;
mod settings;
mod strangers;
mod sweep;
mod tickets;
mod tokens;
mod traces;
mod transfers;
mod transfers_settled;
mod webhooks;
mod words;
