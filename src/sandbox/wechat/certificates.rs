//! Platform certificates: the list that a merchant downloads, and how they change.

use serde_json::{Value, json};

use super::Wechat;
use super::refusal::Refusal;
use crate::sandbox::{
    KeyMode, NoRotation, PlatformCertificate,
    clock::china_time,
    crypto::{random_text, seal},
};

const ASSOCIATED_DATA: &str = "certificate";

impl Wechat {
    /// The platform certificates that are current now, oldest first.
    pub fn certificates(&self) -> Vec<PlatformCertificate> {
        self.inner.platform.certificates(self.inner.clock.now())
    }

    /// A successor appears in the list; WeChat goes on signing with the old certificate. Gives the new serial number.
    /// Takes as long as generating a key does, when this is the first rotation of that depth with these keys.
    pub fn rotate_certificate(&self) -> Result<String, NoRotation> {
        self.inner.platform.rotate(self.inner.clock.now())
    }

    /// From now on WeChat signs with the successor; the old certificate stays in the list.
    pub fn sign_with_new_certificate(&self) -> Result<(), NoRotation> {
        self.inner.platform.sign_with_newest()
    }

    /// The old certificate is over: it is not in the list any more, signs nothing and may not be named.
    pub fn expire_old_certificate(&self) -> Result<(), NoRotation> {
        self.inner.platform.expire_oldest()
    }

    /// So many of a hundred callbacks are signed by the public key in [`KeyMode::Both`], evenly; 50 at the start. Every
    /// attempt of a delivery counts as one.
    pub fn sign_callbacks_by_public_key(&self, percent: u32) {
        self.inner.platform.share_of_public_key(percent);
    }

    /// `GET /v3/certificates`.
    pub(super) fn list_certificates(&self, query: &str) -> Result<Value, Refusal> {
        let rsa = check_query(query)?;
        let listed = self.certificates();
        // SM2 certificates exist at WeChat, for merchants that asked for them.
        if !rsa || listed.is_empty() || self.inner.platform.mode() == KeyMode::PublicKey {
            let message = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥";
            return Err(Refusal::new(404, "RESOURCE_NOT_EXISTS", message));
        }
        let sealed = |certificate: &PlatformCertificate| {
            let nonce = random_text(12);
            let ciphertext = seal(self.inner.keys.api_v3_key(), &nonce, ASSOCIATED_DATA, &certificate.pem);
            json!({
                "serial_no": certificate.serial_no,
                "effective_time": china_time(certificate.effective),
                "expire_time": china_time(certificate.expires),
                "encrypt_certificate": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "nonce": nonce,
                    "associated_data": ASSOCIATED_DATA,
                    "ciphertext": ciphertext.unwrap_or_default(),
                },
            })
        };
        Ok(json!({"data": listed.iter().map(sealed).collect::<Vec<_>>()}))
    }
}

/// Whether RSA certificates are asked for: `algorithm_type` is the only parameter and may be left out.
fn check_query(query: &str) -> Result<bool, Refusal> {
    let mut asked = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "algorithm_type" || asked.is_some() {
            return Err(Refusal::address("query", &name, &value, "未定义或重复"));
        }
        asked = Some(match value.as_ref() {
            "RSA" | "ALL" => true,
            "SM2" => false,
            _ => return Err(Refusal::address("query", &name, &value, "应为RSA、SM2或ALL")),
        });
    }
    Ok(asked.unwrap_or(true))
}

#[cfg(test)]
mod tests;
