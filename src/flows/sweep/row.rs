//! One open row: WeChat is asked about it, what it says is settled, and then it is known when to ask again.

use std::time::Duration;

use super::ABSENCE_BELIEVED_MS;
use super::schedule::{self, Life};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::{OutBillNo, OutRefundNo, OutTradeNo};
use crate::domain::order::{Order, TradeState};
use crate::domain::refund::RefundState;
use crate::domain::transfer::TransferState;
use crate::flows::known::{self, OrderRef};
use crate::flows::{INTENT_GRACE_MS, close_order, prove, settle, settle_refund, settle_transfer};
use crate::store::error::StoreError;
use crate::store::{orders, refunds, transfers};
use crate::wechat::error::WechatError;
use crate::wechat::{refunds as wechat_refunds, transfers as wechat_transfers};

/// When a row is asked about again, Unix milliseconds; `None` is never.
#[derive(Debug)]
pub(super) enum Again {
    /// An order that WeChat answered about.
    Order(OutTradeNo, Option<i64>),
    /// One that it did not answer about: that was no question.
    Unanswered(OutTradeNo, i64),
    /// A closed order.
    Closed(OutTradeNo, Option<i64>),
    /// A refund.
    Refund(OutRefundNo, i64),
    /// A transfer.
    Transfer(OutBillNo, i64),
}

/// Writes down when these are asked about again.
pub(super) async fn put_back(app: &App, rows: Vec<Again>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    for row in rows {
        let conn = tx.conn();
        match row {
            Again::Order(number, at) => orders::ask_again(conn, &number, at).await?,
            Again::Unanswered(number, at) => orders::not_answered(conn, &number, at).await?,
            Again::Closed(number, at) => orders::ask_closed_again(conn, &number, at).await?,
            Again::Refund(number, at) => refunds::ask_again(conn, &number, at).await?,
            Again::Transfer(number, at) => transfers::ask_again(conn, &number, at).await?,
        }
    }
    tx.commit().await
}

pub(super) async fn order(app: &App, due: orders::Due) -> Result<Option<Again>, StoreError> {
    let orders::Due { order, asked } = due;
    let number = order.out_trade_no.clone();
    if order.state == TradeState::Closed {
        return closed(app, &order).await;
    }
    if order.close_asked_at.is_some() {
        // Asked to be closed, outcome unknown: the same wish again.
        return close(app, &order).await;
    }
    match known::ask(app, &OrderRef::Number(number.clone())).await {
        Ok(said) => {
            settle::transaction(app, &prove::answered(&said), None).await?;
            let now = app.clock.now_ms();
            let life = life(app, &order, now);
            if life.is_over(now) {
                return close(app, &order).await;
            }
            Ok(Some(Again::Order(number, life.next(asked, now))))
        }
        // Believed at the second time of asking: the first may have overtaken the order on its way.
        Err(WechatError::Refused(refusal)) if refusal.proves_absence() && order.state == TradeState::Created => {
            if asked < 2 {
                let at = app.clock.now_ms().saturating_add(INTENT_GRACE_MS);
                return Ok(Some(Again::Order(number, Some(at))));
            }
            let mut tx = app.db.begin().await?;
            if orders::mark_rejected(tx.conn(), &number, app.clock.now_ms()).await? {
                tracing::info!(
                    order.out_trade_no = number.as_str(),
                    "order {number} never reached WeChat Pay"
                );
            }
            tx.commit().await?;
            Ok(None)
        }
        Err(_) => {
            let later = later(app, &order);
            let now = app.clock.now_ms();
            // While the buyer is paying, the next question is due anyway.
            let next = order.accepted_at.and_then(|_| life(app, &order, now).next(asked, now));
            let at = next.map_or(later, |next| next.min(later));
            Ok(Some(Again::Unanswered(number, at)))
        }
    }
}

fn life(app: &App, order: &Order, now: i64) -> Life {
    Life::of(order, app.config.close_unpaid_after.map(ms), now)
}

/// A payment may have overtaken the close. One answer is enough, whatever it says.
async fn closed(app: &App, order: &Order) -> Result<Option<Again>, StoreError> {
    let number = order.out_trade_no.clone();
    let next = match known::ask(app, &OrderRef::Number(number.clone())).await {
        Ok(said) => {
            settle::transaction(app, &prove::answered(&said), None).await?;
            None
        }
        Err(WechatError::Refused(refusal)) if refusal.proves_absence() => None,
        Err(_) => Some(later(app, order)),
    };
    Ok(Some(Again::Closed(number, next)))
}

async fn close(app: &App, order: &Order) -> Result<Option<Again>, StoreError> {
    let number = &order.out_trade_no;
    match close_order::close_order(app, &Authority::Operator, number).await {
        Ok(()) => Ok(None),
        Err(error) => {
            tracing::debug!(order.out_trade_no = number.as_str(), %error, "order {number} could not be closed");
            Ok(Some(Again::Order(number.clone(), Some(later(app, order)))))
        }
    }
}

/// When WeChat is asked again for what it did not answer.
fn later(app: &App, order: &Order) -> i64 {
    let now = app.clock.now_ms();
    now.saturating_add(schedule::unanswered(now.saturating_sub(order.created_at)))
}

pub(super) async fn refund(app: &App, due: refunds::Due) -> Result<Option<Again>, StoreError> {
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
            let (order, number) = (&refund.out_trade_no, &refund.out_refund_no);
            settle_refund::never_accepted(app, order, number, refund.asked_for_at).await?;
            return Ok(None);
        }
        Err(_) => {}
    }
    let at = app.clock.now_ms().saturating_add(schedule::refund(due.asked));
    Ok(Some(Again::Refund(refund.out_refund_no, at)))
}

pub(super) async fn transfer(app: &App, due: transfers::Due) -> Result<Option<Again>, StoreError> {
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
            settle_transfer::never_accepted(app, &number, due.transfer.asked_for_at).await?;
            return Ok(None);
        }
        Ok(_) | Err(_) => {}
    }
    let at = app.clock.now_ms().saturating_add(schedule::transfer(due.asked));
    Ok(Some(Again::Transfer(number, at)))
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
