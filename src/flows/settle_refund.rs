//! From a fact to the books, for refunds: the refund's state, what it holds of its order, and the event, in one transaction.

use super::prove::Proven;
use super::settle::{Delivery, Settled, unix_ms};
use super::tell::{self, RefundRecord};
use crate::app::App;
use crate::domain::anomaly::{AnomalyKind, NewAnomaly};
use crate::domain::event::EventKind;
use crate::domain::ids::{OutRefundNo, OutTradeNo, RefundId};
use crate::domain::refund::{Refund, RefundFact, RefundState, RefundStep};
use crate::store::callbacks::{self, Heard};
use crate::store::db::Tx;
use crate::store::error::StoreError;
use crate::store::{anomalies, orders, outbox, refunds};
use crate::wechat::refunds::RefundSaid;

/// Milliseconds until an accepted refund is asked about: the documented first look is after a minute.
const FIRST_LOOK_MS: i64 = 60_000;

/// Settles what WeChat says of a refund when it is asked. `moves` is how often the refund had moved when the question was put, where
/// that is known: of what has happened since, the answer says nothing.
pub(crate) async fn answered(
    app: &App,
    proven: &Proven<RefundSaid>,
    moves: Option<i64>,
) -> Result<Settled, StoreError> {
    settle(app, proven, None, moves).await
}

/// Settles what a callback says of a refund.
pub(crate) async fn refund(
    app: &App,
    proven: &Proven<RefundSaid>,
    delivery: Delivery<'_>,
) -> Result<Settled, StoreError> {
    settle(app, proven, Some(delivery), None).await
}

async fn settle(
    app: &App,
    proven: &Proven<RefundSaid>,
    delivery: Option<Delivery<'_>>,
    moves: Option<i64>,
) -> Result<Settled, StoreError> {
    let now = app.clock.now_ms();
    let said = proven.content();
    let mut tx = app.db.begin().await?;
    let foreign = said
        .mchid
        .as_deref()
        .is_some_and(|mchid| mchid != app.config.merchant_id.as_str());
    // A stuck refund may have been mended since: the same notification delivered again is old news, and the sweep asks what is true.
    let old_news = delivery.is_some()
        && said.status == RefundState::Abnormal.as_str()
        && callbacks::is_known(tx.conn(), &fact_of(said)).await?;
    let applied = if foreign {
        Err(AnomalyKind::ForeignMerchant)
    } else if old_news {
        Ok(Settled::Known)
    } else {
        apply(&mut tx, proven, moves, now).await?
    };
    let settled = match applied {
        Ok(settled) => settled,
        Err(kind) => {
            anomalies::add(&mut tx, &anomaly(app, kind, proven), now).await?;
            Settled::Anomaly
        }
    };
    if let Some(delivery) = delivery
        && settled != Settled::NothingYet
    {
        let heard = Heard {
            fact: fact_of(said),
            stream: &said.out_trade_no,
            event_type: delivery.event_type,
            notification_id: delivery.notification_id,
            proof: proven.proof().as_str(),
            outcome: settled.as_str(),
            resource: proven.resource().get(),
        };
        callbacks::record(tx.conn(), &heard, now).await?;
    }
    tx.commit().await?;
    Ok(settled)
}

/// The move itself; `Err` is genuine content that does not fit.
async fn apply(
    tx: &mut Tx,
    proven: &Proven<RefundSaid>,
    moves: Option<i64>,
    now: i64,
) -> Result<Result<Settled, AnomalyKind>, StoreError> {
    let said = proven.content();
    let (Ok(number), Ok(refund_id)) = (
        OutRefundNo::parse(&*said.out_refund_no),
        RefundId::parse(&*said.refund_id),
    ) else {
        return Ok(Err(AnomalyKind::Unreadable));
    };
    let Some(fact) = RefundFact::of_status(&said.status) else {
        return Ok(Err(AnomalyKind::Unreadable));
    };
    let Some(known) = refunds::find(tx.conn(), &number).await? else {
        return Ok(Err(AnomalyKind::UnknownRefund));
    };
    // From here on this transaction is alone with the order, and so with its refunds.
    orders::lock(tx.conn(), &known.out_trade_no).await?;
    let Some(mut known) = refunds::find(tx.conn(), &number).await? else {
        return Ok(Err(AnomalyKind::UnknownRefund));
    };
    if let Some(kind) = misfit(&known, &refund_id, said) {
        return Ok(Err(kind));
    }
    if let Some(at) = said.create_time.as_deref().and_then(unix_ms) {
        refunds::date(tx.conn(), &number, at).await?;
    }
    // That it is under way again is news only from whoever asked after it had got stuck; before, it was under way anyhow.
    let mended = known.state == RefundState::Abnormal && fact == RefundFact::Processing;
    if mended && moves != Some(known.moves) {
        return Ok(Ok(Settled::NothingYet));
    }
    let next = match known.state.after(fact) {
        RefundStep::Known if fact == RefundFact::Processing => return Ok(Ok(Settled::NothingYet)),
        RefundStep::Known => return Ok(Ok(Settled::Known)),
        RefundStep::Contradiction => return Ok(Err(AnomalyKind::Contradiction)),
        RefundStep::To(next) => next,
    };
    let look_at = now.saturating_add(FIRST_LOOK_MS);
    if known.state == RefundState::Failed {
        // It was given up and its amount given back; WeChat has it all the same, so the amount is held again.
        if !orders::hold(tx.conn(), &known.out_trade_no, known.amount).await? {
            return Ok(Err(AnomalyKind::Contradiction));
        }
        refunds::reopen(tx.conn(), &number, now, look_at).await?;
        known.moves = known.moves.saturating_add(1);
    }
    if !refunds::apply(tx.conn(), &number, fact, Some(&refund_id), now, look_at).await? {
        return Ok(Ok(Settled::Known));
    }
    if !next.holds() {
        orders::release(tx.conn(), &known.out_trade_no, known.amount).await?;
    }
    orders::mark_refunded(tx.conn(), &known.out_trade_no).await?;
    tell_of(tx, &known, &refund_id, next, proven, now).await?;
    tracing::info!(
        order.out_trade_no = known.out_trade_no.as_str(),
        refund.out_refund_no = number.as_str(),
        proof = proven.proof().as_str(),
        "the refund is {}",
        next.as_str()
    );
    Ok(Ok(if fact == RefundFact::Processing {
        Settled::NothingYet
    } else {
        Settled::Applied
    }))
}

fn misfit(known: &Refund, refund_id: &RefundId, said: &RefundSaid) -> Option<AnomalyKind> {
    let amount = said.amount.as_ref().and_then(|amount| amount.refund);
    if said.out_trade_no != known.out_trade_no.as_str() {
        Some(AnomalyKind::Contradiction)
    } else if amount.is_some_and(|amount| amount != known.amount.get()) {
        Some(AnomalyKind::AmountMismatch)
    } else if known.refund_id.as_ref().is_some_and(|known| known != refund_id) {
        Some(AnomalyKind::Contradiction)
    } else {
        None
    }
}

async fn tell_of(
    tx: &mut Tx,
    known: &Refund,
    refund_id: &RefundId,
    next: RefundState,
    proven: &Proven<RefundSaid>,
    now: i64,
) -> Result<(), StoreError> {
    let numbers = (&known.out_trade_no, &known.out_refund_no);
    let record = RefundRecord {
        out_trade_no: numbers.0.as_str(),
        out_refund_no: numbers.1.as_str(),
        refund_id: Some(refund_id.as_str()),
        refund: known.amount,
        refund_status: next.as_str(),
    };
    let turn = known.moves.saturating_add(1);
    if !known.accepted {
        let accepted = RefundRecord {
            refund_status: RefundState::Processing.as_str(),
            ..record
        };
        let event = tell::of_refund(EventKind::RefundCreated, numbers, turn, &accepted, None, now);
        outbox::add(tx, &event, now).await?;
    }
    let kind = match next {
        RefundState::Success => EventKind::RefundSucceeded,
        RefundState::Closed => EventKind::RefundClosed,
        RefundState::Abnormal => EventKind::RefundAbnormal,
        RefundState::Created | RefundState::Failed | RefundState::Processing => return Ok(()),
    };
    let event = tell::of_refund(kind, numbers, turn, &record, Some(proven.resource()), now);
    outbox::add(tx, &event, now).await?;
    Ok(())
}

/// WeChat's proven word that it never accepted this refund: the amount is free again. `asked_for_at` is the attempt that the word is
/// about; of one that was made since, it says nothing.
pub(crate) async fn never_accepted(
    app: &App,
    order: &OutTradeNo,
    number: &OutRefundNo,
    asked_for_at: i64,
) -> Result<(), StoreError> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    orders::lock(tx.conn(), order).await?;
    let Some(known) = refunds::find(tx.conn(), number).await? else {
        return Ok(());
    };
    if known.asked_for_at == asked_for_at
        && refunds::apply(tx.conn(), number, RefundFact::Unknown, None, now, now).await?
    {
        orders::release(tx.conn(), order, known.amount).await?;
        tracing::info!(
            refund.out_refund_no = number.as_str(),
            "the refund was never accepted by WeChat Pay"
        );
    }
    tx.commit().await
}

/// A refund's facts are told apart by its id and status; being stuck again after it was mended is a fact of its own.
fn fact_of(said: &RefundSaid) -> String {
    let time = said.success_time.as_deref().unwrap_or_default();
    format!(
        "refund/{}/{}/{}/{time}",
        said.out_refund_no, said.refund_id, said.status
    )
}

fn anomaly(app: &App, kind: AnomalyKind, proven: &Proven<RefundSaid>) -> NewAnomaly {
    let said = proven.content();
    let now = app.clock.now_ms();
    tell::of_anomaly(kind, &said.out_refund_no, fact_of(said), None, proven.resource(), now)
}
