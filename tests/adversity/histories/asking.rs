//! How the steps of a history ask the service, and what they are told.

use futures_util::future::join_all;
use pay_common::sandbox::{ForwardShape, Impossible, RefundStatus, SignedNotification};
use serde_json::{Value, json};

use super::model::Told;
use super::player::Player;
use super::step::{Call, Door, TOTAL};
use crate::support::app::{Came, order, refund};

impl Player<'_> {
    /// Only what has ended is told of.
    pub fn word_of_refund(&self, order: usize, refund: usize) -> Result<SignedNotification, Impossible> {
        match self.model.orders[order].refunds[refund].there {
            None | Some(RefundStatus::Processing) => Err(Impossible::WrongRefundState),
            Some(_) => {
                let number = self.numbers.refund(order, refund);
                self.stage.t().world.wechat().refund_notification(&number)
            }
        }
    }

    /// Asks the service; `None` when there is nothing to ask with.
    pub async fn ask(&self, call: &Call) -> Option<Told> {
        let t = self.stage.t();
        let wechat = t.world.wechat();
        let act = |action, body: Value| t.act_as(self.stage.token(), action, body);
        let by_number = |order| json!({"out_trade_no": self.numbers.order(order)});
        let came = match *call {
            Call::Place { order: at, total } => act("wxpay_order", order(&self.numbers.order(at), total)).await,
            Call::Query { order } => act("wxpay_query_order_by_out_trade_no", by_number(order)).await,
            Call::Close { order } => {
                let came = act("wxpay_close_order", by_number(order)).await;
                let done = came.status == 200 && came.body["data"]["status"] == 204;
                return Some(Told { done, ..told(&came) });
            }
            Call::Refund {
                order: at,
                refund: refund_at,
                amount,
            } => {
                let (number, refund_number) = (self.numbers.order(at), self.numbers.refund(at, refund_at));
                let total = self.model.orders[at].total.unwrap_or(TOTAL);
                act("wxpay_refund", refund(&number, &refund_number, amount, total)).await
            }
            Call::QueryRefund { order, refund } => {
                let number = self.numbers.refund(order, refund);
                act("wxpay_refund_query", json!({"out_refund_no": number})).await
            }
            Call::HearPayment { order, door, copies } => {
                let note = wechat.payment_notification(&self.numbers.order(order)).ok()?;
                let heard = join_all((0..copies).map(|_| self.hear(&note, false, door))).await;
                heard.into_iter().max_by_key(|came| came.status)?
            }
            Call::HearRefund { order, refund, door } => {
                let note = self.word_of_refund(order, refund).ok()?;
                self.hear(&note, true, door).await
            }
            Call::HearLate { which, door } => {
                let (note, is_refund) = self.late.get(which)?;
                // WeChat's own delivery is that of then; the Integration Center verified it then, too.
                let note = match door {
                    Door::Signed => note.clone(),
                    Door::Sealed | Door::Plain => wechat.sign_again(note),
                };
                self.hear(&note, *is_refund, door).await
            }
            Call::Forge { order } => {
                let order = wechat.order(&self.numbers.order(order))?;
                t.world.center().set_shape(ForwardShape::default());
                t.forward(&t.world.center().forge(&order)).await
            }
            Call::Probe { order } => {
                let note = wechat.payment_notification(&self.numbers.order(order)).ok()?;
                let probe = note.with_header("Wechatpay-Signature", "WECHATPAY/SIGNTEST/AAAA");
                t.notify("/wx-pay/unifiedOrderTrigger", &probe).await
            }
            Call::Sweep => {
                let done = t.service.sweep().await.is_ok();
                return Some(Told {
                    status: 200,
                    done,
                    error: String::new(),
                    data: Value::Null,
                });
            }
        };
        Some(told(&came))
    }

    async fn hear(&self, note: &SignedNotification, is_refund: bool, door: Door) -> Came {
        let t = self.stage.t();
        let shape = match door {
            Door::Signed => {
                let path = if is_refund {
                    "/wx-pay/refundTrigger"
                } else {
                    "/wx-pay/unifiedOrderTrigger"
                };
                return t.notify(path, note).await;
            }
            Door::Sealed => ForwardShape::default(),
            Door::Plain => ForwardShape::without_resource(),
        };
        t.world.center().set_shape(shape);
        t.forward(&t.world.center().forward_of(note).unwrap()).await
    }
}

fn told(came: &Came) -> Told {
    let data = &came.body["data"]["data"];
    Told {
        status: came.status,
        // A refusal of WeChat's comes as a success with its code in it.
        done: came.status == 200 && came.body["code"] == 0 && data["code"].is_null(),
        error: came.body["error"].as_str().unwrap_or_default().to_owned(),
        data: data.clone(),
    }
}
