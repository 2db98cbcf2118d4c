//! `anomalies`: what is genuine and does not fit, for a person to see to.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::Color;
use serde::Serialize;

use super::output;
use crate::clock::Clock;
use crate::domain::anomaly::AnomalyKind;
use crate::store::anomalies::{self, Kept, Resolved};

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
    note: String,
    /// One JSON document instead of text / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

fn kind(text: &str) -> Result<AnomalyKind, String> {
    let names = AnomalyKind::ALL.map(AnomalyKind::as_str);
    AnomalyKind::parse(text).ok_or_else(|| format!("must be one of / 只能是: {}", names.join(", ")))
}

fn note(text: &str) -> Result<String, String> {
    let note = text.trim();
    if (1..=1000).contains(&note.chars().count()) {
        Ok(note.to_owned())
    } else {
        Err("must be 1 to 1000 characters / 应为 1 到 1000 个字符".to_owned())
    }
}

/// One anomaly in `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    anomaly_id: &'a str,
    kind: &'a str,
    subject: &'a str,
    created_at_ms: i64,
    resolved_at_ms: Option<i64>,
    note: Option<&'a str>,
    meaning: Option<&'static str>,
    meaning_zh: Option<&'static str>,
}

impl<'a> Shown<'a> {
    fn of(kept: &'a Kept) -> Self {
        let meaning = AnomalyKind::parse(&kept.kind).map(meaning);
        Self {
            anomaly_id: &kept.anomaly_id,
            kind: &kept.kind,
            subject: &kept.subject,
            created_at_ms: kept.created_at,
            resolved_at_ms: kept.resolved_at,
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
    let found = anomalies::list(&db, arguments.all, arguments.kind, arguments.limit).await?;
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
        let (colour, what) = match (kept.resolved_at, AnomalyKind::parse(&kept.kind).map(meaning)) {
            (Some(at), _) => {
                let note = kept.note.as_deref().unwrap_or_default();
                (
                    Color::Green,
                    format!("resolved {}: {}", output::time(at), output::safe(note)),
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
    let resolved = anomalies::resolve(&db, &arguments.id, &arguments.note, Clock::System.now_ms()).await?;
    db.close().await;
    match resolved {
        Resolved::Now(kept) if arguments.json => output::json(&Shown::of(&kept)),
        Resolved::Now(kept) => output::say(&format!(
            "{} of {} is resolved / 已处理",
            kept.kind,
            output::safe(&kept.subject)
        )),
        Resolved::Before(kept) => anyhow::bail!(
            "{} was resolved before, {}: {} / 此前已处理",
            kept.anomaly_id,
            output::maybe_time(kept.resolved_at),
            output::safe(kept.note.as_deref().unwrap_or_default())
        ),
        Resolved::Unknown => anyhow::bail!(
            "there is no anomaly {}: `pay-common anomalies list --all` lists them / 没有此编号",
            output::safe(&arguments.id)
        ),
    }
}

/// What a kind means and what to do about it, in English and Chinese.
const fn meaning(kind: AnomalyKind) -> (&'static str, &'static str) {
    match kind {
        AnomalyKind::UnknownOrder => (
            "WeChat Pay tells of an order that is not in this store. Look it up in the merchant platform: placed by another system? Then deliver or refund there.",
            "收到本存储没有的订单。请到商户平台核对：若由其他系统下单，在该系统发货或退款。",
        ),
        AnomalyKind::UnknownRefund => (
            "WeChat Pay tells of a refund that is not in this store. Made in the merchant platform or by another system? Then count it there.",
            "收到本存储没有的退款。若在商户平台或其他系统发起，请在该处记账。",
        ),
        AnomalyKind::UnknownTransfer => (
            "WeChat Pay tells of a transfer that is not in this store. Find out who paid it out of the merchant's balance.",
            "收到本存储没有的转账。请查明是谁从商户余额转出。",
        ),
        AnomalyKind::ForeignMerchant => (
            "It belongs to another merchant, and moved nothing here. Check merchantId and where the callbacks of the other one go.",
            "属于其他商户，未改动任何订单。请检查 merchantId 及对方的回调地址。",
        ),
        AnomalyKind::ForeignApp => (
            "It belongs to an app that the order was not placed for, and moved nothing here. Check appId, service_app_id and appIds.",
            "属于下单之外的应用，未改动任何订单。请检查 appId、service_app_id 与 appIds。",
        ),
        AnomalyKind::AmountMismatch => (
            "The amount or the currency is not the order's, so the order does not count as paid. Compare with the merchant platform; refund there.",
            "金额或币种与订单不符，订单未记为已支付。请与商户平台核对并在该处退款。",
        ),
        AnomalyKind::PaidAfterClose => (
            "Paid although it was closed: real money, and the order counts as paid. Deliver, or refund.",
            "关闭后仍收到付款：钱已到账，订单记为已支付。请发货或退款。",
        ),
        AnomalyKind::PaidAfterFailure => (
            "Paid although it was given up: real money, and the order counts as paid. Deliver, or refund.",
            "放弃后仍收到付款：钱已到账，订单记为已支付。请发货或退款。",
        ),
        AnomalyKind::PlacedElsewhere => (
            "The number is of an order that another system placed, and somebody named it here. It belongs to its payer; look who asked for it: `orders show`.",
            "该订单号由其他系统下单，有人在此使用。订单归付款人所有；用 `orders show` 查看请求者。",
        ),
        AnomalyKind::SecondPayment => (
            "A second payment for an order that is paid. Refund one of the two in the merchant platform.",
            "已支付订单的第二笔付款。请在商户平台退还其中一笔。",
        ),
        AnomalyKind::Contradiction => (
            "What WeChat Pay says contradicts what it said before; the books stand as they were. Compare with the merchant platform.",
            "微信支付的说法前后矛盾，账本保持原状。请与商户平台核对。",
        ),
        AnomalyKind::UnknownEvent => (
            "A notification of a kind that this version does not know: it is kept and moved nothing. Is there a newer version?",
            "本版本不认识的通知类型，已保存，未改动任何订单。请检查是否有新版本。",
        ),
        AnomalyKind::Unreadable => (
            "A genuine notification that cannot be read: it is kept and moved nothing. Ask WeChat Pay about its number in the merchant platform.",
            "真实但无法解读的通知，已保存，未改动任何订单。请在商户平台核对。",
        ),
        AnomalyKind::BillMissingHere => (
            "The bill has it, and this store does not know its number. Placed by another system under the same app? Then count it there; else look it up in the merchant platform.",
            "账单中有，本存储没有此单号。若由同一应用下的其他系统发起，在该处记账；否则请到商户平台核对。",
        ),
        AnomalyKind::BillMissingThere => (
            "This store counts it to the day, and it is not in the bill. Compare with the merchant platform before anything is delivered or paid out for it.",
            "本存储计入当日，账单中没有。发货或出款前请与商户平台核对。",
        ),
        AnomalyKind::BillAmount => (
            "The bill has another amount. Compare with the merchant platform; the money is what the bill says.",
            "账单金额不同。请与商户平台核对；实际金额以账单为准。",
        ),
        AnomalyKind::BillState => (
            "The bill has it as made, and this store does not. `pay-common reconcile --date DAY --repair` asks WeChat Pay and settles what it says.",
            "账单显示已完成，本存储未记录。用 `pay-common reconcile --date 日期 --repair` 向微信支付查询并入账。",
        ),
        AnomalyKind::BillRefund => (
            "The bill has another amount, state or order of this refund. `pay-common reconcile --date DAY --repair` asks WeChat Pay about its state; another amount is for the merchant platform.",
            "账单中该退款的金额、状态或订单不同。用 `pay-common reconcile --date 日期 --repair` 查询状态；金额不同请到商户平台核对。",
        ),
    }
}
