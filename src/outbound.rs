//! What this service tells others of its own accord.

pub(crate) mod webhook;
