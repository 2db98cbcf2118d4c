//! More money back than was paid.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{After, Endpoint, Fault, FaultRule, RefundEnd};
use serde_json::json;

use super::chosen::no_amounts;
use super::standing::{MALLORY, by_hand};
use crate::case::{Tried, cases};
use crate::support::app::{OPERATOR, TestApp, refund};
use crate::support::body::{with, without};
use crate::support::database::Store;

cases!(Attack:
    parts_that_are_more_than_the_whole => "more refunded than was paid, in parts",
    parallel_refunds_by_owner_and_operator => "more refunded than was paid, by being quick",
    refunds_past_the_total_while_wechat_fails => "more refunded than was paid, while nobody knows what WeChat did",
    a_refund_amount_that_is_none => "a refund of nothing, of less than nothing, or of everything",
    a_refund_under_another_total_number_or_order => "a refund reckoned on another total",
    a_refund_number_used_again_for_more => "two refunds under one number",
);

/// What WeChat was really made to pay back, in fen.
fn at_wechat(t: &TestApp, order: &str) -> i64 {
    let order = t.world.wechat().order(order).unwrap();
    let refunds = order
        .refunds
        .iter()
        .filter_map(|number| t.world.wechat().refund(number));
    refunds.map(|refund| refund.refund).sum()
}

/// The parts never exceed the whole, here and at WeChat.
#[track_caller]
fn assert_within(t: &TestApp, order: &str, held: i64, total: i64) {
    let paid_back = at_wechat(t, order);
    assert!(
        held <= total && paid_back <= held,
        "{order}: {paid_back} of {held} of {total}"
    );
}

async fn parts_that_are_more_than_the_whole(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    for (count, parts) in [
        vec![100, 1],
        vec![99, 2],
        vec![50, 50, 1],
        vec![60, 60],
        vec![1, 100],
        vec![34, 33, 33, 1, 100],
        vec![1, 1, 1, 98, 97, 2],
    ]
    .into_iter()
    .enumerate()
    {
        let order = format!("ORDER_{count}");
        t.paid(&order, 100).await;
        let mut left = 100;
        for (index, part) in parts.into_iter().enumerate() {
            let number = format!("REFUND_{count}_{index}");
            let came = t.act("wxpay_refund", refund(&order, &number, part, 100)).await;
            if part <= left {
                came.data();
                left -= part;
                // One that is done holds its amount still.
                t.world.wechat().finish_refund(&number, RefundEnd::Success).unwrap();
            } else {
                assert_eq!(came.failure(), (409, "REFUND_EXCEEDS_ORDER"), "{came:?}");
                assert!(t.world.wechat().refund(&number).is_none());
            }
            assert_eq!((t.held(&order).await, at_wechat(&t, &order)), (100 - left, 100 - left));
            tried.once();
        }
    }
}

async fn parallel_refunds_by_owner_and_operator(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    let (alice, operator) = (t.bearer("alice"), format!("Bearer {OPERATOR}"));
    for (round, part) in [30, 51, 100, 1, 34].into_iter().enumerate() {
        let order = format!("ORDER_{round}");
        t.paid(&order, 100).await;
        // Each number is asked for by both, and some twice: that is one refund.
        let answers = join_all((0..24).map(|n| {
            let who = if n % 2 == 0 { &alice } else { &operator };
            t.act_as(
                who,
                "wxpay_refund",
                refund(&order, &format!("R_{round}_{}", n / 3), part, 100),
            )
        }))
        .await;
        for came in &answers {
            let fine = came.body["code"] == 0 || came.failure() == (409, "REFUND_EXCEEDS_ORDER");
            assert!(fine, "{came:?}");
        }
        let most = 8.min(100 / part) * part;
        assert_eq!(
            (t.held(&order).await, at_wechat(&t, &order)),
            (most, most),
            "round {round}"
        );
        let created = t
            .events(&order)
            .await
            .iter()
            .filter(|event| *event == "refund.created")
            .count();
        assert_eq!(created, usize::try_from(most / part).unwrap());
        tried.times(answers.len());
    }
}

async fn refunds_past_the_total_while_wechat_fails(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    let (alice, operator) = (t.bearer("alice"), format!("Bearer {OPERATOR}"));
    let wechat = t.world.wechat();
    for (round, fault) in [
        Fault::DropBefore,
        Fault::ProcessThen(After::DropConnection),
        Fault::ProcessThen(After::BadSignature),
        Fault::ProcessThen(After::NoSignature),
        Fault::ProcessThen(After::WrongSerial),
        Fault::ProcessThen(After::SignTest),
        Fault::ProcessThen(After::Garbage),
        Fault::ProcessThen(After::Status(500)),
        Fault::ProcessThen(After::Status(200)),
        Fault::refuse(500, "SYSTEM_ERROR"),
        Fault::refuse(429, "FREQUENCY_LIMITED"),
        Fault::refuse(403, "NOT_ENOUGH"),
        Fault::refuse_unsigned(403, "NOT_ENOUGH"),
        Fault::refuse_unsigned(404, "RESOURCE_NOT_EXISTS"),
        Fault::refuse(400, "INVALID_REQUEST"),
    ]
    .into_iter()
    .enumerate()
    {
        let order = format!("ORDER_{round}");
        t.paid(&order, 100).await;
        // The question that follows fails as well, so that nobody knows what became of the first.
        wechat.add_fault(FaultRule::on(Endpoint::Refund, fault.clone()).times(4));
        wechat.add_fault(FaultRule::on(Endpoint::QueryRefund, Fault::DropBefore).times(6));
        for repeat in 0..3 {
            let answers = join_all((0..6).map(|n| {
                let who = if (n + repeat) % 2 == 0 { &alice } else { &operator };
                t.act_as(
                    who,
                    "wxpay_refund",
                    refund(&order, &format!("R_{round}_{}", n % 3), 60, 100),
                )
            }))
            .await;
            for came in &answers {
                assert_within(&t, &order, t.held(&order).await, 100);
                assert!(came.status < 600, "{came:?}");
                tried.once();
            }
        }
        wechat.clear_faults();
        for _ in 0..3 {
            t.advance(Duration::from_secs(61));
            t.service.sweep().await.unwrap();
            assert_within(&t, &order, t.held(&order).await, 100);
        }
        // And once WeChat answers again, exactly one of them is possible.
        for n in 0..3 {
            t.act_as(
                &operator,
                "wxpay_refund",
                refund(&order, &format!("R_{round}_{n}"), 60, 100),
            )
            .await;
        }
        assert_eq!(
            (t.held(&order).await, at_wechat(&t, &order)),
            (60, 60),
            "round {round}: {fault:?}"
        );
        assert_eq!(wechat.order(&order).unwrap().refunds.len(), 1, "round {round}");
    }
}

async fn a_refund_amount_that_is_none(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 777).await;
    let before = t.standing().await;
    let operator = format!("Bearer {OPERATOR}");
    for amount in no_amounts() {
        for (refund_amount, total) in [(333, 777), (777, 333)] {
            let body = refund("ORDER_1", "REFUND_1", refund_amount, total).to_string();
            let body = body.replace("333", amount);
            for who in [&t.bearer("alice"), &operator] {
                let came = t
                    .post("/wx-pay/wxpay_refund", &[("authorization", who)], body.clone())
                    .await;
                assert_eq!(came.status, 400, "{body}: {came:?}");
                assert_eq!(t.standing().await, before, "{body}");
                tried.once();
            }
        }
    }
}

async fn a_refund_under_another_total_number_or_order(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;
    t.paid("ORDER_DEAR", 10_000).await;
    t.placed("ORDER_OPEN", 100).await;
    let ids: Vec<_> = ["ORDER_1", "ORDER_DEAR"]
        .iter()
        .map(|number| t.world.wechat().payment_notification(number).unwrap())
        .map(|note| t.world.center().forward_of(&note).unwrap().body["ParsedContent"]["transaction_id"].clone())
        .collect();
    let before = t.standing().await;
    let by_id = |id: usize, amount, total| {
        with(
            without(refund("ORDER_1", "REFUND_1", amount, total), "out_trade_no"),
            "transaction_id",
            ids[id].clone(),
        )
    };
    for (body, about) in [
        (refund("ORDER_1", "REFUND_1", 100, 10_000), "a larger total"),
        (refund("ORDER_1", "REFUND_1", 101, 101), "one fen more"),
        (refund("ORDER_1", "REFUND_1", 50, 99), "a smaller total"),
        (refund("ORDER_1", "REFUND_1", 101, 100), "more than the total"),
        (refund("ORDER_1", "REFUND_1", 10_000, 10_000), "another order's total"),
        (refund("ORDER_OPEN", "REFUND_1", 100, 100), "an order that nobody paid"),
        (refund("ORDER_NONE", "REFUND_1", 100, 100), "an order that is none"),
        (by_id(0, 100, 10_000), "another total by WeChat's number"),
        (
            with(by_id(1, 10_000, 10_000), "out_trade_no", json!("ORDER_1")),
            "two orders",
        ),
        (
            with(by_id(0, 100, 100), "out_trade_no", json!("ORDER_DEAR")),
            "two orders, the other way",
        ),
        (
            with(by_id(0, 100, 100), "out_trade_no", json!("ORDER_NONE")),
            "one that is none",
        ),
        (
            with(
                by_id(0, 1, 100),
                "transaction_id",
                json!("4200000000000000000000000009"),
            ),
            "no such payment",
        ),
        (
            with(refund("ORDER_1", "REFUND_1", 1, 100), "amount.currency", json!("JPY")),
            "another currency",
        ),
    ] {
        for who in [t.bearer("alice"), format!("Bearer {OPERATOR}")] {
            let came = t.act_as(&who, "wxpay_refund", body.clone()).await;
            assert_ne!(came.body["code"], 0, "{about}: {came:?}");
            assert_eq!(t.standing().await, before, "{about}");
            tried.once();
        }
    }
    let came = t
        .act_as(
            &t.bearer(MALLORY),
            "wxpay_refund",
            refund("ORDER_1", "REFUND_1", 1, 100),
        )
        .await;
    assert_eq!(came.failure(), (403, "FORBIDDEN"));
    assert_eq!(t.standing().await, before);
    tried.once();
}

async fn a_refund_number_used_again_for_more(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100).await;
    t.paid("ORDER_2", 100).await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100))
        .await
        .data();
    let end = [None, Some(RefundEnd::Abnormal), Some(RefundEnd::Success)];
    for end in end {
        if let Some(end) = end {
            t.world.wechat().finish_refund("REFUND_1", end).unwrap();
            t.act("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"}))
                .await
                .data();
        }
        let before = t.standing().await;
        for (body, about) in [
            (refund("ORDER_1", "REFUND_1", 31, 100), "more"),
            (refund("ORDER_1", "REFUND_1", 29, 100), "less"),
            (refund("ORDER_1", "REFUND_1", 100, 100), "everything"),
            (refund("ORDER_2", "REFUND_1", 30, 100), "another order"),
            (
                with(refund("ORDER_1", "REFUND_1", 30, 100), "reason", json!("another")),
                "another reason",
            ),
        ] {
            let came = t.act("wxpay_refund", body).await;
            assert_eq!(came.failure(), (409, "REFUND_PARAMS_MISMATCH"), "{about}: {came:?}");
            assert_eq!(t.standing().await, before, "{about}");
            tried.once();
        }
        for _ in 0..5 {
            t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100))
                .await
                .data();
            assert_eq!(t.standing().await, before, "the same again is the same refund");
            tried.once();
        }
    }
}
