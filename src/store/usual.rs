//! The three changes of an order that goes its usual way, each at once. What is not usual finds no row here and is settled statement by
//! statement, by the functions of the other files; a test sees both come to the same books.

use super::callbacks::Heard;
use super::change::{Change, Value};
use super::db::Db;
use super::error::StoreError;
use super::orders::Payment;
use super::row;
use crate::domain::event::{Delivery, NewEvent};
use crate::domain::ids::{Openid, OutTradeNo, new_id};
use crate::domain::money::Fen;
use crate::domain::order::NewOrder;

const INSERT_INTENT: &str =
    "INSERT INTO orders (out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, created_at, ask_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'CREATED', $8, $9)
         ON CONFLICT (out_trade_no) DO NOTHING
         RETURNING out_trade_no";

pub(super) static INTENT: Change = Change::new(INSERT_INTENT, &[INSERT_INTENT]);

/// Writes down what is about to be asked; `false` when the number is taken.
pub(crate) async fn insert_intent(
    db: &Db,
    order: &NewOrder,
    request: &str,
    now: i64,
    ask_at: i64,
) -> Result<bool, StoreError> {
    Ok(db
        .at_once(&INTENT, intent(order, request, now, ask_at))
        .await?
        .is_some())
}

/// What `INTENT` is told.
pub(super) fn intent(order: &NewOrder, request: &str, now: i64, ask_at: i64) -> Vec<Value> {
    vec![
        order.out_trade_no.as_str().into(),
        order.kind.as_str().into(),
        order.app_id.as_str().into(),
        order.total.get().into(),
        order.owner.sub.as_deref().into(),
        order.owner.openid.as_ref().map(Openid::as_str).into(),
        request.into(),
        now.into(),
        ask_at.into(),
    ]
}

/// The event of a move, which is told `event`: as `outbox::add` adds it, but for a fact that was told before, which breaks a rule here.
macro_rules! add_event {
    ($provided:literal) => {
        concat!(
            "INSERT INTO events (event_id, fact, stream, position, kind, payload, created_at, delivery, deliver_at)
         SELECT $2, $3, $1, (SELECT COALESCE(MAX(position), 0) + 1 FROM events WHERE stream = $1), $4, $5, $6, $7,
                CASE WHEN $7 = 'WAITING' AND NOT EXISTS (
                     SELECT 1 FROM events WHERE stream = $1 AND deliver_at IS NOT NULL) THEN $6 END ",
            $provided
        )
    };
}

/// `$1` to `$7`: the order, its event, and now.
fn event_of(db: &Db, number: &OutTradeNo, event: &NewEvent, now: i64) -> Vec<Value> {
    let delivery = if db.tells() {
        Delivery::Waiting
    } else {
        Delivery::Unsent
    };
    vec![
        number.as_str().into(),
        new_id().as_str().into(),
        event.fact.as_str().into(),
        event.kind.as_str().into(),
        event.payload.as_str().into(),
        now.into(),
        delivery.as_str().into(),
    ]
}

macro_rules! accept {
    () => {
        "UPDATE orders SET state = 'NOTPAY', accepted_at = $6, prepay = $8, prepay_at = $6, ask_at = $9
          WHERE out_trade_no = $1 AND state = 'CREATED' AND total = $10 AND app_id = $11
          RETURNING out_trade_no"
    };
}

static ACCEPTED: Change = Change::new(
    // Of an order that is only an intent nobody was told anything: there is no event whose turn would have to be held.
    concat!(
        "WITH moved AS (",
        accept!(),
        "), told AS (",
        add_event!("FROM moved"),
        ")
         SELECT out_trade_no FROM moved"
    ),
    &[accept!(), add_event!("WHERE changes() = 1")],
);

/// An intent that WeChat took.
pub(crate) struct Accepted<'a> {
    pub(crate) out_trade_no: &'a OutTradeNo,
    /// As the order has them.
    pub(crate) total: Fen,
    /// As the order has it.
    pub(crate) app_id: &'a str,
    /// What it is paid with.
    pub(crate) prepay: &'a str,
    /// When it is asked about first, Unix milliseconds.
    pub(crate) ask_at: i64,
}

/// The accepting move of an intent, with its event. `false` when that is not what the books hold.
pub(crate) async fn accept(db: &Db, order: &Accepted<'_>, event: &NewEvent, now: i64) -> Result<bool, StoreError> {
    let mut values = event_of(db, order.out_trade_no, event, now);
    values.extend([
        order.prepay.into(),
        order.ask_at.into(),
        order.total.get().into(),
        order.app_id.into(),
    ]);
    let moved = unless_broken(db.at_once(&ACCEPTED, values).await)?.is_some();
    if moved {
        db.has_moved(event.kind.as_str());
    }
    Ok(moved)
}

macro_rules! pay {
    ($and:literal, $returning:literal) => {
        concat!(
            "UPDATE orders SET state = 'SUCCESS', transaction_id = $8, paid_at = $9, payer_total = $10, ask_at = NULL
          WHERE out_trade_no = $1 AND total = $11 AND app_id = $12 AND state = 'NOTPAY'
            AND accepted_at IS NOT NULL AND closed_at IS NULL AND failed_at IS NULL AND prepay IS NOT NULL ",
            $and,
            " RETURNING ",
            $returning
        )
    };
}

macro_rules! keep_callback {
    ($provided:literal) => {
        concat!(
            "INSERT INTO callbacks (fact, stream, event_type, notification_id, proof, outcome, resource, first_at, last_at, times)
         SELECT $13, $1, $14, $15, $16, 'applied', $17, $6, $6, 1 ",
            $provided,
            " ON CONFLICT (fact) DO UPDATE SET times = callbacks.times + 1, last_at = excluded.last_at"
        )
    };
}

macro_rules! count_callback {
    ($provided:literal, $returning:literal) => {
        concat!(
            "UPDATE callbacks SET times = times + 1, last_at = $6
          WHERE fact = $13 AND resource = $17 AND outcome IN ('applied', 'known') AND ",
            $provided,
            " RETURNING ",
            $returning
        )
    };
}

static PAID: Change = Change::new(
    concat!(
        "WITH moved AS (",
        pay!("AND $7 <> 'WAITING'", "out_trade_no"),
        "),
         told AS (",
        add_event!("FROM moved"),
        "),
         kept AS (",
        keep_callback!("FROM moved"),
        "),
         again AS (",
        count_callback!("NOT EXISTS (SELECT 1 FROM moved)", "fact"),
        ")
         SELECT 1::BIGINT AS applied FROM moved UNION ALL SELECT 0::BIGINT FROM again"
    ),
    &[
        pay!("", "1 AS applied"),
        add_event!("WHERE changes() = 1"),
        keep_callback!("WHERE changes() = 1"),
        count_callback!("changes() = 0", "0 AS applied"),
    ],
);

/// What the callback of a payment did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Usual {
    /// It moved the order.
    Applied,
    /// The same callback did before; it was counted.
    Known,
}

/// The paid move of an order that waits for its payment, with its event and its callback; or the counting of a callback that was heard
/// before to the letter. `None` when the books hold neither.
///
/// On a server, an event that is to be told has to hold its stream first: a receiver may be hearing of the one before it just now. There,
/// that is not done at once.
pub(crate) async fn pay(
    db: &Db,
    payment: &Payment<'_>,
    event: &NewEvent,
    heard: &Heard<'_>,
    now: i64,
) -> Result<Option<Usual>, StoreError> {
    let mut values = event_of(db, payment.out_trade_no, event, now);
    values.extend([
        payment.transaction_id.as_str().into(),
        payment.paid_at.into(),
        payment.payer_total.map(Fen::get).into(),
        payment.total.get().into(),
        payment.app_id.into(),
        (&*row::key(&heard.fact)).into(),
        heard.event_type.into(),
        heard.notification_id.into(),
        heard.proof.into(),
        heard.resource.into(),
    ]);
    let Some(found) = unless_broken(db.at_once(&PAID, values).await)? else {
        return Ok(None);
    };
    if row::number(&found, "applied")? == 0 {
        return Ok(Some(Usual::Known));
    }
    db.has_moved(event.kind.as_str());
    Ok(Some(Usual::Applied))
}

/// A rule of the books that was broken is no usual case. Nothing was done, and statement by statement it shows which one it was.
fn unless_broken<T>(done: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match done {
        Err(StoreError::Unavailable(sqlx::Error::Database(error))) if error.is_unique_violation() => Ok(None),
        done => done,
    }
}
