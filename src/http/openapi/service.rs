//! What the service says of itself: whether it lives, whether it can work, and this description.

use serde_json::{Map, Value, json};

use super::document::{answer, operation};
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
    [("Health", whole([("status", only("ok"))])), ("Readiness", ready)]
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), described(name, schema)))
        .collect()
}

/// The paths with their operations.
pub(super) fn paths() -> [(&'static str, Value); 4] {
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
        ("/healthz", health),
        ("/readyz", ready),
        ("/openapi.json", document),
        ("/docs", docs),
    ]
}

fn published(media: &str, schema: &Value) -> Value {
    let etag = json!({
        "description": "内容的标识，可用于 If-None-Match / Names the content, for If-None-Match",
        "required": true,
        "schema": {"type": "string"},
    });
    let id = json!({"$ref": "#/components/headers/RequestId"});
    json!({
        "200": {
            "description": "文档 / The description",
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
