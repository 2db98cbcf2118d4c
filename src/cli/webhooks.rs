//! `webhooks`: what the business side is told, and what it is told anew.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use comfy_table::Color;
use serde::Serialize;

use super::output;
use crate::clock::Clock;
use crate::domain::event::Delivery;
use crate::store::outbox::{self, Kept, Replay, Those, Wanted};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the events that wait or are dead, newest first / 列出待发送与已放弃的通知
    List(ListArguments),
    /// Has events told anew, each with its old id / 重发通知（编号不变）
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only those in this state: UNSENT, WAITING, DELIVERED, DEAD / 只看某一状态
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<Delivery>,
    /// The most that are listed / 最多列出的条数
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// One JSON document instead of a table / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// Their ids, from `webhooks list` or `orders show` / 编号，见 `webhooks list` 或 `orders show`
    #[arg(value_name = "ID", required_unless_present = "dead")]
    ids: Vec<String>,
    /// All that are dead / 所有已放弃的
    #[arg(long, conflicts_with = "ids")]
    dead: bool,
    /// One JSON document instead of text / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

fn state(text: &str) -> Result<Delivery, String> {
    let names = Delivery::ALL.map(Delivery::as_str);
    Delivery::parse(&text.to_ascii_uppercase()).ok_or_else(|| format!("must be one of / 只能是: {}", names.join(", ")))
}

/// One event in `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    event_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    stream: &'a str,
    state: &'static str,
    attempts: i64,
    created_at_ms: i64,
    deliver_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
    problem: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(kept: &'a Kept) -> Self {
        Self {
            event_id: &kept.event_id,
            kind: &kept.kind,
            stream: &kept.stream,
            state: kept.delivery.as_str(),
            attempts: kept.attempts,
            created_at_ms: kept.created_at,
            deliver_at_ms: kept.deliver_at,
            ended_at_ms: kept.ended_at,
            problem: kept.problem.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    events: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Replayed<'a> {
    replayed: Vec<&'a str>,
    under_way: Vec<&'a str>,
    unknown: Vec<&'a str>,
}

pub(super) async fn run(file: Option<PathBuf>, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => list(file, &arguments).await,
        Command::Replay(arguments) => replay(file, &arguments).await,
    }
}

async fn list(file: Option<PathBuf>, arguments: &ListArguments) -> anyhow::Result<()> {
    let db = output::store(file).await?;
    let wanted = Wanted {
        those: arguments.state.map_or(Those::Unheard, Those::In),
        after: None,
        most: arguments.limit,
    };
    let found = outbox::list(&db, &wanted).await?;
    db.close().await;
    if arguments.json {
        return output::json(&List {
            events: found.iter().map(Shown::of).collect(),
        });
    }
    if found.is_empty() {
        return output::say("nothing of that kind / 没有此类通知");
    }
    let now = Clock::System.now_ms();
    let header = [
        "id",
        "type / 类型",
        "of / 对象",
        "state / 状态",
        "attempts / 次数",
        "age / 时长",
        "next or end / 下次或结束",
        "problem / 问题",
    ];
    let mut table = output::table(&header);
    for kept in &found {
        let colour = match kept.delivery {
            Delivery::Dead => Color::Red,
            Delivery::Waiting => Color::Yellow,
            Delivery::Delivered | Delivery::Unsent => Color::Green,
        };
        table.add_row([
            kept.event_id.as_str().into(),
            output::safe(&kept.kind).into(),
            output::safe(&kept.stream).into(),
            output::marked(kept.delivery.as_str(), colour),
            kept.attempts.into(),
            output::age(kept.created_at, now).into(),
            output::maybe_time(kept.deliver_at.or(kept.ended_at)).into(),
            output::safe(kept.problem.as_deref().unwrap_or("-")).into(),
        ]);
    }
    output::say(&table.to_string())
}

/// # Errors
/// Also when one of the ids is unknown or is being sent; the others are told anew all the same.
async fn replay(file: Option<PathBuf>, arguments: &ReplayArguments) -> anyhow::Result<()> {
    let db = output::store(file).await?;
    let ids = if arguments.dead {
        outbox::dead(&db).await?
    } else {
        arguments.ids.clone()
    };
    let mut done = Replayed {
        replayed: Vec::new(),
        under_way: Vec::new(),
        unknown: Vec::new(),
    };
    for id in &ids {
        match outbox::replay(&db, id, None, Clock::System.now_ms()).await? {
            Replay::Waits(_) => done.replayed.push(id),
            Replay::UnderWay | Replay::SentSince => done.under_way.push(id),
            Replay::Unknown => done.unknown.push(id),
        }
    }
    db.close().await;
    if arguments.json {
        output::json(&done)?;
    } else {
        let count = done.replayed.len();
        output::say(&format!("{count} to be told anew / {count} 条将重发"))?;
    }
    if !done.unknown.is_empty() {
        bail!("no event has this id / 没有此编号的通知: {}", done.unknown.join(", "));
    }
    if !done.under_way.is_empty() {
        bail!(
            "being sent just now, look again in a minute / 正在发送，请一分钟后再看: {}",
            done.under_way.join(", ")
        );
    }
    Ok(())
}
