//! Whose pages may read the answers: the origins of `corsAllowOrigin`.

use url::Url;

use super::read::Reader;

/// The pages that a browser lets read the answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cors {
    /// Nobody else's: the gateway answers browsers, or there are none.
    Off,
    /// Everybody's (`*`).
    Any,
    /// Those of these origins, in the form in which a browser names them.
    Of(Vec<String>),
}

impl Cors {
    /// Whether pages of this origin may read the answers. `origin` is the header `Origin`, as a browser sends it.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Off => false,
            Self::Any => true,
            Self::Of(origins) => origins.iter().any(|known| known == origin),
        }
    }
}

pub(super) fn cors(r: &mut Reader<'_>) -> Cors {
    let Some(value) = r.text("corsAllowOrigin") else {
        return Cors::Off;
    };
    if value.split(',').map(str::trim).filter(|one| !one.is_empty()).eq(["*"]) {
        return Cors::Any;
    }
    match listed(value) {
        Some(origins) if !origins.is_empty() => Cors::Of(origins),
        _ => {
            r.problem(
                "corsAllowOrigin",
                "must be origins, separated by commas: scheme://host or scheme://host:port, without a path, like https://shop.example.com; or * alone for every page",
                "必须是以逗号分隔的源：scheme://host 或 scheme://host:port，不带路径，例如 https://shop.example.com；或单独一个 * 表示任何页面",
            );
            Cors::Off
        }
    }
}

/// Origins, separated by commas; `None` when one of them is none.
pub(super) fn listed(value: &str) -> Option<Vec<String>> {
    let listed = value.split(',').map(str::trim).filter(|one| !one.is_empty());
    listed.map(origin).collect()
}

/// The origin as a browser writes it: lower case, without the scheme's own port.
fn origin(text: &str) -> Option<String> {
    // The slash that an address bar shows is forgiven: consoles hold what was copied from there.
    let text = text.strip_suffix('/').unwrap_or(text);
    // The parser would add a path, and take a wildcard for a host that no page has.
    let host = text.split_once("://")?.1;
    if host.is_empty() || host.contains(['/', '?', '#', '@', '*', '\\']) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "https" | "http").then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_a_browser_writes_it() {
        for (text, expected) in [
            ("https://shop.example.com", Some("https://shop.example.com")),
            ("HTTPS://Shop.Example.com:443", Some("https://shop.example.com")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("https://商店.example", Some("https://xn--czrs0t.example")),
            ("https://shop.example.com/", Some("https://shop.example.com")),
            ("https://shop.example.com//", None),
            ("https://shop.example.com/pay", None),
            ("https://shop.example.com?x", None),
            ("https://user@shop.example.com", None),
            ("https://*.example.com", None),
            ("https://", None),
            ("https://shop.example.com:port", None),
            ("shop.example.com", None),
            ("ftp://shop.example.com", None),
            ("file://host", None),
            ("null", None),
            ("*", None),
        ] {
            assert_eq!(origin(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let cors = Cors::Of(vec!["https://a.example".to_owned()]);
        assert!(cors.allows("https://a.example"));
        for other in [
            "https://a.example.evil.example",
            "http://a.example",
            "https://a.example:8443",
            "null",
            "",
        ] {
            assert!(!cors.allows(other), "{other}");
            assert!(!Cors::Off.allows(other) && Cors::Any.allows(other), "{other}");
        }
    }
}
