//! Whether WeChat Pay can be reached from here, and how far this machine's clock is from its.

use std::error::Error;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::DATE;
use reqwest::redirect;
use url::Url;

use super::{Finding, PATIENCE};
use crate::clock::Clock;
use crate::config::Config;

/// WeChat refuses what is signed with a clock that is so far off, in seconds.
const REFUSED: i64 = 300;

/// Half a minute is no accident of the network, and clocks that drift go on drifting. Seconds.
const DRIFTING: i64 = 30;

/// What is known of a party that answered.
struct Answered {
    /// By its own clock.
    date: Option<Timestamp>,
    /// By this machine's, in the middle of the question.
    here: Timestamp,
    took: Duration,
}

pub(super) async fn wechat(config: &Config, clock: &Clock) -> Vec<Finding> {
    let (main, backup) = tokio::join!(ask(&config.wechat_base, clock), async {
        match &config.wechat_backup {
            Some(url) => Some((url, ask(url, clock).await)),
            None => None,
        }
    });
    let host = host(&config.wechat_base);
    let mut findings = Vec::new();
    match main {
        Ok(answered) => {
            let ms = answered.took.as_millis();
            findings.push(Finding::ok(
                "wechat.reach",
                format!("{host} 可达（{ms} ms）"),
                format!("{host} answers ({ms} ms)"),
            ));
            findings.push(apart(&answered));
        }
        Err(why) => {
            let (chinese, english) = why.cure();
            findings.push(
                Finding::failed(
                    "wechat.reach",
                    format!("无法访问 {host}：{}", why.text),
                    format!("{host} cannot be reached: {}", why.text),
                )
                .cure(chinese, english),
            );
        }
    }
    if let Some((url, asked)) = backup {
        let host = self::host(url);
        findings.push(match asked {
            Ok(_) => Finding::ok(
                "wechat.backup",
                format!("备用域名 {host} 可达"),
                format!("the second address {host} answers"),
            ),
            Err(why) => {
                let (chinese, english) = why.cure();
                Finding::warning(
                    "wechat.backup",
                    format!("备用域名 {host} 不可达：{}", why.text),
                    format!("the second address {host} cannot be reached: {}", why.text),
                )
                .cure(chinese, english)
            }
        });
    }
    findings
}

fn host(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Why there was no answer.
struct NoAnswer {
    text: String,
}

impl NoAnswer {
    fn cure(&self) -> (&'static str, &'static str) {
        let says = |part: &str| self.text.to_lowercase().contains(part);
        if says("dns") || says("lookup") {
            (
                "域名无法解析：请检查 DNS",
                "the name is not resolved: look at this machine's DNS",
            )
        } else if says("certificate") || says("tls") {
            (
                "TLS 握手失败：请检查系统时间、中间代理，以及镜像中是否有 CA 证书",
                "TLS failed: look at the clock, at proxies in between, and whether CA certificates are installed",
            )
        } else if says("refused") {
            (
                "连接被拒绝：请检查地址与端口",
                "the connection is refused: look at address and port",
            )
        } else {
            (
                "请放行出站 https（按域名，微信支付的 IP 会变化）",
                "let https out to this name (by name: WeChat Pay's addresses change)",
            )
        }
    }
}

/// Any answer will do, also a refusal: nothing is signed, and nothing asked for.
async fn ask(base: &Url, clock: &Clock) -> Result<Answered, NoAnswer> {
    let failed = |error: reqwest::Error| NoAnswer {
        text: causes(&error.without_url()),
    };
    let http = reqwest::Client::builder()
        .user_agent(concat!("pay-common/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(failed)?;
    let started = Instant::now();
    let before = clock.now();
    let mut url = base.clone();
    url.set_path("/v3/certificates");
    let answer = http.get(url).send().await.map_err(failed)?;
    let took = started.elapsed();
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    Ok(Answered {
        date: date
            .and_then(|date| rfc2822::parse(date).ok())
            .map(|date| date.timestamp()),
        here: before + took / 2,
        took,
    })
}

fn apart(answered: &Answered) -> Finding {
    let check = "wechat.clock";
    let Some(date) = answered.date else {
        return Finding::skipped(
            check,
            "应答没有 Date 头，无法比较时钟",
            "the answer has no Date to compare the clock with",
        );
    };
    let ahead = answered.here.as_second().saturating_sub(date.as_second());
    let (chinese, english) = (
        format!("本机时钟与微信支付相差 {ahead} 秒"),
        format!("this machine's clock is {ahead} s ahead of WeChat Pay's"),
    );
    let cure = |finding: Finding| {
        finding.cure(
            "请启用 NTP 校时；超过 5 分钟微信支付会拒绝所有请求（SIGN_ERROR），回调也会被拒绝",
            "turn on NTP; from 5 minutes on WeChat Pay refuses every request (SIGN_ERROR), and its callbacks are refused here",
        )
    };
    match ahead.saturating_abs() {
        0..DRIFTING => Finding::ok(check, chinese, english),
        DRIFTING..REFUSED => cure(Finding::warning(check, chinese, english)),
        _ => cure(Finding::failed(check, chinese, english)),
    }
}

/// An error with all that caused it: the outermost says only that sending failed.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_is_judged_by_what_wechat_does_about_it() {
        let here = Timestamp::from_second(1_795_420_800).unwrap();
        for (ahead, expected) in [
            (0, Verdict::Ok),
            (29, Verdict::Ok),
            (-30, Verdict::Warning),
            (299, Verdict::Warning),
            (300, Verdict::Failed),
            (-86_400, Verdict::Failed),
        ] {
            let answered = Answered {
                date: Timestamp::from_second(1_795_420_800 - ahead).ok(),
                here,
                took: Duration::ZERO,
            };
            assert_eq!(apart(&answered).verdict, expected, "{ahead}");
        }
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        let date = rfc2822::parse("Mon, 23 Nov 2026 08:00:00 GMT").unwrap();
        assert_eq!(date.timestamp().as_second(), 1_795_420_800);
    }
}
