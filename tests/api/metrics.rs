//! `/metrics`: what happened is counted, under names that no caller chooses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pay_common::sandbox::Options;
use serde_json::json;

use crate::support::app::{TestApp, order};
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::offline::Offline;

/// The samples by name and labels.
async fn samples(t: &TestApp) -> BTreeMap<String, f64> {
    let answer = t.http.get(t.url("/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The sample of this name whose labels are these.
fn value(samples: &BTreeMap<String, f64>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |key: &&String| {
        let (found, of) = key.split_once('{').unwrap_or((key, ""));
        found == name
            && labels
                .iter()
                .all(|(label, value)| of.contains(&format!("{label}=\"{value}\"")))
    };
    let key = samples.keys().find(fits);
    key.map_or(0.0, |key| samples[key])
}

/// A service that has had an order paid, refused a request and a callback, and told its business side.
async fn lived(store: Store) -> TestApp {
    let database = Database::fresh(store).await;
    let mut offline = Offline::over(database, Options::default(), &[]).await;
    for (name, text) in offline.world.business().settings() {
        offline.set(name, &text);
    }
    let t = offline.start().await;
    t.paid("METRICS-1", 20).await;
    t.act("wxpay_order", json!({"out_trade_no": "METRICS-2"})).await;
    let forward = json!({"event_type": "TRANSACTION.SUCCESS"}).to_string();
    t.post("/wechatpay/order", &[], forward).await;
    let started = Instant::now();
    // The dispatcher tells as well.
    while value(&samples(&t).await, "pay_common_deliveries_total", &[]) < 2.0
        || value(&samples(&t).await, "pay_common_outbox_streams", &[]) > 0.0
    {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the business side is not told"
        );
        t.service.deliver().await.unwrap();
    }
    t
}

async fn what_happens_is_counted(store: Store) {
    let t = lived(store).await;
    let seen = samples(&t).await;
    for (name, labels, expected) in [
        (
            "pay_common_request_seconds_count",
            vec![("action", "wxpay_order"), ("outcome", "ok")],
            1.0,
        ),
        (
            "pay_common_request_seconds_count",
            vec![("action", "wxpay_order"), ("outcome", "INVALID_PARAM")],
            1.0,
        ),
        (
            "pay_common_callbacks_total",
            vec![("proof", "ciphertext"), ("outcome", "applied")],
            1.0,
        ),
        (
            "pay_common_callbacks_total",
            vec![("proof", "none"), ("outcome", "unreadable")],
            1.0,
        ),
        (
            "pay_common_wechat_request_seconds_count",
            vec![("endpoint", "order_jsapi"), ("outcome", "ok")],
            1.0,
        ),
        ("pay_common_facts_total", vec![("kind", "order.paid")], 1.0),
        ("pay_common_deliveries_total", vec![("outcome", "taken")], 2.0),
        ("pay_common_store_up", vec![], 1.0),
        ("pay_common_telling", vec![], 1.0),
        ("pay_common_outbox_streams", vec![], 0.0),
        ("pay_common_outbox_dead", vec![], 0.0),
        ("pay_common_anomalies_open", vec![], 0.0),
        ("pay_common_build", vec![("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert_eq!(value(&seen, name, &labels), expected, "{name} {labels:?}: {seen:#?}");
    }
    assert!(value(&seen, "pay_common_signature_seconds_count", &[]) >= 1.0);
    assert!(value(&seen, "pay_common_store_connections", &[]) >= 1.0);
}

/// Whatever callers invent, there are as many series as before.
async fn no_caller_names_a_series(store: Store) {
    let t = TestApp::start(store).await;
    let strange = async || {
        for name in ["wxpay_nothing", "x", "%E4%BB%98"] {
            t.post(&format!("/wx-pay/{name}"), &[], "{}").await;
            t.post("/", &[], json!({"_action": name}).to_string()).await;
        }
    };
    strange().await;
    t.placed("SERIES-1", 20).await;
    let before: Vec<String> = samples(&t).await.into_keys().collect();
    strange().await;
    for number in 2..12 {
        t.placed(&format!("SERIES-{number}"), 20).await;
    }
    let after: Vec<String> = samples(&t).await.into_keys().collect();
    assert_eq!(before, after);
    assert!(after.iter().all(|name| !name.contains("wxpay_nothing")), "{after:?}");
    assert_eq!(t.act("wxpay_order", order("SERIES-1", 20)).await.status, 200);
}

async fn who_reads_open_metrics_is_told_so(store: Store) {
    let t = TestApp::start(store).await;
    let asked = t.http.get(t.url("/metrics"));
    let answer = asked
        .header("accept", "application/openmetrics-text;version=1.0.0")
        .send()
        .await
        .unwrap();
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(answer.headers().contains_key("x-request-id"));
}

/// The dashboard and the alerts ask for what there is.
async fn every_name_on_the_dashboard_and_in_the_alerts_is_served(store: Store) {
    let t = lived(store).await;
    let text = t
        .http
        .get(t.url("/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability");
    let mut asked = 0;
    for file in ["grafana.json", "alerts.yaml"] {
        let content = std::fs::read_to_string(root.join(file)).unwrap();
        let words = content.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("pay_common_")) {
            let family = ["_total", "_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(text.contains(&format!("# TYPE {family} ")), "{file}: {name}: {text}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
}

on_both_stores!(
    what_happens_is_counted,
    no_caller_names_a_series,
    every_name_on_the_dashboard_and_in_the_alerts_is_served,
    who_reads_open_metrics_is_told_so
);
