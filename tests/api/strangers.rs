//! What a stranger can win by naming somebody else's number; and what time and damage do to orders of one's own.

use std::time::Duration;

use pay_common::sandbox::{Endpoint, Fault};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::app::{OPENID, OPERATOR, TestApp, order, refund};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    a_paid_order_that_only_wechat_knows_is_not_taken_over_by_naming_it,
    an_unpaid_order_that_only_wechat_knows_is_not_taken_over_by_naming_it,
    an_order_is_closed_by_its_age_at_wechat_and_not_by_its_first_attempt,
    an_adopted_order_is_asked_about,
);

const MALLORY: &str = "oMALLORYxxxxxxxxxxxxxxxxxxxx";

/// The usual order, to be paid by mallory.
fn hers(number: &str, total: i64) -> Value {
    let mut order = order(number, total);
    order["payer"]["openid"] = json!(MALLORY);
    order
}

async fn nothing_is_won(t: &TestApp, mallory: &str, number: &str, total: i64) {
    let query = t
        .act_as(
            mallory,
            "wxpay_query_order_by_out_trade_no",
            json!({"out_trade_no": number}),
        )
        .await;
    let refund = t
        .act_as(
            mallory,
            "wxpay_refund",
            refund(number, &format!("R_{number}"), total, total),
        )
        .await;
    let close = t
        .act_as(mallory, "wxpay_close_order", json!({"out_trade_no": number}))
        .await;
    for came in [query, refund, close] {
        assert_ne!(came.body["code"], 0, "{came:?}");
        assert!(
            !came.body.to_string().contains(OPENID),
            "the payer is not told: {came:?}"
        );
    }
    assert!(t.world.wechat().order(number).unwrap().refunds.is_empty());
}

async fn a_paid_order_that_only_wechat_knows_is_not_taken_over_by_naming_it(store: Store) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 100).await;
    t.paid("ORDER_2", 100).await;
    let t = t.with_new_books(store).await;
    let mallory = format!("Bearer {}", t.token_of("mallory", MALLORY));
    for (number, total) in [("ORDER_1", 100), ("ORDER_2", 1)] {
        let placed = t.act_as(&mallory, "wxpay_order", hers(number, total)).await;
        assert_eq!(placed.failure(), (409, "ORDER_PARAMS_MISMATCH"), "{number}");
        nothing_is_won(&t, &mallory, number, total).await;
    }
    // Its payer has it, and a person hears of it.
    let payer = format!("Bearer {}", t.token_of("alice", OPENID));
    t.act_as(&payer, "wxpay_refund", refund("ORDER_1", "REFUND_1", 40, 100))
        .await
        .data();
    assert!(t.anomalies().await.contains(&"placed_elsewhere".to_owned()));
}

async fn an_unpaid_order_that_only_wechat_knows_is_not_taken_over_by_naming_it(store: Store) {
    let t = TestApp::start(store).await;
    t.placed("ORDER_1", 100).await;
    let t = t.with_new_books(store).await;
    let mallory = format!("Bearer {}", t.token_of("mallory", MALLORY));
    let placed = t.act_as(&mallory, "wxpay_order", hers("ORDER_1", 100)).await;
    assert_eq!(placed.failure(), (200, "UPSTREAM_REFUSED"));
    nothing_is_won(&t, &mallory, "ORDER_1", 100).await;

    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    nothing_is_won(&t, &mallory, "ORDER_1", 100).await;
    let payer = format!("Bearer {}", t.token_of("alice", OPENID));
    t.act_as(&payer, "wxpay_refund", refund("ORDER_1", "REFUND_1", 40, 100))
        .await
        .data();
}

async fn an_order_is_closed_by_its_age_at_wechat_and_not_by_its_first_attempt(store: Store) {
    let t = TestApp::start(store).await;
    t.world
        .wechat()
        .fault(Endpoint::Prepay, Fault::refuse(400, "PARAM_ERROR"));
    assert_eq!(
        t.act("wxpay_order", order("ORDER_1", 20)).await.failure(),
        (200, "UPSTREAM_REFUSED")
    );
    t.advance(Duration::from_secs(11 * 60));
    t.act("wxpay_order", order("ORDER_1", 20)).await.data();

    t.advance(Duration::from_secs(16));
    t.service.sweep().await.unwrap();

    assert_eq!(
        t.state("ORDER_1").await.as_deref(),
        Some("NOTPAY"),
        "the buyer is paying just now"
    );
}

async fn an_adopted_order_is_asked_about(store: Store) {
    let t = TestApp::start(store).await;
    t.placed("ORDER_1", 100).await;
    let t = t.with_new_books(store).await;
    let operator = format!("Bearer {OPERATOR}");
    let refused = t
        .act_as(&operator, "wxpay_refund", refund("ORDER_1", "REFUND_1", 100, 100))
        .await;
    assert_eq!(refused.failure(), (409, "ORDER_NOT_PAID"));
    t.world.wechat().lose_callbacks(u32::MAX);
    t.world.wechat().pay("ORDER_1").unwrap();

    t.advance(Duration::from_secs(16));
    t.service.sweep().await.unwrap();

    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
}

/// Rows of another version stand in front of the queue, and the queue goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_read_do_not_stop_the_sweep() {
    let t = TestApp::start(Store::Sqlite).await;
    let mut conn = sqlx::SqliteConnection::connect(&t.database.url).await.unwrap();
    for n in 0..25 {
        sqlx::query(
            "INSERT INTO orders (out_trade_no, kind, app_id, total, request, state, created_at, ask_at)
             VALUES ('STRANGE_' || $1, 'STRANGE', 'wx2421b1c4370ec43b', 1, '{}', 'NOTPAY', 1, 1)",
        )
        .bind(n)
        .execute(&mut conn)
        .await
        .unwrap();
    }
    conn.close().await.unwrap();
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_1", 100).await;
    t.world.wechat().pay("ORDER_1").unwrap();

    t.advance(Duration::from_secs(16));
    t.service.sweep().await.unwrap();

    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
}
