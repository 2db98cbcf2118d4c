//! The books: the only place with SQL. One text per statement for both databases, next to the function that runs it.
//!
//! Every state change is one conditional UPDATE; whoever's UPDATE hit the row has won, and writes the event in the same transaction.
//! What every order does is also there as one text that is a transaction by itself (`usual`): there, the two databases differ.

pub(crate) mod anomalies;
mod at_once;
pub(crate) mod callbacks;
mod change;
pub(crate) mod conn;
pub mod db;
pub mod error;
pub(crate) mod examine;
pub(crate) mod figures;
mod frozen;
pub mod history;
pub(crate) mod listing;
pub(crate) mod lookup;
mod migrations;
pub(crate) mod orders;
pub(crate) mod outbox;
mod pool;
pub mod reconciliation;
pub(crate) mod refunds;
pub(crate) mod requests;
pub(crate) mod row;
pub(crate) mod timeline;
pub(crate) mod today;
pub(crate) mod transfers;
pub(crate) mod usual;

#[cfg(test)]
pub(crate) mod tests;
