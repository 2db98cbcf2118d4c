//! What holds of the document itself; `tests/api/openapi.rs` holds it against the running service.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{document, page, words};
use crate::config::tests::read_with;
use crate::http::action::{Action, CALLBACKS, OLD_NAMES};
use crate::http::failure::Failure;
use crate::http::router;

fn described() -> Value {
    document::document(&read_with(&[]).unwrap())
}

/// Every member of every schema: the schema's name, the member's path, and what is said of it.
fn members(document: &Value) -> Vec<(String, String, Option<String>)> {
    fn collect(schema: &str, path: &str, value: &Value, found: &mut Vec<(String, String, Option<String>)>) {
        if let Some(items) = value.get("items") {
            collect(schema, &format!("{path}[]"), items, found);
        }
        for (name, member) in value["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let said = member["description"].as_str().map(str::to_owned);
            found.push((schema.to_owned(), path.clone(), said));
            collect(schema, &path, member, found);
        }
    }
    let mut found = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        collect(name, "", schema, &mut found);
    }
    found
}

#[test]
fn every_member_is_described_in_both_languages() {
    let members = members(&described());
    assert!(members.len() > 300, "{}", members.len());
    let silent: BTreeSet<_> = members
        .iter()
        .filter(|(_, _, said)| said.as_deref().is_none_or(|said| !said.contains(" / ")))
        .map(|(schema, path, _)| format!("{schema}/{path}"))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn nothing_is_described_that_does_not_exist_or_twice() {
    let members = members(&described());
    let mut seen = BTreeSet::new();
    for (row, chinese, english) in words::MEMBERS {
        let exists = members
            .iter()
            .any(|(schema, path, _)| path == row || format!("{schema}/{path}") == *row);
        assert!(exists, "there is no member {row}");
        assert!(seen.insert(row), "{row} stands twice");
        assert!(!chinese.is_ascii() || chinese == english, "{row}: {chinese}");
        assert!(english.is_ascii(), "{row}: {english}");
    }
}

#[test]
fn every_path_of_the_router_is_described_and_no_other() {
    let document = described();
    let described: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut served: BTreeSet<String> = router::paths().into_iter().map(str::to_owned).collect();
    assert!(served.remove("/wx-pay/{action}"));
    let names = Action::ALL.into_iter().map(Action::as_str);
    let others = OLD_NAMES
        .map(|(name, _)| name)
        .into_iter()
        .chain(CALLBACKS.map(|(name, _)| name));
    served.extend(names.chain(others).map(|name| format!("/wx-pay/{name}")));
    assert_eq!(described, served.iter().map(String::as_str).collect());
}

#[test]
fn every_failure_is_in_the_document_with_its_status() {
    let document = described();
    for failure in Failure::catalogue() {
        let (status, constant) = (failure.status().as_u16(), failure.constant());
        let schema = &document["components"]["schemas"][super::failures::schema_name(status)];
        let constants = schema["properties"]["error"]["enum"].as_array().unwrap();
        assert!(constants.iter().any(|known| known == constant), "{status} {constant}");
        assert_eq!(document["components"]["examples"][constant]["value"]["error"], constant);
    }
}

#[test]
fn the_document_is_the_same_for_every_merchant_and_tells_nothing_of_any() {
    let one = described();
    let secret = "0123456789abcdef0123456789abcdef";
    let other = read_with(&[
        ("appId", "wxaaaaaaaaaaaaaaaa"),
        ("service_app_id", "wxbbbbbbbbbbbbbbbb"),
        ("merchantId", "1900000109"),
        ("notifyURLPayURL", "https://other.example.com/pay"),
        ("orderTicketSecret", secret),
        ("corsAllowOrigin", "https://shop.example.com"),
    ]);
    assert_eq!(document::document(&other.unwrap()), one);
    let text = one.to_string();
    for told in [
        "pay.example.com",
        "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb",
        "408B07E7",
        "PUB_KEY_ID",
    ] {
        assert!(!text.contains(told), "{told}");
    }
}

#[test]
fn the_page_shows_every_operation_and_every_member_and_needs_nothing_else() {
    let document = described();
    let page = page::page(&document);
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
    }
    for (schema, path, said) in members(&document) {
        // Two are never answered: no described path is missing, and none takes another method.
        if matches!(schema.as_str(), "Failure404" | "Failure405") {
            continue;
        }
        // In its own schema, or inside the envelope.
        let shown = ["", "data.data."].map(|inside| format!("<code>{inside}{path}</code>"));
        assert!(shown.iter().any(|shown| page.contains(shown)), "{schema}/{path}");
        let said = said.unwrap_or_default().replace('<', "&lt;");
        assert!(page.contains(&said), "{schema}/{path}: {said}");
    }
    let tags = || page.split('<').filter_map(|piece| piece.split('>').next());
    for never in ["script", "src=", "http-equiv", "style=", "onload", "onclick"] {
        assert!(tags().all(|tag| !tag.contains(never)), "{never}");
    }
    assert_eq!(page.matches("<style>").count(), 1);
    let targets: Vec<&str> = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    for target in targets {
        let here = target
            .strip_prefix('#')
            .is_some_and(|id| page.contains(&format!("id=\"{id}\"")));
        assert!(here || target == "openapi.json", "{target}");
    }
}

#[test]
fn what_is_put_into_the_page_cannot_act_there() {
    let document = serde_json::json!({
        "info": {"title": "<script>alert(1)</script>", "description": "a & b\" onload=\"x"},
        "paths": {"/<img src=x>": {"post": {"operationId": "a\"b", "summary": "<b>", "responses": {}}}},
    });
    let page = page::page(&document);
    assert!(
        !page.contains("<script") && !page.contains("<img") && !page.contains("<b>"),
        "{page}"
    );
    assert!(
        page.contains("&lt;script&gt;") && page.contains("id=\"a&quot;b\""),
        "{page}"
    );
}
