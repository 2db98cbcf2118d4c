//! An order is closed. Only WeChat's verified word closes it; a payment that was faster wins.

use super::known::{self, LookupError, OrderRef};
use super::settle::Settled;
use super::{INTENT_GRACE_MS, prove, settle};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::{Order, TradeState};
use crate::store::error::StoreError;
use crate::store::orders;
use crate::wechat::error::{Refusal, WechatError};

/// Why an order was not closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloseError {
    /// There is no order to close.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It is paid.
    #[error("the order is paid")]
    Paid,
    /// It is paid, and something of it was refunded.
    #[error("the order is refunded")]
    Refunded,
}

impl From<StoreError> for CloseError {
    fn from(error: StoreError) -> Self {
        Self::Lookup(error.into())
    }
}

impl From<WechatError> for CloseError {
    fn from(error: WechatError) -> Self {
        Self::Lookup(error.into())
    }
}

/// Closes an order. Closing it again is the same wish and succeeds.
pub(crate) async fn close_order(app: &App, authority: &Authority, number: &OutTradeNo) -> Result<(), CloseError> {
    let _turn = super::turn(app, number.as_str()).await?;
    let order = known::to_act_on(app, authority, &OrderRef::Number(number.clone())).await?;
    match order.state {
        TradeState::Success => return Err(CloseError::Paid),
        TradeState::Refund => return Err(CloseError::Refunded),
        TradeState::Closed => return Ok(()),
        TradeState::Created | TradeState::NotPay | TradeState::Failed => {}
    }
    if order.prepay.is_none() && matches!(authority, Authority::Person(_)) && !order.request.is_empty() {
        prove_ours(app, &order).await?;
    }
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    orders::ask_close(tx.conn(), number, now, now.saturating_add(INTENT_GRACE_MS)).await?;
    tx.commit().await?;
    ask(app, number).await
}

/// Whether WeChat has this order from us is not known: its answer was lost, or the number is somebody else's. The same question again
/// tells, because only the same question is the same order.
async fn prove_ours(app: &App, order: &Order) -> Result<(), CloseError> {
    let ask_at = app.clock.now_ms().saturating_add(INTENT_GRACE_MS);
    let mut tx = app.db.begin().await?;
    // It may come into being by this: then it is no longer one that WeChat never had.
    if !orders::reopen(tx.conn(), &order.out_trade_no, ask_at).await? {
        orders::attempt(tx.conn(), &order.out_trade_no, ask_at).await?;
    }
    tx.commit().await?;
    match crate::wechat::orders::prepay(&app.wechat, order.kind, &order.request).await {
        Ok(prepay) => {
            let mut tx = app.db.begin().await?;
            settle::accept_in(&mut tx, app, &order.out_trade_no, Some(&prepay)).await?;
            tx.commit().await?;
            Ok(())
        }
        Err(WechatError::Refused(refusal))
            if ["ORDER_PAID", "ORDER_CLOSED", "OUT_TRADE_NO_USED"]
                .iter()
                .any(|code| refusal.is(code)) =>
        {
            let mut tx = app.db.begin().await?;
            orders::disown(tx.conn(), &order.out_trade_no).await?;
            tx.commit().await?;
            Err(LookupError::Forbidden.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks WeChat to close, and writes down what it says.
async fn ask(app: &App, number: &OutTradeNo) -> Result<(), CloseError> {
    crate::crash::boundary().await;
    let said = crate::wechat::orders::close(&app.wechat, number).await;
    crate::crash::boundary().await;
    match said {
        Ok(_) => {
            let mut tx = app.db.begin().await?;
            let moved = settle::close_in(&mut tx, app, number).await?;
            tx.commit().await?;
            if moved == Settled::Applied {
                Ok(())
            } else {
                outcome(app, number, None).await
            }
        }
        Err(WechatError::Refused(refusal)) => refused(app, number, refusal).await,
        Err(error) => Err(error.into()),
    }
}

async fn refused(app: &App, number: &OutTradeNo, refusal: Box<Refusal>) -> Result<(), CloseError> {
    if refusal.is("ORDER_PAID") || refusal.is("ORDER_CLOSED") {
        if let Ok(said) = known::ask(app, &OrderRef::Number(number.clone())).await {
            settle::transaction(app, &prove::answered(&said), None).await?;
        }
        return outcome(app, number, Some(refusal)).await;
    }
    let mut tx = app.db.begin().await?;
    if refusal.proves_absence() {
        orders::unask_close(tx.conn(), number).await?;
        orders::mark_rejected(tx.conn(), number, app.clock.now_ms()).await?;
    } else if refusal.proven && !refusal.too_fast() {
        orders::unask_close(tx.conn(), number).await?;
    }
    tx.commit().await?;
    Err(WechatError::Refused(refusal).into())
}

/// What the books say now, after somebody else was faster or WeChat was asked.
async fn outcome(app: &App, number: &OutTradeNo, refusal: Option<Box<Refusal>>) -> Result<(), CloseError> {
    let state = {
        let mut conn = app.db.read().await?;
        orders::find(&mut conn, number).await?.map(|order| order.state)
    };
    match state {
        Some(TradeState::Success) => Err(CloseError::Paid),
        Some(TradeState::Refund) => Err(CloseError::Refunded),
        Some(TradeState::Closed | TradeState::Failed) => Ok(()),
        Some(TradeState::Created | TradeState::NotPay) | None => match refusal {
            Some(refusal) => Err(WechatError::Refused(refusal).into()),
            None => Ok(()),
        },
    }
}
