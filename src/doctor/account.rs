//! Whether WeChat Pay takes what this merchant signs, and whether this installation takes what WeChat Pay signs.

use uuid::Uuid;

use super::Finding;
use crate::boot;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::ids::{AppId, Openid, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::{NewOrder, OrderKind, OrderOptions, Owner};
use crate::wechat::advice;
use crate::wechat::client::{self, Client};
use crate::wechat::error::{Refusal, Unknown, WechatError};
use crate::wechat::orders;
use crate::wechat::verify::NotGenuine;

/// An openid that nobody has.
const NOBODY: &str = "pay-common-doctor";

pub(super) async fn wechat(config: &Config, clock: &Clock) -> Vec<Finding> {
    let client = match boot::wechat_client(config, clock.clone()) {
        Ok(client) => client,
        Err(error) => {
            let why = super::reach::causes(&error);
            return vec![Finding::failed(
                "wechat.signature",
                format!("无法建立 HTTP 客户端：{why}"),
                format!("no HTTP client: {why}"),
            )];
        }
    };
    let number = new_number();
    // An order that nobody has placed: whoever is told so was taken for the merchant. What is refused is read before it is verified,
    // since without a key that verifies nothing else would be asked.
    let question = orders::query_call(&client, &number);
    let heard = tokio::time::timeout(config.call_timeout, client.exchange_once(&question)).await;
    let heard = heard.unwrap_or(Err(WechatError::OutcomeUnknown(Unknown::TimedOut)));
    let (signature, accepted) =
        signature(heard.map(|(status, headers, body)| client::no(status, &headers, &body, false)));
    let asked = orders::query(&client, &number).await.map(drop);
    let mut findings = vec![signature, answers(config, &asked)];
    findings.push(api_v3_key(config, &asked));
    for app in config.apps() {
        findings.push(if accepted {
            binding(config, &client, app).await
        } else {
            Finding::skipped(
                format!("wechat.appId.{app}"),
                "签名未被接受，无法查询绑定关系",
                "not looked at: WeChat Pay does not take this merchant's signature",
            )
        });
    }
    findings
}

fn new_number() -> OutTradeNo {
    let number = format!("doctor{}", Uuid::new_v4().simple())
        .chars()
        .take(32)
        .collect::<String>();
    OutTradeNo::parse(number).expect("32 letters and digits are a number")
}

/// What WeChat says of the merchant's own signature, and whether it took it.
fn signature(heard: Result<WechatError, WechatError>) -> (Finding, bool) {
    let check = "wechat.signature";
    match heard.unwrap_or_else(|error| error) {
        WechatError::Refused(refusal) if refusal.is("ORDER_NOT_EXIST") || refusal.is("RESOURCE_NOT_EXISTS") => {
            let finding = Finding::ok(
                check,
                "微信支付接受签名：merchantId、merchantSerialNumber、privateKey 相符",
                "WeChat Pay takes the signature: merchantId, merchantSerialNumber and privateKey belong together",
            );
            (finding, true)
        }
        WechatError::Refused(refusal) => (refused(check, &refusal), false),
        error => {
            let finding = Finding::skipped(
                check,
                format!("没有可用应答：{error}"),
                format!("no usable answer: {error}"),
            );
            (finding, false)
        }
    }
}

fn refused(check: impl Into<String>, refusal: &Refusal) -> Finding {
    let (status, code, message) = (refusal.status, &refusal.code, &refusal.message);
    let id = refusal.request_id.as_deref().unwrap_or("-");
    Finding::failed(
        check,
        format!("微信支付拒绝：{status} {code} {message}（Request-ID {id}）"),
        format!("WeChat Pay refuses: {status} {code} {message} (Request-ID {id})"),
    )
    .advised(advice::of(refusal))
}

/// Whether the answer could be verified.
fn answers(config: &Config, asked: &Result<(), WechatError>) -> Finding {
    let check = "wechat.answers";
    match asked {
        Ok(()) => verified(check),
        Err(WechatError::Refused(refusal)) if refusal.proven => verified(check),
        Err(WechatError::Refused(_)) => Finding::skipped(
            check,
            "此应答没有签名，无法检验微信支付公钥",
            "this answer is not signed, so the key to verify with was not tried",
        ),
        Err(WechatError::NotGenuine(why)) => not_genuine(config, check, why),
        Err(error) => Finding::skipped(
            check,
            format!("没有可用应答：{error}"),
            format!("no usable answer: {error}"),
        ),
    }
}

fn verified(check: &str) -> Finding {
    Finding::ok(
        check,
        "微信支付的应答签名验证通过",
        "the signature of WeChat Pay's answer is verified",
    )
}

fn not_genuine(config: &Config, check: &str, why: &NotGenuine) -> Finding {
    let finding = Finding::failed(
        check,
        format!("应答验签失败：{why}"),
        format!("the answer cannot be verified: {why}"),
    );
    match why {
        NotGenuine::UnknownKey(id) if id.starts_with("PUB_KEY_ID_") => finding.cure(
            format!("微信支付使用公钥 {id} 签名：请将 wxPayPublicKeyId 与 wxPayPublicKey 设置为该公钥"),
            format!("WeChat Pay signs with the public key {id}: set wxPayPublicKeyId and wxPayPublicKey to it"),
        ),
        NotGenuine::UnknownKey(id) => finding.cure(
            format!("微信支付使用平台证书 {id} 签名：请设置 platformCertificates=true"),
            format!("WeChat Pay signs with the platform certificate {id}: set platformCertificates=true"),
        ),
        NotGenuine::Signature => finding.cure(
            format!(
                "wxPayPublicKey 的内容不是 {} 对应的公钥：请从商户平台重新下载",
                config.wechat_key.as_ref().map_or("该证书", |key| key.id.as_str())
            ),
            format!(
                "wxPayPublicKey is not the key of {}: download it again in the merchant platform",
                config
                    .wechat_key
                    .as_ref()
                    .map_or("that certificate", |key| key.id.as_str())
            ),
        ),
        NotGenuine::Clock(_) => finding.cure("请启用 NTP 校时", "turn on NTP on this machine"),
        NotGenuine::Probe => finding.cure(
            "这是微信支付的验签探测，请重新运行",
            "it is a probe of WeChat Pay's: run this again",
        ),
        NotGenuine::Header(_) | NotGenuine::SignatureType | NotGenuine::NotInForce(_) => finding.cure(
            "请检查中间代理是否改动了应答",
            "look for a proxy in between that changes answers",
        ),
    }
}

/// The APIv3 key opens callbacks and platform certificates; only the latter can be asked for.
fn api_v3_key(config: &Config, asked: &Result<(), WechatError>) -> Finding {
    let check = "wechat.apiV3Key";
    if !config.platform_certificates {
        return Finding::skipped(
            check,
            "公钥模式下只有回调能检验 apiV3Key：付一笔小额订单后查看日志",
            "with the public key, only a callback can show whether it is right: pay a small order and look at the log",
        );
    }
    match asked {
        Err(WechatError::NeverSent(why)) if why.contains("apiV3Key") => {
            Finding::failed(check, "apiV3Key 无法解密平台证书", "apiV3Key does not open the platform certificates").cure(
                "请与商户平台（账户中心 → API 安全）设置的 APIv3 密钥核对；重置后旧密钥立即失效",
                "compare it with the merchant platform (Account Center, API Security); a key that was reset is void at once",
            )
        }
        Err(WechatError::NeverSent(why)) if why.contains("no platform certificate") => {
            Finding::failed(check, "该商户没有平台证书，只有微信支付公钥", "this merchant has no platform certificates, only the WeChat Pay public key").cure(
                "请设置 wxPayPublicKey 与 wxPayPublicKeyId，不要设置 platformCertificates",
                "set wxPayPublicKey and wxPayPublicKeyId, and leave platformCertificates out",
            )
        }
        Err(WechatError::NeverSent(why)) => Finding::failed(
            check,
            format!("平台证书无法取得：{why}"),
            format!("the platform certificates cannot be had: {why}"),
        )
        .advised(advice::in_text(why).first().copied()),
        _ => Finding::ok(check, "apiV3Key 能解密平台证书", "apiV3Key opens the platform certificates"),
    }
}

/// Whether orders can be placed for this app.
async fn binding(config: &Config, client: &Client, app: &AppId) -> Finding {
    let check = format!("wechat.appId.{app}");
    let number = new_number();
    let order = NewOrder {
        kind: OrderKind::Jsapi,
        out_trade_no: number.clone(),
        app_id: app.clone(),
        description: "pay-common doctor".to_owned(),
        total: Fen::positive(1).expect("one fen is an amount"),
        payer: Openid::parse(NOBODY).ok(),
        address_of_connection: false,
        options: OrderOptions::default(),
        owner: Owner::default(),
    };
    let body = orders::prepay_body(&config.merchant_id, config.notify_pay.as_str(), &order);
    let bound = || {
        Finding::ok(
            check.clone(),
            format!("{app} 已与商户号绑定，可下 JSAPI 订单"),
            format!("{app} is bound to the merchant number, for JSAPI orders"),
        )
    };
    match orders::prepay(client, OrderKind::Jsapi, &body).await {
        Ok(_) => match orders::close(client, &number).await {
            Ok(_) => bound(),
            Err(error) => Finding::warning(
                check.clone(),
                format!("{app} 可下单，但 1 分钱的测试订单 {number} 未能关闭：{error}"),
                format!("{app} is bound, but the test's order {number} of 1 fen could not be closed: {error}"),
            ),
        },
        // Nobody's openid is refused only after the app was found to be this merchant's.
        Err(WechatError::Refused(refusal))
            if refusal.is("OPENID_MISMATCH")
                || ((refusal.is("PARAM_ERROR") || refusal.is("INVALID_REQUEST"))
                    && refusal.message.to_lowercase().contains("openid")) =>
        {
            bound()
        }
        Err(WechatError::Refused(refusal)) => refused(check, &refusal),
        Err(WechatError::NotGenuine(_)) => Finding::skipped(check, "应答未能验签", "the answer could not be verified"),
        Err(error) => Finding::skipped(
            check,
            format!("没有可用应答：{error}"),
            format!("no usable answer: {error}"),
        ),
    }
}
