//! A signed text in its compact form (RFC 7515): three parts, one algorithm, one key.
//!
//! Which algorithm and which key is never the text's to say. Of its header only `kid` is used, to choose among keys that are known
//! already; `jwk`, `jku`, `x5u` and `x5c` are not looked at.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// It is not signed as it has to be, or it is no such text at all. Which of the two helps nobody but a forger.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not signed by a known key")]
pub(crate) struct NotSigned;

/// Whether it is one text of three parts. Of two in a row a decoder would read the second, whatever was checked of the first.
pub(crate) fn is_compact(text: &str) -> bool {
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.bytes().all(alphabet) && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The key that the text names, when it says that it is signed with `algorithm` and asks for nothing that is not understood here.
///
/// # Errors
/// Another algorithm, a critical extension (RFC 7515, 4.1.11), or no such text.
pub(crate) fn named_key(text: &str, algorithm: Algorithm) -> Result<Option<String>, NotSigned> {
    if !is_compact(text) {
        return Err(NotSigned);
    }
    let header = jsonwebtoken::decode_header(text).map_err(|_| NotSigned)?;
    if header.alg != algorithm || header.crit.is_some() {
        return Err(NotSigned);
    }
    Ok(header.kid)
}

/// The content, when `key` signed it with `algorithm`. Times and names in it are the caller's to check, by the caller's clock.
///
/// # Errors
/// It is not so signed, or its content is not what was asked for.
pub(crate) fn signed<T: DeserializeOwned>(text: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<T, NotSigned> {
    named_key(text, algorithm)?;
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode(text, key, &validation)
        .map(|token| token.claims)
        .map_err(|_| NotSigned)
}

/// A time in claims: seconds, in rare tokens with a fraction.
pub(crate) fn seconds(claim: &Value) -> Option<i64> {
    claim.as_i64().or_else(|| {
        claim
            .as_f64()
            .filter(|time| time.is_finite())
            .and_then(|time| format!("{time:.0}").parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    /// RFC 7515, A.1: the published HS256 example, with its own line breaks inside the parts.
    const PUBLISHED: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const PUBLISHED_KEY: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

    fn published_key() -> DecodingKey {
        DecodingKey::from_secret(&URL_SAFE_NO_PAD.decode(PUBLISHED_KEY).unwrap())
    }

    #[test]
    fn the_published_example_is_genuine_and_any_other_byte_is_not() {
        let content: Value = signed(PUBLISHED, Algorithm::HS256, &published_key()).unwrap();
        assert_eq!(content["exp"], 1_300_819_380);
        for at in 0..PUBLISHED.len() {
            let mut bytes = PUBLISHED.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(bytes).unwrap();
            let read: Result<Value, NotSigned> = signed(&other, Algorithm::HS256, &published_key());
            assert_eq!(read, Err(NotSigned), "byte {at}");
        }
        let other_key = DecodingKey::from_secret(b"another secret, and a long one too");
        assert_eq!(signed::<Value>(PUBLISHED, Algorithm::HS256, &other_key), Err(NotSigned));
        assert_eq!(
            signed::<Value>(PUBLISHED, Algorithm::RS256, &published_key()),
            Err(NotSigned)
        );
    }

    #[test]
    fn a_text_names_its_key_and_nothing_else() {
        let of = |header: Value| {
            let text = format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header.to_string()));
            named_key(&text, Algorithm::RS256)
        };
        assert_eq!(of(json!({"alg": "RS256", "kid": "a"})), Ok(Some("a".to_owned())));
        assert_eq!(of(json!({"alg": "RS256", "jku": "https://evil.example/"})), Ok(None));
        for refused in [
            json!({"alg": "none"}),
            json!({"alg": "NONE"}),
            json!({"alg": "rs256"}),
            json!({"alg": "HS256"}),
            json!({"alg": "RS384"}),
            json!({"alg": "PS256"}),
            json!({"alg": null}),
            json!({}),
            json!([]),
            json!({"alg": "RS256", "crit": ["b64"], "b64": false}),
            json!({"alg": "RS256", "crit": []}),
            json!({"alg": "RS256", "crit": "exp"}),
            json!({"alg": "RS256", "kid": 5}),
        ] {
            assert_eq!(of(refused.clone()), Err(NotSigned), "{refused}");
        }
        for text in ["", ".", "..", "a.b", "a.b.c.d", "a b.c.d", "e30=.e30.e30", "é.e30.e30"] {
            assert_eq!(named_key(text, Algorithm::RS256), Err(NotSigned), "{text:?}");
        }
    }

    #[test]
    fn a_time_is_a_number_of_seconds() {
        for (claim, expected) in [
            (json!(1_700_000_000), Some(1_700_000_000)),
            (json!(1_700_000_000.4), Some(1_700_000_000)),
            (json!(-1), Some(-1)),
            (json!("1700000000"), None),
            (json!(true), None),
            (Value::Null, None),
            (json!(1e300), None),
        ] {
            assert_eq!(seconds(&claim), expected, "{claim}");
        }
    }
}
