//! Merchant transfers: who may make and see them, what they have to say, and that one number is one transfer.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pay_common::sandbox::{Endpoint, KeyMode, Keys, Options, TokenOptions, World};
use serde_json::{Value, json};

use crate::support::app::{Came, OPENID, OPERATOR, TestApp, came, sha256_hex};
use crate::support::body::{with, without};
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::payouts::{BY_BILL, BY_NUMBER, TRANSFER, transfer};
use crate::support::process::Process;

on_both_stores!(
    a_transfer_is_made_confirmed_and_told_of,
    a_name_is_sealed_for_wechat_and_kept_nowhere,
    the_same_number_is_the_same_transfer,
    fifty_transfers_of_one_number_are_one_transfer,
    other_parameters_under_the_same_number_are_a_conflict,
    only_the_merchants_server_transfers,
    anybody_transfers_where_that_is_set,
    a_transfer_is_seen_by_its_receiver_and_by_no_stranger,
);

const NAME: &str = "张三丰的名字";

fn any() -> [(&'static str, &'static str); 2] {
    [("transferPolicy", "any"), ("trustPlatformHeaders", "true")]
}

fn made(t: &TestApp) -> usize {
    t.world.wechat().count(Endpoint::Transfer)
}

fn named(number: &str, amount: i64, name: &str) -> Value {
    with(transfer(number, amount), "user_name", json!(name))
}

#[track_caller]
fn assert_names(came: &Came, names: &[&str], about: &str) {
    assert_eq!(came.failure(), (400, "INVALID_PARAM"), "{about}: {came:?}");
    let msg = came.body["msg"].as_str().unwrap();
    let named: Vec<&str> = msg.split("; ").map(|part| part.split(' ').next().unwrap()).collect();
    assert_eq!(named, names, "{about}: {msg}");
}

async fn a_transfer_is_made_confirmed_and_told_of(store: Store) {
    let t = TestApp::start(store).await;
    let settings = t.world.settings();
    let notify_url = settings.iter().find(|(name, _)| *name == "transferNotifyUrl").unwrap();
    let came = t.operate(TRANSFER, transfer("T1", 500)).await;
    assert_eq!(came.body["data"]["status"], 200);
    let mut members: Vec<&String> = came.data().as_object().unwrap().keys().collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "create_time",
            "mchId",
            "out_bill_no",
            "package_info",
            "state",
            "transfer_bill_no",
        ]
    );
    let data = came.data();
    assert_eq!(
        (&data["mchId"], &data["state"], &data["out_bill_no"]),
        (
            &json!(t.world.keys().mchid()),
            &json!("WAIT_USER_CONFIRM"),
            &json!("T1")
        )
    );
    let view = t.world.wechat().transfer("T1").unwrap();
    assert_eq!(data["package_info"], json!(view.package_info));
    let seen = t.world.wechat().requests().pop().unwrap();
    assert_eq!(
        (seen.method.as_str(), seen.path_and_query.as_str()),
        ("POST", "/v3/fund-app/mch-transfer/transfer-bills")
    );
    let app_id = t.world.keys().mini_program_appid();
    let expected = with(transfer("T1", 500), "appid", json!(app_id));
    let expected = with(expected, "notify_url", json!(notify_url.1));
    assert_eq!(seen.json(), expected, "exactly that, and nothing more");
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);

    t.world.wechat().confirm_transfer("T1").unwrap();
    t.eventually_transfer("T1", "SUCCESS").await;
    assert_eq!(
        t.transfer_events("T1").await,
        ["transfer.created", "transfer.succeeded"]
    );
    let told = t.told_of_transfer("T1").await;
    assert_eq!(
        (&told[0]["type"], &told[1]["type"]),
        (&json!("transfer.created"), &json!("transfer.succeeded"))
    );
    assert_eq!(
        (&told[0]["data"]["state"], &told[1]["data"]["state"]),
        (&json!("WAIT_USER_CONFIRM"), &json!("SUCCESS"))
    );
    assert_eq!(
        (
            &told[1]["data"]["transfer_amount"],
            &told[1]["data"]["transfer_bill_no"]
        ),
        (&json!(500), &data["transfer_bill_no"])
    );
    assert_eq!(told[1]["data"]["resource"]["out_bill_no"], "T1");

    let bill = data["transfer_bill_no"].clone();
    for (action, body) in [
        (BY_NUMBER, json!({"out_bill_no": "T1"})),
        ("wxpay_transfer_batch_query", json!({"out_bill_no": "T1"})),
        (BY_BILL, json!({"transfer_bill_no": bill})),
    ] {
        let said = t.operate(action, body).await;
        assert_eq!(
            (&said.data()["state"], &said.data()["transfer_amount"]),
            (&json!("SUCCESS"), &json!(500)),
            "{action}"
        );
    }
    let again = t.operate(TRANSFER, transfer("T1", 500)).await;
    assert_eq!((&again.data()["state"], made(&t)), (&json!("SUCCESS"), 1));
    assert_eq!(
        again.data()["package_info"],
        Value::Null,
        "there is nothing left to confirm"
    );
    assert_eq!(t.transfer_events("T1").await.len(), 2);
    assert!(t.anomalies().await.is_empty());
}

async fn a_name_is_sealed_for_wechat_and_kept_nowhere(store: Store) {
    for key_mode in [KeyMode::PublicKey, KeyMode::Certificates, KeyMode::Both] {
        let options = Options {
            key_mode,
            ..Options::default()
        };
        let t = TestApp::start_with(store, options, &[]).await;
        let mut answers = Vec::new();
        answers.push(t.operate(TRANSFER, named("T1", 200_000, NAME)).await);
        let view = t.world.wechat().transfer("T1").unwrap();
        assert_eq!(view.user_name.as_deref(), Some(NAME), "{key_mode:?}");
        answers.push(t.operate(TRANSFER, named("T1", 200_000, NAME)).await);
        t.world.wechat().confirm_transfer("T1").unwrap();
        t.eventually_transfer("T1", "SUCCESS").await;
        let bill = answers[0].data()["transfer_bill_no"].clone();
        answers.push(t.operate(BY_NUMBER, json!({"out_bill_no": "T1"})).await);
        answers.push(t.operate(BY_BILL, json!({"transfer_bill_no": bill})).await);
        for answer in answers {
            answer.data();
            assert!(!answer.body.to_string().contains(NAME), "{key_mode:?}: {answer:?}");
        }
        for seen in t.world.wechat().requests() {
            assert!(!seen.body.contains(NAME), "{key_mode:?}: {seen:?}");
        }
        // Where it could stand, and one place that shows that the search finds what is there.
        for (what, columns) in [
            (
                "transfers",
                "out_bill_no || owner_openid || request || name_digest || package_info",
            ),
            ("events", "fact || payload"),
            ("callbacks", "fact || resource"),
        ] {
            let rows = t.texts(&format!("SELECT {columns} FROM {what}")).await;
            assert!(rows.iter().any(|row| row.contains("T1")), "{what}: {rows:?}");
            assert!(!rows.iter().any(|row| row.contains(NAME)), "{what}: {rows:?}");
        }
        if store == Store::Sqlite {
            let path = t.database.url.strip_prefix("sqlite://").unwrap();
            let folder = std::path::Path::new(path).parent().unwrap();
            let bytes: Vec<u8> = std::fs::read_dir(folder)
                .unwrap()
                .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
                .collect();
            let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(holds("Autumn draw") && !holds(NAME), "{key_mode:?}");
        }
    }
    // After a rotation, the newest certificate's key counts, also once the older one does not.
    let options = Options {
        key_mode: KeyMode::Certificates,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[]).await;
    t.operate(TRANSFER, named("T1", 500, NAME)).await.data();
    t.world.wechat().rotate_certificate().unwrap();
    t.world.wechat().sign_with_new_certificate().unwrap();
    t.transferred("T2", 500).await;
    t.world.wechat().expire_old_certificate().unwrap();
    t.operate(TRANSFER, named("T3", 500, NAME)).await.data();
    assert_eq!(
        t.world.wechat().transfer("T3").unwrap().user_name.as_deref(),
        Some(NAME)
    );
    // The repeat of one whose name was sealed with the older key.
    t.operate(TRANSFER, named("T1", 500, NAME)).await.data();
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);
}

/// At any level, whatever goes right or wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_and_no_whole_openid_is_logged_at_any_level() {
    use pay_common::sandbox::{After, Fault};
    let options = Options {
        keys: Some(Keys::shared()),
        ..Options::default()
    };
    let world = World::start(options).await.unwrap();
    let database = Database::fresh(Store::Sqlite).await;
    let mut settings: Vec<(String, String)> = world
        .settings()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let operators = sha256_hex(OPERATOR);
    settings.extend(
        [
            ("bindAddress", "127.0.0.1"),
            ("PORT", "0"),
            ("DATABASE_URL", &database.url),
            ("logFormat", "json"),
            ("logLevel", "trace"),
            ("operatorKeys", &operators),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let process = Process::start(&settings);
    world.set_service(process.address.unwrap()).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = async |action: &str, body: &Value| {
        let request = http
            .post(process.url(&format!("/wx-pay/{action}")))
            .bearer_auth(OPERATOR)
            .json(body);
        came(request.send().await.unwrap()).await
    };
    call(TRANSFER, &named("T1", 500, NAME)).await.data();
    for fault in [
        Fault::refuse(400, "PARAM_ERROR"),
        Fault::refuse_unsigned(403, "NO_AUTH"),
        Fault::ProcessThen(After::DropConnection),
        Fault::ProcessThen(After::BadSignature),
    ] {
        world.wechat().fault(Endpoint::Transfer, fault);
        call(TRANSFER, &named("T2", 500, NAME)).await;
    }
    call(TRANSFER, &named("T1", 500, "another 名字")).await;
    call(TRANSFER, &with(named("T3", 5, NAME), "openid", json!("two words"))).await;
    world.wechat().confirm_transfer("T1").unwrap();
    while call(BY_NUMBER, &json!({"out_bill_no": "T1"})).await.data()["state"] != "SUCCESS" {}
    let package = world.wechat().transfer("T1").unwrap().package_info;
    let started = Instant::now();
    while !process.log().contains("the transfer is SUCCESS") {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", process.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = process.log();
    for secret in [NAME, "another 名字", OPENID, package.as_str(), OPERATOR] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

async fn the_same_number_is_the_same_transfer(store: Store) {
    let t = TestApp::start(store).await;
    for (number, body) in [("T1", transfer("T1", 500)), ("T2", named("T2", 500, NAME))] {
        let so_far = made(&t);
        let first = t.operate(TRANSFER, body.clone()).await;
        for _ in 0..3 {
            let again = t.operate(TRANSFER, body.clone()).await;
            for member in ["out_bill_no", "transfer_bill_no", "state", "package_info", "mchId"] {
                assert_eq!(again.data()[member], first.data()[member], "{number}: {member}");
            }
        }
        assert_eq!(made(&t), so_far + 1, "{number}");
        assert_eq!(t.transfer_events(number).await, ["transfer.created"]);
    }
    // Also after the service forgot everything that it did not write down.
    let t = t.restart().await;
    let again = t.operate(TRANSFER, transfer("T1", 500)).await;
    assert!(again.data()["package_info"].is_string());
    assert_eq!(made(&t), 2);
}

async fn fifty_transfers_of_one_number_are_one_transfer(store: Store) {
    let t = TestApp::start(store).await;
    let answers = join_all((0..50).map(|_| t.operate(TRANSFER, named("T1", 500, NAME)))).await;
    let packages: HashSet<&str> = answers
        .iter()
        .map(|answer| answer.data()["package_info"].as_str().unwrap())
        .collect();
    assert_eq!((packages.len(), made(&t)), (1, 1));
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);
}

async fn other_parameters_under_the_same_number_are_a_conflict(store: Store) {
    let t = TestApp::start(store).await;
    t.transferred("T1", 500).await;
    t.operate(TRANSFER, named("T2", 500, NAME)).await.data();
    let service_app = t.world.keys().appid().to_owned();
    for (member, other) in [
        ("transfer_amount", json!(501)),
        ("openid", json!("o_somebody_else")),
        ("transfer_remark", json!("Price")),
        ("transfer_scene_id", json!("1002")),
        ("transfer_scene_report_infos[1].info_content", json!("Second prize")),
        ("user_recv_perception", json!("现金奖励")),
        ("user_recv_style", json!({"type": "RED_PACKET"})),
        ("appid", json!(service_app)),
        ("user_name", json!(NAME)),
    ] {
        let came = t.operate(TRANSFER, with(transfer("T1", 500), member, other)).await;
        assert_eq!(came.failure(), (409, "TRANSFER_PARAMS_MISMATCH"), "{member}");
        assert_eq!(
            came.body["data"],
            json!({"error": "TRANSFER_PARAMS_MISMATCH"}),
            "{member}"
        );
    }
    for other in [transfer("T2", 500), named("T2", 500, "李四")] {
        let came = t.operate(TRANSFER, other).await;
        assert_eq!(came.failure(), (409, "TRANSFER_PARAMS_MISMATCH"), "the name");
        assert!(!came.body.to_string().contains(NAME));
    }
    assert_eq!(made(&t), 2, "WeChat is not asked");
}

async fn only_the_merchants_server_transfers(store: Store) {
    let t = TestApp::start_with(store, Options::default(), &[("trustPlatformHeaders", "true")]).await;
    let bearer = format!("Bearer {}", t.token_of("alice", OPENID));
    let path = format!("/wx-pay/{TRANSFER}");
    for headers in [vec![("authorization", bearer.as_str())], vec![("x-wx-openid", OPENID)]] {
        let came = t.post(&path, &headers, transfer("T1", 500).to_string()).await;
        assert_eq!(came.failure(), (403, "FORBIDDEN"), "{headers:?}");
        assert!(came.body["msg"].as_str().unwrap().contains("transferPolicy"));
    }
    let came = t.post(&path, &[], transfer("T1", 500).to_string()).await;
    assert_eq!(came.failure(), (401, "UNAUTHENTICATED"));
    assert_eq!((made(&t), t.transfer_state("T1").await), (0, None));
    t.transferred("T1", 500).await;
}

async fn anybody_transfers_where_that_is_set(store: Store) {
    let t = TestApp::start_with(store, Options::default(), &any()).await;
    t.act(TRANSFER, transfer("T1", 500)).await.data();
    let path = format!("/wx-pay/{TRANSFER}");
    t.post(&path, &[("x-wx-openid", OPENID)], transfer("T2", 500).to_string())
        .await
        .data();
    // Whom the platform names receives for nobody else.
    let others = [("x-wx-openid", "o_somebody_else")];
    let came = t.post(&path, &others, transfer("T3", 500).to_string()).await;
    assert_names(&came, &["openid"], "x-wx-openid");
    assert_eq!((made(&t), t.transfer_state("T3").await), (2, None));

    // And a number is still one person's: another does not even learn what would have been the same.
    let mallory = format!("Bearer {}", t.token("mallory"));
    for body in [transfer("T1", 500), transfer("T1", 30)] {
        let came = t.act_as(&mallory, TRANSFER, body).await;
        assert_eq!(came.failure(), (403, "FORBIDDEN"));
    }
    t.act(TRANSFER, transfer("T1", 500)).await.data();
    t.act(BY_NUMBER, json!({"out_bill_no": "T1"})).await.data();
    let came = t.act_as(&mallory, BY_NUMBER, json!({"out_bill_no": "T1"})).await;
    assert_eq!(came.failure(), (403, "FORBIDDEN"));
}

async fn a_transfer_is_seen_by_its_receiver_and_by_no_stranger(store: Store) {
    let t = TestApp::start(store).await;
    let bill = t.transferred("T1", 500).await["transfer_bill_no"].clone();
    let receiver = format!("Bearer {}", t.token_of("bob", OPENID));
    let stranger = format!("Bearer {}", t.token_of("mallory", "o_mallory"));
    let by = |member: &str, number: &Value| json!({member: number, "mchid": t.world.keys().mchid()});
    for (action, body) in [
        (BY_NUMBER, by("out_bill_no", &json!("T1"))),
        ("wxpay_transfer_batch_query", by("out_bill_no", &json!("T1"))),
        (BY_BILL, by("transfer_bill_no", &bill)),
    ] {
        let seen = t.act_as(&receiver, action, body.clone()).await;
        assert_eq!(seen.data()["state"], "WAIT_USER_CONFIRM", "{action}");
        for other in [stranger.as_str(), &format!("Bearer {}", t.token("alice"))] {
            let came = t.act_as(other, action, body.clone()).await;
            assert_eq!(came.failure(), (403, "FORBIDDEN"), "{action}");
            assert_eq!(came.body["data"], Value::Null, "{action}");
        }
    }
    let queries = t.world.wechat().count(Endpoint::QueryTransfer);
    t.act_as(&stranger, BY_NUMBER, json!({"out_bill_no": "T1"})).await;
    assert_eq!(
        t.world.wechat().count(Endpoint::QueryTransfer),
        queries,
        "nor is WeChat asked"
    );

    // What nobody made is told as WeChat tells it.
    for (action, body) in [
        (BY_NUMBER, json!({"out_bill_no": "T9"})),
        (BY_BILL, json!({"transfer_bill_no": "1330000000000"})),
    ] {
        let came = t.operate(action, body).await;
        assert_eq!(came.failure(), (200, "UPSTREAM_REFUSED"), "{action}");
        let data = &came.body["data"];
        assert_eq!(
            (&data["status"], &data["data"]["code"]),
            (&json!(404), &json!("NOT_FOUND"))
        );
    }
    // One that was made elsewhere: its receiver may see it.
    let t = t.with_new_books(store).await;
    for (who, status) in [(&receiver, 0), (&stranger, -1)] {
        let came = t.act_as(who, BY_NUMBER, json!({"out_bill_no": "T1"})).await;
        assert_eq!(came.body["code"], json!(status), "{came:?}");
    }
}

/// Nothing below reaches the books, so one of the two databases is enough.
#[tokio::test]
async fn a_bad_value_of_a_transfer_is_refused_by_its_name() {
    let t = TestApp::start(Store::Sqlite).await;
    let text = |most: usize| vec![json!("字".repeat(most + 1)), json!(""), json!(5), json!("a\u{0}b")];
    let table: Vec<(&str, Vec<Value>)> = vec![
        (
            "out_bill_no",
            ["", "T-1", "T_1", "T 1", "T/1", "T%31", "转账", &"x".repeat(33)]
                .into_iter()
                .map(|number| json!(number))
                .chain([json!(1)])
                .collect(),
        ),
        (
            "transfer_amount",
            vec![
                json!(29),
                json!(0),
                json!(-30),
                json!(30.5),
                json!(30.0),
                json!("30"),
                json!(true),
                json!(200_000),
                json!(i64::MAX),
            ],
        ),
        (
            "openid",
            vec![json!(""), json!("two words"), json!(5), json!("x".repeat(129))],
        ),
        ("transfer_scene_id", text(36)),
        ("transfer_remark", text(32)),
        (
            "transfer_scene_report_infos",
            vec![json!([]), json!({}), json!("活动名称"), json!(5)],
        ),
        ("transfer_scene_report_infos[0]", vec![json!("活动名称"), json!([])]),
        ("transfer_scene_report_infos[0].info_type", text(15)),
        ("transfer_scene_report_infos[1].info_content", text(32)),
        ("transfer_scene_report_infos[1].x", vec![json!("x")]),
        ("user_name", {
            let mut values = text(64);
            // 64 characters are not always bytes enough to encrypt: rare ones take four each.
            values.push(json!("𠮷".repeat(54)));
            values
        }),
        ("user_recv_perception", text(32)),
        ("user_recv_style", vec![json!("RED_PACKET"), json!([])]),
        ("user_recv_style.type", vec![json!("GIFT"), json!(""), Value::Null]),
        ("appid", vec![json!("wx0000000000000000"), json!("")]),
        ("mchid", vec![json!("1900000000"), json!(5)]),
        ("notify_url", vec![json!("https://evil.example/x"), json!("")]),
        ("amount", vec![json!({"total": 500})]),
        ("payer", vec![json!({"openid": OPENID})]),
        ("transfer_bill_no", vec![json!("1")]),
    ];
    for (member, values) in table {
        for bad in values {
            let about = format!("{member} = {bad}");
            let came = t.operate(TRANSFER, with(transfer("T1", 500), member, bad)).await;
            assert_names(&came, &[member], &about);
            assert_eq!((&came.body["code"], &came.body["data"]), (&json!(-1), &Value::Null));
        }
    }
    for member in [
        "out_bill_no",
        "transfer_amount",
        "openid",
        "transfer_scene_id",
        "transfer_remark",
        "transfer_scene_report_infos",
    ] {
        let came = t.operate(TRANSFER, without(transfer("T1", 500), member)).await;
        assert_names(&came, &[member], member);
    }
    for (action, member) in [(BY_NUMBER, "out_bill_no"), (BY_BILL, "transfer_bill_no")] {
        assert_names(&t.operate(action, json!({})).await, &[member], action);
        assert_names(&t.operate(action, json!({member: "a/b"})).await, &[member], action);
        let body = json!({member: "T1", "mchid": "1900000000"});
        assert_names(&t.operate(action, body).await, &["mchid"], action);
        assert_names(&t.operate(action, json!({member: "T1", "x": 1})).await, &["x"], action);
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
    assert_eq!(t.transfer_state("T1").await, None);
}

#[tokio::test]
async fn the_least_and_the_most_of_a_transfer_depend_on_its_name() {
    let t = TestApp::start(Store::Sqlite).await;
    for (count, (amount, name, good)) in [
        (29, false, false),
        (30, false, true),
        (199_999, false, true),
        (200_000, false, false),
        (29, true, false),
        (30, true, true),
        (200_000, true, true),
        (5_000_000, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("T{count}");
        let body = if name {
            named(&number, amount, NAME)
        } else {
            transfer(&number, amount)
        };
        let came = t.operate(TRANSFER, body).await;
        if good {
            came.data();
            assert_eq!(t.world.wechat().transfer(&number).unwrap().amount, amount);
        } else {
            assert_names(&came, &["transfer_amount"], &format!("{amount} {name}"));
        }
    }
    // The longest names that fit.
    for (number, name) in [("T90", "𠮷".repeat(53)), ("T91", "字".repeat(64))] {
        t.operate(TRANSFER, named(number, 500, &name)).await.data();
        assert_eq!(t.world.wechat().transfer(number).unwrap().user_name, Some(name));
    }
    // An empty one is none, and null is none.
    let came = t
        .operate(TRANSFER, with(transfer("T92", 500), "user_name", Value::Null))
        .await;
    came.data();
    assert_eq!(t.world.wechat().transfer("T92").unwrap().user_name, None);
}

#[tokio::test]
async fn everything_that_a_transfer_may_say_reaches_wechat() {
    let t = TestApp::start(Store::Sqlite).await;
    let keys = t.world.keys().clone();
    let settings = t.world.settings();
    let notify_url = &settings
        .iter()
        .find(|(name, _)| *name == "transferNotifyUrl")
        .unwrap()
        .1;
    let mut body = transfer("T1", 500);
    for (member, value) in [
        ("appid", json!(keys.appid())),
        ("user_recv_perception", json!("现金奖励")),
        ("user_recv_style", json!({"type": "RED_PACKET"})),
        ("mchid", json!(keys.mchid())),
        ("notify_url", json!(notify_url)),
    ] {
        body = with(body, member, value);
    }
    t.operate(TRANSFER, body.clone()).await.data();
    assert_eq!(t.world.wechat().transfer("T1").unwrap().params, without(body, "mchid"));
    let service = with(transfer("T2", 500), "useServiceAccount", json!(true));
    t.operate(TRANSFER, service).await.data();
    assert_eq!(t.world.wechat().transfer("T2").unwrap().appid, keys.appid());
}

#[tokio::test]
async fn the_spellings_of_a_transfer_are_those_of_every_action() {
    let t = TestApp::start(Store::Sqlite).await;
    let operator = format!("Bearer {OPERATOR}");
    for (count, (path, member, name)) in [
        ("/", "_action", "wxpay_transfer"),
        ("/", "_action", "/wx-pay/wxpay_transfer"),
        ("/", "path", "/wx-pay/wxpay_transfer"),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("T{count}");
        let body = with(transfer(&number, 500), member, json!(name));
        let headers = [("authorization", operator.as_str())];
        let came = t.post(path, &headers, body.to_string()).await;
        assert_eq!(came.data()["out_bill_no"], json!(number));
    }
    let anonymous = t.world.gateway().mint_token("alice", &TokenOptions::anonymous());
    let came = t
        .act_as(&format!("Bearer {anonymous}"), BY_NUMBER, json!({"out_bill_no": "T0"}))
        .await;
    assert_eq!(came.failure(), (401, "UNAUTHENTICATED"));
}
