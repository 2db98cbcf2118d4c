//! What a running service shows of itself: names, states and addresses, and no secret.

use super::*;
use crate::config::tests::read_with;
use crate::wechat::tests_support::pem_of;

const OPERATOR_HASH: &str = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";

/// Settings whose secrets can be told from everything else, and what must not be seen of them.
fn secrets() -> Vec<String> {
    let private = pem_of("doc_test_merchant_private_key");
    let mut parts: Vec<String> = private
        .lines()
        .filter(|line| !line.starts_with('-'))
        .map(str::to_owned)
        .collect();
    parts.extend(
        [
            "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb",
            "hidden-integration",
            "hidden-webhook-hidden-webhook",
            "aGlkZGVuLXdlYmhvb2staGlkZGVuLXdlYmhvb2s=",
            "hidden-hidden-hidden-hidden-hidden",
            OPERATOR_HASH,
            "hidden-password",
        ]
        .map(str::to_owned),
    );
    parts
}

#[track_caller]
fn assert_shows_none(what: &str, shown: &str) {
    for secret in secrets() {
        assert!(!shown.contains(&secret), "{what} shows a secret");
    }
    // Bytes may be shown as numbers, too.
    let key: Vec<u8> = b"a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb".to_vec();
    assert!(
        !shown.contains(format!("{key:?}").trim_matches(['[', ']'])),
        "{what} shows a key in numbers"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_shows_no_secret_of_any_of_its_parts_not_even_in_a_panic() {
    let folder = std::env::temp_dir().join(format!("pay-common-boot-{}", crate::domain::ids::new_id()));
    let store = format!("sqlite://{}/books.db", folder.display());
    let config = read_with(&[
        ("bindAddress", "127.0.0.1"),
        ("PORT", "0"),
        ("sweepInterval", "0"),
        ("wechatPayBaseUrl", "http://127.0.0.1:9"),
        ("DATABASE_URL", store.as_str()),
        ("integrationId", "hidden-integration"),
        ("webhookUrl", "https://user:hidden-password@shop.example/hook"),
        ("webhookSecret", "whsec_aGlkZGVuLXdlYmhvb2staGlkZGVuLXdlYmhvb2s="),
        ("orderTicketSecret", "hidden-hidden-hidden-hidden-hidden"),
        ("operatorKeys", OPERATOR_HASH),
    ])
    .unwrap();
    let service = Service::start(config, Clock::System).await.unwrap();
    let app = service.app.clone();
    assert_shows_none("Service", &format!("{service:?} {service:#?}"));
    assert_shows_none("App", &format!("{app:?} {app:#?}"));
    assert_shows_none("Config", &format!("{:?}", app.config));
    assert_shows_none("Client", &format!("{:?} {:#?}", app.wechat, app.wechat));

    let shown = format!("{app:?}");
    assert!(
        shown.contains("1900007291") && shown.contains("[REDACTED]"),
        "it shows something"
    );
    let tasks = app.tasks.clone();
    let ended = tasks.spawn(async move { panic!("no use for {app:?}") }).await;
    let panic = ended.unwrap_err().into_panic();
    let said = panic.downcast_ref::<String>().unwrap();
    assert!(said.contains("1900007291"));
    assert_shows_none("a panic", said);
    service.stop().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_refused_without_its_password() {
    for address in [
        "postgres://user:hidden-password@db.example:port/pay",
        "postgres://user:hidden-password@[::1/pay",
        "postgres://user:hidden-password@db.example/pay?sslmode=perhaps",
        "postgres://user:hidden-password@db.example/pay?port=hidden",
        "postgres://user:hidden-password%ff@db.example/pay",
    ] {
        let error = Db::open(address).await.unwrap_err();
        let started = StartError::from(error);
        assert_shows_none(address.split_once('@').unwrap().1, &format!("{started} {started:?}"));
    }
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect_lazy("postgres://user:hidden-password@127.0.0.1:9/pay").unwrap();
    assert_shows_none("a pool", &format!("{pool:?} {pool:#?}"));
}
