//! What has to be: a model of orders and refunds that is simpler than the service and knows nothing of its rows.
//!
//! It follows what the buyer, WeChat and the callers did. While everything works it says what WeChat must have come to and what a caller
//! must be answered; when something failed, nobody can know what was done, so it is told what WeChat did, and holds the service to that.

use pay_common::sandbox::{RefundEnd, RefundStatus, TradeState, Wechat};
use serde_json::Value;

use super::step::{Call, ORDERS, REFUNDS, TOTAL};

/// What a caller was told.
#[derive(Clone, Debug)]
pub struct Told {
    pub status: u16,
    /// It was done: the answer is no refusal.
    pub done: bool,
    /// The constant of a refusal of the service's own.
    pub error: String,
    pub data: Value,
}

/// Where an order is at WeChat.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum There {
    #[default]
    Nowhere,
    Open,
    Closed,
    Paid,
}

#[derive(Clone, Debug, Default)]
pub struct Refund {
    /// The amount that it was first asked for with.
    pub amount: Option<i64>,
    /// WeChat has it.
    pub there: Option<RefundStatus>,
    /// Nobody knows whether WeChat has it, or whether the books know that.
    pub unsure: bool,
    /// A caller was told that it is accepted.
    pub promised: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Order {
    pub there: There,
    /// The total that it was first asked for with.
    pub total: Option<i64>,
    /// Somebody has what it is paid with.
    pub payable: bool,
    /// It was paid although it had been closed: until they hear of it, the books are behind.
    pub overtaken: bool,
    /// A caller was told that it is closed.
    pub promised_closed: bool,
    /// The last thing that was asked about it failed, so that the books may wait for something.
    pub unsure: bool,
    pub refunds: [Refund; REFUNDS],
}

impl Order {
    /// What has gone back, or may still go.
    pub fn held(&self) -> i64 {
        let holds = |refund: &&Refund| refund.there.is_some_and(|status| status != RefundStatus::Closed);
        self.refunds
            .iter()
            .filter(holds)
            .filter_map(|refund| refund.amount)
            .sum()
    }

    fn has_refunds(&self) -> bool {
        self.refunds.iter().any(|refund| refund.there.is_some())
    }

    fn is_sure(&self) -> bool {
        !self.unsure && !self.overtaken && self.refunds.iter().all(|refund| !refund.unsure)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub orders: [Order; ORDERS],
}

impl Model {
    /// The buyer pays; whether she can.
    pub fn pays(&mut self, order: usize) -> bool {
        let order = &mut self.orders[order];
        let can = order.payable && order.there == There::Open;
        if can {
            order.there = There::Paid;
        }
        can
    }

    /// A payment that was under way arrives after a close; whether it can.
    pub fn overtakes(&mut self, order: usize) -> bool {
        let order = &mut self.orders[order];
        let can = order.payable && order.there == There::Closed;
        if can {
            order.there = There::Paid;
            order.overtaken = true;
        }
        can
    }

    /// A refund ends; whether it can.
    pub fn ends(&mut self, order: usize, refund: usize, end: RefundEnd) -> bool {
        let refund = &mut self.orders[order].refunds[refund];
        let next = match (refund.there, end) {
            (Some(RefundStatus::Processing | RefundStatus::Abnormal), RefundEnd::Success) => RefundStatus::Success,
            (Some(RefundStatus::Processing), RefundEnd::Closed) => RefundStatus::Closed,
            (Some(RefundStatus::Processing), RefundEnd::Abnormal) => RefundStatus::Abnormal,
            _ => return false,
        };
        refund.there = Some(next);
        // Until the books hear of it, they hold an amount that is free again.
        refund.unsure |= next == RefundStatus::Closed;
        true
    }

    /// Somebody asked alone while everything worked: says what is wrong with the answer, and goes on from it.
    pub fn calm(&mut self, call: &Call, told: &Told) -> Result<(), String> {
        let complaint = |expected: &str| Err(format!("{call:?} should be {expected}: {told:?}"));
        match *call {
            Call::Place { order, total } => {
                let order = &mut self.orders[order];
                let first = *order.total.get_or_insert(total);
                let refusals = match order.there {
                    _ if first != total => &["ORDER_PARAMS_MISMATCH"][..],
                    There::Nowhere | There::Open => &[],
                    There::Closed => &["ORDER_CLOSED"],
                    // A payment that nobody has heard of yet stops nobody from looking at the order again.
                    There::Paid => &["ORDER_PAID", "ORDER_REFUNDED", "done"],
                };
                let refused = told.status == 409 && refusals.contains(&told.error.as_str());
                let fits = if told.done {
                    refusals.is_empty() || refusals.contains(&"done")
                } else {
                    refused
                };
                if order.is_sure() && !fits {
                    return complaint(refusals.first().unwrap_or(&"done"));
                }
                if told.done {
                    if order.there == There::Nowhere {
                        order.there = There::Open;
                    }
                    order.payable = true;
                    order.unsure = false;
                }
            }
            Call::Query { order } => {
                let order = &self.orders[order];
                let states = match order.there {
                    There::Nowhere => &[][..],
                    There::Open => &["NOTPAY"],
                    There::Closed => &["CLOSED"],
                    There::Paid if order.has_refunds() => &["REFUND"],
                    There::Paid => &["SUCCESS"],
                };
                let state = told.data["trade_state"].as_str().unwrap_or_default();
                let fits = told.done == states.contains(&state);
                if !fits || (order.payable && !told.done) {
                    return complaint(states.first().unwrap_or(&"refused"));
                }
            }
            Call::Close { order } => {
                let order = &mut self.orders[order];
                let possible = match order.there {
                    There::Nowhere => order.unsure && order.total.is_some(),
                    There::Open | There::Closed => true,
                    There::Paid => order.overtaken,
                };
                if told.done && !possible {
                    return complaint("refused");
                }
                if order.is_sure() && possible && !told.done {
                    return complaint("done");
                }
                if told.done {
                    if order.there != There::Paid {
                        order.there = There::Closed;
                    }
                    order.promised_closed = true;
                }
            }
            Call::Refund { order, refund, amount } => self.refunded(order, refund, amount, told)?,
            Call::QueryRefund { order, refund } => {
                let there = self.orders[order].refunds[refund].there;
                let status = there.map(RefundStatus::as_str);
                let said = told.done.then(|| told.data["status"].as_str()).flatten();
                if status != said {
                    return complaint(status.unwrap_or("refused"));
                }
            }
            Call::HearPayment { .. } | Call::HearRefund { .. } => {
                if told.status != 200 {
                    return complaint("taken");
                }
                if let Call::HearRefund { order, refund, .. } = *call {
                    self.orders[order].refunds[refund].unsure = false;
                }
            }
            Call::HearLate { .. } => {
                // A signature counts for five minutes; a ciphertext for ever.
                if ![200, 401].contains(&told.status) {
                    return complaint("taken, or too old");
                }
            }
            Call::Forge { order } => {
                let paid = self.orders[order].there == There::Paid;
                if (told.status == 200) != paid {
                    return complaint("taken only when WeChat says the same");
                }
            }
            Call::Probe { .. } => {
                if told.status != 401 {
                    return complaint("refused");
                }
            }
            Call::Sweep => {
                if !told.done {
                    return complaint("done");
                }
            }
        }
        Ok(())
    }

    fn refunded(&mut self, order: usize, refund: usize, amount: i64, told: &Told) -> Result<(), String> {
        let complaint = |expected: &str| Err(format!("refund {refund} of {amount} should be {expected}: {told:?}"));
        let (held, sure) = (self.orders[order].held(), self.orders[order].is_sure());
        let order = &mut self.orders[order];
        let total = order.total.unwrap_or(TOTAL);
        let paid = order.there == There::Paid;
        let refund = &mut order.refunds[refund];
        let expected = match (refund.amount, refund.there) {
            _ if !paid => Err(&["ORDER_NOT_PAID", "INVALID_PARAMS", "UPSTREAM"][..]),
            (Some(first), Some(_)) if first == amount => Ok(()),
            (Some(first), Some(_)) if first != amount => Err(&["REFUND_PARAMS_MISMATCH"][..]),
            _ if held + amount > total => Err(&["REFUND_EXCEEDS_ORDER", "REFUND_PARAMS_MISMATCH"][..]),
            // Given up before, it is in the books with its amount.
            (Some(first), None) if first != amount => Err(&["REFUND_PARAMS_MISMATCH"][..]),
            _ => Ok(()),
        };
        if told.done && expected.is_err() && (sure || !paid) {
            return complaint("refused");
        }
        if sure && paid {
            match expected {
                Ok(()) if !told.done => return complaint("done"),
                Err(errors) if told.status != 409 || !errors.contains(&told.error.as_str()) => {
                    return complaint(errors[0]);
                }
                _ => {}
            }
        }
        if told.done {
            refund.amount.get_or_insert(amount);
            refund.there.get_or_insert(RefundStatus::Processing);
            refund.promised = true;
            refund.unsure = false;
        }
        Ok(())
    }

    /// Something failed, or several things happened at once: what this was about is not sure any more.
    pub fn doubts(&mut self, call: &Call) {
        match *call {
            Call::Place { order, total } => {
                self.orders[order].total.get_or_insert(total);
                self.orders[order].unsure = true;
            }
            Call::Close { order } | Call::Query { order } => self.orders[order].unsure = true,
            Call::Refund { order, refund, .. } => {
                self.orders[order].unsure = true;
                self.orders[order].refunds[refund].unsure = true;
            }
            Call::QueryRefund { order, refund } => self.orders[order].refunds[refund].unsure = true,
            Call::HearPayment { .. }
            | Call::HearRefund { .. }
            | Call::HearLate { .. }
            | Call::Forge { .. }
            | Call::Probe { .. } => {}
            Call::Sweep => self.orders.iter_mut().for_each(|order| order.unsure = true),
        }
    }

    /// What a caller was told in spite of everything holds all the same.
    pub fn promised(&mut self, call: &Call, told: &Told) {
        if !told.done {
            return;
        }
        match *call {
            Call::Place { order, .. } => self.orders[order].payable = true,
            Call::Close { order } => self.orders[order].promised_closed = true,
            Call::Refund { order, refund, .. } => self.orders[order].refunds[refund].promised = true,
            _ => {}
        }
    }

    /// Is told what WeChat did.
    pub fn resume(&mut self, wechat: &Wechat, numbers: &super::player::Numbers) {
        for (at, order) in self.orders.iter_mut().enumerate() {
            let there = wechat.order(&numbers.order(at));
            if let Some(there) = &there {
                order.total = Some(there.total);
            }
            order.there = where_it_is(there.map(|there| there.state));
            for (refund_at, refund) in order.refunds.iter_mut().enumerate() {
                let there = wechat.refund(&numbers.refund(at, refund_at));
                if let Some(there) = &there {
                    refund.amount = Some(there.refund);
                }
                refund.there = there.map(|there| there.status);
            }
        }
    }

    /// What WeChat has that this does not say.
    pub fn differs(&self, wechat: &Wechat, numbers: &super::player::Numbers) -> Option<String> {
        for (at, order) in self.orders.iter().enumerate() {
            let there = where_it_is(wechat.order(&numbers.order(at)).map(|there| there.state));
            if there != order.there {
                return Some(format!("order {at} is {there:?} at WeChat, not {:?}", order.there));
            }
            for (refund_at, refund) in order.refunds.iter().enumerate() {
                let there = wechat.refund(&numbers.refund(at, refund_at)).map(|there| there.status);
                if there != refund.there {
                    return Some(format!(
                        "refund {refund_at} of order {at} is {there:?} at WeChat, not {:?}",
                        refund.there
                    ));
                }
            }
        }
        None
    }
}

fn where_it_is(state: Option<TradeState>) -> There {
    match state {
        None => There::Nowhere,
        Some(TradeState::NotPay) => There::Open,
        Some(TradeState::Closed) => There::Closed,
        Some(TradeState::Success | TradeState::Refund) => There::Paid,
    }
}
