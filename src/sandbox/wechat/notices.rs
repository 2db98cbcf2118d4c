//! Callbacks without sending them: for a test that wants to send them itself, or to change them first.

use super::{Impossible, Notice, RefundStatus, SignedNotification, Wechat, notification};

impl Wechat {
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

    /// The callback of a transfer that has ended, signed now.
    pub fn transfer_notification(&self, out_bill_no: &str) -> Result<SignedNotification, Impossible> {
        self.transfer_notification_with(out_bill_no, |_| {})
    }

    /// The same after `change`.
    pub fn transfer_notification_with(
        &self,
        out_bill_no: &str,
        change: impl FnOnce(&mut Notice),
    ) -> Result<SignedNotification, Impossible> {
        self.end_overdue_transfers();
        let now = self.inner.clock.now();
        let mut notice = {
            let books = self.books();
            let transfer = books.transfers.get(out_bill_no).ok_or(Impossible::NoSuchTransfer)?;
            if !transfer.state.is_final() {
                return Err(Impossible::WrongTransferState);
            }
            Notice::of_transfer(transfer, self.inner.keys.mchid(), now)
        };
        change(&mut notice);
        Ok(self.notification(&notice))
    }

    /// Any callback at all, encrypted and signed now.
    pub fn notification(&self, notice: &Notice) -> SignedNotification {
        let body = notice.envelope(&self.inner.keys);
        notification::signed(&self.inner.platform.signer_of_callback(), body, self.inner.clock.now())
    }

    /// The same body with a fresh timestamp, nonce and signature, as at WeChat's next attempt.
    pub fn sign_again(&self, notification: &SignedNotification) -> SignedNotification {
        let signer = self.inner.platform.signer_of_callback();
        notification::signed(&signer, notification.body.clone(), self.inner.clock.now())
    }
}
