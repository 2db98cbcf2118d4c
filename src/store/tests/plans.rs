//! What a sweep costs depends on what is open, not on the history: each of its statements goes by the index of what is due. And what a
//! person looks at first costs as much as there is to see.

#![expect(
    clippy::disallowed_methods,
    reason = "the plan of a statement is asked for with the statement's own text"
)]

use sqlx::{AssertSqlSafe, Row as _};

use super::super::db::Dialect;
use super::super::{orders, outbox, refunds, today, transfers};
use super::database::{Store, on_both_stores};
use super::{Books, books};

on_both_stores!(
    a_sweep_goes_by_the_index_of_what_is_due,
    a_row_that_is_settled_is_not_in_the_index_of_what_is_due,
    what_a_person_looks_at_first_goes_by_an_index,
);

/// So many rows that are settled, and so many that are open, in each table. Runs on both databases.
async fn fill(books: &Books, settled: u32, open: u32) {
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})",
        settled + open
    );
    // Once settled, there is nothing left to ask.
    let ask_at = format!("CASE WHEN i > {settled} THEN i ELSE NULL END");
    let statements = [
        format!(
            "INSERT INTO orders (out_trade_no, kind, app_id, total, request, state, created_at, ask_at)
             {rows} SELECT 'ORDER_' || i, 'JSAPI', 'wx2421b1c4370ec43b', 20, '{{}}', 'NOTPAY', 1, {ask_at} FROM n"
        ),
        format!(
            "INSERT INTO refunds (out_refund_no, out_trade_no, amount, request, state, created_at, asked_for_at, ask_at)
             {rows} SELECT 'REFUND_' || i, 'ORDER_' || i, 1, '{{}}', 'PROCESSING', 1, 1, {ask_at} FROM n"
        ),
        format!(
            "INSERT INTO transfers (out_bill_no, app_id, openid, amount, request, state, created_at, asked_for_at, ask_at)
             {rows} SELECT 'TRANSFER' || i, 'wx2421b1c4370ec43b', 'openid', 1, '{{}}', 'PROCESSING', 1, 1, {ask_at} FROM n"
        ),
        "ANALYZE".to_owned(),
    ];
    let mut conn = books.db.write().await.unwrap();
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *conn).await.unwrap();
    }
}

/// The statements of a sweep, each with its table.
fn statements(dialect: Dialect) -> [(&'static str, &'static str); 9] {
    [
        ("orders", orders::claim(dialect)),
        ("orders", orders::NEXT_DUE),
        ("orders", orders::INTENTS_DUE),
        ("refunds", refunds::claim(dialect)),
        ("refunds", refunds::NEXT_DUE),
        ("refunds", refunds::INTENTS_DUE),
        ("transfers", transfers::claim(dialect)),
        ("transfers", transfers::NEXT_DUE),
        ("transfers", transfers::INTENTS_DUE),
    ]
}

/// How the database would go about it, a step a line.
async fn plan(books: &Books, statement: &str) -> Vec<String> {
    let (explain, column) = match books.db.dialect() {
        Dialect::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
        Dialect::Postgres => ("EXPLAIN", "QUERY PLAN"),
    };
    let with_values = statement
        .replace("$1", "1000000")
        .replace("$2", "2")
        .replace("$3", "100");
    let mut conn = books.db.write().await.unwrap();
    let steps = sqlx::query(AssertSqlSafe(format!("{explain} {with_values}")))
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    steps.iter().map(|step| step.get(column)).collect()
}

async fn a_sweep_goes_by_the_index_of_what_is_due(store: Store) {
    let books = books(store).await;
    fill(&books, 20_000, 100).await;
    for (table, statement) in statements(books.db.dialect()) {
        let plan = plan(&books, statement).await;
        let said = |text: &str| plan.iter().any(|step| step.contains(text));
        assert!(said(&format!("{table}_to_ask")), "{statement}: {plan:#?}");
        let all = match store {
            // What walks an index from its end to find the first row is called a scan, too.
            Store::Sqlite => plan
                .iter()
                .any(|step| step.starts_with("SCAN") && !step.contains(&format!("{table}_to_ask"))),
            Store::Postgres => said("Seq Scan"),
        };
        assert!(!all, "it reads everything: {statement}: {plan:#?}");
    }
}

async fn a_row_that_is_settled_is_not_in_the_index_of_what_is_due(store: Store) {
    let books = books(store).await;
    for table in ["orders", "refunds", "transfers"] {
        let text = match store {
            Store::Sqlite => format!("SELECT sql FROM sqlite_master WHERE name = '{table}_to_ask'"),
            Store::Postgres => format!("SELECT indexdef FROM pg_indexes WHERE indexname = '{table}_to_ask'"),
        };
        let mut conn = books.db.write().await.unwrap();
        let row = sqlx::query(AssertSqlSafe(text)).fetch_one(&mut *conn).await.unwrap();
        let index: String = row.get(0);
        assert!(index.contains("ask_at IS NOT NULL"), "{index}");
    }
}

/// So many orders of long ago, told and paid and refunded.
async fn fill_history(books: &Books, count: u32) {
    let rows = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    let statements = [
        format!(
            "INSERT INTO orders (out_trade_no, kind, app_id, total, request, state, created_at, paid_at)
             {rows} SELECT 'ORDER_' || i, 'JSAPI', 'wx2421b1c4370ec43b', 20, '{{}}', 'SUCCESS', i, i FROM n"
        ),
        format!(
            "INSERT INTO refunds (out_refund_no, out_trade_no, amount, request, state, created_at, asked_for_at, accepted_at)
             {rows} SELECT 'REFUND_' || i, 'ORDER_' || i, 1, '{{}}', 'SUCCESS', i, i, i FROM n"
        ),
        format!(
            "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at, delivery, attempts, ended_at)
             {rows} SELECT '00000000-' || i, 'order.created/' || i, 'ORDER_' || i, 1, 'order.created', '{{}}', i, 'DELIVERED', 1, i FROM n"
        ),
        "UPDATE events SET delivery = 'DEAD' WHERE event_id IN ('00000000-1', '00000000-2')".to_owned(),
        "UPDATE events SET delivery = 'WAITING', deliver_at = 1, ended_at = NULL WHERE event_id = '00000000-3'".to_owned(),
        "ANALYZE".to_owned(),
    ];
    let mut conn = books.db.write().await.unwrap();
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *conn).await.unwrap();
    }
}

async fn what_a_person_looks_at_first_goes_by_an_index(store: Store) {
    let books = books(store).await;
    fill_history(&books, 20_000).await;
    let day = 1_795_420_800_000_i64;
    let next = day + 86_400_000;
    let first_id = today::first_id_of(day);
    for statement in [
        today::PLACED
            .replace("$1", &format!("'{first_id}'"))
            .replace("$2", &day.to_string())
            .replace("$3", &next.to_string()),
        today::PAID
            .replace("$1", &day.to_string())
            .replace("$2", &next.to_string()),
        today::REFUNDED
            .replace("$1", &day.to_string())
            .replace("$2", &next.to_string()),
        outbox::STUCK.replace("$1", "'00000000-3'").replace("$2", "51"),
        "SELECT COUNT(*) FROM orders WHERE ask_at IS NOT NULL".to_owned(),
    ] {
        let plan = plan(&books, &statement).await;
        // By an index from its end to its end is a scan in SQLite's words, of an index of what is open alone.
        let all = |step: &String| match store {
            Store::Sqlite => step.starts_with("SCAN") && !step.contains("INDEX"),
            // The attempts are none here, and none is the quickest to read through.
            Store::Postgres => step.contains("Seq Scan") && !step.contains("on attempts"),
        };
        assert!(!plan.iter().any(all), "it reads everything: {statement}: {plan:#?}");
    }
}
