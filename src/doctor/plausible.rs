//! Settings that can be used and are hardly meant like that.

use url::{Host, Url};

use super::{Finding, both};
use crate::config::{Config, RefundPolicy, is_loopback};

/// WeChat Pay's own address.
const OFFICIAL: &str = "api.mch.weixin.qq.com";

pub(super) fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "settings.form",
        "所有设置格式正确",
        "every setting has its form",
    )];
    findings.extend(config.warnings().iter().map(|warning| {
        let text = both(warning);
        Finding::warning("settings.policy", text.chinese, text.english)
    }));
    findings.extend(keys(config));
    let urls = [
        ("notifyURLPayURL", Some(&config.notify_pay), "refund"),
        ("notifyURLRefundsURL", Some(&config.notify_refund), "order"),
        ("transferNotifyUrl", config.notify_transfer.as_ref(), "order"),
    ];
    for (setting, url, others_word) in urls {
        findings.extend(url.map(|url| notify_url(config, setting, url, others_word)));
    }
    findings.extend(who_does_what(config));
    findings
}

fn keys(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let check = "settings.wxPayPublicKey";
    match &config.wechat_key {
        Some(key) if config.merchant_key.is_half_of(key) => findings.push(
            Finding::failed(
                check,
                "wxPayPublicKey 是商户自己密钥的公钥，而不是微信支付公钥",
                "wxPayPublicKey is the public half of privateKey, not WeChat Pay's key",
            )
            .cure(
                "请从商户平台（账户中心 → API 安全 → 微信支付公钥）下载 pub_key.pem",
                "download pub_key.pem in the merchant platform: Account Center, API Security, WeChat Pay public key",
            ),
        ),
        Some(key) if !key.id.contains(config.merchant_id.as_str()) => findings.push(
            Finding::warning(
                "settings.wxPayPublicKeyId",
                "wxPayPublicKeyId 不含商户号，可能属于其他商户",
                "wxPayPublicKeyId does not hold merchantId: it may be another merchant's",
            )
            .cure(
                "请与商户平台显示的公钥 ID 核对",
                "compare it with the key's id in the merchant platform",
            ),
        ),
        Some(_) => findings.push(Finding::ok(
            check,
            "公钥与公钥 ID 属于该商户的格式",
            "the key is not your own, and its id names this merchant",
        )),
        None => findings.push(Finding::ok(
            check,
            "未设置，使用平台证书",
            "none: the platform certificates are used",
        )),
    }
    if config.service_app_id.as_ref() == Some(&config.app_id) {
        findings.push(Finding::warning(
            "settings.service_app_id",
            "service_app_id 与 appId 相同，可省略",
            "service_app_id is the same as appId: leave it out, or name the other app",
        ));
    }
    findings
}

/// Whether WeChat can reach it, and whether something listens there that takes what is sent.
fn notify_url(config: &Config, setting: &str, url: &Url, others_word: &str) -> Finding {
    let check = format!("settings.{setting}");
    let simulated = is_loopback(&config.wechat_base);
    let host = url.host_str().unwrap_or_default().to_owned();
    if !simulated && !is_public(url) {
        return Finding::failed(
            check,
            format!("微信支付无法访问 {host}：不是公网地址"),
            format!("WeChat Pay cannot reach {host}: it is no public address"),
        )
        .cure(
            "请使用公网可访问、有正规证书的 https 域名（云开发：https://<integration-id>.integration-callback.tcloudbase.com/...）",
            "use a public https domain with a certificate of a public authority (CloudBase: https://<integration-id>.integration-callback.tcloudbase.com/...)",
        );
    }
    if !simulated && url.port().is_some() {
        return Finding::warning(
            check,
            "回调地址带端口，微信支付可能拒绝",
            "the address has a port, which WeChat Pay may refuse",
        )
        .cure("请使用 443 端口，并在地址中省略", "use port 443 and leave it out");
    }
    if url.path().contains(others_word) {
        return Finding::warning(
            check,
            format!("路径 {} 像是另一类回调的地址", url.path()),
            format!("the path {} looks like that of another kind of callback", url.path()),
        )
        .cure(
            "支付为 /wechatpay/order，退款为 /wechatpay/refund，转账为 /wechatpay/transfer",
            "payments are taken at /wechatpay/order, refunds at /wechatpay/refund, transfers at /wechatpay/transfer",
        );
    }
    Finding::ok(
        check,
        format!("{host} 可作回调地址"),
        format!("{host} can be an address for callbacks"),
    )
}

fn is_public(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let inner = [
                ".local",
                ".internal",
                ".lan",
                ".localhost",
                ".localdomain",
                ".home.arpa",
                ".test",
                ".invalid",
            ];
            name.contains('.') && !inner.iter().any(|end| name.ends_with(end))
        }
        Some(Host::Ipv4(address)) => {
            let [first, second, ..] = address.octets();
            let carrier = first == 100 && (64..128).contains(&second);
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || carrier)
        }
        Some(Host::Ipv6(address)) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
        None => false,
    }
}

fn who_does_what(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let host = config.wechat_base.host_str().unwrap_or_default();
    if host != OFFICIAL {
        findings.push(
            Finding::warning(
                "settings.wechatPayBaseUrl",
                format!("{host} 不是微信支付的地址，仅适用于模拟器"),
                format!("{host} is not WeChat Pay's address: right for the simulator only"),
            )
            .cure(
                "正式环境请去掉 wechatPayBaseUrl",
                "leave wechatPayBaseUrl out in production",
            ),
        );
    }
    if config.operator_keys.is_empty() && config.refund_policy == RefundPolicy::Operator {
        findings.push(
            Finding::warning(
                "settings.operatorKeys",
                "refundPolicy=operator 而未设置 operatorKeys：无人可以退款",
                "refundPolicy=operator without operatorKeys: nobody may refund",
            )
            .cure(
                "生成 op_ 开头的密钥，将其 SHA-256 填入 operatorKeys：printf %s op_... | sha256sum",
                "make a key that begins with op_ and put its SHA-256 into operatorKeys: printf %s op_... | sha256sum",
            ),
        );
    }
    if config.webhook.is_none() {
        findings.push(
            Finding::warning(
                "settings.webhookUrl",
                "未设置 webhookUrl：业务系统不会收到支付、退款通知",
                "no webhookUrl: no system of yours is told of payments and refunds",
            )
            .cure("请设置 webhookUrl 与 webhookSecret", "set webhookUrl and webhookSecret"),
        );
    }
    if config.sweep_interval.is_none() && !config.serverless {
        findings.push(Finding::warning(
            "settings.sweepInterval",
            "sweepInterval=0：须由另一实例或 pay-common sweep 查询未决订单",
            "sweepInterval=0: another instance, or pay-common sweep, has to ask about open orders",
        ));
    }
    if config.close_unpaid_after.is_none() {
        findings.push(Finding::warning(
            "settings.closeUnpaidAfter",
            "closeUnpaidAfter=0：未支付订单不会关闭，买家日后仍可支付",
            "closeUnpaidAfter=0: unpaid orders are never closed, and can be paid days later",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_internet_can_reach_is_public() {
        for public in [
            "https://pay.example.com/a",
            "https://8.8.8.8/a",
            "https://[2606:4700::1]/a",
        ] {
            assert!(is_public(&Url::parse(public).unwrap()), "{public}");
        }
        for inner in [
            "https://localhost/a",
            "https://pay/a",
            "https://pay.local/a",
            "https://pay.svc.internal/a",
            "https://10.0.0.1/a",
            "https://192.168.1.5/a",
            "https://172.16.0.1/a",
            "https://169.254.1.1/a",
            "https://127.0.0.1/a",
            "https://100.64.0.1/a",
            "https://[::1]/a",
            "https://[fd00::1]/a",
        ] {
            assert!(!is_public(&Url::parse(inner).unwrap()), "{inner}");
        }
    }
}
