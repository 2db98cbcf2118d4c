//! Bytes in, bytes out: requests become actions, results become the envelope. No SQL, no call to WeChat, no rule about money.

pub(crate) mod action;
pub(crate) mod actions;
pub(crate) mod callbacks;
pub(crate) mod caller;
pub(crate) mod cashier;
pub(crate) mod connection;
pub(crate) mod console;
pub(crate) mod cors;
pub(crate) mod entry;
pub(crate) mod failure;
pub(crate) mod form;
pub(crate) mod json;
pub(crate) mod oauth;
pub(crate) mod openapi;
pub(crate) mod ops;
mod origin;
mod published;
pub(crate) mod router;
pub(crate) mod server;
pub(crate) mod text;
pub(crate) mod tick;
mod ticket;
