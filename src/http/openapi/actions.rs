//! What the description has to know of each action beside its name: where a new action is added, the compiler asks for it here, in
//! `answers::inner`, `failures::occurs` and `examples::of`.

use serde_json::{Value, json};

use crate::config::Config;
use crate::domain::order::OrderKind;
use crate::http::action::Action;
use crate::http::actions::{orders, place, refunds};
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
            Text::new("H5 下单（微信外浏览器）", "Place an order in a browser outside WeChat (H5)"),
            Text::new(
                "返回 h5_url，浏览器跳转到该地址支付。须从 corsAllowOrigin 中的页面发起（运维密钥除外）；未传 scene_info.payer_client_ip 时取连接的 IP。",
                "Gives h5_url, where the browser goes to pay. It has to be called from a page listed in corsAllowOrigin, unless with an operator key; without scene_info.payer_client_ip the address of the connection counts.",
            ),
        ),
        Action::Order(OrderKind::Native) => (
            "orders",
            Text::new("Native 下单（二维码）", "Place an order that is paid by a QR code (Native)"),
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
    };
    About { tag, summary, description }
}

/// The forms that an action takes, as JSON Schema. An order has a second one, for whoever holds an order ticket.
pub(super) struct Forms {
    pub(super) usual: Value,
    pub(super) with_ticket: Option<Value>,
}

/// What the action's own reader takes.
pub(super) fn forms(config: &Config, action: Action) -> Forms {
    // Who the caller is decides what may be left out; the description is of what everybody may send.
    let caller = Caller::operator(None);
    // Without the payer's address the connection's counts.
    let connection = Connection {
        origin: None,
        address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
    };
    let mut form = Form::draft();
    match action {
        Action::Order(kind) => drop(place::read(config, &caller, &connection, kind, &mut form)),
        Action::QueryByOutTradeNo | Action::Close => drop(orders::number(config, &mut form)),
        Action::QueryByTransactionId => drop(orders::transaction_id(config, &mut form)),
        Action::Refund => drop(refunds::read(config, &mut form)),
        Action::RefundQuery => drop(refunds::number(config, &mut form)),
    }
    let usual = form.drafted().expect("it was begun as a draft");
    Forms {
        with_ticket: matches!(action, Action::Order(_)).then(|| ticket::describe(usual.clone())),
        usual,
    }
}

/// The form as it is posted to `/`: the same, with the action's name.
pub(super) fn by_name(action: Action, mut form: Value) -> Value {
    let names = json!({"type": "string", "enum": names(action)});
    if let Some(schema) = form.as_object_mut() {
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("_action".to_owned(), names);
        }
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.push(json!("_action"));
        }
    }
    form
}

/// The two spellings of an action's name.
pub(super) fn names(action: Action) -> [String; 2] {
    [action.as_str().to_owned(), format!("/wx-pay/{}", action.as_str())]
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
