//! Orders, refunds and transfers of somebody else, named by their numbers.

use pay_common::sandbox::Options;
use serde_json::{Value, json};

use super::standing::{MALLORY, MALLORYS_OPENID, hers, paid_unheard};
use crate::case::{Tried, cases};
use crate::support::app::{Came, OPENID, OPERATOR, TestApp, came, order, refund};
use crate::support::body::{with, without};
use crate::support::database::Store;
use crate::support::payouts::{BY_BILL, BY_NUMBER};

cases!(Attack:
    somebody_elses_order_of_every_kind_by_every_door => "to see, close, refund or take over another's order",
    somebody_elses_refund_and_transfer => "to see who was paid back or paid out, and how much",
    an_order_that_only_wechat_knows => "a refund of an order from before these books",
    a_payment_named_by_wechats_number => "another's order by guessing the number on a receipt",
);

const SHOP: &str = "https://shop.example";
const KINDS: [&str; 4] = ["wxpay_order", "wxpay_order_h5", "wxpay_order_native", "wxpay_order_app"];

fn of_kind(kind: &str, body: Value) -> Value {
    match kind {
        "wxpay_order" => body,
        "wxpay_order_h5" => with(
            without(body, "payer"),
            "scene_info",
            json!({"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}),
        ),
        _ => without(body, "payer"),
    }
}

/// One action by one door of the service.
async fn through(t: &TestApp, door: usize, headers: &[(&str, &str)], action: &str, body: &Value) -> Came {
    match door {
        0 => t.post(&format!("/wx-pay/{action}"), headers, body.to_string()).await,
        1 => {
            t.post("/", headers, with(body.clone(), "_action", json!(action)).to_string())
                .await
        }
        2 => {
            let named = with(body.clone(), "_action", json!(format!("/wx-pay/{action}")));
            t.post("/", headers, named.to_string()).await
        }
        3 => {
            let named = with(body.clone(), "path", json!(format!("https://x/wx-pay/{action}?a=1")));
            t.post("/", headers, named.to_string()).await
        }
        _ => {
            let mut request = t.http.post(t.world.gateway().function_url());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let named = with(body.clone(), "_action", json!(action));
            let request = request
                .header("content-type", "application/json")
                .body(named.to_string());
            came(request.send().await.unwrap()).await
        }
    }
}

async fn somebody_elses_order_of_every_kind_by_every_door(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("corsAllowOrigin", SHOP)]).await;
    let (alice, mallory) = (
        t.bearer("alice"),
        format!("Bearer {}", t.token_of(MALLORY, MALLORYS_OPENID)),
    );
    t.world.wechat().lose_callbacks(u32::MAX);
    for kind in KINDS {
        for paid in [false, true] {
            let number = format!("{}_{paid}", kind.to_uppercase());
            let body = of_kind(kind, order(&number, 100));
            through(&t, 0, &[("authorization", &alice), ("origin", SHOP)], kind, &body)
                .await
                .data();
            let mut ids = vec![("out_trade_no", json!(number))];
            if paid {
                let id = t.world.wechat().pay(&number).unwrap();
                // Heard of, so that the books know WeChat's number too.
                through(
                    &t,
                    0,
                    &[("authorization", &alice)],
                    "wxpay_query_order_by_out_trade_no",
                    &json!({"out_trade_no": number}),
                )
                .await
                .data();
                ids.push(("transaction_id", json!(id)));
            }
            let mut calls = vec![
                ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": number})),
                ("wxpay_close_order", json!({"out_trade_no": number})),
                ("wxpay_refund", refund(&number, "REFUND_STOLEN", 100, 100)),
                ("wxpay_refund", refund(&number, "REFUND_STOLEN", 1, 1)),
                (kind, body.clone()),
                (kind, of_kind(kind, hers(&number, 100))),
                (kind, of_kind(kind, order(&number, 1))),
            ];
            for other in KINDS {
                calls.push((other, of_kind(other, hers(&number, 100))));
            }
            for (name, id) in ids.into_iter().skip(1) {
                calls.push(("wxpay_query_order_by_transaction_id", json!({ name: id })));
                let by_id = with(
                    without(refund(&number, "REFUND_STOLEN", 100, 100), "out_trade_no"),
                    name,
                    id.clone(),
                );
                calls.push(("wxpay_refund", by_id.clone()));
                calls.push(("wxpay_refund", with(by_id, "out_trade_no", json!(number))));
            }
            let before = t.standing().await;
            let questions = t.addresses().len();
            for (action, body) in calls {
                for door in 0..5 {
                    let headers = [("authorization", mallory.as_str()), ("origin", SHOP)];
                    let came = through(&t, door, &headers, action, &body).await;
                    assert_eq!(came.failure(), (403, "FORBIDDEN"), "{action} {door} {body}: {came:?}");
                    assert_eq!(came.body["data"], Value::Null);
                    assert!(!came.body.to_string().contains(OPENID), "{came:?}");
                    assert_eq!(t.standing().await, before, "{action} {door} {body}");
                    tried.once();
                }
            }
            assert_eq!(t.addresses().len(), questions, "nor is WeChat asked");
        }
    }
}

async fn somebody_elses_refund_and_transfer(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 100).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100))
        .await
        .data();
    let bill = t.transferred("T1", 500).await["transfer_bill_no"].clone();
    let strangers = [
        format!("Bearer {}", t.token_of(MALLORY, MALLORYS_OPENID)),
        t.bearer(MALLORY),
        format!("Bearer {}", t.token_of("ALICE", &OPENID.to_uppercase())),
    ];
    let before = t.standing().await;
    let questions = t.addresses().len();
    let said = |came: &Came| came.body["msg"].as_str().unwrap_or_default().to_owned();
    for stranger in &strangers {
        for (action, body) in [
            ("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})),
            (BY_NUMBER, json!({"out_bill_no": "T1"})),
            ("wxpay_transfer_batch_query", json!({"out_bill_no": "T1"})),
            (BY_BILL, json!({"transfer_bill_no": bill})),
            // The number of her refund for an order of one's own.
            ("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100)),
        ] {
            for door in 0..5 {
                let came = through(&t, door, &[("authorization", stranger)], action, &body).await;
                assert_eq!(came.failure(), (403, "FORBIDDEN"), "{action} {door}: {came:?}");
                assert!(!came.body.to_string().contains(OPENID), "{came:?}");
                assert_eq!(
                    said(&came).contains("转账"),
                    action.contains("transfer"),
                    "it says of what: {came:?}"
                );
                assert_eq!(t.standing().await, before, "{action} {door}");
                tried.once();
            }
        }
    }
    // Whose transfer WeChat's own number names, only WeChat knows.
    let by_bill = |address: &String| address.contains("/transfer-bill-no/");
    assert!(
        t.addresses().get(questions..).unwrap().iter().all(by_bill),
        "nor is WeChat asked"
    );
}

async fn an_order_that_only_wechat_knows(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    for number in ["ORDER_PAID", "ORDER_PAID_2"] {
        t.paid(number, 100).await;
    }
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_OPEN", 100).await;
    let id = t
        .act(
            "wxpay_query_order_by_out_trade_no",
            json!({"out_trade_no": "ORDER_PAID"}),
        )
        .await
        .data()["transaction_id"]
        .clone();
    let t = t.with_new_books(store).await;
    let mallory = format!("Bearer {}", t.token_of(MALLORY, MALLORYS_OPENID));
    for (number, total) in [
        ("ORDER_PAID", 100),
        ("ORDER_PAID_2", 1),
        ("ORDER_OPEN", 100),
        ("ORDER_OPEN", 1),
    ] {
        // She names it as an order of hers first; then it is in the books, but not hers.
        for named in [false, true] {
            if named {
                let came = t.act_as(&mallory, "wxpay_order", hers(number, total)).await;
                assert_ne!(came.body["code"], 0, "{number}: {came:?}");
            }
            for (action, body) in [
                ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": number})),
                ("wxpay_query_order_by_transaction_id", json!({"transaction_id": id})),
                ("wxpay_refund", refund(number, &format!("R_{number}"), total, total)),
                (
                    "wxpay_refund",
                    with(
                        without(refund(number, "R_ID", 100, 100), "out_trade_no"),
                        "transaction_id",
                        id.clone(),
                    ),
                ),
                ("wxpay_close_order", json!({"out_trade_no": number})),
            ] {
                for door in 0..5 {
                    let came = through(&t, door, &[("authorization", &mallory)], action, &body).await;
                    assert_ne!(came.body["code"], 0, "{action} {door}: {came:?}");
                    assert!(!came.body.to_string().contains(OPENID), "{came:?}");
                    tried.once();
                }
            }
        }
    }
    for number in ["ORDER_PAID", "ORDER_PAID_2", "ORDER_OPEN"] {
        assert!(t.world.wechat().order(number).unwrap().refunds.is_empty(), "{number}");
    }
    let open = t.world.wechat().order("ORDER_OPEN").unwrap();
    assert_eq!(
        open.state,
        pay_common::sandbox::TradeState::NotPay,
        "and nobody closed it"
    );
    // Its payer has it still.
    let payer = format!("Bearer {}", t.token_of("alice", OPENID));
    t.act_as(&payer, "wxpay_refund", refund("ORDER_PAID", "REFUND_1", 40, 100))
        .await
        .data();
}

async fn a_payment_named_by_wechats_number(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    paid_unheard(&t, "ORDER_1", 100).await;
    let mallory = format!("Bearer {}", t.token_of(MALLORY, MALLORYS_OPENID));
    let id = t.world.wechat().pay("ORDER_1").err().map_or_else(String::new, |_| {
        let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
        t.world.center().forward_of(&note).unwrap().body["ParsedContent"]["transaction_id"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    // The books do not know the number yet: the order that it belongs to is still hers.
    let deeds = t.deeds();
    for door in 0..5 {
        for (action, body) in [
            ("wxpay_query_order_by_transaction_id", json!({"transaction_id": id})),
            (
                "wxpay_refund",
                with(
                    without(refund("ORDER_1", "R_1", 100, 100), "out_trade_no"),
                    "transaction_id",
                    json!(id),
                ),
            ),
            (
                "wxpay_refund",
                with(refund("ORDER_2", "R_1", 100, 100), "transaction_id", json!(id)),
            ),
        ] {
            let came = through(&t, door, &[("authorization", &mallory)], action, &body).await;
            assert_eq!(came.failure(), (403, "FORBIDDEN"), "{action} {door}: {came:?}");
            assert!(!came.body.to_string().contains(OPENID), "{came:?}");
            assert_eq!(t.deeds(), deeds);
            tried.once();
        }
    }
    // Nor does an order of her own lend its name to somebody else's payment.
    let own = t.act_as(&mallory, "wxpay_order", hers("ORDER_HERS", 100)).await;
    own.data();
    let deeds = t.deeds();
    let both = with(refund("ORDER_HERS", "R_1", 100, 100), "transaction_id", json!(id));
    for door in 0..5 {
        let came = through(&t, door, &[("authorization", &mallory)], "wxpay_refund", &both).await;
        assert_ne!(came.body["code"], 0, "{came:?}");
        assert_eq!(t.deeds(), deeds);
        tried.once();
    }
    let by_operator = t.act_as(&format!("Bearer {OPERATOR}"), "wxpay_refund", both).await;
    assert_eq!(
        by_operator.failure(),
        (409, "REFUND_PARAMS_MISMATCH"),
        "two names of two orders"
    );
    tried.once();
}
