//! A history comes to rest, and the books are what the model says.

use pay_common::sandbox::{RefundEnd, RefundStatus};

use super::model::{Model, There};
use super::player::Player;
use super::step::{Call, Door, ORDERS, REFUNDS};
use crate::invariants::{Books, complaints};

impl Player<'_> {
    /// Refunds end, time goes by, the sweep asks about everything; then the books are what the model says.
    pub async fn rest(&mut self) -> Result<(), String> {
        let wechat = self.stage.t().world.wechat().clone();
        for order in 0..ORDERS {
            for refund in 0..REFUNDS {
                if self.model.ends(order, refund, RefundEnd::Success) {
                    let number = self.numbers.refund(order, refund);
                    wechat
                        .finish_refund(&number, RefundEnd::Success)
                        .map_err(|error| error.to_string())?;
                }
            }
        }
        // Of what it takes for closed, the service does not ask: WeChat repeats its word for a day.
        for order in (0..ORDERS).filter(|order| self.model.orders[*order].overtaken) {
            let call = Call::HearPayment {
                order,
                door: Door::Signed,
                copies: 1,
            };
            let taken = self.ask(&call).await.is_some_and(|told| told.status == 200);
            if !taken {
                return Err(format!("the payment of order {order} was not taken"));
            }
        }
        // A refund is asked about at last once a day.
        for seconds in [16, 61, 121, 660, 660, 1860, 21_660, 86_460, 86_460] {
            self.wait(seconds);
            self.stage
                .t()
                .service
                .sweep()
                .await
                .map_err(|error| error.to_string())?;
        }
        let unpaid = self.model.clone();
        self.model.resume(&wechat, &self.numbers);
        let books = Books::read(&mut *self.stage.conn.lock().await, &self.numbers.0).await;
        // Real money after a close is for a person to see.
        let late: Vec<(&str, &str)> = books
            .orders
            .iter()
            .filter(|order| order.closed && order.paid)
            .map(|order| ("paid_after_close", order.number.as_str()))
            .collect();
        let mut wrong = complaints(&books, &wechat, &late);
        for at in 0..ORDERS {
            wrong.extend(self.of_order(at, &unpaid, &books));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{wrong:#?}"))
        }
    }

    /// What the model says of an order at rest, against the books.
    fn of_order(&self, at: usize, before: &Model, books: &Books) -> Vec<String> {
        let mut wrong = Vec::new();
        let (number, order) = (self.numbers.order(at), &self.model.orders[at]);
        let row = books.orders.iter().find(|row| row.number == number);
        let state = row.map(|row| row.state.as_str());
        let has_refunds = order.refunds.iter().any(|refund| refund.there.is_some());
        let expected = match order.there {
            There::Paid if has_refunds => Some("REFUND"),
            There::Paid => Some("SUCCESS"),
            There::Closed | There::Open => Some("CLOSED"),
            There::Nowhere => order.total.map(|_| "FAILED"),
        };
        // Somebody may have asked to close what was never placed.
        if state != expected && (state.is_some() || expected.is_some()) {
            wrong.push(format!("order {number} is {state:?}, not {expected:?}"));
        }
        let was = before.orders[at].there;
        if was == There::Paid && order.there != There::Paid {
            wrong.push(format!("order {number} was paid and is {:?}", order.there));
        }
        if order.payable && order.there == There::Nowhere {
            wrong.push(format!("order {number} was answered as placed, and WeChat has it not"));
        }
        if order.promised_closed && order.there != There::Closed && !order.overtaken {
            wrong.push(format!(
                "order {number} was answered as closed and is {:?}",
                order.there
            ));
        }
        let mut told: Vec<&str> = match order.there {
            There::Nowhere => vec![],
            There::Paid => vec!["order.created", "order.paid"],
            There::Open | There::Closed => vec!["order.created", "order.closed"],
        };
        if order.overtaken && row.is_some_and(|row| row.closed) {
            told.push("order.closed");
        }
        for (refund_at, refund) in order.refunds.iter().enumerate() {
            match refund.there {
                None if refund.promised => {
                    wrong.push(format!(
                        "refund {refund_at} of {number} was answered as accepted, and WeChat has it not"
                    ));
                }
                None => {}
                Some(RefundStatus::Success) => told.extend(["refund.created", "refund.succeeded"]),
                Some(RefundStatus::Closed) => told.extend(["refund.created", "refund.closed"]),
                Some(status) => wrong.push(format!("refund {refund_at} of {number} has not ended: {status:?}")),
            }
        }
        let mut kinds = books.kinds(&number);
        kinds.retain(|kind| *kind != "refund.abnormal");
        kinds.sort_unstable();
        told.sort_unstable();
        if kinds != told {
            wrong.push(format!("of order {number} was told {kinds:?}, not {told:?}"));
        }
        let held = row.map_or(0, |row| row.held);
        if held != order.held() {
            wrong.push(format!("of order {number} are held {held} fen, not {}", order.held()));
        }
        wrong
    }
}
