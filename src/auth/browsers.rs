//! Browsers whose owner this service knows by itself: what web authorization needs, in one place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::authorizer::Authorizer;
use super::session::Seals;
use crate::config::WebAuthorization;
use crate::domain::ids::Openid;

/// How long an arrival is remembered, in milliseconds: as long as its code would live.
const REMEMBERED_MS: i64 = 5 * 60 * 1000;

/// Arrivals that are remembered at most; beyond them a page that is loaded twice asks WeChat twice.
const MOST: usize = 10_000;

/// The parts of web authorization.
#[derive(Debug)]
pub(crate) struct Browsers {
    pub(crate) settings: Arc<WebAuthorization>,
    pub(crate) authorizer: Authorizer,
    pub(crate) seals: Seals,
    pub(crate) arrived: Arrived,
}

impl Browsers {
    pub(crate) fn new(settings: &Arc<WebAuthorization>, idle: usize) -> reqwest::Result<Self> {
        Ok(Self {
            settings: Arc::clone(settings),
            authorizer: Authorizer::new(settings, idle)?,
            seals: Seals::new(settings.app_id.clone(), settings.app_secret()),
            arrived: Arrived::default(),
        })
    }
}

/// Who came back from which journey: browsers load the page of a callback twice, and a code counts once.
#[derive(Debug, Default)]
pub(crate) struct Arrived(Mutex<HashMap<String, (i64, Openid)>>);

impl Arrived {
    pub(crate) fn get(&self, state: &str, now_ms: i64) -> Option<Openid> {
        let arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, openid) = arrived.get(state)?;
        is_fresh(*at, now_ms).then(|| openid.clone())
    }

    pub(crate) fn put(&self, state: String, openid: Openid, now_ms: i64) {
        let mut arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if arrived.len() >= MOST {
            arrived.retain(|_, (at, _)| is_fresh(*at, now_ms));
        }
        if arrived.len() < MOST {
            arrived.insert(state, (now_ms, openid));
        }
    }
}

fn is_fresh(at: i64, now_ms: i64) -> bool {
    (0..REMEMBERED_MS).contains(&now_ms.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_remembered_for_five_minutes_and_not_without_bound() {
        let (arrived, openid) = (Arrived::default(), Openid::parse("oOpenid").unwrap());
        for state in 0..MOST {
            arrived.put(state.to_string(), openid.clone(), 1000);
        }
        arrived.put("one more".to_owned(), openid.clone(), 1000);
        assert_eq!(arrived.get("one more", 1000), None);
        assert_eq!(arrived.get("0", 1000 + REMEMBERED_MS - 1), Some(openid.clone()));
        assert_eq!(arrived.get("0", 1000 + REMEMBERED_MS), None);
        arrived.put("one more".to_owned(), openid.clone(), 1000 + REMEMBERED_MS);
        assert_eq!(arrived.get("one more", 1000 + REMEMBERED_MS), Some(openid));
    }
}
