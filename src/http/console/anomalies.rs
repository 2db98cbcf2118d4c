//! What is genuine and does not fit, and that somebody has seen to it.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::desk::{Answer, Desk};
use super::form::Sent;
use super::listing::{self, ROWS};
use super::places::{Deed, From, Page};
use super::shown::{maybe_time, time};
use crate::domain::anomaly::{AnomalyKind, Note};
use crate::http::failure::Failure;
use crate::store::anomalies::{self as store, Kept, Resolved, Wanted, Which};

pub(super) async fn page(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let which = match desk.visit.asked("which") {
        Some("resolved") => Which::Resolved,
        Some("all") => Which::All,
        Some(_) | None => Which::Open,
    };
    let chosen = desk.visit.asked("kind").and_then(AnomalyKind::parse);
    let wanted = Wanted {
        which,
        kind: chosen,
        after: desk.visit.asked("after").map(str::to_owned),
        most: ROWS.saturating_add(1),
    };
    let mut found = store::list(&desk.app.db, &wanted).await?;
    let next = listing::cut(&mut found, |kept| &kept.anomaly_id);
    let choices = [
        ("open", desk.say("待处理", "Open")),
        ("resolved", desk.say("已处理", "Resolved")),
        ("all", desk.say("全部", "All")),
    ];
    let body = html! {
        (listing::choices(desk, Page::Anomalies, "which", desk.say("状态", "State"), &choices))
        form.filter method="get" action=(desk.to(Page::Anomalies, &[])) {
            @if let Some(which) = desk.visit.asked("which") { input type="hidden" name="which" value=(which); }
            label for="kind" { (desk.say("类别", "Kind")) }
            select id="kind" name="kind" {
                option value="" { (desk.say("全部", "All")) }
                @for kind in AnomalyKind::ALL {
                    option value=(kind.as_str()) selected[chosen == Some(kind)] { (kind.as_str()) }
                }
            }
            button type="submit" { (desk.say("筛选", "Filter")) }
        }
        @if found.is_empty() { p { (desk.say("没有符合条件的异常。", "There is no such anomaly.")) } }
        @else { (table(desk, Page::Anomalies, &found)) }
        (listing::pages(desk, Page::Anomalies, next.as_deref()))
    };
    Ok(Answer::page(desk.say("异常", "Anomalies"), body))
}

/// Anomalies in a list.
pub(super) fn table(desk: &Desk<'_>, page: Page, found: &[Kept]) -> Markup {
    let names = [
        desk.say("时间", "When"),
        desk.say("对象", "About"),
        desk.say("类别与处理建议", "Kind, and what to do"),
        desk.say("处理", "Resolution"),
    ];
    let rows: Vec<Vec<Markup>> = found
        .iter()
        .map(|kept| {
            vec![
                time(kept.created_at),
                html! { a href=(desk.to(Page::Search, &[("q", &kept.subject)])) { code { (kept.subject) } } },
                html! { (kind(desk, &kept.kind)) @if let Some(cure) = cure(desk, &kept.kind) { br; span.meaning { (cure) } } },
                resolution(desk, page, kept),
            ]
        })
        .collect();
    listing::table(desk.say("异常", "Anomalies"), &names, &rows)
}

fn resolution(desk: &Desk<'_>, page: Page, kept: &Kept) -> Markup {
    if kept.resolved_at.is_none() {
        return form(desk, page, &kept.anomaly_id, &kept.kind);
    }
    html! {
        (maybe_time(kept.resolved_at))
        @if let Some(by) = &kept.resolved_by { br; (by) }
        @if let Some(note) = &kept.note { br; span.note { (note) } }
    }
}

/// A kind, by its name.
pub(super) fn kind(desk: &Desk<'_>, name: &str) -> Markup {
    html! { code title=[cure(desk, name)] { (name) } }
}

/// What it means and what to do about it; `None` of a kind that a newer version knows.
fn cure(desk: &Desk<'_>, name: &str) -> Option<&'static str> {
    let (english, chinese) = AnomalyKind::parse(name)?.meaning();
    Some(desk.say(chinese, english))
}

/// The form by which somebody says that they have seen to it.
pub(super) fn form(desk: &Desk<'_>, page: Page, id: &str, name: &str) -> Markup {
    let field = format!("note-{id}");
    let inside = html! {
        label for=(field) { (desk.say("处理说明（1 到 1000 字）", "What was found and done (1 to 1000 characters)")) }
        textarea id=(field) name="note" required maxlength="1000" rows="3" {}
        button type="submit" { (desk.say("标记为已处理", "Mark as resolved")) }
    };
    html! {
        details.deed {
            summary { (desk.say("处理", "Resolve")) span.unseen { " " (name) } }
            (desk.form(Deed::Resolve, page, &[("id", id)], &inside))
        }
    }
}

/// Writes down that somebody has seen to an anomaly.
pub(super) async fn resolve(desk: &Desk<'_>, sent: &Sent) -> Result<Answer, Failure> {
    let (id, who) = (sent.get("id"), &desk.session.visitor);
    let Some(note) = Note::parse(sent.get("note")) else {
        let why = desk.say("处理说明应为 1 到 1000 个字符。", "A note has 1 to 1000 characters.");
        return Ok(not_done(desk, sent, StatusCode::UNPROCESSABLE_ENTITY, &html! { (why) }));
    };
    let now = desk.app.clock.now_ms();
    match store::resolve(&desk.app.db, id, &note, &who.to_string(), now).await? {
        Resolved::Now(kept) => {
            tracing::info!(
                operator = %who,
                anomaly.id = kept.anomaly_id,
                anomaly.kind = kept.kind,
                "an anomaly was resolved on the console"
            );
            Ok(Answer::Go(sent.back().address(From::Below, Some("resolved"))))
        }
        Resolved::Before(kept) => {
            let why = html! {
                (desk.say("此前已处理，首次的说明不变：", "It was resolved before, and the first note stays: "))
                (resolution(desk, Page::Anomalies, &kept))
            };
            Ok(not_done(desk, sent, StatusCode::CONFLICT, &why))
        }
        Resolved::Unknown => {
            let why = desk.say("没有此编号的异常。", "There is no anomaly of this id.");
            Ok(not_done(desk, sent, StatusCode::NOT_FOUND, &html! { (why) }))
        }
    }
}

/// What is said of something that was not done, with the way back.
pub(super) fn not_done(desk: &Desk<'_>, sent: &Sent, status: StatusCode, why: &Markup) -> Answer {
    let body = html! {
        p role="alert" { (why) }
        p { a href=(sent.back().address(From::Below, None)) { (desk.say("返回", "Back")) } }
    };
    Answer::with(status, desk.say("没有执行", "Nothing was done"), body)
}
