//! Why web authorization gives a browser no session.

#![deny(clippy::wildcard_enum_match_arm)]

use axum::http::StatusCode;

use super::Failure;
use crate::auth::authorizer::NoOpenid;
use crate::http::text::Text;

/// Why a browser does not get its session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NotAuthorized {
    /// There is no AppSecret.
    Off,
    /// The request does not say where this service is.
    NoAddress,
    /// It would lead to a page of somebody else's.
    ReturnTo,
    /// It comes back from a journey that this browser is not on, or no longer.
    OtherBrowser,
    /// It comes back without a code.
    NoCode,
    /// Why the code names nobody.
    NoOpenid(NoOpenid),
}

impl From<NotAuthorized> for Failure {
    fn from(error: NotAuthorized) -> Self {
        Self::NotAuthorized(error)
    }
}

impl From<NoOpenid> for NotAuthorized {
    fn from(error: NoOpenid) -> Self {
        Self::NoOpenid(error)
    }
}

impl NotAuthorized {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Off => StatusCode::NOT_FOUND,
            Self::NoAddress
            | Self::ReturnTo
            | Self::OtherBrowser
            | Self::NoCode
            | Self::NoOpenid(NoOpenid::CodeOver(_)) => StatusCode::BAD_REQUEST,
            Self::NoOpenid(NoOpenid::Visitor) => StatusCode::FORBIDDEN,
            Self::NoOpenid(NoOpenid::Busy(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoOpenid(NoOpenid::Settings(..) | NoOpenid::NoAnswer(_)) => StatusCode::BAD_GATEWAY,
        }
    }

    pub(super) fn constant(&self) -> &'static str {
        match self {
            Self::Off => "WEB_AUTHORIZATION_OFF",
            Self::NoAddress => "INVALID_HOST",
            Self::ReturnTo => "RETURN_TO_NOT_ALLOWED",
            Self::OtherBrowser => "OAUTH_STATE_INVALID",
            Self::NoCode => "OAUTH_CODE_MISSING",
            Self::NoOpenid(NoOpenid::CodeOver(_)) => "OAUTH_CODE_INVALID",
            Self::NoOpenid(NoOpenid::Visitor) => "OAUTH_VISITOR",
            Self::NoOpenid(NoOpenid::Settings(..)) => "OAUTH_REFUSED",
            Self::NoOpenid(NoOpenid::Busy(_) | NoOpenid::NoAnswer(_)) => "OAUTH_UNAVAILABLE",
        }
    }

    /// Whether the same journey may simply be made again.
    pub(super) fn retryable(&self) -> bool {
        matches!(self, Self::NoOpenid(NoOpenid::Busy(_) | NoOpenid::NoAnswer(_)))
    }

    /// What is the merchant's to mend is an error, the rest a browser's affair.
    pub(super) fn log(&self, action: &str) {
        let error = self.constant();
        match self {
            Self::NoOpenid(why @ (NoOpenid::Settings(..) | NoOpenid::NoAnswer(_) | NoOpenid::Busy(_))) => {
                tracing::error!(action, error, cause = %why, "{action}: WeChat names nobody");
            }
            Self::NoOpenid(why @ (NoOpenid::CodeOver(_) | NoOpenid::Visitor)) => {
                tracing::info!(action, error, cause = %why, "{action}: the code names nobody");
            }
            Self::Off | Self::NoAddress | Self::ReturnTo | Self::OtherBrowser | Self::NoCode => {
                tracing::info!(action, error, "{action}: refused");
            }
        }
    }

    /// The sentence for whoever sits in front of the browser, who may be the merchant at the first trial.
    pub(super) fn text(&self) -> Text {
        match self {
            Self::Off => Text::new(
                "未启用网页授权：请设置 offiaccountAppSecret",
                "web authorization is off: set offiaccountAppSecret",
            ),
            Self::NoAddress => Text::new(
                "无法确定本服务的地址：请求的 Host 不可用，请设置 publicUrl",
                "the address of this service is not known: the request's Host cannot be used; set publicUrl",
            ),
            Self::ReturnTo => Text::new(
                "return_to 必须是本服务的路径，或 oauthReturnOrigins 中某个源的地址，最多 1024 个字符",
                "return_to must be a path of this service, or an address whose origin is listed in oauthReturnOrigins, of at most 1024 characters",
            ),
            Self::OtherBrowser => Text::new(
                "此链接属于另一个浏览器或已超过 10 分钟：请从商户页面重新进入",
                "this link belongs to another browser or is older than 10 minutes: open the merchant's page again",
            ),
            Self::NoCode => Text::new(
                "微信没有返回 code：请在微信中打开；商户请确认本服务的域名已配置为公众号的“网页授权域名”",
                "WeChat gave no code: open the page inside WeChat; the merchant checks that this service's domain is the Official Account's \"Web Authorization Domain\"",
            ),
            Self::NoOpenid(NoOpenid::CodeOver(_)) => Text::new(
                "微信授权码已使用或已过期，请重试",
                "WeChat's code was used already or has expired: try again",
            ),
            Self::NoOpenid(NoOpenid::Visitor) => Text::new(
                "当前为快照页访客，无法支付：请点击页面底部的“使用完整服务”",
                "this is a snapshot of the page, whose visitor cannot pay: tap \"Use full service\" at its foot",
            ),
            Self::NoOpenid(NoOpenid::Settings(code, _)) => Text::new(
                format!(
                    "微信拒绝了商户的配置（errcode {code}），暂时无法支付；商户请核对 offiaccountAppId、offiaccountAppSecret 与公众平台的 IP 白名单"
                ),
                format!(
                    "WeChat refuses the merchant's settings (errcode {code}), so nobody can pay now; the merchant checks offiaccountAppId, offiaccountAppSecret and the Official Account's IP allowlist"
                ),
            ),
            Self::NoOpenid(NoOpenid::Busy(_) | NoOpenid::NoAnswer(_)) => Text::new(
                "暂时无法向微信确认身份，请稍后重试",
                "WeChat cannot be asked who you are just now: try again a little later",
            ),
        }
    }
}
