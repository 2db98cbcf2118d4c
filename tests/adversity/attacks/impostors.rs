//! To be somebody else without a token of theirs: headers, operator keys, tokens where they do not belong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pay_common::sandbox::Options;
use serde_json::{Value, json};

use super::logins::{as_alice, claims, with_token};
use super::standing::{MALLORYS_OPENID, refused};
use crate::case::{Tried, cases};
use crate::support::app::{OPENID, OPERATOR, TestApp, order, refund, sha256_hex};
use crate::support::body::{with, without};
use crate::support::database::Store;
use crate::support::keys::{KeyPlace, Says, SigningKey};
use crate::support::payouts::transfer;

cases!(Attack:
    two_tokens_and_tokens_in_the_wrong_place => "the rights of one caller with the name of another",
    a_ticket_as_a_token_and_a_token_as_a_ticket => "a login, or a price, of one's own making",
    platform_headers_from_outside_the_platform => "anybody's orders by naming their openid",
    a_guessed_operator_key => "refunds of every order and payouts of the whole balance",
);

async fn two_tokens_and_tokens_in_the_wrong_place(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 100).await;
    let (alice, mallory, operator) = (t.bearer("alice"), t.bearer("mallory"), format!("Bearer {OPERATOR}"));
    let token = t.token("alice");
    for (first, second) in [
        (&alice, &alice),
        (&mallory, &alice),
        (&alice, &mallory),
        (&mallory, &operator),
        (&operator, &mallory),
    ] {
        let headers = [("authorization", first.as_str()), ("authorization", second.as_str())];
        as_alice(&t, &headers, "two headers", &tried).await;
        as_alice(
            &t,
            &[("authorization", &format!("{first}, {second}"))],
            "two in one",
            &tried,
        )
        .await;
        as_alice(
            &t,
            &[("authorization", &format!("{first} {second}"))],
            "two in one",
            &tried,
        )
        .await;
    }
    for value in [
        token.clone(),
        format!("Basic {token}"),
        format!("Token {token}"),
        format!("Bearer:{token}"),
        format!("Bearer\t{token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer token={token}"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer null".to_owned(),
        "Bearer undefined".to_owned(),
    ] {
        as_alice(&t, &[("authorization", &value)], &value, &tried).await;
    }
    for name in [
        "x-authorization",
        "proxy-authorization",
        "cookie",
        "x-wx-token",
        "x-cloudbase-context",
        "x-access-token",
        "x-forwarded-authorization",
    ] {
        as_alice(&t, &[(name, &alice)], name, &tried).await;
        as_alice(&t, &[(name, &operator)], name, &tried).await;
    }
    // Nor does the body, or the address, say who calls.
    for member in [
        "authorization",
        "token",
        "access_token",
        "sub",
        "openid",
        "operator",
        "_token",
    ] {
        for value in [&alice, &token, &operator, &"alice".to_owned()] {
            let before = t.standing().await;
            let body = with(refund("ORDER_1", "REFUND_STOLEN", 100, 100), member, json!(value));
            for path in [
                "/wx-pay/wxpay_refund".to_owned(),
                format!("/wx-pay/wxpay_refund?{member}={token}"),
            ] {
                let came = t.post(&path, &[], body.to_string()).await;
                assert_eq!(came.status, 401, "{member}: {came:?}");
                assert_eq!(t.standing().await, before, "{member}");
                tried.once();
            }
        }
    }
}

async fn a_ticket_as_a_token_and_a_token_as_a_ticket(store: Store, tried: Tried) {
    const SECRET: &str = "the-secret-of-the-backend-0123456789";
    let place = KeyPlace::open(Says::Keys(vec![SigningKey::first().jwk()])).await;
    let settings = [
        ("authJwksUrl", place.url.as_str()),
        ("envId", "sandbox-env"),
        ("orderTicketSecret", SECRET),
        ("requireOrderTicket", "true"),
    ];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    let now = t.clock.now().as_second();
    let both = json!({
        "sub": "alice", "iat": now, "exp": now + 600, "scope": "user", "project_id": "sandbox-env",
        "out_trade_no": "ORDER_2", "description": "x", "amount": {"total": 1},
    });
    let ticket_claims = without(without(both.clone(), "scope"), "project_id");
    let hs = |claims: &Value, kid: Option<&str>| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    let ticket = hs(&ticket_claims, None);
    let alice = format!("Bearer {}", SigningKey::first().token(&claims(&t, "alice")));
    let body = |ticket: &str| json!({"order_ticket": ticket, "payer": {"openid": OPENID}});
    t.act_as(
        &alice,
        "wxpay_order",
        with(
            body(&hs(
                &with(ticket_claims.clone(), "out_trade_no", json!("ORDER_1")),
                None,
            )),
            "out_trade_no",
            json!("ORDER_1"),
        ),
    )
    .await
    .data();
    for token in [ticket, hs(&both, None), hs(&both, Some("first")), hs(&both, Some(""))] {
        with_token(&t, &token, "a ticket as a token", &tried).await;
    }
    let first = SigningKey::first();
    let tokens = [
        first.token(&both),
        first.token(&ticket_claims),
        first.token(&claims(&t, "alice")),
        first.token_with(&json!({"alg": "HS256"}), &ticket_claims),
        first.token_with(&json!({"alg": "RS256"}), &ticket_claims),
        SigningKey::second().token(&ticket_claims),
    ];
    let before = t.standing().await;
    for token in tokens {
        let came = t.act_as(&alice, "wxpay_order", body(&token)).await;
        assert_eq!(came.failure(), (403, "ORDER_TICKET_INVALID"), "{came:?}");
        assert_eq!(t.standing().await, before);
        tried.once();
    }
}

async fn platform_headers_from_outside_the_platform(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 100).await;
    let app = t.world.keys().mini_program_appid().to_owned();
    let id = t.world.center().integration_id().to_owned();
    let context =
        STANDARD.encode(json!({"env": "sandbox-env", "openid": OPENID, "uid": "alice", "isAdmin": true}).to_string());
    let all: Vec<(&str, &str)> = vec![
        ("x-wx-openid", OPENID),
        ("x-wx-appid", &app),
        ("x-wx-source", "wx_client"),
        ("x-wx-unionid", OPENID),
        ("x-wx-env", "sandbox-env"),
        ("x-wx-service", "pay-common"),
        ("x-wx-from-openid", OPENID),
        ("x-wx-from-appid", &app),
        ("x-wx-cloudbase-access-token", "x"),
        ("x-cloudbase-context", &context),
        ("x-tcb-integration-id", &id),
        ("x-tcb-context", &context),
        ("x-authmethod", "WX_SERVER_AUTH"),
        ("x-real-user", "alice"),
        ("x-forwarded-user", "alice"),
        ("x-original-url", "/internal"),
    ];
    for header in &all {
        as_alice(&t, &[*header], header.0, &tried).await;
    }
    as_alice(&t, &all, "all of them", &tried).await;
    let mallory = t.bearer("mallory");
    let before = t.standing().await;
    for header in &all {
        for (action, body) in [
            ("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"})),
            ("wxpay_refund", refund("ORDER_1", "REFUND_STOLEN", 100, 100)),
            ("wxpay_transfer", transfer("TSTOLEN", 500)),
        ] {
            let headers = [("authorization", mallory.as_str()), *header];
            let came = t.post(&format!("/wx-pay/{action}"), &headers, body.to_string()).await;
            assert_eq!(came.failure(), (403, "FORBIDDEN"), "{}: {came:?}", header.0);
            assert_eq!(t.standing().await, before, "{}", header.0);
            tried.once();
        }
    }
    // Where they are trusted, one that was added to the client's own is nobody's.
    let trusting = TestApp::start_with(store, Options::default(), &[("trustPlatformHeaders", "true")]).await;
    let alice = format!("Bearer {}", trusting.token_of("alice", OPENID));
    trusting
        .act_as(&alice, "wxpay_order", order("ORDER_1", 100))
        .await
        .data();
    let joined = format!("{OPENID}, {MALLORYS_OPENID}");
    for headers in [
        vec![("x-wx-openid", OPENID), ("x-wx-openid", MALLORYS_OPENID)],
        vec![("x-wx-openid", MALLORYS_OPENID), ("x-wx-openid", OPENID)],
        vec![("x-wx-openid", OPENID), ("x-wx-openid", OPENID)],
        vec![("x-wx-openid", OPENID), ("x-wx-appid", "a"), ("x-wx-appid", "b")],
        vec![("x-wx-openid", &joined)],
        vec![("x-wx-openid", ""), ("x-wx-openid", OPENID)],
        vec![("x-wx-unionid", OPENID)],
        vec![("x-wx-from-openid", OPENID)],
    ] {
        as_alice(&trusting, &headers, &format!("{headers:?}"), &tried).await;
    }
    assert!(refused(
        &trusting
            .post(
                "/wx-pay/wxpay_order",
                &[("x-wx-openid", MALLORYS_OPENID)],
                order("ORDER_2", 1).to_string()
            )
            .await
    ));
}

async fn a_guessed_operator_key(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.paid("ORDER_1", 100).await;
    let hash = sha256_hex(OPERATOR);
    let mut guesses: Vec<String> = (0..OPERATOR.len())
        .map(|length| OPERATOR.chars().take(length).collect())
        .collect();
    guesses.extend([
        hash.clone(),
        format!("op_{hash}"),
        format!("sha256:{hash}"),
        hash.to_uppercase(),
        sha256_hex(&hash),
        format!("{OPERATOR}x"),
        format!("{OPERATOR}\u{a0}"),
        format!("{OPERATOR},{OPERATOR}"),
        OPERATOR.to_uppercase(),
        format!("OP_{}", OPERATOR.strip_prefix("op_").unwrap()),
        OPERATOR.replacen("op_", "", 1),
        "op_".to_owned(),
        "op_null".to_owned(),
        "op_*".to_owned(),
        "op_%".to_owned(),
        "op_' OR '1'='1".to_owned(),
        format!("op_{}", "A".repeat(10_000)),
    ]);
    for guess in guesses {
        with_token(&t, &guess, &guess, &tried).await;
    }
    // Without any key set there is no operator.
    let closed = TestApp::start_with(store, Options::default(), &[("operatorKeys", "")]).await;
    closed.paid("ORDER_1", 100).await;
    for guess in [
        OPERATOR,
        "op_",
        "op_x",
        &sha256_hex(""),
        &format!("op_{}", sha256_hex("")),
    ] {
        with_token(&closed, guess, guess, &tried).await;
    }
}
