//! From a fact to the books, for transfers: the state and the event, in one transaction.

use super::prove::{Proof, Proven};
use super::settle::{Delivery, Settled, unix_ms};
use super::tell::{self, TransferRecord};
use crate::app::App;
use crate::domain::anomaly::{AnomalyKind, NewAnomaly};
use crate::domain::event::{EventKind, transfer_stream};
use crate::domain::ids::{OutBillNo, TransferBillNo};
use crate::domain::transfer::{Transfer, TransferFact, TransferState, TransferStep};
use crate::store::callbacks::{self, Heard};
use crate::store::db::Tx;
use crate::store::error::StoreError;
use crate::store::transfers::{self, Particulars};
use crate::store::{anomalies, outbox};
use crate::wechat::transfers::TransferSaid;

/// Milliseconds until an accepted transfer is asked about: its receiver is looking at it now.
const FIRST_LOOK_MS: i64 = 60_000;

/// Settles what WeChat says of a transfer.
pub(crate) async fn transfer(
    app: &App,
    proven: &Proven<TransferSaid>,
    delivery: Option<Delivery<'_>>,
) -> Result<Settled, StoreError> {
    let now = app.clock.now_ms();
    let said = proven.content();
    let mut tx = app.db.begin().await?;
    let foreign = said
        .mch_id
        .as_deref()
        .is_some_and(|mchid| mchid != app.config.merchant_id.as_str());
    let foreign_app = said
        .appid
        .as_deref()
        .is_some_and(|app_id| !app.config.apps().any(|known| known.as_str() == app_id));
    let applied = if foreign {
        Err(AnomalyKind::ForeignMerchant)
    } else if foreign_app {
        Err(AnomalyKind::ForeignApp)
    } else {
        apply(&mut tx, proven, now).await?
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
        let stream =
            OutBillNo::parse(&*said.out_bill_no).map_or_else(|_| String::new(), |number| transfer_stream(&number));
        let heard = Heard {
            fact: fact_of(said),
            stream: &stream,
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
    proven: &Proven<TransferSaid>,
    now: i64,
) -> Result<Result<Settled, AnomalyKind>, StoreError> {
    let said = proven.content();
    let (Ok(number), Ok(bill), Some(fact)) = (
        OutBillNo::parse(&*said.out_bill_no),
        TransferBillNo::parse(&*said.transfer_bill_no),
        TransferFact::of_state(&said.state),
    ) else {
        return Ok(Err(AnomalyKind::Unreadable));
    };
    transfers::lock(tx.conn(), &number).await?;
    let Some(known) = transfers::find(tx.conn(), &number).await? else {
        return Ok(Err(AnomalyKind::UnknownTransfer));
    };
    if let Some(kind) = misfit(&known, &bill, said) {
        // A number is one transfer: WeChat has another one of it, so it never accepted this one.
        disown(tx, &number, now).await?;
        return Ok(Err(kind));
    }
    // Who asks because of a callback asks for the end of which it told. What WeChat sends by itself is what it wants to be heard.
    let on_its_way = |heard| match proven.proof() {
        Proof::Answer => Settled::NothingYet,
        Proof::Signature | Proof::Ciphertext | Proof::IntegrationId => heard,
    };
    let next = match known.state.after(fact) {
        TransferStep::Known => {
            if let Some(package) = &said.package_info {
                transfers::keep_package(tx.conn(), &number, package).await?;
            }
            let ended = known.state.is_end();
            let settled = if ended {
                Settled::Known
            } else {
                on_its_way(Settled::Known)
            };
            return Ok(Ok(settled));
        }
        TransferStep::Contradiction => return Ok(Err(AnomalyKind::Contradiction)),
        TransferStep::To(next) => next,
    };
    let particulars = Particulars {
        transfer_bill_no: Some(&bill),
        fail_reason: said.fail_reason.as_deref(),
        package_info: said.package_info.as_deref(),
    };
    if !transfers::apply(
        tx.conn(),
        &number,
        fact,
        particulars,
        now,
        now.saturating_add(FIRST_LOOK_MS),
    )
    .await?
    {
        return Ok(Ok(Settled::Known));
    }
    if next == TransferState::Success
        && let Some(at) = said.update_time.as_deref().and_then(unix_ms)
    {
        transfers::date(tx.conn(), &number, at).await?;
    }
    tell_of(tx, &known, &bill, next, proven, now).await?;
    tracing::info!(
        transfer.out_bill_no = number.as_str(),
        proof = proven.proof().as_str(),
        "the transfer is {}",
        next.as_str()
    );
    Ok(Ok(if next.is_end() {
        Settled::Applied
    } else {
        on_its_way(Settled::Applied)
    }))
}

fn misfit(known: &Transfer, bill: &TransferBillNo, said: &TransferSaid) -> Option<AnomalyKind> {
    if said.transfer_amount.is_some_and(|amount| amount != known.amount.get()) {
        return Some(AnomalyKind::AmountMismatch);
    }
    let other_bill = known.transfer_bill_no.as_ref().is_some_and(|known| known != bill);
    let other_receiver = said
        .openid
        .as_deref()
        .is_some_and(|openid| openid != known.openid.as_str());
    (other_bill || other_receiver).then_some(AnomalyKind::Contradiction)
}

async fn tell_of(
    tx: &mut Tx,
    known: &Transfer,
    bill: &TransferBillNo,
    next: TransferState,
    proven: &Proven<TransferSaid>,
    now: i64,
) -> Result<(), StoreError> {
    let number = &known.out_bill_no;
    let record = TransferRecord {
        out_bill_no: number.as_str(),
        transfer_bill_no: Some(bill.as_str()),
        transfer_amount: known.amount,
        state: next.as_str(),
        fail_reason: proven.content().fail_reason.as_deref(),
    };
    if !known.accepted {
        let accepted = TransferRecord {
            state: if next.is_end() { TransferState::Accepted } else { next }.as_str(),
            fail_reason: None,
            ..record
        };
        let event = tell::of_transfer(EventKind::TransferCreated, number, &accepted, None, now);
        outbox::add(tx, &event, now).await?;
    }
    let kind = match next {
        TransferState::Success => EventKind::TransferSucceeded,
        TransferState::Fail | TransferState::Cancelled => EventKind::TransferFailed,
        TransferState::Created
        | TransferState::Rejected
        | TransferState::Accepted
        | TransferState::Processing
        | TransferState::WaitUserConfirm
        | TransferState::Transfering
        | TransferState::Canceling => return Ok(()),
    };
    let event = tell::of_transfer(kind, number, &record, Some(proven.resource()), now);
    outbox::add(tx, &event, now).await?;
    Ok(())
}

/// WeChat's proven word that it never accepted this transfer: the same number may be asked for again. `asked_for_at` is the attempt that
/// the word is about; of one that was made since, it says nothing.
pub(crate) async fn never_accepted(app: &App, number: &OutBillNo, asked_for_at: i64) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    transfers::lock(tx.conn(), number).await?;
    let held = transfers::find(tx.conn(), number).await?;
    if held.is_some_and(|held| held.asked_for_at == asked_for_at)
        && give_up(&mut tx, number, app.clock.now_ms()).await?
    {
        tracing::info!(
            transfer.out_bill_no = number.as_str(),
            "the transfer was never accepted by WeChat Pay"
        );
    }
    tx.commit().await
}

/// WeChat has another transfer of this number: this one was never accepted, and whoever named the number here has no right to it.
pub(crate) async fn made_elsewhere(app: &App, number: &OutBillNo) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    disown(&mut tx, number, app.clock.now_ms()).await?;
    tx.commit().await
}

async fn disown(tx: &mut Tx, number: &OutBillNo, now: i64) -> Result<(), StoreError> {
    give_up(tx, number, now).await?;
    if transfers::disown(tx.conn(), number).await? {
        tracing::warn!(
            transfer.out_bill_no = number.as_str(),
            "WeChat Pay has another transfer {number}, made elsewhere"
        );
    }
    Ok(())
}

async fn give_up(tx: &mut Tx, number: &OutBillNo, now: i64) -> Result<bool, StoreError> {
    let nothing_more = Particulars::default();
    transfers::apply(tx.conn(), number, TransferFact::Unknown, nothing_more, now, now).await
}

/// A transfer's facts are told apart by its number and state.
fn fact_of(said: &TransferSaid) -> String {
    format!("transfer/{}/{}", said.out_bill_no, said.state)
}

fn anomaly(app: &App, kind: AnomalyKind, proven: &Proven<TransferSaid>) -> NewAnomaly {
    let said = proven.content();
    let now = app.clock.now_ms();
    tell::of_anomaly(kind, &said.out_bill_no, fact_of(said), None, proven.resource(), now)
}
