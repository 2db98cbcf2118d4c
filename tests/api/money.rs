//! What must hold under any number of callers at once, and after any answer that got lost.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{After, Endpoint, Fault, FaultRule, Options, RefundEnd, TradeState};
use serde_json::json;

use crate::support::app::{TestApp, order, refund};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    two_hundred_equal_callbacks_are_one_event,
    fifty_orders_of_one_number_are_one_order_and_fifty_usable_answers,
    of_twenty_refunds_of_thirty_percent_three_are_accepted,
    a_refund_that_wechat_never_had_gives_its_amount_back_and_may_come_again,
    a_refund_whose_answer_is_lost_is_found_by_asking,
    a_refund_that_is_asked_for_again_is_not_given_up_by_an_older_no_such_refund,
    a_refund_of_an_unknown_attempt_keeps_its_amount_when_the_next_is_refused,
    a_payment_that_overtakes_a_close_wins,
    a_payment_whose_callback_is_lost_is_found_by_the_sweep,
    an_order_left_unpaid_is_closed_and_never_a_paid_one,
    an_order_whose_answer_is_lost_is_settled_by_the_sweep,
    an_order_that_wechat_never_had_is_given_up_and_may_come_again,
    a_close_whose_answer_is_lost_is_repeated_by_the_sweep,
    a_stuck_refund_holds_its_amount_and_a_closed_one_gives_it_back,
    an_order_placed_elsewhere_is_refunded_for_its_payer,
);

/// Refunds end when the test says so.
fn by_hand() -> Options {
    Options {
        refund_after: None,
        ..Options::default()
    }
}

async fn two_hundred_equal_callbacks_are_one_event(store: Store) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_1", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    let forward = t.world.center().forward_of(&note).unwrap();

    let replies = join_all((0..200).map(|_| t.forward(&forward))).await;

    assert!(
        replies
            .iter()
            .all(|reply| reply.status == 200 && reply.body["code"] == "SUCCESS")
    );
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
    assert!(t.anomalies().await.is_empty());
}

async fn fifty_orders_of_one_number_are_one_order_and_fifty_usable_answers(store: Store) {
    let t = TestApp::start(store).await;

    let answers = join_all((0..50).map(|_| t.act("wxpay_order", order("ORDER_1", 20)))).await;

    let prepays: HashSet<&str> = answers
        .iter()
        .map(|answer| answer.data()["prepay_id"].as_str().unwrap())
        .collect();
    assert_eq!(prepays.len(), 1, "all of them pay the same order");
    let signatures: HashSet<&str> = answers
        .iter()
        .map(|answer| answer.data()["paySign"].as_str().unwrap())
        .collect();
    assert_eq!(signatures.len(), 50, "and each is signed afresh");
    assert_eq!(t.world.wechat().count(Endpoint::Prepay), 1);
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}

async fn of_twenty_refunds_of_thirty_percent_three_are_accepted(store: Store) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;

    let answers =
        join_all((0..20).map(|n| t.act("wxpay_refund", refund("ORDER_1", &format!("REFUND_{n}"), 30, 100)))).await;

    let accepted = answers.iter().filter(|answer| answer.body["code"] == 0).count();
    let refused = answers
        .iter()
        .filter(|answer| answer.failure() == (409, "REFUND_EXCEEDS_ORDER"))
        .count();
    assert_eq!((accepted, refused), (3, 17), "{answers:?}");
    assert_eq!(t.held("ORDER_1").await, 90);
    assert_eq!(t.world.wechat().order("ORDER_1").unwrap().refunds.len(), 3);
    assert_eq!(
        t.world.wechat().count(Endpoint::Refund),
        3,
        "WeChat is not asked for what cannot be"
    );
    let created = t
        .events("ORDER_1")
        .await
        .into_iter()
        .filter(|event| event == "refund.created")
        .count();
    assert_eq!(created, 3);
}

async fn a_refund_that_wechat_never_had_gives_its_amount_back_and_may_come_again(store: Store) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;
    t.world
        .wechat()
        .fault(Endpoint::Refund, Fault::refuse(403, "NOT_ENOUGH"));

    let refused = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100)).await;
    assert_eq!(
        (refused.status, &refused.body["data"]["data"]["code"]),
        (200, &json!("NOT_ENOUGH"))
    );
    assert_eq!(
        t.held("ORDER_1").await,
        0,
        "a signed no, and no such refund: the amount is free"
    );

    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100))
        .await
        .data();
    assert_eq!(t.held("ORDER_1").await, 80);
    let again = t.act("wxpay_refund", refund("ORDER_1", "REFUND_2", 80, 100)).await;
    assert_eq!(again.failure(), (409, "REFUND_EXCEEDS_ORDER"));
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created"]
    );
}

async fn a_refund_whose_answer_is_lost_is_found_by_asking(store: Store) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;
    t.world
        .wechat()
        .fault(Endpoint::Refund, Fault::ProcessThen(After::DropConnection));

    let answer = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100)).await;

    assert_eq!(
        answer.data()["status"],
        "PROCESSING",
        "asked for by its number, it is there"
    );
    assert_eq!(
        t.world.wechat().count(Endpoint::Refund),
        1,
        "money is not asked for twice"
    );
    assert_eq!(t.world.wechat().order("ORDER_1").unwrap().refunds.len(), 1);
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created"]
    );

    // Both the answer and the question after it are lost: the row keeps its amount, and the sweep finds out.
    t.world
        .wechat()
        .fault(Endpoint::Refund, Fault::ProcessThen(After::DropConnection));
    t.world
        .wechat()
        .add_fault(FaultRule::on(Endpoint::QueryRefund, Fault::DropBefore).times(3));
    let unknown = t.act("wxpay_refund", refund("ORDER_1", "REFUND_2", 30, 100)).await;
    assert_eq!(unknown.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(t.held("ORDER_1").await, 60);
    t.world.wechat().clear_faults();
    t.advance(Duration::from_secs(20));
    t.service.sweep().await.unwrap();
    assert_eq!(t.held("ORDER_1").await, 60);
    let created = t
        .events("ORDER_1")
        .await
        .into_iter()
        .filter(|event| event == "refund.created")
        .count();
    assert_eq!(created, 2);
}

/// A refund that WeChat has not heard of, and nobody knows it.
async fn refund_that_got_lost(t: &TestApp) {
    let wechat = t.world.wechat();
    wechat.fault(Endpoint::Refund, Fault::DropBefore);
    wechat.add_fault(FaultRule::on(Endpoint::QueryRefund, Fault::DropBefore).times(3));
    let unknown = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100)).await;
    assert_eq!(unknown.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    wechat.clear_faults();
}

async fn a_refund_that_is_asked_for_again_is_not_given_up_by_an_older_no_such_refund(store: Store) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;
    refund_that_got_lost(&t).await;
    t.advance(Duration::from_secs(61));

    // The sweep is told that there is none; before it hears that, the refund is asked for again and accepted.
    let none = t.world.wechat().hold(Endpoint::QueryRefund);
    let accepted = t.world.wechat().hold(Endpoint::Refund);
    let swept = tokio::sync::Notify::new();
    let sweep = async {
        t.service.sweep().await.unwrap();
        swept.notify_one();
    };
    let again = async {
        none.reached().await;
        let meanwhile = async {
            accepted.reached().await;
            none.release();
            swept.notified().await;
            assert_eq!(t.held("ORDER_1").await, 80, "nobody else may have what is paid back");
            accepted.release();
        };
        let asked = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100));
        tokio::join!(asked, meanwhile).0
    };
    let (again, ()) = tokio::join!(again, sweep);

    assert_eq!(again.data()["status"], "PROCESSING");
    assert_eq!(t.held("ORDER_1").await, 80);
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created"]
    );
}

async fn a_refund_of_an_unknown_attempt_keeps_its_amount_when_the_next_is_refused(store: Store) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;
    refund_that_got_lost(&t).await;

    t.world
        .wechat()
        .fault(Endpoint::Refund, Fault::refuse(403, "NOT_ENOUGH"));
    let refused = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 80, 100)).await;
    assert_eq!(refused.body["data"]["data"]["code"], "NOT_ENOUGH");
    assert_eq!(t.held("ORDER_1").await, 80, "the first attempt may still arrive");

    t.advance(Duration::from_secs(61));
    t.service.sweep().await.unwrap();
    assert_eq!(t.held("ORDER_1").await, 0, "it did not");
}

async fn a_payment_that_overtakes_a_close_wins(store: Store) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_1", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();

    let answer = t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;

    assert_eq!(answer.failure(), (409, "ORDER_PAID"));
    assert_eq!(answer.body["data"], json!({"error": "ORDER_PAID"}));
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);

    // And one that is told of only after the close was done here: real money, and a person hears of it.
    t.placed("ORDER_2", 20).await;
    let held = t.world.wechat().order("ORDER_2").unwrap();
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_2"})).await;
    assert_eq!(t.state("ORDER_2").await.as_deref(), Some("CLOSED"));
    let note = t
        .world
        .wechat()
        .payment_notification_with("ORDER_1", |note| {
            note.resource["out_trade_no"] = json!(held.out_trade_no);
            note.resource["transaction_id"] = json!("4200000000000000000000000002");
        })
        .unwrap();
    let reply = t.forward(&t.world.center().forward_of(&note).unwrap()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(t.state("ORDER_2").await.as_deref(), Some("SUCCESS"));
    assert_eq!(
        t.events("ORDER_2").await,
        ["order.created", "order.closed", "order.paid"]
    );
    assert_eq!(t.anomalies().await, ["paid_after_close"]);
}

async fn a_payment_whose_callback_is_lost_is_found_by_the_sweep(store: Store) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_1", 20).await;
    t.world.wechat().pay("ORDER_1").unwrap();

    t.advance(Duration::from_secs(16));
    t.service.sweep().await.unwrap();

    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
    let queries = t.world.wechat().count(Endpoint::QueryOrder);
    t.advance(Duration::from_secs(24 * 3600));
    t.service.sweep().await.unwrap();
    assert_eq!(
        t.world.wechat().count(Endpoint::QueryOrder),
        queries,
        "there is nothing left to ask"
    );
}

async fn an_order_left_unpaid_is_closed_and_never_a_paid_one(store: Store) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_1", 20).await;
    t.placed("ORDER_2", 20).await;
    t.advance(Duration::from_secs(599));
    t.service.sweep().await.unwrap();
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));

    t.world.wechat().pay("ORDER_2").unwrap();
    t.advance(Duration::from_secs(600));
    t.service.sweep().await.unwrap();

    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.closed"]);
    assert_eq!(t.world.wechat().order("ORDER_1").unwrap().state, TradeState::Closed);
    assert_eq!(t.events("ORDER_2").await, ["order.created", "order.paid"]);
    let again = t.act("wxpay_order", order("ORDER_1", 20)).await;
    assert_eq!(again.failure(), (409, "ORDER_CLOSED"));
}

async fn an_order_whose_answer_is_lost_is_settled_by_the_sweep(store: Store) {
    let t = TestApp::start(store).await;
    t.world
        .wechat()
        .add_fault(FaultRule::on(Endpoint::Prepay, Fault::ProcessThen(After::DropConnection)).times(3));
    let unknown = t.act("wxpay_order", order("ORDER_1", 20)).await;
    assert_eq!(unknown.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(
        unknown.body["data"],
        json!({"error": "UPSTREAM_UNAVAILABLE", "retryable": true})
    );
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("CREATED"));
    assert!(t.events("ORDER_1").await.is_empty());

    t.advance(Duration::from_secs(16));
    t.service.sweep().await.unwrap();

    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
    t.act("wxpay_order", order("ORDER_1", 20)).await.data();
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}

async fn an_order_that_wechat_never_had_is_given_up_and_may_come_again(store: Store) {
    let t = TestApp::start(store).await;
    t.world
        .wechat()
        .add_fault(FaultRule::on(Endpoint::Prepay, Fault::DropBefore).times(3));
    t.act("wxpay_order", order("ORDER_1", 20)).await;

    for _ in 0..2 {
        t.advance(Duration::from_secs(60));
        t.service.sweep().await.unwrap();
    }
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("FAILED"));
    assert!(t.events("ORDER_1").await.is_empty());

    t.act("wxpay_order", order("ORDER_1", 20)).await.data();
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}

async fn a_close_whose_answer_is_lost_is_repeated_by_the_sweep(store: Store) {
    let t = TestApp::start(store).await;
    t.placed("ORDER_1", 20).await;
    t.world
        .wechat()
        .add_fault(FaultRule::on(Endpoint::Close, Fault::ProcessThen(After::BadSignature)).times(1));
    let unknown = t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(unknown.failure(), (502, "UPSTREAM_SIGNATURE_INVALID"));
    assert_eq!(
        t.state("ORDER_1").await.as_deref(),
        Some("NOTPAY"),
        "an unproven yes closes nothing"
    );

    t.advance(Duration::from_secs(16));
    t.service.sweep().await.unwrap();
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.closed"]);
    let again = t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!((again.status, &again.body["data"]), (200, &json!({"status": 204})));
}

async fn a_stuck_refund_holds_its_amount_and_a_closed_one_gives_it_back(store: Store) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 60, 100))
        .await
        .data();
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_2", 40, 100))
        .await
        .data();
    let asked = |number| t.act("wxpay_refund_query", json!({"out_refund_no": number}));

    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Abnormal).unwrap();
    assert_eq!(asked("REFUND_1").await.data()["status"], "ABNORMAL");
    assert_eq!(t.held("ORDER_1").await, 100);
    t.world.wechat().finish_refund("REFUND_2", RefundEnd::Closed).unwrap();
    assert_eq!(asked("REFUND_2").await.data()["status"], "CLOSED");
    assert_eq!(t.held("ORDER_1").await, 60);
    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    assert_eq!(asked("REFUND_1").await.data()["status"], "SUCCESS");
    assert_eq!(t.held("ORDER_1").await, 60);
    assert_eq!(
        t.events("ORDER_1").await[2..],
        [
            "refund.created",
            "refund.created",
            "refund.abnormal",
            "refund.closed",
            "refund.succeeded"
        ]
    );
}

async fn an_order_placed_elsewhere_is_refunded_for_its_payer(store: Store) {
    // The books are new; WeChat has the order from the time before.
    let before = TestApp::start(store).await;
    before.paid("ORDER_1", 100).await;
    let t = before.with_new_books(store).await;
    assert_eq!(t.state("ORDER_1").await, None);

    let stranger = t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100)).await;
    assert_eq!(
        stranger.failure(),
        (403, "FORBIDDEN"),
        "alice's token does not say that she is the payer"
    );
    let payer = format!("Bearer {}", t.token_of("alice", crate::support::app::OPENID));
    t.act_as(&payer, "wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100))
        .await
        .data();
    assert_eq!(t.held("ORDER_1").await, 30);
    assert!(
        t.events("ORDER_1").await.starts_with(&["refund.created".to_owned()]),
        "nobody is told of a payment twice"
    );
}
