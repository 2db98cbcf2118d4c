//! The merchant's business system: it receives the service's webhooks, verifies them as the Standard Webhooks specification asks for, and
//! remembers what it was told, in the order in which it was told.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;

use super::{
    clock::Clock,
    journal::{Journal, Party},
    lock,
    socket::Port,
    tasks::Tasks,
};

const PATH: &str = "/webhooks/pay-common";

/// Seconds that a message's time may be off, as in the specification's libraries.
const TOLERANCE: i64 = 300;

/// A handle on the simulated business system; clones are the same one.
#[derive(Clone)]
pub struct Business {
    inner: Arc<Inner>,
}

struct Inner {
    secret: Vec<u8>,
    key: hmac::Key,
    address: SocketAddr,
    clock: Clock,
    journal: Journal,
    state: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    mood: Mood,
    heard: Vec<Heard>,
    refused: usize,
    under_way: HashSet<String>,
    overlaps: usize,
}

/// How the business system answers genuine messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// It takes them.
    #[default]
    Well,
    /// It takes them after so long.
    Slow(Duration),
    /// It answers with this status and takes nothing.
    Status(u16),
    /// It takes them, and its answer is lost on the way.
    Lost,
}

/// One genuine message that was taken.
#[derive(Debug, Clone, Serialize)]
pub struct Heard {
    /// `webhook-id`.
    pub id: String,
    /// What it was: `order.paid` and so on.
    pub kind: String,
    /// Of which order, refund, transfer or anomaly: the first of the numbers in its data.
    pub subject: String,
    /// What it said.
    pub payload: Value,
    /// How often, the first time included.
    pub times: usize,
}

impl Business {
    pub(crate) fn start(port: Port, tasks: &Tasks, clock: Clock, journal: Journal) -> Self {
        let mut secret = vec![0; 32];
        rand::fill(&mut secret).expect("the system has randomness, or no key could have been made");
        let business = Self {
            inner: Arc::new(Inner {
                key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
                secret,
                address: port.address(),
                clock,
                journal,
                state: Mutex::default(),
            }),
        };
        let router = Router::new().route(PATH, post(receive)).with_state(business.clone());
        port.serve(tasks, router);
        business
    }

    /// The settings by which the service tells it of events.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("webhookUrl", self.url()), ("webhookSecret", self.secret())]
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.inner.address)
    }

    /// The secret that it shares with the service.
    pub fn secret(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.inner.secret))
    }

    /// How it answers from now on.
    pub fn set_mood(&self, mood: Mood) {
        lock(&self.inner.state).mood = mood;
    }

    /// What it was told, in the order of first hearing.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.inner.state).heard.clone()
    }

    /// The kinds of what it was told of an order (or of a refund, a transfer, an anomaly), in order.
    pub fn heard_of(&self, subject: &str) -> Vec<String> {
        let heard = self.heard();
        heard
            .into_iter()
            .filter(|one| one.subject == subject)
            .map(|one| one.kind)
            .collect()
    }

    /// How many messages were not genuine.
    pub fn refused(&self) -> usize {
        lock(&self.inner.state).refused
    }

    /// How often a message came while the same one was still being answered.
    pub fn overlaps(&self) -> usize {
        lock(&self.inner.state).overlaps
    }

    /// Whether the message is genuine; if not, what is wrong with it.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, &'static str> {
        let header = |name| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .ok_or("a header is missing")
        };
        let (id, sent, signatures) = (
            header("webhook-id")?,
            header("webhook-timestamp")?,
            header("webhook-signature")?,
        );
        let at: i64 = sent.parse().map_err(|_| "the time is no number")?;
        if (self.inner.clock.now().as_second() - at).abs() > TOLERANCE {
            return Err("the time is off");
        }
        let signed = [id.as_bytes(), b".", sent.as_bytes(), b".", body].concat();
        let genuine = signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
            .any(|one| {
                STANDARD
                    .decode(one)
                    .is_ok_and(|tag| hmac::verify(&self.inner.key, &signed, &tag).is_ok())
            });
        if genuine {
            Ok(id.to_owned())
        } else {
            Err("no signature fits")
        }
    }

    /// Writes the message down; a known id is counted, and told apart from news.
    fn take(&self, id: &str, payload: Value) {
        let mut state = lock(&self.inner.state);
        if let Some(known) = state.heard.iter_mut().find(|one| one.id == id) {
            known.times += 1;
            return;
        }
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let data = payload.get("data");
        let subject = ["out_trade_no", "out_bill_no", "subject"]
            .into_iter()
            .find_map(|name| data?.get(name))
            .cloned();
        state.heard.push(Heard {
            id: id.to_owned(),
            kind: text(payload.get("type")),
            subject: text(subject.as_ref()),
            payload,
            times: 1,
        });
    }
}

/// A message that is being answered; also when its sender hangs up, it ends.
struct UnderWay<'a> {
    business: &'a Business,
    id: &'a str,
}

impl<'a> UnderWay<'a> {
    fn begin(business: &'a Business, id: &'a str) -> Self {
        let mut state = lock(&business.inner.state);
        if !state.under_way.insert(id.to_owned()) {
            state.overlaps += 1;
        }
        Self { business, id }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.business.inner.state).under_way.remove(self.id);
    }
}

async fn receive(State(business): State<Business>, headers: HeaderMap, body: Bytes) -> Response {
    let what = format!("POST {PATH}");
    let entry = business.inner.journal.sent(Party::Service, Party::Business, what);
    let of = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let signed = [
        of("webhook-id").as_bytes(),
        b".",
        of("webhook-timestamp").as_bytes(),
        b".",
        &body,
    ]
    .concat();
    let by = "webhookSecret HMAC-SHA256: webhook-id.webhook-timestamp.body";
    business.inner.journal.proven(entry, by, &signed);
    let status = answer(&business, &headers, &body).await;
    let said: Option<Value> = serde_json::from_slice(&body).ok();
    let kind = said.as_ref().and_then(|said| said.get("type")?.as_str());
    let journal = &business.inner.journal;
    journal.answered(entry, Some(status.as_u16()), kind.unwrap_or_default());
    status.into_response()
}

async fn answer(business: &Business, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let genuine = business.verify(headers, body);
    let payload: Option<Value> = serde_json::from_slice(body).ok();
    let (Ok(id), Some(payload)) = (genuine, payload) else {
        lock(&business.inner.state).refused += 1;
        return StatusCode::BAD_REQUEST;
    };
    let _under_way = UnderWay::begin(business, &id);
    let mood = lock(&business.inner.state).mood;
    let status = match mood {
        Mood::Well => StatusCode::NO_CONTENT,
        Mood::Slow(pause) => {
            tokio::time::sleep(pause).await;
            StatusCode::NO_CONTENT
        }
        Mood::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        Mood::Lost => StatusCode::GATEWAY_TIMEOUT,
    };
    if status.is_success() || mood == Mood::Lost {
        business.take(&id, payload);
    }
    status
}
