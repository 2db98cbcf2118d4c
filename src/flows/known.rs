//! The order that somebody names: from the books, or, when it was placed before these books existed, from WeChat.
//!
//! A merchant who replaces the Node.js function has orders that only WeChat knows. They are taken into the books in the state that
//! WeChat vouches for, so that a refund of them is held and followed like any other. They belong to whoever WeChat says pays.

use super::prove;
use super::settle;
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::{AppId, Openid, OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::{Order, OrderKind, Owner, TradeState};
use crate::store::error::StoreError;
use crate::store::orders::{self, Adopted};
use crate::wechat::client::Said;
use crate::wechat::error::{Unknown, WechatError};
use crate::wechat::orders::Transaction;

/// What names an order.
#[derive(Clone, Debug)]
pub(crate) enum OrderRef {
    /// The merchant's number.
    Number(OutTradeNo),
    /// WeChat's number.
    Transaction(TransactionId),
}

/// Why there is no order to act on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// The books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat.
    #[error(transparent)]
    Wechat(#[from] WechatError),
    /// It belongs to somebody else.
    #[error("the order belongs to somebody else")]
    Forbidden,
    /// WeChat has it, and what it says of it does not fit this merchant.
    #[error("the order does not fit this merchant")]
    Unfit,
}

/// The order in the books, if it may be touched.
pub(crate) async fn in_books(app: &App, authority: &Authority, name: &OrderRef) -> Result<Option<Order>, LookupError> {
    let found = {
        let mut conn = app.db.read().await?;
        match name {
            OrderRef::Number(number) => orders::find(&mut conn, number).await?,
            OrderRef::Transaction(id) => orders::find_by_transaction(&mut conn, id).await?,
        }
    };
    match found {
        Some(order) if !authority.may_touch(&order.owner) => Err(LookupError::Forbidden),
        found => Ok(found),
    }
}

/// Asks WeChat for an order.
pub(crate) async fn ask(app: &App, name: &OrderRef) -> Result<Said<Transaction>, WechatError> {
    let (said, same) = match name {
        OrderRef::Number(number) => {
            let said = crate::wechat::orders::query(&app.wechat, number).await?;
            let same = said.content.out_trade_no == number.as_str();
            (said, same)
        }
        OrderRef::Transaction(id) => {
            let said = crate::wechat::orders::query_by_id(&app.wechat, id).await?;
            let same = said.content.transaction_id.as_deref() == Some(id.as_str());
            (said, same)
        }
    };
    // A signature covers the answer, not the question.
    if same {
        Ok(said)
    } else {
        Err(WechatError::OutcomeUnknown(Unknown::Unreadable(
            "it is of another order".to_owned(),
        )))
    }
}

/// Who may touch an order that only WeChat knows: its payer, and operators.
pub(crate) fn payer_of(said: &Transaction) -> Owner {
    let openid = said.payer.as_ref().and_then(|payer| payer.openid.as_deref());
    Owner {
        sub: None,
        openid: openid.and_then(|openid| Openid::parse(openid).ok()),
    }
}

/// The order, to act on: from the books, else adopted from WeChat.
pub(crate) async fn to_act_on(app: &App, authority: &Authority, name: &OrderRef) -> Result<Order, LookupError> {
    if let Some(order) = in_books(app, authority, name).await? {
        return Ok(order);
    }
    let said = ask(app, name).await?;
    let number = OutTradeNo::parse(&*said.content.out_trade_no).map_err(|_| LookupError::Unfit)?;
    // Named by WeChat's number, it may be in the books as unpaid: the payment itself is news.
    if in_books(app, authority, &OrderRef::Number(number.clone()))
        .await?
        .is_none()
    {
        let payer = payer_of(&said.content);
        if !authority.may_touch(&payer) {
            return Err(LookupError::Forbidden);
        }
        adopt(app, &number, &payer, &said.content).await?;
    }
    settle::transaction(app, &prove::answered(&said), None).await?;
    in_books(app, authority, &OrderRef::Number(number))
        .await?
        .ok_or(LookupError::Unfit)
}

async fn adopt(app: &App, number: &OutTradeNo, payer: &Owner, said: &Transaction) -> Result<(), LookupError> {
    let total = said
        .amount
        .as_ref()
        .and_then(|amount| amount.total)
        .and_then(Fen::positive)
        .ok_or(LookupError::Unfit)?;
    let app_id = AppId::parse(&*said.appid).map_err(|_| LookupError::Unfit)?;
    let ours = said.mchid == app.config.merchant_id.as_str() && app.config.apps().any(|known| *known == app_id);
    let transaction_id = said
        .transaction_id
        .as_deref()
        .and_then(|id| TransactionId::parse(id).ok());
    let state = match said.trade_state.as_str() {
        "SUCCESS" => TradeState::Success,
        "REFUND" => TradeState::Refund,
        "CLOSED" | "REVOKED" => TradeState::Closed,
        _ => TradeState::NotPay,
    };
    if !ours || (transaction_id.is_none() && matches!(state, TradeState::Success | TradeState::Refund)) {
        return Err(LookupError::Unfit);
    }
    let adopted = Adopted {
        // An unpaid order does not say it; asked for again, it is asked for as what the caller says.
        kind: said
            .trade_type
            .as_deref()
            .and_then(OrderKind::parse)
            .unwrap_or(OrderKind::Jsapi),
        out_trade_no: number,
        app_id: &app_id,
        total,
        payer: payer.openid.as_ref(),
        state,
        transaction_id: transaction_id.as_ref(),
        paid_at: said
            .success_time
            .as_deref()
            .filter(|_| matches!(state, TradeState::Success | TradeState::Refund))
            .and_then(settle::unix_ms),
    };
    let mut tx = app.db.begin().await?;
    if orders::adopt(tx.conn(), &adopted, app.clock.now_ms()).await? {
        tracing::info!(
            order.out_trade_no = number.as_str(),
            state = state.as_str(),
            "order {number} was placed elsewhere and is taken into the books"
        );
    }
    tx.commit().await?;
    Ok(())
}
