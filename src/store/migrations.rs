//! The migrations, built into the binary. One folder for both databases.
//!
//! Listed by hand rather than by sqlx's macro: the macro builds SQLite and the PostgreSQL client a second time for the compiler's own
//! use, and that is a large part of a first build.

mod within;

use std::pin::Pin;

use sqlx::error::BoxDynError;
use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection as _, SqlSafeStr as _};

use super::conn::Conn;
use super::db::Dialect;
use super::error::StoreError;
use within::Within;

/// Number, name and text of each, in order. What is listed here is never changed again, only added to.
const LIST: [(i64, &str, &str); 6] = [
    (
        1,
        "orders refunds callbacks events",
        include_str!("../../migrations/0001_orders_refunds_callbacks_events.sql"),
    ),
    (2, "transfers", include_str!("../../migrations/0002_transfers.sql")),
    (3, "deliveries", include_str!("../../migrations/0003_deliveries.sql")),
    (4, "requests", include_str!("../../migrations/0004_requests.sql")),
    (
        5,
        "reconciliation",
        include_str!("../../migrations/0005_reconciliation.sql"),
    ),
    (6, "resolved by", include_str!("../../migrations/0006_resolved_by.sql")),
];

#[derive(Debug)]
struct Embedded;

impl<'s> MigrationSource<'s> for Embedded {
    fn resolve(self) -> Pin<Box<dyn Future<Output = Result<Vec<Migration>, BoxDynError>> + Send + 's>> {
        let migration = |(number, name, text): (i64, &'static str, &'static str)| {
            Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
        };
        Box::pin(async move { Ok(LIST.into_iter().map(migration).collect()) })
    }
}

/// What became of a store that migrations were applied to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Migrated {
    /// Number and name of each migration that this run applied, in order.
    pub applied: Vec<(i64, &'static str)>,
    /// The last migration that the store has now.
    pub version: i64,
}

/// Applies what the store has not seen yet. Several instances may do so at once: one of them goes in, and the others find it done. A
/// PostgreSQL server is locked for that as sqlx does it; a SQLite file by the transaction that holds all of it, since sqlx has no lock
/// there.
pub(super) async fn apply(conn: &mut Conn, dialect: Dialect) -> Result<Migrated, StoreError> {
    let migrator = Migrator::new(Embedded).await?;
    // Not `run`: what it takes a connection from hides from callers that the future may change threads.
    match dialect {
        Dialect::Sqlite => {
            // sqlx's own transaction: within it, those of the migrator are parts.
            let mut tx = conn.inner().begin_with("BEGIN IMMEDIATE").await?;
            let before = version(&mut tx).await?;
            migrator.run_direct(None, &mut *tx, false).await?;
            tx.commit().await?;
            Ok(since(before))
        }
        Dialect::Postgres => {
            // Taken once more inside; only under it is what was there before known.
            lock(conn.inner()).await?;
            let before = version(conn.inner()).await?;
            let run = migrator.run_direct(None, conn.inner(), false).await;
            conn.inner().unlock().await?;
            run?;
            Ok(since(before))
        }
    }
}

/// How often it is tried to be the one that migrates, for two seconds each time: a connection waits for no lock any longer.
const TURNS: u32 = 15;

/// PostgreSQL's word that a lock was waited for in vain.
const HELD: &str = "55P03";

/// Waits for whoever migrates now: no caller waits yet, and a table with a long history takes its time.
async fn lock(conn: &mut AnyConnection) -> Result<(), MigrateError> {
    for _ in 1..TURNS {
        match conn.lock().await {
            Err(MigrateError::Execute(sqlx::Error::Database(error)))
                if error.code().is_some_and(|code| code == HELD) =>
            {
                tracing::warn!("another instance migrates the store; waiting for it");
            }
            done => return done,
        }
    }
    conn.lock().await
}

/// The same within a transaction of a server's that ends with it, so that nothing of it is left to the session.
pub(super) async fn apply_within(conn: &mut Conn) -> Result<Migrated, StoreError> {
    let migrator = Migrator::new(Embedded).await?;
    let mut within = Within(conn);
    within.lock().await?;
    let before = version(within.0.inner()).await?;
    migrator.run_direct(None, &mut within, false).await?;
    Ok(since(before))
}

/// Fails unless the store has exactly the migrations of this binary. Applies none.
pub(super) async fn check(conn: &mut Conn) -> Result<Migrated, StoreError> {
    let (found, expected) = (version(conn.inner()).await?.unwrap_or(0), last());
    if found == expected {
        Ok(since(Some(found)))
    } else {
        Err(StoreError::OtherVersion { found, expected })
    }
}

/// The last migration that a store has seen; `None` when it has seen none at all.
pub(super) async fn version(conn: &mut AnyConnection) -> Result<Option<i64>, StoreError> {
    // The server does not forgive a transaction a table that is not there, so the catalogue is asked first.
    let there = match conn.backend_name() {
        "SQLite" => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
        _ => "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')",
    };
    // Not by name: the next statement may find another server, and this one comes once in a life.
    let there: i64 = sqlx::query_scalar(there)
        .persistent(false)
        .fetch_one(&mut *conn)
        .await?;
    if there == 0 {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
        .persistent(false)
        .fetch_one(conn)
        .await?)
}

fn since(before: Option<i64>) -> Migrated {
    let applied = LIST.iter().map(|(number, name, _)| (*number, *name));
    Migrated {
        applied: applied.filter(|(number, _)| Some(*number) > before).collect(),
        version: last(),
    }
}

pub(super) fn last() -> i64 {
    LIST.iter().map(|(number, _, _)| *number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::Db;

    /// Instances that start at the same moment on a file that is new to all of them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_else_migrates_the_same_file_at_the_same_time_everybody_starts() {
        let folder = std::env::temp_dir().join(format!("pay-common-migrations-{}", crate::domain::ids::new_id()));
        for round in 0..20 {
            let url = format!("sqlite://{}/{round}.db", folder.display());
            let starts = (0..4).map(|_| {
                let url = url.clone();
                async move { Db::open(&url).await.map(drop).map_err(|error| error.to_string()) }
            });
            let started = futures_util::future::join_all(starts).await;
            assert_eq!(started, vec![Ok(()); 4], "round {round}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_store_says_which_migrations_were_applied_and_that_none_were_the_next_time() {
        use crate::store::db::Manner;

        let folder = std::env::temp_dir().join(format!("pay-common-migrations-{}", crate::domain::ids::new_id()));
        let url = format!("sqlite://{}/store.db", folder.display());
        for count in [LIST.len(), 0] {
            let (db, migrated) = Db::migrate(&url, Manner::Standing).await.unwrap();
            assert_eq!((migrated.applied.len(), migrated.version), (count, last()));
            db.close().await;
        }
        Db::inspect(&url, Manner::Standing).await.unwrap().close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_was_applied_is_what_comes_after_the_version_that_was_there() {
        let all: Vec<i64> = LIST.iter().map(|(number, _, _)| *number).collect();
        let applied = |before| {
            since(before)
                .applied
                .into_iter()
                .map(|(number, _)| number)
                .collect::<Vec<i64>>()
        };
        assert_eq!(applied(None), all);
        assert_eq!(applied(all.first().copied()), all[1..]);
        assert!(applied(Some(last())).is_empty());
        assert_eq!(all.last().copied(), Some(last()));
    }

    #[test]
    fn every_file_is_listed_in_order() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> = LIST
            .iter()
            .map(|(number, name, _)| format!("{number:04}_{}.sql", name.replace(' ', "_")))
            .collect();
        assert_eq!(listed, files);
    }
}
