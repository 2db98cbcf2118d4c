//! Tokens that are verified here, with the keys that the platform publishes: `authJwksUrl`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pay_common::sandbox::{Endpoint, Options, TokenOptions};
use serde_json::{Value, json};

use crate::support::app::{Came, OPENID, OPERATOR, TestApp, order};
use crate::support::body::{with, without};
use crate::support::database::Store;
use crate::support::keys::{KeyPlace, Says, SigningKey};

const QUERY: &str = "wxpay_query_order_by_out_trade_no";

/// Nothing here depends on the books, so one of the two databases is enough.
async fn verifying(place: &KeyPlace, settings: &[(&str, &str)]) -> TestApp {
    let mut all = vec![("authJwksUrl", place.url.as_str()), ("envId", "sandbox-env")];
    all.extend_from_slice(settings);
    TestApp::start_with(Store::Sqlite, Options::default(), &all).await
}

async fn publishing(keys: &[&SigningKey]) -> KeyPlace {
    KeyPlace::open(says(keys)).await
}

fn says(keys: &[&SigningKey]) -> Says {
    Says::Keys(keys.iter().map(|key| key.jwk()).collect())
}

fn claims(t: &TestApp, sub: &str) -> Value {
    let now = t.clock.now().as_second();
    json!({
        "sub": sub, "iat": now, "exp": now + 7200, "scope": "user", "project_id": "sandbox-env", "meta": {},
    })
}

/// A token that lives longer than anything here takes.
fn long(t: &TestApp, key: &SigningKey, sub: &str) -> String {
    key.token(&with(claims(t, sub), "exp", json!(4_102_444_800_i64)))
}

async fn place_with(t: &TestApp, token: &str, number: &str) -> Came {
    t.act_as(&format!("Bearer {token}"), "wxpay_order", order(number, 100))
        .await
}

#[track_caller]
fn assert_refused(came: &Came, about: &str) {
    assert_eq!(came.failure(), (401, "UNAUTHENTICATED"), "{about}: {came:?}");
}

#[track_caller]
fn assert_unavailable(came: &Came, about: &str) {
    assert_eq!(came.failure(), (503, "AUTH_UNAVAILABLE"), "{about}: {came:?}");
    let data = json!({"error": "AUTH_UNAVAILABLE", "retryable": true});
    assert_eq!((&came.body["code"], &came.body["data"]), (&json!(-1), &data), "{about}");
}

#[tokio::test]
async fn a_login_that_the_platform_signed_is_taken_and_its_orders_are_its_own() {
    let place = KeyPlace::open(Says::Nothing).await;
    let t = verifying(&place, &[]).await;
    let published = t.http.get(t.world.gateway().jwks_url()).send().await.unwrap();
    place.says(Says::Body(published.text().await.unwrap()));
    let env = t.world.gateway().env_id().to_owned();
    assert_eq!(env, "sandbox-env");
    t.placed("ORDER_1", 100).await;
    let query = json!({"out_trade_no": "ORDER_1"});
    t.act(QUERY, query.clone()).await.data();
    let mallory = format!("Bearer {}", t.token("mallory"));
    let came = t.act_as(&mallory, QUERY, query).await;
    assert_eq!(came.failure(), (403, "FORBIDDEN"));
    assert_eq!(place.asked(), 1);

    // A genuine login may still be one that may not pay.
    let anonymous = t.world.gateway().mint_token("alice", &TokenOptions::anonymous());
    assert_refused(&place_with(&t, &anonymous, "ORDER_2").await, "anonymous");
}

#[tokio::test]
async fn a_token_that_the_platform_did_not_sign_is_no_login() {
    let place = publishing(&[SigningKey::first()]).await;
    let t = verifying(&place, &[]).await;
    let (first, second) = (SigningKey::first(), SigningKey::second());
    let good = claims(&t, "alice");
    let elsewhere = publishing(&[second]).await;
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let real = first.token(&good);
    let (head, rest) = real.split_once('.').unwrap();
    let (content, signature) = rest.split_once('.').unwrap();
    let header = |more: Value| {
        let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": first.kid});
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    let nameless = |more: Value| without(header(more), "kid");
    // The public key is known to everybody; as an HMAC secret it would make everybody the platform.
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(first.spki())
    );
    let n = URL_SAFE_NO_PAD.decode(first.jwk()["n"].as_str().unwrap()).unwrap();
    let hmac = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(first.kid.to_owned());
        encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let jwk = second.jwk();
    let as_first = with(jwk.clone(), "kid", json!(first.kid));
    for (about, token) in [
        ("no signature", format!("{head}.{content}.")),
        (
            "alg none",
            format!("{}.{content}.", part(&header(json!({"alg": "none"})))),
        ),
        (
            "alg none, signed",
            first.token_with(&header(json!({"alg": "none"})), &good),
        ),
        ("HS256 by the PEM", hmac(pem.as_bytes())),
        ("HS256 by the DER", hmac(&first.spki())),
        ("HS256 by the modulus", hmac(&n)),
        (
            "RS512 by the right key",
            first.token_with(&header(json!({"alg": "RS512"})), &good),
        ),
        (
            "PS256 by its name",
            first.token_with(&header(json!({"alg": "PS256"})), &good),
        ),
        ("another key", second.token(&good)),
        (
            "another key by the same name",
            second.token_with(&header(json!({})), &good),
        ),
        (
            "a key of its own",
            second.token_with(&nameless(json!({"jwk": jwk})), &good),
        ),
        (
            "a key of its own by the same name",
            second.token_with(&header(json!({"jwk": as_first})), &good),
        ),
        (
            "a place of its own",
            second.token_with(&header(json!({"jku": elsewhere.url, "kid": second.kid})), &good),
        ),
        (
            "a place of its own for a known name",
            second.token_with(&header(json!({"jku": elsewhere.url})), &good),
        ),
        (
            "a certificate of its own",
            second.token_with(&header(json!({"x5u": elsewhere.url})), &good),
        ),
        (
            "certificates of its own",
            second.token_with(&header(json!({"x5c": [STANDARD.encode(second.spki())]})), &good),
        ),
        ("no name of a key", first.token_with(&nameless(json!({})), &good)),
        ("an empty name", first.token_with(&header(json!({"kid": ""})), &good)),
        (
            "a name that is no text",
            first.token_with(&header(json!({"kid": 1})), &good),
        ),
        (
            "a critical extension",
            first.token_with(&header(json!({"crit": ["exp"]})), &good),
        ),
        (
            "an empty list of them",
            first.token_with(&header(json!({"crit": []})), &good),
        ),
        (
            "other claims",
            format!("{head}.{}.{signature}", part(&with(good.clone(), "sub", json!("bob")))),
        ),
        ("a part too many", format!("{real}.x")),
        ("two tokens", format!("{real} {real}")),
    ] {
        assert_refused(&place_with(&t, &token, "ORDER_1").await, about);
    }
    assert_eq!(elsewhere.asked(), 0, "a token does not say where its key is");
    assert_eq!(
        (t.world.wechat().count(Endpoint::Any), t.state("ORDER_1").await),
        (0, None)
    );
    place_with(&t, &real, "ORDER_1").await.data();
}

#[tokio::test]
async fn a_genuine_token_is_of_its_time_and_environment() {
    let place = publishing(&[SigningKey::first()]).await;
    let t = verifying(&place, &[]).await;
    let now = t.clock.now().as_second();
    let good = claims(&t, "alice");
    let mut number = 0;
    for (member, value, is_good) in [
        ("exp", json!(now + 1000), true),
        ("exp", json!(now - 1), false),
        ("exp", Value::Null, false),
        ("exp", json!("9999999999"), false),
        ("nbf", json!(now + 30), true),
        ("nbf", json!(now + 90), false),
        ("nbf", json!("soon"), false),
        ("iat", json!(now + 30), true),
        ("iat", Value::Null, true),
        ("iat", json!(now + 90), false),
        ("iat", json!("today"), false),
        ("project_id", json!("another-env"), false),
        ("project_id", Value::Null, false),
        ("sub", json!(""), false),
    ] {
        number += 1;
        let token = SigningKey::first().token(&with(good.clone(), member, value.clone()));
        let came = place_with(&t, &token, &format!("ORDER_{number}")).await;
        if is_good {
            came.data();
        } else {
            assert_refused(&came, &format!("{member} = {value}"));
        }
    }
    let no_exp = SigningKey::first().token(&without(good, "exp"));
    assert_refused(&place_with(&t, &no_exp, "ORDER_99").await, "no exp");
}

#[tokio::test]
async fn the_keys_are_asked_for_once_however_many_wait_for_them() {
    let place = publishing(&[SigningKey::first()]).await;
    let t = verifying(&place, &[]).await;
    assert_eq!(place.asked(), 0, "not before somebody calls");
    let token = SigningKey::first().token(&claims(&t, "alice"));
    let numbers: Vec<String> = (0..30).map(|n| format!("ORDER_{n}")).collect();
    let calls = numbers.iter().map(|number| place_with(&t, &token, number));
    for came in futures_util::future::join_all(calls).await {
        came.data();
    }
    assert_eq!(place.asked(), 1);
}

#[tokio::test]
async fn names_that_strangers_invent_do_not_make_the_service_ask_again_and_again() {
    let place = publishing(&[SigningKey::first()]).await;
    let t = verifying(&place, &[]).await;
    let good = claims(&t, "mallory");
    let invented: Vec<String> = (0..30)
        .map(|n| SigningKey::second().token_with(&json!({"alg": "RS256", "kid": format!("invented-{n}")}), &good))
        .collect();
    let calls = invented.iter().map(|token| place_with(&t, token, "ORDER_1"));
    for came in futures_util::future::join_all(calls).await {
        assert_refused(&came, "an invented name");
    }
    assert_eq!(place.asked(), 1);
    place_with(&t, &SigningKey::first().token(&claims(&t, "alice")), "ORDER_1")
        .await
        .data();
    assert_eq!(place.asked(), 1);
    t.advance(Duration::from_secs(10));
    for token in &invented {
        assert_refused(&place_with(&t, token, "ORDER_2").await, "an invented name");
    }
    assert_eq!(place.asked(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_when_the_first_token_names_it_and_a_withdrawn_one_is_out_of_use_within_an_hour() {
    let (first, second) = (SigningKey::first(), SigningKey::second());
    let place = publishing(&[first]).await;
    let t = verifying(&place, &[]).await;
    let (old, new) = (long(&t, first, "alice"), long(&t, second, "alice"));
    place_with(&t, &old, "ORDER_1").await.data();

    place.says(says(&[first, second]));
    t.advance(Duration::from_secs(11));
    place_with(&t, &new, "ORDER_2").await.data();
    place_with(&t, &old, "ORDER_3").await.data();
    assert_eq!(place.asked(), 2);

    place.says(says(&[second]));
    t.advance(Duration::from_secs(3590));
    place_with(&t, &old, "ORDER_4").await.data();
    assert_eq!(place.asked(), 2);
    t.advance(Duration::from_secs(10));
    assert_refused(&place_with(&t, &old, "ORDER_5").await, "a withdrawn key");
    place_with(&t, &new, "ORDER_6").await.data();
    assert_eq!(place.asked(), 3);
}

#[tokio::test]
async fn while_the_platform_cannot_be_asked_known_keys_serve_for_a_day_and_nothing_else_is_taken() {
    let (first, second) = (SigningKey::first(), SigningKey::second());
    let place = publishing(&[first]).await;
    let t = verifying(&place, &[]).await;
    let (known, unknown) = (long(&t, first, "alice"), long(&t, second, "mallory"));
    place_with(&t, &known, "ORDER_1").await.data();

    place.says(Says::Status(500));
    t.advance(Duration::from_secs(11));
    assert_unavailable(&place_with(&t, &unknown, "ORDER_2").await, "an unknown key");
    place_with(&t, &known, "ORDER_2").await.data();
    // Asked every ten seconds at the most, whoever comes.
    let asked = place.asked();
    assert_unavailable(&place_with(&t, &unknown, "ORDER_3").await, "an unknown key");
    assert_eq!(place.asked(), asked);

    t.advance(Duration::from_secs(24 * 3600 - 20));
    place_with(&t, &known, "ORDER_3").await.data();
    assert_eq!(place.asked(), asked + 1, "it is time for new keys, and there are none");
    t.advance(Duration::from_secs(20));
    assert_unavailable(&place_with(&t, &known, "ORDER_4").await, "after a day");
    assert_eq!(t.state("ORDER_4").await, None);

    place.says(says(&[first]));
    t.advance(Duration::from_secs(10));
    place_with(&t, &known, "ORDER_4").await.data();
}

#[tokio::test]
async fn what_is_no_usable_answer_brings_no_keys() {
    let place = KeyPlace::open(Says::Nothing).await;
    let t = verifying(&place, &[]).await;
    let token = long(&t, SigningKey::first(), "alice");
    let elsewhere = publishing(&[SigningKey::first()]).await;
    let small = with(
        SigningKey::first().jwk(),
        "n",
        json!(URL_SAFE_NO_PAD.encode([0xff; 128])),
    );
    let padded = format!("{{\"keys\":[{}]{}}}", SigningKey::first().jwk(), " ".repeat(300 * 1024));
    for says in [
        Says::Nothing,
        Says::Status(500),
        Says::Status(404),
        Says::Status(204),
        Says::MovedTo(elsewhere.url.clone()),
        Says::Body("<html>".to_owned()),
        Says::Body(padded),
        Says::Keys(vec![]),
        Says::Keys(vec![small]),
        Says::Keys(vec![with(SigningKey::first().jwk(), "use", json!("enc"))]),
        Says::Keys(vec![with(SigningKey::first().jwk(), "alg", json!("RS512"))]),
    ] {
        place.says(says.clone());
        let asked = place.asked();
        assert_unavailable(&place_with(&t, &token, "ORDER_1").await, &format!("{says:?}"));
        assert_eq!(place.asked(), asked + 1);
        t.advance(Duration::from_secs(11));
    }
    assert_eq!(elsewhere.asked(), 0, "nobody is followed elsewhere");
    assert_eq!(
        (t.world.wechat().count(Endpoint::Any), t.state("ORDER_1").await),
        (0, None)
    );
    place.says(says(&[SigningKey::first()]));
    place_with(&t, &token, "ORDER_1").await.data();
}

#[tokio::test]
async fn nobody_waits_for_new_keys_who_has_a_known_one() {
    let first = SigningKey::first();
    let place = publishing(&[first]).await;
    let t = verifying(&place, &[]).await;
    let token = long(&t, first, "alice");
    place_with(&t, &token, "ORDER_0").await.data();
    place.says(Says::Nothing);
    t.advance(Duration::from_secs(3600));
    let numbers: Vec<String> = (1..20).map(|n| format!("ORDER_{n}")).collect();
    let calls = numbers.iter().map(|number| place_with(&t, &token, number));
    for came in futures_util::future::join_all(calls).await {
        came.data();
    }
    assert_eq!(place.asked(), 2, "one of them has asked, and none has failed");
}

#[tokio::test]
async fn operators_and_the_platform_are_known_without_keys() {
    let place = KeyPlace::open(Says::Status(500)).await;
    let t = verifying(&place, &[("trustPlatformHeaders", "true")]).await;
    t.act_as(&format!("Bearer {OPERATOR}"), "wxpay_order", order("ORDER_1", 100))
        .await
        .data();
    t.post(
        "/wx-pay/wxpay_order",
        &[("x-wx-openid", OPENID)],
        order("ORDER_2", 100).to_string(),
    )
    .await
    .data();
    assert_eq!(place.asked(), 0);
}

#[tokio::test]
async fn a_person_is_told_in_their_language_to_try_again() {
    let place = KeyPlace::open(Says::Status(500)).await;
    let t = verifying(&place, &[]).await;
    let authorization = format!("Bearer {}", long(&t, SigningKey::first(), "alice"));
    for (language, part) in [("zh", "重试"), ("en", "again")] {
        let headers = [("authorization", authorization.as_str()), ("accept-language", language)];
        let came = t
            .post("/wx-pay/wxpay_order", &headers, order("ORDER_1", 100).to_string())
            .await;
        assert_unavailable(&came, language);
        assert!(came.body["msg"].as_str().unwrap().contains(part), "{came:?}");
    }
}
