//! What a page is made with, and what it is made of.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::places::{Deed, Page, Way};
use super::visit::Visit;
use crate::app::App;
use crate::auth::operators::Session;

/// What a page answers.
pub(super) enum Answer {
    /// A page, without what all pages have alike.
    Page {
        status: StatusCode,
        title: String,
        body: Markup,
    },
    /// Another page, by its relative address.
    Go(String),
}

impl Answer {
    /// A page that is as it should be.
    pub(super) fn page(title: impl Into<String>, body: Markup) -> Self {
        Self::with(StatusCode::OK, title, body)
    }

    /// A page with that status.
    pub(super) fn with(status: StatusCode, title: impl Into<String>, body: Markup) -> Self {
        Self::Page {
            status,
            title: title.into(),
            body,
        }
    }
}

/// A request of somebody who is known.
pub(super) struct Desk<'a> {
    pub(super) app: &'a App,
    pub(super) visit: &'a Visit,
    pub(super) session: &'a Session,
}

impl<'a> Desk<'a> {
    pub(super) const fn new(app: &'a App, visit: &'a Visit, session: &'a Session) -> Self {
        Self { app, visit, session }
    }

    /// Of two texts that say the same, the one that this visitor reads.
    pub(super) const fn say<'t>(&self, chinese: &'t str, english: &'t str) -> &'t str {
        self.visit.say(chinese, english)
    }

    /// The address of a page.
    pub(super) fn to(&self, page: Page, query: &[(&str, &str)]) -> String {
        self.visit.from.to(page, query)
    }

    /// A form that does something and comes back to this page.
    pub(super) fn form(&self, deed: Deed, page: Page, fields: &[(&str, &str)], inside: &Markup) -> Markup {
        let back = Way::of(page, &self.visit.query).text();
        html! {
            form method="post" action=(self.visit.from.deed(deed)) {
                input type="hidden" name="token" value=(self.session.form_token);
                input type="hidden" name="back" value=(back);
                @for (name, value) in fields {
                    input type="hidden" name=(name) value=(value);
                }
                (inside)
            }
        }
    }
}
