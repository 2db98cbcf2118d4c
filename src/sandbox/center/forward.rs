//! What the Integration Center makes of a callback.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{NotForwarded, ORDER_PATH, REFUND_PATH, TRANSFER_PATH};
use crate::sandbox::{
    Keys,
    clock::{china_digits, china_time},
    crypto::{open, random_digits, signed_text},
    outbound::Headers,
    platform::Platform,
    put,
    wechat::OrderView,
};

/// How a forward holds the decrypted content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// As an object.
    Object,
    /// As a text with JSON in it.
    Text,
    /// Not at all.
    Absent,
}

/// How much of WeChat's own notification a forward holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawData {
    /// All of it, with the encrypted resource.
    Whole,
    /// Without the encrypted resource.
    WithoutResource,
    /// Nothing.
    Absent,
}

/// Which members a forward has, and where it goes. The default is all of them, to the path of the callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardShape {
    /// How `ParsedContent` looks.
    pub parsed_content: Content,
    /// Whether `ParsedNotify` is there.
    pub parsed_notify: bool,
    /// Whether `Plaintext` is there.
    pub plaintext: bool,
    /// How much of `rawData` is there.
    pub raw_data: RawData,
    /// Whether it is posted to `/` instead of the path of the callback.
    pub to_root: bool,
}

impl Default for ForwardShape {
    fn default() -> Self {
        Self {
            parsed_content: Content::Object,
            parsed_notify: true,
            plaintext: true,
            raw_data: RawData::Whole,
            to_root: false,
        }
    }
}

impl ForwardShape {
    /// All members, but nothing that only WeChat could have made.
    pub fn without_resource() -> Self {
        Self {
            raw_data: RawData::WithoutResource,
            ..Self::default()
        }
    }
}

/// A forward ready to be posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// The path at the service.
    pub path: String,
    /// The headers, with `x-tcb-integration-id`.
    pub headers: Headers,
    /// The JSON object.
    pub body: Value,
}

/// The signature of WeChat Pay over the raw body, within five minutes.
pub(super) fn verify(
    platform: &Platform,
    header: &dyn Fn(&str) -> Option<String>,
    body: &str,
    now: Timestamp,
) -> Result<(), NotForwarded> {
    let refuse = |reason: &str| Err(NotForwarded::NotGenuine(reason.to_owned()));
    let (Some(timestamp), Some(nonce), Some(signature), Some(serial)) = (
        header("Wechatpay-Timestamp"),
        header("Wechatpay-Nonce"),
        header("Wechatpay-Signature"),
        header("Wechatpay-Serial"),
    ) else {
        return refuse("a Wechatpay header is missing");
    };
    if !timestamp
        .parse::<i64>()
        .is_ok_and(|sent| now.as_second().abs_diff(sent) < 300)
    {
        return refuse("the timestamp is more than five minutes off");
    }
    let message = signed_text(&timestamp, &nonce, body);
    match platform.verifies(&serial, &message, &signature, now) {
        Some(true) => Ok(()),
        Some(false) => refuse("the signature is wrong"),
        None => refuse("the key is unknown"),
    }
}

/// The forward of a callback that was verified.
pub(super) fn opened(
    keys: &Keys,
    body: &str,
    shape: &ForwardShape,
    integration_id: &str,
) -> Result<Forward, NotForwarded> {
    let unreadable = |reason: &str| NotForwarded::Unreadable(reason.to_owned());
    let notify: Value = serde_json::from_str(body).map_err(|_| unreadable("not JSON"))?;
    let part = |name: &str| member(notify.get("resource").unwrap_or(&Value::Null), name);
    let plaintext = open(
        keys.api_v3_key(),
        part("nonce"),
        part("associated_data"),
        part("ciphertext"),
    )
    .ok_or_else(|| unreadable("the resource does not open with the APIv3 key"))?;
    let content: Value = serde_json::from_str(&plaintext).map_err(|_| unreadable("the content is not JSON"))?;
    Ok(compose(&notify, &content, &plaintext, shape, integration_id))
}

/// A forward of a payment that did not happen.
pub(super) fn forged(
    order: &OrderView,
    mchid: &str,
    shape: &ForwardShape,
    integration_id: &str,
    now: Timestamp,
) -> Forward {
    let digits = china_digits(now);
    let content = json!({
        "mchid": mchid,
        "appid": order.appid,
        "out_trade_no": order.out_trade_no,
        "transaction_id": format!("4200009999{digits}{}", random_digits(4)),
        "trade_type": order.channel.trade_type(),
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "attach": "",
        "success_time": china_time(now),
        "payer": {"openid": order.openid.as_deref().unwrap_or("oForged")},
        "amount": {"total": order.total, "payer_total": order.total, "currency": "CNY", "payer_currency": "CNY"},
    });
    let notify = json!({
        "id": format!("EV-{digits}{}", random_digits(16)),
        "create_time": china_time(now),
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
    });
    compose(&notify, &content, &content.to_string(), shape, integration_id)
}

/// A text member; empty when it is not there.
fn member<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn compose(notify: &Value, content: &Value, plaintext: &str, shape: &ForwardShape, integration_id: &str) -> Forward {
    let mut body = json!({});
    match shape.parsed_content {
        Content::Object => put(&mut body, "ParsedContent", content.clone()),
        Content::Text => put(&mut body, "ParsedContent", json!(plaintext)),
        Content::Absent => {}
    }
    let mut bare = notify.clone();
    if let Some(members) = bare.as_object_mut() {
        members.remove("resource");
    }
    if shape.parsed_notify {
        put(&mut body, "ParsedNotify", bare.clone());
    }
    if shape.plaintext {
        put(&mut body, "Plaintext", json!(plaintext));
    }
    match shape.raw_data {
        RawData::Whole => put(&mut body, "rawData", notify.clone()),
        RawData::WithoutResource => put(&mut body, "rawData", bare),
        RawData::Absent => {}
    }
    let path = match member(notify, "event_type").split('.').next() {
        Some("REFUND") => REFUND_PATH,
        Some("MCHTRANSFER") => TRANSFER_PATH,
        _ => ORDER_PATH,
    };
    let headers = [
        ("content-type", "application/json"),
        ("x-tcb-integration-id", integration_id),
    ];
    Forward {
        path: if shape.to_root { "/" } else { path }.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        body,
    }
}
