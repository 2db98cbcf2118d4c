//! Several apps, one merchant: chosen by `useServiceAccount`, by `appid` or by the platform, and never one that is not configured.

use std::time::Duration;

use pay_common::sandbox::{DIRECT_ORDER_PATH, DIRECT_TRANSFER_PATH, Options};
use serde_json::{Value, json};

use crate::support::app::{OPENID, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::{Store, on_both_stores};
use crate::support::payouts::{BY_NUMBER, TRANSFER, transfer};

on_both_stores!(
    a_further_app_is_chosen_by_its_name_or_by_the_platform,
    a_further_app_is_paid_refunded_and_paid_out_like_any_other,
    what_comes_for_an_app_that_is_not_configured_is_an_anomaly,
);

/// Configured, and unknown to the simulated WeChat.
const SPARE: &str = "wx1111111111111111";
const STRANGER: &str = "wx0000000000000000";

/// The service account is one of the further apps here, not the one of `useServiceAccount`.
async fn with_apps(store: Store) -> TestApp {
    let further = pay_common::sandbox::Keys::shared().appid().to_owned();
    let apps = format!("{SPARE}, {further},");
    let settings = [
        ("service_app_id", ""),
        ("appIds", apps.as_str()),
        ("trustPlatformHeaders", "true"),
    ];
    TestApp::start_with(store, Options::default(), &settings).await
}

async fn a_further_app_is_chosen_by_its_name_or_by_the_platform(store: Store) {
    let t = with_apps(store).await;
    let keys = t.world.keys().clone();
    let (usual, further) = (keys.mini_program_appid(), keys.appid());
    for (count, (platform, named, chosen)) in [
        (None, None, Ok(usual)),
        (Some(usual), None, Ok(usual)),
        (Some(further), None, Ok(further)),
        (None, Some(further), Ok(further)),
        (Some(usual), Some(further), Ok(further)),
        (Some(further), Some(usual), Ok(usual)),
        (Some(STRANGER), None, Ok(usual)),
        (Some(STRANGER), Some(further), Ok(further)),
        (None, Some(STRANGER), Err("appid")),
        (Some(STRANGER), Some(STRANGER), Err("appid")),
        (None, Some(""), Err("appid")),
    ]
    .into_iter()
    .enumerate()
    {
        let about = format!("the platform says {platform:?}, the body {named:?}");
        let number = format!("ORDER_{count}");
        let mut body = order(&number, 100);
        if let Some(named) = named {
            body = with(body, "appid", json!(named));
        }
        let mut headers = vec![("x-wx-openid", OPENID)];
        headers.extend(platform.map(|app| ("x-wx-appid", app)));
        let came = t.post("/wx-pay/wxpay_order", &headers, body.to_string()).await;
        match chosen {
            Ok(chosen) => {
                assert_eq!(came.data()["appId"], chosen, "{about}");
                assert_eq!(t.world.wechat().order(&number).unwrap().appid, chosen, "{about}");
            }
            Err(member) => {
                assert_eq!(came.failure(), (400, "INVALID_PARAM"), "{about}");
                assert!(came.body["msg"].as_str().unwrap().starts_with(member), "{about}");
                assert!(t.world.wechat().order(&number).is_none(), "{about}");
            }
        }
    }
    // Any of the list; whether it is bound to the merchant is WeChat's to say.
    let came = t
        .act("wxpay_order", with(order("ORDER_SPARE", 100), "appid", json!(SPARE)))
        .await;
    assert_eq!(
        (came.failure(), &came.body["data"]["data"]["code"]),
        ((200, "UPSTREAM_REFUSED"), &json!("APPID_MCHID_NOT_MATCH"))
    );
    let service = with(order("ORDER_SERVICE", 100), "useServiceAccount", json!(true));
    let came = t.act("wxpay_order", service).await;
    assert_eq!(came.failure(), (400, "INVALID_PARAM"), "there is no service app");
}

async fn a_further_app_is_paid_refunded_and_paid_out_like_any_other(store: Store) {
    let t = with_apps(store).await;
    let further = t.world.keys().appid().to_owned();
    t.act("wxpay_order", with(order("ORDER_1", 100), "appid", json!(further)))
        .await
        .data();
    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 30, 100))
        .await
        .data();
    let query = json!({"out_trade_no": "ORDER_1"});
    let said = t.act("wxpay_query_order_by_out_trade_no", query).await;
    assert_eq!(said.data()["appid"], json!(further));

    t.operate(TRANSFER, with(transfer("T1", 500), "appid", json!(further)))
        .await
        .data();
    assert_eq!(t.world.wechat().transfer("T1").unwrap().appid, further);
    t.world.wechat().confirm_transfer("T1").unwrap();
    t.eventually_transfer("T1", "SUCCESS").await;
    let said = t.operate(BY_NUMBER, json!({"out_bill_no": "T1"})).await;
    assert_eq!(said.data()["appid"], json!(further));
    let refused = t
        .operate(TRANSFER, with(transfer("T2", 500), "appid", json!(STRANGER)))
        .await;
    assert_eq!(refused.failure(), (400, "INVALID_PARAM"));
    assert!(t.world.wechat().transfer("T2").is_none());
    assert!(t.anomalies().await.is_empty());
}

async fn what_comes_for_an_app_that_is_not_configured_is_an_anomaly(store: Store) {
    let t = with_apps(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_1", 100).await;
    t.world.wechat().pay("ORDER_1").unwrap();
    let of_app = |app: &str| {
        let change = |note: &mut pay_common::sandbox::Notice| note.resource["appid"] = json!(app);
        t.world.wechat().payment_notification_with("ORDER_1", change).unwrap()
    };
    // Neither an app that is nobody's here nor one that the order was not placed for.
    for app in [STRANGER, t.world.keys().appid()] {
        let reply = t.notify(DIRECT_ORDER_PATH, &of_app(app)).await;
        assert_eq!((reply.status, &reply.body["code"]), (200, &json!("SUCCESS")), "{app}");
        assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"), "{app}");
    }
    assert_eq!(t.anomalies().await, ["foreign_app"]);

    t.arrived_unheard("T1").await;
    let change = |note: &mut pay_common::sandbox::Notice| note.resource["appid"] = json!(STRANGER);
    let note = t.world.wechat().transfer_notification_with("T1", change).unwrap();
    let reply = t.notify(DIRECT_TRANSFER_PATH, &note).await;
    assert_eq!((reply.status, &reply.body["code"]), (200, &json!("SUCCESS")));
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("WAIT_USER_CONFIRM"));
    assert_eq!(t.anomalies().await, ["foreign_app", "foreign_app"]);
    t.advance(Duration::from_secs(61));
    t.service.sweep().await.unwrap();
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("SUCCESS"), "by asking");
    let bodies: Vec<Value> = t
        .world
        .wechat()
        .requests()
        .iter()
        .map(pay_common::sandbox::Seen::json)
        .collect();
    assert!(bodies.iter().all(|body| body["appid"] != STRANGER));
}
