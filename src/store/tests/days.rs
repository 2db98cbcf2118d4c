//! What belongs to a day is read in order, page by page, and without reading what does not.

use sqlx::Row as _;

use super::database::{Store, on_both_stores};
use super::{Books, books};
use crate::domain::reconciliation::{Span, Subject};
use crate::store::db::Dialect;
use crate::store::reconciliation::{page, page_of, standing};

on_both_stores!(
    a_day_is_read_page_by_page_from_its_first_moment_to_its_last,
    of_a_long_history_only_the_day_is_read,
    any_number_of_numbers_is_looked_up,
);

/// Twenty days of a hundred seconds with as many of each: one in ten moved no money.
async fn history(books: &Books, count: i64) {
    let mut tx = books.db.begin().await.unwrap();
    for statement in [
        "INSERT INTO orders (out_trade_no, kind, app_id, total, request, state, transaction_id, created_at, paid_at)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         SELECT 'ORDER_' || n, 'JSAPI', 'wx2421b1c4370ec43b', n, '', CASE WHEN n % 10 = 0 THEN 'NOTPAY' ELSE 'SUCCESS' END,
                CASE WHEN n % 10 = 0 THEN NULL ELSE '4200' || n END, n,
                CASE WHEN n % 10 = 0 THEN NULL ELSE CAST(n AS BIGINT) * 2000000 / $1 END
           FROM numbers",
        "INSERT INTO refunds (out_refund_no, out_trade_no, amount, request, state, created_at, asked_for_at, accepted_at, applied_at)
         SELECT 'REFUND_' || total, out_trade_no, total, '', 'SUCCESS', created_at, created_at, paid_at + 500,
                CASE WHEN total % 2 = 0 THEN paid_at ELSE NULL END
           FROM orders WHERE state = 'SUCCESS' AND total < $1 / 2",
        "INSERT INTO transfers (out_bill_no, transfer_bill_no, app_id, openid, amount, request, state, created_at, asked_for_at, accepted_at,
                                ended_at, succeeded_at)
         SELECT 'TB' || total, '1330' || total, app_id, 'o', total, '', CASE WHEN total % 3 = 0 THEN 'FAIL' ELSE 'SUCCESS' END,
                created_at, created_at, paid_at, paid_at + 500, CASE WHEN total % 3 = 1 THEN paid_at ELSE NULL END
           FROM orders WHERE state = 'SUCCESS' AND total < $1",
    ] {
        sqlx::query(statement).bind(count).execute(tx.conn()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut conn = books.db.write().await.unwrap();
    sqlx::query("ANALYZE").execute(&mut *conn).await.unwrap();
}

async fn a_day_is_read_page_by_page_from_its_first_moment_to_its_last(store: Store) {
    let books = books(store).await;
    history(&books, 400).await;
    let day = Span {
        from_ms: 100_000,
        until_ms: 200_000,
    };
    for (subject, expected) in [
        // 100,000 is the twentieth, which is not paid; 200,000 would be the fortieth.
        (
            Subject::Payment,
            (21..=39)
                .filter(|n| n % 10 != 0)
                .map(|n| format!("ORDER_{n}"))
                .collect::<Vec<_>>(),
        ),
        (
            Subject::Refund,
            (21..=39)
                .filter(|n| n % 10 != 0)
                .map(|n| format!("REFUND_{n}"))
                .collect(),
        ),
        (
            Subject::Transfer,
            (21..=39)
                .filter(|n| n % 10 != 0 && n % 3 != 0)
                .map(|n| format!("1330{n}"))
                .collect(),
        ),
    ] {
        for most in [1, 2, 5, 100] {
            let (mut numbers, mut after) = (Vec::new(), None);
            loop {
                let (entries, next) = page(&books.db, subject, day, after, most).await.unwrap();
                assert!(entries.iter().all(|entry| entry.at_ms.is_some_and(|at| day.holds(at))));
                assert!(entries.is_sorted_by_key(|entry| entry.at_ms));
                numbers.extend(entries.into_iter().map(|entry| entry.number));
                match next {
                    Some(place) => after = Some(place),
                    None => break,
                }
            }
            assert_eq!(numbers, expected, "{subject:?} in pages of {most}");
        }
    }
    let edge = Span {
        from_ms: 105_000,
        until_ms: 110_000,
    };
    let (entries, _) = page(&books.db, Subject::Payment, edge, None, 10).await.unwrap();
    assert_eq!(
        entries.len(),
        1,
        "its first moment is in it, and the first of the next day is not"
    );
}

#[expect(clippy::disallowed_methods, reason = "the plan of a statement that is a literal")]
async fn of_a_long_history_only_the_day_is_read(store: Store) {
    let books = books(store).await;
    history(&books, 20_000).await;
    for (subject, index) in [
        (Subject::Payment, "orders_paid"),
        (Subject::Refund, "refunds_applied"),
        (Subject::Transfer, "transfers_succeeded"),
    ] {
        let explain = match books.db.dialect() {
            Dialect::Sqlite => "EXPLAIN QUERY PLAN ",
            Dialect::Postgres => "EXPLAIN ",
        };
        let statement = sqlx::AssertSqlSafe(format!("{explain}{}", page_of(subject)));
        let mut conn = books.db.read().await.unwrap();
        let rows = sqlx::query(statement)
            .bind(100_000_i64)
            .bind("")
            .bind(200_000_i64)
            .bind(500_i64)
            .fetch_all(&mut *conn)
            .await
            .unwrap();
        let column = if store == Store::Sqlite { "detail" } else { "QUERY PLAN" };
        let plan: Vec<String> = rows.iter().map(|row| row.get(column)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{subject:?}: {plan}");
        assert!(
            !plan.contains("SCAN") && !plan.contains("Seq Scan") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
        assert!(!plan.contains("Sort") || plan.contains("Incremental"), "{plan}");
    }
}

async fn any_number_of_numbers_is_looked_up(store: Store) {
    let books = books(store).await;
    history(&books, 100).await;
    for count in [0, 1, 19, 20, 21, 45] {
        let numbers: Vec<String> = (1..=count).map(|n| format!("ORDER_{n}")).collect();
        let mut asked: Vec<&str> = numbers.iter().map(String::as_str).collect();
        asked.push("ORDER_UNKNOWN\0");
        let found = standing(&books.db, Subject::Payment, &asked).await.unwrap();
        assert_eq!(found.len(), numbers.len());
        assert!(
            numbers
                .iter()
                .all(|number| found.iter().any(|entry| entry.number == *number))
        );
    }
    let found = standing(&books.db, Subject::Transfer, &["13301", "TB1"]).await.unwrap();
    assert_eq!(found.len(), 1, "by WeChat's number");
}
