//! The doors of WeChat Pay: every endpoint, in the order in which WeChat itself looks at a request.

use std::sync::Arc;

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use tokio::time::sleep;

use super::answer::{Done, bare, page_of_a_gateway};
use super::auth::{Merchant, Signed, authenticate, check_manners, signed_lines};
use super::call::Call;
use super::faults::{After, Endpoint, Fault};
use super::json;
use super::refusal::Refusal;
use super::{Seen, Wechat};
use crate::sandbox::{journal::Party, keys::NamedKey, socket::Peer};

const BODY_LIMIT: usize = 1 << 20;

const BY_MERCHANT: &str = "商户私钥 SHA256-RSA2048 / the merchant's key: method, address, time, nonce, body";

/// Everything of one request.
struct Asked {
    method: Method,
    target: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Every path ends here, so that the address is seen exactly as it was sent.
pub(super) fn router(wechat: Wechat) -> Router {
    Router::new().fallback(receive).with_state(wechat)
}

async fn receive(State(wechat): State<Wechat>, ConnectInfo(peer): ConnectInfo<Peer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return bare(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let target = parts
        .uri
        .path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string);
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let call = Call::find(&parts.method, parts.uri.path());
    let asked = Asked {
        method: parts.method,
        target,
        query,
        headers: parts.headers,
        body,
    };
    let note = wechat.note(&asked, call.as_ref().ok().map(Call::endpoint));
    let call = match call {
        Ok(call) => call,
        Err(status) => {
            wechat.noted(note, status.as_u16(), "", String::new());
            return bare(status);
        }
    };
    let endpoint = call.endpoint();
    let fault = wechat.inner.faults.take(endpoint, &asked.target, &asked.body);
    match &fault {
        Some(Fault::DropBefore) => return peer.cut(),
        Some(Fault::HangBefore(time)) => sleep(*time).await,
        Some(Fault::Refuse { .. } | Fault::ProcessThen(_)) | None => {}
    }
    let done = wechat.admit(&asked).and_then(|()| match &fault {
        Some(Fault::Refuse {
            status,
            code,
            message,
            signed,
        }) => Err(Refusal {
            signed: *signed,
            ..Refusal::new(*status, code, message.as_str())
        }),
        _ => wechat.process(call, &asked),
    });
    let (status, code, answer) = match &done {
        Ok(Done::Content(body)) => (200, "", body.to_string()),
        Ok(Done::File(file)) => (200, "", format!("a file of {} bytes", file.bytes.len())),
        Ok(Done::Nothing) => (204, "", String::new()),
        Err(refusal) => (refusal.status, refusal.code.as_str(), refusal.body().to_string()),
    };
    wechat.noted(note, status, code, answer);
    wechat.inner.faults.pass(endpoint).await;
    let after = match fault {
        Some(Fault::ProcessThen(after)) => Some(after),
        _ => None,
    };
    match after {
        Some(After::DropConnection) => return peer.cut(),
        Some(After::Hang(time)) => sleep(time).await,
        Some(After::Garbage) => return page_of_a_gateway(),
        Some(After::Status(status)) => return bare(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)),
        _ => {}
    }
    let signer = wechat.signer_of_answer(endpoint, &asked.headers);
    wechat.answer(note.0, done, signer, after).await
}

impl Wechat {
    /// Who asks, and whether in the right manner.
    fn admit(&self, asked: &Asked) -> Result<(), Refusal> {
        check_manners(&asked.headers)?;
        check_spelling(&asked.target)?;
        let keys = &self.inner.keys;
        let merchant = Merchant {
            mchid: keys.mchid(),
            serial_no: keys.serial_no(),
            public_key: keys.merchant_public(),
        };
        let signed = Signed {
            method: asked.method.as_str(),
            target: &asked.target,
            body: &asked.body,
        };
        authenticate(&asked.headers, &signed, &merchant, self.inner.clock.now().as_second())?;
        check_media_type(asked)?;
        let (platform, now) = (&self.inner.platform, self.inner.clock.now());
        match asked.headers.get("Wechatpay-Serial") {
            Some(_) if named_key(&asked.headers).is_none_or(|id| platform.current(id, now).is_none()) => {
                Err(Refusal::new(400, "PARAM_ERROR", "平台证书序列号Wechatpay-Serial错误"))
            }
            _ => Ok(()),
        }
    }

    /// What signs the answer: the list of certificates is always signed by one of them, everything else by what the
    /// merchant named, where there is a choice.
    fn signer_of_answer(&self, endpoint: Endpoint, headers: &HeaderMap) -> Arc<NamedKey> {
        let platform = &self.inner.platform;
        match endpoint {
            Endpoint::Certificates => platform.certified(),
            _ => platform.signer_of_answer(named_key(headers), self.inner.clock.now()),
        }
    }

    /// Does what is asked.
    fn process(&self, call: Call, asked: &Asked) -> Result<Done, Refusal> {
        let (now, mchid) = (self.inner.clock.now(), self.inner.keys.mchid());
        let body = || json::object(&asked.body);
        let mchid_in_query = || check_query(&asked.query, mchid);
        match call {
            Call::Prepay(channel) => {
                let body = body()?;
                self.books()
                    .prepay(channel, body, &self.inner.keys, now)
                    .map(Done::Content)
            }
            Call::Query(number) => mchid_in_query()
                .and_then(|()| self.books().query(&number, mchid, now))
                .map(Done::Content),
            Call::QueryById(id) => mchid_in_query()
                .and_then(|()| self.books().query_by_id(&id, mchid, now))
                .map(Done::Content),
            Call::Close(number) => {
                let body = body()?;
                self.books().close(&number, &body, mchid, now).map(|()| Done::Nothing)
            }
            Call::Refund => {
                let body = body()?;
                let accepted = self.books().refund(body, now)?;
                if accepted.is_new {
                    self.end_refund_later(accepted.out_refund_no);
                }
                Ok(Done::Content(accepted.answer))
            }
            Call::QueryRefund(number) => {
                no_query(&asked.query)?;
                self.books().query_refund(&number).map(Done::Content)
            }
            Call::Certificates => self.list_certificates(&asked.query).map(Done::Content),
            Call::Transfer => self.create_transfer(&asked.headers, &asked.body).map(Done::Content),
            Call::QueryTransfer(number) => {
                no_query(&asked.query)?;
                self.end_overdue_transfers();
                self.books()
                    .query_transfer(&number, &self.inner.keys)
                    .map(Done::Content)
            }
            Call::QueryTransferByBill(number) => {
                no_query(&asked.query)?;
                self.end_overdue_transfers();
                self.books()
                    .query_transfer_by_bill(&number, &self.inner.keys)
                    .map(Done::Content)
            }
            Call::Bill(kind) => self.apply_for_bill(kind, &asked.query).map(Done::Content),
            Call::DownloadBill => self.download_bill(&asked.query).map(Done::File),
            Call::CancelTransfer(number) => self.cancel_transfer(number, &asked.body).map(Done::Content),
        }
    }

    fn note(&self, asked: &Asked, endpoint: Option<Endpoint>) -> (usize, usize) {
        let what = format!("{} {}", asked.method, asked.target);
        let entry = self.inner.journal.sent(Party::Service, Party::Wechat, what);
        let signed = Signed {
            method: asked.method.as_str(),
            target: &asked.target,
            body: &asked.body,
        };
        if let Some(lines) = signed_lines(&asked.headers, &signed) {
            self.inner.journal.proven(entry, BY_MERCHANT, &lines);
        }
        let seen = self.see(Seen {
            at: self.inner.clock.now(),
            endpoint,
            method: asked.method.to_string(),
            path_and_query: asked.target.clone(),
            body: String::from_utf8_lossy(&asked.body).into_owned(),
            wechatpay_serial: named_key(&asked.headers).map(str::to_owned),
            status: None,
            code: None,
            answer: String::new(),
        });
        (entry, seen)
    }

    fn noted(&self, (entry, seen): (usize, usize), status: u16, code: &str, answer: String) {
        self.inner.journal.answered(entry, Some(status), code);
        self.judge(seen, status, code, answer);
    }
}

/// The key that the merchant encrypted for, and wants the answer to be signed by.
pub(super) fn named_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("Wechatpay-Serial")?.to_str().ok()
}

/// The characters that RFC 3986 allows in an address; any other must be percent-encoded.
fn check_spelling(target: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%?".contains(c);
    match target.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(c) => Err(Refusal::address("url", "path", &c.to_string(), "含有未经百分号编码的字符").unsigned()),
    }
}

fn check_media_type(asked: &Asked) -> Result<(), Refusal> {
    let sent = asked
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = sent.split(';').next().unwrap_or_default().trim();
    if asked.body.is_empty() || media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::new(
            415,
            "INVALID_REQUEST",
            "Http头Content-Type应为application/json",
        ))
    }
}

/// The query of an order takes `mchid`, once, and nothing else.
fn check_query(query: &str, mchid: &str) -> Result<(), Refusal> {
    let mut given = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "mchid" || given.replace(value.to_string()).is_some() {
            return Err(Refusal::address("query", &name, &value, "未定义或重复"));
        }
    }
    match given.as_deref() {
        Some(given) if given == mchid => Ok(()),
        Some(given) => Err(Refusal::address(
            "query",
            "mchid",
            given,
            "与Authorization中的商户号不一致",
        )),
        None => Err(Refusal::address("query", "mchid", "", "必填")),
    }
}

/// The endpoints that take nothing beside their path.
fn no_query(query: &str) -> Result<(), Refusal> {
    match url::form_urlencoded::parse(query.as_bytes()).next() {
        Some((name, value)) => Err(Refusal::address("query", &name, &value, "未定义")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
