//! What this service signs for a browser to keep: who its owner is, and where she was going when she was sent to WeChat.
//!
//! Both are compact JWS (RFC 7515) with HS256. Their keys are derived from the AppSecret, so every instance knows them and nothing more
//! has to be set up; a new AppSecret ends every session. The two keys differ, so that one thing is never taken for the other.

use std::fmt;

use aws_lc_rs::hmac;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::jws;
use crate::domain::ids::{AppId, Openid};

/// Who opens the pages of a browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Session {
    /// Known by WeChat's word, of the app of [`Seals`].
    pub(crate) openid: Openid,
}

/// Where a browser goes while it is at WeChat's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Journey {
    /// Names it; WeChat brings it back.
    pub(crate) state: String,
    /// Where it leads in the end.
    pub(crate) return_to: String,
    /// Whether it is the second attempt.
    pub(crate) again: bool,
    /// When it is over, Unix seconds.
    pub(crate) exp: i64,
}

#[derive(Deserialize, Serialize)]
struct Claims {
    openid: String,
    appid: String,
    exp: i64,
}

/// Why a signed text of a browser is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoSession {
    /// Not signed here, or for another app.
    #[error("not signed by this service")]
    NotSigned,
    /// Its time is over.
    #[error("its time is over")]
    Over,
}

/// Signs and reads what browsers keep. Shows no key.
pub(crate) struct Seals {
    app_id: AppId,
    session: Key,
    journey: Key,
}

struct Key {
    signs: EncodingKey,
    reads: DecodingKey,
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seals").finish_non_exhaustive()
    }
}

impl Key {
    fn derived(app_secret: &str, purpose: &str) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
        let key = hmac::sign(&root, purpose.as_bytes());
        Self {
            signs: EncodingKey::from_secret(key.as_ref()),
            reads: DecodingKey::from_secret(key.as_ref()),
        }
    }

    fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signs)
    }

    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, NoSession> {
        jws::signed(text, Algorithm::HS256, &self.reads).map_err(|_| NoSession::NotSigned)
    }
}

impl Seals {
    pub(crate) fn new(app_id: AppId, app_secret: &str) -> Self {
        Self {
            app_id,
            session: Key::derived(app_secret, "pay-common: who a browser's owner is, 1"),
            journey: Key::derived(app_secret, "pay-common: where a browser goes, 1"),
        }
    }

    /// The session of `openid` until `exp`, Unix seconds.
    ///
    /// # Errors
    /// It cannot be signed: a defect.
    pub(crate) fn session(&self, openid: &Openid, exp: i64) -> Result<String, jsonwebtoken::errors::Error> {
        self.session.sign(&Claims {
            openid: openid.as_str().to_owned(),
            appid: self.app_id.as_str().to_owned(),
            exp,
        })
    }

    /// Whose session it is.
    ///
    /// # Errors
    /// Nobody's.
    pub(crate) fn open_session(&self, text: &str, now_s: i64) -> Result<Session, NoSession> {
        let claims: Claims = self.session.read(text)?;
        if claims.appid != self.app_id.as_str() {
            return Err(NoSession::NotSigned);
        }
        if claims.exp <= now_s {
            return Err(NoSession::Over);
        }
        let openid = Openid::parse(claims.openid).map_err(|_| NoSession::NotSigned)?;
        Ok(Session { openid })
    }

    /// A journey, for the browser that makes it.
    ///
    /// # Errors
    /// It cannot be signed: a defect.
    pub(crate) fn journey(&self, journey: &Journey) -> Result<String, jsonwebtoken::errors::Error> {
        self.journey.sign(journey)
    }

    /// The journey that a browser is on, when it is the one of this `state`.
    ///
    /// # Errors
    /// It is on none, or on another one.
    pub(crate) fn open_journey(&self, text: &str, state: &str, now_s: i64) -> Result<Journey, NoSession> {
        let journey: Journey = self.journey.read(text)?;
        if journey.state != state {
            return Err(NoSession::NotSigned);
        }
        if journey.exp <= now_s {
            return Err(NoSession::Over);
        }
        Ok(journey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn seals(app: &str, secret: &str) -> Seals {
        Seals::new(AppId::parse(app).unwrap(), secret)
    }

    fn openid() -> Openid {
        Openid::parse("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o").unwrap()
    }

    fn journey() -> Journey {
        Journey {
            state: "STATE1".to_owned(),
            return_to: "/pay".to_owned(),
            again: false,
            exp: NOW + 600,
        }
    }

    #[test]
    fn a_session_is_its_owners_until_its_time_is_over() {
        let seals = seals("wx1234567890abcdef", SECRET);
        let text = seals.session(&openid(), NOW + 10).unwrap();
        assert_eq!(seals.open_session(&text, NOW + 9).unwrap().openid, openid());
        assert_eq!(seals.open_session(&text, NOW + 10), Err(NoSession::Over));
    }

    #[test]
    fn no_byte_of_a_session_can_be_another() {
        let seals = seals("wx1234567890abcdef", SECRET);
        let text = seals.session(&openid(), NOW + 10).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(bytes).unwrap();
            assert_eq!(seals.open_session(&other, NOW), Err(NoSession::NotSigned), "byte {at}");
        }
    }

    #[test]
    fn a_session_of_another_app_or_secret_is_nobodys() {
        let text = seals("wx1234567890abcdef", SECRET)
            .session(&openid(), NOW + 10)
            .unwrap();
        let other_app = seals("wxfedcba0987654321", SECRET);
        let other_secret = seals("wx1234567890abcdef", "ffffffffffffffffffffffffffffffff");
        assert_eq!(other_app.open_session(&text, NOW), Err(NoSession::NotSigned));
        assert_eq!(other_secret.open_session(&text, NOW), Err(NoSession::NotSigned));
    }

    #[test]
    fn a_journey_is_no_session_and_a_session_no_journey() {
        let seals = seals("wx1234567890abcdef", SECRET);
        let session = seals.session(&openid(), NOW + 10).unwrap();
        let journey = seals.journey(&journey()).unwrap();
        assert_eq!(seals.open_session(&journey, NOW), Err(NoSession::NotSigned));
        assert_eq!(seals.open_journey(&session, "STATE1", NOW), Err(NoSession::NotSigned));
    }

    #[test]
    fn a_journey_is_that_of_its_state_until_its_time_is_over() {
        let seals = seals("wx1234567890abcdef", SECRET);
        let text = seals.journey(&journey()).unwrap();
        assert_eq!(seals.open_journey(&text, "STATE1", NOW).unwrap(), journey());
        assert_eq!(seals.open_journey(&text, "STATE2", NOW), Err(NoSession::NotSigned));
        assert_eq!(seals.open_journey(&text, "STATE1", NOW + 600), Err(NoSession::Over));
    }
}
