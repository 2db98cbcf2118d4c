//! Callbacks as WeChat composes them: content, envelope, signature. Composing one sends nothing.

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::books::{Order, Refund, RefundStatus};
use super::transfers::{self, Transfer};
use super::{orders, refunds};
use crate::sandbox::{
    Keys,
    clock::{china_digits, china_time},
    crypto::{random_digits, random_hex, random_text, seal, sign, signed_text},
    keys::NamedKey,
    outbound::Headers,
    put,
};

/// A callback before it is encrypted and signed. A test may change any of it: the result is genuine in every
/// cryptographic respect and yet does not fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The id of the notification, the same at every attempt.
    pub id: String,
    /// RFC 3339.
    pub create_time: String,
    /// For example `TRANSACTION.SUCCESS`.
    pub event_type: String,
    /// Text for a person.
    pub summary: String,
    /// `transaction`, `refund` or `mch_payment`.
    pub original_type: String,
    /// Authenticated beside the ciphertext; left out of the envelope if `None`.
    pub associated_data: Option<String>,
    /// The content, which is encrypted.
    pub resource: Value,
    /// Another key than the merchant's `APIv3` key, to make a ciphertext that does not open.
    pub other_api_v3_key: Option<String>,
}

impl Notice {
    pub(crate) fn of_payment(order: &Order, mchid: &str, now: Timestamp) -> Self {
        let mut resource = orders::transaction(order, mchid, now);
        // The announcement tells of the moment of payment, whatever has been refunded since.
        put(&mut resource, "trade_state", json!("SUCCESS"));
        put(&mut resource, "trade_state_desc", json!("支付成功"));
        Self::new("TRANSACTION.SUCCESS", "支付成功", "transaction", resource, now)
    }

    pub(crate) fn of_refund(refund: &Refund, mchid: &str, now: Timestamp) -> Self {
        let (event_type, summary) = match refund.status {
            RefundStatus::Success | RefundStatus::Processing => ("REFUND.SUCCESS", "退款成功"),
            RefundStatus::Closed => ("REFUND.CLOSED", "退款关闭"),
            RefundStatus::Abnormal => ("REFUND.ABNORMAL", "退款异常"),
        };
        Self::new(event_type, summary, "refund", refunds::announcement(refund, mchid), now)
    }

    pub(crate) fn of_transfer(transfer: &Transfer, mchid: &str, now: Timestamp) -> Self {
        let content = transfers::announcement(transfer, mchid);
        let (event_type, summary) = ("MCHTRANSFER.BILL.FINISHED", "商家转账单据终态通知");
        Self::new(event_type, summary, "mch_payment", content, now)
    }

    fn new(event_type: &str, summary: &str, original_type: &str, resource: Value, now: Timestamp) -> Self {
        Self {
            id: format!("EV-{}{}", china_digits(now), random_digits(16)),
            create_time: china_time(now),
            event_type: event_type.to_owned(),
            summary: summary.to_owned(),
            original_type: original_type.to_owned(),
            associated_data: Some(original_type.to_owned()),
            resource,
            other_api_v3_key: None,
        }
    }

    /// The body that is sent: the envelope with the encrypted content.
    pub fn envelope(&self, keys: &Keys) -> String {
        let nonce = random_text(12);
        let key = self.other_api_v3_key.as_deref().unwrap_or(keys.api_v3_key());
        let aad = self.associated_data.as_deref().unwrap_or_default();
        let ciphertext = seal(key, &nonce, aad, &self.resource.to_string()).unwrap_or_default();
        let mut resource = json!({
            "original_type": self.original_type,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": ciphertext,
            "nonce": nonce,
        });
        if let Some(aad) = &self.associated_data {
            put(&mut resource, "associated_data", json!(aad));
        }
        json!({
            "id": self.id,
            "create_time": self.create_time,
            "resource_type": "encrypt-resource",
            "event_type": self.event_type,
            "summary": self.summary,
            "resource": resource,
        })
        .to_string()
    }
}

/// A callback ready to be posted.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedNotification {
    /// All headers that WeChat sends.
    pub headers: Headers,
    /// The envelope. The signature is over exactly these bytes.
    pub body: String,
}

impl SignedNotification {
    /// One header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The same with another value for one header; an empty value takes the header away.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The body as the bytes to send.
    pub fn bytes(&self) -> Bytes {
        Bytes::from(self.body.clone())
    }
}

/// Whose signature answers and callbacks carry.
pub(super) const BY_WECHAT: &str = "微信支付私钥 SHA256-RSA2048 / WeChat Pay's key: time, nonce, body";

/// What the signature in these headers is over.
pub(super) fn signed_by(headers: &Headers, body: &str) -> Vec<u8> {
    let of = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    signed_text(of("Wechatpay-Timestamp"), of("Wechatpay-Nonce"), body)
}

/// The headers with the signature of WeChat's key `signer` over `body`, made now. Takes some milliseconds.
pub(crate) fn signature_headers(signer: &NamedKey, body: &str, now: Timestamp) -> Headers {
    let (timestamp, nonce) = (now.as_second().to_string(), random_text(32));
    let signature = sign(signer.private(), &signed_text(&timestamp, &nonce, body));
    [
        ("Wechatpay-Timestamp", timestamp),
        ("Wechatpay-Nonce", nonce),
        ("Wechatpay-Signature", signature),
        ("Wechatpay-Serial", signer.id().to_owned()),
        ("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// What stands in the place of a signature when WeChat probes whether signatures are checked.
pub(crate) fn probe_signature() -> String {
    format!("WECHATPAY/SIGNTEST/{}", random_text(325))
}

/// A trace id with the numeric code that tells success from each kind of failure.
pub(crate) fn request_id(number: u32) -> String {
    format!("08{}-{number}", random_hex(38).to_ascii_uppercase())
}

/// A callback with a signature made now.
pub(crate) fn signed(signer: &NamedKey, body: String, now: Timestamp) -> SignedNotification {
    let fixed = [
        ("Content-Type", "application/json"),
        ("User-Agent", "Mozilla/4.0"),
        ("Accept", "*/*"),
    ];
    let mut headers: Headers = fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    headers.extend(signature_headers(signer, &body, now));
    headers.push(("Request-ID".to_owned(), request_id(268_435_462)));
    SignedNotification { headers, body }
}
