//! JSON, read strictly: a member that stands twice is refused.
//!
//! `{"total":1,"total":100}` is one amount to one reader and another to the next; whoever checks must not read another one than whoever
//! pays. Depth is limited too, so that no reader behind this one runs out of stack; text is limited by the size of the body.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Where the parser itself stops.
const DEEPEST: usize = 120;

/// Reads a JSON value in which no member stands twice, of at most so many objects and arrays within each other.
///
/// # Errors
/// Where the text stops being JSON, which member stands twice, or that it nests too deep.
pub(crate) fn read(bytes: &[u8], depth: usize) -> Result<Value, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let value = Within(depth).deserialize(&mut text)?;
    text.end()?;
    Ok(value)
}

/// A value in which no member stands twice.
pub(crate) struct Strict(pub(crate) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Within(DEEPEST).deserialize(deserializer).map(Strict)
    }
}

/// So many objects and arrays may still be within each other.
#[derive(Clone, Copy)]
struct Within(usize);

impl Within {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.0
            .checked_sub(1)
            .map(Self)
            .ok_or_else(|| E::custom("it nests too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Within {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                return Err(de::Error::custom(format_args!("the member `{name}` stands twice")));
            }
            object.insert(name, members.next_value_seed(inside)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_that_stands_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"amount":{"total":1,"total":100}}"#,
            r#"[{"x":{"y":1,"y":2}}]"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            let error = read(text.as_bytes(), 32).unwrap_err().to_string();
            assert!(error.contains("stands twice"), "{text}: {error}");
        }
        assert!(read(br#"{"a":{"x":1},"b":{"x":1}}"#, 32).is_ok());
    }

    #[test]
    fn depth_and_damage_are_errors_and_not_crashes() {
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes(), usize::MAX).is_err());
        for text in [
            "",
            "{",
            "\u{0}",
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"\n\"}",
            "nul",
            "[1,]",
            "{\"a\":1}x",
        ] {
            assert!(read(text.as_bytes(), 32).is_err(), "{text:?}");
        }
        assert!(read(&[0xff, 0xfe], 32).is_err());
    }

    #[test]
    fn as_deep_as_is_allowed_and_no_deeper() {
        let nested = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        for depth in [2, 8, 32, 120] {
            assert!(read(nested(depth).as_bytes(), depth).is_ok(), "{depth}");
            let error = read(nested(depth + 2).as_bytes(), depth).unwrap_err().to_string();
            assert!(error.contains("nests too deep"), "{depth}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(names in prop::collection::btree_set("[a-z]{1,5}", 0..6), number: i64, text in ".{0,20}") {
            let object: Map<String, Value> = names.into_iter().map(|name| (name, serde_json::json!([number, text, null, true]))).collect();
            let value = Value::Object(object);
            prop_assert_eq!(read(value.to_string().as_bytes(), 32).unwrap(), value);
        }
    }
}
