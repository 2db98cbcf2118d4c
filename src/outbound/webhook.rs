//! One signed message to the business side, as the Standard Webhooks specification (1.0) has it.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, redirect};
use tracing::Span;
use url::Url;

use crate::config::Webhook;
use crate::telemetry::traces;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read, so that its connection can be used again; what it says is of no interest.
const ANSWER: usize = 16 * 1024;

/// Longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Sends messages to the receiver. Shows no secret.
pub(crate) struct Sender {
    http: reqwest::Client,
    url: Url,
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("origin", &self.url.origin().ascii_serialization())
            .finish_non_exhaustive()
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// The same at every attempt; by it the receiver knows what it has heard before.
    pub(crate) id: &'a str,
    /// When this attempt is made, Unix seconds.
    pub(crate) timestamp: i64,
    /// JSON.
    pub(crate) body: &'a str,
}

/// What came back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// 2xx.
    Taken(u16),
    /// 410: the receiver is gone and wants to hear nothing more.
    Gone,
    /// Another status, with the pause that the receiver asks for, 3600 s at most.
    Refused(u16, Option<Duration>),
    /// No answer. The message may have arrived.
    NoAnswer(&'static str),
}

impl Outcome {
    /// One word for each kind, for counts.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Taken(_) => "taken",
            Self::Gone => "gone",
            Self::Refused(..) => "refused",
            Self::NoAnswer(_) => "no_answer",
        }
    }
}

impl Sender {
    /// Keeps so many idle connections for the next message.
    pub(crate) fn new(webhook: &Webhook, idle: usize) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("pay-common/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // A message goes where the merchant said and nowhere else.
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Repeats are the store's affair.
            .retry(reqwest::retry::never())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(idle)
            .tcp_nodelay(true)
            .build()?;
        let key = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        Ok(Self {
            http,
            url: webhook.url.clone(),
            keys: webhook.secrets().map(key).collect(),
        })
    }

    /// Sends a message once, and waits `patience` at most for what becomes of it.
    pub(crate) async fn send(&self, message: Message<'_>, patience: Duration) -> Outcome {
        let span = traces::webhook(message.id);
        let outcome = self.send_in(&span, message, patience).await;
        match &outcome {
            Outcome::Taken(status) | Outcome::Refused(status, _) => traces::ended(&span, *status, 300),
            Outcome::Gone => traces::ended(&span, StatusCode::GONE.as_u16(), 300),
            Outcome::NoAnswer(_) => traces::failed(&span),
        }
        outcome
    }

    async fn send_in(&self, span: &Span, message: Message<'_>, patience: Duration) -> Outcome {
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", self.sign(message))
            .headers(traces::handed_on(span))
            .timeout(patience)
            .body(message.body.to_owned());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Outcome::NoAnswer(why(&error)),
        };
        let status = response.status();
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| {
            let seconds = value.to_str().ok()?.trim().parse().ok()?;
            Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
        });
        let mut read = 0_usize;
        while read < ANSWER
            && let Ok(Some(chunk)) = response.chunk().await
        {
            read = read.saturating_add(chunk.len());
        }
        match status {
            _ if status.is_success() => Outcome::Taken(status.as_u16()),
            StatusCode::GONE => Outcome::Gone,
            _ => Outcome::Refused(status.as_u16(), pause),
        }
    }

    /// One signature for each secret, separated by spaces.
    fn sign(&self, Message { id, timestamp, body }: Message<'_>) -> String {
        let signature = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{timestamp}.").as_bytes());
            context.update(body.as_bytes());
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        self.keys.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

/// Never the error's own text: it may hold the address, and that a password.
fn why(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own example: its secret, id, time and body, and the signature it gives for them.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let url = Url::parse("https://shop.example/hook").unwrap();
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: 1_614_265_330,
            body: r#"{"test": 2432232314}"#,
        };
        let genuine = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let sender = Sender::new(&Webhook::of(url.clone(), &[&secret]), 8).unwrap();
        assert_eq!(sender.sign(message), genuine);
        let both = Sender::new(&Webhook::of(url, &[&[7; 32], &secret]), 8).unwrap();
        let signatures = both.sign(message);
        assert_eq!(signatures.split(' ').count(), 2);
        assert_eq!(signatures.split(' ').next_back(), Some(genuine));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let url = Url::parse("https://user:hunter2@shop.example/hook?token=hunter3").unwrap();
        let webhook = Webhook::of(url, &[b"hunter4hunter4hunter4hunter4"]);
        let shown = format!("{webhook:?} {:?}", Sender::new(&webhook, 8).unwrap());
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("https://shop.example"), "{shown}");
    }
}
