use serde_json::{Value, json};

use super::*;
use crate::sandbox::testing::{Scene, client};

async fn call(scene: &Scene, authorization: &str) -> (u16, Value) {
    let request = client()
        .post(scene.world.gateway().function_url())
        .header("Authorization", authorization)
        .header("x-wx-openid", "oForged")
        .header("x-tcb-integration-id", "forged")
        .header("x-cloudbase-context", "forged")
        .header("Accept-Language", "en")
        .json(&json!({"_action": "wxpay_order"}));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_login_is_passed_on_with_its_token_and_without_forged_headers() {
    let scene = Scene::start().await;
    let token = scene
        .world
        .gateway()
        .mint_token("user-1", &TokenOptions::wechat("oReal"));
    assert_eq!(
        call(&scene, &format!("Bearer {token}")).await,
        (200, json!({"code": 0}))
    );
    let heard = scene.service.heard().remove(0);
    assert_eq!(
        (heard.path.as_str(), heard.json()),
        ("/", json!({"_action": "wxpay_order"}))
    );
    assert_eq!(heard.headers["authorization"], format!("Bearer {token}"));
    assert_eq!(heard.headers["content-type"], "application/json");
    assert_eq!(heard.headers["accept-language"], "en");
    assert!(heard.headers.get("x-wx-openid").is_none() && heard.headers.get("x-tcb-integration-id").is_none());
    assert_ne!(heard.headers["x-cloudbase-context"], "forged");
    assert!(heard.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn whoever_is_not_logged_in_is_refused() {
    let scene = Scene::start().await;
    let gateway = scene.world.gateway();
    let good = gateway.mint_token("user-1", &TokenOptions::default());
    let anonymous = gateway.mint_token("user-1", &TokenOptions::anonymous());
    let expired = gateway.mint_token(
        "user-1",
        &TokenOptions {
            expires_in: -1,
            ..TokenOptions::default()
        },
    );
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, other_signature) = anonymous.rsplit_once('.').unwrap();
    for authorization in [
        String::new(),
        "Bearer ".to_owned(),
        "Bearer op_1234".to_owned(),
        good.clone(),
        format!("Bearer {anonymous}"),
        format!("Bearer {expired}"),
        format!("Bearer {signed}.{other_signature}"),
        format!("Bearer {signed}."),
    ] {
        let (status, body) = call(&scene, &authorization).await;
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("INVALID_CREDENTIALS")),
            "{authorization}"
        );
    }
    assert!(scene.service.heard().is_empty());
}

#[tokio::test]
async fn a_token_runs_out_with_the_clock() {
    let scene = Scene::start().await;
    let token = scene.world.gateway().mint_token("user-1", &TokenOptions::default());
    scene.world.clock().advance(Duration::from_hours(2));
    assert_eq!(call(&scene, &format!("Bearer {token}")).await.0, 401);
}

#[tokio::test]
async fn the_published_key_verifies_a_token() {
    let scene = Scene::start().await;
    let token = scene
        .world
        .gateway()
        .mint_token("user-1", &TokenOptions::wechat("oReal"));
    let set: jsonwebtoken::jwk::JwkSet = client()
        .get(scene.world.gateway().jwks_url())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let head = jsonwebtoken::decode_header(&token).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&head.kid.unwrap()).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.set_audience(&[scene.world.gateway().env_id()]);
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &rules).unwrap().claims;
    assert_eq!(
        (&claims["sub"], &claims["provider_sub"]),
        (&json!("user-1"), &json!("oReal"))
    );
    assert_eq!(
        (&claims["meta"]["wxOpenId"], &claims["project_id"]),
        (&json!("oReal"), &json!("sandbox-env"))
    );
}

#[tokio::test]
async fn a_rotated_key_signs_and_the_former_one_stays_good_until_it_is_retired() {
    let scene = Scene::start().await;
    let gateway = scene.world.gateway();
    let mint = || format!("Bearer {}", gateway.mint_token("user-1", &TokenOptions::default()));
    let kid = |bearer: &str| {
        let token = bearer.trim_start_matches("Bearer ");
        jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
    };
    let published = async || {
        let answer = client().get(gateway.jwks_url()).send().await.unwrap();
        let set: jsonwebtoken::jwk::JwkSet = answer.json().await.unwrap();
        let kids = set.keys.iter().map(|key| key.common.key_id.clone().unwrap());
        kids.collect::<Vec<_>>()
    };
    let old = mint();
    assert_eq!(
        (published().await, gateway.retire_old_gateway_key()),
        (vec![kid(&old)], 0)
    );

    let new_kid = gateway.rotate_gateway_key();
    let new = mint();
    assert_eq!(
        (kid(&new), published().await),
        (new_kid.clone(), vec![kid(&old), new_kid.clone()])
    );
    assert_eq!((call(&scene, &old).await.0, call(&scene, &new).await.0), (200, 200));

    assert_eq!(gateway.retire_old_gateway_key(), 1);
    assert_eq!(published().await, [new_kid]);
    assert_eq!((call(&scene, &old).await.0, call(&scene, &new).await.0), (401, 200));
    assert_eq!(gateway.jwks_fetches(), 3);
}

#[tokio::test]
async fn a_function_that_is_not_there_is_said_to_be_so() {
    let scene = Scene::start().await;
    let token = scene.world.gateway().mint_token("user-1", &TokenOptions::default());
    let url = format!("{}/v1/functions/other?webfn=true", scene.world.gateway().url());
    let answer = client()
        .post(url)
        .header("Authorization", format!("Bearer {token}"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    scene.service.stop();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (status, body) = call(&scene, &format!("Bearer {token}")).await;
    assert_eq!((status, &body["code"]), (502, &json!("FUNCTION_INVOCATION_FAILED")));
}
