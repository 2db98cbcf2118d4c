//! The connection to the books, and the two differences between the databases.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{Any, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AnyPool, Transaction};
use tokio::sync::Notify;

use super::error::StoreError;
use super::migrations;
pub use super::migrations::Migrated;

/// Longest wait for a free connection; a callback has to be answered within 5 s.
const ACQUIRE: Duration = Duration::from_secs(3);

/// How often that long is waited for the first connection of a start.
const STARTS: u32 = 10;

/// Connections to a server at a time.
const CONNECTIONS: u32 = 16;

/// The same of one of many instances that come and go.
const FEW_CONNECTIONS: u32 = 4;

/// After so long a process that is frozen between requests does not trust an idle connection: what is between it and the server may have
/// forgotten it, and says nothing.
const TRUSTED_IDLE: Duration = Duration::from_secs(10);

/// Which database holds the books.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// A file; one writer.
    Sqlite,
    /// A server.
    Postgres,
}

/// What is done about the version of a store that is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Opening {
    /// It is brought to this binary's.
    Migrate,
    /// It has to be this binary's.
    AsItIs,
}

impl Opening {
    async fn settle(self, pool: &AnyPool, dialect: Dialect) -> Result<Migrated, StoreError> {
        match self {
            Self::Migrate => migrations::apply(pool, dialect).await,
            Self::AsItIs => migrations::check(pool).await,
        }
    }
}

/// The books. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    read: AnyPool,
    write: AnyPool,
    dialect: Dialect,
    /// Rung when an event waits to be told; `None` when there is nobody to tell.
    bell: Option<Arc<Notify>>,
}

/// A transaction; what was not committed is rolled back on drop.
pub struct Tx {
    inner: Transaction<'static, Any>,
    dialect: Dialect,
    bell: Option<Arc<Notify>>,
    has_told: bool,
}

impl Tx {
    /// Which database it is.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether there is somebody to tell of events.
    pub(super) fn tells(&self) -> bool {
        self.bell.is_some()
    }

    /// An event was written that waits to be told.
    pub(super) fn has_told(&mut self) {
        self.has_told = true;
    }

    /// The connection, for the functions of this layer.
    pub(crate) fn conn(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// Makes it durable. Until this returns, nothing has happened.
    pub async fn commit(self) -> Result<(), StoreError> {
        crate::crash::boundary().await;
        self.inner.commit().await?;
        crate::crash::boundary().await;
        if let Some(bell) = self.bell.filter(|_| self.has_told) {
            bell.notify_one();
        }
        Ok(())
    }
}

impl Db {
    /// Opens the store, makes the SQLite file when it is missing, and applies the migrations.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self::migrate(url).await?.0)
    }

    /// The same for a process that is one of many and is frozen between requests: few connections, and none that was idle for long.
    pub(crate) async fn open_frozen(url: &str) -> Result<Self, StoreError> {
        Ok(Self::connect(url, Opening::Migrate, true).await?.0)
    }

    /// The same, and says what was applied.
    pub async fn migrate(url: &str) -> Result<(Self, Migrated), StoreError> {
        Self::connect(url, Opening::Migrate, false).await
    }

    /// Opens a store to look at it: neither makes nor migrates one.
    ///
    /// # Errors
    /// Also when there is none, or when it is not of this binary's version.
    pub async fn inspect(url: &str) -> Result<Self, StoreError> {
        Ok(Self::connect(url, Opening::AsItIs, false).await?.0)
    }

    async fn connect(url: &str, opening: Opening, frozen: bool) -> Result<(Self, Migrated), StoreError> {
        sqlx::any::install_default_drivers();
        if url.starts_with("sqlite:") {
            Self::open_sqlite(url, opening).await
        } else {
            Self::open_postgres(url, opening, frozen).await
        }
    }

    async fn open_sqlite(url: &str, opening: Opening) -> Result<(Self, Migrated), StoreError> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let file = path.trim_start_matches("sqlite:").trim_start_matches("//");
        if opening == Opening::AsItIs && !Path::new(file).is_file() {
            return Err(StoreError::Absent(file.to_owned()));
        }
        if let Some(directory) = Path::new(file).parent()
            && !directory.as_os_str().is_empty()
        {
            std::fs::create_dir_all(directory).map_err(StoreError::Directory)?;
        }
        let url = if query.contains("mode=") {
            url.to_owned()
        } else {
            format!("{path}?{query}&mode=rwc").replace("?&", "?")
        };
        let options = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .idle_timeout(None)
                .max_lifetime(None)
                // A file does not go away between two statements.
                .test_before_acquire(false)
                .after_connect(|conn, _| {
                    Box::pin(async move {
                        // FULL: what was answered is on the disk, also after the power went.
                        for pragma in [
                            "PRAGMA busy_timeout = 3000",
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = FULL",
                            "PRAGMA foreign_keys = ON",
                        ] {
                            sqlx::query(pragma).execute(&mut *conn).await?;
                        }
                        Ok(())
                    })
                })
        };
        // One writer, so that nobody polls for the lock; it migrates before a reader opens.
        let write = options(1).connect_lazy(&url)?;
        first_connection(&write).await?;
        let migrated = opening.settle(&write, Dialect::Sqlite).await?;
        let read = options(4).connect_lazy(&url)?;
        let db = Self {
            read,
            write,
            dialect: Dialect::Sqlite,
            bell: None,
        };
        Ok((db, migrated))
    }

    async fn open_postgres(url: &str, opening: Opening, frozen: bool) -> Result<(Self, Migrated), StoreError> {
        let pool = AnyPoolOptions::new()
            .max_connections(if frozen { FEW_CONNECTIONS } else { CONNECTIONS })
            .before_acquire(move |_, idle| {
                let trusted = !frozen || idle.idle_for < TRUSTED_IDLE;
                Box::pin(async move { Ok(trusted) })
            })
            .acquire_timeout(ACQUIRE)
            .after_connect(|conn, _| {
                Box::pin(async move {
                    // An instance that is frozen in a transaction, or that the network lost, may not hold up the others.
                    for limit in [
                        "SET lock_timeout = '2s'",
                        "SET statement_timeout = '10s'",
                        "SET idle_in_transaction_session_timeout = '10s'",
                    ] {
                        sqlx::query(limit).execute(&mut *conn).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy(url)?;
        first_connection(&pool).await?;
        let migrated = opening.settle(&pool, Dialect::Postgres).await?;
        let db = Self {
            read: pool.clone(),
            write: pool,
            dialect: Dialect::Postgres,
            bell: None,
        };
        Ok((db, migrated))
    }

    /// The same store, where events wait to be told to somebody.
    #[must_use]
    pub(crate) fn telling(self) -> Self {
        Self {
            bell: Some(Arc::default()),
            ..self
        }
    }

    /// Returns once an event may be waiting to be told; never where there is nobody to tell.
    pub(crate) async fn told(&self) {
        match &self.bell {
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A transaction that may write. On SQLite it takes the write lock at once: one that reads first and then finds the lock taken
    /// cannot wait for it, it fails.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let begun = match self.dialect {
            Dialect::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Dialect::Postgres => self.write.begin().await?,
        };
        Ok(Tx {
            inner: begun,
            dialect: self.dialect,
            bell: self.bell.clone(),
            has_told: false,
        })
    }

    /// A connection to read from.
    pub(crate) async fn read(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.read.acquire().await?)
    }

    /// A connection for one statement that stands by itself and moves no money.
    pub(crate) async fn write(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.write.acquire().await?)
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.write).await?;
        Ok(())
    }

    /// Closes every connection; on SQLite the log is folded into the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// The first connection of a start may take its time: no caller waits yet, and the database may be starting too.
async fn first_connection(pool: &AnyPool) -> Result<(), StoreError> {
    for _ in 1..STARTS {
        match pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => tracing::warn!("the store does not answer yet; waiting for it"),
            other => return other.map(drop).map_err(StoreError::from),
        }
    }
    drop(pool.acquire().await?);
    Ok(())
}
