//! Traces: what a request did and how long each step of it took, sent to a collector where one is named.
//!
//! The variables are OpenTelemetry's own (`OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, ...), read by
//! its SDK; without an endpoint nothing of this is started, and a span costs a look at one flag. The steps are spans of a target of their own,
//! so that log lines, whose span names the request, stay as they are.

use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::Empty;
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans. Log lines do not name it.
pub(super) const TARGET: &str = "pay_common::traces";

/// How long the last spans may take to leave when the process ends.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// The protocol that is spoken here.
const PROTOCOL: &str = "http/protobuf";

/// Why no spans are sent although the environment asks for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// The SDK's word.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// Another protocol; the SDK would silently speak its own to whoever listens for that one.
    #[error("{name} is {value:?}, and only {PROTOCOL} is spoken here")]
    Protocol {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
}

/// What sends the spans.
#[derive(Debug)]
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// By the environment; `None` where it names no collector, or switches the SDK off.
    #[expect(
        clippy::disallowed_methods,
        reason = "these are no settings of ours: the SDK reads them from the environment and from nowhere else"
    )]
    pub(super) fn of_environment() -> Result<Option<Self>, Unusable> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoints = [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            opentelemetry_otlp::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
        ];
        let off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if off || !endpoints.into_iter().any(|name| set(name).is_some()) {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            if let Some(value) = set(name).filter(|value| value != PROTOCOL) {
                return Err(Unusable::Protocol { name, value });
            }
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let mut resource = Resource::builder().with_attribute(version);
        // The SDK's own default is a name that says nothing.
        let named = set("OTEL_SERVICE_NAME").is_some()
            || EnvResourceDetector::new()
                .detect()
                .get(&"service.name".into())
                .is_some();
        if !named {
            resource = resource.with_service_name("pay-common");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        Ok(Some(Self(provider)))
    }

    /// Takes the steps, and the log lines that were written in them.
    pub(super) fn layer<S>(&self, lines: tracing::Level) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let wanted = move |metadata: &Metadata<'_>| {
            let line = metadata.is_event() && *metadata.level() <= lines;
            metadata.target() == TARGET || line && metadata.target().starts_with("pay_common")
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("pay-common"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(wanted).with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is left. It blocks.
    pub(super) fn end(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans of the traces were not sent");
        }
    }
}

/// A request, as the caller's own trace goes on, if it has one.
pub(crate) fn request(headers: &HeaderMap, route: &'static str) -> Span {
    let span = tracing::debug_span!(
        target: TARGET,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = "POST",
        http.route = route,
        http.response.status_code = Empty,
        pay.action = Empty,
        pay.outcome = Empty,
        pay.request_id = Empty,
        pay.caller = Empty,
        pay.out_trade_no = Empty,
    );
    if !span.is_disabled() {
        let before = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails for a span that has begun already, and this one has not.
        drop(span.set_parent(before));
    }
    span
}

/// Who asks, and about which order where one is named.
pub(crate) fn about(span: &Span, caller: &'static str, out_trade_no: Option<&str>) {
    tracing::record_all!(span, pay.caller = caller, pay.out_trade_no = out_trade_no);
}

/// What became of a request.
pub(crate) fn answered(span: &Span, request_id: &str, action: &str, outcome: &str, status: u16) {
    if span.is_disabled() {
        return;
    }
    // A recorded `otel.name` counts only until the span is entered.
    span.context().span().update_name(action.to_owned());
    span.record("pay.action", action);
    span.record("pay.outcome", outcome);
    span.record("pay.request_id", request_id);
    ended(span, status, 500);
}

/// A question to WeChat Pay. `endpoint` is a name without numbers in it.
pub(crate) fn question(method: &str, host: &str, endpoint: &'static str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "wechat_pay",
        otel.kind = "client",
        otel.name = endpoint,
        otel.status_code = Empty,
        http.request.method = method,
        server.address = host,
        http.response.status_code = Empty,
        wechat_pay.request_id = Empty,
    )
}

/// What WeChat Pay answered, genuine or not.
pub(crate) fn told(span: &Span, status: u16, request_id: impl FnOnce() -> Option<String>) {
    if !span.is_disabled()
        && let Some(id) = request_id()
    {
        span.record("wechat_pay.request_id", id);
    }
    ended(span, status, 400);
}

/// A message to the business side.
pub(crate) fn webhook(event_id: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "webhook",
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = "POST",
        http.response.status_code = Empty,
        pay.event_id = event_id,
    )
}

/// Something that nobody asked for and that is due: an open row is looked after.
pub(crate) fn due(kind: &'static str) -> Span {
    tracing::debug_span!(target: TARGET, parent: None, "due", otel.name = kind)
}

/// The status of an answer that somebody gave; from `bad` up it is a failure of theirs.
pub(crate) fn ended(span: &Span, status: u16, bad: u16) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", status);
    if status >= bad {
        span.record("otel.status_code", "ERROR");
    }
}

/// No answer came.
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// The headers by which whoever is asked goes on with the trace.
pub(crate) fn handed_on(span: &Span) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(&mut headers));
    }
    headers
}
