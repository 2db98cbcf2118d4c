//! The rules of giving money back.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::books::{Books, Order, Paid, Refund, RefundStatus};
use super::orders::check_notify_url;
use super::refusal::Refusal;
use super::schema::{self, integer, optional_text, text};
use crate::sandbox::{
    clock::{china_digits, china_time},
    crypto::random_digits,
    put,
};

const REFUND_WINDOW: SignedDuration = SignedDuration::from_hours(365 * 24);
const MOST_REFUNDS: usize = 50;

/// What became of an application for a refund.
pub(crate) struct Accepted {
    pub(crate) answer: Value,
    pub(crate) out_refund_no: String,
    /// Whether this application made the refund; a repetition only finds it.
    pub(crate) is_new: bool,
}

impl Books {
    /// `POST /v3/refund/domestic/refunds`.
    pub(crate) fn refund(&mut self, body: Value, now: Timestamp) -> Result<Accepted, Refusal> {
        schema::check(&body, schema::REFUND)?;
        check_notify_url(&body)?;
        let out_refund_no = text(&body, "/out_refund_no").to_owned();
        if let Some(known) = self.refunds.get(&out_refund_no) {
            if known.params != body {
                return Err(Refusal::invalid("退款单号重复：请求重入时，参数与首次请求不一致"));
            }
            return Ok(Accepted {
                answer: answer(known),
                out_refund_no,
                is_new: false,
            });
        }
        let (order, paid) = self.refundable(&body)?;
        let (refund, total) = (integer(&body, "/amount/refund"), integer(&body, "/amount/total"));
        self.fits(order, paid, refund, total, now)?;
        let new = Refund {
            out_refund_no: out_refund_no.clone(),
            id: format!("5030000{}{}", today(now), random_digits(14)),
            out_trade_no: order.out_trade_no.clone(),
            transaction_id: paid.transaction_id.clone(),
            amount: refund,
            total,
            payer_total: paid.payer_total,
            notify_url: optional_text(&body, "/notify_url"),
            created: now,
            status: RefundStatus::Processing,
            arrived: None,
            params: body,
        };
        let answer = answer(&new);
        if let Some(balance) = &mut self.balance {
            *balance -= refund;
        }
        if let Some(order) = self.orders.get_mut(&new.out_trade_no) {
            order.refunds.push(out_refund_no.clone());
        }
        self.refunds.insert(out_refund_no.clone(), new);
        Ok(Accepted {
            answer,
            out_refund_no,
            is_new: true,
        })
    }

    /// `GET /v3/refund/domestic/refunds/{}`.
    pub(crate) fn query_refund(&self, out_refund_no: &str) -> Result<Value, Refusal> {
        let found = self.refunds.get(out_refund_no).map(answer);
        found.ok_or_else(|| Refusal::new(404, "RESOURCE_NOT_EXISTS", "退款单不存在"))
    }

    /// The paid order that the body names; WeChat's number wins over the merchant's.
    fn refundable(&self, body: &Value) -> Result<(&Order, &Paid), Refusal> {
        let order = match (text(body, "/transaction_id"), text(body, "/out_trade_no")) {
            ("", "") => {
                let issue = "transaction_id or out_trade_no is required";
                return Err(Refusal::member("/transaction_id", &Value::Null, issue));
            }
            ("", out_trade_no) => self.orders.get(out_trade_no),
            (transaction_id, _) => self.by_transaction(transaction_id),
        };
        let missing = |message: &str| Refusal::new(404, "RESOURCE_NOT_EXISTS", message);
        let order = order.ok_or_else(|| missing("订单不存在"))?;
        let paid = order.paid.as_ref().ok_or_else(|| missing("订单未支付"))?;
        Ok((order, paid))
    }

    fn fits(&self, order: &Order, paid: &Paid, refund: i64, total: i64, now: Timestamp) -> Result<(), Refusal> {
        if total != order.total {
            return Err(Refusal::invalid("订单金额或退款金额与之前请求不一致，请核实后再试"));
        }
        if now > paid.at + REFUND_WINDOW {
            return Err(Refusal::invalid("订单已超过可退款期限"));
        }
        if order.refunds.len() >= MOST_REFUNDS {
            return Err(Refusal::invalid("部分退款次数已达50次上限"));
        }
        if refund > total - self.reserved(order) {
            return Err(Refusal::invalid("申请退款金额超过订单可退金额"));
        }
        let last = order.refunds.last().and_then(|number| self.refunds.get(number));
        if last.is_some_and(|last| now.duration_since(last.created).unsigned_abs() < self.refund_gap) {
            return Err(Refusal::new(429, "FREQUENCY_LIMITED", "同一笔订单的退款需间隔1分钟"));
        }
        if self.balance.is_some_and(|balance| balance < refund) {
            return Err(Refusal::new(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起"));
        }
        Ok(())
    }
}

fn today(now: Timestamp) -> String {
    china_digits(now).chars().take(8).collect()
}

fn answer(refund: &Refund) -> Value {
    let payer_refund = refund.payer_refund();
    let mut answer = json!({
        "refund_id": refund.id,
        "out_refund_no": refund.out_refund_no,
        "transaction_id": refund.transaction_id,
        "out_trade_no": refund.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": china_time(refund.created),
        "status": refund.status.as_str(),
        "funds_account": "AVAILABLE",
        "amount": {
            "total": refund.total,
            "refund": refund.amount,
            "payer_total": refund.payer_total,
            "payer_refund": payer_refund,
            "settlement_refund": payer_refund,
            "settlement_total": refund.payer_total,
            "discount_refund": refund.amount - payer_refund,
            "currency": "CNY",
        },
    });
    if let Some(arrived) = refund.arrived {
        put(&mut answer, "success_time", json!(china_time(arrived)));
    }
    answer
}

/// The refund as its callback announces it: smaller than the answer of a query, and with another name for the state.
pub(crate) fn announcement(refund: &Refund, mchid: &str) -> Value {
    let mut content = json!({
        "mchid": mchid,
        "out_trade_no": refund.out_trade_no,
        "transaction_id": refund.transaction_id,
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.id,
        "refund_status": refund.status.as_str(),
        "user_received_account": "支付用户零钱",
        "amount": {
            "total": refund.total,
            "refund": refund.amount,
            "payer_total": refund.payer_total,
            "payer_refund": refund.payer_refund(),
        },
    });
    if let Some(arrived) = refund.arrived {
        put(&mut content, "success_time", json!(china_time(arrived)));
    }
    content
}

#[cfg(test)]
mod tests;
