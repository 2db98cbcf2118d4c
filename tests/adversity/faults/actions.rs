//! Every action that money can take, as something that may fail and is then done again.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{ForwardShape, Options, RefundEnd};
use serde_json::{Value, json};

use crate::invariants::{invariants, nothing_is_given_up};
use crate::support::app::{Came, TestApp, order, refund};
use crate::support::database::Store;
use crate::support::payouts::{BY_NUMBER, TRANSFER, transfer};

/// Something that a caller, WeChat or the sweep does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    Place,
    PlaceNative,
    Query,
    Close,
    Refund,
    RefundQuery,
    Transfer,
    TransferQuery,
    PaidSigned,
    PaidSealed,
    PaidPlain,
    RefundedSigned,
    RefundedSealed,
    TransferredSigned,
    TransferredPlain,
    Sweep,
}

use Action as A;

impl Action {
    pub const ALL: [Self; 16] = [
        A::Place,
        A::PlaceNative,
        A::Query,
        A::Close,
        A::Refund,
        A::RefundQuery,
        A::Transfer,
        A::TransferQuery,
        A::PaidSigned,
        A::PaidSealed,
        A::PaidPlain,
        A::RefundedSigned,
        A::RefundedSealed,
        A::TransferredSigned,
        A::TransferredPlain,
        A::Sweep,
    ];

    /// The number of what it is done to: of an order or a transfer, and the beginning of a refund's.
    pub fn number(self, round: usize) -> String {
        let place = Self::ALL.iter().position(|action| *action == self).unwrap();
        format!("F{round:03}A{place:02}Z")
    }

    /// What has to have happened before, without any fault. Nobody hears of a payment or an end by itself.
    pub async fn prepare(self, t: &TestApp, number: &str) {
        let wechat = t.world.wechat();
        let refund_number = refund_number(number);
        match self {
            A::Place | A::PlaceNative | A::Transfer => {}
            A::Query | A::PaidSigned | A::PaidSealed | A::PaidPlain | A::Sweep => {
                t.placed(number, 100).await;
                wechat.pay(number).unwrap();
            }
            A::Close => {
                t.placed(number, 100).await;
            }
            A::Refund => paid(t, number).await,
            A::RefundQuery | A::RefundedSigned | A::RefundedSealed => {
                paid(t, number).await;
                t.act("wxpay_refund", refund(number, &refund_number, 30, 100))
                    .await
                    .data();
                wechat.finish_refund(&refund_number, RefundEnd::Success).unwrap();
            }
            A::TransferQuery | A::TransferredSigned | A::TransferredPlain => {
                t.transferred(number, 500).await;
                wechat.confirm_transfer(number).unwrap();
            }
        }
    }

    /// Does it; what was answered, if it was done.
    pub async fn deed(self, t: &TestApp, number: &str) -> Option<Value> {
        let wechat = t.world.wechat();
        let by_number = json!({"out_trade_no": number});
        let refund_number = refund_number(number);
        let forwarded = |note, shape| {
            t.world.center().set_shape(shape);
            t.world.center().forward_of(&note).unwrap()
        };
        let came = match self {
            A::Place => t.act("wxpay_order", order(number, 100)).await,
            A::PlaceNative => {
                let mut body = order(number, 100);
                body.as_object_mut().unwrap().remove("payer");
                t.act("wxpay_order_native", body).await
            }
            A::Query => t.act("wxpay_query_order_by_out_trade_no", by_number).await,
            A::Close => {
                let came = t.act("wxpay_close_order", by_number).await;
                return (came.status == 200 && came.body["data"]["status"] == 204).then_some(Value::Null);
            }
            A::Refund => t.act("wxpay_refund", refund(number, &refund_number, 30, 100)).await,
            A::RefundQuery => {
                t.act("wxpay_refund_query", json!({"out_refund_no": refund_number}))
                    .await
            }
            A::Transfer => t.operate(TRANSFER, transfer(number, 500)).await,
            A::TransferQuery => t.operate(BY_NUMBER, json!({"out_bill_no": number})).await,
            A::PaidSigned => {
                let note = wechat.payment_notification(number).unwrap();
                return taken(&t.notify("/wx-pay/unifiedOrderTrigger", &note).await);
            }
            A::PaidSealed => {
                let note = wechat.payment_notification(number).unwrap();
                return taken(&t.forward(&forwarded(note, ForwardShape::default())).await);
            }
            A::PaidPlain => {
                let note = wechat.payment_notification(number).unwrap();
                return taken(&t.forward(&forwarded(note, ForwardShape::without_resource())).await);
            }
            A::RefundedSigned => {
                let note = wechat.refund_notification(&refund_number).unwrap();
                return taken(&t.notify("/wx-pay/refundTrigger", &note).await);
            }
            A::RefundedSealed => {
                let note = wechat.refund_notification(&refund_number).unwrap();
                return taken(&t.forward(&forwarded(note, ForwardShape::default())).await);
            }
            A::TransferredSigned => {
                let note = wechat.transfer_notification(number).unwrap();
                return taken(&t.notify("/wx-pay/transferTrigger", &note).await);
            }
            A::TransferredPlain => {
                let note = wechat.transfer_notification(number).unwrap();
                return taken(&t.forward(&forwarded(note, ForwardShape::without_resource())).await);
            }
            A::Sweep => return t.service.sweep().await.ok().map(|_| Value::Null),
        };
        // A refusal of WeChat's comes as a success with its code in it.
        let data = &came.body["data"]["data"];
        let done = came.status == 200 && came.body["code"] == 0 && data["code"].is_null();
        done.then(|| data.clone())
    }

    /// What the same number has to be answered each time.
    fn identity(self, answer: &Value) -> Value {
        match self {
            A::Place => answer["prepay_id"].clone(),
            A::PlaceNative => answer["code_url"].clone(),
            A::Refund => answer["refund_id"].clone(),
            A::Transfer => json!([answer["transfer_bill_no"], answer["package_info"]]),
            _ => Value::Null,
        }
    }

    /// What the business side has been told once it is done.
    pub fn told(self) -> &'static [&'static str] {
        match self {
            A::Place | A::PlaceNative => &["order.created"],
            A::Query | A::PaidSigned | A::PaidSealed | A::PaidPlain | A::Sweep => &["order.created", "order.paid"],
            A::Close => &["order.created", "order.closed"],
            A::Refund => &["order.created", "order.paid", "refund.created"],
            A::RefundQuery | A::RefundedSigned | A::RefundedSealed => {
                &["order.created", "order.paid", "refund.created", "refund.succeeded"]
            }
            A::Transfer => &["transfer.created"],
            A::TransferQuery | A::TransferredSigned | A::TransferredPlain => {
                &["transfer.created", "transfer.succeeded"]
            }
        }
    }

    /// It was answered as done, so the books say so.
    pub async fn assert_done(self, t: &TestApp, number: &str) {
        let told = self.events(t, number).await;
        assert_eq!(told, self.told(), "{self:?} of {number} was answered as done");
    }

    async fn events(self, t: &TestApp, number: &str) -> Vec<String> {
        match self {
            A::Transfer | A::TransferQuery | A::TransferredSigned | A::TransferredPlain => {
                t.transfer_events(number).await
            }
            _ => t.events(number).await,
        }
    }
}

pub fn refund_number(number: &str) -> String {
    format!("{number}R")
}

/// An acknowledgement is the whole answer.
fn taken(came: &Came) -> Option<Value> {
    (came.status == 200).then_some(Value::Null)
}

async fn paid(t: &TestApp, number: &str) {
    t.placed(number, 100).await;
    t.world.wechat().pay(number).unwrap();
    let by_number = json!({"out_trade_no": number});
    t.act("wxpay_query_order_by_out_trade_no", by_number).await.data();
}

/// A world in which nobody is told of anything, refunds end by hand, and the service waits for WeChat for two seconds only.
pub async fn stage(store: Store) -> TestApp {
    stage_with(store, &[]).await
}

/// The same with more settings.
pub async fn stage_with(store: Store, settings: &[(&str, &str)]) -> TestApp {
    let t = TestApp::start_with(store, options(), &[&usual(), settings].concat()).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t
}

pub fn options() -> Options {
    Options {
        refund_after: None,
        // One attempt, and then none for as long as a test lasts: callbacks are delivered by hand.
        retry_unit: Duration::from_secs(3600),
        ..Options::default()
    }
}

pub fn usual() -> [(&'static str, &'static str); 4] {
    [
        ("transferPolicy", "any"),
        ("wechatPayTimeoutMs", "2000"),
        ("wechatPayConnectTimeoutMs", "500"),
        // What is placed stays placed; what time does to orders is in the histories.
        ("closeUnpaidAfter", "0"),
    ]
}

/// Does every action while something is broken, and again when it is mended; gives how many. What was answered as done is done, and in
/// the end everything is.
pub async fn every_action(t: &TestApp, round: usize, breaks: impl AsyncFnOnce(), mends: impl AsyncFnOnce()) -> usize {
    let deeds: Vec<(Action, String)> = A::ALL.iter().map(|action| (*action, action.number(round))).collect();
    join_all(deeds.iter().map(|(action, number)| action.prepare(t, number))).await;
    // What the sweep is to find is due.
    t.advance(Duration::from_secs(16));

    breaks().await;
    // The sweep comes last: it would do what the others are here for.
    let (sweep, others) = deeds.split_last().unwrap();
    let mut answers = join_all(others.iter().map(|(action, number)| action.deed(t, number))).await;
    answers.push(sweep.0.deed(t, &sweep.1).await);
    // Nor does it help to ask what became of it all while nothing works.
    for _ in 0..2 {
        t.advance(Duration::from_secs(61));
        sweep.0.deed(t, &sweep.1).await;
    }
    mends().await;
    nothing_is_given_up(t).await;

    for ((action, number), answer) in deeds.iter().zip(&answers) {
        // A sweep says only that it has asked.
        if answer.is_some() && *action != A::Sweep {
            action.assert_done(t, number).await;
        }
    }
    finish(t, &deeds).await;
    deeds.len()
}

/// Everybody does again what they have no answer to, as often as it takes; then the sweep asks about the rest, and all is as it should be.
pub async fn finish(t: &TestApp, deeds: &[(Action, String)]) {
    join_all(deeds.iter().map(|(action, number)| again(t, *action, number))).await;
    // The last pause is for what was asked about while a clock was wrong.
    for seconds in [61, 61, 61, 660] {
        t.advance(Duration::from_secs(seconds));
        t.service.sweep().await.unwrap();
    }
    for (action, number) in deeds {
        assert_eq!(action.events(t, number).await, action.told(), "{action:?} of {number}");
    }
    invariants(t).await;
}

/// Does it until it is done, and then once more: the same number has the same answer.
async fn again(t: &TestApp, action: Action, number: &str) {
    let mut done = None;
    for _ in 0..4 {
        done = action.deed(t, number).await;
        if done.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let done = done.unwrap_or_else(|| panic!("{action:?} of {number} cannot be done any more"));
    let once_more = action.deed(t, number).await;
    let once_more = once_more.unwrap_or_else(|| panic!("{action:?} of {number} cannot be done again"));
    assert_eq!(
        action.identity(&done),
        action.identity(&once_more),
        "{action:?} of {number}"
    );
}
