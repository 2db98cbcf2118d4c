//! A callback that is lost keeps nothing unknown: WeChat is asked, soon and seldom, by whichever way in comes first.

use std::time::Duration;

use pay_common::sandbox::{Mood, Options, RefundEnd};
use serde_json::json;

use crate::support::app::{OPERATOR, TestApp, refund};
use crate::support::command::Said;
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::offline::Offline;

on_both_stores!(
    a_payment_without_a_callback_is_known_at_the_next_question,
    an_unpaid_order_is_asked_about_12_times_at_most_and_closed,
    an_order_that_is_not_closed_here_is_asked_about_12_times_at_most,
    a_payment_in_the_last_second_is_found_before_the_close,
    the_timer_finds_a_lost_payment_by_itself,
    a_tick_is_for_operators,
    a_tick_asks_closes_and_tells,
    a_tick_follows_a_refund_to_its_end,
    two_ticks_at_once_ask_once,
    the_command_does_what_is_due,
);

async fn start(store: Store, more: &[(&str, &str)]) -> TestApp {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, more).await;
    lose_callbacks(&t);
    t
}

fn lose_callbacks(t: &TestApp) {
    t.world.wechat().lose_callbacks(100_000);
}

/// How often WeChat was asked about the order.
fn asked(t: &TestApp, number: &str) -> usize {
    let path = format!("/v3/pay/transactions/out-trade-no/{number}?");
    let seen = t.world.wechat().requests();
    seen.iter()
        .filter(|seen| seen.path_and_query.starts_with(&path))
        .count()
}

/// Goes through the time second by second where something is due, minute by minute where nothing can be.
async fn live(t: &TestApp, seconds: u64, step: u64) {
    for _ in 0..seconds / step {
        t.advance(Duration::from_secs(step));
        t.service.sweep().await.unwrap();
    }
}

async fn state(t: &TestApp, number: &str) -> String {
    t.state(number).await.unwrap_or_default()
}

async fn a_payment_without_a_callback_is_known_at_the_next_question(store: Store) {
    let t = start(store, &[]).await;
    t.placed("ORDER_1", 20).await;
    live(&t, 30, 1).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    live(&t, 10, 1).await;
    assert_eq!(state(&t, "ORDER_1").await, "SUCCESS");
}

async fn an_unpaid_order_is_asked_about_12_times_at_most_and_closed(store: Store) {
    let t = start(store, &[]).await;
    t.placed("ORDER_1", 20).await;
    live(&t, 90, 1).await;
    assert_eq!(asked(&t, "ORDER_1"), 9);
    live(&t, 2000, 4).await;
    assert_eq!(state(&t, "ORDER_1").await, "CLOSED");
    live(&t, 2 * 86_400, 7200).await;
    assert_eq!(asked(&t, "ORDER_1"), 12);
}

async fn an_order_that_is_not_closed_here_is_asked_about_12_times_at_most(store: Store) {
    let t = start(store, &[("closeUnpaidAfter", "0")]).await;
    t.placed("ORDER_1", 20).await;
    live(&t, 92, 4).await;
    live(&t, 86_400, 300).await;
    assert_eq!(
        (asked(&t, "ORDER_1"), state(&t, "ORDER_1").await.as_str()),
        (10, "NOTPAY")
    );
    // WeChat itself closes it after a week.
    live(&t, 30 * 86_400, 86_400).await;
    assert_eq!(
        (asked(&t, "ORDER_1"), state(&t, "ORDER_1").await.as_str()),
        (12, "CLOSED")
    );
}

async fn a_payment_in_the_last_second_is_found_before_the_close(store: Store) {
    let t = start(store, &[]).await;
    t.placed("ORDER_1", 20).await;
    live(&t, 592, 8).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    live(&t, 24, 8).await;
    assert_eq!(state(&t, "ORDER_1").await, "SUCCESS");
}

async fn the_timer_finds_a_lost_payment_by_itself(store: Store) {
    let t = start(store, &[("sweepInterval", "1")]).await;
    t.placed("ORDER_1", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    t.advance(Duration::from_secs(10));
    t.eventually("ORDER_1", "SUCCESS").await;
}

async fn tick(t: &TestApp) -> serde_json::Value {
    let key = format!("Bearer {OPERATOR}");
    let came = t.post("/internal/tick", &[("authorization", &key)], "").await;
    assert_eq!((came.status, &came.body["code"]), (200, &json!(0)), "{came:?}");
    came.body["data"].clone()
}

async fn a_tick_is_for_operators(store: Store) {
    let t = start(store, &[("trustPlatformHeaders", "true")]).await;
    let nobody = t.post("/internal/tick", &[], "").await;
    assert_eq!(nobody.failure(), (401, "UNAUTHENTICATED"));
    let alice = format!("Bearer {}", t.token("alice"));
    let buyer = t.post("/internal/tick", &[("authorization", &alice)], "").await;
    assert_eq!(buyer.failure(), (403, "FORBIDDEN"));
    let platform = t
        .post("/internal/tick", &[("x-wx-openid", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")], "")
        .await;
    assert_eq!(platform.failure(), (403, "FORBIDDEN"));
    let wrong = t
        .post("/internal/tick", &[("authorization", "Bearer op_wrong")], "")
        .await;
    assert_eq!(wrong.failure(), (401, "UNAUTHENTICATED"));
}

async fn a_tick_asks_closes_and_tells(store: Store) {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let mut offline = Offline::over(Database::fresh(store).await, options, &[]).await;
    for (name, value) in offline.world.business().settings() {
        offline.set(name, &value);
    }
    let t = offline.start().await;
    lose_callbacks(&t);
    t.placed("ORDER_1", 20).await;
    t.placed("ORDER_2", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    t.world.business().set_mood(Mood::Status(500));
    t.advance(Duration::from_secs(601));
    let done = tick(&t).await;
    assert_eq!((&done["orders"], &done["more"]), (&json!(2), &json!(false)), "{done}");
    assert_eq!(
        (state(&t, "ORDER_1").await, state(&t, "ORDER_2").await),
        ("SUCCESS".into(), "CLOSED".into())
    );
    t.world.business().set_mood(Mood::Well);
    t.advance(Duration::from_secs(3600));
    while t.world.business().heard().len() < 4 {
        tick(&t).await;
    }
    assert_eq!(t.world.business().heard_of("ORDER_1"), ["order.created", "order.paid"]);
    assert_eq!(
        t.world.business().heard_of("ORDER_2"),
        ["order.created", "order.closed"]
    );
}

async fn a_tick_follows_a_refund_to_its_end(store: Store) {
    let t = start(store, &[]).await;
    t.placed("ORDER_1", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    t.advance(Duration::from_secs(10));
    tick(&t).await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 5, 20)).await.data();
    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    t.advance(Duration::from_secs(120));
    let done = tick(&t).await;
    assert_eq!(done["refunds"], 1, "{done}");
    assert_eq!(state(&t, "ORDER_1").await, "REFUND");
}

async fn two_ticks_at_once_ask_once(store: Store) {
    let t = start(store, &[]).await;
    for n in 0..30 {
        t.placed(&format!("ORDER_{n}"), 20).await;
    }
    t.advance(Duration::from_secs(10));
    let (one, other) = tokio::join!(tick(&t), tick(&t));
    let orders = |done: &serde_json::Value| done["orders"].as_u64().unwrap();
    assert_eq!(orders(&one) + orders(&other), 30, "{one} {other}");
    for n in 0..30 {
        assert_eq!(asked(&t, &format!("ORDER_{n}")), 1);
    }
}

async fn the_command_does_what_is_due(store: Store) {
    let t = start(store, &[]).await;
    t.placed("ORDER_1", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    let run = |t: &TestApp| -> Said {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pay-common"));
        let settings = t.settings.iter().map(|(name, value)| (name, value));
        command.args(["sweep", "--json"]).env_clear().envs(settings);
        command.current_dir(std::env::temp_dir()).output().unwrap().into()
    };
    // The command goes by the system's clock.
    assert_eq!(run(&t).document()["orders"], 0);
    tokio::time::sleep(Duration::from_millis(9_700)).await;
    assert_eq!(run(&t).document()["orders"], 1);
    assert_eq!(state(&t, "ORDER_1").await, "SUCCESS");
}
