//! One short function per action: members to domain types, all faults in one refusal, then the flow.

pub(crate) mod orders;
pub(crate) mod place;
mod record;
pub(crate) mod refunds;
mod scene;
pub(crate) mod transfers;

use serde::Serialize;
use serde_json::value::RawValue;

use super::action::Action;
use super::caller::Caller;
use super::connection::Connection;
use super::failure::Failure;
use super::form::Form;
use crate::app::App;

/// What an action answers: WeChat's status, and WeChat's JSON or what stands in its place.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) data: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    code: i8,
    msg: &'static str,
    data: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Answer {
    /// The success envelope.
    pub(crate) fn envelope(&self) -> Vec<u8> {
        let data = Inner {
            status: self.status,
            data: self.data.as_deref(),
        };
        serde_json::to_vec(&Envelope {
            code: 0,
            msg: "success",
            data,
        })
        .expect("numbers and raw JSON always serialise")
    }
}

/// Runs an action for a caller.
pub(crate) async fn run(
    app: &App,
    action: Action,
    caller: &Caller,
    connection: &Connection,
    form: Form,
) -> Result<Answer, Failure> {
    match action {
        Action::Order(kind) => place::place(app, caller, connection, kind, form).await,
        Action::QueryByOutTradeNo => orders::query_by_number(app, caller, form).await,
        Action::QueryByTransactionId => orders::query_by_transaction(app, caller, form).await,
        Action::Close => orders::close(app, caller, form).await,
        Action::Refund => refunds::apply(app, caller, form).await,
        Action::RefundQuery => refunds::query(app, caller, form).await,
        Action::Transfer => transfers::create(app, caller, form).await,
        Action::TransferQuery => transfers::query_by_number(app, caller, form).await,
        Action::TransferQueryByNo => transfers::query_by_bill(app, caller, form).await,
    }
}
