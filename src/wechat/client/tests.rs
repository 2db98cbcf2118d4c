//! What is believed of an answer, and which keys a question and its answer go with.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::wechat::certificates::tests::{
    GO, GO_SERIAL, JAVA, JAVA_SERIAL, REAL_SERIAL, checks, clock, item, list, signed_by,
};
use crate::wechat::sensitive;
use crate::wechat::tests_support::pem_of;
use crate::wechat::verify::WechatKey;

#[test]
fn a_number_changes_neither_path_nor_query() {
    assert_eq!(segment("ORD|1*a@b"), "ORD%7C1*a@b");
    assert_eq!(segment("../a?b#c%7C d/é"), "..%2Fa%3Fb%23c%257C%20d%2F%C3%A9");
    let url = Url::parse("https://api.mch.weixin.qq.com").unwrap();
    let url = url
        .join(&format!("/v3/refund/domestic/refunds/{}", segment("R|1")))
        .unwrap();
    assert_eq!(
        url.path(),
        "/v3/refund/domestic/refunds/R%7C1",
        "what is joined is what is signed"
    );
}

pub(in crate::wechat) fn client_of(base: Url, trust: Trust) -> Client {
    use crate::domain::ids::MchId;
    use crate::wechat::sign::MerchantKey;

    let key = Arc::new(MerchantKey::read(&pem_of("doc_test_merchant_private_key")).unwrap());
    let signer = Signer {
        mchid: MchId::parse("1900007291").unwrap(),
        serial: "0".repeat(40),
        key,
    };
    let patience = Patience {
        connect: Duration::from_secs(1),
        call: Duration::from_secs(1),
        at_a_time: 2,
        idle: 8,
    };
    Client::new(base, None, patience, signer, trust, clock()).unwrap()
}

pub(super) fn client() -> Client {
    client_of(nobody(), Trust::default())
}

/// WeChat Pay with certificates: it lists them, and signs whatever it is asked with a key of its own.
#[derive(Clone)]
struct Fake(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    /// The certificates in the list.
    listed: Vec<Value>,
    /// Whether there is a list.
    none: bool,
    /// How often it was asked for.
    asked: usize,
    /// What the next answers are signed as.
    serial: String,
    /// `Wechatpay-Serial` of every other request.
    serials: Vec<Option<String>>,
    /// What those are answered with.
    body: String,
    /// Whether they are answered with a failure in its place.
    failing: bool,
}

impl Fake {
    /// Listens, and gives the client that asks it.
    async fn start(trust: Trust) -> (Self, Client, JoinSet<std::io::Result<()>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let fake = Self(Arc::default());
        fake.set(|answers| {
            answers.listed = vec![item(GO_SERIAL, GO)];
            GO_SERIAL.clone_into(&mut answers.serial);
            "{}".clone_into(&mut answers.body);
        });
        let router = axum::Router::new()
            .route(
                "/v3/certificates",
                get(|State(fake): State<Self>| async move { fake.list() }),
            )
            .fallback(|State(fake): State<Self>, headers: HeaderMap| async move { fake.anything(&headers) })
            .with_state(fake.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await });
        (fake, client_of(base, trust), server)
    }

    fn set<T>(&self, change: impl FnOnce(&mut Answers) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn list(&self) -> (StatusCode, HeaderMap, String) {
        self.set(|answers| {
            answers.asked += 1;
            if answers.none {
                let body = json!({"code": "RESOURCE_NOT_EXISTS", "message": "无可用的平台证书"});
                return (StatusCode::NOT_FOUND, HeaderMap::new(), body.to_string());
            }
            let body = list(&answers.listed);
            let own = answers.listed.iter().any(|item| item["serial_no"] == *answers.serial);
            signed(if own { &answers.serial } else { GO_SERIAL }, body)
        })
    }

    fn anything(&self, headers: &HeaderMap) -> (StatusCode, HeaderMap, String) {
        let serials: Vec<_> = headers.get_all("wechatpay-serial").iter().collect();
        assert!(serials.len() <= 1, "{serials:?}");
        let serial = serials.first().map(|serial| serial.to_str().unwrap().to_owned());
        self.set(|answers| {
            answers.serials.push(serial);
            if answers.failing {
                return (StatusCode::BAD_GATEWAY, HeaderMap::new(), String::new());
            }
            signed(&answers.serial, answers.body.clone())
        })
    }
}

fn signed(serial: &str, body: String) -> (StatusCode, HeaderMap, String) {
    let key = match serial {
        JAVA_SERIAL => "sdk_java_platform_private_key",
        _ => "sdk_go_platform_private_key",
    };
    let headers = signed_by(key, serial, &body, clock().now().as_second());
    (StatusCode::OK, headers, body)
}

fn certificates() -> Trust {
    Trust {
        public: None,
        certificates: Some(checks()),
    }
}

fn public_key() -> Trust {
    let pem = include_str!("../../../tests/vectors/sdk_go_platform_public_key.pem");
    Trust {
        public: Some(Arc::new(WechatKey::read("PUB_KEY_ID_1", pem).unwrap())),
        certificates: None,
    }
}

fn question(repeat: Repeat) -> Call<'static> {
    Call {
        method: Method::GET,
        target: "/v3/anything".to_owned(),
        body: "",
        repeat,
        serial: None,
    }
}

async fn ask(client: &Client, serial: Option<&str>) -> Result<Answer, WechatError> {
    let call = Call {
        serial: serial.map(str::to_owned),
        ..question(Repeat::AskFirst)
    };
    client.call(&call).await
}

/// Where nobody listens.
fn nobody() -> Url {
    Url::parse("http://127.0.0.1:9").unwrap()
}

#[tokio::test]
async fn the_serial_names_the_key_of_the_encrypted_members_and_else_the_public_key() {
    let (fake, client, _server) = Fake::start(public_key()).await;
    fake.set(|answers| "PUB_KEY_ID_1".clone_into(&mut answers.serial));
    assert_eq!(client.sealer().await.unwrap().id(), "PUB_KEY_ID_1");
    ask(&client, None).await.unwrap();
    ask(&client, Some(REAL_SERIAL)).await.unwrap();
    let seen = fake.set(|answers| std::mem::take(&mut answers.serials));
    assert_eq!(seen, [Some("PUB_KEY_ID_1".to_owned()), Some(REAL_SERIAL.to_owned())]);
    assert_eq!(fake.set(|answers| answers.asked), 0, "nobody needs certificates");

    let (fake, client, _server) = Fake::start(certificates()).await;
    ask(&client, None).await.unwrap();
    let sealer = client.sealer().await.unwrap();
    assert_eq!(sealer.id(), GO_SERIAL);
    let opened = sensitive::decrypt(&pem_of("sdk_go_platform_private_key"), &sealer.encrypt("张三").unwrap());
    assert_eq!(opened.as_deref(), Ok("张三"));
    ask(&client, Some(sealer.id())).await.unwrap();
    let seen = fake.set(|answers| std::mem::take(&mut answers.serials));
    assert_eq!(seen, [None, Some(GO_SERIAL.to_owned())]);
    assert_eq!(fake.set(|answers| answers.asked), 1);
}

#[tokio::test]
async fn a_certificate_that_is_new_is_looked_up_once_and_its_answer_counts() {
    let (fake, client, _server) = Fake::start(certificates()).await;
    ask(&client, None).await.unwrap();
    fake.set(|answers| {
        answers.listed.push(item(JAVA_SERIAL, JAVA));
        JAVA_SERIAL.clone_into(&mut answers.serial);
    });
    ask(&client, None).await.unwrap();
    assert_eq!(fake.set(|answers| answers.asked), 2);
    for serial in [GO_SERIAL, JAVA_SERIAL, GO_SERIAL] {
        fake.set(|answers| serial.clone_into(&mut answers.serial));
        ask(&client, None).await.unwrap();
    }
    assert_eq!(fake.set(|answers| answers.asked), 2, "both count");
}

#[tokio::test]
async fn names_that_nobody_knows_make_one_look_and_are_not_believed() {
    let (fake, client, _server) = Fake::start(certificates()).await;
    ask(&client, None).await.unwrap();
    for serial in [REAL_SERIAL, JAVA_SERIAL, REAL_SERIAL] {
        // The list itself is signed with a certificate that it has.
        fake.set(|answers| serial.clone_into(&mut answers.serial));
        assert!(matches!(
            ask(&client, None).await,
            Err(WechatError::NotGenuine(NotGenuine::UnknownKey(_)))
        ));
    }
    assert_eq!(fake.set(|answers| answers.asked), 2);
    fake.set(|answers| GO_SERIAL.clone_into(&mut answers.serial));
    ask(&client, None).await.unwrap();
}

#[tokio::test]
async fn without_a_key_nothing_is_asked_and_the_list_not_at_every_request() {
    let (fake, client, _server) = Fake::start(certificates()).await;
    fake.set(|answers| answers.none = true);
    for _ in 0..3 {
        let Err(WechatError::NeverSent(why)) = ask(&client, None).await else {
            panic!("there is no key")
        };
        assert!(why.contains("no platform certificate"), "{why}");
    }
    assert!(matches!(client.sealer().await, Err(WechatError::NeverSent(_))));
    assert_eq!(fake.set(|answers| (answers.asked, answers.serials.len())), (1, 0));
}

#[tokio::test]
async fn a_public_key_that_is_not_known_is_looked_for_nowhere() {
    let (fake, client, _server) = Fake::start(certificates()).await;
    ask(&client, None).await.unwrap();
    fake.set(|answers| "PUB_KEY_ID_1".clone_into(&mut answers.serial));
    assert!(matches!(
        ask(&client, None).await,
        Err(WechatError::NotGenuine(NotGenuine::UnknownKey(_)))
    ));
    assert_eq!(fake.set(|answers| answers.asked), 1);
}

#[tokio::test]
async fn certificates_beside_the_public_key_are_looked_at_beside_the_first_question_and_not_at_every_one() {
    let both = Trust {
        certificates: Some(checks()),
        ..public_key()
    };
    let (fake, client, _server) = Fake::start(both).await;
    fake.set(|answers| "PUB_KEY_ID_1".clone_into(&mut answers.serial));
    for _ in 0..2 {
        ask(&client, None).await.unwrap();
        assert_eq!(fake.set(|answers| answers.asked), 1);
    }
}

#[tokio::test]
async fn whoever_has_time_for_it_looks_at_the_certificates_when_there_are_none() {
    let (fake, client, _server) = Fake::start(certificates()).await;
    assert!(!client.has_key());
    for _ in 0..2 {
        client.tend_keys().await;
        assert!(client.has_key());
        assert_eq!(fake.set(|answers| answers.asked), 1);
    }
}

#[tokio::test]
async fn what_fails_is_asked_three_times_where_a_repeat_is_harmless_and_once_where_it_is_not() {
    let (fake, client, _server) = Fake::start(public_key()).await;
    let client = Client {
        backup: Some(nobody()),
        ..client
    };
    fake.set(|answers| answers.failing = true);
    for (repeat, times) in [(Repeat::AskFirst, 1), (Repeat::Harmless, MOST_TRIES)] {
        let said = client.call_within(&question(repeat), Duration::from_secs(10)).await;
        assert!(
            matches!(
                said,
                Err(WechatError::OutcomeUnknown(Unknown::Failing { status: 502, .. }))
            ),
            "{said:?}"
        );
        assert_eq!(fake.set(|answers| std::mem::take(&mut answers.serials)).len(), times);
        assert_eq!(*client.base_now(), client.base, "a domain that answers is not left");
    }
}

#[tokio::test]
async fn when_the_domain_cannot_be_connected_the_backup_is_asked_for_a_minute() {
    let (fake, client, _server) = Fake::start(public_key()).await;
    fake.set(|answers| "PUB_KEY_ID_1".clone_into(&mut answers.serial));
    let backup = client.base.clone();
    let client = Client {
        base: nobody(),
        backup: Some(backup.clone()),
        ..client
    };
    assert_eq!(*client.base_now(), nobody());
    ask(&client, None).await.unwrap();
    assert_eq!(*client.base_now(), backup);
    client.clock.advance(BACKUP_FOR_MS / 2);
    assert_eq!(*client.base_now(), backup);
    client.clock.advance(BACKUP_FOR_MS / 2);
    assert_eq!(*client.base_now(), nobody());
}

#[tokio::test]
async fn a_backup_that_cannot_be_connected_is_left_at_once() {
    let (fake, client, _server) = Fake::start(public_key()).await;
    fake.set(|answers| "PUB_KEY_ID_1".clone_into(&mut answers.serial));
    let client = Client {
        backup: Some(nobody()),
        backup_until: AtomicI64::new(i64::MAX),
        ..client
    };
    assert_eq!(*client.base_now(), nobody());
    ask(&client, None).await.unwrap();
    assert_eq!(*client.base_now(), client.base);
}

#[tokio::test]
async fn a_question_without_repeats_goes_to_the_backup_as_well_if_there_is_one() {
    let (_fake, client, _server) = Fake::start(public_key()).await;
    let backup = client.base.clone();
    let client = Client {
        base: nobody(),
        ..client
    };
    let call = question(Repeat::AskFirst);
    assert!(matches!(
        client.exchange_once(&call).await,
        Err(WechatError::NeverSent(_))
    ));
    let client = Client {
        backup: Some(backup),
        ..client
    };
    assert_eq!(client.exchange_once(&call).await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn an_answer_is_read_to_its_longest_and_no_further() {
    let (fake, client, _server) = Fake::start(public_key()).await;
    for (length, fits) in [(MOST_ANSWER_BYTES, true), (MOST_ANSWER_BYTES + 1, false)] {
        fake.set(|answers| {
            "PUB_KEY_ID_1".clone_into(&mut answers.serial);
            answers.body = "1".repeat(length);
        });
        let said = client
            .call_within(&question(Repeat::AskFirst), Duration::from_secs(10))
            .await;
        match said {
            Ok(answer) => assert!(fits && answer.body.len() == length, "{length}"),
            Err(WechatError::OutcomeUnknown(Unknown::Unreadable(why))) => {
                assert!(!fits && why.contains("1 MiB"), "{length}: {why}");
            }
            Err(error) => panic!("{length}: {error}"),
        }
    }
}

#[test]
fn there_is_room_while_a_seat_is_free() {
    let client = client();
    let first = client.seats.try_acquire().unwrap();
    assert!(client.has_room());
    let second = client.seats.try_acquire().unwrap();
    assert!(!client.has_room());
    drop(first);
    assert!(client.has_room());
    drop(second);
}

#[test]
fn every_known_error_is_a_refusal_or_an_unknown_outcome() {
    let vectors = crate::wechat::tests_support::vectors("error_bodies.json");
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 14);
    for case in cases {
        let status = case["status"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .unwrap();
        let body = match &case["body"] {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(html) => html.clone(),
            json => json.to_string(),
        };
        let judged = client().judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.into());
        match judged.unwrap_err() {
            WechatError::Refused(refusal) => {
                assert_eq!(refusal.status, status);
                assert_eq!(refusal.code, case["body"]["code"].as_str().unwrap());
                assert!(!refusal.proven, "nothing here is signed");
                assert!(status < 500);
            }
            WechatError::OutcomeUnknown(Unknown::Failing { status: seen, .. }) => {
                assert_eq!(seen, status);
                assert!(status >= 500 || case["body"].is_null());
            }
            other => panic!("{status}: {other}"),
        }
    }
}

#[test]
fn a_yes_without_a_signature_is_no_answer() {
    for status in [StatusCode::OK, StatusCode::NO_CONTENT] {
        let judged = client().judge(status, &HeaderMap::new(), Bytes::from_static(b"{}"));
        assert!(
            matches!(judged, Err(WechatError::NotGenuine(NotGenuine::Header(_)))),
            "{status}"
        );
    }
    let judged = client().judge(StatusCode::ACCEPTED, &HeaderMap::new(), Bytes::new());
    assert!(matches!(judged, Err(WechatError::OutcomeUnknown(_))));
}

#[test]
fn money_is_not_moved_twice_by_a_repeat() {
    let unknown = |error| may_repeat(&WechatError::OutcomeUnknown(error), Repeat::AskFirst);
    let failing = |status, code: &str| Unknown::Failing {
        status,
        code: code.to_owned(),
    };
    assert!(!unknown(Unknown::TimedOut));
    assert!(!unknown(Unknown::Broken(String::new())));
    assert!(!unknown(failing(502, "")));
    assert!(
        unknown(failing(500, "SYSTEM_ERROR")),
        "WeChat asks for the same number again"
    );
    assert!(may_repeat(&WechatError::NeverSent(String::new()), Repeat::AskFirst));
    assert!(!may_repeat(
        &WechatError::NotGenuine(NotGenuine::Signature),
        Repeat::Harmless
    ));
}
