//! Callbacks: what proves them, what does not, and what genuine content does that does not fit.

use std::time::Duration;

use pay_common::sandbox::{
    Content, DIRECT_ORDER_PATH, Endpoint, Fault, FaultRule, ForwardShape, Options, RawData, RefundEnd,
};
use serde_json::{Value, json};

use crate::support::app::{Came, TestApp, refund};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    wechats_own_signature_proves_a_notification,
    a_notification_without_a_right_signature_is_refused,
    the_ciphertext_in_a_forward_proves_it_and_what_stands_beside_it_does_not_count,
    a_forward_without_ciphertext_is_confirmed_by_asking,
    a_forged_forward_changes_nothing_in_any_form,
    a_forward_that_cannot_be_confirmed_now_is_to_come_again,
    a_forward_without_the_integration_id_is_refused,
    genuine_content_that_does_not_fit_is_kept_and_acknowledged,
    a_refund_is_told_once_and_a_stranger_refund_is_an_anomaly,
    the_operator_may_decide_to_believe_the_integration_id,
    a_lost_store_is_a_callback_to_come_again,
    what_wechat_takes_back_is_an_anomaly,
);

fn quiet() -> Options {
    Options {
        refund_after: None,
        ..Options::default()
    }
}

/// A paid order whose callback nobody has delivered.
async fn paid_unheard(t: &TestApp, number: &str) {
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed(number, 20).await;
    t.world.wechat().pay(number).unwrap();
}

fn acknowledged(reply: &Came) -> bool {
    reply.status == 200 && reply.body == json!({"code": "SUCCESS", "message": "成功"})
}

fn refused(reply: &Came) -> bool {
    (400..500).contains(&reply.status) && reply.body["code"] == "FAIL"
}

async fn wechats_own_signature_proves_a_notification(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    for (number, path) in [("ORDER_1", DIRECT_ORDER_PATH), ("ORDER_2", "/wechatpay/order")] {
        paid_unheard(&t, number).await;
        let note = t.world.wechat().payment_notification(number).unwrap();
        let queries = t.world.wechat().count(Endpoint::QueryOrder);
        assert!(acknowledged(&t.notify(path, &note).await));
        assert!(
            acknowledged(&t.notify(path, &t.world.wechat().sign_again(&note)).await),
            "a duplicate"
        );
        assert_eq!(
            t.world.wechat().count(Endpoint::QueryOrder),
            queries,
            "nobody has to be asked"
        );
        assert_eq!(t.events(number).await, ["order.created", "order.paid"]);
    }
}

async fn a_notification_without_a_right_signature_is_refused(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    paid_unheard(&t, "ORDER_1").await;
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    let mut bad = vec![
        note.clone()
            .with_header("Wechatpay-Signature", "WECHATPAY/SIGNTEST/AAAA"),
        note.clone()
            .with_header("Wechatpay-Signature", "WECHATPAY/SIGNTEST/not base64 @@@"),
        note.clone().with_header("Wechatpay-Signature", "AAAA"),
        note.clone().with_header("Wechatpay-Serial", "PUB_KEY_ID_0000000000"),
        note.clone().with_header("Wechatpay-Timestamp", "1"),
        note.clone().with_header("Wechatpay-Timestamp", "soon"),
        note.clone().with_header("Wechatpay-Nonce", "another"),
        note.clone()
            .with_header("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3"),
    ];
    bad.extend(
        [
            "Wechatpay-Signature",
            "Wechatpay-Serial",
            "Wechatpay-Timestamp",
            "Wechatpay-Nonce",
        ]
        .map(|name| note.clone().with_header(name, "")),
    );
    let mut tampered = note.clone();
    tampered.body = tampered.body.replacen("支付成功", "支付成功 ", 1);
    bad.push(tampered);
    for note in bad {
        let reply = t.notify(DIRECT_ORDER_PATH, &note).await;
        assert!(refused(&reply), "{reply:?} for {:?}", note.headers);
    }
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    // The same one, five minutes later.
    t.clock.advance(300_000);
    assert!(refused(&t.notify(DIRECT_ORDER_PATH, &note).await));
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}

async fn the_ciphertext_in_a_forward_proves_it_and_what_stands_beside_it_does_not_count(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    paid_unheard(&t, "ORDER_1").await;
    t.placed("ORDER_2", 20).await;
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    let mut forward = t.world.center().forward_of(&note).unwrap();
    // Somebody exchanges the plaintext.
    forward.body["ParsedContent"]["out_trade_no"] = json!("ORDER_2");
    forward.body["Plaintext"] = json!(forward.body["ParsedContent"].to_string());
    let queries = t.world.wechat().count(Endpoint::QueryOrder);

    assert!(acknowledged(&t.forward(&forward).await));

    assert_eq!(t.world.wechat().count(Endpoint::QueryOrder), queries);
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
    assert_eq!(t.state("ORDER_2").await.as_deref(), Some("NOTPAY"));
}

async fn a_forward_without_ciphertext_is_confirmed_by_asking(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    let shapes = [
        ForwardShape::without_resource(),
        ForwardShape {
            parsed_content: Content::Text,
            plaintext: false,
            ..ForwardShape::without_resource()
        },
        ForwardShape {
            parsed_content: Content::Absent,
            plaintext: true,
            ..ForwardShape::without_resource()
        },
        ForwardShape {
            parsed_notify: false,
            ..ForwardShape::without_resource()
        },
        ForwardShape {
            raw_data: RawData::Absent,
            to_root: true,
            ..ForwardShape::without_resource()
        },
        ForwardShape {
            to_root: true,
            ..ForwardShape::without_resource()
        },
    ];
    for (index, shape) in shapes.into_iter().enumerate() {
        let number = format!("ORDER_{index}");
        paid_unheard(&t, &number).await;
        let note = t.world.wechat().payment_notification(&number).unwrap();
        t.world.center().set_shape(shape.clone());
        let forward = t.world.center().forward_of(&note).unwrap();
        let queries = t.world.wechat().count(Endpoint::QueryOrder);
        let reply = t.forward(&forward).await;
        assert!(acknowledged(&reply), "{reply:?} for {shape:?}");
        assert_eq!(t.world.wechat().count(Endpoint::QueryOrder), queries + 1, "{shape:?}");
        assert_eq!(t.events(&number).await, ["order.created", "order.paid"], "{shape:?}");
    }
    // The bare resource, on the path that says what it is.
    paid_unheard(&t, "ORDER_BARE").await;
    let id = t.world.center().integration_id().to_owned();
    let bare = json!({"out_trade_no": "ORDER_BARE", "trade_state": "SUCCESS"}).to_string();
    assert!(acknowledged(
        &t.post("/wechatpay/order", &[("x-tcb-integration-id", &id)], bare).await
    ));
    assert_eq!(t.events("ORDER_BARE").await, ["order.created", "order.paid"]);
}

async fn a_forged_forward_changes_nothing_in_any_form(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    t.placed("ORDER_1", 20).await;
    t.paid("ORDER_PAID", 20).await;
    let genuine = t.world.wechat().payment_notification("ORDER_PAID").unwrap();
    let forged = t.world.center().forge(&t.world.wechat().order("ORDER_1").unwrap());
    let mut bodies: Vec<Value> = vec![forged.body.clone()];
    // The plaintext with a ciphertext that does not open.
    let mut with_broken = t.world.center().forward_of(&genuine).unwrap().body;
    with_broken["ParsedContent"] = forged.body["ParsedContent"].clone();
    with_broken["Plaintext"] = json!(forged.body["ParsedContent"].to_string());
    let ciphertext = with_broken["rawData"]["resource"]["ciphertext"].as_str().unwrap();
    let first = if ciphertext.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{first}{}", ciphertext.chars().skip(1).collect::<String>());
    with_broken["rawData"]["resource"]["ciphertext"] = json!(flipped);
    bodies.push(with_broken);
    bodies
        .push(json!({"rawData": {"event_type": "TRANSACTION.SUCCESS"}, "ParsedContent": forged.body["ParsedContent"]}));
    bodies.push(json!({"ParsedNotify": {"event_type": "TRANSACTION.SUCCESS"}, "Plaintext": forged.body["ParsedContent"].to_string()}));
    bodies.push(forged.body["ParsedContent"].clone());
    let token = format!("Bearer {}", t.token("mallory"));
    let id = t.world.center().integration_id().to_owned();
    let headers = [("x-tcb-integration-id", id.as_str()), ("authorization", token.as_str())];
    for body in &bodies {
        for path in ["/wechatpay/order", "/wx-pay/unifiedOrderTrigger", "/"] {
            let mut body = body.clone();
            if path == "/" && body.get("rawData").is_none() && body.get("ParsedNotify").is_none() {
                body["_action"] = json!("unifiedOrderTrigger");
            }
            let reply = t.post(path, &headers, body.to_string()).await;
            assert!(refused(&reply), "{reply:?} for {path} {body}");
        }
    }
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
    assert!(
        t.anomalies().await.is_empty(),
        "what is not genuine leaves nothing behind"
    );
}

async fn a_forward_that_cannot_be_confirmed_now_is_to_come_again(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    paid_unheard(&t, "ORDER_1").await;
    t.world.center().set_shape(ForwardShape::without_resource());
    let forward = t
        .world
        .center()
        .forward_of(&t.world.wechat().payment_notification("ORDER_1").unwrap())
        .unwrap();
    for fault in [
        Fault::DropBefore,
        Fault::refuse_unsigned(404, "ORDER_NOT_EXIST"),
        Fault::refuse(500, "SYSTEM_ERROR"),
    ] {
        t.world
            .wechat()
            .add_fault(FaultRule::on(Endpoint::QueryOrder, fault).times(3));
        let reply = t.forward(&forward).await;
        assert_eq!((reply.status, &reply.body["code"]), (503, &json!("FAIL")));
        t.world.wechat().clear_faults();
    }
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
    assert!(acknowledged(&t.forward(&forward).await));
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
}

async fn a_forward_without_the_integration_id_is_refused(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    paid_unheard(&t, "ORDER_1").await;
    let forward = t
        .world
        .center()
        .forward_of(&t.world.wechat().payment_notification("ORDER_1").unwrap())
        .unwrap();
    for headers in [vec![], vec![("x-tcb-integration-id", "another")]] {
        assert!(refused(
            &t.post(&forward.path, &headers, forward.body.to_string()).await
        ));
    }
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}

async fn genuine_content_that_does_not_fit_is_kept_and_acknowledged(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    t.placed("ORDER_1", 20).await;
    t.paid("ORDER_PAID", 20).await;
    let change: [(&str, &str, Value); 6] = [
        ("foreign_merchant", "/mchid", json!("9999999999")),
        ("foreign_app", "/appid", json!("wx0000000000000000")),
        ("amount_mismatch", "/amount/total", json!(1)),
        ("amount_mismatch", "/amount/currency", json!("USD")),
        ("unknown_order", "/out_trade_no", json!("ORDER_UNKNOWN")),
        ("unreadable", "/transaction_id", Value::Null),
    ];
    let mut expected = Vec::new();
    for (index, (kind, member, value)) in change.into_iter().enumerate() {
        let note = t
            .world
            .wechat()
            .payment_notification_with("ORDER_PAID", |note| {
                note.resource["out_trade_no"] = json!("ORDER_1");
                note.resource["transaction_id"] = json!(format!("42000000000000000000000000{index:02}"));
                *note.resource.pointer_mut(member).unwrap() = value;
            })
            .unwrap();
        for _ in 0..2 {
            let reply = t.notify(DIRECT_ORDER_PATH, &t.world.wechat().sign_again(&note)).await;
            assert!(acknowledged(&reply), "{kind}: {reply:?}");
        }
        expected.push(kind.to_owned());
    }
    // A second payment for an order that is paid, and a kind of notification that nobody knows yet.
    let second = t.world.wechat().payment_notification_with("ORDER_PAID", |note| {
        note.resource["transaction_id"] = json!("4200000000000000000000009999");
    });
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &second.unwrap()).await));
    expected.push("second_payment".to_owned());
    let unknown = t.world.wechat().payment_notification_with("ORDER_PAID", |note| {
        note.event_type = "PAYSCORE.USER_OPEN_SERVICE".to_owned();
    });
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &unknown.unwrap()).await));
    expected.push("unknown_event".to_owned());

    assert_eq!(t.anomalies().await, expected, "each once");
    let twice = "SELECT fact FROM callbacks WHERE outcome = 'anomaly' AND times = 2";
    assert_eq!(t.texts(twice).await.len(), 6, "what was delivered twice is counted");
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_PAID").await, ["order.created", "order.paid"]);
}

async fn a_refund_is_told_once_and_a_stranger_refund_is_an_anomaly(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    t.paid("ORDER_1", 100).await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100))
        .await
        .data();
    t.world.wechat().lose_callbacks(u32::MAX);
    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    let note = t.world.wechat().refund_notification("REFUND_1").unwrap();
    for _ in 0..3 {
        assert!(acknowledged(
            &t.forward(&t.world.center().forward_of(&note).unwrap()).await
        ));
        assert!(acknowledged(
            &t.notify("/wx-pay/refundTrigger", &t.world.wechat().sign_again(&note))
                .await
        ));
    }
    // Without the ciphertext, by asking; at `/` it is known by its event type.
    t.world.center().set_shape(ForwardShape {
        to_root: true,
        ..ForwardShape::without_resource()
    });
    assert!(acknowledged(
        &t.forward(&t.world.center().forward_of(&note).unwrap()).await
    ));
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created", "refund.succeeded"]
    );
    assert_eq!(t.held("ORDER_1").await, 30);

    let stranger = t.world.wechat().refund_notification_with("REFUND_1", |note| {
        note.resource["out_refund_no"] = json!("REFUND_X");
    });
    assert!(acknowledged(
        &t.notify("/wx-pay/refundTrigger", &stranger.unwrap()).await
    ));
    let other_amount = t.world.wechat().refund_notification_with("REFUND_1", |note| {
        note.resource["amount"]["refund"] = json!(31);
    });
    assert!(acknowledged(
        &t.notify("/wx-pay/refundTrigger", &other_amount.unwrap()).await
    ));
    let undone = t.world.wechat().refund_notification_with("REFUND_1", |note| {
        note.resource["refund_status"] = json!("CLOSED");
        note.event_type = "REFUND.CLOSED".to_owned();
    });
    assert!(acknowledged(&t.notify("/wx-pay/refundTrigger", &undone.unwrap()).await));
    assert_eq!(
        t.anomalies().await,
        ["unknown_refund", "amount_mismatch", "contradiction"]
    );
    assert_eq!(t.held("ORDER_1").await, 30, "what was paid back stays paid back");
}

async fn the_operator_may_decide_to_believe_the_integration_id(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[("callbackConfirm", "never")]).await;
    paid_unheard(&t, "ORDER_1").await;
    t.world.center().set_shape(ForwardShape::without_resource());
    let forward = t
        .world
        .center()
        .forward_of(&t.world.wechat().payment_notification("ORDER_1").unwrap())
        .unwrap();
    assert!(
        refused(&t.post(&forward.path, &[], forward.body.to_string()).await),
        "not without the id"
    );
    let queries = t.world.wechat().count(Endpoint::QueryOrder);
    assert!(acknowledged(&t.forward(&forward).await));
    assert_eq!(t.world.wechat().count(Endpoint::QueryOrder), queries);
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
}

async fn a_lost_store_is_a_callback_to_come_again(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    paid_unheard(&t, "ORDER_1").await;
    let forward = t
        .world
        .center()
        .forward_of(&t.world.wechat().payment_notification("ORDER_1").unwrap())
        .unwrap();
    // Somebody else holds the lock of the only writer, or every row of the order.
    let locked = t.lock_the_books().await;
    let reply = tokio::time::timeout(Duration::from_secs(5), t.forward(&forward))
        .await
        .expect("within 5 s");
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!("FAIL")));
    drop(locked);
    assert!(acknowledged(&t.forward(&forward).await));
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
}

async fn what_wechat_takes_back_is_an_anomaly(store: Store) {
    let t = TestApp::start_with(store, quiet(), &[]).await;
    t.paid("ORDER_1", 20).await;
    for _ in 0..2 {
        let closed = t.world.wechat().payment_notification_with("ORDER_1", |note| {
            note.resource["trade_state"] = json!("CLOSED");
        });
        assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &closed.unwrap()).await));
    }
    assert_eq!(t.anomalies().await, ["contradiction"]);
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
}
