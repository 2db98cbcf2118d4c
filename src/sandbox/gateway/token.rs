//! Access tokens: RS256, made and checked by hand with the `rsa` crate.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::keyring::KeyRing;
use crate::sandbox::{
    crypto::{random_text, sign_raw, verifies_raw},
    keys::NamedKey,
    put,
};

/// What kind of login a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOptions {
    /// The openid, when the login was a WeChat one.
    pub openid: Option<String>,
    /// An anonymous login, which the gateway does not let through.
    pub anonymous: bool,
    /// Seconds until the token runs out; negative for one that has.
    pub expires_in: i64,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            openid: None,
            anonymous: false,
            expires_in: 7200,
        }
    }
}

impl TokenOptions {
    /// A WeChat login.
    pub fn wechat(openid: impl Into<String>) -> Self {
        Self {
            openid: Some(openid.into()),
            ..Self::default()
        }
    }

    /// An anonymous login.
    pub fn anonymous() -> Self {
        Self {
            anonymous: true,
            ..Self::default()
        }
    }
}

pub(super) fn mint(signer: &NamedKey, env_id: &str, sub: &str, options: &TokenOptions, now: Timestamp) -> String {
    let issued = now.as_second();
    let mut claims = json!({
        "iss": format!("http://{env_id}.ap-shanghai.tcb-api.tencentcloudapi.com"),
        "sub": sub,
        "aud": env_id,
        "exp": issued.saturating_add(options.expires_in),
        "iat": issued,
        "nonce": Uuid::new_v4().to_string(),
        "at_hash": format!("r.{}", random_text(22)),
        "name": if options.anonymous { "Anonymous" } else { "sandbox" },
        "scope": if options.anonymous { "anonymous" } else { "user" },
        "project_id": env_id,
        "meta": {},
    });
    if let Some(openid) = &options.openid {
        put(&mut claims, "provider_sub", json!(openid));
        put(&mut claims, "provider_type", json!("wechat"));
        put(&mut claims, "meta", json!({ "wxOpenId": openid }));
    }
    let head = encoded(&json!({"alg": "RS256", "typ": "JWT", "kid": signer.id()}));
    let signed = format!("{head}.{}", encoded(&claims));
    let signature = URL_SAFE_NO_PAD.encode(sign_raw(signer.private(), signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Whether the header holds a token that may call a function; why not, if not.
pub(super) fn check(keys: &KeyRing, env_id: &str, authorization: &str, now: Timestamp) -> Result<(), String> {
    let token = authorization
        .strip_prefix("Bearer ")
        .ok_or("the Authorization is not a Bearer token")?;
    let (signed, signature) = token.rsplit_once('.').ok_or("the token has not three parts")?;
    let (head, claims) = signed.split_once('.').ok_or("the token has not three parts")?;
    let (head, claims) = (decoded(head)?, decoded(claims)?);
    let text = |part: &Value, name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = keys.find(&text(&head, "kid"));
    let Some(key) = key.filter(|_| text(&head, "alg") == "RS256") else {
        return Err("the token is not signed by this environment".to_owned());
    };
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| "the signature is not base64url")?;
    if !verifies_raw(key.public(), signed.as_bytes(), &signature) {
        return Err("the signature of the token is wrong".to_owned());
    }
    if claims
        .get("exp")
        .and_then(Value::as_i64)
        .is_none_or(|exp| exp <= now.as_second())
    {
        return Err("the token has expired".to_owned());
    }
    if text(&claims, "project_id") != env_id {
        return Err("the token belongs to another environment".to_owned());
    }
    let scope = text(&claims, "scope");
    if scope.is_empty() || scope.split_whitespace().any(|word| word == "anonymous") {
        return Err("an anonymous login may not call functions".to_owned());
    }
    Ok(())
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decoded(part: &str) -> Result<Value, String> {
    let raw = URL_SAFE_NO_PAD.decode(part).map_err(|_| "the token is not base64url")?;
    serde_json::from_slice(&raw).map_err(|_| "the token is not JSON".to_owned())
}
