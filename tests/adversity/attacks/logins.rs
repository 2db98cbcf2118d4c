//! To be somebody else by a token.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pay_common::sandbox::{Options, TokenOptions};
use serde_json::{Value, json};

use crate::case::{Tried, cases};
use crate::support::app::{OPENID, TestApp, order, refund};
use crate::support::body::{with, without};
use crate::support::database::Store;
use crate::support::keys::{KeyPlace, Says, SigningKey};
use crate::support::payouts::transfer;

cases!(Attack:
    a_token_that_the_platform_did_not_sign => "every order of every user, where tokens are verified here",
    a_genuine_token_that_is_out_of_time_or_place => "the orders of another environment's or yesterday's user",
    a_token_whose_claims_name_nobody_or_somebody_else => "an order of the user with the empty name",
);

/// Somebody who tries to be alice: to see and refund her order, and to place one in her name.
pub async fn as_alice(t: &TestApp, headers: &[(&str, &str)], about: &str, tried: &Tried) {
    let before = t.standing().await;
    let questions = t.addresses().len();
    for (action, body) in [
        ("wxpay_order", order("ORDER_STOLEN", 1)),
        ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"})),
        ("wxpay_refund", refund("ORDER_1", "REFUND_STOLEN", 100, 100)),
        ("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})),
        ("wxpay_transfer", transfer("TSTOLEN", 500)),
    ] {
        let came = t.post(&format!("/wx-pay/{action}"), headers, body.to_string()).await;
        assert!(came.status == 401 || came.status == 403, "{about}: {action}: {came:?}");
        assert!(!came.body.to_string().contains(OPENID), "{about}");
        assert_eq!(t.standing().await, before, "{about}: {action}");
        tried.once();
    }
    assert_eq!(t.addresses().len(), questions, "{about}: WeChat is not even asked");
}

pub async fn with_token(t: &TestApp, token: &str, about: &str, tried: &Tried) {
    as_alice(t, &[("authorization", &format!("Bearer {token}"))], about, tried).await;
}

pub fn claims(t: &TestApp, sub: &str) -> Value {
    let now = t.clock.now().as_second();
    json!({"sub": sub, "iat": now, "exp": now + 7200, "scope": "user", "project_id": "sandbox-env", "meta": {"wxOpenId": OPENID}})
}

/// A service that verifies tokens itself, with an order of alice's that is paid.
async fn verifying(store: Store) -> (TestApp, KeyPlace) {
    let place = KeyPlace::open(Says::Keys(vec![SigningKey::first().jwk()])).await;
    let settings = [("authJwksUrl", place.url.as_str()), ("envId", "sandbox-env")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    let alice = format!("Bearer {}", SigningKey::first().token(&claims(&t, "alice")));
    t.act_as(&alice, "wxpay_order", order("ORDER_1", 100)).await.data();
    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    (t, place)
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

async fn a_token_that_the_platform_did_not_sign(store: Store, tried: Tried) {
    let started = std::time::Instant::now();
    let (t, place) = verifying(store).await;
    let (first, second) = (SigningKey::first(), SigningKey::second());
    let elsewhere = KeyPlace::open(Says::Keys(vec![second.jwk()])).await;
    let alice = claims(&t, "alice");
    let real = first.token(&alice);
    let signature = real.rsplit_once('.').unwrap().1;
    let header = |more: Value| {
        let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": first.kid});
        header
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        header
    };
    let mut forged: Vec<(String, String)> = Vec::new();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "ES256", "ES384", "EdDSA", "PS256", "PS384",
        "RS384", "RS512", "RS1", "rs256",
    ] {
        let head = part(&header(json!({"alg": alg})));
        forged.push((format!("{alg}, no signature"), format!("{head}.{}.", part(&alice))));
        forged.push((format!("{alg}, two parts"), format!("{head}.{}", part(&alice))));
        forged.push((
            format!("{alg}, the signature of another"),
            format!("{head}.{}.{signature}", part(&alice)),
        ));
        forged.push((
            format!("{alg}, signed by another key"),
            second.token_with(&header(json!({"alg": alg})), &alice),
        ));
        if alg != "RS256" {
            forged.push((
                format!("{alg}, signed by the right key"),
                first.token_with(&header(json!({"alg": alg})), &alice),
            ));
        }
    }
    for alg in [
        json!(null),
        json!(["RS256"]),
        json!({"RS256": 1}),
        json!(256),
        json!(true),
    ] {
        forged.push((
            format!("alg {alg}"),
            first.token_with(&header(json!({ "alg": alg })), &alice),
        ));
    }
    // Whatever is public about the key, as if it were a secret.
    let pem = |label: &str| {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----",
            STANDARD.encode(first.spki())
        )
    };
    let n = first.jwk()["n"].as_str().unwrap().to_owned();
    for secret in [
        pem("PUBLIC KEY").into_bytes(),
        format!("{}\n", pem("PUBLIC KEY")).into_bytes(),
        pem("RSA PUBLIC KEY").into_bytes(),
        first.spki(),
        n.clone().into_bytes(),
        URL_SAFE_NO_PAD.decode(&n).unwrap(),
        first.jwk().to_string().into_bytes(),
        first.kid.as_bytes().to_vec(),
        Vec::new(),
        b"null".to_vec(),
        b"secret".to_vec(),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut header = Header::new(algorithm);
            header.kid = Some(first.kid.to_owned());
            let token = encode(&header, &alice, &EncodingKey::from_secret(&secret)).unwrap();
            forged.push((
                format!("{algorithm:?} with {} bytes that are public", secret.len()),
                token,
            ));
        }
    }
    let as_first = with(second.jwk(), "kid", json!(first.kid));
    let certificate = json!([STANDARD.encode(second.spki())]);
    for more in [
        json!({"jwk": second.jwk()}),
        json!({"jwk": as_first}),
        json!({"jwk": as_first, "kid": "own"}),
        json!({"jku": elsewhere.url}),
        json!({"jku": elsewhere.url, "kid": second.kid}),
        json!({"x5u": elsewhere.url}),
        json!({"x5u": elsewhere.url, "kid": second.kid}),
        json!({"x5c": certificate}),
        json!({"x5c": certificate, "kid": second.kid}),
        json!({"x5t": "AAAA", "x5t#S256": "AAAA"}),
        json!({"iss": elsewhere.url, "keys": [second.jwk()]}),
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"zip": "DEF"}),
        json!({"enc": "A128GCM"}),
        json!({"cty": "JWT"}),
    ] {
        forged.push((
            format!("header {more}, another key"),
            second.token_with(&header(more), &alice),
        ));
    }
    let long = "k".repeat(10_000);
    for kid in [
        "",
        "second",
        "../../etc/passwd",
        "/dev/null",
        "..\\..\\x",
        "file:///etc/passwd",
        &elsewhere.url,
        "http://169.254.169.254/",
        "' OR '1'='1",
        "first'--",
        "first\u{0}",
        "first ",
        "FIRST",
        "first;second",
        "*",
        "0",
        "null",
        "{}",
        "ｆｉｒｓｔ",
        &long,
    ] {
        let header = header(json!({ "kid": kid }));
        forged.push((
            format!("kid {kid:.40}, another key"),
            second.token_with(&header, &alice),
        ));
        forged.push((
            format!("kid {kid:.40}, the right key"),
            first.token_with(&header, &alice),
        ));
    }
    for kid in [
        json!(null),
        json!(0),
        json!(["first"]),
        json!({"kid": "first"}),
        json!(true),
    ] {
        forged.push((
            format!("kid {kid}"),
            second.token_with(&header(json!({ "kid": kid })), &alice),
        ));
    }
    let (head, content) = (part(&header(json!({}))), part(&alice));
    for (about, token) in [
        ("a part too many", format!("{real}.x")),
        ("a part too few", format!("{head}.{signature}")),
        ("five parts, as if it were encrypted", format!("{real}.x.y")),
        (
            "other claims",
            format!(
                "{head}.{}.{signature}",
                part(&with(alice.clone(), "sub", json!("admin")))
            ),
        ),
        (
            "a signature in the other alphabet",
            format!("{head}.{content}.{}=", signature.replace('-', "+").replace('_', "/")),
        ),
        ("a signature and more", format!("{real}AAAA")),
        ("spaces within", format!("{head}. {content}.{signature}")),
        (
            "a signature of zeros",
            format!("{head}.{content}.{}", URL_SAFE_NO_PAD.encode([0; 256])),
        ),
        (
            "a signature of one",
            format!(
                "{head}.{content}.{}",
                URL_SAFE_NO_PAD.encode([&[0; 255][..], &[1]].concat())
            ),
        ),
        ("nothing in it", "..".to_owned()),
        ("JSON", alice.to_string()),
    ] {
        forged.push((about.to_owned(), token));
    }
    for (about, token) in forged {
        if token == real {
            continue;
        }
        with_token(&t, &token, &about, &tried).await;
    }
    assert_eq!(elsewhere.asked(), 0, "a token does not say where its key is");
    let most = 2 + usize::try_from(started.elapsed().as_secs() / 10).unwrap();
    assert!(
        place.asked() <= most,
        "nor does it make the platform be asked each time: {}",
        place.asked()
    );
}

async fn a_genuine_token_that_is_out_of_time_or_place(store: Store, tried: Tried) {
    let (t, _place) = verifying(store).await;
    let now = t.clock.now().as_second();
    let good = claims(&t, "alice");
    for (member, value) in [
        ("exp", json!(now - 1)),
        ("exp", json!(now)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(null)),
        ("exp", json!("9999999999")),
        ("exp", json!([now + 7200])),
        ("exp", json!(true)),
        ("nbf", json!(now + 120)),
        ("nbf", json!("soon")),
        ("nbf", json!(u64::MAX)),
        ("iat", json!(now + 120)),
        ("iat", json!("today")),
        ("project_id", json!("other-env")),
        ("project_id", json!("SANDBOX-ENV")),
        ("project_id", json!("sandbox-env ")),
        ("project_id", json!(["sandbox-env"])),
        ("project_id", json!({"sandbox-env": true})),
        ("project_id", json!("")),
        ("project_id", json!(null)),
        ("scope", json!("anonymous")),
        ("scope", json!(["user", "anonymous"])),
        ("scope", json!("user,anonymous")),
        ("name", json!("Anonymous")),
        ("provider_type", json!("anonymous")),
        ("provider", json!("ANONYMOUS")),
        ("sub", json!("")),
        ("sub", json!(null)),
        ("sub", json!(["alice"])),
        ("sub", json!({"$ne": null})),
        ("sub", json!(0)),
        ("sub", json!("alice\u{0}")),
        ("sub", json!("a".repeat(257))),
    ] {
        let token = SigningKey::first().token(&with(good.clone(), member, value.clone()));
        with_token(&t, &token, &format!("{member} = {value}"), &tried).await;
    }
    for member in ["sub", "exp", "project_id"] {
        let token = SigningKey::first().token(&without(good.clone(), member));
        with_token(&t, &token, &format!("no {member}"), &tried).await;
    }
    // Genuine, of now and here, and somebody else: close to her name is not hers.
    for sub in [
        "mallory",
        "Alice",
        "alice ",
        " alice",
        "alic",
        "alicea",
        "аlice",
        "*",
        "%",
        "alice%",
        "null",
        "' OR '1'='1",
    ] {
        let token = SigningKey::first().token(&with(with(good.clone(), "sub", json!(sub)), "meta", json!({})));
        let bearer = format!("Bearer {token}");
        let before = t.standing().await;
        for (action, body) in [
            ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"})),
            ("wxpay_refund", refund("ORDER_1", "REFUND_STOLEN", 100, 100)),
            ("wxpay_order", order("ORDER_1", 100)),
        ] {
            let came = t.act_as(&bearer, action, body).await;
            assert_eq!(came.failure(), (403, "FORBIDDEN"), "{sub}: {came:?}");
            assert_eq!(t.standing().await, before, "{sub}");
            tried.once();
        }
    }
}

/// Behind a gateway that has checked the signature, what the claims say still has to be somebody, here and now.
async fn a_token_whose_claims_name_nobody_or_somebody_else(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("envId", "sandbox-env")]).await;
    t.paid("ORDER_1", 100).await;
    let now = t.clock.now().as_second();
    let unsigned = |claims: &Value| format!("{}.{}.AAAA", part(&json!({"alg": "RS256", "kid": "x"})), part(claims));
    let good = claims(&t, "alice");
    for (member, value) in [
        ("sub", json!("")),
        ("sub", json!(null)),
        ("sub", json!(["alice"])),
        ("sub", json!("alice\u{0}")),
        ("exp", json!(now - 1)),
        ("exp", json!("9999999999")),
        ("nbf", json!(now + 3600)),
        ("project_id", json!("other-env")),
        ("project_id", json!(null)),
        ("scope", json!("anonymous")),
        ("name", json!("Anonymous")),
        ("provider_type", json!("anonymous")),
    ] {
        let token = unsigned(&with(good.clone(), member, value.clone()));
        with_token(&t, &token, &format!("{member} = {value}"), &tried).await;
    }
    for claims in [json!([]), json!("alice"), json!(null), json!([good]), json!({})] {
        with_token(&t, &unsigned(&claims), &claims.to_string(), &tried).await;
    }
    let anonymous = t.world.gateway().mint_token("alice", &TokenOptions::anonymous());
    with_token(&t, &anonymous, "an anonymous login", &tried).await;
    // What another provider of logins calls somebody is a name that he may have chosen.
    for claim in [
        json!({"provider_sub": OPENID}),
        json!({"provider_sub": OPENID, "provider_type": "email"}),
        json!({"provider_sub": OPENID, "provider": "custom"}),
        json!({"provider_sub": OPENID, "provider_type": "wechat", "provider": "github"}),
        json!({"provider_sub": OPENID, "provider_type": ["wechat"]}),
        json!({"openid": OPENID, "wxOpenId": OPENID}),
        json!({"meta": {"openid": OPENID}}),
        json!({"meta": {"wxOpenId": [OPENID]}}),
        json!({"meta": [{"wxOpenId": OPENID}]}),
        json!({"sub": OPENID}),
    ] {
        let mut claims = with(with(good.clone(), "sub", json!("mallory")), "meta", json!({}));
        claims
            .as_object_mut()
            .unwrap()
            .extend(claim.as_object().unwrap().clone());
        let bearer = format!("Bearer {}", unsigned(&claims));
        let before = t.standing().await;
        for (action, body) in [
            ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"})),
            ("wxpay_refund", refund("ORDER_1", "REFUND_STOLEN", 100, 100)),
        ] {
            let came = t.act_as(&bearer, action, body).await;
            assert_eq!(came.failure(), (403, "FORBIDDEN"), "{claim}: {came:?}");
            assert_eq!(t.standing().await, before, "{claim}");
            tried.once();
        }
    }
}
