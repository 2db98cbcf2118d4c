//! When it is looked, by whom, and what a look that fails leaves behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::wechat::certificates::ListError;
use crate::wechat::certificates::tests::{GO, REAL_SERIAL, checks, clock};
use crate::wechat::error::WechatError;
use crate::wechat::tests_support::real_certificate;
use crate::wechat::x509::Certificate;

const GO_PUBLIC: &str = include_str!("../../../tests/vectors/sdk_go_platform_public_key.pem");

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn certificate(pem: &str) -> Arc<WechatKey> {
    Arc::new(WechatKey::of_certificate(&Certificate::read(pem).unwrap()).unwrap())
}

fn keyring(public: bool, certificates: bool, clock: &Clock) -> Keyring {
    let trust = Trust {
        public: public.then(|| Arc::new(WechatKey::read("PUB_KEY_ID_1", GO_PUBLIC).unwrap())),
        certificates: certificates.then(checks),
    };
    Keyring::new(trust, clock.clone())
}

async fn found(keyring: &Keyring, need: Need, pems: &[&str]) -> Looked {
    let keys = pems.iter().map(|pem| certificate(pem)).collect();
    keyring.look(need, |_| async { Ok(keys) }).await
}

async fn failed(keyring: &Keyring, need: Need) -> Looked {
    let unreachable = WechatError::NeverSent("nobody is there".to_owned());
    keyring.look(need, |_| async { Err(unreachable.into()) }).await
}

/// Asserts that nobody is asked.
async fn not_looked(keyring: &Keyring, need: Need) -> Looked {
    let looked = keyring.look(need, |_| async { panic!("WeChat was asked for {need:?}") });
    looked.await
}

#[tokio::test]
async fn with_the_public_key_alone_there_is_nothing_to_look_for() {
    let keyring = keyring(true, false, &clock());
    assert!(keyring.in_force());
    assert_eq!((keyring.need(), keyring.public_key_id()), (None, Some("PUB_KEY_ID_1")));
    assert!(!keyring.could_find(REAL_SERIAL));
}

#[tokio::test]
async fn without_one_it_begins_with_nothing_and_tries_every_few_seconds() {
    let clock = clock();
    let keyring = keyring(false, true, &clock);
    assert!(!keyring.in_force() && keyring.sealing().is_none());
    assert_eq!(keyring.need(), Some(Need::Any));
    assert!(matches!(failed(&keyring, Need::Any).await, Looked::Failed(_)));
    clock.advance(4_900);
    let Looked::TooSoon(Some(why)) = not_looked(&keyring, Need::Any).await else {
        panic!("the last failure is told")
    };
    assert!(why.contains("nobody is there"), "{why}");
    clock.advance(200);
    assert_eq!(found(&keyring, Need::Any, &[GO]).await, Looked::Anew);
    assert!(keyring.in_force());
    assert_eq!(keyring.need(), None);
}

#[tokio::test]
async fn an_old_set_is_renewed_and_serves_until_that_has_worked() {
    let clock = clock();
    let keyring = keyring(false, true, &clock);
    found(&keyring, Need::Any, &[GO]).await;
    clock.advance(12 * HOUR - MINUTE);
    assert_eq!(keyring.need(), None);
    clock.advance(MINUTE);
    assert_eq!(keyring.need(), Some(Need::Newer));
    assert!(matches!(failed(&keyring, Need::Newer).await, Looked::Failed(_)));
    assert!(keyring.in_force(), "the last good set stays");
    clock.advance(9 * MINUTE);
    not_looked(&keyring, Need::Newer).await;
    clock.advance(2 * MINUTE);
    assert_eq!(
        found(&keyring, Need::Newer, &[GO, &real_certificate()]).await,
        Looked::Anew
    );
    assert_eq!(keyring.verifier().keys().count(), 2);
    assert_eq!(keyring.need(), None);
}

#[tokio::test]
async fn a_set_that_is_refused_changes_nothing() {
    let clock = clock();
    let keyring = keyring(false, true, &clock);
    found(&keyring, Need::Any, &[GO]).await;
    let before = keyring.verifier();
    let refused = keyring.look(Need::Unknown, |_| async { Err(ListError::NoneInForce.into()) });
    assert!(matches!(refused.await, Looked::Failed(_)));
    assert!(Arc::ptr_eq(&before, &keyring.verifier()));
}

#[tokio::test]
async fn names_that_are_not_known_make_one_question_a_minute() {
    let clock = clock();
    let keyring = keyring(false, true, &clock);
    found(&keyring, Need::Any, &[GO]).await;
    // At once after the first load: a rotation may have begun since.
    assert_eq!(found(&keyring, Need::Unknown, &[GO]).await, Looked::Anew);
    assert_eq!(not_looked(&keyring, Need::Unknown).await, Looked::TooSoon(None));
    clock.advance(59_900);
    assert_eq!(not_looked(&keyring, Need::Unknown).await, Looked::TooSoon(None));
    clock.advance(200);
    assert!(matches!(failed(&keyring, Need::Unknown).await, Looked::Failed(_)));
    assert!(matches!(
        not_looked(&keyring, Need::Unknown).await,
        Looked::TooSoon(Some(_))
    ));
    assert!(keyring.could_find(REAL_SERIAL));
    assert!(!keyring.could_find("PUB_KEY_ID_2"), "public keys are in no list");
}

#[tokio::test]
async fn whoever_comes_while_it_is_looked_waits_for_that_look() {
    let keyring = Arc::new(keyring(false, true, &clock()));
    let asked = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (keyring, asked) = (Arc::clone(&keyring), Arc::clone(&asked));
        callers.spawn(async move {
            let fetch = |_| async move {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(vec![certificate(GO)])
            };
            keyring.look(Need::Any, fetch).await
        });
    }
    while let Some(looked) = callers.join_next().await {
        assert_eq!(looked.unwrap(), Looked::Anew);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_look_that_was_cut_off_counts_as_one_that_failed() {
    let clock = clock();
    let keyring = keyring(false, true, &clock);
    let endless = keyring.look(Need::Any, |_| std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(5), endless).await.is_err());
    assert!(matches!(
        not_looked(&keyring, Need::Any).await,
        Looked::TooSoon(Some(_))
    ));
    clock.advance(5_000);
    assert_eq!(found(&keyring, Need::Any, &[GO]).await, Looked::Anew);
}

#[tokio::test]
async fn both_kinds_of_key_count_and_the_public_one_seals() {
    let clock = clock();
    let keyring = keyring(true, true, &clock);
    assert!(keyring.in_force(), "the public key is there from the start");
    assert_eq!(
        keyring.need(),
        Some(Need::Newer),
        "and certificates beside it are wanted"
    );
    found(&keyring, Need::Newer, &[GO, &real_certificate()]).await;
    assert_eq!(keyring.verifier().keys().count(), 3);
    assert_eq!(keyring.sealing().unwrap().id, "PUB_KEY_ID_1");
}

#[tokio::test]
async fn the_certificate_that_began_last_seals_once_it_counts() {
    let clock = clock();
    let keyring = keyring(false, true, &clock);
    found(&keyring, Need::Any, &[GO, &real_certificate()]).await;
    assert_eq!(keyring.sealing().unwrap().id, REAL_SERIAL);
    clock.advance(-365 * 24 * HOUR);
    assert!(
        keyring.sealing().unwrap().id.ends_with("D7CE59D1F522D701"),
        "the newer one does not count yet"
    );
    clock.advance(10 * 365 * 24 * HOUR);
    assert!(keyring.sealing().is_none() && !keyring.in_force());
    assert_eq!(keyring.need(), Some(Need::Any), "all have expired");
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_nothing_for_long() {
    let clock = clock();
    let keyring = keyring(false, true, &clock);
    failed(&keyring, Need::Any).await;
    clock.advance(-HOUR);
    assert_eq!(found(&keyring, Need::Any, &[GO]).await, Looked::Anew);
}
