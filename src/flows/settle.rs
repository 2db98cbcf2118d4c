//! From a fact to the books: the one door through which an order's money enters.
//!
//! A callback, a query and a sweep all come in here, with content that `prove` has made. Order, state, event and anomaly are one
//! transaction; when this returns, what WeChat said is durable.

use jiff::Timestamp;

use super::prove::{Proof, Proven};
use super::tell::{self, OrderRecord};
use crate::app::App;
use crate::domain::anomaly::{AnomalyKind, NewAnomaly};
use crate::domain::event::EventKind;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::{Fact, Step, TradeState};
use crate::store::callbacks::{self, Heard};
use crate::store::db::Tx;
use crate::store::error::StoreError;
use crate::store::orders::{self, Payment};
use crate::store::{anomalies, outbox};
use crate::wechat::orders::Transaction;

/// Milliseconds after a close at which the order is asked about once more: a payment that was under way arrives all the same, and so
/// would its callbacks, unless they are lost.
const OVERTAKEN_MS: i64 = 120_000;

/// What a fact did to the books.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Settled {
    /// It moved something.
    Applied,
    /// It was known.
    Known,
    /// It is genuine and does not fit; it is kept for a person.
    Anomaly,
    /// It says that nothing has happened yet.
    NothingYet,
}

impl Settled {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Known => "known",
            Self::Anomaly => "anomaly",
            Self::NothingYet => "nothing_yet",
        }
    }
}

/// Which callback brought the fact; `None` when WeChat was asked by ourselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) event_type: Option<&'a str>,
    pub(crate) notification_id: Option<&'a str>,
}

/// Settles what WeChat says of an order.
pub(crate) async fn transaction(
    app: &App,
    proven: &Proven<Transaction>,
    delivery: Option<Delivery<'_>>,
) -> Result<Settled, StoreError> {
    let said = proven.content();
    match said.trade_state.as_str() {
        // REFUND says that the order was paid: the paid move comes first, if it was missed.
        "SUCCESS" | "REFUND" => match paid(app, proven, delivery).await {
            Err(StoreError::Unavailable(sqlx::Error::Database(error)))
                if error.is_unique_violation() && stands_elsewhere(app, said).await? =>
            {
                let note = anomaly(app, AnomalyKind::Contradiction, proven);
                note_anomaly(app, &note).await?;
                Ok(Settled::Anomaly)
            }
            settled => settled,
        },
        "CLOSED" | "REVOKED" => {
            let settled = closed(app, proven).await?;
            // Callbacks tell of payments. This one was not confirmed, so it is not acknowledged: if it is genuine, it comes again.
            let unconfirmed = delivery.is_some() && proven.proof() == Proof::Answer && settled != Settled::Anomaly;
            Ok(if unconfirmed { Settled::NothingYet } else { settled })
        }
        "NOTPAY" | "USERPAYING" | "PAYERROR" => accepted(app, proven).await,
        other => {
            tracing::warn!(
                order.out_trade_no = said.out_trade_no,
                trade_state = other,
                "WeChat Pay names a trade_state that this version does not know"
            );
            Ok(Settled::NothingYet)
        }
    }
}

/// Whether the payment stands on another order: then this one cannot be paid with it, however often that is said. Any other rule of
/// the books that was broken is ours, and the callback is to come again.
async fn stands_elsewhere(app: &App, said: &Transaction) -> Result<bool, StoreError> {
    let Some(Ok(id)) = said.transaction_id.as_deref().map(TransactionId::parse) else {
        return Ok(false);
    };
    let mut conn = app.db.read().await?;
    let held = orders::find_by_transaction(&mut conn, &id).await?;
    Ok(held.is_some_and(|order| order.out_trade_no.as_str() != said.out_trade_no))
}

/// What keeps a word of WeChat's from being about this merchant.
fn foreign(app: &App, said: &Transaction) -> Option<AnomalyKind> {
    if said.mchid != app.config.merchant_id.as_str() {
        Some(AnomalyKind::ForeignMerchant)
    } else if app.config.apps().all(|app_id| app_id.as_str() != said.appid) {
        Some(AnomalyKind::ForeignApp)
    } else {
        None
    }
}

/// The same of a word that moves no money. It is about the order of that number here only if it is about its app.
async fn of_another(
    tx: &mut Tx,
    app: &App,
    proven: &Proven<Transaction>,
    number: &OutTradeNo,
) -> Result<bool, StoreError> {
    let said = proven.content();
    let kind = match foreign(app, said) {
        Some(kind) => kind,
        None => match orders::find(tx.conn(), number).await? {
            Some(held) if held.app_id.as_str() != said.appid => AnomalyKind::ForeignApp,
            _ => return Ok(false),
        },
    };
    let mut note = anomaly(app, kind, proven);
    note.fact = format!("state/{number}/{}", said.trade_state);
    anomalies::add(tx.conn(), &note, app.clock.now_ms()).await?;
    Ok(true)
}

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

async fn paid(app: &App, proven: &Proven<Transaction>, delivery: Option<Delivery<'_>>) -> Result<Settled, StoreError> {
    let said = proven.content();
    let now = app.clock.now_ms();
    let (number, transaction_id, total, payer_total) = match payment(app, said) {
        Ok(payment) => payment,
        Err(kind) => {
            let mut tx = app.db.begin().await?;
            anomalies::add(tx.conn(), &anomaly(app, kind, proven), now).await?;
            record(&mut tx, proven, delivery, Settled::Anomaly, now).await?;
            tx.commit().await?;
            return Ok(Settled::Anomaly);
        }
    };
    let payer = super::known::payer_of(said).openid;
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
                tx.conn(),
                &tell::of_order(EventKind::OrderCreated, &number, &created, None, now),
                now,
            )
            .await?;
        }
        let event = tell::of_order(EventKind::OrderPaid, &number, &order, Some(proven.resource()), now);
        outbox::add(tx.conn(), &event, now).await?;
        doubts.extend(before.doubts);
        tracing::info!(
            order.out_trade_no = number.as_str(),
            total = total.get(),
            proof = proven.proof().as_str(),
            "order {number} is paid"
        );
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
        anomalies::add(tx.conn(), &anomaly(app, kind, proven), now).await?;
    }
    if said.trade_state == "REFUND" && settled != Settled::Anomaly {
        orders::mark_refunded(tx.conn(), &number).await?;
    }
    record(&mut tx, proven, delivery, settled, now).await?;
    tx.commit().await?;
    Ok(settled)
}

async fn closed(app: &App, proven: &Proven<Transaction>) -> Result<Settled, StoreError> {
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
    anomalies::add(tx.conn(), &note, app.clock.now_ms()).await?;
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
            tx.conn(),
            &tell::of_order(EventKind::OrderCreated, number, &created, None, now),
            now,
        )
        .await?;
    }
    outbox::add(
        tx.conn(),
        &tell::of_order(EventKind::OrderClosed, number, &record, None, now),
        now,
    )
    .await?;
    tracing::info!(order.out_trade_no = number.as_str(), "order {number} is closed");
    Ok(Settled::Applied)
}

/// WeChat has the order and waits for the payer: an intent whose answer was lost has its outcome.
///
/// An order that is paid here is no contradiction: the payment may have arrived while this answer was on its way.
async fn accepted(app: &App, proven: &Proven<Transaction>) -> Result<Settled, StoreError> {
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

/// The accepting move with its event, in a transaction of the caller. Says where the order stands then: only `NOTPAY` can be paid.
///
/// `prepay` is what WeChat gave to pay with.
pub(crate) async fn accept_in(
    tx: &mut Tx,
    app: &App,
    number: &OutTradeNo,
    prepay: Option<&str>,
) -> Result<TradeState, StoreError> {
    let now = app.clock.now_ms();
    let mut moved = orders::mark_accepted(tx.conn(), number, prepay, now).await?;
    if !moved && orders::reopen(tx.conn(), number, now.saturating_add(super::INTENT_GRACE_MS)).await? {
        // It was given up while WeChat was accepting it.
        moved = orders::mark_accepted(tx.conn(), number, prepay, now).await?;
    }
    if !moved {
        if let Some(prepay) = prepay {
            orders::renew_prepay(tx.conn(), number, prepay, now).await?;
        }
        return Ok(orders::find(tx.conn(), number)
            .await?
            .map_or(TradeState::Failed, |order| order.state));
    }
    if let Some(order) = orders::find(tx.conn(), number).await? {
        let record = OrderRecord {
            out_trade_no: number.as_str(),
            appid: order.app_id.as_str(),
            total: order.total,
            trade_state: TradeState::NotPay.as_str(),
            transaction_id: None,
        };
        outbox::add(
            tx.conn(),
            &tell::of_order(EventKind::OrderCreated, number, &record, None, now),
            now,
        )
        .await?;
    }
    Ok(TradeState::NotPay)
}

async fn record(
    tx: &mut Tx,
    proven: &Proven<Transaction>,
    delivery: Option<Delivery<'_>>,
    settled: Settled,
    now: i64,
) -> Result<(), StoreError> {
    let Some(delivery) = delivery else { return Ok(()) };
    let said = proven.content();
    let heard = Heard {
        fact: payment_fact(said),
        stream: &said.out_trade_no,
        event_type: delivery.event_type,
        notification_id: delivery.notification_id,
        proof: proven.proof().as_str(),
        outcome: settled.as_str(),
        resource: proven.resource().get(),
    };
    callbacks::record(tx.conn(), &heard, now).await
}

/// A payment is told apart by WeChat's number of it.
fn payment_fact(said: &Transaction) -> String {
    format!(
        "payment/{}/{}",
        said.out_trade_no,
        said.transaction_id.as_deref().unwrap_or_default()
    )
}

fn anomaly(app: &App, kind: AnomalyKind, proven: &Proven<Transaction>) -> NewAnomaly {
    let said = proven.content();
    let detail = serde_json::json!({
        "version": 1,
        "type": EventKind::AnomalyDetected.as_str(),
        "timestamp": app.clock.now().to_string(),
        "data": {"kind": kind.as_str(), "subject": said.out_trade_no, "resource": proven.resource()},
    });
    NewAnomaly {
        kind,
        subject: said.out_trade_no.clone(),
        fact: payment_fact(said),
        detail: detail.to_string(),
    }
}

async fn note_anomaly(app: &App, note: &NewAnomaly) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    anomalies::add(tx.conn(), note, app.clock.now_ms()).await?;
    tx.commit().await
}

/// A genuine notification of a kind that this version does not know: kept, shown, and acknowledged.
pub(crate) async fn unknown(
    app: &App,
    resource: &serde_json::value::RawValue,
    proof: Proof,
    delivery: Delivery<'_>,
) -> Result<Settled, StoreError> {
    let event_type = delivery.event_type.unwrap_or_default();
    let readable = crate::wechat::notification::Subject::of_event(event_type).is_none();
    let kind = if readable {
        AnomalyKind::UnknownEvent
    } else {
        AnomalyKind::Unreadable
    };
    // The content is the key: the same one may come under a fresh notification id.
    let fact = {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(resource.get());
        format!(
            "notification/{}",
            digest
                .iter()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
        )
    };
    let subject = delivery.notification_id.unwrap_or(&fact).to_owned();
    let detail = serde_json::json!({
        "version": 1,
        "type": EventKind::AnomalyDetected.as_str(),
        "timestamp": app.clock.now().to_string(),
        "data": {"kind": kind.as_str(), "subject": subject, "event_type": event_type, "resource": resource},
    });
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    let note = NewAnomaly {
        kind,
        subject: subject.clone(),
        fact: fact.clone(),
        detail: detail.to_string(),
    };
    anomalies::add(tx.conn(), &note, now).await?;
    let heard = Heard {
        fact,
        stream: &subject,
        event_type: delivery.event_type,
        notification_id: delivery.notification_id,
        proof: proof.as_str(),
        outcome: Settled::Anomaly.as_str(),
        resource: resource.get(),
    };
    callbacks::record(tx.conn(), &heard, now).await?;
    tx.commit().await?;
    Ok(Settled::Anomaly)
}

/// A time as WeChat writes it (RFC 3339 with offset), in Unix milliseconds.
fn unix_ms(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wechats_times_are_read_with_their_offset() {
        assert_eq!(unix_ms("2026-11-23T15:04:05+08:00"), unix_ms("2026-11-23T07:04:05Z"));
        assert_eq!(unix_ms("2026-11-23T15:10:00.120+08:00").map(|ms| ms % 1000), Some(120));
        assert_eq!(unix_ms("yesterday"), None);
    }
}
