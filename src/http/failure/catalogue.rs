//! One of every kind of failure, for the description of the service: status, constant and sentence are asked of the failures themselves.

use std::time::Duration;

use super::{Failure, NoCaller, NotAuthorized};
use crate::auth::authorizer::NoOpenid;
use crate::http::form::{Fault, Rule};
use crate::http::ticket::BadTicket;
use crate::store::error::StoreError;
use crate::wechat::error::{Refusal, Unknown, WechatError};
use crate::wechat::verify::NotGenuine;

impl Failure {
    /// An instance of every failure, in the order in which a request can meet them.
    pub(crate) fn catalogue() -> Vec<Self> {
        let missing = Fault {
            member: "amount.total".to_owned(),
            rule: Rule::Missing,
        };
        let refusal = Refusal {
            status: 400,
            code: "PARAM_ERROR".to_owned(),
            message: "参数错误".to_owned(),
            body: None,
            request_id: Some("08F1E2D3C4B5A697".to_owned()),
            proven: true,
        };
        vec![
            Self::InvalidParams(vec![missing]),
            Self::NotJson("EOF while parsing a value at line 1 column 0".to_owned()),
            Self::NotAnObject,
            Self::NotACallback,
            Self::UnknownAction("wxpay_unknown".to_owned()),
            Self::NoAction,
            Self::Unauthenticated(NoCaller::Nobody),
            Self::Forbidden,
            Self::TransferForbidden,
            Self::OperatorOnly,
            Self::ForeignTransfer,
            Self::OriginNotAllowed,
            Self::TicketRequired,
            Self::BadTicket(BadTicket::NotSigned),
            Self::BadTicket(BadTicket::Expired),
            Self::NotAuthorized(NotAuthorized::ReturnTo),
            Self::NotAuthorized(NotAuthorized::NoAddress),
            Self::NotAuthorized(NotAuthorized::OtherBrowser),
            Self::NotAuthorized(NotAuthorized::NoCode),
            Self::NotAuthorized(NotAuthorized::NoOpenid(NoOpenid::CodeOver(40163))),
            Self::NotAuthorized(NotAuthorized::NoOpenid(NoOpenid::Visitor)),
            Self::NotAuthorized(NotAuthorized::NoOpenid(NoOpenid::Settings(40125, String::new()))),
            Self::NotAuthorized(NotAuthorized::NoOpenid(NoOpenid::Busy(-1))),
            Self::NotAuthorized(NotAuthorized::Off),
            Self::NotFound,
            Self::MethodNotAllowed,
            Self::TooSlow,
            Self::OrderParamsMismatch,
            Self::RefundParamsMismatch,
            Self::TransferParamsMismatch,
            Self::OrderPaid,
            Self::OrderRefunded,
            Self::OrderClosed,
            Self::OrderNotPaid,
            Self::RefundExceedsOrder,
            Self::OrderUnfit,
            Self::TooLarge(2 * 1024 * 1024),
            Self::UnsupportedMediaType,
            Self::TooMany(Duration::from_secs(1)),
            Self::Internal(String::new()),
            Self::Wechat(WechatError::Refused(Box::new(refusal))),
            Self::Wechat(WechatError::NeverSent(String::new())),
            Self::Wechat(WechatError::NotGenuine(NotGenuine::Signature)),
            Self::Wechat(WechatError::OutcomeUnknown(Unknown::TimedOut)),
            Self::Overdue,
            Self::Wechat(WechatError::Busy),
            Self::Store(StoreError::Unavailable(sqlx::Error::PoolTimedOut)),
            Self::AuthUnavailable,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails to compile when a variant is missing here, and to pass when it is missing in the catalogue.
    macro_rules! holds {
        ($catalogue:expr, $($variant:pat),* $(,)?) => {
            let all = |failure: &Failure| match failure { $($variant => (),)* };
            $catalogue.iter().for_each(all);
            $(assert!(
                $catalogue.iter().any(|failure| matches!(failure, $variant)),
                "{} is not in the catalogue", stringify!($variant)
            );)*
        };
    }

    #[test]
    fn the_catalogue_holds_every_failure() {
        let catalogue = Failure::catalogue();
        holds!(
            catalogue,
            Failure::NotJson(_),
            Failure::NotAnObject,
            Failure::NotACallback,
            Failure::NoAction,
            Failure::UnknownAction(_),
            Failure::InvalidParams(_),
            Failure::Unauthenticated(_),
            Failure::AuthUnavailable,
            Failure::Forbidden,
            Failure::TransferForbidden,
            Failure::OperatorOnly,
            Failure::ForeignTransfer,
            Failure::OriginNotAllowed,
            Failure::TicketRequired,
            Failure::BadTicket(BadTicket::Expired),
            Failure::BadTicket(_),
            Failure::NotAuthorized(NotAuthorized::Off),
            Failure::NotAuthorized(NotAuthorized::NoAddress),
            Failure::NotAuthorized(NotAuthorized::ReturnTo),
            Failure::NotAuthorized(NotAuthorized::OtherBrowser),
            Failure::NotAuthorized(NotAuthorized::NoCode),
            Failure::NotAuthorized(NotAuthorized::NoOpenid(_)),
            Failure::NotFound,
            Failure::MethodNotAllowed,
            Failure::UnsupportedMediaType,
            Failure::TooLarge(_),
            Failure::TooSlow,
            Failure::TooMany(_),
            Failure::Overdue,
            Failure::Wechat(WechatError::Busy),
            Failure::OrderParamsMismatch,
            Failure::RefundParamsMismatch,
            Failure::TransferParamsMismatch,
            Failure::OrderPaid,
            Failure::OrderRefunded,
            Failure::OrderClosed,
            Failure::OrderNotPaid,
            Failure::RefundExceedsOrder,
            Failure::OrderUnfit,
            Failure::Wechat(WechatError::Refused(_)),
            Failure::Wechat(WechatError::NeverSent(_)),
            Failure::Wechat(WechatError::OutcomeUnknown(_)),
            Failure::Wechat(WechatError::NotGenuine(_)),
            Failure::Store(_),
            Failure::Internal(_),
        );
    }
}
