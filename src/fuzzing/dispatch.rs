//! The dispatcher: which action or callback a body posted to `/` is for.

use serde_json::{Map, Value};

use super::object;
use crate::http::action::{Action, CALLBACKS, OLD_NAMES, Target, dispatch as find, named};
use crate::wechat::notification::is_forward;

/// What names the target is taken out, nothing else is, and every other spelling of it finds the same.
///
/// # Panics
/// When that does not hold.
pub fn dispatch(bytes: &[u8]) -> bool {
    let Some(body) = object(bytes) else { return false };
    let mut rest = body.clone();
    let found = find(&mut rest);

    let mut expected = body.clone();
    let by_path = |body: &Map<String, Value>| {
        let path = body.get("path").and_then(Value::as_str);
        path.is_some_and(|path| path.contains("/wx-pay/"))
    };
    if expected.remove("_action").is_none() && by_path(&body) {
        expected.remove("path");
        expected.remove("method");
    }
    assert_eq!(rest, expected, "more or less was taken out than what names the target");

    let target = match found {
        Ok(target) => target,
        Err(failure) => {
            assert_eq!(failure.constant(), "UNKNOWN_ACTION");
            assert!(!is_forward(&body) || rest != body, "a forward names its target");
            return false;
        }
    };
    if target == Target::Callback(None) {
        assert!(is_forward(&body) && rest == body);
        return true;
    }
    let names = names_of(target);
    assert!(!names.is_empty(), "{target:?} has no name");
    for name in names {
        assert_eq!(named(name).ok(), Some(target), "{name}");
        let long = format!("/wx-pay/{name}");
        for spelling in [name.to_owned(), long.clone()] {
            let mut again = rest.clone();
            again.insert("_action".to_owned(), spelling.clone().into());
            assert_eq!(find(&mut again).ok(), Some(target), "_action {spelling}");
            assert_eq!(again, rest, "_action {spelling}");
        }
        let mut plain = rest.clone();
        plain.remove("path");
        plain.remove("method");
        for path in [long.clone(), format!("https://host.example{long}/?a=1#b")] {
            let mut again = plain.clone();
            again.insert("path".to_owned(), path.clone().into());
            again.insert("method".to_owned(), "POST".into());
            assert_eq!(find(&mut again).ok(), Some(target), "path {path}");
            assert_eq!(again, plain, "path {path}");
        }
    }
    true
}

fn names_of(target: Target) -> Vec<&'static str> {
    let actions = Action::ALL.map(|action| (action.as_str(), action));
    let actions = actions.into_iter().chain(OLD_NAMES);
    let callbacks = CALLBACKS.map(|(name, subject)| (name, Target::Callback(Some(subject))));
    actions
        .map(|(name, action)| (name, Target::Action(action)))
        .chain(callbacks)
        .filter(|(_, named)| *named == target)
        .map(|(name, _)| name)
        .collect()
}
