//! An order is placed: the intent is written, WeChat is asked, the outcome is written with its event.
//!
//! The same number with the same parameters is the same order, however often and from wherever it is asked for.

use super::known::{self, OrderRef};
use super::{INTENT_GRACE_MS, prove, settle};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::{NewOrder, Order, TradeState};
use crate::store::error::StoreError;
use crate::store::orders;
use crate::wechat::error::{Refusal, WechatError};
use crate::wechat::orders::prepay_body;

/// Why an order was not placed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// The books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat.
    #[error(transparent)]
    Wechat(#[from] WechatError),
    /// The number belongs to somebody else's order.
    #[error("the order belongs to somebody else")]
    Forbidden,
    /// The number was used with other parameters.
    #[error("the number was used with other parameters")]
    ParamsMismatch,
    /// It is paid.
    #[error("the order is paid")]
    Paid,
    /// It is paid, and something of it was refunded.
    #[error("the order is refunded")]
    Refunded,
    /// It is closed, or about to be; its number is used up.
    #[error("the order is closed")]
    Closed,
}

/// An order that can be paid.
#[derive(Debug)]
pub(crate) struct Placed {
    /// What it is paid with.
    pub(crate) prepay: String,
    /// Nobody had asked for it before.
    pub(crate) first: bool,
}

/// Places an order, or finds it placed.
pub(crate) async fn place_order(app: &App, authority: &Authority, new: &NewOrder) -> Result<Placed, PlaceError> {
    let number = &new.out_trade_no;
    let _turn = super::turn(app, number.as_str()).await?;
    let request = prepay_body(&app.config.merchant_id, app.config.notify_pay.as_str(), new);
    let now = app.clock.now_ms();
    let ask_at = now.saturating_add(INTENT_GRACE_MS);

    // A statement that stands by itself is a transaction; to begin and to commit one takes two more.
    let mut conn = app.db.write().await?;
    let first = orders::insert_intent(&mut conn, new, &request, now, ask_at).await?;
    conn.keep().await?;
    if first {
        let prepay = ask(app, authority, new, &request, true).await?;
        return Ok(Placed { prepay, first: true });
    }
    let mut tx = app.db.begin().await?;
    let held = orders::find(tx.conn(), number).await?.ok_or_else(|| gone(number))?;
    // A stranger does not even learn which parameters would have been the same.
    if !authority.may_touch(&held.owner) {
        return Err(PlaceError::Forbidden);
    }
    if !same_question(&held, new, &request) {
        return Err(PlaceError::ParamsMismatch);
    }
    // What WeChat was asked with is asked again, to the letter: for WeChat, too, it has to be the same question.
    let request = if held.request.is_empty() {
        request
    } else {
        held.request.clone()
    };
    let prepay = match held.state {
        TradeState::Success => Err(PlaceError::Paid),
        TradeState::Refund => Err(PlaceError::Refunded),
        TradeState::Closed => Err(PlaceError::Closed),
        TradeState::Created | TradeState::NotPay if held.close_asked_at.is_some() => Err(PlaceError::Closed),
        TradeState::NotPay => match held.prepay {
            // Of an order that was placed elsewhere, only WeChat knows its kind.
            Some((prepay, at))
                if !held.request.is_empty()
                    && now.saturating_sub(at) < new.kind.reused_for_ms()
                    && !expired(new, now) =>
            {
                Ok(prepay)
            }
            _ => {
                drop(tx);
                ask(app, authority, new, &request, false).await
            }
        },
        TradeState::Created => {
            orders::attempt(tx.conn(), number, ask_at).await?;
            tx.commit().await?;
            ask(app, authority, new, &request, false).await
        }
        TradeState::Failed => {
            orders::reopen(tx.conn(), number, ask_at).await?;
            tx.commit().await?;
            ask(app, authority, new, &request, true).await
        }
    }?;
    Ok(Placed { prepay, first: false })
}

/// Asks WeChat and writes down what it says. `fresh`: nobody has asked for this number before without learning the answer.
async fn ask(
    app: &App,
    authority: &Authority,
    new: &NewOrder,
    request: &str,
    fresh: bool,
) -> Result<String, PlaceError> {
    let number = &new.out_trade_no;
    crate::crash::boundary().await;
    let said = crate::wechat::orders::prepay(&app.wechat, new.kind, request).await;
    crate::crash::boundary().await;
    match said {
        Ok(prepay) => {
            let mut tx = app.db.begin().await?;
            let state = settle::accept_in(&mut tx, app, number, Some(&prepay)).await?;
            tx.commit().await?;
            if let Some(end) = ended(state) {
                return Err(withdraw(app, number, end).await);
            }
            // The request's own line says so as well, in the fewest bytes.
            tracing::debug!(
                order.out_trade_no = number.as_str(),
                total = new.total.get(),
                "the order is placed"
            );
            Ok(prepay)
        }
        Err(WechatError::Refused(refusal)) => Err(refused(app, authority, number, refusal, fresh).await?),
        Err(error) => Err(error.into()),
    }
}

/// Why an order in that state cannot be paid, if it cannot.
const fn ended(state: TradeState) -> Option<PlaceError> {
    match state {
        TradeState::Success => Some(PlaceError::Paid),
        TradeState::Refund => Some(PlaceError::Refunded),
        TradeState::Closed => Some(PlaceError::Closed),
        TradeState::Created | TradeState::NotPay | TradeState::Failed => None,
    }
}

/// WeChat accepted an order that had ended here meanwhile. What it is paid with goes to nobody, and it is closed there as well.
async fn withdraw(app: &App, number: &OutTradeNo, end: PlaceError) -> PlaceError {
    if matches!(end, PlaceError::Closed)
        && let Err(error) = crate::wechat::orders::close(&app.wechat, number).await
    {
        tracing::error!(order.out_trade_no = number.as_str(), %error, "order {number} is closed here and could not be closed at WeChat Pay");
    }
    end
}

/// What a refusal means: the number may be paid or closed without our having heard of it, or be of an order that was placed elsewhere.
/// Then whoever named it here has no right to it, whatever was named: only what WeChat accepted from us is the caller's.
async fn refused(
    app: &App,
    authority: &Authority,
    number: &OutTradeNo,
    refusal: Box<Refusal>,
    fresh: bool,
) -> Result<PlaceError, StoreError> {
    let known_there = ["ORDER_PAID", "ORDER_CLOSED", "OUT_TRADE_NO_USED"]
        .iter()
        .any(|code| refusal.is(code));
    if known_there {
        let mut tx = app.db.begin().await?;
        orders::disown(tx.conn(), number).await?;
        tx.commit().await?;
    }
    if refusal.is("ORDER_PAID") || refusal.is("ORDER_CLOSED") {
        if let Ok(said) = known::ask(app, &OrderRef::Number(number.clone())).await {
            settle::transaction(app, &prove::answered(&said), None).await?;
        }
        let mut conn = app.db.read().await?;
        if let Some(order) = orders::find(&mut conn, number).await? {
            if !authority.may_touch(&order.owner) {
                return Ok(PlaceError::ParamsMismatch);
            }
            if let Some(end) = ended(order.state) {
                return Ok(end);
            }
        }
    } else if refusal.proven && fresh && !refusal.too_fast() {
        let mut tx = app.db.begin().await?;
        orders::mark_rejected(tx.conn(), number, app.clock.now_ms()).await?;
        tx.commit().await?;
    }
    // Otherwise the row waits for a signed word.
    Ok(PlaceError::Wechat(WechatError::Refused(refusal)))
}

/// Whether this is the question that was asked before. Where callbacks go is a setting of ours, not part of the question.
fn same_question(held: &Order, new: &NewOrder, request: &str) -> bool {
    if held.request.is_empty() {
        return held.total == new.total && held.app_id == new.app_id;
    }
    if held.request == request {
        return held.kind == new.kind;
    }
    let question = |request: &str| {
        let mut question: serde_json::Value = serde_json::from_str(request).ok()?;
        question.as_object_mut()?.remove("notify_url");
        if new.address_of_connection {
            question
                .get_mut("scene_info")?
                .as_object_mut()?
                .remove("payer_client_ip");
        }
        Some(question)
    };
    held.kind == new.kind && question(&held.request) == question(request)
}

fn expired(new: &NewOrder, now: i64) -> bool {
    new.options
        .time_expire
        .as_deref()
        .and_then(|time| time.parse::<jiff::Timestamp>().ok())
        .is_some_and(|time| time.as_millisecond() <= now)
}

fn gone(number: &OutTradeNo) -> StoreError {
    StoreError::Corrupt {
        table: "orders",
        column: "out_trade_no",
        key: number.as_str().to_owned(),
    }
}
