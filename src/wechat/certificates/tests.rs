//! What makes a list of certificates trusted, and every way in which it is not.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::wechat::sign::MerchantKey;
use crate::wechat::tests_support::{damaged, headers_of, pem_of, real_certificate, vectors};

const KEY: &str = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";
const NOW: i64 = 1_717_200_000; // 2024-06-01, within the time of all certificates here

pub(in crate::wechat) const GO: &str = include_str!("../../../tests/vectors/sdk_go_platform_certificate.pem");
pub(in crate::wechat) const GO_SERIAL: &str = "000000000000000000000000D7CE59D1F522D701";
pub(in crate::wechat) const JAVA: &str = include_str!("../../../tests/vectors/sdk_java_platform_certificate.pem");
pub(in crate::wechat) const JAVA_SERIAL: &str = "440024045C4A427599D09BB4E3DE0279F2E813FD";
pub(in crate::wechat) const REAL_SERIAL: &str = "5DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC";

/// A clock that shows 2024-06-01.
pub(in crate::wechat) fn clock() -> Clock {
    let clock = Clock::movable();
    clock.advance(NOW * 1000 - clock.now_ms());
    clock
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(in crate::wechat) fn checks() -> Checks {
    Checks {
        api_v3_key: Arc::new(ApiV3Key::read(KEY).unwrap()),
        root: None,
    }
}

fn sealed_with(key: &str, associated_data: &str, content: &str) -> Value {
    let payload = Payload {
        msg: content.as_bytes(),
        aad: associated_data.as_bytes(),
    };
    let cipher = Aes256Gcm::new_from_slice(key.as_bytes()).unwrap();
    let ciphertext = cipher.encrypt(&Nonce::from(*b"61f9c719728a"), payload).unwrap();
    json!({
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": "61f9c719728a",
        "associated_data": associated_data,
        "ciphertext": STANDARD.encode(ciphertext),
    })
}

pub(in crate::wechat) fn item(serial: &str, pem: &str) -> Value {
    json!({
        "serial_no": serial,
        "effective_time": "2022-05-10T10:04:30+08:00",
        "expire_time": "2025-05-09T10:04:30+08:00",
        "encrypt_certificate": sealed_with(KEY, "certificate", pem),
    })
}

pub(in crate::wechat) fn list(items: &[Value]) -> String {
    json!({ "data": items }).to_string()
}

/// Signed by the owner of this key at this time.
pub(in crate::wechat) fn signed_by(key: &str, serial: &str, body: &str, seconds: i64) -> HeaderMap {
    let signature = MerchantKey::read(&pem_of(key))
        .unwrap()
        .sign(format!("{seconds}\nnonce\n{body}\n").as_bytes());
    headers_of(&json!({
        "Wechatpay-Timestamp": seconds.to_string(),
        "Wechatpay-Nonce": "nonce",
        "Wechatpay-Signature": signature,
        "Wechatpay-Serial": serial,
    }))
}

/// What becomes of a list that is signed with the first SDK's certificate.
fn take(checks: &Checks, body: &str) -> Result<Vec<Arc<WechatKey>>, ListError> {
    let headers = signed_by("sdk_go_platform_private_key", GO_SERIAL, body, NOW);
    checks.take(&Verifier::default(), &headers, body.as_bytes(), at(NOW))
}

fn serials(keys: &[Arc<WechatKey>]) -> Vec<&str> {
    keys.iter().map(|key| key.id.as_str()).collect()
}

#[test]
fn a_list_that_one_of_its_own_certificates_signs_is_taken() {
    // WeChat leaves leading zeros out of no serial; an SDK's test does.
    let body = list(&[item("d7ce59d1f522d701", GO), item(REAL_SERIAL, &real_certificate())]);
    let taken = take(&checks(), &body).unwrap();
    assert_eq!(serials(&taken), [GO_SERIAL, REAL_SERIAL]);
    assert!(taken.iter().all(|key| key.in_force(at(NOW))));
}

#[test]
fn the_answer_that_tenpay_gave_opens_and_still_needs_a_signature() {
    let answer = vectors("certificates.json")["cases"][0]["response"].to_string();
    let by_nobody = checks().take(&Verifier::default(), &HeaderMap::new(), answer.as_bytes(), at(NOW));
    assert!(matches!(by_nobody, Err(ListError::NotGenuine(NotGenuine::Header(_)))));
    // Signed with a key that was known before: the public key, or an older certificate.
    let public = include_str!("../../../tests/vectors/sdk_go_platform_public_key.pem");
    let known = Verifier::new([Arc::new(WechatKey::read("PUB_KEY_ID_1", public).unwrap())]);
    let headers = signed_by("sdk_go_platform_private_key", "PUB_KEY_ID_1", &answer, NOW);
    let taken = checks().take(&known, &headers, answer.as_bytes(), at(NOW)).unwrap();
    assert_eq!(serials(&taken), [REAL_SERIAL]);
    let unknown = checks().take(&Verifier::default(), &headers, answer.as_bytes(), at(NOW));
    assert!(matches!(unknown, Err(ListError::NotGenuine(NotGenuine::UnknownKey(_)))));
}

#[test]
fn a_signature_that_is_wrong_old_or_somebody_elses_proves_no_list() {
    let body = list(&[item(GO_SERIAL, GO), item(JAVA_SERIAL, JAVA)]);
    let judged = |headers: &HeaderMap, body: &str| {
        let taken = checks().take(&Verifier::default(), headers, body.as_bytes(), at(NOW));
        taken.err()
    };
    let good = signed_by("sdk_go_platform_private_key", GO_SERIAL, &body, NOW);
    assert_eq!(judged(&good, &body), None);

    let wrong = Some(ListError::NotGenuine(NotGenuine::Signature));
    assert_eq!(judged(&good, &body.replace("2025-05-09", "2035-05-09")), wrong);
    let by_another = signed_by("sdk_go_platform_private_key", JAVA_SERIAL, &body, NOW);
    assert_eq!(judged(&by_another, &body), wrong, "the serial of another certificate");
    let old = signed_by("sdk_go_platform_private_key", GO_SERIAL, &body, NOW - 300);
    assert_eq!(judged(&old, &body), Some(ListError::NotGenuine(NotGenuine::Clock(300))));
    // Signed with a key that the merchant has, and WeChat does not.
    let by_merchant = signed_by("sdk_go_merchant_private_key", GO_SERIAL, &body, NOW);
    assert_eq!(judged(&by_merchant, &body), wrong);
}

#[test]
fn nothing_is_taken_when_one_certificate_does_not_open() {
    let mut other_key = item(JAVA_SERIAL, JAVA);
    other_key["encrypt_certificate"] = sealed_with("another-key-of-32-characters-xxx", "certificate", JAVA);
    let mut other_purpose = item(JAVA_SERIAL, JAVA);
    other_purpose["encrypt_certificate"] = sealed_with(KEY, "transaction", JAVA);
    let mut renamed = other_purpose.clone();
    renamed["encrypt_certificate"]["associated_data"] = "certificate".into();
    let mut other_algorithm = item(JAVA_SERIAL, JAVA);
    other_algorithm["encrypt_certificate"]["algorithm"] = "AEAD_SM4_GCM".into();
    let shut = || ListError::Shut(JAVA_SERIAL.to_owned());
    for (spoilt, expected) in [
        (other_key, shut()),
        (other_purpose, ListError::Form),
        (renamed, shut()),
        (other_algorithm, ListError::Form),
    ] {
        let judged = take(&checks(), &list(&[item(GO_SERIAL, GO), spoilt]));
        assert_eq!(judged.err(), Some(expected));
    }
}

#[test]
fn a_certificate_that_is_another_one_is_refused() {
    let swapped = take(&checks(), &list(&[item(GO_SERIAL, GO), item(REAL_SERIAL, JAVA)]));
    assert_eq!(
        swapped.err(),
        Some(ListError::Swapped {
            listed: REAL_SERIAL.to_owned(),
            found: JAVA_SERIAL.to_owned()
        })
    );
    for nameless in ["", "PUB_KEY_ID_1", "not a serial"] {
        assert_eq!(
            take(&checks(), &list(&[item(nameless, GO)])).err(),
            Some(ListError::Form)
        );
    }
}

#[test]
fn what_opens_and_is_no_certificate_is_refused() {
    let in_something_else = format!("{{\"attach\":\"{GO}\"}}");
    let public = include_str!("../../../tests/vectors/sdk_go_platform_public_key.pem");
    for content in ["", "{}", public, in_something_else.as_str()] {
        let judged = take(&checks(), &list(&[item(GO_SERIAL, content)]));
        assert_eq!(
            judged.err(),
            Some(ListError::Unreadable {
                serial: GO_SERIAL.to_owned(),
                error: CertificateError::NotX509
            }),
            "{content}"
        );
    }
    for body in ["", "[]", "{}", r#"{"data":[{}]}"#] {
        assert_eq!(take(&checks(), body).err(), Some(ListError::Form), "{body}");
    }
}

#[test]
fn where_a_root_is_named_every_certificate_has_to_be_its_own() {
    let with_root = |pem: &str| Checks {
        root: Some(Arc::new(Root::read(pem).unwrap())),
        ..checks()
    };
    let own = list(&[item(GO_SERIAL, GO)]);
    assert_eq!(take(&with_root(GO), &own).map(|taken| taken.len()), Ok(1));
    for (root, body, foreign) in [
        (JAVA, own.clone(), GO_SERIAL),
        (
            GO,
            list(&[item(GO_SERIAL, GO), item(REAL_SERIAL, &real_certificate())]),
            REAL_SERIAL,
        ),
    ] {
        let judged = take(&with_root(root), &body);
        assert_eq!(judged.err(), Some(ListError::Chain(foreign.to_owned())));
    }
    // A certificate of the right names whose content is not what the root has signed.
    let forged = damaged(GO, "d7ce59d1f522d701", "d7ce59d1f522d702");
    let judged = take(&with_root(GO), &list(&[item("D7CE59D1F522D702", &forged)]));
    assert!(matches!(judged, Err(ListError::Chain(_))));
}

#[test]
fn what_has_expired_is_left_out_and_what_begins_later_is_kept() {
    let body = list(&[
        item(GO_SERIAL, GO),
        item(JAVA_SERIAL, JAVA),
        item(REAL_SERIAL, &real_certificate()),
    ]);
    let taken_at = |time: &str| {
        let now: Timestamp = time.parse().unwrap();
        let headers = signed_by("sdk_go_platform_private_key", GO_SERIAL, &body, now.as_second());
        let taken = checks().take(&Verifier::default(), &headers, body.as_bytes(), now);
        taken.map(|keys| serials(&keys).into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let (go, java, real) = (GO_SERIAL.to_owned(), JAVA_SERIAL.to_owned(), REAL_SERIAL.to_owned());
    assert_eq!(
        taken_at("2023-01-01T00:00:00Z"),
        Ok(vec![go.clone(), java, real.clone()]),
        "the last one does not count yet"
    );
    assert_eq!(taken_at("2026-01-01T00:00:00Z"), Ok(vec![go.clone(), real]));
    assert_eq!(taken_at("2030-01-01T00:00:00Z"), Ok(vec![go]));
    assert_eq!(taken_at("2031-05-01T00:00:00Z"), Err(ListError::NoneInForce));
    assert_eq!(taken_at("2021-01-01T00:00:00Z"), Err(ListError::NoneInForce));
    assert_eq!(take(&checks(), &list(&[])).err(), Some(ListError::NoneInForce));
}
