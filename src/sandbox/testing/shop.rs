//! A merchant that signs with the `rsa` crate.

use std::sync::Arc;

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client;
use crate::sandbox::{
    Clock, KeyMode, Keys, World,
    crypto::{random_text, signed_text},
    platform::Platform,
};

/// The merchant's side of the protocol.
#[derive(Clone)]
pub(crate) struct Shop {
    keys: Arc<Keys>,
    base: String,
    client: reqwest::Client,
    clock: Clock,
    platform: Platform,
    named: Option<String>,
}

/// An answer with everything that is signed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    platform: Platform,
    at: Timestamp,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.headers.keys().any(|name| name.as_str().starts_with("wechatpay-"))
    }

    pub(crate) fn is_genuine(&self) -> bool {
        let part = |name| self.header(name);
        let message = signed_text(part("wechatpay-timestamp"), part("wechatpay-nonce"), &self.body);
        let (id, signature) = (part("wechatpay-serial"), part("wechatpay-signature"));
        self.platform.verifies(id, &message, signature, self.at) == Some(true)
    }

    /// Status, code and whether it is genuine.
    pub(crate) fn verdict(&self) -> (u16, String, bool) {
        (
            self.status,
            self.json()["code"].as_str().unwrap_or_default().to_owned(),
            self.is_genuine(),
        )
    }
}

impl Shop {
    pub(super) fn of(world: &World) -> Self {
        Self {
            keys: world.keys().clone(),
            base: world.wechat().url(),
            client: client(),
            clock: world.clock().clone(),
            platform: world.platform.clone(),
            named: (world.platform.mode() == KeyMode::PublicKey).then(|| world.keys().public_key_id().to_owned()),
        }
    }

    /// The same shop with another `Wechatpay-Serial` in its requests, or none.
    pub(crate) fn naming(&self, id: Option<&str>) -> Self {
        Self {
            named: id.map(str::to_owned),
            ..self.clone()
        }
    }

    pub(crate) fn authorization(&self, method: &str, target: &str, body: &str) -> String {
        let (timestamp, nonce) = (self.clock.now().as_second(), random_text(32));
        let message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n{body}\n");
        let (mchid, serial) = (self.keys.mchid(), self.keys.serial_no());
        let signature = self.keys.sign_as_merchant(&message);
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{mchid}\",nonce_str=\"{nonce}\",signature=\"{signature}\",\
             timestamp=\"{timestamp}\",serial_no=\"{serial}\""
        )
    }

    /// A signed request that a test may still change before it is sent.
    pub(crate) fn request(&self, method: &str, target: &str, body: &str) -> reqwest::RequestBuilder {
        let mut request = self
            .client
            .request(method.parse().unwrap(), format!("{}{target}", self.base));
        request = request
            .header("Accept", "application/json")
            .header("User-Agent", "shop/1")
            .header("Authorization", self.authorization(method, target, body));
        if let Some(id) = &self.named {
            request = request.header("Wechatpay-Serial", id);
        }
        if body.is_empty() {
            request
        } else {
            request.header("Content-Type", "application/json").body(body.to_owned())
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: answer.text().await?,
            platform: self.platform.clone(),
            at: self.clock.now(),
        })
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.send(self.request("POST", target, &body.to_string()))
            .await
            .unwrap()
    }

    pub(crate) async fn try_post(&self, target: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(self.request("POST", target, &body.to_string())).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(self.request("GET", target, "")).await.unwrap()
    }

    pub(crate) async fn query(&self, out_trade_no: &str) -> Answer {
        let mchid = self.keys.mchid();
        self.get(&format!(
            "/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid={mchid}"
        ))
        .await
    }

    pub(crate) async fn close(&self, out_trade_no: &str) -> Answer {
        let body = json!({"mchid": self.keys.mchid()});
        self.post(
            &format!("/v3/pay/transactions/out-trade-no/{out_trade_no}/close"),
            &body,
        )
        .await
    }
}
