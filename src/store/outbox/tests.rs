//! What the sending costs depends on what is to be sent, not on what was: the plans of its statements, on both databases.

use sqlx::Row as _;

use super::*;
use crate::store::tests::database::{Database, Store, on_both_stores};

on_both_stores!(
    what_was_delivered_long_ago_is_not_looked_at,
    the_second_of_a_stream_has_no_turn_whoever_gives_it_one,
);

/// A store with 20,000 events that were delivered, and ten that are due.
async fn filled(store: Store) -> (Db, Database) {
    let database = Database::fresh(store).await;
    let db = Db::open(&database.url).await.unwrap().telling();
    let mut tx = db.begin().await.unwrap();
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20010)
         INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at, delivery, deliver_at, ended_at)
         SELECT 'E' || CAST(i AS TEXT), 'F' || CAST(i AS TEXT), 'S' || CAST(i AS TEXT), 1, 'order.created', '{}', i,
                CASE WHEN i <= 20000 THEN 'DELIVERED' ELSE 'WAITING' END,
                CASE WHEN i > 20000 THEN i END, CASE WHEN i <= 20000 THEN i END
           FROM n",
    )
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    sqlx::query("ANALYZE")
        .execute(&mut *db.write().await.unwrap())
        .await
        .unwrap();
    (db, database)
}

/// The lines of a statement's plan.
async fn plan(db: &Db, [sqlite, postgres]: [&'static str; 2], bound: &[&str]) -> String {
    let mut conn = db.read().await.unwrap();
    let (statement, column) = match db.dialect() {
        Dialect::Sqlite => (sqlite, "detail"),
        Dialect::Postgres => (postgres, "QUERY PLAN"),
    };
    let mut query = sqlx::query(statement);
    for value in bound {
        query = match value.parse::<i64>() {
            Ok(number) => query.bind(number),
            Err(_) => query.bind(*value),
        };
    }
    let lines = query.fetch_all(&mut *conn).await.unwrap();
    lines.iter().map(|line| line.get::<String, _>(column) + "\n").collect()
}

macro_rules! explained {
    ($($statement:tt)+) => {
        [
            concat!("EXPLAIN QUERY PLAN ", $($statement)+),
            concat!("EXPLAIN ", $($statement)+),
        ]
    };
}

async fn what_was_delivered_long_ago_is_not_looked_at(store: Store) {
    let (db, _database) = filled(store).await;
    let claims = [explained!(claim!("", "")), explained!(claim!(" AND attempts = 0", ""))];
    for claim in claims {
        let plan = plan(&db, claim, &["30000", "60000", "16"]).await;
        assert!(plan.contains("events_to_deliver"), "{plan}");
        assert!(!plan.contains("SCAN events\n") && !plan.contains("Seq Scan"), "{plan}");
    }
    let turn = explained!("SELECT 1 FROM events WHERE stream = $1 AND deliver_at IS NOT NULL");
    let turn = plan(&db, turn, &["S7"]).await;
    assert!(!turn.contains("SCAN events\n") && !turn.contains("Seq Scan"), "{turn}");
    let dead = explained!("SELECT event_id FROM events WHERE delivery = 'DEAD'");
    let dead = plan(&db, dead, &[]).await;
    assert!(dead.contains("events_dead"), "{dead}");

    assert_eq!(next_due(&db).await.unwrap(), Some(20001));
    let mut tx = db.begin().await.unwrap();
    let taken = claim_due(&mut tx, Which::Due, 20005, 90000, 16).await.unwrap();
    let mut ids: Vec<String> = taken.into_iter().map(|event| event.event_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["E20001", "E20002", "E20003", "E20004", "E20005"]);
}

/// Not even a statement that is wrong can have two of a stream sent at a time.
async fn the_second_of_a_stream_has_no_turn_whoever_gives_it_one(store: Store) {
    let (db, _database) = filled(store).await;
    let mut tx = db.begin().await.unwrap();
    let second = sqlx::query(
        "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at, delivery, deliver_at)
         VALUES ('second', 'second', 'S20001', 2, 'order.paid', '{}', 1, 'WAITING', 1)",
    );
    let refused = second.execute(tx.conn()).await.unwrap_err();
    assert!(refused.as_database_error().unwrap().is_unique_violation(), "{refused}");
}
