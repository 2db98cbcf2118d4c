//! What of a day is in the books, and what came of comparing it with WeChat's bills.

use serde::Serialize;
use sqlx::any::AnyRow;

use super::conn::Conn;
use super::db::Db;
use super::error::StoreError;
use super::row;
use crate::domain::ids::{OutRefundNo, new_id};
use crate::domain::reconciliation::{Bill, DifferenceKind, Entry, Span, Subject};

/// What the columns of an entry are, by its subject. A text that another part follows.
macro_rules! entries {
    (payments $rest:expr) => {
        concat!(
            "SELECT out_trade_no AS number, transaction_id AS id, app_id, total AS amount, state, paid_at AS at_ms
               FROM orders ",
            $rest
        )
    };
    (refunds $rest:expr) => {
        concat!(
            "SELECT out_refund_no AS number, out_trade_no AS part_of, refund_id AS id, amount, state,
                    COALESCE(applied_at, accepted_at) AS at_ms
               FROM refunds ",
            $rest
        )
    };
    (transfers $rest:expr) => {
        concat!(
            "SELECT COALESCE(transfer_bill_no, out_bill_no) AS number, out_bill_no AS part_of, amount, state,
                    COALESCE(succeeded_at, ended_at) AS at_ms
               FROM transfers ",
            $rest
        )
    };
}

/// Where a page of a day ended.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    at_ms: i64,
    key: String,
}

/// The statement of a page.
pub(super) const fn page_of(subject: Subject) -> &'static str {
    match subject {
        Subject::Payment => entries!(payments
            "WHERE (paid_at, out_trade_no) > ($1, $2) AND paid_at < $3 AND state IN ('SUCCESS', 'REFUND')
             ORDER BY paid_at, out_trade_no LIMIT $4"
        ),
        Subject::Refund => entries!(refunds
            "WHERE accepted_at IS NOT NULL AND (COALESCE(applied_at, accepted_at), out_refund_no) > ($1, $2)
               AND COALESCE(applied_at, accepted_at) < $3 AND state IN ('PROCESSING', 'SUCCESS', 'ABNORMAL', 'CLOSED')
             ORDER BY COALESCE(applied_at, accepted_at), out_refund_no LIMIT $4"
        ),
        Subject::Transfer => entries!(transfers
            "WHERE state = 'SUCCESS' AND (COALESCE(succeeded_at, ended_at), out_bill_no) > ($1, $2)
               AND COALESCE(succeeded_at, ended_at) < $3
             ORDER BY COALESCE(succeeded_at, ended_at), out_bill_no LIMIT $4"
        ),
    }
}

/// What the books count to that day and what has a line in its bill, in pages; gives the place after which the next one begins, and
/// `None` after the last.
pub(crate) async fn page(
    db: &Db,
    subject: Subject,
    day: Span,
    after: Option<Place>,
    most: i64,
) -> Result<(Vec<Entry>, Option<Place>), StoreError> {
    // No key is empty, so that the first moment of the day is after this.
    let after = after.unwrap_or(Place {
        at_ms: day.from_ms,
        key: String::new(),
    });
    let mut conn = db.read().await?;
    let rows = sqlx::query(page_of(subject))
        .bind(after.at_ms)
        .bind(&after.key)
        .bind(day.until_ms)
        .bind(most)
        .fetch_all(&mut *conn)
        .await?;
    drop(conn);
    let entries = rows.iter().map(|found| entry(found, subject));
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    let is_full = i64::try_from(entries.len()).is_ok_and(|count| count >= most);
    let last = entries.last().filter(|_| is_full);
    let next = last.and_then(|last| {
        let key = match subject {
            Subject::Payment | Subject::Refund => last.number.clone(),
            Subject::Transfer => last.of.clone()?,
        };
        let at_ms = last.at_ms?;
        Some(Place { at_ms, key })
    });
    Ok((entries, next))
}

/// So many numbers are looked up at once.
const LOOKUP: usize = 20;

macro_rules! of_numbers {
    ($subject:ident $column:literal) => {
        entries!($subject concat!("WHERE ", $column,
            " IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"))
    };
}

/// How the books stand now to these numbers; those that they do not know are left out.
pub(crate) async fn standing(db: &Db, subject: Subject, numbers: &[&str]) -> Result<Vec<Entry>, StoreError> {
    let statement = match subject {
        Subject::Payment => of_numbers!(payments "out_trade_no"),
        Subject::Refund => of_numbers!(refunds "out_refund_no"),
        Subject::Transfer => of_numbers!(transfers "transfer_bill_no"),
    };
    let mut found = Vec::new();
    let mut conn = db.read().await?;
    for some in numbers.chunks(LOOKUP) {
        let mut query = sqlx::query(statement);
        // A chunk that is shorter repeats its last number.
        let last = some.last().into_iter().cycle();
        for number in some.iter().chain(last).take(LOOKUP) {
            query = query.bind(row::storable(number).into_owned());
        }
        let rows = query.fetch_all(&mut *conn).await?;
        for row in &rows {
            found.push(entry(row, subject)?);
        }
    }
    Ok(found)
}

fn entry(found: &AnyRow, subject: Subject) -> Result<Entry, StoreError> {
    Ok(Entry {
        subject,
        number: row::text(found, "number")?,
        of: match subject {
            Subject::Payment => None,
            Subject::Refund | Subject::Transfer => Some(row::text(found, "part_of")?),
        },
        id: match subject {
            Subject::Payment | Subject::Refund => row::maybe_text(found, "id")?,
            Subject::Transfer => None,
        },
        app_id: match subject {
            Subject::Payment => Some(row::text(found, "app_id")?),
            Subject::Refund | Subject::Transfer => None,
        },
        amount: Some(row::number(found, "amount")?),
        // Nothing else is ever placed.
        currency: "CNY".to_owned(),
        state: row::text(found, "state")?,
        at_ms: row::maybe_number(found, "at_ms")?,
    })
}

/// Refunds of which only a callback told, so that WeChat has not said when they were applied for, and that may belong to that day.
pub(crate) async fn undated_refunds(db: &Db, day: Span) -> Result<Vec<OutRefundNo>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query(
        "SELECT out_refund_no FROM refunds
          WHERE applied_at IS NULL AND accepted_at IS NOT NULL AND accepted_at >= $1 AND created_at < $2
            AND state IN ('PROCESSING', 'SUCCESS', 'ABNORMAL')",
    )
    .bind(day.from_ms)
    .bind(day.until_ms)
    .fetch_all(&mut *conn)
    .await?;
    let number = |found: &AnyRow| {
        let text = row::text(found, "out_refund_no")?;
        row::read(OutRefundNo::parse(text.clone()).ok(), "refunds", "out_refund_no", &text)
    };
    rows.iter().map(number).collect()
}

/// A run that begins. `repairs` is the one whose differences were asked about before.
pub(crate) async fn begin(
    db: &Db,
    (day, bill): (&str, Bill),
    repairs: Option<&str>,
    now: i64,
) -> Result<String, StoreError> {
    let id = new_id();
    let mut conn = db.write().await?;
    sqlx::query(
        "INSERT INTO reconciliations (run_id, day, bill, began_at, outcome, repairs) VALUES ($1, $2, $3, $4, 'RUNNING', $5)",
    )
    .bind(&id)
    .bind(day)
    .bind(bill.as_str())
    .bind(now)
    .bind(repairs)
    .execute(&mut *conn)
    .await?;
    conn.keep().await?;
    Ok(id)
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending<'a> {
    /// `AGREE`, `DIFFER` or `FAILED`.
    pub(crate) outcome: &'static str,
    pub(crate) lines: i64,
    pub(crate) others: i64,
    pub(crate) differences: i64,
    pub(crate) sums: Option<&'a str>,
    pub(crate) problem: Option<&'a str>,
}

/// Writes down how a run ended; once.
pub(crate) async fn end(db: &Db, run: &str, ending: &Ending<'_>, now: i64) -> Result<(), StoreError> {
    let mut conn = db.write().await?;
    sqlx::query(
        "UPDATE reconciliations SET outcome = $2, lines = $3, others = $4, differences = $5, sums = $6, problem = $7, ended_at = $8
          WHERE run_id = $1 AND outcome = 'RUNNING'",
    )
    .bind(run)
    .bind(ending.outcome)
    .bind(ending.lines)
    .bind(ending.others)
    .bind(ending.differences)
    .bind(ending.sums)
    .bind(ending.problem.map(row::storable).as_deref())
    .bind(now)
    .execute(&mut *conn)
    .await?;
    conn.keep().await
}

/// One difference of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// In which way.
    pub kind: DifferenceKind,
    /// About what.
    pub subject: Subject,
    /// Its number.
    pub number: String,
    /// What the books say.
    pub here: Option<Entry>,
    /// What the bill says.
    pub there: Option<Entry>,
}

/// Writes a difference down as the run's `position`-th.
pub(crate) async fn add(conn: &mut Conn, run: &str, position: i64, difference: &Difference) -> Result<(), StoreError> {
    let json = |entry: &Option<Entry>| {
        let entry = entry.as_ref()?;
        Some(serde_json::to_string(entry).expect("texts and numbers always serialise"))
    };
    let (here, there) = (json(&difference.here), json(&difference.there));
    sqlx::query(
        "INSERT INTO differences (run_id, position, kind, subject, number, here, there) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(run)
    .bind(position)
    .bind(difference.kind.as_str())
    .bind(difference.subject.as_str())
    .bind(&*row::key(&difference.number))
    .bind(here.as_deref().map(row::storable).as_deref())
    .bind(there.as_deref().map(row::storable).as_deref())
    .execute(conn)
    .await?;
    Ok(())
}

/// The differences of a run, by subject and number, in pages; gives the place after which the next one begins, and `None` after the last.
pub(crate) async fn differences(
    db: &Db,
    run: &str,
    after: Option<Listed>,
    most: i64,
) -> Result<(Vec<Difference>, Option<Listed>), StoreError> {
    let after = after.unwrap_or_default();
    let mut conn = db.read().await?;
    let rows = sqlx::query(
        "SELECT position, kind, subject, number, here, there FROM differences
          WHERE run_id = $1 AND (subject, number, position) > ($2, $3, $4)
          ORDER BY subject, number, position LIMIT $5",
    )
    .bind(run)
    .bind(after.subject)
    .bind(&after.number)
    .bind(after.position)
    .bind(most)
    .fetch_all(&mut *conn)
    .await?;
    listed(&rows, run, most)
}

/// The same of those that a later run does not have any more.
pub(crate) async fn gone(
    db: &Db,
    (run, later): (&str, &str),
    after: Option<Listed>,
    most: i64,
) -> Result<(Vec<Difference>, Option<Listed>), StoreError> {
    let after = after.unwrap_or_default();
    let mut conn = db.read().await?;
    let rows = sqlx::query(
        "SELECT position, kind, subject, number, here, there FROM differences
          WHERE run_id = $1 AND (subject, number, position) > ($2, $3, $4)
            AND NOT EXISTS (SELECT 1 FROM differences AS still
                             WHERE still.run_id = $6 AND still.subject = differences.subject AND still.number = differences.number)
          ORDER BY subject, number, position LIMIT $5",
    )
    .bind(run)
    .bind(after.subject)
    .bind(&after.number)
    .bind(after.position)
    .bind(most)
    .bind(later)
    .fetch_all(&mut *conn)
    .await?;
    listed(&rows, run, most)
}

/// Where a page of differences ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    subject: &'static str,
    number: String,
    position: i64,
}

fn listed(rows: &[AnyRow], run: &str, most: i64) -> Result<(Vec<Difference>, Option<Listed>), StoreError> {
    let page: Vec<Difference> = rows
        .iter()
        .map(|found| difference(found, run))
        .collect::<Result<_, _>>()?;
    let is_full = i64::try_from(page.len()).is_ok_and(|count| count >= most);
    let next = match (page.last(), rows.last()) {
        (Some(last), Some(row)) if is_full => Some(Listed {
            subject: last.subject.as_str(),
            number: last.number.clone(),
            position: row::number(row, "position")?,
        }),
        _ => None,
    };
    Ok((page, next))
}

fn difference(found: &AnyRow, run: &str) -> Result<Difference, StoreError> {
    let side = |column: &'static str| match row::maybe_text(found, column)? {
        None => Ok(None),
        Some(json) => row::read(serde_json::from_str(&json).ok(), "differences", column, run).map(Some),
    };
    let kind = DifferenceKind::parse(&row::text(found, "kind")?);
    let subject = Subject::parse(&row::text(found, "subject")?);
    Ok(Difference {
        kind: row::read(kind, "differences", "kind", run)?,
        subject: row::read(subject, "differences", "subject", run)?,
        number: row::text(found, "number")?,
        here: side("here")?,
        there: side("there")?,
    })
}
