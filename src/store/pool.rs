//! The connections of a process that stands: kept open, lent to one at a time, and given back without a word.
//!
//! sqlx's own pool asks each connection for a sign of life when it is taken and when it comes back, which costs a server two exchanges for
//! every transaction, and a file as many switches of threads. Here the first statement of a transaction is the sign of life: it changes
//! nothing, so that a connection which does not answer it is thrown away and the next one asked.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::{self, Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _, Error};
use tokio::time::{Instant, sleep, timeout_at};

/// SQLite's words for a file that somebody else holds: busy, busy with recovery, with an old snapshot, for too long.
const BUSY: [&str; 4] = ["5", "261", "517", "773"];

/// Pauses while a server does not take connections yet.
const PAUSE: Duration = Duration::from_millis(50);

/// After so long an idle connection to a server is not used any more: what is between may have forgotten it.
const LONGEST_IDLE: Duration = Duration::from_mins(10);

/// The longest life of a connection to a server, whose process grows with what it has seen.
const LONGEST_LIFE: Duration = Duration::from_mins(30);

/// So long after it answered, a connection to a server is used without asking whether it lives.
const TRUSTED: Duration = Duration::from_secs(1);

/// A connection, and when it answered last.
#[derive(Debug)]
pub(super) struct Kept {
    conn: AnyConnection,
    answered: Instant,
}

/// Opens connections, each with the statements that it needs.
pub(super) struct Opener {
    options: AnyConnectOptions,
    settings: &'static [&'static str],
    to_a_server: bool,
}

impl Manager for Opener {
    type Type = Kept;
    type Error = Error;

    async fn create(&self) -> Result<Kept, Error> {
        let mut conn = AnyConnection::connect_with(&self.options).await?;
        for setting in self.settings {
            sqlx::query(*setting).execute(&mut conn).await?;
        }
        Ok(Kept {
            conn,
            answered: Instant::now(),
        })
    }

    async fn recycle(&self, _: &mut Kept, known: &Metrics) -> RecycleResult<Error> {
        if self.to_a_server && (known.last_used() >= LONGEST_IDLE || known.age() >= LONGEST_LIFE) {
            return Err(RecycleError::message("it is old"));
        }
        Ok(())
    }
}

/// Connections to one store. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool {
    conns: managed::Pool<Opener>,
    /// Longest wait for a connection that answers.
    patience: Duration,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address has a password in it.
        f.debug_struct("Pool")
            .field("status", &self.conns.status())
            .finish_non_exhaustive()
    }
}

/// A connection that is thrown away unless its holder says that it is whole: in the middle of a statement nobody knows what it would
/// answer to the next one.
pub(super) struct Borrowed(Option<Object<Opener>>);

impl Borrowed {
    /// The next one can have it.
    pub(super) fn give_back(mut self) {
        if let Some(mut kept) = self.0.take() {
            kept.answered = Instant::now();
        }
    }

    /// Whether it answered a moment ago.
    fn has_just_answered(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.answered.elapsed() < TRUSTED)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            drop(Object::take(conn));
        }
    }
}

const HELD: &str = "it is given back by value or on drop only";

impl Deref for Borrowed {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.0.as_ref().expect(HELD).conn
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.0.as_mut().expect(HELD).conn
    }
}

/// What a connection is asked first.
#[derive(Clone, Copy)]
enum First {
    Statement(&'static str),
    Ping,
    /// The same, unless it answered a moment ago.
    PingAfterAWhile,
    Nothing,
}

impl First {
    async fn ask(self, conn: &mut Borrowed) -> Result<(), Error> {
        match self {
            Self::Statement(statement) => sqlx::query(statement).execute(&mut **conn).await.map(drop),
            Self::PingAfterAWhile if conn.has_just_answered() => Ok(()),
            Self::Ping | Self::PingAfterAWhile => conn.ping().await,
            Self::Nothing => Ok(()),
        }
    }
}

impl Pool {
    /// Connects to nobody yet. Each connection runs `settings` first.
    pub(super) fn new(
        url: &str,
        most: usize,
        patience: Duration,
        settings: &'static [&'static str],
    ) -> Result<Self, Error> {
        let opener = Opener {
            options: url.parse()?,
            settings,
            to_a_server: !url.starts_with("sqlite:"),
        };
        // The one that came back last has everything at hand, here and at the server.
        let conns = managed::Pool::builder(opener)
            .max_size(most)
            .queue_mode(QueueMode::Lifo)
            .build();
        Ok(Self {
            // Fails only for time limits without a runtime, and there are none.
            conns: conns.map_err(|error| Error::Configuration(error.into()))?,
            patience,
        })
    }

    /// Connections that are open, and those of them that nobody uses.
    pub(super) fn size(&self) -> (usize, usize) {
        let status = self.conns.status();
        (status.size, status.available)
    }

    /// A connection in a transaction that `begin` has begun.
    pub(super) async fn begin(&self, begin: &'static str) -> Result<Borrowed, Error> {
        self.answering(First::Statement(begin)).await
    }

    /// A connection that has just answered.
    pub(super) async fn lives(&self) -> Result<Borrowed, Error> {
        self.answering(First::Ping).await
    }

    /// A connection that answered a moment ago, or just now. For what may be asked again, should it have died since.
    pub(super) async fn trusted(&self) -> Result<Borrowed, Error> {
        self.answering(First::PingAfterAWhile).await
    }

    /// A connection as it is: of a file, which does not go away.
    pub(super) async fn any(&self) -> Result<Borrowed, Error> {
        self.answering(First::Nothing).await
    }

    async fn answering(&self, first: First) -> Result<Borrowed, Error> {
        let until = Instant::now() + self.patience;
        let late = |_| Error::PoolTimedOut;
        loop {
            let conn = match timeout_at(until, self.conns.get()).await.map_err(late)? {
                Ok(conn) => conn,
                Err(PoolError::Backend(error)) if comes(&error) => {
                    timeout_at(until, sleep(PAUSE)).await.map_err(late)?;
                    continue;
                }
                Err(PoolError::Backend(error)) => return Err(error),
                Err(PoolError::Closed) => return Err(Error::PoolClosed),
                Err(PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
                    return Err(Error::PoolTimedOut);
                }
            };
            let used = Object::metrics(&conn).recycled.is_some();
            let mut conn = Borrowed(Some(conn));
            match timeout_at(until, first.ask(&mut conn)).await.map_err(late)? {
                Ok(()) => return Ok(conn),
                // It lay there dead. Nothing was asked of it yet, so another one is.
                Err(error) if used && lost(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes what nobody uses, and hands out nothing any more.
    pub(super) async fn close(&self) {
        // Not taken as for use: for one that is too old, another would be opened first.
        for conn in self.conns.retain(|_, _| false).removed {
            if let Err(error) = conn.conn.close().await {
                tracing::debug!(%error, "a connection of the store was not closed properly");
            }
        }
        self.conns.close();
    }
}

/// Whether a store that cannot be opened now may be in a moment: a server is starting or has no connection to spare, a file is held by
/// whoever opens it at the same time.
fn comes(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(error) => {
            error.is_transient_in_connect_phase() || error.code().is_some_and(|code| BUSY.contains(&&*code))
        }
        _ => false,
    }
}

/// Whether the connection is what failed, and not what was asked of it.
pub(super) fn lost(error: &Error) -> bool {
    match error {
        // "Connection exception" and "operator intervention" in PostgreSQL's list of codes.
        Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        _ => false,
    }
}
