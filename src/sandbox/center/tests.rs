use super::*;
use crate::sandbox::testing::{Heard, Scene, client, until};

const JSAPI: &str = "/v3/pay/transactions/jsapi";

async fn pay(scene: &Scene, number: &str) -> Heard {
    let before = scene.service.heard().len();
    scene.shop.post(JSAPI, &scene.order(number)).await;
    scene.world.wechat().pay(number).unwrap();
    scene.service.hears(before + 1).await.remove(before)
}

#[tokio::test]
async fn a_callback_is_forwarded_in_the_clear_with_its_original() {
    let scene = Scene::start().await;
    let heard = pay(&scene, "ORDER_1").await;
    let body = heard.json();
    assert_eq!(heard.path, "/wechatpay/order");
    assert_eq!(heard.headers["x-tcb-integration-id"], "wxpay-sandbox");
    assert!(heard.headers.get("wechatpay-signature").is_none());
    assert_eq!(body["ParsedContent"]["out_trade_no"], "ORDER_1");
    assert_eq!(body["Plaintext"].as_str().unwrap(), body["ParsedContent"].to_string());
    assert_eq!(body["ParsedNotify"]["event_type"], "TRANSACTION.SUCCESS");
    assert_eq!(body["ParsedNotify"].get("resource"), None);
    assert_eq!(body["rawData"]["resource"]["algorithm"], "AEAD_AES_256_GCM");
}

#[tokio::test]
async fn a_forward_has_the_shape_that_was_asked_for() {
    let scene = Scene::start().await;
    scene.world.center().set_shape(ForwardShape {
        parsed_content: Content::Text,
        parsed_notify: false,
        plaintext: false,
        raw_data: RawData::WithoutResource,
        to_root: true,
    });
    let heard = pay(&scene, "ORDER_1").await;
    let body = heard.json();
    assert_eq!(heard.path, "/");
    assert!(body["ParsedContent"].as_str().unwrap().contains("ORDER_1"));
    assert_eq!(body["rawData"]["event_type"], "TRANSACTION.SUCCESS");
    let absent = [
        body.get("ParsedNotify"),
        body.get("Plaintext"),
        body["rawData"].get("resource"),
    ];
    assert_eq!(absent, [None, None, None]);
}

#[tokio::test]
async fn wechat_hears_what_the_service_said() {
    let scene = Scene::start().await;
    scene.service.answer(&[503, 400]);
    pay(&scene, "ORDER_1").await;
    until(|| scene.world.wechat().deliveries().len() == 3).await;
    let statuses: Vec<_> = scene
        .world
        .wechat()
        .deliveries()
        .iter()
        .map(|delivery| delivery.status)
        .collect();
    assert_eq!(statuses, [Some(503), Some(400), Some(200)]);
}

#[tokio::test]
async fn what_is_not_from_wechat_is_not_forwarded() {
    let scene = Scene::start().await;
    scene.paid("ORDER_1").await;
    let genuine = scene.world.wechat().payment_notification("ORDER_1").unwrap();
    let center = scene.world.center();
    assert!(center.forward_of(&genuine).is_ok());
    let tampered = SignedNotification {
        body: genuine.body.replace("SUCCESS", "success"),
        ..genuine.clone()
    };
    for false_one in [
        tampered,
        genuine.clone().with_header("Wechatpay-Serial", "PUB_KEY_ID_1"),
        genuine.clone().with_header("Wechatpay-Nonce", ""),
        genuine.clone().with_header("Wechatpay-Timestamp", "1554208460"),
        genuine
            .clone()
            .with_header("Wechatpay-Signature", "WECHATPAY/SIGNTEST/x"),
    ] {
        assert!(matches!(
            center.forward_of(&false_one),
            Err(NotForwarded::NotGenuine(_))
        ));
        let mut request = client()
            .post(format!("{}{ORDER_PATH}", center.url()))
            .body(false_one.body.clone());
        for (name, value) in &false_one.headers {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    scene.world.clock().advance(Duration::from_mins(6));
    assert!(center.forward_of(&genuine).is_err());
    assert!(scene.service.heard().is_empty());
}

#[tokio::test]
async fn a_forged_forward_looks_like_one_but_has_nothing_that_opens() {
    let scene = Scene::start().await;
    scene.shop.post(JSAPI, &scene.order("ORDER_1")).await;
    let order = scene.world.wechat().order("ORDER_1").unwrap();
    let forged = scene.world.center().forge(&order);
    assert_eq!(forged.body["ParsedContent"]["trade_state"], "SUCCESS");
    assert_eq!(forged.body["rawData"].get("resource"), None);
    assert_eq!(scene.world.center().send(&forged).await.unwrap().status, 200);
    assert_eq!(
        scene.service.heard()[0].headers["x-tcb-integration-id"],
        "wxpay-sandbox"
    );
    assert_eq!(scene.world.wechat().order("ORDER_1").unwrap().state.as_str(), "NOTPAY");
}

#[tokio::test]
async fn the_relay_changes_no_byte_of_a_direct_callback() {
    let scene = Scene::start().await;
    let mut order = scene.order("ORDER_1");
    order["notify_url"] = json!(format!("{}{DIRECT_ORDER_PATH}", scene.world.center().url()));
    scene.shop.post(JSAPI, &order).await;
    scene.world.wechat().pay("ORDER_1").unwrap();
    let heard = scene.service.hears(1).await.remove(0);
    assert_eq!(heard.path, DIRECT_ORDER_PATH);
    let part = |name: &str| heard.headers[name].to_str().unwrap();
    let message = format!(
        "{}\n{}\n{}\n",
        part("wechatpay-timestamp"),
        part("wechatpay-nonce"),
        heard.body
    );
    assert!(scene.world.keys().verify_wechat(&message, part("wechatpay-signature")));
}
