//! What the merchant decides, said by the page instead.

use pay_common::sandbox::Options;
use serde_json::{Value, json};

use super::standing::{MALLORYS_OPENID, by_hand, refused};
use crate::case::{Tried, cases};
use crate::support::app::{OPENID, OPERATOR, TestApp, order, refund};
use crate::support::body::{with, without};
use crate::support::database::Store;
use crate::support::payouts::{TRANSFER, transfer};

cases!(Attack:
    the_merchant_the_address_of_callbacks_and_other_members_of_ones_own => "payments to another merchant, or callbacks to the attacker",
    a_payer_other_than_the_platform_names => "an order charged to somebody else",
    a_member_under_another_spelling => "a member that is checked under one name and sent under another",
    an_amount_that_is_none => "an order for nothing, or for less than it says",
    what_wechat_is_asked_is_only_what_was_meant => "a text of the page that ends the JSON and begins another",
);

const EVIL: &str = "https://evil.example/callback";

async fn the_merchant_the_address_of_callbacks_and_other_members_of_ones_own(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, by_hand(), &[("corsAllowOrigin", "https://shop.example")]).await;
    t.paid("ORDER_PAID", 100).await;
    let before = t.standing().await;
    let operator = format!("Bearer {OPERATOR}");
    let (alice, mchid) = (t.bearer("alice"), t.world.keys().mchid().to_owned());
    let number = json!({"out_trade_no": "ORDER_PAID"});
    let calls = [
        ("wxpay_order", order("ORDER_1", 100)),
        ("wxpay_order_native", without(order("ORDER_1", 100), "payer")),
        ("wxpay_order_app", without(order("ORDER_1", 100), "payer")),
        (
            "wxpay_order_h5",
            with(
                without(order("ORDER_1", 100), "payer"),
                "scene_info",
                json!({"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}),
            ),
        ),
        ("wxpay_refund", refund("ORDER_PAID", "REFUND_1", 40, 100)),
        ("wxpay_query_order_by_out_trade_no", number.clone()),
        ("wxpay_close_order", number),
        ("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})),
        (TRANSFER, transfer("T1", 500)),
        ("wxpay_transfer_bill_query", json!({"out_bill_no": "T1"})),
    ];
    let members = [
        ("notify_url", json!(EVIL)),
        ("notify_url", json!("http://169.254.169.254/")),
        ("notify_url", json!("")),
        ("notify_url", json!([EVIL])),
        ("mchid", json!("1900000001")),
        ("mchid", json!(mchid.parse::<u64>().unwrap())),
        ("mchid", json!(format!("{mchid} "))),
        ("mchid", json!([mchid])),
        ("mch_id", json!("1900000001")),
        ("sp_mchid", json!("1900000001")),
        ("sp_appid", json!("wx0000000000000000")),
        ("sub_mchid", json!("1900000001")),
        ("sub_appid", json!("wx0000000000000000")),
        ("sub_openid", json!("oX")),
        ("appid", json!("wx0000000000000000")),
        ("appid", json!("")),
        ("useServiceAccount", json!("yes")),
        ("serial_no", json!("1")),
        ("sign", json!("1")),
        ("paySign", json!("1")),
        ("trade_state", json!("SUCCESS")),
        ("transaction_id_", json!("1")),
        ("total", json!(1)),
        ("total_fee", json!(1)),
        ("refund_account", json!("AVAILABLE")),
        ("funds_account", json!("AVAILABLE")),
        ("combine_out_trade_no", json!("X")),
        ("profit_sharing", json!(true)),
        ("__proto__", json!({"total": 1})),
        ("constructor", json!({"prototype": {}})),
        ("$where", json!("1")),
    ];
    for (action, body) in calls {
        for (member, value) in &members {
            for login in [&alice, &operator] {
                let headers = [("authorization", login.as_str()), ("origin", "https://shop.example")];
                let body = with(body.clone(), member, value.clone());
                let came = t.post(&format!("/wx-pay/{action}"), &headers, body.to_string()).await;
                assert!(refused(&came), "{action} {member} = {value}: {came:?}");
                assert_eq!(t.standing().await, before, "{action} {member} = {value}");
                tried.once();
            }
        }
    }
    let inner = [
        ("amount.payer_total", json!(1)),
        ("amount.currency", json!("USD")),
        ("amount.refund_fee", json!(1)),
        ("payer.sp_openid", json!("oX")),
        ("payer.unionid", json!("oX")),
        ("settle_info.subsidy_amount", json!(100)),
        ("scene_info.device", json!({"x": 1})),
        ("amount.from", json!([{"account": "AVAILABLE", "amount": 1}])),
    ];
    for (action, body) in [
        ("wxpay_order", order("ORDER_1", 100)),
        ("wxpay_refund", refund("ORDER_PAID", "REFUND_1", 40, 100)),
    ] {
        for (member, value) in &inner {
            let came = t.act(action, with(body.clone(), member, value.clone())).await;
            assert!(refused(&came), "{action} {member}: {came:?}");
            assert_eq!(t.standing().await, before, "{action} {member}");
            tried.once();
        }
    }
    assert!(t.addresses().iter().all(|address| !address.contains("evil")));
}

async fn a_payer_other_than_the_platform_names(store: Store, tried: Tried) {
    let t = TestApp::start_with(
        store,
        Options::default(),
        &[("trustPlatformHeaders", "true"), ("transferPolicy", "any")],
    )
    .await;
    let before = t.standing().await;
    let alice = t.bearer("alice");
    for openid in [
        json!(MALLORYS_OPENID),
        json!(OPENID.to_lowercase()),
        json!(format!("{OPENID} ")),
        json!(format!("{OPENID}\u{0}")),
        json!(format!("{OPENID},{MALLORYS_OPENID}")),
        json!([OPENID]),
        json!({"$eq": OPENID}),
        json!(0),
        json!(true),
        json!(""),
    ] {
        for extra in [vec![], vec![("authorization", alice.as_str())]] {
            let mut headers = vec![("x-wx-openid", OPENID)];
            headers.extend(extra);
            for (action, body) in [
                (
                    "wxpay_order",
                    with(order("ORDER_1", 100), "payer.openid", openid.clone()),
                ),
                (TRANSFER, with(transfer("T1", 500), "openid", openid.clone())),
            ] {
                let came = t.post(&format!("/wx-pay/{action}"), &headers, body.to_string()).await;
                assert_eq!(came.failure(), (400, "INVALID_PARAM"), "{openid}: {came:?}");
                assert_eq!(t.standing().await, before, "{openid}");
                tried.once();
            }
        }
    }
}

async fn a_member_under_another_spelling(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    let before = t.standing().await;
    for (good, bad) in [
        ("\"total\":100", "\"Total\":1,\"total\":100"),
        ("\"total\":100", "\"total \":1,\"total\":100"),
        ("\"total\":100", "\"total\\u0000\":1,\"total\":100"),
        ("\"total\":100", "\"total\":100,\"total\":1"),
        ("\"total\":100", "\"total\":1,\"total\":100"),
        ("\"total\":100", "\"total\":100,\"\\u0074otal\":1"),
        ("\"total\":100", "\"ｔotal\":1,\"total\":100"),
        ("\"total\":100", "\"tоtal\":1,\"total\":100"),
        ("\"out_trade_no\":", "\"outTradeNo\":\"ORDER_2\",\"out_trade_no\":"),
        ("\"out_trade_no\":", "\"out_trade_no\":\"ORDER_2\",\"out_trade_no\":"),
        ("\"out_trade_no\":", "\"OUT_TRADE_NO\":\"ORDER_2\",\"out_trade_no\":"),
        ("\"payer\":", "\"payer\":null,\"payer\":"),
        ("\"payer\":", "\"payer.openid\":\"x\",\"payer\":"),
        ("\"amount\":", "\"amount.total\":1,\"amount\":"),
        ("\"amount\":", "\"amount[total]\":1,\"amount\":"),
        ("\"amount\":", "\"body\":{\"amount\":{\"total\":1}},\"amount\":"),
        ("\"amount\":", "\"data\":{\"amount\":{\"total\":1}},\"amount\":"),
        ("\"amount\":", "\"_action\":\"wxpay_refund\",\"amount\":"),
        ("\"amount\":", "\"_action\":null,\"amount\":"),
    ] {
        let usual = order("ORDER_1", 100).to_string();
        let body = usual.replacen(good, bad, 1);
        assert_ne!(usual, body, "{good}");
        let bearer = t.bearer("alice");
        for path in [
            "/wx-pay/wxpay_order",
            "/wx-pay/wxpay_order?total=1",
            "/wx-pay/wxpay_order?out_trade_no=ORDER_2",
        ] {
            let came = t.post(path, &[("authorization", &bearer)], body.clone()).await;
            assert!(refused(&came), "{bad}: {came:?}");
            assert_eq!(t.standing().await, before, "{bad}");
            tried.once();
        }
    }
}

/// Everything that is not a whole number of fen from one up.
pub fn no_amounts() -> Vec<&'static str> {
    vec![
        "0",
        "-0",
        "-1",
        "-100",
        "0.0",
        "0.01",
        "1.0",
        "20.0",
        "2e1",
        "1e2",
        "100.5",
        "1e-2",
        "99.99999999999999999",
        "1E400",
        "-1E400",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "100000000000000000000000000000",
        "\"100\"",
        "\"1\"",
        "\"\"",
        "\" 100\"",
        "\"0x64\"",
        "\"１００\"",
        "null",
        "true",
        "false",
        "[]",
        "[100]",
        "{}",
        "{\"total\":100}",
        "0x64",
        "0100",
        "+100",
        "1_00",
        "1,00",
        ".5",
        "5.",
        "NaN",
        "Infinity",
        "-",
        "１００",
    ]
}

async fn an_amount_that_is_none(store: Store, tried: Tried) {
    let t = TestApp::start_with(
        store,
        Options::default(),
        &[("orderTicketSecret", "the-secret-of-the-backend-0123456789")],
    )
    .await;
    let before = t.standing().await;
    for amount in no_amounts() {
        for (action, body) in [
            ("wxpay_order", order("ORDER_1", 777)),
            ("wxpay_order_native", without(order("ORDER_1", 777), "payer")),
            ("wxpay_order_app", without(order("ORDER_1", 777), "payer")),
        ] {
            let body = body.to_string().replace("777", amount);
            let came = t
                .post(
                    &format!("/wx-pay/{action}"),
                    &[("authorization", &t.bearer("alice"))],
                    body,
                )
                .await;
            assert!(refused(&came), "{action} {amount}: {came:?}");
            assert_eq!(t.standing().await, before, "{action} {amount}");
            tried.once();
        }
    }
}

async fn what_wechat_is_asked_is_only_what_was_meant(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let settings = t.world.settings();
    let notify = settings
        .iter()
        .find(|(name, _)| *name == "notifyURLPayURL")
        .unwrap()
        .1
        .clone();
    for (count, text) in [
        r#"x","amount":{"total":1},"y":"z"#,
        r#"x\","notify_url":"https://evil.example"#,
        "x\\",
        "x\u{2028}\u{2029}",
        "x\r\nHost: evil.example\r\n\r\n",
        "</script><script>alert(1)</script>",
        "'; DROP TABLE orders; --",
        "$1 %s {} ${jndi:ldap://x}",
        "\u{202e}kcab",
        "\u{1f600}\u{1f468}\u{200d}\u{1f469}",
        "x\u{7f}",
        "{\"total\":1}",
    ]
    .into_iter()
    .enumerate()
    {
        for member in ["description", "attach", "goods_tag", "detail.invoice_id"] {
            let short: String = text.chars().take(32).collect();
            let number = format!(
                "ORDER_{count}_{}",
                member.replace('.', "_").chars().take(12).collect::<String>()
            );
            let body = with(order(&number, 100), member, json!(short));
            let came = t.act("wxpay_order", body).await;
            let asked = t.world.wechat().order(&number);
            if came.body["code"] == 0 {
                let params = asked.unwrap().params.clone();
                let said = member.split('.').fold(&params, |inside, name| &inside[name]);
                assert_eq!(*said, json!(short), "{member}: as it was said, and nothing else");
                assert_eq!(params["amount"], json!({"total": 100, "currency": "CNY"}), "{member}");
                assert_eq!(params["notify_url"], Value::from(notify.clone()), "{member}");
                assert_eq!(t.state(&number).await.as_deref(), Some("NOTPAY"));
            } else {
                assert!(refused(&came), "{came:?}");
                assert!(asked.is_none(), "{member}");
                assert_eq!(t.state(&number).await, None);
            }
            tried.once();
        }
    }
}
