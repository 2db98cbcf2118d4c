use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::sandbox::{Options, crypto, testing::Scene, testing::until};

const JSAPI: &str = "/v3/pay/transactions/jsapi";
const REFUNDS: &str = "/v3/refund/domestic/refunds";

#[tokio::test]
async fn a_dropped_connection_has_no_answer_but_the_deed_is_done() {
    let scene = Scene::start().await;
    let wechat = scene.world.wechat();
    wechat.fault(Endpoint::Prepay, Fault::ProcessThen(After::DropConnection));
    let lost = scene.shop.try_post(JSAPI, &scene.order("ORDER_1")).await.unwrap_err();
    assert!(
        lost.is_request() && !lost.is_timeout() && lost.status().is_none(),
        "{lost:?}"
    );
    assert!(wechat.order("ORDER_1").is_some());
    assert_eq!(wechat.requests()[0].status, Some(200));

    wechat.fault(Endpoint::Prepay, Fault::DropBefore);
    assert!(scene.shop.try_post(JSAPI, &scene.order("ORDER_2")).await.is_err());
    assert_eq!(wechat.order("ORDER_2"), None);
    assert_eq!(scene.shop.post(JSAPI, &scene.order("ORDER_2")).await.status, 200);
    assert_eq!(wechat.count(Endpoint::Prepay), 3);
}

#[tokio::test]
async fn not_one_byte_of_a_dropped_answer_is_sent() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let scene = Scene::start().await;
    scene
        .world
        .wechat()
        .fault(Endpoint::Prepay, Fault::ProcessThen(After::DropConnection));
    let body = scene.order("ORDER_1").to_string();
    let authorization = scene.shop.authorization("POST", JSAPI, &body);
    let request = format!(
        "POST {JSAPI} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nUser-Agent: shop/1\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(scene.world.wechat().inner.address)
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The end of the stream or a reset, and nothing before it.
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok() && answer.is_empty());
    assert!(scene.world.wechat().order("ORDER_1").is_some());
}

#[tokio::test]
async fn each_spoilt_answer_is_spoilt_in_its_own_way() {
    let scene = Scene::start().await;
    scene.shop.post(JSAPI, &scene.order("ORDER_1")).await;
    let ask = async |after| {
        scene
            .world
            .wechat()
            .fault(Endpoint::QueryOrder, Fault::ProcessThen(after));
        scene.shop.query("ORDER_1").await
    };
    let bad = ask(After::BadSignature).await;
    assert_eq!((bad.status, bad.is_signed(), bad.is_genuine()), (200, true, false));
    let none = ask(After::NoSignature).await;
    assert_eq!((none.status, none.is_signed()), (200, false));
    let serial = ask(After::WrongSerial).await;
    assert!(serial.is_signed() && !serial.is_genuine());
    let probe = ask(After::SignTest).await;
    assert!(probe.header("wechatpay-signature").starts_with("WECHATPAY/SIGNTEST/") && !probe.is_genuine());
    let garbage = ask(After::Garbage).await;
    assert_eq!((garbage.status, garbage.is_signed()), (502, false));
    assert!(garbage.body.starts_with("<html>"));
    assert_eq!(ask(After::Status(503)).await.status, 503);
    assert!(scene.shop.query("ORDER_1").await.is_genuine());
}

#[tokio::test]
async fn a_refusal_does_nothing_and_is_signed_if_it_should_be() {
    let scene = Scene::start().await;
    let wechat = scene.world.wechat();
    let rule = FaultRule::on(Endpoint::Any, Fault::refuse(500, "SYSTEM_ERROR"))
        .times(2)
        .about("ORDER_1");
    wechat.add_fault(rule);
    wechat.fault(Endpoint::Prepay, Fault::refuse_unsigned(403, "NO_AUTH"));
    assert_eq!(
        scene.shop.post(JSAPI, &scene.order("ORDER_1")).await.verdict(),
        (500, "SYSTEM_ERROR".to_owned(), true)
    );
    assert_eq!(scene.shop.query("ORDER_1").await.status, 500);
    assert_eq!(
        scene.shop.post(JSAPI, &scene.order("ORDER_2")).await.verdict(),
        (403, "NO_AUTH".to_owned(), false)
    );
    assert_eq!((wechat.order("ORDER_1"), wechat.order("ORDER_2")), (None, None));
    wechat.fault(Endpoint::Prepay, Fault::DropBefore);
    wechat.clear_faults();
    assert_eq!(scene.shop.post(JSAPI, &scene.order("ORDER_2")).await.status, 200);
}

#[tokio::test]
async fn a_held_answer_waits_while_the_deed_is_already_done() {
    let scene = Scene::start().await;
    let guard = scene.world.wechat().hold(Endpoint::Prepay);
    let order = scene.order("ORDER_1");
    let asked = scene.shop.post(JSAPI, &order);
    let looked = async {
        guard.reached().await;
        assert!(scene.world.wechat().order("ORDER_1").is_some());
        guard.release();
    };
    let (answer, ()) = tokio::join!(asked, looked);
    assert!(answer.is_genuine());
}

#[tokio::test]
async fn a_hanging_answer_comes_late_but_whole() {
    let scene = Scene::start().await;
    let late = Duration::from_millis(100);
    scene
        .world
        .wechat()
        .fault(Endpoint::Prepay, Fault::ProcessThen(After::Hang(late)));
    scene.world.wechat().fault(Endpoint::Prepay, Fault::HangBefore(late));
    for number in ["ORDER_1", "ORDER_2"] {
        let start = std::time::Instant::now();
        assert!(scene.shop.post(JSAPI, &scene.order(number)).await.is_genuine());
        assert!(start.elapsed() >= late);
    }
}

#[tokio::test]
async fn a_callback_is_repeated_with_a_fresh_signature_until_it_is_acknowledged() {
    let scene = Scene::start().await;
    scene.service.answer(&[500, 302, 404]);
    let mut order = scene.order("ORDER_1");
    order["notify_url"] = json!(format!("{}/wx-pay/unifiedOrderTrigger", scene.service.url()));
    scene.shop.post(JSAPI, &order).await;
    scene.world.wechat().pay("ORDER_1").unwrap();
    let heard = scene.service.hears(4).await;
    until(|| scene.world.wechat().deliveries().len() == 4).await;
    let statuses: Vec<_> = scene
        .world
        .wechat()
        .deliveries()
        .iter()
        .map(|d| (d.attempt, d.status.unwrap()))
        .collect();
    assert_eq!(statuses, [(1, 500), (2, 302), (3, 404), (4, 200)]);
    assert!(heard.windows(2).all(|two| two[0].body == two[1].body));
    assert!(
        heard
            .windows(2)
            .all(|two| two[0].headers["wechatpay-nonce"] != two[1].headers["wechatpay-nonce"])
    );
    for one in &heard {
        let part = |name: &str| one.headers[name].to_str().unwrap();
        let message = format!(
            "{}\n{}\n{}\n",
            part("wechatpay-timestamp"),
            part("wechatpay-nonce"),
            one.body
        );
        assert!(scene.world.keys().verify_wechat(&message, part("wechatpay-signature")));
        assert_eq!(part("user-agent"), "Mozilla/4.0");
    }
    let resource = &heard[0].json()["resource"];
    let part = |name: &str| resource[name].as_str().unwrap();
    let key = scene.world.keys().api_v3_key();
    let opened = crypto::open(key, part("nonce"), part("associated_data"), part("ciphertext")).unwrap();
    let content: Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(content, scene.shop.query("ORDER_1").await.json());
}

#[tokio::test]
async fn the_network_loses_duplicates_and_probes_as_often_as_it_was_told() {
    let scene = Scene::start().await;
    let wechat = scene.world.wechat();
    wechat.lose_callbacks(2);
    wechat.probe_callbacks(1);
    scene.shop.post(JSAPI, &scene.order("ORDER_1")).await;
    wechat.pay("ORDER_1").unwrap();
    // Lost twice, refused by the center because of the probe, then taken.
    until(|| wechat.deliveries().len() == 4).await;
    let statuses: Vec<_> = wechat.deliveries().iter().map(|delivery| delivery.status).collect();
    assert_eq!(statuses, [None, None, Some(401), Some(200)]);
    assert_eq!(scene.service.heard().len(), 1);

    wechat.duplicate_callback(4);
    scene.shop.post(JSAPI, &scene.order("ORDER_2")).await;
    wechat.pay("ORDER_2").unwrap();
    scene.service.hears(6).await;
    until(|| wechat.deliveries().len() == 9).await;
}

#[tokio::test]
async fn a_refund_ends_by_itself_and_is_announced() {
    let scene = Scene::start().await;
    scene.paid("ORDER_1").await;
    let accepted = scene.shop.post(REFUNDS, &scene.refund("ORDER_1", "R1", 40)).await;
    assert_eq!(accepted.json()["status"], "PROCESSING");
    let heard = scene.service.hears(1).await;
    assert_eq!(heard[0].path, "/wechatpay/refund");
    assert_eq!(heard[0].json()["ParsedContent"]["refund_status"], "SUCCESS");
    assert_eq!(
        scene.shop.get(&format!("{REFUNDS}/R1")).await.json()["status"],
        "SUCCESS"
    );
    assert_eq!(scene.shop.query("ORDER_1").await.json()["trade_state"], "REFUND");
}

#[tokio::test]
async fn a_test_can_end_refunds_itself() {
    let scene = Scene::with(Options {
        refund_after: None,
        ..Options::default()
    })
    .await;
    let wechat = scene.world.wechat();
    scene.paid("ORDER_1").await;
    let bodies = ["R1", "R2"].map(|number| scene.refund("ORDER_1", number, 10));
    join_all(bodies.iter().map(|body| scene.shop.post(REFUNDS, body))).await;
    assert!(wechat.refund_notification("R1").is_err());
    wechat.finish_refund("R1", RefundEnd::Closed).unwrap();
    wechat.finish_refund("R2", RefundEnd::Abnormal).unwrap();
    let heard = scene.service.hears(2).await;
    let mut kinds: Vec<_> = heard
        .iter()
        .map(|one| one.json()["ParsedNotify"]["event_type"].clone())
        .collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["REFUND.ABNORMAL", "REFUND.CLOSED"]);
    assert_eq!(
        wechat.finish_refund("R1", RefundEnd::Success),
        Err(Impossible::WrongRefundState)
    );
}

#[tokio::test]
async fn a_notification_can_be_genuine_and_yet_not_fit() {
    let scene = Scene::start().await;
    scene.paid("ORDER_1").await;
    let wechat = scene.world.wechat();
    let odd = wechat
        .payment_notification_with("ORDER_1", |notice| notice.resource["amount"]["total"] = json!(1))
        .unwrap();
    let forward = scene.world.center().forward_of(&odd).unwrap();
    assert_eq!(forward.body["ParsedContent"]["amount"]["total"], 1);
    let sealed = wechat
        .payment_notification_with("ORDER_1", |notice| {
            notice.other_api_v3_key = Some(crypto::random_text(32));
        })
        .unwrap();
    assert!(scene.world.center().forward_of(&sealed).is_err());
    let again = wechat.sign_again(&odd);
    assert_eq!(again.body, odd.body);
    assert_ne!(again.header("wechatpay-signature"), odd.header("Wechatpay-Signature"));
}

#[tokio::test]
async fn a_callback_to_another_host_is_written_down_and_never_sent() {
    let scene = Scene::start().await;
    let mut order = scene.order("ORDER_1");
    order["notify_url"] = json!("https://pay.example.com/wechatpay/order");
    assert_eq!(scene.shop.post(JSAPI, &order).await.status, 200);
    scene.world.wechat().pay("ORDER_1").unwrap();
    until(|| !scene.world.wechat().deliveries().is_empty()).await;
    assert!(
        scene.world.wechat().deliveries()[0]
            .error
            .as_ref()
            .unwrap()
            .contains("loopback")
    );
}
