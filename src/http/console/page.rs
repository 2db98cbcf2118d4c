//! What all pages have alike: the frame around them, and what a browser may do with them.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use super::cookies::short;
use super::places::{Deed, Page};
use super::visit::Visit;
use crate::auth::operators::Session;
use crate::http::failure::Failure;
use crate::http::text::Language;

/// A page shows text and sends forms, and loads a style and an icon. There is no script.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The page with everything around it. `here` is the one that is looked at, where it is one.
pub(super) fn whole(
    visit: &Visit,
    session: Option<&Session>,
    here: Option<Page>,
    status: StatusCode,
    title: &str,
    body: &Markup,
) -> Response {
    let from = visit.from;
    let markup = html! {
        (DOCTYPE)
        html lang=(visit.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · pay-common" }
                link rel="icon" href=(from.file("/pay/icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(from.file("/console/console.css"));
            }
            body {
                a.skip href="#main" { (visit.say("跳到正文", "Skip to the content")) }
                header {
                    p.brand { "pay-common " span { (visit.say("运维控制台", "console")) } }
                    @if let Some(session) = session { (navigation(visit, here, session)) }
                    @if let Some(link) = other_language(visit) { (link) }
                }
                main id="main" tabindex="-1" {
                    h1 { (title) }
                    (said(visit))
                    (body)
                }
                footer { p { (visit.say("时间均为北京时间（UTC+8），金额单位为元。", "Times are Beijing time (UTC+8), amounts are in yuan.")) } }
            }
        }
    };
    let mut response = (status, markup.into_string()).into_response();
    protect(&mut response);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

fn navigation(visit: &Visit, here: Option<Page>, session: &Session) -> Markup {
    let pages = [
        (Page::Overview, visit.say("概览", "Overview")),
        (Page::Orders, visit.say("订单", "Orders")),
        (Page::Anomalies, visit.say("异常", "Anomalies")),
        (Page::Webhooks, visit.say("通知", "Webhooks")),
    ];
    let number = visit.say("任一编号", "Any number");
    html! {
        nav aria-label=(visit.say("页面", "Pages")) {
            ul {
                @for (page, name) in pages {
                    li { a href=(visit.from.to(page, &[])) aria-current=[(here == Some(page)).then_some("page")] { (name) } }
                }
            }
        }
        search {
            form method="get" action=(visit.from.to(Page::Search, &[])) {
                label.unseen for="q" { (number) }
                input type="search" id="q" name="q" required maxlength="4096" autocomplete="off" spellcheck="false"
                    placeholder=(number) value=[visit.asked("q").filter(|_| here == Some(Page::Search))];
                button type="submit" { (visit.say("查找", "Search")) }
            }
        }
        form.who method="post" action=(visit.from.deed(Deed::SignOut)) {
            input type="hidden" name="token" value=(session.form_token);
            span { (session.visitor) }
            button type="submit" { (visit.say("退出", "Sign out")) }
        }
    }
}

/// The same page in the other language. What was sent by a form cannot be asked for again.
fn other_language(visit: &Visit) -> Option<Markup> {
    if !visit.is_get {
        return None;
    }
    let (other, name) = match visit.language {
        Language::Chinese => (Language::English, "English"),
        Language::English => (Language::Chinese, "中文"),
    };
    let kept = visit.query.iter().filter(|(name, _)| name != "lang" && name != "said");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("lang", short(other))
        .finish();
    Some(html! { a.language href={ "?" (query) } lang=(other.tag()) hreflang=(other.tag()) { (name) } })
}

/// What was done just before. Only these words can be said there, whatever the address says.
fn said(visit: &Visit) -> Markup {
    let text = visit.asked("said").and_then(|said| match said {
        "resolved" => Some(visit.say("已标记为已处理。", "It is marked as resolved.")),
        "replayed" => Some(visit.say("将重新发送。", "It will be told anew.")),
        "signed-out" => Some(visit.say("已退出。", "You are signed out.")),
        _ => None,
    });
    html! { @if let Some(text) = text { p.said role="status" { (text) } } }
}

/// A page of one sentence or two: what is wrong, and what helps.
pub(super) fn notice(
    visit: &Visit,
    session: Option<&Session>,
    status: StatusCode,
    title: &str,
    text: &Markup,
) -> Response {
    let body = html! { p role="alert" { (text) } p { a href=(visit.from.to(Page::Overview, &[])) { (visit.say("回到概览", "To the overview")) } } };
    whole(visit, session, None, status, title, &body)
}

/// What a request cannot have, as a page.
pub(super) fn failure(visit: &Visit, session: Option<&Session>, failure: &Failure) -> Response {
    failure.log("console");
    let title = match failure {
        Failure::NotFound => visit.say("没有这个页面", "There is no such page"),
        Failure::TooMany(_) => visit.say("请求过多", "Too many requests"),
        _ => visit.say("未能完成", "That did not work"),
    };
    let text = failure.text();
    let text = html! { (text.in_language(visit.language)) " " code { (failure.constant()) } };
    let mut response = notice(visit, session, failure.status(), title, &text);
    if let Some(seconds) = failure.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What there is to see where no key is configured.
pub(super) fn no_keys(visit: &Visit) -> Response {
    let text = html! {
        (visit.say("控制台未启用：请在设置 ", "The console is off: set "))
        code { "operatorKeys" }
        (visit.say(" 中填入运维密钥的 SHA-256，然后重启：", " to the SHA-256 of an operator key and start again: "))
        code { "printf %s op_... | sha256sum" }
    };
    let body = html! { p role="alert" { (text) } };
    let title = visit.say("控制台未启用", "The console is off");
    whole(visit, None, None, StatusCode::NOT_FOUND, title, &body)
}

/// Sends the browser to another page.
pub(super) fn go(address: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // Every address is made of names that are written here and of a query that is encoded.
    if let Ok(location) = HeaderValue::from_str(address) {
        response.headers_mut().insert(LOCATION, location);
    }
    protect(&mut response);
    response
}

fn protect(response: &mut Response) {
    let fixed = HeaderValue::from_static;
    response.headers_mut().extend([
        (CACHE_CONTROL, fixed("no-store")),
        (CONTENT_SECURITY_POLICY, fixed(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (X_FRAME_OPTIONS, fixed("DENY")),
        // Not `no-referrer`: with it, browsers hide the origin of what a page posts to its own server.
        (REFERRER_POLICY, fixed("same-origin")),
        (VARY, fixed("Accept-Language, Cookie")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            fixed("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            fixed("same-origin"),
        ),
    ]);
}
