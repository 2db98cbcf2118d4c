//! What a request's connection says beside its caller: the page it comes from, and the address behind the proxies.

use std::net::{IpAddr, SocketAddr};

use reqwest::header::{HeaderMap, ORIGIN};

/// Where a request comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// The page's origin, as the browser says it; nobody but a browser is bound to the truth.
    pub(crate) origin: Option<String>,
    /// The first address of `x-forwarded-for`. It proves nothing: only what a request may say by itself is ever taken from it.
    pub(crate) address: Option<IpAddr>,
}

impl Connection {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
        Self {
            origin: headers.get(ORIGIN).and_then(text),
            address: headers
                .get("x-forwarded-for")
                .and_then(text)
                .and_then(|forwarded| first_address(&forwarded)),
        }
    }
}

fn first_address(forwarded: &str) -> Option<IpAddr> {
    let first = forwarded.split(',').next()?.trim();
    let with_port = || first.parse::<SocketAddr>().ok().map(|address| address.ip());
    first.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_is_the_payers() {
        for (forwarded, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7, 10.0.0.1", Some("203.0.113.7")),
            ("203.0.113.7:4711,10.0.0.1", Some("203.0.113.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("unknown, 203.0.113.7", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            let address = Connection::of(&headers).address.map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{forwarded:?}");
        }
    }
}
