//! What a person reads of each failure, in both languages: what is wrong, and what to do.

#![deny(clippy::wildcard_enum_match_arm)]

use super::{Failure, NoCaller};
use crate::http::text::{Language, Text};
use crate::wechat::error::{Refusal, Unknown, WechatError};

impl NoCaller {
    fn text(self) -> Text {
        match self {
            Self::Nobody => Text::new(
                "缺少身份：请携带 Authorization: Bearer 令牌",
                "nobody is known to ask: send Authorization: Bearer with a token",
            ),
            Self::Unusable => Text::new(
                "令牌不可用：请重新登录获取",
                "the token cannot be used: log in again for a new one",
            ),
            Self::Expired => Text::new(
                "令牌已过期：请重新登录获取",
                "the token has expired: log in again for a new one",
            ),
            Self::Anonymous => Text::new(
                "匿名登录不能调用支付：请先登录",
                "an anonymous login cannot pay: log in with an account first",
            ),
            Self::SessionOver => Text::new(
                "会话已结束：请重新打开页面完成微信授权",
                "the session is over: open the page again for WeChat's authorization",
            ),
            Self::ForeignPage => Text::new(
                "会话仅对本服务自己的页面有效：其他页面请携带 Authorization: Bearer 令牌",
                "a session counts on this service's own pages only: from another page send Authorization: Bearer with a token",
            ),
            Self::UnknownOperator => Text::new("运维密钥无效", "the operator key is not one of the configured ones"),
        }
    }
}

impl Failure {
    /// The sentence for a person: what is wrong and what to do.
    #[expect(
        clippy::too_many_lines,
        reason = "one sentence per failure; taking them apart would hide the list"
    )]
    pub(crate) fn text(&self) -> Text {
        match self {
            Self::NotJson(why) => Text::new(
                format!("请求体不是有效的 JSON：{why}"),
                format!("the body is not valid JSON: {why}"),
            ),
            Self::NotAnObject => Text::new("请求体必须是 JSON 对象", "the body must be a JSON object"),
            Self::NotACallback => Text::new(
                "请求体不是回调：没有 resource、rawData、ParsedContent 等成员",
                "the body is no callback: it has no resource, rawData, ParsedContent or the like",
            ),
            Self::NoAction => Text::new(
                "请求体没有 _action，也不是回调；例如 {\"_action\":\"wxpay_order\"}",
                "the body names no _action and is no callback; for example {\"_action\":\"wxpay_order\"}",
            ),
            Self::UnknownAction(name) => {
                Text::new(format!("没有名为 {name} 的操作"), format!("there is no action {name}"))
            }
            Self::InvalidParams(faults) => {
                let listed = |language| {
                    let parts: Vec<String> = faults
                        .iter()
                        .map(|fault| format!("{} {}", fault.member, fault.rule.text().in_language(language)))
                        .collect();
                    parts.join("; ")
                };
                Text::new(listed(Language::Chinese), listed(Language::English))
            }
            Self::Unauthenticated(why) => why.text(),
            Self::AuthUnavailable => Text::new(
                "暂时无法验证登录令牌，请稍后重试",
                "the token cannot be verified just now; send the same call again",
            ),
            Self::TicketRequired => Text::new(
                "下单必须携带 order_ticket：请向商户后端获取",
                "an order needs an order_ticket: get one from the merchant's backend",
            ),
            Self::BadTicket(why) => why.text(),
            Self::NotAuthorized(why) => why.text(),
            Self::Forbidden => Text::new("无权操作此订单", "this caller may not touch this order"),
            Self::ForeignTransfer => {
                Text::new("无权查看或操作此转账", "this caller may not see or touch this transfer")
            }
            Self::OperatorOnly => Text::new(
                "仅限商户服务器（运维密钥 op_...）调用",
                "only for the merchant's servers: send an operator key (op_...) as the bearer token",
            ),
            Self::TransferForbidden => Text::new(
                "商家转账只能由商户服务器（运维密钥）发起，除非设置 transferPolicy=any",
                "only the merchant's server (with an operator key) may transfer, unless transferPolicy=any is set",
            ),
            Self::TransferParamsMismatch => Text::new(
                "该 out_bill_no 已用于其他参数的转账：请用原参数重试，切勿换号以免重复付款",
                "this out_bill_no was used with other parameters: repeat it with the same ones; a new number could pay twice",
            ),
            Self::OriginNotAllowed => Text::new(
                "H5 支付须从 corsAllowOrigin 中的页面发起（请求的 Origin 不在其中）",
                "an H5 payment starts on a page whose Origin is listed in corsAllowOrigin; this one is not",
            ),
            Self::NotFound => Text::new("没有此路径", "there is no such path"),
            Self::MethodNotAllowed => Text::new("此路径不支持该方法", "this path does not take that method"),
            Self::UnsupportedMediaType => Text::new(
                "Content-Type 必须是 application/json",
                "Content-Type must be application/json",
            ),
            Self::TooLarge(limit) => Text::new(
                format!("请求体超过 {limit} 字节"),
                format!("the body is larger than {limit} bytes"),
            ),
            Self::TooSlow => Text::new(
                "请求体未及时到达，请重试",
                "the body did not arrive in time; send it again",
            ),
            Self::TooMany(_) => Text::new(
                "请求过于频繁，请稍后重试",
                "too many calls: make the same one again a little later",
            ),
            Self::Overdue => Text::new(
                "未能及时得出结果，结果未知：请用相同单号重试或查询",
                "there is no answer in time and the outcome is not known: repeat or query with the same number",
            ),
            Self::OrderParamsMismatch => Text::new(
                "该 out_trade_no 已用于其他参数的订单：请用原参数重试，或换一个单号",
                "this out_trade_no was used with other parameters: repeat it with the same ones, or take a new number",
            ),
            Self::RefundParamsMismatch => Text::new(
                "该 out_refund_no 已用于其他参数的退款：请用原参数重试",
                "this out_refund_no was used with other parameters: repeat it with the same ones",
            ),
            Self::OrderPaid => Text::new("订单已支付", "the order is already paid"),
            Self::OrderRefunded => Text::new("订单已支付并有退款", "the order is already paid and refunded"),
            Self::OrderClosed => Text::new(
                "订单已关闭：请换一个 out_trade_no",
                "the order is closed: take a new out_trade_no",
            ),
            Self::OrderNotPaid => Text::new("订单未支付，不能退款", "the order is not paid and cannot be refunded"),
            Self::RefundExceedsOrder => Text::new(
                "退款金额超过订单可退余额",
                "the refund is more than what is left of the order after the refunds made and under way",
            ),
            Self::OrderUnfit => Text::new(
                "该订单不属于此商户或应用",
                "the order is not this merchant's or this app's",
            ),
            Self::Wechat(error) => wechat_text(error),
            Self::Store(_) => Text::new(
                "暂时无法存取订单，请用相同单号重试",
                "the orders cannot be reached just now; repeat with the same number",
            ),
            Self::Internal(_) => Text::new(
                "内部错误：请凭 x-request-id 联系服务方",
                "internal error: ask the operator with the x-request-id of this answer",
            ),
        }
    }
}

fn wechat_text(error: &WechatError) -> Text {
    match error {
        WechatError::Refused(refusal) if refusal.message.is_empty() => {
            let Refusal { status, code, .. } = refusal.as_ref();
            Text::new(
                format!("微信支付拒绝：{status} {code}"),
                format!("WeChat Pay refused: {status} {code}"),
            )
        }
        WechatError::Refused(refusal) => Text::new(refusal.message.clone(), refusal.message.clone()),
        WechatError::Busy => Text::new(
            "发往微信支付的请求过多，请用相同单号稍后重试",
            "too many calls to WeChat Pay are under way: repeat with the same number a little later",
        ),
        WechatError::NeverSent(_) => Text::new(
            "无法连接微信支付，请用相同单号重试",
            "WeChat Pay cannot be reached; repeat with the same number",
        ),
        WechatError::OutcomeUnknown(Unknown::TimedOut) => Text::new(
            "微信支付未及时应答，结果未知：请用相同单号重试或查询",
            "WeChat Pay did not answer in time and the outcome is not known: repeat or query with the same number",
        ),
        WechatError::OutcomeUnknown(_) => Text::new(
            "微信支付暂时异常，结果未知：请用相同单号重试或查询",
            "WeChat Pay has a failure and the outcome is not known: repeat or query with the same number",
        ),
        WechatError::NotGenuine(_) => Text::new(
            "微信支付的应答未通过验签，未予采信：请用相同单号重试或查询",
            "the answer is not proven to be WeChat Pay's and was not used: repeat or query with the same number",
        ),
    }
}
