//! What an operator sees of the service as a whole: counts and times, in OpenMetrics form.
//!
//! Every label has a few values that are written in this crate: actions, constants of failures, endpoints, kinds. Nothing that a caller or
//! WeChat chooses becomes one, so there are as many series after a year as after a day.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::config::Config;

/// Upper bounds of what a caller waits for, in seconds; a callback has 5.
const ANSWER: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 25.0];

/// Upper bounds of one signature, in seconds: some 0.3 ms of a quiet processor.
const SIGNATURE: [f64; 8] = [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfRequest {
    action: &'static str,
    /// `ok`, or the constant of the failure.
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfCallback {
    proof: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfQuestion {
    endpoint: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfDelivery {
    outcome: &'static str,
}

#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Times<L> = Family<L, Histogram, Buckets>;

/// The counts of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    requests: Times<OfRequest>,
    callbacks: Family<OfCallback, Counter>,
    questions: Times<OfQuestion>,
    signatures: Histogram,
    facts: Family<OfKind, Counter>,
    deliveries: Family<OfDelivery, Counter>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Inner {
            requests: Times::new_with_constructor(Buckets(&ANSWER)),
            callbacks: Family::default(),
            questions: Times::new_with_constructor(Buckets(&ANSWER)),
            signatures: Histogram::new(SIGNATURE),
            facts: Family::default(),
            deliveries: Family::default(),
        }))
    }
}

/// What the store and the process are like at the moment of a look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Streams of events that wait to be told.
    pub(crate) outbox_streams: i64,
    /// Age of the oldest of their events, in seconds.
    pub(crate) outbox_age: f64,
    /// Events that were given up.
    pub(crate) dead: i64,
    /// Anomalies that nobody has resolved.
    pub(crate) anomalies: i64,
    /// For how long the first row that is due has been so, in seconds.
    pub(crate) sweep_lag: f64,
    /// Connections to the store, open and idle.
    pub(crate) connections: (i64, i64),
}

impl Metrics {
    /// An action was answered. `outcome` is `ok` or the failure's constant.
    pub(crate) fn request(&self, action: &'static str, outcome: &'static str, took: Duration) {
        let labels = OfRequest { action, outcome };
        self.0.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A callback was answered.
    pub(crate) fn callback(&self, proof: &'static str, outcome: &'static str) {
        self.0.callbacks.get_or_create(&OfCallback { proof, outcome }).inc();
    }

    /// WeChat Pay was asked.
    pub(crate) fn question(&self, target: &str, outcome: &'static str, took: Duration) {
        let labels = OfQuestion {
            endpoint: endpoint(target),
            outcome,
        };
        self.0.questions.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A request to WeChat Pay was signed.
    pub(crate) fn signature(&self, took: Duration) {
        self.0.signatures.observe(took.as_secs_f64());
    }

    /// The books say something that they did not say before.
    pub(crate) fn fact(&self, kind: &'static str) {
        self.0.facts.get_or_create(&OfKind { kind }).inc();
    }

    /// An attempt to tell the business side ended.
    pub(crate) fn delivery(&self, outcome: &'static str) {
        self.0.deliveries.get_or_create(&OfDelivery { outcome }).inc();
    }

    /// Everything as text. `None` for the standing leaves out what only the store knows.
    pub(crate) fn text(&self, config: &Config, standing: Option<Standing>) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("pay_common");
        let inner = &self.0;
        let up = ConstGauge::new(1_i64);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry
            .sub_registry_with_labels(version.map(|(name, value)| (name.into(), value.into())).into_iter())
            .register("build", "The version that runs", up);
        registry.register_with_unit(
            "request",
            "Actions by outcome: ok, or the constant of the failure",
            Unit::Seconds,
            inner.requests.clone(),
        );
        registry.register(
            "callbacks",
            "Callbacks by what proved them and what became of them",
            inner.callbacks.clone(),
        );
        registry.register_with_unit(
            "wechat_request",
            "Questions to WeChat Pay by endpoint and outcome, repeats included",
            Unit::Seconds,
            inner.questions.clone(),
        );
        registry.register_with_unit(
            "signature",
            "Signatures of requests to WeChat Pay",
            Unit::Seconds,
            inner.signatures.clone(),
        );
        registry.register(
            "facts",
            "Moves of the books, each counted once by the instance that made it",
            inner.facts.clone(),
        );
        registry.register(
            "deliveries",
            "Attempts to tell the business side",
            inner.deliveries.clone(),
        );
        registry.register(
            "telling",
            "Whether a business side is told of events",
            ConstGauge::new(i64::from(config.webhook.is_some())),
        );
        registry.register(
            "store_up",
            "Whether the store answers",
            ConstGauge::new(i64::from(standing.is_some())),
        );
        if let Some(standing) = standing {
            registry.register(
                "outbox_streams",
                "Orders, refunds and transfers with events that wait to be told",
                ConstGauge::new(standing.outbox_streams),
            );
            registry.register_with_unit(
                "outbox_oldest",
                "Age of the oldest event that waits to be told",
                Unit::Seconds,
                ConstGauge::new(standing.outbox_age),
            );
            registry.register(
                "outbox_dead",
                "Events that were given up",
                ConstGauge::new(standing.dead),
            );
            registry.register(
                "anomalies_open",
                "Anomalies that nobody has resolved",
                ConstGauge::new(standing.anomalies),
            );
            registry.register_with_unit(
                "sweep_lag",
                "How long the first open row that is due has waited to be asked about",
                Unit::Seconds,
                ConstGauge::new(standing.sweep_lag),
            );
            let (open, idle) = standing.connections;
            registry.register("store_connections", "Connections to the store", ConstGauge::new(open));
            registry.register(
                "store_connections_idle",
                "Connections to the store that nobody uses",
                ConstGauge::new(idle),
            );
        }
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// The endpoint of a path at WeChat Pay, without the numbers in it.
pub(crate) fn endpoint(target: &str) -> &'static str {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let prefixes = [
        ("/v3/pay/transactions/id/", "order_query_by_id"),
        ("/v3/pay/transactions/jsapi", "order_jsapi"),
        ("/v3/pay/transactions/h5", "order_h5"),
        ("/v3/pay/transactions/native", "order_native"),
        ("/v3/pay/transactions/app", "order_app"),
        ("/v3/refund/domestic/refunds/", "refund_query"),
        ("/v3/refund/domestic/refunds", "refund"),
        ("/v3/fund-app/mch-transfer/transfer-bills/", "transfer_query"),
        ("/v3/fund-app/mch-transfer/transfer-bills", "transfer"),
        ("/v3/certificates", "certificates"),
        ("/v3/bill/", "bill"),
    ];
    if path.starts_with("/v3/pay/transactions/out-trade-no/") {
        return if path.ends_with("/close") {
            "order_close"
        } else {
            "order_query"
        };
    }
    let found = prefixes.iter().find(|(prefix, _)| path.starts_with(prefix));
    found.map_or("other", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_name_without_numbers() {
        for (target, name) in [
            ("/v3/pay/transactions/jsapi", "order_jsapi"),
            ("/v3/pay/transactions/out-trade-no/A1?mchid=1900007291", "order_query"),
            ("/v3/pay/transactions/out-trade-no/A1/close", "order_close"),
            ("/v3/pay/transactions/id/4200?mchid=1900007291", "order_query_by_id"),
            ("/v3/refund/domestic/refunds", "refund"),
            ("/v3/refund/domestic/refunds/R1", "refund_query"),
            (
                "/v3/fund-app/mch-transfer/transfer-bills/out-bill-no/T1",
                "transfer_query",
            ),
            ("/v3/bill/tradebill?bill_date=2026-11-22", "bill"),
            ("/elsewhere", "other"),
        ] {
            assert_eq!(endpoint(target), name, "{target}");
        }
    }
}
