//! A refund: the amount is held and the intent written, WeChat is asked, the outcome is written with its event.
//!
//! What became of a refund is never guessed: anything but a verified yes is followed by asking for the refund's number. A retry keeps
//! that number; a new one could refund twice.

use std::time::Duration;

use super::known::{self, LookupError, OrderRef};
use super::sweep::ABSENCE_BELIEVED_MS;
use super::{INTENT_GRACE_MS, prove, settle, settle_refund};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::{OutRefundNo, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::{Order, TradeState};
use crate::domain::refund::{NewRefund, RefundState};
use crate::store::error::StoreError;
use crate::store::{orders, refunds};
use crate::wechat::client::Said;
use crate::wechat::error::{Refusal, WechatError};
use crate::wechat::refunds::{self as wechat_refunds, RefundSaid};

/// How long to ask what became of a refund whose answer got lost, before the caller is told that it is not known.
const FOLLOW_UP: Duration = Duration::from_secs(3);

/// What a caller asks for.
#[derive(Debug)]
pub(crate) struct AskedRefund {
    pub(crate) order: OrderRef,
    /// The other name of the order, when both were given.
    pub(crate) also: Option<OutTradeNo>,
    pub(crate) out_refund_no: OutRefundNo,
    pub(crate) refund: Fen,
    pub(crate) total: Fen,
    pub(crate) reason: Option<String>,
}

/// Why a refund was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefundError {
    /// There is no order to refund.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It is not paid.
    #[error("the order is not paid")]
    NotPaid,
    /// `amount.total` is not the order's.
    #[error("the order's total is {0}")]
    TotalMismatch(Fen),
    /// The number was used with other parameters.
    #[error("the number was used with other parameters")]
    ParamsMismatch,
    /// Together with what was refunded, or is under way, it is more than the order.
    #[error("it exceeds the order")]
    Exceeds,
}

impl From<StoreError> for RefundError {
    fn from(error: StoreError) -> Self {
        Self::Lookup(error.into())
    }
}

impl From<WechatError> for RefundError {
    fn from(error: WechatError) -> Self {
        Self::Lookup(error.into())
    }
}

/// Applies for a refund, or finds it applied for.
pub(crate) async fn refund(
    app: &App,
    authority: &Authority,
    asked: &AskedRefund,
) -> Result<Said<RefundSaid>, RefundError> {
    let order = paid_order(app, authority, asked).await?;
    if order.total != asked.total {
        return Err(RefundError::TotalMismatch(order.total));
    }
    let number = &asked.out_refund_no;
    let _turn = super::turn(app, number.as_str()).await?;
    let new = NewRefund {
        out_refund_no: number.clone(),
        out_trade_no: order.out_trade_no.clone(),
        amount: asked.refund,
        request: wechat_refunds::refund_body(
            (&order.out_trade_no, order.transaction_id.as_ref()),
            number,
            (asked.refund, asked.total),
            asked.reason.as_deref(),
            app.config.notify_refund.as_str(),
        ),
    };
    match intend(app, &new).await? {
        Intent::Ask(attempt) => ask(app, &attempt, &new).await,
        Intent::Accepted { moves } => {
            let said = wechat_refunds::query(&app.wechat, number).await?;
            settle_refund::answered(app, &prove::answered(&said), Some(moves)).await?;
            Ok(said)
        }
    }
}

/// The order, once it is known to be paid. When the books do not say so yet, the callback may be lost: WeChat is asked.
async fn paid_order(app: &App, authority: &Authority, asked: &AskedRefund) -> Result<Order, RefundError> {
    let paid = |order: &Order| matches!(order.state, TradeState::Success | TradeState::Refund);
    let mut order = known::to_act_on(app, authority, &asked.order).await?;
    if asked.also.as_ref().is_some_and(|also| *also != order.out_trade_no) {
        return Err(RefundError::ParamsMismatch);
    }
    if !paid(&order) {
        let name = OrderRef::Number(order.out_trade_no.clone());
        match known::ask(app, &name).await {
            Ok(said) => {
                settle::transaction(app, &prove::answered(&said), None).await?;
                order = known::in_books(app, authority, &name)
                    .await?
                    .ok_or(RefundError::NotPaid)?;
            }
            Err(WechatError::Refused(refusal)) if refusal.proves_absence() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if paid(&order) {
        Ok(order)
    } else {
        Err(RefundError::NotPaid)
    }
}

enum Intent {
    /// It is written and its amount held; WeChat has not heard of it, as far as is known.
    Ask(Attempt),
    /// WeChat has it, and so often it has moved.
    Accepted { moves: i64 },
}

/// One attempt at a refund.
struct Attempt {
    /// The body.
    request: String,
    /// When it is made, Unix milliseconds.
    at: i64,
    /// When the one before it was made, if nobody knows what became of that.
    earlier: Option<i64>,
}

async fn intend(app: &App, new: &NewRefund) -> Result<Intent, RefundError> {
    let now = app.clock.now_ms();
    let ask_at = now.saturating_add(INTENT_GRACE_MS);
    let mut tx = app.db.begin().await?;
    // The order first, always: two refunds of it wait for each other here and nowhere else.
    orders::lock(tx.conn(), &new.out_trade_no).await?;
    if refunds::insert_intent(tx.conn(), new, now, ask_at).await? {
        if !orders::hold(tx.conn(), &new.out_trade_no, new.amount).await? {
            return Err(RefundError::Exceeds);
        }
        tx.commit().await?;
        let request = new.request.clone();
        return Ok(Intent::Ask(Attempt {
            request,
            at: now,
            earlier: None,
        }));
    }
    let held = refunds::find(tx.conn(), &new.out_refund_no)
        .await?
        .ok_or(RefundError::ParamsMismatch)?;
    if held.out_trade_no != new.out_trade_no || held.amount != new.amount || !same_question(&held.request, &new.request)
    {
        return Err(RefundError::ParamsMismatch);
    }
    match held.state {
        RefundState::Created => {
            refunds::asked_for(tx.conn(), &held.out_refund_no, now, ask_at).await?;
            tx.commit().await?;
            Ok(Intent::Ask(Attempt {
                request: held.request,
                at: now,
                earlier: Some(held.asked_for_at),
            }))
        }
        RefundState::Failed => {
            if !orders::hold(tx.conn(), &held.out_trade_no, held.amount).await? {
                return Err(RefundError::Exceeds);
            }
            refunds::reopen(tx.conn(), &held.out_refund_no, now, ask_at).await?;
            tx.commit().await?;
            Ok(Intent::Ask(Attempt {
                request: held.request,
                at: now,
                earlier: None,
            }))
        }
        RefundState::Processing | RefundState::Success | RefundState::Closed | RefundState::Abnormal => {
            Ok(Intent::Accepted { moves: held.moves })
        }
    }
}

/// Asks WeChat and writes down what it says.
async fn ask(app: &App, attempt: &Attempt, new: &NewRefund) -> Result<Said<RefundSaid>, RefundError> {
    crate::crash::boundary().await;
    let said = wechat_refunds::apply(&app.wechat, &attempt.request).await;
    crate::crash::boundary().await;
    match said {
        Ok(said) => {
            settle_refund::answered(app, &prove::answered(&said), None).await?;
            Ok(said)
        }
        Err(WechatError::Refused(refusal)) if refusal.proven => follow_refusal(app, attempt, new, refusal).await,
        // Nothing was sent, an unsigned no, or no time left: the row keeps its amount and waits for a signed word.
        Err(error @ (WechatError::Busy | WechatError::NeverSent(_) | WechatError::Refused(_))) => Err(error.into()),
        Err(error) if error.timed_out() => Err(error.into()),
        Err(error @ (WechatError::OutcomeUnknown(_) | WechatError::NotGenuine(_))) => {
            match wechat_refunds::query_within(&app.wechat, &new.out_refund_no, FOLLOW_UP).await {
                Ok(said) => {
                    settle_refund::answered(app, &prove::answered(&said), None).await?;
                    Ok(said)
                }
                Err(_) => Err(error.into()),
            }
        }
    }
}

/// A signed no to this attempt. An earlier one may have been heard: only "no such refund" gives the amount back.
async fn follow_refusal(
    app: &App,
    attempt: &Attempt,
    new: &NewRefund,
    refusal: Box<Refusal>,
) -> Result<Said<RefundSaid>, RefundError> {
    match wechat_refunds::query_within(&app.wechat, &new.out_refund_no, FOLLOW_UP).await {
        Ok(said) => {
            settle_refund::answered(app, &prove::answered(&said), None).await?;
            Ok(said)
        }
        // "Too fast" may have been accepted all the same, a moment later, and so may an earlier attempt; the sweep asks again.
        Err(WechatError::Refused(absent))
            if absent.proves_absence()
                && !refusal.too_fast()
                && attempt
                    .earlier
                    .is_none_or(|earlier| attempt.at.saturating_sub(earlier) >= ABSENCE_BELIEVED_MS) =>
        {
            settle_refund::never_accepted(app, &new.out_trade_no, &new.out_refund_no, attempt.at).await?;
            Err(WechatError::Refused(refusal).into())
        }
        Err(_) => Err(WechatError::Refused(refusal).into()),
    }
}

/// Asks WeChat for a refund that the caller may see.
pub(crate) async fn query_refund(
    app: &App,
    authority: &Authority,
    number: &OutRefundNo,
) -> Result<Said<RefundSaid>, LookupError> {
    let known = {
        let mut conn = app.db.read().await?;
        refunds::find(&mut conn, number).await?
    };
    if let Some(refund) = &known {
        known::in_books(app, authority, &OrderRef::Number(refund.out_trade_no.clone())).await?;
    }
    crate::crash::boundary().await;
    let said = wechat_refunds::query(&app.wechat, number).await?;
    crate::crash::boundary().await;
    if known.is_none() {
        // Made elsewhere: whoever may see its order may see it.
        let order = OutTradeNo::parse(&*said.content.out_trade_no).map_err(|_| LookupError::Unfit)?;
        known::to_act_on(app, authority, &OrderRef::Number(order)).await?;
        return Ok(said);
    }
    let moves = known.map(|refund| refund.moves);
    settle_refund::answered(app, &prove::answered(&said), moves).await?;
    Ok(said)
}

/// Whether this is the question that was asked before. Where callbacks go is a setting of ours, not part of the question.
fn same_question(held: &str, new: &str) -> bool {
    let question = |request: &str| {
        let mut question: serde_json::Map<String, serde_json::Value> = serde_json::from_str(request).ok()?;
        question.remove("notify_url");
        // Known only after the payment; the order is named by its own number either way.
        question.remove("transaction_id");
        Some(question)
    };
    held == new || question(held) == question(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(notify_url: &str, transaction_id: Option<&str>, refund: i64) -> String {
        let mut request = json!({
            "out_trade_no": "ORDER_1", "out_refund_no": "REFUND_1", "notify_url": notify_url,
            "amount": {"refund": refund, "total": 100, "currency": "CNY"},
        });
        if let Some(id) = transaction_id {
            request["transaction_id"] = json!(id);
        }
        request.to_string()
    }

    /// Where callbacks go is a setting, and WeChat's number of the payment becomes known meanwhile; how much goes back may not change.
    #[test]
    fn the_same_question_is_the_same_but_for_what_nobody_chose() {
        let before = asked("https://a.example/refund", None, 30);
        for (notify_url, transaction_id, refund, same) in [
            ("https://a.example/refund", None, 30, true),
            ("https://b.example/refund", None, 30, true),
            ("https://a.example/refund", Some("4200000001"), 30, true),
            ("https://b.example/refund", Some("4200000001"), 30, true),
            ("https://a.example/refund", None, 31, false),
            ("https://b.example/refund", Some("4200000001"), 31, false),
        ] {
            assert_eq!(
                same_question(&before, &asked(notify_url, transaction_id, refund)),
                same,
                "{notify_url} {transaction_id:?} {refund}"
            );
        }
        assert!(
            !same_question("no JSON", &before),
            "what cannot be read is no question of today's"
        );
    }
}
