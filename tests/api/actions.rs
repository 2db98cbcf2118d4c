//! The six actions, as the guide's page calls them.

use serde_json::json;

use crate::support::app::{TestApp, order, refund};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(an_order_is_placed_paid_refunded_and_settled);

async fn an_order_is_placed_paid_refunded_and_settled(store: Store) {
    let t = TestApp::start(store).await;

    let placed = t.act("wxpay_order", order("ORDER_1", 100)).await;
    assert_eq!(placed.body["data"]["status"], 200);
    let params = placed.data();
    let message = format!(
        "{}\n{}\n{}\n{}\n",
        params["appId"].as_str().unwrap(),
        params["timeStamp"].as_str().unwrap(),
        params["nonceStr"].as_str().unwrap(),
        params["package"].as_str().unwrap()
    );
    assert_eq!(params["paySign"], t.world.keys().sign_as_merchant(&message));
    assert_eq!(params["signType"], "RSA");
    assert_eq!(
        params["package"],
        format!("prepay_id={}", params["prepay_id"].as_str().unwrap())
    );

    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    let by_number = t
        .act("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"}))
        .await;
    assert_eq!(by_number.data()["trade_state"], "SUCCESS");
    let id = by_number.data()["transaction_id"].clone();
    let by_id = t
        .act("wxpay_query_order_by_transaction_id", json!({"transaction_id": id}))
        .await;
    assert_eq!(by_id.data()["out_trade_no"], "ORDER_1");

    let refunded = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100)).await;
    assert_eq!(refunded.data()["status"], "PROCESSING");
    t.eventually("ORDER_1", "REFUND").await;
    let mut asked = t.act("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})).await;
    while asked.data()["status"] == "PROCESSING" {
        asked = t.act("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})).await;
    }
    assert_eq!(asked.data()["status"], "SUCCESS");
    assert_eq!(t.held("ORDER_1").await, 30);
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created", "refund.succeeded"]
    );
    assert!(t.anomalies().await.is_empty());
}
