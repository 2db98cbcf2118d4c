//! Small builders of JSON Schema, and the one place where members get their descriptions.

use serde_json::{Map, Value, json};

use super::words;

/// A text of at most so many characters.
pub(super) fn text(most: u32) -> Value {
    json!({"type": "string", "maxLength": most})
}

/// A text without a known limit.
pub(super) fn any_text() -> Value {
    json!({"type": "string"})
}

/// The one text or number that can stand there.
pub(super) fn only(value: impl Into<Value>) -> Value {
    let value = value.into();
    let kind = if value.is_string() { "string" } else { "integer" };
    json!({"type": kind, "const": value})
}

/// An amount in fen.
pub(super) fn fen() -> Value {
    json!({"type": "integer", "format": "int64"})
}

/// A time with offset.
pub(super) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// A list.
pub(super) fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

/// Another schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object whose further members may not be relied on: WeChat adds some from time to time.
pub(super) fn object<const N: usize>(required: &[&str], members: [(&str, Value); N]) -> Value {
    let properties: Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    let mut object = json!({"type": "object", "properties": properties});
    if let Some(object) = object.as_object_mut().filter(|_| !required.is_empty()) {
        object.insert("required".to_owned(), json!(required));
    }
    object
}

/// An object of this service's own: exactly these members, all of them always there.
pub(super) fn whole<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required: Vec<String> = members.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut whole = object(&[], members);
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("required".to_owned(), json!(required));
        whole.insert("additionalProperties".to_owned(), json!(false));
    }
    whole
}

/// The schema with a description of every member; `component` is the name under which it stands in the document.
pub(super) fn described(component: &str, mut schema: Value) -> Value {
    describe(component, "", &mut schema);
    schema
}

fn describe(component: &str, path: &str, schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(items) = schema.get_mut("items") {
        describe(component, &format!("{path}[]"), items);
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, member) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        describe(component, &path, member);
        if let Some(words) = words::of(component, &path)
            && let Some(member) = member.as_object_mut()
        {
            member.insert("description".to_owned(), words.into());
        }
    }
}
