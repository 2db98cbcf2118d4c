//! Callbacks of payments, as the Integration Center forwards them, and some of them more than once.

use pay_common::sandbox::{Notice, World};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::pace;
use super::service::Service;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A PostgreSQL server; a database of its own is made there and dropped again
    #[arg(long)]
    database_url: String,
    /// Callbacks a second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// For so long
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Percent of them that tell of a payment again
    #[arg(long, default_value_t = 30)]
    duplicates: u32,
}

const DATABASE: &str = "pay_common_load";

fn number(n: u32) -> String {
    format!("LOAD_{n:010}")
}

/// The n-th payment's forward: everything that the Integration Center sends, proven by the ciphertext in it.
fn forward(world: &World, n: u32) -> String {
    let keys = world.keys();
    let resource = json!({
        "mchid": keys.mchid(),
        "appid": keys.appid(),
        "out_trade_no": number(n),
        "transaction_id": format!("42000000{n:020}"),
        "trade_type": "JSAPI",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "attach": "",
        "success_time": "2026-11-23T10:34:56+08:00",
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        "amount": {"total": 20, "payer_total": 20, "currency": "CNY", "payer_currency": "CNY"},
    });
    let notice = Notice {
        id: format!("EV-load-{n:010}"),
        create_time: "2026-11-23T10:34:57+08:00".to_owned(),
        event_type: "TRANSACTION.SUCCESS".to_owned(),
        summary: "支付成功".to_owned(),
        original_type: "transaction".to_owned(),
        associated_data: Some("transaction".to_owned()),
        resource: resource.clone(),
        other_api_v3_key: None,
    };
    let raw: Value = serde_json::from_str(&notice.envelope(keys)).unwrap();
    json!({"ParsedContent": resource, "rawData": raw}).to_string()
}

/// Orders that wait for their payment, each with the event of its acceptance.
async fn fill(conn: &mut PgConnection, app_id: &str, orders: u32) {
    sqlx::query(
        "INSERT INTO orders (out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, prepay, prepay_at,
                             created_at, accepted_at, ask_at, asked)
         SELECT 'LOAD_' || lpad(n::text, 10, '0'), 'JSAPI', $1, 20, 'load', 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o', '{}', 'NOTPAY',
                'wx' || lpad(n::text, 34, '0'), now_ms, now_ms, now_ms, now_ms + 3600000, 0
           FROM generate_series(0, $2 - 1) AS n, (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now_ms) AS clock",
    )
    .bind(app_id)
    .bind(i64::from(orders))
    .execute(&mut *conn)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at)
         SELECT 'load-' || out_trade_no, 'order.created/' || out_trade_no, out_trade_no, 1, 'order.created', '{}', created_at FROM orders",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    sqlx::raw_sql("VACUUM ANALYZE").execute(conn).await.unwrap();
}

async fn count(conn: &mut PgConnection, statement: &'static str) -> u32 {
    let counted: i64 = sqlx::query(statement).fetch_one(conn).await.unwrap().get(0);
    u32::try_from(counted).unwrap()
}

pub(crate) async fn run(arguments: &Arguments) {
    let Arguments {
        database_url,
        rate,
        seconds,
        duplicates,
    } = arguments;
    let calls = rate * seconds;
    let repeats = u32::try_from(u64::from(calls) * u64::from(*duplicates) / 100).unwrap();
    let payments = calls - repeats;

    let mut server = PgConnection::connect(database_url).await.unwrap();
    for statement in [
        "DROP DATABASE IF EXISTS pay_common_load WITH (FORCE)",
        "CREATE DATABASE pay_common_load",
    ] {
        sqlx::query(statement).execute(&mut server).await.unwrap();
    }
    let mut own = url::Url::parse(database_url).unwrap();
    own.set_path(DATABASE);

    let world = World::start(pay_common::sandbox::Options::default()).await.unwrap();
    let mut settings: Vec<(String, String)> = world
        .settings()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    settings.extend(
        [
            ("bindAddress", "127.0.0.1"),
            ("PORT", "0"),
            ("DATABASE_URL", own.as_str()),
            ("sweepInterval", "0"),
            ("logFormat", "json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let service = Service::start(&settings);
    let mut conn = PgConnection::connect(own.as_str()).await.unwrap();
    fill(&mut conn, world.keys().appid(), payments).await;

    // Each repeat follows its payment at once or much later, so that some meet it under way and some find it settled.
    let mut order: Vec<u32> = (0..payments).collect();
    for repeat in 0..repeats {
        let of = u32::try_from(u64::from(repeat) * u64::from(payments) / u64::from(repeats.max(1))).unwrap();
        let after = if repeat % 2 == 0 { 1 } else { 500 };
        let at = usize::try_from(of + repeat + after).unwrap().min(order.len());
        order.insert(at, of);
    }
    let bodies: Vec<String> = order.iter().map(|n| forward(&world, *n)).collect();

    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("x-tcb-integration-id", world.center().integration_id().parse().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/wechatpay/order", service.url);
    let before = service.processor_time();
    let done = pace::post(&http, &url, &headers, *rate, bodies.into_iter()).await;
    let used = service.processor_time() - before;

    let paid = count(&mut conn, "SELECT COUNT(*) FROM orders WHERE state = 'SUCCESS'").await;
    let events = count(&mut conn, "SELECT COUNT(*) FROM events WHERE kind = 'order.paid'").await;
    let heard = count(
        &mut conn,
        "SELECT CAST(COALESCE(SUM(times), 0) AS BIGINT) FROM callbacks",
    )
    .await;
    let anomalies = count(&mut conn, "SELECT COUNT(*) FROM anomalies").await;
    drop(conn);

    println!(
        "callbacks: {calls} in {:.1} s ({rate}/s), {repeats} of them repeats",
        done.took.as_secs_f64()
    );
    println!(
        "errors:    {} {:?}",
        done.errors.len(),
        done.errors.iter().take(3).collect::<Vec<_>>()
    );
    println!(
        "latency:   p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms",
        done.ms(50.0),
        done.ms(99.0),
        done.ms(99.9),
        done.ms(100.0)
    );
    println!(
        "payments:  {payments}; orders paid {paid}, order.paid events {events}, callbacks kept {heard}, anomalies {anomalies}"
    );
    println!(
        "service:   {:.0} us of processor time a callback, {} KiB of memory at most",
        used.as_secs_f64() * 1e6 / f64::from(calls),
        service.peak_memory()
    );
    drop(service);
    sqlx::query("DROP DATABASE IF EXISTS pay_common_load WITH (FORCE)")
        .execute(&mut server)
        .await
        .unwrap();
    assert!(done.errors.is_empty(), "some callbacks were not acknowledged");
    assert_eq!(
        (paid, events, anomalies),
        (payments, payments, 0),
        "every payment is applied exactly once"
    );
    assert_eq!(heard, calls, "every callback is kept");
}
