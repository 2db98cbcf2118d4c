//! Members that WeChat wants encrypted, like the name of a payee: RSAES-OAEP with SHA-1 for digest and mask, as its SDKs do it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::DecodePrivateKey as _;
use sha1::Sha1;

use super::keys::{self, KeyError};
use super::verify::WechatKey;

/// Why a member cannot be encrypted or decrypted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SensitiveError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Longer than 214 bytes of UTF-8, or not made for this key.
    #[error("it does not fit the key")]
    DoesNotFit,
}

/// Encrypts members for WeChat with the key that it expects now.
#[derive(Clone, Debug)]
pub struct Sealer(pub(super) Arc<WechatKey>);

impl Sealer {
    /// The name of the key: what the header `Wechatpay-Serial` of the request has to say.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Encrypts one member; base64. The same text is another ciphertext every time.
    ///
    /// # Errors
    /// When the text is longer than 214 bytes of UTF-8.
    pub fn encrypt(&self, text: &str) -> Result<String, SensitiveError> {
        encrypt(self.0.public(), text)
    }
}

fn encrypt(key: &rsa::PublicKey, text: &str) -> Result<String, SensitiveError> {
    let sealed = key
        .oaep_encrypt::<Sha1>(text.as_bytes())
        .map_err(|_| SensitiveError::DoesNotFit)?;
    Ok(STANDARD.encode(sealed))
}

/// Decrypts a member with this private key.
///
/// # Errors
/// When the key cannot be read, or the ciphertext was not made for it.
pub fn decrypt(private_pem: &str, sealed: &str) -> Result<String, SensitiveError> {
    let key = rsa::PrivateKey::from_pkcs8_der(&keys::private_key(private_pem)?).map_err(|_| KeyError::NotRsa)?;
    let sealed = STANDARD.decode(sealed).map_err(|_| SensitiveError::DoesNotFit)?;
    let opened = key
        .oaep_decrypt::<Sha1>(&sealed)
        .map_err(|_| SensitiveError::DoesNotFit)?;
    String::from_utf8(opened).map_err(|_| SensitiveError::DoesNotFit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::tests_support::{pem_of, vectors};

    #[test]
    fn every_known_ciphertext_opens() {
        let vectors = vectors("rsa_oaep_sha1.json");
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let key = case["private_key_file"].as_str().unwrap().trim_end_matches(".pem");
            let opened = decrypt(&pem_of(key), case["ciphertext"].as_str().unwrap()).unwrap();
            assert_eq!(opened, case["plaintext"].as_str().unwrap(), "{}", case["origin"]);
        }
    }

    #[test]
    fn what_is_encrypted_opens_for_its_owner_only() {
        let public = include_str!("../../tests/vectors/sdk_go_platform_public_key.pem");
        let sealer = Sealer(Arc::new(WechatKey::read("PUB_KEY_ID_1", public).unwrap()));
        let sealed = sealer.encrypt("张三").unwrap();
        assert_eq!(sealer.id(), "PUB_KEY_ID_1");
        assert_ne!(sealed, sealer.encrypt("张三").unwrap());
        assert_eq!(
            decrypt(&pem_of("sdk_go_platform_private_key"), &sealed).as_deref(),
            Ok("张三")
        );
        assert_eq!(
            decrypt(&pem_of("sdk_go_merchant_private_key"), &sealed),
            Err(SensitiveError::DoesNotFit)
        );
        assert!(sealer.encrypt(&"密".repeat(71)).is_ok(), "213 bytes");
        assert_eq!(sealer.encrypt(&"密".repeat(72)), Err(SensitiveError::DoesNotFit));
    }
}
