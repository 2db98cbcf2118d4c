//! A process that is frozen between requests: nothing runs beside them, and nothing is lost by that.

use std::time::Duration;

use pay_common::config::Config;
use pay_common::config::source::Source;
use pay_common::sandbox::{Mood, Options};
use serde_json::json;

use crate::support::app::{OPERATOR, TestApp};
use crate::support::command::run;
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::offline::Offline;

on_both_stores!(
    nothing_runs_beside_the_requests,
    the_business_side_is_told_before_the_answer,
    a_slow_business_side_holds_an_answer_up_for_a_moment_only,
    what_people_asked_for_is_written_down_before_the_answer,
);

async fn start(store: Store) -> TestApp {
    let more = [
        ("serverless", "true"),
        ("allowEphemeralStore", "true"),
        ("sweepInterval", "1"),
    ];
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let mut offline = Offline::over(Database::fresh(store).await, options, &more).await;
    for (name, value) in offline.world.business().settings() {
        offline.set(name, &value);
    }
    offline.start().await
}

async fn tick(t: &TestApp) -> serde_json::Value {
    let key = format!("Bearer {OPERATOR}");
    let came = t.post("/internal/tick", &[("authorization", &key)], "").await;
    assert_eq!(came.status, 200, "{came:?}");
    came.body["data"].clone()
}

async fn nothing_runs_beside_the_requests(store: Store) {
    let t = start(store).await;
    t.world.wechat().lose_callbacks(1000);
    t.world.business().set_mood(Mood::Status(500));
    t.placed("ORDER_1", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    t.world.business().set_mood(Mood::Well);
    t.advance(Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.world.business().heard().len(), 0);
    assert_eq!(tick(&t).await["orders"], 1);
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
    assert_eq!(t.world.business().heard_of("ORDER_1"), ["order.created", "order.paid"]);
}

async fn the_business_side_is_told_before_the_answer(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 20).await;
    assert_eq!(t.world.business().heard_of("ORDER_1"), ["order.created"]);
    t.world.wechat().lose_callbacks(1000);
    t.world.wechat().pay("ORDER_1").unwrap();
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    let forward = t.world.center().forward_of(&note).unwrap();
    assert_eq!(t.forward(&forward).await.status, 200);
    assert_eq!(t.world.business().heard_of("ORDER_1"), ["order.created", "order.paid"]);
}

async fn a_slow_business_side_holds_an_answer_up_for_a_moment_only(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Slow(Duration::from_secs(20)));
    let placing = tokio::time::timeout(Duration::from_secs(8), t.placed("ORDER_1", 20)).await;
    assert!(placing.is_ok(), "the buyer does not wait for the business side");
    let said = run(&t.database.url, &["webhooks", "list", "--json"]).document();
    assert_eq!(said["events"][0]["problem"], json!("no answer in time"), "{said:#}");
}

async fn what_people_asked_for_is_written_down_before_the_answer(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 20).await;
    t.placed("ORDER_1", 20).await;
    let shown = run(&t.database.url, &["orders", "show", "ORDER_1", "--json"]).document();
    assert!(shown.to_string().contains("\"kind\":\"request\""), "{shown:#}");
}

#[test]
fn sqlite_is_refused_where_the_disk_is_thrown_away() {
    for mark in [
        ("serverless", "true"),
        ("TENCENTCLOUD_RUNENV", "SCF"),
        ("SCF_RUNTIME", "Go1"),
    ] {
        let settings = [mark, ("DATABASE_URL", "sqlite://pay-common.db")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let refused = Config::read(&Source::of_pairs(settings).unwrap())
            .unwrap_err()
            .to_string();
        assert!(refused.contains("DATABASE_URL: is SQLite"), "{refused}");
    }
    let told = [
        ("serverless", "false"),
        ("SCF_RUNTIME", "Go1"),
        ("DATABASE_URL", "sqlite://pay-common.db"),
    ];
    let told = told.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let refused = Config::read(&Source::of_pairs(told).unwrap()).unwrap_err().to_string();
    assert!(!refused.contains("DATABASE_URL"), "{refused}");
}
