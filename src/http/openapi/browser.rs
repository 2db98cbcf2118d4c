//! What a browser asks for by itself: web authorization, and what the cashier has to know.

use serde_json::{Map, Value, json};

use super::document::{answer, operation};
use super::failures;
use super::schema::{any_text, described, list, only, reference, whole};
use super::service::published;
use crate::http::cashier;
use crate::http::failure::{Failure, NotAuthorized};
use crate::http::text::Text;

/// The schema of the one answer that is JSON.
pub(super) fn schemas() -> Map<String, Value> {
    let known = whole([
        ("payee", json!({"type": ["string", "null"]})),
        (
            "authorization",
            json!({"type": "string", "enum": ["off", "needed", "done"]}),
        ),
        ("return_origins", list(&any_text())),
    ]);
    let context = whole([("code", only(0)), ("msg", only("success")), ("data", known)]);
    Map::from_iter([("CashierContext".to_owned(), described("CashierContext", context))])
}

/// The paths with their operations.
pub(super) fn paths() -> Vec<(&'static str, Value)> {
    let authorize = get(
        "authorize",
        &Text::new("开始微信网页授权", "Begins WeChat's web authorization"),
        &Text::new(
            "将浏览器重定向到微信（snsapi_base），完成后回到 return_to；仅在设置了 offiaccountAppSecret 时可用。",
            "Sends the browser to WeChat (snsapi_base), from where it comes back to return_to. Only where offiaccountAppSecret is set.",
        ),
        &json!([in_query(
            "return_to",
            "本服务的路径或 oauthReturnOrigins 中的地址；默认 /pay / A path of this service, or an address of one of oauthReturnOrigins; /pay when left out",
            1024,
        )]),
        redirects("前往微信 / To WeChat", &failures::by_status(occurs_at_authorize)),
    );
    let callback = get(
        "oauthCallback",
        &Text::new("微信网页授权返回", "Where WeChat's web authorization comes back"),
        &Text::new(
            "用 code 换取 openid，写入会话 cookie（HttpOnly、Secure、SameSite=Lax），再重定向到 return_to；code 已失效时重新授权一次。",
            "Exchanges the code for the openid, sets the session's cookie (HttpOnly, Secure, SameSite=Lax) and goes on to return_to. With a code that is used or too old it starts over once.",
        ),
        &json!([
            in_query("code", "微信返回的授权码 / The code that WeChat gave", 512),
            in_query(
                "state",
                "本服务生成的随机值 / The random value that this service made",
                128
            ),
        ]),
        redirects(
            "前往 return_to，或重新授权 / To return_to, or to WeChat once more",
            &failures::by_status(occurs_at_callback),
        ),
    );
    let context = get(
        "cashierContext",
        &Text::new("收银台的上下文", "What the cashier has to know"),
        &Text::new("", ""),
        &json!([]),
        json!({"200": answer("上下文 / It", &reference("CashierContext"), json!({}))}),
    );
    let mut paths = vec![
        ("/oauth/authorize", authorize),
        ("/oauth/callback", callback),
        ("/pay/context", context),
    ];
    paths.extend(
        cashier::FILES
            .iter()
            .map(|(path, content_type, _)| (*path, file(path, content_type))),
    );
    paths
}

/// One of the files of the cashier.
fn file(path: &str, content_type: &str) -> Value {
    let name = path.trim_start_matches("/pay").trim_start_matches('/');
    let id = if name.is_empty() {
        "cashier".to_owned()
    } else {
        format!("cashier-{}", name.replace('.', "-"))
    };
    let media = content_type.split(';').next().unwrap_or(content_type);
    let (summary, said) = if name.is_empty() {
        (
            Text::new("收银台页面", "The cashier: the page on which a buyer pays"),
            Text::new(
                "订单由锚点 #ticket=... 给出（商户后端签名的票据），支付后返回 #return_to=...",
                "The order stands in the fragment, #ticket=... (signed by the merchant's backend); afterwards it leads back to #return_to=...",
            ),
        )
    } else {
        (
            Text::new(format!("收银台文件 {name}"), format!("{name}, of the cashier")),
            Text::new("", ""),
        )
    };
    get(
        &id,
        &summary,
        &said,
        &json!([]),
        published(media, &json!({"type": "string"})),
    )
}

fn occurs_at_authorize(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::NotAuthorized(NotAuthorized::Off | NotAuthorized::NoAddress | NotAuthorized::ReturnTo)
            | Failure::TooMany(_)
            | Failure::Internal(_)
    )
}

fn occurs_at_callback(failure: &Failure) -> bool {
    match failure {
        Failure::NotAuthorized(why) => !matches!(why, NotAuthorized::ReturnTo),
        other => matches!(other, Failure::TooMany(_) | Failure::Internal(_)),
    }
}

fn redirects(whereto: &str, failed: &std::collections::BTreeMap<u16, Vec<Failure>>) -> Value {
    let mut responses = failures::answers(failed);
    let headers = json!({
        "Location": {"required": true, "schema": {"type": "string", "format": "uri"}},
        "Set-Cookie": {"schema": {"type": "string"}},
    });
    responses.insert("302".to_owned(), json!({"description": whereto, "headers": headers}));
    Value::Object(responses)
}

fn in_query(name: &str, description: &str, most: u32) -> Value {
    json!({
        "name": name, "in": "query", "required": false, "description": description,
        "schema": {"type": "string", "maxLength": most},
    })
}

fn get(id: &str, summary: &Text, description: &Text, parameters: &Value, responses: Value) -> Value {
    let mut get = operation(id, "service", summary, description);
    get.extend([
        ("parameters".to_owned(), parameters.clone()),
        ("responses".to_owned(), responses),
        ("security".to_owned(), json!([])),
    ]);
    json!({"get": get})
}
