//! Changes that are done at once: each is a transaction of its own, in one text with all that belongs to it.
//!
//! A statement in a transaction is an exchange with a server, or a way to the thread of a file and back; an order is two of these in place of
//! six. And several of them that wait for a file go into one commit, because the disk is the slowest part: each is answered when that commit
//! is durable. A change done twice does what it does once, so that whoever did not hear what became of it may ask again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::any::AnyRow;
use sqlx::query::Query;
use sqlx::{Any, Database, Either, Error, Executor as _, SqlSafeStr};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::change::{ALIKE, Change, Value};
use super::conn::Conn;
use super::pool::{Pool, lost};

/// Changes of a file in one commit, at most: whoever is the first of them waits for the others.
const ABOARD: usize = 16;

/// Does the change on this connection, and returns its row.
pub(super) async fn run(conn: &mut Conn, text: &'static str, values: &[Value]) -> Result<Option<AnyRow>, Error> {
    // All of them, because every statement is to come to its end.
    let rows = told(text, values).fetch_all(conn).await?;
    Ok(rows.into_iter().next())
}

fn told<'v>(
    text: impl SqlSafeStr,
    values: impl IntoIterator<Item = &'v Value>,
) -> Query<'v, Any, <Any as Database>::Arguments> {
    values
        .into_iter()
        .fold(sqlx::query::<Any>(text), |query, value| match value {
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Number(number) => query.bind(*number),
        })
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

    /// So many of those who wait, like changes beside each other. Whoever went away is left out.
    fn aboard(&self, many: usize) -> Vec<Rider> {
        let mut aboard = self.riders(|riders| {
            riders.retain(|rider| !rider.told.is_closed());
            let many = riders.len().min(many);
            riders.drain(..many).collect::<Vec<_>>()
        });
        aboard.sort_by_key(|rider| ptr::from_ref(rider.change).addr());
        aboard
    }

    /// Writes for those who wait, in one commit, and tells them afterwards.
    async fn drive(&self, mut conn: Conn, pool: &Pool, returns: &TaskTracker) {
        let mut aboard = self.aboard(ABOARD);
        match self.write(&mut conn, &mut aboard).await {
            Ok(rows) => {
                conn.put_back();
                for (rider, row) in aboard.into_iter().zip(rows) {
                    // Nobody is left to hear it: then the next question finds it done.
                    drop(rider.told.send(Ok(row)));
                }
            }
            Err(error) => one_by_one(conn, aboard, error, pool, returns).await,
        }
    }

    /// Writes for all of them in one transaction, and for those who come meanwhile. Returns a row or none for each.
    async fn write(&self, conn: &mut Conn, aboard: &mut Vec<Rider>) -> Result<Vec<Option<AnyRow>>, Error> {
        if alike(aboard).nth(1).is_none() {
            return write_alike(conn, aboard, true).await;
        }
        run(conn, "BEGIN IMMEDIATE", &[]).await?;
        let mut rows = Vec::with_capacity(ABOARD);
        while let Some(came) = aboard.get(rows.len()..).filter(|came| !came.is_empty()) {
            for riders in alike(came) {
                rows.extend(write_alike(conn, riders, false).await?);
            }
            aboard.extend(self.aboard(ABOARD - aboard.len()));
        }
        run(conn, "COMMIT", &[]).await?;
        Ok(rows)
    }
}

/// What can be written in one go each.
fn alike(riders: &[Rider]) -> impl Iterator<Item = &[Rider]> {
    riders
        .chunk_by(|one, next| ptr::eq(one.change, next.change))
        .flat_map(|riders| riders.chunks(ALIKE))
}

/// Writes like changes in one go. Whose a row is tells how many statements have ended before it.
async fn write_alike(conn: &mut Conn, riders: &[Rider], whole: bool) -> Result<Vec<Option<AnyRow>>, Error> {
    let Some(Rider { change, values, .. }) = riders.first() else {
        return Ok(Vec::new());
    };
    let text = change.text(riders.len(), values.len(), whole);
    let query = told(text, riders.iter().flat_map(|rider| rider.values.iter()));
    let mut rows: Vec<Option<AnyRow>> = riders.iter().map(|_| None).collect();
    // What begins the transaction is nobody's.
    let mut ended = 0;
    let begins = usize::from(whole);
    let mut found = conn.fetch_many(query);
    while let Some(next) = poll_fn(|cx| found.as_mut().poll_next(cx)).await {
        match next? {
            Either::Left(_) => ended += 1,
            Either::Right(row) => {
                let whose = rows.get_mut((ended - begins) / change.statements());
                whose
                    .ok_or_else(|| Error::Protocol("a row of nobody's change".to_owned()))?
                    .get_or_insert(row);
            }
        }
    }
    Ok(rows)
}

/// One of several changes failed: none of them is done. Each is tried by itself, so that only the one fails that has to.
async fn one_by_one(conn: Conn, mut aboard: Vec<Rider>, error: Error, pool: &Pool, returns: &TaskTracker) {
    // It is rolled back, and given to the next one only then.
    drop(conn);
    if aboard.len() == 1 {
        drop(aboard.pop().map(|rider| rider.told.send(Err(error))));
        return;
    }
    for rider in aboard {
        let done = alone(pool, returns, rider.change, &rider.values).await;
        drop(rider.told.send(done));
    }
}

async fn alone(pool: &Pool, returns: &TaskTracker, change: &Change, values: &[Value]) -> Result<Option<AnyRow>, Error> {
    let mut conn = Conn::begun(pool.any().await?, returns.clone());
    let rows = told(change.text(1, values.len(), true), values)
        .fetch_all(&mut conn)
        .await?;
    conn.put_back();
    Ok(rows.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    static ONE: Change = Change::new("SELECT 1", &["SELECT 1"]);
    static OTHER: Change = Change::new("SELECT 2", &["SELECT 2"]);

    /// Comes to the line with that number.
    fn waits(line: &Line, change: &'static Change, number: i64) -> oneshot::Receiver<Result<Option<AnyRow>, Error>> {
        let (told, answer) = oneshot::channel();
        let values = [number.into()].into();
        line.riders(|riders| riders.push_back(Rider { change, values, told }));
        answer
    }

    /// The numbers of those who come aboard.
    fn numbers(aboard: &[Rider]) -> Vec<i64> {
        aboard
            .iter()
            .map(|rider| match rider.values[..] {
                [Value::Number(Some(number))] => number,
                _ => panic!("a number was given"),
            })
            .collect()
    }

    #[test]
    fn one_commit_takes_so_many_in_their_order_and_no_more() {
        let line = Line::default();
        let _answers: Vec<_> = (0..20).map(|number| waits(&line, &ONE, number)).collect();
        assert_eq!(numbers(&line.aboard(ABOARD)), (0..16).collect::<Vec<_>>());
        assert!(line.aboard(0).is_empty());
        assert_eq!(numbers(&line.aboard(3)), [16, 17, 18]);
        assert_eq!(numbers(&line.aboard(3)), [19]);
    }

    #[test]
    fn whoever_went_away_is_passed_over() {
        let line = Line::default();
        drop(waits(&line, &ONE, 1));
        let _second = waits(&line, &ONE, 2);
        drop(waits(&line, &ONE, 3));
        let _fourth = waits(&line, &ONE, 4);
        assert_eq!(numbers(&line.aboard(2)), [2, 4]);
        drop(waits(&line, &ONE, 5));
        assert!(line.aboard(2).is_empty());
    }

    #[test]
    fn like_changes_are_written_together_so_many_in_one_go() {
        let line = Line::default();
        let _answers: Vec<_> = (0..14)
            .map(|number| waits(&line, if number % 7 == 0 { &OTHER } else { &ONE }, number))
            .collect();
        let aboard = line.aboard(ABOARD);
        let mut written: Vec<Vec<i64>> = alike(&aboard).map(numbers).collect();
        written.sort_by_key(Vec::len);
        assert_eq!(
            written,
            [vec![0, 7], vec![10, 11, 12, 13], vec![1, 2, 3, 4, 5, 6, 8, 9]],
            "eight in one go, and those of the other kind apart"
        );
    }
}
