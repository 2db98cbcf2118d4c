//! What the APIv3 key opens: the resource of a notification (AES-256-GCM).
//!
//! A ciphertext that opens was made by WeChat or by the merchant, nobody else has the key; the tag is what proves it.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretBox};

/// The APIv3 key: 32 ASCII characters, used as raw bytes. Wiped when dropped; `Debug` shows nothing of it.
pub struct ApiV3Key(SecretBox<[u8; 32]>);

/// The ciphertext was not made with this key, or was changed since.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the ciphertext does not open with the APIv3 key")]
pub struct CannotOpen;

impl ApiV3Key {
    /// The key, if it is one: exactly 32 ASCII characters.
    pub fn read(text: &str) -> Option<Self> {
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return None;
        }
        let bytes: [u8; 32] = text.as_bytes().try_into().ok()?;
        Some(Self(SecretBox::new(Box::new(bytes))))
    }

    /// Opens `ciphertext` (base64, the 16-byte tag at its end). `nonce` is used as raw ASCII, `associated_data` may be empty.
    ///
    /// # Errors
    /// One error for everything that can be wrong: nothing of why may help a forger.
    pub fn open(&self, nonce: &str, associated_data: &str, ciphertext: &str) -> Result<Vec<u8>, CannotOpen> {
        open_with(
            &Aes256Gcm::new(self.0.expose_secret().into()),
            nonce,
            associated_data,
            ciphertext,
        )
    }

    /// A key of this service's own for one purpose: no two are alike, and none says anything of this one.
    pub(crate) fn derived(&self, purpose: &str) -> hmac::Key {
        let root = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose_secret());
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose.as_bytes()).as_ref())
    }
}

fn open_with<C>(cipher: &C, nonce: &str, associated_data: &str, ciphertext: &str) -> Result<Vec<u8>, CannotOpen>
where
    C: Aead<NonceSize = aes_gcm::aead::consts::U12>,
{
    let nonce: [u8; 12] = nonce.as_bytes().try_into().map_err(|_| CannotOpen)?;
    let sealed = STANDARD.decode(ciphertext).map_err(|_| CannotOpen)?;
    let payload = Payload {
        msg: &sealed,
        aad: associated_data.as_bytes(),
    };
    cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| CannotOpen)
}

impl fmt::Debug for ApiV3Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiV3Key([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::tests_support::vectors;
    use aes_gcm::Aes128Gcm;
    use serde_json::Value;

    /// The SDK's test keys of 16 bytes are no APIv3 keys; they go in below the check of the length.
    fn open(case: &Value) -> Result<Vec<u8>, CannotOpen> {
        let text = |name: &str| case[name].as_str().unwrap();
        let (nonce, aad, ciphertext) = (text("nonce"), text("associated_data"), text("ciphertext"));
        if text("key").len() == 32 {
            ApiV3Key::read(text("key")).unwrap().open(nonce, aad, ciphertext)
        } else {
            let key: [u8; 16] = text("key").as_bytes().try_into().unwrap();
            open_with(&Aes128Gcm::new(&key.into()), nonce, aad, ciphertext)
        }
    }

    #[test]
    fn every_known_ciphertext_opens_or_does_not() {
        let vectors = vectors("aes_gcm.json");
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            match case["plaintext"].as_str() {
                Some(plaintext) => assert_eq!(open(case).unwrap(), plaintext.as_bytes(), "{}", case["origin"]),
                None => assert_eq!(open(case), Err(CannotOpen), "{}", case["origin"]),
            }
        }
    }

    #[test]
    fn every_known_notification_opens_unless_its_tag_is_wrong() {
        let vectors = vectors("callbacks_composed.json");
        let key = ApiV3Key::read(vectors["api_v3_key"].as_str().unwrap()).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let body: Value = serde_json::from_str(case["body"].as_str().unwrap()).unwrap();
            let resource = &body["resource"];
            let text = |name: &str| resource[name].as_str().unwrap_or_default();
            let opened = key.open(text("nonce"), text("associated_data"), text("ciphertext"));
            if case["expect"] == "reject_decrypt" {
                assert_eq!(opened, Err(CannotOpen), "{}", case["name"]);
            } else if let Some(plaintext) = case["resource_plaintext"].as_str() {
                assert_eq!(opened.unwrap(), plaintext.as_bytes(), "{}", case["name"]);
            }
        }
    }

    #[test]
    fn the_known_certificates_open() {
        let vectors = vectors("certificates.json");
        let mut opened = 0;
        for case in vectors["cases"].as_array().unwrap() {
            let Some(key) = case["api_v3_key"].as_str().and_then(ApiV3Key::read) else {
                continue;
            };
            for item in case["response"]["data"].as_array().unwrap() {
                let sealed = &item["encrypt_certificate"];
                let text = |name: &str| sealed[name].as_str().unwrap();
                let pem = key
                    .open(text("nonce"), text("associated_data"), text("ciphertext"))
                    .unwrap();
                assert!(pem.starts_with(b"-----BEGIN CERTIFICATE-----"));
                opened += 1;
            }
        }
        assert!(opened > 0);
    }

    #[test]
    fn one_flipped_bit_anywhere_keeps_it_shut() {
        let vectors = vectors("aes_gcm.json");
        let mut case = vectors["cases"][0].clone();
        let sealed = STANDARD.decode(case["ciphertext"].as_str().unwrap()).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            case["ciphertext"] = STANDARD.encode(flipped).into();
            assert_eq!(open(&case), Err(CannotOpen), "bit {bit}");
        }
        for short in 0..16 {
            case["ciphertext"] = STANDARD.encode(&sealed[..short]).into();
            assert_eq!(open(&case), Err(CannotOpen), "{short} bytes");
        }
    }

    #[test]
    fn a_key_has_exactly_32_ascii_characters_and_is_never_shown() {
        assert!(ApiV3Key::read("a7cde1ZJB1kG2e7VfTs3jQzaWizur8G").is_none());
        assert!(ApiV3Key::read("a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gbx").is_none());
        assert!(ApiV3Key::read("a7cde1ZJB1kG2e7VfTs3jQzaWizur密").is_none());
        let key = ApiV3Key::read("a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb").unwrap();
        assert!(!format!("{key:?}").contains("a7cde"));
    }
}
