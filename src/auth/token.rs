//! The access token of a `CloudBase` login: verified with the platform's keys where `authJwksUrl` names them, else decoded behind
//! a gateway that has verified it.

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use super::jws::{self, NotSigned};
use super::keyring::{Keyring, NoKey};
use crate::domain::ids::Openid;

/// How far the platform's clock may be ahead of ours, in seconds.
const LEEWAY_S: i64 = 60;

/// Why a token names nobody.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoLogin {
    /// Not a token, not a genuine one, or not one of this environment.
    #[error("the token cannot be used")]
    Unusable,
    /// A token of the past.
    #[error("the token has expired")]
    Expired,
    /// A login that may not call functions.
    #[error("the login is an anonymous one")]
    Anonymous,
    /// Nobody can say just now whether it is genuine.
    #[error("the token cannot be verified now")]
    CannotVerify,
}

/// Whoever logged in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Login {
    /// The uid in this environment.
    pub(crate) sub: String,
    /// The openid that the platform knows to be this person's.
    pub(crate) openid: Option<Openid>,
    /// Who pays when the request does not say it: what the login calls the person, where nothing says that it is not an openid. Good for
    /// a proposal (it is the payer who pays, and any caller may name one), never for a right.
    pub(crate) payer: Option<Openid>,
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
    iat: Value,
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    scope: Option<Value>,
    #[serde(default)]
    provider: Option<Value>,
    #[serde(default)]
    provider_type: Option<Value>,
    #[serde(default)]
    provider_sub: Option<Value>,
    #[serde(default)]
    project_id: Option<Value>,
    #[serde(default)]
    meta: Option<Value>,
}

impl From<NotSigned> for NoLogin {
    fn from(_: NotSigned) -> Self {
        Self::Unusable
    }
}

/// Reads a token. Without `keys` the gateway's word is taken for its signature.
pub(crate) async fn read(
    keys: Option<&Keyring>,
    env_id: Option<&str>,
    token: &str,
    now_s: i64,
) -> Result<Login, NoLogin> {
    let claims = match keys {
        Some(keys) => verified(keys, token, now_s).await?,
        None => decoded(token)?,
    };
    judge(claims, env_id, now_s)
}

async fn verified(keys: &Keyring, token: &str, now_s: i64) -> Result<Claims, NoLogin> {
    // Without a name it would be a trial of one key after the other.
    let kid = jws::named_key(token, Algorithm::RS256)?.ok_or(NoLogin::Unusable)?;
    let key = keys.key(&kid).await.map_err(|error| match error {
        NoKey::Unknown => NoLogin::Unusable,
        NoKey::Unavailable => NoLogin::CannotVerify,
    })?;
    let claims: Claims = jws::signed(token, Algorithm::RS256, &key)?;
    let is_sane = |claim: &Value| claim.is_null() || jws::seconds(claim).is_some_and(|time| time <= now_s + LEEWAY_S);
    if is_sane(&claims.iat) && is_sane(&claims.nbf) {
        Ok(claims)
    } else {
        Err(NoLogin::Unusable)
    }
}

fn decoded(token: &str) -> Result<Claims, NoLogin> {
    if !jws::is_compact(token) {
        return Err(NoLogin::Unusable);
    }
    jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| NoLogin::Unusable)
}

/// What a genuine token may still be: of nobody, of the past, of another environment.
fn judge(claims: Claims, env_id: Option<&str>, now_s: i64) -> Result<Login, NoLogin> {
    if is_anonymous(&claims) {
        return Err(NoLogin::Anonymous);
    }
    let expires = jws::seconds(&claims.exp).ok_or(NoLogin::Unusable)?;
    if jws::seconds(&claims.nbf).is_some_and(|from| from > now_s + LEEWAY_S) {
        return Err(NoLogin::Unusable);
    }
    if env_id.is_some() && claims.project_id.as_ref().and_then(Value::as_str) != env_id {
        return Err(NoLogin::Unusable);
    }
    let (openid, payer) = openids(&claims);
    let sub = claims
        .sub
        .filter(|sub| (1..=256).contains(&sub.len()) && !sub.chars().any(char::is_control))
        .ok_or(NoLogin::Unusable)?;
    if expires <= now_s {
        return Err(NoLogin::Expired);
    }
    Ok(Login { sub, openid, payer })
}

fn is_anonymous(claims: &Claims) -> bool {
    let scopes: Vec<&str> = match &claims.scope {
        Some(Value::String(scopes)) => scopes.split([' ', ',']).collect(),
        Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let anonymous = |text: &str| text.eq_ignore_ascii_case("anonymous");
    let text = |claim: &Option<Value>, is: fn(&str) -> bool| claim.as_ref().and_then(Value::as_str).is_some_and(is);
    scopes.into_iter().any(anonymous)
        || text(&claims.name, |name| name == "Anonymous")
        || [&claims.provider_type, &claims.provider]
            .into_iter()
            .any(|provider| text(provider, |kind| kind.eq_ignore_ascii_case("anonymous")))
}

/// The openid that is known to be the person's, and the one that is proposed as the payer's.
///
/// `meta.wxOpenId` is the platform's own note. `provider_sub` is whatever the provider of the login calls the person: an openid when
/// that was WeChat, and at any other provider perhaps a name of one's own choice, like somebody else's openid. Where the token does
/// not say which provider it was, it may still be proposed as the payer, but no order is known again by it.
fn openids(claims: &Claims) -> (Option<Openid>, Option<Openid>) {
    let openid = |claim: Option<&Value>| claim.and_then(Value::as_str).and_then(|text| Openid::parse(text).ok());
    let noted = openid(claims.meta.as_ref().and_then(|meta| meta.get("wxOpenId")));
    let at_provider = openid(claims.provider_sub.as_ref());
    let mut providers = [&claims.provider_type, &claims.provider]
        .into_iter()
        .flatten()
        .peekable();
    let unnamed = providers.peek().is_none();
    let at_wechat = providers.all(|provider| provider.as_str().is_some_and(is_wechat));
    let proposed = at_provider.filter(|_| at_wechat);
    let proven = noted.clone().or_else(|| proposed.clone().filter(|_| !unnamed));
    (proven, proposed.or(noted))
}

/// `wechat`, `weixin`, or one of the platform's kinds of it, like `wx_open` and `wx_mini`.
fn is_wechat(provider: &str) -> bool {
    let first = provider.split(['_', '-']).next().unwrap_or_default();
    ["wechat", "weixin", "wx"]
        .iter()
        .any(|name| first.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";

    fn login(more: &Value) -> Login {
        let mut claims = json!({"sub": "alice", "exp": 2000});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        judge(serde_json::from_value(claims).unwrap(), None, 1000).unwrap()
    }

    #[test]
    fn an_openid_counts_where_the_platform_or_wechat_gave_it() {
        for more in [
            json!({"meta": {"wxOpenId": OPENID}}),
            json!({"meta": {"wxOpenId": OPENID}, "provider_type": "github", "provider_sub": "someone"}),
            json!({"meta": {"wxOpenId": OPENID}, "provider_type": "wechat", "provider_sub": "o_of_another_app"}),
            json!({"provider_type": "wechat", "provider_sub": OPENID}),
            json!({"provider_type": "WeChat", "provider_sub": OPENID}),
            json!({"provider": "wx_open", "provider_sub": OPENID}),
            json!({"provider": "wx-mini", "provider_type": "weixin", "provider_sub": OPENID, "meta": {"wxOpenId": ""}}),
        ] {
            let login = login(&more);
            assert_eq!(login.openid.as_ref().map(Openid::as_str), Some(OPENID), "{more}");
        }
    }

    #[test]
    fn what_another_provider_calls_a_person_is_no_openid() {
        for more in [
            json!({"provider_type": "github", "provider_sub": OPENID}),
            json!({"provider": "custom", "provider_sub": OPENID}),
            json!({"provider_type": "custom", "provider": "wechat", "provider_sub": OPENID}),
            json!({"provider_type": "wechatlike", "provider_sub": OPENID}),
            json!({"provider_type": "my_wechat", "provider_sub": OPENID}),
            json!({"provider_type": "", "provider_sub": OPENID}),
            json!({"provider_type": 5, "provider_sub": OPENID}),
            json!({"provider_sub": "two words"}),
            json!({"provider_sub": 5}),
            json!({"meta": {"wxUnionId": OPENID}}),
        ] {
            let login = login(&more);
            assert_eq!((login.openid, login.payer), (None, None), "{more}");
        }
    }

    #[test]
    fn a_login_of_an_unnamed_provider_proposes_and_proves_nothing() {
        let login = login(&json!({"provider_sub": OPENID}));
        assert_eq!(login.openid, None);
        assert_eq!(login.payer.unwrap().as_str(), OPENID);
    }

    #[test]
    fn the_app_of_the_login_pays_and_the_platforms_note_owns() {
        let login = login(&json!({"provider_sub": "o_of_the_login", "meta": {"wxOpenId": OPENID}}));
        assert_eq!(login.openid.unwrap().as_str(), OPENID);
        assert_eq!(login.payer.unwrap().as_str(), "o_of_the_login");
    }

    #[test]
    fn a_login_counts_from_the_moment_it_names_by_a_clock_that_may_be_a_little_ahead_and_until_its_end() {
        let at = |nbf: i64, exp: i64| {
            let claims = json!({"sub": "alice", "nbf": nbf, "exp": exp});
            judge(serde_json::from_value(claims).unwrap(), None, 1000).err()
        };
        assert_eq!(at(1000 + LEEWAY_S, 2000), None);
        assert_eq!(at(1000 + LEEWAY_S + 1, 2000), Some(NoLogin::Unusable));
        assert_eq!(at(0, 1001), None);
        assert_eq!(at(0, 1000), Some(NoLogin::Expired));
    }
}
