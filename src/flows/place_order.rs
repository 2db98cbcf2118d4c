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
use crate::store::{orders, usual};
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

    if usual::insert_intent(&app.db, new, &request, now, ask_at).await? {
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
            let state = settle::accept(app, new, &prepay).await?;
            if let Some(end) = ended(state) {
                return Err(Box::pin(withdraw(app, number, end)).await);
            }
            // The request's own line says so as well, in the fewest bytes.
            tracing::debug!(
                order.out_trade_no = number.as_str(),
                total = new.total.get(),
                "the order is placed"
            );
            Ok(prepay)
        }
        // What is rare takes its memory when it happens, and not in every order under way.
        Err(WechatError::Refused(refusal)) => Err(Box::pin(refused(app, authority, number, refusal, fresh)).await?),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::AppId;
    use crate::domain::money::Fen;
    use crate::domain::order::{OrderKind, OrderOptions, Owner};
    use serde_json::json;

    fn new() -> NewOrder {
        NewOrder {
            kind: OrderKind::H5,
            out_trade_no: OutTradeNo::parse("ORDER_1").unwrap(),
            app_id: AppId::parse("wx2421b1c4370ec43b").unwrap(),
            description: "Test product".to_owned(),
            total: Fen::positive(20).unwrap(),
            payer: None,
            address_of_connection: true,
            options: OrderOptions::default(),
            owner: Owner {
                sub: Some("alice".to_owned()),
                openid: None,
            },
        }
    }

    fn held(request: &str) -> Order {
        let new = new();
        Order {
            kind: new.kind,
            out_trade_no: new.out_trade_no,
            app_id: new.app_id,
            total: new.total,
            owner: new.owner,
            request: request.to_owned(),
            state: TradeState::NotPay,
            prepay: None,
            transaction_id: None,
            held: Fen::not_negative(0).unwrap(),
            created_at: 1,
            accepted_at: Some(1),
            close_asked_at: None,
        }
    }

    fn asked(address: &str, notify_url: &str, total: i64) -> String {
        json!({
            "amount": {"total": total}, "notify_url": notify_url,
            "scene_info": {"payer_client_ip": address, "h5_info": {"type": "Wap"}},
        })
        .to_string()
    }

    /// Where callbacks go and where a connection comes from may change between two askings; what is bought, for how much, and how it is
    /// paid may not.
    #[test]
    fn the_same_question_is_the_same_but_for_what_nobody_chose() {
        let before = held(&asked("203.0.113.5", "https://a.example/order", 20));
        for (address, notify_url, total, same) in [
            ("203.0.113.5", "https://a.example/order", 20, true),
            ("203.0.113.5", "https://b.example/order", 20, true),
            ("203.0.113.9", "https://b.example/order", 20, true),
            ("203.0.113.5", "https://a.example/order", 21, false),
        ] {
            assert_eq!(
                same_question(&before, &new(), &asked(address, notify_url, total)),
                same,
                "{address} {notify_url} {total}"
            );
        }
        // An address that the caller named is part of the question.
        let named = NewOrder {
            address_of_connection: false,
            ..new()
        };
        assert!(!same_question(
            &before,
            &named,
            &asked("203.0.113.9", "https://a.example/order", 20)
        ));
        // The same words for another way to pay are another question.
        let native = NewOrder {
            kind: OrderKind::Native,
            ..new()
        };
        assert!(!same_question(&before, &native, &before.request));
        assert!(!same_question(
            &before,
            &native,
            &asked("203.0.113.5", "https://b.example/order", 20)
        ));
    }

    #[test]
    fn of_an_order_that_was_placed_elsewhere_amount_and_app_are_known() {
        let before = held("");
        assert!(same_question(&before, &new(), "{}"));
        let dearer = NewOrder {
            total: Fen::positive(21).unwrap(),
            ..new()
        };
        assert!(!same_question(&before, &dearer, "{}"));
        let of_another_app = NewOrder {
            app_id: AppId::parse("wx0000000000000000").unwrap(),
            ..new()
        };
        assert!(!same_question(&before, &of_another_app, "{}"));
    }

    #[test]
    fn an_order_has_expired_from_its_last_moment_on() {
        let until = |time: Option<&str>| NewOrder {
            options: OrderOptions {
                time_expire: time.map(str::to_owned),
                ..OrderOptions::default()
            },
            ..new()
        };
        let named = until(Some("2026-12-01T08:00:00+08:00"));
        let last: jiff::Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let last = last.as_millisecond();
        assert!(!expired(&named, last - 1));
        assert!(expired(&named, last) && expired(&named, last + 1));
        assert!(!expired(&until(None), i64::MAX));
    }
}
