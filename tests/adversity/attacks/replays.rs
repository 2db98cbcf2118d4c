//! What was genuine once, sent again.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{DIRECT_ORDER_PATH, DIRECT_REFUND_PATH, DIRECT_TRANSFER_PATH, Endpoint, RefundEnd};
use serde_json::json;

use super::standing::{acknowledged, by_hand, forwarded, paid_unheard, refused};
use crate::case::{Tried, cases};
use crate::support::app::{TestApp, refund};
use crate::support::database::Store;

cases!(Attack:
    one_payment_delivered_two_hundred_times => "goods delivered twice for one payment",
    the_callbacks_of_a_life_in_any_order_and_many_times => "a state that goes back, or an event told twice",
    a_payment_replayed_after_the_order_was_closed => "an order opened again by an old payment",
    a_signed_notification_kept_for_later => "an old truth told as a new one",
    an_answer_that_is_older_than_the_callback => "a refund that is stuck shown as under way, and told as stuck twice",
);

async fn one_payment_delivered_two_hundred_times(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    paid_unheard(&t, "ORDER_1", 20).await;
    let wechat = t.world.wechat();
    let note = wechat.payment_notification("ORDER_1").unwrap();
    let forward = forwarded(&t, &note);
    let renamed: Vec<_> = (0..20)
        .map(|n| {
            wechat
                .payment_notification_with("ORDER_1", |note| note.id = format!("EV-RENAMED-{n}"))
                .unwrap()
        })
        .collect();
    let answers = join_all((0..200).map(|n| {
        let (t, note, forward, renamed) = (&t, &note, &forward, &renamed);
        async move {
            match n % 4 {
                0 => t.notify(DIRECT_ORDER_PATH, note).await,
                1 => t.forward(forward).await,
                2 => t.notify("/wechatpay/order", &renamed[n / 4 % 20]).await,
                _ => {
                    let mut bare = forward.clone();
                    bare.body = bare.body["ParsedContent"].clone();
                    t.forward(&bare).await
                }
            }
        }
    }))
    .await;
    for came in &answers {
        assert!(acknowledged(came), "{came:?}");
    }
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
    assert!(t.anomalies().await.is_empty());
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
    tried.times(answers.len());
}

async fn the_callbacks_of_a_life_in_any_order_and_many_times(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let wechat = t.world.wechat();
    for round in 0..6_usize {
        let (order, first, second, bill) = (
            format!("ORDER_{round}"),
            format!("REFUND_{round}_A"),
            format!("REFUND_{round}_B"),
            format!("T{round}"),
        );
        paid_unheard(&t, &order, 100).await;
        for number in [&first, &second] {
            t.act("wxpay_refund", refund(&order, number, 30, 100)).await.data();
        }
        wechat.finish_refund(&first, RefundEnd::Success).unwrap();
        wechat.finish_refund(&second, RefundEnd::Closed).unwrap();
        t.arrived_unheard(&bill).await;
        let notes = [
            (DIRECT_ORDER_PATH, wechat.payment_notification(&order).unwrap()),
            (DIRECT_REFUND_PATH, wechat.refund_notification(&first).unwrap()),
            (DIRECT_REFUND_PATH, wechat.refund_notification(&second).unwrap()),
            (DIRECT_TRANSFER_PATH, wechat.transfer_notification(&bill).unwrap()),
        ];
        // Every delivery ten times, in another order each round, ten at once.
        let mut line: Vec<usize> = (0..40).map(|n| n % 4).collect();
        line.rotate_left(round * 7 % 40);
        if round % 2 == 1 {
            line.reverse();
        }
        if round > 3 {
            line.sort_unstable_by_key(|n| (n * 7 + round) % 4);
        }
        for ten in line.chunks(10) {
            let answers = join_all(ten.iter().map(|n| t.notify(notes[*n].0, &notes[*n].1))).await;
            for came in &answers {
                assert!(acknowledged(came), "{came:?}");
            }
            tried.times(answers.len());
        }
        assert_eq!(t.state(&order).await.as_deref(), Some("REFUND"));
        assert_eq!(t.held(&order).await, 30, "the closed refund gave its amount back once");
        let mut events = t.events(&order).await;
        events.sort();
        assert_eq!(
            events,
            [
                "order.created",
                "order.paid",
                "refund.closed",
                "refund.created",
                "refund.created",
                "refund.succeeded"
            ]
        );
        assert_eq!(
            t.transfer_events(&bill).await,
            ["transfer.created", "transfer.succeeded"]
        );
    }
    assert!(t.anomalies().await.is_empty());
}

async fn a_payment_replayed_after_the_order_was_closed(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    paid_unheard(&t, "ORDER_OLD", 20).await;
    t.placed("ORDER_1", 20).await;
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("CLOSED"));
    let wechat = t.world.wechat();
    let old = wechat.payment_notification("ORDER_OLD").unwrap();
    for _ in 0..10 {
        assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &old).await));
        assert_eq!(
            t.state("ORDER_1").await.as_deref(),
            Some("CLOSED"),
            "another order's payment opens nothing"
        );
        tried.once();
    }
    // A payment of the closed order itself is real money: once, and a person hears of it once.
    let late = wechat
        .payment_notification_with("ORDER_OLD", |note| {
            note.resource["out_trade_no"] = json!("ORDER_1");
            note.resource["transaction_id"] = json!("4200000000000000000000000777");
        })
        .unwrap();
    let answers = join_all((0..20).map(|_| t.notify(DIRECT_ORDER_PATH, &late))).await;
    assert!(answers.iter().all(acknowledged), "{answers:?}");
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.closed", "order.paid"]
    );
    assert_eq!(t.anomalies().await, ["paid_after_close"]);
    // And a second one, with another payment, moves nothing.
    let second = wechat
        .payment_notification_with("ORDER_OLD", |note| {
            note.resource["out_trade_no"] = json!("ORDER_1");
            note.resource["transaction_id"] = json!("4200000000000000000000000778");
        })
        .unwrap();
    for _ in 0..10 {
        assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &second).await));
    }
    assert_eq!(t.anomalies().await, ["paid_after_close", "second_payment"]);
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.closed", "order.paid"]
    );
    tried.times(30);
}

async fn a_signed_notification_kept_for_later(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    paid_unheard(&t, "ORDER_1", 20).await;
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    let before = t.standing().await;
    // Seconds that the service's clock is off by then; the last one leaves it where it was.
    let mut off = 0;
    for seconds in [301, 320, 600, 3600, 86_400, 31_536_000, -900, -3600, -86_400] {
        t.clock.advance((seconds - off) * 1000);
        off = seconds;
        for path in [DIRECT_ORDER_PATH, "/wechatpay/order", DIRECT_REFUND_PATH, "/"] {
            let mut note = note.clone();
            if path == "/" {
                // Named in the body, it is not the body that was signed any more.
                note.body = note.body.replacen('{', "{\"_action\":\"unifiedOrderTrigger\",", 1);
            }
            let came = t.notify(path, &note).await;
            assert!(refused(&came), "{seconds}: {came:?}");
            assert_eq!(t.standing().await, before, "{seconds}");
            tried.once();
        }
    }
    t.clock.advance(-off * 1000);
    assert!(
        acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await),
        "in its own time it is good"
    );
}

async fn an_answer_that_is_older_than_the_callback(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    let wechat = t.world.wechat();
    for (round, held_at) in [Endpoint::Refund, Endpoint::QueryRefund, Endpoint::QueryRefund]
        .into_iter()
        .enumerate()
    {
        let (order, number) = (format!("ORDER_{round}"), format!("REFUND_{round}"));
        t.paid(&order, 100).await;
        wechat.lose_callbacks(u32::MAX);
        let asked = if held_at == Endpoint::Refund {
            ("wxpay_refund", refund(&order, &number, 40, 100))
        } else {
            t.act("wxpay_refund", refund(&order, &number, 40, 100)).await.data();
            ("wxpay_refund_query", json!({"out_refund_no": number}))
        };
        // "Under way" is on its way to us when the refund gets stuck, and the callback of that overtakes it.
        let hold = wechat.hold(held_at);
        let answer = t.act(asked.0, asked.1);
        let meanwhile = async {
            hold.reached().await;
            wechat.finish_refund(&number, RefundEnd::Abnormal).unwrap();
            let note = wechat.refund_notification(&number).unwrap();
            assert!(acknowledged(&t.notify(DIRECT_REFUND_PATH, &note).await));
            hold.release();
        };
        let (answer, ()) = tokio::join!(answer, meanwhile);
        assert_eq!(answer.data()["status"], "PROCESSING", "that is what was said");
        let stuck = format!("refund {number} ABNORMAL 40");
        assert!(t.books().await.contains(&stuck), "{:?}", t.books().await);
        t.advance(Duration::from_secs(61));
        t.service.sweep().await.unwrap();
        let events = ["order.created", "order.paid", "refund.created", "refund.abnormal"];
        assert_eq!(t.events(&order).await, events, "told once");
        assert_eq!(t.held(&order).await, 40);
        // Paid back by hand, it is done.
        wechat.finish_refund(&number, RefundEnd::Success).unwrap();
        t.act("wxpay_refund_query", json!({"out_refund_no": number}))
            .await
            .data();
        assert_eq!(t.events(&order).await.last().unwrap(), "refund.succeeded");
        wechat.lose_callbacks(0);
        tried.once();
    }
}
