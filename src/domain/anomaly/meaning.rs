//! What an anomaly means to a person: the same words on the terminal and on the page.

use super::AnomalyKind;

impl AnomalyKind {
    /// What it means and what to do about it, in English and Chinese.
    pub(crate) const fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownOrder => (
                "WeChat Pay tells of an order that is not in this store. Look it up in the merchant platform: placed by another system? Then deliver or refund there.",
                "收到本存储没有的订单。请到商户平台核对：若由其他系统下单，在该系统发货或退款。",
            ),
            Self::UnknownRefund => (
                "WeChat Pay tells of a refund that is not in this store. Made in the merchant platform or by another system? Then count it there.",
                "收到本存储没有的退款。若在商户平台或其他系统发起，请在该处记账。",
            ),
            Self::UnknownTransfer => (
                "WeChat Pay tells of a transfer that is not in this store. Find out who paid it out of the merchant's balance.",
                "收到本存储没有的转账。请查明是谁从商户余额转出。",
            ),
            Self::ForeignMerchant => (
                "It belongs to another merchant, and moved nothing here. Check merchantId and where the callbacks of the other one go.",
                "属于其他商户，未改动任何订单。请检查 merchantId 及对方的回调地址。",
            ),
            Self::ForeignApp => (
                "It belongs to an app that the order was not placed for, and moved nothing here. Check appId, service_app_id and appIds.",
                "属于下单之外的应用，未改动任何订单。请检查 appId、service_app_id 与 appIds。",
            ),
            Self::AmountMismatch => (
                "The amount or the currency is not the order's, so the order does not count as paid. Compare with the merchant platform; refund there.",
                "金额或币种与订单不符，订单未记为已支付。请与商户平台核对并在该处退款。",
            ),
            Self::PaidAfterClose => (
                "Paid although it was closed: real money, and the order counts as paid. Deliver, or refund.",
                "关闭后仍收到付款：钱已到账，订单记为已支付。请发货或退款。",
            ),
            Self::PaidAfterFailure => (
                "Paid although it was given up: real money, and the order counts as paid. Deliver, or refund.",
                "放弃后仍收到付款：钱已到账，订单记为已支付。请发货或退款。",
            ),
            Self::PlacedElsewhere => (
                "The number is of an order that another system placed, and somebody named it here. It belongs to its payer; look who asked for it: `orders show`.",
                "该订单号由其他系统下单，有人在此使用。订单归付款人所有；用 `orders show` 查看请求者。",
            ),
            Self::SecondPayment => (
                "A second payment for an order that is paid. Refund one of the two in the merchant platform.",
                "已支付订单的第二笔付款。请在商户平台退还其中一笔。",
            ),
            Self::Contradiction => (
                "What WeChat Pay says contradicts what it said before; the books stand as they were. Compare with the merchant platform.",
                "微信支付的说法前后矛盾，账本保持原状。请与商户平台核对。",
            ),
            Self::UnknownEvent => (
                "A notification of a kind that this version does not know: it is kept and moved nothing. Is there a newer version?",
                "本版本不认识的通知类型，已保存，未改动任何订单。请检查是否有新版本。",
            ),
            Self::Unreadable => (
                "A genuine notification that cannot be read: it is kept and moved nothing. Ask WeChat Pay about its number in the merchant platform.",
                "真实但无法解读的通知，已保存，未改动任何订单。请在商户平台核对。",
            ),
            Self::BillMissingHere => (
                "The bill has it, and this store does not know its number. Placed by another system under the same app? Then count it there; else look it up in the merchant platform.",
                "账单中有，本存储没有此单号。若由同一应用下的其他系统发起，在该处记账；否则请到商户平台核对。",
            ),
            Self::BillMissingThere => (
                "This store counts it to the day, and it is not in the bill. Compare with the merchant platform before anything is delivered or paid out for it.",
                "本存储计入当日，账单中没有。发货或出款前请与商户平台核对。",
            ),
            Self::BillAmount => (
                "The bill has another amount. Compare with the merchant platform; the money is what the bill says.",
                "账单金额不同。请与商户平台核对；实际金额以账单为准。",
            ),
            Self::BillState => (
                "The bill has it as made, and this store does not. `pay-common reconcile --date DAY --repair` asks WeChat Pay and settles what it says.",
                "账单显示已完成，本存储未记录。用 `pay-common reconcile --date 日期 --repair` 向微信支付查询并入账。",
            ),
            Self::BillRefund => (
                "The bill has another amount, state or order of this refund. `pay-common reconcile --date DAY --repair` asks WeChat Pay about its state; another amount is for the merchant platform.",
                "账单中该退款的金额、状态或订单不同。用 `pay-common reconcile --date 日期 --repair` 查询状态；金额不同请到商户平台核对。",
            ),
        }
    }
}
