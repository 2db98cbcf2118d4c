//! A request, as far as it is known before anything is looked up.

use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::Response;
use url::form_urlencoded;

use super::cookies;
use super::places::{From, Page};
use crate::app::App;
use crate::auth::operators::{SESSION_S, Session};
use crate::auth::session::NoSession;
use crate::http::origin::OwnAddress;
use crate::http::text::Language;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Longest value of a query that is looked at, in bytes. An order ticket is the longest thing that anybody searches for.
const LONGEST_VALUE: usize = 4096;

/// A request.
pub(super) struct Visit {
    pub(super) language: Language,
    /// The language was chosen by this request.
    chooses: bool,
    pub(super) from: From,
    own: OwnAddress,
    headers: HeaderMap,
    /// What stands in the address after the question mark.
    pub(super) query: Vec<(String, String)>,
    /// Whether it asks for a page that can be asked for again.
    pub(super) is_get: bool,
}

impl Visit {
    /// `None` when the service does not know its own address.
    pub(super) fn of(app: &App, parts: &Parts) -> Option<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .filter(|(_, value)| value.len() <= LONGEST_VALUE)
            .take(16)
            .collect();
        let chosen = first(&query, "lang").and_then(cookies::language_of);
        let kept = || cookies::language(&parts.headers);
        Some(Self {
            language: chosen.or_else(kept).unwrap_or_else(|| Language::of(&parts.headers)),
            chooses: chosen.is_some(),
            from: if parts.uri.path() == Page::Overview.path() {
                From::Top
            } else {
                From::Below
            },
            own: OwnAddress::known_as(app.config.public_url.as_ref(), &parts.headers)?,
            headers: parts.headers.clone(),
            query,
            is_get: parts.method == Method::GET || parts.method == Method::HEAD,
        })
    }

    /// Of two texts that say the same, the one that this visitor reads.
    pub(super) const fn say<'a>(&self, chinese: &'a str, english: &'a str) -> &'a str {
        self.language.pick(chinese, english)
    }

    /// A value of the query; the first of that name.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// Who sits in front of the browser.
    pub(super) fn session(&self, app: &App) -> Option<Session> {
        let kept = cookies::session(&self.own, &self.headers)?;
        match app.operators.open(&kept, app.clock.now().as_second()) {
            Ok(session) => Some(session),
            Err(NoSession::Over) => None,
            Err(NoSession::NotSigned) => {
                tracing::info!("a session of the console is not signed by a key that is known");
                None
            }
        }
    }

    /// Whether what was sent comes from one of this service's own pages, or from no page at all.
    pub(super) fn is_of_own_page(&self) -> bool {
        self.own.is_where_it_comes_from(&self.headers)
    }

    /// Whether the browser comes by a link on a page of somebody else's: then it keeps its session to itself.
    pub(super) fn comes_by_a_foreign_link(&self) -> bool {
        self.is_get && self.headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site")
    }

    /// Has the browser keep a session.
    pub(super) fn keep_session(&self, response: &mut Response, session: &str) {
        let cookie = cookies::keep_session(&self.own, session, SESSION_S);
        if let Some(cookie) = cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }

    /// Has the browser forget it.
    pub(super) fn forget_session(&self, response: &mut Response) {
        let cookie = cookies::keep_session(&self.own, "", 0);
        if let Some(cookie) = cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }

    /// Has the browser keep the language that was chosen.
    pub(super) fn keep_language(&self, response: &mut Response) {
        if let Some(cookie) = cookies::keep_language(&self.own, self.language).filter(|_| self.chooses) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

fn first<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = query.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}
