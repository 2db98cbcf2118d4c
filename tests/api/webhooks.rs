//! The business side hears of it: signed, in order within an order, at least once with one id, by one sender at a time.

use std::time::{Duration, Instant};

use pay_common::sandbox::{Business, Heard, Mood, Options, RefundEnd, TokenOptions, TransferEnd};
use pay_common::store::history;
use serde_json::{Value, json};

use crate::support::app::{TestApp, order, refund};
use crate::support::command::{eventually, run};
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::offline::Offline;
use crate::support::process::Process;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn four_instances_killed_at_random_lose_nothing_and_never_send_at_the_same_time() {
    const ORDERS: usize = 60;
    let offline = Offline::over(Database::fresh(Store::Postgres).await, Options::default(), &[]).await;
    let (world, business) = (&offline.world, offline.world.business());
    business.set_mood(Mood::Slow(Duration::from_millis(200)));
    let mut settings = offline.settings.clone();
    settings.extend(
        business
            .settings()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    let mut instances: Vec<Process> = (0..4).map(|_| Process::start(&settings)).collect();
    let token = format!(
        "Bearer {}",
        world.gateway().mint_token("alice", &TokenOptions::default())
    );
    let mut dice = 7_u64;
    for n in 0..ORDERS {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let which = usize::try_from(dice >> 62).unwrap();
        let body = order(&format!("ORDER_{n}"), 20);
        let request = offline
            .http
            .post(instances[which].url("/wx-pay/wxpay_order"))
            .header("authorization", &token)
            .json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{n}: {}", answer.text().await.unwrap());
        let close = offline
            .http
            .post(instances[(which + 1) % 4].url("/wx-pay/wxpay_close_order"))
            .header("authorization", &token)
            .json(&json!({"out_trade_no": format!("ORDER_{n}")}));
        assert!(close.send().await.unwrap().status().is_success(), "{n}");
        if n % 5 == 4 {
            // Dropping is SIGKILL, in the middle of whatever it was sending.
            let victim = usize::try_from((dice >> 40) & 3).unwrap();
            instances[victim] = Process::start(&settings);
        }
    }
    for n in 0..ORDERS {
        let told = heard(business, &format!("ORDER_{n}"), 2).await;
        assert_eq!(told, ["order.created", "order.closed"], "{n}");
    }
    assert_eq!((business.overlaps(), business.refused()), (0, 0));
    assert!(business.heard().iter().any(|one| one.times == 1));
}

on_both_stores!(
    an_orders_life_is_told_in_order_and_each_thing_once,
    what_is_told_holds_the_orders_own_record_and_wechats_words,
    nothing_waits_where_nobody_is_to_be_told,
    a_receiver_that_is_down_for_a_day_hears_everything_in_order,
    an_order_waits_for_its_own_events_only,
    after_the_last_attempt_an_event_is_dead_until_somebody_replays_it,
    a_receiver_that_is_gone_is_not_asked_again,
    an_answer_that_was_lost_makes_a_repeat_with_the_same_id,
    a_closed_order_and_an_anomaly_are_told,
    either_secret_verifies_while_one_replaces_the_other,
    an_event_that_is_under_way_is_not_replayed,
    a_stop_lets_the_message_under_way_end,
    every_event_is_as_the_document_shows_it,
    no_secret_is_logged_or_listed,
    a_person_sees_what_waits_and_why,
);

/// A service that tells the world's business system.
async fn start(store: Store) -> TestApp {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    told(Offline::over(Database::fresh(store).await, options, &[]).await).await
}

async fn told(mut offline: Offline) -> TestApp {
    for (name, value) in offline.world.business().settings() {
        offline.set(name, &value);
    }
    offline.start().await
}

/// Until the business system has heard as many things of an order.
async fn heard(business: &Business, subject: &str, most: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let heard = business.heard_of(subject);
        if heard.len() >= most {
            return heard;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{heard:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many attempts have ended.
async fn ended(t: &TestApp) -> i64 {
    use sqlx::Connection as _;
    sqlx::any::install_default_drivers();
    let mut conn = sqlx::AnyConnection::connect(&t.database.url).await.unwrap();
    sqlx::query_scalar("SELECT COUNT(*) FROM attempts")
        .fetch_one(&mut conn)
        .await
        .unwrap()
}

/// What the command says of the events, once it fits.
async fn events(t: &TestApp, state: &str, fits: impl Fn(&[Value]) -> bool + Send + Sync) -> Vec<Value> {
    let list = ["webhooks", "list", "--json", "--state", state];
    let document = eventually(&t.database.url, &list, |document| {
        fits(document["events"].as_array().unwrap())
    });
    document.await["events"].as_array().unwrap().clone()
}

async fn paid(t: &TestApp, number: &str) {
    t.placed(number, 20).await;
    t.world.wechat().pay(number).unwrap();
    t.eventually(number, "SUCCESS").await;
}

async fn an_orders_life_is_told_in_order_and_each_thing_once(store: Store) {
    let t = start(store).await;
    paid(&t, "ORDER_1").await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 5, 20)).await.data();
    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    let business = t.world.business();
    assert_eq!(
        heard(business, "ORDER_1", 4).await,
        ["order.created", "order.paid", "refund.created", "refund.succeeded"]
    );
    assert!(
        business.heard().iter().all(|one| one.times == 1),
        "{:?}",
        business.heard()
    );
    assert_eq!((business.refused(), business.overlaps()), (0, 0));
    let shown = run(&t.database.url, &["orders", "show", "ORDER_1", "--json"]).document();
    assert!(shown.to_string().contains("\"delivery\":\"DELIVERED\""), "{shown:#}");
    events(&t, "DELIVERED", |events| events.len() == 4).await;
}

async fn what_is_told_holds_the_orders_own_record_and_wechats_words(store: Store) {
    let t = start(store).await;
    paid(&t, "ORDER_1").await;
    heard(t.world.business(), "ORDER_1", 2).await;
    let paid = t.world.business().heard()[1].payload.clone();
    assert_eq!((&paid["version"], &paid["type"]), (&json!(1), &json!("order.paid")));
    assert!(paid["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let data = &paid["data"];
    assert_eq!((&data["total"], &data["trade_state"]), (&json!(20), &json!("SUCCESS")));
    assert_eq!(data["resource"]["amount"]["total"], 20);
    assert_eq!(data["resource"]["transaction_id"], data["transaction_id"]);
}

async fn nothing_waits_where_nobody_is_to_be_told(store: Store) {
    let t = TestApp::start(store).await;
    paid(&t, "ORDER_1").await;
    events(&t, "UNSENT", |events| events.len() == 2).await;
    assert_eq!(
        run(&t.database.url, &["webhooks", "list", "--json"]).document(),
        json!({"events": []})
    );
    assert_eq!(t.world.business().heard().len(), 0);
}

async fn a_receiver_that_is_down_for_a_day_hears_everything_in_order(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Status(503));
    let numbers: Vec<String> = (0..10).map(|n| format!("ORDER_{n}")).collect();
    for number in &numbers {
        paid(&t, number).await;
    }
    for _ in 0..24 * 12 {
        t.advance(Duration::from_secs(300));
        t.service.deliver().await.unwrap();
    }
    assert_eq!(t.world.business().heard().len(), 0);
    let waiting = events(&t, "WAITING", |events| events.len() == 20).await;
    let attempts = |kind: &str| -> Vec<i64> {
        let of_kind = waiting.iter().filter(|event| event["type"] == kind);
        of_kind.map(|event| event["attempts"].as_i64().unwrap()).collect()
    };
    assert!(
        attempts("order.created")
            .iter()
            .all(|attempts| (15..20).contains(attempts)),
        "{waiting:?}"
    );
    assert_eq!(attempts("order.paid"), [0; 10], "each waits for the one before");
    t.world.business().set_mood(Mood::Well);
    // The longest pause of the schedule, and its jitter.
    t.advance(Duration::from_secs(9000));
    for number in &numbers {
        assert_eq!(
            heard(t.world.business(), number, 2).await,
            ["order.created", "order.paid"]
        );
    }
    assert_eq!(t.world.business().overlaps(), 0);
}

async fn an_order_waits_for_its_own_events_only(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Status(500));
    paid(&t, "ORDER_1").await;
    events(&t, "WAITING", |events| {
        events.iter().any(|event| event["problem"] == "status 500")
    })
    .await;
    t.world.business().set_mood(Mood::Well);
    paid(&t, "ORDER_2").await;
    assert_eq!(
        heard(t.world.business(), "ORDER_2", 2).await,
        ["order.created", "order.paid"]
    );
    assert_eq!(
        t.world.business().heard_of("ORDER_1"),
        [""; 0],
        "its first event waits for its time"
    );
    t.advance(Duration::from_secs(10));
    assert_eq!(
        heard(t.world.business(), "ORDER_1", 2).await,
        ["order.created", "order.paid"]
    );
}

async fn after_the_last_attempt_an_event_is_dead_until_somebody_replays_it(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Status(500));
    t.placed("ORDER_1", 20).await;
    for attempt in 1..=20 {
        let state = if attempt == 20 { "DEAD" } else { "WAITING" };
        // An attempt is counted when it begins, and must not find the clock moved at its end.
        while ended(&t).await < attempt {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        events(&t, state, |events| {
            events.len() == 1 && events[0]["attempts"] == attempt && events[0]["problem"] == "status 500"
        })
        .await;
        t.advance(Duration::from_secs(10 * 3600));
    }
    // What comes after it is not held up by it.
    t.world.business().set_mood(Mood::Well);
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(heard(t.world.business(), "ORDER_1", 1).await, ["order.closed"]);
    let said = run(&t.database.url, &["webhooks", "replay", "--dead", "--json"]).document();
    assert_eq!(said["replayed"].as_array().unwrap().len(), 1);
    assert_eq!(
        heard(t.world.business(), "ORDER_1", 2).await,
        ["order.closed", "order.created"]
    );
    let unknown = run(&t.database.url, &["webhooks", "replay", "nobody"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("nobody"), "{unknown:?}");
}

async fn a_receiver_that_is_gone_is_not_asked_again(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Status(410));
    t.placed("ORDER_1", 20).await;
    let dead = events(&t, "DEAD", |events| events.len() == 1).await;
    assert_eq!(
        (&dead[0]["attempts"], &dead[0]["problem"]),
        (&json!(1), &json!("the receiver is gone"))
    );
}

async fn an_answer_that_was_lost_makes_a_repeat_with_the_same_id(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Lost);
    t.placed("ORDER_1", 20).await;
    heard(t.world.business(), "ORDER_1", 1).await;
    t.world.business().set_mood(Mood::Well);
    events(&t, "WAITING", |events| {
        events.len() == 1 && events[0]["problem"] == "status 504"
    })
    .await;
    t.advance(Duration::from_secs(10));
    events(&t, "DELIVERED", |events| events.len() == 1).await;
    let heard = t.world.business().heard();
    assert_eq!((heard.len(), heard[0].times), (1, 2), "{heard:?}");
}

async fn a_closed_order_and_an_anomaly_are_told(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 20).await;
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(
        heard(t.world.business(), "ORDER_1", 2).await,
        ["order.created", "order.closed"]
    );
    t.placed("ORDER_2", 20).await;
    t.world.wechat().pay("ORDER_2").unwrap();
    let strange = t.world.wechat().payment_notification_with("ORDER_2", |note| {
        note.resource["out_trade_no"] = json!("ORDER_UNKNOWN");
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    assert_eq!(t.forward(&strange).await.status, 200);
    assert_eq!(
        heard(t.world.business(), "ORDER_UNKNOWN", 1).await,
        ["anomaly.detected"]
    );
    let told = t.world.business().heard();
    let anomaly = told.iter().find(|one| one.kind == "anomaly.detected").unwrap();
    assert_eq!(
        anomaly.payload["data"]["kind"],
        history::anomalies(t.service.db()).await.unwrap()[0].0
    );
}

async fn either_secret_verifies_while_one_replaces_the_other(store: Store) {
    let offline = Offline::over(Database::fresh(store).await, Options::default(), &[]).await;
    let mut offline = offline;
    let (url, secret) = (offline.world.business().url(), offline.world.business().secret());
    offline.set("webhookUrl", &url);
    offline.set("webhookSecret", &format!("whsec_{}, {secret}", "QUFB".repeat(8)));
    let t = offline.start().await;
    t.placed("ORDER_1", 20).await;
    assert_eq!(heard(t.world.business(), "ORDER_1", 1).await, ["order.created"]);
}

async fn an_event_that_is_under_way_is_not_replayed(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Slow(Duration::from_secs(2)));
    t.placed("ORDER_1", 20).await;
    let taken = events(&t, "WAITING", |events| events.len() == 1 && events[0]["attempts"] == 1).await;
    let id = taken[0]["event_id"].as_str().unwrap();
    let said = run(&t.database.url, &["webhooks", "replay", id]);
    assert_eq!(said.code, Some(1), "{said:?}");
    heard(t.world.business(), "ORDER_1", 1).await;
    events(&t, "DELIVERED", |events| events.len() == 1).await;
    // And once it is not, it is told again with its old id.
    t.world.business().set_mood(Mood::Well);
    assert_eq!(run(&t.database.url, &["webhooks", "replay", id]).code, Some(0));
    events(&t, "DELIVERED", |events| {
        events.len() == 1 && events[0]["attempts"] == 2
    })
    .await;
    assert_eq!(t.world.business().heard()[0].times, 2);
    assert_eq!(t.world.business().overlaps(), 0);
}

async fn a_stop_lets_the_message_under_way_end(store: Store) {
    let t = start(store).await;
    t.world.business().set_mood(Mood::Slow(Duration::from_millis(700)));
    t.placed("ORDER_1", 20).await;
    events(&t, "WAITING", |events| events.len() == 1 && events[0]["attempts"] == 1).await;
    let (service, offline) = t.part();
    service.stop().await;
    assert_eq!(offline.world.business().heard_of("ORDER_1"), ["order.created"]);
    let said = run(
        &offline.database.url,
        &["webhooks", "list", "--state", "delivered", "--json"],
    )
    .document();
    assert_eq!(said["events"].as_array().unwrap().len(), 1, "{said:#}");
}

/// Everything that can be told, once each at least.
async fn every_event(t: &TestApp) -> Vec<Heard> {
    let wechat = t.world.wechat();
    paid(t, "ORDER_1").await;
    for (number, end) in [
        ("REFUND_1", RefundEnd::Success),
        ("REFUND_2", RefundEnd::Abnormal),
        ("REFUND_3", RefundEnd::Closed),
    ] {
        t.act("wxpay_refund", refund("ORDER_1", number, 5, 20)).await.data();
        wechat.finish_refund(number, end).unwrap();
    }
    t.placed("ORDER_2", 20).await;
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_2"})).await;
    t.transferred("T1", 500).await;
    wechat.confirm_transfer("T1").unwrap();
    t.transferred("T2", 500).await;
    let end = TransferEnd::Fail("PAYEE_ACCOUNT_ABNORMAL".to_owned());
    wechat.end_transfer("T2", &end).unwrap();
    let strange = wechat.payment_notification_with("ORDER_1", |note| {
        note.resource["out_trade_no"] = json!("ORDER_UNKNOWN");
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    assert_eq!(t.forward(&strange).await.status, 200);
    let started = Instant::now();
    loop {
        let told = t.world.business().heard();
        if told.len() >= 15 {
            return told;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{told:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The names of an object's members, each with the type of its value. What WeChat says is WeChat's.
fn members(object: &Value) -> Vec<String> {
    let of = |(name, value): (&String, &Value)| match value {
        Value::String(_) => format!("{name}: text"),
        Value::Number(_) => format!("{name}: number"),
        _ => name.clone(),
    };
    object.as_object().unwrap().iter().map(of).collect()
}

async fn every_event_is_as_the_document_shows_it(store: Store) {
    let document = include_str!("../../docs/webhooks.md");
    let examples: Vec<Value> = document
        .split("```json")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    let t = start(store).await;
    let told = every_event(&t).await;
    for one in &told {
        let shown = examples.iter().find(|example| example["type"] == one.kind.as_str());
        let shown = shown.unwrap_or_else(|| panic!("{} is not in the document", one.kind));
        assert_eq!(members(&one.payload), members(shown), "{}", one.kind);
        assert_eq!(members(&one.payload["data"]), members(&shown["data"]), "{}", one.kind);
        assert!(document.contains(&format!("| `{}` |", one.kind)), "{}", one.kind);
    }
    for example in &examples {
        let kind = example["type"].as_str().unwrap();
        assert!(told.iter().any(|one| one.kind == kind), "nothing tells {kind}");
    }
}

/// The address may hold a password and a token, the secrets are secrets, and neither is anybody's to read.
async fn no_secret_is_logged_or_listed(store: Store) {
    let offline = Offline::over(Database::fresh(store).await, Options::default(), &[]).await;
    let business = offline.world.business();
    business.set_mood(Mood::Status(500));
    let mut settings = offline.settings.clone();
    let url = business.url().replace("http://", "http://shop:hidden-word@") + "?token=hidden-token";
    for (name, value) in [
        ("webhookUrl", url.as_str()),
        (
            "webhookSecret",
            &format!("{},whsec_{}", business.secret(), "SElE".repeat(8)),
        ),
        ("logLevel", "trace"),
    ] {
        settings.push((name.to_owned(), value.to_owned()));
    }
    let process = Process::start(&settings);
    let token = offline.world.gateway().mint_token("alice", &TokenOptions::default());
    let placing = offline
        .http
        .post(process.url("/wx-pay/wxpay_order"))
        .bearer_auth(&token);
    let answer = placing.json(&order("ORDER_1", 20)).send().await.unwrap();
    assert!(answer.status().is_success());
    let list = ["webhooks", "list", "--json"];
    eventually(&offline.database.url, &list, |document| {
        document["events"][0]["problem"] == "status 500"
    })
    .await;
    let table = run(&offline.database.url, &["webhooks", "list"]);
    let seen = format!("{} {} {}", process.log(), table.out, table.err);
    assert!(seen.contains("did not take a webhook"), "{seen}");
    let secret = business.secret();
    for hidden in [
        "hidden-word",
        "hidden-token",
        "SElE",
        secret.trim_start_matches("whsec_"),
    ] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
}

async fn a_person_sees_what_waits_and_why(store: Store) {
    let t = start(store).await;
    let list = |arguments: &[&str]| run(&t.database.url, &[&["webhooks", "list"], arguments].concat());
    assert_eq!(list(&[]).out, "nothing of that kind / 没有此类通知\n");
    t.world.business().set_mood(Mood::Status(502));
    paid(&t, "ORDER_1").await;
    events(&t, "waiting", |events| {
        events.iter().any(|event| event["problem"] == "status 502")
    })
    .await;
    let shown = list(&[]).out;
    for word in ["order.created", "order.paid", "ORDER_1", "WAITING", "status 502"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!(
        list(&["--limit", "1", "--json"]).document()["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let wrong = list(&["--state", "LOST"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("UNSENT, WAITING, DELIVERED, DEAD"), "{wrong:?}");
    // The order's own history has each attempt.
    t.world.business().set_mood(Mood::Well);
    t.advance(Duration::from_secs(10));
    heard(t.world.business(), "ORDER_1", 2).await;
    let show = ["orders", "show", "ORDER_1", "--json"];
    let history = eventually(&t.database.url, &show, |history| {
        let timeline = history["timeline"].as_array().unwrap();
        timeline.iter().filter(|entry| entry["kind"] == "attempt").count() == 3
    })
    .await;
    let timeline = history["timeline"].as_array().unwrap();
    let attempts: Vec<(&Value, &Value, &Value)> = timeline
        .iter()
        .filter(|entry| entry["kind"] == "attempt")
        .map(|entry| (&entry["name"], &entry["attempt"], &entry["status"]))
        .collect();
    let expected = [
        ("order.created", 1, 502),
        ("order.created", 2, 204),
        ("order.paid", 1, 204),
    ];
    let expected = expected.map(|(name, attempt, status)| (json!(name), json!(attempt), json!(status)));
    for (was, expected) in attempts.iter().zip(&expected) {
        assert_eq!(*was, (&expected.0, &expected.1, &expected.2), "{history:#}");
    }
}
