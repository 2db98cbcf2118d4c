//! Log lines: this service's own at the level that was set, libraries' only from `warn` up, so that none of theirs can print a header.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{Config, LogFormat};

/// Starts logging to the standard error output. A second start in one process changes nothing.
pub fn start(config: &Config) {
    start_with(config.log_level, config.log_format);
}

/// The same without the other settings.
pub fn start_with(level: tracing::Level, format: LogFormat) {
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("pay_common", level);
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
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // Fails only when a logger is there already, as in a process of tests.
    drop(
        tracing_subscriber::registry()
            .with(lines.with_filter(targets))
            .try_init(),
    );
}
