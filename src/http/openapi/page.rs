//! The description as a page: made here, of the document, and complete without a script. `maud` escapes everything that is put in.

use maud::{DOCTYPE, Markup, html};
use serde_json::{Map, Value};

use crate::http::form::NO_CONTROL;

/// The only style; its hash stands in the page's policy.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}\
h2{border-top:1px solid #8886;margin-top:2.5rem;padding-top:1rem}\
code,pre{font:14px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}\
pre{background:#8881;border-radius:.4rem;overflow:auto;padding:.7rem;white-space:pre-wrap}\
.method{background:#07c160;border-radius:.3rem;color:#fff;padding:.1rem .5rem}\
.get{background:#1677ff}\
dl{margin:.5rem 0}dt{margin-top:.6rem}dd{margin:0 0 0 1rem;opacity:.85}\
summary{cursor:pointer;padding:.3rem 0}\
nav ul{list-style:none;padding:0}";

/// The whole page.
pub(super) fn page(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let operations = operations(document);
    html! {
        (DOCTYPE)
        html lang="zh-CN" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (text("/info/title")) " " (text("/info/version")) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { (text("/info/title")) " " small { (text("/info/version")) } }
                p { (text("/info/summary")) }
                (paragraphs(text("/info/description")))
                p { a href="openapi.json" { "openapi.json" } }
                nav { ul { @for (path, method, operation) in &operations {
                    li {
                        a href={ "#" (member(operation, "operationId")) } { code { (method) " " (path) } }
                        " " (member(operation, "summary"))
                    }
                } } }
                h2 { "身份 / Who calls" }
                dl { @for (name, scheme) in entries(document, "/components/securitySchemes") {
                    dt { code { (name) } " " code { (member(scheme, "scheme")) (member(scheme, "name")) } }
                    dd { (member(scheme, "description")) }
                } }
                h2 { "错误常量 / Constants of failures" }
                dl { @for (name, example) in entries(document, "/components/examples") {
                    dt id=(name) { code { (name) } }
                    dd { (example.pointer("/value/msg").and_then(Value::as_str).unwrap_or_default()) }
                    dd lang="en" { (member(example, "summary")) }
                } }
                @for (path, method, operation) in &operations { (whole(document, path, method, operation)) }
            }
        }
    }
    .into_string()
}

fn whole(document: &Value, path: &str, method: &str, operation: &Value) -> Markup {
    let request = operation.pointer("/requestBody/content/application~1json");
    html! {
        section {
            h2 id=(member(operation, "operationId")) { (member(operation, "summary")) }
            p { span class={ "method " (method) } { (method.to_uppercase()) } " " code { (path) } }
            (paragraphs(member(operation, "description")))
            @if let Some(parameters) = operation.get("parameters").and_then(Value::as_array) {
                details { summary { "请求头 / Headers" }
                    dl { @for parameter in parameters {
                        @let parameter = resolved(document, parameter);
                        dt { code { (member(parameter, "name")) } }
                        dd { (member(parameter, "description")) }
                    } }
                }
            }
            @if let Some(request) = request {
                @for (name, schema) in choices(document, request.get("schema").unwrap_or(&Value::Null)) {
                    details { summary { "请求 / Request " code { (name) } } (members(document, schema)) }
                }
                @for (name, example) in entries(request, "/examples") {
                    details open { summary { "示例 / Example: " (member(example, "summary")) " " code { (name) } }
                        pre { (pretty(example.get("value").unwrap_or(&Value::Null))) } }
                }
            }
            h3 { "应答 / Answers" }
            @for (status, answer) in entries(operation, "/responses") {
                @let content = answer.get("content").and_then(Value::as_object).and_then(|all| all.iter().next());
                details { summary { code { (status) } " " (member(answer, "description")) }
                    @if let Some((media, content)) = content {
                        p { code { (media) } }
                        @for (name, schema) in choices(document, content.get("schema").unwrap_or(&Value::Null)) {
                            h4 { code { (name) } }
                            (members(document, schema))
                        }
                        @for (name, example) in entries(content, "/examples") {
                            @if example.get("$ref").is_some() {
                                p { a href={ "#" (name) } { code { (name) } } }
                            } @else {
                                p { code { (name) } }
                                pre { (pretty(example.get("value").unwrap_or(&Value::Null))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The members of an object, each by its path.
fn members(document: &Value, schema: &Value) -> Markup {
    let mut rows = Vec::new();
    collect(document, schema, "", &mut rows);
    html! { dl { @for row in &rows {
        dt { code { (row.path) } " " (row.kind) @if row.required { " · 必填 / required" } }
        @if !row.description.is_empty() { dd { (row.description) } }
    } } }
}

struct Row<'a> {
    path: String,
    kind: String,
    required: bool,
    description: &'a str,
}

fn collect<'a>(document: &'a Value, schema: &'a Value, path: &str, rows: &mut Vec<Row<'a>>) {
    let schema = resolved(document, schema);
    if let Some(items) = schema.get("items") {
        collect(document, items, &format!("{path}[]"), rows);
    }
    for (name, inner) in entries(schema, "/properties") {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let listed = schema.get("required").and_then(Value::as_array);
        rows.push(Row {
            path: path.clone(),
            kind: kind(inner),
            required: listed.is_some_and(|all| all.iter().any(|required| required == name.as_str())),
            description: member(inner, "description"),
        });
        collect(document, inner, &path, rows);
    }
}

/// Everything that a schema says besides its inside: `string · minLength 1 · maxLength 127`.
fn kind(schema: &Value) -> String {
    let Some(schema) = schema.as_object() else {
        return String::new();
    };
    let mut rules: Vec<(&String, &Value)> = schema
        .iter()
        .filter(|(name, value)| match name.as_str() {
            "description" | "properties" | "items" | "required" | "additionalProperties" => false,
            // True of every text, and nothing that a person would want to read.
            "pattern" => *value != NO_CONTROL,
            _ => true,
        })
        .collect();
    rules.sort_by_key(|(name, _)| *name != "type");
    let rules: Vec<String> = rules
        .into_iter()
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match name.as_str() {
                "type" => value,
                "$ref" => value.rsplit('/').next().unwrap_or_default().to_owned(),
                _ => format!("{name} {value}"),
            }
        })
        .collect();
    rules.join(" · ")
}

/// The schemas that a place offers to choose from, with their names.
fn choices<'a>(document: &'a Value, schema: &'a Value) -> Vec<(String, &'a Value)> {
    let inner = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|name| schema.get(name).and_then(Value::as_array))
        .flatten();
    let chosen: Vec<(String, &Value)> = inner.flat_map(|one| choices(document, one)).collect();
    if !chosen.is_empty() {
        return chosen;
    }
    let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or_default();
    let name = reference.rsplit('/').next().unwrap_or_default();
    vec![(name.to_owned(), resolved(document, schema))]
}

/// What a reference means.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| document.pointer(reference.trim_start_matches('#')))
        .unwrap_or(value)
}

fn operations(document: &Value) -> Vec<(&String, &String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in entries(document, "/paths") {
        for (method, operation) in item.as_object().into_iter().flatten() {
            operations.push((path, method, operation));
        }
    }
    operations
}

fn entries<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn member<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn paragraphs(text: &str) -> Markup {
    html! { @for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) { p { (paragraph) } } }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
