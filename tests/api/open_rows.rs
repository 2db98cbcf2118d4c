//! What is left open: asked about until WeChat has said what became of it, given up on its signed word alone, and closed by its owner only.

use std::time::Duration;

use pay_common::sandbox::{After, DIRECT_ORDER_PATH, Endpoint, Fault, FaultRule, Options, Payment, TradeState};
use serde_json::json;

use crate::support::app::{Came, OPENID, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::{Store, on_both_stores};
use crate::support::payouts::{TRANSFER, transfer};

on_both_stores!(
    an_order_is_given_up_when_wechat_has_said_twice_that_it_has_none,
    an_order_is_not_given_up_for_any_other_answer,
    an_order_that_is_asked_for_again_is_not_given_up_for_what_was_said_before,
    what_is_not_answered_is_asked_again_later_and_not_at_once,
    a_closed_order_is_asked_about_until_wechat_has_answered_once,
    a_refund_is_not_given_up_before_its_time_or_for_any_other_answer,
    a_transfer_is_not_given_up_before_its_time_or_for_any_other_answer,
    a_refund_under_way_is_asked_about_in_its_own_rhythm,
    what_the_last_run_left_open_is_due_at_once,
    whoever_closes_an_order_of_which_nobody_knows_asks_for_it_first,
    a_number_that_is_used_elsewhere_is_closed_by_nobody_here,
    the_wish_to_close_is_taken_back_by_wechats_signed_refusal_alone,
    a_payment_that_comes_while_wechat_closes_is_not_called_closed,
    an_order_of_elsewhere_comes_into_the_books_as_it_stands_at_wechat,
    an_order_of_an_app_that_is_not_configured_stays_out_of_the_books,
);

async fn start(store: Store) -> TestApp {
    let by_hand = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(store, by_hand, &[]).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t
}

async fn sweep_after(t: &TestApp, seconds: u64) {
    t.advance(Duration::from_secs(seconds));
    t.service.sweep().await.unwrap();
}

fn asked(t: &TestApp, endpoint: Endpoint) -> usize {
    t.world.wechat().count(endpoint)
}

/// Every request at this endpoint, until `clear_faults`.
fn always(t: &TestApp, endpoint: Endpoint, fault: Fault) {
    t.world.wechat().add_fault(FaultRule::on(endpoint, fault).times(1000));
}

/// A refusal that says nothing of whether WeChat has what it is asked about.
fn no() -> Fault {
    Fault::refuse(403, "NO_AUTH")
}

fn none() -> Fault {
    Fault::refuse(404, "ORDER_NOT_EXIST")
}

/// An order of which nobody knows whether WeChat has it.
async fn unknown(t: &TestApp, number: &str, fault: Fault) {
    always(t, Endpoint::Prepay, fault);
    let came = t.act("wxpay_order", order(number, 20)).await;
    t.world.wechat().clear_faults();
    assert_eq!(came.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(t.state(number).await.as_deref(), Some("CREATED"));
}

async fn close(t: &TestApp, number: &str) -> Came {
    t.act("wxpay_close_order", json!({"out_trade_no": number})).await
}

fn closed(came: &Came) -> bool {
    came.status == 200 && came.body["data"] == json!({"status": 204})
}

/// A paid order of 100 fen.
async fn paid(t: &TestApp, number: &str) {
    t.placed(number, 100).await;
    t.world.wechat().pay(number).unwrap();
    let by_number = json!({"out_trade_no": number});
    t.act("wxpay_query_order_by_out_trade_no", by_number).await.data();
}

/// A refund of 80 fen that WeChat has not heard of, and nobody knows it.
async fn lost_refund(t: &TestApp) {
    paid(t, "ORDER_1").await;
    always(t, Endpoint::Refund, Fault::DropBefore);
    always(t, Endpoint::QueryRefund, Fault::DropBefore);
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100)).await;
    t.world.wechat().clear_faults();
    assert_eq!(t.held("ORDER_1").await, 80);
}

async fn an_order_is_given_up_when_wechat_has_said_twice_that_it_has_none(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_1", Fault::DropBefore).await;
    for state in ["CREATED", "FAILED"] {
        sweep_after(&t, 60).await;
        assert_eq!(t.state("ORDER_1").await.as_deref(), Some(state));
    }
}

async fn an_order_is_not_given_up_for_any_other_answer(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_1", Fault::ProcessThen(After::DropConnection)).await;
    for fault in [no(), Fault::refuse_unsigned(404, "ORDER_NOT_EXIST")] {
        always(&t, Endpoint::QueryOrder, fault.clone());
        for _ in 0..3 {
            sweep_after(&t, 60).await;
            assert_eq!(t.state("ORDER_1").await.as_deref(), Some("CREATED"), "{fault:?}");
        }
        t.world.wechat().clear_faults();
    }
    sweep_after(&t, 600).await;
    assert_eq!(t.events("ORDER_1").await.first().unwrap(), "order.created");
}

async fn an_order_that_is_asked_for_again_is_not_given_up_for_what_was_said_before(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_1", Fault::DropBefore).await;
    sweep_after(&t, 60).await;
    // Whoever closes it asks for it first, and that attempt may still arrive.
    always(&t, Endpoint::Prepay, Fault::DropBefore);
    assert_eq!(close(&t, "ORDER_1").await.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    t.world.wechat().clear_faults();
    sweep_after(&t, 60).await;
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("CREATED"));
    sweep_after(&t, 60).await;
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("FAILED"));
}

async fn what_is_not_answered_is_asked_again_later_and_not_at_once(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_1", Fault::ProcessThen(After::DropConnection)).await;
    always(&t, Endpoint::QueryOrder, no());
    sweep_after(&t, 16).await;
    assert_eq!(asked(&t, Endpoint::QueryOrder), 1);
    t.service.sweep().await.unwrap();
    assert_eq!(asked(&t, Endpoint::QueryOrder), 1, "not at once");
    t.world.wechat().clear_faults();
    sweep_after(&t, 16).await;
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
}

async fn a_closed_order_is_asked_about_until_wechat_has_answered_once(store: Store) {
    let t = start(store).await;
    for (number, fault, again) in [("ORDER_1", no(), true), ("ORDER_2", none(), false)] {
        t.placed(number, 20).await;
        assert!(closed(&close(&t, number).await));
        always(&t, Endpoint::QueryOrder, fault);
        sweep_after(&t, 121).await;
        t.world.wechat().clear_faults();
        let once = asked(&t, Endpoint::QueryOrder);
        sweep_after(&t, 3600).await;
        assert_eq!(asked(&t, Endpoint::QueryOrder) > once, again, "{number}");
        let answered = asked(&t, Endpoint::QueryOrder);
        sweep_after(&t, 86_400).await;
        assert_eq!(asked(&t, Endpoint::QueryOrder), answered, "{number}");
    }
}

async fn a_refund_is_not_given_up_before_its_time_or_for_any_other_answer(store: Store) {
    let t = start(store).await;
    lost_refund(&t).await;
    // WeChat has none, and it may still arrive.
    sweep_after(&t, 20).await;
    assert_eq!(t.held("ORDER_1").await, 80);
    for fault in [no(), Fault::refuse_unsigned(404, "RESOURCE_NOT_EXISTS")] {
        always(&t, Endpoint::QueryRefund, fault.clone());
        sweep_after(&t, 600).await;
        assert_eq!(t.held("ORDER_1").await, 80, "{fault:?}");
        t.world.wechat().clear_faults();
    }
    sweep_after(&t, 3600).await;
    assert_eq!(t.held("ORDER_1").await, 0);
}

async fn a_transfer_is_not_given_up_before_its_time_or_for_any_other_answer(store: Store) {
    let t = start(store).await;
    always(&t, Endpoint::Transfer, Fault::DropBefore);
    always(&t, Endpoint::QueryTransfer, Fault::DropBefore);
    t.operate(TRANSFER, transfer("T1", 500)).await;
    t.world.wechat().clear_faults();
    sweep_after(&t, 20).await;
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("CREATED"));
    for fault in [no(), Fault::refuse_unsigned(404, "NOT_FOUND")] {
        always(&t, Endpoint::QueryTransfer, fault.clone());
        sweep_after(&t, 600).await;
        assert_eq!(t.transfer_state("T1").await.as_deref(), Some("CREATED"), "{fault:?}");
        t.world.wechat().clear_faults();
    }
    sweep_after(&t, 3600).await;
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("REJECTED"));
}

async fn a_refund_under_way_is_asked_about_in_its_own_rhythm(store: Store) {
    let t = start(store).await;
    paid(&t, "ORDER_1").await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100))
        .await
        .data();
    let begin = asked(&t, Endpoint::QueryRefund);
    let mut seen = Vec::new();
    // A minute after it was accepted, a minute after that, then after five.
    for seconds in [50, 15, 50, 15, 200, 120] {
        sweep_after(&t, seconds).await;
        seen.push(asked(&t, Endpoint::QueryRefund) - begin);
    }
    assert_eq!(seen, [0, 1, 1, 2, 2, 3]);
}

async fn what_the_last_run_left_open_is_due_at_once(store: Store) {
    let t = start(store).await;
    unknown(&t, "ORDER_2", Fault::ProcessThen(After::DropConnection)).await;
    paid(&t, "ORDER_1").await;
    let lost = Fault::ProcessThen(After::DropConnection);
    t.world.wechat().fault(Endpoint::Refund, lost.clone());
    t.world.wechat().fault(Endpoint::Transfer, lost);
    always(&t, Endpoint::QueryRefund, no());
    always(&t, Endpoint::QueryTransfer, no());
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100)).await;
    t.operate(TRANSFER, transfer("T1", 500)).await;
    t.world.wechat().clear_faults();
    t.service.sweep().await.unwrap();
    assert_eq!(
        t.state("ORDER_2").await.as_deref(),
        Some("CREATED"),
        "it is not due yet"
    );

    let t = t.restart().await;
    t.service.sweep().await.unwrap();
    assert_eq!(t.state("ORDER_2").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_1").await.last().unwrap(), "refund.created");
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);
}

async fn whoever_closes_an_order_of_which_nobody_knows_asks_for_it_first(store: Store) {
    let t = start(store).await;
    for (number, fault) in [
        ("ORDER_1", Fault::ProcessThen(After::DropConnection)),
        ("ORDER_2", Fault::DropBefore),
        ("ORDER_3", Fault::DropBefore),
    ] {
        unknown(&t, number, fault).await;
        if number == "ORDER_3" {
            sweep_after(&t, 60).await;
            sweep_after(&t, 60).await;
            assert_eq!(t.state(number).await.as_deref(), Some("FAILED"));
        }
        // An answer that says nothing of whose it is leaves it hers.
        always(&t, Endpoint::Prepay, no());
        assert_eq!(close(&t, number).await.failure(), (200, "UPSTREAM_REFUSED"), "{number}");
        t.world.wechat().clear_faults();
        let so_far = asked(&t, Endpoint::Prepay);
        let came = close(&t, number).await;
        assert!(closed(&came), "{number}: {came:?}");
        assert_eq!(asked(&t, Endpoint::Prepay), so_far + 1, "{number}");
        assert_eq!(t.events(number).await, ["order.created", "order.closed"], "{number}");
    }
    // What was placed before her eyes is hers without a question.
    t.placed("ORDER_4", 20).await;
    let so_far = asked(&t, Endpoint::Prepay);
    assert!(closed(&close(&t, "ORDER_4").await));
    assert_eq!(asked(&t, Endpoint::Prepay), so_far);
}

async fn a_number_that_is_used_elsewhere_is_closed_by_nobody_here(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 100).await;
    paid(&t, "ORDER_2").await;
    let t = t.with_new_books(store).await;
    unknown(&t, "ORDER_1", Fault::DropBefore).await;
    for _ in 0..2 {
        assert_eq!(close(&t, "ORDER_1").await.failure(), (403, "FORBIDDEN"));
    }
    assert_eq!(asked(&t, Endpoint::Close), 0);
    assert_eq!(t.world.wechat().order("ORDER_1").unwrap().state, TradeState::NotPay);
    let query = async |number: &str| {
        let by_number = json!({"out_trade_no": number});
        t.act("wxpay_query_order_by_out_trade_no", by_number).await
    };
    assert_eq!(query("ORDER_1").await.failure(), (403, "FORBIDDEN"), "nor seen");
    // Also when it is paid there, and is another amount than was named here.
    unknown(&t, "ORDER_2", Fault::DropBefore).await;
    assert_eq!(query("ORDER_2").await.failure(), (403, "FORBIDDEN"));
    assert_eq!(t.anomalies().await, ["amount_mismatch"]);
}

async fn the_wish_to_close_is_taken_back_by_wechats_signed_refusal_alone(store: Store) {
    let t = start(store).await;
    for (count, (fault, stays)) in [
        (no(), false),
        (Fault::refuse_unsigned(403, "NO_AUTH"), true),
        // It may be done a moment later.
        (Fault::refuse(429, "FREQUENCY_LIMITED"), true),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER_{count}");
        t.placed(&number, 20).await;
        always(&t, Endpoint::Close, fault.clone());
        assert!(!closed(&close(&t, &number).await), "{fault:?}");
        t.world.wechat().clear_faults();
        let again = t.act("wxpay_order", order(&number, 20)).await;
        assert_eq!(again.failure() == (409, "ORDER_CLOSED"), stays, "{fault:?}: {again:?}");
    }
}

async fn a_payment_that_comes_while_wechat_closes_is_not_called_closed(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 20).await;
    let held = t.world.wechat().hold(Endpoint::Close);
    let meanwhile = async {
        held.reached().await;
        let under_way = Payment {
            under_way: true,
            notify: false,
            ..Payment::default()
        };
        t.world.wechat().pay_with("ORDER_1", &under_way).unwrap();
        let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
        assert_eq!(t.notify(DIRECT_ORDER_PATH, &note).await.status, 200);
        held.release();
    };
    let (came, ()) = tokio::join!(close(&t, "ORDER_1"), meanwhile);
    assert_eq!(came.failure(), (409, "ORDER_PAID"));
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
}

async fn an_order_of_elsewhere_comes_into_the_books_as_it_stands_at_wechat(store: Store) {
    let t = start(store).await;
    paid(&t, "ORDER_1").await;
    paid(&t, "ORDER_2").await;
    t.act("wxpay_refund", refund("ORDER_2", "REFUND_2", 40, 100))
        .await
        .data();
    t.placed("ORDER_3", 100).await;
    assert!(closed(&close(&t, "ORDER_3").await));
    t.placed("ORDER_4", 100).await;
    let t = t.with_new_books(store).await;
    let payer = format!("Bearer {}", t.token_of("alice", OPENID));
    for (number, state) in [
        ("ORDER_1", "SUCCESS"),
        ("ORDER_2", "REFUND"),
        ("ORDER_3", "CLOSED"),
        ("ORDER_4", "NOTPAY"),
    ] {
        // More than there is, so that nothing else happens.
        let wanted = refund(number, &format!("{number}_R"), 1, 99);
        for who in [&payer, &format!("Bearer {}", crate::support::app::OPERATOR)] {
            let came = t.act_as(who, "wxpay_refund", wanted.clone()).await;
            assert_ne!(came.body["code"], 0, "{number}: {came:?}");
        }
        assert_eq!(t.state(number).await.as_deref(), Some(state), "{number}");
        assert!(t.events(number).await.is_empty(), "{number}: that is old news");
    }
    assert!(t.anomalies().await.is_empty());
}

async fn an_order_of_an_app_that_is_not_configured_stays_out_of_the_books(store: Store) {
    let t = start(store).await;
    let of_service = with(order("ORDER_1", 100), "useServiceAccount", json!(true));
    t.act("wxpay_order", of_service).await.data();
    let (service, mut offline) = t.part();
    service.stop().await;
    offline.database = crate::support::database::Database::fresh(store).await;
    let url = offline.database.url.clone();
    offline.set("DATABASE_URL", &url);
    offline.set("service_app_id", "");
    let t = offline.start().await;
    let came = t.operate("wxpay_refund", refund("ORDER_1", "REFUND_1", 40, 100)).await;
    assert_ne!(came.body["code"], 0, "{came:?}");
    assert_eq!(t.state("ORDER_1").await, None, "{came:?}");
    // With one app alone, what is of that one is not of another.
    paid(&t, "ORDER_2").await;
    assert_eq!(t.state("ORDER_2").await.as_deref(), Some("SUCCESS"));
}
