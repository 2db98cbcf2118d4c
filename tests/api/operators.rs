//! The operator's commands, as a person and as a script meet them, over the books of a service that runs.

use pay_common::sandbox::{Options, RefundEnd};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::app::{OPENID, TestApp, order, refund};
use crate::support::command::{command, eventually, run};
use crate::support::database::{Database, Store, on_both_stores};

on_both_stores!(
    the_whole_history_of_an_order_is_shown_in_time_order,
    any_number_finds_what_it_belongs_to,
    the_history_of_a_transfer_is_shown,
    a_million_repeats_would_be_one_row_and_the_first_placing_is_none,
    orders_are_listed_newest_first_page_by_page,
    an_anomaly_is_listed_with_what_to_do_and_resolved_once,
    a_store_is_migrated_by_the_command_and_by_nobody_who_only_looks,
);

/// Refunds end when a test says so.
pub async fn start(store: Store) -> TestApp {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    TestApp::start_with(store, options, &[]).await
}

/// An order to which happened nearly everything.
pub async fn messy(t: &TestApp) {
    let number = t.placed("ORDER_1", 20).await;
    for _ in 0..3 {
        t.act("wxpay_order", order("ORDER_1", 20)).await.data();
    }
    let other = t.act("wxpay_order", order("ORDER_1", 21)).await;
    assert_eq!(other.failure(), (409, "ORDER_PARAMS_MISMATCH"));
    let bob = format!("Bearer {}", t.token_of("bob", "oBOB56789012345678901234567"));
    let stranger = t
        .act_as(&bob, "wxpay_close_order", json!({"out_trade_no": "ORDER_1"}))
        .await;
    assert_eq!(stranger.failure(), (403, "FORBIDDEN"));

    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    let forward = t.world.center().forward_of(&note).unwrap();
    for _ in 0..3 {
        assert_eq!(t.forward(&forward).await.status, 200);
    }
    let strange = t.world.wechat().payment_notification_with("ORDER_1", |note| {
        note.resource["amount"]["total"] = json!(1);
        note.resource["transaction_id"] = json!("4200000000000000000000000009");
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    assert_eq!(t.forward(&strange).await.status, 200);

    let close = t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(close.failure(), (409, "ORDER_PAID"));
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 5, 20)).await.data();
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_2", 7, 20)).await.data();
    let too_much = t.act("wxpay_refund", refund("ORDER_1", "REFUND_3", 9, 20)).await;
    assert_eq!(too_much.failure(), (409, "REFUND_EXCEEDS_ORDER"));
    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    let told = [
        "order.created",
        "order.paid",
        "refund.created",
        "refund.created",
        "refund.succeeded",
    ];
    while t.events(number.as_str()).await != told {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    deliveries(t).await;
}

/// What a dispatcher leaves behind: one event was delivered at the second attempt, one is dead.
async fn deliveries(t: &TestApp) {
    sqlx::any::install_default_drivers();
    let mut conn = sqlx::AnyConnection::connect(&t.database.url).await.unwrap();
    for statement in [
        "UPDATE events SET delivery = 'DELIVERED', attempts = 2, ended_at = created_at + 2000 WHERE fact = 'order.created/ORDER_1'",
        "INSERT INTO attempts (event_id, attempt, at, took_ms, status, problem)
         SELECT event_id, 1, created_at + 10, 31, 503, 'status 503' FROM events WHERE fact = 'order.created/ORDER_1'",
        "INSERT INTO attempts (event_id, attempt, at, took_ms, status, problem)
         SELECT event_id, 2, created_at + 1990, 12, 204, NULL FROM events WHERE fact = 'order.created/ORDER_1'",
        "UPDATE events SET delivery = 'DEAD', attempts = 1, ended_at = created_at + 5000 WHERE fact = 'order.paid/ORDER_1'",
        "INSERT INTO attempts (event_id, attempt, at, took_ms, status, problem)
         SELECT event_id, 1, created_at + 4000, 1000, NULL, 'timed out' FROM events WHERE fact = 'order.paid/ORDER_1'",
    ] {
        sqlx::query(statement).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
}

/// Those entries of a history that are of this kind.
fn of_kind<'a>(history: &'a Value, kind: &str) -> Vec<&'a Value> {
    let timeline = history["timeline"].as_array().unwrap();
    timeline.iter().filter(|entry| entry["kind"] == kind).collect()
}

async fn the_whole_history_of_an_order_is_shown_in_time_order(store: Store) {
    let t = start(store).await;
    messy(&t).await;
    let url = t.database.url.as_str();
    // Repeats, a mismatch, a stranger, a close of a paid order, two refunds and one too many: seven rows.
    let history = eventually(url, &["orders", "show", "ORDER_1", "--json"], |history| {
        let requests = of_kind(history, "request");
        let times: i64 = requests.iter().map(|request| request["times"].as_i64().unwrap()).sum();
        times == 9
    })
    .await;

    let head = &history["order"];
    assert_eq!(
        (
            &head["state"],
            &head["total_fen"],
            &head["held_fen"],
            &head["owner_sub"]
        ),
        (&json!("REFUND"), &json!(20), &json!(12), &json!("alic…"))
    );
    assert_eq!(history["refunds"][0]["state"], "SUCCESS");
    assert_eq!(history["refunds"][1]["state"], "PROCESSING");
    let mut requests: Vec<(&str, &str, i64)> = of_kind(&history, "request")
        .iter()
        .map(|request| {
            let text = |name: &str| request[name].as_str().unwrap();
            (text("action"), text("outcome"), request["times"].as_i64().unwrap())
        })
        .collect();
    requests.sort_unstable();
    assert_eq!(
        requests,
        [
            ("wxpay_close_order", "FORBIDDEN", 1),
            ("wxpay_close_order", "ORDER_PAID", 1),
            ("wxpay_order", "OK", 3),
            ("wxpay_order", "ORDER_PARAMS_MISMATCH", 1),
            ("wxpay_refund", "OK", 1),
            ("wxpay_refund", "OK", 1),
            ("wxpay_refund", "REFUND_EXCEEDS_ORDER", 1),
        ]
    );
    let moves: Vec<(&str, &str)> = of_kind(&history, "order")
        .iter()
        .map(|entry| (entry["state"].as_str().unwrap(), entry["cause"].as_str().unwrap()))
        .collect();
    assert_eq!(
        moves,
        [("CREATED", "request"), ("NOTPAY", "answer"), ("SUCCESS", "callback")]
    );
    let payment = of_kind(&history, "callback");
    let payment = payment.iter().find(|heard| heard["outcome"] == "applied").unwrap();
    assert_eq!(
        (&payment["proof"], &payment["times"]),
        (&json!("ciphertext"), &json!(4))
    );
    let refunds: Vec<&str> = of_kind(&history, "refund")
        .iter()
        .filter(|entry| entry["out_refund_no"] == "REFUND_1")
        .map(|entry| entry["state"].as_str().unwrap())
        .collect();
    assert_eq!(refunds, ["CREATED", "PROCESSING", "SUCCESS"]);
    let attempts: Vec<(&Value, &Value)> = of_kind(&history, "attempt")
        .iter()
        .map(|attempt| (&attempt["status"], &attempt["problem"]))
        .collect();
    assert_eq!(
        attempts,
        [
            (&json!(503), &json!("status 503")),
            (&json!(204), &Value::Null),
            (&Value::Null, &json!("timed out")),
        ]
    );
    assert_eq!(of_kind(&history, "anomaly")[0]["name"], "amount_mismatch");
    let told: Vec<&Value> = of_kind(&history, "event").iter().map(|event| &event["name"]).collect();
    assert!(
        told.contains(&&json!("anomaly.detected")) && told.contains(&&json!("refund.succeeded")),
        "{told:?}"
    );
    let times: Vec<i64> = history["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["at_ms"].as_i64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");

    let shown = run(url, &["orders", "show", "ORDER_1"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    for part in [
        "wxpay_order by token alic…: OK, 3 times",
        "wxpay_close_order by token bob…: FORBIDDEN, once",
        "SUCCESS: a callback",
        "REFUND_1 0.05 yuan SUCCESS: a callback",
        "order.created attempt 1: 503 in 31 ms, status 503",
        "order.paid attempt 1: no answer in 1000 ms, timed out",
        "amount_mismatch of ORDER_1",
        "+08:00",
    ] {
        assert!(shown.out.contains(part), "{part} is not in {}", shown.out);
    }
    for said in [shown.out, history.to_string()] {
        for hidden in [OPENID, "oBOB56789012345678901234567", "prepay_id", "\u{1b}"] {
            assert!(!said.contains(hidden), "{hidden} is shown: {said}");
        }
    }
}

async fn any_number_finds_what_it_belongs_to(store: Store) {
    let t = start(store).await;
    messy(&t).await;
    let url = t.database.url.as_str();
    let refund = t.world.wechat().refund("REFUND_2").unwrap();
    let event = t
        .texts("SELECT event_id FROM events WHERE kind = 'order.paid'")
        .await
        .remove(0);
    let of_anomaly = t
        .texts("SELECT event_id FROM events WHERE kind = 'anomaly.detected'")
        .await
        .remove(0);
    let anomaly = t.texts("SELECT anomaly_id FROM anomalies").await.remove(0);
    for number in [
        "ORDER_1",
        &refund.transaction_id,
        "REFUND_2",
        &refund.refund_id,
        &event,
        &of_anomaly,
        &anomaly,
    ] {
        let history = run(url, &["orders", "show", number, "--json"]).document();
        assert_eq!(history["order"]["out_trade_no"], "ORDER_1", "{number}");
    }
    for number in ["ORDER_2", "", "%", "'; DROP TABLE orders; --"] {
        let said = run(url, &["orders", "show", number]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{number}");
        assert!(said.err.contains("in this store"), "{said:?}");
    }
}

async fn the_history_of_a_transfer_is_shown(store: Store) {
    let t = start(store).await;
    let url = t.database.url.as_str();
    t.transferred("BILL01", 500).await;
    t.transferred("BILL01", 500).await;
    // An order of the same number is another thing.
    t.placed("BILL01", 20).await;
    t.world.wechat().confirm_transfer("BILL01").unwrap();
    t.eventually_transfer("BILL01", "SUCCESS").await;
    let show = ["orders", "show", "BILL01", "--transfer", "--json"];
    let asked = |history: &Value| of_kind(history, "request").iter().any(|request| request["times"] == 2);
    let history = eventually(url, &show, asked).await;
    let head = &history["transfer"];
    assert_eq!((&head["state"], &head["amount_fen"]), (&json!("SUCCESS"), &json!(500)));
    assert_eq!(of_kind(&history, "request")[0]["who"], "operator");
    let names: Vec<&Value> = of_kind(&history, "event").iter().map(|event| &event["name"]).collect();
    assert_eq!(names, ["transfer.created", "transfer.succeeded"]);
    let bill = head["transfer_bill_no"].as_str().unwrap();
    let shown = run(url, &["orders", "show", bill]);
    assert_eq!(shown.code, Some(0));
    assert!(
        shown.out.contains("5.00") && !shown.out.contains(OPENID),
        "{}",
        shown.out
    );
    let both = run(url, &["orders", "show", "BILL01"]);
    assert!(both.out.contains("--transfer"), "{}", both.out);
}

async fn a_million_repeats_would_be_one_row_and_the_first_placing_is_none(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 20).await;
    for _ in 0..50 {
        t.act("wxpay_order", order("ORDER_1", 20)).await.data();
    }
    // Who invents numbers fills nothing.
    for number in 0..20 {
        let close = json!({"out_trade_no": format!("NEVER_{number}")});
        assert_eq!(t.act("wxpay_close_order", close).await.status, 200);
    }
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    let show = ["orders", "show", "ORDER_1", "--json"];
    let history = eventually(&t.database.url, &show, |history| {
        let requests = of_kind(history, "request");
        requests.len() == 2 && requests.iter().any(|request| request["times"] == 50)
    })
    .await;
    assert_eq!(history["order"]["state"], "CLOSED");
    assert_eq!(t.texts("SELECT DISTINCT stream FROM requests").await, ["ORDER_1"]);
    // The very first placing of an order leaves no row here.
    t.placed("ORDER_2", 20).await;
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_2"})).await;
    let show = ["orders", "show", "ORDER_2", "--json"];
    let history = eventually(&t.database.url, &show, |history| {
        !of_kind(history, "request").is_empty()
    })
    .await;
    let actions: Vec<&Value> = of_kind(&history, "request")
        .iter()
        .map(|request| &request["action"])
        .collect();
    assert_eq!(actions, ["wxpay_close_order"]);
}

async fn orders_are_listed_newest_first_page_by_page(store: Store) {
    let t = start(store).await;
    let url = t.database.url.as_str();
    assert_eq!(run(url, &["orders", "list"]).code, Some(0));
    let before = t.clock.now().to_string();
    for number in 1..=5 {
        t.placed(&format!("ORDER_{number}"), 20).await;
        t.advance(std::time::Duration::from_secs(1));
    }
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_2"})).await;
    let numbers = |arguments: &[&str]| -> (Vec<String>, Value) {
        let list = run(url, &[&["orders", "list", "--json"], arguments].concat()).document();
        let orders = list["orders"].as_array().unwrap();
        let numbers = orders
            .iter()
            .map(|order| order["out_trade_no"].as_str().unwrap().to_owned());
        (numbers.collect(), list["next_after"].clone())
    };
    assert_eq!(numbers(&[]).0, ["ORDER_5", "ORDER_4", "ORDER_3", "ORDER_2", "ORDER_1"]);
    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut arguments = vec!["--limit", "2"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let (page, next) = numbers(&arguments);
        pages.push(page);
        match next.as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(
        pages,
        [vec!["ORDER_5", "ORDER_4"], vec!["ORDER_3", "ORDER_2"], vec!["ORDER_1"]]
    );
    assert_eq!(numbers(&["--state", "closed"]).0, ["ORDER_2"]);
    assert_eq!(numbers(&["--until", &before]).0, Vec::<String>::new());
    assert_eq!(
        numbers(&["--since", &before, "--state", "NOTPAY", "--limit", "1"]).0,
        ["ORDER_5"]
    );
    let table = run(url, &["orders", "list", "--limit", "1"]);
    assert!(
        table.out.contains("ORDER_5") && table.out.contains("0.20"),
        "{}",
        table.out
    );
    assert!(
        table.out.contains("--after ORDER_5") && !table.out.contains(OPENID),
        "{}",
        table.out
    );
    for wrong in [
        ["--state", "PAID"],
        ["--since", "yesterday"],
        ["--limit", "0"],
        ["--after", "x"],
    ] {
        assert_eq!(
            run(url, &[&["orders", "list"], &wrong[..]].concat()).code,
            Some(2),
            "{wrong:?}"
        );
    }
}

async fn an_anomaly_is_listed_with_what_to_do_and_resolved_once(store: Store) {
    let t = start(store).await;
    let url = t.database.url.as_str();
    let none = run(url, &["anomalies", "list"]);
    assert!(
        none.code == Some(0) && none.out.contains("nothing unexplained"),
        "{none:?}"
    );
    messy(&t).await;
    let list = run(url, &["anomalies", "list", "--json"]).document();
    let anomaly = &list["anomalies"][0];
    assert_eq!(
        (&anomaly["kind"], &anomaly["subject"]),
        (&json!("amount_mismatch"), &json!("ORDER_1"))
    );
    assert!(
        anomaly["meaning"].is_string() && anomaly["meaning_zh"].is_string(),
        "{anomaly}"
    );
    let table = run(url, &["anomalies", "list", "--kind", "amount_mismatch"]);
    assert!(
        table.out.contains("refund there") && table.out.contains("请与商户平台核对"),
        "{}",
        table.out
    );
    let other = run(url, &["anomalies", "list", "--kind", "unknown_order", "--json"]).document();
    assert_eq!(other["anomalies"], json!([]));
    assert_eq!(run(url, &["anomalies", "list", "--kind", "strange"]).code, Some(2));

    let id = anomaly["anomaly_id"].as_str().unwrap();
    assert_eq!(
        run(url, &["anomalies", "resolve", id]).code,
        Some(2),
        "a note is needed"
    );
    assert_eq!(run(url, &["anomalies", "resolve", id, "--note", " "]).code, Some(2));
    let resolved = run(url, &["anomalies", "resolve", id, "--note", "refunded by hand"]);
    assert_eq!(resolved.code, Some(0), "{resolved:?}");
    let again = run(url, &["anomalies", "resolve", id, "--note", "another"]);
    assert!(
        again.code == Some(1) && again.err.contains("refunded by hand"),
        "{again:?}"
    );
    let unknown = run(url, &["anomalies", "resolve", "no-such-id", "--note", "x"]);
    assert!(
        unknown.code == Some(1) && unknown.err.contains("no-such-id"),
        "{unknown:?}"
    );

    assert_eq!(
        run(url, &["anomalies", "list", "--json"]).document()["anomalies"],
        json!([])
    );
    let all = run(url, &["anomalies", "list", "--all", "--json"]).document();
    assert_eq!(all["anomalies"][0]["note"], "refunded by hand");
    let shown = run(url, &["orders", "show", "ORDER_1"]);
    assert!(shown.out.contains("refunded by hand"), "{}", shown.out);
}

async fn a_store_is_migrated_by_the_command_and_by_nobody_who_only_looks(store: Store) {
    let database = Database::fresh(store).await;
    let url = database.url.as_str();
    for looks in [
        vec!["orders", "list"],
        vec!["anomalies", "list"],
        vec!["orders", "show", "ORDER_1"],
    ] {
        let said = run(url, &looks);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.contains("pay-common migrate"), "{said:?}");
    }
    if let Some(file) = url.strip_prefix("sqlite://") {
        assert!(!std::path::Path::new(file).exists(), "who looks makes no store");
    }
    let first = run(url, &["migrate", "--json"]).document();
    let applied = first["applied"].as_array().unwrap();
    assert_eq!(
        applied[0],
        json!({"version": 1, "name": "orders refunds callbacks events"})
    );
    assert_eq!(applied.last().unwrap()["version"], first["version"]);
    let again = run(url, &["migrate"]);
    assert!(
        again.code == Some(0) && again.out.contains("nothing to apply"),
        "{again:?}"
    );
    assert_eq!(run(url, &["orders", "list"]).code, Some(0));
}

/// Whoever reads the beginning only, like `head`, leaves no panic behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_is_no_failure() {
    let database = Database::fresh(Store::Sqlite).await;
    assert_eq!(run(&database.url, &["migrate"]).code, Some(0));
    for arguments in [
        vec!["orders", "list", "--json"],
        vec!["anomalies", "list"],
        vec!["migrate"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(&database.url, &arguments).stdout(writer).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

/// The store's address is the only setting that is read, and its password is never told.
#[test]
fn no_key_of_the_merchants_is_needed_and_no_password_is_told() {
    let said = run(
        "postgres://user:hidden-password@127.0.0.1:port/pay",
        &["orders", "list"],
    );
    assert_eq!(said.code, Some(1));
    assert!(!said.err.contains("hidden-password"), "{}", said.err);
    let said = run("mysql://user:hidden-password@host/db", &["migrate"]);
    assert!(
        said.code == Some(1) && said.err.contains("DATABASE_URL"),
        "{}",
        said.err
    );
    assert!(
        !said.err.contains("merchantId") && !said.err.contains("hidden-password"),
        "{}",
        said.err
    );
}

/// `--help` of every operator's command. `UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn the_help_is_what_it_was() {
    let commands = [
        vec!["orders", "--help"],
        vec!["orders", "show", "--help"],
        vec!["orders", "list", "--help"],
        vec!["anomalies", "--help"],
        vec!["anomalies", "list", "--help"],
        vec!["anomalies", "resolve", "--help"],
        vec!["reconcile", "--help"],
        vec!["migrate", "--help"],
    ];
    let mut help = String::new();
    for arguments in commands {
        let said = run("", &arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        help += &format!("$ pay-common {}\n{}\n", arguments.join(" "), said.out);
    }
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/golden/operators-help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, &help).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    assert_eq!(
        help, expected,
        "UPDATE_GOLDEN=1 cargo test --test api the_help writes it anew"
    );
}
