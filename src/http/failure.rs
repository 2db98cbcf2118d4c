//! Every error becomes status, constant, text and data here, and nowhere else.
//!
//! Two readers: the caller gets a stable constant and a sentence that names the member and the cure; the log gets the cause.

#![deny(clippy::wildcard_enum_match_arm)]

mod authorization;
mod catalogue;
mod sentences;

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::form::{Fault, Rule};
use super::text::Language;
use super::ticket::BadTicket;
use crate::flows::close_order::CloseError;
use crate::flows::known::LookupError;
use crate::flows::place_order::PlaceError;
use crate::flows::refund::RefundError;
use crate::flows::transfer::TransferError;
use crate::limits::TooMany;
use crate::store::error::StoreError;
use crate::wechat::advice;
use crate::wechat::error::{Refusal, Unknown, WechatError};
pub(crate) use authorization::NotAuthorized;

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
    /// A session of a browser that is over, or not one of this service.
    SessionOver,
    /// A session counts on this service's own pages only.
    ForeignPage,
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
    /// What is asked for is for operators.
    OperatorOnly,
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
    /// A browser does not get its session.
    NotAuthorized(NotAuthorized),
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
    /// The caller, or all callers together, ask too much; the same call may be made again after so long.
    TooMany(Duration),
    /// The answer is not there in time; what was begun goes on.
    Overdue,
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
            Self::NotAuthorized(why) => why.status(),
            // Never 401: a page would log in again, and be no nearer to a ticket.
            Self::Forbidden
            | Self::TransferForbidden
            | Self::OperatorOnly
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
            Self::Overdue => StatusCode::GATEWAY_TIMEOUT,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Wechat(WechatError::NeverSent(_) | WechatError::OutcomeUnknown(_) | WechatError::NotGenuine(_)) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Wechat(WechatError::Busy) | Self::Store(_) | Self::AuthUnavailable => StatusCode::SERVICE_UNAVAILABLE,
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
            Self::Forbidden | Self::TransferForbidden | Self::OperatorOnly | Self::ForeignTransfer => "FORBIDDEN",
            Self::OriginNotAllowed => "ORIGIN_NOT_ALLOWED",
            Self::TicketRequired => "ORDER_TICKET_REQUIRED",
            Self::BadTicket(BadTicket::Expired) => "ORDER_TICKET_EXPIRED",
            Self::BadTicket(_) => "ORDER_TICKET_INVALID",
            Self::NotAuthorized(why) => why.constant(),
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::TooLarge(_) => "BODY_TOO_LARGE",
            Self::TooSlow => "REQUEST_TIMEOUT",
            Self::TooMany(_) => "TOO_MANY_REQUESTS",
            Self::Overdue => "ANSWER_TIMEOUT",
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
            Self::Wechat(WechatError::Busy) => "UPSTREAM_BUSY",
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
            Self::NotAuthorized(why) => why.retryable(),
            // Numbers make every action repeatable; what is not known now is settled by asking for the same number again.
            Self::Wechat(
                WechatError::Busy
                | WechatError::NeverSent(_)
                | WechatError::OutcomeUnknown(_)
                | WechatError::NotGenuine(_),
            )
            | Self::Store(_)
            | Self::AuthUnavailable
            | Self::TooSlow
            | Self::TooMany(_)
            | Self::Overdue => true,
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
            | Self::OperatorOnly
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

    /// Seconds after which the same call has a chance, for the caller's `Retry-After`.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        if let Self::TooMany(wait) = self {
            // Whole seconds, and never less than there are.
            Some(wait.as_secs().saturating_add(1))
        } else if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            Some(1)
        } else {
            None
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
                let cure = advice::of(refusal).map(|advice| format!("{} / {}", advice.english, advice.chinese));
                tracing::info!(
                    action,
                    status,
                    error,
                    code = refusal.code,
                    request_id,
                    cure,
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
            Self::NotAuthorized(why) => why.log(action),
            Self::NotJson(_)
            | Self::NotAnObject
            | Self::NotACallback
            | Self::NoAction
            | Self::UnknownAction(_)
            | Self::Unauthenticated(_)
            | Self::Forbidden
            | Self::TransferForbidden
            | Self::OperatorOnly
            | Self::ForeignTransfer
            | Self::TransferParamsMismatch
            | Self::OriginNotAllowed
            | Self::TicketRequired
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::UnsupportedMediaType
            | Self::TooLarge(_)
            | Self::TooSlow
            | Self::TooMany(_)
            | Self::Overdue
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

impl From<TooMany> for Failure {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many.0)
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
