//! Requests that can be posted as they are, in the order in which they make sense, and answers to them.

use serde_json::{Value, json};

use crate::domain::order::OrderKind;
use crate::http::action::Action;
use crate::wechat::notification::Subject;

/// The order that the examples are about.
const ORDER: &str = "ORDER_20260101_1";

/// An order that nobody pays.
const CLOSED: &str = "ORDER_20260101_2";

const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";

const TRANSACTION: &str = "4200002026202601011234567890";

const BILL: &str = "TB20260101000001";

const TRANSFER: &str = "1330000071100999991182026010100019480001";

/// Name, summary and body.
pub(super) type Example = (&'static str, &'static str, Value);

/// A body with more members.
fn and(mut body: Value, more: Value) -> Value {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// The requests of an action.
pub(super) fn of(action: Action) -> Vec<Example> {
    match action {
        Action::Order(kind) => orders(kind),
        Action::QueryByOutTradeNo => vec![(
            "query",
            "商户订单号 / The merchant's number",
            json!({"out_trade_no": ORDER}),
        )],
        Action::QueryByTransactionId => {
            vec![(
                "query",
                "微信支付订单号 / WeChat's number",
                json!({"transaction_id": TRANSACTION}),
            )]
        }
        Action::Close => vec![("close", "关闭 / Close", json!({"out_trade_no": CLOSED}))],
        Action::Refund => vec![(
            "refund",
            "部分退款 / A part of the order",
            json!({
                "out_trade_no": ORDER,
                "out_refund_no": "REFUND_20260101_1",
                "reason": "商品已售完",
                "amount": {"refund": 8, "total": 20, "currency": "CNY"},
            }),
        )],
        Action::RefundQuery => vec![("query", "查询 / Query", json!({"out_refund_no": "REFUND_20260101_1"}))],
        Action::Transfer => {
            let transfer = |number: &str| {
                json!({
                    "out_bill_no": number,
                    "openid": OPENID,
                    "useServiceAccount": true,
                    "transfer_amount": 500,
                    "transfer_remark": "Prize",
                    "transfer_scene_id": "1000",
                    "transfer_scene_report_infos": [
                        {"info_type": "活动名称", "info_content": "Autumn draw"},
                        {"info_type": "奖励说明", "info_content": "Third prize"},
                    ],
                })
            };
            vec![
                ("transfer", "现金营销 / A prize", transfer(BILL)),
                (
                    "named",
                    "带收款人姓名 / With the receiver's name",
                    and(transfer("TB20260101000002"), json!({"user_name": "张三"})),
                ),
            ]
        }
        Action::TransferQuery => vec![(
            "query",
            "商户单号 / The merchant's number",
            json!({"out_bill_no": BILL}),
        )],
        Action::TransferQueryByNo => {
            vec![(
                "query",
                "微信转账单号 / WeChat's number",
                json!({"transfer_bill_no": TRANSFER}),
            )]
        }
    }
}

/// The orders of a kind.
fn orders(kind: OrderKind) -> Vec<Example> {
    let order = |number: &str| {
        json!({
            "out_trade_no": number,
            "description": "Test product",
            "amount": {"total": 20, "currency": "CNY"},
        })
    };
    let payer = json!({"payer": {"openid": OPENID}});
    let whole = json!({
        "attach": "shop=1",
        "goods_tag": "SPRING",
        "support_fapiao": false,
        "detail": {
            "cost_price": 20,
            "invoice_id": "receipt-1",
            "goods_detail": [{"merchant_goods_id": "sku-1", "goods_name": "Test product", "quantity": 1, "unit_price": 20}],
        },
        "scene_info": {"payer_client_ip": "203.0.113.7", "device_id": "till-1", "store_info": {"id": "shop-1", "name": "Test shop"}},
        "settle_info": {"profit_sharing": false},
    });
    match kind {
        OrderKind::Jsapi => vec![
            (
                "order",
                "最少的参数 / The least that is needed",
                and(order(ORDER), payer.clone()),
            ),
            (
                "to_close",
                "使用服务号的 AppID / With the app of the service account",
                and(and(order(CLOSED), payer.clone()), json!({"useServiceAccount": true})),
            ),
            (
                "whole",
                "全部可选参数 / With what is optional",
                and(and(order("ORDER_20260101_3"), payer), whole),
            ),
        ],
        OrderKind::H5 => vec![(
            "order",
            "手机浏览器 / A phone's browser",
            and(
                order("ORDER_20260101_4"),
                json!({"scene_info": {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}}),
            ),
        )],
        OrderKind::Native => vec![("order", "二维码 / A QR code", order("ORDER_20260101_5"))],
        OrderKind::App => vec![("order", "App", order("ORDER_20260101_6"))],
    }
}

/// A success of an action, without the envelope.
pub(super) fn answer(action: Action) -> Option<Value> {
    match action {
        Action::Order(OrderKind::Jsapi) => Some(json!({
            "appId": "wx2421b1c4370ec43b", "prepay_id": "wx201410272009395522657a690389285100", "timeStamp": "1767225600",
            "nonceStr": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS", "package": "prepay_id=wx201410272009395522657a690389285100",
            "signType": "RSA", "paySign": "oR9d8PuhnIc+YZ8cBHFCwfgpaK9gd7va...",
        })),
        Action::Order(OrderKind::App) => Some(json!({
            "appid": "wx2421b1c4370ec43b", "partnerid": "1900007291", "prepayid": "wx201410272009395522657a690389285100",
            "package": "Sign=WXPay", "noncestr": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS", "timestamp": "1767225600",
            "sign": "oR9d8PuhnIc+YZ8cBHFCwfgpaK9gd7va...",
        })),
        Action::Order(OrderKind::H5) => {
            Some(json!({"h5_url": "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx2016&package=123"}))
        }
        Action::Order(OrderKind::Native) => Some(json!({"code_url": "weixin://wxpay/bizpayurl?pr=NwY5Mz9"})),
        Action::QueryByOutTradeNo | Action::QueryByTransactionId => Some(paid()),
        Action::Close => None,
        Action::Transfer => Some(json!({
            "out_bill_no": BILL, "transfer_bill_no": TRANSFER, "create_time": "2026-01-01T15:10:00.120+08:00",
            "state": "WAIT_USER_CONFIRM", "package_info": "affffddafdfafddffda==", "mchId": "1900007291",
        })),
        Action::TransferQuery | Action::TransferQueryByNo => Some(json!({
            "mch_id": "1900007291", "out_bill_no": BILL, "transfer_bill_no": TRANSFER, "appid": "wx2421b1c4370ec43b",
            "state": "SUCCESS", "transfer_amount": 500, "transfer_remark": "Prize", "openid": OPENID,
            "create_time": "2026-01-01T15:10:00.120+08:00", "update_time": "2026-01-01T15:12:00.000+08:00",
        })),
        Action::Refund | Action::RefundQuery => Some(json!({
            "refund_id": "50300002026010112345678901234", "out_refund_no": "REFUND_20260101_1", "transaction_id": TRANSACTION,
            "out_trade_no": ORDER, "channel": "ORIGINAL", "user_received_account": "支付用户零钱",
            "create_time": "2026-01-01T15:59:58+08:00", "status": "PROCESSING", "funds_account": "AVAILABLE",
            "amount": {
                "total": 20, "refund": 8, "payer_total": 20, "payer_refund": 8, "settlement_refund": 8, "settlement_total": 20,
                "discount_refund": 0, "currency": "CNY",
            },
        })),
    }
}

fn paid() -> Value {
    json!({
        "appid": "wx2421b1c4370ec43b", "mchid": "1900007291", "out_trade_no": ORDER, "transaction_id": TRANSACTION,
        "trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功", "bank_type": "OTHERS", "attach": "",
        "success_time": "2026-01-01T15:04:05+08:00", "payer": {"openid": OPENID},
        "amount": {"total": 20, "payer_total": 20, "currency": "CNY", "payer_currency": "CNY"}, "promotion_detail": [],
    })
}

/// A callback as the Integration Center forwards it. It proves nothing by itself, so WeChat Pay is asked whether it is true.
pub(super) fn forward(subject: Subject) -> Value {
    let (event, summary, content) = match subject {
        Subject::Payment => ("TRANSACTION.SUCCESS", "支付成功", paid()),
        Subject::Refund => (
            "REFUND.SUCCESS",
            "退款成功",
            json!({
                "mchid": "1900007291", "out_trade_no": ORDER, "transaction_id": TRANSACTION,
                "out_refund_no": "REFUND_20260101_1", "refund_id": "50300002026010112345678901234", "refund_status": "SUCCESS",
                "success_time": "2026-01-01T16:00:00+08:00", "user_received_account": "支付用户零钱",
                "amount": {"total": 20, "refund": 8, "payer_total": 20, "payer_refund": 8},
            }),
        ),
        Subject::Transfer => (
            "MCHTRANSFER.BILL.FINISHED",
            "商家转账单据终态通知",
            json!({
                "mch_id": "1900007291", "out_bill_no": BILL, "transfer_bill_no": TRANSFER, "state": "SUCCESS",
                "transfer_amount": 500, "openid": OPENID,
                "create_time": "2026-01-01T15:10:00+08:00", "update_time": "2026-01-01T15:12:00+08:00",
            }),
        ),
    };
    let notify = json!({
        "id": "EV-202601011504070001", "create_time": "2026-01-01T15:04:07+08:00", "event_type": event,
        "resource_type": "encrypt-resource", "summary": summary,
    });
    json!({"ParsedContent": content, "ParsedNotify": notify, "rawData": notify})
}

/// A notification as WeChat Pay sends it; without its signature headers, and with a ciphertext that no key opens.
pub(super) fn notification(subject: Subject) -> Value {
    let (event, summary, original) = match subject {
        Subject::Payment => ("TRANSACTION.SUCCESS", "支付成功", "transaction"),
        Subject::Refund => ("REFUND.SUCCESS", "退款成功", "refund"),
        Subject::Transfer => ("MCHTRANSFER.BILL.FINISHED", "商家转账单据终态通知", "mch_payment"),
    };
    json!({
        "id": "EV-202601011504070001", "create_time": "2026-01-01T15:04:07+08:00", "event_type": event,
        "resource_type": "encrypt-resource", "summary": summary,
        "resource": {
            "original_type": original, "algorithm": "AEAD_AES_256_GCM", "ciphertext": "c2lnbmVkIGFuZCBzZWFsZWQgYnkgV2VDaGF0IFBheQ==",
            "associated_data": original, "nonce": "fdasflkja484",
        },
    })
}
