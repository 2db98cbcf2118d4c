//! The receiver, the bank and the clock: what happens to a transfer without the merchant asking.

use axum::http::HeaderMap;
use serde_json::Value;
use tokio::time::sleep;

use super::{CONFIRM_WITHIN, Transfer, TransferEnd, TransferStart, TransferState, TransferView, check_members};
use crate::sandbox::journal::Party;
use crate::sandbox::wechat::{
    Impossible, Notice, Wechat, api::named_key, json, refusal::Refusal, schema::optional_text,
};

impl Wechat {
    /// One transfer.
    pub fn transfer(&self, out_bill_no: &str) -> Option<TransferView> {
        self.end_overdue_transfers();
        self.books().transfers.get(out_bill_no).map(TransferView::from)
    }

    /// The receiver confirms and the money arrives at once; the callback follows if there is a `notify_url`.
    pub fn confirm_transfer(&self, out_bill_no: &str) -> Result<(), Impossible> {
        self.end_overdue_transfers();
        let now = self.inner.clock.now();
        let transfer = self.books().confirm_transfer(out_bill_no, now)?;
        self.inner
            .journal
            .sent(Party::Buyer, Party::Wechat, format!("confirms {out_bill_no}"));
        self.tell(&transfer);
        Ok(())
    }

    /// A transfer ends in this way; its callback follows if there is a `notify_url`.
    ///
    /// It fails from any state that is not final, succeeds once the receiver can confirm (also when the merchant took
    /// it back too late), and is taken back only after the merchant has asked for that.
    pub fn end_transfer(&self, out_bill_no: &str, end: &TransferEnd) -> Result<(), Impossible> {
        self.end_overdue_transfers();
        let now = self.inner.clock.now();
        let transfer = self.books().end_transfer(out_bill_no, end, now)?;
        self.tell(&transfer);
        Ok(())
    }

    /// One step on the way that nothing disturbs: `ACCEPTED`, `PROCESSING`, `WAIT_USER_CONFIRM`, `TRANSFERING`,
    /// `SUCCESS`. Gives the state that is reached.
    pub fn step_transfer(&self, out_bill_no: &str) -> Result<TransferState, Impossible> {
        self.end_overdue_transfers();
        let now = self.inner.clock.now();
        let transfer = self.books().step_transfer(out_bill_no, now)?;
        self.tell(&transfer);
        Ok(transfer.state)
    }

    /// What the merchant has for transfers from now on; `None` is always enough. Only transfers change it.
    pub fn set_transfer_balance(&self, balance: Option<i64>) {
        self.books().transfer_balance = balance;
    }

    /// In which state new transfers are from now on.
    pub fn start_transfers_as(&self, start: TransferStart) {
        self.books().transfer_start = start;
    }

    /// Creates a transfer; what has to be decrypted is decrypted before the books are opened.
    pub(in crate::sandbox::wechat) fn create_transfer(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Value, Refusal> {
        self.end_overdue_transfers();
        let body = json::object(body)?;
        check_members(&body)?;
        let name = match optional_text(&body, "/user_name") {
            Some(encrypted) => Some(self.name_of_receiver(headers, &encrypted)?),
            None => None,
        };
        let now = self.inner.clock.now();
        let accepted = self.books().transfer(body, name, &self.inner.keys, now)?;
        if accepted.is_new {
            let (wechat, clock) = (self.clone(), self.inner.clock.clone());
            self.inner.tasks.spawn(async move {
                clock.reaches(now + CONFIRM_WITHIN).await;
                wechat.end_overdue_transfers();
            });
        }
        Ok(accepted.answer)
    }

    /// Takes a transfer back, which ends a little later.
    pub(in crate::sandbox::wechat) fn cancel_transfer(
        &self,
        out_bill_no: String,
        body: &[u8],
    ) -> Result<Value, Refusal> {
        self.end_overdue_transfers();
        if !body.is_empty()
            && let Some((name, value)) = json::object(body)?
                .as_object()
                .and_then(|members| members.iter().next())
        {
            return Err(Refusal::extra(&format!("/{name}"), value));
        }
        let now = self.inner.clock.now();
        let (answer, moved) = self.books().cancel_transfer(&out_bill_no, now)?;
        if let (true, Some(time)) = (moved, self.inner.rules.cancel_after) {
            let wechat = self.clone();
            self.inner.tasks.spawn(async move {
                sleep(time).await;
                if let Err(ended) = wechat.end_transfer(&out_bill_no, &TransferEnd::Cancelled) {
                    tracing::debug!("the cancellation of {out_bill_no} did not end by itself: {ended}");
                }
            });
        }
        Ok(answer)
    }

    /// Ends the transfers that nobody confirmed in time, each once, and announces that.
    pub(in crate::sandbox::wechat) fn end_overdue_transfers(&self) {
        let now = self.inner.clock.now();
        let ended = self.books().end_overdue_transfers(now);
        for transfer in ended {
            self.tell(&transfer);
        }
    }

    fn name_of_receiver(&self, headers: &HeaderMap, encrypted: &str) -> Result<String, Refusal> {
        let Some(id) = named_key(headers) else {
            return Err(Refusal::new(400, "PARAM_ERROR", "缺少Http头Wechatpay-Serial"));
        };
        match self.inner.platform.decrypt(id, encrypted, self.inner.clock.now()) {
            Some(name) if !name.is_empty() => Ok(name),
            // The text itself is not repeated: what opens with another key is somebody's name.
            _ => Err(Refusal::member("/user_name", &Value::Null, "敏感信息解密失败")),
        }
    }

    fn tell(&self, transfer: &Transfer) {
        let number = &transfer.out_bill_no;
        let what = format!("transfer {number} is {}", transfer.state.as_str());
        self.inner.journal.sent(Party::Wechat, Party::Buyer, what);
        if let (true, Some(url)) = (transfer.state.is_final(), &transfer.notify_url) {
            let notice = Notice::of_transfer(transfer, self.inner.keys.mchid(), self.inner.clock.now());
            self.announce(url, &notice);
        }
    }
}
