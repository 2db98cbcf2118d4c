//! The doors of WeChat Pay: every endpoint, in the order in which WeChat itself looks at a request.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::Value;
use tokio::time::sleep;

use super::auth::{Merchant, Signed, authenticate, check_manners};
use super::books::Channel;
use super::faults::{After, Endpoint, Fault};
use super::json;
use super::notification::{probe_signature, request_id, signature_headers};
use super::refusal::Refusal;
use super::{Seen, Wechat};
use crate::sandbox::{journal::Party, outbound::Headers, socket::Peer, tasks::busy};

const BODY_LIMIT: usize = 1 << 20;

/// A request that has found its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Prepay(Channel),
    Query(String),
    QueryById(String),
    Close(String),
    Refund,
    QueryRefund(String),
}

impl Call {
    /// 404 for a path that nobody knows, 405 for another method at a known one; both without a body.
    fn find(method: &Method, path: &str) -> Result<Self, StatusCode> {
        const ORDERS: &str = "/v3/pay/transactions/";
        const REFUNDS: &str = "/v3/refund/domestic/refunds";
        let segments: Vec<&str> = path
            .strip_prefix(ORDERS)
            .map_or_else(Vec::new, |rest| rest.split('/').collect());
        let (expected, call) = match segments.as_slice() {
            ["jsapi"] => (Method::POST, Self::Prepay(Channel::Jsapi)),
            ["app"] => (Method::POST, Self::Prepay(Channel::App)),
            ["h5"] => (Method::POST, Self::Prepay(Channel::H5)),
            ["native"] => (Method::POST, Self::Prepay(Channel::Native)),
            ["out-trade-no", number] => (Method::GET, Self::Query(decoded(number)?)),
            ["id", number] => (Method::GET, Self::QueryById(decoded(number)?)),
            ["out-trade-no", number, "close"] => (Method::POST, Self::Close(decoded(number)?)),
            _ => match path.strip_prefix(REFUNDS) {
                Some("") => (Method::POST, Self::Refund),
                Some(rest) => match rest.strip_prefix('/') {
                    Some(number) if !number.contains('/') => (Method::GET, Self::QueryRefund(decoded(number)?)),
                    _ => return Err(StatusCode::NOT_FOUND),
                },
                None => return Err(StatusCode::NOT_FOUND),
            },
        };
        if *method == expected {
            Ok(call)
        } else {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        }
    }

    const fn endpoint(&self) -> Endpoint {
        match self {
            Self::Prepay(_) => Endpoint::Prepay,
            Self::Query(_) | Self::QueryById(_) => Endpoint::QueryOrder,
            Self::Close(_) => Endpoint::Close,
            Self::Refund => Endpoint::Refund,
            Self::QueryRefund(_) => Endpoint::QueryRefund,
        }
    }
}

/// A number in the path; one that is empty or not properly percent-encoded names nothing.
fn decoded(segment: &str) -> Result<String, StatusCode> {
    let mut bytes = segment.bytes();
    let mut out = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| {
                char::from(byte?)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            };
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                return Err(StatusCode::NOT_FOUND);
            };
            out.push(high << 4 | low);
        } else {
            out.push(byte);
        }
    }
    match String::from_utf8(out) {
        Ok(number) if !number.is_empty() => Ok(number),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

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
            wechat.noted(note, status.as_u16(), "");
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
    let (status, code) = match &done {
        Ok(Some(_)) => (200, ""),
        Ok(None) => (204, ""),
        Err(refusal) => (refusal.status, refusal.code.as_str()),
    };
    wechat.noted(note, status, code);
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
    wechat.answer(done, after).await
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
        match asked.headers.get("Wechatpay-Serial").map(HeaderValue::as_bytes) {
            Some(serial) if serial != keys.public_key_id().as_bytes() => {
                Err(Refusal::new(400, "PARAM_ERROR", "平台证书序列号Wechatpay-Serial错误"))
            }
            _ => Ok(()),
        }
    }

    /// Does what is asked; `None` is 204.
    fn process(&self, call: Call, asked: &Asked) -> Result<Option<Value>, Refusal> {
        let (now, mchid) = (self.inner.clock.now(), self.inner.keys.mchid());
        let body = || json::object(&asked.body);
        let mchid_in_query = || check_query(&asked.query, mchid);
        match call {
            Call::Prepay(channel) => {
                let body = body()?;
                self.books().prepay(channel, body, &self.inner.keys, now).map(Some)
            }
            Call::Query(number) => mchid_in_query()
                .and_then(|()| self.books().query(&number, mchid, now))
                .map(Some),
            Call::QueryById(id) => mchid_in_query()
                .and_then(|()| self.books().query_by_id(&id, mchid, now))
                .map(Some),
            Call::Close(number) => {
                let body = body()?;
                self.books().close(&number, &body, mchid, now).map(|()| None)
            }
            Call::Refund => {
                let body = body()?;
                let accepted = self.books().refund(body, now)?;
                if accepted.is_new {
                    self.end_refund_later(accepted.out_refund_no);
                }
                Ok(Some(accepted.answer))
            }
            Call::QueryRefund(number) => self.books().query_refund(&number).map(Some),
        }
    }

    async fn answer(&self, done: Result<Option<Value>, Refusal>, after: Option<After>) -> Response {
        let (status, body, number, signed) = match done {
            Ok(Some(body)) => (200, body.to_string(), 0, true),
            Ok(None) => (204, String::new(), 0, true),
            Err(refusal) => (
                refusal.status,
                refusal.body().to_string(),
                refusal.number,
                refusal.signed,
            ),
        };
        let mut headers = Headers::new();
        if signed && after != Some(After::NoSignature) {
            headers = self.sign_answer(&body, after).await;
        }
        headers.push(("Request-ID".to_owned(), request_id(number)));
        if !body.is_empty() {
            headers.push((
                header::CONTENT_TYPE.to_string(),
                "application/json; charset=utf-8".to_owned(),
            ));
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    async fn sign_answer(&self, body: &str, after: Option<After>) -> Headers {
        let content = if after == Some(After::BadSignature) {
            format!("{body} ")
        } else {
            body.to_owned()
        };
        let (keys, now) = (self.inner.keys.clone(), self.inner.clock.now());
        let mut headers = busy(move || signature_headers(&keys, &content, now)).await;
        for (name, value) in &mut headers {
            match (name.as_str(), after) {
                ("Wechatpay-Serial", Some(After::WrongSerial)) => *value = format!("PUB_KEY_ID_{}", "0".repeat(34)),
                ("Wechatpay-Signature", Some(After::SignTest)) => *value = probe_signature(),
                _ => {}
            }
        }
        headers
    }

    fn note(&self, asked: &Asked, endpoint: Option<Endpoint>) -> (usize, usize) {
        let what = format!("{} {}", asked.method, asked.target);
        let entry = self.inner.journal.sent(Party::Service, Party::Wechat, what);
        let seen = self.see(Seen {
            at: self.inner.clock.now(),
            endpoint,
            method: asked.method.to_string(),
            path_and_query: asked.target.clone(),
            body: String::from_utf8_lossy(&asked.body).into_owned(),
            status: None,
            code: None,
        });
        (entry, seen)
    }

    fn noted(&self, (entry, seen): (usize, usize), status: u16, code: &str) {
        self.inner.journal.answered(entry, Some(status), code);
        self.judge(seen, status, code);
    }
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

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn page_of_a_gateway() -> Response {
    let mut response = Response::new(Body::from("<html><body><h1>502 Bad Gateway</h1></body></html>"));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
