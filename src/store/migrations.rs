//! The migrations, built into the binary. One folder for both databases.
//!
//! Listed by hand rather than by sqlx's macro: the macro builds SQLite and the PostgreSQL client a second time for the compiler's own
//! use, and that is a large part of a first build.

use std::pin::Pin;

use sqlx::error::BoxDynError;
use sqlx::migrate::{Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr as _};

use super::error::StoreError;

/// Number, name and text of each, in order. What is listed here is never changed again, only added to.
const LIST: [(i64, &str, &str); 2] = [
    (
        1,
        "orders refunds callbacks events",
        include_str!("../../migrations/0001_orders_refunds_callbacks_events.sql"),
    ),
    (2, "transfers", include_str!("../../migrations/0002_transfers.sql")),
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

/// Applies what the store has not seen yet. Several instances may do so at once: PostgreSQL lets one of them in.
pub(super) async fn apply(pool: &AnyPool) -> Result<(), StoreError> {
    Migrator::new(Embedded).await?.run(pool).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
