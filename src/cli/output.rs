//! What all commands have alike: the store alone, tables for a terminal, one JSON document for a script.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use jiff::{Timestamp, civil, tz};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::config::source::Source;
use crate::config::{Config, LogFormat};
use crate::store::db::{Db, Manner};
use crate::telemetry;

/// Opens the store of the settings, and reads no other one of them but that: nobody needs the merchant's key to look at the books.
pub(super) async fn store(file: Option<PathBuf>) -> anyhow::Result<Db> {
    telemetry::start_with(tracing::Level::WARN, LogFormat::Text);
    let address = Config::store_address(&Source::of_process(file.as_deref())?)?;
    let manner = Manner::of(address.serverless);
    Ok(Db::inspect(address.url.expose_secret(), manner).await?)
}

/// Writes to the standard output. Whoever reads only the beginning, like `head`, has what they want: that is no failure.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the standard output cannot be written to"),
    }
}

/// The same of a part of a line, or of several.
pub(super) fn write(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the standard output cannot be written to"),
    }
}

/// One JSON document.
pub(super) fn json(document: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(document)?)
}

/// An empty table with this header, as wide as the terminal at most; of any width where there is none.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.iter().map(Cell::new));
    table
}

/// A table without a header for what has a name and a value.
pub(super) fn facts(facts: &[(&str, String)]) -> Table {
    let mut table = table(&[]);
    table.load_style(presets::NOTHING);
    for (name, value) in facts {
        table.add_row([Cell::new(name), Cell::new(safe(value))]);
    }
    table
}

/// A cell that wants to be noticed: in colour on a terminal, unless `NO_COLOR` is set (no-color.org).
pub(super) fn marked(text: &str, colour: Color) -> Cell {
    let cell = Cell::new(safe(text));
    if is_plain() { cell } else { cell.fg(colour) }
}

fn is_plain() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || !io::stdout().is_terminal()
}

/// The same outside a table.
pub(super) fn coloured(text: &str, colour: Color) -> String {
    let code = match colour {
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Red => 31,
        _ => 90,
    };
    if is_plain() {
        text.to_owned()
    } else {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Somebody else's text for a terminal: what would steer it is shown, not obeyed.
pub(super) fn safe(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A moment of the store's for a person: RFC 3339 in China time, to the millisecond.
pub(super) fn time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => format!("{:.3}", at.display_with_offset(tz::offset(8))),
        Err(_) => format!("{ms} ms"),
    }
}

/// The same where there may be none.
pub(super) fn maybe_time(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), time)
}

/// How long ago, in its largest unit.
pub(super) fn age(from_ms: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(from_ms).max(0) / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment as an argument: RFC 3339, or a day, which begins at midnight in China. Unix milliseconds.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    // Not by its `FromStr`, which takes a time of unknown place as well.
    let day = civil::Date::strptime("%Y-%m-%d", text).ok();
    let midnight = day.and_then(|day| tz::offset(8).to_timestamp(day.at(0, 0, 0, 0)).ok());
    midnight
        .map(Timestamp::as_millisecond)
        .ok_or_else(|| "must be a day like 2026-11-25 (China time) or a moment like 2026-11-25T15:04:05+08:00 / 应为日期或带时区的时间".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read_in_china_time() {
        assert_eq!(time(1_795_420_800_123), "2026-11-23T16:00:00.123+08:00");
        assert_eq!(time(i64::MAX), format!("{} ms", i64::MAX));
        assert_eq!(moment("2026-11-23T16:00:00+08:00"), Ok(1_795_420_800_000));
        assert_eq!(moment("2026-11-24"), Ok(1_795_449_600_000));
        for bad in ["yesterday", "2026-13-01", "2026-11-23T16:00:00", ""] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_age_has_one_unit() {
        let ages = [0, 119, 120, 7199, 7200, 172_800].map(|seconds| age(0, seconds * 1000));
        assert_eq!(ages, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 d"]);
        assert_eq!(age(5000, 0), "0 s", "clocks differ");
    }

    #[test]
    fn nobody_elses_text_steers_a_terminal() {
        assert_eq!(safe("a\u{1b}[31mb\nc"), "a\u{fffd}[31mb\u{fffd}c");
    }
}
