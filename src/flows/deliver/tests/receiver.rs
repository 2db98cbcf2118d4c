//! A receiver of webhooks that answers as a test wants, and sees what a receiver can see of its sender: whether each message is genuine
//! by the specification's own library, and whether two of a stream come at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::task::JoinSet;

/// The secret of the tests: 32 bytes.
pub(super) const SECRET: &str = "whsec_cmVjZWl2ZXItb2YtdGhlLXRlc3RzLTMyLWJ5dGVzLWw=";

/// Another one, which is to replace it.
pub(super) const NEXT_SECRET: &str = "whsec_bmV4dC1zZWNyZXQtb2YtdGhlLXRlc3RzLTMyLWJ5dGU=";

/// A message as it came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) id: String,
    pub(super) kind: String,
    /// The number of the order (or transfer, or what an anomaly is about).
    pub(super) subject: String,
    /// Unix seconds, as the sender says.
    pub(super) timestamp: i64,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) path: String,
    /// How often this id came before.
    pub(super) before: usize,
}

type Answering = Arc<dyn Fn(Got) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

#[derive(Default)]
struct Seen {
    got: Vec<Got>,
    forged: usize,
    under_way: HashMap<String, usize>,
    overlaps: Vec<String>,
    answering: Option<Answering>,
}

/// It is gone when this is dropped.
pub(super) struct Receiver {
    pub(super) url: String,
    seen: Arc<Mutex<Seen>>,
    /// Ends with this.
    _server: JoinSet<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let router = Router::new().fallback(receive).with_state(Arc::clone(&seen));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            seen,
            _server: server,
        }
    }

    /// Answers like this from now on.
    pub(super) fn answer<F>(&self, answer: impl Fn(Got) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Response> + Send + 'static,
    {
        self.lock().answering = Some(Arc::new(move |got| Box::pin(answer(got))));
    }

    /// Answers with this status from now on.
    pub(super) fn answer_with(&self, status: u16) {
        let status = StatusCode::from_u16(status).unwrap();
        self.answer(move |_| async move { status.into_response() });
    }

    /// Everything that came and was genuine, in the order of its coming.
    pub(super) fn got(&self) -> Vec<Got> {
        self.lock().got.clone()
    }

    /// The kinds of what came about this number, in order, repeats included.
    pub(super) fn kinds_of(&self, subject: &str) -> Vec<String> {
        let got = self.got().into_iter().filter(|got| got.subject == subject);
        got.map(|got| got.kind).collect()
    }

    /// Ids of messages that came while another one of their stream was being answered.
    pub(super) fn overlaps(&self) -> Vec<String> {
        self.lock().overlaps.clone()
    }

    /// How many messages were not genuine.
    pub(super) fn forged(&self) -> usize {
        self.lock().forged
    }

    /// Waits until what came is as it has to be.
    pub(super) async fn until(&self, fits: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let started = Instant::now();
        loop {
            let got = self.got();
            if fits(&got) {
                return got;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{got:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

/// Counts a message out, also when its sender hangs up.
struct UnderWay(Arc<Mutex<Seen>>, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut seen = self.0.lock().unwrap();
        *seen.under_way.get_mut(&self.1).unwrap() -= 1;
    }
}

async fn receive(State(seen): State<Arc<Mutex<Seen>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Some(mut got) = genuine(uri.path(), &headers, body) else {
        seen.lock().unwrap().forged += 1;
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let (answering, _under_way) = {
        let mut locked = seen.lock().unwrap();
        got.before = locked.got.iter().filter(|one| one.id == got.id).count();
        locked.got.push(got.clone());
        let of_stream = locked.under_way.entry(got.subject.clone()).or_default();
        *of_stream += 1;
        if *of_stream > 1 {
            locked.overlaps.push(got.id.clone());
        }
        (
            locked.answering.clone(),
            UnderWay(Arc::clone(&seen), got.subject.clone()),
        )
    };
    match answering {
        Some(answering) => answering(got).await,
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// The message, if the specification's own library makes one of its signatures out of it.
fn genuine(path: &str, headers: &HeaderMap, body: Bytes) -> Option<Got> {
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?.parse().ok()?);
    let expected = Webhook::new(SECRET).unwrap().sign(&id, timestamp, &body).ok()?;
    if !header("webhook-signature")?.split(' ').any(|one| one == expected) {
        return None;
    }
    let payload: Value = serde_json::from_slice(&body).ok()?;
    let data = &payload["data"];
    let subject = ["out_trade_no", "out_bill_no", "subject"];
    let subject = subject.into_iter().find_map(|name| data[name].as_str())?;
    Some(Got {
        kind: payload["type"].as_str()?.to_owned(),
        subject: subject.to_owned(),
        id,
        timestamp,
        headers: headers.clone(),
        body,
        path: path.to_owned(),
        before: 0,
    })
}
