//! What WeChat was asked: the same number is the same question, and what it accepted was written down before.

use std::collections::BTreeMap;

use pay_common::sandbox::{Endpoint, Seen, Wechat};
use serde_json::Value;

use super::books::Books;

pub fn check(books: &Books, wechat: &Wechat, complaints: &mut Vec<String>) {
    let mut asked: BTreeMap<(&str, String), Value> = BTreeMap::new();
    for seen in wechat.requests() {
        let Some((kind, number, question)) = question(&seen) else {
            continue;
        };
        let in_books = match kind {
            "order" => books.orders.iter().any(|order| order.number == number),
            "refund" => books.refunds.iter().any(|refund| refund.number == number),
            _ => books.transfers.iter().any(|transfer| transfer.number == number),
        };
        if !in_books {
            complaints.push(format!(
                "WeChat was asked for {kind} {number}, which is not in the books"
            ));
        }
        let name = (kind, number.clone());
        let first = asked.entry(name).or_insert_with(|| question.clone());
        if *first != question {
            complaints.push(format!(
                "WeChat was asked for {kind} {number} as {first} and as {question}"
            ));
        }
    }
}

/// What was asked for, and its number; `None` for what moves nothing.
fn question(seen: &Seen) -> Option<(&'static str, String, Value)> {
    let (kind, member) = match seen.endpoint? {
        Endpoint::Prepay => ("order", "out_trade_no"),
        Endpoint::Refund => ("refund", "out_refund_no"),
        Endpoint::Transfer => ("transfer", "out_bill_no"),
        _ => return None,
    };
    let mut question = seen.json();
    // Encrypted anew each time.
    question.as_object_mut()?.remove("user_name");
    let number = question[member].as_str()?.to_owned();
    Some((kind, number, question))
}
