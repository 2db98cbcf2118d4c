//! The keys of WeChat's that are known now, and when to look for others.
//!
//! The public key is a setting and stays. Platform certificates come from WeChat: loaded before the first question that needs one,
//! renewed long before they expire (their successor is listed for the last 180 days), and looked at again when a signature names a
//! key that is not known. There is one look at a time, whoever wants it; a failed one leaves the keys as they are.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use super::certificates::{Checks, LoadError};
use super::verify::{Verifier, WechatKey};
use super::x509;
use crate::clock::Clock;

/// Age at which the certificates are looked at again, in milliseconds. WeChat's documentation asks for 12 hours.
const OLD_MS: i64 = 12 * 3_600_000;

/// Milliseconds between two attempts while there is no key at all: nothing works without one, and WeChat must not be flooded.
const LOAD_PAUSE_MS: i64 = 5_000;

/// Milliseconds between two attempts to renew a set that still serves: there are months left.
const RENEW_PAUSE_MS: i64 = 10 * 60_000;

/// Milliseconds between two looks for a key that a signature names. Anybody can send a made-up serial, and each would be a question
/// to WeChat; a real one was listed for months, and what is refused now WeChat sends again.
const UNKNOWN_PAUSE_MS: i64 = 60_000;

/// Why to look at the certificates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    /// No key counts now.
    Any,
    /// The set is old, or was never loaded beside the public key.
    Newer,
    /// A signature names a key that is not known.
    Unknown,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Looked {
    /// The set is new: by this look, or by one that was waited for.
    Anew,
    /// It was looked too short a time ago; how that ended, when it failed.
    TooSoon(Option<String>),
    /// It failed, and the keys are what they were.
    Failed(String),
}

/// Whom the settings trust: the public key, certificates that pass these checks, or both.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    pub(crate) public: Option<Arc<WechatKey>>,
    pub(crate) certificates: Option<Checks>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Keyring {
    trust: Trust,
    set: RwLock<Set>,
    /// Held by whoever is looking.
    attempts: Mutex<Attempts>,
    clock: Clock,
}

/// Exchanged as a whole; readers hold the lock for no longer than a clone of the `Arc` takes.
#[derive(Debug)]
struct Set {
    verifier: Arc<Verifier>,
    /// When its certificates were listed, Unix milliseconds.
    listed_at: Option<i64>,
}

/// When it was looked, Unix milliseconds.
#[derive(Debug, Default)]
struct Attempts {
    last: Option<i64>,
    last_for_unknown: Option<i64>,
    /// How the last one ended, when it failed.
    failure: Option<String>,
}

impl Keyring {
    /// Begins with the public key; certificates are loaded when they are needed.
    pub(crate) fn new(trust: Trust, clock: Clock) -> Self {
        let set = Set {
            verifier: Arc::new(Verifier::new(trust.public.clone())),
            listed_at: None,
        };
        Self {
            trust,
            set: RwLock::new(set),
            attempts: Mutex::default(),
            clock,
        }
    }

    /// What certificates are checked with; `None` when none are to be looked for.
    pub(crate) fn checks(&self) -> Option<&Checks> {
        self.trust.certificates.as_ref()
    }

    /// The keys as they are now.
    pub(crate) fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner).verifier)
    }

    /// The public key that WeChat is asked to sign its answers with.
    pub(crate) fn public_key_id(&self) -> Option<&str> {
        self.trust.public.as_deref().map(|key| key.id.as_str())
    }

    /// The key that members for WeChat are encrypted with: the public key, else the certificate with the latest beginning.
    pub(crate) fn sealing(&self) -> Option<Arc<WechatKey>> {
        let now = self.clock.now();
        let newest = || {
            let verifier = self.verifier();
            let counting = verifier.keys().filter(|key| key.in_force(now));
            counting
                .max_by_key(|key| key.validity.map(|validity| validity.from))
                .cloned()
        };
        self.trust.public.clone().or_else(newest)
    }

    /// Whether anything could be verified now.
    pub(crate) fn in_force(&self) -> bool {
        self.verifier().in_force(self.clock.now())
    }

    /// What there is to look for by itself, if anything.
    pub(crate) fn need(&self) -> Option<Need> {
        if self.checks().is_none() {
            None
        } else if !self.in_force() {
            Some(Need::Any)
        } else {
            let listed_at = self.set.read().unwrap_or_else(PoisonError::into_inner).listed_at;
            self.passed(listed_at, OLD_MS).then_some(Need::Newer)
        }
    }

    /// Whether a look could find the key with this name: only certificates are listed.
    pub(crate) fn could_find(&self, serial: &str) -> bool {
        self.checks().is_some() && x509::normal_serial(serial).is_some()
    }

    /// Looks, unless somebody just did. Whoever comes while one is under way waits for it.
    pub(crate) async fn look<F>(&self, need: Need, fetch: impl FnOnce(Arc<Verifier>) -> F) -> Looked
    where
        F: Future<Output = Result<Vec<Arc<WechatKey>>, LoadError>>,
    {
        let before = self.verifier();
        let mut attempts = self.attempts.lock().await;
        if !Arc::ptr_eq(&before, &self.verifier()) {
            return Looked::Anew;
        }
        let (last, pause) = match need {
            Need::Any => (attempts.last, LOAD_PAUSE_MS),
            Need::Newer => (attempts.last, RENEW_PAUSE_MS),
            Need::Unknown => (attempts.last_for_unknown, UNKNOWN_PAUSE_MS),
        };
        if !self.passed(last, pause) {
            return Looked::TooSoon(attempts.failure.clone());
        }
        // Written before the question: one that is cut off counts as one that failed.
        let now = self.clock.now_ms();
        attempts.last = Some(now);
        if need == Need::Unknown {
            attempts.last_for_unknown = Some(now);
        }
        attempts.failure = Some("it was cut off".to_owned());
        match fetch(before).await {
            Ok(certificates) => {
                attempts.failure = None;
                self.exchange(certificates, now);
                Looked::Anew
            }
            Err(error) => {
                self.tell(&error);
                let failure = error.to_string();
                attempts.failure = Some(failure.clone());
                Looked::Failed(failure)
            }
        }
    }

    fn exchange(&self, certificates: Vec<Arc<WechatKey>>, now: i64) {
        for key in &certificates {
            let until = key.validity.map(|validity| validity.to.to_string());
            tracing::info!(serial = key.id, until, "platform certificate {} is known", key.id);
        }
        let verifier = Verifier::new(certificates.into_iter().chain(self.trust.public.clone()));
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Set {
            verifier: Arc::new(verifier),
            listed_at: Some(now),
        };
    }

    fn tell(&self, error: &LoadError) {
        match error {
            LoadError::None => tracing::error!(
                "this merchant has no platform certificate, only the WeChat Pay public key: set wxPayPublicKey and wxPayPublicKeyId, \
                 and leave platformCertificates out / 该商户没有平台证书，只有微信支付公钥：请设置 wxPayPublicKey 和 wxPayPublicKeyId，\
                 并且不要设置 platformCertificates"
            ),
            LoadError::List(_) => {
                tracing::error!(%error, "platform certificates were refused; the keys stay what they were");
            }
            LoadError::Call(_) if self.in_force() => {
                tracing::warn!(%error, "the platform certificates could not be looked at; the known ones serve on");
            }
            LoadError::Call(_) => tracing::error!(%error, "no platform certificate is known and none could be loaded"),
        }
    }

    /// Whether this is longer ago than that. A clock that was set back must not stop everything: the distance counts.
    fn passed(&self, since: Option<i64>, pause: i64) -> bool {
        since.is_none_or(|since| self.clock.now_ms().abs_diff(since) >= pause.unsigned_abs())
    }
}

#[cfg(test)]
mod tests;
