//! Which members a body may have, as tables, and the one function that compares a body with its table.
//!
//! The instalment and real-name members, which need a special permission, are not in the tables: a merchant without
//! it is refused as well.

use serde_json::{Map, Value};

use super::refusal::{OPENID_MISSING, OUT_OF_RANGE, Refusal};
use super::transfers::SCENE_IDS;

/// One member of an object.
pub(crate) struct Member {
    name: &'static str,
    required: bool,
    kind: Kind,
}

/// What the value of a member must be.
pub(crate) enum Kind {
    /// Text of so many characters.
    Text(usize, usize),
    /// The same, of letters, digits and these.
    Number(usize, usize, &'static str),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An integer of at least so much.
    Integer(i64),
    Flag,
    Object(&'static [Member]),
    List(&'static [Member]),
    Words(&'static [&'static str]),
}

const fn must(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        required: true,
        kind,
    }
}

const fn may(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        required: false,
        kind,
    }
}

const OUT_TRADE_NO: Kind = Kind::Number(6, 32, "_-|*");
const CNY: Kind = Kind::OneOf(&["CNY"]);

const ORDER: &[Member] = &[
    must("appid", Kind::Text(1, 32)),
    must("mchid", Kind::Text(1, 32)),
    must("description", Kind::Text(1, 127)),
    must("out_trade_no", OUT_TRADE_NO),
    may("time_expire", Kind::Text(1, 64)),
    may("attach", Kind::Text(0, 128)),
    must("notify_url", Kind::Text(1, 255)),
    may("goods_tag", Kind::Text(1, 32)),
    may("support_fapiao", Kind::Flag),
    must(
        "amount",
        Kind::Object(&[must("total", Kind::Integer(1)), may("currency", CNY)]),
    ),
    may("detail", Kind::Object(DETAIL)),
    may("settle_info", Kind::Object(&[may("profit_sharing", Kind::Flag)])),
];

const PAYER: &[Member] = &[must("payer", Kind::Object(&[must("openid", Kind::Text(1, 128))]))];
const LIMIT_PAY: &[Member] = &[may(
    "limit_pay",
    Kind::Words(&["no_balance", "no_credit", "no_debit", "balance_only"]),
)];
const SCENE: &[Member] = &[may("scene_info", Kind::Object(&[CLIENT_IP, DEVICE_ID, STORE_INFO]))];
const H5_SCENE: &[Member] = &[must(
    "scene_info",
    Kind::Object(&[CLIENT_IP, DEVICE_ID, STORE_INFO, must("h5_info", Kind::Object(H5_INFO))]),
)];

const CLIENT_IP: Member = must("payer_client_ip", Kind::Text(1, 45));
const DEVICE_ID: Member = may("device_id", Kind::Text(0, 32));
const STORE_INFO: Member = may(
    "store_info",
    Kind::Object(&[
        must("id", Kind::Text(1, 32)),
        may("name", Kind::Text(0, 256)),
        may("area_code", Kind::Text(0, 32)),
        may("address", Kind::Text(0, 512)),
    ]),
);
const H5_INFO: &[Member] = &[
    must("type", Kind::OneOf(&["Wap", "iOS", "Android"])),
    may("app_name", Kind::Text(0, 64)),
    may("app_url", Kind::Text(0, 128)),
    may("bundle_id", Kind::Text(0, 128)),
    may("package_name", Kind::Text(0, 128)),
];
const DETAIL: &[Member] = &[
    may("cost_price", Kind::Integer(0)),
    may("invoice_id", Kind::Text(0, 32)),
    may(
        "goods_detail",
        Kind::List(&[
            must("merchant_goods_id", Kind::Text(1, 32)),
            may("wechatpay_goods_id", Kind::Text(0, 32)),
            may("goods_name", Kind::Text(0, 256)),
            must("quantity", Kind::Integer(1)),
            must("unit_price", Kind::Integer(0)),
        ]),
    ),
];

/// `POST /v3/pay/transactions/jsapi`.
pub(crate) const JSAPI: &[&[Member]] = &[ORDER, PAYER, SCENE, LIMIT_PAY];
/// `POST /v3/pay/transactions/app` and `/native`.
pub(crate) const APP_OR_NATIVE: &[&[Member]] = &[ORDER, SCENE];
/// `POST /v3/pay/transactions/h5`.
pub(crate) const H5: &[&[Member]] = &[ORDER, H5_SCENE];
/// `POST /v3/pay/transactions/out-trade-no/{}/close`.
pub(crate) const CLOSE: &[&[Member]] = &[&[must("mchid", Kind::Text(1, 32))]];
/// `POST /v3/refund/domestic/refunds`.
pub(crate) const REFUND: &[&[Member]] = &[&[
    may("transaction_id", Kind::Text(1, 32)),
    may("out_trade_no", OUT_TRADE_NO),
    must("out_refund_no", Kind::Number(1, 64, "_-|*@")),
    may("reason", Kind::Text(1, 80)),
    may("notify_url", Kind::Text(1, 256)),
    may("funds_account", Kind::OneOf(&["AVAILABLE", "UNSETTLED"])),
    must(
        "amount",
        Kind::Object(&[
            must("refund", Kind::Integer(1)),
            must("total", Kind::Integer(1)),
            must("currency", CNY),
            may(
                "from",
                Kind::List(&[
                    must("account", Kind::OneOf(&["AVAILABLE", "UNAVAILABLE"])),
                    must("amount", Kind::Integer(1)),
                ]),
            ),
        ]),
    ),
    may(
        "goods_detail",
        Kind::List(&[
            must("merchant_goods_id", Kind::Text(1, 32)),
            may("wechatpay_goods_id", Kind::Text(0, 32)),
            may("goods_name", Kind::Text(0, 256)),
            must("unit_price", Kind::Integer(0)),
            must("refund_amount", Kind::Integer(0)),
            must("refund_quantity", Kind::Integer(1)),
        ]),
    ),
]];

/// `POST /v3/fund-app/mch-transfer/transfer-bills`.
pub(crate) const TRANSFER: &[&[Member]] = &[&[
    must("appid", Kind::Text(1, 32)),
    must("out_bill_no", Kind::Number(1, 32, "")),
    must("transfer_scene_id", Kind::OneOf(SCENE_IDS)),
    must("openid", Kind::Text(1, 64)),
    may("user_name", Kind::Text(1, 1024)),
    must("transfer_amount", Kind::Integer(1)),
    must("transfer_remark", Kind::Text(1, 32)),
    may("notify_url", Kind::Text(1, 256)),
    may("user_recv_perception", Kind::Text(1, 32)),
    must(
        "transfer_scene_report_infos",
        Kind::List(&[
            must("info_type", Kind::Text(1, 15)),
            must("info_content", Kind::Text(1, 32)),
        ]),
    ),
    may(
        "user_recv_style",
        Kind::Object(&[must("type", Kind::OneOf(&["CONFIRM_PAGE", "RED_PACKET"]))]),
    ),
]];

/// Compares a body with its table and refuses it for the first thing that does not fit.
pub(crate) fn check(body: &Value, tables: &[&[Member]]) -> Result<(), Refusal> {
    let members = body
        .as_object()
        .ok_or_else(|| Refusal::member("", body, "not an object"))?;
    object(members, tables, "")
}

fn object(members: &Map<String, Value>, tables: &[&[Member]], at: &str) -> Result<(), Refusal> {
    let known = || tables.iter().copied().flatten();
    for (name, value) in members {
        let pointer = format!("{at}/{name}");
        match known().find(|member| member.name == name) {
            None => return Err(Refusal::extra(&pointer, value)),
            Some(member) => fits(value, &member.kind, &pointer)?,
        }
    }
    match known().find(|member| member.required && !members.contains_key(member.name)) {
        None => Ok(()),
        Some(missing) => {
            let refusal = Refusal::member(&format!("{at}/{}", missing.name), &Value::Null, "required, but missing");
            let payer = matches!(missing.name, "payer" | "openid");
            Err(if payer {
                refusal.numbered(OPENID_MISSING)
            } else {
                refusal
            })
        }
    }
}

fn fits(value: &Value, kind: &Kind, at: &str) -> Result<(), Refusal> {
    let refuse = |issue: &str| Err(Refusal::member(at, value, issue));
    let out_of_range = |issue: &str| Err(Refusal::member(at, value, issue).numbered(OUT_OF_RANGE));
    match (kind, value) {
        (_, Value::Null) => refuse("null; leave the member out instead"),
        (Kind::Text(least, most) | Kind::Number(least, most, _), Value::String(text)) => {
            let length = text.chars().count();
            if length < *least || length > *most {
                return out_of_range(&format!("{length} characters, allowed are {least} to {most}"));
            }
            match kind {
                Kind::Number(_, _, also) if !text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c)) => {
                    refuse(&format!("only letters, digits and {also} are allowed"))
                }
                _ => Ok(()),
            }
        }
        (Kind::OneOf(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        (Kind::OneOf(words), _) => refuse(&format!("must be one of {}", words.join(", "))),
        (Kind::Integer(least), Value::Number(number)) => match number.as_i64() {
            Some(integer) if integer >= *least => Ok(()),
            Some(_) => out_of_range(&format!("must be at least {least}")),
            None => refuse("must be an integer"),
        },
        (Kind::Flag, Value::Bool(_)) => Ok(()),
        (Kind::Object(members), Value::Object(map)) => object(map, &[members], at),
        (Kind::List(members), Value::Array(items)) => {
            let items = items.iter().enumerate();
            items
                .into_iter()
                .try_for_each(|(n, item)| fits(item, &Kind::Object(members), &format!("{at}/{n}")))
        }
        (Kind::Words(words), Value::Array(items)) => {
            let items = items.iter().enumerate();
            items
                .into_iter()
                .try_for_each(|(n, item)| fits(item, &Kind::OneOf(words), &format!("{at}/{n}")))
        }
        (Kind::Text(..) | Kind::Number(..), _) => refuse("must be a string"),
        (Kind::Integer(_), _) => refuse("must be an integer"),
        (Kind::Flag, _) => refuse("must be true or false"),
        (Kind::Object(_), _) => refuse("must be an object"),
        (Kind::List(_) | Kind::Words(_), _) => refuse("must be an array"),
    }
}

/// A text of a body that has been checked; empty when it is not there.
pub(crate) fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A text that may be missing.
pub(crate) fn optional_text(body: &Value, pointer: &str) -> Option<String> {
    body.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

/// An integer of a body that has been checked.
pub(crate) fn integer(body: &Value, pointer: &str) -> i64 {
    body.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

#[cfg(test)]
mod tests;
