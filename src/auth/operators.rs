//! Operators: whose key it is, and the sessions that a key opens for a browser.
//!
//! Of a key only its SHA-256 is known here. A session is a compact JWS (RFC 7515) with HS256; its key is derived from that digest and
//! from the merchant's APIv3 key. So every instance knows it and nothing more has to be set up, a key that is taken out of the settings
//! takes its sessions with it, and who has read the digest somewhere can still sign none.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::jws;
use super::session::NoSession;
use crate::domain::ids::new_nonce;

/// How long a session lasts, in seconds: a working day.
pub(crate) const SESSION_S: i64 = 12 * 3600;

/// The most characters of a name that somebody gives at the door.
const LONGEST_NAME: usize = 40;

/// The operator keys. Shows none, nor what a weak one could be found by.
pub(crate) struct Operators {
    keys: Vec<Key>,
}

/// What is known of one key.
struct Key {
    /// Lower-case hex SHA-256.
    digest: SecretString,
    /// What it is called where it may not be shown.
    name: String,
    signs: EncodingKey,
    reads: DecodingKey,
    forms: hmac::Key,
}

/// Who sits in front of a browser, by the key that opened the session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Visitor {
    /// The name of the key, the same as long as the key and the APIv3 key are: 8 hex digits that tell nothing of it.
    pub(crate) key: String,
    /// The name that its holder gave. Nobody checks it: whoever has the key may say anything.
    pub(crate) name: Option<String>,
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (operator key {})", self.key),
            None => write!(f, "operator key {}", self.key),
        }
    }
}

/// A session that is genuine and not over.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) visitor: Visitor,
    /// What a form of this session carries, so that no other page can send it.
    pub(crate) form_token: String,
}

impl Session {
    /// Whether a form that was sent is one of this session.
    pub(crate) fn is_own_form(&self, token: &str) -> bool {
        verify_slices_are_equal(self.form_token.as_bytes(), token.as_bytes()).is_ok()
    }
}

#[derive(Deserialize, Serialize)]
struct Claims {
    /// The name of the key.
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Tells two sessions of one moment apart.
    nonce: String,
    exp: i64,
}

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name.as_str()).collect();
        f.debug_struct("Operators")
            .field("keys", &names)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn of(digest: &SecretString, root: &hmac::Key) -> Self {
        let derived = |purpose: &str| {
            let about = format!("{purpose} {}", digest.expose_secret());
            hmac::sign(root, about.as_bytes())
        };
        let session = derived("pay-common: a session of the console, 1");
        let name = derived("pay-common: the name of an operator key, 1");
        Self {
            digest: digest.clone(),
            name: hex(name.as_ref()).chars().take(8).collect(),
            signs: EncodingKey::from_secret(session.as_ref()),
            reads: DecodingKey::from_secret(session.as_ref()),
            forms: hmac::Key::new(
                hmac::HMAC_SHA256,
                derived("pay-common: a form of the console, 1").as_ref(),
            ),
        }
    }

    fn form_token(&self, session: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.forms, session.as_bytes()))
    }
}

impl Operators {
    /// `digests` are the lower-case hex SHA-256 of the keys; `root` is of this service alone.
    pub(crate) fn new(digests: &[SecretString], root: &hmac::Key) -> Self {
        Self {
            keys: digests.iter().map(|digest| Key::of(digest, root)).collect(),
        }
    }

    /// Whether there is no key at all.
    pub(crate) fn is_nobody(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it is one of the keys.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// All are compared, whichever it is: how long it takes says nothing.
    fn find(&self, key: &str) -> Option<&Key> {
        let digest = hex(&Sha256::digest(key.as_bytes()));
        self.keys.iter().fold(None, |found, known| {
            let same = verify_slices_are_equal(known.digest.expose_secret().as_bytes(), digest.as_bytes());
            if same.is_ok() { Some(known) } else { found }
        })
    }

    /// A session for who has this key, until `exp`, Unix seconds; `None` when it is none of the keys.
    ///
    /// # Errors
    /// It cannot be signed: a defect.
    pub(crate) fn admit(
        &self,
        key: &str,
        name: Option<String>,
        exp: i64,
    ) -> Result<Option<(Visitor, String)>, jsonwebtoken::errors::Error> {
        let Some(key) = self.find(key) else { return Ok(None) };
        let claims = Claims {
            key: key.name.clone(),
            name,
            nonce: new_nonce(),
            exp,
        };
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key.signs)?;
        let visitor = Visitor {
            key: claims.key,
            name: claims.name,
        };
        Ok(Some((visitor, text)))
    }

    /// The session that a browser keeps.
    ///
    /// # Errors
    /// It is none of a key that is known now, or its time is over.
    pub(crate) fn open(&self, text: &str, now_s: i64) -> Result<Session, NoSession> {
        let signed = |key: &Key| {
            let claims: Claims = jws::signed(text, Algorithm::HS256, &key.reads).ok()?;
            let form_token = key.form_token(text);
            Some((claims, form_token))
        };
        let (claims, form_token) = self.keys.iter().find_map(signed).ok_or(NoSession::NotSigned)?;
        if claims.exp <= now_s {
            return Err(NoSession::Over);
        }
        Ok(Session {
            visitor: Visitor {
                key: claims.key,
                name: claims.name,
            },
            form_token,
        })
    }
}

/// A name that somebody gives, without the space around it; `None` when nothing is left. What would steer a terminal is left out, and what
/// would show the text after it, which names the key, in another order or on another line.
pub(crate) fn given_name(text: &str) -> Option<String> {
    let name: String = text
        .trim()
        .chars()
        .filter(|c| !c.is_control() && !directs(*c))
        .take(LONGEST_NAME)
        .collect();
    (!name.is_empty()).then_some(name)
}

/// Whether it is a line's or a paragraph's end to Unicode, or says in which direction a text is read.
const fn directs(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len().saturating_mul(2)), |hex, byte| {
            hex + &format!("{byte:02x}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::cipher::ApiV3Key;

    const NOW: i64 = 1_800_000_000;
    const FIRST: &str = "op_the_first_key";
    const SECOND: &str = "op_the_second_key";

    fn operators(keys: &[&str], api_v3_key: &str) -> Operators {
        let digests: Vec<SecretString> = keys
            .iter()
            .map(|key| SecretString::from(hex(&Sha256::digest(key.as_bytes()))))
            .collect();
        let root = ApiV3Key::read(api_v3_key).unwrap().derived("pay-common: operators, 1");
        Operators::new(&digests, &root)
    }

    fn both() -> Operators {
        operators(&[FIRST, SECOND], "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb")
    }

    fn session(operators: &Operators, key: &str, exp: i64) -> String {
        operators.admit(key, Some("Anna".to_owned()), exp).unwrap().unwrap().1
    }

    #[test]
    fn only_a_configured_key_is_one() {
        let operators = both();
        assert!(operators.knows(FIRST) && operators.knows(SECOND) && !operators.is_nobody());
        for wrong in [
            "",
            "op_",
            "op_the_first_ke",
            "op_the_first_key ",
            &hex(&Sha256::digest(FIRST)),
        ] {
            assert!(!operators.knows(wrong), "{wrong}");
            assert!(operators.admit(wrong, None, NOW + 1).unwrap().is_none(), "{wrong}");
        }
        assert!(operators_of_nobody().is_nobody());
    }

    fn operators_of_nobody() -> Operators {
        operators(&[], "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb")
    }

    #[test]
    fn a_session_is_of_its_key_and_its_time() {
        let operators = both();
        let text = session(&operators, SECOND, NOW + SESSION_S);
        let opened = operators.open(&text, NOW).unwrap();
        assert_eq!(opened.visitor.name.as_deref(), Some("Anna"));
        let name_of = |key: &str| operators.find(key).unwrap().name.clone();
        assert_eq!(opened.visitor.key, name_of(SECOND));
        assert_ne!(name_of(FIRST), name_of(SECOND));
        assert!(operators.open(&text, NOW + SESSION_S - 1).is_ok());
        assert_eq!(operators.open(&text, NOW + SESSION_S).err(), Some(NoSession::Over));
    }

    #[test]
    fn without_its_key_a_session_is_nobodys() {
        let text = session(&both(), SECOND, NOW + 10);
        let api_v3_key = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";
        for other in [
            operators(&[FIRST], api_v3_key),
            operators(&[], api_v3_key),
            operators(&[FIRST, SECOND], "b7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"),
        ] {
            assert_eq!(other.open(&text, NOW).err(), Some(NoSession::NotSigned));
        }
        // Another instance, and one where a key was added, know it.
        for same in [both(), operators(&["op_new", SECOND], api_v3_key)] {
            assert!(same.open(&text, NOW).is_ok());
        }
    }

    #[test]
    fn no_byte_of_a_session_can_be_another() {
        let operators = both();
        let text = session(&operators, FIRST, NOW + 10);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(bytes).unwrap();
            assert_eq!(
                operators.open(&other, NOW).err(),
                Some(NoSession::NotSigned),
                "byte {at}"
            );
        }
    }

    #[test]
    fn what_is_configured_of_a_key_signs_no_session() {
        let digest = hex(&Sha256::digest(FIRST));
        let claims = Claims {
            key: both().find(FIRST).unwrap().name.clone(),
            name: None,
            nonce: new_nonce(),
            exp: NOW + 10,
        };
        for secret in [digest.as_bytes(), FIRST.as_bytes(), b""] {
            let signs = EncodingKey::from_secret(secret);
            let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &signs).unwrap();
            assert_eq!(both().open(&forged, NOW).err(), Some(NoSession::NotSigned));
        }
    }

    #[test]
    fn a_form_is_of_its_session_alone() {
        let operators = both();
        let open = |text: &str| operators.open(text, NOW).unwrap();
        let one = open(&session(&operators, FIRST, NOW + 10));
        let other = open(&session(&operators, FIRST, NOW + 10));
        assert!(one.is_own_form(&one.form_token));
        let shorter = one.form_token.get(1..).unwrap();
        for wrong in ["", other.form_token.as_str(), shorter, "x"] {
            assert!(!one.is_own_form(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_short_and_steers_no_terminal() {
        assert_eq!(given_name(" 小王\n").as_deref(), Some("小王"));
        assert_eq!(given_name("a\u{1b}[31mb").as_deref(), Some("a[31mb"));
        assert_eq!(given_name(&"x".repeat(100)).map(|name| name.len()), Some(40));
        assert_eq!(given_name("A\u{202e}nn\u{2067}a\u{2028}").as_deref(), Some("Anna"));
        assert_eq!(given_name(" \t"), None);
        let visitor = Visitor {
            key: "1a2b3c4d".to_owned(),
            name: given_name("Anna"),
        };
        assert_eq!(visitor.to_string(), "Anna (operator key 1a2b3c4d)");
    }

    #[test]
    fn nothing_is_shown_of_a_key() {
        let shown = format!("{:?} {:#?}", both(), both());
        assert!(
            !shown.contains(&hex(&Sha256::digest(FIRST))) && !shown.contains("op_"),
            "{shown}"
        );
    }
}
