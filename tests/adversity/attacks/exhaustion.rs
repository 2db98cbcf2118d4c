//! Nobody else served: slow senders, floods, and questions to WeChat Pay that nobody needs.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pay_common::sandbox::{Endpoint, Options};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::case::{Tried, cases};
use crate::support::app::{TestApp, order};
use crate::support::database::Store;

cases!(Attack:
    headers_that_never_end => "connections held for ever: nobody else is served",
    bodies_that_never_end => "requests held for ever: nobody else is served",
    idle_connections_beyond_the_limit => "memory and file descriptors until the process dies",
    headers_without_measure => "memory until the process dies",
    a_flood_of_one_caller => "the merchant's quota at WeChat Pay: no other buyer can order",
    a_flood_of_all_callers => "the same, with a new login for every call",
    forwards_that_prove_nothing => "the merchant's quota at WeChat Pay, by anybody who can post",
    a_slow_wechat => "all callers wait, and every waiting one costs memory",
    an_answer_that_does_not_come => "a caller who waits for ever and does not know what became of the money",
);

/// Writes piece by piece until the other side closes; how long it took, and what was said.
async fn drip(t: &TestApp, start: &str, piece: &str, pause: Duration) -> (Duration, String) {
    let started = Instant::now();
    let connection = TcpStream::connect(t.service.address()).await.unwrap();
    let (mut answers, mut requests) = connection.into_split();
    let dripping = async {
        if requests.write_all(start.as_bytes()).await.is_ok() {
            while requests.write_all(piece.as_bytes()).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
    };
    let mut said = Vec::new();
    let closed = async {
        // A reset is an end, too.
        drop(answers.read_to_end(&mut said).await);
    };
    tokio::select! {
        () = closed => {}
        () = dripping => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it is still listened to"),
    }
    (started.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

async fn still_serves(t: &TestApp, number: &str) {
    t.act("wxpay_order", order(number, 20)).await.data();
}

async fn headers_that_never_end(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("headerTimeoutMs", "400")]).await;
    let starts = [
        "",
        "P",
        "PRI * HTTP/2.0\r\n\r\nSM",
        "POST /wx-pay/wxpay_order HTTP/1.1\r\nHost: x\r\n",
        "POST /wechatpay/order HTTP/1.1\r\nHost: x\r\nX-Long: ",
        // The second request of a connection whose first one was in time.
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nPOST /",
    ];
    let slow = starts.map(|start| {
        let piece = if start.ends_with("\r\n") { "x: 1\r\n" } else { "" };
        drip(&t, start, piece, Duration::from_millis(50))
    });
    for (took, said) in join_all(slow).await {
        assert!(
            took >= Duration::from_millis(300),
            "nobody was given time: {took:?} {said}"
        );
        assert!(!said.contains("\"code\":0"), "{said}");
        tried.once();
    }
    still_serves(&t, "ORDER_H1").await;
}

async fn bodies_that_never_end(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("bodyTimeoutMs", "400")]).await;
    let token = t.token("alice");
    let post = |path: &str, length: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
        )
    };
    let slow = [
        (post("/wx-pay/wxpay_order", "Content-Length: 100000"), "{\"a"),
        (post("/", "Content-Length: 100000"), " "),
        (post("/wechatpay/order", "Content-Length: 100000"), "{"),
        (post("/wx-pay/wxpay_order", "Transfer-Encoding: chunked"), "1\r\n \r\n"),
    ];
    let all = slow
        .iter()
        .map(|(start, piece)| drip(&t, start, piece, Duration::from_millis(50)));
    for (_, said) in join_all(all).await {
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        tried.once();
    }
    still_serves(&t, "ORDER_B1").await;
}

async fn idle_connections_beyond_the_limit(store: Store, tried: Tried) {
    let limits = [("maxConnections", "16"), ("headerTimeoutMs", "1500")];
    let t = TestApp::start_with(store, Options::default(), &limits).await;
    let idle = join_all((0..64).map(|_| TcpStream::connect(t.service.address()))).await;
    // Whoever comes after them is served as soon as their time is over.
    still_serves(&t, "ORDER_I1").await;
    tried.times(idle.len());
}

async fn headers_without_measure(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    let one_long = format!("X-Long: {}\r\n", "x".repeat(1_000_000));
    let many = (0..2000).fold(String::new(), |all, n| format!("{all}x-{n}: 1\r\n"));
    for headers in [one_long, many] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let (_, said) = drip(&t, &request, "", Duration::from_millis(50)).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
        tried.once();
    }
    still_serves(&t, "ORDER_M1").await;
}

async fn a_flood_of_one_caller(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("maxCallerRequestsPerSecond", "1")]).await;
    let query = json!({"out_trade_no": "ORDER_NONE"});
    let flood = join_all((0..40).map(|_| t.act("wxpay_query_order_by_out_trade_no", query.clone()))).await;
    let refused: Vec<_> = flood.iter().filter(|came| came.status == 429).collect();
    // Ten seconds' worth came through, and what the clock gave meanwhile.
    assert!((20..=30).contains(&refused.len()), "{} of 40", refused.len());
    for came in refused {
        assert_eq!(came.failure(), (429, "TOO_MANY_REQUESTS"));
        assert!(came.body["data"].is_null(), "{came:?}");
        let wait: u64 = came.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        tried.once();
    }
    // Neither another buyer nor the merchant hears of it, and neither does a callback.
    let bob = format!("Bearer {}", t.token("bob"));
    t.act_as(&bob, "wxpay_order", order("ORDER_C1", 20)).await.data();
    for _ in 0..30 {
        let query = json!({"out_trade_no": "ORDER_C1"});
        t.operate("wxpay_query_order_by_out_trade_no", query).await.data();
    }
    t.world.wechat().pay("ORDER_C1").unwrap();
    t.eventually("ORDER_C1", "SUCCESS").await;
}

async fn a_flood_of_all_callers(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("maxRequestsPerSecond", "1")]).await;
    let tokens: Vec<String> = (0..40)
        .map(|n| format!("Bearer {}", t.token(&format!("buyer-{n}"))))
        .collect();
    let query = json!({"out_trade_no": "ORDER_NONE"});
    let flood = tokens
        .iter()
        .map(|token| t.act_as(token, "wxpay_query_order_by_out_trade_no", query.clone()));
    let flood = join_all(flood).await;
    let refused = flood
        .iter()
        .filter(|came| came.failure() == (429, "TOO_MANY_REQUESTS"))
        .count();
    assert!((20..=30).contains(&refused), "{refused} of 40");
    assert!(t.world.wechat().count(Endpoint::QueryOrder) <= 20);
    tried.times(refused);
}

async fn forwards_that_prove_nothing(store: Store, tried: Tried) {
    // Direct callbacks, so that the payment's own forward does not count.
    let options = Options {
        direct_callbacks: true,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[("maxConfirmationsPerSecond", "1")]).await;
    t.placed("ORDER_P1", 20).await;
    let forged = t.world.center().forge(&t.world.wechat().order("ORDER_P1").unwrap());
    let before = t.world.wechat().count(Endpoint::QueryOrder);
    let answers = join_all((0..60).map(|_| t.forward(&forged))).await;
    assert!(
        answers.iter().all(|came| came.status == 409 || came.status == 503),
        "{answers:?}"
    );
    let asked = t.world.wechat().count(Endpoint::QueryOrder) - before;
    assert!((1..=20).contains(&asked), "{asked} questions");
    assert_eq!(t.state("ORDER_P1").await.as_deref(), Some("NOTPAY"));
    tried.times(answers.len());
    // What proves itself is heard all the same.
    t.world.wechat().pay("ORDER_P1").unwrap();
    t.eventually("ORDER_P1", "SUCCESS").await;
}

async fn a_slow_wechat(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("maxUpstreamCalls", "3")]).await;
    let held = t.world.wechat().hold(Endpoint::Prepay);
    let waiting = async { join_all((0..3).map(|n| t.act("wxpay_order", order(&format!("ORDER_W{n}"), 20)))).await };
    let others = async {
        held.reached_by(3).await;
        for n in 0..20 {
            let number = format!("ORDER_X{n}");
            let came = t.act("wxpay_order", order(&number, 20)).await;
            assert_eq!(came.failure(), (503, "UPSTREAM_BUSY"));
            assert_eq!(came.body["data"]["retryable"], json!(true));
            assert!(came.headers.contains_key("retry-after"));
            assert_eq!(t.state(&number).await, None, "a refusal for want of room leaves no row");
            tried.once();
        }
        held.release();
    };
    let (placed, ()) = tokio::join!(waiting, others);
    for came in &placed {
        came.data();
    }
    still_serves(&t, "ORDER_X0").await;
}

async fn an_answer_that_does_not_come(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("requestTimeoutMs", "500")]).await;
    let held = t.world.wechat().hold(Endpoint::Prepay);
    let came = t.act("wxpay_order", order("ORDER_T1", 20)).await;
    assert_eq!(came.failure(), (504, "ANSWER_TIMEOUT"));
    assert_eq!(came.body["data"]["retryable"], json!(true));
    held.release();
    // Nobody waited, and it was done all the same.
    t.eventually("ORDER_T1", "NOTPAY").await;
    still_serves(&t, "ORDER_T1").await;
    assert_eq!(t.events("ORDER_T1").await, ["order.created"]);
    assert_eq!(t.world.wechat().count(Endpoint::Prepay), 1);
    tried.once();
}
