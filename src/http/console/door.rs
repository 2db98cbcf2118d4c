//! Who is let in, and who is not.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use maud::{Markup, html};

use super::desk::Desk;
use super::form::Sent;
use super::page;
use super::places::{Deed, From, Page, Way};
use super::visit::Visit;
use crate::app::App;
use crate::auth::operators::{SESSION_S, given_name};
use crate::http::failure::Failure;

/// Longest key that is compared, in bytes.
const LONGEST_KEY: usize = 1024;

const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// What somebody sees who has no session.
pub(super) fn shut(visit: &Visit, page: Page) -> Response {
    let wanted = Way::of(page, &visit.query);
    if visit.comes_by_a_foreign_link() {
        return knock_again(visit);
    }
    if page == Page::Overview {
        let next = visit.asked("next").and_then(Way::parse).unwrap_or_else(Way::top);
        return sign_in_page(visit, StatusCode::OK, &next, None);
    }
    page::go(&From::Below.to(Page::Overview, &[("next", &wanted.text())]))
}

/// A browser that follows a link of another site's keeps its session to itself; when this page asks for itself again, it does not.
fn knock_again(visit: &Visit) -> Response {
    let body = html! { p { a href="" { (visit.say("继续", "Go on")) } } };
    let title = visit.say("请稍候", "One moment");
    let mut response = page::whole(visit, None, None, StatusCode::OK, title, &body);
    response.headers_mut().insert(REFRESH, HeaderValue::from_static("0"));
    response
}

/// The session ended before the form was sent. Nothing was done.
pub(super) fn over(visit: &Visit, back: &Way) -> Response {
    let why = visit.say(
        "会话已结束，刚才的操作没有执行。请重新登录后再试。",
        "Your session is over, and nothing was done. Sign in and try again.",
    );
    sign_in_page(visit, StatusCode::UNAUTHORIZED, back, Some(why))
}

/// What was sent comes from a page that is not of this console, or of another session.
pub(super) fn foreign(visit: &Visit) -> Response {
    let text = html! {
        (visit.say(
            "该请求不是由本控制台当前会话的页面发出，没有执行任何操作。请重新打开页面再试；若反复出现，请通过 https 访问，并检查 ",
            "This was not sent by a page of this console and session, and nothing was done. Open the page again; if this comes back, use https and check ",
        ))
        code { "publicUrl" }
        (visit.say(" 与 Host。", " and Host."))
    };
    let title = visit.say("已拒绝", "Refused");
    page::notice(visit, None, StatusCode::FORBIDDEN, title, &text)
}

/// Lets somebody in who has a key.
pub(super) fn sign_in(app: &App, visit: &Visit, sent: &Sent) -> Response {
    let next = Way::parse(sent.get("next")).unwrap_or_else(Way::top);
    // Before the key is looked at: a right one is told from a wrong one as seldom as anything.
    if let Err(too_many) = app.limits.admit().and_then(|()| app.limits.admit_sign_in()) {
        tracing::warn!("too many tries to be let into the console");
        return page::failure(visit, None, &Failure::from(too_many));
    }
    let key = sent.get("key").trim();
    let exp = app.clock.now().as_second().saturating_add(SESSION_S);
    let admitted = if key.len() > LONGEST_KEY {
        Ok(None)
    } else {
        app.operators.admit(key, given_name(sent.get("name")), exp)
    };
    match admitted {
        Ok(Some((visitor, session))) => {
            tracing::info!(operator = %visitor, "an operator is let into the console");
            let mut response = page::go(&next.address(From::Below, None));
            visit.keep_session(&mut response, &session);
            response
        }
        Ok(None) => {
            tracing::warn!("somebody with a wrong key is not let into the console");
            let why = visit.say("密钥不正确。", "This is not an operator key.");
            sign_in_page(visit, StatusCode::UNAUTHORIZED, &next, Some(why))
        }
        Err(error) => page::failure(visit, None, &Failure::Internal(error.to_string())),
    }
}

/// Where somebody goes who leaves.
pub(super) fn sign_out(desk: &Desk<'_>) -> String {
    tracing::info!(operator = %desk.session.visitor, "an operator leaves the console");
    Way::top().address(From::Below, Some("signed-out"))
}

fn sign_in_page(visit: &Visit, status: StatusCode, next: &Way, why: Option<&str>) -> Response {
    let body = html! {
        @if let Some(why) = why { p.wrong role="alert" id="why" { (why) } }
        form.sign-in method="post" action=(visit.from.deed(Deed::SignIn)) {
            input type="hidden" name="next" value=(next.text());
            (field(
                visit.say("你的名字（可不填，记入操作记录）", "Your name (optional, kept with what you do)"),
                &html! { input type="text" id="name" name="name" maxlength="40" autocomplete="username" spellcheck="false"; },
                "name",
            ))
            (field(
                visit.say("运维密钥", "Operator key"),
                &html! { input type="password" id="key" name="key" required maxlength="1024" autocomplete="current-password"
                    placeholder="op_..." aria-describedby=[why.map(|_| "why")] aria-invalid=[why.map(|_| "true")]; },
                "key",
            ))
            button type="submit" { (visit.say("登录", "Sign in")) }
        }
    };
    let title = visit.say("登录", "Sign in");
    page::whole(visit, None, None, status, title, &body)
}

fn field(name: &str, input: &Markup, id: &str) -> Markup {
    html! { p { label for=(id) { (name) } (input) } }
}
