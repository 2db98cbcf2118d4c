//! The keys and names of one simulated merchant, made at start and kept in memory only.

use std::sync::{Arc, OnceLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    PrivateKey, PublicKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    traits::PublicKeyParts,
};
use serde_json::{Value, json};

use super::crypto::{SystemRandom, random_digits, random_hex, random_text};

/// Everything that a merchant gets from the platforms, with the private halves that only the platforms have.
///
/// Three RSA-2048 pairs: the merchant's, WeChat Pay's and the one with which the gateway signs access tokens.
pub struct Keys {
    merchant: PrivateKey,
    merchant_public: PublicKey,
    wechat: PrivateKey,
    wechat_public: PublicKey,
    gateway: PrivateKey,
    gateway_public: PublicKey,
    mchid: String,
    serial_no: String,
    public_key_id: String,
    api_v3_key: String,
    kid: String,
    appid: String,
    mini_program_appid: String,
}

impl Keys {
    /// Makes a new set. Generating three pairs takes a moment; tests share one, see [`Keys::shared`].
    pub fn generate() -> Self {
        let [merchant, wechat, gateway] = [(); 3].map(|()| new_pair());
        Self {
            merchant_public: merchant.to_public_key(),
            merchant,
            wechat_public: wechat.to_public_key(),
            wechat,
            gateway_public: gateway.to_public_key(),
            gateway,
            mchid: random_digits(10),
            serial_no: random_hex(40).to_ascii_uppercase(),
            public_key_id: format!("PUB_KEY_ID_{}", random_digits(34)),
            api_v3_key: random_text(32),
            kid: random_hex(32),
            appid: format!("wx{}", random_hex(16)),
            mini_program_appid: format!("wx{}", random_hex(16)),
        }
    }

    /// The one set of this process, made at the first call.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Keys>> = OnceLock::new();
        SHARED.get_or_init(|| Arc::new(Self::generate())).clone()
    }

    /// The merchant's number: ten digits.
    pub fn mchid(&self) -> &str {
        &self.mchid
    }

    /// The serial number of the merchant's certificate: 40 upper-case hexadecimal digits.
    pub fn serial_no(&self) -> &str {
        &self.serial_no
    }

    /// The id of WeChat Pay's public key: `PUB_KEY_ID_` and digits.
    pub fn public_key_id(&self) -> &str {
        &self.public_key_id
    }

    /// The `APIv3` key: 32 letters and digits.
    pub fn api_v3_key(&self) -> &str {
        &self.api_v3_key
    }

    /// The app id of the service account, bound to the merchant.
    pub fn appid(&self) -> &str {
        &self.appid
    }

    /// The app id of the mini program, bound to the merchant.
    pub fn mini_program_appid(&self) -> &str {
        &self.mini_program_appid
    }

    /// The id under which the gateway publishes its key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The merchant's private key as the merchant platform hands it out: PKCS#8 PEM.
    pub fn merchant_private_pem(&self) -> String {
        private_pem(&self.merchant)
    }

    /// WeChat Pay's public key as the merchant platform hands it out: `SubjectPublicKeyInfo` PEM.
    pub fn wechat_public_pem(&self) -> String {
        public_pem(&self.wechat_public)
    }

    /// The gateway's public key as a JSON web key set.
    pub fn jwks(&self) -> Value {
        let n = URL_SAFE_NO_PAD.encode(self.gateway_public.n_bytes());
        let e = URL_SAFE_NO_PAD.encode(self.gateway_public.e_bytes());
        json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": n, "e": e}]})
    }

    /// Signs as the merchant, in base64: for tests that play the service.
    pub fn sign_as_merchant(&self, message: &str) -> String {
        super::crypto::sign(&self.merchant, message.as_bytes())
    }

    /// Signs as WeChat Pay, in base64: for tests that compose their own answers and callbacks.
    pub fn sign_as_wechat(&self, message: &str) -> String {
        super::crypto::sign(&self.wechat, message.as_bytes())
    }

    /// What WeChat Pay encrypted for the merchant: for tests that play the service.
    pub fn decrypt_as_merchant(&self, ciphertext: &str) -> Option<String> {
        super::crypto::decrypt(&self.merchant, ciphertext)
    }

    /// Whether `signature` is WeChat Pay's over `message`.
    pub fn verify_wechat(&self, message: &str, signature: &str) -> bool {
        super::crypto::verifies(&self.wechat_public, message.as_bytes(), signature)
    }

    pub(crate) fn wechat(&self) -> &PrivateKey {
        &self.wechat
    }

    pub(crate) fn wechat_public(&self) -> &PublicKey {
        &self.wechat_public
    }

    pub(crate) fn merchant_public(&self) -> &PublicKey {
        &self.merchant_public
    }

    pub(crate) fn gateway(&self) -> &PrivateKey {
        &self.gateway
    }

    pub(crate) fn gateway_public(&self) -> &PublicKey {
        &self.gateway_public
    }

    pub(crate) fn owns_appid(&self, appid: &str) -> bool {
        appid == self.appid || appid == self.mini_program_appid
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("mchid", &self.mchid)
            .field("serial_no", &self.serial_no)
            .finish_non_exhaustive()
    }
}

fn new_pair() -> PrivateKey {
    PrivateKey::new(&mut SystemRandom, 2048).expect("2048 bits is a size that the library generates")
}

fn private_pem(key: &PrivateKey) -> String {
    key.to_pkcs8_pem(LineEnding::LF)
        .expect("a generated key is a valid key")
        .to_string()
}

fn public_pem(key: &PublicKey) -> String {
    key.to_public_key_pem(LineEnding::LF)
        .expect("a generated key is a valid key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_keys_look_like_the_real_ones() {
        let keys = Keys::shared();
        assert!(keys.merchant_private_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(keys.wechat_public_pem().starts_with("-----BEGIN PUBLIC KEY-----\n"));
        assert!(keys.serial_no().len() == 40 && keys.serial_no().chars().all(|c| matches!(c, '0'..='9' | 'A'..='F')));
        assert!(keys.appid().len() == 18 && keys.appid() != keys.mini_program_appid());
        assert_eq!(keys.sign_as_merchant("x").len(), 344);
        assert!(Arc::ptr_eq(&keys, &Keys::shared()));
    }

    #[test]
    fn debug_output_holds_no_key() {
        let keys = Keys::shared();
        assert!(!format!("{keys:?}").contains(keys.api_v3_key()));
    }
}
