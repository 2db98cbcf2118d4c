//! What the service says of itself: whether it lives, whether it can work, and this description.

use serde_json::{Map, Value, json};

use super::document::{answer, operation};
use super::failures;
use super::schema::{described, only, reference, whole};
use crate::http::text::Text;

/// The schemas of the answers.
pub(super) fn schemas() -> Map<String, Value> {
    let state = |other: &str| json!({"type": "string", "enum": ["ok", other]});
    let ready = whole([
        ("status", state("unavailable")),
        ("store", state("unavailable")),
        ("keys", state("not_loaded")),
    ]);
    let count = || json!({"type": "integer", "minimum": 0});
    let done = whole([
        ("orders", count()),
        ("refunds", count()),
        ("transfers", count()),
        ("webhooks", whole([("delivered", count()), ("failed", count())])),
        ("more", json!({"type": "boolean"})),
    ]);
    let turn = whole([("code", only(0)), ("msg", only("success")), ("data", done)]);
    [
        ("Health", whole([("status", only("ok"))])),
        ("Readiness", ready),
        ("Turn", turn),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), described(name, schema)))
    .collect()
}

/// The paths with their operations.
pub(super) fn paths() -> [(&'static str, Value); 6] {
    let health = get(
        "healthz",
        &Text::new("进程存活", "Whether the process lives"),
        &Text::new("", ""),
        json!({"200": answer("存活 / It lives", &reference("Health"), json!({}))}),
    );
    let ready = get(
        "readyz",
        &Text::new("可以工作", "Whether it can do its work"),
        &Text::new(
            "存储可用，且已有可验证微信支付应答的密钥。",
            "The store answers, and there is a key to verify WeChat Pay's answers with.",
        ),
        json!({
            "200": answer("可以 / It can", &reference("Readiness"), json!({})),
            "503": answer("暂时不能 / Not now", &reference("Readiness"), json!({})),
        }),
    );
    let metrics = get(
        "metrics",
        &Text::new("指标（Prometheus）", "What is counted, for Prometheus"),
        &Text::new(
            "Prometheus 文本格式；按 Accept 也可为 OpenMetrics。仅供内网采集。",
            "In Prometheus' text form, or as OpenMetrics where Accept asks for it. For the inner network.",
        ),
        json!({"200": text("text/plain")}),
    );
    let document = get(
        "openapi",
        &Text::new("本文档（OpenAPI 3.1）", "This description (OpenAPI 3.1)"),
        &Text::new("", ""),
        published("application/json", &json!({"type": "object"})),
    );
    let docs = get(
        "docs",
        &Text::new("本文档（网页）", "This description as a page"),
        &Text::new("", ""),
        published("text/html", &json!({"type": "string"})),
    );
    [
        ("/internal/tick", tick()),
        ("/healthz", health),
        ("/readyz", ready),
        ("/metrics", metrics),
        ("/openapi.json", document),
        ("/docs", docs),
    ]
}

fn tick() -> Value {
    let mut responses = failures::answers(&failures::by_status(failures::occurs_at_tick));
    responses.insert(
        "200".to_owned(),
        answer("做了什么 / What was done", &reference("Turn"), json!({})),
    );
    let mut post = operation(
        "tick",
        "service",
        &Text::new("处理到期事项", "Does what is due"),
        &Text::new(
            "查询到期未决的订单、退款与转账，并发送到期的业务通知；供定时器调用，最多用时约 8 秒，more 为 true 时请再次调用。可并发调用。",
            "Asks WeChat Pay about orders, refunds and transfers that are open and due, and sends the webhooks that are due. For a timer; takes about 8 seconds at most, and where more is true there is more to do. May be called by several at once.",
        ),
    );
    post.extend([
        ("responses".to_owned(), Value::Object(responses)),
        ("security".to_owned(), json!([{"operator": []}])),
    ]);
    json!({"post": post})
}

/// An answer that is text.
fn text(media: &str) -> Value {
    let id = json!({"$ref": "#/components/headers/RequestId"});
    json!({
        "description": "内容 / The text",
        "headers": {"x-request-id": id},
        "content": {media: {"schema": {"type": "string"}}},
    })
}

/// The answers of a text that is kept by its tag.
pub(super) fn published(media: &str, schema: &Value) -> Value {
    let etag = json!({
        "description": "内容的标识，可用于 If-None-Match / Names the content, for If-None-Match",
        "required": true,
        "schema": {"type": "string"},
    });
    let id = json!({"$ref": "#/components/headers/RequestId"});
    json!({
        "200": {
            "description": "内容 / The text",
            "headers": {"x-request-id": id, "ETag": etag},
            "content": {media: {"schema": schema}},
        },
        "304": {
            "description": "未改变 / Not changed",
            "headers": {"x-request-id": id, "ETag": etag},
        },
    })
}

fn get(id: &str, summary: &Text, description: &Text, responses: Value) -> Value {
    let mut get = operation(id, "service", summary, description);
    get.extend([("responses".to_owned(), responses), ("security".to_owned(), json!([]))]);
    json!({"get": get})
}
