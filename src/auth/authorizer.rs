//! WeChat's web authorization (OAuth 2.0, `snsapi_base`): where a browser is sent, and whose code it brings back.
//!
//! Source: the Official Accounts documentation, "Webpage authorization". The exchange always answers 200; a failure is `errcode`.

use std::fmt;
use std::time::Duration;

use reqwest::redirect;
use serde::Deserialize;
use tokio::sync::Semaphore;
use url::Url;

use crate::config::WebAuthorization;
use crate::domain::ids::{AppId, Openid};

/// Longest wait for the answer; a browser waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Exchanges under way at a time.
const AT_A_TIME: usize = 64;

/// The real answer has some hundred bytes.
const MOST_BYTES: usize = 16 * 1024;

/// Why a code gives no openid.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoOpenid {
    /// It was used already, is older than five minutes, or is none.
    #[error("the code is used, expired or none ({0})")]
    CodeOver(i64),
    /// A visitor of a page's snapshot, whose openid is made up and cannot pay.
    #[error("the openid is that of a snapshot's visitor")]
    Visitor,
    /// WeChat does not accept the app, its secret, or this server's address.
    #[error("WeChat refuses this merchant's settings ({0}: {1})")]
    Settings(i64, String),
    /// WeChat, or this service, has too much to do.
    #[error("too much to do ({0})")]
    Busy(i64),
    /// No answer, or none that can be read.
    #[error("no usable answer: {0}")]
    NoAnswer(String),
}

/// Exchanges codes. Shows no secret.
pub(crate) struct Authorizer {
    http: reqwest::Client,
    open_base: Url,
    api_base: Url,
    app_id: AppId,
    /// As the exchange wants it; wiped with the settings, which hold it too.
    app_secret: secrecy::SecretString,
    room: Semaphore,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer")
            .field("app_id", &self.app_id)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    errcode: i64,
    #[serde(default)]
    errmsg: String,
    #[serde(default)]
    openid: Option<String>,
    #[serde(default)]
    is_snapshotuser: i64,
}

impl Authorizer {
    /// Keeps so many idle connections for the next browser.
    pub(crate) fn new(settings: &WebAuthorization, idle: usize) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("pay-common/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .no_proxy()
            // A code counts once: whether a broken exchange used it is not known.
            .retry(reqwest::retry::never())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(idle)
            .build()?;
        Ok(Self {
            http,
            open_base: settings.open_base.clone(),
            api_base: settings.api_base.clone(),
            app_id: settings.app_id.clone(),
            app_secret: settings.app_secret().into(),
            room: Semaphore::new(AT_A_TIME),
        })
    }

    /// Where a browser is sent. WeChat checks the order of the parameters and wants the fragment.
    pub(crate) fn address(&self, redirect_uri: &str, state: &str) -> String {
        let mut url = self.open_base.clone();
        url.set_path("/connect/oauth2/authorize");
        url.query_pairs_mut()
            .append_pair("appid", self.app_id.as_str())
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("response_type", "code")
            .append_pair("scope", "snsapi_base")
            .append_pair("state", state);
        url.set_fragment(Some("wechat_redirect"));
        url.into()
    }

    /// Whose code it is.
    ///
    /// # Errors
    /// Nobody's, or it cannot be said.
    pub(crate) async fn exchange(&self, code: &str) -> Result<Openid, NoOpenid> {
        let Ok(_room) = self.room.try_acquire() else {
            return Err(NoOpenid::Busy(0));
        };
        let mut url = self.api_base.clone();
        url.set_path("/sns/oauth2/access_token");
        url.query_pairs_mut()
            .append_pair("appid", self.app_id.as_str())
            .append_pair("secret", secrecy::ExposeSecret::expose_secret(&self.app_secret))
            .append_pair("code", code)
            .append_pair("grant_type", "authorization_code");
        // The address holds the secret: no error may show it.
        let broken = |error: reqwest::Error| NoOpenid::NoAnswer(error.without_url().to_string());
        let mut response = self.http.get(url).send().await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(NoOpenid::NoAnswer(format!("status {}", response.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len().saturating_add(chunk.len()) > MOST_BYTES {
                return Err(NoOpenid::NoAnswer("longer than 16 KiB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        read(&body)
    }
}

fn read(body: &[u8]) -> Result<Openid, NoOpenid> {
    // What the parser says could quote the answer, and that holds tokens.
    let answer: Answer = serde_json::from_slice(body).map_err(|_| NoOpenid::NoAnswer("not its JSON".to_owned()))?;
    match answer.errcode {
        0 => {}
        // Invalid or expired; used; missing.
        code @ (40029 | 40163 | 41008 | 42003) => return Err(NoOpenid::CodeOver(code)),
        code @ (-1 | 45011 | 45009 | 50005) => return Err(NoOpenid::Busy(code)),
        code => {
            let said = answer.errmsg.chars().filter(|c| !c.is_control()).take(200).collect();
            return Err(NoOpenid::Settings(code, said));
        }
    }
    if answer.is_snapshotuser == 1 {
        return Err(NoOpenid::Visitor);
    }
    let openid = answer.openid.and_then(|openid| Openid::parse(openid).ok());
    openid.ok_or_else(|| NoOpenid::NoAnswer("it names nobody".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_names_the_buyer_or_says_why_not() {
        let of = |answer: serde_json::Value| read(answer.to_string().as_bytes());
        let named = of(json!({
            "access_token": "A", "expires_in": 7200, "refresh_token": "R",
            "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "scope": "snsapi_base",
        }));
        assert_eq!(named.unwrap().as_str(), "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o");
        for (code, expected) in [
            (40029, NoOpenid::CodeOver(40029)),
            (40163, NoOpenid::CodeOver(40163)),
            (-1, NoOpenid::Busy(-1)),
            (45011, NoOpenid::Busy(45011)),
            (40125, NoOpenid::Settings(40125, "said".to_owned())),
            (40164, NoOpenid::Settings(40164, "said".to_owned())),
        ] {
            assert_eq!(of(json!({"errcode": code, "errmsg": "said\n"})), Err(expected));
        }
        assert_eq!(
            of(json!({"openid": "oVirtual", "is_snapshotuser": 1})),
            Err(NoOpenid::Visitor)
        );
        for nobody in [json!({}), json!({"openid": ""}), json!({"openid": 5}), json!([])] {
            assert!(matches!(of(nobody), Err(NoOpenid::NoAnswer(_))));
        }
    }
}
