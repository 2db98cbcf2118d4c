//! WeChat's word against the books: what comes late, comes again, is about somebody else, or says no more than that nothing has happened.

use std::time::Duration;

use pay_common::sandbox::{
    After, DIRECT_ORDER_PATH, DIRECT_REFUND_PATH, Endpoint, Fault, FaultRule, Notice, Options, RefundEnd,
};
use serde_json::{Value, json};

use crate::support::app::{Came, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    an_order_that_wechat_closed_by_itself_is_closed_here,
    a_close_of_a_paid_order_is_for_a_person_also_when_wechat_had_to_be_asked,
    that_an_order_waits_for_its_payer_is_the_outcome_of_a_lost_attempt,
    that_something_was_refunded_elsewhere_is_said_of_the_payment_that_stands_here,
    an_order_that_is_given_up_while_wechat_accepts_it_is_placed_all_the_same,
    an_order_is_told_of_before_it_is_told_that_it_is_closed,
    a_number_that_is_about_to_be_closed_is_used_up,
    what_can_no_longer_be_paid_is_not_handed_out_again,
    what_pays_an_order_that_was_placed_elsewhere_is_asked_for_each_time,
    an_order_that_wechat_does_not_have_is_not_paid,
    a_refused_refund_keeps_its_amount_until_wechat_says_that_it_has_none,
    a_refund_that_was_given_up_and_that_wechat_has_is_held_again,
    a_refund_that_was_given_up_has_no_claim_on_what_others_hold,
    a_refund_that_is_stuck_is_told_once_and_stays_mended,
    that_a_refund_is_under_way_is_no_news_and_no_reason_to_acknowledge,
);

/// Refunds end when a test says so, and no callback comes by itself.
async fn start(store: Store) -> TestApp {
    let by_hand = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(store, by_hand, &[]).await;
    // Out of its callbacks the others are made.
    t.paid("NOTICE", 100).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.act("wxpay_refund", refund("NOTICE", "NOTICE_R", 1, 100)).await.data();
    t.world.wechat().finish_refund("NOTICE_R", RefundEnd::Success).unwrap();
    t
}

fn acknowledged(came: &Came) -> bool {
    came.status == 200 && came.body == json!({"code": "SUCCESS", "message": "成功"})
}

/// WeChat's own word of an order in that state.
async fn hears(t: &TestApp, number: &str, state: &str, change: impl FnOnce(&mut Notice)) -> Came {
    let note = t.world.wechat().payment_notification_with("NOTICE", |note| {
        note.resource["out_trade_no"] = json!(number);
        note.resource["trade_state"] = json!(state);
        change(note);
    });
    t.notify(DIRECT_ORDER_PATH, &note.unwrap()).await
}

/// A refund, as WeChat's own word of it names it.
struct Named<'a> {
    order: &'a str,
    number: &'a str,
    id: &'a Value,
    amount: i64,
}

/// WeChat's own word of a refund in that state.
async fn hears_of_refund(t: &TestApp, named: &Named<'_>, status: &str) -> Came {
    let note = t.world.wechat().refund_notification_with("NOTICE_R", |note| {
        note.event_type = format!("REFUND.{status}");
        note.resource["out_trade_no"] = json!(named.order);
        note.resource["out_refund_no"] = json!(named.number);
        note.resource["refund_id"] = named.id.clone();
        note.resource["refund_status"] = json!(status);
        note.resource["amount"]["refund"] = json!(named.amount);
    });
    t.notify(DIRECT_REFUND_PATH, &note.unwrap()).await
}

async fn refund_state(t: &TestApp, number: &str) -> String {
    let query = format!("SELECT state FROM refunds WHERE out_refund_no = '{number}'");
    t.texts(&query).await.concat()
}

/// An order of which nobody knows whether WeChat has it.
async fn unknown(t: &TestApp, number: &str, fault: Fault) {
    t.world
        .wechat()
        .add_fault(FaultRule::on(Endpoint::Prepay, fault).times(3).about(number));
    let came = t.act("wxpay_order", order(number, 20)).await;
    assert_eq!(came.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(t.state(number).await.as_deref(), Some("CREATED"));
}

async fn an_order_that_wechat_closed_by_itself_is_closed_here(store: Store) {
    let t = start(store).await;
    for (number, state) in [("ORDER_1", "CLOSED"), ("ORDER_2", "REVOKED")] {
        t.placed(number, 20).await;
        for _ in 0..2 {
            let came = hears(&t, number, state, |_| {}).await;
            assert!(acknowledged(&came), "{state}: {came:?}");
        }
        assert_eq!(t.events(number).await, ["order.created", "order.closed"], "{state}");
    }
    assert!(t.anomalies().await.is_empty());
}

async fn a_close_of_a_paid_order_is_for_a_person_also_when_wechat_had_to_be_asked(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 20).await;
    let open = t.world.wechat().order("ORDER_1").unwrap();
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    let paid = |note: &mut Notice| {
        note.resource["transaction_id"] = json!("4200000000000000000000000002");
        note.resource["amount"]["total"] = json!(20);
    };
    assert!(acknowledged(&hears(&t, "ORDER_1", "SUCCESS", paid).await));
    assert_eq!(t.anomalies().await, ["paid_after_close"]);

    // Nothing proves this one, so WeChat is asked, and says that the order is closed.
    for _ in 0..2 {
        let came = t.forward(&t.world.center().forge(&open)).await;
        assert!(
            acknowledged(&came),
            "what a person will see to need not come again: {came:?}"
        );
    }
    assert_eq!(t.anomalies().await, ["paid_after_close", "contradiction"]);
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
}

async fn that_an_order_waits_for_its_payer_is_the_outcome_of_a_lost_attempt(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_1", Fault::ProcessThen(After::DropConnection)).await;
    let foreign = |note: &mut Notice| note.resource["mchid"] = json!("1900000001");
    assert!(acknowledged(&hears(&t, "ORDER_1", "NOTPAY", foreign).await));
    assert_eq!(t.anomalies().await, ["foreign_merchant"]);
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("CREATED"));

    let came = hears(&t, "ORDER_1", "NOTPAY", |_| {}).await;
    assert_eq!(came.status, 409, "it tells of no payment: {came:?}");
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
    assert_eq!(t.anomalies().await, ["foreign_merchant"]);
}

async fn that_something_was_refunded_elsewhere_is_said_of_the_payment_that_stands_here(store: Store) {
    let t = start(store).await;
    let payment = |id: &'static str, total: i64| {
        move |note: &mut Notice| {
            note.resource["transaction_id"] = json!(id);
            note.resource["amount"]["total"] = json!(total);
        }
    };
    let (first, second, third) = ("42000000000000000001", "42000000000000000002", "42000000000000000003");
    // Nobody had heard of the payment.
    t.placed("ORDER_1", 20).await;
    assert!(acknowledged(&hears(&t, "ORDER_1", "REFUND", payment(first, 20)).await));
    // It was known.
    t.placed("ORDER_2", 20).await;
    assert!(acknowledged(
        &hears(&t, "ORDER_2", "SUCCESS", payment(second, 20)).await
    ));
    assert_eq!(t.state("ORDER_2").await.as_deref(), Some("SUCCESS"));
    assert!(acknowledged(&hears(&t, "ORDER_2", "REFUND", payment(second, 20)).await));
    for number in ["ORDER_1", "ORDER_2"] {
        assert_eq!(t.state(number).await.as_deref(), Some("REFUND"), "{number}");
        assert_eq!(t.events(number).await, ["order.created", "order.paid"], "{number}");
    }
    assert!(t.anomalies().await.is_empty());

    // It is of another payment, which a person has to look at.
    t.placed("ORDER_3", 20).await;
    assert!(acknowledged(&hears(&t, "ORDER_3", "SUCCESS", payment(third, 20)).await));
    for (said, kind) in [
        (payment("42000000000000000004", 20), "second_payment"),
        (payment(third, 21), "amount_mismatch"),
    ] {
        assert!(acknowledged(&hears(&t, "ORDER_3", "REFUND", said).await));
        assert_eq!(t.anomalies().await.last().unwrap(), kind);
        assert_eq!(t.state("ORDER_3").await.as_deref(), Some("SUCCESS"), "{kind}");
    }
}

async fn an_order_that_is_given_up_while_wechat_accepts_it_is_placed_all_the_same(store: Store) {
    let t = start(store).await;
    let held = t.world.wechat().hold(Endpoint::Prepay);
    let meanwhile = async {
        held.reached().await;
        let none = FaultRule::on(Endpoint::QueryOrder, Fault::refuse(404, "ORDER_NOT_EXIST"));
        t.world.wechat().add_fault(none.times(2));
        for _ in 0..2 {
            t.advance(Duration::from_secs(60));
            t.service.sweep().await.unwrap();
        }
        assert_eq!(t.state("ORDER_1").await.as_deref(), Some("FAILED"));
        held.release();
    };
    let (came, ()) = tokio::join!(t.act("wxpay_order", order("ORDER_1", 20)), meanwhile);
    assert!(came.data()["prepay_id"].is_string());
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}

async fn an_order_is_told_of_before_it_is_told_that_it_is_closed(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_1", Fault::ProcessThen(After::DropConnection)).await;
    let came = t.operate("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(came.body["data"], json!({"status": 204}), "{came:?}");
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.closed"]);
}

async fn a_number_that_is_about_to_be_closed_is_used_up(store: Store) {
    let t = start(store).await;
    let wechat = t.world.wechat();
    t.placed("ORDER_1", 20).await;
    unknown(&t, "ORDER_2", Fault::ProcessThen(After::DropConnection)).await;
    for (number, state) in [("ORDER_1", "NOTPAY"), ("ORDER_2", "CREATED")] {
        wechat.add_fault(FaultRule::on(Endpoint::Close, Fault::DropBefore).times(3));
        let came = t.operate("wxpay_close_order", json!({"out_trade_no": number})).await;
        assert_eq!(came.failure(), (502, "UPSTREAM_UNAVAILABLE"));
        let asked = wechat.count(Endpoint::Prepay);
        let again = t.act("wxpay_order", order(number, 20)).await;
        assert_eq!(again.failure(), (409, "ORDER_CLOSED"), "{number}");
        assert_eq!(wechat.count(Endpoint::Prepay), asked, "{number}: WeChat is not asked");
        assert_eq!(t.state(number).await.as_deref(), Some(state));
    }
}

async fn what_can_no_longer_be_paid_is_not_handed_out_again(store: Store) {
    let t = start(store).await;
    let until = (t.clock.now() + Duration::from_secs(360)).to_string();
    let body = with(order("ORDER_1", 20), "time_expire", json!(until));
    let asked = || t.world.wechat().count(Endpoint::Prepay);
    t.act("wxpay_order", body.clone()).await.data();
    let once = asked();
    t.act("wxpay_order", body.clone()).await.data();
    assert_eq!(asked(), once, "it can be paid with what there is");
    t.advance(Duration::from_secs(361));
    t.act("wxpay_order", body).await;
    assert_eq!(asked(), once + 1, "what can be said of it now is WeChat's to say");
}

async fn what_pays_an_order_that_was_placed_elsewhere_is_asked_for_each_time(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 20).await;
    let t = t.with_new_books(store).await;
    // So it comes into these books.
    let refused = t.operate("wxpay_refund", refund("ORDER_1", "REFUND_1", 20, 20)).await;
    assert_eq!(refused.failure(), (409, "ORDER_NOT_PAID"));
    for _ in 0..2 {
        let so_far = t.world.wechat().count(Endpoint::Prepay);
        t.operate("wxpay_order", order("ORDER_1", 20)).await.data();
        assert_eq!(t.world.wechat().count(Endpoint::Prepay), so_far + 1);
    }
}

async fn an_order_that_wechat_does_not_have_is_not_paid(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_1", Fault::DropBefore).await;
    let wanted = refund("ORDER_1", "REFUND_1", 20, 20);
    let came = t.act("wxpay_refund", wanted.clone()).await;
    assert_eq!(came.failure(), (409, "ORDER_NOT_PAID"));
    // What does not say so is no such word.
    for fault in [
        Fault::refuse(403, "NO_AUTH"),
        Fault::refuse_unsigned(404, "ORDER_NOT_EXIST"),
    ] {
        t.world
            .wechat()
            .add_fault(FaultRule::on(Endpoint::QueryOrder, fault.clone()).times(9));
        let came = t.act("wxpay_refund", wanted.clone()).await;
        assert_ne!(came.failure(), (409, "ORDER_NOT_PAID"), "{fault:?}");
        assert_ne!(came.body["code"], 0, "{fault:?}: {came:?}");
        t.world.wechat().clear_faults();
    }
    assert_eq!(t.world.wechat().count(Endpoint::Refund), 1, "only the one at the start");
}

async fn a_refused_refund_keeps_its_amount_until_wechat_says_that_it_has_none(store: Store) {
    let t = start(store).await;
    let wechat = t.world.wechat();
    let too_fast = Fault::refuse(429, "FREQUENCY_LIMITED");
    let no = Fault::refuse(403, "NOT_ENOUGH");
    for (count, (refused, then, held)) in [
        (no.clone(), None, 0),
        // It may have been accepted a moment later.
        (too_fast.clone(), None, 80),
        // Nobody says that there is none.
        (no.clone(), Some(Fault::refuse(403, "NO_AUTH")), 80),
        (no.clone(), Some(Fault::refuse_unsigned(404, "RESOURCE_NOT_EXISTS")), 80),
        (too_fast, Some(Fault::refuse(403, "NO_AUTH")), 80),
    ]
    .into_iter()
    .enumerate()
    {
        let (number, refund_number) = (format!("ORDER_{count}"), format!("REFUND_{count}"));
        paid(&t, &number).await;
        wechat.fault(Endpoint::Refund, refused.clone());
        if let Some(then) = then.clone() {
            wechat.add_fault(FaultRule::on(Endpoint::QueryRefund, then).times(9));
        }
        let came = t.act("wxpay_refund", refund(&number, &refund_number, 80, 100)).await;
        assert_eq!(came.failure(), (200, "UPSTREAM_REFUSED"), "{refused:?}, {then:?}");
        assert_eq!(t.held(&number).await, held, "{refused:?}, {then:?}");
        wechat.clear_faults();
    }

    // After an attempt of which nobody knows, "none" is believed once that one cannot arrive any more.
    for (number, later, held) in [("ORDER_SOON", 30, 80), ("ORDER_LATE", 61, 0)] {
        paid(&t, number).await;
        let wanted = refund(number, &format!("{number}_R"), 80, 100);
        wechat.fault(Endpoint::Refund, Fault::DropBefore);
        wechat.add_fault(FaultRule::on(Endpoint::QueryRefund, Fault::DropBefore).times(9));
        let came = t.act("wxpay_refund", wanted.clone()).await;
        assert_eq!(came.failure(), (502, "UPSTREAM_UNAVAILABLE"));
        wechat.clear_faults();
        t.advance(Duration::from_secs(later));
        wechat.fault(Endpoint::Refund, no.clone());
        let came = t.act("wxpay_refund", wanted).await;
        assert_eq!(came.failure(), (200, "UPSTREAM_REFUSED"));
        assert_eq!(t.held(number).await, held, "{number}");
    }
}

/// An order of 100 fen that is paid, and known to be.
async fn paid(t: &TestApp, number: &str) {
    t.placed(number, 100).await;
    t.world.wechat().pay(number).unwrap();
    let by_number = json!({"out_trade_no": number});
    t.act("wxpay_query_order_by_out_trade_no", by_number).await.data();
    assert_eq!(t.state(number).await.as_deref(), Some("SUCCESS"));
}

/// A refund of such an order that was given up, and its amount given back.
async fn given_up(t: &TestApp, number: &str, refund_number: &str) {
    paid(t, number).await;
    t.world
        .wechat()
        .fault(Endpoint::Refund, Fault::refuse(403, "NOT_ENOUGH"));
    t.act("wxpay_refund", refund(number, refund_number, 80, 100)).await;
    assert_eq!(refund_state(t, refund_number).await, "FAILED");
    assert_eq!(t.held(number).await, 0);
}

async fn a_refund_that_was_given_up_and_that_wechat_has_is_held_again(store: Store) {
    let t = start(store).await;
    given_up(&t, "ORDER_1", "REFUND_1").await;
    let named = Named {
        order: "ORDER_1",
        number: "REFUND_1",
        id: &json!("50000000000000000000000000009"),
        amount: 80,
    };
    for _ in 0..2 {
        assert!(acknowledged(&hears_of_refund(&t, &named, "SUCCESS").await));
        assert_eq!(t.held("ORDER_1").await, 80);
    }
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created", "refund.succeeded"]
    );
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("REFUND"));
    assert!(t.anomalies().await.is_empty());
}

async fn a_refund_that_was_given_up_has_no_claim_on_what_others_hold(store: Store) {
    let t = start(store).await;
    given_up(&t, "ORDER_1", "REFUND_1").await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_2", 80, 100))
        .await
        .data();
    let named = Named {
        order: "ORDER_1",
        number: "REFUND_1",
        id: &json!("50000000000000000000000000009"),
        amount: 80,
    };
    for _ in 0..2 {
        assert!(acknowledged(&hears_of_refund(&t, &named, "SUCCESS").await));
    }
    assert_eq!(
        t.anomalies().await,
        ["contradiction"],
        "more was paid back than was paid"
    );
    assert_eq!(t.held("ORDER_1").await, 80);
    assert_eq!(refund_state(&t, "REFUND_1").await, "FAILED");
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created"]
    );
}

/// A refund under way, and WeChat's number of it.
async fn under_way(t: &TestApp) -> Value {
    paid(t, "ORDER_1").await;
    let came = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 40, 100)).await;
    came.data()["refund_id"].clone()
}

async fn a_refund_that_is_stuck_is_told_once_and_stays_mended(store: Store) {
    let t = start(store).await;
    let id = under_way(&t).await;
    let named = Named {
        order: "ORDER_1",
        number: "REFUND_1",
        id: &id,
        amount: 40,
    };
    assert!(acknowledged(&hears_of_refund(&t, &named, "ABNORMAL").await));
    assert_eq!(refund_state(&t, "REFUND_1").await, "ABNORMAL");
    // Of a callback nobody knows whether it is older than what is in the books.
    assert_eq!(hears_of_refund(&t, &named, "PROCESSING").await.status, 409);
    assert_eq!(refund_state(&t, "REFUND_1").await, "ABNORMAL");

    // Whoever asks now is told that it goes on.
    let asked = t.act("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})).await;
    assert_eq!(asked.data()["status"], "PROCESSING");
    assert_eq!(refund_state(&t, "REFUND_1").await, "PROCESSING");
    // The callback of before comes once more.
    assert!(acknowledged(&hears_of_refund(&t, &named, "ABNORMAL").await));
    assert_eq!(refund_state(&t, "REFUND_1").await, "PROCESSING", "that is old news");
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created", "refund.abnormal"]
    );
    assert!(acknowledged(&hears_of_refund(&t, &named, "SUCCESS").await));
    assert_eq!(refund_state(&t, "REFUND_1").await, "SUCCESS");
    assert!(t.anomalies().await.is_empty());
}

async fn that_a_refund_is_under_way_is_no_news_and_no_reason_to_acknowledge(store: Store) {
    let t = start(store).await;
    let id = under_way(&t).await;
    let named = Named {
        order: "ORDER_1",
        number: "REFUND_1",
        id: &id,
        amount: 40,
    };
    for _ in 0..2 {
        let came = hears_of_refund(&t, &named, "PROCESSING").await;
        assert_eq!((came.status, &came.body["code"]), (409, &json!("FAIL")));
    }
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created"]
    );
    for _ in 0..2 {
        assert!(acknowledged(&hears_of_refund(&t, &named, "SUCCESS").await));
    }
    // An older word than the end.
    assert_eq!(hears_of_refund(&t, &named, "PROCESSING").await.status, 409);
    assert_eq!(refund_state(&t, "REFUND_1").await, "SUCCESS");
    assert!(t.anomalies().await.is_empty());
}
