//! What the tests stand on.

pub mod app;
pub mod bills;
pub mod body;
pub mod browser;
pub mod command;
pub mod database;
pub mod keys;
pub mod offline;
pub mod payouts;
pub mod pooler;
pub mod process;
pub mod relay;
