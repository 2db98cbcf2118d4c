//! What WeChat has really said and the books cannot hold: it is neither lost nor sent for ever.

use pay_common::sandbox::{DIRECT_ORDER_PATH, DIRECT_REFUND_PATH, DIRECT_TRANSFER_PATH, RefundEnd, SignedNotification};
use serde_json::json;
use sqlx::Connection as _;

use super::genuine::deliver;
use super::standing::{acknowledged, by_hand, paid_unheard};
use crate::case::{Tried, cases};
use crate::support::app::{TestApp, refund};
use crate::support::database::Store;

cases!(Attack:
    a_payment_that_cannot_be_kept_for_another_reason => "a payment acknowledged and lost",
    genuine_content_that_no_database_can_hold => "a callback that comes again for ever",
);

impl TestApp {
    /// Does something to the books behind the service's back.
    async fn execute(&self, statement: &'static str) {
        sqlx::any::install_default_drivers();
        let mut conn = sqlx::AnyConnection::connect(&self.database.url).await.unwrap();
        sqlx::query(statement).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }
}

/// Not an attack but what an attacker may hope for: a rule of the database is broken that has nothing to do with the payment.
async fn a_payment_that_cannot_be_kept_for_another_reason(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    paid_unheard(&t, "ORDER_FIRST", 20).await;
    paid_unheard(&t, "ORDER_1", 20).await;
    t.execute("CREATE UNIQUE INDEX nuisance ON events (kind) WHERE kind = 'order.paid'")
        .await;
    let first = t.world.wechat().payment_notification("ORDER_FIRST").unwrap();
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &first).await));
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    for direct in [Some(DIRECT_ORDER_PATH), Some("/wechatpay/order"), None] {
        let came = deliver(&t, direct, &note).await;
        assert_eq!(
            (came.status, &came.body["code"]),
            (503, &json!("FAIL")),
            "it is to come again: {came:?}"
        );
        assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
        assert!(t.anomalies().await.is_empty());
        tried.once();
    }
    t.execute("DROP INDEX nuisance").await;
    assert!(acknowledged(&deliver(&t, None, &note).await));
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
}

/// A NUL is a character to JSON and none to PostgreSQL, and an index entry has an end.
async fn genuine_content_that_no_database_can_hold(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[]).await;
    t.paid("ORDER_REFUNDED", 100_000).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let long: String = (0..12_000_u32)
        .map(|n| char::from(b'!' + u8::try_from(n.wrapping_mul(2_654_435_761) >> 16 & 63).unwrap()))
        .collect();
    for (count, bad) in [
        "ORDER\u{0}1",
        "\u{0}",
        "\u{0}\u{0}\u{0}",
        &long,
        "\u{1f600}\u{202e}\u{feff}",
    ]
    .into_iter()
    .enumerate()
    {
        for member in [
            "out_trade_no",
            "transaction_id",
            "mchid",
            "appid",
            "trade_state",
            "attach",
            "success_time",
            "bank_type",
        ] {
            let own = format!("ORDER_{count}_{member}");
            paid_unheard(&t, &own, 20).await;
            let note = t
                .world
                .wechat()
                .payment_notification_with(&own, |note| note.resource[member] = json!(bad));
            settles(&t, DIRECT_ORDER_PATH, &note.unwrap()).await;
            let paid = matches!(member, "attach" | "success_time" | "bank_type");
            let state = if paid { "SUCCESS" } else { "NOTPAY" };
            assert_eq!(t.state(&own).await.as_deref(), Some(state), "{member} {bad:?}");
            tried.once();
        }
        for member in [
            "out_refund_no",
            "refund_id",
            "refund_status",
            "success_time",
            "out_trade_no",
            "mchid",
        ] {
            let own = format!("REFUND_{count}_{member}");
            t.act("wxpay_refund", refund("ORDER_REFUNDED", &own, 1, 100_000))
                .await
                .data();
            t.world.wechat().finish_refund(&own, RefundEnd::Success).unwrap();
            let note = t
                .world
                .wechat()
                .refund_notification_with(&own, |note| note.resource[member] = json!(bad));
            settles(&t, DIRECT_REFUND_PATH, &note.unwrap()).await;
            tried.once();
        }
        for member in [
            "out_bill_no",
            "transfer_bill_no",
            "state",
            "fail_reason",
            "mch_id",
            "openid",
        ] {
            let own = format!("T{count}{}", member.replace('_', ""));
            t.arrived_unheard(&own).await;
            let note = t
                .world
                .wechat()
                .transfer_notification_with(&own, |note| note.resource[member] = json!(bad));
            settles(&t, DIRECT_TRANSFER_PATH, &note.unwrap()).await;
            tried.once();
        }
        // And what is of no known form at all.
        let note = t.world.wechat().payment_notification_with("ORDER_0_attach", |note| {
            note.event_type = "COUPON.USE".to_owned();
            note.resource = json!({ bad: bad, "list": [bad] });
        });
        settles(&t, DIRECT_ORDER_PATH, &note.unwrap()).await;
        tried.once();
    }
    t.goes_on("ORDER_AFTERWARDS").await;
}

/// It is kept, and WeChat does not send it for ever. A state that says nothing yet is refused as such.
async fn settles(t: &TestApp, path: &str, note: &SignedNotification) {
    for _ in 0..2 {
        let came = t.notify(path, note).await;
        assert!(acknowledged(&came) || came.status == 409, "{came:?}");
    }
}
