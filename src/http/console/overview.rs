//! The first page: what today brought, what is open, and what a person has to look at.

use jiff::{Timestamp, tz};
use maud::{Markup, html};

use super::desk::{Answer, Desk};
use super::places::Page;
use super::shown::{age, yuan};
use crate::domain::reconciliation::Span;
use crate::http::failure::Failure;
use crate::store::{figures, today};

pub(super) async fn page(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let now = desk.app.clock.now();
    let db = &desk.app.db;
    let brought = today::brought(db, day_of(now)).await?;
    let open = today::still_open(db).await?;
    let waits = figures::figures(db).await?;
    let oldest = waits.oldest_event.map(|at| age(desk.visit, at, now.as_millisecond()));
    let day = tz::offset(8).to_datetime(now).date();
    let orders = desk.say("笔", "orders");
    let body = html! {
        section aria-labelledby="today" {
            h2 id="today" { (desk.say("今日", "Today")) " " span.day { (day) } }
            ul.figures {
                (figure(desk.say("下单", "Orders placed"), &brought.placed.to_string(), None, None))
                (figure(desk.say("支付", "Paid"), &yuan(brought.paid.amount), Some(&format!("{} {orders}", brought.paid.count)), None))
                (figure(
                    desk.say("退款", "Refunded"),
                    &yuan(brought.refunded.amount),
                    Some(&format!("{} {}", brought.refunded.count, desk.say("笔", "refunds"))),
                    None,
                ))
            }
        }
        section aria-labelledby="open" {
            h2 id="open" { (desk.say("未结", "Open now")) }
            ul.figures {
                (figure(desk.say("未支付订单", "Orders not paid yet"), &open.orders.to_string(), None, Some(&desk.to(Page::Orders, &[("state", "NOTPAY")]))))
                (figure(desk.say("进行中的退款", "Refunds under way"), &open.refunds.to_string(), None, None))
                (figure(desk.say("进行中的转账", "Transfers under way"), &open.transfers.to_string(), None, None))
            }
        }
        section aria-labelledby="look" {
            h2 id="look" { (desk.say("需要关注", "To be looked at")) }
            ul.figures {
                (alarming(desk.say("待处理异常", "Open anomalies"), waits.anomalies, &desk.to(Page::Anomalies, &[])))
                (alarming(desk.say("已放弃的通知", "Webhooks given up"), waits.dead, &desk.to(Page::Webhooks, &[("those", "DEAD")])))
                (figure(
                    desk.say("待通知的订单", "Orders with webhooks that wait"),
                    &waits.streams.to_string(),
                    oldest.map(|oldest| format!("{} {oldest}", desk.say("最早已等待", "the oldest for"))).as_deref(),
                    Some(&desk.to(Page::Webhooks, &[])),
                ))
            }
        }
        @if desk.app.webhooks.is_none() {
            p.hint { (desk.say("未设置 webhookUrl：不会通知业务系统。", "Without webhookUrl nobody is told of events.")) }
        }
    };
    Ok(Answer::page(desk.say("概览", "Overview"), body))
}

fn figure(name: &str, value: &str, more: Option<&str>, link: Option<&str>) -> Markup {
    let inside = html! { span.name { (name) } strong { (value) } @if let Some(more) = more { span.more { (more) } } };
    html! { li { @match link { Some(link) => a href=(link) { (inside) }, None => (inside) } } }
}

/// A figure that should be nothing.
fn alarming(name: &str, value: i64, link: &str) -> Markup {
    html! { li class=[(value > 0).then_some("alarm")] { a href=(link) { span.name { (name) } strong { (value) } } } }
}

/// The day in China of that moment.
fn day_of(now: Timestamp) -> Span {
    let day = tz::offset(8).to_datetime(now).date();
    let midnight = |day: jiff::civil::Date| {
        let moment = tz::offset(8).to_timestamp(day.at(0, 0, 0, 0));
        moment.map(Timestamp::as_millisecond)
    };
    let now_ms = now.as_millisecond();
    Span {
        from_ms: midnight(day).unwrap_or(now_ms),
        // The calendar's last day has no next one.
        until_ms: day.tomorrow().and_then(midnight).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_begins_at_midnight_in_china() {
        let day = day_of("2026-11-22T16:00:00Z".parse().unwrap());
        let ms = |moment: &str| moment.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(day.from_ms, ms("2026-11-23T00:00:00+08:00"));
        assert_eq!(day.until_ms, ms("2026-11-24T00:00:00+08:00"));
        assert_eq!(day_of("2026-11-23T15:59:59.999Z".parse().unwrap()), day);
        assert_ne!(day_of("2026-11-23T16:00:00Z".parse().unwrap()), day);
    }
}
