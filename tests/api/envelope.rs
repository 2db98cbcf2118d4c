//! What an answer looks like when WeChat says no, when the number is used up, and when nobody knows what WeChat said; and that the same
//! call, made again, always ends with one order, one refund and one event.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{After, Endpoint, Fault, FaultRule, Options, Seen};
use serde_json::{Value, json};

use crate::support::app::{Came, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    a_success_has_wechats_status_and_json,
    a_refusal_of_wechat_is_passed_on_in_its_own_words,
    a_refused_order_may_be_asked_for_again,
    a_refused_refund_gives_its_amount_back,
    a_refusal_that_nobody_signed_changes_nothing_in_the_books,
    a_number_that_is_used_up_is_a_conflict,
    a_conflict_asks_wechat_for_no_money,
    an_order_without_a_usable_answer_may_be_placed_again,
    a_refund_without_a_usable_answer_keeps_its_hold_and_may_be_asked_for_again,
    a_refund_whose_answer_got_lost_is_found_by_its_number,
    a_query_or_close_without_a_usable_answer_may_be_repeated,
    an_answer_that_does_not_come_in_time_is_a_time_out,
    one_bad_answer_to_an_order_is_asked_again_by_itself,
    after_a_restart_the_same_calls_still_end_with_one_order_and_one_refund,
);

const QUERY: &str = "wxpay_query_order_by_out_trade_no";
const CLOSE: &str = "wxpay_close_order";
const REFUND: &str = "wxpay_refund";
const REFUND_QUERY: &str = "wxpay_refund_query";

/// More tries than any call makes.
const ALWAYS: u32 = 100;

async fn start(store: Store, settings: &[(&str, &str)]) -> TestApp {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    TestApp::start_with(store, options, settings).await
}

/// Every request at this endpoint that names `about` meets the fault, until `clear_faults`.
fn breaks(t: &TestApp, endpoint: Endpoint, about: &str, fault: &Fault) {
    t.world
        .wechat()
        .add_fault(FaultRule::on(endpoint, fault.clone()).times(ALWAYS).about(about));
}

#[track_caller]
fn assert_refused_by_wechat(came: &Came, status: u16, code: &str) {
    assert_eq!(came.failure(), (200, "UPSTREAM_REFUSED"), "{came:?}");
    assert_eq!(came.body["code"], -1, "{came:?}");
    let data = &came.body["data"];
    assert_eq!(
        (&data["status"], &data["data"]["code"]),
        (&json!(status), &json!(code)),
        "{came:?}"
    );
    assert_eq!(came.body["msg"], data["data"]["message"], "{came:?}");
    assert!(!came.body["msg"].as_str().unwrap().is_empty(), "{came:?}");
    assert!(!data["request_id"].as_str().unwrap().is_empty(), "{came:?}");
}

#[track_caller]
fn assert_conflict(came: &Came, error: &str, about: &str) {
    assert_eq!(came.failure(), (409, error), "{about}: {came:?}");
    assert_eq!(came.body["code"], -1, "{about}");
    assert_eq!(came.body["data"], json!({"error": error}), "{about}");
    assert!(!came.body["msg"].as_str().unwrap().is_empty(), "{about}");
}

#[track_caller]
fn assert_no_usable_answer(came: &Came, status: u16, error: &str, about: &str) {
    assert_eq!(came.failure(), (status, error), "{about}: {came:?}");
    assert_eq!(came.body["code"], -1, "{about}");
    assert_eq!(came.body["data"], json!({"error": error, "retryable": true}), "{about}");
    assert!(!came.body["msg"].as_str().unwrap().is_empty(), "{about}");
}

/// Every way in which an answer is of no use, with what the caller is told.
fn unusable_answers() -> Vec<(Fault, u16, &'static str)> {
    let (unavailable, unproven) = ("UPSTREAM_UNAVAILABLE", "UPSTREAM_SIGNATURE_INVALID");
    vec![
        (Fault::DropBefore, 502, unavailable),
        (Fault::ProcessThen(After::DropConnection), 502, unavailable),
        (Fault::ProcessThen(After::Garbage), 502, unavailable),
        (Fault::ProcessThen(After::Status(500)), 502, unavailable),
        (Fault::ProcessThen(After::Status(503)), 502, unavailable),
        (Fault::ProcessThen(After::Status(404)), 502, unavailable),
        (Fault::ProcessThen(After::Status(302)), 502, unavailable),
        (Fault::refuse(500, "SYSTEM_ERROR"), 502, unavailable),
        (Fault::refuse(502, "BANK_ERROR"), 502, unavailable),
        (Fault::ProcessThen(After::BadSignature), 502, unproven),
        (Fault::ProcessThen(After::NoSignature), 502, unproven),
        (Fault::ProcessThen(After::WrongSerial), 502, unproven),
        (Fault::ProcessThen(After::SignTest), 502, unproven),
    ]
}

async fn a_success_has_wechats_status_and_json(store: Store) {
    let t = start(store, &[]).await;
    let placed = t.act("wxpay_order", order("ORDER_1", 100)).await;
    let mut members: Vec<&String> = placed.body.as_object().unwrap().keys().collect();
    members.sort_unstable();
    assert_eq!(members, ["code", "data", "msg"]);
    assert_eq!(
        (&placed.body["msg"], &placed.body["data"]["status"]),
        (&json!("success"), &json!(200))
    );
    let mut bridge: Vec<&String> = placed.data().as_object().unwrap().keys().collect();
    bridge.sort_unstable();
    assert_eq!(
        bridge,
        [
            "appId",
            "nonceStr",
            "package",
            "paySign",
            "prepay_id",
            "signType",
            "timeStamp"
        ]
    );
    let time = placed.data()["timeStamp"].as_str().unwrap();
    assert!(
        time.len() == 10 && time.bytes().all(|byte| byte.is_ascii_digit()),
        "{time}"
    );

    let closed = t.act(CLOSE, json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(closed.status, 200);
    assert_eq!(
        closed.body,
        json!({"code": 0, "msg": "success", "data": {"status": 204}})
    );
    let again = t.act(CLOSE, json!({"out_trade_no": "ORDER_1"})).await;
    assert_eq!(again.body, closed.body);
}

async fn a_refusal_of_wechat_is_passed_on_in_its_own_words(store: Store) {
    let t = start(store, &[]).await;
    t.paid("PAID_1", 100).await;
    t.placed("OPEN_1", 100).await;
    t.act(REFUND, refund("PAID_1", "REFUND_1", 10, 100)).await.data();
    for (endpoint, action, body) in [
        (Endpoint::Prepay, "wxpay_order", order("ORDER_1", 100)),
        (Endpoint::QueryOrder, QUERY, json!({"out_trade_no": "OPEN_1"})),
        (Endpoint::Close, CLOSE, json!({"out_trade_no": "OPEN_1"})),
        (Endpoint::Refund, REFUND, refund("PAID_1", "REFUND_2", 10, 100)),
        (
            Endpoint::QueryRefund,
            REFUND_QUERY,
            json!({"out_refund_no": "REFUND_1"}),
        ),
    ] {
        for (status, code) in [
            (400, "PARAM_ERROR"),
            (403, "NO_AUTH"),
            (403, "RULE_LIMIT"),
            (429, "FREQUENCY_LIMITED"),
        ] {
            breaks(&t, endpoint, "", &Fault::refuse(status, code));
            let came = t.act(action, body.clone()).await;
            t.world.wechat().clear_faults();
            assert_refused_by_wechat(&came, status, code);
            assert_eq!(came.body["msg"], format!("sandbox: {code}"), "{action}");
        }
    }
    // What WeChat itself says of what it does not know.
    let unknown = t.act(QUERY, json!({"out_trade_no": "NEVER_1"})).await;
    assert_refused_by_wechat(&unknown, 404, "ORDER_NOT_EXIST");
    let unknown = t.act(REFUND_QUERY, json!({"out_refund_no": "NEVER_1"})).await;
    assert_refused_by_wechat(&unknown, 404, "RESOURCE_NOT_EXISTS");
}

async fn a_refused_order_may_be_asked_for_again(store: Store) {
    let t = start(store, &[]).await;
    t.world.wechat().fault(Endpoint::Prepay, Fault::refuse(403, "NO_AUTH"));
    let came = t.act("wxpay_order", order("ORDER_1", 100)).await;
    assert_refused_by_wechat(&came, 403, "NO_AUTH");
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("FAILED"));
    assert!(t.events("ORDER_1").await.is_empty());
    t.act("wxpay_order", order("ORDER_1", 100)).await.data();
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}

async fn a_refused_refund_gives_its_amount_back(store: Store) {
    let t = start(store, &[]).await;
    t.paid("ORDER_1", 100).await;
    t.world.wechat().set_balance(Some(5));
    let came = t.act(REFUND, refund("ORDER_1", "REFUND_1", 100, 100)).await;
    assert_refused_by_wechat(&came, 403, "NOT_ENOUGH");
    assert_eq!(t.held("ORDER_1").await, 0);
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);

    t.world.wechat().set_balance(None);
    t.act(REFUND, refund("ORDER_1", "REFUND_1", 100, 100)).await.data();
    assert_eq!(t.held("ORDER_1").await, 100);
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created"]
    );
}

async fn a_refusal_that_nobody_signed_changes_nothing_in_the_books(store: Store) {
    let t = start(store, &[]).await;
    t.world
        .wechat()
        .fault(Endpoint::Prepay, Fault::refuse_unsigned(404, "ORDER_NOT_EXIST"));
    let came = t.act("wxpay_order", order("ORDER_1", 100)).await;
    assert_refused_by_wechat(&came, 404, "ORDER_NOT_EXIST");
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("CREATED"));

    t.paid("ORDER_2", 100).await;
    t.world
        .wechat()
        .fault(Endpoint::Refund, Fault::refuse_unsigned(403, "NOT_ENOUGH"));
    let came = t.act(REFUND, refund("ORDER_2", "REFUND_1", 30, 100)).await;
    assert_refused_by_wechat(&came, 403, "NOT_ENOUGH");
    assert_eq!(t.held("ORDER_2").await, 30);

    t.placed("ORDER_3", 100).await;
    t.world
        .wechat()
        .fault(Endpoint::Close, Fault::refuse_unsigned(404, "ORDER_NOT_EXIST"));
    let came = t.act(CLOSE, json!({"out_trade_no": "ORDER_3"})).await;
    assert_refused_by_wechat(&came, 404, "ORDER_NOT_EXIST");
    assert_eq!(t.state("ORDER_3").await.as_deref(), Some("NOTPAY"));

    // An unsigned yes is none.
    t.placed("ORDER_4", 100).await;
    t.world
        .wechat()
        .fault(Endpoint::Close, Fault::ProcessThen(After::NoSignature));
    let came = t.act(CLOSE, json!({"out_trade_no": "ORDER_4"})).await;
    assert_no_usable_answer(&came, 502, "UPSTREAM_SIGNATURE_INVALID", "an unsigned 204");
    assert_eq!(t.state("ORDER_4").await.as_deref(), Some("NOTPAY"));
}

async fn a_number_that_is_used_up_is_a_conflict(store: Store) {
    let t = start(store, &[]).await;
    t.placed("OPEN_1", 100).await;
    t.placed("CLOSED_1", 100).await;
    t.act(CLOSE, json!({"out_trade_no": "CLOSED_1"})).await;
    t.paid("PAID_1", 100).await;
    t.paid("REFUNDED_1", 100).await;
    t.act(REFUND, refund("REFUNDED_1", "REFUND_1", 30, 100)).await.data();
    let paid_id = t.world.wechat().order("PAID_1").unwrap().transaction_id.unwrap();

    for (action, body, error) in [
        ("wxpay_order", order("OPEN_1", 101), "ORDER_PARAMS_MISMATCH"),
        (
            "wxpay_order",
            with(order("OPEN_1", 100), "description", json!("Another product")),
            "ORDER_PARAMS_MISMATCH",
        ),
        (
            "wxpay_order",
            with(order("OPEN_1", 100), "payer.openid", json!("o_other")),
            "ORDER_PARAMS_MISMATCH",
        ),
        (
            "wxpay_order",
            with(order("OPEN_1", 100), "useServiceAccount", json!(true)),
            "ORDER_PARAMS_MISMATCH",
        ),
        (
            "wxpay_order",
            with(order("OPEN_1", 100), "attach", json!("x")),
            "ORDER_PARAMS_MISMATCH",
        ),
        ("wxpay_order", order("PAID_1", 101), "ORDER_PARAMS_MISMATCH"),
        ("wxpay_order", order("PAID_1", 100), "ORDER_PAID"),
        ("wxpay_order", order("REFUNDED_1", 100), "ORDER_REFUNDED"),
        ("wxpay_order", order("CLOSED_1", 100), "ORDER_CLOSED"),
        (CLOSE, json!({"out_trade_no": "PAID_1"}), "ORDER_PAID"),
        (CLOSE, json!({"out_trade_no": "REFUNDED_1"}), "ORDER_REFUNDED"),
        (REFUND, refund("OPEN_1", "REFUND_2", 10, 100), "ORDER_NOT_PAID"),
        (REFUND, refund("CLOSED_1", "REFUND_2", 10, 100), "ORDER_NOT_PAID"),
        (
            REFUND,
            refund("REFUNDED_1", "REFUND_2", 71, 100),
            "REFUND_EXCEEDS_ORDER",
        ),
        (
            REFUND,
            refund("REFUNDED_1", "REFUND_1", 31, 100),
            "REFUND_PARAMS_MISMATCH",
        ),
        (
            REFUND,
            with(refund("REFUNDED_1", "REFUND_1", 30, 100), "reason", json!("x")),
            "REFUND_PARAMS_MISMATCH",
        ),
        (REFUND, refund("PAID_1", "REFUND_1", 30, 100), "REFUND_PARAMS_MISMATCH"),
        (
            REFUND,
            with(
                refund("REFUNDED_1", "REFUND_2", 10, 100),
                "transaction_id",
                json!(paid_id),
            ),
            "REFUND_PARAMS_MISMATCH",
        ),
    ] {
        let about = format!("{action} {body}");
        assert_conflict(&t.act(action, body).await, error, &about);
    }
    assert_eq!(t.held("REFUNDED_1").await, 30);
    assert_eq!(t.held("PAID_1").await, 0);
    assert_eq!(t.world.wechat().count(Endpoint::Refund), 1);
    assert_eq!(t.world.wechat().order("OPEN_1").unwrap().total, 100);

    // All that is left, and then nothing more.
    t.act(REFUND, refund("REFUNDED_1", "REFUND_2", 70, 100)).await.data();
    let came = t.act(REFUND, refund("REFUNDED_1", "REFUND_3", 1, 100)).await;
    assert_conflict(&came, "REFUND_EXCEEDS_ORDER", "the order is refunded in full");
}

async fn a_conflict_asks_wechat_for_no_money(store: Store) {
    let t = start(store, &[]).await;
    // Paid, and nobody told us: WeChat's own refusal is looked into.
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_1", 100).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    let came = t.act(CLOSE, json!({"out_trade_no": "ORDER_1"})).await;
    assert_conflict(&came, "ORDER_PAID", "a close of an order that was paid meanwhile");
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);

    t.placed("ORDER_2", 100).await;
    t.world.wechat().pay("ORDER_2").unwrap();
    t.advance(Duration::from_mins(115));
    let came = t.act("wxpay_order", order("ORDER_2", 100)).await;
    assert_conflict(
        &came,
        "ORDER_PAID",
        "a new prepay id for an order that was paid meanwhile",
    );
    assert_eq!(t.events("ORDER_2").await, ["order.created", "order.paid"]);
    assert_eq!(t.world.wechat().count(Endpoint::Refund), 0);
}

async fn an_order_without_a_usable_answer_may_be_placed_again(store: Store) {
    let t = start(store, &[]).await;
    // All at once, because each of them waits between its tries.
    let cases = unusable_answers().into_iter().enumerate().map(async |(count, case)| {
        let (number, (fault, status, error)) = (format!("ORDER_{count:02}"), case);
        breaks(&t, Endpoint::Prepay, &number, &fault);
        let came = t.act("wxpay_order", order(&number, 100)).await;
        let about = format!("{fault:?}");
        assert_no_usable_answer(&came, status, error, &about);
        assert_eq!(t.state(&number).await.as_deref(), Some("CREATED"), "{about}");
        assert!(t.events(&number).await.is_empty(), "{about}");
        (number, about)
    });
    let broken = join_all(cases).await;
    t.world.wechat().clear_faults();
    for (number, about) in broken {
        let placed = t.act("wxpay_order", order(&number, 100)).await;
        let at_wechat = t.world.wechat().order(&number).unwrap();
        assert_eq!(placed.data()["prepay_id"], at_wechat.prepay_id, "{about}");
        assert_eq!(t.state(&number).await.as_deref(), Some("NOTPAY"), "{about}");
        assert_eq!(t.events(&number).await, ["order.created"], "{about}");
    }
}

async fn a_refund_without_a_usable_answer_keeps_its_hold_and_may_be_asked_for_again(store: Store) {
    let t = start(store, &[]).await;
    let cases = unusable_answers().into_iter().enumerate().map(async |(count, case)| {
        let (number, refund_number) = (format!("ORDER_{count:02}"), format!("REFUND_{count:02}"));
        let (fault, status, error) = case;
        t.paid(&number, 100).await;
        breaks(&t, Endpoint::Refund, &refund_number, &fault);
        breaks(&t, Endpoint::QueryRefund, &refund_number, &fault);
        let came = t.act(REFUND, refund(&number, &refund_number, 60, 100)).await;
        let about = format!("{fault:?}");
        assert_no_usable_answer(&came, status, error, &about);
        assert_eq!(t.held(&number).await, 60, "{about}");
        assert_eq!(t.events(&number).await, ["order.created", "order.paid"], "{about}");

        // What may be under way counts: another one of 60 would be more than the order.
        let another = t.act(REFUND, refund(&number, "ANOTHER", 60, 100)).await;
        assert_conflict(&another, "REFUND_EXCEEDS_ORDER", &about);
        (number, refund_number, about)
    });
    let broken = join_all(cases).await;
    t.world.wechat().clear_faults();
    for (number, refund_number, about) in broken {
        let again = t.act(REFUND, refund(&number, &refund_number, 60, 100)).await;
        assert_eq!(again.data()["out_refund_no"], refund_number, "{about}");
        assert_eq!(t.held(&number).await, 60, "{about}");
        let at_wechat = t.world.wechat().order(&number).unwrap();
        assert_eq!(at_wechat.refunds, [refund_number], "{about}");
        let events = t.events(&number).await;
        assert_eq!(events, ["order.created", "order.paid", "refund.created"], "{about}");
    }
}

async fn a_refund_whose_answer_got_lost_is_found_by_its_number(store: Store) {
    let t = start(store, &[]).await;
    for (count, after) in [
        After::DropConnection,
        After::Garbage,
        After::Status(500),
        After::BadSignature,
        After::NoSignature,
        After::WrongSerial,
        After::SignTest,
    ]
    .into_iter()
    .enumerate()
    {
        let (number, refund_number) = (format!("ORDER_{count}"), format!("REFUND_{count}"));
        t.paid(&number, 100).await;
        let applied = t.world.wechat().count(Endpoint::Refund);
        t.world.wechat().fault(Endpoint::Refund, Fault::ProcessThen(after));
        let came = t.act(REFUND, refund(&number, &refund_number, 60, 100)).await;
        assert_eq!(came.data()["out_refund_no"], refund_number, "{after:?}");
        assert_eq!(
            t.world.wechat().count(Endpoint::Refund),
            applied + 1,
            "{after:?}: money is not asked for twice"
        );
        assert_eq!(
            t.events(&number).await,
            ["order.created", "order.paid", "refund.created"],
            "{after:?}"
        );
    }
}

async fn a_query_or_close_without_a_usable_answer_may_be_repeated(store: Store) {
    let t = start(store, &[]).await;
    let cases = unusable_answers().into_iter().enumerate().map(async |(count, case)| {
        let (open, paid) = (format!("OPEN_{count:02}"), format!("PAID_{count:02}"));
        let (refund_number, (fault, status, error)) = (format!("REFUND_{count:02}"), case);
        t.placed(&open, 100).await;
        t.paid(&paid, 100).await;
        t.act(REFUND, refund(&paid, &refund_number, 10, 100)).await.data();
        let id = t.world.wechat().order(&paid).unwrap().transaction_id.unwrap();
        let questions = [
            (QUERY, json!({"out_trade_no": open})),
            ("wxpay_query_order_by_transaction_id", json!({"transaction_id": id})),
            (REFUND_QUERY, json!({"out_refund_no": refund_number})),
            (CLOSE, json!({"out_trade_no": open})),
        ];
        for (endpoint, about) in [
            (Endpoint::QueryOrder, &open),
            (Endpoint::QueryOrder, &id),
            (Endpoint::QueryRefund, &refund_number),
            (Endpoint::Close, &open),
        ] {
            breaks(&t, endpoint, about, &fault);
        }
        join_all(questions.iter().map(async |(action, body)| {
            let came = t.act(action, body.clone()).await;
            assert_no_usable_answer(&came, status, error, &format!("{action}: {fault:?}"));
        }))
        .await;
        assert_eq!(t.state(&open).await.as_deref(), Some("NOTPAY"), "{fault:?}");
        (open, questions, format!("{fault:?}"))
    });
    let broken = join_all(cases).await;
    t.world.wechat().clear_faults();
    for (open, questions, about) in broken {
        for (action, body) in questions {
            assert_eq!(t.act(action, body).await.body["code"], 0, "{action}: {about}");
        }
        assert_eq!(t.state(&open).await.as_deref(), Some("CLOSED"), "{about}");
        assert_eq!(t.events(&open).await, ["order.created", "order.closed"], "{about}");
    }
}

async fn an_answer_that_does_not_come_in_time_is_a_time_out(store: Store) {
    let t = start(store, &[("wechatPayTimeoutMs", "500")]).await;
    let long = Duration::from_secs(20);
    for (count, fault) in [Fault::HangBefore(long), Fault::ProcessThen(After::Hang(long))]
        .into_iter()
        .enumerate()
    {
        let (number, refund_number) = (format!("ORDER_{count}"), format!("REFUND_{count}"));
        let about = format!("{fault:?}");
        let timed_out = |came: &Came| assert_no_usable_answer(came, 504, "UPSTREAM_TIMEOUT", &about);

        breaks(&t, Endpoint::Prepay, &number, &fault);
        timed_out(&t.act("wxpay_order", order(&number, 100)).await);
        t.world.wechat().clear_faults();
        assert_eq!(t.state(&number).await.as_deref(), Some("CREATED"), "{about}");
        t.paid(&number, 100).await;
        assert_eq!(t.events(&number).await, ["order.created", "order.paid"], "{about}");

        breaks(&t, Endpoint::QueryOrder, &number, &fault);
        timed_out(&t.act(QUERY, json!({"out_trade_no": number})).await);
        t.world.wechat().clear_faults();
        t.act(QUERY, json!({"out_trade_no": number})).await.data();

        breaks(&t, Endpoint::Refund, &refund_number, &fault);
        let body = refund(&number, &refund_number, 60, 100);
        timed_out(&t.act(REFUND, body.clone()).await);
        t.world.wechat().clear_faults();
        assert_eq!(t.held(&number).await, 60, "{about}");
        assert_eq!(
            t.act(REFUND, body).await.data()["out_refund_no"],
            refund_number,
            "{about}"
        );
        assert_eq!(t.held(&number).await, 60, "{about}");
        assert_eq!(
            t.world.wechat().order(&number).unwrap().refunds,
            [refund_number],
            "{about}"
        );
        assert_eq!(
            t.events(&number).await,
            ["order.created", "order.paid", "refund.created"],
            "{about}"
        );
    }
}

async fn one_bad_answer_to_an_order_is_asked_again_by_itself(store: Store) {
    let t = start(store, &[]).await;
    for (count, fault) in [
        Fault::DropBefore,
        Fault::ProcessThen(After::DropConnection),
        Fault::ProcessThen(After::Garbage),
        Fault::ProcessThen(After::Status(500)),
        Fault::ProcessThen(After::SignTest),
        Fault::refuse(500, "SYSTEM_ERROR"),
        Fault::refuse(429, "FREQUENCY_LIMITED"),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER_{count}");
        let asked = t.world.wechat().count(Endpoint::Prepay);
        t.world.wechat().fault(Endpoint::Prepay, fault.clone());
        let placed = t.act("wxpay_order", order(&number, 100)).await;
        assert_eq!(
            placed.data()["prepay_id"],
            t.world.wechat().order(&number).unwrap().prepay_id,
            "{fault:?}"
        );
        assert_eq!(t.world.wechat().count(Endpoint::Prepay), asked + 2, "{fault:?}");
        let bodies: Vec<Value> = t
            .world
            .wechat()
            .requests()
            .iter()
            .rev()
            .take(2)
            .map(Seen::json)
            .collect();
        assert_eq!(bodies[0], bodies[1], "{fault:?}: the same question");
        assert_eq!(t.events(&number).await, ["order.created"], "{fault:?}");
    }
}

async fn after_a_restart_the_same_calls_still_end_with_one_order_and_one_refund(store: Store) {
    let t = start(store, &[]).await;
    let lost = Fault::ProcessThen(After::NoSignature);
    breaks(&t, Endpoint::Prepay, "ORDER_1", &lost);
    let came = t.act("wxpay_order", order("ORDER_1", 100)).await;
    assert_no_usable_answer(&came, 502, "UPSTREAM_SIGNATURE_INVALID", "an order");
    t.world.wechat().clear_faults();
    // The start asks about both by itself, perhaps before the caller does.
    let t = t.restart().await;
    t.paid("ORDER_1", 100).await;

    breaks(&t, Endpoint::Refund, "REFUND_1", &lost);
    breaks(&t, Endpoint::QueryRefund, "REFUND_1", &lost);
    let body = refund("ORDER_1", "REFUND_1", 60, 100);
    let came = t.act(REFUND, body.clone()).await;
    assert_no_usable_answer(&came, 502, "UPSTREAM_SIGNATURE_INVALID", "a refund");
    t.world.wechat().clear_faults();
    let t = t.restart().await;
    assert_eq!(t.held("ORDER_1").await, 60);
    t.act(REFUND, body).await.data();
    assert_eq!(t.world.wechat().order("ORDER_1").unwrap().refunds, ["REFUND_1"]);
    assert_eq!(
        t.events("ORDER_1").await,
        ["order.created", "order.paid", "refund.created"]
    );
}
