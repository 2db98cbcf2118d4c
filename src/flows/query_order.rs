//! An order is asked about: WeChat answers, and what it says is settled before the caller hears it.

use super::known::{self, LookupError, OrderRef};
use super::{prove, settle};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::OutTradeNo;
use crate::wechat::client::Said;
use crate::wechat::orders::Transaction;

/// Asks WeChat for an order that the caller may see.
pub(crate) async fn query_order(
    app: &App,
    authority: &Authority,
    name: &OrderRef,
) -> Result<Said<Transaction>, LookupError> {
    let known = known::in_books(app, authority, name).await?;
    crate::crash::boundary().await;
    let said = known::ask(app, name).await?;
    crate::crash::boundary().await;
    if known.is_none() {
        // Named by WeChat's number, or placed before these books existed.
        let number = OutTradeNo::parse(&*said.content.out_trade_no).map_err(|_| LookupError::Unfit)?;
        let in_books = known::in_books(app, authority, &OrderRef::Number(number)).await?;
        if in_books.is_none() {
            return if authority.may_touch(&known::payer_of(&said.content)) {
                Ok(said)
            } else {
                Err(LookupError::Forbidden)
            };
        }
    }
    settle::transaction(app, &prove::answered(&said), None).await?;
    // The books may have learned just now whose it is.
    let number = OutTradeNo::parse(&*said.content.out_trade_no).map_err(|_| LookupError::Unfit)?;
    let order = known::in_books(app, authority, &OrderRef::Number(number)).await?;
    // WeChat never accepted it from us: its payer, where it has one, has to be the caller.
    let payer = known::payer_of(&said.content);
    if order.is_some_and(|order| order.prepay.is_none()) && payer.openid.is_some() && !authority.may_touch(&payer) {
        return Err(LookupError::Forbidden);
    }
    Ok(said)
}
