//! Numbers that would lead a request to WeChat somewhere else.

use serde_json::{Value, json};

use super::standing::{refused, shop};
use crate::case::{Tried, cases};
use crate::support::app::{OPERATOR, order, refund};
use crate::support::body::{with, without};
use crate::support::database::Store;
use crate::support::payouts::{BY_BILL, BY_NUMBER, TRANSFER, transfer};

cases!(Attack:
    a_number_that_is_a_path => "a request signed by the merchant to any address at WeChat",
    a_callback_that_names_a_path => "a question at an address that says yes",
    an_action_that_is_a_path => "an action that was never meant to be called",
);

fn traps() -> Vec<String> {
    let mut traps: Vec<String> = [
        "../../v3/refund/domestic/refunds",
        "..",
        "../ORDER_PAID",
        "ORDER_PAID/..",
        "ORDER_PAID/../ORDER_OPEN",
        "./ORDER_PAID",
        "/ORDER_PAID",
        "ORDER_PAID/",
        "//evil.example/",
        "\\\\evil",
        "ORDER_PAID\\..\\x",
        "%2e%2e%2f",
        "%2e%2e/ORDER_PAID",
        "ORDER_PAID%2f..",
        "%252e%252e",
        "ORDER_PAID%00",
        "ORDER_PAID\u{0}",
        "ORDER_PAID\u{0}x",
        "ORDER_PAID?mchid=1",
        "ORDER_PAID?",
        "ORDER_PAID#",
        "ORDER_PAID#x",
        "ORDER_PAID;",
        "ORDER_PAID;v=1",
        "ORDER_PAID&mchid=1",
        "ORDER_PAID=1",
        "ORDER_PAID\r\nHost: evil.example",
        "ORDER_PAID\n",
        "ORDER_PAID\r",
        "ORDER PAID",
        " ORDER_PAID",
        "ORDER_PAID ",
        "ORDER_PAID\t",
        "http://evil.example/ORDER_PAID",
        "@evil.example",
        "ORDER_PAID:443",
        "${ORDER_PAID}",
        "ORDER_PAID'--",
        "' OR '1'='1",
        "ORDER_PAID\"",
        "<ORDER_PAID>",
        "{ORDER_PAID}",
        "ORDER_PAID+",
        "ORDER_PAID~",
        "ORDER_PAID,ORDER_OPEN",
        "ОRDER_PAID",
        "ORDER＿PAID",
        "ＯRDER_PAID",
        "ORDER\u{2215}PAID",
        "ORDER\u{ff0f}PAID",
        "ORDER_PAID\u{200b}",
        "ORDER_PAID\u{202e}",
        "ORDER_PAID\u{301}",
        "\u{feff}ORDER_PAID",
        "．．／ORDER",
        "ORDER_PAID\u{85}",
        "ORDER_PAID\u{2028}",
        "订单号一二三四",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    traps.extend([
        "A".repeat(10_240),
        "../".repeat(3_000),
        "%2e".repeat(3_000),
        "A".repeat(65),
        "*".repeat(33),
        "|".repeat(33),
    ]);
    traps
}

/// All that WeChat may ever be asked at.
fn is_ours(address: &str) -> bool {
    const KNOWN: [&str; 5] = [
        "/v3/pay/transactions/",
        "/v3/refund/domestic/refunds",
        "/v3/fund-app/mch-transfer/transfer-bills",
        "/v3/certificates",
        "/v3/transfer/",
    ];
    KNOWN.iter().any(|known| address.starts_with(known))
        && !address.contains("..")
        && !address.to_ascii_lowercase().contains("%2e%2e")
}

async fn a_number_that_is_a_path(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let questions = t.addresses();
    let (alice, operator) = (t.bearer("alice"), format!("Bearer {OPERATOR}"));
    for trap in traps() {
        let trap = json!(trap);
        let calls: Vec<(&str, Value)> = vec![
            ("wxpay_order", with(order("x", 100), "out_trade_no", trap.clone())),
            ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": trap})),
            ("wxpay_query_order_by_transaction_id", json!({"transaction_id": trap})),
            ("wxpay_close_order", json!({"out_trade_no": trap})),
            (
                "wxpay_refund",
                with(refund("ORDER_PAID", "REFUND_2", 1, 100), "out_trade_no", trap.clone()),
            ),
            (
                "wxpay_refund",
                with(refund("ORDER_PAID", "REFUND_2", 1, 100), "out_refund_no", trap.clone()),
            ),
            (
                "wxpay_refund",
                with(
                    without(refund("ORDER_PAID", "REFUND_2", 1, 100), "out_trade_no"),
                    "transaction_id",
                    trap.clone(),
                ),
            ),
            ("wxpay_refund_query", json!({"out_refund_no": trap})),
            (TRANSFER, with(transfer("x", 500), "out_bill_no", trap.clone())),
            (BY_NUMBER, json!({"out_bill_no": trap})),
            (BY_BILL, json!({"transfer_bill_no": trap})),
        ];
        for (action, body) in calls {
            for who in [&alice, &operator] {
                // These are right by the rules of that one number, and then a number like any other.
                let (text, odd) = (
                    trap.as_str().unwrap(),
                    body.to_string().contains("out_refund_no") || action == BY_BILL,
                );
                if odd
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-|*@".contains(c))
                    && (1..=64).contains(&text.len())
                {
                    continue;
                }
                let came = t.act_as(who, action, body.clone()).await;
                let allowed = action == TRANSFER && *who == alice;
                assert!(
                    came.failure() == (400, "INVALID_PARAM") || allowed && came.status == 403,
                    "{action} {trap:.80}: {came:?}"
                );
                tried.once();
            }
        }
        assert_eq!(t.standing().await, before, "{trap:.80}");
        assert_eq!(t.addresses(), questions, "{trap:.80}");
    }
}

async fn a_callback_that_names_a_path(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let id = t.world.center().integration_id().to_owned();
    let questions = t.addresses().len();
    for trap in traps() {
        for (member, event, path) in [
            ("out_trade_no", "TRANSACTION.SUCCESS", "/wechatpay/order"),
            ("out_refund_no", "REFUND.SUCCESS", "/wechatpay/refund"),
            ("out_bill_no", "MCHTRANSFER.BILL.FINISHED", "/wechatpay/transfer"),
        ] {
            let content =
                json!({member: trap, "trade_state": "SUCCESS", "refund_status": "SUCCESS", "state": "SUCCESS"});
            for body in [
                content.clone(),
                json!({"ParsedContent": content, "ParsedNotify": {"event_type": event}}),
                json!({"Plaintext": content.to_string(), "rawData": {"event_type": event, "id": trap}}),
            ] {
                let came = t.post(path, &[("x-tcb-integration-id", &id)], body.to_string()).await;
                assert!(refused(&came), "{member} {trap:.80}: {came:?}");
                tried.once();
            }
        }
        assert_eq!(t.standing().await, before, "{trap:.80}");
    }
    // A number that breaks no rule is asked about, where such numbers are asked about.
    for address in t.addresses().get(questions..).unwrap() {
        assert!(is_ours(address), "{address}");
    }
}

async fn an_action_that_is_a_path(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let operator = format!("Bearer {OPERATOR}");
    let body = refund("ORDER_PAID", "REFUND_2", 1, 100);
    for name in [
        "../wxpay_refund",
        "..%2fwxpay_refund",
        "%2e%2e/wxpay_refund",
        "wxpay_refund/",
        "wxpay_refund/x",
        "wxpay_refund%00",
        "wxpay_refund%0a",
        "wxpay_refund;x",
        "wxpay_refund%3fx",
        "wxpay_refund%23",
        "WXPAY_REFUND",
        "wxpay%5frefund%20",
        "ｗxpay_refund",
        "wxpay_refund%ff",
        "",
        "%",
        "wxpay_batch_refund",
        "wx-pay/wxpay_refund",
        "wxpay_refund.json",
        "internal",
        "tick",
        "..",
        ".",
        "%2e",
        "wxpay_transfer_batch",
    ] {
        let url = format!("http://{}/wx-pay/{name}", t.service.address());
        let sent = t
            .http
            .post(url)
            .header("authorization", &operator)
            .header("content-type", "application/json");
        let status = sent.body(body.to_string()).send().await.unwrap().status().as_u16();
        assert!((400..500).contains(&status), "{name}: {status}");
        assert_eq!(t.standing().await, before, "{name}");
        for named in [
            json!({"_action": name}),
            json!({"path": format!("/wx-pay/{name}")}),
            json!({"path": format!("/wx-pay/../{name}")}),
        ] {
            // A query, a fragment and a slash behind the name are taken off a path, and so is everything in front of it.
            let mut all = body.clone();
            all.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
            if named["path"]
                .as_str()
                .is_some_and(|path| path.split_once("/wx-pay/").unwrap().1.trim_end_matches('/') == "wxpay_refund")
            {
                continue;
            }
            let came = t.post("/", &[("authorization", &operator)], all.to_string()).await;
            assert!(refused(&came), "{named}: {came:?}");
            assert_eq!(t.standing().await, before, "{named}");
            tried.once();
        }
        tried.once();
    }
}
