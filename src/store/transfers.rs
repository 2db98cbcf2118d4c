//! Merchant transfers. The guards of the UPDATEs are `TransferState::after` again; a test walks every pair of state and fact.

use sqlx::any::AnyRow;

use super::conn::Conn;
use super::db::Dialect;
use super::error::StoreError;
use super::row;
use crate::domain::ids::{Openid, OutBillNo, TransferBillNo};
use crate::domain::money::Fen;
use crate::domain::order::Owner;
use crate::domain::transfer::{NewTransfer, Transfer, TransferFact, TransferState};

/// Writes down what is about to be asked; `false` when the number is taken.
pub(crate) async fn insert_intent(
    conn: &mut Conn,
    transfer: &NewTransfer,
    now: i64,
    ask_at: i64,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO transfers (out_bill_no, app_id, openid, amount, owner_sub, owner_openid, request, name_digest, state,
                                created_at, asked_for_at, ask_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'CREATED', $9, $9, $10)
         ON CONFLICT (out_bill_no) DO NOTHING",
    )
    .bind(transfer.out_bill_no.as_str())
    .bind(transfer.app_id.as_str())
    .bind(transfer.openid.as_str())
    .bind(transfer.amount.get())
    .bind(transfer.owner.sub.as_deref())
    .bind(transfer.owner.openid.as_ref().map(Openid::as_str))
    .bind(&transfer.request)
    .bind(transfer.name_digest.as_deref())
    .bind(now)
    .bind(ask_at)
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The transfer of that number.
pub(crate) async fn find(conn: &mut Conn, number: &OutBillNo) -> Result<Option<Transfer>, StoreError> {
    let found = sqlx::query(
        "SELECT out_bill_no, transfer_bill_no, openid, amount, owner_sub, owner_openid, request, name_digest, state,
                package_info, accepted_at, asked_for_at
           FROM transfers WHERE out_bill_no = $1",
    )
    .bind(number.as_str())
    .fetch_optional(conn)
    .await?;
    found.as_ref().map(transfer).transpose()
}

/// A transfer that is asked for once more with the same number: WeChat has not accepted it, as far as is known.
pub(crate) async fn asked_for(conn: &mut Conn, number: &OutBillNo, now: i64, ask_at: i64) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE transfers SET state = 'CREATED', ended_at = NULL, asked_for_at = $2, ask_at = $3, asked = 0
          WHERE out_bill_no = $1 AND state IN ('CREATED', 'REJECTED')",
    )
    .bind(number.as_str())
    .bind(now)
    .bind(ask_at)
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

macro_rules! moved_from {
    ($states:literal) => {
        concat!(
            "UPDATE transfers SET state = $2, transfer_bill_no = COALESCE($3, transfer_bill_no), fail_reason = $4,
                    package_info = COALESCE($5, package_info), accepted_at = COALESCE(accepted_at, $6), ended_at = $7, ask_at = $8
              WHERE out_bill_no = $1 AND state IN (",
            $states,
            ")"
        )
    };
}

/// What WeChat says of a transfer beside its state.
#[derive(Clone, Copy, Default)]
pub(crate) struct Particulars<'a> {
    pub(crate) transfer_bill_no: Option<&'a TransferBillNo>,
    pub(crate) fail_reason: Option<&'a str>,
    pub(crate) package_info: Option<&'a str>,
}

/// Applies what WeChat says; `true` only for the call that moved it. A transfer that goes on is asked about again at `ask_at`.
pub(crate) async fn apply(
    conn: &mut Conn,
    number: &OutBillNo,
    fact: TransferFact,
    particulars: Particulars<'_>,
    now: i64,
    ask_at: i64,
) -> Result<bool, StoreError> {
    let (statement, state) = match fact {
        TransferFact::Accepted => (moved_from!("'CREATED', 'REJECTED'"), TransferState::Accepted),
        TransferFact::Processing => (
            moved_from!("'CREATED', 'REJECTED', 'ACCEPTED'"),
            TransferState::Processing,
        ),
        TransferFact::WaitUserConfirm => (
            moved_from!("'CREATED', 'REJECTED', 'ACCEPTED', 'PROCESSING'"),
            TransferState::WaitUserConfirm,
        ),
        TransferFact::Transfering => (
            moved_from!("'CREATED', 'REJECTED', 'ACCEPTED', 'PROCESSING', 'WAIT_USER_CONFIRM'"),
            TransferState::Transfering,
        ),
        TransferFact::Canceling => (
            moved_from!("'CREATED', 'REJECTED', 'ACCEPTED', 'PROCESSING', 'WAIT_USER_CONFIRM', 'TRANSFERING'"),
            TransferState::Canceling,
        ),
        TransferFact::Success => (
            moved_from!(
                "'CREATED', 'REJECTED', 'ACCEPTED', 'PROCESSING', 'WAIT_USER_CONFIRM', 'TRANSFERING', 'CANCELING'"
            ),
            TransferState::Success,
        ),
        TransferFact::Fail => (
            moved_from!(
                "'CREATED', 'REJECTED', 'ACCEPTED', 'PROCESSING', 'WAIT_USER_CONFIRM', 'TRANSFERING', 'CANCELING'"
            ),
            TransferState::Fail,
        ),
        TransferFact::Cancelled => (
            moved_from!(
                "'CREATED', 'REJECTED', 'ACCEPTED', 'PROCESSING', 'WAIT_USER_CONFIRM', 'TRANSFERING', 'CANCELING'"
            ),
            TransferState::Cancelled,
        ),
        TransferFact::Unknown => (moved_from!("'CREATED'"), TransferState::Rejected),
    };
    let rejected = state == TransferState::Rejected;
    let ended = rejected || state.is_end();
    let moved = sqlx::query(statement)
        .bind(number.as_str())
        .bind(state.as_str())
        .bind(particulars.transfer_bill_no.map(TransferBillNo::as_str))
        .bind(particulars.fail_reason.map(row::storable).as_deref())
        .bind(particulars.package_info.map(row::storable).as_deref())
        .bind((!rejected).then_some(now))
        .bind(ended.then_some(now))
        .bind((!ended).then_some(ask_at))
        .execute(conn)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Keeps when the receiver had the money by WeChat's clock, in Unix milliseconds.
pub(crate) async fn date(conn: &mut Conn, number: &OutBillNo, succeeded_at: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE transfers SET succeeded_at = $2 WHERE out_bill_no = $1 AND state = 'SUCCESS'")
        .bind(number.as_str())
        .bind(succeeded_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Keeps what the receiver confirms with, unless it is known.
pub(crate) async fn keep_package(conn: &mut Conn, number: &OutBillNo, package_info: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE transfers SET package_info = $2 WHERE out_bill_no = $1 AND package_info IS NULL")
        .bind(number.as_str())
        .bind(&*row::storable(package_info))
        .execute(conn)
        .await?;
    Ok(())
}

/// The number turns out to be of a transfer that was made elsewhere: whoever named it here has no right to it. Says whether anybody had.
pub(crate) async fn disown(conn: &mut Conn, number: &OutBillNo) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE transfers SET owner_sub = NULL, owner_openid = NULL
          WHERE out_bill_no = $1 AND accepted_at IS NULL AND (owner_sub IS NOT NULL OR owner_openid IS NOT NULL)",
    )
    .bind(number.as_str())
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Holds the row, so that what follows in this transaction is alone with the transfer.
pub(crate) async fn lock(conn: &mut Conn, number: &OutBillNo) -> Result<(), StoreError> {
    sqlx::query("UPDATE transfers SET asked = asked WHERE out_bill_no = $1")
        .bind(number.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Asks again at that time, provided that there is anything left to ask.
pub(crate) async fn ask_again(conn: &mut Conn, number: &OutBillNo, at: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE transfers SET ask_at = $2 WHERE out_bill_no = $1 AND ask_at IS NOT NULL")
        .bind(number.as_str())
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}

/// The statement that makes intents due; its plan is tested.
pub(super) const INTENTS_DUE: &str = "UPDATE transfers SET ask_at = $1 WHERE ask_at > $1 AND state = 'CREATED'";

/// Makes every intent without an outcome due at that time, if it is not due before.
pub(crate) async fn intents_due_at(conn: &mut Conn, at: i64) -> Result<(), StoreError> {
    sqlx::query(INTENTS_DUE).bind(at).execute(conn).await?;
    Ok(())
}

/// A transfer that is due to be asked about, and how often that was done.
pub(crate) struct Due {
    pub(crate) transfer: Transfer,
    pub(crate) asked: i64,
}

/// The statement that finds the next due row; its plan is tested.
pub(super) const NEXT_DUE: &str = "SELECT ask_at FROM transfers WHERE ask_at IS NOT NULL ORDER BY ask_at LIMIT 1";

/// When the next transfer is due to be asked about, Unix milliseconds.
pub(crate) async fn next_due(conn: &mut Conn) -> Result<Option<i64>, StoreError> {
    let found = sqlx::query(NEXT_DUE).fetch_optional(conn).await?;
    found.as_ref().map(|row| row::number(row, "ask_at")).transpose()
}

macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE transfers SET ask_at = $2, asked = asked + 1
              WHERE ask_at <= $1 AND out_bill_no IN (
                    SELECT out_bill_no FROM transfers WHERE ask_at <= $1 ORDER BY ask_at LIMIT $3",
            $lock,
            ") RETURNING out_bill_no, transfer_bill_no, openid, amount, owner_sub, owner_openid, request, name_digest, state,
                         package_info, accepted_at, asked_for_at, asked"
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

/// Takes due transfers for itself until `lease`: whoever dies with one lets it become due again. Also says how many were taken: one that
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
            transfer: transfer(row)?,
            asked: row::number(row, "asked")?,
        })
    };
    Ok((rows.len(), row::readable(rows.iter().map(read))))
}

fn transfer(found: &AnyRow) -> Result<Transfer, StoreError> {
    let key = row::text(found, "out_bill_no")?;
    let bill = row::maybe_text(found, "transfer_bill_no")?
        .map(TransferBillNo::parse)
        .transpose();
    let openid = Openid::parse(row::text(found, "openid")?).ok();
    let amount = Fen::positive(row::number(found, "amount")?);
    let owner_openid = row::maybe_text(found, "owner_openid")?.map(Openid::parse).transpose();
    let state = TransferState::parse(&row::text(found, "state")?);
    Ok(Transfer {
        out_bill_no: row::read(OutBillNo::parse(key.clone()).ok(), "transfers", "out_bill_no", &key)?,
        transfer_bill_no: row::read(bill.ok(), "transfers", "transfer_bill_no", &key)?,
        openid: row::read(openid, "transfers", "openid", &key)?,
        amount: row::read(amount, "transfers", "amount", &key)?,
        owner: Owner {
            sub: row::maybe_text(found, "owner_sub")?,
            openid: row::read(owner_openid.ok(), "transfers", "owner_openid", &key)?,
        },
        request: row::text(found, "request")?,
        name_digest: row::maybe_text(found, "name_digest")?,
        state: row::read(state, "transfers", "state", &key)?,
        package_info: row::maybe_text(found, "package_info")?,
        accepted: row::maybe_number(found, "accepted_at")?.is_some(),
        asked_for_at: row::number(found, "asked_for_at")?,
    })
}
