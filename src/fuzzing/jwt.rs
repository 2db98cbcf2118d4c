//! The compact JWS: tokens of logins, and order tickets.

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::object;
use crate::auth::jws::{is_compact, named_key, signed};
use crate::auth::token::{self, Login, NoLogin};
use crate::http::json::Strict;
use crate::wechat::keys;

/// The key of RFC 7515, A.1, so that the published example is one that verifies.
const SECRET: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

/// Before the example expires.
const NOW_S: i64 = 1_300_000_000;

struct Keys {
    secret: Vec<u8>,
    shared: DecodingKey,
    public: rsa::PublicKey,
    platform: DecodingKey,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let secret = URL_SAFE_NO_PAD.decode(SECRET).expect("it is published so");
    let public = include_str!("../../tests/vectors/doc_test_merchant_public_key.pem");
    let public = keys::public_key(public).expect("it is published so");
    Keys {
        shared: DecodingKey::from_secret(&secret),
        platform: DecodingKey::from_rsa_raw_components(&public.n_bytes(), &public.e_bytes()),
        secret,
        public,
    }
});

/// Nothing verifies but what the key has signed, by another reading of the same bytes; and what was signed says again what it said.
///
/// # Panics
/// When that does not hold.
pub fn jwt(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let is_signed = [(Algorithm::HS256, &KEYS.shared), (Algorithm::RS256, &KEYS.platform)].map(|(algorithm, key)| {
        let read = signed::<Value>(text, algorithm, key).is_ok();
        assert!(!read || is_genuine(text, algorithm), "{text:?} is not signed");
        assert!(!read || (is_compact(text) && named_key(text, algorithm).is_ok()));
        read
    });
    assert_ne!(is_signed, [true; 2], "one text has one algorithm");
    let logged_in = login_holds(text);
    let claims = object(bytes);
    if let Some(claims) = &claims {
        claims_survive(claims);
    }
    is_signed.contains(&true) || logged_in || claims.is_some()
}

/// The signature, checked without the reader and its library.
fn is_genuine(text: &str, algorithm: Algorithm) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        return false;
    };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    let said: Value = URL_SAFE_NO_PAD
        .decode(header)
        .ok()
        .and_then(|header| serde_json::from_slice(&header).ok())
        .unwrap_or_default();
    let message = format!("{header}.{payload}");
    let verified = if algorithm == Algorithm::HS256 {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &KEYS.secret);
        hmac::verify(&key, message.as_bytes(), &signature).is_ok()
    } else {
        let digest = Sha256::digest(message.as_bytes());
        let scheme = rsa::Pkcs1v15Sign::new::<Sha256>();
        KEYS.public.verify(scheme, &digest, &signature).is_ok()
    };
    verified && said.get("alg").and_then(Value::as_str) == Some(&format!("{algorithm:?}"))
}

/// A login behind a gateway is somebody, for a time, in an environment.
fn login_holds(text: &str) -> bool {
    let Ok(login) = login(text, None, NOW_S) else {
        return false;
    };
    assert!(is_compact(text) && (1..=256).contains(&login.sub.len()));
    assert!(!login.sub.chars().any(char::is_control));
    assert_eq!(login_at_the_end_of_time(text), Err(NoLogin::Expired));
    assert!(login_in_env(text).is_none_or(|same| same == login));
    true
}

fn login_at_the_end_of_time(text: &str) -> Result<Login, NoLogin> {
    login(text, None, i64::MAX - 1000)
}

fn login_in_env(text: &str) -> Option<Login> {
    login(text, Some("sandbox-env"), NOW_S).ok()
}

fn login(text: &str, env_id: Option<&str>, now_s: i64) -> Result<Login, NoLogin> {
    let reading = pin!(token::read(None, env_id, text, now_s));
    match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => unreachable!("nobody is asked without a key set"),
    }
}

fn claims_survive(claims: &Map<String, Value>) {
    let key = EncodingKey::from_secret(&KEYS.secret);
    let Ok(text) = jsonwebtoken::encode(&Header::default(), claims, &key) else {
        return;
    };
    let read = signed::<Strict>(&text, Algorithm::HS256, &KEYS.shared).map(|Strict(value)| value);
    match read {
        Ok(read) => assert_eq!(read, Value::Object(claims.clone())),
        Err(_) => assert!(!are_as_registered(claims), "genuine claims are refused: {claims:?}"),
    }
    refused(&text, Algorithm::RS256, "with the key of another algorithm");

    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        unreachable!("the library writes three parts")
    };
    refused(&format!("{header}.{payload}."), Algorithm::HS256, "without a signature");
    for alg in ["none", "None", "HS384", "RS256", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
        refused(&format!("{header}.{payload}.{signature}"), Algorithm::HS256, alg);
        refused(&format!("{header}.{payload}."), Algorithm::HS256, alg);
        refused(&format!("{header}.{payload}."), Algorithm::RS256, alg);
    }
    // Signed with what everybody knows of the platform.
    let public = keys::public_der(&KEYS.public).expect("a key that was read can be written");
    let confused = jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(&public));
    let confused = confused.expect("it was written before");
    refused(&confused, Algorithm::RS256, "a public key as a secret");
    refused(&confused, Algorithm::HS256, "a public key as a secret");
    let more = json!({"more": claims}).to_string();
    let other = URL_SAFE_NO_PAD.encode(more);
    refused(
        &format!("{header}.{other}.{signature}"),
        Algorithm::HS256,
        "other claims",
    );
}

/// Whether the claims that everybody knows have their own types (RFC 7519, 4.1): of others, the library refuses the whole.
fn are_as_registered(claims: &Map<String, Value>) -> bool {
    let all = |names: &[&str], is: fn(&Value) -> bool| names.iter().all(|name| claims.get(*name).is_none_or(is));
    let texts = |value: &Value| {
        let many = value.as_array();
        value.is_string() || many.is_some_and(|many| many.iter().all(Value::is_string))
    };
    all(&["exp", "nbf", "iat"], Value::is_number)
        && all(&["sub", "jti"], Value::is_string)
        && all(&["iss", "aud"], texts)
}

fn refused(text: &str, algorithm: Algorithm, about: &str) {
    let key = if algorithm == Algorithm::HS256 {
        &KEYS.shared
    } else {
        &KEYS.platform
    };
    assert!(signed::<Value>(text, algorithm, key).is_err(), "{about}: {text}");
}
