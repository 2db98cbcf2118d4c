//! What is genuine and does not fit, and what nearly is genuine.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use jsonwebtoken::{EncodingKey, Header, encode};
use pay_common::sandbox::{Content, Endpoint, ForwardShape, Payment, SignedNotification};
use serde_json::{Value, json};

use super::actions::{stage, stage_with};
use crate::case::{Tried, cases};
use crate::invariants::{invariants, invariants_but};
use crate::support::app::{OPENID, TestApp};
use crate::support::database::Store;

cases!(Fault:
    a_ciphertext_with_a_flipped_bit_and_the_old_tag => "an order marked paid without a fen",
    an_event_of_a_kind_that_nobody_knows_yet => "genuine news that is lost",
    a_payment_of_an_order_that_was_closed_a_second_ago => "real money that the books deny",
    a_payment_that_overtook_a_close_and_that_nobody_told_of => "the same, until somebody compares the bills",
    two_paid_orders_for_one_ticket => "a buyer who pays twice for one thing, and nobody sees it",
    a_forward_of_a_payment_that_wechat_does_not_confirm => "a payment that is acknowledged, and kept nowhere",
    one_payment_for_two_orders => "one payment that delivers twice",
);

/// The content of the ciphertext says that an unpaid order is paid; one bit of it is another one, and the tag is that of before.
async fn a_ciphertext_with_a_flipped_bit_and_the_old_tag(store: Store, tried: Tried) {
    let t = stage(store).await;
    t.placed("PAID_1", 20).await;
    t.world.wechat().pay("PAID_1").unwrap();
    t.placed("UNPAID_1", 20).await;
    let claims = |note: &mut pay_common::sandbox::Notice| note.resource["out_trade_no"] = json!("UNPAID_1");
    let note = t.world.wechat().payment_notification_with("PAID_1", claims).unwrap();
    let envelope: Value = serde_json::from_str(&note.body).unwrap();
    let sealed = STANDARD
        .decode(envelope["resource"]["ciphertext"].as_str().unwrap())
        .unwrap();
    // Nothing but the ciphertext speaks for it.
    t.world.center().set_shape(ForwardShape {
        parsed_content: Content::Absent,
        plaintext: false,
        ..ForwardShape::default()
    });
    let genuine = t.world.center().forward_of(&note).unwrap();

    // A bit of every seventh byte of the content, and of every byte of the tag.
    let content = sealed.len() - 16;
    for place in (0..content).step_by(7).chain(content..sealed.len()) {
        let mut bent = sealed.clone();
        bent[place] ^= 1 << (place % 8);
        let bent = json!(STANDARD.encode(bent));

        let mut forward = genuine.clone();
        forward.body["rawData"]["resource"]["ciphertext"] = bent.clone();
        let came = t.forward(&forward).await;
        assert_eq!(came.status, 401, "forwarded, byte {place}: {came:?}");

        let mut body = envelope.clone();
        body["resource"]["ciphertext"] = bent;
        let direct = SignedNotification {
            body: body.to_string(),
            ..note.clone()
        };
        let came = t.notify("/wx-pay/unifiedOrderTrigger", &direct).await;
        assert_eq!(came.status, 401, "under the old signature, byte {place}: {came:?}");
        tried.times(2);
    }
    // Signed by WeChat as it is, it is nothing to believe either; it may come again.
    let mut body = envelope.clone();
    let mut bent = sealed;
    bent[0] ^= 1;
    body["resource"]["ciphertext"] = json!(STANDARD.encode(bent));
    let signed = t.world.wechat().sign_again(&SignedNotification {
        body: body.to_string(),
        ..note
    });
    let came = t.notify("/wx-pay/unifiedOrderTrigger", &signed).await;
    assert_eq!(came.status, 503, "{came:?}");
    assert_eq!(t.state("UNPAID_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("UNPAID_1").await, ["order.created"]);
    tried.once();
}

async fn an_event_of_a_kind_that_nobody_knows_yet(store: Store, tried: Tried) {
    let t = stage(store).await;
    t.placed("PAID_1", 20).await;
    t.world.wechat().pay("PAID_1").unwrap();
    let by_number = json!({"out_trade_no": "PAID_1"});
    t.act("wxpay_query_order_by_out_trade_no", by_number).await.data();
    let note = t
        .world
        .wechat()
        .payment_notification_with("PAID_1", |note| {
            note.event_type = "SUBSIDY.GRANTED".to_owned();
            note.resource = json!({"subsidy_id": "S1", "amount": 7});
        })
        .unwrap();
    let envelope: Value = serde_json::from_str(&note.body).unwrap();
    let id = envelope["id"].as_str().unwrap();
    // By the path of payments, and of refunds, and once more under a new signature.
    for path in ["/wx-pay/unifiedOrderTrigger", "/wx-pay/refundTrigger"] {
        for _ in 0..2 {
            let came = t.notify(path, &t.world.wechat().sign_again(&note)).await;
            assert_eq!(came.status, 200, "{came:?}");
            tried.once();
        }
    }
    let came = t.forward(&t.world.center().forward_of(&note).unwrap()).await;
    assert_eq!(came.status, 200, "{came:?}");
    tried.once();

    let kept = t
        .texts("SELECT resource FROM callbacks WHERE outcome = 'anomaly'")
        .await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        serde_json::from_str::<Value>(&kept[0]).unwrap(),
        json!({"subsidy_id": "S1", "amount": 7})
    );
    invariants_but(&t, &[("unknown_event", id)]).await;
}

/// A closed order is asked about once more: the payment was on its way when WeChat closed it, and every callback was lost.
async fn a_payment_that_overtook_a_close_and_that_nobody_told_of(store: Store, tried: Tried) {
    let t = stage(store).await;
    let overtaken = Payment {
        under_way: true,
        notify: false,
        ..Payment::default()
    };
    for (number, paid) in [("OVERTAKEN_1", true), ("OVERTAKEN_2", false)] {
        t.placed(number, 20).await;
        let closed = t.act("wxpay_close_order", json!({"out_trade_no": number})).await;
        assert_eq!((closed.status, &closed.body["data"]), (200, &json!({"status": 204})));
        if paid {
            t.world.wechat().pay_with(number, &overtaken).unwrap();
        }
    }
    let asked = |t: &TestApp| t.world.wechat().count(Endpoint::QueryOrder);
    let before = asked(&t);
    t.service.sweep().await.unwrap();
    assert_eq!(asked(&t), before, "it is given the time to arrive");
    t.advance(Duration::from_secs(121));
    t.service.sweep().await.unwrap();
    assert_eq!(t.state("OVERTAKEN_1").await.as_deref(), Some("SUCCESS"));
    assert_eq!(
        t.events("OVERTAKEN_1").await,
        ["order.created", "order.closed", "order.paid"]
    );
    assert_eq!(t.anomalies().await, ["paid_after_close"]);
    assert_eq!(t.state("OVERTAKEN_2").await.as_deref(), Some("CLOSED"));
    assert_eq!(asked(&t), before + 2);
    t.advance(Duration::from_secs(24 * 3600));
    t.service.sweep().await.unwrap();
    assert_eq!(asked(&t), before + 2, "and then never again");
    tried.times(2);
}

/// The payment was on its way when WeChat closed the order.
async fn a_payment_of_an_order_that_was_closed_a_second_ago(store: Store, tried: Tried) {
    let t = stage(store).await;
    let overtaken = Payment {
        under_way: true,
        notify: false,
        ..Payment::default()
    };
    let mut expected = Vec::new();
    for (door, number) in [
        ("signed", "CLOSED_1"),
        ("sealed", "CLOSED_2"),
        ("plain", "CLOSED_3"),
        ("asked", "CLOSED_4"),
    ] {
        t.placed(number, 20).await;
        let by_number = json!({"out_trade_no": number});
        let closed = t.act("wxpay_close_order", by_number.clone()).await;
        assert_eq!((closed.status, &closed.body["data"]), (200, &json!({"status": 204})));
        t.advance(Duration::from_secs(1));
        t.world.wechat().pay_with(number, &overtaken).unwrap();

        let note = t.world.wechat().payment_notification(number).unwrap();
        let shape = if door == "plain" {
            ForwardShape::without_resource()
        } else {
            ForwardShape::default()
        };
        t.world.center().set_shape(shape);
        for _ in 0..2 {
            let came = match door {
                "signed" => t.notify("/wx-pay/unifiedOrderTrigger", &note).await,
                "asked" => t.act("wxpay_query_order_by_out_trade_no", by_number.clone()).await,
                _ => t.forward(&t.world.center().forward_of(&note).unwrap()).await,
            };
            assert_eq!(came.status, 200, "{door}: {came:?}");
        }
        assert_eq!(t.state(number).await.as_deref(), Some("SUCCESS"), "{door}");
        assert_eq!(
            t.events(number).await,
            ["order.created", "order.closed", "order.paid"],
            "{door}"
        );
        expected.push(("paid_after_close", number));
        tried.once();
    }
    invariants_but(&t, &expected).await;
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A ticket names its number, and a number is one order: whoever asks again, in whatever way, gets that one or is refused. A second
/// payment of the number can only come from elsewhere, and then a person sees it.
async fn two_paid_orders_for_one_ticket(store: Store, tried: Tried) {
    let t = stage_with(store, &[("orderTicketSecret", SECRET), ("requireOrderTicket", "true")]).await;
    for round in 0..5 {
        let number = format!("TICKET_{round}");
        let ticket = ticket(&t, &number);
        // All at once: in three ways, by two buyers, four times each.
        let ways = ["wxpay_order", "wxpay_order_native", "wxpay_order_app"];
        let tokens = ["alice", "bob"].map(|sub| format!("Bearer {}", t.token(sub)));
        let mut calls = Vec::new();
        for way in ways {
            for token in &tokens {
                for _ in 0..4 {
                    let mut body = json!({"order_ticket": ticket});
                    if way == "wxpay_order" {
                        body["payer"] = json!({"openid": OPENID});
                    }
                    let t = &t;
                    calls.push(async move { (way, token, t.act_as(token, way, body).await) });
                }
            }
        }
        let answers = join_all(calls).await;
        let placed: Vec<_> = answers
            .iter()
            .filter(|(_, _, came)| came.status == 200 && came.body["code"] == 0)
            .map(|(way, token, _)| (way, token))
            .collect();
        assert!(!placed.is_empty(), "{answers:?}");
        assert!(
            placed.iter().all(|one| *one == placed[0]),
            "two orders for one ticket: {answers:?}"
        );
        for (_, _, came) in answers.iter().filter(|(_, _, came)| came.status != 200) {
            let expected = [(409, "ORDER_PARAMS_MISMATCH"), (403, "FORBIDDEN")];
            assert!(expected.contains(&came.failure()), "{came:?}");
        }
        t.world.wechat().pay(&number).unwrap();
        let note = t.world.wechat().payment_notification(&number).unwrap();
        assert_eq!(t.notify("/wx-pay/unifiedOrderTrigger", &note).await.status, 200);
        // Paid, the ticket is used up, for everybody and in every way.
        for way in ways {
            for token in &tokens {
                let mut body = json!({"order_ticket": ticket});
                if way == "wxpay_order" {
                    body["payer"] = json!({"openid": OPENID});
                }
                let came = t.act_as(token, way, body).await;
                assert!([403, 409].contains(&came.status), "{way}: {came:?}");
            }
        }
        tried.times(answers.len() + 6);
    }
    invariants(&t).await;

    let again = |note: &mut pay_common::sandbox::Notice| {
        note.resource["transaction_id"] = json!("4200000000000000000000000099");
    };
    let note = t.world.wechat().payment_notification_with("TICKET_0", again).unwrap();
    assert_eq!(t.notify("/wx-pay/unifiedOrderTrigger", &note).await.status, 200);
    assert_eq!(t.notify("/wx-pay/unifiedOrderTrigger", &note).await.status, 200);
    tried.once();
    invariants_but(&t, &[("second_payment", "TICKET_0")]).await;
}

fn ticket(t: &TestApp, number: &str) -> String {
    let claims = json!({
        "out_trade_no": number,
        "description": "Test product",
        "amount": {"total": 20, "currency": "CNY"},
        "exp": t.clock.now().as_second() + 600,
    });
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

/// Whether the order is open or closed: what WeChat does not confirm is not acknowledged, so that it comes again if it is genuine.
async fn a_forward_of_a_payment_that_wechat_does_not_confirm(store: Store, tried: Tried) {
    let t = stage(store).await;
    t.placed("OPEN_1", 20).await;
    t.placed("CLOSED_1", 20).await;
    let closed = t.act("wxpay_close_order", json!({"out_trade_no": "CLOSED_1"})).await;
    assert_eq!(closed.body["data"], json!({"status": 204}));
    for number in ["OPEN_1", "CLOSED_1"] {
        let order = t.world.wechat().order(number).unwrap();
        let came = t.forward(&t.world.center().forge(&order)).await;
        assert_eq!(came.status, 409, "{number}: {came:?}");
        tried.once();
    }
    invariants(&t).await;
}

async fn one_payment_for_two_orders(store: Store, tried: Tried) {
    let t = stage(store).await;
    t.placed("PAID_1", 20).await;
    t.placed("UNPAID_1", 20).await;
    t.world.wechat().pay("PAID_1").unwrap();
    let claims = |note: &mut pay_common::sandbox::Notice| note.resource["out_trade_no"] = json!("UNPAID_1");
    let right = t.world.wechat().payment_notification("PAID_1").unwrap();
    let wrong = t.world.wechat().payment_notification_with("PAID_1", claims).unwrap();
    for note in [&right, &wrong, &right, &wrong] {
        assert_eq!(t.notify("/wx-pay/unifiedOrderTrigger", note).await.status, 200);
        tried.once();
    }
    assert_eq!(t.state("UNPAID_1").await.as_deref(), Some("NOTPAY"));
    invariants_but(&t, &[("contradiction", "UNPAID_1")]).await;
}
