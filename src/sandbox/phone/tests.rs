use serde_json::{Value, json};

use crate::sandbox::testing::{Scene, client};

/// A placed order, and what the merchant gives to the page.
async fn placed(scene: &Scene) -> (String, Value) {
    let buyer = scene.world.offiaccount().buyer();
    let mut order = scene.order("ORDER_1");
    order["appid"] = json!(scene.world.keys().appid());
    order["payer"] = json!({"openid": buyer});
    let placed = scene.shop.post("/v3/pay/transactions/jsapi", &order).await;
    assert_eq!(placed.status, 200, "{}", placed.body);
    let prepay: Value = serde_json::from_str(&placed.body).unwrap();
    let app = scene.world.keys().appid().to_owned();
    let package = format!("prepay_id={}", prepay["prepay_id"].as_str().unwrap());
    let lines = format!("{app}\n1800000000\nnonce\n{package}\n");
    let params = json!({
        "appId": app, "timeStamp": "1800000000", "nonceStr": "nonce", "package": package, "signType": "RSA",
        "paySign": scene.world.keys().sign_as_merchant(&lines),
    });
    (format!("{}/pay", scene.world.phone().url()), params)
}

async fn post(scene: &Scene, path: &str, body: &Value) -> Value {
    let url = format!("{}{path}", scene.world.phone().url());
    let answer = client().post(url).json(body).send().await.unwrap();
    answer.json().await.unwrap()
}

#[tokio::test]
async fn the_bridge_refuses_what_wechat_refuses() {
    let scene = Scene::start().await;
    let (url, params) = placed(&scene).await;
    let with = |name: &str, value: Value| {
        let mut params = params.clone();
        params[name] = value;
        params
    };
    for (url, params, why) in [
        ("https://elsewhere.example.com/pay", params.clone(), "URL未注册"),
        (&*url, with("appId", Value::Null), "缺少参数：appId"),
        (&*url, with("timeStamp", json!(1_800_000_000)), "缺少参数：timeStamp"),
        (&*url, with("package", json!("prepay_id=wx0")), "prepay_id"),
        (
            &*url,
            with("appId", json!(scene.world.keys().mini_program_appid())),
            "openid",
        ),
        (&*url, with("signType", json!("MD5")), "签名"),
        (&*url, with("nonceStr", json!("other")), "签名"),
        (&*url, with("paySign", json!("AAAA")), "签名"),
    ] {
        let said = post(&scene, "/phone/bridge", &json!({"url": url, "params": params})).await;
        assert_eq!(said["err_msg"], "get_brand_wcpay_request:fail", "{why}");
        assert!(said["err_desc"].as_str().unwrap().contains(why), "{said}");
    }
    scene.world.offiaccount().set_buyer("oSomebodyElse");
    let said = post(&scene, "/phone/bridge", &json!({"url": url, "params": params})).await;
    assert!(said["err_desc"].as_str().unwrap().contains("不一致"), "{said}");
}

#[tokio::test]
async fn the_buyer_decides_what_the_page_hears() {
    for (tap, end, state) in [
        ("pay", "ok", "SUCCESS"),
        ("cancel", "cancel", "NOTPAY"),
        ("fail", "fail", "NOTPAY"),
    ] {
        let scene = Scene::start().await;
        let (url, params) = placed(&scene).await;
        let invoked = json!({"url": url, "params": params});
        let tapping = async {
            while scene.world.phone().held(|held| held.sheet.is_none()) {
                tokio::task::yield_now().await;
            }
            post(&scene, "/phone/tap", &json!({"what": tap})).await
        };
        let (said, _) = tokio::join!(post(&scene, "/phone/bridge", &invoked), tapping);
        assert_eq!(said["err_msg"], format!("get_brand_wcpay_request:{end}"));
        assert_eq!(scene.world.wechat().order("ORDER_1").unwrap().state.as_str(), state);
        assert!(scene.world.phone().held(|held| held.sheet.is_none()));
    }
}
