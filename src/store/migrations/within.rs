//! sqlx's migrator within one transaction of a PostgreSQL server's: its own way locks a session and leaves named statements in it, and
//! behind a pooler the session is somebody else's with the next transaction.

use std::time::Duration;

use futures_core::future::BoxFuture;
use sqlx::Row as _;
use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration};

use crate::store::conn::Conn;

/// The transaction.
pub(super) struct Within<'c>(pub(super) &'c mut Conn);

/// What sqlx multiplies the checksum of a database's name with, for the number of its lock.
const LOCK: i64 = 0x3d32_ad9e;

/// The number of the lock that sqlx takes for a database: whoever migrates with a session of their own is waited for, and waits.
fn lock_of(database: &str) -> i64 {
    let mut sum = flate2::Crc::new();
    sum.update(database.as_bytes());
    LOCK.wrapping_mul(i64::from(sum.sum()))
}

impl Migrate for Within<'_> {
    /// The migrator names none.
    fn create_schema_if_not_exists<'e>(&'e mut self, _: &'e str) -> BoxFuture<'e, Result<(), MigrateError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn ensure_migrations_table<'e>(&'e mut self, _: &'e str) -> BoxFuture<'e, Result<(), MigrateError>> {
        Box::pin(async move {
            sqlx::raw_sql(
                "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
                     version BIGINT PRIMARY KEY,
                     description TEXT NOT NULL,
                     installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
                     success BOOLEAN NOT NULL,
                     checksum BYTEA NOT NULL,
                     execution_time BIGINT NOT NULL
                 )",
            )
            .execute(&mut *self.0)
            .await?;
            Ok(())
        })
    }

    fn dirty_version<'e>(&'e mut self, _: &'e str) -> BoxFuture<'e, Result<Option<i64>, MigrateError>> {
        Box::pin(async move {
            let dirty = sqlx::query_scalar(
                "SELECT version FROM _sqlx_migrations WHERE success = false ORDER BY version LIMIT 1",
            );
            Ok(dirty.fetch_optional(&mut *self.0).await?)
        })
    }

    fn list_applied_migrations<'e>(
        &'e mut self,
        _: &'e str,
    ) -> BoxFuture<'e, Result<Vec<AppliedMigration>, MigrateError>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
                .fetch_all(&mut *self.0)
                .await?;
            let applied = rows.iter().map(|row| {
                let checksum: Vec<u8> = row.try_get("checksum")?;
                Ok(AppliedMigration {
                    version: row.try_get("version")?,
                    checksum: checksum.into(),
                })
            });
            applied.collect()
        })
    }

    fn lock(&mut self) -> BoxFuture<'_, Result<(), MigrateError>> {
        Box::pin(async move {
            let database: String = sqlx::query_scalar("SELECT CAST(current_database() AS TEXT)")
                .fetch_one(&mut *self.0)
                .await?;
            sqlx::query("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)")
                .bind(lock_of(&database))
                .execute(&mut *self.0)
                .await?;
            Ok(())
        })
    }

    /// The end of the transaction does.
    fn unlock(&mut self) -> BoxFuture<'_, Result<(), MigrateError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn apply<'e>(
        &'e mut self,
        table: &'e str,
        migration: &'e Migration,
    ) -> BoxFuture<'e, Result<Duration, MigrateError>> {
        Box::pin(async move {
            sqlx::raw_sql(migration.sql.clone())
                .execute(&mut *self.0)
                .await
                .map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
            self.skip(table, migration).await?;
            // It is kept for nobody.
            Ok(Duration::ZERO)
        })
    }

    /// Nothing is taken back: migrations only add.
    fn revert<'e>(&'e mut self, _: &'e str, gone: &'e Migration) -> BoxFuture<'e, Result<Duration, MigrateError>> {
        Box::pin(std::future::ready(Err(MigrateError::VersionMissing(gone.version))))
    }

    fn skip<'e>(&'e mut self, _: &'e str, migration: &'e Migration) -> BoxFuture<'e, Result<(), MigrateError>> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES ($1, $2, TRUE, $3, -1)",
            )
            .bind(migration.version)
            .bind(&*migration.description)
            .bind(&*migration.checksum)
            .execute(&mut *self.0)
            .await?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_the_one_that_sqlx_takes() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(lock_of("123456789"), 0x3d32_ad9e * 0xcbf4_3926);
    }
}
