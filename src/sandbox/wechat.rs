//! WeChat Pay as a direct merchant meets it: the `APIv3` endpoints, the buyers, and the callbacks.
//!
//! Orders, refunds, transfers, bills and platform certificates are here; web authorization gets a file of its own beside these and a line
//! in `Call::find`.

mod answer;
mod api;
mod auth;
pub(crate) mod bills;
mod books;
mod buyer;
mod call;
mod certificates;
mod delivery;
mod faults;
mod json;
mod notices;
mod notification;
mod orders;
mod refunds;
mod refusal;
mod schema;
mod seen;
mod transfers;
pub(crate) mod weather;

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::{sync::watch, time::sleep};

pub use self::bills::{BillFault, BillLines, FlowLine, RefundLine, TradeColumns, TradeLine};
pub use self::books::{Channel, OrderView, RefundStatus, RefundView, TradeState};
pub use self::buyer::{Impossible, Payment, RefundEnd};
pub use self::delivery::{Delivery, RETRY_SCHEDULE, WeatherReport};
pub use self::faults::{After, Endpoint, Fault, FaultRule, HoldGuard};
pub use self::notification::{Notice, SignedNotification};
pub use self::seen::Seen;
pub use self::transfers::{TransferEnd, TransferStart, TransferState, TransferView};
use self::{books::Books, faults::Faults, weather::Network, weather::Underway};
use super::{
    Keys,
    clock::Clock,
    journal::{Journal, Party},
    lock,
    outbound::Outbound,
    platform::Platform,
    socket::Port,
    tasks::Tasks,
};

/// How this WeChat behaves from the start.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) retry_unit: Duration,
    pub(crate) callback_time_out: Duration,
    pub(crate) refund_after: Option<Duration>,
    pub(crate) refund_gap: Duration,
    pub(crate) balance: Option<i64>,
    pub(crate) transfer_balance: Option<i64>,
    pub(crate) transfer_start: TransferStart,
    pub(crate) cancel_after: Option<Duration>,
    pub(crate) bill_bom: bool,
    pub(crate) chaos: Option<u64>,
}

/// What WeChat shares with the other parties.
pub(crate) struct Surroundings {
    pub(crate) keys: Arc<Keys>,
    pub(crate) platform: Platform,
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
    platform: Platform,
    clock: Clock,
    tasks: Tasks,
    outbound: Outbound,
    journal: Journal,
    receiver: Party,
    rules: Rules,
    address: SocketAddr,
    books: Mutex<Books>,
    bills: Mutex<bills::Bills>,
    faults: Faults,
    network: Network,
    underway: Underway,
    announced: AtomicUsize,
    /// How many deliveries have ended.
    ended: watch::Sender<u64>,
    seen: Mutex<Vec<Seen>>,
    deliveries: Mutex<Vec<Delivery>>,
}

impl Wechat {
    /// Starts to serve on `port`.
    pub(crate) fn start(port: Port, rules: Rules, around: Surroundings) -> Self {
        let books = Books {
            balance: rules.balance,
            refund_gap: rules.refund_gap,
            transfer_balance: rules.transfer_balance,
            transfer_start: rules.transfer_start,
            ..Books::default()
        };
        let tasks = around.tasks.clone();
        let network = Network::new(rules.chaos);
        let inner = Inner {
            keys: around.keys,
            platform: around.platform,
            clock: around.clock,
            tasks: around.tasks,
            outbound: around.outbound,
            journal: around.journal,
            receiver: around.receiver,
            rules,
            address: port.address(),
            books: Mutex::new(books),
            bills: Mutex::default(),
            faults: Faults::default(),
            network,
            underway: Underway::default(),
            announced: AtomicUsize::new(0),
            ended: watch::Sender::default(),
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

    /// The order that this prepay id is for, while it can be paid with.
    pub(crate) fn order_of_prepay(&self, prepay_id: &str) -> Option<OrderView> {
        let now = self.inner.clock.now();
        let books = self.books();
        let mut orders = books.orders.values();
        let order = orders.find(|order| order.prepay_id == prepay_id && order.prepay_is_alive(now))?;
        Some(OrderView::of(order, now))
    }

    /// One refund.
    pub fn refund(&self, out_refund_no: &str) -> Option<RefundView> {
        self.books().refunds.get(out_refund_no).map(RefundView::from)
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

    /// The next `times` deliveries are each held back until another one has ended, for a minute at most.
    pub fn hold_callbacks_back(&self, times: u32) {
        self.inner.network.hold_back(times);
    }

    /// The next `times` deliveries carry WeChat's probe instead of a signature.
    pub fn probe_callbacks(&self, times: u32) {
        self.inner.network.probe(times);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.inner.books)
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
mod tests;
