//! `doctor`: what keeps this installation from taking payments, one line for each point.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::Color;
use serde_json::{Value, json};

use super::output;
use crate::clock::Clock;
use crate::config::LogFormat;
use crate::config::source::Source;
use crate::doctor::{self, Finding, Verdict};
use crate::telemetry;
use crate::text::Text;
use crate::wechat::advice;

/// Reads the settings as the service does, tries everything that they point at, and says what is wrong and what to do.
///
/// Exit code 0: payments can be taken (warnings are told), 1: something failed. Nothing is changed; an order of 1 fen that nobody can
/// pay is placed and closed to see whether each appid is bound.
///
/// 按服务的方式读取设置，逐项检查并给出原因与处理办法。退出码 0：可收款（可能有警告）；1：有检查未通过。
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON document instead of text / 以 JSON 输出
    #[arg(long)]
    json: bool,
    /// Only explains this code, number or message of WeChat's / 仅解释微信返回的错误码、数字或提示
    #[arg(long, value_name = "TEXT")]
    explain: Option<String>,
}

/// Looks, tells, and says by the exit code whether anything failed.
pub(super) async fn run(file: Option<PathBuf>, arguments: &Arguments) -> ExitCode {
    match told(file, arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            super::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn told(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<bool> {
    // Its own lines say what the log would.
    telemetry::start_with(tracing::Level::ERROR, LogFormat::Text);
    if let Some(text) = &arguments.explain {
        return explained(text, arguments.json);
    }
    let findings = match Source::of_process(file.as_deref()) {
        Ok(source) => doctor::examine(&source, &Clock::System).await,
        Err(error) => vec![Finding::failed("settings.file", error.to_string(), error.to_string())],
    };
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (failed, warnings) = (count(Verdict::Failed), count(Verdict::Warning));
    if arguments.json {
        let checks: Vec<Value> = findings.iter().map(document).collect();
        output::json(&json!({"ok": failed == 0, "failed": failed, "warnings": warnings, "checks": checks}))?;
    } else {
        for finding in &findings {
            output::say(&line(finding))?;
        }
        output::say(&format!(
            "{failed} failed, {warnings} warnings / {failed} 项未通过，{warnings} 项警告"
        ))?;
    }
    Ok(failed == 0)
}

fn document(finding: &Finding) -> Value {
    let text = |text: &Text| json!({"en": text.english, "zh": text.chinese});
    json!({
        "check": finding.check,
        "result": finding.verdict.as_str(),
        "why": text(&finding.why),
        "cure": finding.cure.as_ref().map(text),
    })
}

/// `failed   wechat.signature   why → cure`, in English and then in Chinese.
fn line(finding: &Finding) -> String {
    let colour = match finding.verdict {
        Verdict::Ok => Color::Green,
        Verdict::Skipped => Color::Grey,
        Verdict::Warning => Color::Yellow,
        Verdict::Failed => Color::Red,
    };
    let said = |why: &str, cure: Option<&str>| match cure {
        Some(cure) => format!("{why} → {cure}"),
        None => why.to_owned(),
    };
    let english = said(
        &finding.why.english,
        finding.cure.as_ref().map(|cure| cure.english.as_str()),
    );
    let chinese = said(
        &finding.why.chinese,
        finding.cure.as_ref().map(|cure| cure.chinese.as_str()),
    );
    let text = if english == chinese {
        english
    } else {
        format!("{english} / {chinese}")
    };
    let verdict = output::coloured(&format!("{:<8}", finding.verdict.as_str()), colour);
    format!("{verdict} {:<28} {}", finding.check, output::safe(&text))
}

fn explained(text: &str, as_json: bool) -> anyhow::Result<bool> {
    let known = advice::in_text(text);
    if as_json {
        let known: Vec<Value> = known
            .iter()
            .map(|known| json!({"en": known.english, "zh": known.chinese}))
            .collect();
        output::json(&json!({"known": known}))?;
    } else if known.is_empty() {
        output::say(
            "not known: ask WeChat Pay's support with the Request-ID / 未收录：请携 Request-ID 咨询微信支付客服",
        )?;
    } else {
        for known in &known {
            output::say(&format!("{} / {}", known.english, known.chinese))?;
        }
    }
    Ok(!known.is_empty())
}
