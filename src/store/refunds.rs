//! Refunds. The guards of the UPDATEs are `RefundState::after` again; a test walks every pair of state and fact.

use sqlx::any::AnyRow;

use super::conn::Conn;
use super::db::Dialect;
use super::error::StoreError;
use super::row;
use crate::domain::ids::{OutRefundNo, OutTradeNo, RefundId};
use crate::domain::money::Fen;
use crate::domain::refund::{NewRefund, Refund, RefundFact, RefundState};

/// Writes down what is about to be asked; `false` when the number is taken.
pub(crate) async fn insert_intent(
    conn: &mut Conn,
    refund: &NewRefund,
    now: i64,
    ask_at: i64,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO refunds (out_refund_no, out_trade_no, amount, request, state, created_at, asked_for_at, ask_at)
         VALUES ($1, $2, $3, $4, 'CREATED', $5, $5, $6)
         ON CONFLICT (out_refund_no) DO NOTHING",
    )
    .bind(refund.out_refund_no.as_str())
    .bind(refund.out_trade_no.as_str())
    .bind(refund.amount.get())
    .bind(&refund.request)
    .bind(now)
    .bind(ask_at)
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The refund of that number.
pub(crate) async fn find(conn: &mut Conn, number: &OutRefundNo) -> Result<Option<Refund>, StoreError> {
    let found = sqlx::query(
        "SELECT out_refund_no, out_trade_no, refund_id, amount, request, state, moves, accepted_at, asked_for_at
           FROM refunds WHERE out_refund_no = $1",
    )
    .bind(number.as_str())
    .fetch_optional(conn)
    .await?;
    found.as_ref().map(refund).transpose()
}

/// `FAILED` to `CREATED`: WeChat never had the refund, and it is asked for, or heard of, again. The caller holds its amount first.
pub(crate) async fn reopen(conn: &mut Conn, number: &OutRefundNo, now: i64, ask_at: i64) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE refunds SET state = 'CREATED', moves = moves + 1, ended_at = NULL, asked_for_at = $2, ask_at = $3, asked = 0
          WHERE out_refund_no = $1 AND state = 'FAILED'",
    )
    .bind(number.as_str())
    .bind(now)
    .bind(ask_at)
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// A refund that is asked for once more with the same number.
pub(crate) async fn asked_for(conn: &mut Conn, number: &OutRefundNo, now: i64, ask_at: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE refunds SET asked_for_at = $2, ask_at = $3 WHERE out_refund_no = $1 AND state = 'CREATED'")
        .bind(number.as_str())
        .bind(now)
        .bind(ask_at)
        .execute(conn)
        .await?;
    Ok(())
}

macro_rules! moved_from {
    ($states:literal) => {
        concat!(
            "UPDATE refunds SET state = $2, moves = moves + 1, refund_id = COALESCE($3, refund_id),
                    accepted_at = COALESCE(accepted_at, $4), ended_at = $5, ask_at = $6
              WHERE out_refund_no = $1 AND state IN (",
            $states,
            ")"
        )
    };
}

/// Applies what WeChat says; `true` only for the call that moved it. A refund that goes on is asked about again at `ask_at`.
///
/// Not from `FAILED`: that gave its amount back, so it is reopened first, with the amount held again.
pub(crate) async fn apply(
    conn: &mut Conn,
    number: &OutRefundNo,
    fact: RefundFact,
    refund_id: Option<&RefundId>,
    now: i64,
    ask_at: i64,
) -> Result<bool, StoreError> {
    let (statement, state, accepted, ended) = match fact {
        RefundFact::Processing => (
            moved_from!("'CREATED', 'ABNORMAL'"),
            RefundState::Processing,
            true,
            false,
        ),
        RefundFact::Success => (
            moved_from!("'CREATED', 'PROCESSING', 'ABNORMAL'"),
            RefundState::Success,
            true,
            true,
        ),
        RefundFact::Closed => (
            moved_from!("'CREATED', 'PROCESSING', 'ABNORMAL'"),
            RefundState::Closed,
            true,
            true,
        ),
        RefundFact::Abnormal => (
            moved_from!("'CREATED', 'PROCESSING'"),
            RefundState::Abnormal,
            true,
            false,
        ),
        RefundFact::Unknown => (moved_from!("'CREATED'"), RefundState::Failed, false, true),
    };
    let moved = sqlx::query(statement)
        .bind(number.as_str())
        .bind(state.as_str())
        .bind(refund_id.map(RefundId::as_str))
        .bind(accepted.then_some(now))
        .bind(ended.then_some(now))
        .bind((!ended).then_some(ask_at))
        .execute(conn)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Keeps when WeChat took the refund on, in Unix milliseconds, unless it is known.
pub(crate) async fn date(conn: &mut Conn, number: &OutRefundNo, applied_at: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE refunds SET applied_at = $2 WHERE out_refund_no = $1 AND applied_at IS NULL")
        .bind(number.as_str())
        .bind(applied_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Asks again at that time, provided that there is anything left to ask.
pub(crate) async fn ask_again(conn: &mut Conn, number: &OutRefundNo, at: i64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE refunds SET ask_at = $2
          WHERE out_refund_no = $1 AND state IN ('CREATED', 'PROCESSING', 'ABNORMAL')",
    )
    .bind(number.as_str())
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

/// The statement that makes intents due; its plan is tested.
pub(super) const INTENTS_DUE: &str = "UPDATE refunds SET ask_at = $1 WHERE ask_at > $1 AND state = 'CREATED'";

/// Makes every intent without an outcome due at that time, if it is not due before.
pub(crate) async fn intents_due_at(conn: &mut Conn, at: i64) -> Result<(), StoreError> {
    sqlx::query(INTENTS_DUE).bind(at).execute(conn).await?;
    Ok(())
}

/// A refund that is due to be asked about, and how often that was done.
pub(crate) struct Due {
    pub(crate) refund: Refund,
    pub(crate) asked: i64,
}

/// The statement that finds the next due row; its plan is tested.
pub(super) const NEXT_DUE: &str = "SELECT ask_at FROM refunds WHERE ask_at IS NOT NULL ORDER BY ask_at LIMIT 1";

/// When the next refund is due to be asked about, Unix milliseconds.
pub(crate) async fn next_due(conn: &mut Conn) -> Result<Option<i64>, StoreError> {
    let found = sqlx::query(NEXT_DUE).fetch_optional(conn).await?;
    found.as_ref().map(|row| row::number(row, "ask_at")).transpose()
}

macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE refunds SET ask_at = $2, asked = asked + 1
              WHERE ask_at <= $1 AND out_refund_no IN (
                    SELECT out_refund_no FROM refunds WHERE ask_at <= $1 ORDER BY ask_at LIMIT $3",
            $lock,
            ") RETURNING out_refund_no, out_trade_no, refund_id, amount, request, state, moves, accepted_at, asked_for_at, asked"
        )
    };
}

/// The statement that takes due rows; its plan is tested.
pub(super) const fn claim(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => claim!(""),
        Dialect::Postgres => claim!(" FOR UPDATE SKIP LOCKED"),
    }
}

/// Takes due refunds for itself until `lease`: whoever dies with one lets it become due again. Also says how many were taken: one that
/// cannot be read is taken too, or it would stand in front of the others for ever.
pub(crate) async fn claim_due(
    conn: &mut Conn,
    dialect: Dialect,
    now: i64,
    lease: i64,
    most: i64,
) -> Result<(usize, Vec<Due>), StoreError> {
    let rows = sqlx::query(claim(dialect))
        .bind(now)
        .bind(lease)
        .bind(most)
        .fetch_all(conn)
        .await?;
    let read = |row: &AnyRow| {
        Ok(Due {
            refund: refund(row)?,
            asked: row::number(row, "asked")?,
        })
    };
    Ok((rows.len(), row::readable(rows.iter().map(read))))
}

fn refund(found: &AnyRow) -> Result<Refund, StoreError> {
    let key = row::text(found, "out_refund_no")?;
    let out_trade_no = OutTradeNo::parse(row::text(found, "out_trade_no")?).ok();
    let refund_id = row::maybe_text(found, "refund_id")?.map(RefundId::parse).transpose();
    let amount = Fen::positive(row::number(found, "amount")?);
    let state = RefundState::parse(&row::text(found, "state")?);
    Ok(Refund {
        out_refund_no: row::read(OutRefundNo::parse(key.clone()).ok(), "refunds", "out_refund_no", &key)?,
        out_trade_no: row::read(out_trade_no, "refunds", "out_trade_no", &key)?,
        refund_id: row::read(refund_id.ok(), "refunds", "refund_id", &key)?,
        amount: row::read(amount, "refunds", "amount", &key)?,
        request: row::text(found, "request")?,
        state: row::read(state, "refunds", "state", &key)?,
        moves: row::number(found, "moves")?,
        accepted: row::maybe_number(found, "accepted_at")?.is_some(),
        asked_for_at: row::number(found, "asked_for_at")?,
    })
}
