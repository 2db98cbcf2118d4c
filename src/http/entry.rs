//! From a request to its answer: the body is read within limits, the target found, the caller identified, the action run to its end.
//!
//! An action runs as a task of its own: a caller who goes away in the middle does not stop what was begun, and a defect in one request
//! is an answer, not the end of the process.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::action::{self, Target};
use super::connection::Connection;
use super::failure::Failure;
use super::form::Form;
use super::text::Language;
use super::{actions, callbacks, caller, json};
use crate::app::App;
use crate::config::Limits;
use crate::domain::ids::{OutTradeNo, new_id};
use crate::flows::deliver;
use crate::telemetry::{self, traces};
use crate::wechat::error::WechatError;
use crate::wechat::notification::Subject;

/// What is read and thrown away of a longer body, so that its sender hears why it was refused.
const MOST_DRAINED_BYTES: usize = 32 * 1024 * 1024;

/// Which door a request came in by.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// `POST /`
    Root,
    /// `POST /wx-pay/{action}`
    Named(String),
    /// `POST /wechatpay/...`
    Callback(Subject),
}

impl Door {
    /// Its path in the router.
    const fn route(&self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Named(_) => "/wx-pay/{action}",
            Self::Callback(Subject::Payment) => "/wechatpay/order",
            Self::Callback(Subject::Refund) => "/wechatpay/refund",
            Self::Callback(Subject::Transfer) => "/wechatpay/transfer",
        }
    }
}

/// What becomes of a request: what is said, and in which of the two forms.
enum Outcome {
    Done { name: &'static str, body: Vec<u8> },
    Failed { name: &'static str, failure: Failure },
    Acknowledged(callbacks::Acknowledgement),
}

impl Outcome {
    /// The action and what became of it, by names that are written in this crate.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Done { name, .. } => (name, "ok"),
            Self::Failed { name, failure } => (name, failure.constant()),
            Self::Acknowledged(said) => ("callback", said.as_str()),
        }
    }
}

/// Answers a request.
pub(crate) async fn receive(app: App, request: Request, door: Door) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let language = Language::of(&parts.headers);
    let request_id = request_id(&parts.headers);
    let trace = traces::request(&parts.headers, door.route());
    // Who asks, and about which order, stands on every line of the request once it is known.
    let span = tracing::info_span!(parent: &trace, "request", request_id, caller = Empty, out_trade_no = Empty);
    let callback = matches!(door, Door::Callback(_));
    let work = {
        let (app, trace) = (app.clone(), trace.clone());
        async move {
            let outcome = process(&app, &parts.headers, body, door, &trace).await;
            if app.config.serverless {
                let whole = match outcome {
                    Outcome::Acknowledged(_) => callbacks::WHOLE,
                    Outcome::Done { .. } | Outcome::Failed { .. } => app.config.limits.request_time,
                };
                first_attempts(&app, whole.saturating_sub(started.elapsed())).await;
            }
            outcome
        }
    };
    // Both are entered: a step looks for its trace among the spans that it is in, and a log line for its request.
    let running = to_its_end(&app.tasks, work.instrument(span.clone()).instrument(trace.clone()));
    // When its time is over, the task goes on, and what it does is durable; only nobody waits for it any longer.
    let outcome = tokio::time::timeout(app.config.limits.request_time, running)
        .await
        .unwrap_or_else(|_| overdue(callback));
    let (_traced, _entered) = (trace.enter(), span.enter());
    let (name, said) = outcome.names();
    let mut response = match outcome {
        Outcome::Done { name, body } => {
            app.metrics.request(name, "ok", started.elapsed());
            tracing::info!(ms = telemetry::ms(started.elapsed()), "{name}: done");
            answer(StatusCode::OK, body)
        }
        Outcome::Failed { name, failure } => {
            app.metrics.request(name, failure.constant(), started.elapsed());
            failure.log(name);
            refusal(&failure, language)
        }
        Outcome::Acknowledged(said) => answer(said.status(), said.body(language)),
    };
    traces::answered(&trace, &request_id, name, said, response.status().as_u16());
    name_request(&mut response, &request_id);
    response
}

/// What the request gave to tell is told before its answer, in what is left of its time: after it, the process may be frozen. What is not
/// told now, the tick tells.
async fn first_attempts(app: &App, left: Duration) {
    let budget = app.config.webhook_first_attempt.min(left);
    // A task of its own: what was begun is written down, and the answer waits for no store that is slow with that.
    let telling = {
        let app = app.clone();
        async move { deliver::first_attempts(&app, budget).await }
    };
    match tokio::time::timeout(budget, app.tasks.spawn(telling)).await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(error))) => tracing::error!(%error, "the webhooks that are due could not be read or written"),
        Ok(Err(error)) => tracing::error!(what = telemetry::ending(&error), "a defect while webhooks were sent"),
        Err(_) => {
            tracing::warn!("the first webhooks were not sent and written down in time; the tick looks after them");
        }
    }
}

/// No answer in time. A callback that is refused comes again.
fn overdue(callback: bool) -> Outcome {
    if callback {
        tracing::error!("a callback has no answer in time; it will come again");
        return Outcome::Acknowledged(callbacks::Acknowledgement::Later);
    }
    Outcome::Failed {
        name: "request",
        failure: Failure::Overdue,
    }
}

/// Runs as a task of its own. What a panic says is nobody's to read: it may have been formatted out of anything.
///
/// It is given away before anything is awaited, so that the connection's own task holds a handle and not the whole work.
fn to_its_end(
    tasks: &TaskTracker,
    work: impl Future<Output = Outcome> + Send + 'static,
) -> impl Future<Output = Outcome> + Send + 'static {
    let running = tasks.spawn(work);
    async {
        running.await.unwrap_or_else(|error| Outcome::Failed {
            name: "request",
            failure: Failure::Internal(telemetry::ending(&error).to_owned()),
        })
    }
}

pub(super) fn name_request(response: &mut Response, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
}

/// Gives an answer the id of its request.
pub(crate) fn name(response: &mut Response, headers: &HeaderMap) {
    name_request(response, &request_id(headers));
}

/// An answer of the service about itself.
pub(crate) fn about_itself(headers: &HeaderMap, status: StatusCode, said: &Value) -> Response {
    let mut response = answer(status, said.to_string().into_bytes());
    name_request(&mut response, &request_id(headers));
    response
}

/// An answer that is all headers.
pub(crate) fn nothing_more(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    name_request(&mut response, &request_id(headers));
    response
}

/// A failure outside any action: no such path, no such method.
pub(crate) fn stray(headers: &HeaderMap, failure: &Failure) -> Response {
    failure.log("request");
    let mut response = refusal(failure, Language::of(headers));
    name_request(&mut response, &request_id(headers));
    response
}

pub(super) fn refusal(failure: &Failure, language: Language) -> Response {
    let mut response = answer(failure.status(), failure.envelope(language).to_string().into_bytes());
    if let Some(seconds) = failure.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

/// The caller's own id of the request, when it has the form of one; else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=128).contains(&id.len()))
        .filter(|id| {
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        })
        .map_or_else(new_id, str::to_owned)
}

async fn process(app: &App, headers: &HeaderMap, body: Body, door: Door, trace: &Span) -> Outcome {
    let read = read(&app.config.limits, headers, body).await;
    // Whoever sends a callback reads its own form of answer only, also about a body that cannot be read.
    let callback = match &door {
        Door::Callback(subject) => Some(*subject),
        Door::Named(name) => match action::named(name) {
            Ok(Target::Callback(subject)) => subject,
            Ok(Target::Action(_)) | Err(_) => None,
        },
        Door::Root => None,
    };
    if callback.is_some() {
        let said = match read {
            Ok((raw, body)) => callbacks::receive(app, headers, &raw, body, callback).await,
            Err(failure) => callbacks::Acknowledgement::Unreadable(failure),
        };
        return Outcome::Acknowledged(said);
    }
    let found = read.and_then(|(raw, mut body)| {
        let target = match &door {
            Door::Named(name) => {
                let target = action::named(name)?;
                // A client that names the action twice says the same thing twice.
                if body
                    .get("_action")
                    .and_then(Value::as_str)
                    .is_some_and(|again| action::named(again).ok() == Some(target))
                {
                    body.remove("_action");
                }
                target
            }
            Door::Root | Door::Callback(_) => action::dispatch(&mut body)?,
        };
        Ok((raw, body, target))
    });
    match found {
        Err(failure) => Outcome::Failed {
            name: "request",
            failure,
        },
        Ok((raw, body, Target::Callback(subject))) => {
            Outcome::Acknowledged(callbacks::receive(app, headers, &raw, body, subject).await)
        }
        Ok((_, body, Target::Action(action))) => {
            let name = action.as_str();
            match run(app, headers, action, body, trace).await {
                Ok(answer) => Outcome::Done {
                    name,
                    body: answer.envelope(),
                },
                Err(failure) => Outcome::Failed { name, failure },
            }
        }
    }
}

async fn run(
    app: &App,
    headers: &HeaderMap,
    action: action::Action,
    body: Map<String, Value>,
    trace: &Span,
) -> Result<actions::Answer, Failure> {
    app.limits.admit()?;
    if !app.wechat.has_room() {
        return Err(Failure::Wechat(WechatError::Busy));
    }
    let caller = caller::identify(app, headers).await?;
    app.limits.admit_caller(&caller.authority)?;
    // A text that is no number is not repeated: it may be anything, and of any length.
    let number = body.get("out_trade_no").and_then(Value::as_str);
    let number = number.filter(|number| OutTradeNo::parse(*number).is_ok());
    tracing::record_all!(Span::current(), caller = caller.kind(), out_trade_no = number);
    traces::about(trace, caller.kind(), number);
    actions::run(app, action, &caller, &Connection::of(headers), Form::new(body)).await
}

/// The body: its bytes, because a signature is over those, and what stands in it.
async fn read(limits: &Limits, headers: &HeaderMap, body: Body) -> Result<(Bytes, Map<String, Value>), Failure> {
    if let Some(media) = headers.get(header::CONTENT_TYPE) {
        let media = media.to_str().unwrap_or_default();
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !essence.ends_with("+json") {
            return Err(Failure::UnsupportedMediaType);
        }
    }
    let raw = tokio::time::timeout(limits.body_time, collect(body, limits.body_bytes))
        .await
        .map_err(|_| Failure::TooSlow)??;
    match json::read(&raw, limits.json_depth) {
        Ok(Value::Object(object)) => Ok((raw, object)),
        Ok(_) => Err(Failure::NotAnObject),
        Err(error) => Err(Failure::NotJson(error.to_string())),
    }
}

/// The bytes of a body, `most` of them; a longer one is read to its end, or nearly, so that its sender hears why it was refused.
pub(super) async fn collect(mut body: Body, most: usize) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::NotJson("the body breaks off".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= most {
            bytes.extend_from_slice(&data);
        } else if seen > MOST_DRAINED_BYTES {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if seen > most {
        Err(Failure::TooLarge(most))
    } else {
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_request_is_an_answer_that_says_nothing_of_it() {
        let work = async {
            let at_hand = String::from("a-secret-that-was-at-hand");
            panic!("no use for {at_hand}")
        };
        let Outcome::Failed { failure, .. } = to_its_end(&TaskTracker::new(), work).await else {
            panic!("it was to fail")
        };
        for language in [Language::Chinese, Language::English] {
            let told = format!("{failure:?} {}", failure.envelope(language));
            assert!(told.contains("INTERNAL_ERROR") && told.contains("panicked"), "{told}");
            assert!(!told.contains("at-hand"), "{told}");
        }
    }
}
