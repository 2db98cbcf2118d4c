//! Spans as a collector gets them, when the environment names one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use pay_common::sandbox::{Endpoint, Fault, Keys, Options, TokenOptions, World};
use prost::Message as _;

use crate::support::app::{OPENID, came, order};
use crate::support::database::{Database, Store};
use crate::support::process::Process;

/// The trace of a caller, and the span in it that asks.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ASKING: &str = "00f067aa0ba902b7";

/// A collector, and a receiver of webhooks beside it.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
    /// Everything that was sent, as it came.
    bytes: Arc<Mutex<Vec<u8>>>,
    /// The `traceparent` of each webhook.
    webhooks: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let services = Arc::new(Mutex::new(Vec::new()));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let webhooks = Arc::new(Mutex::new(Vec::new()));
        let (kept, names, raw, hooks) = (
            Arc::clone(&spans),
            Arc::clone(&services),
            Arc::clone(&bytes),
            Arc::clone(&webhooks),
        );
        let take = move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            raw.lock().unwrap().extend_from_slice(&body);
            let said = ExportTraceServiceRequest::decode(body).unwrap();
            for resource in said.resource_spans {
                let attributes = named(&resource.resource.unwrap().attributes);
                names.lock().unwrap().push(attributes["service.name"].clone());
                for scope in resource.scope_spans {
                    kept.lock().unwrap().extend(scope.spans);
                }
            }
            StatusCode::OK
        };
        let told = move |headers: HeaderMap| async move {
            let parent = headers
                .get("traceparent")
                .map(|value| value.to_str().unwrap().to_owned());
            hooks.lock().unwrap().push(parent.unwrap_or_default());
            StatusCode::OK
        };
        let router = Router::new().route("/v1/traces", post(take)).route("/hook", post(told));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            spans,
            services,
            bytes,
            webhooks,
        }
    }

    fn spans(&self, name: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|span| span.name == name).cloned().collect()
    }

    fn span(&self, name: &str) -> Span {
        let mut spans = self.spans(name);
        assert_eq!(spans.len(), 1, "{name}: {spans:?}");
        spans.remove(0)
    }
}

/// Attributes by name, each as text.
fn named(attributes: &[KeyValue]) -> HashMap<String, String> {
    attributes
        .iter()
        .map(|attribute| {
            let value = match attribute.value.clone().unwrap().value.unwrap() {
                any_value::Value::StringValue(text) => text,
                any_value::Value::IntValue(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            (attribute.key.clone(), value)
        })
        .collect()
}

fn failed(span: &Span) -> bool {
    span.status
        .as_ref()
        .is_some_and(|status| status.code == i32::from(SpanStatus::Error))
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A service whose environment says this, and the order that somebody with a trace of his own places there.
async fn placed(collector: &Collector, more: &[(&str, &str)]) -> (World, Process) {
    let world = World::start(Options {
        keys: Some(Keys::shared()),
        ..Options::default()
    })
    .await
    .unwrap();
    let database = Database::fresh(Store::Sqlite).await;
    let endpoint = format!("http://{}", collector.address);
    let hook = format!("{endpoint}/hook");
    let usual = [
        ("bindAddress", "127.0.0.1"),
        ("PORT", "0"),
        ("DATABASE_URL", &database.url),
        ("logFormat", "json"),
        ("webhookUrl", &hook),
        ("webhookSecret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
    ];
    let settings: Vec<(String, String)> = world
        .settings()
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain(usual)
        .chain(more.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let process = Process::start(&settings);
    world.set_service(process.address.unwrap()).unwrap();
    let token = world.gateway().mint_token("alice", &TokenOptions::wechat(OPENID));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let place = async |number: &str| {
        let request = http
            .post(process.url("/wx-pay/wxpay_order"))
            .bearer_auth(&token)
            .header("traceparent", format!("00-{TRACE}-{ASKING}-01"))
            .json(&order(number, 20));
        came(request.send().await.unwrap()).await
    };
    place("ORDER_1").await.data();
    world.wechat().fault(Endpoint::Prepay, Fault::refuse(401, "SIGN_ERROR"));
    assert_eq!(place("ORDER_2").await.body["code"], -1);
    (world, process)
}

fn stop(process: &mut Process) {
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &process.pid().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(process.wait(), Some(0));
}

/// The trace of who asked goes on through the request to the question that WeChat Pay was asked, and begins anew for the message to the
/// business side, which is handed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_and_what_it_asked_are_spans_of_the_callers_trace() {
    let collector = Collector::start().await;
    let (_world, mut process) = placed(&collector, &[]).await;
    let told = async {
        while collector.webhooks.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    // What has not been sent yet is sent at the end.
    stop(&mut process);

    assert!(
        collector
            .services
            .lock()
            .unwrap()
            .iter()
            .all(|name| name == "pay-common")
    );
    let requests = collector.spans("wxpay_order");
    assert_eq!(requests.len(), 2, "{requests:?}");
    for request in &requests {
        assert_eq!(
            (hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()),
            (TRACE, ASKING)
        );
        assert_eq!(request.kind, i32::from(SpanKind::Server));
    }
    let outcome = |span: &Span| named(&span.attributes)["pay.outcome"].clone();
    let good = requests.iter().find(|span| outcome(span) == "ok").unwrap();
    let bad = requests.iter().find(|span| outcome(span) != "ok").unwrap();
    let attributes = named(&good.attributes);
    for (name, value) in [
        ("http.route", "/wx-pay/{action}"),
        ("http.response.status_code", "200"),
        ("pay.action", "wxpay_order"),
        ("pay.caller", "token"),
        ("pay.out_trade_no", "ORDER_1"),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    assert!(!failed(good));

    let questions = collector.spans("order_jsapi");
    assert_eq!(questions.len(), 2, "{questions:?}");
    for (request, status) in [(good, "200"), (bad, "401")] {
        let question = questions
            .iter()
            .find(|question| question.parent_span_id == request.span_id)
            .unwrap();
        assert_eq!(hex(&question.trace_id), TRACE);
        assert_eq!(question.kind, i32::from(SpanKind::Client));
        let attributes = named(&question.attributes);
        assert_eq!(attributes["http.response.status_code"], status);
        assert_eq!(attributes["server.address"], "127.0.0.1");
        assert!(!attributes["wechat_pay.request_id"].is_empty());
        assert_eq!(failed(question), status != "200");
    }
    let webhook = collector.span("webhook");
    let handed_on = collector.webhooks.lock().unwrap().clone();
    assert_eq!(
        handed_on,
        [format!("00-{}-{}-01", hex(&webhook.trace_id), hex(&webhook.span_id))]
    );

    // Lines of the log are as they are without a collector: they name the request, and once.
    let log = process.log();
    let line = log.lines().find(|line| line.contains("wxpay_order: done")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["span"]["request_id"], named(&good.attributes)["pay.request_id"]);
    assert!(line["span"].get("pay.action").is_none(), "{line}");

    let bytes = collector.bytes.lock().unwrap().clone();
    let contains = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(contains("wxpay_order: done"), "the lines of a span stand in it");
    assert!(!contains(OPENID) && !contains("WECHATPAY2-SHA256-RSA2048"));
}

/// No payment waits for a collector that says nothing, and none for want of one that can be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_do_not_depend_on_the_collector() {
    let collector = Collector::start().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", nobody.local_addr().unwrap());
    for (name, value, said) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", silent.as_str(), None),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", Some("no traces are sent")),
        ("OTEL_SDK_DISABLED", "true", None),
    ] {
        let (_world, mut process) = placed(&collector, &[(name, value)]).await;
        stop(&mut process);
        if let Some(said) = said {
            assert!(process.log().contains(said), "{name}");
        }
        assert!(collector.spans.lock().unwrap().is_empty(), "{name}");
    }
}
