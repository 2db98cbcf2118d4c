//! The service among the simulated parties.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pay_common::boot::Service;
use pay_common::clock::Clock;
use pay_common::config::Config;
use pay_common::config::source::Source;
use pay_common::domain::ids::OutTradeNo;
use pay_common::sandbox::{Forward, Keys, Options, SignedNotification, TokenOptions, World};
use pay_common::store::history;
use serde_json::{Value, json};
use sha2::Digest as _;
use sqlx::Connection as _;

use super::database::{Database, Store};
use super::offline::Offline;

/// The operator's key in tests.
pub const OPERATOR: &str = "op_test_0123456789abcdef";

/// Who pays in tests.
pub const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";

/// What came back.
#[derive(Clone, Debug)]
pub struct Came {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Came {
    /// The connection was refused, or broke.
    fn nobody(error: &reqwest::Error) -> Self {
        Self {
            status: 0,
            headers: reqwest::header::HeaderMap::new(),
            body: json!({"nobody": error.to_string()}),
        }
    }

    /// The inner data of a success; says what came when it was none.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert_eq!((self.status, &self.body["code"]), (200, &json!(0)), "{self:?}");
        &self.body["data"]["data"]
    }

    /// Status and constant of a failure.
    pub fn failure(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap_or_default())
    }
}

/// A service, its store, and the world around it.
pub struct TestApp {
    pub world: World,
    pub service: Service,
    pub clock: Clock,
    pub http: reqwest::Client,
    pub settings: Vec<(String, String)>,
    /// Where requests go; to the service, unless a test has another one over the same books.
    pub door: SocketAddr,
    /// After the service: it holds connections.
    pub database: Database,
}

pub fn sha256_hex(text: &str) -> String {
    sha2::Sha256::digest(text)
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

impl TestApp {
    pub async fn start(store: Store) -> Self {
        Self::start_with(store, Options::default(), &[]).await
    }

    /// Starts with other options of the world, and settings that win over the usual ones.
    pub async fn start_with(store: Store, options: Options, settings: &[(&str, &str)]) -> Self {
        let database = Database::fresh(store).await;
        Offline::over(database, options, settings).await.start().await
    }

    /// Stops the service and starts it again over the same store.
    pub async fn restart(self) -> Self {
        let (service, offline) = self.part();
        service.stop().await;
        offline.start().await
    }

    /// The same world with books that know nothing yet.
    pub async fn with_new_books(self, store: Store) -> Self {
        let (service, mut offline) = self.part();
        service.stop().await;
        offline.database = Database::fresh(store).await;
        let url = offline.database.url.clone();
        offline.set("DATABASE_URL", &url);
        offline.start().await
    }

    /// Keeps everybody else from writing until it is dropped.
    pub async fn lock_the_books(&self) -> Box<dyn std::any::Any + Send> {
        if self.database.url.starts_with("sqlite:") {
            let mut conn = sqlx::SqliteConnection::connect(&self.database.url).await.unwrap();
            sqlx::query("BEGIN IMMEDIATE").execute(&mut conn).await.unwrap();
            Box::new(conn)
        } else {
            let mut conn = sqlx::PgConnection::connect(&self.database.url).await.unwrap();
            sqlx::raw_sql("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
                .execute(&mut conn)
                .await
                .unwrap();
            Box::new(conn)
        }
    }

    /// Everybody's clock goes on.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(i64::try_from(by.as_millis()).unwrap());
        self.world.clock().advance(by);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.door)
    }

    /// A token as the gateway has checked it.
    pub fn token(&self, sub: &str) -> String {
        self.world.gateway().mint_token(sub, &TokenOptions::default())
    }

    /// The same of a WeChat login, which says who she is there.
    pub fn token_of(&self, sub: &str, openid: &str) -> String {
        self.world.gateway().mint_token(sub, &TokenOptions::wechat(openid))
    }

    /// Posts to the service with these headers. Nobody's answer has the status 0.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Came {
        let mut request = self.http.post(self.url(path)).body(body);
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match request.send().await {
            Ok(answer) => came(answer).await,
            Err(error) => Came::nobody(&error),
        }
    }

    /// An action of the buyer `alice`, straight to the service.
    pub async fn act(&self, action: &str, body: Value) -> Came {
        self.act_as(&format!("Bearer {}", self.token("alice")), action, body)
            .await
    }

    pub async fn act_as(&self, authorization: &str, action: &str, body: Value) -> Came {
        self.post(
            &format!("/wx-pay/{action}"),
            &[("authorization", authorization)],
            body.to_string(),
        )
        .await
    }

    /// An order of 20 fen (or so), placed by alice.
    pub async fn placed(&self, number: &str, total: i64) -> OutTradeNo {
        self.act("wxpay_order", order(number, total)).await.data();
        OutTradeNo::parse(number).unwrap()
    }

    /// The same, paid, and heard of.
    pub async fn paid(&self, number: &str, total: i64) -> OutTradeNo {
        let placed = self.placed(number, total).await;
        self.world.wechat().pay(number).unwrap();
        self.eventually(number, "SUCCESS").await;
        placed
    }

    /// Waits until the books say so.
    pub async fn eventually(&self, number: &str, state: &str) {
        let started = Instant::now();
        while self.state(number).await.as_deref() != Some(state) {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{number} is {:?}, not {state}",
                self.state(number).await
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The state in the books.
    pub async fn state(&self, number: &str) -> Option<String> {
        let number = OutTradeNo::parse(number).unwrap();
        history::standing_of(self.service.db(), &number)
            .await
            .unwrap()
            .map(|standing| standing.0)
    }

    /// What refunds hold of an order, in fen.
    pub async fn held(&self, number: &str) -> i64 {
        let number = OutTradeNo::parse(number).unwrap();
        history::standing_of(self.service.db(), &number)
            .await
            .unwrap()
            .unwrap()
            .1
    }

    pub async fn events(&self, number: &str) -> Vec<String> {
        history::events_of(self.service.db(), &OutTradeNo::parse(number).unwrap())
            .await
            .unwrap()
    }

    /// The kinds of the anomalies, oldest first.
    pub async fn anomalies(&self) -> Vec<String> {
        history::anomalies(self.service.db())
            .await
            .unwrap()
            .into_iter()
            .map(|(kind, _)| kind)
            .collect()
    }

    /// Sends a forward straight to the service.
    pub async fn forward(&self, forward: &Forward) -> Came {
        let headers: Vec<(&str, &str)> = forward
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post(&forward.path, &headers, forward.body.to_string()).await
    }

    /// Sends WeChat's own notification straight to the service.
    pub async fn notify(&self, path: &str, note: &SignedNotification) -> Came {
        let headers: Vec<(&str, &str)> = note
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post(path, &headers, note.body.clone()).await
    }
}

/// A world with the keys that this process shares.
pub async fn world(options: Options) -> World {
    let options = Options {
        keys: Some(Keys::shared()),
        ..options
    };
    World::start(options).await.unwrap()
}

/// The usual settings, and these, which win over them.
pub fn settings(world: &World, database: &Database, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let operator = sha256_hex(OPERATOR);
    let usual = [
        ("bindAddress", "127.0.0.1"),
        ("PORT", "0"),
        ("DATABASE_URL", &database.url),
        ("operatorKeys", &operator),
        // Tests sweep by hand.
        ("sweepInterval", "0"),
    ];
    let mut of_world = world.settings();
    if more.contains(&("transferPolicy", "any")) {
        // It asks for tokens that are verified.
        of_world.push(("authJwksUrl", world.gateway().jwks_url()));
    }
    let of_world = of_world.iter().map(|(name, value)| (*name, value.as_str()));
    of_world
        .chain(usual)
        .chain(more.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

pub fn config(settings: &[(String, String)]) -> Config {
    Config::read(&Source::of_pairs(settings.iter().map(|(name, value)| (name.clone(), value.clone()))).unwrap())
        .unwrap()
}

pub async fn came(answer: reqwest::Response) -> Came {
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = match answer.bytes().await {
        Ok(bytes) => bytes,
        Err(error) => return Came::nobody(&error),
    };
    let body =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{status}: {:?}", String::from_utf8_lossy(&bytes)));
    Came { status, headers, body }
}

/// The usual order.
pub fn order(number: &str, total: i64) -> Value {
    json!({
        "description": "Test product",
        "out_trade_no": number,
        "amount": {"total": total, "currency": "CNY"},
        "payer": {"openid": OPENID},
    })
}

/// The usual refund.
pub fn refund(number: &str, refund_number: &str, amount: i64, total: i64) -> Value {
    json!({
        "out_trade_no": number,
        "out_refund_no": refund_number,
        "amount": {"refund": amount, "total": total, "currency": "CNY"},
    })
}
