//! The settings, read once at the start: every problem of all of them in one answer, and no secret in any.

mod authorization;
mod cors;
mod limits;
mod read;
pub mod source;
mod tickets;
mod webhook;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::domain::ids::{AppId, MchId};
use crate::wechat::cipher::ApiV3Key;
use crate::wechat::sign::MerchantKey;
use crate::wechat::verify::WechatKey;
use crate::wechat::x509::Root;
pub use authorization::WebAuthorization;
pub use cors::Cors;
pub use limits::Limits;
use read::Reader;
use source::Source;
pub use tickets::OrderTickets;
pub use webhook::Webhook;

/// Where callbacks come from. Both kinds are accepted in both modes, because both have to prove themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignMode {
    /// Through the Integration Center.
    Gateway,
    /// Straight from WeChat Pay.
    Sdk,
}

/// Who may refund an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefundPolicy {
    /// Whoever placed the order, and operators.
    Owner,
    /// Operators only.
    Operator,
    /// Any caller.
    Any,
}

/// Who may pay transfers out of the merchant's balance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransferPolicy {
    /// Operators only.
    Operator,
    /// Any caller.
    Any,
}

/// What a forwarded callback needs that proves nothing by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallbackConfirm {
    /// WeChat Pay is asked.
    Always,
    /// The integration id is enough.
    Never,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// For a machine.
    Json,
}

/// All settings, checked. `Debug` shows no secret.
#[derive(Debug)]
pub struct Config {
    /// Where callbacks come from.
    pub sign_mode: SignMode,
    /// The merchant.
    pub merchant_id: MchId,
    /// Serial of the merchant's API certificate: 40 upper-case hex digits.
    pub merchant_serial: String,
    /// Signs requests and bridge parameters.
    pub merchant_key: Arc<MerchantKey>,
    /// Opens what WeChat encrypts.
    pub api_v3_key: Arc<ApiV3Key>,
    /// WeChat Pay's public key, which verifies what it signs; `None` leaves that to the platform certificates.
    pub wechat_key: Option<Arc<WechatKey>>,
    /// Whether the platform certificates are downloaded: instead of the public key, or beside it while the merchant changes over.
    pub platform_certificates: bool,
    /// Who has to have issued them; `None` leaves that unchecked.
    pub wechat_root: Option<Arc<Root>>,
    /// The app that orders are placed for by default.
    pub app_id: AppId,
    /// The app that `useServiceAccount` chooses.
    pub service_app_id: Option<AppId>,
    /// Further apps, chosen by `appid` or by the platform.
    pub more_app_ids: Vec<AppId>,
    /// Where WeChat sends payments.
    pub notify_pay: Url,
    /// Where WeChat sends refunds.
    pub notify_refund: Url,
    /// Where WeChat sends transfers; without it, they are only asked about.
    pub notify_transfer: Option<Url>,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The store. Holds a password on PostgreSQL.
    pub database_url: SecretString,
    /// WeChat Pay's origin, without a path.
    pub wechat_base: Url,
    /// Tried when `wechat_base` cannot be connected; only for WeChat's own address.
    pub wechat_backup: Option<Url>,
    /// Longest wait for a connection to WeChat.
    pub connect_timeout: Duration,
    /// Longest wait for WeChat in one call, repeats included.
    pub call_timeout: Duration,
    /// Lower-case hex SHA-256 of each operator key. No key, but what a weak one can be found by.
    pub operator_keys: Vec<SecretString>,
    /// Where the keys of logins are published; `None` takes the gateway's word for a token.
    pub auth_jwks_url: Option<Url>,
    /// The CloudBase environment that tokens have to be for.
    pub env_id: Option<String>,
    /// Whether `x-wx-openid` and its companions count.
    pub trust_platform_headers: bool,
    /// What a forward has to carry in `x-tcb-integration-id`.
    pub integration_id: Option<SecretString>,
    /// What a forward needs that proves nothing by itself.
    pub callback_confirm: CallbackConfirm,
    /// With what an order's members are signed by the merchant's backend.
    pub order_tickets: OrderTickets,
    /// By which Official Account a buyer is recognised on a page; `None` where logins are somebody else's affair.
    pub web_authorization: Option<Arc<WebAuthorization>>,
    /// Where browsers find this service; `None` is what the request says, as behind a gateway that keeps `Host`.
    pub public_url: Option<Url>,
    /// What a buyer reads about whom she pays.
    pub merchant_name: Option<String>,
    /// Whose pages a browser lets read the answers.
    pub cors: Cors,
    /// Who may refund.
    pub refund_policy: RefundPolicy,
    /// Who may transfer.
    pub transfer_policy: TransferPolicy,
    /// When an unpaid order is closed; `None` never.
    pub close_unpaid_after: Option<Duration>,
    /// Pause between two sweeps; `None` leaves sweeping to another instance.
    pub sweep_interval: Option<Duration>,
    /// Whether the process is frozen between requests, so that nothing may be left to run after an answer.
    pub serverless: bool,
    /// Who is told of events; `None` nobody.
    pub webhook: Option<Webhook>,
    /// How long an answer waits, where the process is frozen after it, for events to be told for the first time.
    pub webhook_first_attempt: Duration,
    /// How much is taken at a time.
    pub limits: Limits,
    /// Of this service's own lines.
    pub log_level: tracing::Level,
    /// How they look.
    pub log_format: LogFormat,
    /// Settings files that hold a secret and that others can read.
    open_files: Vec<String>,
}

/// Where the store is, and how it is to be used.
#[derive(Debug)]
pub struct StoreAddress {
    /// Holds a password on PostgreSQL.
    pub url: SecretString,
    /// As [`Config::serverless`].
    pub serverless: bool,
}

/// One setting that cannot be used, in both languages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The setting's name.
    pub setting: &'static str,
    /// What is wrong and what would be right; never its value.
    pub english: String,
    /// The same in Chinese.
    pub chinese: String,
}

/// Everything that keeps the service from starting.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} setting(s) cannot be used / {} 项设置不可用:",
            self.0.len(),
            self.0.len()
        )?;
        for problem in &self.0 {
            write!(f, "\n  {}: {} / {}", problem.setting, problem.english, problem.chinese)?;
        }
        Ok(())
    }
}

/// Names that a settings file may hold. A name that is not here is a typing error, and silence would hide it.
const NAMES: &[&str] = &[
    "signMode",
    "appId",
    "service_app_id",
    "jsapiAppId",
    "appIds",
    "merchantId",
    "merchantSerialNumber",
    "apiV3Key",
    "privateKey",
    "wxPayPublicKey",
    "wxPayPublicKeyId",
    "platformCertificates",
    "wxPayRootCertificate",
    "notifyURLPayURL",
    "notifyURLRefundsURL",
    "transferNotifyUrl",
    "corsAllowOrigin",
    "PORT",
    "bindAddress",
    "DATABASE_URL",
    "allowEphemeralStore",
    "wechatPayBaseUrl",
    "wechatPayConnectTimeoutMs",
    "wechatPayTimeoutMs",
    "operatorKeys",
    "authJwksUrl",
    "envId",
    "trustPlatformHeaders",
    "integrationId",
    "callbackConfirm",
    "refundPolicy",
    "transferPolicy",
    "orderTicketSecret",
    "requireOrderTicket",
    "closeUnpaidAfter",
    "sweepInterval",
    "serverless",
    "offiaccountAppSecret",
    "offiaccountAppId",
    "oauthReturnOrigins",
    "publicUrl",
    "sessionTime",
    "wechatOpenBaseUrl",
    "wechatApiBaseUrl",
    "merchantName",
    "webhookUrl",
    "webhookSecret",
    "webhookFirstAttemptMs",
    "maxBodyBytes",
    "maxJsonDepth",
    "headerTimeoutMs",
    "bodyTimeoutMs",
    "requestTimeoutMs",
    "maxConnections",
    "maxRequestsPerSecond",
    "maxCallerRequestsPerSecond",
    "maxUpstreamCalls",
    "maxConfirmationsPerSecond",
    "stopTimeoutMs",
    "logLevel",
    "logFormat",
];

/// By either of these the cloud function platform is known.
const PLATFORM_MARKS: [&str; 2] = ["TENCENTCLOUD_RUNENV", "SCF_RUNTIME"];

/// WeChat Pay's second access point, for when the first cannot be connected.
const BACKUP: &str = "https://api2.mch.weixin.qq.com";

impl Config {
    /// Reads and checks every setting.
    ///
    /// # Errors
    /// One answer that lists every setting that is missing or malformed.
    #[expect(
        clippy::too_many_lines,
        reason = "one line per setting; taking them apart would hide the list"
    )]
    pub fn read(source: &Source) -> Result<Self, Problems> {
        let mut r = Reader {
            source,
            problems: Vec::new(),
        };
        let on_platform = source.is_on_platform();
        read::names(&mut r);

        let sign_mode = r.one_of("signMode", &[("gateway", SignMode::Gateway), ("sdk", SignMode::Sdk)]);
        let app_id = r.required("appId").and_then(|value| r.app_id("appId", value));
        let service_app_id = read::service_app_id(&mut r);
        let more_app_ids = read::more_app_ids(&mut r);
        let merchant_id = read::merchant_id(&mut r);
        let merchant_serial = read::merchant_serial(&mut r);
        let merchant_key = read::merchant_key(&mut r);
        let api_v3_key = read::api_v3_key(&mut r);
        let wechat_key = read::wechat_key(&mut r);
        let platform_certificates = read::platform_certificates(&mut r);
        let wechat_root = read::wechat_root(&mut r);
        let notify_pay = r.notify_url("notifyURLPayURL");
        let notify_refund = r.notify_url("notifyURLRefundsURL");
        let notify_transfer = match r.text("transferNotifyUrl") {
            Some(_) => r.notify_url("transferNotifyUrl"),
            None => None,
        };
        let host = read::host(&mut r);
        let port = read::port(&mut r, on_platform);
        let serverless = read::serverless(&mut r);
        let database_url = read::database_url(&mut r, serverless == Some(true));
        let wechat_base = r.base_url("wechatPayBaseUrl");
        let connect_timeout = r
            .number("wechatPayConnectTimeoutMs", 50, 60_000)
            .map(Duration::from_millis);
        let call_timeout = r.number("wechatPayTimeoutMs", 100, 14_000).map(Duration::from_millis);
        let operator_keys = read::operator_keys(&mut r);
        let integration_id = r.text("integrationId").map(SecretString::from);
        let callback_confirm = r.one_of(
            "callbackConfirm",
            &[("always", CallbackConfirm::Always), ("never", CallbackConfirm::Never)],
        );
        if callback_confirm == Some(CallbackConfirm::Never) && integration_id.is_none() {
            r.problem(
                "integrationId",
                "is required when callbackConfirm is \"never\": nothing else would tell a forward from a forgery",
                "callbackConfirm 为 never 时必须设置，否则无法分辨伪造的转发",
            );
        }
        let trust_platform_headers = r.one_of(
            "trustPlatformHeaders",
            &[("auto", on_platform), ("true", true), ("false", false)],
        );
        let refund_policy = r.one_of(
            "refundPolicy",
            &[
                ("owner", RefundPolicy::Owner),
                ("operator", RefundPolicy::Operator),
                ("any", RefundPolicy::Any),
            ],
        );
        let cors = cors::cors(&mut r);
        let auth_jwks_url = read::auth_jwks_url(&mut r);
        let order_tickets = tickets::order_tickets(&mut r);
        let transfer_policy = r.one_of(
            "transferPolicy",
            &[("operator", TransferPolicy::Operator), ("any", TransferPolicy::Any)],
        );
        let close_unpaid_after = r.number("closeUnpaidAfter", 0, 7 * 24 * 3600);
        let sweep_interval = r.number("sweepInterval", 0, 3600);
        let apps: Vec<AppId> = app_id
            .iter()
            .chain(&service_app_id)
            .chain(&more_app_ids)
            .cloned()
            .collect();
        let public_url = authorization::public_url(&mut r);
        let web_authorization =
            authorization::web_authorization(&mut r, &apps, service_app_id.as_ref(), public_url.as_ref());
        let merchant_name = read::merchant_name(&mut r);
        let webhook = webhook::webhook(&mut r);
        // The time of a callback is 4.5 s, and the rest of the callback is some of it.
        let webhook_first_attempt = r.number("webhookFirstAttemptMs", 0, 4000).map(Duration::from_millis);
        let limits = limits::limits(&mut r);
        let log_level = r.one_of(
            "logLevel",
            &[
                ("error", tracing::Level::ERROR),
                ("warn", tracing::Level::WARN),
                ("info", tracing::Level::INFO),
                ("debug", tracing::Level::DEBUG),
                ("trace", tracing::Level::TRACE),
            ],
        );
        let log_format = r.one_of(
            "logFormat",
            &[
                ("auto", None),
                ("text", Some(LogFormat::Text)),
                ("json", Some(LogFormat::Json)),
            ],
        );

        let problems = r.problems;
        let config = || {
            let wechat_base = wechat_base?;
            let wechat_backup = if wechat_base.as_str().starts_with("https://api.mch.weixin.qq.com/") {
                Url::parse(BACKUP).ok()
            } else {
                None
            };
            Some(Self {
                sign_mode: sign_mode?,
                merchant_id: merchant_id?,
                merchant_serial: merchant_serial?,
                merchant_key: Arc::new(merchant_key?),
                api_v3_key: Arc::new(api_v3_key?),
                wechat_key: wechat_key.map(Arc::new),
                platform_certificates: platform_certificates?,
                wechat_root: wechat_root.map(Arc::new),
                app_id: app_id?,
                service_app_id,
                more_app_ids,
                notify_pay: notify_pay?,
                notify_refund: notify_refund?,
                notify_transfer,
                host: host?,
                port: port?,
                database_url: database_url?,
                wechat_base,
                wechat_backup,
                connect_timeout: connect_timeout?,
                call_timeout: call_timeout?,
                operator_keys,
                auth_jwks_url,
                env_id: source.get("envId").map(|value| value.trim().to_owned()),
                trust_platform_headers: trust_platform_headers?,
                integration_id,
                callback_confirm: callback_confirm?,
                cors,
                order_tickets: order_tickets?,
                web_authorization: web_authorization.map(Arc::new),
                public_url,
                merchant_name,
                refund_policy: refund_policy?,
                transfer_policy: transfer_policy?,
                close_unpaid_after: close_unpaid_after
                    .filter(|seconds| *seconds > 0)
                    .map(Duration::from_secs),
                sweep_interval: sweep_interval.filter(|seconds| *seconds > 0).map(Duration::from_secs),
                serverless: serverless?,
                webhook_first_attempt: webhook_first_attempt?,
                webhook,
                limits: limits?,
                log_level: log_level?,
                log_format: log_format?.unwrap_or_else(default_log_format),
                open_files: source.open_files().to_vec(),
            })
        };
        match config() {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Problems(problems)),
        }
    }

    /// Reads the store's address alone: whoever only looks at the books needs no key of the merchant's.
    ///
    /// # Errors
    /// What is wrong with it, or with the names in the settings files.
    pub fn store_address(source: &Source) -> Result<StoreAddress, Problems> {
        let mut r = Reader {
            source,
            problems: Vec::new(),
        };
        read::names(&mut r);
        let serverless = read::serverless(&mut r) == Some(true);
        match read::database_url(&mut r, serverless) {
            Some(url) if r.problems.is_empty() => Ok(StoreAddress { url, serverless }),
            Some(_) | None => Err(Problems(r.problems)),
        }
    }

    /// Whether a setting has this name.
    pub fn has_setting(name: &str) -> bool {
        NAMES.contains(&name)
    }

    /// The apps that orders may be placed for.
    pub fn apps(&self) -> impl Iterator<Item = &AppId> {
        std::iter::once(&self.app_id)
            .chain(self.service_app_id.as_ref())
            .chain(&self.more_app_ids)
    }

    /// What an operator should hear at the start, because it is allowed and has a price. Chinese and English in one line each.
    pub fn warnings(&self) -> Vec<Cow<'static, str>> {
        let mut warnings: Vec<Cow<'static, str>> = self.of_policies().into_iter().map(Cow::Borrowed).collect();
        warnings.extend(self.open_files.iter().map(|file| {
            Cow::Owned(format!(
                "the settings file {file} holds secrets and others can read it: chmod 600 / 设置文件 {file} 含有密钥且可被其他用户读取：请执行 chmod 600"
            ))
        }));
        warnings
    }

    fn of_policies(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        match (&self.auth_jwks_url, &self.env_id) {
            (None, _) => warnings.push(
                "tokens are decoded, not verified: only the gateway may reach this service / 令牌仅解码不验签：只应让网关访问本服务",
            ),
            (Some(_), None) => warnings.push(
                "authJwksUrl without envId: tokens of every environment with these keys are taken / 设置了 authJwksUrl 而未设置 envId：使用同一密钥的任何环境的令牌都会被接受",
            ),
            (Some(_), Some(_)) => {}
        }
        if self.order_tickets.are_optional() {
            warnings.push(
                "orderTicketSecret without requireOrderTicket: a page that leaves the ticket out chooses its amount / 设置了 orderTicketSecret 而未设置 requireOrderTicket：不带票据的页面仍可自定金额",
            );
        }
        if self.callback_confirm == CallbackConfirm::Never {
            warnings.push(
                "callbackConfirm=never: whoever knows the integrationId can mark orders paid / callbackConfirm=never：知道 integrationId 者即可将订单标记为已支付",
            );
        }
        match self.refund_policy {
            RefundPolicy::Owner => warnings
                .push("refundPolicy=owner: buyers can refund their own orders / refundPolicy=owner：买家可自行退款"),
            RefundPolicy::Any => warnings.push(
                "refundPolicy=any: every caller can refund every order / refundPolicy=any：任何调用者可退任何订单",
            ),
            RefundPolicy::Operator => {}
        }
        if self.serverless && self.operator_keys.is_empty() {
            warnings.push(
                "serverless without operatorKeys: nobody can call POST /internal/tick, so what a callback does not settle waits for `pay-common sweep` / 函数模式未设置 operatorKeys：无人能调用 POST /internal/tick，回调未结清的事项只能等待 `pay-common sweep`",
            );
        }
        match (self.transfer_policy, &self.auth_jwks_url) {
            (TransferPolicy::Any, None) => warnings.push(
                "transferPolicy=any without authJwksUrl: whoever reaches the port can write a token and be paid out of the merchant's balance / transferPolicy=any 而未设置 authJwksUrl：能访问此端口者皆可自造令牌并从商户余额收款",
            ),
            (TransferPolicy::Any, Some(_)) => warnings.push(
                "transferPolicy=any: every caller can pay out of the merchant's balance / transferPolicy=any：任何调用者都可从商户余额转出资金",
            ),
            (TransferPolicy::Operator, _) => {}
        }
        warnings
    }
}

/// Whether a URL points at this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

fn default_log_format() -> LogFormat {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    }
}

impl Config {
    /// Connections that are kept for whoever asks the same host next. While a process is frozen they die, and what is posted into a dead
    /// one may have arrived or not: then none is kept.
    pub(crate) fn idle_connections(&self) -> usize {
        if self.serverless { 0 } else { usize::MAX }
    }

    /// The store's address, for the one place that connects to it.
    pub(crate) fn database_url(&self) -> &str {
        self.database_url.expose_secret()
    }
}

#[cfg(test)]
pub(crate) mod tests;
