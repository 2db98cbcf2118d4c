//! `pay-common sandbox`: the whole loop on this machine, with the simulator for the outside world and the service in its middle.

#![expect(clippy::indexing_slicing, reason = "a member that JSON does not have reads as null")]

mod chaos;
mod credentials;
mod keep;
mod once;
mod page;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::config::{Config, LogFormat};
use crate::sandbox::KeyMode;
use crate::telemetry;

/// What `sandbox` takes.
#[derive(Clone, Debug, Args)]
pub struct SandboxArguments {
    /// Goes through the whole loop once and ends; 0 only if every step held / 自动走完整个流程后退出，全部成立才返回 0
    #[arg(long)]
    once: bool,
    /// A network that loses, delays, repeats and reorders callbacks, each by the seed; with `--once`, a shop in that weather whose books have to agree at the end / 按种子丢失、延迟、重复、打乱回调；与 `--once` 同用时演练整个商店并核对账目
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
    /// The port of the service; 0 lets the system choose / 服务端口，0 表示自动选择
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The store, instead of a file that is thrown away at the end / 存储地址，默认用临时文件
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// A setting of the service, like `requireOrderTicket=true`; may be repeated / 服务的设置项，可重复
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// By what the merchant verifies WeChat Pay / 商户用什么验证微信支付
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    key_mode: VerifyBy,
    /// Writes what any client needs to reach the simulated WeChat Pay into FILE: JSON, readable by its owner only, removed at the end / 将任意客户端连接模拟微信支付所需的凭证写入文件（JSON，仅属主可读，结束时删除）
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    credentials: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if Config::has_setting(name) => Ok((name.to_owned(), value.to_owned())),
        Some((name, _)) => Err(format!("`{name}` is not the name of a setting")),
        None => Err("must be NAME=VALUE".to_owned()),
    }
}

/// By what the merchant verifies WeChat Pay.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum VerifyBy {
    /// Its public key, as new merchants do / 微信支付公钥（新商户）
    #[default]
    PublicKey,
    /// Platform certificates, as older merchants do / 平台证书（老商户）
    Certificates,
    /// Both, while a merchant changes over / 迁移期间两者并用
    Both,
}

impl From<VerifyBy> for KeyMode {
    fn from(by: VerifyBy) -> Self {
        match by {
            VerifyBy::PublicKey => Self::PublicKey,
            VerifyBy::Certificates => Self::Certificates,
            VerifyBy::Both => Self::Both,
        }
    }
}

/// Runs the simulator.
pub async fn run(arguments: &SandboxArguments) -> ExitCode {
    let level = if arguments.once {
        tracing::Level::ERROR
    } else {
        tracing::Level::INFO
    };
    telemetry::start_with(level, LogFormat::Text);
    let result = match (arguments.once, arguments.chaos) {
        (true, Some(seed)) => chaos::run(arguments, seed).await,
        (true, None) => once::run(arguments).await,
        (false, _) => keep::run(arguments).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            use std::io::Write as _;
            // Nobody is left to hear of a standard error output that is closed.
            drop(writeln!(std::io::stderr(), "pay-common sandbox: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
