//! `wxpay_refund` and `wxpay_refund_query`.

use super::{Answer, record};
use crate::app::App;
use crate::config::{Config, RefundPolicy};
use crate::domain::caller::Authority;
use crate::domain::ids::{OutRefundNo, OutTradeNo, TransactionId};
use crate::flows::known::OrderRef;
use crate::flows::refund::{AskedRefund, query_refund, refund};
use crate::http::action::Action;
use crate::http::caller::Caller;
use crate::http::failure::Failure;
use crate::http::form::{Form, Rule};
use crate::store::requests::About;

/// The form of `wxpay_refund`.
pub(crate) fn read(config: &Config, form: &mut Form) -> Option<AskedRefund> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    form.fixed("notify_url", config.notify_refund.as_str(), "notifyURLRefundsURL");
    let out_refund_no: Option<OutRefundNo> = form.required("out_refund_no", Form::id);
    form.either("out_trade_no", "transaction_id");
    let out_trade_no: Option<OutTradeNo> = form.id("out_trade_no");
    let transaction_id: Option<TransactionId> = form.id("transaction_id");
    let reason = form.text("reason", 0..=80).filter(|reason| !reason.is_empty());
    let amount = form.required("amount", |form, member| {
        form.object(member, |amount| {
            amount.one_of("currency", &["CNY"]);
            let refund = amount.required("refund", Form::fen);
            let total = amount.required("total", Form::fen);
            let (refund, total) = refund.zip(total)?;
            if refund > total {
                amount.fault("refund", Rule::Integer(1, total.get()));
            }
            Some((refund, total))
        })
    });
    // WeChat's number wins, as it does at WeChat; the other one has to belong to it.
    let order = match (transaction_id, out_trade_no) {
        (Some(id), also) => Some((OrderRef::Transaction(id), also)),
        (None, Some(number)) => Some((OrderRef::Number(number), None)),
        (None, None) => None,
    };
    let (((order, also), out_refund_no), (refund, total)) = order.zip(out_refund_no).zip(amount)?;
    Some(AskedRefund {
        order,
        also,
        out_refund_no,
        refund,
        total,
        reason,
    })
}

/// `wxpay_refund`: accepted is not yet refunded.
pub(crate) async fn apply(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let authority = refunding(app, caller)?;
    let asked = read(&app.config, &mut form);
    let asked = form.complete(asked)?;
    let said = refund(app, &authority, &asked).await.map_err(Failure::from);
    let about = match &asked.order {
        OrderRef::Number(number) => About::Order {
            number: Some(number.as_str().to_owned()),
            transaction: None,
        },
        OrderRef::Transaction(id) => About::Order {
            number: None,
            transaction: Some(id.as_str().to_owned()),
        },
    };
    let subject = asked.out_refund_no.as_str();
    record::request(app, caller, Action::Refund, (about, subject), &said).await;
    let said = said?;
    Ok(Answer {
        status: said.status,
        data: Some(said.json),
    })
}

/// By what right somebody refunds.
fn refunding(app: &App, caller: &Caller) -> Result<Authority, Failure> {
    match (app.config.refund_policy, &caller.authority) {
        (RefundPolicy::Any, _) | (_, Authority::Operator) => Ok(Authority::Operator),
        (RefundPolicy::Owner, person @ Authority::Person(_)) => Ok(person.clone()),
        (RefundPolicy::Operator, Authority::Person(_)) => Err(Failure::Forbidden),
    }
}

/// The form of `wxpay_refund_query`.
pub(crate) fn number(config: &Config, form: &mut Form) -> Option<OutRefundNo> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    form.required("out_refund_no", Form::id)
}

/// `wxpay_refund_query`.
pub(crate) async fn query(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let number = number(&app.config, &mut form);
    let number = form.complete(number)?;
    let said = query_refund(app, &caller.authority, &number).await?;
    Ok(Answer {
        status: said.status,
        data: Some(said.json),
    })
}
