//! A form's description, as JSON Schema, written by the very readers that read the form.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::Form;
use crate::domain::ids::Malformed;

/// What the readers have noted so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    properties: Map<String, Value>,
    required: Vec<String>,
    either: Vec<[String; 2]>,
}

impl Draft {
    pub(super) fn note(&mut self, member: &str, schema: Value) {
        self.properties.insert(member.to_owned(), schema);
    }

    pub(super) fn require(&mut self, member: &str) {
        self.required.push(member.to_owned());
    }

    pub(super) fn require_either(&mut self, one: &str, other: &str) {
        self.either.push([one.to_owned(), other.to_owned()]);
    }

    pub(super) fn schema(self) -> Value {
        let mut schema = json!({"type": "object", "properties": self.properties, "additionalProperties": false});
        if let Some(members) = schema.as_object_mut() {
            if !self.required.is_empty() {
                members.insert("required".to_owned(), self.required.into());
            }
            if let [[one, other]] = self.either.as_slice() {
                // Not `anyOf`: those who make clients take that for a choice between two types.
                members.insert("if".to_owned(), json!({"not": {"required": [one]}}));
                members.insert("then".to_owned(), json!({"required": [other]}));
            }
        }
        schema
    }
}

/// The description of an object that this reader reads.
pub(super) fn of<T>(read: impl FnOnce(&mut Form) -> Option<T>) -> Value {
    let mut form = Form::draft();
    // It gives nothing over a draft.
    drop(read(&mut form));
    form.drafted().unwrap_or_default()
}

/// The description of an id. What an id has to look like is asked of its own parser: the empty text is none of any kind.
pub(super) fn id<T: FromStr<Err = Malformed>>() -> Value {
    match T::from_str("") {
        Err(Malformed { min, max, class, .. }) => {
            json!({"type": "string", "pattern": format!("^[{class}]{{{min},{max}}}$")})
        }
        Ok(_) => json!({"type": "string"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::OutTradeNo;

    #[test]
    fn the_readers_describe_what_they_read() {
        let schema = of(|form: &mut Form| {
            let number: Option<OutTradeNo> = form.required("out_trade_no", Form::id);
            let total = form.required("amount", |form, member| {
                form.object(member, |amount| {
                    amount.one_of("currency", &["CNY"]);
                    amount.required("total", Form::fen)
                })
            });
            form.list("goods", |goods| goods.text("name", 1..=32));
            form.either("a", "b");
            number.zip(total)
        });
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["out_trade_no", "amount"],
                "if": {"not": {"required": ["a"]}},
                "then": {"required": ["b"]},
                "properties": {
                    "out_trade_no": {
                        "type": "string", "pattern": "^[A-Za-z0-9_|*\\-]{6,32}$"
                    },
                    "amount": {
                        "type": "object", "additionalProperties": false, "required": ["total"],
                        "properties": {
                            "currency": {"type": "string", "enum": ["CNY"]},
                            "total": {"type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_991_i64}
                        }
                    },
                    "goods": {"type": "array", "minItems": 1, "items": {
                        "type": "object", "additionalProperties": false,
                        "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 32, "pattern": super::super::NO_CONTROL}}
                    }}
                }
            })
        );
    }
}
