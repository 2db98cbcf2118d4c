//! Web authorization: by which Official Account this service learns who opens a page, and where it sends them afterwards.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::read::Reader;
use super::{cors, is_loopback};
use crate::domain::ids::AppId;

/// An AppSecret has 32 characters; a shorter text is something else.
const FEWEST_CHARACTERS: usize = 16;

/// The Official Account and the pages. `Debug` shows no secret.
pub struct WebAuthorization {
    /// The app whose openids are learnt. Only orders of this app can be paid with them.
    pub app_id: AppId,
    app_secret: SecretString,
    /// Pages of these origins may send a buyer here and get her back.
    pub return_origins: Vec<String>,
    /// Where the buyer's browser finds this service; `None` is what the request says, as behind a gateway that keeps `Host`.
    pub public_url: Option<Url>,
    /// Where the buyer is asked, without a path.
    pub open_base: Url,
    /// Where codes are exchanged, without a path.
    pub api_base: Url,
    /// How long a buyer is known.
    pub session_time: Duration,
}

impl fmt::Debug for WebAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebAuthorization")
            .field("app_id", &self.app_id)
            .field("return_origins", &self.return_origins)
            .field("public_url", &self.public_url)
            .field("session_time", &self.session_time)
            .finish_non_exhaustive()
    }
}

impl WebAuthorization {
    /// The AppSecret, for the exchange of a code and for the keys that are derived from it.
    pub(crate) fn app_secret(&self) -> &str {
        self.app_secret.expose_secret()
    }
}

/// `None` where there is no AppSecret, and for what cannot be used, which is a problem then. `apps` are the configured ones; the app of an
/// Official Account is the service account's where there is one.
pub(super) fn web_authorization(
    r: &mut Reader<'_>,
    apps: &[AppId],
    service_app_id: Option<&AppId>,
    public_url: Option<&Url>,
) -> Option<WebAuthorization> {
    let open_base = r.base_url("wechatOpenBaseUrl");
    let api_base = r.base_url("wechatApiBaseUrl");
    let session_time = r.number("sessionTime", 60, 24 * 3600).map(Duration::from_secs);
    let secret = r.text("offiaccountAppSecret")?;
    if secret.len() < FEWEST_CHARACTERS || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        r.problem(
            "offiaccountAppSecret",
            "is no AppSecret: 32 letters and digits, from the Official Accounts platform",
            "不是 AppSecret：公众平台提供的 32 位字母和数字",
        );
    }
    let app_id = match r.text("offiaccountAppId") {
        Some(named) => {
            let named = r.app_id("offiaccountAppId", named);
            if named.as_ref().is_some_and(|named| !apps.contains(named)) {
                r.problem(
                    "offiaccountAppId",
                    "must be one of the configured apps (appId, service_app_id, appIds): its openids could pay nothing else",
                    "必须是已配置的应用之一（appId、service_app_id、appIds）：其 openid 无法用于其他应用的支付",
                );
            }
            named
        }
        None => service_app_id.or(apps.first()).cloned(),
    };
    let return_origins = cors::listed(r.text("oauthReturnOrigins").unwrap_or_default());
    if return_origins.is_none() {
        r.problem(
            "oauthReturnOrigins",
            "must be origins, separated by commas: scheme://host or scheme://host:port, without a path, like https://shop.example.com",
            "必须是以逗号分隔的源：scheme://host 或 scheme://host:port，不带路径，例如 https://shop.example.com",
        );
    }
    Some(WebAuthorization {
        app_id: app_id?,
        app_secret: SecretString::from(secret),
        return_origins: return_origins?,
        public_url: public_url.cloned(),
        open_base: open_base?,
        api_base: api_base?,
        session_time: session_time?,
    })
}

/// `None` where it is not set, and for what cannot be used, which is a problem then.
pub(super) fn public_url(r: &mut Reader<'_>) -> Option<Url> {
    let value = r.text("publicUrl")?;
    let url = Url::parse(value)
        .ok()
        .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
        .filter(|url| url.query().is_none() && url.fragment().is_none())
        .filter(|url| url.username().is_empty() && url.password().is_none());
    if url.is_none() {
        r.problem(
            "publicUrl",
            "must be the https address of this service as browsers see it, without a query or fragment, like https://pay.example.com (http only for loopback)",
            "必须是浏览器访问本服务的 https 地址，不带查询串和锚点，例如 https://pay.example.com（仅回环地址可用 http）",
        );
    }
    url
}

#[cfg(test)]
impl WebAuthorization {
    pub(crate) fn of(public_url: Option<Url>) -> Self {
        let base = |url: &str| Url::parse(url).expect("a whole address");
        Self {
            app_id: AppId::parse("wx1234567890abcdef").expect("the form of an AppID"),
            app_secret: SecretString::from("0123456789abcdef0123456789abcdef"),
            return_origins: vec!["https://shop.example.com".to_owned()],
            public_url,
            open_base: base("https://open.weixin.qq.com"),
            api_base: base("https://api.weixin.qq.com"),
            session_time: Duration::from_hours(2),
        }
    }
}
