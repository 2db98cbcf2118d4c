//! A connection as the functions of this layer see it, in either manner.
//!
//! A process that stands keeps its connections, and with them the statements that the server knows by name. One that is frozen between
//! requests may reach its server through a pooler that gives it another server with every transaction (PgBouncer in transaction mode,
//! also one that knows nothing of prepared statements): there, no statement has a name, and none stands outside a transaction, since
//! telling a statement and running it are two exchanges.

use std::fmt;
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_core::stream::{BoxStream, Stream};
use sqlx::any::{Any, AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::error::BoxDynError;
use sqlx::{AnyConnection, Either, Error, Execute, Executor, SqlStr, Transaction};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::error::StoreError;
use super::pool::Borrowed;

/// Longest wait for the end of a transaction that nobody waits for.
const ROLLBACK: Duration = Duration::from_secs(3);

/// Longest silence of a server in the middle of a statement. It ends each of them within 10 s (`statement_timeout`), so what says nothing
/// for longer is not there any more, and would keep a place among the connections until TCP gives up, a quarter of an hour later.
const SILENCE: Duration = Duration::from_secs(15);

/// What a connection is held as.
enum Held {
    /// Each statement by itself.
    Alone(Borrowed),
    /// Within a transaction that was begun on it.
    Begun(Borrowed),
    /// Within one of a pooler's servers.
    Pooled(Transaction<'static, Any>),
}

/// A connection, alone or within a transaction. What was not committed is rolled back on drop.
pub(crate) struct Conn {
    /// `None` only once it was given back.
    held: Option<Held>,
    /// Whether the server remembers statements by name.
    named: bool,
    /// Whether a statement was begun whose end nobody has seen yet.
    midway: bool,
    /// Whether a statement failed.
    failed: bool,
    /// Where a rollback can be waited for.
    returns: TaskTracker,
}

impl Conn {
    /// One that runs each statement by itself.
    pub(super) fn alone(conn: Borrowed, returns: TaskTracker) -> Self {
        Self {
            held: Some(Held::Alone(conn)),
            named: true,
            midway: false,
            failed: false,
            returns,
        }
    }

    /// One on which a transaction was begun.
    pub(super) fn begun(conn: Borrowed, returns: TaskTracker) -> Self {
        Self {
            held: Some(Held::Begun(conn)),
            named: true,
            midway: false,
            failed: false,
            returns,
        }
    }

    /// The same where the next transaction may have another server.
    pub(super) fn pooled(tx: Transaction<'static, Any>, returns: TaskTracker) -> Self {
        Self {
            held: Some(Held::Pooled(tx)),
            named: false,
            midway: false,
            failed: false,
            returns,
        }
    }

    /// sqlx's own connection, for what is not a query.
    pub(super) fn inner(&mut self) -> &mut AnyConnection {
        connection(&mut self.held)
    }

    /// The end of a transaction that was committed within the text of a statement.
    pub(super) fn put_back(mut self) {
        match self.held.take() {
            Some(Held::Alone(conn) | Held::Begun(conn)) => conn.give_back(),
            // A pooler's transaction ends by itself only.
            held @ (Some(Held::Pooled(_)) | None) => self.held = held,
        }
    }

    /// Makes what was done durable, where it is not yet.
    ///
    /// # Errors
    /// Also when a statement of the transaction failed, whatever became of that: PostgreSQL rolls back then, and says that all went well.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        let is_transaction = matches!(self.held, Some(Held::Begun(_) | Held::Pooled(_)));
        if is_transaction && (self.failed || self.midway) {
            return Err(Error::Protocol("a statement of the transaction failed".to_owned()));
        }
        match self.held.take() {
            Some(Held::Begun(mut conn)) => {
                // A connection that fails here is thrown away, and its transaction with it.
                let limit = limit(&conn);
                heard(limit, sqlx::query("COMMIT").execute(&mut *conn)).await?;
                conn.give_back();
                Ok(())
            }
            Some(Held::Pooled(tx)) => tx.commit().await,
            Some(Held::Alone(conn)) => {
                conn.give_back();
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        // A store that waits for the end of a transaction is nobody else's until then.
        match self.held.take() {
            // Whoever had it next would wait for that statement's end, and hear its failure as their own.
            Some(Held::Alone(conn)) if self.midway => drop(conn),
            Some(Held::Alone(conn)) => conn.give_back(),
            Some(Held::Begun(mut conn)) => {
                self.returns.spawn(async move {
                    let rollback = sqlx::query("ROLLBACK").execute(&mut *conn);
                    // A server that says nothing does not keep a place among the connections.
                    match timeout(ROLLBACK, rollback).await {
                        Ok(Ok(_)) => conn.give_back(),
                        Ok(Err(error)) => not_rolled_back(&error),
                        Err(_) => not_rolled_back(&Error::PoolTimedOut),
                    }
                });
            }
            Some(Held::Pooled(tx)) => {
                self.returns.spawn(async move {
                    if let Err(error) = tx.rollback().await {
                        not_rolled_back(&error);
                    }
                });
            }
            None => {}
        }
    }
}

fn connection(held: &mut Option<Held>) -> &mut AnyConnection {
    match held.as_mut().expect("it is given back by value or on drop only") {
        Held::Alone(conn) | Held::Begun(conn) => conn,
        Held::Pooled(tx) => tx,
    }
}

/// How long an answer is waited for; without an end that of a file, which does not go away.
fn limit(conn: &AnyConnection) -> Option<Duration> {
    (conn.backend_name() != "SQLite").then_some(SILENCE)
}

fn silent() -> Error {
    Error::Io(ErrorKind::TimedOut.into())
}

async fn heard<T>(limit: Option<Duration>, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match limit {
        Some(limit) => timeout(limit, answer).await.unwrap_or_else(|_| Err(silent())),
        None => answer.await,
    }
}

fn not_rolled_back(error: &Error) {
    tracing::debug!(%error, "a transaction was not rolled back; its connection is thrown away");
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}

/// A connection that is the pool's again when this is dropped.
#[derive(Debug)]
pub(crate) struct Lent(pub(super) Conn);

impl Lent {
    /// The end of one that wrote something. Until this returns, nothing has happened.
    pub(crate) async fn keep(self) -> Result<(), StoreError> {
        self.0.commit().await?;
        crate::crash::boundary().await;
        Ok(())
    }
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

/// A query that is told to the server by its name only where that lasts.
struct Told<E> {
    query: E,
    named: bool,
}

impl<'q, E: Execute<'q, Any>> Execute<'q, Any> for Told<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&AnyStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<AnyArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.named && self.query.persistent()
    }
}

/// What a statement brings, and whether that was all of it.
struct Followed<'e> {
    found: BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>,
    limit: Option<Duration>,
    /// The end of the silence that lasts.
    silence: Option<Pin<Box<Sleep>>>,
    midway: &'e mut bool,
    failed: &'e mut bool,
}

impl Stream for Followed<'_> {
    type Item = Result<Either<AnyQueryResult, AnyRow>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        *self.midway = true;
        let next = match self.found.as_mut().poll_next(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                let Some(limit) = self.limit else { return Poll::Pending };
                let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(limit)));
                ready!(silence.as_mut().poll(cx));
                Some(Err(silent()))
            }
        };
        self.silence = None;
        *self.midway = matches!(next, Some(Ok(_) | Err(Error::Io(_))));
        *self.failed |= matches!(next, Some(Err(_)));
        Poll::Ready(next)
    }
}

impl<'c> Executor<'c> for &'c mut Conn {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let named = self.named;
        let conn = connection(&mut self.held);
        Box::pin(Followed {
            limit: limit(conn),
            silence: None,
            found: conn.fetch_many(Told { query, named }),
            midway: &mut self.midway,
            failed: &mut self.failed,
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let named = self.named;
        Box::pin(async move {
            self.midway = true;
            let conn = connection(&mut self.held);
            let found = heard(limit(conn), conn.fetch_optional(Told { query, named })).await;
            self.midway = matches!(found, Err(Error::Io(_)));
            self.failed |= found.is_err();
            found
        })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        self.inner().prepare_with(sql, parameters)
    }
}
