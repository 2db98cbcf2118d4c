//! Orders. The guards of the UPDATEs are `TradeState::after` again; a test walks every pair of state and fact.

use sqlx::any::AnyRow;

use super::conn::Conn;
use super::db::Dialect;
use super::error::StoreError;
use super::row;
use crate::domain::anomaly::AnomalyKind;
use crate::domain::ids::{AppId, Openid, OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::{Order, OrderKind, Owner, TradeState};

/// An order that WeChat knows and this store did not, because it was placed before: it enters in the state that WeChat vouches for.
pub(crate) struct Adopted<'a> {
    pub(crate) kind: OrderKind,
    pub(crate) out_trade_no: &'a OutTradeNo,
    pub(crate) app_id: &'a AppId,
    pub(crate) total: Fen,
    pub(crate) payer: Option<&'a Openid>,
    pub(crate) state: TradeState,
    pub(crate) transaction_id: Option<&'a TransactionId>,
    /// Unix milliseconds; only of a paid order.
    pub(crate) paid_at: Option<i64>,
}

/// Enters an order that was placed before this store existed; `false` when somebody was faster.
pub(crate) async fn adopt(conn: &mut Conn, order: &Adopted<'_>, now: i64) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO orders (out_trade_no, kind, app_id, total, owner_openid, request, state, transaction_id, created_at, accepted_at, ask_at, paid_at)
         VALUES ($1, $2, $3, $4, $5, '', $6, $7, $8, $8, CASE WHEN $6 = 'NOTPAY' THEN $8 ELSE NULL END, $9)
         ON CONFLICT (out_trade_no) DO NOTHING",
    )
    .bind(order.out_trade_no.as_str())
    .bind(order.kind.as_str())
    .bind(order.app_id.as_str())
    .bind(order.total.get())
    .bind(order.payer.map(Openid::as_str))
    .bind(order.state.as_str())
    .bind(order.transaction_id.map(TransactionId::as_str))
    .bind(now)
    .bind(order.paid_at)
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The order of that number.
pub(crate) async fn find(conn: &mut Conn, number: &OutTradeNo) -> Result<Option<Order>, StoreError> {
    let found = sqlx::query(
        "SELECT out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, prepay, prepay_at,
                transaction_id, held, created_at, accepted_at, close_asked_at
           FROM orders WHERE out_trade_no = $1",
    )
    .bind(number.as_str())
    .fetch_optional(conn)
    .await?;
    found.as_ref().map(order).transpose()
}

/// The order that this payment belongs to.
pub(crate) async fn find_by_transaction(conn: &mut Conn, id: &TransactionId) -> Result<Option<Order>, StoreError> {
    let found = sqlx::query(
        "SELECT out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, prepay, prepay_at,
                transaction_id, held, created_at, accepted_at, close_asked_at
           FROM orders WHERE transaction_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    found.as_ref().map(order).transpose()
}

/// `FAILED` to `CREATED`: WeChat never had the order, and it is asked for again.
pub(crate) async fn reopen(conn: &mut Conn, number: &OutTradeNo, ask_at: i64) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET state = 'CREATED', failed_at = NULL, close_asked_at = NULL, ask_at = $2, asked = 0
          WHERE out_trade_no = $1 AND state = 'FAILED'",
    )
    .bind(number.as_str())
    .bind(ask_at)
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// `Fact::Accepted`: WeChat has the order. `Some` only for the call that moved it: the app and the amount of the order.
pub(crate) async fn mark_accepted(
    conn: &mut Conn,
    number: &OutTradeNo,
    prepay: Option<&str>,
    now: i64,
    ask_at: i64,
) -> Result<Option<(AppId, Fen)>, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET state = 'NOTPAY', accepted_at = $3, prepay = $2, ask_at = $4,
                prepay_at = CASE WHEN $2 IS NULL THEN NULL ELSE $3 END
          WHERE out_trade_no = $1 AND state = 'CREATED'
          RETURNING app_id, total",
    )
    .bind(number.as_str())
    .bind(prepay)
    .bind(now)
    .bind(ask_at)
    .fetch_optional(conn)
    .await?;
    let Some(moved) = moved else { return Ok(None) };
    let (app_id, total) = (row::text(&moved, "app_id")?, row::number(&moved, "total")?);
    Ok(Some((
        row::read(AppId::parse(app_id).ok(), "orders", "app_id", number.as_str())?,
        row::read(Fen::positive(total), "orders", "total", number.as_str())?,
    )))
}

/// What an order that was accepted before is paid with now. WeChat may say what it said before, and that is no younger for it.
pub(crate) async fn renew_prepay(
    conn: &mut Conn,
    number: &OutTradeNo,
    prepay: &str,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE orders SET prepay = $2, prepay_at = CASE WHEN prepay = $2 THEN prepay_at ELSE $3 END
          WHERE out_trade_no = $1 AND state = 'NOTPAY'",
    )
    .bind(number.as_str())
    .bind(prepay)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// `Fact::Rejected`: WeChat does not have the order. `true` only for the call that moved it.
pub(crate) async fn mark_rejected(conn: &mut Conn, number: &OutTradeNo, now: i64) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET state = 'FAILED', failed_at = $2, close_asked_at = NULL, ask_at = NULL
          WHERE out_trade_no = $1 AND state = 'CREATED'",
    )
    .bind(number.as_str())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// A payment whose every part fits the order it names.
pub(crate) struct Payment<'a> {
    pub(crate) out_trade_no: &'a OutTradeNo,
    pub(crate) transaction_id: &'a TransactionId,
    pub(crate) total: Fen,
    pub(crate) app_id: &'a str,
    pub(crate) payer_total: Option<Fen>,
    /// Whom WeChat names as the payer.
    pub(crate) payer: Option<&'a Openid>,
    /// Unix milliseconds.
    pub(crate) paid_at: i64,
}

/// What an order was before the payment moved it.
#[derive(Clone, Debug)]
pub(crate) struct Paid {
    /// Nobody was told of it yet.
    pub(crate) unheard_of: bool,
    /// What a person should know of it all the same.
    pub(crate) doubts: Vec<AnomalyKind>,
}

/// `Fact::Paid`: moves the order, provided that amount and app are the order's. An order that WeChat never gave us anything to pay with
/// is not the caller's who named it here; it belongs to its payer.
///
/// `Some` only for the call that moved it.
pub(crate) async fn mark_paid(conn: &mut Conn, payment: &Payment<'_>) -> Result<Option<Paid>, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET state = 'SUCCESS', transaction_id = $2, paid_at = $3, payer_total = $4, ask_at = NULL,
                owner_sub = CASE WHEN prepay IS NULL THEN NULL ELSE owner_sub END,
                owner_openid = CASE WHEN prepay IS NULL THEN $7 ELSE owner_openid END
          WHERE out_trade_no = $1 AND total = $5 AND app_id = $6
            AND state IN ('CREATED', 'NOTPAY', 'CLOSED', 'FAILED')
          RETURNING accepted_at, closed_at, failed_at, prepay, request",
    )
    .bind(payment.out_trade_no.as_str())
    .bind(payment.transaction_id.as_str())
    .bind(payment.paid_at)
    .bind(payment.payer_total.map(Fen::get))
    .bind(payment.total.get())
    .bind(payment.app_id)
    .bind(payment.payer.map(Openid::as_str))
    .fetch_optional(conn)
    .await?;
    let Some(moved) = moved else { return Ok(None) };
    let mut doubts = Vec::new();
    // WeChat never accepted what we asked with: the number is of an order that was placed elsewhere.
    if row::maybe_text(&moved, "prepay")?.is_none() && !row::text(&moved, "request")?.is_empty() {
        doubts.push(AnomalyKind::PlacedElsewhere);
    }
    if row::maybe_number(&moved, "closed_at")?.is_some() {
        doubts.push(AnomalyKind::PaidAfterClose);
    }
    if row::maybe_number(&moved, "failed_at")?.is_some() {
        doubts.push(AnomalyKind::PaidAfterFailure);
    }
    Ok(Some(Paid {
        unheard_of: row::maybe_number(&moved, "accepted_at")?.is_none(),
        doubts,
    }))
}

/// The number turns out to be of an order that was placed elsewhere: whoever named it here has no right to it.
pub(crate) async fn disown(conn: &mut Conn, number: &OutTradeNo) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET owner_sub = NULL, owner_openid = NULL
          WHERE out_trade_no = $1 AND prepay IS NULL AND request <> ''",
    )
    .bind(number.as_str())
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Writes down that the order is about to be closed; `false` when it cannot be any more.
pub(crate) async fn ask_close(conn: &mut Conn, number: &OutTradeNo, now: i64, ask_at: i64) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET close_asked_at = $2, ask_at = $3
          WHERE out_trade_no = $1 AND state IN ('CREATED', 'NOTPAY')",
    )
    .bind(number.as_str())
    .bind(now)
    .bind(ask_at)
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Takes the wish to close back: WeChat refused it.
pub(crate) async fn unask_close(conn: &mut Conn, number: &OutTradeNo) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET close_asked_at = NULL WHERE out_trade_no = $1 AND state IN ('CREATED', 'NOTPAY')")
        .bind(number.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// `Fact::Closed`. `Some` only for the call that moved it, and says whether anybody was told of the order before.
pub(crate) async fn mark_closed(
    conn: &mut Conn,
    number: &OutTradeNo,
    now: i64,
    ask_at: i64,
) -> Result<Option<bool>, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET state = 'CLOSED', closed_at = $2, ask_at = $3
          WHERE out_trade_no = $1 AND state IN ('CREATED', 'NOTPAY')
          RETURNING accepted_at",
    )
    .bind(number.as_str())
    .bind(now)
    .bind(ask_at)
    .fetch_optional(conn)
    .await?;
    moved
        .map(|moved| Ok(row::maybe_number(&moved, "accepted_at")?.is_some()))
        .transpose()
}

/// `Fact::Refunded`. `true` only for the call that moved it; also holds the row for the rest of the transaction.
pub(crate) async fn mark_refunded(conn: &mut Conn, number: &OutTradeNo) -> Result<bool, StoreError> {
    let moved = sqlx::query("UPDATE orders SET state = 'REFUND' WHERE out_trade_no = $1 AND state = 'SUCCESS'")
        .bind(number.as_str())
        .execute(conn)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Sets an amount aside for a refund; `false` when the order is not paid or has not so much left.
pub(crate) async fn hold(conn: &mut Conn, number: &OutTradeNo, amount: Fen) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE orders SET held = held + $2
          WHERE out_trade_no = $1 AND held + $2 <= total AND state IN ('SUCCESS', 'REFUND')",
    )
    .bind(number.as_str())
    .bind(amount.get())
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Gives an amount back that will not be refunded.
pub(crate) async fn release(conn: &mut Conn, number: &OutTradeNo, amount: Fen) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET held = held - $2 WHERE out_trade_no = $1")
        .bind(number.as_str())
        .bind(amount.get())
        .execute(conn)
        .await?;
    Ok(())
}

/// Holds the row, so that what follows in this transaction is alone with the order.
pub(crate) async fn lock(conn: &mut Conn, number: &OutTradeNo) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET asked = asked WHERE out_trade_no = $1")
        .bind(number.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Asks again at that time, provided that there is anything left to ask; `None` is never.
pub(crate) async fn ask_again(conn: &mut Conn, number: &OutTradeNo, at: Option<i64>) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET ask_at = $2 WHERE out_trade_no = $1 AND state IN ('CREATED', 'NOTPAY')")
        .bind(number.as_str())
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}

/// The same when WeChat did not answer: it was no question.
pub(crate) async fn not_answered(conn: &mut Conn, number: &OutTradeNo, at: i64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE orders SET ask_at = $2, asked = CASE WHEN asked > 0 THEN asked - 1 ELSE 0 END
          WHERE out_trade_no = $1 AND state IN ('CREATED', 'NOTPAY')",
    )
    .bind(number.as_str())
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

/// WeChat is about to be asked for the order once more, because nobody knows what became of the last time. What it said of the number so
/// far says nothing of this attempt, so the count of questions begins again.
pub(crate) async fn attempt(conn: &mut Conn, number: &OutTradeNo, ask_at: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET ask_at = $2, asked = 0 WHERE out_trade_no = $1 AND state = 'CREATED'")
        .bind(number.as_str())
        .bind(ask_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Says when WeChat is to be asked about a closed order again; `None` is never.
pub(crate) async fn ask_closed_again(conn: &mut Conn, number: &OutTradeNo, at: Option<i64>) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET ask_at = $2 WHERE out_trade_no = $1 AND state = 'CLOSED'")
        .bind(number.as_str())
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}

/// The statement that makes intents due; its plan is tested.
pub(super) const INTENTS_DUE: &str = "UPDATE orders SET ask_at = $1
          WHERE ask_at > $1 AND (state = 'CREATED' OR (close_asked_at IS NOT NULL AND state = 'NOTPAY'))";

/// Makes every intent without an outcome due at that time, if it is not due before.
pub(crate) async fn intents_due_at(conn: &mut Conn, at: i64) -> Result<(), StoreError> {
    sqlx::query(INTENTS_DUE).bind(at).execute(conn).await?;
    Ok(())
}

/// An order that is due to be asked about, and how often that was done.
pub(crate) struct Due {
    pub(crate) order: Order,
    pub(crate) asked: i64,
}

/// The statement that finds the next due row; its plan is tested.
pub(super) const NEXT_DUE: &str = "SELECT ask_at FROM orders WHERE ask_at IS NOT NULL ORDER BY ask_at LIMIT 1";

/// When the next order is due to be asked about, Unix milliseconds.
pub(crate) async fn next_due(conn: &mut Conn) -> Result<Option<i64>, StoreError> {
    let found = sqlx::query(NEXT_DUE).fetch_optional(conn).await?;
    found.as_ref().map(|row| row::number(row, "ask_at")).transpose()
}

macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE orders SET ask_at = $2, asked = asked + 1
              WHERE ask_at <= $1 AND out_trade_no IN (
                    SELECT out_trade_no FROM orders WHERE ask_at <= $1 ORDER BY ask_at LIMIT $3",
            $lock,
            ") RETURNING out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, prepay, prepay_at,
                         transaction_id, held, created_at, accepted_at, close_asked_at, asked"
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

/// Takes due orders for itself until `lease`: whoever dies with one lets it become due again. Also says how many were taken: one that
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
            order: order(row)?,
            asked: row::number(row, "asked")?,
        })
    };
    Ok((rows.len(), row::readable(rows.iter().map(read))))
}

fn order(found: &AnyRow) -> Result<Order, StoreError> {
    let key = row::text(found, "out_trade_no")?;
    let kind = OrderKind::parse(&row::text(found, "kind")?);
    let state = TradeState::parse(&row::text(found, "state")?);
    let app_id = AppId::parse(row::text(found, "app_id")?).ok();
    let total = Fen::positive(row::number(found, "total")?);
    let held = Fen::not_negative(row::number(found, "held")?);
    let owner_openid = row::maybe_text(found, "owner_openid")?.map(Openid::parse).transpose();
    let transaction_id = row::maybe_text(found, "transaction_id")?
        .map(TransactionId::parse)
        .transpose();
    let prepay = row::maybe_text(found, "prepay")?.zip(row::maybe_number(found, "prepay_at")?);
    Ok(Order {
        kind: row::read(kind, "orders", "kind", &key)?,
        out_trade_no: row::read(OutTradeNo::parse(key.clone()).ok(), "orders", "out_trade_no", &key)?,
        app_id: row::read(app_id, "orders", "app_id", &key)?,
        total: row::read(total, "orders", "total", &key)?,
        owner: Owner {
            sub: row::maybe_text(found, "owner_sub")?,
            openid: row::read(owner_openid.ok(), "orders", "owner_openid", &key)?,
        },
        request: row::text(found, "request")?,
        state: row::read(state, "orders", "state", &key)?,
        prepay,
        transaction_id: row::read(transaction_id.ok(), "orders", "transaction_id", &key)?,
        held: row::read(held, "orders", "held", &key)?,
        created_at: row::number(found, "created_at")?,
        accepted_at: row::maybe_number(found, "accepted_at")?,
        close_asked_at: row::maybe_number(found, "close_asked_at")?,
    })
}
