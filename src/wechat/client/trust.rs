//! The client's keys: loaded before a question, renewed beside it, looked up after an answer that names one nobody knows.

use std::sync::Arc;
use std::time::Duration;

use super::Client;
use crate::wechat::certificates;
use crate::wechat::error::WechatError;
use crate::wechat::keyring::{Looked, Need};
use crate::wechat::sensitive::Sealer;
use crate::wechat::verify::{NotGenuine, SignatureHeaders, Verifier};

/// Longest wait for the platform certificates when nothing goes on without them.
const LOOK: Duration = Duration::from_secs(5);

/// The same when they are renewed beside something that somebody waits for.
const LOOK_BESIDE: Duration = Duration::from_secs(2);

impl Client {
    /// The key that members have to be encrypted with now. Its id is the [`Call::serial`](super::Call::serial) of the request that
    /// carries them.
    ///
    /// # Errors
    /// When there is no such key now, and none could be loaded: nothing was sent, and nothing should be.
    pub(crate) async fn sealer(&self) -> Result<Sealer, WechatError> {
        self.keys_loaded(self.call_timeout).await?;
        self.keyring
            .sealing()
            .map(Sealer)
            .ok_or_else(|| WechatError::NeverSent("no key to encrypt for WeChat Pay with counts now".to_owned()))
    }

    /// Checks that a notification comes from WeChat and is no older than five minutes.
    ///
    /// # Errors
    /// [`WechatError::NotGenuine`] when it does not; anything else when that cannot be told now.
    pub(crate) async fn verify(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        budget: Duration,
    ) -> Result<(), WechatError> {
        self.keys_loaded(budget).await?;
        let judge = || Ok(self.keyring.verifier().verify(headers, body, self.clock.now())?);
        let (judged, ()) = tokio::join!(self.judged(judge), self.renewed(budget));
        judged
    }

    /// Looks at the platform certificates if there are none yet, or old ones. For those who have time for it.
    pub(crate) async fn tend_keys(&self) {
        if let Some(need) = self.keyring.need() {
            self.look(need, LOOK).await;
        }
    }

    /// Whether anything that WeChat signs could be verified now.
    pub(crate) fn has_key(&self) -> bool {
        self.keyring.in_force()
    }

    /// Makes sure that an answer could be verified: nothing is asked before.
    ///
    /// # Errors
    /// When there is no key and none could be loaded, now or a few seconds ago.
    pub(super) async fn keys_loaded(&self, budget: Duration) -> Result<(), WechatError> {
        if self.keyring.in_force() {
            return Ok(());
        }
        let looked = self.look(Need::Any, budget).await;
        if self.keyring.in_force() {
            return Ok(());
        }
        let why = match looked {
            Looked::Failed(why) | Looked::TooSoon(Some(why)) => why,
            Looked::Anew | Looked::TooSoon(None) => "none that counts is known".to_owned(),
        };
        Err(WechatError::NeverSent(format!(
            "there is no key to verify the answer with: {why}"
        )))
    }

    /// Renews an old set beside something else, so that nobody waits for it but whoever comes first.
    pub(super) async fn renewed(&self, budget: Duration) {
        if self.keyring.need() == Some(Need::Newer) {
            self.look(Need::Newer, budget.min(LOOK_BESIDE)).await;
        }
    }

    /// Judges; if a signature names a certificate that is not known, looks for it and judges once more.
    pub(super) async fn judged<T>(&self, judge: impl Fn() -> Result<T, WechatError>) -> Result<T, WechatError> {
        match judge() {
            Err(WechatError::NotGenuine(NotGenuine::UnknownKey(serial)))
                if self.keyring.could_find(&serial) && self.look(Need::Unknown, LOOK_BESIDE).await == Looked::Anew =>
            {
                judge()
            }
            judged => judged,
        }
    }

    async fn look(&self, need: Need, budget: Duration) -> Looked {
        let Some(checks) = self.keyring.checks() else {
            return Looked::TooSoon(None);
        };
        let fetch = |known: Arc<Verifier>| async move { certificates::download(self, checks, &known).await };
        match tokio::time::timeout(budget.min(LOOK), self.keyring.look(need, fetch)).await {
            Ok(looked) => looked,
            Err(_) => {
                tracing::warn!(?need, "the platform certificates did not come in time");
                Looked::Failed("no answer in time".to_owned())
            }
        }
    }
}
