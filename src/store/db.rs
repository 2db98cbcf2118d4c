//! The connection to the books, and the two differences between the databases.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use tokio::sync::Notify;

use super::conn::{Conn, Lent};
use super::error::StoreError;
use super::frozen::Frozen;
use super::migrations;
pub use super::migrations::Migrated;
use crate::metrics::Metrics;

/// Longest wait for a free connection; a callback has to be answered within 5 s.
pub(super) const ACQUIRE: Duration = Duration::from_secs(3);

/// How often that long is waited for the first connection of a start.
const STARTS: u32 = 10;

/// Connections to a server at a time.
const CONNECTIONS: u32 = 16;

/// Which database holds the books.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// A file; one writer.
    Sqlite,
    /// A server.
    Postgres,
}

/// How the process lives that opens a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// It runs on, and keeps its connections.
    Standing,
    /// It is one of many and is frozen between requests, and a pooler may be between it and the server. A file is opened as by any other.
    Frozen,
}

impl Manner {
    /// By the setting of that name.
    pub(crate) fn of(serverless: bool) -> Self {
        if serverless { Self::Frozen } else { Self::Standing }
    }
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
            Self::AsItIs => migrations::check(&mut Conn::alone(pool.acquire().await?)).await,
        }
    }
}

/// The books. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    read: AnyPool,
    write: AnyPool,
    dialect: Dialect,
    /// How the connections are used, where a server's cannot be trusted.
    frozen: Option<Arc<Frozen>>,
    /// Rung when an event waits to be told; `None` when there is nobody to tell.
    bell: Option<Arc<Notify>>,
    metrics: Metrics,
}

/// A transaction; what was not committed is rolled back on drop.
pub struct Tx {
    conn: Conn,
    dialect: Dialect,
    bell: Option<Arc<Notify>>,
    has_told: bool,
    metrics: Metrics,
    /// What the books say now and did not say before.
    facts: Vec<&'static str>,
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

    /// An event was written, whether there is somebody to tell of it or not.
    pub(super) fn has_moved(&mut self, kind: &'static str) {
        self.facts.push(kind);
    }

    /// The connection, for the functions of this layer.
    pub(crate) fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Makes it durable. Until this returns, nothing has happened.
    pub async fn commit(self) -> Result<(), StoreError> {
        crate::crash::boundary().await;
        self.conn.commit().await?;
        crate::crash::boundary().await;
        for kind in self.facts {
            self.metrics.fact(kind);
        }
        if let Some(bell) = self.bell.filter(|_| self.has_told) {
            bell.notify_one();
        }
        Ok(())
    }
}

impl Db {
    /// Opens the store, makes the SQLite file when it is missing, and applies the migrations.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self::migrate(url, Manner::Standing).await?.0)
    }

    /// The same for a process that is frozen between requests: a server is connected to, and its store brought to this version, by the
    /// first request that needs it.
    pub(crate) async fn open_frozen(url: &str) -> Result<Self, StoreError> {
        match Self::frozen(url)? {
            Some((db, _)) => Ok(db),
            None => Self::open(url).await,
        }
    }

    /// The same, and says what was applied.
    pub async fn migrate(url: &str, manner: Manner) -> Result<(Self, Migrated), StoreError> {
        Self::connect(url, Opening::Migrate, manner).await
    }

    /// Opens a store to look at it: neither makes nor migrates one.
    ///
    /// # Errors
    /// Also when there is none, or when it is not of this binary's version.
    pub async fn inspect(url: &str, manner: Manner) -> Result<Self, StoreError> {
        Ok(Self::connect(url, Opening::AsItIs, manner).await?.0)
    }

    async fn connect(url: &str, opening: Opening, manner: Manner) -> Result<(Self, Migrated), StoreError> {
        if manner == Manner::Frozen
            && let Some((db, frozen)) = Self::frozen(url)?
        {
            let migrated = match opening {
                Opening::Migrate => frozen.migrate().await?,
                Opening::AsItIs => frozen.inspect().await?,
            };
            return Ok((db, migrated));
        }
        sqlx::any::install_default_drivers();
        if url.starts_with("sqlite:") {
            Self::open_sqlite(url, opening).await
        } else {
            Self::open_postgres(url, opening).await
        }
    }

    /// A server's store that nobody has connected to yet; `None` for a file.
    fn frozen(url: &str) -> Result<Option<(Self, Arc<Frozen>)>, StoreError> {
        if url.starts_with("sqlite:") {
            return Ok(None);
        }
        sqlx::any::install_default_drivers();
        let frozen = Arc::new(Frozen::new(url)?);
        let db = Self {
            read: frozen.pool().clone(),
            write: frozen.pool().clone(),
            dialect: Dialect::Postgres,
            frozen: Some(Arc::clone(&frozen)),
            bell: None,
            metrics: Metrics::default(),
        };
        Ok(Some((db, frozen)))
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
            frozen: None,
            bell: None,
            metrics: Metrics::default(),
        };
        Ok((db, migrated))
    }

    async fn open_postgres(url: &str, opening: Opening) -> Result<(Self, Migrated), StoreError> {
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
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
            frozen: None,
            bell: None,
            metrics: Metrics::default(),
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

    /// The same store, whose moves are counted there.
    #[must_use]
    pub(crate) fn counting(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Connections that are open, and those of them that nobody uses.
    pub(crate) fn connections(&self) -> (u32, usize) {
        let more = match self.dialect {
            Dialect::Sqlite => (self.read.size(), self.read.num_idle()),
            Dialect::Postgres => (0, 0),
        };
        (self.write.size() + more.0, self.write.num_idle() + more.1)
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
        let conn = match (&self.frozen, self.dialect) {
            (Some(frozen), _) => frozen.to_write().await?,
            (None, Dialect::Sqlite) => Conn::within(self.write.begin_with("BEGIN IMMEDIATE").await?),
            (None, Dialect::Postgres) => Conn::within(self.write.begin().await?),
        };
        Ok(Tx {
            conn,
            dialect: self.dialect,
            bell: self.bell.clone(),
            has_told: false,
            metrics: self.metrics.clone(),
            facts: Vec::new(),
        })
    }

    /// A connection to read from.
    pub(crate) async fn read(&self) -> Result<Lent, StoreError> {
        Ok(Lent(match &self.frozen {
            Some(frozen) => frozen.to_read().await?,
            None => Conn::alone(self.read.acquire().await?),
        }))
    }

    /// A connection for one statement that stands by itself and moves no money; it counts once it is kept.
    pub(crate) async fn write(&self) -> Result<Lent, StoreError> {
        Ok(Lent(match &self.frozen {
            Some(frozen) => frozen.to_write().await?,
            None => Conn::alone(self.write.acquire().await?),
        }))
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut conn = match &self.frozen {
            Some(_) => self.read().await?,
            None => self.write().await?,
        };
        sqlx::query("SELECT 1").execute(&mut *conn).await?;
        Ok(())
    }

    /// Returns once nothing of a request that has ended is left to be done at the server.
    pub(crate) async fn at_rest(&self) {
        if let Some(frozen) = &self.frozen {
            frozen.at_rest().await;
        }
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
