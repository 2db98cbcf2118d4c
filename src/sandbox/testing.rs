//! What the sandbox's own tests need: a merchant that signs with the `rsa` crate, and a service that only listens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{Keys, Options, World, crypto::random_text, lock, socket::Port, tasks::Tasks};

/// A world, a merchant that asks WeChat, and a service that takes what comes.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) shop: Shop,
    pub(crate) service: Listener,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let world = World::start(options).await.unwrap();
        let service = Listener::start().await;
        world
            .set_service(
                service
                    .url()
                    .parse::<reqwest::Url>()
                    .unwrap()
                    .socket_addrs(|| None)
                    .unwrap()[0],
            )
            .unwrap();
        Self {
            shop: Shop::of(&world),
            world,
            service,
        }
    }

    /// The body of an order whose payment is announced at the Integration Center.
    pub(crate) fn order(&self, out_trade_no: &str) -> Value {
        let mut order = order(self.world.keys(), out_trade_no);
        order["notify_url"] = json!(format!("{}{}", self.world.center().url(), super::ORDER_PATH));
        order
    }

    /// An order that was placed and paid, without a callback.
    pub(crate) async fn paid(&self, out_trade_no: &str) -> String {
        let placed = self
            .shop
            .post("/v3/pay/transactions/jsapi", &self.order(out_trade_no))
            .await;
        assert_eq!(placed.status, 200, "{}", placed.body);
        let quietly = super::Payment {
            notify: false,
            ..super::Payment::default()
        };
        self.world.wechat().pay_with(out_trade_no, &quietly).unwrap()
    }

    pub(crate) fn refund(&self, out_trade_no: &str, out_refund_no: &str, refund: i64) -> Value {
        json!({
            "out_trade_no": out_trade_no, "out_refund_no": out_refund_no,
            "notify_url": format!("{}{}", self.world.center().url(), super::REFUND_PATH),
            "amount": {"refund": refund, "total": 100, "currency": "CNY"},
        })
    }
}

/// The smallest order in the JSAPI channel.
pub(crate) fn order(keys: &Keys, out_trade_no: &str) -> Value {
    json!({
        "appid": keys.appid(), "mchid": keys.mchid(), "description": "Annual pass", "out_trade_no": out_trade_no,
        "notify_url": "https://pay.example.com/wechatpay/order", "amount": {"total": 100, "currency": "CNY"},
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    })
}

/// An HTTP client that goes nowhere but where it is told.
pub(crate) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(10)).build().unwrap()
}

/// The merchant's side of the protocol.
#[derive(Clone)]
pub(crate) struct Shop {
    keys: Arc<Keys>,
    base: String,
    client: reqwest::Client,
    clock: super::Clock,
}

/// An answer with everything that is signed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    keys: Arc<Keys>,
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
        let message = format!(
            "{}\n{}\n{}\n",
            part("wechatpay-timestamp"),
            part("wechatpay-nonce"),
            self.body
        );
        part("wechatpay-serial") == self.keys.public_key_id()
            && self.keys.verify_wechat(&message, part("wechatpay-signature"))
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
    fn of(world: &World) -> Self {
        Self {
            keys: world.keys().clone(),
            base: world.wechat().url(),
            client: client(),
            clock: world.clock().clone(),
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
        let request = self
            .client
            .request(method.parse().unwrap(), format!("{}{target}", self.base));
        let request = request
            .header("Accept", "application/json")
            .header("User-Agent", "shop/1")
            .header("Authorization", self.authorization(method, target, body))
            .header("Wechatpay-Serial", self.keys.public_key_id());
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
            keys: self.keys.clone(),
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

/// One request that reached the service.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A service that writes down what it hears and answers what it was told to, then 200.
#[derive(Clone)]
pub(crate) struct Listener {
    address: std::net::SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
    tasks: Tasks,
}

impl Listener {
    async fn start() -> Self {
        let port = Port::open(0).await.unwrap();
        let tasks = Tasks::here();
        let listener = Self {
            address: port.address(),
            heard: Arc::default(),
            statuses: Arc::default(),
            tasks: tasks.clone(),
        };
        port.serve(&tasks, Router::new().fallback(hear).with_state(listener.clone()));
        listener
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn stop(&self) {
        self.tasks.stop();
    }

    pub(crate) fn answer(&self, statuses: &[u16]) {
        lock(&self.statuses).extend(statuses);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn hears(&self, count: usize) -> Vec<Heard> {
        until(|| lock(&self.heard).len() >= count).await;
        self.heard()
    }
}

async fn hear(State(listener): State<Listener>, request: Request) -> (StatusCode, &'static str) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let heard = Heard {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    lock(&listener.heard).push(heard);
    let status = lock(&listener.statuses).pop_front().unwrap_or(200);
    (StatusCode::from_u16(status).unwrap(), r#"{"code":0}"#)
}

/// Waits until something is true, and fails when it does not become so.
pub(crate) async fn until(mut is_true: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not become true within five seconds");
}
