//! WeChat Pay as a direct merchant meets it: the `APIv3` endpoints, the buyers, and the callbacks.
//!
//! Orders and refunds are here; transfers, certificates, bills and web authorization each get a file of their own
//! beside these and a line in `Call::find`.

mod api;
mod auth;
mod books;
mod buyer;
mod delivery;
mod faults;
mod json;
mod notification;
mod orders;
mod refunds;
mod refusal;
mod schema;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

pub use self::books::{Channel, OrderView, RefundStatus, RefundView, TradeState};
pub use self::buyer::{Impossible, Payment, RefundEnd};
pub use self::delivery::{Delivery, RETRY_SCHEDULE};
pub use self::faults::{After, Endpoint, Fault, FaultRule, HoldGuard};
pub use self::notification::{Notice, SignedNotification};
use self::{books::Books, delivery::Network, faults::Faults};
use super::{
    Keys,
    clock::Clock,
    journal::{Journal, Party},
    lock,
    outbound::Outbound,
    socket::Port,
    tasks::Tasks,
};

/// One request as WeChat saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it came.
    pub at: Timestamp,
    /// Where it went; nothing for an unknown path.
    pub endpoint: Option<Endpoint>,
    /// The HTTP method.
    pub method: String,
    /// The address exactly as it was sent.
    pub path_and_query: String,
    /// The body.
    pub body: String,
    /// The status that WeChat decided on, even if the answer was then spoilt or never sent.
    pub status: Option<u16>,
    /// The error code; nothing when all went well.
    pub code: Option<String>,
}

impl Seen {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// How this WeChat behaves from the start.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) retry_unit: Duration,
    pub(crate) callback_time_out: Duration,
    pub(crate) refund_after: Option<Duration>,
    pub(crate) refund_gap: Duration,
    pub(crate) balance: Option<i64>,
}

/// What WeChat shares with the other parties.
pub(crate) struct Surroundings {
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) outbound: Outbound,
    pub(crate) journal: Journal,
    /// Who gets the callbacks first.
    pub(crate) receiver: Party,
}

/// A handle on the simulated WeChat Pay; clones are the same one.
#[derive(Clone)]
pub struct Wechat {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Arc<Keys>,
    clock: Clock,
    tasks: Tasks,
    outbound: Outbound,
    journal: Journal,
    receiver: Party,
    rules: Rules,
    address: SocketAddr,
    books: Mutex<Books>,
    faults: Faults,
    network: Network,
    seen: Mutex<Vec<Seen>>,
    deliveries: Mutex<Vec<Delivery>>,
}

impl Wechat {
    /// Starts to serve on `port`.
    pub(crate) fn start(port: Port, rules: Rules, around: Surroundings) -> Self {
        let books = Books {
            balance: rules.balance,
            refund_gap: rules.refund_gap,
            ..Books::default()
        };
        let tasks = around.tasks.clone();
        let inner = Inner {
            keys: around.keys,
            clock: around.clock,
            tasks: around.tasks,
            outbound: around.outbound,
            journal: around.journal,
            receiver: around.receiver,
            rules,
            address: port.address(),
            books: Mutex::new(books),
            faults: Faults::default(),
            network: Network::default(),
            seen: Mutex::default(),
            deliveries: Mutex::default(),
        };
        let wechat = Self { inner: Arc::new(inner) };
        port.serve(&tasks, api::router(wechat.clone()));
        wechat
    }

    /// The address that stands for `https://api.mch.weixin.qq.com`.
    pub fn url(&self) -> String {
        format!("http://{}", self.inner.address)
    }

    // What a test looks at.

    /// One order.
    pub fn order(&self, out_trade_no: &str) -> Option<OrderView> {
        let now = self.inner.clock.now();
        self.books()
            .orders
            .get(out_trade_no)
            .map(|order| OrderView::of(order, now))
    }

    /// One refund.
    pub fn refund(&self, out_refund_no: &str) -> Option<RefundView> {
        self.books().refunds.get(out_refund_no).map(RefundView::from)
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.inner.seen).clone()
    }

    /// How many requests came to this endpoint, refused ones included.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        let seen = lock(&self.inner.seen);
        seen.iter()
            .filter(|seen| seen.endpoint.is_some_and(|at| endpoint.covers(at)))
            .count()
    }

    /// Every attempt to deliver a callback, in the order in which they ended.
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.inner.deliveries).clone()
    }

    // What the buyer and the bank do.

    /// The buyer pays the whole amount; gives the transaction id. The callback follows by itself.
    pub fn pay(&self, out_trade_no: &str) -> Result<String, Impossible> {
        self.pay_with(out_trade_no, &Payment::default())
    }

    /// The buyer pays in another way.
    pub fn pay_with(&self, out_trade_no: &str, how: &Payment) -> Result<String, Impossible> {
        let now = self.inner.clock.now();
        let paid = self.books().pay(out_trade_no, how, now)?;
        self.inner
            .journal
            .sent(Party::Buyer, Party::Wechat, format!("pays {out_trade_no}"));
        if how.notify {
            let notice = Notice::of_payment(&paid, self.inner.keys.mchid(), now);
            self.announce(&paid.notify_url, &notice);
        }
        Ok(paid.paid.map(|paid| paid.transaction_id).unwrap_or_default())
    }

    /// The buyer leaves the pay sheet. Nothing changes: the order can be paid a second later.
    pub fn cancel(&self, out_trade_no: &str) -> Result<(), Impossible> {
        let order = self.order(out_trade_no).ok_or(Impossible::NoSuchOrder)?;
        match order.state {
            TradeState::NotPay => {
                self.inner
                    .journal
                    .sent(Party::Buyer, Party::Wechat, format!("cancels {out_trade_no}"));
                Ok(())
            }
            TradeState::Closed => Err(Impossible::Closed),
            TradeState::Success | TradeState::Refund => Err(Impossible::AlreadyPaid),
        }
    }

    /// A refund ends; its callback follows if it has a `notify_url`.
    pub fn finish_refund(&self, out_refund_no: &str, end: RefundEnd) -> Result<(), Impossible> {
        let now = self.inner.clock.now();
        let refund = self.books().end_refund(out_refund_no, end, now)?;
        let what = format!("refund {out_refund_no} is {}", refund.status.as_str());
        self.inner.journal.sent(Party::Wechat, Party::Buyer, what);
        if let Some(url) = &refund.notify_url {
            self.announce(url, &Notice::of_refund(&refund, self.inner.keys.mchid(), now));
        }
        Ok(())
    }

    /// What the merchant has for refunds from now on; `None` is always enough. Only refunds change it.
    pub fn set_balance(&self, balance: Option<i64>) {
        self.books().balance = balance;
    }

    // Callbacks without sending them.

    /// The callback of a payment, signed now.
    pub fn payment_notification(&self, out_trade_no: &str) -> Result<SignedNotification, Impossible> {
        self.payment_notification_with(out_trade_no, |_| {})
    }

    /// The same after `change`: genuine, but not fitting.
    pub fn payment_notification_with(
        &self,
        out_trade_no: &str,
        change: impl FnOnce(&mut Notice),
    ) -> Result<SignedNotification, Impossible> {
        let now = self.inner.clock.now();
        let mut notice = {
            let books = self.books();
            let order = books.orders.get(out_trade_no).ok_or(Impossible::NoSuchOrder)?;
            if order.paid.is_none() {
                return Err(Impossible::NotPaid);
            }
            Notice::of_payment(order, self.inner.keys.mchid(), now)
        };
        change(&mut notice);
        Ok(self.notification(&notice))
    }

    /// The callback of a refund that has ended, signed now.
    pub fn refund_notification(&self, out_refund_no: &str) -> Result<SignedNotification, Impossible> {
        self.refund_notification_with(out_refund_no, |_| {})
    }

    /// The same after `change`.
    pub fn refund_notification_with(
        &self,
        out_refund_no: &str,
        change: impl FnOnce(&mut Notice),
    ) -> Result<SignedNotification, Impossible> {
        let now = self.inner.clock.now();
        let mut notice = {
            let books = self.books();
            let refund = books.refunds.get(out_refund_no).ok_or(Impossible::NoSuchRefund)?;
            if refund.status == RefundStatus::Processing {
                return Err(Impossible::WrongRefundState);
            }
            Notice::of_refund(refund, self.inner.keys.mchid(), now)
        };
        change(&mut notice);
        Ok(self.notification(&notice))
    }

    /// Any callback at all, encrypted and signed now.
    pub fn notification(&self, notice: &Notice) -> SignedNotification {
        let body = notice.envelope(&self.inner.keys);
        notification::signed(&self.inner.keys, body, self.inner.clock.now())
    }

    /// The same body with a fresh timestamp, nonce and signature, as at WeChat's next attempt.
    pub fn sign_again(&self, notification: &SignedNotification) -> SignedNotification {
        notification::signed(&self.inner.keys, notification.body.clone(), self.inner.clock.now())
    }

    // What goes wrong.

    /// The next request at `endpoint` meets `fault`.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.add_fault(FaultRule::on(endpoint, fault));
    }

    /// Requests meet faults by this rule, after the rules added before.
    pub fn add_fault(&self, rule: FaultRule) {
        self.inner.faults.add(rule);
    }

    /// Forgets the faults that nobody met.
    pub fn clear_faults(&self) {
        self.inner.faults.clear();
    }

    /// Holds the answers at `endpoint`, each after its deed, until the guard is released.
    pub fn hold(&self, endpoint: Endpoint) -> HoldGuard {
        self.inner.faults.hold(endpoint)
    }

    /// The next `times` deliveries of callbacks are lost on the way. `u32::MAX` is never any again, 0 all well.
    pub fn lose_callbacks(&self, times: u32) {
        self.inner.network.lose(times);
    }

    /// The next `times` deliveries arrive late.
    pub fn delay_callbacks(&self, times: u32, by: Duration) {
        self.inner.network.delay(times, by);
    }

    /// The next delivery is sent so many times more, at once, each with its own signature.
    pub fn duplicate_callback(&self, copies: u32) {
        self.inner.network.duplicate(copies);
    }

    /// The next `times` deliveries carry WeChat's probe instead of a signature.
    pub fn probe_callbacks(&self, times: u32) {
        self.inner.network.probe(times);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.inner.books)
    }

    fn see(&self, seen: Seen) -> usize {
        let mut all = lock(&self.inner.seen);
        all.push(seen);
        all.len() - 1
    }

    fn judge(&self, number: usize, status: u16, code: &str) {
        if let Some(seen) = lock(&self.inner.seen).get_mut(number) {
            seen.status = Some(status);
            seen.code = if code.is_empty() { None } else { Some(code.to_owned()) };
        }
    }

    /// A refund ends by itself after a while, unless somebody has ended it before.
    fn end_refund_later(&self, out_refund_no: String) {
        let Some(time) = self.inner.rules.refund_after else {
            return;
        };
        let wechat = self.clone();
        self.inner.tasks.spawn(async move {
            sleep(time).await;
            if let Err(ended) = wechat.finish_refund(&out_refund_no, RefundEnd::Success) {
                tracing::debug!("refund {out_refund_no} did not end by itself: {ended}");
            }
        });
    }
}

#[cfg(test)]
#[path = "wechat/tests.rs"]
mod tests;
