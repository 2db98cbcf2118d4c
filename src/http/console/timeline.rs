//! All that happened to an order or a transfer, in time order, with what can be done about it where it stands.

use maud::{Markup, html};

use super::desk::Desk;
use super::places::Page;
use super::shown::{NOTHING, state, time, yuan};
use super::{anomalies, webhooks, words};
use crate::store::timeline::{Entry, Happened};

/// The most entries of a page. An order has a dozen; one that its receiver refused for days, some hundred.
const MOST: usize = 500;

/// The entries, the newest last, and when WeChat is asked next.
pub(super) fn list(desk: &Desk<'_>, page: Page, entries: &[Entry], ask_at_ms: Option<i64>) -> Markup {
    let left_out = entries.len().saturating_sub(MOST);
    html! {
        @if left_out > 0 {
            p.hint { (desk.say("较早的条目未显示，条数：", "Earlier entries that are not shown: ")) (left_out) " (" code { "pay-common orders show" } ")" }
        }
        ol.timeline {
            @for entry in entries.iter().skip(left_out) {
                @let (chinese, english) = words::kind(entry.happened.kind());
                li class=[is_alarming(&entry.happened).then_some("alarm")] {
                    (time(entry.at_ms))
                    span.kind { (desk.say(chinese, english)) }
                    div { (what(desk, &entry.happened)) (resolve(desk, page, &entry.happened)) }
                    (replay(desk, page, &entry.happened))
                }
            }
            @if let Some(at) = ask_at_ms {
                li.next {
                    (time(at))
                    span.kind { (desk.say("下一步", "Next")) }
                    div { (desk.say("再次查询微信支付", "WeChat Pay is asked again")) }
                }
            }
        }
    }
}

/// A name with what it means.
pub(super) fn word(desk: &Desk<'_>, name: &str, meaning: Option<(&str, &str)>) -> Markup {
    html! { code { (name) } @if let Some((chinese, english)) = meaning { " " span.meaning { (desk.say(chinese, english)) } } }
}

fn what(desk: &Desk<'_>, happened: &Happened) -> Markup {
    let say = |(chinese, english): (&'static str, &'static str)| desk.say(chinese, english);
    let because = |cause| html! { " · " span.cause { (say(words::cause(cause))) } };
    match happened {
        Happened::Order { state: name, cause } => {
            html! { (word(desk, name, words::order_move(name))) (because(*cause)) }
        }
        Happened::Refund {
            out_refund_no,
            state: name,
            amount_fen,
            cause,
        } => html! {
            code { (out_refund_no) } " " span.amount { (yuan(*amount_fen)) } " "
            (state(desk.visit, name, words::refund(name))) (because(*cause))
        },
        Happened::Transfer { state: name, cause } => {
            html! { (state(desk.visit, name, words::transfer(name))) (because(*cause)) }
        }
        Happened::Request {
            action,
            subject,
            who,
            outcome,
            last_at_ms,
            times,
        } => html! {
            code { (action) } @if !subject.is_empty() { " " code { (subject) } }
            " · " (who) " · " code { (outcome) } (often(desk, *times, *last_at_ms))
        },
        Happened::Callback {
            fact,
            event_type,
            notification_id,
            proof,
            outcome,
            last_at_ms,
            times,
        } => html! {
            (event_type.as_deref().unwrap_or(NOTHING)) " " code { (fact) }
            " · " (desk.say("证明", "proven by")) " " (word(desk, proof, words::proof(proof)))
            " · " (word(desk, outcome, words::outcome(outcome))) (often(desk, *times, *last_at_ms))
            @if let Some(id) = notification_id { br; span.meaning { (desk.say("通知编号", "notification")) " " code { (id) } } }
        },
        Happened::Event {
            event_id,
            name,
            delivery,
            attempts,
            deliver_at_ms,
            ..
        } => html! {
            code { (name) } " " (state(desk.visit, delivery, words::delivery(delivery)))
            " · " (desk.say("发送次数", "attempts")) " " (attempts)
            @if let Some(at) = deliver_at_ms { " · " (desk.say("下次", "next")) " " (time(*at)) }
            br; span.meaning { code { (event_id) } }
        },
        Happened::Attempt {
            name,
            attempt,
            status,
            problem,
            took_ms,
            ..
        } => html! {
            code { (name) } " · " (desk.say("第", "attempt ")) (attempt) (desk.say(" 次", "")) " · "
            @match status { Some(status) => { "HTTP " (status) }, None => (desk.say("无应答", "no answer")) }
            ", " (took_ms) " ms"
            @if let Some(problem) = problem { " · " (problem) }
        },
        Happened::Anomaly {
            anomaly_id,
            name,
            subject,
            resolved_at_ms,
        } => html! {
            (anomalies::kind(desk, name)) " · " code { (subject) } " · "
            @if resolved_at_ms.is_some() { (desk.say("已处理", "resolved")) }
            @else { strong { (desk.say("待处理", "open")) } }
            br; span.meaning { code { (anomaly_id) } }
        },
        Happened::Resolved { name, by, note, .. } => html! {
            code { (name) }
            @if let Some(by) = by { " · " (by) }
            @if let Some(note) = note { br; span.note { (note) } }
        },
    }
}

fn often(desk: &Desk<'_>, times: i64, last_at_ms: i64) -> Markup {
    html! { @if times > 1 {
        " · " (times) " " (desk.say("次，最近", "times, last")) " " (time(last_at_ms))
    } }
}

/// What can be done about an anomaly that is open.
fn resolve(desk: &Desk<'_>, page: Page, happened: &Happened) -> Markup {
    match happened {
        Happened::Anomaly {
            anomaly_id,
            name,
            resolved_at_ms: None,
            ..
        } => anomalies::form(desk, page, anomaly_id, name),
        Happened::Anomaly { .. }
        | Happened::Order { .. }
        | Happened::Refund { .. }
        | Happened::Transfer { .. }
        | Happened::Request { .. }
        | Happened::Callback { .. }
        | Happened::Event { .. }
        | Happened::Attempt { .. }
        | Happened::Resolved { .. } => html! {},
    }
}

/// What can be done about an event.
fn replay(desk: &Desk<'_>, page: Page, happened: &Happened) -> Markup {
    match happened {
        Happened::Event {
            event_id,
            name,
            attempts,
            ..
        } => webhooks::form(desk, page, event_id, name, *attempts),
        Happened::Anomaly { .. }
        | Happened::Order { .. }
        | Happened::Refund { .. }
        | Happened::Transfer { .. }
        | Happened::Request { .. }
        | Happened::Callback { .. }
        | Happened::Attempt { .. }
        | Happened::Resolved { .. } => html! {},
    }
}

/// Whether it wants to be noticed.
fn is_alarming(happened: &Happened) -> bool {
    match happened {
        Happened::Anomaly { resolved_at_ms, .. } => resolved_at_ms.is_none(),
        Happened::Event { delivery, .. } => delivery == "DEAD",
        Happened::Attempt { problem, .. } => problem.is_some(),
        Happened::Request { outcome, .. } => outcome != "OK",
        Happened::Order { .. }
        | Happened::Refund { .. }
        | Happened::Transfer { .. }
        | Happened::Callback { .. }
        | Happened::Resolved { .. } => false,
    }
}
