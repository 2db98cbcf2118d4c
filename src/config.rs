//! The settings, read once at the start: every problem of all of them in one answer, and no secret in any.

pub mod pem;
pub mod source;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use url::Url;

use crate::domain::ids::{AppId, MchId};
use crate::wechat::cipher::ApiV3Key;
use crate::wechat::sign::MerchantKey;
use crate::wechat::verify::WechatKey;
use source::Source;

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
    pub api_v3_key: ApiV3Key,
    /// Verifies what WeChat signs.
    pub wechat_key: Arc<WechatKey>,
    /// The app that orders are placed for by default.
    pub app_id: AppId,
    /// The app that `useServiceAccount` chooses.
    pub service_app_id: Option<AppId>,
    /// Where WeChat sends payments.
    pub notify_pay: Url,
    /// Where WeChat sends refunds.
    pub notify_refund: Url,
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
    /// Lower-case hex SHA-256 of each operator key.
    pub operator_keys: Vec<String>,
    /// The CloudBase environment that tokens have to be for.
    pub env_id: Option<String>,
    /// Whether `x-wx-openid` and its companions count.
    pub trust_platform_headers: bool,
    /// What a forward has to carry in `x-tcb-integration-id`.
    pub integration_id: Option<SecretString>,
    /// What a forward needs that proves nothing by itself.
    pub callback_confirm: CallbackConfirm,
    /// Who may refund.
    pub refund_policy: RefundPolicy,
    /// When an unpaid order is closed; `None` never.
    pub close_unpaid_after: Option<Duration>,
    /// Pause between two sweeps.
    pub sweep_interval: Duration,
    /// Of this service's own lines.
    pub log_level: tracing::Level,
    /// How they look.
    pub log_format: LogFormat,
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
    "merchantId",
    "merchantSerialNumber",
    "apiV3Key",
    "privateKey",
    "wxPayPublicKey",
    "wxPayPublicKeyId",
    "notifyURLPayURL",
    "notifyURLRefundsURL",
    "transferNotifyUrl",
    "corsAllowOrigin",
    "PORT",
    "HOST",
    "DATABASE_URL",
    "allowEphemeralStore",
    "wechatPayBaseUrl",
    "wechatPayConnectTimeoutMs",
    "wechatPayTimeoutMs",
    "operatorKeys",
    "envId",
    "trustPlatformHeaders",
    "integrationId",
    "callbackConfirm",
    "refundPolicy",
    "closeUnpaidAfter",
    "sweepInterval",
    "logLevel",
    "logFormat",
];

/// WeChat Pay's second access point, for when the first cannot be connected.
const BACKUP: &str = "https://api2.mch.weixin.qq.com";

/// Reads settings one by one and collects what is wrong with them.
struct Reader<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn problem(&mut self, setting: &'static str, english: impl Into<String>, chinese: impl Into<String>) {
        self.problems.push(Problem {
            setting,
            english: english.into(),
            chinese: chinese.into(),
        });
    }

    fn text(&self, setting: &'static str) -> Option<&'a str> {
        self.source.get(setting).map(str::trim)
    }

    fn required(&mut self, setting: &'static str) -> Option<&'a str> {
        let value = self.text(setting);
        if value.is_none() {
            self.problem(setting, "is missing", "未设置");
        }
        value
    }

    fn one_of<T: Copy>(&mut self, setting: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.required(setting)?;
        let found = choices
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(value))
            .map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            self.problem(setting, format!("must be one of: {names}"), format!("只能是：{names}"));
        }
        found
    }

    fn truth(&mut self, setting: &'static str) -> Option<bool> {
        self.one_of(setting, &[("true", true), ("false", false), ("1", true), ("0", false)])
    }

    fn number(&mut self, setting: &'static str, from: u64, to: u64) -> Option<u64> {
        let value = self.required(setting)?;
        let number = value.parse().ok().filter(|number| (from..=to).contains(number));
        if number.is_none() {
            self.problem(
                setting,
                format!("must be a whole number from {from} to {to}"),
                format!("必须是 {from} 到 {to} 的整数"),
            );
        }
        number
    }

    fn app_id(&mut self, setting: &'static str, value: &str) -> Option<AppId> {
        let parsed = AppId::parse(value).ok().filter(|_| value.starts_with("wx"));
        if parsed.is_none() {
            self.problem(
                setting,
                "must be an AppID: wx followed by letters and digits, 32 at most",
                "必须是 AppID：wx 开头的字母和数字，最多 32 个字符",
            );
        }
        parsed
    }

    fn notify_url(&mut self, setting: &'static str) -> Option<Url> {
        let value = self.required(setting)?;
        let url = Url::parse(value).ok().filter(|url| {
            (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
                && url.query().is_none()
                && url.fragment().is_none()
                && value.len() <= 255
        });
        if url.is_none() {
            self.problem(
                setting,
                "must be an absolute https URL of at most 255 characters without a query or fragment (http only for loopback)",
                "必须是不带查询串和锚点的 https 绝对地址，最多 255 个字符（仅回环地址可用 http）",
            );
        }
        url
    }
}

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
        let on_platform = source.get("TENCENTCLOUD_RUNENV").is_some() || source.get("SCF_RUNTIME").is_some();
        for name in source.named_in_files() {
            if !NAMES.contains(&name.as_str()) {
                r.problem(
                    "--config",
                    format!("`{name}` is not the name of a setting"),
                    format!("没有名为 `{name}` 的设置"),
                );
            }
        }

        let sign_mode = r.one_of("signMode", &[("gateway", SignMode::Gateway), ("sdk", SignMode::Sdk)]);
        let app_id = r.required("appId").and_then(|value| r.app_id("appId", value));
        let service_app_id = service_app_id(&mut r);
        let merchant_id = merchant_id(&mut r);
        let merchant_serial = merchant_serial(&mut r);
        let merchant_key = merchant_key(&mut r);
        let api_v3_key = api_v3_key(&mut r);
        let wechat_key = wechat_key(&mut r);
        let notify_pay = r.notify_url("notifyURLPayURL");
        let notify_refund = r.notify_url("notifyURLRefundsURL");
        let host = host(&mut r);
        let port = port(&mut r, on_platform);
        let database_url = database_url(&mut r, on_platform);
        let wechat_base = wechat_base(&mut r);
        let connect_timeout = r
            .number("wechatPayConnectTimeoutMs", 50, 60_000)
            .map(Duration::from_millis);
        let call_timeout = r.number("wechatPayTimeoutMs", 100, 60_000).map(Duration::from_millis);
        let operator_keys = operator_keys(&mut r);
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
        let close_unpaid_after = r.number("closeUnpaidAfter", 0, 7 * 24 * 3600);
        let sweep_interval = r.number("sweepInterval", 1, 3600).map(Duration::from_secs);
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
        if source.get("authJwksUrl").is_some() {
            r.problem(
                "authJwksUrl",
                "tokens cannot be verified by this version, only decoded behind the gateway; leave it out",
                "此版本不能验证令牌签名，只能在网关之后解码；请勿设置",
            );
        }

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
                api_v3_key: api_v3_key?,
                wechat_key: Arc::new(wechat_key?),
                app_id: app_id?,
                service_app_id,
                notify_pay: notify_pay?,
                notify_refund: notify_refund?,
                host: host?,
                port: port?,
                database_url: database_url?,
                wechat_base,
                wechat_backup,
                connect_timeout: connect_timeout?,
                call_timeout: call_timeout?,
                operator_keys,
                env_id: source.get("envId").map(|value| value.trim().to_owned()),
                trust_platform_headers: trust_platform_headers?,
                integration_id,
                callback_confirm: callback_confirm?,
                refund_policy: refund_policy?,
                close_unpaid_after: close_unpaid_after
                    .filter(|seconds| *seconds > 0)
                    .map(Duration::from_secs),
                sweep_interval: sweep_interval?,
                log_level: log_level?,
                log_format: log_format?.unwrap_or_else(default_log_format),
            })
        };
        match config() {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Problems(problems)),
        }
    }

    /// The apps that orders may be placed for.
    pub fn apps(&self) -> impl Iterator<Item = &AppId> {
        std::iter::once(&self.app_id).chain(self.service_app_id.as_ref())
    }

    /// What an operator should hear at the start, because it is allowed and has a price. Chinese and English in one line each.
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = vec![
            "tokens are decoded, not verified: only the gateway may reach this service / 令牌仅解码不验签：只应让网关访问本服务",
        ];
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

fn service_app_id(r: &mut Reader<'_>) -> Option<AppId> {
    let service = r.text("service_app_id");
    let jsapi = r.text("jsapiAppId");
    if let (Some(service), Some(jsapi)) = (service, jsapi)
        && service != jsapi
    {
        r.problem(
            "jsapiAppId",
            "is another name of service_app_id and has another value; leave one of them out",
            "与 service_app_id 是同一设置但取值不同，请只保留一个",
        );
    }
    match (service, jsapi) {
        (Some(value), _) => r.app_id("service_app_id", value),
        (None, Some(value)) => r.app_id("jsapiAppId", value),
        (None, None) => None,
    }
}

fn merchant_id(r: &mut Reader<'_>) -> Option<MchId> {
    let parsed = r.required("merchantId").map(MchId::parse)?;
    if parsed.is_err() {
        r.problem(
            "merchantId",
            "must be the merchant number: 8 to 32 digits",
            "必须是商户号：8 到 32 位数字",
        );
    }
    parsed.ok()
}

fn merchant_serial(r: &mut Reader<'_>) -> Option<String> {
    let value = r.required("merchantSerialNumber")?;
    if value.len() == 40 && value.chars().all(|c| c.is_ascii_hexdigit()) {
        return Some(value.to_ascii_uppercase());
    }
    r.problem(
        "merchantSerialNumber",
        "must be the serial of the merchant API certificate: 40 hex digits, leading zeros included",
        "必须是商户 API 证书序列号：40 位十六进制数字，含前导零",
    );
    None
}

fn merchant_key(r: &mut Reader<'_>) -> Option<MerchantKey> {
    let value = r.required("privateKey")?;
    match MerchantKey::read(value) {
        Ok(key) => Some(key),
        Err(error) => {
            r.problem(
                "privateKey",
                format!("cannot be read: {error}; paste the whole of apiclient_key.pem"),
                format!("无法读取：{}；请粘贴 apiclient_key.pem 的完整内容", error.chinese()),
            );
            None
        }
    }
}

fn api_v3_key(r: &mut Reader<'_>) -> Option<ApiV3Key> {
    let value = r.required("apiV3Key")?;
    let key = ApiV3Key::read(value);
    if key.is_none() {
        r.problem(
            "apiV3Key",
            "must be exactly 32 ASCII characters, as set in the merchant platform",
            "必须正好是 32 个 ASCII 字符，与商户平台设置的一致",
        );
    }
    key
}

fn wechat_key(r: &mut Reader<'_>) -> Option<WechatKey> {
    let key = r.required("wxPayPublicKey");
    let id = r.required("wxPayPublicKeyId");
    let well_formed = id.filter(|id| {
        id.strip_prefix("PUB_KEY_ID_")
            .is_some_and(|rest| (1..=64).contains(&rest.len()) && rest.chars().all(|c| c.is_ascii_alphanumeric()))
    });
    if id.is_some() && well_formed.is_none() {
        r.problem(
            "wxPayPublicKeyId",
            "must be the id of the WeChat Pay public key: PUB_KEY_ID_ followed by digits",
            "必须是微信支付公钥 ID：PUB_KEY_ID_ 加数字",
        );
    }
    match WechatKey::read(well_formed.unwrap_or_default(), key?) {
        Ok(key) => well_formed.map(|_| key),
        Err(error) => {
            r.problem(
                "wxPayPublicKey",
                format!("cannot be read: {error}; paste the whole of pub_key.pem"),
                format!("无法读取：{}；请粘贴 pub_key.pem 的完整内容", error.chinese()),
            );
            None
        }
    }
}

fn host(r: &mut Reader<'_>) -> Option<IpAddr> {
    let parsed = r.required("HOST").map(str::parse::<IpAddr>)?;
    if parsed.is_err() {
        r.problem(
            "HOST",
            "must be an IP address to listen on, like 0.0.0.0",
            "必须是监听的 IP 地址，例如 0.0.0.0",
        );
    }
    parsed.ok()
}

fn port(r: &mut Reader<'_>, on_platform: bool) -> Option<u16> {
    let Some(value) = r.text("PORT") else {
        return Some(if on_platform { 9000 } else { 3000 });
    };
    let port = value.parse().ok();
    if port.is_none() {
        r.problem(
            "PORT",
            "must be a port number from 0 to 65535",
            "必须是 0 到 65535 的端口号",
        );
    }
    port
}

fn database_url(r: &mut Reader<'_>, on_platform: bool) -> Option<SecretString> {
    let ephemeral_allowed = r.truth("allowEphemeralStore")?;
    let value = r.required("DATABASE_URL")?;
    if value.starts_with("sqlite:") {
        if on_platform && !ephemeral_allowed {
            r.problem(
                "DATABASE_URL",
                "is SQLite, and the disk of a cloud function is thrown away with the instance: use postgres://..., or set allowEphemeralStore=true to lose orders knowingly",
                "为 SQLite，而云函数的磁盘会随实例销毁：请使用 postgres://...，或设置 allowEphemeralStore=true 表示接受丢失订单",
            );
            return None;
        }
        return Some(SecretString::from(value));
    }
    if value.starts_with("postgres://") || value.starts_with("postgresql://") {
        return Some(SecretString::from(value));
    }
    r.problem(
        "DATABASE_URL",
        "must begin with sqlite:// or postgres://",
        "必须以 sqlite:// 或 postgres:// 开头",
    );
    None
}

fn wechat_base(r: &mut Reader<'_>) -> Option<Url> {
    let value = r.required("wechatPayBaseUrl")?;
    let url = Url::parse(value).ok().filter(|url| {
        (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if url.is_none() {
        r.problem(
            "wechatPayBaseUrl",
            "must be an https address without a path (http only for loopback)",
            "必须是不带路径的 https 地址（仅回环地址可用 http）",
        );
    }
    url
}

fn operator_keys(r: &mut Reader<'_>) -> Vec<String> {
    let Some(value) = r.text("operatorKeys") else {
        return Vec::new();
    };
    let keys: Vec<String> = value
        .split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if keys
        .iter()
        .any(|key| key.len() != 64 || !key.chars().all(|c| c.is_ascii_hexdigit()))
    {
        r.problem(
            "operatorKeys",
            "must be the SHA-256 of each key as 64 hex digits, separated by commas; never the keys themselves",
            "必须是各密钥的 SHA-256（64 位十六进制），以逗号分隔；切勿填写密钥本身",
        );
        return Vec::new();
    }
    keys
}

/// A 32-byte secret that is wiped when dropped.
pub(crate) type Secret32 = SecretBox<[u8; 32]>;

impl Config {
    /// The store's address, for the one place that connects to it.
    pub(crate) fn database_url(&self) -> &str {
        self.database_url.expose_secret()
    }
}
