//! Who watches the watchman: broken books, each in its own way, and what is said of them.

use pay_common::sandbox::RefundEnd;
use serde_json::json;
use sqlx::{AnyConnection, Connection as _};

use super::actions::stage;
use crate::case::{Tried, cases};
use crate::invariants::{Books, all_complaints, complaints, given_up, invariants};
use crate::support::app::{TestApp, refund};
use crate::support::database::Store;

cases!(Fault:
    broken_books_do_not_pass => "every other line of this table",
);

/// What somebody did to the books, and a part of what has to be said of that.
const BROKEN: [(&str, &str); 22] = [
    (
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at)
         SELECT 'double', fact || '/2', stream, 9, kind, payload, created_at FROM events WHERE fact = 'order.paid/PAID_1'",
        "order.paid/PAID_1/2 was told and did not happen",
    ),
    (
        "UPDATE events SET fact = 'order.closed/PAID_1' WHERE fact = 'order.paid/PAID_1'",
        "order.closed/PAID_1 was told and did not happen",
    ),
    (
        "UPDATE events SET kind = 'order.closed' WHERE fact = 'order.paid/PAID_1'",
        "order.paid/PAID_1 is told as order.closed",
    ),
    ("DELETE FROM events WHERE fact = 'order.paid/PAID_1'", "order.paid/PAID_1 was told 0 times"),
    ("UPDATE events SET position = position + 1 WHERE fact = 'refund.succeeded/REFUND_1'", "its events stand at"),
    ("UPDATE events SET position = 20 - position WHERE stream = 'PAID_1'", "order.paid was told before order.created"),
    (
        "UPDATE events SET position = 20 - position WHERE stream = 'transfer/BILL1'",
        "its end was told before its beginning",
    ),
    ("DELETE FROM events WHERE fact = 'transfer.succeeded/BILL1'", "transfer.succeeded/BILL1 was told 0 times"),
    ("UPDATE orders SET state = 'NOTPAY' WHERE out_trade_no = 'PAID_1'", "order PAID_1 (NOTPAY): WeChat has it as"),
    ("UPDATE orders SET state = 'SUCCESS' WHERE out_trade_no = 'PAID_1'", "order PAID_1 (SUCCESS): WeChat has it as"),
    ("UPDATE orders SET state = 'SUCCESS' WHERE out_trade_no = 'OPEN_1'", "order OPEN_1 (SUCCESS): WeChat has it as"),
    ("UPDATE orders SET state = 'CREATED' WHERE out_trade_no = 'OPEN_1'", "order OPEN_1 (CREATED): WeChat has it as"),
    ("UPDATE orders SET state = 'FAILED' WHERE out_trade_no = 'OPEN_1'", "order OPEN_1 (FAILED): WeChat has it as"),
    ("UPDATE orders SET ask_at = NULL WHERE out_trade_no = 'OPEN_1'", "nobody would ever ask"),
    ("UPDATE orders SET transaction_id = '42' WHERE out_trade_no = 'PAID_1'", "its payment is"),
    ("UPDATE orders SET total = 101 WHERE out_trade_no = 'PAID_1'", "its total is 101"),
    ("UPDATE orders SET held = 0 WHERE out_trade_no = 'PAID_1'", "0 fen are held"),
    ("UPDATE refunds SET state = 'PROCESSING' WHERE out_refund_no = 'REFUND_1'", "refund REFUND_1 is PROCESSING"),
    ("UPDATE refunds SET refund_id = '50' WHERE out_refund_no = 'REFUND_1'", "refund REFUND_1 is another one"),
    ("DELETE FROM refunds WHERE out_refund_no = 'REFUND_1'", "WeChat has refund REFUND_1, the books have not"),
    ("UPDATE transfers SET state = 'FAIL' WHERE out_bill_no = 'BILL1'", "transfer BILL1 (FAIL): WeChat has it as"),
    (
        "INSERT INTO anomalies (anomaly_id, fact, kind, subject, detail, created_at)
         VALUES ('a', 'f', 'contradiction', 'PAID_1', '{}', 1)",
        "the anomalies are",
    ),
];

async fn broken_books_do_not_pass(store: Store, tried: Tried) {
    let t = stage(store).await;
    healthy(&t).await;
    invariants(&t).await;

    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(&t.database.url).await.unwrap();
    for (broken, expected) in BROKEN {
        let mut tx = conn.begin().await.unwrap();
        let changed = sqlx::query(broken).execute(&mut *tx).await.unwrap();
        assert!(changed.rows_affected() > 0, "{broken}");
        let books = Books::read(&mut tx, "").await;
        let said = complaints(&books, t.world.wechat(), &[]);
        assert!(said.iter().any(|said| said.contains(expected)), "{broken}: {said:#?}");
        tx.rollback().await.unwrap();
        tried.once();
    }
    for (table, state, number) in [
        ("orders", "FAILED", "out_trade_no = 'OPEN_1'"),
        ("refunds", "FAILED", "out_refund_no = 'REFUND_1'"),
        ("transfers", "REJECTED", "out_bill_no = 'BILL1'"),
    ] {
        let mut tx = conn.begin().await.unwrap();
        let broken = format!("UPDATE {table} SET state = '{state}' WHERE {number}");
        sqlx::query(sqlx::AssertSqlSafe(broken.clone()))
            .execute(&mut *tx)
            .await
            .unwrap();
        let said = given_up(&Books::read(&mut tx, "").await, t.world.wechat());
        assert_eq!(said.len(), 1, "{broken}: {said:?}");
        tx.rollback().await.unwrap();
        tried.once();
    }
    let expected = [("contradiction", "PAID_1")];
    let said = complaints(&Books::read(&mut conn, "").await, t.world.wechat(), &expected);
    assert!(
        said.iter().any(|said| said.contains("the anomalies are")),
        "one that is missing: {said:#?}"
    );

    sqlx::query("DELETE FROM orders WHERE out_trade_no = 'OPEN_1'")
        .execute(&mut conn)
        .await
        .unwrap();
    let said = all_complaints(&t, &[]).await;
    assert_eq!(said, ["WeChat was asked for order OPEN_1, which is not in the books"]);
    tried.times(2);
}

/// An order that is open, one that is paid and partly refunded, and a transfer.
async fn healthy(t: &TestApp) {
    t.placed("OPEN_1", 100).await;
    t.placed("PAID_1", 100).await;
    t.world.wechat().pay("PAID_1").unwrap();
    let by_number = json!({"out_trade_no": "PAID_1"});
    t.act("wxpay_query_order_by_out_trade_no", by_number).await.data();
    t.act("wxpay_refund", refund("PAID_1", "REFUND_1", 30, 100))
        .await
        .data();
    t.world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    let by_number = json!({"out_refund_no": "REFUND_1"});
    t.act("wxpay_refund_query", by_number).await.data();
    t.transferred("BILL1", 500).await;
    t.world.wechat().confirm_transfer("BILL1").unwrap();
    let by_number = json!({"out_bill_no": "BILL1"});
    t.operate(crate::support::payouts::BY_NUMBER, by_number).await.data();
}
