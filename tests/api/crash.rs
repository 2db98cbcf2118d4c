//! The process dies between any two steps, and what it was doing is neither lost nor doubled.
//!
//! `PAY_COMMON_KILL_AT=n` makes the binary kill itself with SIGKILL at the n-th place at which something outside changes: before and
//! after each commit, before and after each question to WeChat. Every action is done once per place, until it comes through alive.

use std::time::{Duration, Instant};

use pay_common::domain::ids::{OutBillNo, OutTradeNo};
use pay_common::sandbox::{Keys, Options, RefundEnd, TokenOptions, World};
use pay_common::store::db::Db;
use pay_common::store::history;
use serde_json::{Value, json};

use crate::support::app::{Came, came, order, refund};
use crate::support::body::with;
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::payouts::{TRANSFER, transfer};
use crate::support::process::Process;

on_both_stores!(
    an_order_survives_a_kill_at_every_step,
    a_close_survives_a_kill_at_every_step,
    a_refund_survives_a_kill_at_every_step,
    a_payment_callback_survives_a_kill_at_every_step,
    a_refund_callback_survives_a_kill_at_every_step,
    a_transfer_survives_a_kill_at_every_step,
    a_transfer_callback_survives_a_kill_at_every_step,
    what_nobody_repeats_is_settled_by_the_next_start,
    a_transfer_that_nobody_repeats_is_settled_by_the_next_start,
);

/// The world and the store; the service comes and goes.
struct Stage {
    world: World,
    database: Database,
    http: reqwest::Client,
    token: String,
}

/// A place at which nothing has died: the last one of an action.
const MOST_PLACES: usize = 40;

impl Stage {
    async fn set(store: Store) -> Self {
        let options = Options {
            keys: Some(Keys::shared()),
            refund_after: None,
            ..Options::default()
        };
        let world = World::start(options).await.unwrap();
        // What is delivered is delivered here: a repeat of WeChat's beside it would pass places, too.
        world.wechat().lose_callbacks(u32::MAX);
        let token = world.gateway().mint_token("alice", &TokenOptions::default());
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self {
            world,
            database: Database::fresh(store).await,
            http,
            token,
        }
    }

    /// Starts the service, to be killed at a place or not at all.
    fn start(&self, kill_at: Option<usize>) -> Process {
        let mut settings: Vec<(String, String)> = self
            .world
            .settings()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        settings.extend(
            [
                ("bindAddress", "127.0.0.1"),
                ("PORT", "0"),
                ("DATABASE_URL", &self.database.url),
                // One that is to die does nothing else meanwhile: a sweep of what others left would pass places, too.
                ("sweepInterval", if kill_at.is_some() { "0" } else { "1" }),
                ("transferPolicy", "any"),
                ("authJwksUrl", &self.world.gateway().jwks_url()),
                ("logFormat", "json"),
                // To end itself as from outside it needs the system's `kill`.
                ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        if let Some(place) = kill_at {
            settings.push(("PAY_COMMON_KILL_AT".to_owned(), place.to_string()));
        }
        let process = Process::start(&settings);
        if let Some(address) = process.address {
            self.world.set_service(address).unwrap();
        }
        process
    }

    /// An action of alice; `None` when the process died of it.
    async fn act(&self, process: &Process, action: &str, body: &Value) -> Option<Came> {
        process.address?;
        let request = self
            .http
            .post(process.url(&format!("/wx-pay/{action}")))
            .bearer_auth(&self.token)
            .json(body);
        Some(came(request.send().await.ok()?).await)
    }

    async fn done(&self, process: &Process, action: &str, body: &Value) {
        let came = self.act(process, action, body).await.expect("nobody kills this one");
        assert_eq!(came.body["code"], 0, "{came:?}");
    }

    /// The events of the order of that number, and of the transfer that has its letters and digits.
    async fn events(&self, number: &str) -> Vec<String> {
        let db = Db::open(&self.database.url).await.unwrap();
        let mut events = history::events_of(&db, &OutTradeNo::parse(number).unwrap())
            .await
            .unwrap();
        let bill = OutBillNo::parse(bill_number(number)).unwrap();
        events.extend(history::events_of_transfer(&db, &bill).await.unwrap());
        assert_eq!(history::anomalies(&db).await.unwrap(), []);
        db.close().await;
        events
    }

    /// Does something at every place in turn: `prepare` with a process that lives, `deed` with one that may die of it, `again` with
    /// the next one, as whoever got no answer would. Then `holds` looks at the books.
    async fn at_every_place(
        &self,
        prepare: impl AsyncFn(&Self, &Process, &str),
        deed: impl AsyncFn(&Self, &Process, &str) -> bool,
        expected: &[&str],
    ) {
        for (died, place) in (1..=MOST_PLACES).enumerate() {
            let number = format!("ORDER_{place}");
            let living = self.start(None);
            prepare(self, &living, &number).await;
            drop(living);

            let mut mortal = self.start(Some(place));
            let came_through = deed(self, &mortal, &number).await && !mortal.is_dead();
            if came_through {
                assert_eq!(self.events(&number).await, expected, "alive, place {place}");
                assert!(died >= 4, "only {died} places were visited: {}", mortal.log());
                return;
            }
            assert_eq!(
                mortal.wait(),
                None,
                "a signal ended it, place {place}: {}",
                mortal.log()
            );

            let next = self.start(None);
            assert!(
                deed(self, &next, &number).await,
                "repeated after place {place}: {}",
                next.log()
            );
            assert_eq!(self.events(&number).await, expected, "place {place}");
        }
        panic!("it never came through alive");
    }
}

async fn an_order_survives_a_kill_at_every_step(store: Store) {
    let stage = Stage::set(store).await;
    stage
        .at_every_place(
            async |_, _, _| {},
            async |stage, process, number| {
                let came = stage.act(process, "wxpay_order", &order(number, 20)).await;
                came.is_some_and(|came| came.data()["prepay_id"].is_string())
            },
            &["order.created"],
        )
        .await;
}

async fn a_close_survives_a_kill_at_every_step(store: Store) {
    let stage = Stage::set(store).await;
    stage
        .at_every_place(
            async |stage, process, number| stage.done(process, "wxpay_order", &order(number, 20)).await,
            async |stage, process, number| {
                let came = stage
                    .act(process, "wxpay_close_order", &json!({"out_trade_no": number}))
                    .await;
                came.is_some_and(|came| came.body["data"]["status"] == 204)
            },
            &["order.created", "order.closed"],
        )
        .await;
}

/// An order that is placed and paid, and of which the books know.
async fn pay(stage: &Stage, process: &Process, number: &str) {
    stage.done(process, "wxpay_order", &order(number, 100)).await;
    stage.world.wechat().pay(number).unwrap();
    stage
        .done(
            process,
            "wxpay_query_order_by_out_trade_no",
            &json!({"out_trade_no": number}),
        )
        .await;
}

async fn a_refund_survives_a_kill_at_every_step(store: Store) {
    let stage = Stage::set(store).await;
    stage
        .at_every_place(
            pay,
            async |stage, process, number| {
                let body = refund(number, &format!("REFUND_{number}"), 30, 100);
                let came = stage.act(process, "wxpay_refund", &body).await;
                let once = stage.world.wechat().order(number).unwrap().refunds.len() <= 1;
                assert!(once, "money goes back once");
                came.is_some_and(|came| came.data()["status"] == "PROCESSING")
            },
            &["order.created", "order.paid", "refund.created"],
        )
        .await;
}

/// Delivers a forward; `false` when nobody answered.
async fn deliver(stage: &Stage, forward: &pay_common::sandbox::Forward) -> bool {
    stage
        .world
        .center()
        .send(forward)
        .await
        .is_ok_and(|reply| reply.status == 200)
}

async fn a_payment_callback_survives_a_kill_at_every_step(store: Store) {
    let stage = Stage::set(store).await;
    stage
        .at_every_place(
            async |stage, process, number| {
                stage.done(process, "wxpay_order", &order(number, 20)).await;
                stage.world.wechat().pay(number).unwrap();
            },
            async |stage, _, number| {
                let note = stage.world.wechat().payment_notification(number).unwrap();
                deliver(stage, &stage.world.center().forward_of(&note).unwrap()).await
            },
            &["order.created", "order.paid"],
        )
        .await;
}

async fn a_refund_callback_survives_a_kill_at_every_step(store: Store) {
    let stage = Stage::set(store).await;
    stage
        .at_every_place(
            async |stage, process, number| {
                pay(stage, process, number).await;
                let refund_number = format!("REFUND_{number}");
                stage
                    .done(process, "wxpay_refund", &refund(number, &refund_number, 30, 100))
                    .await;
                stage
                    .world
                    .wechat()
                    .finish_refund(&refund_number, RefundEnd::Success)
                    .unwrap();
            },
            async |stage, _, number| {
                let note = stage
                    .world
                    .wechat()
                    .refund_notification(&format!("REFUND_{number}"))
                    .unwrap();
                deliver(stage, &stage.world.center().forward_of(&note).unwrap()).await
            },
            &["order.created", "order.paid", "refund.created", "refund.succeeded"],
        )
        .await;
}

fn bill_number(number: &str) -> String {
    number.replace('_', "")
}

fn paid_out(number: &str) -> Value {
    with(transfer(&bill_number(number), 500), "user_name", json!("张三"))
}

async fn a_transfer_survives_a_kill_at_every_step(store: Store) {
    let stage = Stage::set(store).await;
    stage
        .at_every_place(
            async |_, _, _| {},
            async |stage, process, number| {
                let came = stage.act(process, TRANSFER, &paid_out(number)).await;
                came.is_some_and(|came| came.data()["package_info"].is_string())
            },
            &["transfer.created"],
        )
        .await;
}

async fn a_transfer_callback_survives_a_kill_at_every_step(store: Store) {
    let stage = Stage::set(store).await;
    stage
        .at_every_place(
            async |stage, process, number| {
                stage.done(process, TRANSFER, &paid_out(number)).await;
                stage.world.wechat().confirm_transfer(&bill_number(number)).unwrap();
            },
            async |stage, _, number| {
                let note = stage
                    .world
                    .wechat()
                    .transfer_notification(&bill_number(number))
                    .unwrap();
                deliver(stage, &stage.world.center().forward_of(&note).unwrap()).await
            },
            &["transfer.created", "transfer.succeeded"],
        )
        .await;
}

/// The caller is gone for good: what WeChat had accepted is found at the next start, without anybody asking.
async fn what_nobody_repeats_is_settled_by_the_next_start(store: Store) {
    nobody_repeats(store, "wxpay_order", "order.created", |number| order(number, 20)).await;
}

async fn a_transfer_that_nobody_repeats_is_settled_by_the_next_start(store: Store) {
    nobody_repeats(store, TRANSFER, "transfer.created", paid_out).await;
}

async fn nobody_repeats(store: Store, action: &str, event: &str, body: impl Fn(&str) -> Value) {
    let stage = Stage::set(store).await;
    let mut settled = 0;
    for place in 1..=MOST_PLACES {
        let number = format!("ORDER_{place}");
        let mut mortal = stage.start(Some(place));
        let came = stage.act(&mortal, action, &body(&number)).await;
        if let Some(came) = came
            && !mortal.is_dead()
        {
            assert_eq!(came.body["code"], 0, "place {place}: {came:?}\n{}", mortal.log());
            assert!(settled > 0, "in some place WeChat had it and the books did not say so");
            return;
        }
        let wechat = stage.world.wechat();
        let had_it = wechat.order(&number).is_some() || wechat.transfer(&bill_number(&number)).is_some();
        let next = stage.start(None);
        let started = Instant::now();
        let expected: &[&str] = if had_it { &[event] } else { &[] };
        while stage.events(&number).await != expected {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "place {place}: {}",
                next.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        settled += usize::from(had_it);
    }
    panic!("it never came through alive");
}
