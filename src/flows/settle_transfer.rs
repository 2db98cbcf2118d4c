//! From a fact to the books, for transfers: the state and the event, in one transaction.

use super::prove::Proven;
use super::settle::{Delivery, Settled};
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
            anomalies::add(tx.conn(), &anomaly(app, kind, proven), now).await?;
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
        return Ok(Err(kind));
    }
    let next = match known.state.after(fact) {
        TransferStep::Known if known.state.is_end() => return Ok(Ok(Settled::Known)),
        TransferStep::Known => return Ok(Ok(Settled::NothingYet)),
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
    tell_of(tx, &known, &bill, next, proven, now).await?;
    tracing::info!(
        transfer.out_bill_no = number.as_str(),
        proof = proven.proof().as_str(),
        "transfer {number} is {}",
        next.as_str()
    );
    Ok(Ok(if next.is_end() {
        Settled::Applied
    } else {
        Settled::NothingYet
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
        outbox::add(tx.conn(), &event, now).await?;
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
    outbox::add(tx.conn(), &event, now).await?;
    Ok(())
}

/// WeChat's proven word that it never accepted this transfer: the same number may be asked for again.
pub(crate) async fn never_accepted(app: &App, number: &OutBillNo) -> Result<(), StoreError> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    if transfers::apply(
        tx.conn(),
        number,
        TransferFact::Unknown,
        Particulars::default(),
        now,
        now,
    )
    .await?
    {
        tracing::info!(
            transfer.out_bill_no = number.as_str(),
            "transfer {number} was never accepted by WeChat Pay"
        );
    }
    tx.commit().await
}

/// A transfer's facts are told apart by its number and state.
fn fact_of(said: &TransferSaid) -> String {
    format!("transfer/{}/{}", said.out_bill_no, said.state)
}

fn anomaly(app: &App, kind: AnomalyKind, proven: &Proven<TransferSaid>) -> NewAnomaly {
    let said = proven.content();
    let detail = serde_json::json!({
        "version": 1,
        "type": EventKind::AnomalyDetected.as_str(),
        "timestamp": app.clock.now().to_string(),
        "data": {"kind": kind.as_str(), "subject": said.out_bill_no, "resource": proven.resource()},
    });
    NewAnomaly {
        kind,
        subject: said.out_bill_no.clone(),
        fact: fact_of(said),
        detail: detail.to_string(),
    }
}
