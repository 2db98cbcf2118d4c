//! What is still open is settled by asking: intents without an outcome, unpaid orders, refunds and transfers under way.
//!
//! Rows are taken in small batches, each with a lease, so that any number of instances may sweep at once and a dead one blocks nothing.
//! The cost depends on the open rows, not on the history.

mod row;
mod schedule;

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::app::App;
use crate::store::error::StoreError;
use crate::store::{orders, refunds, transfers};
use crate::telemetry::traces;
use row::Again;

/// Rows of a kind under way at a time: at a fifth of a second a question, 500 questions a second.
const AT_A_TIME: usize = 100;

/// Milliseconds for which a taken row is nobody else's; longer than the few calls that one row may take.
const LEASE_MS: i64 = 2 * 60_000;

/// Milliseconds that a refund or a transfer must not have been asked for, before "there is none" is believed: a late attempt may still arrive.
pub(super) const ABSENCE_BELIEVED_MS: i64 = 60_000;

/// Longest time in which nobody looks for what became due, while an answer is waited for: one that does not come holds up no other row.
const LOOK: Duration = Duration::from_millis(250);

/// After an answer, so long others are waited for, to be written down together: a commit costs the same for one row as for many.
const TOGETHER: Duration = Duration::from_millis(10);

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// Orders asked about.
    pub orders: usize,
    /// Refunds asked about.
    pub refunds: usize,
    /// Transfers asked about.
    pub transfers: usize,
    /// Time was up before everything that was due had been asked about.
    pub more: bool,
    /// How long answers were waited for, with what each of them alone did to the books. The rest is taking rows and putting them back.
    pub waited: Duration,
}

/// Makes every intent without an outcome due at once: whoever was about to ask died with the last run. With several instances, another
/// one may be asking just now; asking what became of it harms nothing.
pub(crate) async fn at_start(app: &App) -> Result<(), StoreError> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    orders::intents_due_at(tx.conn(), now).await?;
    refunds::intents_due_at(tx.conn(), now).await?;
    transfers::intents_due_at(tx.conn(), now).await?;
    tx.commit().await
}

/// Rows that are being asked about.
type UnderWay = JoinSet<Result<Option<Again>, StoreError>>;

/// Asks about everything that is due, also what becomes due meanwhile, and begins nothing new after `end` or when the service stops.
pub(crate) async fn sweep(app: &App, end: Option<Instant>) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    let mut under_way = UnderWay::new();
    let mut failed = None;
    loop {
        let over = end.is_some_and(|end| Instant::now() >= end);
        if failed.is_none() && !over && !app.tasks.is_closed() && under_way.len() <= AT_A_TIME / 2 {
            // What is under way is written down first.
            failed = take(app, &mut under_way, &mut swept).await.err();
        }
        if under_way.is_empty() {
            if let Some(error) = failed {
                return Err(error);
            }
            swept.more = over && next_due(app).await?.is_some_and(|at| at <= app.clock.now_ms());
            return Ok(swept);
        }
        let waits = Instant::now();
        let answered = wait(&mut under_way).await;
        swept.waited = swept.waited.saturating_add(waits.elapsed());
        if let Err(error) = row::put_back(app, answered).await {
            failed = Some(error);
        }
    }
}

/// Takes what is due, and begins to ask about it.
async fn take(app: &App, under_way: &mut UnderWay, swept: &mut Swept) -> Result<(), StoreError> {
    let now = app.clock.now_ms();
    let lease = now.saturating_add(LEASE_MS);
    let room = i64::try_from(AT_A_TIME.saturating_sub(under_way.len())).unwrap_or(0);
    let dialect = app.db.dialect();
    let mut tx = app.db.begin().await?;
    let (orders_taken, orders) = orders::claim_due(tx.conn(), dialect, now, lease, room).await?;
    let (refunds_taken, refunds) = refunds::claim_due(tx.conn(), dialect, now, lease, room).await?;
    let (transfers_taken, transfers) = transfers::claim_due(tx.conn(), dialect, now, lease, room).await?;
    if orders_taken == 0 && refunds_taken == 0 && transfers_taken == 0 {
        return Ok(());
    }
    tx.commit().await?;
    swept.orders = swept.orders.saturating_add(orders.len());
    swept.refunds = swept.refunds.saturating_add(refunds.len());
    swept.transfers = swept.transfers.saturating_add(transfers.len());
    for due in orders {
        let app = app.clone();
        under_way.spawn(async move { row::order(&app, due).await }.instrument(traces::due("sweep.order")));
    }
    for due in refunds {
        let app = app.clone();
        under_way.spawn(async move { row::refund(&app, due).await }.instrument(traces::due("sweep.refund")));
    }
    for due in transfers {
        let app = app.clone();
        under_way.spawn(async move { row::transfer(&app, due).await }.instrument(traces::due("sweep.transfer")));
    }
    Ok(())
}

/// Waits for answers, but not for long, and not for each of them alone.
async fn wait(under_way: &mut UnderWay) -> Vec<Again> {
    let mut answered = Vec::new();
    if let Ok(Some(first)) = tokio::time::timeout(LOOK, under_way.join_next()).await {
        answered.extend(again(first));
        if !under_way.is_empty() {
            tokio::time::sleep(TOGETHER).await;
        }
        while let Some(next) = under_way.try_join_next() {
            answered.extend(again(next));
        }
    }
    answered
}

fn again(done: Result<Result<Option<Again>, StoreError>, JoinError>) -> Option<Again> {
    match done {
        Ok(Ok(again)) => again,
        // Its lease runs out, and it is due again.
        Ok(Err(error)) => {
            tracing::error!(%error, "an open row could not be settled now");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a defect while an open row was settled");
            None
        }
    }
}

/// When the next row is due, Unix milliseconds; `None` when nothing is open.
pub(crate) async fn next_due(app: &App) -> Result<Option<i64>, StoreError> {
    let mut conn = app.db.read().await?;
    let due = [
        orders::next_due(&mut conn).await?,
        refunds::next_due(&mut conn).await?,
        transfers::next_due(&mut conn).await?,
    ];
    Ok(due.into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::tests::read_with;
    use crate::domain::ids::{AppId, Openid, OutBillNo, OutTradeNo};
    use crate::domain::money::Fen;
    use crate::domain::order::{NewOrder, OrderKind, OrderOptions, Owner};
    use crate::domain::transfer::NewTransfer;
    use crate::store::tests::database::{Database, Store};
    use crate::store::usual;

    /// WeChat is at no address here: whatever asked it would leave its row with a lease.
    async fn service() -> (App, Database) {
        let database = Database::fresh(Store::Sqlite).await;
        let config = read_with(&[("DATABASE_URL", &database.url)]).unwrap();
        (crate::boot::assemble(config, Clock::movable()).await.unwrap(), database)
    }

    fn owner() -> Owner {
        Owner {
            sub: Some("alice".to_owned()),
            openid: None,
        }
    }

    async fn order_due_at(app: &App, at: i64) {
        let order = NewOrder {
            kind: OrderKind::Native,
            out_trade_no: OutTradeNo::parse("ORDER_1").unwrap(),
            app_id: AppId::parse("wx2421b1c4370ec43b").unwrap(),
            description: "Test product".to_owned(),
            total: Fen::positive(20).unwrap(),
            payer: None,
            address_of_connection: false,
            options: OrderOptions::default(),
            owner: owner(),
        };
        assert!(usual::insert_intent(&app.db, &order, "{}", 1, at).await.unwrap());
    }

    async fn transfer_due_at(app: &App, at: i64) {
        let transfer = NewTransfer {
            out_bill_no: OutBillNo::parse("T1").unwrap(),
            app_id: AppId::parse("wx2421b1c4370ec43b").unwrap(),
            openid: Openid::parse("o_receiver").unwrap(),
            amount: Fen::positive(500).unwrap(),
            request: "{}".to_owned(),
            name_digest: None,
            owner: owner(),
        };
        let mut tx = app.db.begin().await.unwrap();
        assert!(transfers::insert_intent(tx.conn(), &transfer, 1, at).await.unwrap());
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn the_next_is_whatever_is_due_first() {
        let (app, _database) = service().await;
        assert_eq!(next_due(&app).await.unwrap(), None);
        transfer_due_at(&app, 700).await;
        assert_eq!(next_due(&app).await.unwrap(), Some(700));
        order_due_at(&app, 300).await;
        assert_eq!(next_due(&app).await.unwrap(), Some(300));
    }

    #[tokio::test]
    async fn whose_time_is_up_begins_nothing_and_says_that_there_is_more() {
        let (app, _database) = service().await;
        let now = Instant::now();
        assert!(!sweep(&app, Some(now)).await.unwrap().more, "nothing is open");
        order_due_at(&app, app.clock.now_ms() + 3_600_000).await;
        assert!(!sweep(&app, Some(now)).await.unwrap().more, "nor is it due in an hour");
        transfer_due_at(&app, 1).await;
        let swept = sweep(&app, Some(now)).await.unwrap();
        assert_eq!((swept.transfers, swept.more), (0, true));
        assert_eq!(next_due(&app).await.unwrap(), Some(1), "it is nobody's yet");
    }

    #[tokio::test]
    async fn a_service_that_stops_begins_nothing() {
        let (app, _database) = service().await;
        order_due_at(&app, 1).await;
        app.tasks.close();
        assert_eq!(sweep(&app, None).await.unwrap(), Swept::default());
        assert_eq!(next_due(&app).await.unwrap(), Some(1));
    }
}
