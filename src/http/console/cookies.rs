//! What a browser keeps for the console: its session, and the language that was chosen.

use axum::http::{HeaderMap, HeaderValue};
use cookie::{Cookie, SameSite};

use crate::http::origin::{OwnAddress, only_cookie};
use crate::http::text::Language;

const SESSION: &str = "pay_console";
const LANGUAGE: &str = "pay_console_language";

/// How long a choice of language is kept, in seconds.
const LANGUAGE_S: i64 = 365 * 86_400;

/// The session that a browser keeps.
pub(super) fn session(own: &OwnAddress, headers: &HeaderMap) -> Option<String> {
    only_cookie(headers, &session_name(own))
}

/// Has a browser keep a session for so many seconds; with 0, forget it.
pub(super) fn keep_session(own: &OwnAddress, session: &str, seconds: i64) -> Option<HeaderValue> {
    keep(own, session_name(own), session, seconds)
}

/// The language that was chosen in this browser.
pub(super) fn language(headers: &HeaderMap) -> Option<Language> {
    language_of(&only_cookie(headers, LANGUAGE)?)
}

/// Has a browser keep it.
pub(super) fn keep_language(own: &OwnAddress, language: Language) -> Option<HeaderValue> {
    keep(own, LANGUAGE.to_owned(), short(language), LANGUAGE_S)
}

/// A language by the short name that an address has.
pub(super) fn language_of(name: &str) -> Option<Language> {
    [Language::Chinese, Language::English]
        .into_iter()
        .find(|language| short(*language) == name)
}

/// Its short name.
pub(super) const fn short(language: Language) -> &'static str {
    language.pick("zh", "en")
}

/// With TLS, a name that nobody plants without it. Not `__Host-`, which would send it along to every path of the service.
fn session_name(own: &OwnAddress) -> String {
    let prefix = if own.is_https() { "__Secure-" } else { "" };
    format!("{prefix}{SESSION}")
}

fn keep(own: &OwnAddress, name: String, value: &str, seconds: i64) -> Option<HeaderValue> {
    let mut cookie = Cookie::new(name, value.to_owned());
    cookie.set_path(own.path_of("/console"));
    cookie.set_http_only(true);
    cookie.set_secure(own.is_https());
    cookie.set_same_site(SameSite::Strict);
    HeaderValue::from_str(&format!("{cookie}; Max-Age={seconds}")).ok()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn own(url: &str) -> OwnAddress {
        OwnAddress::known_as(Some(&Url::parse(url).unwrap()), &HeaderMap::new()).unwrap()
    }

    #[test]
    fn a_session_is_sent_to_the_console_only_and_with_tls_by_tls_only() {
        for (url, expected) in [
            (
                "https://pay.example.com",
                "__Secure-pay_console=a.b.c; HttpOnly; SameSite=Strict; Secure; Path=/console; Max-Age=60",
            ),
            (
                "https://pay.example.com/fn/",
                "__Secure-pay_console=a.b.c; HttpOnly; SameSite=Strict; Secure; Path=/fn/console; Max-Age=60",
            ),
            (
                "http://127.0.0.1:3000",
                "pay_console=a.b.c; HttpOnly; SameSite=Strict; Path=/console; Max-Age=60",
            ),
        ] {
            assert_eq!(keep_session(&own(url), "a.b.c", 60).unwrap(), expected);
        }
    }

    #[test]
    fn without_the_prefix_a_cookie_is_not_a_session_of_a_service_behind_tls() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", "pay_console=planted".parse().unwrap());
        assert_eq!(session(&own("https://pay.example.com"), &headers), None);
        assert_eq!(session(&own("http://127.0.0.1"), &headers).as_deref(), Some("planted"));
    }
}
