use serde_json::{Value, json};

use crate::sandbox::testing::{Scene, client, until};

async fn post(scene: &Scene, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", scene.world.control_url());
    let answer = client().post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get(scene: &Scene, path: &str) -> String {
    client()
        .get(format!("{}{path}", scene.world.control_url()))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_person_can_pay_and_read_what_happened() {
    let scene = Scene::start().await;
    assert!(get(&scene, "/").await.contains("/journal"));
    assert_eq!(post(&scene, "/pay", json!({"out_trade_no": "ORDER_1"})).await.0, 404);
    scene
        .shop
        .post("/v3/pay/transactions/jsapi", &scene.order("ORDER_1"))
        .await;
    assert_eq!(post(&scene, "/cancel", json!({"out_trade_no": "ORDER_1"})).await.0, 200);
    let (status, paid) = post(&scene, "/pay", json!({"out_trade_no": "ORDER_1", "payer_total": 90})).await;
    assert_eq!((status, paid["transaction_id"].as_str().unwrap().len()), (200, 28));
    assert_eq!(post(&scene, "/pay", json!({"out_trade_no": "ORDER_1"})).await.0, 409);
    until(|| scene.world.wechat().deliveries().len() == 1).await;

    let journal: Value = serde_json::from_str(&get(&scene, "/journal").await).unwrap();
    let talk: Vec<_> = journal["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {}", e["from"], e["to"]))
        .collect();
    let expected = [
        r#""service" "wechat""#,
        r#""buyer" "wechat""#,
        r#""buyer" "wechat""#,
        r#""wechat" "center""#,
        r#""center" "service""#,
    ];
    assert_eq!(talk, expected);
}

#[tokio::test]
async fn a_person_can_disturb_the_network() {
    let scene = Scene::start().await;
    assert_eq!(
        post(&scene, "/network", json!({"action": "lose", "times": 1})).await.0,
        200
    );
    scene
        .shop
        .post("/v3/pay/transactions/jsapi", &scene.order("ORDER_1"))
        .await;
    let (status, forged) = post(
        &scene,
        "/network",
        json!({"action": "forge", "out_trade_no": "ORDER_1"}),
    )
    .await;
    assert_eq!((status, forged["answered"].as_u64()), (200, Some(200)));
    scene.world.wechat().pay("ORDER_1").unwrap();
    until(|| scene.world.wechat().deliveries().len() == 2).await;
    assert_eq!(scene.world.wechat().deliveries()[0].status, None);
    assert_eq!(post(&scene, "/network", json!({"action": "explode"})).await.0, 422);
}

#[tokio::test]
async fn a_person_can_confirm_a_transfer_or_let_it_fail() {
    let scene = Scene::start().await;
    for number in ["T1", "T2"] {
        scene
            .shop
            .post("/v3/fund-app/mch-transfer/transfer-bills", &scene.transfer(number, 500))
            .await;
    }
    let (status, done) = post(&scene, "/transfer/confirm", json!({"out_bill_no": "T1"})).await;
    assert_eq!((status, &done["state"]), (200, &json!("SUCCESS")));
    assert_eq!(
        post(&scene, "/transfer/confirm", json!({"out_bill_no": "T1"})).await.0,
        409
    );
    assert_eq!(
        post(&scene, "/transfer/confirm", json!({"out_bill_no": "T3"})).await.0,
        404
    );
    let fail = json!({"out_bill_no": "T2", "status": "FAIL", "reason": "NAME_NOT_CORRECT"});
    let (status, done) = post(&scene, "/transfer/finish", fail).await;
    assert_eq!((status, &done["state"]), (200, &json!("FAIL")));
    let reason = scene.world.wechat().transfer("T2").unwrap().fail_reason;
    assert_eq!(reason.as_deref(), Some("NAME_NOT_CORRECT"));
    let take_back = json!({"out_bill_no": "T2", "status": "CANCELLED"});
    assert_eq!(post(&scene, "/transfer/finish", take_back).await.0, 409);
}

#[tokio::test]
async fn a_person_can_end_a_refund_and_get_a_token() {
    let scene = Scene::with(crate::sandbox::Options {
        refund_after: None,
        ..Default::default()
    })
    .await;
    scene.paid("ORDER_1").await;
    scene
        .shop
        .post("/v3/refund/domestic/refunds", &scene.refund("ORDER_1", "R1", 1))
        .await;
    let (status, ended) = post(
        &scene,
        "/refund/finish",
        json!({"out_refund_no": "R1", "status": "ABNORMAL"}),
    )
    .await;
    assert_eq!((status, &ended["status"]), (200, &json!("ABNORMAL")));
    let token: Value = serde_json::from_str(&get(&scene, "/token?sub=alice&openid=oReal").await).unwrap();
    assert_eq!(token["access_token"].as_str().unwrap().split('.').count(), 3);
}
