//! The endpoints of orders: `/v3/pay/transactions/...`.

use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::client::{Answer, Call, Client, Repeat, Said, segment};
use super::error::{Unknown, WechatError};
use crate::domain::ids::{MchId, OutTradeNo, TransactionId};
use crate::domain::order::{NewOrder, OrderKind, OrderOptions};

#[derive(Serialize)]
struct PrepayRequest<'a> {
    appid: &'a str,
    mchid: &'a str,
    description: &'a str,
    out_trade_no: &'a str,
    notify_url: &'a str,
    amount: AmountAsked,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<PayerAsked<'a>>,
    #[serde(flatten)]
    options: &'a OrderOptions,
}

#[derive(Serialize)]
struct AmountAsked {
    total: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct PayerAsked<'a> {
    openid: &'a str,
}

/// The body that asks for an order: the bytes that are stored, signed and sent. The same order always has the same body.
pub(crate) fn prepay_body(mchid: &MchId, notify_url: &str, order: &NewOrder) -> String {
    let request = PrepayRequest {
        appid: order.app_id.as_str(),
        mchid: mchid.as_str(),
        description: &order.description,
        out_trade_no: order.out_trade_no.as_str(),
        notify_url,
        amount: AmountAsked {
            total: order.total.get(),
            currency: "CNY",
        },
        payer: order.payer.as_ref().map(|payer| PayerAsked { openid: payer.as_str() }),
        options: &order.options,
    };
    serde_json::to_string(&request).expect("texts and numbers always serialise")
}

/// The member in which WeChat gives what an order of this kind is paid with.
pub(crate) const fn prepay_member(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Jsapi | OrderKind::App => "prepay_id",
        OrderKind::H5 => "h5_url",
        OrderKind::Native => "code_url",
    }
}

/// Asks for an order; gives what it is paid with: a prepay id, the address of an H5 payment, or the content of a QR code. The same body
/// again is the same order.
pub(crate) async fn prepay(client: &Client, kind: OrderKind, body: &str) -> Result<String, WechatError> {
    let target = match kind {
        OrderKind::Jsapi => "/v3/pay/transactions/jsapi",
        OrderKind::H5 => "/v3/pay/transactions/h5",
        OrderKind::Native => "/v3/pay/transactions/native",
        OrderKind::App => "/v3/pay/transactions/app",
    };
    let call = Call {
        method: Method::POST,
        target: target.to_owned(),
        body,
        repeat: Repeat::Harmless,
        serial: None,
    };
    let member = prepay_member(kind);
    let mut said: Said<serde_json::Map<String, serde_json::Value>> = client.call(&call).await?.read()?;
    match said.content.remove(member) {
        Some(serde_json::Value::String(prepay)) if !prepay.is_empty() => Ok(prepay),
        _ => Err(WechatError::OutcomeUnknown(Unknown::Unreadable(format!(
            "it holds no {member}"
        )))),
    }
}

/// What WeChat says of an order, in a query or a notification. Only the three ids and the state are always there.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) mchid: String,
    pub(crate) appid: String,
    pub(crate) out_trade_no: String,
    pub(crate) trade_state: String,
    /// Only after the payment.
    #[serde(default)]
    pub(crate) trade_type: Option<String>,
    #[serde(default)]
    pub(crate) transaction_id: Option<String>,
    #[serde(default)]
    pub(crate) success_time: Option<String>,
    #[serde(default)]
    pub(crate) amount: Option<AmountSaid>,
    #[serde(default)]
    pub(crate) payer: Option<PayerSaid>,
}

/// Amounts in fen. `payer_total` is what the payer really paid after coupons, and may be 0.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct AmountSaid {
    #[serde(default)]
    pub(crate) total: Option<i64>,
    #[serde(default)]
    pub(crate) payer_total: Option<i64>,
    #[serde(default)]
    pub(crate) currency: Option<String>,
}

/// Who paid.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PayerSaid {
    #[serde(default)]
    pub(crate) openid: Option<String>,
}

/// Asks for an order by the merchant's number.
pub(crate) async fn query(client: &Client, number: &OutTradeNo) -> Result<Said<Transaction>, WechatError> {
    client.call(&query_call(client, number)).await?.read()
}

/// The same, for a callback that has to be answered soon.
pub(crate) async fn query_within(
    client: &Client,
    number: &OutTradeNo,
    budget: Duration,
) -> Result<Said<Transaction>, WechatError> {
    client.call_within(&query_call(client, number), budget).await?.read()
}

pub(crate) fn query_call(client: &Client, number: &OutTradeNo) -> Call<'static> {
    let (number, mchid) = (segment(number.as_str()), &client.signer.mchid);
    read(format!("/v3/pay/transactions/out-trade-no/{number}?mchid={mchid}"))
}

/// Asks for an order by WeChat's number; only a paid order has one.
pub(crate) async fn query_by_id(client: &Client, id: &TransactionId) -> Result<Said<Transaction>, WechatError> {
    let (id, mchid) = (segment(id.as_str()), &client.signer.mchid);
    client
        .call(&read(format!("/v3/pay/transactions/id/{id}?mchid={mchid}")))
        .await?
        .read()
}

fn read(target: String) -> Call<'static> {
    Call {
        method: Method::GET,
        target,
        body: "",
        repeat: Repeat::Harmless,
        serial: None,
    }
}

/// Closes an unpaid order. May be repeated; a verified 204 is the only yes.
pub(crate) async fn close(client: &Client, number: &OutTradeNo) -> Result<Answer, WechatError> {
    let body = format!("{{\"mchid\":\"{}\"}}", client.signer.mchid);
    let target = format!("/v3/pay/transactions/out-trade-no/{}/close", segment(number.as_str()));
    client
        .call(&Call {
            method: Method::POST,
            target,
            body: &body,
            repeat: Repeat::Harmless,
            serial: None,
        })
        .await
}
