//! What the names of the books mean, in both languages. The names themselves are shown too: they are WeChat's, and stand in the log, in
//! webhooks and on the terminal.

use crate::domain::event::Delivery;
use crate::domain::order::TradeState;
use crate::domain::refund::RefundState;
use crate::domain::transfer::TransferState;
use crate::store::timeline::Cause;

/// Whether somebody has to look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// It goes on by itself.
    Waits,
    /// A person is needed.
    Wrong,
    /// Nothing follows.
    Over,
}

/// What a name means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    pub(super) tone: Tone,
    pub(super) chinese: &'static str,
    pub(super) english: &'static str,
}

const fn meaning(tone: Tone, chinese: &'static str, english: &'static str) -> Meaning {
    Meaning { tone, chinese, english }
}

/// Of an order.
pub(super) fn order(name: &str) -> Option<Meaning> {
    Some(match TradeState::parse(name)? {
        TradeState::Created => meaning(Tone::Waits, "正在下单", "being placed"),
        TradeState::NotPay => meaning(Tone::Waits, "待支付", "not paid yet"),
        TradeState::Success => meaning(Tone::Good, "已支付", "paid"),
        TradeState::Refund => meaning(Tone::Good, "已支付，有退款", "paid, with refunds"),
        TradeState::Closed => meaning(Tone::Over, "已关闭", "closed"),
        TradeState::Failed => meaning(Tone::Over, "下单未成功", "never accepted"),
    })
}

/// Of a refund.
pub(super) fn refund(name: &str) -> Option<Meaning> {
    Some(match RefundState::parse(name)? {
        RefundState::Created => meaning(Tone::Waits, "正在申请", "being asked for"),
        RefundState::Processing => meaning(Tone::Waits, "退款中", "under way"),
        RefundState::Success => meaning(Tone::Good, "已退款", "paid back"),
        RefundState::Closed => meaning(Tone::Over, "已关闭，未退款", "closed, nothing was paid back"),
        RefundState::Abnormal => meaning(
            Tone::Wrong,
            "异常，需在商户平台处理",
            "stuck, see the merchant platform",
        ),
        RefundState::Failed => meaning(Tone::Over, "未受理", "never accepted"),
    })
}

/// Of a transfer.
pub(super) fn transfer(name: &str) -> Option<Meaning> {
    Some(match TransferState::parse(name)? {
        TransferState::Created => meaning(Tone::Waits, "正在申请", "being asked for"),
        TransferState::Rejected => meaning(Tone::Over, "未受理", "never accepted"),
        TransferState::Accepted => meaning(Tone::Waits, "已受理", "accepted"),
        TransferState::Processing => meaning(Tone::Waits, "处理中", "under way"),
        TransferState::WaitUserConfirm => meaning(Tone::Waits, "待收款人确认", "waits for its receiver"),
        TransferState::Transfering => meaning(Tone::Waits, "转账中", "being paid"),
        TransferState::Canceling => meaning(Tone::Waits, "撤销中", "being cancelled"),
        TransferState::Success => meaning(Tone::Good, "已到账", "paid"),
        TransferState::Fail => meaning(Tone::Over, "失败，未付款", "failed, nothing was paid"),
        TransferState::Cancelled => meaning(Tone::Over, "已撤销", "cancelled"),
    })
}

/// Of the telling of an event.
pub(super) fn delivery(name: &str) -> Option<Meaning> {
    Some(match Delivery::parse(name)? {
        Delivery::Unsent => meaning(Tone::Over, "无接收方，未发送", "nobody to tell"),
        Delivery::Waiting => meaning(Tone::Waits, "待送达", "not delivered yet"),
        Delivery::Delivered => meaning(Tone::Good, "已送达", "delivered"),
        Delivery::Dead => meaning(Tone::Wrong, "已放弃", "given up"),
    })
}

/// Of a move that is no state of WeChat's.
pub(super) fn order_move(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "to be closed" => Some(("请求关单", "to be closed")),
        "entered, placed elsewhere" => Some(("由其他系统下单，补录入账", "entered, placed elsewhere")),
        _ => order(name).map(|meaning| (meaning.chinese, meaning.english)),
    }
}

/// Why something stands as it does.
pub(super) const fn cause(cause: Cause) -> (&'static str, &'static str) {
    match cause {
        Cause::Request => ("本服务收到请求", "asked for here"),
        Cause::Answer => ("微信支付的应答", "WeChat Pay's answer"),
        Cause::Callback => ("回调", "a callback"),
    }
}

/// What proved a callback.
pub(super) fn proof(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "signature" => Some(("微信签名", "WeChat Pay's signature")),
        "ciphertext" => Some(("APIv3 密文", "the APIv3 ciphertext")),
        "answer" => Some(("主动查询的应答", "WeChat Pay's answer to a question")),
        "integration_id" => Some(("集成标识（未验证内容）", "the integration id (content unproven)")),
        _ => None,
    }
}

/// What became of a callback.
pub(super) fn outcome(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "applied" => Some(("已入账", "in the books")),
        "known" => Some(("此前已知", "known before")),
        "anomaly" => Some(("记为异常", "kept as an anomaly")),
        "nothing_yet" => Some(("尚无结果", "nothing to apply yet")),
        _ => None,
    }
}

/// What a kind of entry in a history is called.
pub(super) fn kind(name: &str) -> (&'static str, &'static str) {
    match name {
        "order" => ("订单", "Order"),
        "refund" => ("退款", "Refund"),
        "transfer" => ("转账", "Transfer"),
        "request" => ("请求", "Request"),
        "callback" => ("回调", "Callback"),
        "event" => ("通知", "Event"),
        "webhook" => ("推送", "Attempt"),
        "anomaly" => ("异常", "Anomaly"),
        _ => ("已处理", "Resolved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_said_in_both_languages() {
        let all = TradeState::ALL.map(TradeState::as_str).map(order).into_iter();
        let all = all.chain(RefundState::ALL.map(RefundState::as_str).map(refund));
        let all = all.chain(TransferState::ALL.map(TransferState::as_str).map(transfer));
        for one in all.chain(Delivery::ALL.map(Delivery::as_str).map(delivery)) {
            let Meaning { chinese, english, .. } = one.unwrap();
            assert!(!chinese.is_ascii() && english.is_ascii(), "{chinese} {english}");
        }
        assert!(order("SOMETHING_NEW").is_none());
    }
}
