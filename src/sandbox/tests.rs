use super::testing::{Scene, client};
use super::*;

fn setting(world: &World, name: &str) -> String {
    let found = world.settings().into_iter().find(|(known, _)| *known == name);
    found.unwrap().1
}

#[tokio::test]
async fn the_settings_are_all_that_the_service_needs() {
    let world = World::start(Options::default()).await.unwrap();
    assert_eq!(setting(&world, "wechatPayBaseUrl"), world.wechat().url());
    assert_eq!(
        setting(&world, "notifyURLPayURL"),
        format!("{}/wechatpay/order", world.center().url())
    );
    assert_eq!(
        setting(&world, "notifyURLRefundsURL"),
        format!("{}/wechatpay/refund", world.center().url())
    );
    assert_eq!(
        setting(&world, "transferNotifyUrl"),
        format!("{}/wechatpay/transfer", world.center().url())
    );
    assert_eq!(setting(&world, "apiV3Key").len(), 32);
    assert_eq!(setting(&world, "integrationId"), "wxpay-sandbox");
    assert_ne!(setting(&world, "appId"), setting(&world, "service_app_id"));
}

#[tokio::test]
async fn the_settings_name_what_this_merchant_verifies_with() {
    for (key_mode, public_key, root) in [
        (KeyMode::PublicKey, true, false),
        (KeyMode::Certificates, false, true),
        (KeyMode::Both, true, true),
    ] {
        let world = World::start(Options {
            key_mode,
            ..Options::default()
        })
        .await
        .unwrap();
        let settings = world.settings();
        let has = |name: &str| settings.iter().any(|(known, _)| *known == name);
        let found = (
            has("wxPayPublicKey"),
            has("wxPayPublicKeyId"),
            has("wxPayRootCertificate"),
        );
        assert_eq!(found, (public_key, public_key, root), "{key_mode:?}");
    }
}

#[tokio::test]
async fn direct_callbacks_go_to_the_service_as_soon_as_it_is_known() {
    let world = World::start(Options {
        direct_callbacks: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let relay = format!("{}/wx-pay/unifiedOrderTrigger", world.center().url());
    assert_eq!(setting(&world, "notifyURLPayURL"), relay);
    world.set_service(([127, 0, 0, 1], 3999).into()).unwrap();
    assert_eq!(
        setting(&world, "notifyURLRefundsURL"),
        "http://127.0.0.1:3999/wx-pay/refundTrigger"
    );
}

#[tokio::test]
async fn a_service_on_another_host_is_refused() {
    let world = World::start(Options::default()).await.unwrap();
    let elsewhere = ([192, 0, 2, 1], 3000).into();
    assert_eq!(world.set_service(elsewhere), Err(NotLoopback(elsewhere)));
}

#[tokio::test]
async fn a_taken_port_is_said_to_be_taken() {
    let first = World::start(Options::default()).await.unwrap();
    let port = first.control_url().rsplit(':').next().unwrap().parse().unwrap();
    let ports = Ports {
        wechat: port,
        ..Ports::default()
    };
    let second = World::start(Options {
        ports,
        ..Options::default()
    })
    .await;
    assert!(matches!(second, Err(StartError::Listen { port: taken, .. }) if taken == port));
}

#[tokio::test]
async fn a_world_that_is_dropped_answers_nobody_and_lets_nobody_wait() {
    let scene = Scene::start().await;
    let guard = scene.world.wechat().hold(Endpoint::Prepay);
    let (shop, order, url) = (scene.shop.clone(), scene.order("ORDER_1"), scene.world.wechat().url());
    let waiting = async { shop.try_post("/v3/pay/transactions/jsapi", &order).await };
    let world = scene.world;
    let ending = async {
        guard.reached().await;
        drop(world);
    };
    let (answer, ()) = tokio::join!(waiting, ending);
    assert!(answer.is_err());
    for _ in 0..100 {
        if client().get(&url).send().await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it still listens");
}
