//! The history of an order and its refunds.

use serde::Serialize;
use sqlx::any::AnyRow;

use super::{Cause, Entry, Happened, in_order, told};
use crate::domain::ids::{OutTradeNo, ends};
use crate::domain::money::Fen;
use crate::domain::refund::RefundState;
use crate::store::conn::Conn;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::row;

/// How an order stands. Times in Unix milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OrderHead {
    pub(crate) out_trade_no: String,
    /// WeChat's `trade_type`.
    pub(crate) trade_type: String,
    pub(crate) state: String,
    pub(crate) total_fen: Fen,
    /// What refunds have taken or may still take.
    pub(crate) held_fen: Fen,
    pub(crate) app_id: String,
    /// The ends of the owner's names.
    pub(crate) owner_sub: Option<String>,
    pub(crate) owner_openid: Option<String>,
    pub(crate) transaction_id: Option<String>,
    /// What the payer paid after coupons.
    pub(crate) payer_total_fen: Option<Fen>,
    pub(crate) created_at_ms: i64,
    /// WeChat's time of the payment.
    pub(crate) paid_at_ms: Option<i64>,
    pub(crate) closed_at_ms: Option<i64>,
    /// When WeChat is asked about it next.
    pub(crate) ask_at_ms: Option<i64>,
    /// How often it was asked about it by itself.
    pub(crate) asked: i64,
}

/// How a refund stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RefundHead {
    pub(crate) out_refund_no: String,
    pub(crate) refund_id: Option<String>,
    pub(crate) amount_fen: Fen,
    pub(crate) state: String,
    pub(crate) ask_at_ms: Option<i64>,
}

/// An order, its refunds, and all that happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OrderHistory {
    pub(crate) order: OrderHead,
    pub(crate) refunds: Vec<RefundHead>,
    pub(crate) timeline: Vec<Entry>,
}

/// Everything that happened to an order; `None` when there is none of that number.
pub(crate) async fn of_order(db: &Db, number: &OutTradeNo) -> Result<Option<OrderHistory>, StoreError> {
    let mut conn = db.read().await?;
    let stream = number.as_str();
    let found = sqlx::query(
        "SELECT o.out_trade_no, o.kind, o.state, o.total, o.held, o.app_id, o.owner_sub, o.owner_openid, o.request,
                o.transaction_id, o.payer_total, o.created_at, o.accepted_at, o.failed_at, o.paid_at, o.close_asked_at,
                o.closed_at, o.ask_at, o.asked, e.created_at AS paid_known_at
           FROM orders o LEFT JOIN events e ON e.fact = 'order.paid/' || o.out_trade_no
          WHERE o.out_trade_no = $1",
    )
    .bind(stream)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let callbacks = told::callbacks(&mut conn, stream).await?;
    let mut entries = moves(&found, &callbacks)?;
    let refunds = refunds(&mut conn, stream, &callbacks, &mut entries).await?;
    entries.extend(callbacks);
    entries.extend(told::requests(&mut conn, stream).await?);
    entries.extend(told::events(&mut conn, stream).await?);
    entries.extend(told::anomalies(&mut conn, stream).await?);
    for refund in &refunds {
        entries.extend(told::anomalies(&mut conn, &refund.out_refund_no).await?);
    }
    Ok(Some(OrderHistory {
        order: head(&found)?,
        refunds,
        timeline: in_order(entries),
    }))
}

pub(in crate::store) fn head(found: &AnyRow) -> Result<OrderHead, StoreError> {
    let key = row::text(found, "out_trade_no")?;
    let total = Fen::not_negative(row::number(found, "total")?);
    let held = Fen::not_negative(row::number(found, "held")?);
    let shortened = |column| Ok::<_, StoreError>(row::maybe_text(found, column)?.map(|name| ends(&name)));
    Ok(OrderHead {
        trade_type: row::text(found, "kind")?,
        state: row::text(found, "state")?,
        total_fen: row::read(total, "orders", "total", &key)?,
        held_fen: row::read(held, "orders", "held", &key)?,
        out_trade_no: key,
        app_id: row::text(found, "app_id")?,
        owner_sub: shortened("owner_sub")?,
        owner_openid: shortened("owner_openid")?,
        transaction_id: row::maybe_text(found, "transaction_id")?,
        payer_total_fen: row::maybe_number(found, "payer_total")?.and_then(Fen::not_negative),
        created_at_ms: row::number(found, "created_at")?,
        paid_at_ms: row::maybe_number(found, "paid_at")?,
        closed_at_ms: row::maybe_number(found, "closed_at")?,
        ask_at_ms: row::maybe_number(found, "ask_at")?,
        asked: row::number(found, "asked")?,
    })
}

/// The moves of the order itself.
fn moves(found: &AnyRow, callbacks: &[Entry]) -> Result<Vec<Entry>, StoreError> {
    // An order that was placed before this store existed entered as WeChat had it.
    let adopted = row::text(found, "request")?.is_empty();
    let paid = if told::by_callback(callbacks, "payment/") {
        Cause::Callback
    } else {
        Cause::Answer
    };
    let first = if adopted {
        ("entered, placed elsewhere", Cause::Answer)
    } else {
        ("CREATED", Cause::Request)
    };
    let accepted = if adopted { None } else { Some("accepted_at") };
    let columns = [
        (Some("created_at"), first.0, first.1),
        (accepted, "NOTPAY", Cause::Answer),
        (Some("failed_at"), "FAILED", Cause::Answer),
        (Some("close_asked_at"), "to be closed", Cause::Request),
        (Some("closed_at"), "CLOSED", Cause::Answer),
        (Some("paid_known_at"), "SUCCESS", paid),
    ];
    let mut entries = Vec::new();
    for (column, state, cause) in columns {
        let Some(column) = column else { continue };
        if let Some(at_ms) = row::maybe_number(found, column)? {
            let happened = Happened::Order { state, cause };
            entries.push(Entry { at_ms, happened });
        }
    }
    Ok(entries)
}

/// The refunds of an order, whose moves are added to `entries`.
async fn refunds(
    conn: &mut Conn,
    number: &str,
    callbacks: &[Entry],
    entries: &mut Vec<Entry>,
) -> Result<Vec<RefundHead>, StoreError> {
    let rows = sqlx::query(
        "SELECT out_refund_no, refund_id, amount, state, created_at, accepted_at, ended_at, ask_at
           FROM refunds WHERE out_trade_no = $1 ORDER BY created_at, out_refund_no",
    )
    .bind(number)
    .fetch_all(conn)
    .await?;
    let mut refunds = Vec::new();
    for found in &rows {
        let out_refund_no = row::text(found, "out_refund_no")?;
        let amount = Fen::not_negative(row::number(found, "amount")?);
        let amount_fen = row::read(amount, "refunds", "amount", &out_refund_no)?;
        let state = row::text(found, "state")?;
        let ended = if told::by_callback(callbacks, &format!("refund/{out_refund_no}/")) {
            Cause::Callback
        } else {
            Cause::Answer
        };
        for (column, state, cause) in [
            ("created_at", RefundState::Created.as_str(), Cause::Request),
            ("accepted_at", RefundState::Processing.as_str(), Cause::Answer),
            ("ended_at", state.as_str(), ended),
        ] {
            if let Some(at_ms) = row::maybe_number(found, column)? {
                let happened = Happened::Refund {
                    out_refund_no: out_refund_no.clone(),
                    state: state.to_owned(),
                    amount_fen,
                    cause,
                };
                entries.push(Entry { at_ms, happened });
            }
        }
        refunds.push(RefundHead {
            out_refund_no,
            refund_id: row::maybe_text(found, "refund_id")?,
            amount_fen,
            state,
            ask_at_ms: row::maybe_number(found, "ask_at")?,
        });
    }
    Ok(refunds)
}
