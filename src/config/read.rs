//! One reader per setting that has a form of its own; each says what is wrong, in both languages, and never the value.

use std::net::IpAddr;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::source::Source;
use super::{Config, Problem, is_loopback, settings};
use crate::domain::ids::{AppId, MchId};
use crate::wechat::cipher::ApiV3Key;
use crate::wechat::sign::MerchantKey;
use crate::wechat::verify::WechatKey;
use crate::wechat::x509::Root;

/// Reads settings one by one and collects what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn problem(&mut self, setting: &'static str, english: impl Into<String>, chinese: impl Into<String>) {
        self.problems.push(Problem {
            setting,
            english: english.into(),
            chinese: chinese.into(),
        });
    }

    pub(super) fn text(&self, setting: &'static str) -> Option<&'a str> {
        self.source.get(setting).map(str::trim)
    }

    pub(super) fn required(&mut self, setting: &'static str) -> Option<&'a str> {
        let value = self.text(setting);
        if value.is_none() {
            self.problem(setting, "is missing", "未设置");
        }
        value
    }

    pub(super) fn one_of<T: Copy>(&mut self, setting: &'static str, choices: &[(&str, T)]) -> Option<T> {
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

    pub(super) fn truth(&mut self, setting: &'static str) -> Option<bool> {
        self.one_of(setting, &[("true", true), ("false", false), ("1", true), ("0", false)])
    }

    pub(super) fn number(&mut self, setting: &'static str) -> Option<u64> {
        let value = self.required(setting)?;
        let bounds = settings::bounds(setting)
            .expect("every number has its bounds in the table, and every start reads all of them");
        let number = value.parse().ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let (from, to) = bounds.into_inner();
            self.problem(
                setting,
                format!("must be a whole number from {from} to {to}"),
                format!("必须是 {from} 到 {to} 的整数"),
            );
        }
        number
    }

    pub(super) fn app_id(&mut self, setting: &'static str, value: &str) -> Option<AppId> {
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

    pub(super) fn notify_url(&mut self, setting: &'static str) -> Option<Url> {
        let value = self.required(setting)?;
        let url = Url::parse(value).ok().filter(|url| {
            (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
                && url.query().is_none()
                && url.fragment().is_none()
                && url.path() != "/"
                && value.len() <= 255
        });
        if url.is_none() {
            self.problem(
                setting,
                "must be an absolute https URL of at most 255 characters with a path and without a query or fragment (http only for loopback)",
                "必须是有路径、不带查询串和锚点的 https 绝对地址，最多 255 个字符（仅回环地址可用 http）",
            );
        }
        url
    }

    /// An address of WeChat's, without a path.
    pub(super) fn base_url(&mut self, setting: &'static str) -> Option<Url> {
        let value = self.required(setting)?;
        let url = Url::parse(value).ok().filter(|url| {
            (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if url.is_none() {
            self.problem(
                setting,
                "must be an https address without a path (http only for loopback)",
                "必须是不带路径的 https 地址（仅回环地址可用 http）",
            );
        }
        url
    }
}

/// A name in a file that is no setting is a typing error, and silence would hide it.
pub(super) fn names(r: &mut Reader<'_>) {
    for name in r.source.named_in_files() {
        if !Config::has_setting(name) {
            r.problem(
                "--config",
                format!("`{name}` is not the name of a setting"),
                format!("没有名为 `{name}` 的设置"),
            );
        }
    }
}

pub(super) fn service_app_id(r: &mut Reader<'_>) -> Option<AppId> {
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

pub(super) fn more_app_ids(r: &mut Reader<'_>) -> Vec<AppId> {
    let names = r.text("appIds").unwrap_or_default();
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.filter_map(|name| r.app_id("appIds", name)).collect()
}

pub(super) fn merchant_id(r: &mut Reader<'_>) -> Option<MchId> {
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

pub(super) fn merchant_serial(r: &mut Reader<'_>) -> Option<String> {
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

pub(super) fn merchant_key(r: &mut Reader<'_>) -> Option<MerchantKey> {
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

pub(super) fn api_v3_key(r: &mut Reader<'_>) -> Option<ApiV3Key> {
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

pub(super) fn wechat_key(r: &mut Reader<'_>) -> Option<WechatKey> {
    let key = r.text("wxPayPublicKey");
    let id = r.text("wxPayPublicKeyId");
    for (missing, there) in [
        ("wxPayPublicKey", "wxPayPublicKeyId"),
        ("wxPayPublicKeyId", "wxPayPublicKey"),
    ] {
        if r.text(missing).is_none() && r.text(there).is_some() {
            r.problem(
                missing,
                format!("is missing, and {there} is of no use without it; platform certificates are used when both are left out"),
                format!("未设置，而 {there} 离开它没有用处；两项都不设置则使用平台证书"),
            );
        }
    }
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

/// Whether the platform certificates are downloaded. Something has to verify what WeChat signs.
pub(super) fn platform_certificates(r: &mut Reader<'_>) -> Option<bool> {
    let public_key = r.text("wxPayPublicKey").is_some() || r.text("wxPayPublicKeyId").is_some();
    let wanted = r.one_of(
        "platformCertificates",
        &[("auto", !public_key), ("true", true), ("false", false)],
    )?;
    if !wanted && !public_key {
        r.problem(
            "platformCertificates",
            "is false, and there is no wxPayPublicKey: nothing would verify what WeChat Pay says",
            "为 false，而 wxPayPublicKey 也未设置：无法验证微信支付的签名",
        );
    }
    Some(wanted)
}

pub(super) fn wechat_root(r: &mut Reader<'_>) -> Option<Root> {
    match Root::read(r.text("wxPayRootCertificate")?) {
        Ok(root) => Some(root),
        Err(error) => {
            r.problem(
                "wxPayRootCertificate",
                format!(
                    "cannot be read: {error}; paste the whole PEM of the root that issues the platform certificates"
                ),
                format!("无法读取：{}；请粘贴签发平台证书的根证书 PEM 完整内容", error.chinese()),
            );
            None
        }
    }
}

pub(super) fn host(r: &mut Reader<'_>) -> Option<IpAddr> {
    let parsed = r.required("bindAddress").map(str::parse::<IpAddr>)?;
    if parsed.is_err() {
        r.problem(
            "bindAddress",
            "must be an IP address to listen on, like 0.0.0.0",
            "必须是监听的 IP 地址，例如 0.0.0.0",
        );
    }
    parsed.ok()
}

pub(super) fn port(r: &mut Reader<'_>, on_platform: bool) -> Option<u16> {
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

/// Whether the process is frozen between requests: `auto` is where the platform's marks are.
pub(super) fn serverless(r: &mut Reader<'_>) -> Option<bool> {
    let on_platform = r.source.is_on_platform();
    r.one_of(
        "serverless",
        &[
            ("auto", on_platform),
            ("true", true),
            ("false", false),
            ("1", true),
            ("0", false),
        ],
    )
}

pub(super) fn database_url(r: &mut Reader<'_>, serverless: bool) -> Option<SecretString> {
    let ephemeral_allowed = r.truth("allowEphemeralStore")?;
    let value = r.required("DATABASE_URL")?;
    if value.starts_with("sqlite:") && (value.contains(":memory:") || value.contains("mode=memory")) {
        r.problem(
            "DATABASE_URL",
            "is a store in memory, which is gone with the process: name a file",
            "为内存数据库，进程结束即丢失：请指定文件",
        );
        return None;
    }
    if value.starts_with("sqlite:") {
        if serverless && !ephemeral_allowed {
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

/// Longest name of a merchant on a page, in characters.
const LONGEST_NAME: usize = 64;

pub(super) fn merchant_name(r: &mut Reader<'_>) -> Option<String> {
    let name = r.text("merchantName").filter(|name| !name.is_empty())?;
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        r.problem(
            "merchantName",
            "must be at most 64 characters without control characters",
            "最多 64 个字符，不能包含控制字符",
        );
    }
    Some(name.to_owned())
}

pub(super) fn operator_keys(r: &mut Reader<'_>) -> Vec<SecretString> {
    let Some(value) = r.text("operatorKeys") else {
        return Vec::new();
    };
    let keys: Vec<SecretString> = value
        .split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .map(|key| SecretString::from(key.to_ascii_lowercase()))
        .collect();
    if keys
        .iter()
        .map(SecretString::expose_secret)
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

pub(super) fn auth_jwks_url(r: &mut Reader<'_>) -> Option<Url> {
    let value = r.text("authJwksUrl")?;
    let url = Url::parse(value).ok().filter(|url| {
        (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if url.is_none() {
        r.problem(
            "authJwksUrl",
            "must be the https address of the environment's key set (http only for loopback)",
            "必须是环境公钥集的 https 地址（仅回环地址可用 http）",
        );
    }
    url
}
