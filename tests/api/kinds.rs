//! Four kinds of order, one way: a page inside WeChat, a browser outside it, a QR code, a mobile app.

use std::collections::HashSet;
use std::time::Duration;

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use pay_common::sandbox::{After, Endpoint, Fault, FaultRule, Options};
use serde_json::{Value, json};

use crate::support::app::{Came, OPENID, OPERATOR, TestApp, order, refund};
use crate::support::body::{with, without};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    every_kind_is_placed_paid_asked_about_and_refunded,
    the_answer_of_each_kind_is_what_its_payer_needs,
    the_same_number_has_the_same_answer_for_as_long_as_that_can_be_paid,
    a_number_of_one_kind_is_no_number_of_another,
    fifty_orders_of_one_number_are_one_order_in_every_kind,
    an_answer_that_got_lost_is_asked_for_again_in_every_kind,
    an_order_left_unpaid_is_closed_in_every_kind,
    a_strangers_order_is_out_of_reach_in_every_kind,
    a_repeat_from_another_address_is_the_same_order,
    what_pays_an_order_that_was_placed_elsewhere_is_of_the_kind_that_was_asked_for,
);

const SHOP: &str = "https://shop.example.com";
const JSAPI: &str = "wxpay_order";
const H5: &str = "wxpay_order_h5";
const NATIVE: &str = "wxpay_order_native";
const APP: &str = "wxpay_order_app";

/// The action, WeChat's path, WeChat's `trade_type`.
const KINDS: [(&str, &str, &str); 4] = [
    (JSAPI, "/v3/pay/transactions/jsapi", "JSAPI"),
    (H5, "/v3/pay/transactions/h5", "MWEB"),
    (NATIVE, "/v3/pay/transactions/native", "NATIVE"),
    (APP, "/v3/pay/transactions/app", "APP"),
];

async fn start(store: Store) -> TestApp {
    TestApp::start_with(store, Options::default(), &[("corsAllowOrigin", SHOP)]).await
}

/// What each kind needs besides.
fn extra(action: &str) -> (&'static str, Value) {
    match action {
        JSAPI => ("payer", json!({"openid": OPENID})),
        _ => (
            "scene_info",
            json!({"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}),
        ),
    }
}

/// The smallest body that is right for an action.
fn usual(action: &str, number: &str, total: i64) -> Value {
    let body = without(order(number, total), "payer");
    match action {
        JSAPI | H5 => {
            let (member, value) = extra(action);
            with(body, member, value)
        }
        _ => body,
    }
}

/// An action of alice on the shop's page.
async fn on_page(t: &TestApp, action: &str, body: &Value) -> Came {
    let bearer = format!("Bearer {}", t.token("alice"));
    let headers = [("authorization", bearer.as_str()), ("origin", SHOP)];
    t.post(&format!("/wx-pay/{action}"), &headers, body.to_string()).await
}

/// The same behind a proxy that names the payer's address.
async fn from_address(t: &TestApp, forwarded: &str, body: &Value) -> Came {
    let bearer = format!("Bearer {}", t.token("alice"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("origin", SHOP),
        ("x-forwarded-for", forwarded),
    ];
    t.post(&format!("/wx-pay/{H5}"), &headers, body.to_string()).await
}

async fn placed(t: &TestApp, action: &str, number: &str) -> Value {
    on_page(t, action, &usual(action, number, 100)).await.data().clone()
}

fn asked(t: &TestApp) -> usize {
    t.world.wechat().count(Endpoint::Prepay)
}

fn at_wechat(t: &TestApp, number: &str) -> Value {
    t.world.wechat().order(number).unwrap().params.clone()
}

fn members(data: &Value) -> Vec<&str> {
    data.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Whether the merchant has signed it.
fn is_signed(t: &TestApp, message: &str, signature: &Value) -> bool {
    let pem = t.world.keys().merchant_private_pem();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = KeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap();
    let signature = STANDARD.decode(signature.as_str().unwrap()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key())
        .verify(message.as_bytes(), &signature)
        .is_ok()
}

/// What pays the order, without what is made afresh for every answer.
fn prepay(data: &Value) -> String {
    ["prepay_id", "prepayid", "h5_url", "code_url"]
        .iter()
        .find_map(|member| data[member].as_str())
        .unwrap_or_else(|| panic!("{data}"))
        .to_owned()
}

#[track_caller]
fn assert_names(came: &Came, names: &[&str], about: &str) {
    assert_eq!(came.failure(), (400, "INVALID_PARAM"), "{about}: {came:?}");
    let msg = came.body["msg"].as_str().unwrap();
    let named: Vec<&str> = msg.split("; ").map(|part| part.split(' ').next().unwrap()).collect();
    assert_eq!(named, names, "{about}: {msg}");
}

async fn every_kind_is_placed_paid_asked_about_and_refunded(store: Store) {
    let t = start(store).await;
    let settings = t.world.settings();
    let notify_url = settings.iter().find(|(name, _)| *name == "notifyURLPayURL").unwrap();
    for (count, (action, path, trade_type)) in KINDS.into_iter().enumerate() {
        let number = format!("ORDER_{count}");
        placed(&t, action, &number).await;
        let seen = t.world.wechat().requests().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.path_and_query.as_str()), ("POST", path));
        let mut expected = json!({
            "appid": t.world.keys().mini_program_appid(),
            "mchid": t.world.keys().mchid(),
            "description": "Test product",
            "out_trade_no": number,
            "notify_url": notify_url.1,
            "amount": {"total": 100, "currency": "CNY"},
        });
        if matches!(action, JSAPI | H5) {
            let (member, value) = extra(action);
            expected = with(expected, member, value);
        }
        assert_eq!(seen.json(), expected, "{action}: exactly that, and nothing more");

        let id = t.world.wechat().pay(&number).unwrap();
        t.eventually(&number, "SUCCESS").await;
        let by_number = t
            .act("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": number}))
            .await;
        assert_eq!(
            (&by_number.data()["trade_state"], &by_number.data()["trade_type"]),
            (&json!("SUCCESS"), &json!(trade_type))
        );
        let by_id = t
            .act("wxpay_query_order_by_transaction_id", json!({"transaction_id": id}))
            .await;
        assert_eq!(by_id.data()["out_trade_no"], json!(number));
        let again = on_page(&t, action, &usual(action, &number, 100)).await;
        assert_eq!(again.failure(), (409, "ORDER_PAID"), "{action}");
        let refund_number = format!("REFUND_{count}");
        t.act("wxpay_refund", refund(&number, &refund_number, 30, 100))
            .await
            .data();
        assert_eq!(t.held(&number).await, 30);
        assert_eq!(
            t.events(&number).await[..3],
            ["order.created", "order.paid", "refund.created"],
            "{action}"
        );

        let other = format!("ORDER_CLOSED_{count}");
        placed(&t, action, &other).await;
        let closed = t.act("wxpay_close_order", json!({"out_trade_no": other})).await;
        assert_eq!(closed.body["data"], json!({"status": 204}), "{action}");
        assert_eq!(t.events(&other).await, ["order.created", "order.closed"], "{action}");
    }
    assert!(t.anomalies().await.is_empty());
}

async fn the_answer_of_each_kind_is_what_its_payer_needs(store: Store) {
    let t = start(store).await;
    let app_id = t.world.keys().mini_program_appid().to_owned();
    let now = t.clock.now().as_second();
    let is_now = |time: &Value| {
        let time: i64 = time.as_str().unwrap().parse().unwrap();
        (now..now + 60).contains(&time)
    };

    let h5 = placed(&t, H5, "ORDER_H5").await;
    assert_eq!(members(&h5), ["h5_url"]);
    assert!(h5["h5_url"].as_str().unwrap().starts_with("https://wx.tenpay.com/"));

    let native = placed(&t, NATIVE, "ORDER_NATIVE").await;
    assert_eq!(members(&native), ["code_url"]);
    assert!(native["code_url"].as_str().unwrap().starts_with("weixin://"));

    let app = placed(&t, APP, "ORDER_APP").await;
    let names = [
        "appid",
        "noncestr",
        "package",
        "partnerid",
        "prepayid",
        "sign",
        "timestamp",
    ];
    let mut said = members(&app);
    said.sort_unstable();
    assert_eq!(said, names);
    let text = |member: &str| app[member].as_str().unwrap();
    assert_eq!(
        (text("appid"), text("partnerid"), text("package")),
        (app_id.as_str(), t.world.keys().mchid(), "Sign=WXPay")
    );
    assert!(text("prepayid").starts_with("wx") && is_now(&app["timestamp"]));
    assert!((1..=32).contains(&text("noncestr").len()));
    let signed = format!(
        "{app_id}\n{}\n{}\n{}\n",
        text("timestamp"),
        text("noncestr"),
        text("prepayid")
    );
    assert!(is_signed(&t, &signed, &app["sign"]), "the id without a prefix");
    assert!(!is_signed(&t, &signed.replace(text("prepayid"), "wx0"), &app["sign"]));

    let jsapi = placed(&t, JSAPI, "ORDER_JSAPI").await;
    let text = |member: &str| jsapi[member].as_str().unwrap();
    let signed = format!(
        "{app_id}\n{}\n{}\n{}\n",
        text("timeStamp"),
        text("nonceStr"),
        text("package")
    );
    assert!(is_signed(&t, &signed, &jsapi["paySign"]) && is_now(&jsapi["timeStamp"]));
    assert_eq!(text("package"), format!("prepay_id={}", text("prepay_id")));
}

async fn the_same_number_has_the_same_answer_for_as_long_as_that_can_be_paid(store: Store) {
    let minute = Duration::from_secs(60);
    // Until when the store answers, and when WeChat is asked again: its prepay ids and codes live 2 hours, its addresses 5 minutes.
    for (action, kept, over, later) in [
        (JSAPI, minute * 109, minute * 2, minute * 15),
        (NATIVE, minute * 109, minute * 2, minute * 15),
        (APP, minute * 109, minute * 2, minute * 15),
        (
            H5,
            minute * 3 - Duration::from_secs(1),
            Duration::from_secs(2),
            minute * 2,
        ),
    ] {
        let t = start(store).await;
        let first = placed(&t, action, "ORDER_1").await;
        t.advance(kept);
        let second = placed(&t, action, "ORDER_1").await;
        assert_eq!((prepay(&first), asked(&t)), (prepay(&second), 1), "{action}");
        if matches!(action, JSAPI | APP) {
            assert_ne!(first, second, "{action}: signed afresh");
        }
        t.advance(over);
        assert_eq!(prepay(&placed(&t, action, "ORDER_1").await), prepay(&first), "{action}");
        assert_eq!(asked(&t), 2, "{action}: WeChat is asked, and has nothing newer yet");
        // What it said twice is no younger for that.
        t.advance(later);
        let last = placed(&t, action, "ORDER_1").await;
        assert_eq!(asked(&t), 3, "{action}");
        assert_ne!(prepay(&first), prepay(&last), "{action}");
        assert_eq!(prepay(&placed(&t, action, "ORDER_1").await), prepay(&last), "{action}");
        assert_eq!(asked(&t), 3, "{action}");
        t.world.wechat().pay("ORDER_1").unwrap();
        t.eventually("ORDER_1", "SUCCESS").await;
        assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"], "{action}");
    }
}

async fn a_number_of_one_kind_is_no_number_of_another(store: Store) {
    let t = start(store).await;
    for (action, ..) in KINDS {
        let number = format!("ORDER_{}", action.len());
        placed(&t, action, &number).await;
        let so_far = asked(&t);
        for (other, ..) in KINDS.into_iter().filter(|(other, ..)| *other != action) {
            let came = on_page(&t, other, &usual(other, &number, 100)).await;
            assert_eq!(
                came.failure(),
                (409, "ORDER_PARAMS_MISMATCH"),
                "{action} and then {other}"
            );
            // Nor with what the first kind had besides, where the other takes it.
            let (member, value) = extra(action);
            if other == JSAPI && action == H5 {
                let both = with(usual(other, &number, 100), member, without(value, "h5_info"));
                let came = on_page(&t, other, &both).await;
                assert_eq!(
                    came.failure(),
                    (409, "ORDER_PARAMS_MISMATCH"),
                    "{action} and then {other}"
                );
            }
        }
        assert_eq!(asked(&t), so_far, "{action}: WeChat is not asked");
        placed(&t, action, &number).await;
        assert_eq!(asked(&t), so_far, "{action}: and the order is what it was");
    }
}

async fn fifty_orders_of_one_number_are_one_order_in_every_kind(store: Store) {
    let t = start(store).await;
    for (count, (action, ..)) in KINDS.into_iter().enumerate() {
        let body = usual(action, &format!("ORDER_{count}"), 100);
        let answers = join_all((0..50).map(|_| on_page(&t, action, &body))).await;
        let prepays: HashSet<String> = answers.iter().map(|answer| prepay(answer.data())).collect();
        assert_eq!((prepays.len(), asked(&t)), (1, count + 1), "{action}");
        assert_eq!(t.events(&format!("ORDER_{count}")).await, ["order.created"], "{action}");
    }
}

async fn an_answer_that_got_lost_is_asked_for_again_in_every_kind(store: Store) {
    let t = start(store).await;
    for (count, (action, ..)) in KINDS.into_iter().enumerate() {
        let number = format!("ORDER_{count}");
        let lost = Fault::ProcessThen(After::DropConnection);
        t.world.wechat().fault(Endpoint::Prepay, lost.clone());
        placed(&t, action, &number).await;

        // Or never comes: then the sweep finds the order, and the next call what pays it.
        let number = format!("ORDER_LOST_{count}");
        t.world
            .wechat()
            .add_fault(FaultRule::on(Endpoint::Prepay, lost).times(3));
        let unknown = on_page(&t, action, &usual(action, &number, 100)).await;
        assert_eq!(unknown.failure(), (502, "UPSTREAM_UNAVAILABLE"), "{action}");
        t.advance(Duration::from_secs(16));
        t.service.sweep().await.unwrap();
        assert_eq!(t.state(&number).await.as_deref(), Some("NOTPAY"), "{action}");
        prepay(&placed(&t, action, &number).await);
        assert_eq!(t.events(&number).await, ["order.created"], "{action}");
    }
}

async fn an_order_left_unpaid_is_closed_in_every_kind(store: Store) {
    let t = start(store).await;
    for (count, (action, ..)) in KINDS.into_iter().enumerate() {
        placed(&t, action, &format!("ORDER_{count}")).await;
    }
    t.advance(Duration::from_secs(600));
    t.service.sweep().await.unwrap();
    for (count, (action, ..)) in KINDS.into_iter().enumerate() {
        let number = format!("ORDER_{count}");
        assert_eq!(t.events(&number).await, ["order.created", "order.closed"], "{action}");
        let again = on_page(&t, action, &usual(action, &number, 100)).await;
        assert_eq!(again.failure(), (409, "ORDER_CLOSED"), "{action}");
    }
}

async fn a_strangers_order_is_out_of_reach_in_every_kind(store: Store) {
    let t = start(store).await;
    let mallory = format!("Bearer {}", t.token("mallory"));
    for (count, (action, ..)) in KINDS.into_iter().enumerate() {
        let number = format!("ORDER_{count}");
        placed(&t, action, &number).await;
        let so_far = t.world.wechat().count(Endpoint::Any);
        for (attempt, body) in [
            (action, usual(action, &number, 100)),
            ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": number})),
            ("wxpay_close_order", json!({"out_trade_no": number})),
            ("wxpay_refund", refund(&number, "REFUND_1", 100, 100)),
        ] {
            let headers = [("authorization", mallory.as_str()), ("origin", SHOP)];
            let came = t.post(&format!("/wx-pay/{attempt}"), &headers, body.to_string()).await;
            assert_eq!(came.failure(), (403, "FORBIDDEN"), "{attempt} of {action}");
        }
        assert_eq!(t.world.wechat().count(Endpoint::Any), so_far, "{action}");
        let operator = format!("Bearer {OPERATOR}");
        let query = json!({"out_trade_no": number});
        let seen = t.act_as(&operator, "wxpay_query_order_by_out_trade_no", query).await;
        assert_eq!(seen.data()["trade_state"], "NOTPAY");
    }
}

async fn a_repeat_from_another_address_is_the_same_order(store: Store) {
    let t = start(store).await;
    let nameless = without(usual(H5, "ORDER_1", 100), "scene_info.payer_client_ip");
    let first = from_address(&t, "198.51.100.1, 10.0.0.1", &nameless).await;
    assert_eq!(
        at_wechat(&t, "ORDER_1")["scene_info"]["payer_client_ip"],
        "198.51.100.1"
    );

    // A phone changes its address between two taps.
    let second = from_address(&t, "2001:db8::7", &nameless).await;
    assert_eq!((first.data(), asked(&t)), (second.data(), 1));
    t.advance(Duration::from_secs(200));
    from_address(&t, "198.51.100.2", &nameless).await.data();
    let bodies: HashSet<String> = t.world.wechat().requests().into_iter().map(|seen| seen.body).collect();
    assert_eq!(
        (bodies.len(), asked(&t)),
        (1, 2),
        "for WeChat, too, it is the same question"
    );

    // What the page says by itself is part of the question.
    let other = with(nameless.clone(), "scene_info.payer_client_ip", json!("198.51.100.9"));
    let came = from_address(&t, "198.51.100.1", &other).await;
    assert_eq!(came.failure(), (409, "ORDER_PARAMS_MISMATCH"));
    let other = with(nameless, "scene_info.h5_info.type", json!("iOS"));
    let came = from_address(&t, "198.51.100.1", &other).await;
    assert_eq!(came.failure(), (409, "ORDER_PARAMS_MISMATCH"));
}

async fn what_pays_an_order_that_was_placed_elsewhere_is_of_the_kind_that_was_asked_for(store: Store) {
    let t = start(store).await;
    let operator = format!("Bearer {OPERATOR}");
    t.act_as(&operator, NATIVE, usual(NATIVE, "ORDER_1", 100)).await.data();
    let t = t.with_new_books(store).await;
    let refused = t
        .act_as(&operator, "wxpay_refund", refund("ORDER_1", "REFUND_1", 100, 100))
        .await;
    assert_eq!(refused.failure(), (409, "ORDER_NOT_PAID"), "and it is in the books now");
    let code = t.act_as(&operator, NATIVE, usual(NATIVE, "ORDER_1", 100)).await;
    assert_eq!(members(code.data()), ["code_url"]);

    for other in [JSAPI, H5, APP] {
        let came = t.act_as(&operator, other, usual(other, "ORDER_1", 100)).await;
        assert_ne!(
            came.body["code"], 0,
            "{other}: a code is nothing to pay with there: {came:?}"
        );
    }
    let again = t.act_as(&operator, NATIVE, usual(NATIVE, "ORDER_1", 100)).await;
    assert_eq!(again.data(), code.data());
}

/// Nothing below depends on the books, so one of the two databases is enough.
#[tokio::test]
async fn a_payer_is_said_of_a_page_inside_wechat_only() {
    let t = start(Store::Sqlite).await;
    for action in [H5, NATIVE, APP] {
        let body = with(usual(action, "ORDER_1", 100), "payer", json!({"openid": OPENID}));
        assert_names(&on_page(&t, action, &body).await, &["payer"], action);
    }
    let missing = without(usual(JSAPI, "ORDER_1", 100), "payer");
    assert_names(&on_page(&t, JSAPI, &missing).await, &["payer.openid"], JSAPI);
    // Nor is anything known of the caller made one.
    let bearer = format!("Bearer {}", t.token_of("alice", OPENID));
    t.act_as(&bearer, NATIVE, usual(NATIVE, "ORDER_2", 100)).await.data();
    assert_eq!(at_wechat(&t, "ORDER_2")["payer"], Value::Null);

    // Where an H5 payment starts is said of that alone.
    for action in [JSAPI, NATIVE, APP] {
        let (member, value) = extra(H5);
        let body = with(usual(action, "ORDER_1", 100), member, value.clone());
        assert_names(&on_page(&t, action, &body).await, &["scene_info.h5_info"], action);
        let scene = without(value, "h5_info");
        let body = with(usual(action, "ORDER_3", 100), member, scene.clone());
        let number = format!("ORDER_{action}");
        on_page(&t, action, &with(body, "out_trade_no", json!(number)))
            .await
            .data();
        assert_eq!(at_wechat(&t, &number)["scene_info"], scene, "{action}");
    }
}

#[tokio::test]
async fn what_an_h5_order_lacks_is_refused_by_its_name() {
    let t = start(Store::Sqlite).await;
    let good = usual(H5, "ORDER_1", 100);
    for member in [
        "scene_info",
        "scene_info.payer_client_ip",
        "scene_info.h5_info",
        "scene_info.h5_info.type",
    ] {
        assert_names(
            &on_page(&t, H5, &without(good.clone(), member)).await,
            &[member],
            member,
        );
        let null = with(good.clone(), member, Value::Null);
        assert_names(&on_page(&t, H5, &null).await, &[member], member);
    }
    let too_long = |most: usize| json!("x".repeat(most + 1));
    for (member, bad) in [
        ("scene_info", json!("Wap")),
        ("scene_info.payer_client_ip", json!("203.0.113")),
        ("scene_info.payer_client_ip", json!("203.0.113.7:80")),
        ("scene_info.payer_client_ip", json!("unknown")),
        ("scene_info.payer_client_ip", json!("")),
        ("scene_info.payer_client_ip", json!(3_405_803_783_i64)),
        ("scene_info.h5_info", json!("Wap")),
        ("scene_info.h5_info.type", json!("wap")),
        ("scene_info.h5_info.type", json!("")),
        ("scene_info.h5_info.app_name", too_long(64)),
        ("scene_info.h5_info.app_url", too_long(128)),
        ("scene_info.h5_info.bundle_id", too_long(128)),
        ("scene_info.h5_info.package_name", too_long(128)),
        ("scene_info.h5_info.colour", json!("red")),
        ("scene_info.device_id", too_long(32)),
        ("scene_info.store_info.id", too_long(32)),
    ] {
        let about = format!("{member} = {bad}");
        // What the platform says does not mend what the page says wrongly.
        let came = from_address(&t, "198.51.100.1", &with(good.clone(), member, bad)).await;
        assert_names(&came, &[member], &about);
    }
    let nameless = without(good, "scene_info.payer_client_ip");
    for forwarded in ["unknown", "", "10.0.0.300", "unknown, 198.51.100.1"] {
        let came = from_address(&t, forwarded, &nameless).await;
        assert_names(&came, &["scene_info.payer_client_ip"], forwarded);
    }
    assert_eq!((asked(&t), t.state("ORDER_1").await), (0, None));
}

#[tokio::test]
async fn the_payers_address_is_the_pages_word_else_the_platforms() {
    let t = start(Store::Sqlite).await;
    for (count, (forwarded, said, expected)) in [
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1, 10.0.0.1, 10.0.0.2", None, "198.51.100.1"),
        ("198.51.100.1:51312", None, "198.51.100.1"),
        ("[2001:db8::7]:443", None, "2001:db8::7"),
        ("198.51.100.1", Some("203.0.113.7"), "203.0.113.7"),
        ("unknown", Some("2001:db8::9"), "2001:db8::9"),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER_{count}");
        let said = said.map_or(Value::Null, |said| json!(said));
        let body = with(usual(H5, &number, 100), "scene_info.payer_client_ip", said);
        from_address(&t, forwarded, &body).await.data();
        assert_eq!(
            at_wechat(&t, &number)["scene_info"],
            json!({"payer_client_ip": expected, "h5_info": {"type": "Wap"}}),
            "{forwarded}"
        );
    }
}

#[tokio::test]
async fn an_h5_order_starts_on_a_page_of_the_merchants() {
    let t = start(Store::Sqlite).await;
    let alice = format!("Bearer {}", t.token("alice"));
    let place = async |t: &TestApp, origin: Option<&str>, authorization: &str, number: &str| {
        let mut headers = vec![("authorization", authorization)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let body = usual(H5, number, 100).to_string();
        t.post(&format!("/wx-pay/{H5}"), &headers, body).await
    };
    for origin in [
        None,
        Some("https://evil.example"),
        Some("https://shop.example.com.evil.example"),
        Some("http://shop.example.com"),
        Some("null"),
        Some(""),
    ] {
        let came = place(&t, origin, &alice, "ORDER_1").await;
        assert_eq!(came.failure(), (403, "ORIGIN_NOT_ALLOWED"), "{origin:?}");
        assert_eq!((&came.body["code"], &came.body["data"]), (&json!(-1), &Value::Null));
        assert!(came.body["msg"].as_str().unwrap().contains("corsAllowOrigin"));
    }
    assert_eq!((asked(&t), t.state("ORDER_1").await), (0, None));
    place(&t, Some(SHOP), &alice, "ORDER_1").await.data();
    // A server of the merchant's has no page.
    let operator = format!("Bearer {OPERATOR}");
    place(&t, None, &operator, "ORDER_2").await.data();
    // The other kinds have nothing to do with it.
    for (action, ..) in KINDS.into_iter().filter(|(action, ..)| *action != H5) {
        let number = format!("ORDER_{action}");
        t.act(action, usual(action, &number, 100)).await.data();
    }

    let nobody = TestApp::start(Store::Sqlite).await;
    let came = place(&nobody, Some(SHOP), &alice, "ORDER_1").await;
    assert_eq!(came.failure(), (403, "ORIGIN_NOT_ALLOWED"), "no page is listed");
    let open = TestApp::start_with(Store::Sqlite, Options::default(), &[("corsAllowOrigin", "*")]).await;
    place(&open, Some("https://any.example"), &alice, "ORDER_1")
        .await
        .data();
    let came = place(&open, None, &alice, "ORDER_2").await;
    assert_eq!(
        came.failure(),
        (403, "ORIGIN_NOT_ALLOWED"),
        "every page is still a page"
    );
}

#[tokio::test]
async fn every_kind_has_every_spelling() {
    let t = start(Store::Sqlite).await;
    let bearer = format!("Bearer {}", t.token("alice"));
    let headers = [("authorization", bearer.as_str()), ("origin", SHOP)];
    for (action, _, trade_type) in KINDS {
        for (count, (path, member, name)) in [
            (format!("/wx-pay/{action}"), None, action.to_owned()),
            ("/".to_owned(), Some("_action"), action.to_owned()),
            ("/".to_owned(), Some("_action"), format!("/wx-pay/{action}")),
            ("/".to_owned(), Some("path"), format!("/wx-pay/{action}")),
        ]
        .into_iter()
        .enumerate()
        {
            let number = format!("O_{trade_type}_{count}");
            let mut body = usual(action, &number, 100);
            if let Some(member) = member {
                body = with(body, member, json!(name));
            }
            let came = t.post(&path, &headers, body.to_string()).await;
            prepay(came.data());
            t.world.wechat().pay(&number).unwrap();
            t.eventually(&number, "SUCCESS").await;
            let query = json!({"out_trade_no": number});
            let said = t.act("wxpay_query_order_by_out_trade_no", query).await;
            assert_eq!(said.data()["trade_type"], json!(trade_type), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn the_rules_of_an_order_hold_for_every_kind() {
    let t = start(Store::Sqlite).await;
    for (action, ..) in KINDS {
        for (member, bad) in [
            ("amount.total", json!(0)),
            ("amount.total", json!(-1)),
            ("amount.total", json!(0.5)),
            ("amount.total", json!("100")),
            ("amount.currency", json!("USD")),
            ("amount", Value::Null),
            ("description", json!("")),
            ("description", json!("x".repeat(128))),
            ("out_trade_no", json!("ORD/1")),
            ("time_expire", json!("tomorrow")),
            ("attach", json!("x".repeat(129))),
            ("goods_tag", json!("x".repeat(33))),
            ("appid", json!("wx0000000000000000")),
            ("mchid", json!("1900000000")),
            ("notify_url", json!("https://evil.example/x")),
            ("trade_type", json!("JSAPI")),
        ] {
            let about = format!("{action}: {member} = {bad}");
            let came = on_page(&t, action, &with(usual(action, "ORDER_1", 100), member, bad)).await;
            assert_names(&came, &[member], &about);
        }
    }
    assert_eq!((asked(&t), t.state("ORDER_1").await), (0, None));
}

/// A `detail` of exactly so many bytes of JSON.
fn detail(bytes: usize) -> Value {
    let goods = |name: &str| json!({"merchant_goods_id": "G1", "goods_name": name, "quantity": 1, "unit_price": 1});
    let mut all = Vec::new();
    while json!({ "goods_detail": all }).to_string().len() + 300 < bytes {
        all.push(goods(&"x".repeat(100)));
    }
    all.push(goods("x"));
    let rest = bytes - json!({ "goods_detail": all }).to_string().len();
    *all.last_mut().unwrap() = goods(&"x".repeat(rest + 1));
    let detail = json!({ "goods_detail": all });
    assert_eq!(detail.to_string().len(), bytes);
    detail
}

#[tokio::test]
async fn the_goods_of_an_order_have_at_most_6144_bytes() {
    let t = start(Store::Sqlite).await;
    for (count, (action, ..)) in KINDS.into_iter().enumerate() {
        let number = format!("ORDER_{count}");
        let most = with(usual(action, &number, 100), "detail", detail(6144));
        on_page(&t, action, &most).await.data();
        let more = with(usual(action, "ORDER_X", 100), "detail", detail(6145));
        let came = on_page(&t, action, &more).await;
        assert_names(&came, &["detail"], action);
        assert!(came.body["msg"].as_str().unwrap().contains("6144"));
    }
    // Bytes, not characters.
    let goods = json!({"merchant_goods_id": "G1", "goods_name": "字".repeat(200), "quantity": 1, "unit_price": 1});
    let wide = json!({"goods_detail": vec![goods; 10]});
    assert!(wide.to_string().chars().count() < 6144 && wide.to_string().len() > 6144);
    let came = on_page(&t, NATIVE, &with(usual(NATIVE, "ORDER_X", 100), "detail", wide)).await;
    assert_names(&came, &["detail"], "characters of three bytes");
    assert_eq!((asked(&t), t.state("ORDER_X").await), (4, None));
}

#[tokio::test]
async fn tickets_hold_for_every_kind() {
    const SECRET: &str = "the-secret-of-the-backend-0123456789";
    let settings = [
        ("corsAllowOrigin", SHOP),
        ("orderTicketSecret", SECRET),
        ("requireOrderTicket", "true"),
    ];
    let t = TestApp::start_with(Store::Sqlite, Options::default(), &settings).await;
    for (action, ..) in KINDS {
        let number = format!("ORDER_{action}");
        let without_one = on_page(&t, action, &usual(action, &number, 1)).await;
        assert_eq!(without_one.failure(), (403, "ORDER_TICKET_REQUIRED"), "{action}");
        let claims = json!({
            "out_trade_no": number,
            "description": "Signed product",
            "amount": {"total": 100, "currency": "CNY"},
            "exp": t.clock.now().as_second() + 600,
        });
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        let ticket = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        let body = with(usual(action, &number, 1), "order_ticket", json!(ticket));
        on_page(&t, action, &body).await.data();
        let said = at_wechat(&t, &number);
        assert_eq!(
            (&said["amount"]["total"], &said["description"]),
            (&json!(100), &json!("Signed product")),
            "{action}"
        );
    }
}
