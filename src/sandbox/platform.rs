//! With which keys WeChat Pay signs, and which ones a merchant may encrypt for: its public key, its platform
//! certificates, or both while a merchant moves from these to that one.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use super::{
    Keys,
    crypto::{decrypt, verifies},
    keys::NamedKey,
    lock,
};

/// How this merchant verifies WeChat Pay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyMode {
    /// By WeChat Pay's public key alone, as every new merchant does. There are no platform certificates.
    #[default]
    PublicKey,
    /// By platform certificates alone, as older merchants do. There is no public key.
    Certificates,
    /// On the way from certificates to the public key: WeChat signs answers with what the request names, else with a
    /// certificate, and callbacks with either.
    Both,
}

/// Why WeChat's certificates cannot be changed in this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRotation {
    /// The merchant has none.
    #[error("this merchant has no platform certificates; see KeyMode")]
    NoCertificates,
    /// There are at most two at a time.
    #[error("a successor is listed already; expire the old certificate first")]
    UnderWay,
    /// The one that is listed has no successor.
    #[error("there is no successor; rotate first")]
    NoSuccessor,
}

/// One platform certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformCertificate {
    /// 40 upper-case hexadecimal digits.
    pub serial_no: String,
    /// From when on it is valid, in whole seconds.
    pub effective: Timestamp,
    /// Until when.
    pub expires: Timestamp,
    /// The X.509 certificate.
    pub pem: String,
}

const LIFE: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);
/// The first certificate is not new: when a world starts, it has been in use for a year.
const AGE: SignedDuration = SignedDuration::from_hours(365 * 24);
const HALF: u32 = 50;

/// WeChat's side of the key mode; clones are the same one.
#[derive(Clone)]
pub(crate) struct Platform {
    keys: Arc<Keys>,
    mode: KeyMode,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Oldest first, at most two.
    listed: Vec<Listed>,
    /// How many there have ever been.
    issued: usize,
    /// Whether WeChat signs with the newest one instead of the oldest.
    sign_with_newest: bool,
    /// How many of a hundred callbacks are signed by the public key in [`KeyMode::Both`].
    share: u32,
    /// How many callbacks have been signed since the share was set.
    callbacks: u32,
}

#[derive(Clone)]
struct Listed {
    key: Arc<NamedKey>,
    certificate: PlatformCertificate,
}

impl Platform {
    /// The keys of a merchant in this mode. With certificates the first of them is made, which takes a moment.
    pub(crate) fn new(keys: Arc<Keys>, mode: KeyMode, now: Timestamp) -> Self {
        let platform = Self {
            keys,
            mode,
            state: Arc::new(Mutex::new(State {
                listed: Vec::new(),
                issued: 0,
                sign_with_newest: false,
                share: HALF,
                callbacks: 0,
            })),
        };
        if mode != KeyMode::PublicKey {
            let first = platform.issue(0, now - AGE);
            let mut state = lock(&platform.state);
            state.listed.push(first);
            state.issued = 1;
        }
        platform
    }

    pub(crate) const fn mode(&self) -> KeyMode {
        self.mode
    }

    /// What `GET /v3/certificates` lists.
    pub(crate) fn certificates(&self, now: Timestamp) -> Vec<PlatformCertificate> {
        let state = lock(&self.state);
        let current = state.listed.iter().filter(|listed| now < listed.certificate.expires);
        current.map(|listed| listed.certificate.clone()).collect()
    }

    /// Lists a successor beside the certificate that signs; gives its serial number.
    pub(crate) fn rotate(&self, now: Timestamp) -> Result<String, NoRotation> {
        let number = {
            let state = lock(&self.state);
            match state.listed.len() {
                0 => return Err(NoRotation::NoCertificates),
                1 => state.issued,
                _ => return Err(NoRotation::UnderWay),
            }
        };
        let successor = self.issue(number, now);
        let serial_no = successor.certificate.serial_no.clone();
        let mut state = lock(&self.state);
        if state.issued != number {
            return Err(NoRotation::UnderWay);
        }
        state.listed.push(successor);
        state.issued = number + 1;
        state.sign_with_newest = false;
        Ok(serial_no)
    }

    pub(crate) fn sign_with_newest(&self) -> Result<(), NoRotation> {
        let mut state = lock(&self.state);
        state.needs_successor()?;
        state.sign_with_newest = true;
        Ok(())
    }

    pub(crate) fn expire_oldest(&self) -> Result<(), NoRotation> {
        let mut state = lock(&self.state);
        state.needs_successor()?;
        drop(state.listed.remove(0));
        Ok(())
    }

    pub(crate) fn share_of_public_key(&self, percent: u32) {
        let mut state = lock(&self.state);
        state.share = percent.min(100);
        state.callbacks = 0;
    }

    /// The key under this id that a merchant may name and encrypt for; nothing for one that is not current.
    pub(crate) fn current(&self, id: &str, now: Timestamp) -> Option<Arc<NamedKey>> {
        if id == self.keys.public_key_id() {
            return (self.mode != KeyMode::Certificates).then(|| self.keys.wechat().clone());
        }
        let state = lock(&self.state);
        let mut current = state.listed.iter().filter(|listed| now < listed.certificate.expires);
        current
            .find(|listed| listed.certificate.serial_no == id)
            .map(|listed| listed.key.clone())
    }

    /// What was encrypted for the key under this id.
    pub(crate) fn decrypt(&self, id: &str, ciphertext: &str, now: Timestamp) -> Option<String> {
        decrypt(self.current(id, now)?.private(), ciphertext)
    }

    /// Whether `signature` is by the key under this id; nothing for a key that is not current.
    pub(crate) fn verifies(&self, id: &str, message: &[u8], signature: &str, now: Timestamp) -> Option<bool> {
        Some(verifies(self.current(id, now)?.public(), message, signature))
    }

    /// The key that signs the answer to a request which named this one.
    pub(crate) fn signer_of_answer(&self, named: Option<&str>, now: Timestamp) -> Arc<NamedKey> {
        match (self.mode, named) {
            (KeyMode::Both, Some(id)) => self.current(id, now).unwrap_or_else(|| self.certified()),
            _ => self.certified(),
        }
    }

    /// The key that signs the next callback.
    pub(crate) fn signer_of_callback(&self) -> Arc<NamedKey> {
        let by_public_key = {
            let mut state = lock(&self.state);
            let before = u64::from(state.callbacks) * u64::from(state.share) / 100;
            state.callbacks = state.callbacks.wrapping_add(1);
            u64::from(state.callbacks) * u64::from(state.share) / 100 > before
        };
        if self.mode == KeyMode::Both && by_public_key {
            self.keys.wechat().clone()
        } else {
            self.certified()
        }
    }

    /// The key of the certificate that signs; of a merchant without certificates the public key's.
    pub(crate) fn certified(&self) -> Arc<NamedKey> {
        let state = lock(&self.state);
        let signing = if state.sign_with_newest {
            state.listed.last()
        } else {
            state.listed.first()
        };
        signing.map_or_else(|| self.keys.wechat().clone(), |listed| listed.key.clone())
    }

    fn issue(&self, number: usize, from: Timestamp) -> Listed {
        let key = self.keys.platform_key(number);
        let effective = Timestamp::from_second(from.as_second()).unwrap_or(from);
        let expires = effective + LIFE;
        let certificate = PlatformCertificate {
            serial_no: key.id().to_owned(),
            effective,
            expires,
            pem: self.keys.authority().certify(&key, effective, expires),
        };
        Listed { key, certificate }
    }
}

impl State {
    fn needs_successor(&self) -> Result<(), NoRotation> {
        match self.listed.len() {
            0 => Err(NoRotation::NoCertificates),
            1 => Err(NoRotation::NoSuccessor),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T15:10:00.5+08:00".parse().unwrap()
    }

    fn platform(mode: KeyMode) -> Platform {
        Platform::new(Keys::shared(), mode, now())
    }

    #[test]
    fn who_has_no_certificates_cannot_rotate_them() {
        let platform = platform(KeyMode::PublicKey);
        assert_eq!(platform.certificates(now()), []);
        assert_eq!(platform.rotate(now()), Err(NoRotation::NoCertificates));
        assert_eq!(platform.expire_oldest(), Err(NoRotation::NoCertificates));
        assert_eq!(platform.signer_of_callback().id(), Keys::shared().public_key_id());
    }

    #[test]
    fn a_rotation_goes_step_by_step() {
        let platform = platform(KeyMode::Certificates);
        let old = platform.certificates(now()).remove(0).serial_no;
        assert_eq!(platform.sign_with_newest(), Err(NoRotation::NoSuccessor));
        let new = platform.rotate(now()).unwrap();
        assert_eq!(platform.rotate(now()), Err(NoRotation::UnderWay));
        let listed = |platform: &Platform| -> Vec<String> {
            let all = platform.certificates(now());
            all.into_iter().map(|certificate| certificate.serial_no).collect()
        };
        assert_eq!(listed(&platform), [old.clone(), new.clone()]);
        assert_eq!(platform.certified().id(), old);
        platform.sign_with_newest().unwrap();
        assert_eq!(platform.certified().id(), new);
        assert!(platform.current(&old, now()).is_some());
        platform.expire_oldest().unwrap();
        assert_eq!(listed(&platform), std::slice::from_ref(&new));
        assert!(platform.current(&old, now()).is_none());
        assert_eq!(platform.certified().id(), new);
        assert_ne!(platform.rotate(now()).unwrap(), old);
        assert_eq!(platform.certified().id(), new);
    }

    #[test]
    fn a_certificate_runs_out_with_the_clock() {
        let platform = platform(KeyMode::Certificates);
        let certificate = platform.certificates(now()).remove(0);
        assert_eq!(certificate.expires.duration_since(certificate.effective), LIFE);
        let last = certificate.expires - SignedDuration::from_secs(1);
        assert!(platform.current(&certificate.serial_no, last).is_some());
        assert!(platform.current(&certificate.serial_no, certificate.expires).is_none());
        assert_eq!(platform.certificates(certificate.expires), []);
    }

    #[test]
    fn a_share_of_the_callbacks_is_signed_by_the_public_key() {
        let platform = platform(KeyMode::Both);
        let count = |percent| {
            platform.share_of_public_key(percent);
            let by_public = |_: &u32| platform.signer_of_callback().id() == Keys::shared().public_key_id();
            (0..100).filter(by_public).count()
        };
        assert_eq!([0, 1, 20, 50, 100].map(count), [0, 1, 20, 50, 100]);
        let certificates = self::platform(KeyMode::Certificates);
        certificates.share_of_public_key(100);
        assert_ne!(certificates.signer_of_callback().id(), Keys::shared().public_key_id());
    }

    #[test]
    fn an_answer_is_signed_by_what_the_request_named_where_there_is_a_choice() {
        let (keys, both) = (Keys::shared(), platform(KeyMode::Both));
        let old = both.certified().id().to_owned();
        let new = both.rotate(now()).unwrap();
        let signer = |named| both.signer_of_answer(named, now()).id().to_owned();
        assert_eq!(signer(None), old);
        assert_eq!(signer(Some(keys.public_key_id())), keys.public_key_id());
        assert_eq!(signer(Some(&new)), new);
        let certificates = platform(KeyMode::Certificates);
        assert!(certificates.current(keys.public_key_id(), now()).is_none());
        assert!(platform(KeyMode::PublicKey).current(&old, now()).is_none());
    }
}
