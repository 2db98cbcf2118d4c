//! Compares what went over the wire with WeChat Pay's endpoints as the files in `docs/` describe them.
//!
//! The files are read more strictly than they were written: a member that they do not describe does not fit, and a
//! required number in a path, in a query or in a header is required. What does not fit and is right all the same is in
//! [`EXCEPTIONS`], by name.
//!
//! Used by the tests of the simulator and by those of the service; no target of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value, json};

/// One request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// Path and query as they were sent.
    pub(crate) target: String,
    pub(crate) request: String,
    /// Whether the request named a key by `Wechatpay-Serial`.
    pub(crate) names_key: bool,
    pub(crate) status: u16,
    pub(crate) answer: String,
}

/// Where the files are wrong, or say less than the official pages.
pub(crate) struct Exception {
    /// The ends of the files' names, without their suffix.
    files: &'static [&'static str],
    finding: &'static str,
    reason: &'static str,
}

impl Exception {
    /// The finding and the reason why it is none.
    pub(crate) const fn named(&self) -> (&'static str, &'static str) {
        (self.finding, self.reason)
    }
}

const BY_ID: &[&str] = &["transactions/id/{transaction_id}"];
const QUERIES: &[&str] = &["out-trade-no/{out_trade_no}", "transactions/id/{transaction_id}"];

/// What does not fit the files and is right all the same.
pub(crate) const EXCEPTIONS: [Exception; 8] = [
    Exception {
        files: QUERIES,
        finding: "answer: /description is missing",
        reason: "the files reuse the body of a prepay request for the answer; the official page lists no description",
    },
    Exception {
        files: QUERIES,
        finding: "answer: /notify_url is missing",
        reason: "the same: an answer never repeats the notify_url",
    },
    Exception {
        files: QUERIES,
        finding: "answer: /amount/payer_total is missing",
        reason: "while an order is unpaid it has none, as field reports show",
    },
    Exception {
        files: QUERIES,
        finding: "answer: /promotion_detail is not described",
        reason: "the official page lists it; the files define it and do not use it",
    },
    Exception {
        files: BY_ID,
        finding: "answer: /payer is not described",
        reason: "the official page has one table for both queries; only the other file follows it",
    },
    Exception {
        files: BY_ID,
        finding: "answer: /amount/payer_total is not described",
        reason: "the same",
    },
    Exception {
        files: BY_ID,
        finding: "answer: /amount/payer_currency is not described",
        reason: "the same",
    },
    Exception {
        files: &["/jsapi", "/app", "/h5", "/native", "/transfer-bills"],
        finding: "header: Wechatpay-Serial is missing",
        reason: "by the file's own comment it is for encrypted members, which a merchant with certificates need not send",
    },
];

/// What one exchange has to say against the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// What does not fit and should.
    pub(crate) wrong: Vec<String>,
    /// What does not fit and need not, with the reason.
    pub(crate) excused: BTreeSet<(&'static str, &'static str)>,
}

/// The files of the endpoints.
pub(crate) struct Contract {
    root: PathBuf,
    /// Paths with their placeholders, without the suffix.
    endpoints: Vec<String>,
}

impl Contract {
    pub(crate) fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/docs");
        let mut endpoints = Vec::new();
        list(&root.join("v3"), &root, &mut endpoints);
        endpoints.sort();
        Self { root, endpoints }
    }

    /// Every endpoint that the files describe.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The endpoint that a target means.
    pub(crate) fn endpoint(&self, target: &str) -> Option<&str> {
        let path = target.split('?').next().unwrap();
        self.endpoints
            .iter()
            .find(|endpoint| is_at(path, endpoint))
            .map(String::as_str)
    }

    /// Compares an exchange with its file. One whose endpoint has no file does not fit.
    pub(crate) fn compare(&self, exchange: &Exchange) -> Findings {
        let Some(endpoint) = self.endpoint(&exchange.target) else {
            return Findings {
                wrong: vec![format!("{}: no such endpoint", exchange.target)],
                ..Findings::default()
            };
        };
        let file = self.root.join(format!("{}.yaml", endpoint.trim_start_matches('/')));
        let whole = read(&file);
        let operation = resolved(&whole[exchange.method.to_lowercase()], &file);
        if operation.is_null() {
            return Findings {
                wrong: vec![format!("{} {endpoint}: no such method", exchange.method)],
                ..Findings::default()
            };
        }
        let mut found = of_request(&operation, exchange);
        found.extend(of_answer(&operation, exchange));
        let mut findings = Findings::default();
        for finding in found {
            let excuse =
                |known: &Exception| known.files.iter().any(|file| endpoint.ends_with(file)) && finding == known.finding;
            match EXCEPTIONS.iter().find(|known| excuse(known)) {
                Some(known) => drop(findings.excused.insert(known.named())),
                None => findings
                    .wrong
                    .push(format!("{} {}: {finding}", exchange.method, exchange.target)),
            }
        }
        findings
    }
}

fn list(folder: &Path, root: &Path, endpoints: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, root, endpoints);
        } else {
            let name = path.strip_prefix(root).unwrap().with_extension("");
            endpoints.push(format!("/{}", name.to_str().unwrap()));
        }
    }
}

fn is_at(path: &str, endpoint: &str) -> bool {
    let (path, endpoint): (Vec<_>, Vec<_>) = (path.split('/').collect(), endpoint.split('/').collect());
    let fits = |(segment, template): (&&str, &&str)| template == segment || template.starts_with('{');
    path.len() == endpoint.len() && path.iter().zip(&endpoint).all(fits)
}

fn read(file: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A part of a file with everything in it that it refers to, and with the parts of an `allOf` put together.
fn resolved(part: &Value, file: &Path) -> Value {
    match part {
        Value::Array(items) => items.iter().map(|item| resolved(item, file)).collect(),
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref") {
                let (other, name) = reference.as_str().unwrap().split_once('#').unwrap();
                let other = if other.is_empty() {
                    file.to_owned()
                } else {
                    file.parent().unwrap().join(other)
                };
                let target = read(&other)[name.trim_start_matches('/')].clone();
                assert!(target.is_object(), "{} has no {name}", other.display());
                return resolved(&target, &other);
            }
            let mut all: Map<String, Value> = Map::new();
            for (name, member) in members.iter().filter(|(name, _)| *name != "allOf") {
                all.insert(name.clone(), resolved(member, file));
            }
            let mut all = Value::Object(all);
            for item in members.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                join(&mut all, resolved(item, file));
            }
            all
        }
        other => other.clone(),
    }
}

/// Puts two descriptions of the same thing together: both apply.
fn join(one: &mut Value, other: Value) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in other {
                match one.get_mut(&name) {
                    Some(known) => join(known, value),
                    None => drop(one.insert(name, value)),
                }
            }
        }
        (Value::Array(one), Value::Array(other)) => one.extend(other),
        // Texts such as descriptions, and equal types.
        _ => {}
    }
}

/// The same schema, which takes no member that it does not describe.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(closed).collect(),
        Value::Object(members) => {
            let mut all: Map<String, Value> = members
                .iter()
                .map(|(name, value)| (name.clone(), closed(value)))
                .collect();
            if members.get("properties").is_some_and(Value::is_object) && members.get("type") == Some(&json!("object"))
            {
                all.insert("additionalProperties".to_owned(), json!(false));
            }
            Value::Object(all)
        }
        other => other.clone(),
    }
}

fn of_request(operation: &Value, exchange: &Exchange) -> Vec<String> {
    let none = Vec::new();
    let parameters = operation["parameters"].as_array().unwrap_or(&none);
    let at = |place: &str| {
        let place = place.to_owned();
        parameters.iter().filter(move |parameter| parameter["in"] == place)
    };
    let mut found = Vec::new();
    let query = exchange.target.split_once('?').map_or("", |(_, query)| query);
    let given: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    for (name, value) in &given {
        match at("query").find(|parameter| parameter["name"] == **name) {
            None => found.push(format!("query: {name} is not described")),
            Some(parameter) => {
                let described = parameter["enum"].as_array();
                if described.is_some_and(|values| !values.contains(&json!(value))) {
                    found.push(format!("query: {name} is {value}"));
                }
            }
        }
    }
    for parameter in at("query").filter(|parameter| parameter["required"] == true) {
        if !given.iter().any(|(name, _)| parameter["name"] == **name) {
            found.push(format!("query: {} is missing", parameter["name"].as_str().unwrap()));
        }
    }
    for parameter in at("header").filter(|parameter| parameter["required"] == true) {
        let name = parameter["name"].as_str().unwrap();
        assert_eq!(name, "Wechatpay-Serial", "the only header that the files name");
        if !exchange.names_key {
            found.push(format!("header: {name} is missing"));
        }
    }
    match at("body").next() {
        Some(body) => found.extend(of_content("request", &body["schema"], &exchange.request)),
        // An endpoint that takes nothing takes an empty object as well.
        None if matches!(exchange.request.as_str(), "" | "{}") => {}
        None => found.push("request: a body that is not described".to_owned()),
    }
    found
}

fn of_answer(operation: &Value, exchange: &Exchange) -> Vec<String> {
    let described = &operation["responses"][exchange.status.to_string()];
    if described.is_object() {
        return match described.get("schema") {
            Some(schema) => of_content("answer", schema, &exchange.answer),
            None if exchange.answer.is_empty() => Vec::new(),
            // A file: the description says of which types it can be, and no more.
            None if operation["produces"].is_array() => Vec::new(),
            None => vec!["answer: a body that is not described".to_owned()],
        };
    }
    if exchange.status < 400 {
        return vec![format!("answer: status {} is not described", exchange.status)];
    }
    // The files know no errors; this is their common form.
    let error = json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z][A-Z_]*$"},
            "message": {"type": "string", "minLength": 1},
            "detail": {
                "type": "object",
                "properties": {
                    "field": {"type": "string"},
                    "value": {"type": ["string", "number", "boolean", "object", "array", "null"]},
                    "issue": {"type": "string"},
                    "location": {"enum": ["body", "url", "query", "authorization"]},
                    "sign_information": {"type": ["object"]},
                },
            },
        },
    });
    of_content("answer", &error, &exchange.answer)
}

fn of_content(what: &str, schema: &Value, content: &str) -> Vec<String> {
    let Ok(content) = serde_json::from_str::<Value>(content) else {
        return vec![format!("{what}: not JSON")];
    };
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_format("rfc3339", |text: &str| text.parse::<jiff::Timestamp>().is_ok())
        .with_format("base64", is_base64)
        .build(&closed(schema))
        .unwrap();
    let mut found = Vec::new();
    for error in validator.iter_errors(&content) {
        let at = error.instance_path().as_str().to_owned();
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                found.push(format!("{what}: {at}/{} is missing", property.as_str().unwrap()));
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let each = unexpected.iter();
                found.extend(each.map(|name| format!("{what}: {at}/{name} is not described")));
            }
            _ => found.push(format!("{what}: {at}: {error}")),
        }
    }
    found
}

fn is_base64(text: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).is_ok()
}
