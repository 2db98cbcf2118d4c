//! This service's own address as the browser of a request sees it, and what that browser keeps for it.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use cookie::{Cookie, SameSite};
use url::Url;

use crate::config::WebAuthorization;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where browsers find this service. Whoever sends another `Host` moves only their own browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OwnAddress(Url);

impl OwnAddress {
    /// `publicUrl`, else what the request says; `None` when it says nothing usable.
    pub(crate) fn of(settings: &WebAuthorization, headers: &HeaderMap) -> Option<Self> {
        Self::known_as(settings.public_url.as_ref(), headers)
    }

    /// The same for whoever needs no web authorization.
    pub(crate) fn known_as(public_url: Option<&Url>, headers: &HeaderMap) -> Option<Self> {
        if let Some(url) = public_url {
            return Some(Self(url.clone()));
        }
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(&HOST)?;
        let url = Url::parse(&format!("https://{host}/")).ok()?;
        let only_host = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !only_host || !url.username().is_empty() || url.password().is_some() || host.contains(['/', '\\']) {
            return None;
        }
        // Without a proxy's word: nobody but a developer opens pages on the machine itself, and there without TLS.
        let plain = match text(&FORWARDED_PROTO) {
            Some(proto) => proto
                .split(',')
                .next()
                .is_some_and(|first| first.trim().eq_ignore_ascii_case("http")),
            None => crate::config::is_loopback(&url),
        };
        let url = if plain {
            Url::parse(&format!("http://{host}/")).ok()?
        } else {
            url
        };
        Some(Self(url))
    }

    /// A path of this service as a whole address. `path` begins with a slash.
    pub(crate) fn address_of(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str().trim_end_matches('/'))
    }

    /// Whether browsers reach it by TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// A path of this service as a browser sees it: below the path of the service, where that has one. `path` begins with a slash.
    pub(crate) fn path_of(&self, path: &str) -> String {
        format!("{}{path}", self.0.path().trim_end_matches('/'))
    }

    /// Whether the request comes from one of this service's own pages, or from no page at all. A browser says `Origin` with every
    /// request that could do harm.
    pub(crate) fn is_where_it_comes_from(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => headers
                .get(FETCH_SITE)
                .is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none")),
            (Some(origin), None) => origin.as_bytes() == self.0.origin().ascii_serialization().as_bytes(),
            (Some(_), Some(_)) => false,
        }
    }

    /// The name of a cookie that no other site of the same domain can plant. Without TLS browsers know no such name.
    fn name(&self, name: &str) -> String {
        let prefix = if self.is_https() { "__Host-" } else { "" };
        format!("{prefix}{name}")
    }

    /// The value of a cookie of that name, when there is exactly one.
    pub(crate) fn cookie(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        only_cookie(headers, &self.name(name))
    }

    /// The header that has a browser keep a value for so many seconds.
    pub(crate) fn keep(&self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        let mut cookie = Cookie::new(self.name(name), value.to_owned());
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_secure(true);
        // It comes along when WeChat sends the browser back, and with no request that another site makes it send.
        cookie.set_same_site(SameSite::Lax);
        HeaderValue::from_str(&format!("{cookie}; Max-Age={seconds}")).ok()
    }
}

/// The value of the cookie of exactly that name, when there is exactly one.
pub(crate) fn only_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all
        .flat_map(|value| Cookie::split_parse(value.to_owned()).filter_map(Result::ok))
        .filter(|cookie| cookie.name() == name);
    let one = found.next()?;
    found.next().is_none().then(|| one.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn settings(public_url: Option<&str>) -> WebAuthorization {
        WebAuthorization::of(public_url.map(|url| Url::parse(url).unwrap()))
    }

    #[test]
    fn the_address_is_the_setting_else_what_the_request_says() {
        for (public_url, said, expected) in [
            (
                Some("https://pay.example.com/fn"),
                vec![("host", "evil.example")],
                Some("https://pay.example.com/fn/x"),
            ),
            (
                None,
                vec![("host", "pay.example.com")],
                Some("https://pay.example.com/x"),
            ),
            (
                None,
                vec![("host", "pay.example.com:8443")],
                Some("https://pay.example.com:8443/x"),
            ),
            (None, vec![("host", "127.0.0.1:3000")], Some("http://127.0.0.1:3000/x")),
            (
                None,
                vec![("host", "localhost:3000"), ("x-forwarded-proto", "https")],
                Some("https://localhost:3000/x"),
            ),
            (
                None,
                vec![("host", "pay.example.com"), ("x-forwarded-proto", "http, https")],
                Some("http://pay.example.com/x"),
            ),
            (None, vec![("host", "a@evil.example")], None),
            (None, vec![("host", "evil.example/?")], None),
            (None, vec![("host", "")], None),
            (None, vec![], None),
        ] {
            let address = OwnAddress::of(&settings(public_url), &headers(&said));
            assert_eq!(address.map(|own| own.address_of("/x")).as_deref(), expected, "{said:?}");
        }
    }

    #[test]
    fn only_its_own_pages_are_its_own() {
        let own = OwnAddress::of(&settings(Some("https://pay.example.com")), &HeaderMap::new()).unwrap();
        for (said, expected) in [
            (vec![], true),
            (vec![("origin", "https://pay.example.com")], true),
            (
                vec![("origin", "https://pay.example.com"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("origin", "https://shop.example.com")], false),
            (vec![("origin", "http://pay.example.com")], false),
            (vec![("origin", "https://pay.example.com.evil.example")], false),
            (vec![("origin", "null")], false),
            (
                vec![
                    ("origin", "https://pay.example.com"),
                    ("origin", "https://evil.example"),
                ],
                false,
            ),
        ] {
            assert_eq!(own.is_where_it_comes_from(&headers(&said)), expected, "{said:?}");
        }
    }

    #[test]
    fn a_cookie_is_one_value_under_a_name_that_nobody_else_can_plant() {
        let own = OwnAddress::of(&settings(Some("https://pay.example.com")), &HeaderMap::new()).unwrap();
        for (said, expected) in [
            (vec![("cookie", "a=b; __Host-pay_session=x.y.z")], Some("x.y.z")),
            (vec![("cookie", "a=b"), ("cookie", "__Host-pay_session=x")], Some("x")),
            (vec![("cookie", "pay_session=planted")], None),
            (vec![("cookie", "__Host-pay_session=x; __Host-pay_session=y")], None),
            (vec![("cookie", ";;;=; __Host-pay_session")], None),
            (vec![], None),
        ] {
            assert_eq!(
                own.cookie(&headers(&said), "pay_session").as_deref(),
                expected,
                "{said:?}"
            );
        }
        assert_eq!(
            own.keep("pay_session", "x.y.z", 60).unwrap(),
            "__Host-pay_session=x.y.z; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"
        );
    }
}
