//! The callbacks: the shapes in which they come, and the two words that their senders read.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::{answer, operation};
use super::schema::{any_text, described, object, only, reference, time, whole};
use super::{examples, failures};
use crate::http::callbacks::Acknowledgement;
use crate::http::failure::Failure;
use crate::http::text::Text;
use crate::wechat::notification::Subject;

/// The schemas of what comes and of what is answered.
pub(super) fn schemas() -> Map<String, Value> {
    let resource = object(
        &["algorithm", "ciphertext", "nonce"],
        [
            ("original_type", any_text()),
            ("algorithm", any_text()),
            ("ciphertext", any_text()),
            ("associated_data", any_text()),
            ("nonce", any_text()),
        ],
    );
    let notification = object(
        &["resource"],
        [
            ("id", any_text()),
            ("create_time", time()),
            ("event_type", any_text()),
            ("resource_type", any_text()),
            ("summary", any_text()),
            ("resource", resource),
        ],
    );
    let either = || json!({"type": ["object", "string"]});
    let forward = object(
        &["ParsedContent"],
        [
            ("ParsedContent", either()),
            ("ParsedNotify", either()),
            ("Plaintext", any_text()),
            ("rawData", either()),
        ],
    );
    let acknowledged = whole([("code", only("SUCCESS")), ("message", any_text())]);
    let refused = whole([("code", only("FAIL")), ("message", any_text())]);
    [
        ("Notification", notification),
        ("Forward", forward),
        ("CallbackSuccess", acknowledged),
        ("CallbackFail", refused),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), described(name, schema)))
    .collect()
}

/// Whether a body can fail so before it is a callback.
fn unreadable(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::NotJson(_)
            | Failure::NotAnObject
            | Failure::UnsupportedMediaType
            | Failure::TooLarge(_)
            | Failure::TooSlow
    )
}

/// What the sender of a callback can be answered.
pub(super) fn answers() -> Map<String, Value> {
    let mut reasons: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let unreadable = Failure::catalogue()
        .into_iter()
        .filter(unreadable)
        .map(Acknowledgement::Unreadable);
    let said = [
        Acknowledgement::Settled,
        Acknowledgement::NothingYet,
        Acknowledgement::Forged,
        Acknowledgement::Later,
    ];
    for said in said.into_iter().chain(unreadable) {
        let text = said.text();
        let reason = format!("{} / {}", text.chinese, text.english);
        reasons.entry(said.status().as_u16()).or_default().push(reason);
    }
    let mut answers: Map<String, Value> = reasons
        .into_iter()
        .map(|(status, reasons)| {
            let schema = if status == 200 {
                "CallbackSuccess"
            } else {
                "CallbackFail"
            };
            let answer = answer(&reasons.join("; "), &reference(schema), json!({}));
            (status.to_string(), answer)
        })
        .collect();
    answers.extend(failures::answers(&failures::by_status(|failure| {
        matches!(failure, Failure::Internal(_))
    })));
    answers
}

/// What a callback is about.
pub(super) fn about(subject: Subject) -> Text {
    match subject {
        Subject::Payment => Text::new("支付结果回调", "Callback of a payment"),
        Subject::Refund => Text::new("退款结果回调", "Callback of a refund"),
        Subject::Transfer => Text::new("商家转账结果回调", "Callback of a transfer"),
    }
}

/// The operation of a callback's path.
pub(super) fn callback(id: &str, subject: Subject) -> Value {
    let content = json!({"application/json": {
        "schema": {"anyOf": [reference("Forward"), reference("Notification")]},
        "examples": {
            "forward": {
                "summary": "集成中心转发的明文；服务会向微信支付核实 / What the Integration Center forwards; WeChat Pay is asked whether it is true",
                "value": examples::forward(subject),
            },
            "notification": {
                "summary": "微信支付直接发送；没有 Wechatpay-Signature 会被拒绝（401） / What WeChat Pay sends; refused with 401 without its Wechatpay-Signature",
                "value": examples::notification(subject),
            },
        },
    }});
    let description = Text::new(
        "由集成中心或微信支付调用，不由页面调用。验签或核实并落库后才应答 SUCCESS；重复投递同样应答 SUCCESS；其他应答都会再次投递。",
        "Called by the Integration Center or by WeChat Pay, not by a page. SUCCESS is answered once it is proven and durable, also to a duplicate; any other answer has it sent again.",
    );
    let mut callback = operation(id, "callbacks", &about(subject), &description);
    callback.extend([
        ("requestBody".to_owned(), json!({"required": true, "content": content})),
        ("responses".to_owned(), Value::Object(answers())),
        (
            "security".to_owned(),
            json!([{"integration": []}, {"wechatpay": []}, {}]),
        ),
    ]);
    Value::Object(callback)
}
