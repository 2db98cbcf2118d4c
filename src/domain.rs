//! Data and rules of money: what an order, a refund and a transfer are, and which moves they can make.
//!
//! Nothing here waits, reads a clock, or knows of HTTP, SQL or JSON trees.

#![deny(clippy::wildcard_enum_match_arm)]

pub mod anomaly;
pub mod caller;
pub mod event;
pub mod ids;
pub mod money;
pub mod order;
pub mod reconciliation;
pub mod refund;
pub mod transfer;
