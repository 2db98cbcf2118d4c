//! The platform certificates: `GET /v3/certificates`, and what has to hold before their keys are trusted.
//!
//! Each certificate is encrypted with the APIv3 key, so that nobody but WeChat, or the merchant, can have put it there. It has to be
//! the one that the list says it is, hold an RSA key of 2048 bits, and, if the operator has named the root, be issued by it. At last
//! the answer itself has to be signed: with one of these certificates, or with a key that was known before (APIv3, "how to obtain the
//! platform certificates"). If one thing is wrong, nothing of the answer is taken.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::cipher::ApiV3Key;
use super::client::{self, Call, Client, Repeat};
use super::error::WechatError;
use super::keys::KeyError;
use super::verify::{NotGenuine, SignatureHeaders, Verifier, WechatKey};
use super::x509::{self, Certificate, CertificateError, Root};

/// What every certificate is encrypted with as associated data. A ciphertext that WeChat made for something else does not open with it.
const ASSOCIATED_DATA: &str = "certificate";

/// Begins each certificate.
const ARMOUR: &str = "-----BEGIN CERTIFICATE-----";

/// What certificates are checked with.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    pub(crate) api_v3_key: Arc<ApiV3Key>,
    /// Who has to have issued them. `None` leaves that unchecked, as WeChat's documentation allows: then they are proven by the APIv3
    /// key alone, which has made the ciphertext. Tenpay's own root is not built in, because there was no copy of it here whose origin
    /// could be shown; an operator who has it names it.
    pub(crate) root: Option<Arc<Root>>,
}

/// Why no certificates could be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The call.
    #[error(transparent)]
    Call(#[from] WechatError),
    /// WeChat has none for this merchant (404 `RESOURCE_NOT_EXISTS`).
    #[error("WeChat Pay has no platform certificate for this merchant")]
    None,
    /// Something about the list.
    #[error("the list of platform certificates was not taken: {0}")]
    List(#[from] ListError),
}

/// What is wrong with a list of certificates.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ListError {
    /// Not in the documented form.
    #[error("it is not in the documented form")]
    Form,
    /// Another merchant's, tampered with, or the setting is wrong.
    #[error("certificate {0} does not open with apiV3Key")]
    Shut(String),
    /// What opened is no certificate.
    #[error("certificate {serial} cannot be read: {error}")]
    Unreadable {
        /// As the list says.
        serial: String,
        /// Why not.
        error: CertificateError,
    },
    /// Another one than the list says.
    #[error("certificate {listed} is {found} in truth")]
    Swapped {
        /// As the list says.
        listed: String,
        /// As the certificate says.
        found: String,
    },
    /// Issued by somebody else.
    #[error("certificate {0} was not issued by the root in wxPayRootCertificate")]
    Chain(String),
    /// There is none that counts now.
    #[error("it has no certificate that counts now")]
    NoneInForce,
    /// The answer.
    #[error(transparent)]
    NotGenuine(#[from] NotGenuine),
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<Item>,
}

/// `effective_time` and `expire_time` are left: the certificate itself says both, and it is what was signed.
#[derive(Deserialize)]
struct Item {
    serial_no: String,
    encrypt_certificate: Sealed,
}

#[derive(Deserialize)]
struct Sealed {
    algorithm: String,
    nonce: String,
    associated_data: String,
    ciphertext: String,
}

/// Asks for the certificates and checks them. One question, and one more if the answer is a probe: the repeat is not probed.
pub(crate) async fn download(
    client: &Client,
    checks: &Checks,
    known: &Verifier,
) -> Result<Vec<Arc<WechatKey>>, LoadError> {
    let call = Call {
        method: Method::GET,
        target: "/v3/certificates".to_owned(),
        body: "",
        repeat: Repeat::Harmless,
        serial: None,
    };
    let started = Instant::now();
    let mut came = client.exchange_once(&call).await;
    if let Ok((StatusCode::OK, headers, body)) = &came {
        match checks.take(known, headers, body, client.now()) {
            Err(ListError::NotGenuine(NotGenuine::Probe)) => came = client.exchange_once(&call).await,
            judged => return Ok(judged?),
        }
    }
    let no = match came {
        Ok((StatusCode::OK, headers, body)) => return Ok(checks.take(known, &headers, &body, client.now())?),
        // Read without a signature: nothing comes of it but a line for the operator.
        Ok((status, headers, body)) => client::no(status, &headers, &body, false),
        Err(error) => error,
    };
    client.log(&call, Err(&no), started.elapsed(), 1);
    match no {
        WechatError::Refused(refusal) if refusal.status == 404 && refusal.is("RESOURCE_NOT_EXISTS") => {
            Err(LoadError::None)
        }
        error => Err(error.into()),
    }
}

impl Checks {
    /// The keys of an answer, if everything about it is right.
    pub(crate) fn take(
        &self,
        known: &Verifier,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<Arc<WechatKey>>, ListError> {
        let signature = SignatureHeaders::read(headers)?;
        let listed: Listed = serde_json::from_slice(body).map_err(|_| ListError::Form)?;
        let mut taken = Vec::with_capacity(listed.data.len());
        for item in &listed.data {
            taken.extend(self.check(item, now)?.map(Arc::new));
        }
        if !taken.iter().any(|key| key.in_force(now)) {
            return Err(ListError::NoneInForce);
        }
        let signers = known.keys().chain(&taken).cloned();
        Verifier::new(signers).verify(&signature, body, now)?;
        Ok(taken)
    }

    /// One certificate. `None` for one that may be left out: it has expired, or its key is of a kind that is not used here. One that
    /// does not count yet is kept; it is looked at again when it is used.
    fn check(&self, item: &Item, now: Timestamp) -> Result<Option<WechatKey>, ListError> {
        let serial = x509::normal_serial(&item.serial_no).ok_or(ListError::Form)?;
        let Sealed {
            algorithm,
            nonce,
            associated_data,
            ciphertext,
        } = &item.encrypt_certificate;
        if algorithm != "AEAD_AES_256_GCM" || associated_data != ASSOCIATED_DATA {
            return Err(ListError::Form);
        }
        let opened = self
            .api_v3_key
            .open(nonce, associated_data, ciphertext)
            .map_err(|_| ListError::Shut(serial.clone()))?;
        let unreadable = |error| ListError::Unreadable {
            serial: serial.clone(),
            error,
        };
        let pem = std::str::from_utf8(&opened)
            .ok()
            .filter(|pem| pem.trim_start().starts_with(ARMOUR))
            .ok_or_else(|| unreadable(CertificateError::NotX509))?;
        let certificate = Certificate::read(pem).map_err(unreadable)?;
        if certificate.serial != serial {
            let found = certificate.serial;
            return Err(ListError::Swapped { listed: serial, found });
        }
        if self.root.as_ref().is_some_and(|root| !root.issued(&certificate, now)) {
            return Err(ListError::Chain(serial));
        }
        if certificate.validity.to < now {
            tracing::debug!(serial, "a platform certificate has expired and is left out");
            return Ok(None);
        }
        match WechatKey::of_certificate(&certificate) {
            Ok(key) => Ok(Some(key)),
            Err(error @ (KeyError::NotRsa | KeyError::WrongLength { .. })) => {
                tracing::warn!(serial, %error, "a platform certificate is of a kind that is not used here and is left out");
                Ok(None)
            }
            Err(error) => Err(unreadable(error.into())),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
