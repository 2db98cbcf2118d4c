//! Orders and their refunds.

use pay_common::sandbox::{OrderView, RefundStatus, TradeState, Wechat};

use super::books::{Books, Order, Refund};
use super::of_events;

pub fn check(books: &Books, wechat: &Wechat, complaints: &mut Vec<String>) {
    for order in &books.orders {
        let refunds: Vec<&Refund> = books
            .refunds
            .iter()
            .filter(|refund| refund.order == order.number)
            .collect();
        let there = wechat.order(&order.number);
        let found = [
            of_state(order, there.as_ref()),
            of_refunds(&refunds, there.as_ref(), wechat),
            of_sums(order, &refunds, there.as_ref(), wechat),
            of_telling(books, order, &refunds),
        ];
        let name = |complaint| format!("order {} ({}): {complaint}", order.number, order.state);
        complaints.extend(found.concat().into_iter().map(name));
    }
}

/// An order stands where WeChat has it.
fn of_state(order: &Order, there: Option<&OrderView>) -> Vec<String> {
    let mut complaints = Vec::new();
    let state = there.map(|there| there.state);
    let fits = match order.state.as_str() {
        // Given up here, and there is nothing that anybody could pay.
        "FAILED" => matches!(state, None | Some(TradeState::Closed)),
        "NOTPAY" => state == Some(TradeState::NotPay),
        "SUCCESS" => state == Some(TradeState::Success),
        "REFUND" => state == Some(TradeState::Refund),
        "CLOSED" => state == Some(TradeState::Closed),
        // Asked about often enough, every intent has an outcome.
        _ => false,
    };
    if !fits {
        complaints.push(format!("WeChat has it as {state:?}"));
    }
    if let Some(there) = there {
        if order.total != there.total {
            complaints.push(format!("its total is {}, at WeChat {}", order.total, there.total));
        }
        if order.transaction_id != there.transaction_id {
            complaints.push(format!(
                "its payment is {:?}, at WeChat {:?}",
                order.transaction_id, there.transaction_id
            ));
        }
    }
    // A closed one is asked about once more.
    if order.state != "CLOSED" && order.open != (order.state == "NOTPAY") {
        complaints.push("nobody would ever ask about it again, or somebody would for ever".to_owned());
    }
    complaints
}

/// Every refund stands where WeChat has it, and WeChat has no other.
fn of_refunds(refunds: &[&Refund], there: Option<&OrderView>, wechat: &Wechat) -> Vec<String> {
    let mut complaints = Vec::new();
    for refund in refunds {
        let there = wechat.refund(&refund.number);
        let status = there.as_ref().map(|there| there.status.as_str());
        let fits = match refund.state.as_str() {
            "FAILED" => status.is_none(),
            "CREATED" => false,
            state => status == Some(state),
        };
        if !fits {
            complaints.push(format!(
                "refund {} is {}, at WeChat {status:?}",
                refund.number, refund.state
            ));
        }
        if let Some(there) = there {
            let same = refund.refund_id.as_ref() == Some(&there.refund_id)
                && refund.amount == there.refund
                && refund.order == there.out_trade_no;
            if !same {
                complaints.push(format!("refund {} is another one at WeChat: {there:?}", refund.number));
            }
        }
    }
    for number in there.map(|there| &there.refunds).into_iter().flatten() {
        if !refunds.iter().any(|refund| refund.number == *number) {
            complaints.push(format!("WeChat has refund {number}, the books have not"));
        }
    }
    complaints
}

/// No sum goes past its order, and what is held is what WeChat has paid back or may still pay back.
fn of_sums(order: &Order, refunds: &[&Refund], there: Option<&OrderView>, wechat: &Wechat) -> Vec<String> {
    let mut complaints = Vec::new();
    let holds = |refund: &&&Refund| !matches!(refund.state.as_str(), "FAILED" | "CLOSED");
    let by_rows: i64 = refunds.iter().filter(holds).map(|refund| refund.amount).sum();
    let numbers = there.map(|there| there.refunds.clone()).unwrap_or_default();
    let at_wechat: i64 = numbers
        .iter()
        .filter_map(|number| wechat.refund(number))
        .filter(|refund| refund.status != RefundStatus::Closed)
        .map(|refund| refund.refund)
        .sum();
    if order.held != by_rows || order.held != at_wechat {
        complaints.push(format!(
            "{} fen are held, by its refunds {by_rows}, at WeChat {at_wechat}",
            order.held
        ));
    }
    if order.held > order.total || at_wechat > order.total {
        complaints.push(format!("{} fen go back of {}", order.held.max(at_wechat), order.total));
    }
    complaints
}

/// Exactly one event per fact, in the right order.
fn of_telling(books: &Books, order: &Order, refunds: &[&Refund]) -> Vec<String> {
    let told = books.told(&order.number);
    let mut expected = Vec::new();
    let number = &order.number;
    if !order.adopted && (order.accepted || order.paid || order.closed) {
        expected.push(format!("order.created/{number}"));
    }
    if order.closed {
        expected.push(format!("order.closed/{number}"));
    }
    if order.paid && !order.adopted {
        expected.push(format!("order.paid/{number}"));
    }
    for refund in refunds {
        let number = &refund.number;
        if refund.accepted {
            expected.push(format!("refund.created/{number}"));
        }
        match refund.state.as_str() {
            "SUCCESS" => expected.push(format!("refund.succeeded/{number}")),
            "CLOSED" => expected.push(format!("refund.closed/{number}")),
            "ABNORMAL" => expected.push(format!("refund.abnormal/{number}")),
            _ => {}
        }
    }
    let mut complaints = of_events(&told, &expected, "refund.abnormal/");

    let at = |fact: &str| told.iter().position(|event| event.fact.starts_with(fact));
    let mut before = |first: &str, then: &str| {
        if let (Some(a), Some(b)) = (at(first), at(then))
            && a > b
        {
            complaints.push(format!("{then} was told before {first}"));
        }
    };
    before("order.created", "order.closed");
    before("order.created", "order.paid");
    before("order.closed", "order.paid");
    for refund in refunds {
        let created = format!("refund.created/{}", refund.number);
        before("order.paid", &created);
        for end in ["succeeded", "closed", "abnormal"] {
            before(&created, &format!("refund.{end}/{}", refund.number));
        }
    }
    complaints
}
