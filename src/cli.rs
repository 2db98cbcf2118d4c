//! The command line: `serve` (the default), the operator's commands, and `sandbox` where the simulator is built in.

mod anomalies;
mod doctor;
mod migrate;
mod orders;
mod output;
mod reconcile;
mod sweep;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::boot::{Service, terminated};
use crate::clock::Clock;
use crate::config::source::Source;
use crate::config::{Config, Limits};
use crate::telemetry;

/// WeChat Pay for CloudBase: orders, refunds and callbacks / 云开发微信支付：下单、退款与回调
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A settings file (TOML); the environment wins over it / 设置文件，环境变量优先
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service; also without any command / 运行服务（默认）
    Serve,
    /// Shows an order's whole history, or lists orders / 查看订单全部历史，或列出订单
    #[command(subcommand)]
    Orders(orders::Command),
    /// Lists what is genuine and does not fit, and resolves it / 查看并处理无法解释的事实
    #[command(subcommand)]
    Anomalies(anomalies::Command),
    /// Asks WeChat Pay about everything that is open and due, and sends the webhooks that are due / 查询所有到期未决的单据并发送到期通知
    Sweep(sweep::Arguments),
    /// Lists what the business side is told, and has it told anew / 查看并重发业务通知
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Compares a day's bill with the store, both ways: 0 they agree, 1 they differ, 2 it could not be done / 与当日账单对账：0 一致，1 有差异，2 未能完成
    Reconcile(reconcile::Arguments),
    /// Says what keeps this installation from taking payments, and what to do / 诊断配置并给出处理办法
    Doctor(doctor::Arguments),
    /// Brings the store to this version / 升级存储结构
    Migrate(migrate::Arguments),
    /// Plays WeChat Pay, the gateway and the Integration Center on loopback, with the service between them / 本机模拟整条支付链路
    #[cfg(feature = "sandbox")]
    Sandbox(crate::rehearsal::SandboxArguments),
}

/// File descriptors for all but connections: the store, the listener, the log.
const OTHER_DESCRIPTORS: u64 = 128;

/// Runs what the command line asks for.
pub async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let file = arguments.config;
    let result = match arguments.command {
        None | Some(Command::Serve) => serve(file).await,
        Some(Command::Orders(command)) => orders::run(file, command).await,
        Some(Command::Anomalies(command)) => anomalies::run(file, command).await,
        Some(Command::Webhooks(command)) => webhooks::run(file, command).await,
        Some(Command::Sweep(arguments)) => sweep::run(file, &arguments).await,
        Some(Command::Reconcile(arguments)) => return reconcile::run(file, &arguments).await,
        Some(Command::Doctor(arguments)) => return doctor::run(file, &arguments).await,
        Some(Command::Migrate(arguments)) => migrate::run(file, &arguments).await,
        #[cfg(feature = "sandbox")]
        Some(Command::Sandbox(sandbox)) => return crate::rehearsal::run(&sandbox).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &anyhow::Error) {
    use std::io::Write as _;
    // Nobody is left to hear of a standard error output that is closed.
    drop(writeln!(std::io::stderr(), "pay-common: {error:#}"));
}

async fn serve(file: Option<PathBuf>) -> anyhow::Result<()> {
    // The source is a copy of every secret, and ends with this line.
    let config = Config::read(&Source::of_process(file.as_deref())?)?;
    let telemetry = telemetry::start(&config);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    make_room(&config.limits);
    let terminated = terminated()?;
    let service = Service::start(config, Clock::System).await?;
    terminated.await;
    tracing::info!("stopping");
    service.stop().await;
    tracing::info!("stopped");
    telemetry.end().await;
    Ok(())
}

/// Asks the system for as many file descriptors as the limits may need; a common default is 1,024, and a service without any can neither
/// take a connection nor open its store.
fn make_room(limits: &Limits) {
    let sockets = limits.connections.saturating_add(limits.upstream);
    let needed = u64::try_from(sockets)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_DESCRIPTORS);
    match rlimit::increase_nofile_limit(needed) {
        Ok(allowed) if allowed < needed => tracing::warn!(
            allowed,
            needed,
            "maxConnections and maxUpstreamCalls need more file descriptors than the system allows: raise the hard limit (ulimit -Hn) or lower them / 文件描述符上限不足：请提高 ulimit -Hn，或降低 maxConnections 与 maxUpstreamCalls",
        ),
        Ok(allowed) => tracing::debug!(allowed, "file descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of file descriptors is not known / 无法读取文件描述符上限"),
    }
}
