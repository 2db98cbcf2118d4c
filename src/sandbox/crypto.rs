//! The sandbox's own cryptography: the `rsa`, `sha2` and `aes-gcm` crates.
//!
//! The service uses another library and none of these lines, so that a mistake in one of the two cannot hide in the
//! other: both would have to make it.

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rsa::{Generate, PrivateKey, PublicKey, rand_core, sha2::Sha256};
use sha1::Sha1;

/// RSASSA-PKCS1-v1_5 with SHA-256, in standard base64. Takes some milliseconds: never under a lock.
pub(crate) fn sign(key: &PrivateKey, message: &[u8]) -> String {
    STANDARD.encode(sign_raw(key, message))
}

/// The same as bytes.
pub(crate) fn sign_raw(key: &PrivateKey, message: &[u8]) -> Vec<u8> {
    key.pkcs1v15_sign::<Sha256>(message)
        .expect("a 2048-bit key has room for any SHA-256 digest")
}

/// Whether `signature` (standard base64) is one over `message`. Text that is not base64 is simply no signature.
pub(crate) fn verifies(key: &PublicKey, message: &[u8], signature: &str) -> bool {
    STANDARD
        .decode(signature)
        .is_ok_and(|raw| verifies_raw(key, message, &raw))
}

/// The same for bytes.
pub(crate) fn verifies_raw(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    key.pkcs1v15_verify::<Sha256>(message, signature).is_ok()
}

/// The three lines that WeChat signs in an answer and in a callback.
pub(crate) fn signed_text(timestamp: &str, nonce: &str, body: &str) -> Vec<u8> {
    format!("{timestamp}\n{nonce}\n{body}\n").into_bytes()
}

/// AES-256-GCM with the bytes of `key` and of the 12-character `nonce`; ciphertext and tag in standard base64.
///
/// `None` for a key or a nonce of another length.
pub(crate) fn seal(key: &str, nonce: &str, associated_data: &str, plaintext: &str) -> Option<String> {
    let cipher = Aes256Gcm::new_from_slice(key.as_bytes()).ok()?;
    let nonce = Nonce::try_from(nonce.as_bytes()).ok()?;
    let payload = Payload {
        msg: plaintext.as_bytes(),
        aad: associated_data.as_bytes(),
    };
    Some(STANDARD.encode(cipher.encrypt(&nonce, payload).ok()?))
}

/// What [`seal`] closed, if key, nonce, associated data and tag all fit.
pub(crate) fn open(key: &str, nonce: &str, associated_data: &str, ciphertext: &str) -> Option<String> {
    let cipher = Aes256Gcm::new_from_slice(key.as_bytes()).ok()?;
    let nonce = Nonce::try_from(nonce.as_bytes()).ok()?;
    let sealed = STANDARD.decode(ciphertext).ok()?;
    let payload = Payload {
        msg: &sealed,
        aad: associated_data.as_bytes(),
    };
    String::from_utf8(cipher.decrypt(&nonce, payload).ok()?).ok()
}

/// RSAES-OAEP with SHA-1 and an empty label, in standard base64; text that is too long gives nothing.
pub(crate) fn encrypt(key: &PublicKey, plaintext: &str) -> String {
    let sealed = key.oaep_encrypt_with_rng::<Sha1, _>(&mut SystemRandom, plaintext.as_bytes());
    sealed.map_or_else(|_| String::new(), |raw| STANDARD.encode(raw))
}

/// What [`encrypt`] closed for this key. Takes some milliseconds: never under a lock.
pub(crate) fn decrypt(key: &PrivateKey, ciphertext: &str) -> Option<String> {
    let sealed = STANDARD.decode(ciphertext).ok()?;
    let opened = key.oaep_decrypt_with_rng::<Sha1, _>(&mut SystemRandom, &sealed).ok()?;
    String::from_utf8(opened).ok()
}

const LETTERS_AND_DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Random letters and digits.
pub(crate) fn random_text(length: usize) -> String {
    random_from(LETTERS_AND_DIGITS, length)
}

/// Random decimal digits, the first of them not 0.
pub(crate) fn random_digits(length: usize) -> String {
    let mut digits = random_from(b"123456789", length.min(1));
    digits.push_str(&random_from(b"0123456789", length.saturating_sub(1)));
    digits
}

/// Random lower-case hexadecimal digits.
pub(crate) fn random_hex(length: usize) -> String {
    random_from(b"0123456789abcdef", length)
}

fn random_from(alphabet: &[u8], length: usize) -> String {
    let size = u64::try_from(alphabet.len()).unwrap_or(1);
    let pick = |_| {
        let at = usize::try_from(u64::generate() % size).unwrap_or_default();
        alphabet.get(at).copied().map_or('0', char::from)
    };
    (0..length).map(pick).collect()
}

/// The operating system's randomness in the shape that key generation asks for.
pub(crate) struct SystemRandom;

impl rand_core::TryRng for SystemRandom {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::generate())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::generate())
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in target.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(u64::generate().to_le_bytes()) {
                *byte = random;
            }
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for SystemRandom {}

#[cfg(test)]
mod tests {
    use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};

    use super::*;

    #[test]
    fn the_published_answer_of_wechat_verifies() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/response_signatures.json")).unwrap();
        let pem = include_str!("../../tests/vectors/doc_test_platform_public_key.pem");
        let key = PublicKey::from_public_key_pem(pem).unwrap();
        let official = &vectors["cases"][0];
        let header = |name: &str| official["headers"][name].as_str().unwrap();
        let body = official["body"].as_str().unwrap();
        let text = signed_text(header("Wechatpay-Timestamp"), header("Wechatpay-Nonce"), body);
        assert!(verifies(&key, &text, header("Wechatpay-Signature")));
        assert!(!verifies(&key, &text[1..], header("Wechatpay-Signature")));
        assert!(!verifies(&key, &text, "WECHATPAY/SIGNTEST/not base64"));
    }

    #[test]
    fn the_published_ciphertexts_open() {
        // wechatpay-java AeadAesCipherTest, and one with empty associated data.
        let key = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";
        let nonce = "uluk4a9R25RW";
        let opened = open(key, nonce, "associatedData", "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=");
        assert_eq!(opened.as_deref(), Some("message"));
        assert_eq!(
            open(key, nonce, "", "PrnhHUt69+dWEN0kgPFgZnF3xV1akQ==").as_deref(),
            Some("退款")
        );
        assert_eq!(
            seal(key, nonce, "associatedData", "message").as_deref(),
            Some("ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=")
        );
    }

    #[test]
    fn a_ciphertext_opens_only_with_its_own_key_and_associated_data() {
        let key = random_text(32);
        let sealed = seal(&key, "0123456789ab", "refund", "{}").unwrap();
        assert_eq!(open(&key, "0123456789ab", "refund", &sealed).as_deref(), Some("{}"));
        assert_eq!(open(&key, "0123456789ab", "transaction", &sealed), None);
        assert_eq!(open(&random_text(32), "0123456789ab", "refund", &sealed), None);
        assert_eq!(seal("short", "0123456789ab", "", "{}"), None);
    }

    #[test]
    fn the_published_names_are_decrypted() {
        let read = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let vectors = read(include_str!("../../tests/vectors/rsa_oaep_sha1.json"));
        let keys = read(include_str!("../../tests/vectors/private_keys.json"));
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let name = case["private_key_file"].as_str().unwrap();
            let der = keys["keys"][name.trim_end_matches(".pem")]["der_base64"]
                .as_str()
                .unwrap();
            let key = PrivateKey::from_pkcs8_der(&STANDARD.decode(der).unwrap()).unwrap();
            let opened = decrypt(&key, case["ciphertext"].as_str().unwrap());
            assert_eq!(opened.as_deref(), case["plaintext"].as_str(), "{name}");
        }
    }

    #[test]
    fn what_was_encrypted_for_one_key_opens_with_no_other() {
        let keys = crate::sandbox::Keys::shared();
        let (wechat, gateway) = (keys.wechat(), keys.gateway_key(0));
        let sealed = encrypt(wechat.public(), "张三");
        assert_eq!(decrypt(wechat.private(), &sealed).as_deref(), Some("张三"));
        assert_ne!(encrypt(wechat.public(), "张三"), sealed);
        assert_eq!(decrypt(gateway.private(), &sealed), None);
        assert_eq!(decrypt(wechat.private(), "not base64"), None);
    }

    #[test]
    fn random_texts_have_their_length_and_alphabet() {
        assert_eq!(random_text(32).len(), 32);
        assert!(random_digits(10).chars().all(|c| c.is_ascii_digit()));
        assert!(!random_digits(10).starts_with('0'));
        assert!(random_hex(16).chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    }
}
