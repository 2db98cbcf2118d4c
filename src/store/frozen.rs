//! The store of a process that is frozen between requests: opened by whoever needs it first, and never trusted to have stayed as it was.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection as _};
use tokio_util::task::TaskTracker;

use super::conn::Conn;
use super::db::ACQUIRE;
use super::error::StoreError;
use super::migrations::{self, Migrated};

/// Connections at a time: there are many such processes, and each has few requests.
const CONNECTIONS: u32 = 4;

/// After so long an idle connection is not even asked whether it lives: what is between it and the server may have forgotten it.
const TRUSTED_IDLE: Duration = Duration::from_secs(10);

/// Longest wait for a connection's word that it lives. One that lost its server says nothing at all.
const SIGN_OF_LIFE: Duration = Duration::from_millis(750);

/// Longest wait for the transactions of a request to be rolled back, before its answer.
const RETURN: Duration = Duration::from_millis(250);

/// The begin of a transaction, with the limits that a session cannot keep here, in one exchange.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// The same of one that only reads.
const BEGIN_TO_READ: &str = "BEGIN READ ONLY; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// When a connection was last found dead.
type Lost = Arc<Mutex<Option<Instant>>>;

/// A server's store whose connections may be a pooler's.
#[derive(Debug)]
pub(super) struct Frozen {
    pool: AnyPool,
    /// Set once the store is known to be of this binary's version.
    ready: OnceLock<Migrated>,
    /// Held by whoever brings it there.
    bringing: tokio::sync::Mutex<()>,
    /// Rollbacks under way.
    returns: TaskTracker,
}

impl Frozen {
    /// Connects to nobody yet.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let known: AnyConnectOptions = url.parse()?;
        let options = known.clone();
        let lost = Lost::default();
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            // sqlx's own test of a connection waits without an end.
            .test_before_acquire(false)
            .before_acquire(move |conn, known| {
                let (options, lost) = (options.clone(), Arc::clone(&lost));
                Box::pin(async move {
                    if !trusted(conn, known.idle_for, &lost).await {
                        // In its place: the pool would close it first, and under TLS that waits for the peer's farewell.
                        *conn = AnyConnection::connect_with(&options).await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(known);
        let returns = TaskTracker::new();
        // It can be waited for then, and takes tasks all the same.
        returns.close();
        Ok(Self {
            pool,
            ready: OnceLock::new(),
            bringing: tokio::sync::Mutex::default(),
            returns,
        })
    }

    /// Connections that are open, and those of them that nobody uses.
    pub(super) fn size(&self) -> (usize, usize) {
        (
            usize::try_from(self.pool.size()).unwrap_or(usize::MAX),
            self.pool.num_idle(),
        )
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Brings the store to this binary's version, if nobody did yet.
    pub(super) async fn migrate(&self) -> Result<Migrated, StoreError> {
        // Who waits for somebody else's try waits no longer than for a connection.
        let turn = tokio::time::timeout(ACQUIRE, self.bringing.lock()).await;
        let _turn = turn.map_err(|_| StoreError::Unavailable(sqlx::Error::PoolTimedOut))?;
        if let Some(done) = self.ready.get() {
            return Ok(done.clone());
        }
        let done = self.bring_up().await?;
        Ok(self.ready.get_or_init(|| done).clone())
    }

    async fn bring_up(&self) -> Result<Migrated, StoreError> {
        // Looked for first: most starts find nothing to do, and many may start at once.
        match self.check().await {
            Err(StoreError::OtherVersion { .. }) => {}
            found => return found,
        }
        let mut conn = self.begin(BEGIN).await?;
        let migrated = migrations::apply_within(&mut conn).await?;
        conn.commit().await?;
        Ok(migrated)
    }

    /// Fails unless the store is of this binary's version. Brings it nowhere.
    pub(super) async fn inspect(&self) -> Result<Migrated, StoreError> {
        let found = self.check().await?;
        Ok(self.ready.get_or_init(|| found).clone())
    }

    async fn check(&self) -> Result<Migrated, StoreError> {
        migrations::check(&mut self.begin(BEGIN_TO_READ).await?).await
    }

    /// A transaction that may write.
    pub(super) async fn to_write(&self) -> Result<Conn, StoreError> {
        self.ready().await?;
        self.begin(BEGIN).await
    }

    /// A transaction that does not.
    pub(super) async fn to_read(&self) -> Result<Conn, StoreError> {
        self.ready().await?;
        self.begin(BEGIN_TO_READ).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        if self.ready.get().is_none() {
            self.migrate().await?;
        }
        Ok(())
    }

    async fn begin(&self, statement: &'static str) -> Result<Conn, StoreError> {
        let begun = self.pool.begin_with(statement).await?;
        Ok(Conn::pooled(begun, self.returns.clone()))
    }

    /// Returns once no transaction of a request that has ended holds a server any longer.
    pub(super) async fn at_rest(&self) {
        if tokio::time::timeout(RETURN, self.returns.wait()).await.is_err() {
            tracing::warn!("a transaction was not rolled back before the answer");
        }
    }
}

/// Whether a connection can be used that nobody has used for so long.
async fn trusted(conn: &mut AnyConnection, idle_for: Duration, lost: &Mutex<Option<Instant>>) -> bool {
    let last = *lost.lock().unwrap_or_else(PoisonError::into_inner);
    // What was idle when another one was found dead went the same way: to ask each would take longer than anybody waits.
    if idle_for >= TRUSTED_IDLE || last.is_some_and(|lost| lost.elapsed() <= idle_for) {
        return false;
    }
    let lives = lives(conn).await;
    if !lives {
        *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
    lives
}

/// Whether the server at the other end still answers.
async fn lives(conn: &mut AnyConnection) -> bool {
    matches!(tokio::time::timeout(SIGN_OF_LIFE, conn.ping()).await, Ok(Ok(())))
}
