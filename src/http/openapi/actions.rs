//! What the description has to know of each action beside its name: where a new action is added, the compiler asks for it here, in
//! `answers::inner`, `failures::occurs` and `examples::of`.

use serde_json::{Value, json};

use crate::config::Config;
use crate::domain::order::OrderKind;
use crate::http::action::{Action, OLD_NAMES};
use crate::http::actions::{orders, place, refunds, transfers};
use crate::http::caller::Caller;
use crate::http::connection::Connection;
use crate::http::form::Form;
use crate::http::text::Text;
use crate::http::ticket;

/// What an action is for.
pub(super) struct About {
    pub(super) tag: &'static str,
    pub(super) summary: Text,
    pub(super) description: Text,
}

pub(super) fn about(action: Action) -> About {
    let (tag, summary, description) = match action {
        Action::Order(OrderKind::Jsapi) => (
            "orders",
            Text::new("JSAPI / 小程序下单", "Place an order in WeChat (JSAPI, Mini Program)"),
            Text::new(
                "下单并返回调起支付的参数，页面原样交给 WeixinJSBridge 或 wx.requestPayment。同一单号、同样参数可重复调用。未传 payer.openid 时使用登录身份的 openid。",
                "Places an order and gives the parameters that the page hands to WeixinJSBridge or wx.requestPayment as they are. The same number with the same parameters may be sent again. Without payer.openid the openid of the login pays.",
            ),
        ),
        Action::Order(OrderKind::H5) => (
            "orders",
            Text::new(
                "H5 下单（微信外浏览器）",
                "Place an order in a browser outside WeChat (H5)",
            ),
            Text::new(
                "返回 h5_url，浏览器跳转到该地址支付。须从 corsAllowOrigin 中的页面发起（运维密钥除外）；未传 scene_info.payer_client_ip 时取连接的 IP。",
                "Gives h5_url, where the browser goes to pay. It has to be called from a page listed in corsAllowOrigin, unless with an operator key; without scene_info.payer_client_ip the address of the connection counts.",
            ),
        ),
        Action::Order(OrderKind::Native) => (
            "orders",
            Text::new(
                "Native 下单（二维码）",
                "Place an order that is paid by a QR code (Native)",
            ),
            Text::new(
                "返回 code_url，请将其做成二维码展示给用户扫码支付。",
                "Gives code_url; show it as a QR code that the buyer scans.",
            ),
        ),
        Action::Order(OrderKind::App) => (
            "orders",
            Text::new("App 下单", "Place an order in a mobile app"),
            Text::new(
                "返回 OpenSDK（PayReq）所需的参数。",
                "Gives what the OpenSDK takes (PayReq).",
            ),
        ),
        Action::QueryByOutTradeNo => (
            "orders",
            Text::new("按商户订单号查询订单", "Query an order by the merchant's number"),
            Text::new(
                "返回微信支付的订单；是否已支付以 trade_state 为准。",
                "Gives WeChat Pay's order; trade_state says whether it is paid.",
            ),
        ),
        Action::QueryByTransactionId => (
            "orders",
            Text::new("按微信支付订单号查询订单", "Query an order by WeChat's number"),
            Text::new(
                "transaction_id 在支付之后才存在；是否已支付以 trade_state 为准。",
                "transaction_id exists once an order is paid; trade_state says whether it is.",
            ),
        ),
        Action::Close => (
            "orders",
            Text::new("关闭未支付的订单", "Close an order that is not paid"),
            Text::new(
                "成功时 data.status 为 204，没有内层 data。重复关闭同样成功。",
                "On success data.status is 204 and there is no inner data. Closing again succeeds again.",
            ),
        ),
        Action::Refund => (
            "refunds",
            Text::new("申请退款", "Apply for a refund"),
            Text::new(
                "受理不等于到账：以查询或回调的 status 为准。out_trade_no 与 transaction_id 至少传一个。同一 out_refund_no、同样参数可重复调用。",
                "Accepted is not yet paid back: the status of a query or a callback says so. At least one of out_trade_no and transaction_id is needed. The same out_refund_no with the same parameters may be sent again.",
            ),
        ),
        Action::RefundQuery => (
            "refunds",
            Text::new("查询单笔退款", "Query one refund"),
            Text::new("返回微信支付的退款。", "Gives WeChat Pay's refund."),
        ),
        Action::Transfer => (
            "transfers",
            Text::new("商家转账到零钱", "Transfer to a user's balance"),
            Text::new(
                "受理不等于到账：用户须在微信中确认收款，页面将 mchId、appId 与 package_info 交给 requestMerchantTransfer。默认仅限运维密钥调用（transferPolicy）。失败时请用同一 out_bill_no 重试，切勿换号。2000 元起必须传 user_name。",
                "Accepted is not yet paid: the receiver confirms it in WeChat, and the page hands mchId, appId and package_info to requestMerchantTransfer. With an operator key only, unless transferPolicy says otherwise. After a failure repeat the same out_bill_no and never take another. From 2000 yuan on user_name is needed.",
            ),
        ),
        Action::TransferQuery => (
            "transfers",
            Text::new("按商户单号查询转账", "Query a transfer by the merchant's number"),
            Text::new("是否到账以 state 为准。", "state says whether it is paid."),
        ),
        Action::TransferQueryByNo => (
            "transfers",
            Text::new("按微信转账单号查询转账", "Query a transfer by WeChat's number"),
            Text::new("是否到账以 state 为准。", "state says whether it is paid."),
        ),
    };
    About {
        tag,
        summary,
        description,
    }
}

/// The forms that an action takes, as JSON Schema. Some have a second one, which asks for one member more and lifts a rule for it.
pub(super) struct Forms {
    pub(super) usual: Value,
    /// With a word for its name.
    pub(super) other: Option<(&'static str, Value)>,
}

/// What the action's own reader takes.
pub(super) fn forms(config: &Config, action: Action) -> Forms {
    let usual = drafted(config, action, Form::draft());
    match action {
        Action::Order(_) => Forms {
            other: Some(("Ticket", ticket::describe(usual.clone()))),
            usual,
        },
        Action::Transfer => {
            // What it says of the amount depends on whether there is a name.
            let mut form = Form::draft();
            form.members().insert(RECEIVER.to_owned(), true.into());
            let named = require(drafted(config, action, form), RECEIVER);
            Forms {
                usual: without(usual, RECEIVER),
                other: Some(("Named", named)),
            }
        }
        Action::QueryByOutTradeNo
        | Action::QueryByTransactionId
        | Action::Close
        | Action::Refund
        | Action::RefundQuery
        | Action::TransferQuery
        | Action::TransferQueryByNo => Forms { usual, other: None },
    }
}

/// The name of who receives a transfer.
const RECEIVER: &str = "user_name";

fn drafted(config: &Config, action: Action, mut form: Form) -> Value {
    // Who the caller is decides what may be left out; the description is of what everybody may send.
    let caller = Caller::operator(None);
    // Without the payer's address the connection's counts.
    let connection = Connection {
        origin: None,
        address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
    };
    match action {
        Action::Order(kind) => drop(place::read(config, &caller, &connection, kind, &mut form)),
        Action::QueryByOutTradeNo | Action::Close => drop(orders::number(config, &mut form)),
        Action::QueryByTransactionId => drop(orders::transaction_id(config, &mut form)),
        Action::Refund => drop(refunds::read(config, &mut form)),
        Action::RefundQuery => drop(refunds::number(config, &mut form)),
        Action::Transfer => drop(transfers::read(config, &caller, &mut form)),
        Action::TransferQuery => drop(transfers::number(config, &mut form)),
        Action::TransferQueryByNo => drop(transfers::bill(config, &mut form)),
    }
    form.drafted().expect("it was begun as a draft")
}

fn require(mut form: Value, member: &str) -> Value {
    if let Some(schema) = form.as_object_mut() {
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.push(member.into());
        }
    }
    form
}

fn without(mut form: Value, member: &str) -> Value {
    if let Some(properties) = form.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove(member);
    }
    form
}

/// The form as it is posted to `/`: the same, with the action's name.
pub(super) fn by_name(action: Action, mut form: Value) -> Value {
    let names = json!({"type": "string", "enum": names(action)});
    if let Some(properties) = form.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("_action".to_owned(), names);
    }
    require(form, "_action")
}

/// The old names of an action.
pub(super) fn old_names(action: Action) -> impl Iterator<Item = &'static str> {
    let of_this = OLD_NAMES.into_iter().filter(move |(_, old)| *old == action);
    of_this.map(|(name, _)| name)
}

/// Every spelling of an action's name.
pub(super) fn names(action: Action) -> Vec<String> {
    let short = std::iter::once(action.as_str()).chain(old_names(action));
    short
        .flat_map(|name| [name.to_owned(), format!("/wx-pay/{name}")])
        .collect()
}

/// `wxpay_order` as the name of a type: `WxpayOrder`.
pub(super) fn pascal(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        first + letters.as_str()
    };
    name.split('_').map(word).collect()
}
