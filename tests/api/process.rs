//! The binary as an operator meets it: how it starts, what it logs, how it ends.

use std::time::Duration;

use pay_common::sandbox::{After, Endpoint, Fault, FaultRule, Keys, Options, RefundEnd, TokenOptions, World};
use serde_json::json;

use crate::support::app::{OPENID, OPERATOR, came, order, refund, sha256_hex};
use crate::support::database::{Database, Store};
use crate::support::process::Process;

/// The settings of a world, for the binary.
fn settings(world: &World, database: &Database, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = world
        .settings()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let usual = [
        ("bindAddress", "127.0.0.1"),
        ("PORT", "0"),
        ("DATABASE_URL", &database.url),
        ("logFormat", "json"),
    ];
    settings.extend(
        usual
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    settings
}

async fn world() -> World {
    World::start(Options {
        keys: Some(Keys::shared()),
        refund_after: None,
        ..Options::default()
    })
    .await
    .unwrap()
}

/// No key, token, code or whole openid stands in any line at any level, whatever goes right or wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_at_any_level() {
    let world = world().await;
    let database = Database::fresh(Store::Sqlite).await;
    let operator_hash = sha256_hex(OPERATOR);
    let more = [
        ("logLevel", "trace"),
        ("operatorKeys", operator_hash.as_str()),
        ("trustPlatformHeaders", "true"),
    ];
    let mut process = Process::start(&settings(&world, &database, &more));
    world.set_service(process.address.unwrap()).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = world.gateway().mint_token("alice", &TokenOptions::wechat(OPENID));
    let call = async |authorization: &str, action: &str, body: &serde_json::Value| {
        let request = http
            .post(process.url(&format!("/wx-pay/{action}")))
            .header("authorization", authorization)
            .header("x-cloudbase-context", "temporary-credentials-of-the-platform")
            .json(body);
        came(request.send().await.unwrap()).await
    };
    let bearer = format!("Bearer {token}");
    for number in ["ORDER_1", "ORDER_2", "ORDER_3"] {
        call(&bearer, "wxpay_order", &order(number, 20)).await.data();
    }
    // What goes wrong is logged most eagerly.
    for after in [
        After::BadSignature,
        After::Garbage,
        After::DropConnection,
        After::Status(500),
        After::SignTest,
    ] {
        world
            .wechat()
            .add_fault(FaultRule::on(Endpoint::Any, Fault::ProcessThen(after)).times(1));
        call(
            &bearer,
            "wxpay_query_order_by_out_trade_no",
            &json!({"out_trade_no": "ORDER_2"}),
        )
        .await;
    }
    world.wechat().fault(Endpoint::Prepay, Fault::refuse(401, "SIGN_ERROR"));
    call(&bearer, "wxpay_order", &order("ORDER_4", 20)).await;
    call(
        &format!("Bearer {OPERATOR}"),
        "wxpay_query_order_by_out_trade_no",
        &json!({"out_trade_no": "ORDER_2"}),
    )
    .await;
    call(
        "Bearer op_wrong_operator_key",
        "wxpay_close_order",
        &json!({"out_trade_no": "ORDER_2"}),
    )
    .await;
    call(
        &bearer,
        "wxpay_order",
        &json!({"description": 5, OPENID: OPENID, "payer": {"openid": "bad one"}}),
    )
    .await;
    world.wechat().pay("ORDER_1").unwrap();
    while call(
        &bearer,
        "wxpay_query_order_by_out_trade_no",
        &json!({"out_trade_no": "ORDER_1"}),
    )
    .await
    .body["data"]["data"]["trade_state"]
        != "SUCCESS"
    {}
    call(&bearer, "wxpay_refund", &refund("ORDER_1", "REFUND_1", 5, 20))
        .await
        .data();
    world.wechat().finish_refund("REFUND_1", RefundEnd::Success).unwrap();
    call(&bearer, "wxpay_refund_query", &json!({"out_refund_no": "REFUND_1"}))
        .await
        .data();
    call(&bearer, "wxpay_close_order", &json!({"out_trade_no": "ORDER_3"})).await;
    let forged = world.center().forge(&world.wechat().order("ORDER_2").unwrap());
    world.center().send(&forged).await.unwrap();
    let note = world.wechat().payment_notification("ORDER_1").unwrap();
    world
        .center()
        .send(&world.center().forward_of(&note).unwrap())
        .await
        .unwrap();
    stop(&mut process);

    let log = process.log();
    assert!(log.lines().count() > 20, "there is something to look through: {log}");
    let private = world.keys().merchant_private_pem();
    let key_line = private.lines().nth(5).unwrap().to_owned();
    for (what, secret) in [
        ("the APIv3 key", world.keys().api_v3_key()),
        ("the private key", key_line.as_str()),
        ("a token", token.as_str()),
        ("a token's claims", token.split('.').nth(1).unwrap()),
        ("a whole openid", OPENID),
        ("an operator key", OPERATOR),
        ("a wrong operator key", "op_wrong_operator_key"),
        ("an operator key's hash", operator_hash.as_str()),
        ("the integration id", world.center().integration_id()),
        ("the platform's credentials", "temporary-credentials-of-the-platform"),
        ("an Authorization header", "WECHATPAY2-SHA256-RSA2048"),
        ("a prepay id", "prepay_id"),
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} is in the log");
    }
}

fn stop(process: &mut Process) -> Option<i32> {
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &process.pid().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    process.wait()
}

/// SIGTERM lets what runs end, and then the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_what_runs_end() {
    let world = world().await;
    let database = Database::fresh(Store::Sqlite).await;
    let mut process = Process::start(&settings(&world, &database, &[]));
    world.set_service(process.address.unwrap()).unwrap();
    let held = world.wechat().hold(Endpoint::Prepay);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = world.gateway().mint_token("alice", &TokenOptions::default());
    let request = http
        .post(process.url("/wx-pay/wxpay_order"))
        .bearer_auth(&token)
        .json(&order("ORDER_1", 20))
        .send();
    let answer = tokio::spawn(request);
    held.reached().await;

    let pid = process.pid().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let refused = async {
        // The port closes while the order is still under way.
        while tokio::net::TcpStream::connect(process.address.unwrap()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    held.release();

    let came = came(answer.await.unwrap().unwrap()).await;
    assert!(came.data()["prepay_id"].is_string());
    assert_eq!(process.wait(), Some(0));
    assert!(process.log().contains("stopped"));
}

/// A stop waits no longer than it is told to; what is cut off is an intent in the books, and the next start settles it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_in_time_and_the_next_start_settles_what_it_cut_off() {
    let world = world().await;
    let database = Database::fresh(Store::Sqlite).await;
    let operator = sha256_hex(OPERATOR);
    let more = [("stopTimeoutMs", "300"), ("operatorKeys", operator.as_str())];
    let settings = settings(&world, &database, &more);
    let mut process = Process::start(&settings);
    world.set_service(process.address.unwrap()).unwrap();
    let held = world.wechat().hold(Endpoint::Prepay);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let place = |process: &Process| {
        let request = http.post(process.url("/wx-pay/wxpay_order"));
        request.bearer_auth(OPERATOR).json(&order("ORDER_1", 20)).send()
    };
    let answer = tokio::spawn(place(&process));
    held.reached().await;
    // Somebody who sends very slowly does not hold up the stop either.
    let mut slow = tokio::net::TcpStream::connect(process.address.unwrap()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut slow, b"POST / HTTP/1.1\r\n")
        .await
        .unwrap();

    let started = std::time::Instant::now();
    assert_eq!(stop(&mut process), Some(0));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(answer.await.unwrap().is_err(), "nobody is told what is not known");
    assert!(process.log().contains("the rest is settled at the next start"));
    held.release();

    let process = Process::start(&settings);
    world.set_service(process.address.unwrap()).unwrap();
    let again = came(place(&process).await.unwrap()).await;
    assert!(again.data()["prepay_id"].is_string());
    assert!(world.wechat().order("ORDER_1").is_some());
}

/// Every problem of a start is told at once, by the setting's name and never by its value.
#[test]
fn all_problems_of_a_start_are_told_at_once() {
    let bad = [
        ("merchantId", "12"),
        ("merchantSerialNumber", "not-a-serial"),
        ("apiV3Key", "short-secret-value"),
        (
            "privateKey",
            "-----BEGIN PRIVATE KEY-----\nMIIsecretkeycontent\n-----END PRIVATE KEY-----",
        ),
        ("notifyURLPayURL", "ftp://example.com/?x=1"),
        ("refundPolicy", "everybody"),
        ("DATABASE_URL", "mysql://user:hidden@host/db"),
    ];
    let settings: Vec<(String, String)> = bad
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut process = Process::start(&settings);
    assert_eq!(process.wait(), Some(1));
    // Written to a closed pipe by now.
    let log = std::iter::repeat_with(|| process.log())
        .find(|log| log.contains("DATABASE_URL"))
        .unwrap();
    for (name, _) in bad {
        assert!(log.contains(&format!("{name}: ")), "{name} is not named: {log}");
    }
    for name in ["appId", "notifyURLRefundsURL"] {
        assert!(
            log.contains(&format!("{name}: is missing / 未设置")),
            "{name} is not named: {log}"
        );
    }
    for secret in ["short-secret-value", "secretkeycontent", "hidden"] {
        assert!(!log.contains(secret), "{secret} is told");
    }
}

/// `/healthz` says that the process lives, `/readyz` that it can work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness_are_answered() {
    let world = world().await;
    let database = Database::fresh(Store::Sqlite).await;
    let process = Process::start(&settings(&world, &database, &[]));
    for path in ["/healthz", "/readyz"] {
        let came = came(reqwest::get(process.url(path)).await.unwrap()).await;
        assert_eq!((came.status, &came.body["status"]), (200, &json!("ok")), "{path}");
        assert!(came.headers.contains_key("x-request-id"), "{path}");
    }
}

/// `sandbox --once` is the newcomer's first command.
#[test]
fn the_whole_loop_holds_in_one_command() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pay-common"))
        .args(["sandbox", "--once"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("28 of 28 steps held") && !said.contains("FAILED"),
        "{said}"
    );
}

/// The same in bad weather, with a whole shop.
#[test]
fn a_shop_in_bad_weather_ends_with_books_that_agree() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pay-common"))
        .args(["sandbox", "--once", "--chaos", "7"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("seed 7: 40 orders") && said.contains("books agree") && !said.contains("FAILED"),
        "{said}"
    );
}

/// Connections need file descriptors, and a common default is too few: the service takes what it may, and says when that is not enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn file_descriptors_are_raised_to_what_the_limits_need() {
    let world = world().await;
    let database = Database::fresh(Store::Sqlite).await;
    let settings = settings(&world, &database, &[]);
    let allowed = |process: &Process| -> String {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        line.split_whitespace().nth(3).unwrap().to_owned()
    };
    let process = Process::start_within("ulimit -S -n 64", &settings);
    assert_eq!(allowed(&process), (2048 + 1024 + 128).to_string());
    assert!(!process.log().contains("file descriptors than"));
    drop(process);
    let process = Process::start_within("ulimit -n 256", &settings);
    assert!(process.address.is_some(), "it serves with what it has");
    assert_eq!(allowed(&process), "256");
    assert!(process.log().contains("more file descriptors than"));
}

/// What an order leaves in the log when all goes well: what is written there for each is money and disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_and_its_payment_take_few_bytes_of_log() {
    let world = world().await;
    let database = Database::fresh(Store::Sqlite).await;
    let mut process = Process::start(&settings(&world, &database, &[]));
    world.set_service(process.address.unwrap()).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = world.gateway().mint_token("alice", &TokenOptions::wechat(OPENID));
    let numbers: Vec<String> = (0..20).map(|n| format!("ORDER_OF_A_USUAL_LENGTH_{n:08}")).collect();
    for number in &numbers {
        let request = http.post(process.url("/wx-pay/wxpay_order")).bearer_auth(&token);
        came(request.json(&order(number, 20)).send().await.unwrap())
            .await
            .data();
        world.wechat().pay(number).unwrap();
    }
    let delivered = async {
        while world.wechat().deliveries().len() < numbers.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), delivered).await.unwrap();
    stop(&mut process);

    let log = process.log();
    for number in &numbers {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(number.as_str())).collect();
        let [placed, paid] = lines[..] else {
            panic!("one line each: {lines:#?}")
        };
        let said: serde_json::Value = serde_json::from_str(placed).unwrap();
        assert_eq!(said["message"], "wxpay_order: done");
        assert_eq!(
            (&said["span"]["caller"], &said["span"]["out_trade_no"]),
            (&json!("token"), &json!(number))
        );
        assert!(
            said["ms"].is_u64() && said["span"]["request_id"].is_string(),
            "{placed}"
        );
        assert!(placed.len() < 400 && paid.len() < 400, "{lines:#?}");
    }
    let since_the_start = log.lines().skip_while(|line| !line.contains("listening on")).count();
    assert_eq!(since_the_start, 1 + 2 * numbers.len() + 2, "and nothing else: {log}");
}
