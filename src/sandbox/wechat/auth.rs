//! Who is asking: the `Authorization` header of `WECHATPAY2-SHA256-RSA2048`, checked as strictly as WeChat does.
//!
//! The signature is checked over the address and the body exactly as they arrived, so a client that signs one
//! spelling and sends another is found out.

use axum::http::{HeaderMap, header};
use rsa::PublicKey;
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::sandbox::crypto;

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
const MEMBERS: [&str; 5] = ["mchid", "nonce_str", "signature", "timestamp", "serial_no"];
const CLOCK_TOLERANCE_S: u64 = 300;

/// The one merchant that this WeChat knows.
pub(crate) struct Merchant<'a> {
    pub(crate) mchid: &'a str,
    pub(crate) serial_no: &'a str,
    pub(crate) public_key: &'a PublicKey,
}

/// The signed parts of a request, as they arrived.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
}

/// What WeChat looks at before it asks who is there.
pub(crate) fn check_manners(headers: &HeaderMap) -> Result<(), Refusal> {
    let filled = |name| headers.get(name).is_some_and(|value| !value.is_empty());
    if !filled(header::ACCEPT) || !filled(header::USER_AGENT) {
        return Err(Refusal::invalid("Http头缺少Accept或User-Agent").unsigned());
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accept.contains("application/json") || accept.contains("*/*") {
        Ok(())
    } else {
        Err(Refusal::invalid("Http头Accept必须包含application/json").unsigned())
    }
}

/// Checks the request against the merchant's certificate; `now` in Unix seconds.
pub(crate) fn authenticate(
    headers: &HeaderMap,
    request: &Signed<'_>,
    merchant: &Merchant<'_>,
    now: i64,
) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::sign_error(message, &sign_information(request, "", "")));
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let text = match (sent.next().map(|value| value.to_str()), sent.next()) {
        (Some(Ok(text)), None) => text,
        (None, _) => return refuse("Http头缺少Authorization".to_owned()),
        (Some(Err(_)), _) => return refuse("Authorization含有非ASCII字符".to_owned()),
        (_, Some(_)) => return refuse("Authorization出现了多次".to_owned()),
    };
    let credentials = match Credentials::read(text) {
        Ok(credentials) => credentials,
        Err(message) => return refuse(message),
    };
    let Credentials {
        mchid,
        nonce,
        signature,
        timestamp,
        serial_no,
    } = credentials;
    let refuse = |message: String| {
        Err(Refusal::sign_error(
            message,
            &sign_information(request, timestamp, nonce),
        ))
    };

    if mchid != merchant.mchid {
        return refuse(format!("商户号不存在：{mchid}"));
    }
    if serial_no.len() != 40 || !serial_no.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F')) {
        return refuse(format!("serial_no应为40位大写十六进制：{serial_no}"));
    }
    if serial_no != merchant.serial_no {
        return refuse(format!("商户证书序列号有误：{serial_no} 不属于商户 {mchid}"));
    }
    if nonce.is_empty() || nonce.chars().count() > 32 || !nonce.chars().all(|c| c.is_ascii_alphanumeric()) {
        return refuse("nonce_str应为1到32位字母或数字".to_owned());
    }
    let Some(sent_at) = seconds(timestamp) else {
        return refuse(format!("timestamp应为以秒计的十进制数字：{timestamp}"));
    };
    if now.abs_diff(sent_at) > CLOCK_TOLERANCE_S {
        return refuse(format!("timestamp已过期：{sent_at}，服务器时间 {now}"));
    }
    let message = message(request, timestamp, nonce);
    if crypto::verifies(merchant.public_key, &message, signature) {
        Ok(())
    } else {
        refuse("签名错误：请按 方法、URL、时间戳、随机串、报文主体 各占一行重新计算".to_owned())
    }
}

fn seconds(text: &str) -> Option<i64> {
    let decimal = text.len() == 10 && text.chars().all(|c| c.is_ascii_digit());
    if decimal { text.parse().ok() } else { None }
}

/// The five lines that the merchant signed, by what its own header says; nothing for a header that says nothing.
pub(crate) fn signed_lines(headers: &HeaderMap, request: &Signed<'_>) -> Option<Vec<u8>> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let Credentials { timestamp, nonce, .. } = Credentials::read(text).ok()?;
    Some(message(request, timestamp, nonce))
}

/// The five lines that the merchant should have signed.
fn message(request: &Signed<'_>, timestamp: &str, nonce: &str) -> Vec<u8> {
    let head = format!("{}\n{}\n{timestamp}\n{nonce}\n", request.method, request.target);
    [head.as_bytes(), request.body, b"\n"].concat()
}

fn sign_information(request: &Signed<'_>, timestamp: &str, nonce: &str) -> Value {
    let whole = message(request, timestamp, nonce);
    let truncated: String = String::from_utf8_lossy(&whole).chars().take(200).collect();
    json!({
        "method": request.method,
        "url": request.target,
        "truncated_sign_message": truncated,
        "sign_message_length": whole.len(),
    })
}

struct Credentials<'a> {
    mchid: &'a str,
    nonce: &'a str,
    signature: &'a str,
    timestamp: &'a str,
    serial_no: &'a str,
}

impl<'a> Credentials<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let Some((scheme, members)) = text.split_once(' ') else {
            return Err("Authorization应为“认证类型 签名信息”".to_owned());
        };
        if scheme != SCHEME {
            return Err(format!("不支持的认证类型：{scheme}"));
        }
        let mut found: [Option<&'a str>; 5] = [None; 5];
        for pair in members.split(',') {
            let (name, value) = quoted(pair).ok_or_else(|| format!("签名信息格式应为key=\"value\"：{pair}"))?;
            let place = MEMBERS.iter().position(|member| *member == name);
            let slot = place
                .and_then(|at| found.get_mut(at))
                .ok_or_else(|| format!("签名信息含有未知的{name}"))?;
            if slot.replace(value).is_some() {
                return Err(format!("签名信息重复了{name}"));
            }
        }
        let missing = || {
            MEMBERS
                .iter()
                .zip(&found)
                .find(|(_, value)| value.is_none())
                .map_or("", |(name, _)| name)
        };
        let [
            Some(mchid),
            Some(nonce),
            Some(signature),
            Some(timestamp),
            Some(serial_no),
        ] = found
        else {
            return Err(format!("签名信息缺少{}", missing()));
        };
        Ok(Self {
            mchid,
            nonce,
            signature,
            timestamp,
            serial_no,
        })
    }
}

/// `key="value"`, with nothing before, between or after.
fn quoted(pair: &str) -> Option<(&str, &str)> {
    let (name, value) = pair.split_once('=')?;
    let value = value.strip_prefix('"')?.strip_suffix('"')?;
    if value.contains('"') { None } else { Some((name, value)) }
}

#[cfg(test)]
mod tests;
