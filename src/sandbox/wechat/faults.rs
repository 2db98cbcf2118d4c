//! What a test can make go wrong when the service asks WeChat, and holding an answer back to look at the moment
//! between the deed and its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::sandbox::lock;

/// A group of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Every request.
    Any,
    /// An order in any channel.
    Prepay,
    /// A query of an order, by either number.
    QueryOrder,
    /// A close.
    Close,
    /// An application for a refund.
    Refund,
    /// A query of a refund.
    QueryRefund,
    /// An application for a transfer.
    Transfer,
    /// A query of a transfer, by either number.
    QueryTransfer,
    /// Taking a transfer back.
    CancelTransfer,
    /// The list of platform certificates.
    Certificates,
    /// An application for a trade bill.
    TradeBill,
    /// An application for a fund flow bill.
    FundFlowBill,
    /// The file of a bill.
    DownloadBill,
}

impl Endpoint {
    /// Whether this group holds requests to `other`.
    pub fn covers(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The request is refused with this and nothing is done. The signature of the request is still checked first.
    Refuse {
        /// HTTP status.
        status: u16,
        /// WeChat's constant.
        code: String,
        /// Text for a person.
        message: String,
        /// Whether the refusal carries WeChat's signature.
        signed: bool,
    },
    /// The connection is closed without an answer and nothing is done.
    DropBefore,
    /// Nothing happens for so long; then the request goes its usual way.
    HangBefore(Duration),
    /// The request is done as usual, and then its answer suffers.
    ProcessThen(After),
}

impl Fault {
    /// A signed refusal.
    pub fn refuse(status: u16, code: &str) -> Self {
        Self::Refuse {
            status,
            code: code.to_owned(),
            message: format!("sandbox: {code}"),
            signed: true,
        }
    }

    /// The same refusal without a signature.
    pub fn refuse_unsigned(status: u16, code: &str) -> Self {
        Self::Refuse {
            status,
            code: code.to_owned(),
            message: format!("sandbox: {code}"),
            signed: false,
        }
    }
}

/// What happens to the answer of a request that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The connection is closed and no byte of the answer is sent.
    DropConnection,
    /// The answer comes so much later.
    Hang(Duration),
    /// The signature belongs to other content.
    BadSignature,
    /// The `Wechatpay-*` headers are missing.
    NoSignature,
    /// The signature is right, but names a key that nobody has.
    WrongSerial,
    /// WeChat's own probe: `WECHATPAY/SIGNTEST/` where the signature should be.
    SignTest,
    /// 502 and a page of HTML, as from a gateway.
    Garbage,
    /// This status with an empty body and no signature.
    Status(u16),
}

/// A fault, the requests that it meets, and how many of them.
#[derive(Debug, Clone)]
pub struct FaultRule {
    endpoint: Endpoint,
    fault: Fault,
    /// So many requests go well first.
    spared: u32,
    times: u32,
    about: Option<String>,
}

impl FaultRule {
    /// The next request at `endpoint` meets `fault`.
    pub const fn on(endpoint: Endpoint, fault: Fault) -> Self {
        Self {
            endpoint,
            fault,
            spared: 0,
            times: 1,
            about: None,
        }
    }

    /// So many requests meet it.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// So many of the requests that would meet it go well first.
    #[must_use]
    pub const fn after(mut self, spared: u32) -> Self {
        self.spared = spared;
        self
    }

    /// Only requests meet it whose path or body contains this text, for example an order number.
    #[must_use]
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.about = Some(text.into());
        self
    }

    fn meets(&self, endpoint: Endpoint, target: &str, body: &str) -> bool {
        let about = self.about.as_deref();
        self.endpoint.covers(endpoint) && about.is_none_or(|text| target.contains(text) || body.contains(text))
    }
}

/// The rules that are still to be met, in order, and the answers that are held.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<FaultRule>>,
    holds: Mutex<Vec<Hold>>,
}

impl Faults {
    pub(crate) fn add(&self, rule: FaultRule) {
        lock(&self.rules).push(rule);
    }

    pub(crate) fn clear(&self) {
        lock(&self.rules).clear();
    }

    /// The first rule that meets the request; a rule that has met its last one is gone.
    pub(crate) fn take(&self, endpoint: Endpoint, target: &str, body: &[u8]) -> Option<Fault> {
        let body = String::from_utf8_lossy(body);
        let mut rules = lock(&self.rules);
        rules.retain(|rule| rule.times > 0);
        let rule = rules.iter_mut().find(|rule| rule.meets(endpoint, target, &body))?;
        if rule.spared > 0 {
            rule.spared -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    pub(crate) fn hold(&self, endpoint: Endpoint) -> HoldGuard {
        let hold = Hold {
            endpoint,
            released: CancellationToken::new(),
            reached: Arc::new(watch::Sender::new(0)),
        };
        let mut holds = lock(&self.holds);
        holds.retain(|hold| !hold.released.is_cancelled());
        holds.push(hold.clone());
        HoldGuard { hold }
    }

    /// Waits for as long as a test holds answers at this endpoint.
    pub(crate) async fn pass(&self, endpoint: Endpoint) {
        let holds = lock(&self.holds).clone();
        for hold in holds
            .iter()
            .filter(|hold| hold.endpoint.covers(endpoint) && !hold.released.is_cancelled())
        {
            hold.reached.send_modify(|count| *count += 1);
            hold.released.cancelled().await;
        }
    }
}

#[derive(Debug, Clone)]
struct Hold {
    endpoint: Endpoint,
    released: CancellationToken,
    reached: Arc<watch::Sender<usize>>,
}

/// Holds every answer at one endpoint, after the deed was done, until it is released or dropped.
#[derive(Debug)]
pub struct HoldGuard {
    hold: Hold,
}

impl HoldGuard {
    /// Waits until an answer is held.
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until so many answers have been held, including those whose asker has gone since.
    pub async fn reached_by(&self, count: usize) {
        let mut seen = self.hold.reached.subscribe();
        let waited = seen.wait_for(|reached| *reached >= count).await;
        debug_assert!(waited.is_ok(), "the guard itself keeps the sender");
    }

    /// Lets the held answers go, and all that come later.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.hold.released.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_meets_as_many_requests_as_it_says_and_no_others() {
        let faults = Faults::default();
        faults.add(FaultRule::on(Endpoint::Refund, Fault::DropBefore).times(2).about("R1"));
        assert!(faults.take(Endpoint::Prepay, "/R1", b"").is_none());
        assert!(
            faults
                .take(Endpoint::Refund, "/x", br#"{"out_refund_no":"R2"}"#)
                .is_none()
        );
        assert!(
            faults
                .take(Endpoint::Refund, "/x", br#"{"out_refund_no":"R1"}"#)
                .is_some()
        );
        assert!(faults.take(Endpoint::Refund, "/R1", b"").is_some());
        assert!(faults.take(Endpoint::Refund, "/R1", b"").is_none());
    }

    #[test]
    fn a_rule_may_spare_the_first_requests() {
        let faults = Faults::default();
        faults.add(FaultRule::on(Endpoint::Any, Fault::DropBefore).after(2).about("R1"));
        assert!(faults.take(Endpoint::Refund, "/R1", b"").is_none());
        assert!(faults.take(Endpoint::Refund, "/R2", b"").is_none());
        assert!(faults.take(Endpoint::QueryRefund, "/R1", b"").is_none());
        assert!(faults.take(Endpoint::QueryRefund, "/R1", b"").is_some());
        assert!(faults.take(Endpoint::QueryRefund, "/R1", b"").is_none());
    }

    #[tokio::test]
    async fn an_answer_is_held_until_it_is_released() {
        let faults = Arc::new(Faults::default());
        let guard = faults.hold(Endpoint::Close);
        faults.pass(Endpoint::Prepay).await;
        let held = {
            let faults = faults.clone();
            async move { faults.pass(Endpoint::Close).await }
        };
        let release = async {
            guard.reached().await;
            guard.release();
        };
        tokio::join!(held, release);
        faults.pass(Endpoint::Close).await;
    }
}
