//! The keys with which the gateway signs access tokens: the newest signs, all of them are published.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use crate::sandbox::{
    Keys,
    keys::{NamedKey, jwks},
    lock,
};

pub(super) struct KeyRing {
    keys: Arc<Keys>,
    ring: Mutex<Ring>,
    fetches: AtomicUsize,
}

struct Ring {
    signing: Arc<NamedKey>,
    /// Published still, oldest first.
    former: Vec<Arc<NamedKey>>,
    rotations: usize,
}

impl KeyRing {
    pub(super) fn new(keys: Arc<Keys>) -> Self {
        let ring = Ring {
            signing: keys.gateway_key(0),
            former: Vec::new(),
            rotations: 0,
        };
        Self {
            keys,
            ring: Mutex::new(ring),
            fetches: AtomicUsize::new(0),
        }
    }

    pub(super) fn rotate(&self) -> String {
        let mut ring = lock(&self.ring);
        ring.rotations += 1;
        let next = self.keys.gateway_key(ring.rotations);
        let former = std::mem::replace(&mut ring.signing, next);
        ring.former.push(former);
        ring.signing.id().to_owned()
    }

    pub(super) fn retire(&self) -> usize {
        std::mem::take(&mut lock(&self.ring).former).len()
    }

    pub(super) fn signing(&self) -> Arc<NamedKey> {
        lock(&self.ring).signing.clone()
    }

    /// A published key.
    pub(super) fn find(&self, kid: &str) -> Option<Arc<NamedKey>> {
        self.published().into_iter().find(|key| key.id() == kid)
    }

    /// The key set as it is answered to whoever fetches it, which is counted.
    pub(super) fn fetch(&self) -> Value {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        jwks(&self.published())
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn published(&self) -> Vec<Arc<NamedKey>> {
        let ring = lock(&self.ring);
        let mut all = ring.former.clone();
        all.push(ring.signing.clone());
        all
    }
}
