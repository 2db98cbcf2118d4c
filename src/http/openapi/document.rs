//! The document as a whole.

use serde_json::{Map, Value, json};

use super::actions::Forms;
use super::schema::{described, reference};
use super::{actions, answers, browser, callbacks, examples, failures, service};
use crate::config::Config;
use crate::domain::order::OrderKind;
use crate::http::action::{Action, CALLBACKS};
use crate::http::failure::Failure;
use crate::http::router::CALLBACK_PATHS;
use crate::http::text::Text;

/// The description. The readers of forms want settings to read with; nothing of them is in it.
pub(super) fn document(config: &Config) -> Value {
    let mut paths = Map::new();
    paths.insert("/".to_owned(), json!({"post": root(config)}));
    for action in Action::ALL {
        let path = format!("/wx-pay/{}", action.as_str());
        let operation = action_path(config, action);
        for name in actions::old_names(action) {
            let mut old = operation.clone();
            old.extend([
                ("operationId".to_owned(), name.into()),
                ("deprecated".to_owned(), true.into()),
            ]);
            paths.insert(format!("/wx-pay/{name}"), json!({"post": old}));
        }
        paths.insert(path, json!({"post": operation}));
    }
    for (name, subject) in CALLBACKS {
        let path = format!("/wx-pay/{name}");
        paths.insert(path, json!({"post": callbacks::callback(name, subject)}));
    }
    for (path, subject) in CALLBACK_PATHS {
        let id = path.trim_start_matches('/').replace('/', "_");
        paths.insert(path.to_owned(), json!({"post": callbacks::callback(&id, subject)}));
    }
    paths.extend(browser::paths().into_iter().map(|(path, item)| (path.to_owned(), item)));
    paths.extend(service::paths().map(|(path, item)| (path.to_owned(), item)));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pay-common",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "云开发微信支付：下单、查询、关单、退款与回调 / WeChat Pay for CloudBase: orders, queries, refunds and callbacks",
            "description": both(&introduction()),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": by_callers(),
        "tags": [
            {"name": "orders", "description": "订单 / Orders"},
            {"name": "refunds", "description": "退款 / Refunds"},
            {"name": "transfers", "description": "商家转账 / Merchant transfers"},
            {"name": "callbacks", "description": "微信支付的回调 / Callbacks of WeChat Pay"},
            {"name": "service", "description": "服务自身 / The service itself"},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas(config),
            "examples": failures::examples(),
            "headers": {"RequestId": {
                "description": "本次请求的编号，排查问题时请提供 / The id of this request, to ask the operator about it",
                "required": true,
                "schema": {"type": "string", "minLength": 1, "maxLength": 128},
            }},
            "parameters": parameters(),
            "securitySchemes": security_schemes(),
        },
    })
}

fn introduction() -> Text {
    Text::new(
        "金额单位均为分，时间均为带时区的 RFC 3339。成功时 HTTP 200 且 code 为 0；微信支付拒绝时 HTTP 200 且 code 为 -1；其余失败为 4xx、5xx，code 为 -1，error 为稳定的常量。msg 默认中文，Accept-Language 偏好英文时为英文。所有操作都可用相同单号重试。不存在的路径应答 404（NOT_FOUND），不支持的方法应答 405（METHOD_NOT_ALLOWED）。值为 null 的成员等同于未传。",
        "Amounts are in fen, times are RFC 3339 with offset. A success is HTTP 200 with code 0. When WeChat Pay refuses it is HTTP 200 with code -1. Every other failure is 4xx or 5xx with code -1 and a stable constant in error. msg is Chinese, or English where Accept-Language prefers it. Every action may be repeated with the same number. A path that does not exist is answered 404 (NOT_FOUND), another method 405 (METHOD_NOT_ALLOWED). A member that is null counts as left out.",
    )
}

/// Both languages, a paragraph each.
fn both(text: &Text) -> String {
    format!("{}\n\n{}", text.chinese, text.english)
}

/// The beginning of an operation.
pub(super) fn operation(id: &str, tag: &str, summary: &Text, description: &Text) -> Map<String, Value> {
    let mut operation = Map::from_iter([
        ("operationId".to_owned(), id.into()),
        ("tags".to_owned(), json!([tag])),
        (
            "summary".to_owned(),
            format!("{} / {}", summary.chinese, summary.english).into(),
        ),
    ]);
    if !description.chinese.is_empty() {
        operation.insert("description".to_owned(), both(description).into());
    }
    operation
}

/// An answer in JSON.
pub(super) fn answer(description: &str, schema: &Value, examples: Value) -> Value {
    let mut content = json!({"schema": schema});
    if let (Some(content), Some(_)) = (
        content.as_object_mut(),
        examples.as_object().filter(|all| !all.is_empty()),
    ) {
        content.insert("examples".to_owned(), examples);
    }
    json!({
        "description": description,
        "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
        "content": {"application/json": content},
    })
}

/// Who may call an action.
fn by_callers() -> Value {
    json!([{"login": []}, {"session": []}, {"operator": []}, {"platform": []}])
}

fn security_schemes() -> Value {
    json!({
        "login": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "云开发登录的 access token（匿名登录不可用） / The access token of a CloudBase login; not of an anonymous one",
        },
        "session": {
            "type": "apiKey", "in": "cookie", "name": "__Host-pay_session",
            "description": "网页授权后写入的会话；仅对本服务自己的页面有效 / Set by web authorization; counts on this service's own pages only",
        },
        "operator": {
            "type": "http", "scheme": "bearer", "bearerFormat": "op_...",
            "description": "商户服务器的运维密钥，以 op_ 开头 / The operator key of a server of the merchant's; it begins with op_",
        },
        "platform": {
            "type": "apiKey", "in": "header", "name": "x-wx-openid",
            "description": "云函数平台注入的身份；只在 trustPlatformHeaders 允许时有效，客户端不能自行设置 / What the platform injects; it counts where trustPlatformHeaders allows it, and a client cannot set it",
        },
        "integration": {
            "type": "apiKey", "in": "header", "name": "x-tcb-integration-id",
            "description": "集成中心转发时携带；设置了 integrationId 时必须相同 / Sent by the Integration Center; has to equal integrationId where that is set",
        },
        "wechatpay": {
            "type": "apiKey", "in": "header", "name": "Wechatpay-Signature",
            "description": "微信支付的签名，另有 Wechatpay-Timestamp、Wechatpay-Nonce、Wechatpay-Serial / WeChat Pay's signature, beside Wechatpay-Timestamp, Wechatpay-Nonce and Wechatpay-Serial",
        },
    })
}

fn parameters() -> Value {
    json!({
        "RequestId": {
            "name": "x-request-id", "in": "header",
            "description": "调用方自定的请求编号，原样返回；不合格式时由服务生成 / The caller's own id of the request, echoed; one that does not fit is replaced",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        },
        "Language": {
            "name": "accept-language", "in": "header",
            "description": "msg 的语言：zh（默认）或 en / The language of msg: zh, or en",
            "schema": {"type": "string"}, "example": "en",
        },
        "Origin": {
            "name": "origin", "in": "header",
            "description": "浏览器自动携带，须在 corsAllowOrigin 中；运维密钥不需要 / Sent by the browser, has to be listed in corsAllowOrigin; not needed with an operator key",
            "schema": {"type": "string"},
        },
    })
}

fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

/// An action's request schemas: their names as posted to its path and to `/`, and what is posted to its path. The usual one comes first.
fn requests(config: &Config, action: Action) -> Vec<(String, String, Value)> {
    let name = actions::pascal(action.as_str());
    let Forms { usual, other } = actions::forms(config, action);
    std::iter::once(("", usual))
        .chain(other)
        .map(|(word, form)| {
            (
                format!("{name}{word}Request"),
                format!("{name}{word}ByNameRequest"),
                form,
            )
        })
        .collect()
}

fn schemas(config: &Config) -> Map<String, Value> {
    let mut schemas = Map::new();
    for action in Action::ALL {
        for (name, name_by_name, form) in requests(config, action) {
            schemas.insert(name.clone(), described(&name, form.clone()));
            let by_name = actions::by_name(action, form);
            schemas.insert(name_by_name.clone(), described(&name_by_name, by_name));
        }
        let (name, envelope) = answers::envelope(action);
        schemas.insert(name.clone(), described(&name, envelope));
        if let Some((name, inner)) = answers::inner(action) {
            schemas.insert(name.to_owned(), described(name, inner));
        }
    }
    schemas.extend(failures::schemas());
    schemas.extend(callbacks::schemas());
    schemas.extend(browser::schemas());
    schemas.extend(service::schemas());
    schemas
}

/// A success, or the refusal of WeChat Pay.
fn outcome(action: Action) -> Value {
    let (name, _) = answers::envelope(action);
    let inner = examples::answer(action);
    let data = match inner {
        Some(inner) => json!({"status": 200, "data": inner}),
        None => json!({"status": 204}),
    };
    let refused = failures::by_status(|failure| failures::occurs(failure, action) && failure.status().as_u16() == 200);
    let refused: Vec<Failure> = refused.into_values().flatten().collect();
    let mut examples = failures::example_references(&refused);
    let success = json!({"summary": "success", "value": {"code": 0, "msg": "success", "data": data}});
    examples.insert("success".to_owned(), success);
    answer(
        "成功（code 0），或微信支付拒绝（code -1，`UPSTREAM_REFUSED`） / A success (code 0), or refused by WeChat Pay (code -1, `UPSTREAM_REFUSED`)",
        &json!({"oneOf": [reference(&name), reference(&failures::schema_name(200))]}),
        Value::Object(examples),
    )
}

fn action_path(config: &Config, action: Action) -> Map<String, Value> {
    let about = actions::about(action);
    let mut forms: Vec<Value> = requests(config, action)
        .iter()
        .map(|(name, ..)| reference(name))
        .collect();
    let schema = match forms.pop() {
        Some(only) if forms.is_empty() => only,
        last => {
            forms.extend(last);
            json!({"oneOf": forms})
        }
    };
    let examples: Map<String, Value> = examples::of(action)
        .into_iter()
        .map(|(name, summary, value)| (name.to_owned(), json!({"summary": summary, "value": value})))
        .collect();
    let mut parameters = vec![parameter("RequestId"), parameter("Language")];
    if action == Action::Order(OrderKind::H5) {
        parameters.push(parameter("Origin"));
    }
    let mut responses = failures::answers(&failures::by_status(|failure| failures::occurs(failure, action)));
    responses.insert("200".to_owned(), outcome(action));
    let mut operation = operation(action.as_str(), about.tag, &about.summary, &about.description);
    operation.extend([
        ("parameters".to_owned(), parameters.into()),
        (
            "requestBody".to_owned(),
            json!({"required": true, "content": {"application/json": {"schema": schema, "examples": examples}}}),
        ),
        ("responses".to_owned(), Value::Object(responses)),
        ("security".to_owned(), by_callers()),
    ]);
    operation
}

/// `POST /`: every action by its name, and every callback by its content.
fn root(config: &Config) -> Value {
    let summary = Text::new("按 _action 分发", "Every action, by its name");
    let description = Text::new(
        "与 /wx-pay/{action} 相同，操作名写在 _action 中（云开发网关的调用方式）；也可写在 path 中，如 {\"path\": \"/wx-pay/wxpay_order\"}。没有操作名而有 rawData.event_type 或 ParsedNotify.event_type 的是回调，按回调的格式应答。",
        "The same as /wx-pay/{action}, with the action's name in _action, as the gateway of CloudBase is called; or in path, like {\"path\": \"/wx-pay/wxpay_order\"}. A body without a name and with rawData.event_type or ParsedNotify.event_type is a callback, and is answered as one.",
    );
    let mut mapping = Map::new();
    let mut usual = Vec::new();
    let mut schemas = Vec::new();
    let mut examples = Map::new();
    let mut successes = Vec::new();
    for action in Action::ALL {
        let mut forms = requests(config, action).into_iter().map(|(_, by_name, _)| by_name);
        for by_name in forms.by_ref().take(1) {
            for name in actions::names(action) {
                mapping.insert(name, format!("#/components/schemas/{by_name}").into());
            }
            usual.push(reference(&by_name));
        }
        schemas.extend(forms.map(|by_name| reference(&by_name)));
        if let Some((_, summary, mut value)) = examples::of(action).into_iter().next() {
            if let Some(body) = value.as_object_mut() {
                body.insert("_action".to_owned(), action.as_str().into());
            }
            examples.insert(action.as_str().to_owned(), json!({"summary": summary, "value": value}));
        }
        successes.push(reference(&answers::envelope(action).0));
    }
    schemas.insert(
        0,
        json!({"oneOf": usual, "discriminator": {"propertyName": "_action", "mapping": mapping}}),
    );
    schemas.push(reference("Forward"));
    for (name, subject) in CALLBACKS {
        let text = callbacks::about(subject);
        let summary = format!("{} / {}", text.chinese, text.english);
        examples.insert(
            name.to_owned(),
            json!({"summary": summary, "value": examples::forward(subject)}),
        );
    }

    let by_status = failures::by_status(failures::occurs_at_root);
    let mut responses = failures::answers(&by_status);
    // A forward at this path is answered in its own words, beside what an action answers with the same status.
    for (status, callback) in callbacks::answers() {
        if status == "200" {
            continue;
        }
        match responses.get_mut(&status).and_then(Value::as_object_mut) {
            Some(response) => {
                let schema = response
                    .get_mut("content")
                    .and_then(|content| content.pointer_mut("/application~1json/schema"));
                let fail = reference("CallbackFail");
                if let Some(schema) = schema.filter(|_| status != "500") {
                    *schema = json!({"oneOf": [schema.clone(), fail]});
                }
            }
            None => {
                responses.insert(status, callback);
            }
        }
    }
    successes.push(reference(&failures::schema_name(200)));
    successes.push(reference("CallbackSuccess"));
    let success = answer(
        "操作成功、微信支付拒绝，或回调已处理 / A success, a refusal of WeChat Pay, or a callback that is settled",
        &json!({"anyOf": successes}),
        json!({}),
    );
    responses.insert("200".to_owned(), success);
    let mut root = operation("dispatch", "orders", &summary, &description);
    root.extend([
        (
            "parameters".to_owned(),
            json!([parameter("RequestId"), parameter("Language"), parameter("Origin")]),
        ),
        (
            "requestBody".to_owned(),
            json!({"required": true, "content": {"application/json": {"schema": {"anyOf": schemas}, "examples": examples}}}),
        ),
        ("responses".to_owned(), Value::Object(responses)),
        (
            "security".to_owned(),
            json!([{"login": []}, {"operator": []}, {"platform": []}, {"integration": []}]),
        ),
    ]);
    Value::Object(root)
}
