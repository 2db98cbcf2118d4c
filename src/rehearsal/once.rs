//! The whole loop, step by step, with what was sent, what came back, and whether it held.

mod kinds;
mod rotation;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::SandboxArguments;
use super::page::{Page, shown};
use super::stage::Stage;
use crate::domain::ids::OutTradeNo;
use crate::sandbox::{Delivery, Options, RefundEnd, TokenOptions, TradeState};
use crate::store::{history, timeline};

/// The buyer under the service account's app.
const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";

/// Prints the steps and counts those that did not hold.
struct Report {
    steps: usize,
    failed: usize,
}

impl Report {
    fn say(line: &str) -> anyhow::Result<()> {
        writeln!(io::stdout().lock(), "{line}")?;
        Ok(())
    }

    fn step(&mut self, title: &str, sent: &str, came: &str, held: bool) -> anyhow::Result<()> {
        self.steps += 1;
        if !held {
            self.failed += 1;
        }
        let verdict = if held { "ok" } else { "FAILED" };
        Self::say(&format!(
            "{:>2}. [{verdict}] {title}\n      -> {sent}\n      <- {came}",
            self.steps
        ))
    }
}

pub(super) async fn run(arguments: &SandboxArguments) -> anyhow::Result<bool> {
    // A refund ends when the buyer's part says so, so that every step can be seen by itself.
    let stage = Stage::set_up(
        arguments,
        Options {
            refund_after: None,
            ..Options::default()
        },
    )
    .await?;
    let mut report = Report { steps: 0, failed: 0 };
    // No two walks over one store meet.
    let run: String = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
    let result = walk(&mut report, &stage, &run).await;
    stage.strike().await;
    result?;
    rotation::run(&mut report, arguments, &run).await?;
    Report::say(&format!(
        "\n{} of {} steps held / {} 步中 {} 步成立",
        report.steps - report.failed,
        report.steps,
        report.steps,
        report.steps - report.failed
    ))?;
    Ok(report.failed == 0)
}

async fn walk(report: &mut Report, stage: &Stage, run: &str) -> anyhow::Result<()> {
    let world = &stage.world;
    Report::say(&format!(
        "gateway {}  ->  pay-common http://{}  ->  WeChat Pay {}  ->  Integration Center {}  ->  pay-common\n",
        world.gateway().url(),
        stage.service.address(),
        world.wechat().url(),
        world.center().url()
    ))?;
    let token = world.gateway().mint_token("buyer-1", &TokenOptions::default());
    let page = Page::open(world.gateway().function_url(), token)?;
    let number = |which: u8| OutTradeNo::parse(format!("ORDER_{which}_{run}"));
    let (first, second, third) = (number(1)?, number(2)?, number(3)?);

    place(report, stage, &page, &first, "order through the gateway / 经网关下单").await?;
    pay(report, stage, &first).await?;
    duplicates(report, stage, &first).await?;
    query(report, &page, &first, "SUCCESS").await?;
    refund(report, stage, &page, &first, run).await?;
    place(report, stage, &page, &second, "a second order / 第二笔下单").await?;
    close(report, stage, &page, &second).await?;
    place(
        report,
        stage,
        &page,
        &third,
        "a third order, never paid / 第三笔下单，始终未支付",
    )
    .await?;
    forge(report, stage, &third).await?;
    kinds::orders(report, stage, &page, run).await?;
    kinds::transfer(report, stage, run).await?;

    books(
        report,
        stage,
        &first,
        &["order.created", "order.paid", "refund.created", "refund.succeeded"],
    )
    .await?;
    books(report, stage, &second, &["order.created", "order.closed"]).await?;
    books(report, stage, &third, &["order.created"]).await?;
    told(report, stage, &first, &second).await?;
    let anomalies = history::anomalies(stage.service.db()).await?;
    report.step(
        "nothing unexplained / 没有无法解释的事实",
        "the store's anomalies",
        &format!("{anomalies:?}"),
        anomalies.is_empty(),
    )
}

/// What the merchant's business system heard, by signed webhooks.
async fn told(report: &mut Report, stage: &Stage, first: &OutTradeNo, second: &OutTradeNo) -> anyhow::Result<()> {
    let business = stage.world.business();
    let heard = || (business.heard_of(first.as_str()), business.heard_of(second.as_str()));
    let whole = (
        ["order.created", "order.paid", "refund.created", "refund.succeeded"]
            .map(str::to_owned)
            .to_vec(),
        ["order.created", "order.closed"].map(str::to_owned).to_vec(),
    );
    let started = Instant::now();
    while heard() != whole && started.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (of_first, of_second) = heard();
    report.step(
        "the business system was told, in order and verified / 业务系统依序收到通知并验签",
        &format!("signed webhooks to {}", business.url()),
        &format!(
            "{first}: {}; {second}: {}; {} not genuine",
            of_first.join(", "),
            of_second.join(", "),
            business.refused()
        ),
        (of_first, of_second) == whole && business.refused() == 0,
    )
}

async fn place(
    report: &mut Report,
    stage: &Stage,
    page: &Page,
    number: &OutTradeNo,
    title: &str,
) -> anyhow::Result<()> {
    let body = json!({
        "_action": "wxpay_order",
        "description": "Test product",
        "out_trade_no": number,
        "amount": {"total": 20, "currency": "CNY"},
        "payer": {"openid": OPENID},
        "useServiceAccount": true,
    });
    let came = page.call(&body).await?;
    let params = came.content();
    let text = |name: &str| params[name].as_str().unwrap_or_default().to_owned();
    let message = format!(
        "{}\n{}\n{}\n{}\n",
        text("appId"),
        text("timeStamp"),
        text("nonceStr"),
        text("package")
    );
    let signed = stage.world.keys().sign_as_merchant(&message) == text("paySign");
    report.step(
        title,
        &format!("POST / {}", shown(&body)),
        &came.shown(),
        came.is_success() && signed,
    )
}

async fn pay(report: &mut Report, stage: &Stage, number: &OutTradeNo) -> anyhow::Result<()> {
    let earlier = deliveries(stage, "TRANSACTION.SUCCESS").len();
    let transaction_id = stage.world.wechat().pay(number.as_str())?;
    let seen = delivered(stage, "TRANSACTION.SUCCESS", earlier).await;
    let state = standing(stage, number).await?;
    report.step(
        "the buyer pays; WeChat calls back; the center forwards / 用户支付，微信回调，集成中心转发",
        &format!("pays {number}: {transaction_id}"),
        &format!("callback answered {seen}; the store says {state}"),
        seen == "200" && state == "SUCCESS",
    )
}

async fn duplicates(report: &mut Report, stage: &Stage, number: &OutTradeNo) -> anyhow::Result<()> {
    let world = &stage.world;
    let note = world
        .wechat()
        .payment_notification(number.as_str())
        .context("the order is paid")?;
    let forward = world.center().forward_of(&note)?;
    let mut replies = tokio::task::JoinSet::new();
    for _ in 0..15 {
        let (center, forward) = (world.center().clone(), forward.clone());
        replies.spawn(async move { center.send(&forward).await.map(|reply| reply.status) });
    }
    let replies: Vec<_> = replies.join_all().await;
    let good = replies.iter().filter(|reply| matches!(reply, Ok(200))).count();
    let paid = history::events_of(stage.service.db(), number)
        .await?
        .iter()
        .filter(|event| *event == "order.paid")
        .count();
    report.step(
        "the same callback 15 times more, at once / 同一回调再并发 15 次",
        &format!("15 x POST {}", forward.path),
        &format!("{good} x 200; events order.paid: {paid}"),
        good == 15 && paid == 1,
    )
}

async fn query(report: &mut Report, page: &Page, number: &OutTradeNo, expected: &str) -> anyhow::Result<()> {
    let body = json!({"_action": "wxpay_query_order_by_out_trade_no", "out_trade_no": number});
    let came = page.call(&body).await?;
    let held = came.is_success() && came.content()["trade_state"] == expected;
    report.step(
        "query / 查询订单",
        &format!("POST / {}", shown(&body)),
        &came.shown(),
        held,
    )
}

async fn refund(report: &mut Report, stage: &Stage, page: &Page, number: &OutTradeNo, run: &str) -> anyhow::Result<()> {
    let out_refund_no = format!("REFUND_{run}");
    let body = json!({
        "_action": "wxpay_refund",
        "out_trade_no": number,
        "out_refund_no": out_refund_no,
        "reason": "one of two returned",
        "amount": {"refund": 8, "total": 20, "currency": "CNY"},
    });
    let came = page.call(&body).await?;
    let accepted = came.is_success() && came.content()["status"] == "PROCESSING";
    report.step(
        "refund 8 of 20 fen / 部分退款 8 分",
        &format!("POST / {}", shown(&body)),
        &came.shown(),
        accepted,
    )?;

    stage.world.wechat().finish_refund(&out_refund_no, RefundEnd::Success)?;
    let seen = delivered(stage, "REFUND.SUCCESS", 0).await;
    let events = history::events_of(stage.service.db(), number).await?;
    let told = events.last().is_some_and(|event| event == "refund.succeeded");
    report.step(
        "the refund arrives; WeChat calls back / 退款到账，微信回调",
        &format!("ends {out_refund_no}: SUCCESS"),
        &format!(
            "callback answered {seen}; last event {}",
            events.last().map_or("none", String::as_str)
        ),
        seen == "200" && told,
    )
}

async fn close(report: &mut Report, stage: &Stage, page: &Page, number: &OutTradeNo) -> anyhow::Result<()> {
    let body = json!({"_action": "wxpay_close_order", "out_trade_no": number});
    let came = page.call(&body).await?;
    let there = stage.world.wechat().order(number.as_str()).map(|order| order.state);
    let held = came.is_success() && came.body["data"] == json!({"status": 204}) && there == Some(TradeState::Closed);
    report.step(
        "close it / 关闭订单",
        &format!("POST / {}", shown(&body)),
        &came.shown(),
        held,
    )
}

async fn forge(report: &mut Report, stage: &Stage, number: &OutTradeNo) -> anyhow::Result<()> {
    let world = &stage.world;
    let order = world.wechat().order(number.as_str()).context("the order is placed")?;
    let forged = world.center().forge(&order);
    let reply = world.center().send(&forged).await?;
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let state = standing(stage, number).await?;
    report.step(
        "a forged callback says that it is paid / 伪造“已支付”回调",
        &format!("POST {} {}", forged.path, shown(&forged.body["ParsedContent"])),
        &format!("{} {}; the store says {state}", reply.status, shown(&said)),
        (400..500).contains(&reply.status) && said["code"] == "FAIL" && state == "NOTPAY",
    )
}

async fn books(report: &mut Report, stage: &Stage, number: &OutTradeNo, expected: &[&str]) -> anyhow::Result<()> {
    let history = timeline::of_order(stage.service.db(), number).await?;
    let events = history::events_of(stage.service.db(), number).await?;
    report.step(
        &format!("the history of {number} in the store / 账本中的订单历史"),
        &format!("events expected: {}", expected.join(", ")),
        &format!("events told:     {}", events.join(", ")),
        events == expected,
    )?;
    for entry in history.context("the order is in the store")?.timeline {
        let (time, happened) = (jiff::Timestamp::from_millisecond(entry.at_ms)?, entry.happened);
        Report::say(&format!("         {time:.3}  {:<9} {happened}", happened.kind()))?;
    }
    Ok(())
}

async fn standing(stage: &Stage, number: &OutTradeNo) -> anyhow::Result<String> {
    Ok(history::standing_of(stage.service.db(), number)
        .await?
        .map_or_else(|| "nothing".to_owned(), |standing| standing.0))
}

/// What became of every callback of that kind.
fn deliveries(stage: &Stage, event_type: &str) -> Vec<Delivery> {
    let mut deliveries = stage.world.wechat().deliveries();
    deliveries.retain(|delivery| delivery.event_type == event_type);
    deliveries
}

/// The status with which the callback that follows on so many earlier ones of its kind was answered, once it was.
async fn delivered(stage: &Stage, event_type: &str, earlier: usize) -> String {
    let started = Instant::now();
    loop {
        let late = started.elapsed() > Duration::from_secs(8);
        match deliveries(stage, event_type)
            .get(earlier..)
            .and_then(<[Delivery]>::last)
        {
            Some(delivery) if delivery.is_acknowledged() => return "200".to_owned(),
            Some(delivery) if late => {
                return delivery
                    .status
                    .map_or_else(|| "nothing".to_owned(), |status| status.to_string());
            }
            None if late => return "nothing".to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
