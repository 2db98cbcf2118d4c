//! The description of the service, held against the service: it is sound, every example in it can be posted, and every answer is one of
//! those that it describes.

use std::time::Duration;

use base64::Engine as _;
use pay_common::sandbox::{Endpoint, Fault, FaultRule, Options};
use reqwest::Method;
use serde_json::{Map, Value, json};
use sha2::Digest as _;

use crate::support::app::{Came, OPERATOR, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::Store;

/// Nothing here is about the books, so one of the two databases is enough.
async fn start() -> TestApp {
    TestApp::start(Store::Sqlite).await
}

/// The description, asked of the service.
struct Description(Value);

impl Description {
    async fn of(t: &TestApp) -> Self {
        let answer = t.http.get(t.url("/openapi.json")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self(answer.json().await.unwrap())
    }

    /// Every operation: path, method, and what is said of it.
    fn operations(&self) -> Vec<(&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let mut all = Vec::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                all.push((path.as_str(), method.as_str(), operation));
            }
        }
        all
    }

    fn post(&self, path: &str) -> &Value {
        &self.0["paths"][path]["post"]
    }

    /// The requests that are given for a path, by name.
    fn examples(&self, path: &str) -> &Map<String, Value> {
        let content = &self.post(path)["requestBody"]["content"]["application/json"];
        content["examples"].as_object().unwrap()
    }

    /// What is wrong with a value that should be what this schema describes.
    fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::draft202012::options().build(&schema).unwrap();
        validator
            .iter_errors(value)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect()
    }

    /// The answer is documented, with its content and its headers.
    #[track_caller]
    fn assert_documented(&self, path: &str, came: &Came) {
        let answer = &self.post(path)["responses"][came.status.to_string()];
        assert!(
            answer.is_object(),
            "{path}: {} is not documented: {came:?}",
            came.status
        );
        let media = came.headers["content-type"].to_str().unwrap();
        assert_eq!(media, "application/json; charset=utf-8");
        let faults = self.faults(&answer["content"]["application/json"]["schema"], &came.body);
        assert!(faults.is_empty(), "{path}: {faults:?} in {came:?}");
        for name in answer["headers"].as_object().unwrap().keys() {
            assert!(came.headers.contains_key(name), "{path}: {name} is missing");
        }
    }
}

#[tokio::test]
async fn the_description_is_sound_openapi() {
    let description = Description::of(&start().await).await;
    let rules: Value = serde_json::from_str(include_str!("../description/openapi-3.1.json")).unwrap();
    let validator = jsonschema::draft202012::options().build(&rules).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&description.0)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // That leaves the schemas unread.
    for (name, schema) in description.0["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
    }
    let mut ids: Vec<&str> = Vec::new();
    for (path, method, operation) in description.operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(!ids.contains(&id), "{method} {path}: {id} stands twice");
        ids.push(id);
    }
    for reference in references(&description.0) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.0.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str().filter(|_| name == "$ref") {
                Some(reference) => vec![reference.to_owned()],
                None => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_example_is_what_its_schema_describes() {
    let description = Description::of(&start().await).await;
    let mut seen = 0;
    for (path, method, operation) in description.operations() {
        let request = &operation["requestBody"]["content"]["application/json"];
        let answers = operation["responses"].as_object().unwrap().values();
        for content in answers
            .map(|answer| &answer["content"]["application/json"])
            .chain([request])
        {
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                let example = match example["$ref"].as_str() {
                    Some(reference) => description.0.pointer(reference.trim_start_matches('#')).unwrap(),
                    None => example,
                };
                let faults = description.faults(&content["schema"], &example["value"]);
                assert!(faults.is_empty(), "{method} {path} {name}: {faults:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

/// Every path that takes a request, in the order in which their examples make sense.
const SEQUENCE: [&str; 20] = [
    "wxpay_order",
    "wxpay_order_h5",
    "wxpay_order_native",
    "wxpay_order_app",
    "wxpay_transfer",
    "the world goes on",
    "wxpay_query_order_by_out_trade_no",
    "wxpay_query_order_by_transaction_id",
    "wxpay_close_order",
    "wxpay_refund",
    "the refund arrives",
    "wxpay_refund_query",
    "wxpay_transfer_bill_query",
    "wxpay_transfer_batch_query",
    "wxpay_transfer_bill_query_by_no",
    "unifiedOrderTrigger",
    "refundTrigger",
    "transferTrigger",
    "/wechatpay/order",
    "/wechatpay/refund",
];

const PAID: &str = "ORDER_20260101_1";

/// Goes on until the examples of callbacks tell the truth.
async fn happens(t: &TestApp, step: &str) -> bool {
    match step {
        "the world goes on" => {
            t.world.wechat().pay(PAID).unwrap();
            t.eventually(PAID, "SUCCESS").await;
            t.world.wechat().confirm_transfer("TB20260101000001").unwrap();
            true
        }
        "the refund arrives" => {
            let query = json!({"out_refund_no": "REFUND_20260101_1"});
            while as_operator(t, "/wx-pay/wxpay_refund_query", &query).await.data()["status"] == "PROCESSING" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            true
        }
        _ => false,
    }
}

async fn as_operator(t: &TestApp, path: &str, body: &Value) -> Came {
    let integration = t.world.center().integration_id().to_owned();
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-tcb-integration-id", &integration),
    ];
    t.post(path, &headers, body.to_string()).await
}

/// What the example of this name is answered; `None` is success.
fn exception(path: &str, example: &str) -> Option<(u16, &'static str)> {
    match (path, example) {
        // Numbers that WeChat has not given.
        (path, _) if path.ends_with("by_transaction_id") || path.ends_with("by_no") => Some((200, "UPSTREAM_REFUSED")),
        // Nobody has signed it.
        (_, "notification") => Some((401, "")),
        _ => None,
    }
}

#[track_caller]
fn assert_answered(came: &Came, path: &str, example: &str) {
    match exception(path, example) {
        Some(expected) => assert_eq!(came.failure(), expected, "{path} {example}: {came:?}"),
        None => assert!(
            came.status == 200 && (came.body["code"] == 0 || came.body["code"] == "SUCCESS"),
            "{path} {example}: {came:?}"
        ),
    }
}

#[tokio::test]
async fn every_example_can_be_posted_as_it_is() {
    let t = start().await;
    let description = Description::of(&t).await;
    let mut posted = vec!["/"];
    for step in SEQUENCE.into_iter().chain(["/wechatpay/transfer"]) {
        if happens(&t, step).await {
            continue;
        }
        let path = if step.starts_with('/') {
            step.to_owned()
        } else {
            format!("/wx-pay/{step}")
        };
        let (path, _) = description.0["paths"]
            .as_object()
            .unwrap()
            .get_key_value(&path)
            .unwrap();
        for (name, example) in description.examples(path) {
            let came = as_operator(&t, path, &example["value"]).await;
            assert_answered(&came, path, name);
            description.assert_documented(path, &came);
        }
        posted.push(path);
    }
    let (tick, _) = description.0["paths"]
        .as_object()
        .unwrap()
        .get_key_value("/internal/tick")
        .unwrap();
    let came = as_operator(&t, tick, &Value::Null).await;
    assert_eq!(came.status, 200, "{came:?}");
    description.assert_documented(tick, &came);
    posted.push(tick);
    for (path, method, _) in description.operations() {
        assert!(method == "get" || posted.contains(&path), "{path} was not posted to");
    }
    assert!(t.anomalies().await.is_empty());
}

#[tokio::test]
async fn every_example_of_the_root_can_be_posted_as_it_is() {
    let t = start().await;
    let description = Description::of(&t).await;
    let examples = description.examples("/");
    let mut posted = 0;
    for step in SEQUENCE {
        if happens(&t, step).await {
            continue;
        }
        let Some(example) = examples.get(step) else { continue };
        let body = &example["value"];
        if step == "wxpay_close_order" {
            // Of two examples the root has the first.
            let number = &body["out_trade_no"];
            let placed = with(order(number.as_str().unwrap(), 20), "_action", json!("wxpay_order"));
            as_operator(&t, "/", &placed).await.data();
        }
        let came = as_operator(&t, "/", body).await;
        assert_answered(&came, step, step);
        description.assert_documented("/", &came);
        posted += 1;
    }
    assert_eq!(posted, examples.len());
}

#[tokio::test]
async fn every_failure_is_answered_as_described() {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(Store::Sqlite, options, &[("wechatPayTimeoutMs", "1500")]).await;
    let description = Description::of(&t).await;
    let check = |path: &'static str, came: Came, status: u16, error: &str| {
        assert_eq!(came.failure(), (status, error), "{path}: {came:?}");
        description.assert_documented(path, &came);
    };
    const ORDER: &str = "/wx-pay/wxpay_order";
    const QUERY: &str = "/wx-pay/wxpay_query_order_by_out_trade_no";
    const REFUND: &str = "/wx-pay/wxpay_refund";
    let alice = format!("Bearer {}", t.token("alice"));
    let mallory = format!("Bearer {}", t.token("mallory"));
    let known = [("authorization", alice.as_str())];
    let body = |number: &str| order(number, 100).to_string();

    for path in [ORDER, "/"] {
        check(path, t.post(path, &known, "{").await, 400, "INVALID_BODY");
        check(path, t.post(path, &known, "[]").await, 400, "INVALID_BODY");
        let text = [("authorization", alice.as_str()), ("content-type", "text/plain")];
        check(path, t.post(path, &text, "{}").await, 415, "UNSUPPORTED_MEDIA_TYPE");
        let large = format!("\"{}\"", "x".repeat(3 * 1024 * 1024));
        check(path, t.post(path, &known, large).await, 413, "BODY_TOO_LARGE");
    }
    check("/", t.post("/", &known, "{}").await, 400, "UNKNOWN_ACTION");
    check(ORDER, t.post(ORDER, &known, "{}").await, 400, "INVALID_PARAM");
    check(ORDER, t.post(ORDER, &[], body("ORDER_1")).await, 401, "UNAUTHENTICATED");
    let ticket = with(order("ORDER_1", 100), "order_ticket", json!("a.b.c")).to_string();
    check(ORDER, t.post(ORDER, &known, ticket).await, 403, "ORDER_TICKET_INVALID");
    let h5 = "/wx-pay/wxpay_order_h5";
    check(h5, t.post(h5, &known, body("ORDER_1")).await, 403, "ORIGIN_NOT_ALLOWED");
    let transfer = "/wx-pay/wxpay_transfer";
    check(transfer, t.post(transfer, &known, "{}").await, 403, "FORBIDDEN");

    t.paid("ORDER_1", 100).await;
    let asked = json!({"out_trade_no": "ORDER_1"}).to_string();
    check(
        QUERY,
        t.post(QUERY, &[("authorization", &mallory)], asked).await,
        403,
        "FORBIDDEN",
    );
    check(ORDER, t.post(ORDER, &known, body("ORDER_1")).await, 409, "ORDER_PAID");
    let other = order("ORDER_1", 99).to_string();
    check(ORDER, t.post(ORDER, &known, other).await, 409, "ORDER_PARAMS_MISMATCH");
    let much = refund("ORDER_1", "REFUND_1", 60, 100).to_string();
    assert_eq!(t.post(REFUND, &known, much).await.status, 200);
    let more = refund("ORDER_1", "REFUND_2", 60, 100).to_string();
    check(REFUND, t.post(REFUND, &known, more).await, 409, "REFUND_EXCEEDS_ORDER");
    let absent = json!({"out_trade_no": "ORDER_9"}).to_string();
    check(QUERY, t.post(QUERY, &known, absent).await, 200, "UPSTREAM_REFUSED");

    let breaks = |fault: Fault| {
        t.world
            .wechat()
            .add_fault(FaultRule::on(Endpoint::Prepay, fault).times(100))
    };
    breaks(Fault::DropBefore);
    check(
        ORDER,
        t.post(ORDER, &known, body("ORDER_2")).await,
        502,
        "UPSTREAM_UNAVAILABLE",
    );
    t.world.wechat().clear_faults();

    let callback = "/wechatpay/order";
    for (sent, status) in [
        ("{", 400),
        ("{}", 400),
        (
            r#"{"resource":{"ciphertext":"AAAA","nonce":"n","algorithm":"AEAD_AES_256_GCM"}}"#,
            401,
        ),
    ] {
        let came = t.post(callback, &[], sent).await;
        assert_eq!(
            (came.status, &came.body["code"]),
            (status, &json!("FAIL")),
            "{sent}: {came:?}"
        );
        description.assert_documented(callback, &came);
    }
}

#[tokio::test]
async fn both_forms_are_for_everybody_and_say_when_nothing_has_changed() {
    let t = start().await;
    for (path, media) in [
        ("/openapi.json", "application/json; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
    ] {
        let whole = t.http.get(t.url(path)).send().await.unwrap();
        assert_eq!(whole.status(), 200);
        let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), media);
        assert!(!header("x-request-id").is_empty());
        let tag = header("etag");
        for (known, status) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let again = t
                .http
                .get(t.url(path))
                .header("if-none-match", &known)
                .send()
                .await
                .unwrap();
            assert_eq!(
                (again.status().as_u16(), &again.headers()["etag"]),
                (status, &whole.headers()["etag"]),
                "{known}"
            );
            assert_eq!(again.text().await.unwrap().is_empty(), status == 304, "{known}");
        }
        let head = t.http.head(t.url(path)).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (200, ""));
        for method in [Method::POST, Method::OPTIONS, Method::DELETE] {
            let refused = t.http.request(method, t.url(path)).send().await.unwrap();
            assert_eq!(refused.status(), 405);
            assert_eq!(refused.json::<Value>().await.unwrap()["error"], "METHOD_NOT_ALLOWED");
        }
    }
}

#[tokio::test]
async fn the_page_may_do_nothing_and_load_nothing() {
    let t = start().await;
    let page = t.http.get(t.url("/docs")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = page.text().await.unwrap();
    let (_, rest) = html.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
    assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    assert!(html.contains("wxpay_order") && html.contains("商户订单号"));
}
