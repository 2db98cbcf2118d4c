//! A published set of keys (RFC 7517), of which only those are taken that may verify a login.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

/// Shorter RSA keys have been broken, or soon are.
const FEWEST_BITS: usize = 2048;

/// Keys by the name under which tokens ask for them.
#[derive(Debug)]
pub(crate) struct KeySet(HashMap<String, DecodingKey>);

/// Why a published set is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoKeySet {
    /// Not a set at all.
    #[error("the answer is not a JSON Web Key Set")]
    Unreadable,
    /// Nothing in it can verify a login.
    #[error("the key set holds no RSA key of 2048 bits or more for RS256 signatures")]
    NothingUsable,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: String,
    n: String,
    e: String,
    #[serde(default, rename = "use")]
    used_for: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    key_ops: Option<Vec<String>>,
}

impl KeySet {
    /// Reads a published set. What is in it besides, or is damaged, is passed over, as RFC 7517 asks.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NoKeySet> {
        let published: Published = serde_json::from_slice(bytes).map_err(|_| NoKeySet::Unreadable)?;
        let mut keys: HashMap<String, Option<DecodingKey>> = HashMap::new();
        for (kid, key) in published.keys.into_iter().filter_map(usable) {
            // A name that stands twice names nobody: which of the two was meant is a guess.
            keys.entry(kid).and_modify(|known| *known = None).or_insert(Some(key));
        }
        let keys: HashMap<_, _> = keys.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect();
        if keys.is_empty() {
            return Err(NoKeySet::NothingUsable);
        }
        Ok(Self(keys))
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.0.get(kid)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn usable(key: Value) -> Option<(String, DecodingKey)> {
    let key: Key = serde_json::from_value(key).ok()?;
    let fits = key.kty == "RSA"
        && !key.kid.is_empty()
        && key.used_for.is_none_or(|used_for| used_for == "sig")
        && key.alg.is_none_or(|alg| alg == "RS256")
        && key.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let (n, e) = (number(&key.n)?, number(&key.e)?);
    // With the exponent 1 every text is its own signature; an even one is no RSA key.
    let exponent_is_sound = e != [1] && e.last().is_some_and(|last| last % 2 == 1);
    (fits && exponent_is_sound && bits(&n) >= FEWEST_BITS)
        .then(|| (key.kid, DecodingKey::from_rsa_raw_components(&n, &e)))
}

/// The bytes of a number, without leading zeros.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let digits: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    (!digits.is_empty()).then_some(digits)
}

fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros());
    (number.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn modulus(bits: usize) -> String {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= n.len() * 8 - bits;
        URL_SAFE_NO_PAD.encode(n)
    }

    fn key(kid: &str) -> Value {
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": modulus(2048), "e": "AQAB"})
    }

    fn with(member: &str, value: Value) -> Value {
        let mut key = key("k");
        key[member] = value;
        key
    }

    fn read(keys: &[Value]) -> Result<KeySet, NoKeySet> {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn only_keys_that_may_verify_a_login_are_taken() {
        for good in [
            key("k"),
            with("use", Value::Null),
            with("alg", Value::Null),
            with("key_ops", json!(["verify"])),
            with("n", json!(modulus(4096))),
            with("e", json!("Aw")),
            with("x5c", json!(["not read"])),
        ] {
            assert!(read(std::slice::from_ref(&good)).unwrap().get("k").is_some(), "{good}");
        }
        for bad in [
            with("kty", json!("EC")),
            with("kty", json!("oct")),
            with("use", json!("enc")),
            with("alg", json!("RS512")),
            with("alg", json!("PS256")),
            with("alg", json!("HS256")),
            with("key_ops", json!(["encrypt"])),
            with("kid", json!("")),
            with("kid", Value::Null),
            with("n", json!(modulus(1024))),
            with("n", json!(modulus(2047))),
            with("n", json!(format!("{}{}", "A".repeat(400), modulus(1024)))),
            with("n", json!("not base64!")),
            with("n", json!("")),
            with("e", json!("AQ")),
            with("e", json!("AAAB")),
            with("e", json!("AQAA")),
            with("e", json!("")),
            json!("a key"),
            json!({}),
        ] {
            assert_eq!(
                read(std::slice::from_ref(&bad)).unwrap_err(),
                NoKeySet::NothingUsable,
                "{bad}"
            );
            let set = read(&[bad, key("other")]).unwrap();
            assert!(set.len() == 1 && set.get("other").is_some());
        }
    }

    #[test]
    fn a_name_that_stands_twice_names_nobody() {
        let set = read(&[key("a"), key("b"), key("a"), key("a")]).unwrap();
        assert!(set.get("a").is_none() && set.get("b").is_some());
        assert_eq!(read(&[key("a"), key("a")]).unwrap_err(), NoKeySet::NothingUsable);
    }

    #[test]
    fn what_is_no_key_set_is_said_to_be_none() {
        for text in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#] {
            assert_eq!(
                KeySet::read(text.as_bytes()).unwrap_err(),
                NoKeySet::Unreadable,
                "{text}"
            );
        }
        assert_eq!(read(&[]).unwrap_err(), NoKeySet::NothingUsable);
    }
}
