//! The shapes in which a callback arrives, read but not believed.
//!
//! Three shapes: WeChat's own notification (`resource` at the top), the Integration Center's forward (any of `ParsedContent`,
//! `ParsedNotify`, `Plaintext`, `rawData`), and the bare resource. What stands in them is a hint until `flows::prove` has proven it.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::ids::{OutBillNo, OutRefundNo, OutTradeNo};

/// What a notification is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    /// `TRANSACTION.*`
    Payment,
    /// `REFUND.*`
    Refund,
    /// `MCHTRANSFER.*`
    Transfer,
}

impl Subject {
    /// The subject of an event type of this version's products.
    pub(crate) fn of_event(event_type: &str) -> Option<Self> {
        if event_type.starts_with("TRANSACTION.") {
            Some(Self::Payment)
        } else if event_type.starts_with("REFUND.") {
            Some(Self::Refund)
        } else if event_type.starts_with("MCHTRANSFER.") {
            Some(Self::Transfer)
        } else {
            None
        }
    }
}

/// A ciphertext and what is needed to open it. Nonce and associated data are used as they stand; the latter may be absent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct Sealed {
    pub(crate) ciphertext: String,
    pub(crate) nonce: String,
    #[serde(default)]
    pub(crate) associated_data: Option<String>,
    #[serde(default)]
    pub(crate) algorithm: Option<String>,
}

impl Sealed {
    pub(crate) fn associated_data(&self) -> &str {
        self.associated_data.as_deref().unwrap_or_default()
    }
}

/// A callback as it arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Notification {
    /// WeChat's id of the notification; the same for every delivery of it. For logs: facts have keys of their own.
    pub(crate) id: Option<String>,
    /// What it says it is.
    pub(crate) event_type: Option<String>,
    /// What came with it.
    pub(crate) evidence: Evidence,
}

/// What came with a callback, by shape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Evidence {
    /// WeChat's own notification: proven by a signature over the raw body, or not at all.
    Direct(Sealed),
    /// A forward.
    Forwarded {
        /// WeChat's ciphertext, where the center kept it.
        sealed: Option<Sealed>,
        /// What the center says that it holds.
        hint: Option<Map<String, Value>>,
    },
}

/// Not the shape of a callback.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the body has not the form of a callback")]
pub(crate) struct NotACallback;

/// Whether a body posted to `/` is a forwarded callback: by `rawData.event_type`, else by `ParsedNotify.event_type`.
pub(crate) fn is_forward(body: &Map<String, Value>) -> bool {
    ["rawData", "ParsedNotify"].into_iter().any(|name| {
        object(body.get(name)).is_some_and(|envelope| matches!(envelope.get("event_type"), Some(Value::String(_))))
    })
}

impl Notification {
    /// Reads the shape.
    ///
    /// # Errors
    /// When it has none of the three.
    pub(crate) fn read(mut body: Map<String, Value>) -> Result<Self, NotACallback> {
        let forwarded = ["rawData", "ParsedNotify", "ParsedContent", "Plaintext"]
            .iter()
            .any(|name| body.contains_key(*name));
        if forwarded {
            let raw = object(body.get("rawData")).unwrap_or_default();
            let notify = object(body.get("ParsedNotify")).unwrap_or_default();
            let first = |name: &str| label(&raw, name).or_else(|| label(&notify, name));
            let sealed = raw.get("resource").and_then(sealed);
            let hint = object(body.get("ParsedContent")).or_else(|| object(body.get("Plaintext")));
            if sealed.is_none() && hint.is_none() {
                return Err(NotACallback);
            }
            return Ok(Self {
                id: first("id"),
                event_type: first("event_type"),
                evidence: Evidence::Forwarded { sealed, hint },
            });
        }
        if let Some(resource) = body.remove("resource") {
            let sealed = sealed(&resource).ok_or(NotACallback)?;
            return Ok(Self {
                id: label(&body, "id"),
                event_type: label(&body, "event_type"),
                evidence: Evidence::Direct(sealed),
            });
        }
        let named = ["out_trade_no", "out_refund_no", "out_bill_no"];
        if named.iter().any(|name| body.contains_key(*name)) {
            return Ok(Self {
                id: None,
                event_type: None,
                evidence: Evidence::Forwarded {
                    sealed: None,
                    hint: Some(body),
                },
            });
        }
        Err(NotACallback)
    }
}

/// The order that a hint is about.
pub(crate) fn hinted_order(hint: &Map<String, Value>) -> Option<OutTradeNo> {
    OutTradeNo::parse(text(hint, "out_trade_no")?).ok()
}

/// The refund that a hint is about.
pub(crate) fn hinted_refund(hint: &Map<String, Value>) -> Option<OutRefundNo> {
    OutRefundNo::parse(text(hint, "out_refund_no")?).ok()
}

/// The transfer that a hint is about.
pub(crate) fn hinted_transfer(hint: &Map<String, Value>) -> Option<OutBillNo> {
    OutBillNo::parse(text(hint, "out_bill_no")?).ok()
}

/// A member that is an object, or a JSON text of one: centers send both.
fn object(member: Option<&Value>) -> Option<Map<String, Value>> {
    match member? {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

fn sealed(resource: &Value) -> Option<Sealed> {
    let sealed = Sealed::deserialize(resource).ok()?;
    (sealed
        .algorithm
        .as_deref()
        .is_none_or(|algorithm| algorithm == "AEAD_AES_256_GCM"))
    .then_some(sealed)
}

/// An id or a type of an envelope. It goes into logs before anything is proven, so it may be short and plain, and nothing else.
fn label(object: &Map<String, Value>, name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text(object, name).filter(|label| (1..=64).contains(&label.len()) && label.chars().all(plain))
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<Notification, NotACallback> {
        match body {
            Value::Object(body) => Notification::read(body),
            _ => Err(NotACallback),
        }
    }

    #[test]
    fn wechats_own_notification_is_direct() {
        let note = read(json!({
            "id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource_type": "encrypt-resource",
            "resource": {"algorithm": "AEAD_AES_256_GCM", "ciphertext": "eA==", "nonce": "fdasflkja484"}
        }))
        .unwrap();
        assert_eq!(
            (note.id.as_deref(), note.event_type.as_deref()),
            (Some("EV-1"), Some("TRANSACTION.SUCCESS"))
        );
        assert!(matches!(note.evidence, Evidence::Direct(sealed) if sealed.associated_data().is_empty()));
    }

    #[test]
    fn any_of_the_four_members_makes_a_forward_and_texts_count_as_objects() {
        let content = json!({"out_trade_no": "ORDER_1"});
        for body in [
            json!({"ParsedContent": content}),
            json!({"ParsedContent": content.to_string()}),
            json!({"Plaintext": content.to_string(), "ParsedNotify": {"id": "EV-1", "event_type": "TRANSACTION.SUCCESS"}}),
            json!({"rawData": json!({"event_type": "TRANSACTION.SUCCESS"}).to_string(), "ParsedContent": content}),
            content.clone(),
        ] {
            let shown = body.to_string();
            let Evidence::Forwarded {
                sealed: None,
                hint: Some(hint),
            } = read(body).unwrap().evidence
            else {
                panic!("{shown}");
            };
            assert_eq!(hinted_order(&hint), OutTradeNo::parse("ORDER_1").ok(), "{shown}");
        }
        let sealed =
            json!({"rawData": {"event_type": "REFUND.SUCCESS", "resource": {"ciphertext": "eA==", "nonce": "n"}}});
        assert!(matches!(
            read(sealed).unwrap().evidence,
            Evidence::Forwarded {
                sealed: Some(_),
                hint: None
            }
        ));
    }

    #[test]
    fn a_wrapper_around_wechats_notification_is_not_direct() {
        let body =
            json!({"resource": {"ciphertext": "eA==", "nonce": "n"}, "ParsedContent": {"out_trade_no": "ORDER_1"}});
        assert!(matches!(read(body).unwrap().evidence, Evidence::Forwarded { .. }));
    }

    #[test]
    fn what_has_no_shape_is_no_callback() {
        for body in [
            json!({}),
            json!({"rawData": {}}),
            json!({"ParsedContent": 1}),
            json!({"resource": "x"}),
            json!({"Plaintext": "not json"}),
        ] {
            let shown = body.to_string();
            assert_eq!(read(body).err(), Some(NotACallback), "{shown}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_no_hint() {
        for number in [json!("../x"), json!(5), json!("a b c d e f"), json!(null)] {
            let Value::Object(hint) = json!({"out_trade_no": number, "out_refund_no": number}) else {
                panic!()
            };
            assert!(hinted_order(&hint).is_none() && hinted_refund(&hint).is_none());
        }
    }

    #[test]
    fn an_envelope_is_named_by_short_plain_words_only() {
        for (id, kept) in [
            ("EV-202611231504070001", true),
            ("", false),
            ("a b", false),
            ("x\ny", false),
            (&"x".repeat(65), false),
        ] {
            let note = read(json!({"rawData": {"id": id}, "ParsedContent": {"out_trade_no": "ORDER_1"}})).unwrap();
            assert_eq!(note.id.is_some(), kept, "{id:?}");
        }
    }

    #[test]
    fn a_forward_is_known_by_its_event_type() {
        for (body, expected) in [
            (json!({"rawData": {"event_type": "X"}}), true),
            (json!({"ParsedNotify": {"event_type": "X"}}), true),
            (json!({"rawData": {}, "ParsedNotify": {"event_type": "X"}}), true),
            (json!({"rawData": {"event_type": 1}}), false),
            (json!({"event_type": "X"}), false),
        ] {
            let Value::Object(map) = body else { panic!() };
            assert_eq!(is_forward(&map), expected, "{map:?}");
        }
    }
}
