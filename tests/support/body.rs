//! Bodies that are like the usual ones, but for one member.

use serde_json::{Map, Value};

/// The body with another value at this path, like `amount.total` or `detail.goods_detail[0].x`; what is missing on the way is made.
pub fn with(mut body: Value, path: &str, value: Value) -> Value {
    *place(&mut body, path) = value;
    body
}

/// The body without the member at this path.
pub fn without(mut body: Value, path: &str) -> Value {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = if parent.is_empty() {
        &mut body
    } else {
        place(&mut body, parent)
    };
    parent.as_object_mut().unwrap().remove(name).unwrap();
    body
}

/// What stands at this path.
pub fn at<'a>(body: &'a Value, path: &str) -> &'a Value {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    body.pointer(&format!("/{pointer}")).unwrap_or(&Value::Null)
}

fn place<'a>(body: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(body, |inside, step| {
        let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
            Some((name, index)) => (name, Some(index.parse::<usize>().unwrap())),
            None => (step, None),
        };
        if inside.is_null() {
            *inside = Value::Object(Map::new());
        }
        let member = inside
            .as_object_mut()
            .unwrap()
            .entry(name.to_owned())
            .or_insert(Value::Null);
        match index {
            Some(index) => member.get_mut(index).unwrap(),
            None => member,
        }
    })
}
