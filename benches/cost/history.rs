//! What a store holds before a run: orders that are paid and done, each with its two events and its callback, and orders that wait.

use sqlx::{AnyConnection, Connection as _};

/// Orders that are over, numbered from 1.
pub(crate) async fn settled(url: &str, app_id: &str, count: u64) {
    for statement in [
        "INSERT INTO orders (out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, prepay, prepay_at,
                             created_at, accepted_at, asked, transaction_id, paid_at)
         SELECT 'SETTLED_' || n, 'JSAPI', $3, 20, 'bench', 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o', '{}', 'SUCCESS', 'wx' || n, n,
                n, n, 0, 'T' || n, n
           FROM series",
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at)
         SELECT 'c' || n, 'order.created/SETTLED_' || n, 'SETTLED_' || n, 1, 'order.created', $3, n FROM series",
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at)
         SELECT 'p' || n, 'order.paid/SETTLED_' || n, 'SETTLED_' || n, 2, 'order.paid', $3, n FROM series",
        "INSERT INTO callbacks (fact, stream, event_type, proof, outcome, resource, first_at, last_at, times)
         SELECT 'payment/T' || n || $3, 'SETTLED_' || n, 'TRANSACTION.SUCCESS', 'ciphertext', 'applied', '{}', n, n, 1 FROM series",
    ] {
        fill(url, statement, app_id, count).await;
    }
}

/// When nobody asks about an order during a run.
pub(crate) const NEVER: &str = "4102444800000";

/// When an order is asked about at once.
pub(crate) const DUE: &str = "1";

/// Orders that wait for their payment: `prefix` and a number from 1.
pub(crate) async fn waiting(url: &str, app_id: &str, prefix: &str, count: usize, ask_at: &str) {
    let count = u64::try_from(count).unwrap();
    let order = format!(
        "INSERT INTO orders (out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, prepay, prepay_at,
                             created_at, accepted_at, ask_at, asked)
         SELECT '{prefix}' || n, 'JSAPI', $3, 20, 'bench', 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o', '{{}}', 'NOTPAY', 'wx' || n, n,
                n, n, {ask_at}, 0 FROM series"
    );
    fill(url, &order, app_id, count).await;
    let event = format!(
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at)
         SELECT '{prefix}' || n, 'order.created/{prefix}' || n, '{prefix}' || n, 1, 'order.created', $3, n FROM series"
    );
    fill(url, &event, app_id, count).await;
}

/// Runs the statement over the numbers from 1 to `count`; `third` is what its `$3` stands for.
async fn fill(url: &str, statement: &str, third: &str, count: u64) {
    if count == 0 {
        return;
    }
    let mut conn = AnyConnection::connect(url).await.unwrap();
    let series = match conn.backend_name() {
        "SQLite" => "WITH RECURSIVE series(n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM series WHERE n < $2)",
        _ => "WITH series AS (SELECT generate_series($1::bigint, $2::bigint) AS n)",
    };
    sqlx::query(sqlx::AssertSqlSafe(format!("{series} {statement}")))
        .bind(1_i64)
        .bind(i64::try_from(count).unwrap())
        .bind(third)
        .execute(&mut conn)
        .await
        .unwrap();
    if conn.backend_name() == "PostgreSQL" {
        sqlx::query("ANALYZE").execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
}
