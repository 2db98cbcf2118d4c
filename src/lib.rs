//! WeChat Pay for CloudBase: orders, refunds and callbacks behind one static binary.
//!
//! One direction: `main` → `cli` → `boot` → `http` → `flows` → { `store`, `wechat`, `outbound` } → `domain`, and `http` → `auth` → `domain`.
//! Nothing points back. `doctor` tries what the others work with, for `cli`; `metrics` and `text` are used by all of them.

mod app;
mod auth;
pub mod boot;
pub mod cli;
pub mod clock;
pub mod config;
mod crash;
mod doctor;
pub mod domain;
mod flows;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod limits;
mod metrics;
mod numbers;
mod outbound;
#[cfg(feature = "sandbox")]
pub mod rehearsal;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod telemetry;
mod text;
pub mod wechat;
