//! Values as a person reads them: times in China, amounts in yuan, states with what they mean.

use jiff::{Timestamp, tz};
use maud::{Markup, html};

use super::visit::Visit;
use super::words::{Meaning, Tone};
use crate::domain::money::Fen;

/// What stands where there is nothing.
pub(super) const NOTHING: &str = "—";

/// A moment of the store's, to the millisecond.
pub(super) fn time(ms: i64) -> Markup {
    let Ok(at) = Timestamp::from_millisecond(ms) else {
        return html! { (ms) " ms" };
    };
    let here = tz::offset(8).to_datetime(at);
    html! { time datetime=(format!("{:.3}", at.display_with_offset(tz::offset(8)))) {
        (here.strftime("%Y-%m-%d %H:%M:%S")) span.ms { (here.strftime("%.3f")) }
    } }
}

/// The same where there may be none.
pub(super) fn maybe_time(ms: Option<i64>) -> Markup {
    ms.map_or_else(|| html! { (NOTHING) }, time)
}

/// How long ago, or how long until then, in its largest unit.
pub(super) fn age(visit: &Visit, from_ms: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(from_ms).max(0) / 1000;
    let (number, unit) = match seconds {
        0..=119 => (seconds, visit.say("秒", "s")),
        120..=7199 => (seconds / 60, visit.say("分钟", "min")),
        7200..=172_799 => (seconds / 3600, visit.say("小时", "h")),
        _ => (seconds / 86_400, visit.say("天", "d")),
    };
    format!("{number} {unit}")
}

/// An amount, like `¥1,234.56`.
pub(super) fn yuan(amount: Fen) -> String {
    let yuan = amount.yuan();
    let (whole, fen) = yuan.split_once('.').unwrap_or((&yuan, "00"));
    let mut grouped = String::from("¥");
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + "." + fen
}

/// The same where there may be none.
pub(super) fn maybe_yuan(amount: Option<Fen>) -> String {
    amount.map_or_else(|| NOTHING.to_owned(), yuan)
}

/// A state by its name, with what it means.
pub(super) fn state(visit: &Visit, name: &str, meaning: Option<Meaning>) -> Markup {
    let Some(Meaning { tone, chinese, english }) = meaning else {
        // A newer version wrote it.
        return html! { span.badge { (name) } };
    };
    html! { span class={ "badge " (class(tone)) } { (name) } " " span.meaning { (visit.say(chinese, english)) } }
}

const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Waits => "waits",
        Tone::Wrong => "wrong",
        Tone::Over => "over",
    }
}

/// Names with their values.
pub(super) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

/// A number that may be there.
pub(super) fn code(number: Option<&str>) -> Markup {
    html! { @match number { Some(number) => code { (number) }, None => (NOTHING) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_exact_and_grouped() {
        let written =
            [0, 7, 123, 99_999, 100_000, 123_456_789, i64::MAX].map(|fen| yuan(Fen::not_negative(fen).unwrap()));
        assert_eq!(
            written,
            [
                "¥0.00",
                "¥0.07",
                "¥1.23",
                "¥999.99",
                "¥1,000.00",
                "¥1,234,567.89",
                "¥92,233,720,368,547,758.07"
            ]
        );
    }

    #[test]
    fn a_time_is_chinas_and_names_its_offset_for_a_program() {
        let shown = time(1_795_420_800_123).into_string();
        assert!(shown.contains("datetime=\"2026-11-23T16:00:00.123+08:00\""), "{shown}");
        assert!(
            shown.contains("2026-11-23 16:00:00<span class=\"ms\">.123</span>"),
            "{shown}"
        );
        assert_eq!(time(i64::MAX).into_string(), format!("{} ms", i64::MAX));
    }
}
