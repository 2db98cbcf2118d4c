//! Payments of which no callback ever tells: how long until they are known all the same.

use std::time::{Duration, Instant};

use pay_common::sandbox::{Endpoint, TokenOptions, World};
use serde_json::json;
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::service::Service;
use super::store::Store;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A `PostgreSQL` server; without it, a SQLite file that is thrown away
    #[arg(long)]
    database_url: Option<String>,
    /// Payments
    #[arg(long, default_value_t = 1000)]
    payments: u64,
    /// Orders a second
    #[arg(long, default_value_t = 25)]
    rate: u64,
    /// The last buyer pays so many seconds after the order; the others evenly before
    #[arg(long, default_value_t = 60)]
    slowest: u64,
}

pub(crate) async fn run(arguments: &Arguments) {
    let Arguments {
        payments,
        rate,
        slowest,
        ..
    } = arguments;
    let store = Store::fresh(arguments.database_url.as_deref()).await;
    let world = World::start(pay_common::sandbox::Options::default()).await.unwrap();
    world.wechat().lose_callbacks(u32::MAX);
    let mut settings: Vec<(String, String)> = world
        .settings()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    settings.extend(
        [
            ("bindAddress", "127.0.0.1"),
            ("PORT", "0"),
            ("DATABASE_URL", store.url.as_str()),
            ("logFormat", "json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let service = Service::start(&settings);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/wx-pay/wxpay_order", service.url);
    let token = format!(
        "Bearer {}",
        world.gateway().mint_token("load", &TokenOptions::default())
    );
    let began = Instant::now();
    let buyers = (0..*payments).map(|n| {
        let (http, url, token, wechat) = (http.clone(), url.clone(), token.clone(), world.wechat().clone());
        // Every buyer takes another time; neighbours do not take nearly the same.
        let thinks = Duration::from_millis(n.wrapping_mul(7919) % payments * slowest * 1000 / payments);
        let at = Duration::from_millis(n * 1000 / rate);
        async move {
            tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
            let number = format!("LOST_{n}");
            let order = json!({
                "out_trade_no": number,
                "description": "Test product",
                "amount": {"total": 20, "currency": "CNY"},
                "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            });
            let answer = http
                .post(url)
                .header("authorization", token)
                .json(&order)
                .send()
                .await
                .unwrap();
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
            tokio::time::sleep(thinks).await;
            wechat.pay(&number).unwrap();
            (number, jiff::Timestamp::now().as_millisecond())
        }
    });
    let paid = futures_util::future::join_all(buyers).await;
    tokio::time::sleep(Duration::from_secs(15)).await;

    let mut conn = AnyConnection::connect(&store.url).await.unwrap();
    let mut known = Vec::new();
    for (number, at) in &paid {
        let found = sqlx::query("SELECT created_at FROM events WHERE stream = $1 AND kind = 'order.paid'")
            .bind(number)
            .fetch_optional(&mut conn)
            .await
            .unwrap();
        known.extend(found.map(|row| row.get::<i64, _>(0) - at));
    }
    let asked: i64 = sqlx::query("SELECT MAX(asked) FROM orders")
        .fetch_one(&mut conn)
        .await
        .unwrap()
        .get(0);
    known.sort_unstable();
    let at = |percent: usize| known[(known.len() - 1) * percent / 100];
    println!(
        "lost:      {payments} payments whose every callback is lost, within {slowest} s of their order, on {}",
        conn.backend_name()
    );
    println!(
        "known:     {} of them; after p50 {} ms, p99 {} ms, max {} ms",
        known.len(),
        at(50),
        at(99),
        at(100)
    );
    println!(
        "questions: {} in all, {asked} about an order at most",
        world.wechat().count(Endpoint::QueryOrder)
    );
    println!(
        "service:   {:.2} s of processor time",
        service.processor_time().as_secs_f64()
    );
    conn.close().await.unwrap();
    drop(service);
    store.drop().await;
    assert_eq!(known.len() as u64, *payments, "every payment is known");
}
