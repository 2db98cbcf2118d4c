//! Every error becomes status, constant, text and data here, and nowhere else.
//!
//! Two readers: the caller gets a stable constant and a sentence that names the member and the cure; the log gets the cause.

#![deny(clippy::wildcard_enum_match_arm)]

mod catalogue;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::form::{Fault, Rule};
use super::text::{Language, Text};
use super::ticket::BadTicket;
use crate::flows::close_order::CloseError;
use crate::flows::known::LookupError;
use crate::flows::place_order::PlaceError;
use crate::flows::refund::RefundError;
use crate::flows::transfer::TransferError;
use crate::store::error::StoreError;
use crate::wechat::error::{Refusal, Unknown, WechatError};

/// Why there is no caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoCaller {
    /// Neither a token nor a trusted platform header.
    Nobody,
    /// Not a token, or not one of this environment.
    Unusable,
    /// A token of the past.
    Expired,
    /// A login that may not call functions.
    Anonymous,
    /// Not one of the operator keys.
    UnknownOperator,
}

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
            Self::UnknownOperator => Text::new("运维密钥无效", "the operator key is not one of the configured ones"),
        }
    }
}

/// Everything that can go wrong with a request.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The body is not JSON, or says something twice.
    NotJson(String),
    /// The body is JSON and not an object.
    NotAnObject,
    /// What was sent as a callback has not the form of one.
    NotACallback,
    /// The body names no action and is no callback.
    NoAction,
    /// The action does not exist.
    UnknownAction(String),
    /// Members are missing, wrong, or do not belong there.
    InvalidParams(Vec<Fault>),
    /// Nobody knows who asks.
    Unauthenticated(NoCaller),
    /// Whether a token is genuine cannot be said now.
    AuthUnavailable,
    /// It is not this caller's order, or not this caller's right.
    Forbidden,
    /// Transfers are for operators.
    TransferForbidden,
    /// It is not this caller's transfer.
    ForeignTransfer,
    /// The transfer's number was used with other parameters.
    TransferParamsMismatch,
    /// An H5 payment that does not start on a page of the merchant's.
    OriginNotAllowed,
    /// An order needs a ticket, and has none.
    TicketRequired,
    /// The order's ticket cannot be used.
    BadTicket(BadTicket),
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Not JSON by its own word.
    UnsupportedMediaType,
    /// The body is longer than the limit, in bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    TooSlow,
    /// The number was used with other parameters.
    OrderParamsMismatch,
    /// The refund's number was used with other parameters.
    RefundParamsMismatch,
    /// It is paid.
    OrderPaid,
    /// It is paid and at least partly refunded.
    OrderRefunded,
    /// It is closed.
    OrderClosed,
    /// It is not paid.
    OrderNotPaid,
    /// More than is left of the order.
    RefundExceedsOrder,
    /// WeChat has the order, and it is not this merchant's.
    OrderUnfit,
    /// WeChat gave no usable answer, or said no.
    Wechat(WechatError),
    /// The books cannot be reached.
    Store(StoreError),
    /// A defect.
    Internal(String),
}

impl Failure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_)
            | Self::NotAnObject
            | Self::NotACallback
            | Self::NoAction
            | Self::UnknownAction(_)
            | Self::InvalidParams(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            // Never 401: a page would log in again, and be no nearer to a ticket.
            Self::Forbidden
            | Self::TransferForbidden
            | Self::ForeignTransfer
            | Self::OriginNotAllowed
            | Self::TicketRequired
            | Self::BadTicket(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::OrderParamsMismatch
            | Self::RefundParamsMismatch
            | Self::TransferParamsMismatch
            | Self::OrderPaid
            | Self::OrderRefunded
            | Self::OrderClosed
            | Self::OrderNotPaid
            | Self::RefundExceedsOrder
            | Self::OrderUnfit => StatusCode::CONFLICT,
            Self::Wechat(WechatError::Refused(_)) => StatusCode::OK,
            Self::Wechat(error) if error.timed_out() => StatusCode::GATEWAY_TIMEOUT,
            Self::Wechat(WechatError::NeverSent(_) | WechatError::OutcomeUnknown(_) | WechatError::NotGenuine(_)) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Store(_) | Self::AuthUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable; programs may depend on it.
    pub(crate) fn constant(&self) -> &'static str {
        match self {
            Self::NotJson(_) | Self::NotAnObject | Self::NotACallback => "INVALID_BODY",
            Self::NoAction | Self::UnknownAction(_) => "UNKNOWN_ACTION",
            Self::InvalidParams(_) => "INVALID_PARAM",
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::AuthUnavailable => "AUTH_UNAVAILABLE",
            Self::Forbidden | Self::TransferForbidden | Self::ForeignTransfer => "FORBIDDEN",
            Self::OriginNotAllowed => "ORIGIN_NOT_ALLOWED",
            Self::TicketRequired => "ORDER_TICKET_REQUIRED",
            Self::BadTicket(BadTicket::Expired) => "ORDER_TICKET_EXPIRED",
            Self::BadTicket(_) => "ORDER_TICKET_INVALID",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::TooLarge(_) => "BODY_TOO_LARGE",
            Self::TooSlow => "REQUEST_TIMEOUT",
            Self::OrderParamsMismatch => "ORDER_PARAMS_MISMATCH",
            Self::RefundParamsMismatch => "REFUND_PARAMS_MISMATCH",
            Self::TransferParamsMismatch => "TRANSFER_PARAMS_MISMATCH",
            Self::OrderPaid => "ORDER_PAID",
            Self::OrderRefunded => "ORDER_REFUNDED",
            Self::OrderClosed => "ORDER_CLOSED",
            Self::OrderNotPaid => "ORDER_NOT_PAID",
            Self::RefundExceedsOrder => "REFUND_EXCEEDS_ORDER",
            Self::OrderUnfit => "ORDER_UNFIT",
            Self::Wechat(WechatError::Refused(_)) => "UPSTREAM_REFUSED",
            Self::Wechat(WechatError::NotGenuine(_)) => "UPSTREAM_SIGNATURE_INVALID",
            Self::Wechat(WechatError::OutcomeUnknown(Unknown::TimedOut)) => "UPSTREAM_TIMEOUT",
            Self::Wechat(WechatError::NeverSent(_) | WechatError::OutcomeUnknown(_)) => "UPSTREAM_UNAVAILABLE",
            Self::Store(_) => "STORE_UNAVAILABLE",
            Self::Internal(_) => "INTERNAL_ERROR",
        }
    }

    /// Whether the same call, with the same number, may simply be made again.
    pub(crate) fn retryable(&self) -> bool {
        match self {
            // Numbers make every action repeatable; what is not known now is settled by asking for the same number again.
            Self::Wechat(WechatError::NeverSent(_) | WechatError::OutcomeUnknown(_) | WechatError::NotGenuine(_))
            | Self::Store(_)
            | Self::AuthUnavailable
            | Self::TooSlow => true,
            Self::Wechat(WechatError::Refused(_))
            | Self::NotJson(_)
            | Self::NotAnObject
            | Self::NotACallback
            | Self::NoAction
            | Self::UnknownAction(_)
            | Self::InvalidParams(_)
            | Self::Unauthenticated(_)
            | Self::Forbidden
            | Self::TransferForbidden
            | Self::ForeignTransfer
            | Self::TransferParamsMismatch
            | Self::OriginNotAllowed
            | Self::TicketRequired
            | Self::BadTicket(_)
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::UnsupportedMediaType
            | Self::TooLarge(_)
            | Self::OrderParamsMismatch
            | Self::RefundParamsMismatch
            | Self::OrderPaid
            | Self::OrderRefunded
            | Self::OrderClosed
            | Self::OrderNotPaid
            | Self::RefundExceedsOrder
            | Self::OrderUnfit
            | Self::Internal(_) => false,
        }
    }

    /// The envelope's `data`.
    fn data(&self) -> Value {
        if let Self::Wechat(WechatError::Refused(refusal)) = self {
            let Refusal {
                status,
                code,
                message,
                body,
                request_id,
                ..
            } = refusal.as_ref();
            // A refused signature comes back with the text that was to be signed; that is nothing for a page.
            let said = body
                .as_ref()
                .filter(|_| *status != 401)
                .map_or_else(|| json!({"code": code, "message": message}), |body| json!(body));
            return json!({"status": status, "data": said, "request_id": request_id});
        }
        let status = self.status();
        if status == StatusCode::CONFLICT {
            json!({"error": self.constant()})
        } else if status.is_server_error() {
            json!({"error": self.constant(), "retryable": self.retryable()})
        } else {
            Value::Null
        }
    }

    /// The sentence for a person: what is wrong and what to do.
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
            Self::Forbidden => Text::new("无权操作此订单", "this caller may not touch this order"),
            Self::ForeignTransfer => {
                Text::new("无权查看或操作此转账", "this caller may not see or touch this transfer")
            }
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

    /// The whole envelope.
    pub(crate) fn envelope(&self, language: Language) -> Value {
        json!({"code": -1, "msg": self.text().in_language(language), "error": self.constant(), "data": self.data()})
    }

    /// Logs it once, where it is turned into an answer: what is ours to mend as an error, what is the caller's as information.
    pub(crate) fn log(&self, action: &str) {
        let (status, error) = (self.status().as_u16(), self.constant());
        match self {
            Self::Store(cause) => tracing::error!(action, status, error, %cause, "{action}: the store failed"),
            Self::Internal(cause) => tracing::error!(action, status, error, cause, "{action}: a defect"),
            Self::Wechat(WechatError::Refused(refusal)) => {
                let request_id = refusal.request_id.as_deref().unwrap_or_default();
                tracing::info!(
                    action,
                    status,
                    error,
                    code = refusal.code,
                    request_id,
                    "{action}: refused by WeChat Pay"
                );
            }
            Self::Wechat(cause) => {
                tracing::error!(action, status, error, %cause, "{action}: no usable answer from WeChat Pay");
            }
            Self::InvalidParams(faults) => {
                // Names that are not ours may be anything, also an openid.
                let ours = faults.iter().filter(|fault| fault.rule != Rule::Unknown);
                let members: Vec<&str> = ours.map(|fault| fault.member.as_str()).take(8).collect();
                tracing::info!(
                    action,
                    status,
                    error,
                    members = members.join(","),
                    "{action}: parameters are wrong"
                );
            }
            // Claims that are not ours may be anything, so only the kind is told.
            Self::BadTicket(why) => {
                let why = why.as_str();
                tracing::info!(action, status, error, why, "{action}: the order ticket is refused");
            }
            // Why was said where the keys could not be fetched.
            Self::AuthUnavailable => tracing::error!(action, status, error, "{action}: the token cannot be verified"),
            Self::NotJson(_)
            | Self::NotAnObject
            | Self::NotACallback
            | Self::NoAction
            | Self::UnknownAction(_)
            | Self::Unauthenticated(_)
            | Self::Forbidden
            | Self::TransferForbidden
            | Self::ForeignTransfer
            | Self::TransferParamsMismatch
            | Self::OriginNotAllowed
            | Self::TicketRequired
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::UnsupportedMediaType
            | Self::TooLarge(_)
            | Self::TooSlow
            | Self::OrderParamsMismatch
            | Self::RefundParamsMismatch
            | Self::OrderPaid
            | Self::OrderRefunded
            | Self::OrderClosed
            | Self::OrderNotPaid
            | Self::RefundExceedsOrder
            | Self::OrderUnfit => tracing::info!(action, status, error, "{action}: refused"),
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

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self::InvalidParams(faults)
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Store(error) => Self::Store(error),
            LookupError::Wechat(error) => Self::Wechat(error),
            LookupError::Forbidden => Self::Forbidden,
            LookupError::Unfit => Self::OrderUnfit,
        }
    }
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Store(error) => Self::Store(error),
            PlaceError::Wechat(error) => Self::Wechat(error),
            PlaceError::Forbidden => Self::Forbidden,
            PlaceError::ParamsMismatch => Self::OrderParamsMismatch,
            PlaceError::Paid => Self::OrderPaid,
            PlaceError::Refunded => Self::OrderRefunded,
            PlaceError::Closed => Self::OrderClosed,
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Store(error) => Self::Store(error),
            TransferError::Wechat(error) => Self::Wechat(error),
            TransferError::Forbidden => Self::ForeignTransfer,
            TransferError::ParamsMismatch => Self::TransferParamsMismatch,
        }
    }
}

impl From<CloseError> for Failure {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::Lookup(error) => error.into(),
            CloseError::Paid => Self::OrderPaid,
            CloseError::Refunded => Self::OrderRefunded,
        }
    }
}

impl From<RefundError> for Failure {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::Lookup(error) => error.into(),
            RefundError::NotPaid => Self::OrderNotPaid,
            RefundError::TotalMismatch(total) => Self::InvalidParams(vec![Fault {
                member: "amount.total".to_owned(),
                rule: Rule::OrderTotal(total),
            }]),
            RefundError::ParamsMismatch => Self::RefundParamsMismatch,
            RefundError::Exceeds => Self::RefundExceedsOrder,
        }
    }
}
