//! Who calls: a token that the gateway has checked, the platform's own headers, or an operator key.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::failure::{Failure, NoCaller};
use crate::config::Config;
use crate::domain::caller::Authority;
use crate::domain::ids::{AppId, Openid};
use crate::domain::order::Owner;

/// Begins an operator key.
const OPERATOR_PREFIX: &str = "op_";

/// Who calls, and what is known of them.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) authority: Authority,
    /// The openid that a WeChat login left in the token. The page may pay with another one, of its own app.
    token_openid: Option<Openid>,
    /// The openid that the platform vouches for. Nobody pays as anybody else.
    platform_openid: Option<Openid>,
    /// The app that the platform vouches for, when it is a configured one.
    pub(crate) platform_app: Option<AppId>,
}

impl Caller {
    /// Who pays when the request does not say it.
    pub(crate) fn openid(&self) -> Option<&Openid> {
        self.token_openid.as_ref().or(self.platform_openid.as_ref())
    }

    /// Whether this caller may pay as that openid.
    pub(crate) fn may_pay_as(&self, openid: &Openid) -> bool {
        self.platform_openid.as_ref().is_none_or(|own| own == openid)
    }

    /// For the log.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.authority {
            Authority::Operator => "operator",
            Authority::Person(_) if self.platform_openid.is_some() => "platform",
            Authority::Person(_) => "token",
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    exp: Value,
    #[serde(default)]
    nbf: Value,
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    scope: Option<Value>,
    #[serde(default)]
    provider_type: Option<Value>,
    #[serde(default)]
    provider_sub: Option<Value>,
    #[serde(default)]
    project_id: Option<Value>,
    #[serde(default)]
    meta: Option<Value>,
}

/// Recognises the caller.
///
/// # Errors
/// Why nobody was recognised.
pub(crate) fn identify(config: &Config, headers: &HeaderMap, now_s: i64) -> Result<Caller, Failure> {
    let refuse = |why| Err(Failure::Unauthenticated(why));
    let platform = config.trust_platform_headers;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if ["x-wx-openid", "x-wx-appid"]
        .iter()
        .any(|name| platform && headers.get_all(*name).iter().count() > 1)
    {
        // A proxy that adds to a header instead of replacing it leaves the client's own word in front.
        return refuse(NoCaller::Unusable);
    }
    let platform_openid = header("x-wx-openid")
        .filter(|_| platform)
        .and_then(|openid| Openid::parse(openid).ok());
    let platform_app = header("x-wx-appid")
        .filter(|_| platform)
        .and_then(|app| config.apps().find(|known| known.as_str() == app))
        .cloned();

    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let authorization = match (authorizations.next(), authorizations.next()) {
        (None, _) => {
            let Some(openid) = platform_openid else {
                return refuse(NoCaller::Nobody);
            };
            let owner = Owner {
                sub: None,
                openid: Some(openid.clone()),
            };
            let platform_openid = Some(openid);
            return Ok(Caller {
                authority: Authority::Person(owner),
                token_openid: None,
                platform_openid,
                platform_app,
            });
        }
        (Some(one), None) => one.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => return refuse(NoCaller::Unusable),
    };
    let token = match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return refuse(NoCaller::Unusable),
    };
    if token.starts_with(OPERATOR_PREFIX) {
        if !is_operator(config, token) {
            return refuse(NoCaller::UnknownOperator);
        }
        // An operator acts for the merchant, not for the openid of some header.
        return Ok(Caller {
            authority: Authority::Operator,
            token_openid: None,
            platform_openid: None,
            platform_app,
        });
    }
    let claims = match read_token(config, token, now_s) {
        Ok(claims) => claims,
        Err(why) => return refuse(why),
    };
    let token_openid = [
        claims.provider_sub.as_ref(),
        claims.meta.as_ref().and_then(|meta| meta.get("wxOpenId")),
    ]
    .into_iter()
    .flatten()
    .filter_map(Value::as_str)
    .find_map(|openid| Openid::parse(openid).ok());
    let owner = Owner {
        sub: claims.sub,
        openid: token_openid.clone(),
    };
    Ok(Caller {
        authority: Authority::Person(owner),
        token_openid,
        platform_openid,
        platform_app,
    })
}

fn is_operator(config: &Config, key: &str) -> bool {
    let digest = Sha256::digest(key.as_bytes());
    let hex = digest
        .iter()
        .fold(String::with_capacity(64), |hex, byte| hex + &format!("{byte:02x}"));
    config
        .operator_keys
        .iter()
        .any(|known| verify_slices_are_equal(known.as_bytes(), hex.as_bytes()).is_ok())
}

/// The gateway has verified the signature; what is left is what the gateway may have let through.
fn read_token(config: &Config, token: &str, now_s: i64) -> Result<Claims, NoCaller> {
    // Whatever the gateway has verified, it was one token. Of two in a row the decoder would read the second.
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !token.bytes().all(alphabet) || token.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return Err(NoCaller::Unusable);
    }
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| NoCaller::Unusable)?;
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
    let scopes = match &claims.scope {
        Some(Value::String(scopes)) => scopes.split([' ', ',']).map(str::to_owned).collect(),
        Some(Value::Array(scopes)) => scopes
            .iter()
            .filter_map(|scope| scope.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    let anonymous = |text: &str| text.eq_ignore_ascii_case("anonymous");
    if scopes.iter().any(|scope| anonymous(scope))
        || text(&claims.name).is_some_and(|name| name == "Anonymous")
        || text(&claims.provider_type).is_some_and(|kind| anonymous(&kind))
    {
        return Err(NoCaller::Anonymous);
    }
    let known = claims
        .sub
        .as_ref()
        .is_some_and(|sub| (1..=256).contains(&sub.len()) && !sub.chars().any(char::is_control));
    let expires = seconds(&claims.exp).ok_or(NoCaller::Unusable)?;
    if !known || seconds(&claims.nbf).is_some_and(|from| from > now_s.saturating_add(60)) {
        return Err(NoCaller::Unusable);
    }
    if config.env_id.is_some() && text(&claims.project_id) != config.env_id {
        return Err(NoCaller::Unusable);
    }
    if expires <= now_s {
        Err(NoCaller::Expired)
    } else {
        Ok(claims)
    }
}

/// A JWT time: seconds, in rare tokens with a fraction.
fn seconds(claim: &Value) -> Option<i64> {
    claim.as_i64().or_else(|| {
        claim
            .as_f64()
            .filter(|time| time.is_finite())
            .and_then(|time| format!("{time:.0}").parse().ok())
    })
}
