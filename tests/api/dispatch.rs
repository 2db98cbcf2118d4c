//! How a request finds its action, and what becomes of those that find none.

use std::sync::Arc;

use pay_common::sandbox::{Endpoint, ForwardShape};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Map, Value, json};

use crate::support::app::{Came, OPENID, TestApp, came, order};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    every_spelling_of_an_action_finds_it,
    a_forwarded_callback_at_the_root_is_a_callback,
    a_callback_is_taken_at_every_door_that_its_senders_know,
    the_first_that_names_a_target_wins,
    what_names_no_action_is_refused,
    a_path_that_does_not_exist_is_not_found,
    a_known_path_takes_its_own_method_only,
    only_json_is_taken,
    a_body_has_to_be_one_sound_json_object,
    a_callback_is_always_answered_in_its_own_form,
    a_body_of_ten_megabytes_is_refused_and_its_sender_hears_why,
    a_sound_request_id_is_echoed_and_any_other_is_replaced,
    anything_at_all_gets_an_answer_and_the_service_goes_on,
);

const QUERY: &str = "wxpay_query_order_by_out_trade_no";

/// A failure in the envelope, with an id to ask about.
#[track_caller]
fn assert_envelope(came: &Came, status: u16, error: &str, about: &str) {
    assert_eq!(came.failure(), (status, error), "{about}: {came:?}");
    assert_eq!(came.body["code"], -1, "{about}");
    assert_eq!(came.body["data"], Value::Null, "{about}");
    assert!(!came.body["msg"].as_str().unwrap().is_empty(), "{about}");
    assert_eq!(came.body.as_object().unwrap().len(), 4, "{about}: {:?}", came.body);
    assert!(!request_id(came).is_empty(), "{about}");
    assert_eq!(
        came.headers["content-type"], "application/json; charset=utf-8",
        "{about}"
    );
}

/// A failure in the form that the senders of callbacks read.
#[track_caller]
fn assert_fail(came: &Came, status: u16, about: &str) {
    assert_eq!(
        (came.status, &came.body["code"]),
        (status, &json!("FAIL")),
        "{about}: {came:?}"
    );
    assert!(!came.body["message"].as_str().unwrap().is_empty(), "{about}");
    assert_eq!(came.body.as_object().unwrap().len(), 2, "{about}: {:?}", came.body);
    assert!(!request_id(came).is_empty(), "{about}");
}

#[track_caller]
fn request_id(came: &Came) -> &str {
    came.headers["x-request-id"].to_str().unwrap()
}

/// Posts as alice.
async fn post(t: &TestApp, path: &str, body: impl Into<reqwest::Body>) -> Came {
    let bearer = format!("Bearer {}", t.token("alice"));
    t.post(path, &[("authorization", &bearer)], body).await
}

async fn every_spelling_of_an_action_finds_it(store: Store) {
    let t = TestApp::start(store).await;
    t.placed("ORDER_1", 100).await;
    for (path, members) in [
        ("/", json!({"_action": QUERY})),
        ("/", json!({"_action": format!("/wx-pay/{QUERY}")})),
        ("/", json!({"path": format!("/wx-pay/{QUERY}")})),
        ("/", json!({"path": format!("/wx-pay/{QUERY}"), "method": "POST"})),
        ("/", json!({"path": format!("/wx-pay/{QUERY}"), "method": "GET"})),
        (
            "/",
            json!({"path": format!("/wx-pay/{QUERY}"), "method": {"any": "thing"}}),
        ),
        ("/", json!({"path": format!("/wx-pay/{QUERY}/")})),
        ("/", json!({"path": format!("/v1/wx-pay/{QUERY}?webfn=true")})),
        ("/", json!({"path": format!("https://host.example/wx-pay/{QUERY}#top")})),
        ("/?webfn=true", json!({"_action": QUERY})),
        (&format!("/wx-pay/{QUERY}"), json!({})),
        (&format!("/wx-pay/{QUERY}?a=1"), json!({})),
    ] {
        let mut body = members.clone();
        body["out_trade_no"] = json!("ORDER_1");
        let came = post(&t, path, body.to_string()).await;
        assert_eq!(came.data()["out_trade_no"], "ORDER_1", "{path} {members}");
    }
}

async fn a_forwarded_callback_at_the_root_is_a_callback(store: Store) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let integration = t.world.center().integration_id().to_owned();
    for (count, named) in [
        json!({"rawData": {"event_type": "TRANSACTION.SUCCESS"}}),
        json!({"ParsedNotify": {"event_type": "TRANSACTION.SUCCESS"}}),
        json!({"rawData": {}, "ParsedNotify": {"event_type": "TRANSACTION.SUCCESS"}}),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER_{count}");
        t.placed(&number, 100).await;
        t.world.wechat().pay(&number).unwrap();
        let mut body = named.clone();
        body["ParsedContent"] = json!({"out_trade_no": number, "trade_state": "SUCCESS"});
        let came = t
            .post("/", &[("x-tcb-integration-id", &integration)], body.to_string())
            .await;
        assert_eq!(
            (came.status, came.body),
            (200, json!({"code": "SUCCESS", "message": "成功"})),
            "{named}"
        );
        assert_eq!(t.state(&number).await.as_deref(), Some("SUCCESS"), "{named}");
    }
}

async fn a_callback_is_taken_at_every_door_that_its_senders_know(store: Store) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let success = json!({"code": "SUCCESS", "message": "成功"});
    // WeChat's own notification, at the doors of both modes.
    for (count, path) in ["/wx-pay/unifiedOrderTrigger", "/wechatpay/order"]
        .into_iter()
        .enumerate()
    {
        let number = format!("ORDER_{count}");
        t.placed(&number, 100).await;
        t.world.wechat().pay(&number).unwrap();
        let note = t.world.wechat().payment_notification(&number).unwrap();
        for time in ["first", "second"] {
            let came = t.notify(path, &note).await;
            assert_eq!((came.status, &came.body), (200, &success), "{path}, the {time} time");
        }
        assert_eq!(t.events(&number).await, ["order.created", "order.paid"], "{path}");
    }
    // The center's forward, to the path of the callback and to the root.
    for (count, to_root) in [(2, false), (3, true)] {
        let number = format!("ORDER_{count}");
        t.world.center().set_shape(ForwardShape {
            to_root,
            ..ForwardShape::default()
        });
        t.placed(&number, 100).await;
        t.world.wechat().pay(&number).unwrap();
        let note = t.world.wechat().payment_notification(&number).unwrap();
        let forward = t.world.center().forward_of(&note).unwrap();
        let came = t.forward(&forward).await;
        assert_eq!((came.status, &came.body), (200, &success), "{}", forward.path);
        assert_eq!(
            t.events(&number).await,
            ["order.created", "order.paid"],
            "{}",
            forward.path
        );
    }
}

async fn the_first_that_names_a_target_wins(store: Store) {
    let t = TestApp::start(store).await;
    let forward = json!({"event_type": "TRANSACTION.SUCCESS"});
    let query_path = format!("/wx-pay/{QUERY}");

    let action_before_path = json!({"_action": "wxpay_steal", "path": query_path, "out_trade_no": "ORDER_1"});
    let came = post(&t, "/", action_before_path.to_string()).await;
    assert_envelope(&came, 400, "UNKNOWN_ACTION", "_action before path");
    let action_before_forward = json!({"_action": "wxpay_steal", "rawData": forward, "ParsedNotify": forward});
    let came = post(&t, "/", action_before_forward.to_string()).await;
    assert_envelope(&came, 400, "UNKNOWN_ACTION", "_action before a forward");
    let path_before_forward = json!({"path": "/wx-pay/wxpay_steal", "rawData": forward});
    let came = post(&t, "/", path_before_forward.to_string()).await;
    assert_envelope(&came, 400, "UNKNOWN_ACTION", "path before a forward");

    // What names another target is then a member that does not belong there.
    let rest = json!({"_action": QUERY, "out_trade_no": "ORDER_1", "rawData": forward});
    let came = post(&t, "/", rest.to_string()).await;
    assert_envelope(&came, 400, "INVALID_PARAM", "rawData beside _action");
    assert!(came.body["msg"].as_str().unwrap().starts_with("rawData "), "{came:?}");

    // A path that names no action of ours names nothing.
    let other_path = json!({"path": "/somewhere", "rawData": forward});
    let came = post(&t, "/", other_path.to_string()).await;
    assert!(came.body["code"] == "FAIL", "{came:?}");

    // In the path of a request, the action is named already.
    let named_twice = json!({"_action": "wxpay_refund", "out_trade_no": "ORDER_1"});
    let came = post(&t, &query_path, named_twice.to_string()).await;
    assert_envelope(&came, 400, "INVALID_PARAM", "_action beside the path of the request");
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

async fn what_names_no_action_is_refused(store: Store) {
    let t = TestApp::start(store).await;
    for body in [
        json!({}),
        json!({"_action": ""}),
        json!({"_action": null}),
        json!({"_action": 5}),
        json!({"_action": ["wxpay_order"]}),
        json!({"_action": "wxpay_steal"}),
        json!({"_action": "WXPAY_ORDER"}),
        json!({"_action": " wxpay_order"}),
        json!({"_action": "wxpay_order/"}),
        json!({"_action": "/wx-pay/"}),
        json!({"_action": "/wx-pay/wx-pay/wxpay_order"}),
        json!({"_action": "x".repeat(100_000)}),
        json!({"_action": "a\u{0}\nb\u{7f}"}),
        json!({"path": "/wx-pay/"}),
        json!({"path": "/wx-pay/wxpay_steal"}),
        json!({"path": "wxpay_order"}),
        json!({"path": 5}),
        json!({"event_type": "TRANSACTION.SUCCESS"}),
        json!({"rawData": {"event_type": 5}}),
        json!({"rawData": "TRANSACTION.SUCCESS"}),
        order("ORDER_1", 100),
    ] {
        let about: String = body.to_string().chars().take(80).collect();
        let came = post(&t, "/", body.to_string()).await;
        assert_envelope(&came, 400, "UNKNOWN_ACTION", &about);
        assert!(came.body["msg"].as_str().unwrap().len() < 300, "{about}: {came:?}");
    }
    for path in [
        "/wx-pay/wxpay_steal",
        "/wx-pay/WXPAY_ORDER",
        "/wx-pay/..%2Fwxpay_order",
        "/wx-pay/%00",
        "/wx-pay/%FF",
        "/wx-pay/%E6%94%AF%E4%BB%98",
        "/wx-pay/wxpay_order%3F",
    ] {
        let came = post(&t, path, "{}").await;
        assert_envelope(&came, 400, "UNKNOWN_ACTION", path);
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

async fn a_path_that_does_not_exist_is_not_found(store: Store) {
    let t = TestApp::start(store).await;
    for path in [
        "/wx-pay",
        "/wx-pay/",
        "/wx-pay/wxpay_order/",
        "/wx-pay/wxpay_order/extra",
        "/wechatpay",
        "/wechatpay/",
        "/wechatpay/orders",
        "/admin",
        "//",
        "/%2e%2e/etc/passwd",
        "/WX-PAY/wxpay_order",
    ] {
        let came = post(&t, path, "{}").await;
        assert_envelope(&came, 404, "NOT_FOUND", path);
        let got = t.http.get(t.url(path)).send().await.unwrap();
        assert_envelope(&self::came(got).await, 404, "NOT_FOUND", path);
    }
}

async fn a_known_path_takes_its_own_method_only(store: Store) {
    use reqwest::Method;
    let t = TestApp::start(store).await;
    for (path, methods) in [
        ("/", vec![Method::GET, Method::PUT, Method::DELETE, Method::PATCH]),
        ("/wx-pay/wxpay_order", vec![Method::GET, Method::PUT]),
        ("/wechatpay/order", vec![Method::GET, Method::PUT]),
        ("/wechatpay/refund", vec![Method::GET]),
        ("/healthz", vec![Method::POST]),
    ] {
        for method in methods {
            let about = format!("{method} {path}");
            let answer = t.http.request(method, t.url(path)).body("{}").send().await.unwrap();
            assert_envelope(&came(answer).await, 405, "METHOD_NOT_ALLOWED", &about);
        }
    }
}

async fn only_json_is_taken(store: Store) {
    let t = TestApp::start(store).await;
    t.placed("ORDER_1", 100).await;
    let body = json!({"_action": QUERY, "out_trade_no": "ORDER_1"}).to_string();
    let bearer = format!("Bearer {}", t.token("alice"));
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "application/jsonp",
        "application/xml",
        "json",
        "",
        ",",
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", media_type)];
        let came = t.post("/", &headers, body.clone()).await;
        assert_envelope(&came, 415, "UNSUPPORTED_MEDIA_TYPE", media_type);
    }
    for media_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        "application/cloudevents+json",
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", media_type)];
        let came = t.post("/", &headers, body.clone()).await;
        assert_eq!(came.data()["out_trade_no"], "ORDER_1", "{media_type}");
    }
    let unsaid = t.http.post(t.url("/")).header("authorization", &bearer).body(body);
    assert_eq!(
        came(unsaid.send().await.unwrap()).await.data()["out_trade_no"],
        "ORDER_1"
    );
}

/// Bodies that are no sound JSON object, with what is wrong.
fn unsound() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str, depth: usize| {
        format!(
            r#"{{"_action":"wxpay_order","detail":{}1{}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        )
        .into_bytes()
    };
    vec![
        ("nothing", Vec::new()),
        ("a blank", b" ".to_vec()),
        ("no JSON", b"hello".to_vec()),
        ("a form", b"_action=wxpay_order".to_vec()),
        ("cut off", br#"{"_action":"wxpay_order""#.to_vec()),
        ("more behind it", br#"{"_action":"wxpay_order"}{}"#.to_vec()),
        ("a comma too many", br#"{"_action":"wxpay_order",}"#.to_vec()),
        ("single quotes", b"{'_action':'wxpay_order'}".to_vec()),
        ("a comment", br#"{/* */"_action":"wxpay_order"}"#.to_vec()),
        ("NaN", br#"{"_action":"wxpay_order","x":NaN}"#.to_vec()),
        ("a leading zero", br#"{"_action":"wxpay_order","x":01}"#.to_vec()),
        ("a byte-order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("UTF-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("broken UTF-8", b"{\"_action\":\"wxpay_\xff\"}".to_vec()),
        ("a raw NUL", b"{\"_action\":\"wxpay\0\"}".to_vec()),
        ("a raw line break", b"{\"_action\":\"wxpay\n\"}".to_vec()),
        ("a lone high surrogate", br#"{"_action":"\ud800"}"#.to_vec()),
        ("a lone low surrogate", br#"{"_action":"\udc00"}"#.to_vec()),
        ("a lone surrogate in a name", br#"{"\ud800":1}"#.to_vec()),
        ("an array", br#"[{"_action":"wxpay_order"}]"#.to_vec()),
        ("a text", br#""wxpay_order""#.to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"5".to_vec()),
        ("a number beyond all bounds", br#"{"x":1e400}"#.to_vec()),
        (
            "a member twice",
            br#"{"_action":"wxpay_order","_action":"wxpay_refund"}"#.to_vec(),
        ),
        (
            "a member twice inside",
            br#"{"_action":"wxpay_order","amount":{"total":1,"total":100}}"#.to_vec(),
        ),
        (
            "a member twice in two spellings",
            br#"{"_action":"wxpay_order","\u005faction":"wxpay_order"}"#.to_vec(),
        ),
        ("200 lists deep", nested("[", "]", 200)),
        ("200 objects deep", nested("{\"a\":", "}", 200)),
        ("100000 lists deep", nested("[", "]", 100_000)),
        ("100000 lists, never closed", "[".repeat(100_000).into_bytes()),
    ]
}

async fn a_body_has_to_be_one_sound_json_object(store: Store) {
    let t = TestApp::start(store).await;
    for (about, body) in unsound() {
        for path in ["/", "/wx-pay/wxpay_order"] {
            assert_envelope(
                &post(&t, path, body.clone()).await,
                400,
                "INVALID_BODY",
                &format!("{about} at {path}"),
            );
        }
    }
    // Sound JSON, and no amount: the parser reads the first three as a float, and none is rounded to one.
    for total in [
        "100000000000000000000000",
        "1e2",
        "100.0",
        "-0",
        "9223372036854775808",
        "-9223372036854775809",
    ] {
        let body = order("ORDER_1", 100)
            .to_string()
            .replace("\"total\":100", &format!("\"total\":{total}"));
        assert!(body.contains(total));
        let came = post(&t, "/wx-pay/wxpay_order", body).await;
        assert_envelope(&came, 400, "INVALID_PARAM", total);
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

async fn a_callback_is_always_answered_in_its_own_form(store: Store) {
    let t = TestApp::start(store).await;
    let integration = t.world.center().integration_id().to_owned();
    for path in [
        "/wechatpay/order",
        "/wechatpay/refund",
        "/wx-pay/unifiedOrderTrigger",
        "/wx-pay/refundTrigger",
    ] {
        for (about, body) in unsound() {
            assert_fail(&post(&t, path, body).await, 400, &format!("{about} at {path}"));
        }
        assert_fail(&post(&t, path, "{}").await, 400, &format!("no callback at {path}"));
        let headers = [("content-type", "text/plain")];
        assert_fail(&t.post(path, &headers, "{}").await, 415, &format!("text at {path}"));
        let forged = json!({"out_trade_no": "ORDER_1", "trade_state": "SUCCESS"}).to_string();
        assert_fail(
            &t.post(path, &[], forged.clone()).await,
            401,
            &format!("nobody's word at {path}"),
        );
        let headers = [
            ("x-tcb-integration-id", integration.as_str()),
            ("accept-language", "en"),
        ];
        let unknown = t.post(path, &headers, forged).await;
        assert_fail(&unknown, unknown.status, &format!("an unknown order at {path}"));
        assert!((400..500).contains(&unknown.status), "{path}: {unknown:?}");
        assert!(unknown.body["message"].as_str().unwrap().is_ascii(), "{path}");
    }
    for named in ["unifiedOrderTrigger", "/wx-pay/refundTrigger"] {
        let body = json!({"_action": named}).to_string();
        assert_fail(&t.post("/", &[], body).await, 400, named);
    }
    assert_eq!(t.state("ORDER_1").await, None);
}

async fn a_body_of_ten_megabytes_is_refused_and_its_sender_hears_why(store: Store) {
    let t = TestApp::start(store).await;
    let mut body = order("ORDER_1", 100);
    body["attach"] = json!("x".repeat(10 * 1024 * 1024));
    let body = body.to_string();
    for path in ["/", "/wx-pay/wxpay_order"] {
        assert_envelope(&post(&t, path, body.clone()).await, 413, "BODY_TOO_LARGE", path);
    }
    for path in ["/wechatpay/order", "/wx-pay/refundTrigger"] {
        assert_fail(&post(&t, path, body.clone()).await, 413, path);
    }
    // A whole megabyte is read, as WeChat's ciphertext may be that long.
    let megabyte = json!({"_action": "x", "x": "x".repeat(1024 * 1024)}).to_string();
    assert_envelope(&post(&t, "/", megabyte).await, 400, "UNKNOWN_ACTION", "1 MiB");
}

async fn a_sound_request_id_is_echoed_and_any_other_is_replaced(store: Store) {
    let t = TestApp::start(store).await;
    let longest = "a".repeat(128);
    let too_long = "a".repeat(129);
    for path in ["/", "/wx-pay/wxpay_order", "/wechatpay/order", "/nowhere"] {
        for sound in ["1", "a1b2-C3_d4.e5", "4bf92f3577b34da6a3ce929d0e0e4736", &longest] {
            let came = t.post(path, &[("x-request-id", sound)], "{}").await;
            assert_eq!(request_id(&came), sound, "{path}");
        }
        for unsound in ["", "a b", "a;b", "a/b", "<script>", "{}", "a\tb", "编号", &too_long] {
            let came = t.post(path, &[("x-request-id", unsound)], "{}").await;
            assert_ne!(request_id(&came), unsound, "{path}");
            assert_eq!(request_id(&came).len(), 36, "{path}: a new one in place of {unsound:?}");
        }
        let (one, two) = (t.post(path, &[], "{}").await, t.post(path, &[], "{}").await);
        assert_ne!(request_id(&one), request_id(&two), "{path}");
    }
    let bearer = format!("Bearer {}", t.token("alice"));
    let headers = [("authorization", bearer.as_str()), ("x-request-id", "placing-1")];
    let placed = t
        .post("/wx-pay/wxpay_order", &headers, order("ORDER_1", 100).to_string())
        .await;
    placed.data();
    assert_eq!(request_id(&placed), "placing-1");
    let got = t.http.get(t.url("/wx-pay/wxpay_order")).header("x-request-id", "got-1");
    assert_eq!(request_id(&came(got.send().await.unwrap()).await), "got-1");
}

/// Names that mean something somewhere, and some that mean nothing.
fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "_action", "path", "method", "rawData", "ParsedNotify", "ParsedContent", "Plaintext", "event_type",
            "resource", "ciphertext", "nonce", "associated_data", "out_trade_no", "out_refund_no", "transaction_id",
            "description", "amount", "total", "refund", "currency", "payer", "openid", "time_expire", "attach",
            "goods_tag", "support_fapiao", "detail", "goods_detail", "scene_info", "payer_client_ip", "store_info",
            "settle_info", "reason", "appid", "mchid", "notify_url", "useServiceAccount", "trade_state",
            "refund_status", "id",
        ])
        .prop_map(str::to_owned),
        1 => ".{0,12}",
    ]
}

fn a_word() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "wxpay_order", "wxpay_refund", "/wx-pay/wxpay_close_order", "wxpay_refund_query", "unifiedOrderTrigger",
            "/wx-pay/refundTrigger", "ORDER_PROPERTY_1", "ORDER_PROPERTY_2", "REFUND_1", "4200000000000000001",
            OPENID, "CNY", "SUCCESS", "NOTPAY", "TRANSACTION.SUCCESS", "REFUND.SUCCESS", "MCHTRANSFER.BILL.FINISHED",
            "AEAD_AES_256_GCM", "2099-06-08T10:34:56+08:00", "{\"out_trade_no\":\"ORDER_PROPERTY_1\"}", "",
        ])
        .prop_map(|word| json!(word)),
        1 => ".{0,40}".prop_map(|text| json!(text)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => (0_i64..200).prop_map(|number| json!(number)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(|truth| json!(truth)),
        1 => Just(Value::Null),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    a_word().prop_recursive(4, 32, 8, |inner| {
        prop_oneof![
            4 => prop::collection::vec((a_name(), inner.clone()), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::Array),
        ]
    })
}

/// A sound order or forward with some members replaced by anything.
fn almost_right() -> impl Strategy<Value = Value> {
    let base = prop::sample::select(vec![
        order("ORDER_PROPERTY_1", 100),
        json!({"ParsedContent": {"out_trade_no": "ORDER_PROPERTY_2"}, "ParsedNotify": {"event_type": "TRANSACTION.SUCCESS"}}),
        json!({"out_trade_no": "ORDER_PROPERTY_1", "trade_state": "SUCCESS"}),
        json!({"out_trade_no": "ORDER_PROPERTY_1", "out_refund_no": "REFUND_1", "amount": {"refund": 1, "total": 100}}),
    ]);
    (base, prop::collection::vec((a_name(), anything()), 0..4)).prop_map(|(mut body, members)| {
        if let Some(object) = body.as_object_mut() {
            object.extend(members);
        }
        body
    })
}

async fn anything_at_all_gets_an_answer_and_the_service_goes_on(store: Store) {
    let t = Arc::new(TestApp::start(store).await);
    let (runtime, app) = (tokio::runtime::Handle::current(), t.clone());
    let judged = tokio::task::spawn_blocking(move || {
        let config = Config {
            cases: 256,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(20_260_608),
            ..Config::default()
        };
        let bearer = format!("Bearer {}", app.token("alice"));
        let integration = app.world.center().integration_id().to_owned();
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-tcb-integration-id", integration.as_str()),
        ];
        TestRunner::new(config).run(&prop_oneof![anything(), almost_right()], |body| {
            for path in ["/", "/wx-pay/wxpay_order", "/wechatpay/order"] {
                let came = runtime.block_on(app.post(path, &headers, body.to_string()));
                prop_assert!(came.status < 500, "{}: {:?}", path, came);
                prop_assert!(!came.body["code"].is_null(), "{}: {:?}", path, came);
                prop_assert!(came.headers.contains_key("x-request-id"), "{}: {:?}", path, came);
            }
            Ok(())
        })
    });
    judged.await.unwrap().unwrap();
    t.placed("ORDER_AFTERWARDS", 100).await;
    assert_eq!(t.events("ORDER_AFTERWARDS").await, ["order.created"]);
}
