//! The spellings of an action, and where a request names it.

use serde_json::{Map, Value};

use super::failure::Failure;
use crate::domain::order::OrderKind;
use crate::wechat::notification::{self, Subject};

/// What a caller can ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Order(OrderKind),
    QueryByOutTradeNo,
    QueryByTransactionId,
    Close,
    Refund,
    RefundQuery,
    Transfer,
    TransferQuery,
    TransferQueryByNo,
}

impl Action {
    pub(crate) const ALL: [Self; 12] = [
        Self::Order(OrderKind::Jsapi),
        Self::Order(OrderKind::H5),
        Self::Order(OrderKind::Native),
        Self::Order(OrderKind::App),
        Self::QueryByOutTradeNo,
        Self::QueryByTransactionId,
        Self::Close,
        Self::Refund,
        Self::RefundQuery,
        Self::Transfer,
        Self::TransferQuery,
        Self::TransferQueryByNo,
    ];

    /// The name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Order(OrderKind::Jsapi) => "wxpay_order",
            Self::Order(OrderKind::H5) => "wxpay_order_h5",
            Self::Order(OrderKind::Native) => "wxpay_order_native",
            Self::Order(OrderKind::App) => "wxpay_order_app",
            Self::QueryByOutTradeNo => "wxpay_query_order_by_out_trade_no",
            Self::QueryByTransactionId => "wxpay_query_order_by_transaction_id",
            Self::Close => "wxpay_close_order",
            Self::Refund => "wxpay_refund",
            Self::RefundQuery => "wxpay_refund_query",
            Self::Transfer => "wxpay_transfer",
            Self::TransferQuery => "wxpay_transfer_bill_query",
            Self::TransferQueryByNo => "wxpay_transfer_bill_query_by_no",
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// To an action, for a caller.
    Action(Action),
    /// To the callbacks, for a proof; with what its path or name says it is about.
    Callback(Option<Subject>),
}

/// The names under which WeChat Pay itself sends callbacks.
pub(crate) const CALLBACKS: [(&str, Subject); 3] = [
    ("unifiedOrderTrigger", Subject::Payment),
    ("refundTrigger", Subject::Refund),
    ("transferTrigger", Subject::Transfer),
];

/// Names of the past that clients still say.
pub(crate) const OLD_NAMES: [(&str, Action); 1] = [
    // While transfers came in batches.
    ("wxpay_transfer_batch_query", Action::TransferQuery),
];

/// The target of that name, in the short form or as `/wx-pay/...`.
pub(crate) fn named(name: &str) -> Result<Target, Failure> {
    let short = name.strip_prefix("/wx-pay/").unwrap_or(name);
    let actions = Action::ALL.map(|action| (action.as_str(), action));
    let mut actions = actions
        .into_iter()
        .chain(OLD_NAMES)
        .map(|(name, action)| (name, Target::Action(action)));
    let mut callbacks = CALLBACKS
        .into_iter()
        .map(|(name, subject)| (name, Target::Callback(Some(subject))));
    let found = actions
        .find(|(name, _)| *name == short)
        .or_else(|| callbacks.find(|(name, _)| *name == short));
    let target = found.map(|(_, target)| target);
    target.ok_or_else(|| Failure::UnknownAction(name.chars().filter(|c| !c.is_control()).take(64).collect()))
}

/// The target of a body posted to `/`; what named it is taken out of the body.
pub(crate) fn dispatch(body: &mut Map<String, Value>) -> Result<Target, Failure> {
    if let Some(name) = body.remove("_action") {
        return named(name.as_str().unwrap_or_default());
    }
    let by_path = body.get("path").and_then(Value::as_str).and_then(|path| {
        let (_, rest) = path.split_once("/wx-pay/")?;
        rest.split(['?', '#'])
            .next()
            .map(|name| name.trim_end_matches('/').to_owned())
    });
    if let Some(name) = by_path {
        body.remove("path");
        body.remove("method");
        return named(&name);
    }
    if notification::is_forward(body) {
        Ok(Target::Callback(None))
    } else {
        Err(Failure::NoAction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(body: Value) -> (Result<Target, &'static str>, Value) {
        let Value::Object(mut body) = body else { panic!() };
        let target = dispatch(&mut body).map_err(|failure| failure.constant());
        (target, Value::Object(body))
    }

    #[test]
    fn the_first_that_applies_names_the_action_and_is_taken_out() {
        let order = Ok(Target::Action(Action::Order(OrderKind::Jsapi)));
        for (body, target, rest) in [
            (json!({"_action": "wxpay_order", "x": 1}), order, json!({"x": 1})),
            (json!({"_action": "/wx-pay/wxpay_order"}), order, json!({})),
            (
                json!({"path": "/wx-pay/wxpay_order", "method": "POST", "x": 1}),
                order,
                json!({"x": 1}),
            ),
            (json!({"path": "https://host/wx-pay/wxpay_order?a=1"}), order, json!({})),
            (
                json!({"_action": "wxpay_order", "rawData": {"event_type": "TRANSACTION.SUCCESS"}}),
                order,
                json!({"rawData": {"event_type": "TRANSACTION.SUCCESS"}}),
            ),
            (
                json!({"rawData": {"event_type": "TRANSACTION.SUCCESS"}}),
                Ok(Target::Callback(None)),
                json!({"rawData": {"event_type": "TRANSACTION.SUCCESS"}}),
            ),
            (
                json!({"_action": "refundTrigger"}),
                Ok(Target::Callback(Some(Subject::Refund))),
                json!({}),
            ),
        ] {
            assert_eq!(find(body.clone()), (target, rest), "{body}");
        }
    }

    #[test]
    fn what_names_nothing_known_is_refused() {
        for body in [
            json!({}),
            json!({"_action": "wxpay_steal"}),
            json!({"_action": 5}),
            json!({"_action": null}),
            json!({"_action": "/wx-pay/wx-pay/wxpay_order"}),
            json!({"path": "/wx-pay/"}),
            json!({"path": "/other"}),
            json!({"event_type": "TRANSACTION.SUCCESS"}),
        ] {
            assert_eq!(find(body.clone()).0, Err("UNKNOWN_ACTION"), "{body}");
        }
    }
}
