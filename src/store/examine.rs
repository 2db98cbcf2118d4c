//! What a store is like, for `doctor`: looked at over connections of its own, so that it says why there is none, and nothing is made.

use std::path::Path;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, Connection as _};
use tokio_util::task::TaskTracker;

use super::conn::Conn;
use super::error::StoreError;
use super::migrations;

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Examined {
    /// The last migration that it has; `None` when it has none at all.
    pub(crate) version: Option<i64>,
    /// The last migration of this binary.
    pub(crate) expected: i64,
    /// Settings of the database, by name.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Anomalies that nobody has resolved.
    pub(crate) open_anomalies: i64,
    /// Messages to the business side that were given up.
    pub(crate) dead_messages: i64,
}

/// Looks at the store. Makes and changes nothing.
///
/// # Errors
/// Also [`StoreError::Absent`] for a SQLite file that is not there.
pub(crate) async fn examine(url: &str) -> Result<Examined, StoreError> {
    sqlx::any::install_default_drivers();
    let is_sqlite = url.starts_with("sqlite:");
    if is_sqlite {
        let file = sqlite_file(url);
        if !Path::new(file).is_file() {
            return Err(StoreError::Absent(file.to_owned()));
        }
    }
    // A pool would go on trying, and say only that it did.
    AnyConnection::connect(url).await?.close().await?;
    let pool = AnyPoolOptions::new().max_connections(1).connect(url).await?;
    let returns = TaskTracker::new();
    // As it works behind a pooler too.
    let mut conn = Conn::pooled(pool.begin().await?, returns.clone());
    let version = migrations::version(conn.inner()).await?;
    let names: &[&'static str] = if is_sqlite {
        &[]
    } else {
        &[
            "fsync",
            "full_page_writes",
            "synchronous_commit",
            "transaction_read_only",
            "server_version_num",
        ]
    };
    let mut settings = Vec::new();
    for &name in names {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut conn)
            .await?;
        settings.push((name, value));
    }
    let expected = migrations::last();
    let is_whole = version == Some(expected);
    let examined = Examined {
        version,
        expected,
        settings,
        open_anomalies: if is_whole { open_anomalies(&mut conn).await? } else { 0 },
        dead_messages: if is_whole { dead_messages(&mut conn).await? } else { 0 },
    };
    drop(conn);
    returns.close();
    returns.wait().await;
    pool.close().await;
    Ok(examined)
}

/// The file of a SQLite address.
pub(crate) fn sqlite_file(url: &str) -> &str {
    let path = url.split_once('?').map_or(url, |(path, _)| path);
    path.trim_start_matches("sqlite:").trim_start_matches("//")
}

async fn open_anomalies(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT COUNT(*) FROM anomalies WHERE resolved_at IS NULL")
            .fetch_one(conn)
            .await?,
    )
}

async fn dead_messages(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT COUNT(*) FROM events WHERE delivery = 'DEAD'")
            .fetch_one(conn)
            .await?,
    )
}
