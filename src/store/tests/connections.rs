//! Connections that are kept: what is given back is whole, what is not is replaced.

#[path = "../../../tests/support/relay.rs"]
#[expect(
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "shared with the tests over HTTP"
)]
mod relay;

use std::net::SocketAddr;
use std::time::Duration;

use relay::Relay;
use url::Url;

use super::database::{Store, on_both_stores};
use super::{Books, books, insert_intent, new_order, number, orders, usual};
use crate::store::db::Tx;
use crate::store::pool::Pool;

on_both_stores!(
    what_is_cut_off_leaves_no_transaction_behind,
    whoever_comes_too_late_is_told_and_the_next_one_is_served,
    a_store_that_is_closed_hands_out_nothing,
    a_transaction_in_which_something_failed_is_not_said_to_be_durable,
);

async fn insert(books: &Books, text: &str) -> Tx {
    let mut tx = books.db.begin().await.unwrap();
    assert!(insert_intent(&mut tx, text, 10).await);
    tx
}

async fn is_there(books: &Books, text: &str) -> bool {
    let mut conn = books.db.read().await.unwrap();
    orders::find(&mut conn, &number(text)).await.unwrap().is_some()
}

/// Dropped at any point of its life, also in the middle of a statement or of a commit.
async fn what_is_cut_off_leaves_no_transaction_behind(store: Store) {
    let books = books(store).await;
    for round in 0..40_u64 {
        let text = format!("CUT_OFF_{round}");
        let work = async {
            let tx = insert(&books, &text).await;
            tx.commit().await.unwrap();
        };
        let _ended = tokio::time::timeout(Duration::from_micros(round * 50), work).await;
        drop(insert(&books, &format!("DROPPED_{round}")).await);
        // A statement by itself counts at once: nobody left a transaction open around it.
        let alone = format!("ALONE_{round}");
        assert!(
            usual::insert_intent(&books.db, &new_order(&alone), "{}", 1, 10)
                .await
                .unwrap()
        );
        assert!(is_there(&books, &alone).await, "round {round}");
        assert!(!is_there(&books, &format!("DROPPED_{round}")).await, "round {round}");
    }
}

async fn whoever_comes_too_late_is_told_and_the_next_one_is_served(store: Store) {
    let books = books(store).await;
    let pool = Pool::new(&books.database.url, 1, Duration::from_secs(1), &[]).unwrap();
    let held = pool.lives().await.unwrap();
    assert!(matches!(pool.lives().await.err(), Some(sqlx::Error::PoolTimedOut)));
    held.give_back();
    let held = pool.begin("BEGIN").await.unwrap();
    assert_eq!(pool.size(), (1, 0));
    // In the middle of something: it is not for the next one.
    drop(held);
    assert_eq!(pool.size(), (0, 0));
    pool.begin("BEGIN").await.unwrap().give_back();
    assert_eq!(pool.size(), (1, 1));
}

async fn a_store_that_is_closed_hands_out_nothing(store: Store) {
    let books = books(store).await;
    drop(insert(&books, "ORDER_1").await);
    books.db.ping().await.unwrap();
    books.db.close().await;
    assert!(books.db.begin().await.is_err() && books.db.read().await.is_err());
    assert!(books.db.ping().await.is_err(), "nor does it say that it answers");
    assert_eq!(books.db.connections(), (0, 0));
}

/// A server that went away and came back: nobody is given one of the connections that were lost.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn connections_that_died_are_replaced_unnoticed() {
    let books = books(Store::Postgres).await;
    let others: Vec<_> = futures_util::future::join_all((0..5).map(|_| books.db.begin()))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    for tx in others {
        tx.commit().await.unwrap();
    }
    assert_eq!(books.db.connections(), (5, 5));
    for round in 0..3 {
        let own = super::Db::open(&books.database.url).await.unwrap();
        let mut conn = own.write().await.unwrap();
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut *conn)
        .await
        .unwrap();
        drop(conn);
        insert(&books, &format!("ORDER_{round}")).await.commit().await.unwrap();
        assert!(!is_there(&books, "NOBODY").await);
    }
}

/// What somebody who went away had asked fails later: that is not said to whoever has the connection next.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn whoever_comes_next_does_not_hear_the_failure_of_what_was_cut_off() {
    let books = books(Store::Postgres).await;
    for next_begins in [true, false] {
        let mut conn = books.db.read().await.unwrap();
        let fails = sqlx::query("SELECT 1 / (extract(epoch FROM clock_timestamp())::int * 0) FROM pg_sleep(0.3)");
        let cut_off = tokio::time::timeout(Duration::from_millis(100), fails.execute(&mut *conn)).await;
        assert!(cut_off.is_err(), "{cut_off:?}");
        drop(conn);
        if next_begins {
            insert(&books, "ORDER_1").await.commit().await.unwrap();
        } else {
            assert!(is_there(&books, "ORDER_1").await);
        }
    }
}

/// To PostgreSQL, a COMMIT of a transaction in which something failed is a rollback that went well.
async fn a_transaction_in_which_something_failed_is_not_said_to_be_durable(store: Store) {
    let books = books(store).await;
    let mut tx = insert(&books, "ORDER_1").await;
    let failed = sqlx::query("SELECT nothing FROM nowhere").execute(tx.conn()).await;
    assert!(failed.is_err());
    let committed = tx.commit().await;
    assert_eq!(committed.is_ok(), is_there(&books, "ORDER_1").await);
}

/// Instances of a new version that start while one of them migrates, which may take its time.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn whoever_starts_while_another_one_migrates_waits_for_it() {
    use sqlx::Connection as _;
    use sqlx::migrate::Migrate as _;
    let books = books(Store::Postgres).await;
    let mut another = sqlx::AnyConnection::connect(&books.database.url).await.unwrap();
    another.lock().await.unwrap();
    let ends = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        another.unlock().await.unwrap();
    };
    let (started, ()) = tokio::join!(super::Db::open(&books.database.url), ends);
    started.unwrap();
}

async fn server_of(url: &str) -> SocketAddr {
    let url: Url = url.parse().unwrap();
    let server = (url.host_str().unwrap(), url.port().unwrap_or(5432));
    tokio::net::lookup_host(server).await.unwrap().next().unwrap()
}

fn through(relay: &Relay, url: &str) -> String {
    let mut url: Url = url.parse().unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(relay.address.port())).unwrap();
    url.into()
}

/// What stands before a server, of a container or of a cluster, may take connections before the server does.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn a_start_waits_for_a_server_whose_connections_are_closed_before_it_is_there() {
    let books = books(Store::Postgres).await;
    let mut server = Relay::shut(server_of(&books.database.url).await).await;
    let mut before = Relay::shut(server.address).await;
    before.open();
    let comes = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.open();
    };
    let url = through(&before, &books.database.url);
    let (started, ()) = tokio::join!(super::Db::open(&url), comes);
    started.unwrap();
}

/// A server that fell silent in the middle of every statement: nobody waits for it for ever, and none of its places is lost.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn a_server_that_says_nothing_any_more_keeps_no_connection() {
    let books = books(Store::Postgres).await;
    let mut relay = Relay::shut(server_of(&books.database.url).await).await;
    relay.open();
    let db = super::Db::open(&through(&relay, &books.database.url)).await.unwrap();
    let begun = futures_util::future::join_all((0..16).map(|_| db.begin())).await;
    relay.silence_what_stands();
    let cut_off = begun.into_iter().enumerate().map(|(place, tx)| async move {
        let mut tx = tx.unwrap();
        if place % 2 == 0 {
            return tx.commit().await.is_err();
        }
        let asked = orders::find(tx.conn(), &number("ORDER_1")).await;
        asked.is_err() && tx.commit().await.is_err()
    });
    let cut_off = tokio::time::timeout(Duration::from_secs(20), futures_util::future::join_all(cut_off));
    assert_eq!(cut_off.await.unwrap(), vec![true; 16]);
    db.begin().await.unwrap().commit().await.unwrap();
    db.close().await;
    assert_eq!(db.connections(), (0, 0));
}
