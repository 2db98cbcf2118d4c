//! The migrations, built into the binary. One folder for both databases.
//!
//! Listed by hand rather than by sqlx's macro: the macro builds SQLite and the PostgreSQL client a second time for the compiler's own
//! use, and that is a large part of a first build.

use std::pin::Pin;

use sqlx::error::BoxDynError;
use sqlx::migrate::{Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr as _};

use super::db::Dialect;
use super::error::StoreError;

/// Number, name and text of each, in order. What is listed here is never changed again, only added to.
const LIST: [(i64, &str, &str); 3] = [
    (
        1,
        "orders refunds callbacks events",
        include_str!("../../migrations/0001_orders_refunds_callbacks_events.sql"),
    ),
    (2, "transfers", include_str!("../../migrations/0002_transfers.sql")),
    (3, "deliveries", include_str!("../../migrations/0003_deliveries.sql")),
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

/// Applies what the store has not seen yet. Several instances may do so at once: one of them goes in, and the others find it done. A
/// PostgreSQL server is locked for that by sqlx; a SQLite file by the transaction that holds all of it, since sqlx has no lock there.
pub(super) async fn apply(pool: &AnyPool, dialect: Dialect) -> Result<(), StoreError> {
    let migrator = Migrator::new(Embedded).await?;
    match dialect {
        Dialect::Sqlite => {
            let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
            // Not `run`: what it takes a connection from hides from callers that the future may change threads.
            migrator.run_direct(None, &mut *tx, false).await?;
            tx.commit().await?;
        }
        Dialect::Postgres => migrator.run(pool).await?,
    }
    Ok(())
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
