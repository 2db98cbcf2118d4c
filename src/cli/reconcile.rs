//! `reconcile`: a day's bill against the store, for a person in the morning and for a timer.

mod shown;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use self::shown::Shown;
use crate::boot;
use crate::clock::Clock;
use crate::config::source::Source;
use crate::config::{Config, LogFormat};
use crate::domain::reconciliation::Bill;
use crate::flows::reconcile::{self, Progress, Wanted, days};
use crate::store::db::{Db, Manner};
use crate::telemetry;

/// The two do not agree.
const DIFFER: u8 = 1;

/// It could not be found out whether they do. Also what the command line's own mistakes end with.
const NOT_DONE: u8 = 2;

/// How often the progress is shown anew.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The day in China; its bill is ready at 10:00 on the day after. Without it, yesterday / 账单日（北京时间），账单次日 10:00 可用，默认昨天
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    date: Option<Date>,
    /// How the result is written / 输出格式
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Asks WeChat Pay about what differs, settles what it says, and compares again / 向微信支付查询差异并入账，然后重新核对
    #[arg(long)]
    repair: bool,
    /// Also the fund flow bill, which alone has transfers / 同时核对资金账单（商家转账只在其中）
    #[arg(long)]
    fund_flow: bool,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(super) enum Format {
    /// For a person / 供人阅读
    #[default]
    Table,
    /// One document / 单个文档
    Json,
    /// A line per difference / 每行一处差异
    Csv,
}

fn day(text: &str) -> Result<Date, String> {
    let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
    date.ok_or_else(|| "must be a day like 2026-11-22 / 应为 2026-11-22 这样的日期".to_owned())
}

/// Runs it, and ends as its exit code says.
pub(super) async fn run(file: Option<PathBuf>, arguments: &Arguments) -> ExitCode {
    match compare(file, arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DIFFER),
        Err(error) => {
            // Nobody is left to hear of a standard error output that is closed.
            drop(writeln!(io::stderr(), "pay-common reconcile: {error:#}"));
            ExitCode::from(NOT_DONE)
        }
    }
}

async fn compare(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<bool> {
    telemetry::start_with(tracing::Level::WARN, LogFormat::Text);
    let config = Config::read(&Source::of_process(file.as_deref())?)?;
    let db = Db::inspect(config.database_url(), Manner::of(config.serverless)).await?;
    let app = boot::assemble_over(db.clone(), config, Clock::System)?;
    let date = arguments.date.unwrap_or_else(|| days::yesterday(app.clock.now()));
    let bills: &[Bill] = if arguments.fund_flow {
        &Bill::ALL
    } else {
        &[Bill::Trade]
    };
    let mut shown = Shown::begin(arguments.format, date)?;
    let mut agree = true;
    let mut result = Ok(());
    for bill in bills {
        let wanted = Wanted {
            day: date,
            bill: *bill,
            repair: arguments.repair,
        };
        let progress = Progress::default();
        let run = watched(&progress, reconcile::reconcile(&app, &wanted, &progress)).await;
        match run {
            Ok(run) => {
                agree &= run.agrees();
                shown.run(&db, &run).await?;
            }
            // What was found of the other bill is shown all the same.
            Err(error) => result = Err(anyhow::Error::new(error).context(format!("{date}, {}", shown::name(*bill)))),
        }
    }
    db.close().await;
    shown.end(result.is_ok().then_some(agree))?;
    result.map(|()| agree)
}

/// Shows on a terminal how far it is. A log has no use for that.
async fn watched<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let mut often = tokio::time::interval(SHOWN_EVERY);
    // Whoever closes the terminal does not want to see it.
    let show = |text: &str| drop(write!(io::stderr(), "\r\u{1b}[K{text}"));
    loop {
        tokio::select! {
            done = &mut work => {
                show("");
                return done;
            }
            _ = often.tick() => {
                let (lines, entries) = progress.so_far();
                show(&format!("{lines} lines of the bill, {entries} entries of the store / 账单 {lines} 行，存储 {entries} 条"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_one_way() {
        assert!(day("2026-11-22").is_ok());
        for wrong in ["20261122", "2026-11-22T00:00:00", "2026-02-29", "yesterday", ""] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }
}
