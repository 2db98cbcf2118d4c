//! The keys with which the platform signs tokens: fetched when they are needed, kept, and replaced when they change.
//!
//! No task runs beside the requests. The platform may freeze the process between two of them, and what a timer had to do would then
//! be overdue at the next one anyhow; so ages are counted by the clock on the wall, which goes on while a process is frozen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use reqwest::redirect;
use url::Url;

use super::jwks::{KeySet, NoKeySet};
use crate::clock::Clock;

/// After so long the set is fetched again by whoever comes, in milliseconds: so soon a key that was withdrawn is out of use.
const FRESH_MS: i64 = 3600 * 1000;

/// For so long a set is used when no newer one can be had, in milliseconds. A day covers a night in which nobody looks; after it a
/// withdrawn key would be believed for longer than any mishap explains.
const KEPT_MS: i64 = 24 * FRESH_MS;

/// The pause between two fetches in milliseconds, whatever names of keys strangers invent.
const PAUSE_MS: i64 = 10 * 1000;

/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A key set is a few kilobytes.
const MOST_BYTES: usize = 256 * 1024;

/// Why there is no key of that name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoKey {
    /// The platform, asked within the last seconds, does not publish it.
    #[error("the platform publishes no such key")]
    Unknown,
    /// The platform cannot be asked just now.
    #[error("the keys cannot be fetched")]
    Unavailable,
}

/// The keys of one environment.
#[derive(Debug)]
pub(crate) struct Keyring {
    http: reqwest::Client,
    url: Url,
    clock: Clock,
    held: Mutex<Held>,
    /// One fetch at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    set: Option<(Arc<KeySet>, i64)>,
    /// When the last fetch ended (Unix milliseconds), and whether it brought a set.
    last: Option<(i64, bool)>,
}

#[derive(Debug, thiserror::Error)]
enum CannotFetch {
    #[error("{0}")]
    Http(String),
    #[error("status {0}")]
    Status(u16),
    #[error("the answer is longer than 256 KiB")]
    TooLong,
    #[error(transparent)]
    NoKeySet(#[from] NoKeySet),
}

impl Keyring {
    pub(crate) fn new(url: Url, clock: Clock) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("pay-common/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            // Once an hour; a connection that was kept so long, or through a freeze, is dead.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self {
            http,
            url,
            clock,
            held: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// The key of that name; fetched when it is not held.
    pub(crate) async fn key(&self, kid: &str) -> Result<DecodingKey, NoKey> {
        match self.look(kid) {
            Some((key, true)) => return Ok(key),
            // It is time for a new set. One request asks for it; the others need not wait for that.
            Some((key, false)) => match self.turn.try_lock() {
                Ok(_turn) => self.fetch_if_due().await,
                Err(_) => return Ok(key),
            },
            None => {
                let _turn = self.turn.lock().await;
                // Whoever had the turn before may have brought it.
                if self.look(kid).is_none() {
                    self.fetch_if_due().await;
                }
            }
        }
        match self.look(kid) {
            Some((key, _)) => Ok(key),
            None => Err(match self.lock().last {
                Some((_, true)) => NoKey::Unknown,
                Some((_, false)) | None => NoKey::Unavailable,
            }),
        }
    }

    /// How many keys there are now, or why that cannot be said; nothing is kept.
    pub(crate) async fn look_once(&self) -> Result<usize, String> {
        match self.fetch().await {
            Ok(set) => Ok(set.len()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The key out of the set that is held, and whether that set is fresh; `None` without one, or with one that is too old.
    fn look(&self, kid: &str) -> Option<(DecodingKey, bool)> {
        let now = self.clock.now_ms();
        let held = self.lock();
        let (set, at) = held.set.as_ref().filter(|(_, at)| is_within(now, *at, KEPT_MS))?;
        Some((set.get(kid)?.clone(), is_within(now, *at, FRESH_MS)))
    }

    /// Fetches the set, unless that was tried a moment ago. What cannot be fetched leaves the held set where it is.
    async fn fetch_if_due(&self) {
        let last = self.lock().last;
        if last.is_some_and(|(at, _)| is_within(self.clock.now_ms(), at, PAUSE_MS)) {
            return;
        }
        let fetched = self.fetch().await;
        let now = self.clock.now_ms();
        let mut held = self.lock();
        held.last = Some((now, fetched.is_ok()));
        match fetched {
            Ok(set) => {
                tracing::info!(keys = set.len(), "the keys of logins are fetched");
                held.set = Some((Arc::new(set), now));
            }
            Err(error) => {
                let age_s = held.set.as_ref().map(|(_, at)| now.saturating_sub(*at) / 1000);
                tracing::error!(%error, age_s, "the keys of logins cannot be fetched from authJwksUrl; those that are held are used for a day");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, CannotFetch> {
        let broken = |error: reqwest::Error| CannotFetch::Http(causes(&error.without_url()));
        let mut response = self.http.get(self.url.clone()).send().await.map_err(broken)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(CannotFetch::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len().saturating_add(chunk.len()) > MOST_BYTES {
                return Err(CannotFetch::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(KeySet::read(&body)?)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Both members are written whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `then` is less than `limit` ago. A clock that was set back proves nothing: then it is not.
fn is_within(now: i64, then: i64, limit: i64) -> bool {
    (0..limit).contains(&now.saturating_sub(then))
}

fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_fresh() {
        assert!(is_within(1000, 1000, 10) && is_within(1009, 1000, 10));
        assert!(!is_within(1010, 1000, 10));
        assert!(!is_within(999, 1000, 10));
        assert!(!is_within(i64::MAX, i64::MIN, 10));
    }
}
