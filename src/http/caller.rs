//! Who calls: the token of a login, the platform's own headers, an operator key, or the browser of somebody who came by web authorization.

use reqwest::header::{AUTHORIZATION, HeaderMap};

use super::failure::{Failure, NoCaller};
use super::oauth::{self, NoVisit};
use crate::app::App;
use crate::auth::token::{self, Login, NoLogin};
use crate::domain::caller::Authority;
use crate::domain::ids::{AppId, Openid};
use crate::domain::order::Owner;

/// Begins an operator key.
const OPERATOR_PREFIX: &str = "op_";

/// Who calls, and what is known of them.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) authority: Authority,
    /// The openid that a login left in the token. The page may pay with another one, of its own app.
    token_openid: Option<Openid>,
    /// The openid that web authorization found out. Nobody else pays from that browser, whatever is said.
    pub(crate) session_openid: Option<Openid>,
    /// The openid that the platform vouches for. Nobody pays as anybody else.
    platform_openid: Option<Openid>,
    /// The app that the platform or the session vouches for, when it is a configured one.
    pub(crate) platform_app: Option<AppId>,
}

impl Caller {
    /// The merchant's own server. It acts for the merchant, not for the openid of some header.
    pub(crate) fn operator(platform_app: Option<AppId>) -> Self {
        Self {
            authority: Authority::Operator,
            token_openid: None,
            session_openid: None,
            platform_openid: None,
            platform_app,
        }
    }

    /// Whoever sits in front of a browser that came by web authorization. `app` is the one whose openid it is.
    fn of_session(openid: Openid, app: AppId) -> Self {
        let owner = Owner {
            sub: None,
            openid: Some(openid.clone()),
        };
        Self {
            authority: Authority::Person(owner),
            token_openid: None,
            session_openid: Some(openid),
            platform_openid: None,
            platform_app: Some(app),
        }
    }

    /// Who pays when the request does not say it.
    pub(crate) fn openid(&self) -> Option<&Openid> {
        let known = self.session_openid.as_ref().or(self.token_openid.as_ref());
        known.or(self.platform_openid.as_ref())
    }

    /// Whether this caller may pay as that openid.
    pub(crate) fn may_pay_as(&self, openid: &Openid) -> bool {
        self.platform_openid.as_ref().is_none_or(|own| own == openid)
    }

    /// The person, when it is one.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        match &self.authority {
            Authority::Operator => None,
            Authority::Person(owner) => Some(owner),
        }
    }

    /// For the log.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.authority {
            Authority::Operator => "operator",
            Authority::Person(_) if self.session_openid.is_some() => "session",
            Authority::Person(_) if self.platform_openid.is_some() => "platform",
            Authority::Person(_) => "token",
        }
    }
}

/// Recognises the caller.
///
/// # Errors
/// Why nobody was recognised, or that it cannot be said now.
pub(crate) async fn identify(app: &App, headers: &HeaderMap) -> Result<Caller, Failure> {
    let config = &app.config;
    let refuse = |why| Err(Failure::Unauthenticated(why));
    let platform = config.trust_platform_headers;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if ["x-wx-openid", "x-wx-appid"]
        .iter()
        .any(|name| platform && headers.get_all(*name).iter().count() > 1)
    {
        // A proxy that adds to a header instead of replacing it leaves the client's own word in front.
        return refuse(NoCaller::Unusable);
    }
    let platform_openid = header("x-wx-openid")
        .filter(|_| platform)
        .and_then(|openid| Openid::parse(openid).ok());
    let platform_app = header("x-wx-appid")
        .filter(|_| platform)
        .and_then(|app| config.apps().find(|known| known.as_str() == app))
        .cloned();

    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let authorization = match (authorizations.next(), authorizations.next()) {
        (None, _) => {
            let Some(openid) = platform_openid else {
                return of_browser(app, headers);
            };
            let owner = Owner {
                sub: None,
                openid: Some(openid.clone()),
            };
            let platform_openid = Some(openid);
            return Ok(Caller {
                authority: Authority::Person(owner),
                token_openid: None,
                session_openid: None,
                platform_openid,
                platform_app,
            });
        }
        (Some(one), None) => one.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => return refuse(NoCaller::Unusable),
    };
    let token = match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return refuse(NoCaller::Unusable),
    };
    if token.starts_with(OPERATOR_PREFIX) {
        if !app.operators.knows(token) {
            return refuse(NoCaller::UnknownOperator);
        }
        return Ok(Caller::operator(platform_app));
    }
    let now_s = app.clock.now().as_second();
    let Login { sub, openid, payer } =
        token::read(app.login_keys.as_ref(), config.env_id.as_deref(), token, now_s).await?;
    let owner = Owner {
        sub: Some(sub),
        openid: openid.clone(),
    };
    Ok(Caller {
        authority: Authority::Person(owner),
        token_openid: payer,
        session_openid: None,
        platform_openid,
        platform_app,
    })
}

/// Whoever sits in front of the browser, where web authorization is on.
fn of_browser(app: &App, headers: &HeaderMap) -> Result<Caller, Failure> {
    let Some(browsers) = &app.browsers else {
        return Err(Failure::Unauthenticated(NoCaller::Nobody));
    };
    match oauth::session(browsers, headers, app.clock.now().as_second()) {
        Ok(session) => Ok(Caller::of_session(session.openid, browsers.settings.app_id.clone())),
        Err(why) => Err(Failure::Unauthenticated(match why {
            NoVisit::Nobody => NoCaller::Nobody,
            NoVisit::Over => NoCaller::SessionOver,
            NoVisit::ForeignPage => NoCaller::ForeignPage,
        })),
    }
}

impl From<NoLogin> for Failure {
    fn from(error: NoLogin) -> Self {
        match error {
            NoLogin::Unusable => Self::Unauthenticated(NoCaller::Unusable),
            NoLogin::Expired => Self::Unauthenticated(NoCaller::Expired),
            NoLogin::Anonymous => Self::Unauthenticated(NoCaller::Anonymous),
            NoLogin::CannotVerify => Self::AuthUnavailable,
        }
    }
}
