//! The business side: where it hears of events, and by which secrets it knows that they are this service's.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice};
use url::Url;
use zeroize::Zeroizing;

use super::is_loopback;
use super::read::Reader;

/// How a secret begins, by the Standard Webhooks specification.
const PREFIX: &str = "whsec_";

/// Bytes of a secret, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where events are sent, and what signs them. `Debug` shows neither a secret nor what the address may hold besides its origin.
pub struct Webhook {
    /// The receiver.
    pub url: Url,
    /// Each of them signs every message, the newest first; several only while one is replaced by another.
    secrets: Vec<SecretSlice<u8>>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

impl Webhook {
    /// The secrets, for the one place that signs messages.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        self.secrets.iter().map(ExposeSecret::expose_secret)
    }

    #[cfg(test)]
    pub(crate) fn of(url: Url, secrets: &[&[u8]]) -> Self {
        let secrets = secrets
            .iter()
            .map(|secret| SecretSlice::from(secret.to_vec()))
            .collect();
        Self { url, secrets }
    }
}

/// `None` when nobody is to be told, and for what cannot be used, which is a problem then.
pub(super) fn webhook(r: &mut Reader<'_>) -> Option<Webhook> {
    let (address, listed) = match (r.text("webhookUrl"), r.text("webhookSecret")) {
        (None, None) => return None,
        (Some(_), None) => {
            r.problem(
                "webhookSecret",
                "is required when webhookUrl is set: without a signature the receiver could not tell your events from anybody's",
                "设置 webhookUrl 时必须设置，否则接收方无法分辨真伪",
            );
            return None;
        }
        (None, Some(_)) => {
            r.problem(
                "webhookUrl",
                "is required when webhookSecret is set: without it nobody is told anything",
                "设置 webhookSecret 时必须设置，否则不会通知任何人",
            );
            return None;
        }
        (Some(address), Some(listed)) => (address, listed),
    };
    let url = Url::parse(address).ok().filter(|url| {
        (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))) && url.fragment().is_none()
    });
    if url.is_none() {
        r.problem(
            "webhookUrl",
            "must be an absolute https URL without a fragment (http only for loopback)",
            "必须是不带锚点的 https 绝对地址（仅回环地址可用 http）",
        );
    }
    let listed = listed.split(',').map(str::trim).filter(|one| !one.is_empty());
    let secrets: Option<Vec<_>> = listed.map(secret).collect();
    let secrets = secrets.filter(|secrets| !secrets.is_empty());
    if secrets.is_none() {
        r.problem(
            "webhookSecret",
            "must be whsec_ and the base64 of 24 to 64 random bytes, each of them where several are separated by commas: echo whsec_$(openssl rand -base64 32)",
            "必须是 whsec_ 加 24 到 64 字节随机数的 base64；以逗号分隔多个时每个都须如此：echo whsec_$(openssl rand -base64 32)",
        );
    }
    Some(Webhook {
        url: url?,
        secrets: secrets?,
    })
}

fn secret(text: &str) -> Option<SecretSlice<u8>> {
    let bytes = Zeroizing::new(STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?);
    // A copy of exactly its length: shrinking the decoder's own would leave the old one behind, unwiped.
    BYTES.contains(&bytes.len()).then(|| SecretSlice::from(bytes.to_vec()))
}
