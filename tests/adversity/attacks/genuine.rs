//! What WeChat has really signed or sealed, and what is not about this order: another merchant's, another app's, another amount.

use pay_common::sandbox::{DIRECT_ORDER_PATH, DIRECT_REFUND_PATH, DIRECT_TRANSFER_PATH, RefundEnd, SignedNotification};
use serde_json::json;

use super::standing::{acknowledged, by_hand, forwarded, paid_unheard, refused};
use crate::case::{Tried, cases};
use crate::support::app::{Came, OPENID, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::Store;

cases!(Attack:
    a_genuine_payment_that_is_another_merchants_apps_orders_or_amount => "an order paid with somebody else's payment, or with less",
    a_genuine_close_of_another_merchants_order => "an order closed under its buyer's hands",
    a_payment_that_stands_on_another_order_already => "two orders paid with one payment",
    a_genuine_refund_that_is_not_this_one => "a refund marked done that never was, or its amount given free",
    a_genuine_transfer_that_is_not_this_one => "a payout marked failed and paid again",
    what_the_integration_id_alone_vouches_for_is_of_this_merchant => "another merchant's order closing or accepting this one",
);

/// The same content as WeChat's own notification, or as the Integration Center passes it on.
pub async fn deliver(t: &TestApp, direct: Option<&str>, note: &SignedNotification) -> Came {
    match direct {
        Some(path) => t.notify(path, &t.world.wechat().sign_again(note)).await,
        None => t.forward(&forwarded(t, note)).await,
    }
}

async fn a_genuine_payment_that_is_another_merchants_apps_orders_or_amount(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    let service_app = t.world.keys().appid().to_owned();
    let mut number = 0;
    for (member, value, kind) in [
        ("mchid", json!("1900000001"), "foreign_merchant"),
        ("mchid", json!(""), "foreign_merchant"),
        ("mchid", json!(null), "unreadable"),
        ("appid", json!("wx0000000000000000"), "foreign_app"),
        ("appid", json!(service_app), "foreign_app"),
        ("appid", json!(""), "foreign_app"),
        ("out_trade_no", json!("ORDER_NOBODYS"), "unknown_order"),
        ("out_trade_no", json!("ORDER_DEAR"), "amount_mismatch"),
        ("out_trade_no", json!("order_dear"), "unknown_order"),
        ("out_trade_no", json!("../ORDER_DEAR"), "unreadable"),
        ("out_trade_no", json!("ORDER_DEAR "), "unreadable"),
        ("out_trade_no", json!("ОRDER_DEAR"), "unreadable"),
        ("out_trade_no", json!(""), "unreadable"),
        ("amount.total", json!(19), "amount_mismatch"),
        ("amount.total", json!(21), "amount_mismatch"),
        ("amount.total", json!(1), "amount_mismatch"),
        ("amount.total", json!(0), "unreadable"),
        ("amount.total", json!(-20), "unreadable"),
        ("amount.total", json!(i64::MAX), "amount_mismatch"),
        ("amount.total", json!(u64::MAX), "unreadable"),
        ("amount.total", json!("20"), "unreadable"),
        ("amount.total", json!(20.0), "unreadable"),
        ("amount.total", json!(2e1), "unreadable"),
        ("amount.total", json!(null), "unreadable"),
        ("amount", json!(null), "unreadable"),
        ("amount", json!(20), "unreadable"),
        ("amount.currency", json!("USD"), "amount_mismatch"),
        ("amount.currency", json!("cny"), "amount_mismatch"),
        ("amount.currency", json!(""), "amount_mismatch"),
        ("transaction_id", json!(null), "unreadable"),
        ("transaction_id", json!(""), "unreadable"),
        ("transaction_id", json!("4200/../1"), "unreadable"),
        ("trade_state", json!("success"), ""),
        ("trade_state", json!("SUCCESS "), ""),
        ("trade_state", json!(""), ""),
        ("trade_state", json!(null), "unreadable"),
    ] {
        for direct in [Some(DIRECT_ORDER_PATH), Some("/wechatpay/order"), None] {
            number += 1;
            let own = format!("ORDER_{number}");
            if number == 1 {
                t.world.wechat().lose_callbacks(u32::MAX);
                t.placed("ORDER_DEAR", 999_900).await;
            }
            paid_unheard(&t, &own, 20).await;
            let note = t
                .world
                .wechat()
                .payment_notification_with(&own, |note| {
                    note.resource = with(note.resource.clone(), member, value.clone())
                })
                .unwrap();
            let (before, orders) = (t.anomalies().await, t.deeds());
            let mut seen = before.clone();
            for _ in 0..2 {
                let came = deliver(&t, direct, &note).await;
                if kind.is_empty() {
                    assert!(refused(&came), "{member} {value}: {came:?}");
                } else {
                    assert!(acknowledged(&came), "{member} {value}: {came:?}");
                }
            }
            if !kind.is_empty() {
                seen.push(kind.to_owned());
            }
            assert_eq!(t.anomalies().await, seen, "{member} {value}: for a person, once");
            for order in [own.as_str(), "ORDER_DEAR"] {
                assert_eq!(t.state(order).await.as_deref(), Some("NOTPAY"), "{member} {value}");
                assert_eq!(t.events(order).await, ["order.created"], "{member} {value}");
            }
            assert_eq!(t.deeds(), orders);
            tried.once();
        }
    }
}

async fn a_genuine_close_of_another_merchants_order(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.paid_for_notices("ORDER_NOTICE").await;
    let service_app = t.world.keys().appid().to_owned();
    let mut number = 0;
    for state in ["CLOSED", "REVOKED"] {
        for (member, value, kind) in [
            ("mchid", json!("1900000001"), "foreign_merchant"),
            ("mchid", json!(""), "foreign_merchant"),
            ("appid", json!("wx0000000000000000"), "foreign_app"),
            ("appid", json!(""), "foreign_app"),
            ("appid", json!(service_app), "foreign_app"),
        ] {
            for direct in [Some(DIRECT_ORDER_PATH), None] {
                number += 1;
                let own = format!("ORDER_{number}");
                t.placed(&own, 20).await;
                let note = t.world.wechat().payment_notification_with("ORDER_NOTICE", |note| {
                    note.resource["out_trade_no"] = json!(own);
                    note.resource["trade_state"] = json!(state);
                    note.resource[member] = value.clone();
                });
                let before = t.anomalies().await.len();
                for _ in 0..2 {
                    let came = deliver(&t, direct, note.as_ref().unwrap()).await;
                    assert!(acknowledged(&came), "{member} {value}: {came:?}");
                }
                assert_eq!(t.anomalies().await.get(before..).unwrap(), [kind], "{member} {value}");
                assert_eq!(t.state(&own).await.as_deref(), Some("NOTPAY"), "{member} {value}");
                assert_eq!(t.events(&own).await, ["order.created"], "{member} {value}");
                tried.once();
            }
        }
    }
}

impl TestApp {
    /// A payment out of which other notices are made.
    pub async fn paid_for_notices(&self, number: &str) {
        paid_unheard(self, number, 20).await;
    }
}

async fn a_payment_that_stands_on_another_order_already(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    paid_unheard(&t, "ORDER_FIRST", 20).await;
    let first = t.world.wechat().payment_notification("ORDER_FIRST").unwrap();
    assert!(acknowledged(&t.forward(&forwarded(&t, &first)).await));
    for count in 0..10 {
        let own = format!("ORDER_{count}");
        t.placed(&own, 20).await;
        let note = t
            .world
            .wechat()
            .payment_notification_with("ORDER_FIRST", |note| note.resource["out_trade_no"] = json!(own))
            .unwrap();
        let direct = (count % 2 == 0).then_some(DIRECT_ORDER_PATH);
        for _ in 0..2 {
            assert!(acknowledged(&deliver(&t, direct, &note).await));
        }
        assert_eq!(t.anomalies().await.len(), count + 1);
        assert!(t.anomalies().await.iter().all(|kind| kind == "contradiction"));
        assert_eq!(t.state(&own).await.as_deref(), Some("NOTPAY"));
        assert_eq!(t.events(&own).await, ["order.created"]);
        tried.once();
    }
    assert_eq!(t.events("ORDER_FIRST").await, ["order.created", "order.paid"]);
}

async fn a_genuine_refund_that_is_not_this_one(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_1", 100_000).await;
    t.paid("ORDER_2", 100).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let mut number = 0;
    for end in [RefundEnd::Success, RefundEnd::Closed, RefundEnd::Abnormal] {
        for (member, value, kind) in [
            ("mchid", json!("1900000001"), "foreign_merchant"),
            ("out_trade_no", json!("ORDER_2"), "contradiction"),
            ("out_trade_no", json!("ORDER_9"), "contradiction"),
            ("out_refund_no", json!("REFUND_NOBODYS"), "unknown_refund"),
            ("out_refund_no", json!("../REFUND_1"), "unreadable"),
            ("refund_id", json!("50000000000000000000000000009"), "contradiction"),
            ("refund_id", json!(""), "unreadable"),
            ("amount.refund", json!(39), "amount_mismatch"),
            ("amount.refund", json!(41), "amount_mismatch"),
            ("amount.refund", json!(-40), "amount_mismatch"),
            ("amount.refund", json!("40"), "unreadable"),
            ("refund_status", json!("success"), "unreadable"),
            ("refund_status", json!(null), "unreadable"),
        ] {
            number += 1;
            let own = format!("REFUND_{number}");
            t.act("wxpay_refund", refund("ORDER_1", &own, 40, 100_000)).await.data();
            t.world.wechat().finish_refund(&own, end).unwrap();
            let note = t
                .world
                .wechat()
                .refund_notification_with(&own, |note| {
                    note.resource = with(note.resource.clone(), member, value.clone())
                })
                .unwrap();
            let (before, held) = (t.anomalies().await.len(), t.held("ORDER_1").await);
            let direct = (number % 2 == 0).then_some(DIRECT_REFUND_PATH);
            for _ in 0..2 {
                let came = deliver(&t, direct, &note).await;
                assert!(acknowledged(&came), "{member} {value}: {came:?}");
            }
            assert_eq!(t.anomalies().await.get(before..).unwrap(), [kind], "{member} {value}");
            assert_eq!(t.held("ORDER_1").await, held, "{member} {value}");
            assert_eq!(t.held("ORDER_2").await, 0, "{member} {value}");
            let own_row = format!("refund {own} PROCESSING 40");
            assert!(t.books().await.contains(&own_row), "{member} {value}");
            tried.once();
        }
    }
}

async fn a_genuine_transfer_that_is_not_this_one(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    let service_app = t.world.keys().appid().to_owned();
    let mut number = 0;
    for state in ["SUCCESS", "FAIL", "CANCELLED"] {
        for (member, value, kind) in [
            ("mch_id", json!("1900000001"), "foreign_merchant"),
            ("mch_id", json!(""), "foreign_merchant"),
            ("appid", json!("wx0000000000000000"), "foreign_app"),
            ("out_bill_no", json!("TNOBODYS"), "unknown_transfer"),
            ("out_bill_no", json!("T/1"), "unreadable"),
            ("transfer_amount", json!(499), "amount_mismatch"),
            ("transfer_amount", json!(-500), "amount_mismatch"),
            ("transfer_amount", json!("500"), "unreadable"),
            ("openid", json!("oSomebodyElse"), "contradiction"),
            ("transfer_bill_no", json!("1330000999"), "contradiction"),
            ("transfer_bill_no", json!(""), "unreadable"),
        ] {
            number += 1;
            let own = format!("T{number}");
            t.arrived_unheard(&own).await;
            let note = t
                .world
                .wechat()
                .transfer_notification_with(&own, |note| {
                    note.resource["state"] = json!(state);
                    note.resource[member] = value.clone();
                })
                .unwrap();
            let before = t.anomalies().await.len();
            let direct = (number % 2 == 0).then_some(DIRECT_TRANSFER_PATH);
            for _ in 0..2 {
                let came = deliver(&t, direct, &note).await;
                assert!(acknowledged(&came), "{member} {value}: {came:?}");
            }
            assert_eq!(t.anomalies().await.get(before..).unwrap(), [kind], "{member} {value}");
            assert_eq!(
                t.transfer_state(&own).await.as_deref(),
                Some("WAIT_USER_CONFIRM"),
                "{member} {value}"
            );
            assert_eq!(t.transfer_events(&own).await, ["transfer.created"], "{member} {value}");
            tried.once();
        }
    }
    assert_ne!(service_app, "");
}

async fn what_the_integration_id_alone_vouches_for_is_of_this_merchant(store: Store, tried: Tried) {
    let settings = [("callbackConfirm", "never")];
    let t = TestApp::start_with(store, by_hand(), &settings).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let (id, mchid) = (
        t.world.center().integration_id().to_owned(),
        t.world.keys().mchid().to_owned(),
    );
    let (app, service_app) = (
        t.world.keys().mini_program_appid().to_owned(),
        t.world.keys().appid().to_owned(),
    );
    t.placed("ORDER_1", 20).await;
    // One whose answer got lost: nobody knows whether WeChat has it.
    t.world.wechat().add_fault(
        pay_common::sandbox::FaultRule::on(
            pay_common::sandbox::Endpoint::Prepay,
            pay_common::sandbox::Fault::ProcessThen(pay_common::sandbox::After::DropConnection),
        )
        .times(3),
    );
    let lost = t.act("wxpay_order", order("ORDER_2", 20)).await;
    assert_eq!(lost.status, 502, "{lost:?}");
    let states = async || (t.state("ORDER_1").await, t.state("ORDER_2").await);
    assert_eq!(states().await, (Some("NOTPAY".into()), Some("CREATED".into())));
    let mut known = 0;
    for number in ["ORDER_1", "ORDER_2"] {
        for trade_state in [
            "SUCCESS",
            "REFUND",
            "CLOSED",
            "REVOKED",
            "NOTPAY",
            "USERPAYING",
            "PAYERROR",
        ] {
            for (mchid, app) in [
                ("1900000001", app.as_str()),
                ("", &app),
                (&mchid, "wx0000000000000000"),
                (&mchid, ""),
                (&mchid, &service_app),
            ] {
                let content = json!({
                    "mchid": mchid, "appid": app, "out_trade_no": number, "trade_state": trade_state,
                    "transaction_id": format!("42000000000000000000{known:08}"), "success_time": "2026-11-23T15:04:05+08:00",
                    "payer": {"openid": OPENID}, "amount": {"total": 20, "currency": "CNY"},
                });
                known += 1;
                let body = json!({"ParsedContent": content, "ParsedNotify": {"event_type": "TRANSACTION.SUCCESS"}});
                let before = t.anomalies().await.len();
                let came = t
                    .post("/wechatpay/order", &[("x-tcb-integration-id", &id)], body.to_string())
                    .await;
                let unpaid = matches!(trade_state, "NOTPAY" | "USERPAYING" | "PAYERROR");
                assert!(
                    acknowledged(&came) || unpaid && refused(&came),
                    "{came:?} for {content}"
                );
                assert_eq!(
                    states().await,
                    (Some("NOTPAY".into()), Some("CREATED".into())),
                    "{content}"
                );
                // An anomaly is one fact, however often and in however many ways it is told.
                assert!(t.anomalies().await.len() <= before + 1);
                tried.once();
            }
        }
    }
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
    assert!(t.events("ORDER_2").await.is_empty());
}
