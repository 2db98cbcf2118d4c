use serde_json::json;

use crate::sandbox::testing::{Answer, Scene};

const JSAPI: &str = "/v3/pay/transactions/jsapi";

#[tokio::test]
async fn every_answer_after_authentication_is_signed() {
    let scene = Scene::start().await;
    let placed = scene.shop.post(JSAPI, &scene.order("ORDER_1")).await;
    assert_eq!(placed.verdict(), (200, String::new(), true));
    assert!(placed.header("request-id").starts_with("08") && placed.header("request-id").ends_with("-0"));
    assert_eq!(placed.header("wechatpay-signature-type"), "WECHATPAY2-SHA256-RSA2048");
    assert!(!placed.header("date").is_empty());

    let closed = scene.shop.close("ORDER_1").await;
    assert_eq!(
        (closed.status, closed.body.as_str(), closed.is_genuine()),
        (204, "", true)
    );

    let unknown = scene.shop.query("ORDER_2").await;
    assert_eq!(unknown.verdict(), (404, "ORDER_NOT_EXIST".to_owned(), true));
    assert!(unknown.header("request-id").ends_with("-268512771"));
}

#[tokio::test]
async fn a_request_without_manners_is_refused_before_anybody_looks_who_it_is() {
    let scene = Scene::start().await;
    let target = "/v3/refund/domestic/refunds/R1";
    let bare = crate::sandbox::testing::client().get(format!("{}{target}", scene.world.wechat().url()));
    let refused = scene.shop.send(bare).await.unwrap();
    assert_eq!(refused.verdict(), (400, "INVALID_REQUEST".to_owned(), false));
    assert!(!refused.is_signed());
}

#[tokio::test]
async fn an_unknown_path_has_an_empty_unsigned_answer() {
    let scene = Scene::start().await;
    for (method, target, status) in [
        ("GET", "/v3/unknown", 404),
        ("GET", JSAPI, 405),
        ("POST", "/v3/refund/domestic/refunds/R1", 405),
    ] {
        let answer = scene.shop.send(scene.shop.request(method, target, "")).await.unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str(), answer.is_signed()),
            (status, "", false)
        );
    }
}

#[tokio::test]
async fn a_wrong_signature_is_401_unsigned_and_says_what_was_expected() {
    let scene = Scene::start().await;
    let request = scene.shop.request("POST", JSAPI, "{}").body("{ }");
    let refused = scene.shop.send(request).await.unwrap();
    assert_eq!(refused.verdict(), (401, "SIGN_ERROR".to_owned(), false));
    assert!(!refused.is_signed());
    let told = &refused.json()["detail"]["sign_information"];
    assert_eq!((&told["method"], &told["url"]), (&json!("POST"), &json!(JSAPI)));
    assert!(told["truncated_sign_message"].as_str().unwrap().ends_with("\n{ }\n"));
}

#[tokio::test]
async fn the_address_is_taken_as_it_was_sent() {
    let scene = Scene::start().await;
    scene.shop.post(JSAPI, &scene.order("ORD|1*2")).await;
    assert_eq!(scene.shop.query("ORD%7C1*2").await.json()["out_trade_no"], "ORD|1*2");
    assert_eq!(scene.shop.query("ORD%7C1%2A2").await.json()["out_trade_no"], "ORD|1*2");
    let raw = scene.shop.query("ORD|1*2").await;
    assert_eq!(raw.verdict(), (400, "PARAM_ERROR".to_owned(), false));
}

#[tokio::test]
async fn a_body_is_json_and_says_so() {
    let scene = Scene::start().await;
    let body = scene.order("ORDER_1").to_string();
    let target = format!("{}{JSAPI}", scene.world.wechat().url());
    let request = crate::sandbox::testing::client()
        .post(target)
        .header("Accept", "*/*")
        .header("User-Agent", "shop/1")
        .header("Authorization", scene.shop.authorization("POST", JSAPI, &body))
        .header("Content-Type", "text/plain")
        .body(body);
    assert_eq!(scene.shop.send(request).await.unwrap().status, 415);
    assert_eq!(scene.world.wechat().order("ORDER_1"), None);
}

#[tokio::test]
async fn the_key_that_the_merchant_names_must_be_the_right_one() {
    let scene = Scene::start().await;
    let mut request = scene
        .shop
        .request("GET", "/v3/refund/domestic/refunds/R1", "")
        .build()
        .unwrap();
    request
        .headers_mut()
        .insert("Wechatpay-Serial", "PUB_KEY_ID_0".parse().unwrap());
    let answer = crate::sandbox::testing::client().execute(request).await.unwrap();
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn a_query_names_its_merchant_once_and_nothing_else() {
    let scene = Scene::start().await;
    scene.shop.post(JSAPI, &scene.order("ORDER_1")).await;
    let mchid = scene.world.keys().mchid().to_owned();
    let path = "/v3/pay/transactions/out-trade-no/ORDER_1";
    for query in [
        String::new(),
        "?mchid=1".to_owned(),
        format!("?mchid={mchid}&mchid={mchid}"),
        format!("?mchid={mchid}&x=1"),
    ] {
        assert_eq!(
            scene.shop.get(&format!("{path}{query}")).await.verdict(),
            (400, "PARAM_ERROR".to_owned(), true)
        );
    }
    assert_eq!(scene.shop.get(&format!("{path}?mchid={mchid}")).await.status, 200);
}

#[tokio::test]
async fn of_twenty_refunds_at_once_only_as_many_are_accepted_as_the_order_holds() {
    let scene = Scene::start().await;
    scene.paid("ORDER_1").await;
    let bodies: Vec<_> = (0..20).map(|n| scene.refund("ORDER_1", &format!("R{n}"), 30)).collect();
    let asked = bodies
        .iter()
        .map(|body| scene.shop.post("/v3/refund/domestic/refunds", body));
    let answers = futures_util::future::join_all(asked).await;
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(accepted, 3);
    assert!(answers.iter().all(Answer::is_genuine));
}

#[tokio::test]
async fn a_close_and_a_payment_at_once_leave_one_of_the_two() {
    let scene = Scene::start().await;
    for n in 0..10 {
        let number = format!("ORDER_{n}");
        scene.shop.post(JSAPI, &scene.order(&number)).await;
        let wechat = scene.world.wechat().clone();
        let buyer = async { wechat.pay(&number).is_ok() };
        let (paid, closed) = tokio::join!(buyer, scene.shop.close(&number));
        let state = scene.world.wechat().order(&number).unwrap().state;
        match (paid, closed.status) {
            (true, 400) => assert_eq!(state.as_str(), "SUCCESS"),
            (false, 204) => assert_eq!(state.as_str(), "CLOSED"),
            other => panic!("{other:?}"),
        }
    }
}
