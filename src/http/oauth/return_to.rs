//! Where a browser may be sent after WeChat: a page of this service, or one of the listed origins. Anything else would make this
//! service a signpost for whoever wants to look like the merchant.

use url::Url;

use super::OwnAddress;
use crate::config::WebAuthorization;

/// Longest address; it is kept in a cookie, of which browsers take 4 KB.
const MOST_BYTES: usize = 1024;

/// The address, as the parser of addresses understands it; `None` when nobody may be sent there.
pub(super) fn allowed(wanted: &str, settings: &WebAuthorization, own: &OwnAddress) -> Option<String> {
    // Browsers drop some of these and read on; a backslash is a slash to them.
    let is_plain = wanted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if wanted.len() > MOST_BYTES || !is_plain {
        return None;
    }
    let own_base = Url::parse(&own.address_of("/")).ok()?;
    let url = if wanted.starts_with('/') && !wanted.starts_with("//") {
        Url::parse(&own.address_of(wanted)).ok()?
    } else {
        Url::parse(wanted).ok()?
    };
    let origin = url.origin();
    let known = origin == own_base.origin()
        || settings
            .return_origins
            .iter()
            .any(|known| *known == origin.ascii_serialization());
    let is_page = matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    // On the way it would lead back here.
    let is_circle = origin == own_base.origin() && url.path().contains("/oauth/");
    (known && is_page && !is_circle).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    #[test]
    fn only_a_page_of_this_service_or_of_a_listed_origin_is_returned_to() {
        let settings = WebAuthorization::of(Url::parse("https://pay.example.com").ok());
        let own = OwnAddress::of(&settings, &HeaderMap::new()).unwrap();
        for (wanted, expected) in [
            ("/pay", Some("https://pay.example.com/pay")),
            (
                "/pay?order_ticket=a.b.c#x",
                Some("https://pay.example.com/pay?order_ticket=a.b.c#x"),
            ),
            ("https://pay.example.com/pay", Some("https://pay.example.com/pay")),
            (
                "https://shop.example.com/order/1?a=b",
                Some("https://shop.example.com/order/1?a=b"),
            ),
            ("https://shop.example.com", Some("https://shop.example.com/")),
            ("https://shop.example.com:8443/", None),
            ("http://shop.example.com/", None),
            ("https://shop.example.com.evil.example/", None),
            ("https://shop.example.com@evil.example/", None),
            ("https://user@shop.example.com/", None),
            ("https://evil.example/?https://shop.example.com", None),
            ("//evil.example/", None),
            ("/\\evil.example/", None),
            ("\\\\evil.example", None),
            ("https:\\\\evil.example", None),
            ("/\t/evil.example", None),
            ("https:evil.example", None),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("/oauth/authorize", None),
            ("https://pay.example.com/oauth/callback?code=x", None),
            ("pay", None),
            ("", None),
        ] {
            assert_eq!(allowed(wanted, &settings, &own).as_deref(), expected, "{wanted:?}");
        }
        let long = format!("/pay?{}", "x".repeat(MOST_BYTES));
        assert_eq!(allowed(&long, &settings, &own), None);
    }
}
