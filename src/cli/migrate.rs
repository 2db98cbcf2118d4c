//! `migrate`: the store is brought to the version of this binary.

use std::path::PathBuf;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::output;
use crate::config::source::Source;
use crate::config::{Config, LogFormat};
use crate::store::db::{Db, Manner};
use crate::telemetry;

/// Applies the migrations that the store of DATABASE_URL has not seen, and says which; makes a SQLite file that is not there.
///
/// Migrations only add, so instances of the version before go on running beside it; `serve` does the same at its start.
///
/// 应用尚未应用的数据库迁移并列出；SQLite 文件不存在时会建立。迁移只增不改，可与正在运行的实例并行；`serve` 启动时也会自动执行。
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "this is the text of --help")]
pub(super) struct Arguments {
    /// One JSON document instead of text / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    version: i64,
    applied: Vec<Applied>,
}

#[derive(Serialize)]
struct Applied {
    version: i64,
    name: &'static str,
}

pub(super) async fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    telemetry::start_with(tracing::Level::WARN, LogFormat::Text);
    let address = Config::store_address(&Source::of_process(file.as_deref())?)?;
    let manner = Manner::of(address.serverless);
    let (db, migrated) = Db::migrate(address.url.expose_secret(), manner).await?;
    db.close().await;
    if arguments.json {
        let applied = migrated.applied.iter();
        return output::json(&Document {
            version: migrated.version,
            applied: applied.map(|&(version, name)| Applied { version, name }).collect(),
        });
    }
    let mut lines: Vec<String> = migrated
        .applied
        .iter()
        .map(|(version, name)| format!("applied {version:04} {name}"))
        .collect();
    if lines.is_empty() {
        lines.push("nothing to apply / 无需迁移".to_owned());
    }
    lines.push(format!(
        "the store is at version {} / 存储版本 {}",
        migrated.version, migrated.version
    ));
    output::say(&lines.join("\n"))
}
