//! One call to WeChat Pay: build, sign, send, verify, and only then believe.
//!
//! Also the rule about repeating. The same question goes out again only where WeChat says that it may: nothing was sent, or
//! it asked for it (`SYSTEM_ERROR`, `FREQUENCY_LIMITED`), or the question changes nothing when asked twice. What moves money
//! is not repeated blindly; its caller asks what became of it.

mod files;
mod trust;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Method, RequestBuilder, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use url::Url;

use super::error::{Refusal, Unknown, WechatError};
use super::keyring::{Keyring, Trust};
use super::sign::Signer;
use super::verify::{NotGenuine, SignatureHeaders};
use crate::clock::Clock;
use crate::metrics::{Metrics, endpoint};
use crate::telemetry::{self, traces};

/// Tries within one call; more belongs to the sweep.
const MOST_TRIES: usize = 3;

/// Pauses between the tries.
const PAUSES: [Duration; MOST_TRIES - 1] = [Duration::from_millis(150), Duration::from_millis(600)];

/// Longer than any answer of the endpoints in use.
const MOST_ANSWER_BYTES: usize = 1024 * 1024;

/// How long the backup domain is preferred after the main one could not be connected, in milliseconds.
const BACKUP_FOR_MS: i64 = 60_000;

/// What a repeat of the same question can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Repeat {
    /// Nothing new: a read, a prepay (the same number and parameters are the same order), a close (re-entrant).
    Harmless,
    /// Perhaps money: first ask what became of it.
    AskFirst,
}

/// One question.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Path and query; ids in it are encoded by [`segment`].
    pub(crate) target: String,
    /// The exact bytes that are signed and sent; empty for none.
    pub(crate) body: &'a str,
    pub(crate) repeat: Repeat,
    /// Says in `Wechatpay-Serial` which key the encrypted members of the body are for: the id of the
    /// [`Sealer`](super::sensitive::Sealer). `None` for a body without any: then the header asks for an answer that is signed with
    /// the public key, if there is one.
    pub(crate) serial: Option<String>,
}

/// An answer whose signature was verified.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 200 or 204.
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// An answer together with WeChat's own JSON, which goes to the caller as it came.
#[derive(Debug)]
pub(crate) struct Said<T> {
    pub(crate) status: u16,
    pub(crate) content: T,
    pub(crate) json: Box<RawValue>,
}

impl Answer {
    /// Reads the body. It is genuine; when it is not in the documented form, its outcome is unknown all the same.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<Said<T>, WechatError> {
        // The parser's own words may quote what it found, and that may be an openid.
        let unreadable = |error: serde_json::Error| {
            let where_to_look = format!(
                "{:?} at line {} column {}",
                error.classify(),
                error.line(),
                error.column()
            );
            WechatError::OutcomeUnknown(Unknown::Unreadable(where_to_look))
        };
        let content = serde_json::from_slice(&self.body).map_err(unreadable)?;
        let json = serde_json::from_slice(&self.body).map_err(unreadable)?;
        Ok(Said {
            status: self.status,
            content,
            json,
        })
    }
}

/// How long to wait for WeChat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For a call, repeats included.
    pub(crate) call: Duration,
    /// Questions under way at a time; the next one is not put. When WeChat is slow, waiting callers are memory and sockets.
    pub(crate) at_a_time: usize,
    /// Idle connections that are kept for the next question.
    pub(crate) idle: usize,
}

/// The client of WeChat Pay, as the settings describe it.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    backup: Option<Url>,
    /// Until when (Unix milliseconds) the backup is asked first.
    backup_until: AtomicI64,
    call_timeout: Duration,
    /// A seat for each question that may be under way.
    seats: Semaphore,
    keyring: Keyring,
    pub(crate) signer: Signer,
    clock: Clock,
    metrics: Metrics,
}

/// An answer as it came: nothing about it is proven.
type Came = (StatusCode, HeaderMap, Bytes);

impl Client {
    pub(crate) fn new(
        base: Url,
        backup: Option<Url>,
        patience: Patience,
        signer: Signer,
        trust: Trust,
        clock: Clock,
    ) -> reqwest::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // WeChat refuses requests without one.
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("pay-common/", env!("CARGO_PKG_VERSION"))),
        );
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(patience.connect)
            .redirect(redirect::Policy::none())
            // A proxy in between could only break signatures, and loopback must not be asked for through one.
            .no_proxy()
            .retry(reqwest::retry::never())
            .pool_idle_timeout(Duration::from_secs(50))
            .pool_max_idle_per_host(patience.idle)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self {
            http,
            base,
            backup,
            backup_until: AtomicI64::new(0),
            call_timeout: patience.call,
            seats: Semaphore::new(patience.at_a_time),
            keyring: Keyring::new(trust, clock.clone()),
            signer,
            clock,
            metrics: Metrics::default(),
        })
    }

    /// The same client, whose questions are counted there.
    #[must_use]
    pub(crate) fn counting(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Now, by the clock that signatures are judged with.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a question could be put now. Asked before an intent is written down: a refusal for want of room should leave no row.
    pub(crate) fn has_room(&self) -> bool {
        self.seats.available_permits() > 0
    }

    /// Asks, repeats where that is allowed, and returns only what is proven to be WeChat's.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answer, WechatError> {
        self.call_within(call, self.call_timeout).await
    }

    /// The same with a budget of its own.
    pub(crate) async fn call_within(&self, call: &Call<'_>, budget: Duration) -> Result<Answer, WechatError> {
        let _seat = self.seats.try_acquire().map_err(|_| WechatError::Busy)?;
        let started = Instant::now();
        self.keys_loaded(budget).await?;
        let left = budget.saturating_sub(started.elapsed());
        let (answer, ()) = tokio::join!(self.ask(call, left), self.renewed(left));
        answer
    }

    async fn ask(&self, call: &Call<'_>, budget: Duration) -> Result<Answer, WechatError> {
        let started = Instant::now();
        let left = || budget.saturating_sub(started.elapsed());
        let mut tries = 0;
        loop {
            let base = self.base_now();
            let asked = Instant::now();
            let result = tokio::time::timeout(left(), self.attempt(base, call))
                .await
                .unwrap_or(Err(WechatError::OutcomeUnknown(Unknown::TimedOut)));
            let pause = PAUSES.get(tries).copied();
            tries += 1;
            self.log(
                call,
                result.as_ref().map(|answer| answer.status),
                asked.elapsed(),
                tries,
            );
            match (result, pause) {
                (Err(error), Some(pause)) if may_repeat(&error, call.repeat) && pause < left() => {
                    if matches!(error, WechatError::NeverSent(_)) && self.backup.is_some() {
                        self.switch_domain(base);
                    } else {
                        tokio::time::sleep(pause).await;
                    }
                }
                (result, _) => return result,
            }
        }
    }

    fn base_now(&self) -> &Url {
        match &self.backup {
            Some(backup) if self.backup_until.load(Ordering::Relaxed) > self.clock.now_ms() => backup,
            _ => &self.base,
        }
    }

    /// Turns to the other domain: to the backup for a minute, or back when it is the backup that cannot be connected.
    fn switch_domain(&self, failed: &Url) {
        let until = if *failed == self.base {
            self.clock.now_ms().saturating_add(BACKUP_FOR_MS)
        } else {
            0
        };
        self.backup_until.store(until, Ordering::Relaxed);
    }

    async fn attempt(&self, base: &Url, call: &Call<'_>) -> Result<Answer, WechatError> {
        let (status, headers, body) = self.exchange(base, call).await?;
        self.judged(|| self.judge(status, &headers, body.clone())).await
    }

    /// One question without repeats, for whoever judges the answer by rules of its own. It goes to the other domain when the first
    /// cannot be connected.
    pub(crate) async fn exchange_once(&self, call: &Call<'_>) -> Result<Came, WechatError> {
        let base = self.base_now();
        match self.exchange(base, call).await {
            Err(WechatError::NeverSent(_)) if self.backup.is_some() => {
                self.switch_domain(base);
                self.exchange(self.base_now(), call).await
            }
            came => came,
        }
    }

    async fn exchange(&self, base: &Url, call: &Call<'_>) -> Result<Came, WechatError> {
        let host = base.host_str().unwrap_or_default();
        let span = traces::question(call.method.as_str(), host, endpoint(&call.target));
        let came = self.exchange_in(base, call).instrument(span.clone()).await;
        match &came {
            Ok((status, headers, _)) => traces::told(&span, status.as_u16(), || request_id(headers)),
            Err(_) => traces::failed(&span),
        }
        came
    }

    async fn exchange_in(&self, base: &Url, call: &Call<'_>) -> Result<Came, WechatError> {
        let url = base
            .join(&call.target)
            .map_err(|error| WechatError::NeverSent(error.to_string()))?;
        let mut request = self.signed(call.method.clone(), url, call.body, call.serial.as_deref())?;
        if !call.body.is_empty() {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(call.body.to_owned());
        }

        let mut response = request.send().await.map_err(sending_failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(sending_failed)? {
            if body.len().saturating_add(chunk.len()) > MOST_ANSWER_BYTES {
                return Err(WechatError::OutcomeUnknown(Unknown::Unreadable(
                    "it is longer than 1 MiB".to_owned(),
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), std::mem::take(response.headers_mut()), body.into()))
    }

    /// A request to this address with this merchant's signature.
    fn signed(
        &self,
        method: Method,
        url: Url,
        body: &str,
        serial: Option<&str>,
    ) -> Result<RequestBuilder, WechatError> {
        // What is signed is what goes on the request line: taken from the final URL, not from its parts.
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let started = Instant::now();
        let authorization = self
            .signer
            .authorization(method.as_str(), &target, body.as_bytes(), self.clock.now());
        self.metrics.signature(started.elapsed());
        let mut authorization = HeaderValue::try_from(authorization)
            .map_err(|_| WechatError::NeverSent("the Authorization header cannot be built".to_owned()))?;
        authorization.set_sensitive(true);
        let request = self.http.request(method, url).header(AUTHORIZATION, authorization);
        // It selects the key that signs the answer, and names the one that encrypted members are for.
        Ok(match serial.or(self.keyring.public_key_id()) {
            Some(serial) => request.header("Wechatpay-Serial", serial),
            None => request,
        })
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: Bytes) -> Result<Answer, WechatError> {
        let verified = || -> Result<(), NotGenuine> {
            let headers = SignatureHeaders::read(headers)?;
            self.keyring.verifier().verify(&headers, &body, self.clock.now())
        };
        match status.as_u16() {
            200 | 204 => {
                verified()?;
                Ok(Answer {
                    status: status.as_u16(),
                    body,
                })
            }
            400..=499 => {
                let proven = SignatureHeaders::claimed(headers);
                if proven {
                    verified()?;
                }
                Err(no(status, headers, &body, proven))
            }
            _ => Err(no(status, headers, &body, false)),
        }
    }
}

/// What an answer that is no yes says: a refusal if it is a 4xx with a code, else nothing that is known.
pub(crate) fn no(status: StatusCode, headers: &HeaderMap, body: &[u8], proven: bool) -> WechatError {
    let said: Option<ErrorBody> = serde_json::from_slice(body).ok();
    match said {
        Some(ErrorBody { code, message }) if status.is_client_error() => WechatError::Refused(Box::new(Refusal {
            status: status.as_u16(),
            code,
            message: message.unwrap_or_default(),
            body: serde_json::from_slice(body).ok(),
            request_id: request_id(headers),
            proven,
        })),
        said => WechatError::OutcomeUnknown(Unknown::Failing {
            status: status.as_u16(),
            code: said.map_or_else(String::new, |said| said.code),
        }),
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: Option<String>,
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers
        .get("request-id")?
        .to_str()
        .ok()
        .map(|id| id.chars().take(128).collect())
}

pub(super) fn sending_failed(error: reqwest::Error) -> WechatError {
    // Without the URL: it is in the log line already, and the text may reach the caller's operator.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if error.is_connect() {
        WechatError::NeverSent(text)
    } else if error.is_timeout() {
        WechatError::OutcomeUnknown(Unknown::TimedOut)
    } else {
        WechatError::OutcomeUnknown(Unknown::Broken(text))
    }
}

fn may_repeat(error: &WechatError, repeat: Repeat) -> bool {
    match (error, repeat) {
        (WechatError::NeverSent(_), _) => true,
        // WeChat asks for the same number and parameters again; also where money moves.
        (WechatError::OutcomeUnknown(Unknown::Failing { status: 500, code }), _)
            if code.replace('_', "") == "SYSTEMERROR" =>
        {
            true
        }
        (WechatError::OutcomeUnknown(Unknown::Failing { .. } | Unknown::Broken(_)), Repeat::Harmless) => true,
        // The repeat of a probed answer is not probed again.
        (WechatError::NotGenuine(NotGenuine::Probe), Repeat::Harmless) => true,
        (WechatError::Refused(refusal), Repeat::Harmless) => refusal.too_fast(),
        (
            WechatError::Busy | WechatError::Refused(_) | WechatError::OutcomeUnknown(_) | WechatError::NotGenuine(_),
            _,
        ) => false,
    }
}

impl Client {
    /// One question and what came of it, for the log and the counts.
    pub(crate) fn log(&self, call: &Call<'_>, result: Result<u16, &WechatError>, took: Duration, tries: usize) {
        let outcome = result.map_or_else(WechatError::as_str, |_| "ok");
        self.metrics.question(&call.target, outcome, took);
        log(call, result, took, tries);
    }
}

/// Writes down how a question ended: the status of a verified answer, or why there is none.
fn log(call: &Call<'_>, result: Result<u16, &WechatError>, took: Duration, tries: usize) {
    let (method, target, ms) = (call.method.as_str(), call.target.as_str(), telemetry::ms(took));
    match result {
        Ok(status) => tracing::debug!(method, target, status, ms, tries, "WeChat Pay answered"),
        Err(WechatError::Refused(refusal)) => {
            let Refusal {
                status,
                code,
                message,
                request_id,
                proven,
                ..
            } = refusal.as_ref();
            let request_id = request_id.as_deref().unwrap_or_default();
            if *status == 401 {
                tracing::error!(
                    method,
                    target,
                    status,
                    code,
                    message,
                    request_id,
                    "WeChat Pay does not accept this merchant's signature: key, serial, merchant number or clock"
                );
            } else {
                tracing::info!(
                    method,
                    target,
                    status,
                    code,
                    request_id,
                    proven,
                    ms,
                    tries,
                    "WeChat Pay refused"
                );
            }
        }
        Err(WechatError::NotGenuine(NotGenuine::Probe)) => {
            tracing::info!(method, target, "WeChat Pay probed the verification");
        }
        Err(error) => tracing::warn!(method, target, %error, ms, tries, "no usable answer from WeChat Pay"),
    }
}

/// One path segment, percent-encoded. `|` goes out as `%7C`: raw it is not allowed in a URL, and neither `url` nor `http` encodes it.
pub(crate) fn segment(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'*' | b'@') {
            encoded.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            write!(encoded, "%{byte:02X}").expect("a String takes every write");
        }
    }
    encoded
}

#[cfg(test)]
pub(in crate::wechat) mod tests;
