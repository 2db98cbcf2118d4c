//! Log lines: this service's own at the level that was set, libraries' only from `warn` up, so that none of theirs can print a header.

pub(crate) mod traces;

use std::any::Any;
use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::task::JoinError;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Identity;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use self::traces::Exporter;
use crate::config::{Config, LogFormat};

/// Log lines, and traces where a collector is named, until it is told to end.
#[derive(Debug)]
pub struct Telemetry(Option<Exporter>);

impl Telemetry {
    /// Sends what is left of the traces, for two seconds at most.
    pub async fn end(self) {
        if let Some(exporter) = self.0 {
            drop(tokio::task::spawn_blocking(move || exporter.end()).await);
        }
    }
}

/// Starts logging to the standard error output, and traces as `OTEL_EXPORTER_OTLP_ENDPOINT` and its companions say. A second start in one
/// process changes nothing.
pub fn start(config: &Config) -> Telemetry {
    let exporter = Exporter::of_environment();
    let traces = exporter.as_ref().ok().and_then(Option::as_ref);
    let traces = traces.map(|exporter| exporter.layer(config.log_level));
    set(config.log_level, config.log_format, traces);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a defect at {place}: {}", said(panic.payload()));
    }));
    // Payments do not stop for want of a collector.
    Telemetry(exporter.unwrap_or_else(|error| {
        tracing::error!(%error, "no traces are sent: the OTEL_EXPORTER_OTLP_* variables cannot be used / OTEL_EXPORTER_OTLP_* 变量无效，不发送链路追踪");
        None
    }))
}

/// What a panic says of itself, if that was written here. What was formatted may hold anything that was at hand.
fn said(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .unwrap_or(&"what it says is not told, it may hold a secret")
}

/// How a task ended that did not come to its end, without what it was at.
pub(crate) fn ending(error: &JoinError) -> &'static str {
    if error.is_panic() {
        "it panicked; an earlier line says where"
    } else {
        "it was cut off"
    }
}

/// A time in milliseconds as a field of a line. A wider number than this is a text to the lines' JSON.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Log lines alone, without the other settings.
pub fn start_with(level: tracing::Level, format: LogFormat) {
    set(level, format, None::<Identity>);
}

fn set(level: tracing::Level, format: LogFormat, traces: Option<impl Layer<Registry> + Send + Sync>) {
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("pay_common", level)
        .with_target(traces::TARGET, LevelFilter::OFF);
    let lines = match format {
        LogFormat::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .with_target(false)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            // A line is told by its words; where they are written takes a tenth of it.
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // Fails only when a logger is there already, as in a process of tests.
    drop(
        tracing_subscriber::registry()
            .with(traces)
            .with(lines.with_filter(targets))
            .try_init(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked(with: impl FnOnce() + std::panic::UnwindSafe) -> Box<dyn Any + Send> {
        std::panic::catch_unwind(with).unwrap_err()
    }

    #[test]
    fn a_panic_is_quoted_where_it_was_written_and_not_where_it_was_formatted() {
        let secret = String::from("top-secret");
        let formatted = panicked(move || panic!("{secret}"));
        assert!(!said(&*formatted).contains("top-secret"));
        let read: Result<(), String> = [Err("top-secret".to_owned())].into_iter().collect();
        let unexpected = panicked(move || read.expect("it was read before"));
        assert!(!said(&*unexpected).contains("top-secret"));
        assert_eq!(said(&*panicked(|| panic!("as it is written"))), "as it is written");
    }
}
