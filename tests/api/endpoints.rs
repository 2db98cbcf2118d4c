//! What the service asks of WeChat, compared with WeChat's endpoints as `tests/openapi` describes them.

#[path = "../openapi/contract.rs"]
mod contract;

use std::collections::BTreeSet;

use pay_common::sandbox::{KeyMode, Options, Seen};
use serde_json::{Value, json};

use self::contract::{Contract, Exchange};
use crate::support::app::{OPENID, OPERATOR, TestApp, order, refund};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(every_request_is_what_the_files_describe);

/// Not an action of this service.
const NEVER_ASKED: [&str; 4] = [
    "/v3/bill/fundflowbill",
    "/v3/bill/tradebill",
    "/v3/billdownload/file",
    "/v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{out_bill_no}/cancel",
];

fn exchange(seen: &Seen) -> Exchange {
    Exchange {
        method: seen.method.clone(),
        target: seen.path_and_query.clone(),
        request: seen.body.clone(),
        names_key: seen.wechatpay_serial.is_some(),
        status: seen.status.unwrap(),
        answer: seen.answer.clone(),
    }
}

/// An action of the operator, who may do all of them; gives the inner data.
async fn act(t: &TestApp, action: &str, body: Value) -> Value {
    let came = t.act_as(&format!("Bearer {OPERATOR}"), action, body).await;
    came.data().clone()
}

/// Everything that every kind of order may say.
fn full(number: &str) -> Value {
    let mut body = order(number, 100);
    body["time_expire"] = json!("2099-11-23T16:00:00+08:00");
    body["attach"] = json!("shop=1");
    body["goods_tag"] = json!("WXG");
    body["support_fapiao"] = json!(true);
    body["settle_info"] = json!({"profit_sharing": false});
    let goods = json!([{"merchant_goods_id": "1", "goods_name": "Pass", "quantity": 1, "unit_price": 100}]);
    body["detail"] = json!({"cost_price": 100, "invoice_id": "1", "goods_detail": goods});
    let store = json!({"id": "1", "name": "Shop", "area_code": "440305", "address": "Road 1"});
    body["scene_info"] = json!({"payer_client_ip": "203.0.113.7", "device_id": "1", "store_info": store});
    body
}

async fn trade(t: &TestApp) {
    for (action, number) in [
        ("wxpay_order", "ORDER_1"),
        ("wxpay_order_h5", "ORDER_2"),
        ("wxpay_order_native", "ORDER_3"),
        ("wxpay_order_app", "ORDER_4"),
    ] {
        let mut body = full(number);
        if action != "wxpay_order" {
            body.as_object_mut().unwrap().remove("payer");
        }
        if action == "wxpay_order_h5" {
            body["scene_info"]["h5_info"] = json!({"type": "Wap", "app_name": "Shop"});
        }
        act(t, action, body).await;
        let by_number = json!({"out_trade_no": number});
        act(t, "wxpay_query_order_by_out_trade_no", by_number.clone()).await;
        let transaction_id = t.world.wechat().pay(number).unwrap();
        t.eventually(number, "SUCCESS").await;
        let by_id = json!({"transaction_id": transaction_id});
        act(t, "wxpay_query_order_by_transaction_id", by_id).await;
    }
    let mut bare = order("ORDER_5", 100);
    bare.as_object_mut().unwrap().remove("payer");
    act(t, "wxpay_order_native", bare).await;
    act(t, "wxpay_close_order", json!({"out_trade_no": "ORDER_5"})).await;
    let mut body = refund("ORDER_1", "REFUND_1", 40, 100);
    body["reason"] = json!("cancelled");
    act(t, "wxpay_refund", body).await;
    act(t, "wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})).await;
}

async fn transfer(t: &TestApp) {
    for (number, name) in [("T1", None), ("T2", Some("张三"))] {
        let mut body = json!({
            "out_bill_no": number, "transfer_scene_id": "1000", "openid": OPENID, "transfer_amount": 500,
            "transfer_remark": "Prize", "user_recv_perception": "现金奖励", "user_recv_style": {"type": "RED_PACKET"},
            "transfer_scene_report_infos": [
                {"info_type": "活动名称", "info_content": "Autumn draw"},
                {"info_type": "奖励说明", "info_content": "Third prize"},
            ],
        });
        if let Some(name) = name {
            body["user_name"] = json!(name);
        }
        let created = act(t, "wxpay_transfer", body).await;
        assert_eq!(created["state"], "WAIT_USER_CONFIRM");
        let view = t.world.wechat().transfer(number).unwrap();
        assert_eq!(view.user_name.as_deref(), name);
        let by_bill = json!({"transfer_bill_no": view.transfer_bill_no});
        act(t, "wxpay_transfer_bill_query_by_no", by_bill).await;
        t.world.wechat().confirm_transfer(number).unwrap();
        act(t, "wxpay_transfer_bill_query", json!({"out_bill_no": number})).await;
    }
}

async fn every_request_is_what_the_files_describe(store: Store) {
    let contract = Contract::load();
    let mut met = BTreeSet::new();
    for key_mode in [KeyMode::PublicKey, KeyMode::Certificates] {
        let options = Options {
            key_mode,
            ..Options::default()
        };
        let t = TestApp::start_with(store, options, &[]).await;
        trade(&t).await;
        transfer(&t).await;
        for seen in t.world.wechat().requests() {
            let findings = contract.compare(&exchange(&seen));
            assert_eq!(findings.wrong, [""; 0], "{seen:?}");
            met.extend(contract.endpoint(&seen.path_and_query).map(str::to_owned));
        }
    }
    let mut expected = contract.endpoints().to_vec();
    expected.retain(|endpoint| !NEVER_ASKED.contains(&endpoint.as_str()));
    assert_eq!(met.into_iter().collect::<Vec<_>>(), expected);
}
