//! Members that are not what they should be.

use pay_common::sandbox::{DIRECT_ORDER_PATH, Options};
use serde_json::{Value, json};

use super::bodies::DOORS;
use super::standing::{acknowledged, claims, paid_unheard, refused, shop};
use crate::case::{Tried, cases};
use crate::support::app::{OPENID, OPERATOR, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::Store;
use crate::support::payouts::{TRANSFER, transfer};

cases!(Attack:
    a_body_that_is_no_callback_at_all => "an answer that leads its reader astray",
    members_of_every_wrong_type => "a crash, or a default where a value was refused",
    texts_that_a_database_cannot_hold => "an order that breaks the books",
);

/// Sound JSON, at the door of callbacks, and none: it is told so in one language, and not that it is no JSON.
async fn a_body_that_is_no_callback_at_all(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    for body in [
        "{}",
        r#"{"x":1}"#,
        r#"{"resource":1}"#,
        r#"{"rawData":1}"#,
        r#"{"ParsedContent":[]}"#,
        r#"{"event_type":"TRANSACTION.SUCCESS"}"#,
    ] {
        for path in &DOORS[3..] {
            for (language, is_right) in [("zh", false), ("en", true)] {
                let came = t.post(path, &[("accept-language", language)], body).await;
                let said = came.body["message"].as_str().unwrap();
                assert_eq!((came.status, &came.body["code"]), (400, &json!("FAIL")), "{came:?}");
                assert_eq!(said.is_ascii(), is_right, "{said}");
                assert!(
                    !said.contains("form of a callback") && !said.contains("not valid"),
                    "{said}"
                );
                assert_eq!(t.standing().await, before, "{body}");
                tried.once();
            }
        }
    }
}

async fn members_of_every_wrong_type(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let operator = format!("Bearer {OPERATOR}");
    let wrong = || {
        vec![
            json!([]),
            json!([[]]),
            json!({}),
            json!({"x": {}}),
            json!(true),
            json!(false),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(1e300),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(["x"]),
            json!({"toString": 1}),
            json!({"length": 1}),
        ]
    };
    for (action, body, members) in [
        (
            "wxpay_order",
            order("ORDER_1", 100),
            vec![
                "description",
                "out_trade_no",
                "amount",
                "amount.currency",
                "payer",
                "payer.openid",
                "attach",
                "time_expire",
                "goods_tag",
                "detail.goods_detail",
                "scene_info",
                "scene_info.payer_client_ip",
                "settle_info",
                "appid",
                "mchid",
                "notify_url",
                "order_ticket",
            ],
        ),
        (
            "wxpay_refund",
            refund("ORDER_PAID", "REFUND_2", 1, 100),
            vec![
                "out_trade_no",
                "out_refund_no",
                "transaction_id",
                "amount",
                "amount.currency",
                "reason",
                "mchid",
                "notify_url",
            ],
        ),
        (
            TRANSFER,
            transfer("T2", 500),
            vec![
                "out_bill_no",
                "openid",
                "transfer_scene_id",
                "transfer_remark",
                "transfer_scene_report_infos",
                "user_name",
                "appid",
                "notify_url",
                "user_recv_perception",
                "transfer_scene_report_infos[0].info_type",
            ],
        ),
    ] {
        for member in members {
            for value in wrong() {
                // These are empty and therefore allowed: nothing is said.
                let nothing_said = matches!(member, "scene_info" | "settle_info") && value == json!({})
                    || member == "detail.goods_detail" && value == json!([]);
                if nothing_said {
                    continue;
                }
                let body = with(body.clone(), member, value.clone());
                let came = t.act_as(&operator, action, body).await;
                assert!(refused(&came), "{action} {member} = {value}: {came:?}");
                assert_eq!(t.standing().await, before, "{action} {member} = {value}");
                tried.once();
            }
        }
    }
    let id = t.world.center().integration_id().to_owned();
    for (count, content) in claims(&t).into_iter().enumerate() {
        for value in wrong() {
            for member in [
                "ParsedContent",
                "Plaintext",
                "ParsedNotify",
                "rawData",
                "rawData.resource",
                "rawData.event_type",
                "ParsedContent.out_trade_no",
            ] {
                let body = json!({"ParsedContent": content, "ParsedNotify": {"event_type": "TRANSACTION.SUCCESS"}, "rawData": {"event_type": "TRANSACTION.SUCCESS"}});
                let body = with(body, member, value.clone());
                let path = DOORS[3 + count % 3];
                let came = t.post(path, &[("x-tcb-integration-id", &id)], body.to_string()).await;
                let true_anyway = content["out_trade_no"] == "ORDER_PAID" && acknowledged(&came);
                assert!(refused(&came) || true_anyway, "{member} = {value}: {came:?}");
                assert_eq!(t.standing().await, before, "{member} = {value}");
                tried.once();
            }
        }
    }
}

/// PostgreSQL keeps no NUL in a text, SQLite does.
async fn texts_that_a_database_cannot_hold(store: Store, tried: Tried) {
    let t = TestApp::start_with(
        store,
        Options::default(),
        &[("orderTicketSecret", "the-secret-of-the-backend-0123456789")],
    )
    .await;
    t.paid("ORDER_PAID", 100_000).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let operator = format!("Bearer {OPERATOR}");
    let texts = [
        "\u{0}",
        "a\u{0}b",
        "\u{0}\u{0}\u{0}\u{0}",
        "a\u{0}",
        "\u{1}",
        "\u{7f}",
        "\u{80}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{d7ff}\u{e000}",
    ];
    for (count, text) in texts.into_iter().enumerate() {
        let calls: [(&str, Value); 13] = [
            (
                "wxpay_order",
                with(order(&format!("ORDER_D{count}"), 100), "description", json!(text)),
            ),
            (
                "wxpay_order",
                with(order(&format!("ORDER_A{count}"), 100), "attach", json!(text)),
            ),
            (
                "wxpay_order",
                with(order(&format!("ORDER_G{count}"), 100), "goods_tag", json!(text)),
            ),
            (
                "wxpay_order",
                with(order(&format!("ORDER_P{count}"), 100), "payer.openid", json!(text)),
            ),
            (
                "wxpay_order",
                with(order(&format!("ORDER_N{count}"), 100), "out_trade_no", json!(text)),
            ),
            (
                "wxpay_order",
                with(order(&format!("ORDER_X{count}"), 100), text, json!(1)),
            ),
            (
                "wxpay_order",
                with(order(&format!("ORDER_T{count}"), 100), "order_ticket", json!(text)),
            ),
            (
                "wxpay_refund",
                with(
                    refund("ORDER_PAID", &format!("REFUND_{count}"), 1, 100_000),
                    "reason",
                    json!(text),
                ),
            ),
            ("wxpay_refund_query", json!({"out_refund_no": text})),
            (
                TRANSFER,
                with(transfer(&format!("TR{count}"), 500), "transfer_remark", json!(text)),
            ),
            (
                TRANSFER,
                with(transfer(&format!("TN{count}"), 500), "user_name", json!(text)),
            ),
            (
                TRANSFER,
                with(
                    transfer(&format!("TP{count}"), 500),
                    "user_recv_perception",
                    json!(text),
                ),
            ),
            (
                TRANSFER,
                with(
                    transfer(&format!("TO{count}"), 500),
                    "openid",
                    json!(format!("{OPENID}{text}")),
                ),
            ),
        ];
        for (action, body) in calls {
            let came = t.act_as(&operator, action, body.clone()).await;
            assert!(came.status < 500, "{action} {body}: {came:?}");
            // What was taken is asked for again with the same number, and is the same.
            let again = t.act_as(&operator, action, body.clone()).await;
            assert_eq!(came.failure(), again.failure(), "{action} {body}: {again:?}");
            tried.once();
        }
        // A login's name goes into the books too.
        let bearer = format!("Bearer {}", t.token(&format!("al{text}ice")));
        let came = t
            .act_as(&bearer, "wxpay_order", order(&format!("ORDER_S{count}"), 100))
            .await;
        assert!(came.status < 500, "{text:?}: {came:?}");
        tried.once();
    }
    paid_unheard(&t, "ORDER_AFTERWARDS", 20).await;
    let note = t.world.wechat().payment_notification("ORDER_AFTERWARDS").unwrap();
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
}
