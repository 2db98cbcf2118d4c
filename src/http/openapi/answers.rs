//! What an action answers when it succeeds: the envelope, and inside it what WeChat says, or what this service puts in its place.

use serde_json::{Value, json};

use super::actions;
use super::schema::{any_text, fen, list, object, only, text, time, whole};
use crate::domain::order::OrderKind;
use crate::http::action::Action;
use crate::wechat::orders::prepay_member;

/// The inner `data` of an action, with its name; `None` for an action that has none.
pub(super) fn inner(action: Action) -> Option<(&'static str, Value)> {
    match action {
        Action::Order(OrderKind::Jsapi) => Some(("BridgeParams", bridge())),
        Action::Order(OrderKind::App) => Some(("AppParams", app())),
        Action::Order(kind @ OrderKind::H5) => Some(("H5Url", whole([(prepay_member(kind), any_text())]))),
        Action::Order(kind @ OrderKind::Native) => Some(("CodeUrl", whole([(prepay_member(kind), any_text())]))),
        Action::QueryByOutTradeNo | Action::QueryByTransactionId => Some(("Transaction", transaction())),
        Action::Close => None,
        Action::Refund | Action::RefundQuery => Some(("Refund", refund())),
        Action::Transfer => Some(("NewTransfer", new_transfer())),
        Action::TransferQuery | Action::TransferQueryByNo => Some(("Transfer", transfer())),
    }
}

/// The whole envelope of an action, with its name.
pub(super) fn envelope(action: Action) -> (String, Value) {
    let data = match inner(action) {
        Some((name, _)) => whole([
            ("status", json!({"type": "integer", "minimum": 200, "maximum": 299})),
            ("data", super::schema::reference(name)),
        ]),
        None => whole([("status", only(204))]),
    };
    let name = format!("{}Success", actions::pascal(action.as_str()));
    let envelope = whole([("code", only(0)), ("msg", only("success")), ("data", data)]);
    (name, envelope)
}

/// What the bridge takes (`wechat::sign::BridgeParams`).
fn bridge() -> Value {
    whole([
        ("appId", any_text()),
        ("prepay_id", any_text()),
        ("timeStamp", json!({"type": "string", "pattern": "^[0-9]+$"})),
        ("nonceStr", text(32)),
        ("package", json!({"type": "string", "pattern": "^prepay_id="})),
        ("signType", only("RSA")),
        ("paySign", any_text()),
    ])
}

/// What a mobile app's SDK takes (`wechat::sign::AppParams`).
fn app() -> Value {
    whole([
        ("appid", any_text()),
        ("partnerid", any_text()),
        ("prepayid", any_text()),
        ("package", only("Sign=WXPay")),
        ("noncestr", text(32)),
        ("timestamp", json!({"type": "string", "pattern": "^[0-9]+$"})),
        ("sign", any_text()),
    ])
}

/// An order as WeChat tells it (APIv3, "query an order"). What is not required is there after the payment, or never.
pub(super) fn transaction() -> Value {
    let goods = object(
        &[],
        [
            ("goods_id", any_text()),
            ("quantity", json!({"type": "integer"})),
            ("unit_price", fen()),
            ("discount_amount", fen()),
            ("goods_remark", any_text()),
        ],
    );
    let promotion = object(
        &[],
        [
            ("coupon_id", any_text()),
            ("name", any_text()),
            ("scope", any_text()),
            ("type", any_text()),
            ("amount", fen()),
            ("stock_id", any_text()),
            ("wechatpay_contribute", fen()),
            ("merchant_contribute", fen()),
            ("other_contribute", fen()),
            ("currency", any_text()),
            ("goods_detail", list(&goods)),
        ],
    );
    let amount = object(
        &[],
        [
            ("total", fen()),
            ("payer_total", fen()),
            ("currency", any_text()),
            ("payer_currency", any_text()),
        ],
    );
    object(
        &["appid", "mchid", "out_trade_no", "trade_state"],
        [
            ("appid", any_text()),
            ("mchid", any_text()),
            ("out_trade_no", any_text()),
            ("transaction_id", any_text()),
            ("trade_type", any_text()),
            ("trade_state", any_text()),
            ("trade_state_desc", any_text()),
            ("bank_type", any_text()),
            ("attach", any_text()),
            ("success_time", time()),
            ("payer", object(&[], [("openid", any_text())])),
            ("amount", amount),
            ("scene_info", object(&[], [("device_id", any_text())])),
            ("promotion_detail", list(&promotion)),
        ],
    )
}

/// A refund as WeChat tells it (APIv3, "apply for a refund" and "query a refund").
pub(super) fn refund() -> Value {
    let from = object(&[], [("account", any_text()), ("amount", fen())]);
    let amount = object(
        &[],
        [
            ("total", fen()),
            ("refund", fen()),
            ("payer_total", fen()),
            ("payer_refund", fen()),
            ("settlement_refund", fen()),
            ("settlement_total", fen()),
            ("discount_refund", fen()),
            ("currency", any_text()),
            ("refund_fee", fen()),
            ("from", list(&from)),
        ],
    );
    let promotion = object(
        &[],
        [
            ("promotion_id", any_text()),
            ("scope", any_text()),
            ("type", any_text()),
            ("amount", fen()),
            ("refund_amount", fen()),
        ],
    );
    object(
        &["refund_id", "out_refund_no", "out_trade_no", "status"],
        [
            ("refund_id", any_text()),
            ("out_refund_no", any_text()),
            ("transaction_id", any_text()),
            ("out_trade_no", any_text()),
            ("channel", any_text()),
            ("user_received_account", any_text()),
            ("success_time", time()),
            ("create_time", time()),
            ("status", any_text()),
            ("funds_account", any_text()),
            ("amount", amount),
            ("promotion_detail", list(&promotion)),
        ],
    )
}

/// A transfer that was asked for (APIv3, "merchant transfer"), with the `mchId` that the page hands on.
fn new_transfer() -> Value {
    object(
        &["out_bill_no", "transfer_bill_no", "state", "mchId"],
        [
            ("out_bill_no", any_text()),
            ("transfer_bill_no", any_text()),
            ("create_time", time()),
            ("state", any_text()),
            ("package_info", any_text()),
            ("fail_reason", any_text()),
            ("mchId", any_text()),
        ],
    )
}

/// A transfer as WeChat tells it (APIv3, "query a transfer").
fn transfer() -> Value {
    object(
        &["out_bill_no", "transfer_bill_no", "state"],
        [
            ("mch_id", any_text()),
            ("out_bill_no", any_text()),
            ("transfer_bill_no", any_text()),
            ("appid", any_text()),
            ("state", any_text()),
            ("transfer_amount", fen()),
            ("transfer_remark", any_text()),
            ("fail_reason", any_text()),
            ("openid", any_text()),
            ("user_name", any_text()),
            ("create_time", time()),
            ("update_time", time()),
        ],
    )
}
