//! The endpoints of refunds: `/v3/refund/domestic/refunds`.

use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::client::{Call, Client, Repeat, Said, segment};
use super::error::WechatError;
use crate::domain::ids::{OutRefundNo, OutTradeNo, TransactionId};
use crate::domain::money::Fen;

#[derive(Serialize)]
struct RefundRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    out_trade_no: &'a str,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    notify_url: &'a str,
    amount: AmountAsked,
}

#[derive(Serialize)]
struct AmountAsked {
    refund: i64,
    total: i64,
    currency: &'static str,
}

/// The body that asks for a refund: the bytes that are stored, signed and sent. The same refund always has the same body.
///
/// `notify_url` is always there: without one, WeChat answers in the XML of its version 2. `currency` is required here.
pub(crate) fn refund_body(
    order: (&OutTradeNo, Option<&TransactionId>),
    out_refund_no: &OutRefundNo,
    (refund, total): (Fen, Fen),
    reason: Option<&str>,
    notify_url: &str,
) -> String {
    let request = RefundRequest {
        transaction_id: order.1.map(TransactionId::as_str),
        out_trade_no: order.0.as_str(),
        out_refund_no: out_refund_no.as_str(),
        reason,
        notify_url,
        amount: AmountAsked {
            refund: refund.get(),
            total: total.get(),
            currency: "CNY",
        },
    };
    serde_json::to_string(&request).expect("texts and numbers always serialise")
}

/// What WeChat says of a refund: an answer says `status`, a notification `refund_status`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RefundSaid {
    /// Only in a notification.
    #[serde(default)]
    pub(crate) mchid: Option<String>,
    pub(crate) out_refund_no: String,
    pub(crate) refund_id: String,
    pub(crate) out_trade_no: String,
    #[serde(alias = "refund_status")]
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) success_time: Option<String>,
    /// When it was applied for; only in an answer.
    #[serde(default)]
    pub(crate) create_time: Option<String>,
    #[serde(default)]
    pub(crate) amount: Option<RefundAmountSaid>,
}

/// Amounts in fen.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RefundAmountSaid {
    #[serde(default)]
    pub(crate) refund: Option<i64>,
}

/// Asks for a refund. A 200 says that it was accepted, not that anything was paid back.
pub(crate) async fn apply(client: &Client, body: &str) -> Result<Said<RefundSaid>, WechatError> {
    let target = "/v3/refund/domestic/refunds".to_owned();
    client
        .call(&Call {
            method: Method::POST,
            target,
            body,
            repeat: Repeat::AskFirst,
            serial: None,
        })
        .await?
        .read()
}

/// Asks what became of a refund.
pub(crate) async fn query(client: &Client, number: &OutRefundNo) -> Result<Said<RefundSaid>, WechatError> {
    client.call(&query_call(number)).await?.read()
}

/// The same, for someone who has to answer soon.
pub(crate) async fn query_within(
    client: &Client,
    number: &OutRefundNo,
    budget: Duration,
) -> Result<Said<RefundSaid>, WechatError> {
    client.call_within(&query_call(number), budget).await?.read()
}

fn query_call(number: &OutRefundNo) -> Call<'static> {
    let target = format!("/v3/refund/domestic/refunds/{}", segment(number.as_str()));
    Call {
        method: Method::GET,
        target,
        body: "",
        repeat: Repeat::Harmless,
        serial: None,
    }
}
