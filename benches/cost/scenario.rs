//! What is asked of the service.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use pay_common::sandbox::{Keys, Notice, Options, TokenOptions, World};
use serde_json::{Value, json};

use super::Arguments;
use super::generator::{self, Ask};
use super::history;
use super::service::Service;
use super::store::Store;
use super::upstream::{HOOK, Upstream};

const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";

/// Signs the webhooks.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Requests before the measured ones: connections are made and pools filled.
const WARM_UP: usize = 200;

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One kind of operation.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// An order from a Mini Program or a page: written, asked for, written, signed.
    Order,
    /// A query of an open order: WeChat is asked.
    Query,
    /// A forward of the Integration Center whose ciphertext proves it.
    Ciphertext,
    /// The same once more, when everything is known.
    Duplicate,
    /// A forward that proves nothing: WeChat is asked.
    Asked,
    /// A callback from WeChat Pay itself, proven by its signature.
    Signed,
    /// A forward that its ciphertext proves, and the webhook that tells the business side of the payment.
    Webhook,
    /// An order that nobody spoke of: the sweep asks about it, and it is paid.
    Sweep,
}

/// One run.
pub(crate) struct Measured {
    pub(crate) cost_us: f64,
    pub(crate) per_second: f64,
    pub(crate) peak_mib: f64,
    latency: Histogram<u64>,
}

impl Measured {
    /// What the service used since it had used `before`, for all operations in the time that they took.
    fn of(arguments: &Arguments, service: &Service, before: Duration, latency: Histogram<u64>, took: Duration) -> Self {
        let used = service.processor_time() - before;
        let peak = u32::try_from(service.peak_memory()).unwrap();
        let operations = f64::from(u32::try_from(arguments.operations).unwrap());
        Self {
            cost_us: used.as_secs_f64() * 1e6 / operations,
            per_second: operations / took.as_secs_f64(),
            peak_mib: f64::from(peak) / 1024.0,
            latency,
        }
    }

    pub(crate) fn ms(&self, percentile: f64) -> f64 {
        let us = u32::try_from(self.latency.value_at_percentile(percentile)).unwrap_or(u32::MAX);
        f64::from(us) / 1000.0
    }
}

impl Scenario {
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    pub(crate) fn name(self) -> String {
        self.to_possible_value().unwrap().get_name().to_owned()
    }

    pub(crate) async fn run(self, arguments: &Arguments) -> Measured {
        let world = World::start(Options {
            keys: Some(Keys::shared()),
            ..Options::default()
        })
        .await
        .unwrap();
        let keys = world.keys();
        let of_world = world.settings();
        // The app of an order that names none.
        let app_id = of_world.iter().find(|(name, _)| *name == "appId").unwrap().1.clone();
        let upstream = Upstream::of(keys.public_key_id().to_owned(), keys.mchid().to_owned(), app_id.clone());
        let store = Store::fresh(arguments.database_url.as_deref()).await;
        let (base, public_key) = (upstream.start().await, upstream.public_pem());
        let ours = [
            ("bindAddress", "127.0.0.1"),
            ("PORT", "0"),
            ("DATABASE_URL", &store.url),
            ("logFormat", "json"),
            ("wechatPayBaseUrl", &base),
            ("wxPayPublicKey", &public_key),
            // What nobody asked for has a scenario of its own.
            ("sweepInterval", if matches!(self, Self::Sweep) { "1" } else { "0" }),
            // One caller stands for thousands here.
            ("maxRequestsPerSecond", "1000000"),
            ("maxCallerRequestsPerSecond", "1000000"),
        ];
        let settings: Vec<(String, String)> = of_world
            .into_iter()
            .filter(|(name, _)| ours.iter().all(|(ours, _)| ours != name))
            .chain(ours.map(|(name, value)| (name, value.to_owned())))
            .map(|(name, value)| (name.to_owned(), value))
            .chain(
                matches!(self, Self::Webhook)
                    .then_some([
                        ("webhookUrl".to_owned(), format!("{base}{HOOK}")),
                        ("webhookSecret".to_owned(), SECRET.to_owned()),
                    ])
                    .into_iter()
                    .flatten(),
            )
            .chain(arguments.set.iter().map(|set| {
                let (name, value) = set.split_once('=').unwrap();
                (name.to_owned(), value.to_owned())
            }))
            .collect();
        let service = Service::start(&settings);
        history::settled(&store.url, &app_id, arguments.stored).await;
        let count = arguments.operations + WARM_UP;
        if matches!(self, Self::Sweep) {
            let (before, began) = (service.processor_time(), Instant::now());
            history::waiting(&store.url, &app_id, "LOAD_", arguments.operations, history::DUE).await;
            until(|| upstream.asked() >= arguments.operations).await;
            let measured = Measured::of(arguments, &service, before, Histogram::new(3).unwrap(), began.elapsed());
            drop(service);
            store.drop().await;
            return measured;
        }
        if !matches!(self, Self::Order) {
            let prefix = if matches!(self, Self::Query) { "OPEN_" } else { "LOAD_" };
            history::waiting(&store.url, &app_id, prefix, count, history::NEVER).await;
        }

        let mut asks = self.asks(&world, &upstream, count);
        let measured = asks.split_off(WARM_UP);
        let again = matches!(self, Self::Duplicate);
        let expected = match self {
            Self::Order | Self::Query => "\"code\":0",
            _ => "SUCCESS",
        };
        generator::all(&service.url, arguments.at_a_time, expected, asks).await;
        if matches!(self, Self::Webhook) {
            until(|| upstream.told() >= WARM_UP).await;
        }
        if again {
            let first = self.asks(&world, &upstream, count).split_off(WARM_UP);
            generator::all(&service.url, arguments.at_a_time, expected, first).await;
        }
        let before = service.processor_time();
        let (latency, took) = generator::all(&service.url, arguments.at_a_time, expected, measured).await;
        if matches!(self, Self::Webhook) {
            until(|| upstream.told() >= count).await;
        }
        let measured = Measured::of(arguments, &service, before, latency, took);
        drop(service);
        store.drop().await;
        measured
    }

    fn asks(self, world: &World, upstream: &Upstream, count: usize) -> Vec<Ask> {
        let token = world.gateway().mint_token("bench", &TokenOptions::wechat(OPENID));
        let json = ("content-type", "application/json".to_owned());
        let asked = |path, body: &Value| Ask {
            path,
            headers: vec![json.clone(), ("authorization", format!("Bearer {token}"))],
            body: body.to_string(),
        };
        let forwarded = |body: &Value| Ask {
            path: "/wechatpay/order",
            headers: vec![
                json.clone(),
                ("x-tcb-integration-id", world.center().integration_id().to_owned()),
            ],
            body: body.to_string(),
        };
        let envelope = |n: usize, resource: &Value| {
            let notice = Notice {
                id: format!("EV-bench-{n:010}"),
                create_time: "2026-11-23T10:34:57+08:00".to_owned(),
                event_type: "TRANSACTION.SUCCESS".to_owned(),
                summary: "支付成功".to_owned(),
                original_type: "transaction".to_owned(),
                associated_data: Some("transaction".to_owned()),
                resource: resource.clone(),
                other_api_v3_key: None,
            };
            notice.envelope(world.keys())
        };
        (1..=count)
            .map(|n| match self {
                Self::Order => asked(
                    "/wx-pay/wxpay_order",
                    &json!({"description": "一杯咖啡", "out_trade_no": format!("BENCH_{n:010}"), "amount": {"total": 20, "currency": "CNY"},
                            "payer": {"openid": OPENID}}),
                ),
                Self::Query => asked(
                    "/wx-pay/wxpay_query_order_by_out_trade_no",
                    &json!({"out_trade_no": format!("OPEN_{}", n % 64 + 1)}),
                ),
                Self::Sweep => unreachable!("nobody asks"),
                Self::Ciphertext | Self::Duplicate | Self::Webhook => {
                    let paid = upstream.paid(&format!("LOAD_{n}"));
                    let raw: Value = serde_json::from_str(&envelope(n, &paid)).unwrap();
                    forwarded(&json!({"ParsedContent": paid, "rawData": raw}))
                }
                Self::Asked => {
                    let paid = upstream.paid(&format!("LOAD_{n}"));
                    forwarded(&json!({"ParsedContent": paid, "rawData": {"event_type": "TRANSACTION.SUCCESS"}}))
                }
                Self::Signed => {
                    let body = envelope(n, &upstream.paid(&format!("LOAD_{n}")));
                    let mut headers = upstream.headers(&body);
                    headers.push(json.clone());
                    Ask { path: "/wechatpay/order", headers, body }
                }
            })
            .collect()
    }
}
