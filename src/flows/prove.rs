//! From a hint to a fact: the proofs, in order.
//!
//! 1. WeChat's signature over the raw body, then the ciphertext opens.
//! 2. The ciphertext that came with a forward opens with the APIv3 key: only WeChat, and the merchant, can have made it.
//! 3. WeChat is asked, and its signed answer counts instead of the forward.
//! 4. None, if the operator decided so; then the integration id has to be there.
//!
//! What stood beside the proven content is not used. `Proven` can only be made here.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::app::App;
use crate::config::CallbackConfirm;
use crate::wechat::client::Said;
use crate::wechat::error::WechatError;
use crate::wechat::notification::{self, Evidence, Notification, Sealed, Subject};
use crate::wechat::orders::{self, Transaction};
use crate::wechat::refunds::{self, RefundSaid};
use crate::wechat::transfers::{self, TransferSaid};
use crate::wechat::verify::{NotGenuine, SignatureHeaders};

/// How long WeChat may take to confirm a forward; the callback has to be answered within 5 s.
const ASK: Duration = Duration::from_secs(3);

/// What makes content a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Proof {
    /// WeChat's signature over the raw notification.
    Signature,
    /// The APIv3 key opens it.
    Ciphertext,
    /// WeChat was asked.
    Answer,
    /// The operator's decision.
    IntegrationId,
}

impl Proof {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Ciphertext => "ciphertext",
            Self::Answer => "answer",
            Self::IntegrationId => "integration_id",
        }
    }
}

impl Fact {
    /// What proves it.
    pub(crate) fn proof(&self) -> Proof {
        match self {
            Self::Payment(proven) => proven.proof(),
            Self::Refund(proven) => proven.proof(),
            Self::Transfer(proven) => proven.proof(),
            Self::Unknown { proof, .. } => *proof,
        }
    }
}

/// Content that comes from WeChat. Only this opens the books.
#[derive(Debug)]
pub(crate) struct Proven<T> {
    content: T,
    resource: Box<RawValue>,
    proof: Proof,
}

impl<T> Proven<T> {
    /// What WeChat says.
    pub(crate) fn content(&self) -> &T {
        &self.content
    }

    /// The same in WeChat's own JSON.
    pub(crate) fn resource(&self) -> &RawValue {
        &self.resource
    }

    /// What proves it.
    pub(crate) fn proof(&self) -> Proof {
        self.proof
    }
}

/// A verified answer is proven by its signature.
pub(crate) fn answered<T: Clone>(said: &Said<T>) -> Proven<T> {
    Proven {
        content: said.content.clone(),
        resource: said.json.clone(),
        proof: Proof::Answer,
    }
}

/// What a callback proves to be.
#[derive(Debug)]
pub(crate) enum Fact {
    /// What WeChat says of an order.
    Payment(Proven<Transaction>),
    /// What WeChat says of a refund.
    Refund(Proven<RefundSaid>),
    /// What WeChat says of a transfer.
    Transfer(Proven<TransferSaid>),
    /// Genuine, and of a kind, or in a form, that this version does not know.
    Unknown {
        /// The opened content.
        resource: Box<RawValue>,
        /// What proves it.
        proof: Proof,
    },
}

/// Why a callback opens nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotProven {
    /// Not genuine: refused, counted, and logged without its content.
    #[error("forged: {0}")]
    Forged(#[from] Forgery),
    /// Cannot be told now: it should be sent again.
    #[error("cannot be told now: {0}")]
    CannotSayNow(String),
}

/// What gives a forgery away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Forgery {
    /// The signature.
    #[error(transparent)]
    NotGenuine(#[from] NotGenuine),
    /// A forward without the configured integration id.
    #[error("the integration id is missing or another one")]
    IntegrationId,
    /// It names nothing that WeChat could be asked about.
    #[error("it carries nothing that could be proven")]
    NothingToProve,
    /// WeChat says otherwise.
    #[error("WeChat Pay says otherwise: {0}")]
    Contradicted(String),
}

/// Proves a callback, or says why not. `by_path` is what its path says it is about.
pub(crate) async fn callback(
    app: &App,
    headers: &HeaderMap,
    raw: &[u8],
    note: &Notification,
    by_path: Option<Subject>,
) -> Result<Fact, NotProven> {
    match &note.evidence {
        Evidence::Direct(sealed) => {
            let signature = SignatureHeaders::read(headers).map_err(Forgery::from)?;
            app.wechat.verify(&signature, raw, ASK).await.map_err(unverified)?;
            // Signed by WeChat and yet shut: the APIv3 key was changed. It comes again, and opens once the setting is right.
            let opened = open(app, sealed).ok_or_else(|| {
                NotProven::CannotSayNow("the signature is right and the APIv3 key does not open it".to_owned())
            })?;
            Ok(read(note, &opened, Proof::Signature))
        }
        Evidence::Forwarded { sealed, hint } => {
            check_integration_id(app, headers)?;
            if let Some(opened) = sealed.as_ref().and_then(|sealed| open(app, sealed)) {
                if hint.as_ref().is_some_and(|hint| differs(hint, &opened)) {
                    tracing::warn!(
                        notification = note.id,
                        "a forward says something else than the ciphertext in it; the ciphertext counts"
                    );
                }
                return Ok(read(note, &opened, Proof::Ciphertext));
            }
            let hint = hint.as_ref().ok_or(Forgery::NothingToProve)?;
            let subject = subject(note, hint, by_path).ok_or(Forgery::NothingToProve)?;
            match app.config.callback_confirm {
                CallbackConfirm::Always => ask(app, subject, hint).await,
                CallbackConfirm::Never => {
                    let opened = serde_json::to_string(hint).map_err(|_| Forgery::NothingToProve)?;
                    Ok(read_as(Some(subject), opened.as_bytes(), Proof::IntegrationId))
                }
            }
        }
    }
}

fn check_integration_id(app: &App, headers: &HeaderMap) -> Result<(), Forgery> {
    use secrecy::ExposeSecret as _;
    let Some(expected) = &app.config.integration_id else {
        return Ok(());
    };
    let given = headers
        .get("x-tcb-integration-id")
        .map_or(&b""[..], |value| value.as_bytes());
    // Compared in constant time: the id is what keeps strangers out when nothing is confirmed.
    aws_lc_rs::constant_time::verify_slices_are_equal(given, expected.expose_secret().as_bytes())
        .map_err(|_| Forgery::IntegrationId)
}

fn open(app: &App, sealed: &Sealed) -> Option<Vec<u8>> {
    app.config
        .api_v3_key
        .open(&sealed.nonce, sealed.associated_data(), &sealed.ciphertext)
        .ok()
}

fn differs(hint: &Map<String, Value>, opened: &[u8]) -> bool {
    serde_json::from_slice::<Map<String, Value>>(opened).is_ok_and(|opened| opened != *hint)
}

/// What is asked about: by the event type, else by the numbers that are there, else by the path.
fn subject(note: &Notification, hint: &Map<String, Value>, by_path: Option<Subject>) -> Option<Subject> {
    match &note.event_type {
        Some(event_type) => Subject::of_event(event_type),
        None if hint.contains_key("out_refund_no") => Some(Subject::Refund),
        None if hint.contains_key("out_bill_no") => Some(Subject::Transfer),
        None => by_path.or_else(|| hint.contains_key("out_trade_no").then_some(Subject::Payment)),
    }
}

fn read(note: &Notification, opened: &[u8], proof: Proof) -> Fact {
    read_as(
        note.event_type
            .as_deref()
            .map_or_else(|| guess(opened), Subject::of_event),
        opened,
        proof,
    )
}

/// A forward may have lost its event type; what is opened tells.
fn guess(opened: &[u8]) -> Option<Subject> {
    let opened: Map<String, Value> = serde_json::from_slice(opened).ok()?;
    if opened.contains_key("out_refund_no") {
        Some(Subject::Refund)
    } else if opened.contains_key("out_bill_no") {
        Some(Subject::Transfer)
    } else {
        opened.contains_key("trade_state").then_some(Subject::Payment)
    }
}

fn read_as(subject: Option<Subject>, opened: &[u8], proof: Proof) -> Fact {
    let read = match subject {
        Some(Subject::Payment) => parse(opened, proof).map(Fact::Payment),
        Some(Subject::Refund) => parse(opened, proof).map(Fact::Refund),
        Some(Subject::Transfer) => parse(opened, proof).map(Fact::Transfer),
        None => None,
    };
    read.unwrap_or_else(|| Fact::Unknown {
        resource: as_json(opened),
        proof,
    })
}

fn parse<T: DeserializeOwned>(opened: &[u8], proof: Proof) -> Option<Proven<T>> {
    let content = serde_json::from_slice(opened).ok()?;
    Some(Proven {
        content,
        resource: serde_json::from_slice(opened).ok()?,
        proof,
    })
}

/// What was opened, as JSON: as it is, or as a text when it is none.
fn as_json(opened: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(opened)
        .or_else(|_| serde_json::value::to_raw_value(&String::from_utf8_lossy(opened)))
        .unwrap_or_default()
}

async fn ask(app: &App, subject: Subject, hint: &Map<String, Value>) -> Result<Fact, NotProven> {
    // Anybody who reaches this service can send one of these; they may not use up the merchant's questions.
    let _seat = app
        .limits
        .confirm()
        .ok_or_else(|| NotProven::CannotSayNow("too many callbacks have to be asked about".to_owned()))?;
    match subject {
        Subject::Payment => {
            let number = notification::hinted_order(hint).ok_or(Forgery::NothingToProve)?;
            let said = orders::query_within(&app.wechat, &number, ASK)
                .await
                .map_err(unconfirmed)?;
            if said.content.out_trade_no != number.as_str() {
                return Err(Forgery::Contradicted("it answers for another order".to_owned()).into());
            }
            Ok(Fact::Payment(Proven {
                content: said.content,
                resource: said.json,
                proof: Proof::Answer,
            }))
        }
        Subject::Refund => {
            let number = notification::hinted_refund(hint).ok_or(Forgery::NothingToProve)?;
            let said = refunds::query_within(&app.wechat, &number, ASK)
                .await
                .map_err(unconfirmed)?;
            if said.content.out_refund_no != number.as_str() {
                return Err(Forgery::Contradicted("it answers for another refund".to_owned()).into());
            }
            Ok(Fact::Refund(Proven {
                content: said.content,
                resource: said.json,
                proof: Proof::Answer,
            }))
        }
        Subject::Transfer => {
            let number = notification::hinted_transfer(hint).ok_or(Forgery::NothingToProve)?;
            let said = transfers::query_within(&app.wechat, &number, ASK)
                .await
                .map_err(unconfirmed)?;
            if said.content.out_bill_no != number.as_str() {
                return Err(Forgery::Contradicted("it answers for another transfer".to_owned()).into());
            }
            Ok(Fact::Transfer(Proven {
                content: said.content,
                resource: said.json,
                proof: Proof::Answer,
            }))
        }
    }
}

/// A signature that is not WeChat's is a forgery; without a key, nothing can be told.
fn unverified(error: WechatError) -> NotProven {
    match error {
        WechatError::NotGenuine(why) => Forgery::from(why).into(),
        WechatError::Busy | WechatError::Refused(_) | WechatError::NeverSent(_) | WechatError::OutcomeUnknown(_) => {
            NotProven::CannotSayNow(error.to_string())
        }
    }
}

fn unconfirmed(error: WechatError) -> NotProven {
    match error {
        WechatError::Refused(refusal) if refusal.proves_absence() => {
            Forgery::Contradicted(format!("{} {}", refusal.status, refusal.code)).into()
        }
        WechatError::Refused(_)
        | WechatError::Busy
        | WechatError::NeverSent(_)
        | WechatError::OutcomeUnknown(_)
        | WechatError::NotGenuine(_) => NotProven::CannotSayNow(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else {
            panic!("{value}")
        };
        members
    }

    fn note(event_type: Option<&str>) -> Notification {
        let forward = json!({"rawData": {"event_type": event_type}, "ParsedContent": {}});
        Notification::read(members(forward)).unwrap()
    }

    /// Whoever sends a forward chooses what it says of itself; only then does the path count, and the number of an order alone last.
    #[test]
    fn what_is_asked_about_is_told_by_the_event_then_by_the_numbers_then_by_the_path() {
        let of_order = json!({"out_trade_no": "ORDER_1"});
        let of_refund = json!({"out_trade_no": "ORDER_1", "out_refund_no": "REFUND_1"});
        let of_transfer = json!({"out_bill_no": "BILL_1"});
        let (payment, refund, transfer) = (Subject::Payment, Subject::Refund, Subject::Transfer);
        for (event_type, hint, path, expected) in [
            (Some("TRANSACTION.SUCCESS"), &of_refund, Some(refund), Some(payment)),
            (Some("REFUND.SUCCESS"), &of_order, Some(payment), Some(refund)),
            (Some("PAYSCORE.USER_PAID"), &of_order, Some(payment), None),
            (None, &of_refund, Some(payment), Some(refund)),
            (None, &of_refund, None, Some(refund)),
            (None, &of_transfer, Some(payment), Some(transfer)),
            (None, &of_order, Some(refund), Some(refund)),
            (None, &of_order, None, Some(payment)),
            (None, &json!({}), None, None),
        ] {
            assert_eq!(
                subject(&note(event_type), &members(hint.clone()), path),
                expected,
                "{event_type:?} {hint} {path:?}"
            );
        }
    }

    #[test]
    fn what_lost_its_event_type_is_told_by_its_content() {
        for (opened, expected) in [
            (
                r#"{"trade_state": "SUCCESS", "out_trade_no": "ORDER_1"}"#,
                Some(Subject::Payment),
            ),
            (
                r#"{"out_refund_no": "REFUND_1", "out_trade_no": "ORDER_1"}"#,
                Some(Subject::Refund),
            ),
            (r#"{"out_bill_no": "BILL_1"}"#, Some(Subject::Transfer)),
            (r#"{"out_trade_no": "ORDER_1"}"#, None),
            ("[]", None),
            ("no JSON", None),
        ] {
            assert_eq!(guess(opened.as_bytes()), expected, "{opened}");
        }
    }

    #[test]
    fn a_hint_is_compared_with_what_was_opened_member_by_member() {
        let hint = members(json!({"out_trade_no": "ORDER_1", "amount": {"total": 20}}));
        assert!(!differs(
            &hint,
            br#"{"amount": {"total": 20}, "out_trade_no": "ORDER_1"}"#
        ));
        assert!(differs(
            &hint,
            br#"{"amount": {"total": 2000}, "out_trade_no": "ORDER_1"}"#
        ));
        // What cannot be read is not compared: it is kept for a person anyway.
        assert!(!differs(&hint, b"no JSON"));
    }
}
