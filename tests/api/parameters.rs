//! The rules for the members of the six actions: what is good is passed on to WeChat as it came, what is bad is refused by its name
//! before anything is written or asked.

use pay_common::sandbox::{Endpoint, Options};
use serde_json::{Value, json};

use crate::support::app::{Came, OPENID, TestApp, order, refund};
use crate::support::body::{at, with, without};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    a_bad_value_of_an_order_is_refused_by_its_name,
    a_bad_value_of_a_query_or_a_close_is_refused_by_its_name,
    a_bad_value_of_a_refund_is_refused_by_its_name,
    a_missing_member_is_refused_by_its_name_and_null_is_missing,
    a_member_that_does_not_belong_there_is_refused_by_its_name,
    every_fault_is_named_in_one_answer,
    a_refusal_is_chinese_unless_english_is_preferred,
    a_good_value_of_an_order_reaches_wechat_as_it_came,
    everything_that_an_order_may_say_reaches_wechat_together,
    an_order_number_may_hold_any_allowed_character_in_every_action,
    a_refund_reaches_wechat_as_it_came,
    a_refund_names_the_orders_own_total,
    the_merchant_and_the_notify_address_may_be_repeated_and_not_chosen,
    an_order_is_for_a_configured_app_only,
    without_a_service_app_it_cannot_be_used,
);

const ORDER: &str = "wxpay_order";
const BY_NUMBER: &str = "wxpay_query_order_by_out_trade_no";
const BY_ID: &str = "wxpay_query_order_by_transaction_id";
const CLOSE: &str = "wxpay_close_order";
const REFUND: &str = "wxpay_refund";
const REFUND_QUERY: &str = "wxpay_refund_query";

/// The smallest body that is right for an action.
fn usual(action: &str) -> Value {
    match action {
        ORDER => order("ORDER_1", 100),
        BY_NUMBER | CLOSE => json!({"out_trade_no": "ORDER_1"}),
        BY_ID => json!({"transaction_id": "4200001"}),
        REFUND => refund("ORDER_1", "REFUND_1", 30, 100),
        REFUND_QUERY => json!({"out_refund_no": "REFUND_1"}),
        other => panic!("{other}"),
    }
}

/// The refusal of parameters that names these members, in this order, and nothing else.
#[track_caller]
fn assert_names(came: &Came, members: &[&str], about: &str) {
    assert_eq!(came.failure(), (400, "INVALID_PARAM"), "{about}: {came:?}");
    assert_eq!(came.body["code"], -1, "{about}");
    assert_eq!(came.body["data"], Value::Null, "{about}");
    let msg = came.body["msg"].as_str().unwrap();
    let named: Vec<&str> = msg
        .split("; ")
        .map(|part| part.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(named, members, "{about}: {msg}");
}

async fn assert_nothing_happened(t: &TestApp) {
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0, "WeChat was asked");
    assert_eq!(t.state("ORDER_1").await, None, "an order was left in the store");
    assert!(t.events("ORDER_1").await.is_empty());
}

/// Each value of each member is refused, in both languages, with the name of the member.
async fn refuses(store: Store, action: &str, table: Vec<(&str, Vec<Value>)>) {
    let t = TestApp::start(store).await;
    let bearer = format!("Bearer {}", t.token("alice"));
    for (member, bad_values) in table {
        for bad in bad_values {
            let about = format!("{action}: {member} = {bad}");
            let body = with(usual(action), member, bad).to_string();
            let path = format!("/wx-pay/{action}");
            let chinese = t.post(&path, &[("authorization", &bearer)], body.clone()).await;
            let headers = [("authorization", bearer.as_str()), ("accept-language", "en")];
            let english = t.post(&path, &headers, body).await;
            assert_names(&chinese, &[member], &about);
            assert_names(&english, &[member], &about);
            assert!(
                english.body["msg"].as_str().unwrap().is_ascii(),
                "{about}: {:?}",
                english.body
            );
            assert!(
                !chinese.body["msg"].as_str().unwrap().is_ascii(),
                "{about}: {:?}",
                chinese.body
            );
        }
    }
    assert_nothing_happened(&t).await;
}

/// What is no text of so many characters.
fn no_text_up_to(most: usize) -> Vec<Value> {
    vec![
        json!("x".repeat(most + 1)),
        json!("字".repeat(most + 1)),
        json!("a\u{0}b"),
        json!("a\u{7f}"),
        json!(5),
        json!(true),
        json!(["x"]),
        json!({"x": "x"}),
    ]
}

/// What is no amount of at least 1 fen.
fn no_amount() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(1.0),
        json!(0.5),
        json!("100"),
        json!(""),
        json!(true),
        json!([100]),
        json!({"value": 100}),
        json!(9_007_199_254_740_992_i64),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
    ]
}

fn no_currency() -> Vec<Value> {
    vec![json!("USD"), json!("cny"), json!(""), json!(156), json!(["CNY"])]
}

fn no_object() -> Vec<Value> {
    vec![json!("x"), json!(1), json!(true), json!([]), json!([{"total": 100}])]
}

fn no_truth() -> Vec<Value> {
    vec![json!("true"), json!(1), json!(0), json!(""), json!([true])]
}

fn no_order_number() -> Vec<Value> {
    vec![
        json!("ORDE5"),
        json!(""),
        json!("x".repeat(33)),
        json!("ORDER 1"),
        json!("ORDER/1"),
        json!("ORDER@1"),
        json!("ORDER.1"),
        json!("ORDER%7C1"),
        json!("../../x"),
        json!("ORDER?mchid=1"),
        json!("ORDER#1"),
        json!("ORDER\n1"),
        json!("订单号码一二三"),
        json!("ＯＲＤＥＲ１"),
        json!(123_456),
        json!(["ORDER_1"]),
    ]
}

fn no_refund_number() -> Vec<Value> {
    vec![
        json!(""),
        json!("x".repeat(65)),
        json!("R 1"),
        json!("R/1"),
        json!("R?1"),
        json!("R#1"),
        json!("R%1"),
        json!("R.1"),
        json!("退款"),
        json!(1),
    ]
}

fn no_transaction_id() -> Vec<Value> {
    vec![
        json!(""),
        json!("4".repeat(33)),
        json!("42/00"),
        json!("42 00"),
        json!("42?00"),
        json!(4_200_001),
    ]
}

fn no_text_of(least: usize, most: usize) -> Vec<Value> {
    let mut values = no_text_up_to(most);
    if least > 0 {
        values.push(json!(""));
    }
    values
}

async fn a_bad_value_of_an_order_is_refused_by_its_name(store: Store) {
    let table = vec![
        ("description", no_text_of(1, 127)),
        ("out_trade_no", no_order_number()),
        ("amount", no_object()),
        ("amount.total", no_amount()),
        ("amount.currency", no_currency()),
        ("payer", no_object()),
        (
            "payer.openid",
            vec![
                json!(""),
                json!("o".repeat(129)),
                json!("o o"),
                json!("o\n"),
                json!("用户"),
                json!(5),
            ],
        ),
        (
            "time_expire",
            vec![
                json!("2099-06-08T10:34:56"),
                json!("2099-06-08"),
                json!("2099-06-08 10:34:56 +08:00"),
                json!("2099-06-08T10:34:56+08:00[Asia/Shanghai]"),
                json!("20990608T103456+08:00"),
                json!("2099-13-08T10:34:56+08:00"),
                json!("2099-06-08T25:34:56+08:00"),
                json!("in an hour"),
                json!(""),
                json!(4_084_653_296_i64),
            ],
        ),
        ("attach", no_text_up_to(128)),
        ("goods_tag", no_text_of(1, 32)),
        ("support_fapiao", no_truth()),
        ("useServiceAccount", no_truth()),
        ("detail", no_object()),
        ("detail.cost_price", vec![json!(-1), json!(1.5), json!("1")]),
        ("detail.invoice_id", no_text_of(1, 32)),
        (
            "detail.goods_detail",
            vec![json!([]), json!("x"), json!({"merchant_goods_id": "x"})],
        ),
        ("scene_info", vec![json!("127.0.0.1"), json!([]), json!(1)]),
        ("settle_info", no_object()),
        ("settle_info.profit_sharing", no_truth()),
    ];
    refuses(store, ORDER, table).await;
}

async fn a_bad_value_of_a_query_or_a_close_is_refused_by_its_name(store: Store) {
    refuses(store, BY_NUMBER, vec![("out_trade_no", no_order_number())]).await;
    refuses(store, BY_ID, vec![("transaction_id", no_transaction_id())]).await;
    refuses(store, CLOSE, vec![("out_trade_no", no_order_number())]).await;
    refuses(store, REFUND_QUERY, vec![("out_refund_no", no_refund_number())]).await;
}

async fn a_bad_value_of_a_refund_is_refused_by_its_name(store: Store) {
    let mut more_than_total = no_amount();
    more_than_total.push(json!(101));
    let table = vec![
        ("out_trade_no", no_order_number()),
        ("transaction_id", no_transaction_id()),
        ("out_refund_no", no_refund_number()),
        ("amount", no_object()),
        ("amount.refund", more_than_total),
        ("amount.total", no_amount()),
        ("amount.currency", no_currency()),
        ("reason", no_text_up_to(80)),
    ];
    refuses(store, REFUND, table).await;
}

async fn a_missing_member_is_refused_by_its_name_and_null_is_missing(store: Store) {
    let t = TestApp::start(store).await;
    for (action, member) in [
        (ORDER, "description"),
        (ORDER, "out_trade_no"),
        (ORDER, "amount"),
        (ORDER, "amount.total"),
        // The login of these tests knows no openid.
        (ORDER, "payer.openid"),
        (BY_NUMBER, "out_trade_no"),
        (BY_ID, "transaction_id"),
        (CLOSE, "out_trade_no"),
        (REFUND, "out_trade_no"),
        (REFUND, "out_refund_no"),
        (REFUND, "amount"),
        (REFUND, "amount.refund"),
        (REFUND, "amount.total"),
        (REFUND_QUERY, "out_refund_no"),
    ] {
        let missing = t.act(action, without(usual(action), member)).await;
        assert_names(&missing, &[member], &format!("{action} without {member}"));
        let null = t.act(action, with(usual(action), member, Value::Null)).await;
        assert_eq!(null.body, missing.body, "{action} with {member} = null");
    }
    let no_payer = t.act(ORDER, without(usual(ORDER), "payer")).await;
    assert_names(&no_payer, &["payer.openid"], "an order without payer");
    assert_nothing_happened(&t).await;
}

async fn a_member_that_does_not_belong_there_is_refused_by_its_name(store: Store) {
    let t = TestApp::start(store).await;
    let full = full_order("ORDER_1");
    for (action, body, member) in [
        (ORDER, usual(ORDER), "color"),
        (ORDER, usual(ORDER), "method"),
        (ORDER, usual(ORDER), "_action"),
        (ORDER, usual(ORDER), "transaction_id"),
        (ORDER, usual(ORDER), "amount.tip"),
        (ORDER, usual(ORDER), "amount.payer_total"),
        (ORDER, usual(ORDER), "payer.name"),
        (ORDER, full.clone(), "detail.x"),
        (ORDER, full.clone(), "detail.goods_detail[0].x"),
        (ORDER, full.clone(), "detail.goods_detail[1].price"),
        (ORDER, full.clone(), "scene_info.x"),
        (ORDER, full.clone(), "scene_info.store_info.x"),
        (ORDER, full.clone(), "settle_info.x"),
        (BY_NUMBER, usual(BY_NUMBER), "transaction_id"),
        (BY_ID, usual(BY_ID), "out_trade_no"),
        (CLOSE, usual(CLOSE), "reason"),
        (REFUND, usual(REFUND), "description"),
        (REFUND, usual(REFUND), "amount.payer_refund"),
        (REFUND_QUERY, usual(REFUND_QUERY), "out_trade_no"),
    ] {
        let came = t.act(action, with(body, member, json!(1))).await;
        assert_names(&came, &[member], &format!("{action} with {member}"));
    }
    assert_nothing_happened(&t).await;
}

async fn every_fault_is_named_in_one_answer(store: Store) {
    let t = TestApp::start(store).await;
    let came = t
        .act(
            ORDER,
            json!({
                "out_trade_no": "x",
                "amount": {"total": "20", "currency": "USD", "tip": 1},
                "payer": {"openid": "a b"},
                "time_expire": "soon",
                "attach": "x".repeat(129),
                "support_fapiao": "yes",
                "detail": {"goods_detail": [{"merchant_goods_id": "1", "quantity": 0, "unit_price": 1, "x": 1}, 7]},
                "scene_info": {"device_id": ""},
                "mchid": "1",
                "notify_url": "https://elsewhere.example/",
                "appid": "wx0000000000000000",
                "color": "red",
            }),
        )
        .await;
    let msg = came.body["msg"].as_str().unwrap();
    for member in [
        "description",
        "out_trade_no",
        "amount.total",
        "amount.currency",
        "amount.tip",
        "payer.openid",
        "time_expire",
        "attach",
        "support_fapiao",
        "detail.goods_detail[0].quantity",
        "detail.goods_detail[0].x",
        "detail.goods_detail[1]",
        "scene_info.payer_client_ip",
        "scene_info.device_id",
        "mchid",
        "notify_url",
        "appid",
        "color",
    ] {
        let named = msg.split("; ").filter(|part| part.starts_with(&format!("{member} ")));
        assert_eq!(named.count(), 1, "{member}: {msg}");
    }
    assert_eq!(msg.split("; ").count(), 18, "{msg}");

    let came = t
        .act(REFUND, json!({"amount": {"refund": 0}, "reason": 5, "tip": 1}))
        .await;
    let names = [
        "out_refund_no",
        "out_trade_no",
        "reason",
        "amount.refund",
        "amount.total",
        "tip",
    ];
    assert_names(&came, &names, "a refund");
    assert_nothing_happened(&t).await;
}

async fn a_refusal_is_chinese_unless_english_is_preferred(store: Store) {
    let t = TestApp::start(store).await;
    let bearer = format!("Bearer {}", t.token("alice"));
    let (chinese, english) = ("out_trade_no 必填", "out_trade_no is required");
    for (preference, expected) in [
        (None, chinese),
        (Some("zh-CN,zh;q=0.9,en;q=0.8"), chinese),
        (Some("fr"), chinese),
        (Some("*"), chinese),
        (Some("en"), english),
        (Some("en-US,en;q=0.9,zh;q=0.8"), english),
        (Some("zh;q=0.1, en"), english),
    ] {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(preference.map(|preference| ("accept-language", preference)));
        let came = t.post(&format!("/wx-pay/{CLOSE}"), &headers, "{}").await;
        assert_eq!(came.body["msg"], expected, "{preference:?}");
    }
}

/// The longest text that is still allowed, in characters of three bytes each.
fn longest(characters: usize) -> Value {
    json!("字".repeat(characters))
}

async fn a_good_value_of_an_order_reaches_wechat_as_it_came(store: Store) {
    let t = TestApp::start(store).await;
    let good = [
        ("description", json!("x")),
        ("description", longest(127)),
        ("description", json!("<b>\"5 ¥\"</b> & \\ / 😀")),
        ("amount.total", json!(1)),
        ("amount.total", json!(1_000_000_000)),
        ("payer.openid", json!("o")),
        ("payer.openid", json!("o".repeat(128))),
        ("time_expire", json!("2099-06-08T10:34:56+08:00")),
        ("time_expire", json!("2099-06-08T02:34:56Z")),
        ("attach", longest(128)),
        ("attach", json!("{\"order\": 1}")),
        ("goods_tag", longest(32)),
        ("support_fapiao", json!(true)),
        ("support_fapiao", json!(false)),
        ("detail.cost_price", json!(0)),
        ("detail.invoice_id", json!("微信123")),
        (
            "detail.goods_detail",
            json!([{"merchant_goods_id": "1246464644", "quantity": 1, "unit_price": 0}]),
        ),
        ("scene_info.payer_client_ip", json!("2001:db8::1")),
        ("settle_info.profit_sharing", json!(true)),
        ("settle_info.profit_sharing", json!(false)),
    ];
    for (count, (member, value)) in good.into_iter().enumerate() {
        let number = format!("ORDER_{count}");
        let asked = with(order(&number, 100), member, value.clone());
        t.act(ORDER, asked.clone()).await.data();
        let keys = t.world.keys();
        let expected = with(
            with(asked, "appid", json!(keys.mini_program_appid())),
            "mchid",
            json!(keys.mchid()),
        );
        let params = t.world.wechat().order(&number).unwrap().params;
        assert_eq!(without(params, "notify_url"), expected, "{member} = {value}");
    }
}

/// An order that says everything that an order may say.
fn full_order(number: &str) -> Value {
    json!({
        "description": "Image形象店-深圳腾大-QQ公仔",
        "out_trade_no": number,
        "time_expire": "2099-06-08T10:34:56+08:00",
        "attach": "自定义数据说明",
        "goods_tag": "WXG",
        "support_fapiao": true,
        "amount": {"total": 100, "currency": "CNY"},
        "payer": {"openid": OPENID},
        "detail": {
            "cost_price": 608_800,
            "invoice_id": "微信123",
            "goods_detail": [
                {
                    "merchant_goods_id": "1246464644",
                    "wechatpay_goods_id": "1001",
                    "goods_name": "iPhoneX 256G",
                    "quantity": 1,
                    "unit_price": 528_800,
                },
                {"merchant_goods_id": "2", "quantity": 2, "unit_price": 0},
            ],
        },
        "scene_info": {
            "payer_client_ip": "14.23.150.211",
            "device_id": "013467007045764",
            "store_info": {
                "id": "0001",
                "name": "腾讯大厦分店",
                "area_code": "440305",
                "address": "广东省深圳市南山区科技中一道10000号",
            },
        },
        "settle_info": {"profit_sharing": false},
    })
}

async fn everything_that_an_order_may_say_reaches_wechat_together(store: Store) {
    let t = TestApp::start(store).await;
    t.act(ORDER, full_order("ORDER_1")).await.data();
    let (keys, settings) = (t.world.keys().clone(), t.world.settings());
    let notify_url = &settings.iter().find(|(name, _)| *name == "notifyURLPayURL").unwrap().1;
    let mut expected = full_order("ORDER_1");
    for (member, value) in [
        ("appid", keys.mini_program_appid()),
        ("mchid", keys.mchid()),
        ("notify_url", notify_url),
    ] {
        expected = with(expected, member, json!(value));
    }
    assert_eq!(t.world.wechat().order("ORDER_1").unwrap().params, expected);
    let requests = t.world.wechat().requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].json(), expected);
    assert_eq!(requests[0].path_and_query, "/v3/pay/transactions/jsapi");
}

async fn an_order_number_may_hold_any_allowed_character_in_every_action(store: Store) {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[]).await;
    let numbers = [
        "ORDER6".to_owned(),
        "a_b-C|d*9".to_owned(),
        "------".to_owned(),
        "9".repeat(32),
    ];
    let refund_numbers = ["1".to_owned(), "R_-|*@z".to_owned(), "@".to_owned(), "r".repeat(64)];
    for (number, refund_number) in numbers.iter().zip(&refund_numbers) {
        t.placed(number, 100).await;
        let unpaid = t.act(BY_NUMBER, json!({"out_trade_no": number})).await;
        assert_eq!(unpaid.data()["trade_state"], "NOTPAY", "{number}");
        let id = t.world.wechat().pay(number).unwrap();
        t.eventually(number, "SUCCESS").await;
        let paid = t.act(BY_ID, json!({"transaction_id": id})).await;
        assert_eq!(paid.data()["out_trade_no"], *number);
        t.act(REFUND, refund(number, refund_number, 1, 100)).await.data();
        let asked = t.act(REFUND_QUERY, json!({"out_refund_no": refund_number})).await;
        assert_eq!(asked.data()["out_refund_no"], *refund_number);

        let other = format!("{}C", number.chars().take(31).collect::<String>());
        t.placed(&other, 100).await;
        let closed = t.act(CLOSE, json!({"out_trade_no": other})).await;
        assert_eq!(
            closed.body,
            json!({"code": 0, "msg": "success", "data": {"status": 204}})
        );
    }
}

async fn a_refund_reaches_wechat_as_it_came(store: Store) {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[]).await;
    t.paid("ORDER_1", 100).await;
    let id = t.world.wechat().order("ORDER_1").unwrap().transaction_id.unwrap();
    let by_id = with(
        without(refund("ORDER_1", "BY_ID", 1, 100), "out_trade_no"),
        "transaction_id",
        json!(id),
    );
    let by_both = with(refund("ORDER_1", "BY_BOTH", 2, 100), "transaction_id", json!(id));
    for (body, reason) in [
        (refund("ORDER_1", "BY_NUMBER", 3, 100), Value::Null),
        (by_id, Value::Null),
        (by_both, Value::Null),
        (
            with(refund("ORDER_1", "REASON", 4, 100), "reason", longest(80)),
            longest(80),
        ),
        // WeChat refuses an empty reason; the rule here is 0 to 80.
        (
            with(refund("ORDER_1", "NO_REASON", 5, 100), "reason", json!("")),
            Value::Null,
        ),
        (
            without(refund("ORDER_1", "NO_CURRENCY", 6, 100), "amount.currency"),
            Value::Null,
        ),
        (refund("ORDER_1", "THE_REST", 79, 100), Value::Null),
    ] {
        let number = body["out_refund_no"].as_str().unwrap().to_owned();
        let came = t.act(REFUND, body.clone()).await;
        assert_eq!(came.data()["out_refund_no"], number);
        let made = t.world.wechat().refund(&number).unwrap();
        assert_eq!(made.out_trade_no, "ORDER_1", "{number}");
        assert_eq!(made.refund, at(&body, "amount.refund").as_i64().unwrap(), "{number}");
        assert_eq!(made.total, 100, "{number}");
        assert_eq!(*at(&made.params, "reason"), reason, "{number}");
        assert_eq!(*at(&made.params, "amount.currency"), "CNY", "{number}");
        assert!(made.notify_url.is_some(), "{number}");
    }
    assert_eq!(t.held("ORDER_1").await, 100);
}

async fn a_refund_names_the_orders_own_total(store: Store) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 100).await;
    for total in [99, 101, 30] {
        let came = t.act(REFUND, refund("ORDER_1", "REFUND_1", 30, total)).await;
        assert_names(&came, &["amount.total"], &format!("total {total}"));
        assert!(came.body["msg"].as_str().unwrap().contains("100"), "{:?}", came.body);
    }
    assert_eq!(t.world.wechat().count(Endpoint::Refund), 0);
    assert_eq!(t.held("ORDER_1").await, 0);
}

async fn the_merchant_and_the_notify_address_may_be_repeated_and_not_chosen(store: Store) {
    let t = TestApp::start(store).await;
    let settings = t.world.settings();
    let set = |name: &str| settings.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let (mchid, pay_url, refund_url) = (set("merchantId"), set("notifyURLPayURL"), set("notifyURLRefundsURL"));

    for (action, member, values) in [
        (
            ORDER,
            "mchid",
            vec![json!("1900000001"), json!(""), json!(1_900_000_001_u64)],
        ),
        (
            ORDER,
            "notify_url",
            vec![
                json!("https://evil.example/wechatpay/order"),
                json!(refund_url),
                json!(format!("{pay_url}/")),
                json!(""),
            ],
        ),
        (BY_NUMBER, "mchid", vec![json!("1900000001")]),
        (BY_ID, "mchid", vec![json!("1900000001")]),
        (CLOSE, "mchid", vec![json!("1900000001")]),
        (REFUND, "mchid", vec![json!("1900000001")]),
        (
            REFUND,
            "notify_url",
            vec![json!("https://evil.example/x"), json!(pay_url)],
        ),
        (REFUND_QUERY, "mchid", vec![json!("1900000001")]),
        (BY_NUMBER, "notify_url", vec![json!(pay_url)]),
        (CLOSE, "notify_url", vec![json!(pay_url)]),
        (REFUND_QUERY, "notify_url", vec![json!(refund_url)]),
    ] {
        for value in values {
            let came = t.act(action, with(usual(action), member, value.clone())).await;
            assert_names(&came, &[member], &format!("{action}: {member} = {value}"));
        }
    }
    assert_nothing_happened(&t).await;

    let with_both = |body: Value, url: &str| with(with(body, "mchid", json!(mchid)), "notify_url", json!(url));
    t.act(ORDER, with_both(usual(ORDER), &pay_url)).await.data();
    assert_eq!(t.world.wechat().order("ORDER_1").unwrap().notify_url, pay_url);
    let query = with(usual(BY_NUMBER), "mchid", json!(mchid));
    assert_eq!(t.act(BY_NUMBER, query).await.data()["trade_state"], "NOTPAY");
    let id = t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    let by_id = json!({"transaction_id": id, "mchid": mchid});
    assert_eq!(t.act(BY_ID, by_id).await.data()["trade_state"], "SUCCESS");
    t.act(REFUND, with_both(usual(REFUND), &refund_url)).await.data();
    let made = t.world.wechat().refund("REFUND_1").unwrap();
    assert_eq!(made.notify_url, Some(refund_url));
    let query = with(usual(REFUND_QUERY), "mchid", json!(mchid));
    assert_eq!(t.act(REFUND_QUERY, query).await.data()["out_refund_no"], "REFUND_1");
}

async fn an_order_is_for_a_configured_app_only(store: Store) {
    let t = TestApp::start(store).await;
    let keys = t.world.keys().clone();
    let (mini, service) = (keys.mini_program_appid(), keys.appid());
    for (count, (choice, chosen)) in [
        (json!({}), mini),
        (json!({"useServiceAccount": false}), mini),
        (json!({"useServiceAccount": null, "appid": null}), mini),
        (json!({"useServiceAccount": true}), service),
        (json!({"appid": mini}), mini),
        (json!({"appid": service}), service),
        (json!({"appid": service, "useServiceAccount": true}), service),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER_GOOD_{count}");
        let mut body = order(&number, 100);
        for (name, value) in choice.as_object().unwrap() {
            body = with(body, name, value.clone());
        }
        assert_eq!(t.act(ORDER, body).await.data()["appId"], chosen, "{choice}");
        assert_eq!(t.world.wechat().order(&number).unwrap().appid, chosen, "{choice}");
    }
    let asked = t.world.wechat().count(Endpoint::Prepay);
    for (choice, member) in [
        (json!({"appid": "wx0000000000000000"}), "appid"),
        (json!({"appid": ""}), "appid"),
        (json!({"appid": mini.to_ascii_uppercase()}), "appid"),
        (json!({"appid": 5}), "appid"),
        (json!({"appid": mini, "useServiceAccount": true}), "appid"),
    ] {
        let mut body = order("ORDER_1", 100);
        for (name, value) in choice.as_object().unwrap() {
            body = with(body, name, value.clone());
        }
        assert_names(&t.act(ORDER, body).await, &[member], &choice.to_string());
    }
    assert_eq!(t.world.wechat().count(Endpoint::Prepay), asked);
    assert_eq!(t.state("ORDER_1").await, None);
}

async fn without_a_service_app_it_cannot_be_used(store: Store) {
    let t = TestApp::start_with(store, Options::default(), &[("service_app_id", "")]).await;
    let asked = with(order("ORDER_1", 100), "useServiceAccount", json!(true));
    assert_names(&t.act(ORDER, asked).await, &["useServiceAccount"], "no service app");
    let named = with(order("ORDER_1", 100), "appid", json!(t.world.keys().appid()));
    assert_names(&t.act(ORDER, named).await, &["appid"], "no service app");
    assert_nothing_happened(&t).await;
}
