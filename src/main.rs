//! The `pay-common` binary.

fn main() {}
