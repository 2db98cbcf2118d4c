//! Whether something that claims to come from WeChat Pay does: its RSA signature over the raw bytes.
//!
//! The same rules hold for answers and for notifications (APIv3, "how to verify the signature"). Nothing is parsed before this.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use rsa::traits::PublicKeyParts as _;

use super::keys::{self, KeyError};
use super::x509::{self, Certificate, Validity};

/// How far the sender's clock may be from ours, in seconds. WeChat's SDKs differ on exactly 300; 300 is refused here.
const WINDOW_S: u64 = 300;

/// Begins a signature that WeChat makes wrong on purpose, to see whether the merchant verifies.
const PROBE: &str = "WECHATPAY/SIGNTEST/";

/// A key of WeChat's and the name that signatures give it.
#[derive(Debug)]
pub struct WechatKey {
    /// `PUB_KEY_ID_...`, or the serial of a platform certificate: 40 upper-case hex digits.
    pub id: String,
    key: ParsedPublicKey,
    public: rsa::PublicKey,
    /// Of the certificate that it came in; `None` for WeChat Pay's public key, which does not expire.
    pub validity: Option<Validity>,
}

impl WechatKey {
    /// Reads `pub_key.pem`, however a web form has damaged it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(id: &str, damaged_pem: &str) -> Result<Self, KeyError> {
        Self::new(id.to_owned(), keys::public_key(damaged_pem)?, None)
    }

    /// The key of a platform certificate. Whether to trust the certificate was decided before.
    pub(crate) fn of_certificate(certificate: &Certificate) -> Result<Self, KeyError> {
        Self::new(
            certificate.serial.clone(),
            certificate.public_key()?,
            Some(certificate.validity),
        )
    }

    fn new(id: String, public: rsa::PublicKey, validity: Option<Validity>) -> Result<Self, KeyError> {
        let der = keys::public_der(&public)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der).map_err(|_| KeyError::NotRsa)?;
        Ok(Self {
            id,
            key,
            public,
            validity,
        })
    }

    /// Whether it counts at this time.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.validity.is_none_or(|validity| validity.includes(now))
    }

    /// Whether it has this modulus (big-endian, without leading zeros).
    pub(super) fn has_modulus(&self, modulus: &[u8]) -> bool {
        *self.public.n_bytes() == *modulus
    }

    /// What members for WeChat are encrypted with.
    pub(super) fn public(&self) -> &rsa::PublicKey {
        &self.public
    }
}

/// Why something is not proven to come from WeChat.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotGenuine {
    /// A header of the signature is not there, cannot be read, or is there twice.
    #[error("the header {0} is missing, unreadable or doubled")]
    Header(&'static str),
    /// Another algorithm.
    #[error("the signature type is not WECHATPAY2-SHA256-RSA2048")]
    SignatureType,
    /// Too old, or from the future.
    #[error("the timestamp is {0} s away from this clock")]
    Clock(u64),
    /// Signed with a key that is not known here.
    #[error("the signing key {0} is not known")]
    UnknownKey(String),
    /// Signed with a certificate before or after its time.
    #[error("the certificate {0} has expired or does not count yet")]
    NotInForce(String),
    /// WeChat's own test of whether the merchant verifies.
    #[error("the signature is a probe")]
    Probe,
    /// The signature does not belong to these bytes.
    #[error("the signature does not match")]
    Signature,
}

/// The four headers that make a signature.
#[derive(Clone, Debug)]
pub struct SignatureHeaders {
    timestamp: String,
    nonce: String,
    signature: String,
    serial: String,
}

impl SignatureHeaders {
    /// Whether any of the four is there: then the sender claims to be WeChat, and all of them have to be right.
    pub fn claimed(headers: &HeaderMap) -> bool {
        NAMES.iter().any(|name| headers.contains_key(*name))
    }

    /// Reads the headers.
    ///
    /// # Errors
    /// Names the first that is missing or doubled, or says that the algorithm is another one.
    pub fn read(headers: &HeaderMap) -> Result<Self, NotGenuine> {
        let text = |name: &'static str| {
            let mut values = headers.get_all(name).iter();
            // Of two, the next reader may take the other one.
            match (values.next().map(|value| value.to_str()), values.next()) {
                (Some(Ok(text)), None) => Ok(text.to_owned()),
                (Some(Ok(_) | Err(_)) | None, _) => Err(NotGenuine::Header(name)),
            }
        };
        if headers
            .get_all("wechatpay-signature-type")
            .iter()
            .any(|value| value != "WECHATPAY2-SHA256-RSA2048")
        {
            return Err(NotGenuine::SignatureType);
        }
        let [timestamp, nonce, signature, serial] = NAMES;
        Ok(Self {
            timestamp: text(timestamp)?,
            nonce: text(nonce)?,
            signature: text(signature)?,
            serial: text(serial)?,
        })
    }
}

const NAMES: [&str; 4] = [
    "wechatpay-timestamp",
    "wechatpay-nonce",
    "wechatpay-signature",
    "wechatpay-serial",
];

/// The keys that WeChat may sign with, by the name that a signature gives them. Any number of them, of both kinds: a rotation has
/// two certificates, and a merchant who moves to the public key gets signatures of either kind for a week.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    keys: HashMap<String, Arc<WechatKey>>,
}

/// The name that a key is kept and looked up by. A serial is a number, however it is written; `PUB_KEY_ID_...` counts as it is.
fn name(id: &str) -> String {
    x509::normal_serial(id).unwrap_or_else(|| id.to_owned())
}

impl Verifier {
    /// A verifier that trusts exactly these keys.
    pub fn new(keys: impl IntoIterator<Item = Arc<WechatKey>>) -> Self {
        let keys = keys.into_iter().map(|key| (name(&key.id), key)).collect();
        Self { keys }
    }

    /// Whether any of the keys counts at this time.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.keys.values().any(|key| key.in_force(now))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<WechatKey>> {
        self.keys.values()
    }

    /// Checks that these bytes come from WeChat and are no older than five minutes.
    ///
    /// # Errors
    /// Why they are not proven.
    pub fn verify(&self, headers: &SignatureHeaders, body: &[u8], now: Timestamp) -> Result<(), NotGenuine> {
        let SignatureHeaders {
            timestamp,
            nonce,
            signature,
            serial,
        } = headers;
        if timestamp.is_empty() || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotGenuine::Header("wechatpay-timestamp"));
        }
        let sent: i64 = timestamp
            .parse()
            .map_err(|_| NotGenuine::Header("wechatpay-timestamp"))?;
        let apart = now.as_second().abs_diff(sent);
        if apart >= WINDOW_S {
            return Err(NotGenuine::Clock(apart));
        }
        let key = self
            .keys
            .get(&name(serial))
            .ok_or_else(|| NotGenuine::UnknownKey(serial.chars().filter(char::is_ascii_graphic).take(64).collect()))?;
        if !key.in_force(now) {
            return Err(NotGenuine::NotInForce(key.id.clone()));
        }
        if signature.starts_with(PROBE) {
            return Err(NotGenuine::Probe);
        }
        let signature = STANDARD.decode(signature).map_err(|_| NotGenuine::Signature)?;
        let mut message = Vec::with_capacity(timestamp.len() + nonce.len() + body.len() + 3);
        for part in [timestamp.as_bytes(), nonce.as_bytes(), body] {
            message.extend_from_slice(part);
            message.push(b'\n');
        }
        key.key
            .verify_sig(&message, &signature)
            .map_err(|_| NotGenuine::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::tests_support::{headers_of, vectors};
    use serde_json::Value;

    fn key(id: &str, pem: &str) -> WechatKey {
        WechatKey::read(id, pem).unwrap()
    }

    const GO_PUBLIC: &str = include_str!("../../tests/vectors/sdk_go_platform_public_key.pem");
    const DOC_PUBLIC: &str = include_str!("../../tests/vectors/doc_test_platform_public_key.pem");

    /// Trusts the SDK's test key under both names that the vectors use.
    fn verifier() -> Verifier {
        Verifier::new(vec![
            Arc::new(key("PUB_KEY_ID_0119000072912026112300000000000000", GO_PUBLIC)),
            Arc::new(key("D7CE59D1F522D701", GO_PUBLIC)),
            Arc::new(key("DOC", DOC_PUBLIC)),
        ])
    }

    fn verify(case: &Value, clock: i64) -> Result<(), NotGenuine> {
        let headers = SignatureHeaders::read(&headers_of(&case["headers"]))?;
        verifier().verify(
            &headers,
            case["body"].as_str().unwrap().as_bytes(),
            Timestamp::from_second(clock).unwrap(),
        )
    }

    #[test]
    fn every_known_notification_is_judged_as_expected() {
        let vectors = vectors("callbacks_composed.json");
        let clock = vectors["reference_clock_unix"].as_i64().unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 17);
        for case in cases {
            let judged = verify(case, clock);
            let name = case["name"].as_str().unwrap();
            match case["expect"].as_str().unwrap() {
                // The tag of the ciphertext is wrong, the signature over it is right.
                "accept" | "reject_decrypt" => assert_eq!(judged, Ok(()), "{name}"),
                "reject_clock" => assert_eq!(judged, Err(NotGenuine::Clock(301)), "{name}"),
                "reject_unknown_serial" => assert!(matches!(judged, Err(NotGenuine::UnknownKey(_))), "{name}"),
                "reject_signature" if name.starts_with("signtest") => {
                    assert_eq!(judged, Err(NotGenuine::Probe), "{name}");
                }
                "reject_signature" => assert_eq!(judged, Err(NotGenuine::Signature), "{name}"),
                other => panic!("{name} expects {other}"),
            }
        }
    }

    #[test]
    fn the_documented_answer_and_the_composed_ones_are_judged_as_expected() {
        let vectors = vectors("response_signatures.json");
        for case in vectors["cases"].as_array().unwrap() {
            let mut case = case.clone();
            if case["verify_with"] == "doc_test_platform_public_key.pem" {
                case["headers"]["Wechatpay-Serial"] = "DOC".into();
            }
            let clock = case["headers"]["Wechatpay-Timestamp"]
                .as_str()
                .map_or(0, |text| text.parse().unwrap());
            let expected = case["expect"].as_str().unwrap();
            let judged = verify(&case, clock);
            assert_eq!(judged.is_ok(), expected == "valid", "{}: {judged:?}", case["name"]);
        }
    }

    #[test]
    fn the_sdk_notification_verifies_at_its_own_time_only() {
        let case = vectors("callback_sdk_go.json");
        let clock = case["clock_unix"].as_i64().unwrap();
        assert_eq!(verify(&case, clock), Ok(()));
        assert_eq!(verify(&case, clock + 299), Ok(()));
        assert_eq!(verify(&case, clock + 300), Err(NotGenuine::Clock(300)));
        assert_eq!(verify(&case, clock - 300), Err(NotGenuine::Clock(300)));
    }

    #[test]
    fn a_serial_is_a_number_and_an_id_is_a_text() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let headers = |serial: &str| SignatureHeaders {
            timestamp: "1700000000".to_owned(),
            nonce: String::new(),
            signature: String::new(),
            serial: serial.to_owned(),
        };
        let judged = |serial: &str| verifier().verify(&headers(serial), b"", now);
        for known in [
            "D7CE59D1F522D701",
            "d7ce59d1f522d701",
            "000000000000000000000000D7CE59D1F522D701",
            "PUB_KEY_ID_0119000072912026112300000000000000",
        ] {
            assert_eq!(judged(known), Err(NotGenuine::Signature), "{known}");
        }
        for unknown in [
            "D7CE59D1F522D702",
            "pub_key_id_0119000072912026112300000000000000",
            "PUB_KEY_ID_119000072912026112300000000000000",
            "",
        ] {
            assert_eq!(
                judged(unknown),
                Err(NotGenuine::UnknownKey(unknown.to_owned())),
                "{unknown}"
            );
        }
    }

    /// A sign or a blank in front is read over by whoever reads a number, and not by whoever compares the bytes that were signed.
    #[test]
    fn a_timestamp_is_digits_and_nothing_else() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        for timestamp in ["+1700000000", "-1700000000", " 1700000000", "1700000000.0", "", "٠"] {
            let headers = SignatureHeaders {
                timestamp: timestamp.to_owned(),
                nonce: String::new(),
                signature: String::new(),
                serial: "DOC".to_owned(),
            };
            assert_eq!(
                verifier().verify(&headers, b"", now),
                Err(NotGenuine::Header("wechatpay-timestamp")),
                "{timestamp:?}"
            );
        }
    }

    #[test]
    fn a_certificate_counts_only_within_its_time() {
        let pem = include_str!("../../tests/vectors/sdk_go_platform_certificate.pem");
        let key = WechatKey::of_certificate(&Certificate::read(pem).unwrap()).unwrap();
        let verifier = Verifier::new([Arc::new(key)]);
        let case = vectors("callback_sdk_go.json");
        let clock = case["clock_unix"].as_i64().unwrap();
        let headers = SignatureHeaders::read(&headers_of(&case["headers"])).unwrap();
        let body = case["body"].as_str().unwrap().as_bytes();
        let judged = |at: i64| {
            let headers = SignatureHeaders {
                timestamp: at.to_string(),
                ..headers.clone()
            };
            verifier.verify(&headers, body, Timestamp::from_second(at).unwrap())
        };
        assert_eq!(judged(clock), Ok(()));
        for outside in ["2021-04-27T08:55:22Z", "2031-04-25T08:55:24Z"] {
            let at: Timestamp = outside.parse().unwrap();
            assert!(!verifier.in_force(at), "{outside}");
            assert!(
                matches!(judged(at.as_second()), Err(NotGenuine::NotInForce(_))),
                "{outside}"
            );
        }
    }

    #[test]
    fn a_missing_header_and_another_algorithm_are_named() {
        let case = vectors("callback_sdk_go.json");
        for name in [
            "Wechatpay-Timestamp",
            "Wechatpay-Nonce",
            "Wechatpay-Signature",
            "Wechatpay-Serial",
        ] {
            let mut headers = headers_of(&case["headers"]);
            headers.remove(name);
            assert!(
                matches!(SignatureHeaders::read(&headers), Err(NotGenuine::Header(_))),
                "{name}"
            );
            assert!(SignatureHeaders::claimed(&headers));
        }
        let mut headers = headers_of(&case["headers"]);
        headers.insert("wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3".parse().unwrap());
        assert_eq!(SignatureHeaders::read(&headers).err(), Some(NotGenuine::SignatureType));
        assert!(!SignatureHeaders::claimed(&HeaderMap::new()));
    }

    #[test]
    fn a_signature_of_another_key_or_another_message_does_not_match() {
        let vectors = vectors("raw_signatures.json");
        let signature = |index: usize| {
            STANDARD
                .decode(vectors["cases"][index]["signature"].as_str().unwrap())
                .unwrap()
        };
        let go = key("x", GO_PUBLIC);
        assert!(go.key.verify_sig(b"source", &signature(0)).is_ok());
        assert!(go.key.verify_sig(b"Source", &signature(0)).is_err());
        let java = key(
            "x",
            include_str!("../../tests/vectors/sdk_java_platform_public_key.pem"),
        );
        assert!(java.key.verify_sig(b"message", &signature(2)).is_err());
    }
}
