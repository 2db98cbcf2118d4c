//! A shop in bad weather: many orders while callbacks are lost, late, repeated and overtaken. At the end the books agree all the same.
//!
//! Everything hangs on the seed: who buys what, who pays, who leaves, what is refunded, and what becomes of each callback. Time is moved
//! on, not waited for.

mod books;
mod plan;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jiff::tz;
use serde_json::{Value, json};

use self::plan::{Buyer, End, Plan};
use super::SandboxArguments;
use super::page::Page;
use super::stage::Stage;
use crate::clock::Clock;
use crate::domain::order::OrderKind;
use crate::sandbox::{Mood, Options, RefundEnd, TokenOptions, WeatherReport};
use crate::store::history;

/// Orders of the scene that the command plays.
const ORDERS: usize = 40;

/// Longest wait for what is due to arrive, in real time.
const PATIENCE: Duration = Duration::from_mins(1);

/// The steps of the quiet time after the scene, and how many of each: callbacks come for a day, and WeChat is asked of a stuck refund
/// once a day.
const REST: [(Duration, usize); 3] = [
    (Duration::from_secs(20), 45),
    (Duration::from_mins(5), 24),
    (Duration::from_hours(1), 80),
];

/// Plays the scene and says what came of it; `true` when the books agree.
pub(super) async fn run(arguments: &SandboxArguments, seed: u64) -> anyhow::Result<bool> {
    let outcome = play(arguments, seed, ORDERS).await?;
    let mut out = io::stdout().lock();
    write!(out, "{outcome}")?;
    out.flush()?;
    Ok(outcome.agrees())
}

/// What came of a scene.
#[derive(Debug)]
pub(super) struct Outcome {
    seed: u64,
    orders: usize,
    weather: WeatherReport,
    /// Each check by its name, with what did not hold.
    checks: Vec<Check>,
    /// How payments and refunds became known.
    found: books::Found,
}

/// One thing that has to hold at the end, and what did not.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) complaints: Vec<String>,
}

impl Outcome {
    pub(super) fn agrees(&self) -> bool {
        self.checks.iter().all(|check| check.complaints.is_empty())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seed, weather, found) = (self.seed, &self.weather, &self.found);
        writeln!(f, "chaos, seed {seed}: {} orders / 订单 {}\n", self.orders, self.orders)?;
        for (name, number) in [
            ("facts announced / 应通知的事实", weather.announced),
            ("callbacks sent / 发出的回调", weather.sent),
            ("  lost / 丢失", weather.lost),
            ("  late / 延迟", weather.late),
            ("  repeated / 重复", weather.repeated),
            ("  overtaken by a later one / 乱序", weather.overtaken),
            ("payments and refunds found by callback / 由回调得知", found.by_callback),
            ("  found by asking / 由查询得知", found.by_asking),
        ] {
            writeln!(f, "{number:>6}  {name}")?;
        }
        writeln!(f)?;
        for check in &self.checks {
            let verdict = if check.complaints.is_empty() { "ok" } else { "FAILED" };
            writeln!(f, "[{verdict}] {}", check.name)?;
            for complaint in &check.complaints {
                writeln!(f, "       {complaint}")?;
            }
        }
        if self.agrees() {
            writeln!(f, "\nbooks agree / 账目一致")
        } else {
            writeln!(
                f,
                "\nbooks do NOT agree; again: pay-common sandbox --once --chaos {seed} / 账目不一致"
            )
        }
    }
}

/// Plays a scene of so many orders.
async fn play(arguments: &SandboxArguments, seed: u64, orders: usize) -> anyhow::Result<Outcome> {
    let options = Options {
        refund_after: None,
        chaos: Some(seed),
        ..Options::default()
    };
    let stage = Stage::at(arguments, options, Clock::movable()).await?;
    // Two scenes over one store do not meet; in a store that is thrown away the numbers are the seed's, too.
    let run = arguments.database_url.as_ref().map(|_| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        id.chars().take(8).collect::<String>()
    });
    let plan = Plan::new(seed, orders, run.as_deref().unwrap_or_default());
    // A store of an earlier scene has what this world knows nothing of, so that no bill could agree.
    let is_new = history::is_new(stage.service.db()).await?;
    let first_day = tz::offset(8).to_datetime(stage.world.clock().now()).date();
    let played = scene(&stage, &plan).await;
    let outcome = match played {
        Ok(mut refused) => {
            let (mut checks, found) = books::check(&stage, &plan).await?;
            refused.sort_unstable();
            let everyone = Check {
                name: "every call was answered with a yes / 每次调用均成功",
                complaints: refused,
            };
            checks.insert(0, everyone);
            if is_new {
                checks.push(books::bills(&stage, first_day).await?);
            }
            Ok(Outcome {
                seed,
                orders,
                weather: stage.world.wechat().weather(),
                checks,
                found,
            })
        }
        Err(error) => Err(error.context(format!("seed {seed}"))),
    };
    stage.strike().await;
    outcome
}

/// The scene itself; gives the calls that were refused.
async fn scene(stage: &Stage, plan: &Plan) -> anyhow::Result<Vec<String>> {
    let wechat = stage.world.wechat();
    let week = TokenOptions {
        expires_in: 7 * 24 * 3600,
        ..TokenOptions::default()
    };
    let page = Page::open(
        stage.world.gateway().function_url(),
        stage.world.gateway().mint_token("buyer-1", &week),
    )?;
    let mut refused = Vec::new();
    let mut call = async |what: String, body: Value| -> anyhow::Result<()> {
        let came = page.call(&body).await?;
        if !came.is_success() {
            refused.push(format!("{what}: {}", came.shown()));
        }
        Ok(())
    };
    // The business side has its own bad day.
    stage.world.business().set_mood(Mood::Status(503));
    for order in &plan.orders {
        call(format!("order {}", order.number), order.body()).await?;
        go_on(stage, Duration::from_secs(1)).await?;
    }
    for order in plan.by_turn() {
        match order.buyer {
            Buyer::Pays => {
                wechat.pay(&order.number)?;
            }
            Buyer::Cancels => wechat.cancel(&order.number)?,
            Buyer::Leaves => {}
            Buyer::IsRefused => {
                let body = json!({"_action": "wxpay_close_order", "out_trade_no": order.number});
                call(format!("close {}", order.number), body).await?;
            }
        }
        go_on(stage, Duration::from_secs(2)).await?;
    }
    // Part after part, each of another order than the one before.
    let parts = plan.orders.iter().map(|order| order.refunds.len()).max().unwrap_or(0);
    for part in 0..parts {
        let this_part = plan
            .orders
            .iter()
            .filter_map(|order| Some((order, order.refunds.get(part)?)));
        for (order, refund) in this_part {
            let body = json!({
                "_action": "wxpay_refund",
                "out_trade_no": order.number,
                "out_refund_no": refund.number,
                "amount": {"refund": refund.amount, "total": order.total, "currency": "CNY"},
            });
            call(format!("refund {}", refund.number), body).await?;
            go_on(stage, Duration::from_secs(3)).await?;
            match refund.end {
                End::Success => wechat.finish_refund(&refund.number, RefundEnd::Success)?,
                End::Closed => wechat.finish_refund(&refund.number, RefundEnd::Closed)?,
                End::AbnormalFirst => {
                    wechat.finish_refund(&refund.number, RefundEnd::Abnormal)?;
                    go_on(stage, Duration::from_mins(2)).await?;
                    wechat.finish_refund(&refund.number, RefundEnd::Success)?;
                }
            }
            go_on(stage, Duration::from_secs(3)).await?;
        }
    }
    stage.world.business().set_mood(Mood::Well);
    for (step, times) in REST {
        for _ in 0..times {
            go_on(stage, step).await?;
            if wechat.is_over()
                && books::open(stage, plan).await?.is_empty()
                && books::untold(stage, plan).await?.is_empty()
            {
                return Ok(refused);
            }
        }
    }
    Ok(refused)
}

/// Everybody's clock goes on; what is due arrives, and then the sweep asks about what is open.
async fn go_on(stage: &Stage, by: Duration) -> anyhow::Result<()> {
    stage.advance(by)?;
    let started = Instant::now();
    while !stage.world.wechat().is_quiet() {
        ensure!(started.elapsed() < PATIENCE, "callbacks that are due do not arrive");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stage.service.sweep().await.context("the sweep")?;
    stage.service.deliver().await.context("the webhooks")?;
    Ok(())
}

impl plan::Order {
    /// What the page sends.
    fn body(&self) -> Value {
        let action = match self.kind {
            OrderKind::Jsapi => "wxpay_order",
            OrderKind::H5 => "wxpay_order_h5",
            OrderKind::Native => "wxpay_order_native",
            OrderKind::App => "wxpay_order_app",
        };
        let mut body = json!({
            "_action": action,
            "description": "Test product",
            "out_trade_no": self.number,
            "amount": {"total": self.total, "currency": "CNY"},
        });
        match self.kind {
            OrderKind::Jsapi => body["payer"] = json!({"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}),
            OrderKind::H5 => {
                body["scene_info"] = json!({"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}});
            }
            OrderKind::Native | OrderKind::App => {}
        }
        body
    }
}

#[cfg(test)]
mod tests;
