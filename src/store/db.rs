//! The connection to the books, and the two differences between the databases.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::at_once::{self, Line};
use super::change::{Change, Value};
use super::conn::{Conn, Lent};
use super::error::StoreError;
use super::frozen::Frozen;
use super::migrations;
pub use super::migrations::Migrated;
use super::pool::Pool;
use crate::metrics::Metrics;

/// Longest wait for a free connection; a callback has to be answered within 5 s.
pub(super) const ACQUIRE: Duration = Duration::from_secs(3);

/// How often that long is waited for the first connection of a start.
const STARTS: u32 = 10;

/// Connections to a server at a time.
const CONNECTIONS: usize = 16;

/// Connections that read a file at a time.
const READERS: usize = 4;

/// Of a connection to a file. FULL: what was answered is on the disk, also after the power went.
const OF_A_FILE: &[&str] = &[
    "PRAGMA busy_timeout = 3000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
];

/// Of a connection to a server: an instance that is frozen in a transaction, or that the network lost, may not hold up the others.
const OF_A_SERVER: &[&str] = &[
    "SET lock_timeout = '2s'",
    "SET statement_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '10s'",
];

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
    async fn settle(self, conns: &Standing) -> Result<Migrated, StoreError> {
        match self {
            Self::Migrate => migrations::apply(&mut conns.alone(&conns.write).await?, conns.dialect).await,
            Self::AsItIs => migrations::check(&mut conns.alone(&conns.write).await?).await,
        }
    }
}

/// The connections of a process that keeps them.
#[derive(Clone, Debug)]
struct Standing {
    read: Pool,
    /// The same for a server.
    write: Pool,
    dialect: Dialect,
    /// Rollbacks under way.
    returns: TaskTracker,
    /// Changes that wait for a file.
    line: Line,
}

impl Standing {
    fn new(read: Pool, write: Pool, dialect: Dialect) -> Self {
        let returns = TaskTracker::new();
        // It can be waited for then, and takes tasks all the same.
        returns.close();
        Self {
            read,
            write,
            dialect,
            returns,
            line: Line::default(),
        }
    }

    async fn at_once(&self, change: &'static Change, values: Vec<Value>) -> Result<Option<AnyRow>, sqlx::Error> {
        match self.dialect {
            Dialect::Sqlite => self.line.ride(&self.write, &self.returns, change, values).await,
            Dialect::Postgres => at_once::at_server(&self.write, &self.returns, change, &values).await,
        }
    }

    async fn begin(&self) -> Result<Conn, StoreError> {
        let statement = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        Ok(Conn::begun(self.write.begin(statement).await?, self.returns.clone()))
    }

    async fn alone(&self, pool: &Pool) -> Result<Conn, StoreError> {
        let conn = match self.dialect {
            Dialect::Sqlite => pool.any().await?,
            Dialect::Postgres => pool.lives().await?,
        };
        Ok(Conn::alone(conn, self.returns.clone()))
    }

    async fn close(&self) {
        self.returns.wait().await;
        self.read.close().await;
        self.write.close().await;
    }
}

/// How the connections are used.
#[derive(Clone, Debug)]
enum Conns {
    /// They are kept.
    Standing(Standing),
    /// A server's that cannot be trusted.
    Frozen(Arc<Frozen>),
}

/// The books. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    conns: Conns,
    dialect: Dialect,
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
        let db = Self::of(Conns::Frozen(Arc::clone(&frozen)), Dialect::Postgres);
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
        // One writer, so that nobody polls for the lock; it migrates before a reader opens.
        let conns = Standing::new(
            Pool::new(&url, READERS, ACQUIRE, OF_A_FILE)?,
            Pool::new(&url, 1, ACQUIRE, OF_A_FILE)?,
            Dialect::Sqlite,
        );
        Self::opened(conns, opening).await
    }

    async fn open_postgres(url: &str, opening: Opening) -> Result<(Self, Migrated), StoreError> {
        let pool = Pool::new(url, CONNECTIONS, ACQUIRE, OF_A_SERVER)?;
        Self::opened(Standing::new(pool.clone(), pool, Dialect::Postgres), opening).await
    }

    async fn opened(conns: Standing, opening: Opening) -> Result<(Self, Migrated), StoreError> {
        first_connection(&conns.write).await?;
        let migrated = opening.settle(&conns).await?;
        let dialect = conns.dialect;
        Ok((Self::of(Conns::Standing(conns), dialect), migrated))
    }

    fn of(conns: Conns, dialect: Dialect) -> Self {
        Self {
            conns,
            dialect,
            bell: None,
            metrics: Metrics::default(),
        }
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
    pub(crate) fn connections(&self) -> (usize, usize) {
        match &self.conns {
            Conns::Frozen(frozen) => frozen.size(),
            Conns::Standing(conns) => {
                let (open, idle) = conns.write.size();
                match self.dialect {
                    Dialect::Postgres => (open, idle),
                    Dialect::Sqlite => {
                        let readers = conns.read.size();
                        (open + readers.0, idle + readers.1)
                    }
                }
            }
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
        let conn = match &self.conns {
            Conns::Frozen(frozen) => frozen.to_write().await?,
            Conns::Standing(conns) => conns.begin().await?,
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

    /// Does a change that is a transaction of its own. Until this returns, nothing has happened.
    pub(super) async fn at_once(
        &self,
        change: &'static Change,
        values: Vec<Value>,
    ) -> Result<Option<AnyRow>, StoreError> {
        crate::crash::boundary().await;
        let row = match &self.conns {
            Conns::Standing(conns) => conns.at_once(change, values).await?,
            Conns::Frozen(frozen) => {
                let mut conn = frozen.to_write().await?;
                let row = at_once::run(&mut conn, change.server, &values).await?;
                conn.commit().await?;
                row
            }
        };
        crate::crash::boundary().await;
        Ok(row)
    }

    /// Whether there is somebody to tell of events.
    pub(super) fn tells(&self) -> bool {
        self.bell.is_some()
    }

    /// An event was written, and is durable.
    pub(super) fn has_moved(&self, kind: &'static str) {
        self.metrics.fact(kind);
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
    }

    /// A connection to read from.
    pub(crate) async fn read(&self) -> Result<Lent, StoreError> {
        Ok(Lent(match &self.conns {
            Conns::Frozen(frozen) => frozen.to_read().await?,
            Conns::Standing(conns) => conns.alone(&conns.read).await?,
        }))
    }

    /// A connection for one statement that stands by itself, with no event beside it; it counts once it is kept.
    pub(crate) async fn write(&self) -> Result<Lent, StoreError> {
        Ok(Lent(match &self.conns {
            Conns::Frozen(frozen) => frozen.to_write().await?,
            Conns::Standing(conns) => conns.alone(&conns.write).await?,
        }))
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut conn = match &self.conns {
            Conns::Frozen(_) => self.read().await?,
            Conns::Standing(_) => self.write().await?,
        };
        sqlx::query("SELECT 1").execute(&mut *conn).await?;
        Ok(())
    }

    /// Returns once nothing of a request that has ended is left to be done at the server.
    pub(crate) async fn at_rest(&self) {
        if let Conns::Frozen(frozen) = &self.conns {
            frozen.at_rest().await;
        }
    }

    /// Closes every connection; on SQLite the log is folded into the file.
    pub async fn close(&self) {
        match &self.conns {
            Conns::Frozen(frozen) => frozen.close().await,
            Conns::Standing(conns) => conns.close().await,
        }
    }
}

/// The first connection of a start may take its time: no caller waits yet, and the database may be starting too.
async fn first_connection(pool: &Pool) -> Result<(), StoreError> {
    for _ in 1..STARTS {
        match pool.lives().await {
            Err(sqlx::Error::PoolTimedOut) => tracing::warn!("the store does not answer yet; waiting for it"),
            // What stands before a server may take connections before the server does, and closes them.
            Err(sqlx::Error::Io(error))
                if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) =>
            {
                tracing::warn!("the store closes whatever connects to it; waiting for it");
                tokio::time::sleep(ACQUIRE).await;
            }
            Ok(conn) => {
                conn.give_back();
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    pool.lives().await?.give_back();
    Ok(())
}
