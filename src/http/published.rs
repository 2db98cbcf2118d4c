//! Text that is the same for everybody and changes with the version only: kept by browsers, and asked for again by its tag.

use std::io::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::entry;

/// A text as it is served.
pub(crate) struct Published {
    content_type: &'static str,
    whole: Version,
    /// `None` where it would not be shorter.
    packed: Option<Version>,
    /// What a browser may do with it.
    policy: HeaderValue,
}

struct Version {
    body: Bytes,
    etag: HeaderValue,
}

impl Published {
    pub(crate) fn new(content_type: &'static str, body: impl Into<Bytes>, policy: &str) -> Self {
        let body = body.into();
        let tag = URL_SAFE_NO_PAD.encode(digest(&SHA256, &body));
        let packed = gzip(&body)
            .filter(|packed| packed.len() < body.len())
            .map(|packed| Version {
                body: packed.into(),
                etag: ascii(&format!("\"{tag}.gz\"")),
            });
        let whole = Version {
            body,
            etag: ascii(&format!("\"{tag}\"")),
        };
        Self {
            content_type,
            whole,
            packed,
            policy: ascii(policy),
        }
    }

    /// What goes over the wire: to whoever reads gzip, and to whoever does not.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let whole = self.whole.body.len();
        (self.packed.as_ref().map_or(whole, |packed| packed.body.len()), whole)
    }

    /// The text, or that it is still the one that the client has.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let packed = self.packed.as_ref().filter(|_| takes_gzip(headers));
        let version = packed.unwrap_or(&self.whole);
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == version.etag.as_bytes());
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type))];
            let mut response = (content_type, version.body.clone()).into_response();
            if packed.is_some() {
                let gzip = HeaderValue::from_static("gzip");
                response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            }
            response
        };
        let said = [
            (header::ETAG, version.etag.clone()),
            // Kept, and asked for again: the next version may say something else.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            // Not `no-referrer`: with it, WebKit also hides the origin of what a page posts to its own server.
            (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            (header::VARY, HeaderValue::from_static("Accept-Encoding")),
        ];
        response.headers_mut().extend(said);
        entry::name(&mut response, headers);
        response
    }
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("it is made of visible ASCII")
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(body).ok()?;
    packer.finish().ok()
}

/// Whether a client says that it reads gzip; not when it says so with a weight of nothing.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            let never = matches!(
                weight.split_whitespace().collect::<String>().as_str(),
                "q=0" | "q=0.0" | "q=0.00" | "q=0.000"
            );
            name.trim().eq_ignore_ascii_case("gzip") && !never
        })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn asked(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn whoever_reads_gzip_gets_it_and_is_told_when_nothing_changed() {
        let text = "the same again ".repeat(40);
        let published = Published::new("text/plain", text.clone(), "default-src 'none'");
        for (accepts, is_packed) in [
            (None, false),
            (Some("br"), false),
            (Some("gzip;q=0"), false),
            (Some("deflate, GZIP;q=0.5"), true),
            (Some("gzip"), true),
        ] {
            let said: Vec<_> = accepts
                .map(|accepts| ("accept-encoding", accepts))
                .into_iter()
                .collect();
            let response = published.answer(&asked(&said));
            let tag = response.headers()["etag"].to_str().unwrap().to_owned();
            assert_eq!(
                response.headers().contains_key("content-encoding"),
                is_packed,
                "{accepts:?}"
            );
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let read = if is_packed {
                let mut read = String::new();
                flate2::read::GzDecoder::new(&*body).read_to_string(&mut read).unwrap();
                read
            } else {
                String::from_utf8(body.to_vec()).unwrap()
            };
            assert_eq!(read, text);
            let again = [said.as_slice(), &[("if-none-match", tag.as_str())]].concat();
            assert_eq!(published.answer(&asked(&again)).status(), StatusCode::NOT_MODIFIED);
        }
    }

    #[test]
    fn what_does_not_get_shorter_is_sent_as_it_is() {
        let published = Published::new("text/plain", "x", "default-src 'none'");
        let response = published.answer(&asked(&[("accept-encoding", "gzip")]));
        assert!(!response.headers().contains_key("content-encoding"));
    }
}
