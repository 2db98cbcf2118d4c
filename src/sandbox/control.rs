//! A small address for a person with `curl`: to pay, to cancel, to end a refund or a transfer, to make the network misbehave, and to
//! read what happened.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Query, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Mood, Sides,
    gateway::TokenOptions,
    socket::Port,
    tasks::Tasks,
    wechat::{Impossible, Payment, RefundEnd, TransferEnd},
};

const HELP: &str = "\
pay-common sandbox: WeChat Pay, the API gateway and the Integration Center on loopback
pay-common 沙箱：本机上的微信支付、云 API 网关与集成中心

GET  /token?sub=alice&openid=o..   an access token for the gateway / 取网关访问令牌
POST /pay {\"out_trade_no\":\"..\"}     the buyer pays (opt. payer_total) / 用户支付（可带 payer_total）
POST /cancel {\"out_trade_no\":\"..\"}  the buyer leaves the pay sheet / 用户取消支付
POST /refund/finish {\"out_refund_no\":\"..\",\"status\":\"SUCCESS|CLOSED|ABNORMAL\"}
                                   a refund ends / 退款到终态
POST /transfer/confirm {\"out_bill_no\":\"..\"}
                                   the receiver confirms a transfer / 收款用户确认转账
POST /transfer/finish {\"out_bill_no\":\"..\",\"status\":\"SUCCESS|FAIL|CANCELLED\",\"reason\":\"..\"}
                                   a transfer ends / 转账到终态
POST /network {\"action\":\"lose|delay|duplicate|reorder|forge|probe\",\"times\":1,\"ms\":500,\"out_trade_no\":\"..\"}
                                   callbacks go wrong / 让回调网络出错
GET  /business                     what the business system was told / 业务系统收到的通知
POST /business {\"status\":500}       it answers this to every webhook, 204 takes them again / 业务系统对通知的应答
GET  /phone                        where the phone is / 手机页面的地址
GET  /journal                      what went between the parties / 各方往来记录
";

pub(crate) fn serve(port: Port, tasks: &Tasks, sides: Sides) {
    let router = Router::new()
        .route("/", get(|| async { HELP }))
        .route("/token", get(token))
        .route("/pay", post(pay))
        .route("/cancel", post(cancel))
        .route("/refund/finish", post(finish_refund))
        .route("/transfer/confirm", post(confirm_transfer))
        .route("/transfer/finish", post(finish_transfer))
        .route("/network", post(network))
        .route("/business", get(business).post(set_business))
        .route(
            "/phone",
            get(|State(sides): State<Sides>| async move { Json(json!({"url": sides.phone.url()})) }),
        )
        .route("/journal", get(journal))
        .with_state(sides);
    port.serve(tasks, router);
}

/// The answer of a control call: what was done, or why not.
type Done = Result<Json<Value>, Refused>;

/// A refusal with its reason.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<Impossible> for Refused {
    fn from(reason: Impossible) -> Self {
        let status = match reason {
            Impossible::NoSuchOrder | Impossible::NoSuchRefund | Impossible::NoSuchTransfer => StatusCode::NOT_FOUND,
            Impossible::BadAmount => StatusCode::BAD_REQUEST,
            Impossible::AlreadyPaid
            | Impossible::NotPaid
            | Impossible::Closed
            | Impossible::Expired
            | Impossible::PrepayExpired
            | Impossible::WrongRefundState
            | Impossible::WrongTransferState => StatusCode::CONFLICT,
        };
        Self(status, reason.to_string())
    }
}

impl From<JsonRejection> for Refused {
    fn from(reason: JsonRejection) -> Self {
        Self(reason.status(), reason.body_text())
    }
}

#[derive(Deserialize)]
struct Login {
    sub: Option<String>,
    openid: Option<String>,
    #[serde(default)]
    anonymous: bool,
    expires_in: Option<i64>,
}

async fn token(State(sides): State<Sides>, Query(login): Query<Login>) -> Json<Value> {
    let usual = TokenOptions::default();
    let options = TokenOptions {
        openid: login.openid,
        anonymous: login.anonymous,
        expires_in: login.expires_in.unwrap_or(usual.expires_in),
    };
    let token = sides
        .gateway
        .mint_token(login.sub.as_deref().unwrap_or("sandbox-user"), &options);
    Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": options.expires_in}))
}

async fn business(State(sides): State<Sides>) -> Json<Value> {
    let business = &sides.business;
    Json(json!({"heard": business.heard(), "refused": business.refused(), "overlaps": business.overlaps()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    status: u16,
}

async fn set_business(State(sides): State<Sides>, body: Result<Json<Answers>, JsonRejection>) -> Done {
    let Json(Answers { status }) = body?;
    let mood = match status {
        200..=299 => Mood::Well,
        300..=599 => Mood::Status(status),
        _ => return Err(Refused(StatusCode::BAD_REQUEST, "status must be 200 to 599".to_owned())),
    };
    sides.business.set_mood(mood);
    Ok(Json(json!({"status": status})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOrder {
    out_trade_no: String,
    payer_total: Option<i64>,
}

async fn pay(State(sides): State<Sides>, body: Result<Json<OfOrder>, JsonRejection>) -> Done {
    let Json(OfOrder {
        out_trade_no,
        payer_total,
    }) = body?;
    let how = Payment {
        payer_total,
        ..Payment::default()
    };
    let transaction_id = sides.wechat.pay_with(&out_trade_no, &how)?;
    Ok(Json(
        json!({"out_trade_no": out_trade_no, "transaction_id": transaction_id}),
    ))
}

async fn cancel(State(sides): State<Sides>, body: Result<Json<OfOrder>, JsonRejection>) -> Done {
    let Json(OfOrder { out_trade_no, .. }) = body?;
    sides.wechat.cancel(&out_trade_no)?;
    Ok(Json(json!({"out_trade_no": out_trade_no, "trade_state": "NOTPAY"})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRefund {
    out_refund_no: String,
    status: Option<EndName>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum EndName {
    Success,
    Closed,
    Abnormal,
}

async fn finish_refund(State(sides): State<Sides>, body: Result<Json<OfRefund>, JsonRejection>) -> Done {
    let Json(OfRefund { out_refund_no, status }) = body?;
    let end = match status.unwrap_or(EndName::Success) {
        EndName::Success => RefundEnd::Success,
        EndName::Closed => RefundEnd::Closed,
        EndName::Abnormal => RefundEnd::Abnormal,
    };
    sides.wechat.finish_refund(&out_refund_no, end)?;
    let status = sides.wechat.refund(&out_refund_no).map(|refund| refund.status.as_str());
    Ok(Json(json!({"out_refund_no": out_refund_no, "status": status})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTransfer {
    out_bill_no: String,
}

async fn confirm_transfer(State(sides): State<Sides>, body: Result<Json<OfTransfer>, JsonRejection>) -> Done {
    let Json(OfTransfer { out_bill_no }) = body?;
    sides.wechat.confirm_transfer(&out_bill_no)?;
    Ok(state_of_transfer(&sides, &out_bill_no))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndOfTransfer {
    out_bill_no: String,
    status: TransferEndName,
    reason: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum TransferEndName {
    Success,
    Fail,
    Cancelled,
}

async fn finish_transfer(State(sides): State<Sides>, body: Result<Json<EndOfTransfer>, JsonRejection>) -> Done {
    let Json(EndOfTransfer {
        out_bill_no,
        status,
        reason,
    }) = body?;
    let end = match status {
        TransferEndName::Success => TransferEnd::Success,
        TransferEndName::Fail => TransferEnd::Fail(reason.unwrap_or_else(|| "PAYEE_ACCOUNT_ABNORMAL".to_owned())),
        TransferEndName::Cancelled => TransferEnd::Cancelled,
    };
    sides.wechat.end_transfer(&out_bill_no, &end)?;
    Ok(state_of_transfer(&sides, &out_bill_no))
}

fn state_of_transfer(sides: &Sides, out_bill_no: &str) -> Json<Value> {
    let state = sides
        .wechat
        .transfer(out_bill_no)
        .map(|transfer| transfer.state.as_str());
    Json(json!({"out_bill_no": out_bill_no, "state": state}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trouble {
    action: Action,
    times: Option<u32>,
    ms: Option<u64>,
    out_trade_no: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Action {
    Lose,
    Delay,
    Duplicate,
    Reorder,
    Forge,
    Probe,
}

async fn network(State(sides): State<Sides>, body: Result<Json<Trouble>, JsonRejection>) -> Done {
    let Json(Trouble {
        action,
        times,
        ms,
        out_trade_no,
    }) = body?;
    let times = times.unwrap_or(1);
    match action {
        Action::Lose => sides.wechat.lose_callbacks(times),
        Action::Delay => sides
            .wechat
            .delay_callbacks(times, Duration::from_millis(ms.unwrap_or(1000))),
        Action::Duplicate => sides.wechat.duplicate_callback(times),
        Action::Reorder => sides.wechat.hold_callbacks_back(times),
        Action::Probe => sides.wechat.probe_callbacks(times),
        Action::Forge => {
            let number = out_trade_no.ok_or_else(|| missing("out_trade_no"))?;
            let order = sides.wechat.order(&number).ok_or(Impossible::NoSuchOrder)?;
            let answer = sides.center.send(&sides.center.forge(&order)).await;
            let reply = answer.map_err(|error| Refused(StatusCode::BAD_GATEWAY, error.to_string()))?;
            return Ok(Json(json!({"forged": number, "answered": reply.status})));
        }
    }
    Ok(Json(json!({"times": times})))
}

fn missing(member: &str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, format!("{member} is needed"))
}

async fn journal(State(sides): State<Sides>) -> Json<Value> {
    Json(json!({"entries": sides.journal.entries()}))
}

#[cfg(test)]
mod tests;
