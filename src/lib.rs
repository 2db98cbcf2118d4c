//! WeChat Pay for CloudBase: orders, refunds and callbacks behind one static binary.

#[cfg(feature = "sandbox")]
pub mod sandbox;
