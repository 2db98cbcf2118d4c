//! The two order queries and `wxpay_close_order`.

use super::{Answer, record};
use crate::app::App;
use crate::config::Config;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::flows::close_order::close_order;
use crate::flows::known::OrderRef;
use crate::flows::query_order::query_order;
use crate::http::action::Action;
use crate::http::caller::Caller;
use crate::http::failure::Failure;
use crate::http::form::Form;
use crate::store::requests::About;

/// The form of `wxpay_query_order_by_out_trade_no` and of `wxpay_close_order`.
pub(crate) fn number(config: &Config, form: &mut Form) -> Option<OutTradeNo> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    form.required("out_trade_no", Form::id)
}

/// The form of `wxpay_query_order_by_transaction_id`.
pub(crate) fn transaction_id(config: &Config, form: &mut Form) -> Option<TransactionId> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    form.required("transaction_id", Form::id)
}

/// `wxpay_query_order_by_out_trade_no`.
pub(crate) async fn query_by_number(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let number = number(&app.config, &mut form);
    let number = form.complete(number)?;
    query(app, caller, &OrderRef::Number(number)).await
}

/// `wxpay_query_order_by_transaction_id`.
pub(crate) async fn query_by_transaction(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let id = transaction_id(&app.config, &mut form);
    let id = form.complete(id)?;
    query(app, caller, &OrderRef::Transaction(id)).await
}

async fn query(app: &App, caller: &Caller, name: &OrderRef) -> Result<Answer, Failure> {
    let said = query_order(app, &caller.authority, name).await?;
    Ok(Answer {
        status: said.status,
        data: Some(said.json),
    })
}

/// `wxpay_close_order`: 204, and nothing inside.
pub(crate) async fn close(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let number = number(&app.config, &mut form);
    let number = form.complete(number)?;
    let closed = close_order(app, &caller.authority, &number)
        .await
        .map_err(Failure::from);
    let about = About::Order {
        number: Some(number.as_str().to_owned()),
        transaction: None,
    };
    record::request(app, caller, Action::Close, (about, ""), &closed).await;
    closed?;
    Ok(Answer {
        status: 204,
        data: None,
    })
}
