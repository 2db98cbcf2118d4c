//! The failures, by status: schemas, examples and the answers of each operation, all asked of [`Failure::catalogue`].

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schema::{any_text, described, object, reference, whole};
use crate::domain::order::OrderKind;
use crate::http::action::Action;
use crate::http::failure::Failure;
use crate::http::text::Language;
use crate::wechat::error::WechatError;

/// Whether that failure can come of that action, once its name is known.
pub(super) fn occurs(failure: &Failure, action: Action) -> bool {
    let order = matches!(action, Action::Order(_));
    let transfer = matches!(
        action,
        Action::Transfer | Action::TransferQuery | Action::TransferQueryByNo
    );
    match failure {
        Failure::NotJson(_)
        | Failure::NotAnObject
        | Failure::InvalidParams(_)
        | Failure::Unauthenticated(_)
        | Failure::AuthUnavailable
        | Failure::UnsupportedMediaType
        | Failure::TooLarge(_)
        | Failure::TooSlow
        | Failure::TooMany(_)
        | Failure::Overdue
        | Failure::Wechat(_)
        | Failure::Store(_)
        | Failure::Internal(_) => true,
        // Of a path or a method that is not described here, or of a body whose action is not known.
        Failure::NotFound
        | Failure::NotAuthorized(_)
        | Failure::MethodNotAllowed
        | Failure::NoAction
        | Failure::UnknownAction(_)
        | Failure::NotACallback
        | Failure::OperatorOnly => false,
        Failure::Forbidden => !transfer,
        Failure::ForeignTransfer => transfer,
        Failure::OriginNotAllowed => matches!(action, Action::Order(OrderKind::H5)),
        Failure::TicketRequired | Failure::BadTicket(_) | Failure::OrderParamsMismatch | Failure::OrderClosed => order,
        Failure::OrderPaid | Failure::OrderRefunded => order || matches!(action, Action::Close),
        Failure::RefundParamsMismatch | Failure::OrderNotPaid | Failure::RefundExceedsOrder => {
            matches!(action, Action::Refund)
        }
        Failure::OrderUnfit => !order && !transfer,
        Failure::TransferForbidden | Failure::TransferParamsMismatch => matches!(action, Action::Transfer),
    }
}

/// Whether that failure can come of `POST /`.
pub(super) fn occurs_at_root(failure: &Failure) -> bool {
    matches!(failure, Failure::NoAction | Failure::UnknownAction(_))
        || Action::ALL.into_iter().any(|action| occurs(failure, action))
}

/// Whether that failure can come of `POST /internal/tick`.
pub(super) fn occurs_at_tick(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::OperatorOnly
            | Failure::Unauthenticated(_)
            | Failure::AuthUnavailable
            | Failure::TooMany(_)
            | Failure::Store(_)
            | Failure::Internal(_)
    )
}

/// The name of the schema of all failures with that status.
pub(super) fn schema_name(status: u16) -> String {
    if status == 200 {
        "Refused".to_owned()
    } else {
        format!("Failure{status}")
    }
}

/// Every failure that the filter lets through, by status and then by constant: one of each.
pub(super) fn by_status(filter: impl Fn(&Failure) -> bool) -> BTreeMap<u16, Vec<Failure>> {
    let mut all: BTreeMap<u16, Vec<Failure>> = BTreeMap::new();
    for failure in Failure::catalogue().into_iter().filter(filter) {
        let same = all.entry(failure.status().as_u16()).or_default();
        if same.iter().all(|known| known.constant() != failure.constant()) {
            same.push(failure);
        }
    }
    all
}

/// The schemas of all failures.
pub(super) fn schemas() -> Map<String, Value> {
    by_status(|_| true)
        .into_iter()
        .map(|(status, failures)| {
            let constants: Vec<&str> = failures.iter().map(Failure::constant).collect();
            let data = if status == 200 {
                refused()
            } else if failures.iter().any(|failure| failure.status().is_server_error()) {
                whole([
                    ("error", json!({"type": "string", "enum": constants})),
                    ("retryable", json!({"type": "boolean"})),
                ])
            } else if status == 409 {
                whole([("error", json!({"type": "string", "enum": constants}))])
            } else {
                json!({"type": "null"})
            };
            let envelope = whole([
                ("code", json!({"type": "integer", "const": -1})),
                ("msg", any_text()),
                ("error", json!({"type": "string", "enum": constants})),
                ("data", data),
            ]);
            let name = schema_name(status);
            let envelope = described(&name, envelope);
            (name, envelope)
        })
        .collect()
}

/// WeChat's own words.
fn refused() -> Value {
    whole([
        ("status", json!({"type": "integer"})),
        ("data", object(&[], [("code", any_text()), ("message", any_text())])),
        ("request_id", json!({"type": ["string", "null"]})),
    ])
}

/// An example of every failure, by its constant.
pub(super) fn examples() -> Map<String, Value> {
    by_status(|_| true)
        .into_values()
        .flatten()
        .map(|failure| {
            let summary = failure.text().in_language(Language::English).to_owned();
            let example = json!({"summary": summary, "value": failure.envelope(Language::Chinese)});
            (failure.constant().to_owned(), example)
        })
        .collect()
}

/// What is said of failures of one status: their constants, and whether the same call may be repeated.
pub(super) fn description(failures: &[Failure]) -> String {
    let constants: Vec<String> = failures
        .iter()
        .map(|failure| format!("`{}`", failure.constant()))
        .collect();
    let mut text = constants.join(", ");
    if failures
        .iter()
        .any(|failure| matches!(failure, Failure::Wechat(WechatError::Refused(_))))
    {
        text.push_str("：微信支付拒绝 / WeChat Pay refused");
    } else if failures.iter().all(Failure::retryable) {
        text.push_str("：可用相同单号重试 / the same call may be made again");
    }
    text
}

/// References to the examples of these failures.
pub(super) fn example_references(failures: &[Failure]) -> Map<String, Value> {
    failures
        .iter()
        .map(|failure| {
            let name = failure.constant();
            (
                name.to_owned(),
                json!({"$ref": format!("#/components/examples/{name}")}),
            )
        })
        .collect()
}

/// The answers of failures, by status, but for 200: that one is told beside the success.
pub(super) fn answers(by_status: &BTreeMap<u16, Vec<Failure>>) -> Map<String, Value> {
    let answers = by_status.iter().filter(|(status, _)| **status != 200);
    answers
        .map(|(status, failures)| {
            let answer = super::document::answer(
                &description(failures),
                &reference(&schema_name(*status)),
                Value::Object(example_references(failures)),
            );
            (status.to_string(), answer)
        })
        .collect()
}
