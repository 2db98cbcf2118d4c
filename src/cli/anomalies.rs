//! `anomalies`: what is genuine and does not fit, for a person to see to.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::Color;
use serde::Serialize;

use super::output;
use crate::clock::Clock;
use crate::domain::anomaly::{AnomalyKind, Note};
use crate::store::anomalies::{self, Kept, Resolved, Wanted, Which};

/// Who has resolved what this command resolves. Whoever runs it has the store itself, and has not said who it is.
const BY: &str = "command line";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the open ones, newest first, each with what it means and what to do / 列出未处理项及处理建议
    List(ListArguments),
    /// Writes down that one has been seen to; once, and the first note stays / 标记为已处理（仅一次，备注不可更改）
    Resolve(ResolveArguments),
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Also those that are resolved / 包括已处理的
    #[arg(long)]
    all: bool,
    /// Only of this kind, like `paid_after_close` / 只看某一类
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<AnomalyKind>,
    /// The most that are listed / 最多列出的条数
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// One JSON document instead of a table / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ResolveArguments {
    /// Its id, from `anomalies list` / 编号，见 `anomalies list`
    #[arg(value_name = "ID")]
    id: String,
    /// What was found and done, for whoever reads it later / 处理说明
    #[arg(long, value_name = "TEXT", value_parser = note)]
    note: Note,
    /// One JSON document instead of text / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

fn kind(text: &str) -> Result<AnomalyKind, String> {
    let names = AnomalyKind::ALL.map(AnomalyKind::as_str);
    AnomalyKind::parse(text).ok_or_else(|| format!("must be one of / 只能是: {}", names.join(", ")))
}

fn note(text: &str) -> Result<Note, String> {
    Note::parse(text).ok_or_else(|| "must be 1 to 1000 characters / 应为 1 到 1000 个字符".to_owned())
}

/// One anomaly in `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    anomaly_id: &'a str,
    kind: &'a str,
    subject: &'a str,
    created_at_ms: i64,
    resolved_at_ms: Option<i64>,
    resolved_by: Option<&'a str>,
    note: Option<&'a str>,
    meaning: Option<&'static str>,
    meaning_zh: Option<&'static str>,
}

impl<'a> Shown<'a> {
    fn of(kept: &'a Kept) -> Self {
        let meaning = AnomalyKind::parse(&kept.kind).map(AnomalyKind::meaning);
        Self {
            anomaly_id: &kept.anomaly_id,
            kind: &kept.kind,
            subject: &kept.subject,
            created_at_ms: kept.created_at,
            resolved_at_ms: kept.resolved_at,
            resolved_by: kept.resolved_by.as_deref(),
            note: kept.note.as_deref(),
            meaning: meaning.map(|(english, _)| english),
            meaning_zh: meaning.map(|(_, chinese)| chinese),
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    anomalies: Vec<Shown<'a>>,
}

pub(super) async fn run(file: Option<PathBuf>, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => list(file, &arguments).await,
        Command::Resolve(arguments) => resolve(file, &arguments).await,
    }
}

async fn list(file: Option<PathBuf>, arguments: &ListArguments) -> anyhow::Result<()> {
    let db = output::store(file).await?;
    let wanted = Wanted {
        which: if arguments.all { Which::All } else { Which::Open },
        kind: arguments.kind,
        after: None,
        most: arguments.limit,
    };
    let found = anomalies::list(&db, &wanted).await?;
    db.close().await;
    if arguments.json {
        return output::json(&List {
            anomalies: found.iter().map(Shown::of).collect(),
        });
    }
    if found.is_empty() {
        return output::say("nothing unexplained / 没有无法解释的事实");
    }
    let now = Clock::System.now_ms();
    let mut table = output::table(&["id", "kind / 类别", "subject / 对象", "age / 时长", "what to do / 处理"]);
    for kept in &found {
        let (colour, what) = match (
            kept.resolved_at,
            AnomalyKind::parse(&kept.kind).map(AnomalyKind::meaning),
        ) {
            (Some(at), _) => {
                let note = kept.note.as_deref().unwrap_or_default();
                (
                    Color::Green,
                    format!("resolved {}{}: {}", output::time(at), by(kept), output::safe(note)),
                )
            }
            (None, Some((english, chinese))) => (Color::Red, format!("{english}\n{chinese}")),
            (None, None) => (
                Color::Red,
                "a kind that a newer version knows / 新版本的类别".to_owned(),
            ),
        };
        table.add_row([
            kept.anomaly_id.as_str().into(),
            output::marked(&kept.kind, colour),
            output::safe(&kept.subject).into(),
            output::age(kept.created_at, now).into(),
            comfy_table::Cell::new(what),
        ]);
    }
    output::say(&table.to_string())
}

async fn resolve(file: Option<PathBuf>, arguments: &ResolveArguments) -> anyhow::Result<()> {
    let db = output::store(file).await?;
    let now = Clock::System.now_ms();
    let resolved = anomalies::resolve(&db, &arguments.id, &arguments.note, BY, now).await?;
    db.close().await;
    match resolved {
        Resolved::Now(kept) if arguments.json => output::json(&Shown::of(&kept)),
        Resolved::Now(kept) => output::say(&format!(
            "{} of {} is resolved / 已处理",
            kept.kind,
            output::safe(&kept.subject)
        )),
        Resolved::Before(kept) => anyhow::bail!(
            "{} was resolved before, {}{}: {} / 此前已处理",
            kept.anomaly_id,
            output::maybe_time(kept.resolved_at),
            by(&kept),
            output::safe(kept.note.as_deref().unwrap_or_default())
        ),
        Resolved::Unknown => anyhow::bail!(
            "there is no anomaly {}: `pay-common anomalies list --all` lists them / 没有此编号",
            output::safe(&arguments.id)
        ),
    }
}

/// Who resolved it, where that was written down.
fn by(kept: &Kept) -> String {
    let by = kept.resolved_by.as_ref();
    by.map_or_else(String::new, |by| format!(" by {}", output::safe(by)))
}
