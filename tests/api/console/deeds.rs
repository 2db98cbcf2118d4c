//! What is done on the console: an anomaly is resolved once, an event is told anew once, and who did it is written down.

use std::time::{Duration, Instant};

use pay_common::sandbox::{Mood, Options};
use serde_json::json;

use crate::support::app::{OPERATOR, TestApp};
use crate::support::browser::Browser;
use crate::support::command::run;
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::offline::Offline;

on_both_stores!(
    an_anomaly_is_resolved_once_by_whom_and_with_what,
    anomalies_are_listed_page_by_page,
    an_event_is_told_anew_once_for_a_page,
    an_event_that_is_being_sent_is_not_replayed,
    what_waits_is_listed_once_for_an_order,
);

/// A service that tells the world's business system.
async fn telling(store: Store) -> TestApp {
    let mut offline = Offline::over(Database::fresh(store).await, Options::default(), &[]).await;
    for (name, value) in offline.world.business().settings() {
        offline.set(name, &value);
    }
    offline.start().await
}

/// A payment of an order that nobody knows.
async fn strange(t: &TestApp, number: &str) {
    let strange = t.world.wechat().payment_notification_with("ORDER_1", |note| {
        note.resource["out_trade_no"] = json!(number);
        note.resource["transaction_id"] = json!(format!("42000000{number}"));
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    assert_eq!(t.forward(&strange).await.status, 200);
}

async fn an_anomaly_is_resolved_once_by_whom_and_with_what(store: Store) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 20).await;
    strange(&t, "ORDER_2").await;
    let mut browser = Browser::signed_in(&t).await;
    let list = browser.get("/console/anomalies").await;
    list.assert_shows(&["unknown_order", "ORDER_2", "Look it up in the merchant platform"]);
    let form = list.form("resolve", "name=\"note\"");
    for note in ["", "  ", &"x".repeat(1001)] {
        let refused = browser.submit("/console/resolve", &form, &[("note", note)]).await;
        assert_eq!(refused.status, 422, "{note:?}");
        refused.assert_shows(&["1 to 1000 characters"]);
    }
    let note = "delivered <by> hand\n第二行";
    let done = browser.submit("/console/resolve", &form, &[("note", note)]).await;
    assert_eq!(done.location(), "anomalies?said=resolved");
    let list = browser.get("/console/anomalies?said=resolved").await;
    list.assert_shows(&["It is marked as resolved.", "There is no such anomaly."]);
    // The first note stays.
    let again = browser.submit("/console/resolve", &form, &[("note", "another")]).await;
    assert_eq!(again.status, 409);
    again.assert_shows(&["resolved before", "delivered &lt;by&gt; hand", "Anna (operator key "]);
    let unknown: Vec<(String, String)> = form
        .iter()
        .map(|(name, value)| {
            let value = if name == "id" { "nobody" } else { value };
            (name.clone(), value.to_owned())
        })
        .collect();
    assert_eq!(
        browser
            .submit("/console/resolve", &unknown, &[("note", "x")])
            .await
            .status,
        404
    );
    let resolved = browser.get("/console/anomalies?which=resolved").await;
    resolved.assert_shows(&["delivered &lt;by&gt; hand", "Anna (operator key "]);
    resolved.assert_hides(&["Mark as resolved"]);
    let all = run(&t.database.url, &["anomalies", "list", "--all", "--json"]).document();
    let kept = &all["anomalies"][0];
    assert_eq!(kept["note"], note);
    let by = kept["resolved_by"].as_str().unwrap();
    assert!(by.starts_with("Anna (operator key ") && !by.contains("op_"), "{by}");
    // What the command resolves is the command's.
    strange(&t, "ORDER_3").await;
    let open = run(&t.database.url, &["anomalies", "list", "--json"]).document();
    let id = open["anomalies"][0]["anomaly_id"].as_str().unwrap();
    assert_eq!(
        run(&t.database.url, &["anomalies", "resolve", id, "--note", "by hand"]).code,
        Some(0)
    );
    let list = browser.get("/console/anomalies?which=all").await;
    list.assert_shows(&["command line", "by hand"]);
}

async fn anomalies_are_listed_page_by_page(store: Store) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 20).await;
    for number in 100..152 {
        strange(&t, &format!("STRANGE_{number}")).await;
        t.advance(Duration::from_millis(5));
    }
    let mut browser = Browser::signed_in(&t).await;
    let first = browser.get("/console/anomalies").await;
    assert_eq!(first.text.matches("Mark as resolved").count(), 50);
    first.assert_shows(&["STRANGE_151", "STRANGE_102", "Next page"]);
    first.assert_hides(&["STRANGE_101"]);
    let after = first
        .text
        .split("anomalies?after=")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    // What is resolved meanwhile moves nothing, even if it is the one where the page ended.
    let form = first.form("resolve", after);
    let done = browser.submit("/console/resolve", &form, &[("note", "x")]).await;
    assert_eq!(done.status, 303);
    let second = browser.get(&format!("/console/anomalies?after={after}")).await;
    assert_eq!(second.text.matches("Mark as resolved").count(), 2);
    second.assert_shows(&["STRANGE_101", "STRANGE_100", "First page"]);
    let none = browser.get("/console/anomalies?kind=amount_mismatch").await;
    none.assert_shows(&[
        "There is no such anomaly.",
        "<option value=\"amount_mismatch\" selected>",
    ]);
    let all = browser.get("/console/anomalies?which=all&kind=unknown_order").await;
    all.assert_shows(&["anomalies?which=all&amp;kind=unknown_order&amp;after="]);
}

/// Waits until the books hold this many events in that state.
async fn events(t: &TestApp, state: &str, count: usize) {
    let started = Instant::now();
    let query = format!("SELECT event_id FROM events WHERE delivery = '{state}'");
    while t.texts(&query).await.len() != count {
        assert!(started.elapsed() < Duration::from_secs(20), "{state}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn an_event_is_told_anew_once_for_a_page(store: Store) {
    let t = telling(store).await;
    t.world.business().set_mood(Mood::Status(410));
    t.placed("ORDER_1", 20).await;
    events(&t, "DEAD", 1).await;
    let mut browser = Browser::signed_in(&t).await;
    let list = browser.get("/console/webhooks").await;
    list.assert_shows(&[
        "order.created",
        "DEAD",
        "given up",
        "the receiver is gone",
        "order?no=ORDER_1",
    ]);
    browser
        .get("/console")
        .await
        .assert_shows(&["Webhooks given up</span><strong>1</strong>"]);
    t.world.business().set_mood(Mood::Well);
    let form = list.form("replay", "order.created");
    let done = browser.submit("/console/replay", &form, &[]).await;
    assert_eq!(done.location(), "webhooks?said=replayed");
    events(&t, "DELIVERED", 1).await;
    // The same page sent once more tells nobody anything.
    let again = browser.submit("/console/replay", &form, &[]).await;
    assert_eq!(again.status, 409);
    again.assert_shows(&["It was sent since this page was opened."]);
    let heard = t.world.business().heard();
    assert_eq!((heard.len(), heard[0].times), (1, 1), "{heard:?}");
    // Looked at again, it can be told again, with its old id.
    let page = browser.get("/console/order?no=ORDER_1").await;
    let done = browser
        .submit("/console/replay", &page.form("replay", "order.created"), &[])
        .await;
    assert_eq!(done.location(), "order?no=ORDER_1&said=replayed");
    let started = Instant::now();
    while t.world.business().heard()[0].times != 2 {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Who wished it is in the order's history.
    let show = ["orders", "show", "ORDER_1", "--json"];
    let history = crate::support::command::eventually(&t.database.url, &show, |history| {
        let mut entries = history["timeline"].as_array().unwrap().iter();
        entries.any(|entry| entry["action"] == "webhooks_replay")
    })
    .await;
    let mut entries = history["timeline"].as_array().unwrap().iter();
    let wish = entries.find(|entry| entry["action"] == "webhooks_replay").unwrap();
    assert!(
        wish["who"].as_str().unwrap().starts_with("Anna (operator key "),
        "{wish}"
    );
    for (id, seen, expected) in [("unknown", "0", 404), ("unknown", "x", 422), ("unknown", "", 422)] {
        let token = &form.iter().find(|(name, _)| name == "token").unwrap().1;
        let came = browser
            .post("/console/replay", &[("token", token), ("id", id), ("seen", seen)])
            .await;
        assert_eq!(came.status, expected, "{seen}");
    }
}

async fn an_event_that_is_being_sent_is_not_replayed(store: Store) {
    let t = telling(store).await;
    t.world.business().set_mood(Mood::Slow(Duration::from_secs(3)));
    t.placed("ORDER_1", 20).await;
    let started = Instant::now();
    let query = "SELECT event_id FROM events WHERE attempts = 1";
    while t.texts(query).await.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut browser = Browser::signed_in(&t).await;
    let form = browser.get("/console/webhooks").await.form("replay", "order.created");
    let refused = browser.submit("/console/replay", &form, &[]).await;
    assert_eq!(refused.status, 409);
    refused.assert_shows(&["It is being sent just now."]);
    events(&t, "DELIVERED", 1).await;
    assert_eq!(t.world.business().overlaps(), 0);
}

async fn what_waits_is_listed_once_for_an_order(store: Store) {
    let t = telling(store).await;
    t.world.business().set_mood(Mood::Status(500));
    t.paid("ORDER_1", 20).await;
    events(&t, "WAITING", 2).await;
    let mut browser = Browser::signed_in(&t).await;
    let stuck = browser.get("/console/webhooks").await;
    stuck.assert_shows(&["order.created", "its later ones follow by themselves"]);
    stuck.assert_hides(&["order.paid</code>"]);
    let waiting = browser.get("/console/webhooks?those=WAITING").await;
    waiting.assert_shows(&["order.created</code>", "order.paid</code>"]);
    browser
        .get("/console/webhooks?those=DEAD")
        .await
        .assert_shows(&["There is nothing of that kind."]);
}

#[tokio::test]
async fn where_nobody_is_told_nothing_is_replayed() {
    let t = TestApp::start(Store::Sqlite).await;
    t.placed("ORDER_1", 20).await;
    let mut browser = Browser::signed_in(&t).await;
    let page = browser.get("/console/webhooks?those=UNSENT").await;
    page.assert_shows(&["order.created", "Without webhookUrl nothing is sent."]);
    page.assert_hides(&["Replay</button>", "/replay"]);
    let token = page.form("sign-out", "")[0].1.clone();
    let id = t.texts("SELECT event_id FROM events").await.remove(0);
    let refused = browser
        .post("/console/replay", &[("token", &token), ("id", &id), ("seen", "0")])
        .await;
    assert_eq!(refused.status, 409);
    assert_eq!(t.texts("SELECT delivery FROM events").await, ["UNSENT"]);
}

/// Of a key its name is logged, never itself.
#[tokio::test]
async fn no_key_is_in_what_a_visit_leaves_behind() {
    let t = TestApp::start(Store::Sqlite).await;
    let mut browser = Browser::signed_in(&t).await;
    let page = browser.get("/console").await;
    page.assert_shows(&["Anna (operator key "]);
    let hash = crate::support::app::sha256_hex(OPERATOR);
    page.assert_hides(&[OPERATOR, hash.get(..8).unwrap()]);
}
