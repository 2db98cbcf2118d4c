//! The other moves of an order by WeChat's word: it was accepted, or it is closed.

use super::{Settled, anomaly, of_another};
use crate::app::App;
use crate::domain::anomaly::AnomalyKind;
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::ids::OutTradeNo;
use crate::domain::money::Fen;
use crate::domain::order::{Fact, NewOrder, Step, TradeState};
use crate::flows::FIRST_ASK_MS;
use crate::flows::prove::Proven;
use crate::flows::tell::{self, OrderRecord};
use crate::store::db::Tx;
use crate::store::error::StoreError;
use crate::store::usual::{self, Accepted};
use crate::store::{anomalies, orders, outbox};
use crate::wechat::orders::Transaction;

/// Milliseconds after a close at which the order is asked about once more: a payment that was under way arrives all the same, and so
/// would its callbacks, unless they are lost.
const OVERTAKEN_MS: i64 = 120_000;

pub(super) async fn closed(app: &App, proven: &Proven<Transaction>) -> Result<Settled, StoreError> {
    let Ok(number) = OutTradeNo::parse(proven.content().out_trade_no.as_str()) else {
        return Ok(Settled::NothingYet);
    };
    let mut tx = app.db.begin().await?;
    if of_another(&mut tx, app, proven, &number).await? {
        tx.commit().await?;
        return Ok(Settled::Anomaly);
    }
    let mut settled = close_in(&mut tx, app, &number).await?;
    if settled == Settled::Known && contradicts(&mut tx, app, proven, &number, Fact::Closed).await? {
        settled = Settled::Anomaly;
    }
    tx.commit().await?;
    Ok(settled)
}

/// Whether WeChat now says what cannot follow on what it said before; then a person hears of it.
async fn contradicts(
    tx: &mut Tx,
    app: &App,
    proven: &Proven<Transaction>,
    number: &OutTradeNo,
    fact: Fact,
) -> Result<bool, StoreError> {
    let Some(order) = orders::find(tx.conn(), number).await? else {
        return Ok(false);
    };
    if order.state.after(fact) != Step::Contradiction {
        return Ok(false);
    }
    let mut note = anomaly(app, AnomalyKind::Contradiction, proven);
    note.fact = format!("state/{number}/{}", proven.content().trade_state);
    anomalies::add(tx, &note, app.clock.now_ms()).await?;
    Ok(true)
}

/// The closing move with its events, in a transaction of the caller.
pub(crate) async fn close_in(tx: &mut Tx, app: &App, number: &OutTradeNo) -> Result<Settled, StoreError> {
    let now = app.clock.now_ms();
    let Some(heard_of) = orders::mark_closed(tx.conn(), number, now, now.saturating_add(OVERTAKEN_MS)).await? else {
        return Ok(Settled::Known);
    };
    let Some(order) = orders::find(tx.conn(), number).await? else {
        return Ok(Settled::Known);
    };
    let record = OrderRecord {
        out_trade_no: number.as_str(),
        appid: order.app_id.as_str(),
        total: order.total,
        trade_state: TradeState::Closed.as_str(),
        transaction_id: None,
    };
    if !heard_of {
        let created = OrderRecord {
            trade_state: TradeState::NotPay.as_str(),
            ..record
        };
        outbox::add(
            tx,
            &tell::of_order(EventKind::OrderCreated, number, &created, None, now),
            now,
        )
        .await?;
    }
    outbox::add(
        tx,
        &tell::of_order(EventKind::OrderClosed, number, &record, None, now),
        now,
    )
    .await?;
    tracing::info!(order.out_trade_no = number.as_str(), "the order is closed");
    Ok(Settled::Applied)
}

/// WeChat has the order and waits for the payer: an intent whose answer was lost has its outcome.
///
/// An order that is paid here is no contradiction: the payment may have arrived while this answer was on its way.
pub(super) async fn accepted(app: &App, proven: &Proven<Transaction>) -> Result<Settled, StoreError> {
    let Ok(number) = OutTradeNo::parse(proven.content().out_trade_no.as_str()) else {
        return Ok(Settled::NothingYet);
    };
    let held = {
        let mut conn = app.db.read().await?;
        orders::find(&mut conn, &number).await?
    };
    if held.is_some_and(|order| order.state == TradeState::Created) {
        let mut tx = app.db.begin().await?;
        if of_another(&mut tx, app, proven, &number).await? {
            tx.commit().await?;
            return Ok(Settled::Anomaly);
        }
        accept_in(&mut tx, app, &number, None).await?;
        tx.commit().await?;
    }
    Ok(Settled::NothingYet)
}

/// The accepting move of an order that was just asked for, with its event. Says where the order stands then: only `NOTPAY` can be paid.
pub(crate) async fn accept(app: &App, new: &NewOrder, prepay: &str) -> Result<TradeState, StoreError> {
    let now = app.clock.now_ms();
    let number = &new.out_trade_no;
    let order = Accepted {
        out_trade_no: number,
        total: new.total,
        app_id: new.app_id.as_str(),
        prepay,
        ask_at: now.saturating_add(FIRST_ASK_MS),
    };
    let event = created(number, new.app_id.as_str(), new.total, now);
    if usual::accept(&app.db, &order, &event, now).await? {
        return Ok(TradeState::NotPay);
    }
    let mut tx = app.db.begin().await?;
    let state = accept_in(&mut tx, app, number, Some(prepay)).await?;
    tx.commit().await?;
    Ok(state)
}

fn created(number: &OutTradeNo, appid: &str, total: Fen, now: i64) -> NewEvent {
    let record = OrderRecord {
        out_trade_no: number.as_str(),
        appid,
        total,
        trade_state: TradeState::NotPay.as_str(),
        transaction_id: None,
    };
    tell::of_order(EventKind::OrderCreated, number, &record, None, now)
}

/// The same in a transaction of the caller. Says where the order stands then: only `NOTPAY` can be paid.
///
/// `prepay` is what WeChat gave to pay with.
pub(crate) async fn accept_in(
    tx: &mut Tx,
    app: &App,
    number: &OutTradeNo,
    prepay: Option<&str>,
) -> Result<TradeState, StoreError> {
    let now = app.clock.now_ms();
    let mut moved = orders::mark_accepted(tx.conn(), number, prepay, now, now.saturating_add(FIRST_ASK_MS)).await?;
    if moved.is_none() && orders::reopen(tx.conn(), number, now.saturating_add(crate::flows::INTENT_GRACE_MS)).await? {
        // It was given up while WeChat was accepting it.
        moved = orders::mark_accepted(tx.conn(), number, prepay, now, now.saturating_add(FIRST_ASK_MS)).await?;
    }
    let Some((app_id, total)) = moved else {
        if let Some(prepay) = prepay {
            orders::renew_prepay(tx.conn(), number, prepay, now).await?;
        }
        return Ok(orders::find(tx.conn(), number)
            .await?
            .map_or(TradeState::Failed, |order| order.state));
    };
    outbox::add(tx, &created(number, app_id.as_str(), total, now), now).await?;
    Ok(TradeState::NotPay)
}
