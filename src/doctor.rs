//! Whether this installation can take payments, and if not, why: the settings are read as the service reads them, and everything they
//! point at is tried.
//!
//! Nothing is changed anywhere but for one thing: an order of 1 fen for nobody's openid is placed to see whether an appid is bound. WeChat
//! refuses it; where it does not, it is closed at once.

mod account;
mod finding;
mod others;
mod plausible;
mod reach;
mod store;

use std::time::Duration;

pub(crate) use finding::{Finding, Verdict};

use crate::clock::Clock;
use crate::config::source::Source;
use crate::config::{Config, Problem, Problems};
use crate::text::Text;

/// Longest wait for one party.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything. One party's silence holds up no other's line, but each is asked more than once: with `wechatPayTimeoutMs` as it is
/// by default, a silent WeChat Pay takes 20 s.
pub(crate) async fn examine(source: &Source, clock: &Clock) -> Vec<Finding> {
    let config = match Config::read(source) {
        Ok(config) => config,
        Err(Problems(problems)) => return unusable(problems),
    };
    let mut findings = plausible::settings(&config);
    let (reach, account, store, others) = tokio::join!(
        reach::wechat(&config, clock),
        account::wechat(&config, clock),
        store::books(&config),
        others::parties(&config, clock),
    );
    for part in [reach, account, store, others] {
        findings.extend(part);
    }
    findings
}

/// Settings with which the service does not start.
fn unusable(problems: Vec<Problem>) -> Vec<Finding> {
    let failed = |problem: Problem| {
        Finding::failed(
            format!("settings.{}", problem.setting),
            problem.chinese,
            problem.english,
        )
    };
    let mut findings: Vec<Finding> = problems.into_iter().map(failed).collect();
    findings.push(Finding::skipped(
        "everything.else",
        "请先修正以上设置",
        "not looked at: the settings above come first",
    ));
    findings
}

/// Both languages of a line that holds them one after the other.
fn both(line: &str) -> Text {
    match line.rsplit_once(" / ") {
        Some((english, chinese)) => Text::new(chinese, english),
        None => Text::new(line, line),
    }
}
