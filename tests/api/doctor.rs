//! `pay-common doctor` names the cause of what keeps an installation from taking payments: each of these was set up, and has to be told.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use pay_common::sandbox::{Endpoint, Fault, KeyMode, Keys, Mood, Options};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::Value;

use crate::support::command::Said;
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;

/// An installation: a world, and the settings of a service in it.
struct Installation {
    offline: Offline,
    settings: BTreeMap<String, String>,
}

impl Installation {
    async fn new(options: Options) -> Self {
        let offline = Offline::over(Database::fresh(Store::Sqlite).await, options, &[]).await;
        let mut settings: BTreeMap<String, String> = offline.settings.iter().cloned().collect();
        let world = &offline.world;
        for (name, value) in world
            .business()
            .settings()
            .into_iter()
            .chain(world.offiaccount().settings())
        {
            settings.insert(name.to_owned(), value);
        }
        settings.insert("authJwksUrl".to_owned(), world.gateway().jwks_url());
        settings.insert("envId".to_owned(), "sandbox-env".to_owned());
        settings.insert("sweepInterval".to_owned(), "5".to_owned());
        settings.insert("refundPolicy".to_owned(), "operator".to_owned());
        Self { offline, settings }
    }

    /// What the doctor says of these settings with some of them changed; an empty value takes one away.
    async fn examined(&self, changes: &[(&str, &str)], arguments: &[&str]) -> Said {
        let mut settings = self.settings.clone();
        for (name, value) in changes {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_pay-common"));
        command
            .arg("doctor")
            .args(arguments)
            .env_clear()
            .envs(settings)
            .current_dir(std::env::temp_dir());
        // The world answers on this runtime.
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
            .into()
    }

    /// One misconfiguration, and what has to be said about it.
    async fn names(&self, changes: &[(&str, &str)], check: &str, result: &str, words: &str) {
        let said = self.examined(changes, &["--json"]).await;
        let document: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{changes:?}: {said:?}"));
        let found = document["checks"].as_array().unwrap().iter().find(|found| {
            found["check"] == check
                && found["result"] == result
                && [&found["why"]["en"], &found["cure"]["en"]]
                    .iter()
                    .any(|text| text.as_str().is_some_and(|text| text.contains(words)))
        });
        assert!(
            found.is_some(),
            "{changes:?} is not told as {check} {result} {words:?}: {document:#}"
        );
        let has_failed = document["failed"] != 0;
        assert_eq!(said.code, Some(i32::from(has_failed)), "{changes:?}");
        if result == "failed" {
            assert!(has_failed);
        }
        // Nothing that opens anything is told.
        for secret in ["apiV3Key", "privateKey", "webhookSecret", "offiaccountAppSecret"] {
            let value = &self.settings[secret];
            assert!(!said.out.contains(value.lines().nth(1).unwrap_or(value)), "{secret}");
        }
    }
}

fn public_half(private_pem: &str) -> String {
    let key = rsa::PrivateKey::from_pkcs8_pem(private_pem).unwrap();
    key.as_public_key().to_public_key_pem(LineEnding::LF).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_installation_has_nothing_to_mend() {
    let sound = Installation::new(Options::default()).await;
    let said = sound.examined(&[], &["--json"]).await;
    let document = said.document();
    assert_eq!(
        (&document["ok"], &document["failed"]),
        (&Value::Bool(true), &Value::from(0)),
        "{document:#}"
    );
    let result = |check: &str| {
        let checks = document["checks"].as_array().unwrap();
        let found = checks.iter().find(|found| found["check"] == check);
        found.map_or(Value::Null, |found| found["result"].clone())
    };
    let keys = sound.offline.world.keys();
    for check in [
        "settings.form",
        "settings.wxPayPublicKey",
        "settings.notifyURLPayURL",
        "wechat.reach",
        "wechat.clock",
        "wechat.signature",
        "wechat.answers",
        &format!("wechat.appId.{}", keys.appid()),
        &format!("wechat.appId.{}", keys.mini_program_appid()),
        "store.reach",
        "webhook.ping",
        "logins.keys",
        "offiaccount.secret",
    ] {
        assert_eq!(result(check), "ok", "{check}: {document:#}");
    }
    let heard = sound.offline.world.business().heard();
    assert!(
        heard.iter().all(|one| one.kind == "ping" && one.subject.is_empty()),
        "{heard:?}"
    );

    let text = sound.examined(&[], &[]).await;
    assert_eq!(text.code, Some(0));
    assert!(
        text.out
            .lines()
            .any(|line| line.starts_with("ok       wechat.signature ")),
        "{}",
        text.out
    );
    assert!(text.out.contains("微信支付接受签名"), "{}", text.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_keep_the_service_from_starting_are_named() {
    let sound = Installation::new(Options::default()).await;
    let keys = sound.offline.world.keys();
    let private = keys.merchant_private_pem();
    let cut_off = private.lines().take(5).collect::<Vec<_>>().join("\n");
    let (public, root) = (keys.wechat_public_pem(), keys.wechat_root_pem());
    let wide = format!("{}?a=b", sound.settings["notifyURLPayURL"]);
    for (changes, setting, words) in [
        (vec![("appId", "")], "appId", "is missing"),
        (vec![("appId", "1900007291")], "appId", "AppID"),
        (vec![("merchantId", "shop")], "merchantId", "8 to 32 digits"),
        (
            vec![("merchantSerialNumber", "408B07E7")],
            "merchantSerialNumber",
            "40 hex digits",
        ),
        (vec![("apiV3Key", "0123456789abcdef")], "apiV3Key", "exactly 32"),
        (vec![("privateKey", &cut_off)], "privateKey", "cannot be read"),
        (vec![("privateKey", &public)], "privateKey", "not a PRIVATE KEY"),
        (vec![("privateKey", &root)], "privateKey", "it is a CERTIFICATE"),
        (vec![("wxPayPublicKey", &root)], "wxPayPublicKey", "it is a CERTIFICATE"),
        (vec![("wxPayPublicKeyId", "")], "wxPayPublicKeyId", "is missing"),
        (vec![("wxPayPublicKey", "")], "wxPayPublicKey", "is missing"),
        (
            vec![("wxPayPublicKeyId", "0119000072912026")],
            "wxPayPublicKeyId",
            "PUB_KEY_ID_",
        ),
        (
            vec![("notifyURLPayURL", "http://shop.example.com/wechatpay/order")],
            "notifyURLPayURL",
            "https",
        ),
        (vec![("notifyURLPayURL", &wide)], "notifyURLPayURL", "without a query"),
        (vec![("notifyURLRefundsURL", "")], "notifyURLRefundsURL", "is missing"),
        (
            vec![("DATABASE_URL", "mysql://localhost/shop")],
            "DATABASE_URL",
            "sqlite:// or postgres://",
        ),
        (vec![("DATABASE_URL", "sqlite::memory:")], "DATABASE_URL", "in memory"),
        (vec![("serverless", "true")], "DATABASE_URL", "thrown away"),
        (vec![("PORT", "70000")], "PORT", "port number"),
        (vec![("operatorKeys", "op_secret")], "operatorKeys", "SHA-256"),
        (
            vec![("wechatPayBaseUrl", "http://api.mch.weixin.qq.com")],
            "wechatPayBaseUrl",
            "https",
        ),
        (vec![("webhookSecret", "")], "webhookSecret", "is required"),
        (
            vec![("callbackConfirm", "never"), ("integrationId", "")],
            "integrationId",
            "is required",
        ),
        (vec![("authJwksUrl", "http://keys.example.com")], "authJwksUrl", "https"),
        (vec![("refundPolicy", "everybody")], "refundPolicy", "must be one of"),
        (
            vec![("jsapiAppId", "wx00000000000000aa")],
            "jsapiAppId",
            "another value",
        ),
        (
            vec![("offiaccountAppId", "wx00000000000000aa")],
            "offiaccountAppId",
            "configured apps",
        ),
    ] {
        sound
            .names(&changes, &format!("settings.{setting}"), "failed", words)
            .await;
    }

    let folder = tempfile::tempdir().unwrap();
    for (text, check, words) in [
        (
            "appID = \"wx2421b1c4370ec43b\"\n",
            "settings.--config",
            "`appID` is not the name of a setting",
        ),
        ("appId = \n", "settings.file", "not valid TOML"),
    ] {
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, text).unwrap();
        let said = sound
            .examined(&[], &["--json", "--config", file.to_str().unwrap()])
            .await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.contains(check) && said.out.contains(words), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wechat_pay_does_not_take_is_told_apart() {
    let sound = Installation::new(Options::default()).await;
    let others = Keys::generate();
    let own = public_half(&sound.offline.world.keys().merchant_private_pem());
    let signature = "wechat.signature";
    for (changes, check, result, words) in [
        (
            vec![("merchantSerialNumber", others.serial_no())],
            signature,
            "failed",
            "merchantSerialNumber is not the serial",
        ),
        (
            vec![("privateKey", &others.merchant_private_pem())],
            signature,
            "failed",
            "privateKey does not belong",
        ),
        (
            vec![("merchantId", "1900000109")],
            signature,
            "failed",
            "merchantId is not known",
        ),
        (
            vec![("appIds", "wx00000000000000aa")],
            "wechat.appId.wx00000000000000aa",
            "failed",
            "not bound",
        ),
        (
            vec![("wxPayPublicKey", &others.wechat_public_pem())],
            "wechat.answers",
            "failed",
            "wxPayPublicKey is not the key of",
        ),
        (
            vec![("wxPayPublicKeyId", "PUB_KEY_ID_0119000001092026112300000000000000")],
            "wechat.answers",
            "failed",
            "set wxPayPublicKeyId and wxPayPublicKey to it",
        ),
        (
            vec![("wxPayPublicKeyId", "PUB_KEY_ID_0119000001092026112300000000000000")],
            "settings.wxPayPublicKeyId",
            "warning",
            "another merchant's",
        ),
        (
            vec![("wxPayPublicKey", &own)],
            "settings.wxPayPublicKey",
            "failed",
            "public half of privateKey",
        ),
        (
            vec![("wechatPayBaseUrl", "http://127.0.0.1:9")],
            "wechat.reach",
            "failed",
            "refused",
        ),
        (
            vec![("wechatPayBaseUrl", "https://wechat.invalid")],
            "wechat.reach",
            "failed",
            "cannot be reached",
        ),
        // Away from the simulator, callbacks come over the internet.
        (
            vec![("wechatPayBaseUrl", "https://wechat.invalid")],
            "settings.notifyURLPayURL",
            "failed",
            "no public address",
        ),
    ] {
        sound.names(&changes, check, result, words).await;
    }
    for (name, wrong) in [
        ("notifyURLPayURL", "/wechatpay/refund"),
        ("notifyURLRefundsURL", "/wechatpay/order"),
    ] {
        let url = format!("http://127.0.0.1:9{wrong}");
        sound
            .names(&[(name, &url)], &format!("settings.{name}"), "warning", "another kind")
            .await;
    }
}

/// It takes questions and says nothing: the doctor ends all the same, and suspects no key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wechat_pay_that_says_nothing_is_not_waited_for() {
    let sound = Installation::new(Options::default()).await;
    let silent = Fault::HangBefore(Duration::from_secs(3600));
    for _ in 0..4 {
        sound.offline.world.wechat().fault(Endpoint::QueryOrder, silent.clone());
    }
    let impatient = [("wechatPayTimeoutMs", "300")];
    sound
        .names(&impatient, "wechat.signature", "skipped", "no answer in time")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_told_before_a_key_is_suspected() {
    let sound = Installation::new(Options::default()).await;
    sound.offline.world.clock().advance(Duration::from_secs(60));
    sound.names(&[], "wechat.clock", "warning", "turn on NTP").await;
    sound.offline.world.clock().advance(Duration::from_secs(600));
    sound.names(&[], "wechat.clock", "failed", "turn on NTP").await;
    sound
        .names(&[], "wechat.signature", "failed", "clock is more than 5 minutes off")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn platform_certificates_show_whether_the_api_v3_key_is_right() {
    let older = Installation::new(Options {
        key_mode: KeyMode::Certificates,
        ..Options::default()
    })
    .await;
    older
        .names(&[], "wechat.apiV3Key", "ok", "opens the platform certificates")
        .await;
    let wrong = [("apiV3Key", "0123456789abcdef0123456789abcdef")];
    older.names(&wrong, "wechat.apiV3Key", "failed", "does not open").await;

    let newer = Installation::new(Options::default()).await;
    let without = [("wxPayPublicKey", ""), ("wxPayPublicKeyId", "")];
    newer
        .names(
            &without,
            "wechat.apiV3Key",
            "failed",
            "set wxPayPublicKey and wxPayPublicKeyId",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_cannot_be_kept_are_named() {
    let sound = Installation::new(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(
        &file,
        "these are no books, but a text that is longer than a header of SQLite's\n".repeat(20),
    )
    .unwrap();
    let no_database = format!("sqlite://{}", file.display());
    let below_a_file = format!("sqlite://{}/store.db", file.display());
    let newer = folder.path().join("newer.db");
    let newer = format!("sqlite://{}", newer.display());
    let said = crate::support::command::run(&newer, &["migrate"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    sound
        .names(
            &[("DATABASE_URL", &newer)],
            "store.version",
            "ok",
            "the store is at version",
        )
        .await;
    {
        use sqlx::Connection as _;
        let mut conn = sqlx::SqliteConnection::connect(&newer).await.unwrap();
        let next = "INSERT INTO _sqlx_migrations SELECT version + 900, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";
        sqlx::query(next).execute(&mut conn).await.unwrap();
    }
    for (url, check, result, words) in [
        (no_database.as_str(), "store.reach", "failed", "cannot be opened"),
        (&below_a_file, "store.reach", "failed", "cannot be written to"),
        (&newer, "store.version", "failed", "newer binary"),
        (
            "sqlite:///dev/shm/pay-common-doctor/store.db",
            "store.medium",
            "failed",
            "a restart loses it",
        ),
        (
            "postgres://nobody@127.0.0.1:9/none",
            "store.reach",
            "failed",
            "host and port",
        ),
    ] {
        sound.names(&[("DATABASE_URL", url)], check, result, words).await;
    }
    if let Ok(server) = std::env::var("TEST_POSTGRES_URL") {
        let missing = server.rsplit_once('/').unwrap().0.to_owned() + "/pay_common_doctor_none";
        sound
            .names(
                &[("DATABASE_URL", &missing)],
                "store.reach",
                "failed",
                "CREATE DATABASE",
            )
            .await;
        let lax = format!("{server}?options=-c%20synchronous_commit%3Doff");
        sound
            .names(
                &[("DATABASE_URL", &lax)],
                "store.synchronous_commit",
                "failed",
                "just acknowledged",
            )
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parties_that_do_not_answer_as_they_should_are_named() {
    let sound = Installation::new(Options::default()).await;
    for (changes, check, result, words) in [
        (
            vec![("operatorKeys", "")],
            "settings.operatorKeys",
            "warning",
            "nobody may refund",
        ),
        (
            vec![("webhookUrl", ""), ("webhookSecret", "")],
            "settings.webhookUrl",
            "warning",
            "no system of yours",
        ),
        (
            vec![("closeUnpaidAfter", "0")],
            "settings.closeUnpaidAfter",
            "warning",
            "never closed",
        ),
        (
            vec![("refundPolicy", "any")],
            "settings.policy",
            "warning",
            "every caller can refund",
        ),
        (
            vec![("webhookSecret", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
            "webhook.ping",
            "failed",
            "same secret as webhookSecret",
        ),
        (
            vec![("webhookUrl", "http://127.0.0.1:9/hook")],
            "webhook.ping",
            "failed",
            "no connection",
        ),
        (
            vec![("authJwksUrl", "http://127.0.0.1:9/jwks")],
            "logins.keys",
            "failed",
            "answered 503",
        ),
        (
            vec![("offiaccountAppSecret", "00000000000000000000000000000000")],
            "offiaccount.secret",
            "failed",
            "AppSecret of offiaccountAppId",
        ),
    ] {
        sound.names(&changes, check, result, words).await;
    }
    sound.offline.world.business().set_mood(Mood::Status(500));
    sound.names(&[], "webhook.ping", "failed", "answers 500").await;
}

#[test]
fn a_code_or_a_sentence_of_wechats_is_explained() {
    let explain = |text: &str| crate::support::command::run("sqlite://none", &["doctor", "--explain", text]);
    for (text, cure) in [
        ("APPID_MCHID_NOT_MATCH", "not bound"),
        ("WeixinJSBridge is not defined", "WeChat's own browser"),
        ("当前页面的URL未注册", "授权目录"),
    ] {
        let said = explain(text);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains(cure), "{said:?}");
    }
    let unknown = explain("hello");
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.out.contains("Request-ID"), "{unknown:?}");
}
