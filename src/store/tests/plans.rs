//! What a sweep costs depends on what is open, not on the history: each of its statements goes by the index of what is due.

use sqlx::{AssertSqlSafe, Row as _};

use super::super::db::Dialect;
use super::super::{orders, refunds, transfers};
use super::database::{Store, on_both_stores};
use super::{Books, books};

on_both_stores!(
    a_sweep_goes_by_the_index_of_what_is_due,
    a_row_that_is_settled_is_not_in_the_index_of_what_is_due,
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
