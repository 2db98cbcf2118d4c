//! The paid move: order, state, event and anomaly in one transaction.

use super::{Delivery, Settled, anomaly, foreign, heard, record, unix_ms};
use crate::app::App;
use crate::domain::anomaly::AnomalyKind;
use crate::domain::event::EventKind;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::TradeState;
use crate::flows::prove::Proven;
use crate::flows::tell::{self, OrderRecord};
use crate::store::error::StoreError;
use crate::store::orders::{self, Payment};
use crate::store::usual::{self, Usual};
use crate::store::{anomalies, outbox};
use crate::wechat::orders::Transaction;

/// A payment, read out of what WeChat says. `Err` says what keeps it from being one of ours.
fn payment(app: &App, said: &Transaction) -> Result<(OutTradeNo, TransactionId, Fen, Option<Fen>), AnomalyKind> {
    if let Some(kind) = foreign(app, said) {
        return Err(kind);
    }
    let amount = said.amount.as_ref().ok_or(AnomalyKind::Unreadable)?;
    if amount.currency.as_deref().is_some_and(|currency| currency != "CNY") {
        return Err(AnomalyKind::AmountMismatch);
    }
    let number = OutTradeNo::parse(said.out_trade_no.as_str()).map_err(|_| AnomalyKind::Unreadable)?;
    let id = said.transaction_id.as_deref().ok_or(AnomalyKind::Unreadable)?;
    let id = TransactionId::parse(id).map_err(|_| AnomalyKind::Unreadable)?;
    let total = amount.total.and_then(Fen::positive).ok_or(AnomalyKind::Unreadable)?;
    Ok((number, id, total, amount.payer_total.and_then(Fen::not_negative)))
}

pub(super) async fn paid(
    app: &App,
    proven: &Proven<Transaction>,
    delivery: Option<Delivery<'_>>,
) -> Result<Settled, StoreError> {
    let said = proven.content();
    let now = app.clock.now_ms();
    let (number, transaction_id, total, payer_total) = match payment(app, said) {
        Ok(payment) => payment,
        Err(kind) => {
            let mut tx = app.db.begin().await?;
            anomalies::add(&mut tx, &anomaly(app, kind, proven), now).await?;
            record(&mut tx, proven, delivery, Settled::Anomaly, now).await?;
            tx.commit().await?;
            return Ok(Settled::Anomaly);
        }
    };
    let payer = crate::flows::known::payer_of(said).openid;
    let payment = Payment {
        out_trade_no: &number,
        transaction_id: &transaction_id,
        total,
        app_id: &said.appid,
        payer_total,
        payer: payer.as_ref(),
        paid_at: said
            .success_time
            .as_deref()
            .map_or(now, |time| unix_ms(time).unwrap_or(now)),
    };
    let order = OrderRecord {
        out_trade_no: number.as_str(),
        appid: &said.appid,
        total,
        trade_state: TradeState::Success.as_str(),
        transaction_id: Some(transaction_id.as_str()),
    };

    let event = tell::of_order(EventKind::OrderPaid, &number, &order, Some(proven.resource()), now);
    if let Some(delivery) = delivery
        && said.trade_state == "SUCCESS"
    {
        let heard = heard(proven, delivery, Settled::Applied);
        match usual::pay(&app.db, &payment, &event, &heard, now).await? {
            Some(Usual::Applied) => {
                is_paid(&payment, proven);
                return Ok(Settled::Applied);
            }
            Some(Usual::Known) => return Ok(Settled::Known),
            None => {}
        }
    }

    let mut tx = app.db.begin().await?;
    let mut doubts = Vec::new();
    let settled = if let Some(before) = orders::mark_paid(tx.conn(), &payment).await? {
        if before.unheard_of {
            let created = OrderRecord {
                trade_state: TradeState::NotPay.as_str(),
                transaction_id: None,
                ..order
            };
            outbox::add(
                &mut tx,
                &tell::of_order(EventKind::OrderCreated, &number, &created, None, now),
                now,
            )
            .await?;
        }
        outbox::add(&mut tx, &event, now).await?;
        doubts.extend(before.doubts);
        is_paid(&payment, proven);
        Settled::Applied
    } else {
        match orders::find(tx.conn(), &number).await? {
            None => doubts.push(AnomalyKind::UnknownOrder),
            Some(held) if held.app_id.as_str() != said.appid => doubts.push(AnomalyKind::ForeignApp),
            Some(held) if held.total != total => doubts.push(AnomalyKind::AmountMismatch),
            Some(held) if held.transaction_id.as_ref() != Some(&transaction_id) => {
                doubts.push(AnomalyKind::SecondPayment);
            }
            Some(_) => {}
        }
        if doubts.is_empty() {
            Settled::Known
        } else {
            Settled::Anomaly
        }
    };
    for kind in doubts {
        anomalies::add(&mut tx, &anomaly(app, kind, proven), now).await?;
    }
    if said.trade_state == "REFUND" && settled != Settled::Anomaly {
        orders::mark_refunded(tx.conn(), &number).await?;
    }
    record(&mut tx, proven, delivery, settled, now).await?;
    tx.commit().await?;
    Ok(settled)
}

fn is_paid(payment: &Payment<'_>, proven: &Proven<Transaction>) {
    tracing::info!(
        order.out_trade_no = payment.out_trade_no.as_str(),
        total = payment.total.get(),
        proof = proven.proof().as_str(),
        "the order is paid"
    );
}

/// Whether the payment stands on another order: then this one cannot be paid with it, however often that is said. Any other rule of
/// the books that was broken is ours, and the callback is to come again.
pub(super) async fn stands_elsewhere(app: &App, said: &Transaction) -> Result<bool, StoreError> {
    let Some(Ok(id)) = said.transaction_id.as_deref().map(TransactionId::parse) else {
        return Ok(false);
    };
    let mut conn = app.db.read().await?;
    let held = orders::find_by_transaction(&mut conn, &id).await?;
    Ok(held.is_some_and(|order| order.out_trade_no.as_str() != said.out_trade_no))
}
