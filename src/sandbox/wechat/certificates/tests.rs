use std::time::Duration;

use serde_json::json;
use x509_cert::{Certificate, der::DecodePem};

use super::*;
use crate::sandbox::testing::{Answer, Scene, client};
use crate::sandbox::{After, Endpoint, Fault, Options, crypto};

const LIST: &str = "/v3/certificates";
const TRANSFERS: &str = "/v3/fund-app/mch-transfer/transfer-bills";

async fn scene(key_mode: KeyMode) -> Scene {
    Scene::with(Options {
        key_mode,
        ..Options::default()
    })
    .await
}

/// The serial numbers of a list, each that of the certificate that it seals.
fn opened(scene: &Scene, answer: &Answer) -> Vec<String> {
    assert!(answer.is_genuine(), "{}", answer.body);
    let list = answer.json();
    let open = |entry: &Value| {
        let sealed = &entry["encrypt_certificate"];
        let part = |name: &str| sealed[name].as_str().unwrap();
        assert_eq!(
            (part("algorithm"), part("associated_data")),
            ("AEAD_AES_256_GCM", "certificate")
        );
        let key = scene.world.keys().api_v3_key();
        let pem = crypto::open(key, part("nonce"), "certificate", part("ciphertext")).unwrap();
        let certificate = Certificate::from_pem(pem).unwrap();
        let serial = certificate
            .tbs_certificate()
            .serial_number()
            .to_string()
            .replace(':', "");
        assert_eq!(entry["serial_no"].as_str().unwrap(), serial);
        serial
    };
    list["data"].as_array().unwrap().iter().map(open).collect()
}

fn serial_of(answer: &Answer) -> String {
    assert!(answer.is_genuine(), "{}", answer.body);
    answer.header("wechatpay-serial").to_owned()
}

#[tokio::test]
async fn a_merchant_with_a_public_key_has_no_certificates() {
    let scene = scene(KeyMode::PublicKey).await;
    let refused = scene.shop.get(LIST).await;
    assert_eq!(refused.verdict(), (404, "RESOURCE_NOT_EXISTS".to_owned(), true));
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .starts_with("无可用的平台证书")
    );
    assert_eq!(
        scene.world.wechat().rotate_certificate(),
        Err(NoRotation::NoCertificates)
    );
}

#[tokio::test]
async fn certificates_are_listed_sealed_and_sign_everything() {
    let scene = scene(KeyMode::Certificates).await;
    let answer = scene.shop.get(LIST).await;
    let entry = answer.json()["data"][0].clone();
    let members: Vec<_> = entry.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        members,
        ["effective_time", "encrypt_certificate", "expire_time", "serial_no"]
    );
    assert!(entry["expire_time"].as_str().unwrap().ends_with("+08:00"));
    let listed = opened(&scene, &answer);
    assert_eq!((listed.len(), listed[0].len()), (1, 40));
    assert_eq!(listed[0], scene.world.wechat().certificates()[0].serial_no);
    assert_eq!(serial_of(&answer), listed[0]);

    assert_eq!(serial_of(&scene.shop.query("ORDER_1").await), listed[0]);
    scene
        .shop
        .post("/v3/pay/transactions/jsapi", &scene.order("ORDER_1"))
        .await;
    scene.world.wechat().pay("ORDER_1").unwrap();
    let note = scene.world.wechat().payment_notification("ORDER_1").unwrap();
    assert_eq!(note.header("Wechatpay-Serial").unwrap(), listed[0]);
    assert_eq!(
        scene.service.hears(1).await[0].json()["ParsedContent"]["out_trade_no"],
        "ORDER_1"
    );

    let public = scene.world.keys().public_key_id().to_owned();
    let refused = scene.shop.naming(Some(&public)).get(LIST).await;
    assert_eq!(refused.verdict(), (400, "PARAM_ERROR".to_owned(), true));
    assert_eq!(scene.shop.naming(Some(&listed[0])).get(LIST).await.status, 200);
    let lower = listed[0].to_ascii_lowercase();
    assert_eq!(scene.shop.naming(Some(&lower)).get(LIST).await.status, 400);
}

#[tokio::test]
async fn only_known_algorithms_can_be_asked_for() {
    let scene = scene(KeyMode::Certificates).await;
    let status = async |query: &str| scene.shop.get(&format!("{LIST}{query}")).await.status;
    assert_eq!(
        (status("?algorithm_type=RSA").await, status("?algorithm_type=ALL").await),
        (200, 200)
    );
    assert_eq!(status("?algorithm_type=SM2").await, 404);
    for query in ["?algorithm_type=rsa", "?x=1", "?algorithm_type=RSA&algorithm_type=RSA"] {
        assert_eq!(status(query).await, 400, "{query}");
    }
}

#[tokio::test]
async fn manners_are_looked_at_before_anything_else() {
    let scene = scene(KeyMode::Certificates).await;
    let bare = client().get(format!("{}{LIST}", scene.world.wechat().url()));
    let refused = scene.shop.send(bare).await.unwrap();
    assert_eq!(refused.verdict(), (400, "INVALID_REQUEST".to_owned(), false));
    let polite = client()
        .get(format!("{}{LIST}", scene.world.wechat().url()))
        .header("Accept", "application/json")
        .header("User-Agent", "shop/1");
    let refused = scene.shop.send(polite).await.unwrap();
    assert_eq!(refused.verdict(), (401, "SIGN_ERROR".to_owned(), false));
}

#[tokio::test]
async fn a_successor_is_listed_then_signs_then_is_alone() {
    let scene = scene(KeyMode::Certificates).await;
    let wechat = scene.world.wechat();
    let old = opened(&scene, &scene.shop.get(LIST).await).remove(0);
    let new = wechat.rotate_certificate().unwrap();
    let answer = scene.shop.get(LIST).await;
    assert_eq!(opened(&scene, &answer), [old.clone(), new.clone()]);
    assert_eq!(serial_of(&answer), old);

    wechat.sign_with_new_certificate().unwrap();
    assert_eq!(serial_of(&scene.shop.get(LIST).await), new);
    assert_eq!(serial_of(&scene.shop.naming(Some(&old)).query("ORDER_1").await), new);

    wechat.expire_old_certificate().unwrap();
    assert_eq!(opened(&scene, &scene.shop.get(LIST).await), std::slice::from_ref(&new));
    assert_eq!(scene.shop.naming(Some(&old)).get(LIST).await.status, 400);
    assert_eq!(scene.shop.naming(Some(&new)).get(LIST).await.status, 200);
}

#[tokio::test]
async fn a_name_may_be_encrypted_for_any_certificate_that_is_listed() {
    let scene = scene(KeyMode::Certificates).await;
    let wechat = scene.world.wechat();
    let old = wechat.certificates()[0].serial_no.clone();
    let new = wechat.rotate_certificate().unwrap();
    let keys = [0, 1].map(|number| scene.world.keys().platform_key(number));
    let ask = async |number: &str, sealed_for: usize, named: &str| {
        let mut body = scene.transfer(number, 200_000);
        body["user_name"] = json!(crypto::encrypt(keys[sealed_for].public(), "张三"));
        scene.shop.naming(Some(named)).post(TRANSFERS, &body).await.status
    };
    assert_eq!(ask("T1", 0, &old).await, 200);
    assert_eq!(ask("T2", 1, &new).await, 200);
    assert_eq!(ask("T3", 0, &new).await, 400);
    wechat.expire_old_certificate().unwrap();
    assert_eq!(ask("T4", 0, &old).await, 400);
    let names = ["T1", "T2"].map(|number| wechat.transfer(number).unwrap().user_name);
    assert!(names.iter().all(|name| name.as_deref() == Some("张三")));
}

#[tokio::test]
async fn in_the_time_of_both_the_merchant_chooses_what_signs_an_answer() {
    let scene = scene(KeyMode::Both).await;
    let public = scene.world.keys().public_key_id().to_owned();
    let certificate = scene.world.wechat().certificates()[0].serial_no.clone();
    let signer = async |named: Option<&str>| serial_of(&scene.shop.naming(named).query("ORDER_1").await);
    assert_eq!(signer(None).await, certificate);
    assert_eq!(signer(Some(&public)).await, public);
    assert_eq!(signer(Some(&certificate)).await, certificate);
    // The list itself is always signed by one of those that it lists.
    assert_eq!(
        serial_of(&scene.shop.naming(Some(&public)).get(LIST).await),
        certificate
    );
}

#[tokio::test]
async fn in_the_time_of_both_callbacks_are_signed_by_either() {
    let scene = scene(KeyMode::Both).await;
    let wechat = scene.world.wechat();
    let paid = scene.paid("ORDER_1").await;
    assert!(!paid.is_empty());
    let public = scene.world.keys().public_key_id();
    let by_public_key = |percent| {
        wechat.sign_callbacks_by_public_key(percent);
        let notes = (0..10).map(|_| wechat.payment_notification("ORDER_1").unwrap());
        let all: Vec<_> = notes.collect();
        assert!(all.iter().all(|note| scene.world.center().forward_of(note).is_ok()));
        all.iter()
            .filter(|note| note.header("Wechatpay-Serial") == Some(public))
            .count()
    };
    assert_eq!([0, 50, 100].map(by_public_key), [0, 5, 10]);
}

#[tokio::test]
async fn the_list_can_fail_like_everything_else() {
    let scene = scene(KeyMode::Certificates).await;
    let wechat = scene.world.wechat();
    wechat.fault(Endpoint::Certificates, Fault::refuse(500, "SYSTEM_ERROR"));
    wechat.fault(Endpoint::Certificates, Fault::ProcessThen(After::WrongSerial));
    wechat.fault(Endpoint::Certificates, Fault::ProcessThen(After::BadSignature));
    assert_eq!(scene.shop.get(LIST).await.status, 500);
    let strange = scene.shop.get(LIST).await;
    assert_eq!(
        (strange.header("wechatpay-serial").len(), strange.is_genuine()),
        (40, false)
    );
    assert!(!scene.shop.get(LIST).await.is_genuine());
    assert_eq!(wechat.count(Endpoint::Certificates), 3);
}

#[tokio::test]
async fn certificates_run_out_with_the_clock() {
    let scene = scene(KeyMode::Certificates).await;
    scene.world.clock().advance(Duration::from_hours(5 * 365 * 24));
    assert_eq!(scene.world.wechat().certificates(), []);
    assert_eq!(scene.shop.get(LIST).await.status, 404);
}
