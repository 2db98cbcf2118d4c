//! `sweep`: one turn of asking and telling by hand, or by a timer of the system's.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output;
use crate::boot;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::source::Source;
use crate::flows::tick;
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON document instead of text / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

/// Does everything that is due now, beside running instances or without any.
pub(super) async fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::read(&Source::of_process(file.as_deref())?)?;
    telemetry::start_with(tracing::Level::WARN, config.log_format);
    let app = boot::assemble(config, Clock::System).await?;
    let done = tick::tick(&app, None).await;
    app.db.close().await;
    let done = done?;
    let (swept, told) = (done.swept, done.delivered);
    if arguments.json {
        return output::json(&json!({
            "orders": swept.orders,
            "refunds": swept.refunds,
            "transfers": swept.transfers,
            "webhooks": {"delivered": told.taken, "failed": told.refused},
        }));
    }
    output::say(&format!(
        "asked about {} orders, {} refunds, {} transfers; told {} events, {} not taken / 查询订单 {}、退款 {}、转账 {}；通知成功 {}、失败 {}",
        swept.orders,
        swept.refunds,
        swept.transfers,
        told.taken,
        told.refused,
        swept.orders,
        swept.refunds,
        swept.transfers,
        told.taken,
        told.refused
    ))
}
