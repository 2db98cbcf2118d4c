//! Platform certificates: a merchant without a public key, a rotation, a merchant who changes over, and every list that is not trusted.

use std::time::{Duration, Instant};

use pay_common::sandbox::{
    After, DIRECT_ORDER_PATH, Endpoint, Fault, FaultRule, KeyMode, Keys, Options, SignedNotification, World,
};
use serde_json::json;

use crate::support::app::{Came, TestApp, came, order, refund};
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::process::Process;

on_both_stores!(
    without_a_public_key_everything_is_verified_by_certificate,
    a_successor_is_looked_up_when_it_first_signs,
    a_callback_can_be_the_first_to_tell_of_a_successor,
    made_up_serials_make_one_download_a_minute,
    both_kinds_of_key_count_while_a_merchant_changes_over,
    a_start_does_not_wait_for_wechat_and_the_keys_come_later,
    a_list_that_is_not_proven_is_not_trusted,
    settings_that_do_not_fit_trust_nothing,
    the_last_good_set_serves_while_a_renewal_fails,
    many_first_requests_make_one_download,
);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn certificates() -> Options {
    Options {
        key_mode: KeyMode::Certificates,
        ..Options::default()
    }
}

async fn ready(t: &TestApp) -> Came {
    came(t.http.get(t.url("/readyz")).send().await.unwrap()).await
}

/// Waits until the keys are there; asking for it makes it happen.
async fn eventually_ready(t: &TestApp) {
    let started = Instant::now();
    while ready(t).await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(10), "no keys");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn downloads(t: &TestApp) -> usize {
    t.world.wechat().count(Endpoint::Certificates)
}

fn orders(t: &TestApp) -> usize {
    t.world.wechat().count(Endpoint::Prepay)
}

/// An order is paid and nobody has told; gives what WeChat would send.
async fn paid_unheard(t: &TestApp, number: &str) -> SignedNotification {
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed(number, 20).await;
    t.world.wechat().pay(number).unwrap();
    t.world.wechat().payment_notification(number).unwrap()
}

fn acknowledged(reply: &Came) -> bool {
    reply.status == 200 && reply.body == json!({"code": "SUCCESS", "message": "成功"})
}

fn refused(reply: &Came) -> bool {
    reply.status >= 400 && reply.body["code"] == "FAIL"
}

async fn without_a_public_key_everything_is_verified_by_certificate(store: Store) {
    let t = TestApp::start_with(store, certificates(), &[]).await;
    t.paid("ORDER_1", 20).await;
    t.act("wxpay_refund", refund("ORDER_1", "R1", 5, 20)).await.data();
    let note = paid_unheard(&t, "ORDER_2").await;
    assert!(!note.header("Wechatpay-Serial").unwrap().starts_with("PUB_KEY_ID_"));
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
    assert_eq!(t.events("ORDER_2").await, ["order.created", "order.paid"]);
    assert_eq!(downloads(&t), 1);
    let said = ready(&t).await;
    assert_eq!((said.status, &said.body["keys"]), (200, &json!("ok")));
}

async fn a_successor_is_looked_up_when_it_first_signs(store: Store) {
    let t = TestApp::start_with(store, certificates(), &[]).await;
    t.placed("ORDER_1", 20).await;
    let wechat = t.world.wechat();
    wechat.rotate_certificate().unwrap();
    t.placed("ORDER_2", 20).await;
    assert_eq!(downloads(&t), 1, "the old one still signs");

    wechat.sign_with_new_certificate().unwrap();
    t.placed("ORDER_3", 20).await;
    t.placed("ORDER_4", 20).await;
    assert_eq!(downloads(&t), 2);

    wechat.expire_old_certificate().unwrap();
    t.placed("ORDER_5", 20).await;
    assert_eq!(downloads(&t), 2);
}

async fn a_callback_can_be_the_first_to_tell_of_a_successor(store: Store) {
    let t = TestApp::start_with(store, certificates(), &[]).await;
    let by_the_old_one = paid_unheard(&t, "ORDER_1").await;
    t.world.wechat().rotate_certificate().unwrap();
    t.world.wechat().sign_with_new_certificate().unwrap();
    let by_the_new_one = t.world.wechat().payment_notification("ORDER_1").unwrap();
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &by_the_new_one).await));
    assert_eq!(downloads(&t), 2);
    assert!(
        acknowledged(&t.notify(DIRECT_ORDER_PATH, &by_the_old_one).await),
        "which is still listed"
    );
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
    assert_eq!(downloads(&t), 2);
}

async fn made_up_serials_make_one_download_a_minute(store: Store) {
    let t = TestApp::start_with(store, certificates(), &[]).await;
    let note = paid_unheard(&t, "ORDER_1").await;
    for serial in [
        "5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
        "01",
        "PUB_KEY_ID_0000000000",
    ] {
        let forged = note.clone().with_header("Wechatpay-Serial", serial);
        assert!(refused(&t.notify(DIRECT_ORDER_PATH, &forged).await), "{serial}");
    }
    assert_eq!(downloads(&t), 2, "the first load, and one look");
    // An answer in the name of nobody is none, and does not make another look.
    let wrong = Fault::ProcessThen(After::WrongSerial);
    t.world.wechat().fault(Endpoint::Prepay, wrong);
    let failed = t.act("wxpay_order", order("ORDER_2", 20)).await;
    assert_eq!(failed.failure(), (502, "UPSTREAM_SIGNATURE_INVALID"));
    assert_eq!(t.state("ORDER_2").await.as_deref(), Some("CREATED"));
    assert_eq!(downloads(&t), 2);

    t.advance(MINUTE);
    let note = t.world.wechat().sign_again(&note);
    let forged = note.clone().with_header("Wechatpay-Serial", "02");
    assert!(refused(&t.notify(DIRECT_ORDER_PATH, &forged).await));
    assert_eq!(downloads(&t), 3);
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
}

async fn both_kinds_of_key_count_while_a_merchant_changes_over(store: Store) {
    let both = || Options {
        key_mode: KeyMode::Both,
        ..Options::default()
    };
    let signed_by = async |t: &TestApp, percent| {
        t.world.wechat().sign_callbacks_by_public_key(percent);
        let note = paid_unheard(t, &format!("ORDER_{percent}")).await;
        let public = note.header("Wechatpay-Serial") == Some(t.world.keys().public_key_id());
        assert_eq!(public, percent == 100);
        note
    };
    let t = TestApp::start_with(store, both(), &[("platformCertificates", "true")]).await;
    for percent in [0, 100] {
        let note = signed_by(&t, percent).await;
        assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await), "{percent}");
    }
    assert_eq!(downloads(&t), 1);

    // With the public key alone, a certificate is nobody's.
    let t = TestApp::start_with(store, both(), &[]).await;
    let note = signed_by(&t, 0).await;
    assert!(refused(&t.notify(DIRECT_ORDER_PATH, &note).await));
    let note = signed_by(&t, 100).await;
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
    assert_eq!(downloads(&t), 0);
}

async fn a_start_does_not_wait_for_wechat_and_the_keys_come_later(store: Store) {
    let t = TestApp::start_with(store, certificates(), &[]).await;
    let note = paid_unheard(&t, "ORDER_1").await;
    let down = FaultRule::on(Endpoint::Certificates, Fault::DropBefore);
    t.world.wechat().add_fault(down.times(u32::MAX));
    let before = orders(&t);
    let t = t.restart().await;

    let said = ready(&t).await;
    assert_eq!((said.status, &said.body["keys"]), (503, &json!("not_loaded")));
    let failed = t.act("wxpay_order", order("ORDER_2", 20)).await;
    assert_eq!(failed.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(failed.body["data"]["retryable"], true);
    assert_eq!(
        orders(&t),
        before,
        "nothing is asked whose answer could not be verified"
    );
    let later = t.notify(DIRECT_ORDER_PATH, &note).await;
    assert!(refused(&later) && later.status == 503, "{later:?}");
    let asked = downloads(&t);
    t.act("wxpay_order", order("ORDER_2", 20)).await;
    assert_eq!(downloads(&t), asked, "not at every request");

    t.world.wechat().clear_faults();
    t.advance(Duration::from_secs(6));
    t.placed("ORDER_2", 20).await;
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
    assert_eq!(ready(&t).await.status, 200);
}

async fn a_list_that_is_not_proven_is_not_trusted(store: Store) {
    let mut t = TestApp::start_with(store, certificates(), &[]).await;
    t.placed("ORDER_1", 20).await;
    let before = orders(&t);
    for after in [
        After::BadSignature,
        After::NoSignature,
        After::WrongSerial,
        After::SignTest,
        After::Garbage,
        After::Status(200),
    ] {
        let rule = FaultRule::on(Endpoint::Certificates, Fault::ProcessThen(after));
        t.world.wechat().add_fault(rule.times(u32::MAX));
        t = t.restart().await;
        let failed = t.act("wxpay_order", order("ORDER_2", 20)).await;
        assert_eq!(failed.failure(), (502, "UPSTREAM_UNAVAILABLE"), "{after:?}");
        assert_eq!(ready(&t).await.status, 503, "{after:?}");
        t.world.wechat().clear_faults();
    }
    assert_eq!(orders(&t), before);
    // A single probe is repeated at once, and the repeat is not probed.
    let probe = Fault::ProcessThen(After::SignTest);
    t.world.wechat().fault(Endpoint::Certificates, probe);
    let t = t.restart().await;
    t.placed("ORDER_2", 20).await;
}

async fn settings_that_do_not_fit_trust_nothing(store: Store) {
    let another_key = "another-key-of-32-characters-xxx";
    let another_root = include_str!("../vectors/sdk_go_platform_certificate.pem");
    for setting in [("apiV3Key", another_key), ("wxPayRootCertificate", another_root)] {
        let t = TestApp::start_with(store, certificates(), &[setting]).await;
        let failed = t.act("wxpay_order", order("ORDER_1", 20)).await;
        assert_eq!(failed.failure(), (502, "UPSTREAM_UNAVAILABLE"), "{}", setting.0);
        assert_eq!(ready(&t).await.status, 503);
        assert_eq!(orders(&t), 0);
    }
    // Without a root, the APIv3 key and the signature are the proof.
    let t = TestApp::start_with(store, certificates(), &[("wxPayRootCertificate", "")]).await;
    t.placed("ORDER_1", 20).await;
}

async fn the_last_good_set_serves_while_a_renewal_fails(store: Store) {
    let t = TestApp::start_with(store, certificates(), &[]).await;
    t.placed("ORDER_1", 20).await;
    t.advance(12 * HOUR - MINUTE);
    t.placed("ORDER_2", 20).await;
    assert_eq!(downloads(&t), 1, "it is not old yet");

    let tampered = Fault::ProcessThen(After::BadSignature);
    let rule = FaultRule::on(Endpoint::Certificates, tampered);
    t.world.wechat().add_fault(rule.times(u32::MAX));
    t.advance(2 * MINUTE);
    t.placed("ORDER_3", 20).await;
    t.placed("ORDER_4", 20).await;
    assert_eq!(downloads(&t), 2, "one attempt");
    t.advance(11 * MINUTE);
    t.placed("ORDER_5", 20).await;
    assert_eq!(downloads(&t), 3);

    t.world.wechat().clear_faults();
    t.world.wechat().rotate_certificate().unwrap();
    t.advance(11 * MINUTE);
    t.placed("ORDER_6", 20).await;
    assert_eq!(downloads(&t), 4);
    t.world.wechat().sign_with_new_certificate().unwrap();
    t.placed("ORDER_7", 20).await;
    assert_eq!(downloads(&t), 4, "the successor was known long before it signed");
}

async fn many_first_requests_make_one_download(store: Store) {
    let t = TestApp::start_with(store, certificates(), &[]).await;
    eventually_ready(&t).await;
    let before = downloads(&t);
    let t = t.restart().await;
    let numbers: Vec<String> = (0..30).map(|n| format!("ORDER_{n}")).collect();
    futures_util::future::join_all(numbers.iter().map(|number| t.placed(number, 20))).await;
    assert_eq!(downloads(&t), before + 1);
}

/// Who has only the public key and does not say so is told in both languages what to set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_without_certificates_is_told_what_to_set() {
    let world = World::start(Options {
        keys: Some(Keys::shared()),
        ..Options::default()
    })
    .await
    .unwrap();
    let database = Database::fresh(Store::Sqlite).await;
    let mut settings: Vec<(String, String)> = world
        .settings()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("wxPayPublicKey"))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    settings.extend(
        [
            ("bindAddress", "127.0.0.1"),
            ("PORT", "0"),
            ("DATABASE_URL", database.url.as_str()),
            ("logFormat", "json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let process = Process::start(&settings);
    let started = Instant::now();
    loop {
        let log = process.log();
        if log.contains("set wxPayPublicKey and wxPayPublicKeyId") && log.contains("请设置 wxPayPublicKey") {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{log}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let said = came(reqwest::get(process.url("/readyz")).await.unwrap()).await;
    assert_eq!((said.status, &said.body["keys"]), (503, &json!("not_loaded")));
}
