//! `reconcile` as a person and a timer meet it: the binary, its formats, and its exit codes.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz};
use pay_common::sandbox::{BillFault, Options, RefundEnd, TradeLine};
use serde_json::{Value, json};

use crate::support::app::{TestApp, refund};
use crate::support::bills::{payment, refunded};
use crate::support::command::{Said, command};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    books_that_agree_end_with_0,
    books_that_differ_end_with_1_and_are_shown_in_every_format,
    what_was_repaired_is_shown,
    what_could_not_be_done_ends_with_2,
);

/// The binary knows no other clock than the system's, so the day is one that is over for it, too.
fn day() -> Date {
    let today = tz::offset(8).to_datetime(Timestamp::now()).date();
    today.checked_sub(2.days()).unwrap()
}

async fn after_that_day(store: Store) -> TestApp {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[]).await;
    t.go_to(&format!("{}T12:00:00+08:00", day()));
    for (number, total) in [("ORDER_1", 100), ("ORDER_2", 200), ("ORDER_3", 300)] {
        t.paid(number, total).await;
    }
    t.act("wxpay_refund", refund("ORDER_2", "REFUND_1", 30, 200))
        .await
        .data();
    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    t.eventually_refund("REFUND_1", "SUCCESS").await;
    t.go_to(&Timestamp::now().to_string());
    t
}

/// The binary over that store, with the settings of the service.
fn reconcile(t: &TestApp, more: &[&str]) -> Said {
    let date = day().to_string();
    reconcile_as(t, &[&["--date", date.as_str()], more].concat(), &[])
}

fn reconcile_as(t: &TestApp, arguments: &[&str], settings: &[(&str, &str)]) -> Said {
    let mut command = command(&t.database.url, &[&["reconcile"], arguments].concat());
    command.envs(t.settings.iter().map(|(name, value)| (name, value)));
    command
        .env("DATABASE_URL", &t.database.url)
        .envs(settings.iter().copied());
    command.output().unwrap().into()
}

/// A line of each kind of difference.
fn spoil(t: &TestApp) {
    t.bill_with(|lines| {
        lines.trade.retain(|line| line.out_trade_no != "ORDER_3");
        let unknown = TradeLine {
            out_trade_no: "POS,\"1\"".to_owned(),
            transaction_id: "4200000000000000000000000009".to_owned(),
            ..payment(lines, "ORDER_1").clone()
        };
        lines.trade.push(unknown);
        payment(lines, "ORDER_1").total = 101;
        payment(lines, "ORDER_2").state = "REVOKED".to_owned();
        refunded(lines, "REFUND_1").amount = 31;
    });
}

async fn books_that_agree_end_with_0(store: Store) {
    let t = after_that_day(store).await;
    let said = reconcile(&t, &[]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    for part in [
        "4 lines",
        "payments / 支付",
        "6.00",
        "0.30",
        "the books agree / 账目一致",
    ] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let said = reconcile(&t, &["--format", "json", "--fund-flow", "--repair"]);
    let document = said.document();
    assert_eq!(
        (&document["agree"], &document["date"]),
        (&json!(true), &json!(day().to_string()))
    );
    let bills: Vec<(&Value, &Value)> = document["bills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bill| (&bill["bill"], &bill["differences"]))
        .collect();
    assert_eq!(
        bills,
        [(&json!("trade"), &json!([])), (&json!("fund_flow"), &json!([]))]
    );
    let csv = reconcile(&t, &["--format", "csv"]);
    assert_eq!((csv.code, csv.out.lines().count()), (Some(0), 1));
}

async fn books_that_differ_end_with_1_and_are_shown_in_every_format(store: Store) {
    let t = after_that_day(store).await;
    spoil(&t);
    for (format, golden) in [
        ("table", "reconcile.txt"),
        ("json", "reconcile.json"),
        ("csv", "reconcile.csv"),
    ] {
        let said = reconcile(&t, &["--format", format]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("the books and the bill differ"), "{said:?}");
        golden_is(golden, &masked(&t, said.out));
    }
    let listed = command(&t.database.url, &["anomalies", "list", "--json"])
        .output()
        .unwrap();
    let listed = Said::from(listed).document();
    let mut kinds: Vec<&str> = listed["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| kept["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    let expected = [
        "bill_amount",
        "bill_missing_here",
        "bill_missing_there",
        "bill_refund",
        "bill_state",
    ];
    assert_eq!(kinds, expected);
}

/// Without what is another one at every run: WeChat's numbers, in as many characters, the run's, and times.
fn masked(t: &TestApp, mut text: String) -> String {
    let wechat = t.world.wechat();
    text = text
        .replace(&day().to_string(), "2026-11-22")
        .replace(&wechat.order("ORDER_1").unwrap().appid, "wx2421b1c4370ec43b");
    for number in ["ORDER_1", "ORDER_2", "ORDER_3"] {
        let id = wechat.order(number).unwrap().transaction_id.unwrap();
        text = text.replace(&id, &format!("{number:0<width$}", width = id.len()));
    }
    let id = wechat.refund("REFUND_1").unwrap().refund_id;
    text = text.replace(&id, &"5".repeat(id.len()));
    for before in [
        "\"run_id\":\"",
        "\"began_at_ms\":",
        "\"ended_at_ms\":",
        "\"at_ms\":",
        "T12:",
    ] {
        text = text
            .split(before)
            .enumerate()
            .map(|(place, part)| match place {
                0 => part.to_owned(),
                _ => format!(
                    "…{}",
                    part.trim_start_matches(|c: char| c.is_ascii_hexdigit() || "-:.".contains(c))
                ),
            })
            .collect::<Vec<_>>()
            .join(before);
    }
    text
}

fn golden_is(name: &str, text: &str) {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/api/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, text).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(
        text, expected,
        "UPDATE_GOLDEN=1 cargo test --test api reconcile_command writes it anew"
    );
}

async fn what_was_repaired_is_shown(store: Store) {
    let t = after_that_day(store).await;
    t.tamper("UPDATE refunds SET state = 'PROCESSING' WHERE out_refund_no = 'REFUND_1'")
        .await;
    t.tamper("DELETE FROM events WHERE fact = 'refund.succeeded/REFUND_1'")
        .await;
    assert_eq!(reconcile(&t, &[]).code, Some(1));
    let said = reconcile(&t, &["--repair"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [
        "repaired / 已修复",
        "refund refund",
        "REFUND_1",
        "PROCESSING 0.30",
        "the books agree",
    ] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    t.tamper("UPDATE refunds SET state = 'PROCESSING' WHERE out_refund_no = 'REFUND_1'")
        .await;
    t.bill_with(|lines| payment(lines, "ORDER_1").total = 101);
    let said = reconcile(&t, &["--repair", "--format", "json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let document: Value = serde_json::from_str(&said.out).unwrap();
    let bill = &document["bills"][0];
    assert_eq!(
        (&bill["repaired"][0]["number"], &bill["differences"][0]["number"]),
        (&json!("REFUND_1"), &json!("ORDER_1"))
    );
    assert_eq!((&bill["agrees"], &document["agree"]), (&json!(false), &json!(false)));
}

async fn what_could_not_be_done_ends_with_2(store: Store) {
    let t = after_that_day(store).await;
    spoil(&t);
    let tomorrow = day().checked_add(3.days()).unwrap().to_string();
    for (arguments, why) in [
        (vec!["--date", tomorrow.as_str()], "is not over in China"),
        (vec!["--date", "22.11.2026"], "must be a day like 2026-11-22"),
        (vec!["--format", "xml"], "invalid value"),
    ] {
        let said = reconcile_as(&t, &arguments, &[]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    }
    t.world.wechat().spoil_bill(BillFault::WrongHash);
    let said = reconcile(&t, &[]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    assert!(
        said.err.contains("the bill is refused, and nothing of it counts"),
        "{said:?}"
    );
    // What one bill shows is told although the other one cannot be had.
    t.bill_with(|_| {});
    t.world.wechat().spoil_bill(BillFault::HashOfFile);
    t.world.wechat().spoil_bill(BillFault::WrongHash);
    let said = reconcile(&t, &["--fund-flow", "--format", "json"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let document: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&document["agree"], &document["bills"][0]["agrees"]),
        (&Value::Null, &json!(true))
    );

    let said = reconcile_as(&t, &[], &[("merchantId", "x")]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("merchantId"), "{said:?}");
    assert_eq!(t.anomalies().await, Vec::<String>::new());
}
