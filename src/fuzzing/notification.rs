//! The shapes of a callback.

use serde_json::{Map, Value, json};

use super::object;
use crate::wechat::notification::{
    Evidence, Notification, Sealed, hinted_order, hinted_refund, hinted_transfer, is_forward,
};

/// What is understood of a callback is understood the same again, written anew in any of its shapes.
///
/// # Panics
/// When that does not hold.
pub fn notification(bytes: &[u8]) -> bool {
    let Some(body) = object(bytes) else { return false };
    let forward = is_forward(&body);
    let Ok(note) = Notification::read(body) else {
        return false;
    };
    for word in [&note.id, &note.event_type].into_iter().flatten() {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        assert!(word.len() <= 64 && word.chars().all(plain), "{word:?} goes into a log");
    }
    let direct = matches!(note.evidence, Evidence::Direct(_));
    assert!(!(forward && direct), "a wrapper is not WeChat's own word");
    for shape in shapes_of(&note) {
        let text = Value::Object(shape).to_string();
        let again = object(text.as_bytes()).expect("what was written here is JSON");
        assert_eq!(Notification::read(again).as_ref(), Ok(&note), "{text}");
    }
    if let Evidence::Forwarded { hint: Some(hint), .. } = &note.evidence {
        let said = |member: &str| hint.get(member).and_then(Value::as_str).map(str::to_owned);
        let (order, refund, transfer) = (hinted_order(hint), hinted_refund(hint), hinted_transfer(hint));
        // A number is taken as it came, or not at all.
        assert!(order.is_none_or(|order| Some(order.as_str().to_owned()) == said("out_trade_no")));
        assert!(refund.is_none_or(|refund| Some(refund.as_str().to_owned()) == said("out_refund_no")));
        assert!(transfer.is_none_or(|transfer| Some(transfer.as_str().to_owned()) == said("out_bill_no")));
    }
    true
}

fn shapes_of(note: &Notification) -> Vec<Map<String, Value>> {
    let mut envelope = Map::new();
    for (member, word) in [("id", &note.id), ("event_type", &note.event_type)] {
        if let Some(word) = word {
            envelope.insert(member.to_owned(), word.as_str().into());
        }
    }
    match &note.evidence {
        Evidence::Direct(sealed) => {
            envelope.insert("resource".to_owned(), written(sealed));
            vec![envelope]
        }
        Evidence::Forwarded { sealed, hint } => {
            if let Some(sealed) = sealed {
                envelope.insert("resource".to_owned(), written(sealed));
            }
            let raw = Value::Object(envelope);
            let hint = hint.clone().map(Value::Object);
            let text = |value: &Value| Value::String(value.to_string());
            let mut shapes = Vec::new();
            for raw in [raw.clone(), text(&raw)] {
                let mut shape = Map::from_iter([("rawData".to_owned(), raw)]);
                let Some(hint) = &hint else {
                    shapes.push(shape);
                    continue;
                };
                for (member, hint) in [("ParsedContent", hint.clone()), ("Plaintext", text(hint))] {
                    shape.remove("ParsedContent");
                    shape.insert(member.to_owned(), hint);
                    shapes.push(shape.clone());
                }
            }
            shapes
        }
    }
}

fn written(sealed: &Sealed) -> Value {
    let mut resource = json!({"ciphertext": sealed.ciphertext, "nonce": sealed.nonce});
    if let Some(members) = resource.as_object_mut() {
        if let Some(data) = sealed.associated_data.as_deref() {
            members.insert("associated_data".to_owned(), data.into());
        }
        if let Some(algorithm) = sealed.algorithm.as_deref() {
            members.insert("algorithm".to_owned(), algorithm.into());
        }
    }
    resource
}
