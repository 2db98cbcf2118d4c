//! What the business side is told, and what it is to be told anew.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::anomalies::not_done;
use super::desk::{Answer, Desk};
use super::form::Sent;
use super::listing::{self, ROWS};
use super::places::{Deed, From, Page};
use super::shown::{NOTHING, maybe_time, state, time};
use super::words;
use crate::domain::event::Delivery;
use crate::flows::remember;
use crate::http::failure::Failure;
use crate::store::outbox::{self, Kept, Replay, Those, Wanted};
use crate::store::requests::{About, Request};

pub(super) async fn page(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let chosen = desk.visit.asked("those").and_then(Delivery::parse);
    let wanted = Wanted {
        those: chosen.map_or(Those::Stuck, Those::In),
        after: desk.visit.asked("after").map(str::to_owned),
        most: ROWS.saturating_add(1),
    };
    let mut found = outbox::list(&desk.app.db, &wanted).await?;
    let next = listing::cut(&mut found, |kept| &kept.event_id);
    let choices = [
        ("", desk.say("待处理", "To be looked at")),
        ("DEAD", desk.say("已放弃", "Given up")),
        ("WAITING", desk.say("待送达", "Waiting")),
        ("DELIVERED", desk.say("已送达", "Delivered")),
        ("UNSENT", desk.say("未发送", "Never sent")),
    ];
    let title = desk.say("通知", "Webhooks");
    let names = [
        desk.say("时间", "When"),
        desk.say("事件", "Event"),
        desk.say("对象", "Of"),
        desk.say("状态", "State"),
        desk.say("次数", "Attempts"),
        desk.say("下次或结束", "Next, or end"),
        desk.say("问题", "Problem"),
        desk.say("操作", "Replay"),
    ];
    let rows: Vec<Vec<Markup>> = found.iter().map(|kept| row(desk, kept)).collect();
    let body = html! {
        (listing::choices(desk, Page::Webhooks, "those", desk.say("状态", "State"), &choices))
        @if chosen.is_none() {
            p.hint { (desk.say(
                "已放弃的，以及每个订单最早待送达的一条；同一订单的后续通知在其后依次发送。",
                "Those given up, and of each order the first that waits; its later ones follow by themselves.",
            )) }
        }
        @if desk.app.webhooks.is_none() {
            p.hint { (desk.say("未设置 webhookUrl，无法发送。", "Without webhookUrl nothing is sent.")) }
        }
        @if rows.is_empty() { p { (desk.say("没有此类通知。", "There is nothing of that kind.")) } }
        @else { (listing::table(title, &names, &rows)) }
        (listing::pages(desk, Page::Webhooks, next.as_deref()))
    };
    Ok(Answer::page(title, body))
}

fn row(desk: &Desk<'_>, kept: &Kept) -> Vec<Markup> {
    let name = kept.delivery.as_str();
    vec![
        time(kept.created_at),
        html! { code { (kept.kind) } br; span.meaning { code { (kept.event_id) } } },
        of(desk, &kept.stream),
        state(desk.visit, name, words::delivery(name)),
        html! { (kept.attempts) },
        maybe_time(kept.deliver_at.or(kept.ended_at)),
        html! { (kept.problem.as_deref().unwrap_or(NOTHING)) },
        form(desk, Page::Webhooks, &kept.event_id, &kept.kind, kept.attempts),
    ]
}

/// What a stream is of, as a link.
fn of(desk: &Desk<'_>, stream: &str) -> Markup {
    let (page, name, number) = match stream.split_once('/') {
        Some(("transfer", number)) => (Page::Transfer, "no", number),
        Some(("anomaly", id)) => (Page::Search, "q", id),
        Some(_) | None => (Page::Order, "no", stream),
    };
    html! { a href=(desk.to(page, &[(name, number)])) { code { (number) } } }
}

/// The form by which an event is told anew. It is good for what was looked at: sent twice, it does nothing the second time.
pub(super) fn form(desk: &Desk<'_>, page: Page, id: &str, name: &str, attempts: i64) -> Markup {
    if desk.app.webhooks.is_none() {
        return html! {};
    }
    let inside = html! { button type="submit" { (desk.say("重新发送", "Replay")) span.unseen { " " (name) } } };
    let attempts = attempts.to_string();
    desk.form(Deed::Replay, page, &[("id", id), ("seen", &attempts)], &inside)
}

/// Has an event told anew.
pub(super) async fn replay(desk: &Desk<'_>, sent: &Sent) -> Result<Answer, Failure> {
    let (id, who) = (sent.get("id"), &desk.session.visitor);
    let refused = |status, chinese, english| {
        let why = html! { (desk.say(chinese, english)) };
        Ok(not_done(desk, sent, status, &why))
    };
    if desk.app.webhooks.is_none() {
        return refused(
            StatusCode::CONFLICT,
            "未设置 webhookUrl，无法发送。",
            "Without webhookUrl nothing is sent.",
        );
    }
    let Ok(seen) = sent.get("seen").parse::<i64>() else {
        return refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "表单不完整。",
            "The form is not complete.",
        );
    };
    match outbox::replay(&desk.app.db, id, Some(seen), desk.app.clock.now_ms()).await? {
        Replay::Waits(stream) => {
            tracing::info!(operator = %who, event.id = id, "an event is told anew, by the console");
            note(desk, stream, id).await;
            Ok(Answer::Go(sent.back().address(From::Below, Some("replayed"))))
        }
        Replay::UnderWay => refused(
            StatusCode::CONFLICT,
            "正在发送，请一分钟后再看。",
            "It is being sent just now. Look again in a minute.",
        ),
        Replay::SentSince => refused(
            StatusCode::CONFLICT,
            "打开页面之后它已发送过。请查看结果，需要时再重新发送。",
            "It was sent since this page was opened. Look what became of it, and replay it then.",
        ),
        Replay::Unknown => refused(
            StatusCode::NOT_FOUND,
            "没有此编号的通知。",
            "There is no event of this id.",
        ),
    }
}

/// Writes down in the history of the order or transfer who wished it.
async fn note(desk: &Desk<'_>, stream: String, event_id: &str) {
    let about = match stream.split_once('/') {
        Some(("transfer", number)) => About::Transfer(number.to_owned()),
        // An anomaly's event is in no history of its own.
        Some(_) => return,
        None => About::Order {
            number: Some(stream),
            transaction: None,
        },
    };
    let request = Request {
        about,
        action: "webhooks_replay",
        subject: event_id.to_owned(),
        who: desk.session.visitor.to_string(),
        outcome: "OK",
    };
    remember::request(desk.app, request).await;
}
