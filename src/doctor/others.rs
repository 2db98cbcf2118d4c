//! The parties besides WeChat Pay: the receiver of webhooks, the keys of logins, and the Official Account.

use serde_json::json;

use super::{Finding, PATIENCE};
use crate::auth::authorizer::{Authorizer, NoOpenid};
use crate::auth::keyring::Keyring;
use crate::clock::Clock;
use crate::config::{Config, WebAuthorization, Webhook};
use crate::domain::ids::new_id;
use crate::outbound::webhook::{Message, Outcome, Sender};
use crate::wechat::advice;

/// A code that WeChat gave nobody.
const NO_CODE: &str = "pay-common-doctor";

pub(super) async fn parties(config: &Config, clock: &Clock) -> Vec<Finding> {
    let receiver = async {
        match &config.webhook {
            Some(webhook) => Some(receiver(webhook, clock).await),
            None => None,
        }
    };
    let logins = async {
        match &config.auth_jwks_url {
            Some(url) => Some(logins(url.clone(), clock).await),
            None => None,
        }
    };
    let account = async {
        match &config.web_authorization {
            Some(settings) => Some(official_account(settings).await),
            None => None,
        }
    };
    let (receiver, logins, account) = tokio::join!(receiver, logins, account);
    [receiver, logins, account].into_iter().flatten().collect()
}

/// A signed message that says nothing but that it is one.
async fn receiver(webhook: &Webhook, clock: &Clock) -> Finding {
    let check = "webhook.ping";
    let origin = webhook.url.origin().ascii_serialization();
    let sender = match Sender::new(webhook, 0) {
        Ok(sender) => sender,
        Err(error) => {
            let why = super::reach::causes(&error);
            return Finding::failed(
                check,
                format!("无法建立 HTTP 客户端：{why}"),
                format!("no HTTP client: {why}"),
            );
        }
    };
    let now = clock.now();
    let body = json!({"type": "ping", "timestamp": now.to_string(), "data": {}}).to_string();
    let id = format!("ping_{}", new_id());
    let message = Message {
        id: &id,
        timestamp: now.as_second(),
        body: &body,
    };
    match sender.send(message, PATIENCE).await {
        Outcome::Taken(status) => Finding::ok(
            check,
            format!("{origin} 接收了签名的 ping（{status}）"),
            format!("{origin} takes a signed ping ({status})"),
        ),
        Outcome::Gone => Finding::failed(
            check,
            format!("{origin} 应答 410：已不再接收通知"),
            format!("{origin} answers 410: it wants to hear nothing more"),
        ),
        Outcome::Refused(status @ (400 | 401 | 403), _) => Finding::failed(
            check,
            format!("{origin} 应答 {status}：不接受签名"),
            format!("{origin} answers {status}: it does not take the signature"),
        )
        .cure(
            "接收方须使用与 webhookSecret 相同的密钥（whsec_...）校验，并放行此地址",
            "the receiver has to verify with the same secret as webhookSecret (whsec_...), and to ask for no other login",
        ),
        Outcome::Refused(status, _) => Finding::failed(
            check,
            format!("{origin} 应答 {status}"),
            format!("{origin} answers {status}"),
        )
        .cure(
            "请检查 webhookUrl 的路径；接收方对不认识的 type 也应答 2xx",
            "look at the path in webhookUrl; a receiver answers 2xx to a type that it does not know, too",
        ),
        Outcome::NoAnswer(why) => Finding::failed(
            check,
            format!("{origin} 没有应答：{why}"),
            format!("{origin} does not answer: {why}"),
        )
        .cure("请检查接收方是否运行、网络是否可达", "look whether the receiver runs and can be reached from here"),
    }
}

async fn logins(url: url::Url, clock: &Clock) -> Finding {
    let check = "logins.keys";
    let keys = match Keyring::new(url, clock.clone()) {
        Ok(keyring) => keyring.look_once().await,
        Err(error) => Err(super::reach::causes(&error)),
    };
    match keys {
        Ok(keys) => Finding::ok(
            check,
            format!("authJwksUrl 提供 {keys} 个公钥"),
            format!("authJwksUrl has {keys} keys"),
        ),
        Err(why) => Finding::failed(
            check,
            format!("authJwksUrl 的公钥无法取得：{why}"),
            format!("the keys of authJwksUrl cannot be had: {why}"),
        )
        .cure(
            "请核对环境 ID 与地址；取不到公钥时任何登录都会得到 503",
            "compare the environment's id and the address; without keys every login is answered 503",
        ),
    }
}

/// WeChat judges app and secret before the code.
async fn official_account(settings: &WebAuthorization) -> Finding {
    let check = "offiaccount.secret";
    let asked = match Authorizer::new(settings, 0) {
        Ok(authorizer) => authorizer.exchange(NO_CODE).await.map(drop),
        Err(error) => Err(NoOpenid::NoAnswer(super::reach::causes(&error))),
    };
    match asked {
        Ok(()) | Err(NoOpenid::CodeOver(_) | NoOpenid::Visitor) => Finding::ok(
            check,
            "公众号接受 AppSecret",
            "WeChat takes the AppSecret of the Official Account",
        ),
        Err(NoOpenid::Settings(code, said)) => Finding::failed(
            check,
            format!("公众号拒绝：{code} {said}"),
            format!("WeChat refuses the Official Account's settings: {code} {said}"),
        )
        .advised(u64::try_from(code).ok().and_then(advice::of_number)),
        Err(error @ (NoOpenid::Busy(_) | NoOpenid::NoAnswer(_))) => Finding::warning(
            check,
            format!("未能检验 AppSecret：{error}"),
            format!("the AppSecret could not be tried: {error}"),
        )
        .cure(
            "请放行到 api.weixin.qq.com 的出站 https",
            "let https out to api.weixin.qq.com",
        ),
    }
}
