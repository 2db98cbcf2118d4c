//! What is still open is settled by asking: intents without an outcome, unpaid orders, refunds and transfers under way.
//!
//! Rows are taken in small batches, each with a lease, so that any number of instances may sweep at once and a dead one blocks nothing.
//! The cost depends on the open rows, not on the history.

mod schedule;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::known::{self, OrderRef};
use super::{close_order, prove, settle, settle_refund, settle_transfer};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::TradeState;
use crate::domain::refund::RefundState;
use crate::domain::transfer::TransferState;
use crate::store::error::StoreError;
use crate::store::{orders, refunds, transfers};
use crate::wechat::error::WechatError;
use crate::wechat::{refunds as wechat_refunds, transfers as wechat_transfers};

/// Rows taken at once.
const BATCH: i64 = 50;

/// Milliseconds for which a taken row is nobody else's; longer than the few calls that one row may take.
const LEASE_MS: i64 = 2 * 60_000;

/// Milliseconds that a refund or a transfer must not have been asked for, before "there is none" is believed: a late attempt may still arrive.
pub(super) const ABSENCE_BELIEVED_MS: i64 = 60_000;

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

/// Asks about everything that is due now, and begins nothing new after `end`.
pub(crate) async fn sweep(app: &App, end: Option<Instant>) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    loop {
        if end.is_some_and(|end| Instant::now() >= end) {
            swept.more = next_due(app).await?.is_some_and(|at| at <= app.clock.now_ms());
            return Ok(swept);
        }
        let now = app.clock.now_ms();
        let lease = now.saturating_add(LEASE_MS);
        let mut tx = app.db.begin().await?;
        let (orders_taken, orders) = orders::claim_due(tx.conn(), app.db.dialect(), now, lease, BATCH).await?;
        let (refunds_taken, refunds) = refunds::claim_due(tx.conn(), app.db.dialect(), now, lease, BATCH).await?;
        let (transfers_taken, transfers) = transfers::claim_due(tx.conn(), app.db.dialect(), now, lease, BATCH).await?;
        if orders_taken == 0 && refunds_taken == 0 && transfers_taken == 0 {
            return Ok(swept);
        }
        tx.commit().await?;
        swept.transfers = swept.transfers.saturating_add(transfers.len());
        swept.orders = swept.orders.saturating_add(orders.len());
        swept.refunds = swept.refunds.saturating_add(refunds.len());
        // At once: the whole batch takes no longer than its slowest question, and the lease covers that.
        let mut rows = JoinSet::new();
        for due in orders {
            let app = app.clone();
            rows.spawn(async move { order(&app, due).await });
        }
        for due in refunds {
            let app = app.clone();
            rows.spawn(async move { refund(&app, due).await });
        }
        for due in transfers {
            let app = app.clone();
            rows.spawn(async move { transfer(&app, due).await });
        }
        while let Some(done) = rows.join_next().await {
            match done {
                Ok(Ok(())) => {}
                // Its lease runs out, and it is due again.
                Ok(Err(error)) => tracing::error!(%error, "an open row could not be settled now"),
                Err(error) => tracing::error!(%error, "a defect while an open row was settled"),
            }
        }
        if app.tasks.is_closed() {
            return Ok(swept);
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

async fn order(app: &App, due: orders::Due) -> Result<(), StoreError> {
    let orders::Due { order, asked } = due;
    let number = &order.out_trade_no;
    if order.state == TradeState::Closed {
        return closed(app, number, asked).await;
    }
    if order.close_asked_at.is_some() {
        // Asked to be closed, outcome unknown: the same wish again.
        return close(app, number, asked).await;
    }
    match known::ask(app, &OrderRef::Number(number.clone())).await {
        Ok(said) => {
            settle::transaction(app, &prove::answered(&said), None).await?;
            let now = app.clock.now_ms();
            let end = schedule::end(&order, app.config.close_unpaid_after.map(ms));
            if end.is_some_and(|end| now >= end) {
                return close(app, number, asked).await;
            }
            ask_again(app, number, schedule::unpaid(asked, now, end)).await
        }
        // Believed at the second time of asking: the first may have overtaken the order on its way.
        Err(WechatError::Refused(refusal))
            if refusal.proves_absence() && order.state == TradeState::Created && asked >= 2 =>
        {
            let mut tx = app.db.begin().await?;
            if orders::mark_rejected(tx.conn(), number, app.clock.now_ms()).await? {
                tracing::info!(
                    order.out_trade_no = number.as_str(),
                    "order {number} never reached WeChat Pay"
                );
            }
            tx.commit().await
        }
        Err(_) => {
            let pause = match order.state {
                TradeState::Created => schedule::intent(asked),
                _ => schedule::unanswered(asked),
            };
            ask_again(app, number, Some(app.clock.now_ms().saturating_add(pause))).await
        }
    }
}

/// A payment may have overtaken the close. One answer is enough, whatever it says.
async fn closed(app: &App, number: &OutTradeNo, asked: i64) -> Result<(), StoreError> {
    let next = match known::ask(app, &OrderRef::Number(number.clone())).await {
        Ok(said) => {
            settle::transaction(app, &prove::answered(&said), None).await?;
            None
        }
        Err(WechatError::Refused(refusal)) if refusal.proves_absence() => None,
        Err(_) => Some(app.clock.now_ms().saturating_add(schedule::unanswered(asked))),
    };
    let mut tx = app.db.begin().await?;
    orders::ask_closed_again(tx.conn(), number, next).await?;
    tx.commit().await
}

async fn close(app: &App, number: &OutTradeNo, asked: i64) -> Result<(), StoreError> {
    match close_order::close_order(app, &Authority::Operator, number).await {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::debug!(order.out_trade_no = number.as_str(), %error, "order {number} could not be closed");
            let pause = schedule::intent(asked);
            ask_again(app, number, Some(app.clock.now_ms().saturating_add(pause))).await
        }
    }
}

async fn ask_again(app: &App, number: &OutTradeNo, at: Option<i64>) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    orders::ask_again(tx.conn(), number, at).await?;
    tx.commit().await
}

async fn refund(app: &App, due: refunds::Due) -> Result<(), StoreError> {
    let refund = due.refund;
    match wechat_refunds::query(&app.wechat, &refund.out_refund_no).await {
        Ok(said) => {
            settle_refund::answered(app, &prove::answered(&said), Some(refund.moves)).await?;
        }
        Err(WechatError::Refused(refusal))
            if refusal.proves_absence()
                && refund.state == RefundState::Created
                && app.clock.now_ms().saturating_sub(refund.asked_for_at) >= ABSENCE_BELIEVED_MS =>
        {
            return settle_refund::never_accepted(
                app,
                &refund.out_trade_no,
                &refund.out_refund_no,
                refund.asked_for_at,
            )
            .await;
        }
        Err(_) => {}
    }
    let mut tx = app.db.begin().await?;
    let at = app.clock.now_ms().saturating_add(schedule::refund(due.asked));
    refunds::ask_again(tx.conn(), &refund.out_refund_no, at).await?;
    tx.commit().await
}

async fn transfer(app: &App, due: transfers::Due) -> Result<(), StoreError> {
    let number = due.transfer.out_bill_no;
    match wechat_transfers::query(&app.wechat, &number).await {
        Ok(said) if said.content.out_bill_no == number.as_str() => {
            settle_transfer::transfer(app, &prove::answered(&said), None).await?;
        }
        Err(WechatError::Refused(refusal))
            if refusal.proves_absence()
                && due.transfer.state == TransferState::Created
                && app.clock.now_ms().saturating_sub(due.transfer.asked_for_at) >= ABSENCE_BELIEVED_MS =>
        {
            return settle_transfer::never_accepted(app, &number, due.transfer.asked_for_at).await;
        }
        Ok(_) | Err(_) => {}
    }
    let mut tx = app.db.begin().await?;
    let at = app.clock.now_ms().saturating_add(schedule::transfer(due.asked));
    transfers::ask_again(tx.conn(), &number, at).await?;
    tx.commit().await
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
