//! From a fact to the books: the one door through which an order's money enters.
//!
//! A callback, a query and a sweep all come in here, with content that `prove` has made. Order, state, event and anomaly are one
//! transaction; when this returns, what WeChat said is durable.

mod payment;
mod standing;

use jiff::Timestamp;

use super::prove::{Proof, Proven};
use super::tell;
use crate::app::App;
use crate::domain::anomaly::{AnomalyKind, NewAnomaly};
use crate::domain::ids::OutTradeNo;
use crate::store::callbacks::{self, Heard};
use crate::store::db::Tx;
use crate::store::error::StoreError;
use crate::store::{anomalies, orders};
use crate::wechat::orders::Transaction;
use payment::{paid, stands_elsewhere};
pub(crate) use standing::{accept, accept_in, close_in};
use standing::{accepted, closed};

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
    anomalies::add(tx, &note, app.clock.now_ms()).await?;
    Ok(true)
}

async fn record(
    tx: &mut Tx,
    proven: &Proven<Transaction>,
    delivery: Option<Delivery<'_>>,
    settled: Settled,
    now: i64,
) -> Result<(), StoreError> {
    let Some(delivery) = delivery else { return Ok(()) };
    callbacks::record(tx.conn(), &heard(proven, delivery, settled), now).await
}

fn heard<'a>(proven: &'a Proven<Transaction>, delivery: Delivery<'a>, settled: Settled) -> Heard<'a> {
    let said = proven.content();
    Heard {
        fact: payment_fact(said),
        stream: &said.out_trade_no,
        event_type: delivery.event_type,
        notification_id: delivery.notification_id,
        proof: proven.proof().as_str(),
        outcome: settled.as_str(),
        resource: proven.resource().get(),
    }
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
    let now = app.clock.now_ms();
    tell::of_anomaly(
        kind,
        &said.out_trade_no,
        payment_fact(said),
        None,
        proven.resource(),
        now,
    )
}

async fn note_anomaly(app: &App, note: &NewAnomaly) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    anomalies::add(&mut tx, note, app.clock.now_ms()).await?;
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
    let now = app.clock.now_ms();
    let note = tell::of_anomaly(kind, &subject, fact.clone(), Some(event_type), resource, now);
    let mut tx = app.db.begin().await?;
    anomalies::add(&mut tx, &note, now).await?;
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
pub(super) fn unix_ms(time: &str) -> Option<i64> {
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
