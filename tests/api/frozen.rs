//! A process that is frozen between requests: what was there before may be dead after, and what is not there yet is waited for by whoever
//! needs it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{Endpoint, Fault, FaultRule, ForwardShape, Mood, Options, TokenOptions};
use serde_json::Value;
use url::Url;

use crate::support::app::{Came, TestApp, came, http, order};
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;
use crate::support::process::Process;
use crate::support::relay::Relay;

/// What WeChat waits for an answer to a callback.
const WECHAT_WAITS: Duration = Duration::from_secs(5);

/// A world whose business side is told, around fresh books on a server.
async fn offline() -> Offline {
    let database = Database::fresh(Store::Postgres).await;
    let mut offline = Offline::over(database, Options::default(), &[("serverless", "true")]).await;
    for (name, value) in offline.world.business().settings() {
        offline.set(name, &value);
    }
    offline
}

fn target(url: &str) -> SocketAddr {
    let url = Url::parse(url).unwrap();
    let port = url.port_or_known_default().unwrap_or(5432);
    std::net::ToSocketAddrs::to_socket_addrs(&(url.host_str().unwrap(), port))
        .unwrap()
        .find(SocketAddr::is_ipv4)
        .unwrap()
}

impl Offline {
    /// The last value of a setting.
    fn value(&self, name: &str) -> String {
        let found = self.settings.iter().rev().find(|(known, _)| known == name);
        found.unwrap().1.clone()
    }

    /// Leads the address of a setting through a relay.
    async fn relay(&mut self, setting: &str) -> Relay {
        let mut url = Url::parse(&self.value(setting)).unwrap();
        let relay = Relay::shut(target(url.as_str())).await;
        url.set_ip_host(relay.address.ip()).unwrap();
        url.set_port(Some(relay.address.port())).unwrap();
        self.set(setting, url.as_str());
        relay
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn the_service_starts_before_its_store_is_there() {
    let mut offline = offline().await;
    let mut server = offline.relay("DATABASE_URL").await;
    let t = offline.start().await;
    let alive = t.http.get(t.url("/healthz")).send().await.unwrap();
    assert_eq!(alive.status(), 200);
    assert_eq!(t.http.get(t.url("/readyz")).send().await.unwrap().status(), 503);
    let asking = (0..3).map(|count| {
        let t = &t;
        async move { t.act("wxpay_order", order(&format!("EARLY_{count}"), 20)).await }
    });
    for refused in join_all(asking).await {
        assert_eq!(refused.failure(), (503, "STORE_UNAVAILABLE"), "{refused:?}");
        assert_eq!(refused.body["data"]["retryable"], true);
    }
    server.open();
    // Whoever comes first brings the books to this version, and the others wait for that.
    let asking = (0..8).map(|count| {
        let t = &t;
        async move { t.act("wxpay_order", order(&format!("ORDER_{count}"), 20)).await }
    });
    for came in join_all(asking).await {
        came.data();
    }
    assert_eq!(t.http.get(t.url("/readyz")).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn a_connection_whose_peer_says_nothing_any_more_is_not_waited_for() {
    let mut offline = offline().await;
    let mut server = offline.relay("DATABASE_URL").await;
    server.open();
    let t = offline.start().await;
    t.placed("ORDER_1", 20).await;
    for count in 2..5 {
        server.silence_what_stands();
        t.placed(&format!("ORDER_{count}"), 20).await;
        assert_eq!(
            t.world.business().heard_of(&format!("ORDER_{count}")),
            ["order.created"]
        );
    }
}

/// The service as a process, and what goes in and out of it.
struct Frozen {
    process: Process,
    offline: Offline,
    http: reqwest::Client,
}

impl Frozen {
    fn start(offline: Offline) -> Self {
        let mut settings = offline.settings.clone();
        settings.push(("logFormat".to_owned(), "json".to_owned()));
        let process = Process::start(&settings);
        offline.world.set_service(process.address.expect("it listens")).unwrap();
        Self {
            process,
            offline,
            http: http(),
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.pid().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    async fn post(&self, path: &str, headers: &[(String, String)], body: &Value) -> Came {
        // The platform's own connection to the process is made anew too.
        let mut request = self.http.post(self.process.url(path)).header("connection", "close");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        came(request.json(body).send().await.unwrap()).await
    }

    async fn place(&self, number: &str) {
        let gateway = self.offline.world.gateway();
        let bearer = format!("Bearer {}", gateway.mint_token("alice", &TokenOptions::default()));
        let headers = [("authorization".to_owned(), bearer)];
        self.post("/wx-pay/wxpay_order", &headers, &order(number, 20))
            .await
            .data();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn what_died_while_it_was_frozen_is_not_used() {
    let mut offline = offline().await;
    // What is shown here is that it comes, whatever else the machine has to do; how soon is another test's.
    offline.set("webhookFirstAttemptMs", "4000");
    let mut ways = Vec::new();
    for setting in ["wechatPayBaseUrl", "webhookUrl"] {
        let mut way = offline.relay(setting).await;
        way.open();
        ways.push(way);
    }
    let frozen = Frozen::start(offline);
    let world = &frozen.offline.world;
    frozen.place("ORDER_1").await;
    for count in 2..5 {
        frozen.signal("-STOP");
        frozen.cut_off_the_store().await;
        for way in &ways {
            way.silence_what_stands();
        }
        frozen.signal("-CONT");
        // What WeChat, the store and the business side are asked now, they are asked by new connections.
        let number = format!("ORDER_{count}");
        frozen.place(&number).await;
        assert_eq!(world.business().heard_of(&number), ["order.created"]);

        world.wechat().lose_callbacks(1);
        world.wechat().pay(&number).unwrap();
        let note = world.wechat().payment_notification(&number).unwrap();
        frozen.signal("-STOP");
        frozen.cut_off_the_store().await;
        for way in &ways {
            way.silence_what_stands();
        }
        frozen.signal("-CONT");
        world.center().set_shape(ForwardShape::without_resource());
        let forward = world.center().forward_of(&note).unwrap();
        let taken = frozen.post(&forward.path, &forward.headers, &forward.body).await;
        assert_eq!(taken.status, 200, "{taken:?}");
        assert_eq!(world.business().heard_of(&number), ["order.created", "order.paid"]);
    }
}

impl Frozen {
    /// Ends every connection of the process's to its store, from the store's side.
    async fn cut_off_the_store(&self) {
        use sqlx::Connection as _;
        let mut conn = sqlx::PgConnection::connect(&self.offline.database.url).await.unwrap();
        let cut = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        assert!(
            cut.fetch_all(&mut conn).await.unwrap().len() <= 4,
            "few connections are kept"
        );
        conn.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn a_slow_business_side_never_makes_a_callback_late() {
    let mut offline = offline().await;
    offline.set("webhookFirstAttemptMs", "4000");
    let t: TestApp = offline.start().await;
    t.placed("ORDER_1", 20).await;
    t.world.business().set_mood(Mood::Slow(Duration::from_secs(20)));
    t.world.wechat().lose_callbacks(1000);
    t.world.wechat().pay("ORDER_1").unwrap();
    // The proof alone takes most of the time.
    let slow = Fault::HangBefore(Duration::from_millis(2500));
    t.world.wechat().add_fault(FaultRule::on(Endpoint::QueryOrder, slow));
    t.world.center().set_shape(ForwardShape::without_resource());
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    let forward = t.world.center().forward_of(&note).unwrap();
    let answered = tokio::time::timeout(WECHAT_WAITS, t.forward(&forward)).await;
    assert_eq!(answered.expect("WeChat does not wait so long").status, 200);
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("SUCCESS"));
    assert_eq!(t.world.business().heard_of("ORDER_1"), ["order.created"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn it_is_said_at_the_start_that_nobody_can_call_the_tick() {
    let mut offline = offline().await;
    let frozen = Frozen::start(offline);
    assert!(
        !frozen.process.log().contains("without operatorKeys"),
        "{}",
        frozen.process.log()
    );
    offline = frozen.offline;
    offline.settings.retain(|(name, _)| name != "operatorKeys");
    let frozen = Frozen::start(offline);
    assert!(
        frozen.process.log().contains("serverless without operatorKeys"),
        "{}",
        frozen.process.log()
    );
}
