//! Changes that are done at once: each is a transaction of its own, in one text with all that belongs to it.
//!
//! A statement in a transaction is an exchange with a server, or a way to the thread of a file and back; an order is two of these in place of
//! six. And several of them that wait for a file go into one commit, because the disk is the slowest part: each is answered when that commit
//! is durable. A change done twice does what it does once, so that whoever did not hear what became of it may ask again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::any::AnyRow;
use sqlx::{Any, Error};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::conn::Conn;
use super::pool::{Pool, lost};

/// Changes of a file in one commit, at most: whoever is the first of them waits for the others.
const ABOARD: usize = 16;

/// A change, as each database is told of it. What it returns is one row, or none when it did not fit the books.
pub(super) struct Change {
    /// One statement; what belongs to it is within.
    pub(super) server: &'static str,
    /// Statements, as a transaction of their own.
    pub(super) alone: &'static str,
    /// The same as the first of several changes in a transaction.
    pub(super) first: &'static str,
    /// The same among them.
    pub(super) among: &'static str,
    /// The same as the last of them.
    pub(super) last: &'static str,
}

/// A change out of what a file and what a server is told.
macro_rules! change {
    (both: $both:literal) => {
        $crate::store::at_once::change! { file: $both, server: $both }
    };
    (file: $file:expr, server: $server:expr) => {
        $crate::store::at_once::Change {
            server: $server,
            alone: concat!("BEGIN IMMEDIATE; ", $file, "; COMMIT"),
            first: concat!("BEGIN IMMEDIATE; ", $file),
            among: concat!($file),
            last: concat!($file, "; COMMIT"),
        }
    };
}
pub(super) use change;

/// What stands for `$1` and so on. It may be an openid, so it has no `Debug` by which it could come into a log.
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

/// Does the change on this connection, and returns its row.
pub(super) async fn run(conn: &mut Conn, text: &'static str, values: &[Value]) -> Result<Option<AnyRow>, Error> {
    let query = values
        .iter()
        .fold(sqlx::query::<Any>(text), |query, value| match value {
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Number(number) => query.bind(*number),
        });
    // All of them, because every statement is to come to its end.
    let rows = query.fetch_all(conn).await?;
    Ok(rows.into_iter().next())
}

/// Does the change at a server. A connection that turns out to be dead is replaced once.
pub(super) async fn at_server(
    pool: &Pool,
    returns: &TaskTracker,
    change: &Change,
    values: &[Value],
) -> Result<Option<AnyRow>, Error> {
    let mut conn = Conn::alone(pool.trusted().await?, returns.clone());
    match run(&mut conn, change.server, values).await {
        Err(error) if lost(&error) => {}
        done => return done,
    }
    drop(conn);
    let mut conn = Conn::alone(pool.lives().await?, returns.clone());
    run(&mut conn, change.server, values).await
}

/// One who waits for a change of a file.
struct Rider {
    change: &'static Change,
    values: Arc<[Value]>,
    told: oneshot::Sender<Result<Option<AnyRow>, Error>>,
}

/// Those who wait for the one connection that writes a file. Whoever gets it writes for all of them.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Mutex<VecDeque<Rider>>>);

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// Does the change, or has it done by whoever has the connection already.
    pub(super) async fn ride(
        &self,
        pool: &Pool,
        returns: &TaskTracker,
        change: &'static Change,
        values: Vec<Value>,
    ) -> Result<Option<AnyRow>, Error> {
        let values: Arc<[Value]> = values.into();
        let (told, mut answer) = oneshot::channel();
        self.riders(|riders| {
            riders.push_back(Rider {
                change,
                values: Arc::clone(&values),
                told,
            });
        });
        loop {
            tokio::select! {
                biased;
                done = &mut answer => return match done {
                    Ok(done) => done,
                    // Whoever had the connection went away in the middle.
                    Err(_) => alone(pool, returns, change, &values).await,
                },
                conn = pool.any() => {
                    let conn = Conn::begun(conn?, returns.clone());
                    self.drive(conn, pool, returns).await;
                }
            }
        }
    }

    fn riders<T>(&self, what: impl FnOnce(&mut VecDeque<Rider>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next of those who still wait, and whether nobody comes after them.
    fn next(&self, aboard: usize) -> Option<(Rider, bool)> {
        self.riders(|riders| {
            loop {
                let rider = riders.pop_front()?;
                if !rider.told.is_closed() {
                    return Some((rider, riders.is_empty() || aboard + 1 == ABOARD));
                }
            }
        })
    }

    /// Writes for those who wait, in one commit, and tells them afterwards.
    async fn drive(&self, mut conn: Conn, pool: &Pool, returns: &TaskTracker) {
        let mut aboard: Vec<(Rider, Option<AnyRow>)> = Vec::new();
        let mut committed = true;
        while let Some((rider, last)) = self.next(aboard.len()) {
            let text = match (aboard.is_empty(), last) {
                (true, true) => rider.change.alone,
                (true, false) => rider.change.first,
                (false, false) => rider.change.among,
                (false, true) => rider.change.last,
            };
            match run(&mut conn, text, &rider.values).await {
                Ok(row) => aboard.push((rider, row)),
                Err(error) => return one_by_one(conn, aboard, rider, error, pool, returns).await,
            }
            committed = last;
            if last {
                break;
            }
        }
        // The last of them went away while they waited.
        if !committed && let Err(error) = run(&mut conn, "COMMIT", &[]).await {
            let Some((rider, _)) = aboard.pop() else { return };
            return one_by_one(conn, aboard, rider, error, pool, returns).await;
        }
        conn.put_back();
        for (rider, row) in aboard {
            // Nobody is left to hear it: then the next question finds it done.
            drop(rider.told.send(Ok(row)));
        }
    }
}

/// One of several changes failed: none of them is done. Each is tried by itself, so that only the one fails that has to.
async fn one_by_one(
    conn: Conn,
    aboard: Vec<(Rider, Option<AnyRow>)>,
    failed: Rider,
    error: Error,
    pool: &Pool,
    returns: &TaskTracker,
) {
    // It is rolled back, and given to the next one only then.
    drop(conn);
    if aboard.is_empty() {
        drop(failed.told.send(Err(error)));
        return;
    }
    for rider in aboard.into_iter().map(|(rider, _)| rider).chain([failed]) {
        let done = alone(pool, returns, rider.change, &rider.values).await;
        drop(rider.told.send(done));
    }
}

async fn alone(pool: &Pool, returns: &TaskTracker, change: &Change, values: &[Value]) -> Result<Option<AnyRow>, Error> {
    let mut conn = Conn::begun(pool.any().await?, returns.clone());
    let row = run(&mut conn, change.alone, values).await?;
    conn.put_back();
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &Change = &change! { both: "SELECT 1" };

    /// Comes to the line with that number.
    fn waits(line: &Line, number: i64) -> oneshot::Receiver<Result<Option<AnyRow>, Error>> {
        let (told, answer) = oneshot::channel();
        let values = [number.into()].into();
        line.riders(|riders| {
            riders.push_back(Rider {
                change: CHANGE,
                values,
                told,
            });
        });
        answer
    }

    /// The number of the next one, and whether nobody comes after them.
    fn next(line: &Line, aboard: usize) -> Option<(i64, bool)> {
        let (rider, last) = line.next(aboard)?;
        let [Value::Number(Some(number))] = rider.values[..] else {
            panic!("a number was given")
        };
        Some((number, last))
    }

    #[test]
    fn those_who_wait_come_in_their_order_and_the_last_is_known() {
        let line = Line::default();
        let _answers = [1, 2, 3].map(|number| waits(&line, number));
        let came = [0, 1, 2].map(|aboard| next(&line, aboard));
        assert_eq!(came, [Some((1, false)), Some((2, false)), Some((3, true))]);
        assert_eq!(next(&line, 3), None);
    }

    #[test]
    fn one_commit_takes_so_many_and_no_more() {
        let line = Line::default();
        let _answers = [1, 2, 3].map(|number| waits(&line, number));
        assert_eq!(next(&line, ABOARD - 2), Some((1, false)));
        assert_eq!(next(&line, ABOARD - 1), Some((2, true)));
        assert_eq!(next(&line, 0), Some((3, true)), "in the next one");
    }

    #[test]
    fn whoever_went_away_is_passed_over() {
        let line = Line::default();
        drop(waits(&line, 1));
        let _second = waits(&line, 2);
        drop(waits(&line, 3));
        let _fourth = waits(&line, 4);
        assert_eq!(next(&line, 0), Some((2, false)));
        assert_eq!(next(&line, 1), Some((4, true)));
        drop(waits(&line, 5));
        assert_eq!(next(&line, 0), None);
    }
}
