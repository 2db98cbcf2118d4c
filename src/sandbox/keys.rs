//! The keys and names of one simulated merchant, made at start and kept in memory only.

use std::sync::{Arc, Mutex, OnceLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    PrivateKey, PublicKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    traits::PublicKeyParts,
};
use serde_json::{Value, json};

use super::{
    authority::{Authority, random_serial},
    crypto::{SystemRandom, random_digits, random_hex, random_text},
    lock,
};

/// An RSA-2048 pair and the name under which the others know it.
pub(crate) struct NamedKey {
    id: String,
    private: PrivateKey,
    public: PublicKey,
}

impl NamedKey {
    /// Makes a new pair, which takes a moment.
    pub(crate) fn generate(id: String) -> Self {
        let private = PrivateKey::new(&mut SystemRandom, 2048).expect("2048 bits is a size that the library generates");
        Self {
            id,
            public: private.to_public_key(),
            private,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) const fn private(&self) -> &PrivateKey {
        &self.private
    }

    pub(crate) const fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// Everything that a merchant gets from the platforms, with the private halves that only the platforms have.
///
/// Three pairs: the merchant's, WeChat Pay's and the one with which the gateway signs access tokens. Those that only
/// some worlds need, for certificates and for the rotation of keys, are made when they are first asked for.
pub struct Keys {
    merchant: NamedKey,
    wechat: Arc<NamedKey>,
    mchid: String,
    api_v3_key: String,
    appid: String,
    mini_program_appid: String,
    gateway: Mutex<Vec<Arc<NamedKey>>>,
    platform: Mutex<Vec<Arc<NamedKey>>>,
    authority: OnceLock<Authority>,
}

impl Keys {
    /// Makes a new set. Generating three pairs takes a moment; tests share one, see [`Keys::shared`].
    pub fn generate() -> Self {
        let mchid = random_digits(10);
        // As the real ones are made: the merchant's number stands in it.
        let public_key_id = format!("PUB_KEY_ID_01{mchid}{}", random_digits(22));
        let keys = Self {
            merchant: NamedKey::generate(random_hex(40).to_ascii_uppercase()),
            wechat: Arc::new(NamedKey::generate(public_key_id)),
            mchid,
            api_v3_key: random_text(32),
            appid: format!("wx{}", random_hex(16)),
            mini_program_appid: format!("wx{}", random_hex(16)),
            gateway: Mutex::default(),
            platform: Mutex::default(),
            authority: OnceLock::new(),
        };
        drop(keys.gateway_key(0));
        keys
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
        self.merchant.id()
    }

    /// The id of WeChat Pay's public key: `PUB_KEY_ID_` and digits.
    pub fn public_key_id(&self) -> &str {
        self.wechat.id()
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

    /// The merchant's private key as the merchant platform hands it out: PKCS#8 PEM.
    pub fn merchant_private_pem(&self) -> String {
        private_pem(&self.merchant.private)
    }

    /// WeChat Pay's public key as the merchant platform hands it out: `SubjectPublicKeyInfo` PEM.
    pub fn wechat_public_pem(&self) -> String {
        public_pem(&self.wechat.public)
    }

    /// The certificate of the authority that issues WeChat Pay's platform certificates: what a service that verifies
    /// by certificates has to trust. Makes it at the first call.
    pub fn wechat_root_pem(&self) -> String {
        self.authority().pem().to_owned()
    }

    /// The key set of a gateway that has never rotated its key.
    pub fn jwks(&self) -> Value {
        jwks(&[self.gateway_key(0)])
    }

    /// Signs as the merchant, in base64: for tests that play the service.
    pub fn sign_as_merchant(&self, message: &str) -> String {
        super::crypto::sign(&self.merchant.private, message.as_bytes())
    }

    /// Signs with WeChat Pay's public key pair, in base64: for tests that compose their own answers and callbacks.
    pub fn sign_as_wechat(&self, message: &str) -> String {
        super::crypto::sign(&self.wechat.private, message.as_bytes())
    }

    /// What WeChat Pay encrypted for the merchant: for tests that play the service.
    pub fn decrypt_as_merchant(&self, ciphertext: &str) -> Option<String> {
        super::crypto::decrypt(&self.merchant.private, ciphertext)
    }

    /// Whether `signature` is one by WeChat Pay's public key pair over `message`.
    pub fn verify_wechat(&self, message: &str, signature: &str) -> bool {
        super::crypto::verifies(&self.wechat.public, message.as_bytes(), signature)
    }

    pub(crate) const fn wechat(&self) -> &Arc<NamedKey> {
        &self.wechat
    }

    pub(crate) const fn merchant_public(&self) -> &PublicKey {
        &self.merchant.public
    }

    /// The pair with which the gateway signs after so many rotations, made when it is first needed.
    pub(crate) fn gateway_key(&self, rotations: usize) -> Arc<NamedKey> {
        nth(&self.gateway, rotations, || random_hex(32))
    }

    /// The pair of WeChat Pay's platform certificate after so many rotations, made when it is first needed.
    pub(crate) fn platform_key(&self, rotations: usize) -> Arc<NamedKey> {
        nth(&self.platform, rotations, random_serial)
    }

    pub(crate) fn authority(&self) -> &Authority {
        self.authority.get_or_init(Authority::generate)
    }

    pub(crate) fn owns_appid(&self, appid: &str) -> bool {
        appid == self.appid || appid == self.mini_program_appid
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("mchid", &self.mchid)
            .field("serial_no", &self.serial_no())
            .finish_non_exhaustive()
    }
}

/// Public keys as a JSON web key set.
pub(crate) fn jwks(keys: &[Arc<NamedKey>]) -> Value {
    let jwk = |key: &Arc<NamedKey>| {
        let n = URL_SAFE_NO_PAD.encode(key.public.n_bytes());
        let e = URL_SAFE_NO_PAD.encode(key.public.e_bytes());
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.id, "n": n, "e": e})
    };
    json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()})
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

/// The pair of this number; those before it are made as well.
fn nth(made: &Mutex<Vec<Arc<NamedKey>>>, number: usize, name: impl Fn() -> String) -> Arc<NamedKey> {
    let mut made = lock(made);
    loop {
        if let Some(key) = made.get(number) {
            return key.clone();
        }
        made.push(Arc::new(NamedKey::generate(name())));
    }
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
    fn a_key_that_is_made_later_stays_the_same() {
        let keys = Keys::shared();
        let first = keys.platform_key(1);
        assert!(Arc::ptr_eq(&first, &keys.platform_key(1)) && first.id() != keys.platform_key(0).id());
        assert!(keys.wechat_root_pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert_eq!(keys.wechat_root_pem(), keys.wechat_root_pem());
    }

    #[test]
    fn debug_output_holds_no_key() {
        let keys = Keys::shared();
        assert!(!format!("{keys:?}").contains(keys.api_v3_key()));
    }
}
