//! Who may call, what is known of them, and which orders they may touch.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pay_common::sandbox::{Endpoint, Options, TokenOptions};
use serde_json::{Value, json};

use crate::support::app::{Came, OPENID, OPERATOR, TestApp, order, refund, sha256_hex};
use crate::support::body::{with, without};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    whoever_is_not_known_reaches_no_action,
    a_token_that_is_not_a_usable_login_is_refused,
    a_login_of_any_usable_form_is_taken,
    a_token_is_taken_until_it_expires,
    two_authorizations_are_none,
    an_operator_is_known_by_a_configured_key_only,
    with_an_environment_set_only_its_tokens_are_taken,
    platform_headers_name_nobody_unless_they_are_trusted,
    with_trusted_headers_the_platform_names_the_payer,
    nobody_pays_as_somebody_else_than_the_platform_says,
    the_payer_is_taken_from_the_login_when_the_body_names_none,
    what_another_provider_calls_a_person_opens_no_order,
    the_body_may_name_another_payer_beside_a_token,
    a_strangers_order_is_out_of_reach_and_wechat_is_not_asked,
    an_order_is_known_again_by_its_payers_openid,
    an_order_that_an_operator_placed_belongs_to_its_payer,
    an_operator_touches_every_order,
    refunds_of_the_owner_are_the_default,
    refunds_by_operators_only,
    refunds_by_anybody_who_is_known,
);

const QUERY: &str = "wxpay_query_order_by_out_trade_no";

/// A token with these claims. The gateway has checked signatures before the service sees one, so this one has none worth the name.
fn token_of(claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "test"});
    format!(
        "{}.{}.{}",
        part(&header),
        part(claims),
        URL_SAFE_NO_PAD.encode("signature")
    )
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The claims of a usable login.
fn claims(t: &TestApp, sub: &str) -> Value {
    json!({
        "iss": "http://sandbox-env.ap-shanghai.tcb-api.tencentcloudapi.com",
        "sub": sub,
        "aud": "client",
        "exp": t.clock.now().as_second() + 3600,
        "iat": t.clock.now().as_second(),
        "scope": "user",
        "project_id": "sandbox-env",
        "meta": {},
    })
}

#[track_caller]
fn assert_refused(came: &Came, status: u16, error: &str, about: &str) {
    assert_eq!(came.failure(), (status, error), "{about}: {came:?}");
    assert_eq!(
        (&came.body["code"], &came.body["data"]),
        (&json!(-1), &Value::Null),
        "{about}"
    );
    assert!(!came.body["msg"].as_str().unwrap().is_empty(), "{about}");
}

/// Places an order with these headers.
async fn place(t: &TestApp, headers: &[(&str, &str)], body: &Value) -> Came {
    t.post("/wx-pay/wxpay_order", headers, body.to_string()).await
}

/// The openid for which WeChat was asked.
fn payer_at_wechat(t: &TestApp, number: &str) -> Value {
    t.world.wechat().order(number).unwrap().params["payer"]["openid"].clone()
}

fn no_refund_ends() -> Options {
    Options {
        refund_after: None,
        ..Options::default()
    }
}

async fn whoever_is_not_known_reaches_no_action(store: Store) {
    let t = TestApp::start(store).await;
    for action in [
        "wxpay_order",
        QUERY,
        "wxpay_query_order_by_transaction_id",
        "wxpay_close_order",
        "wxpay_refund",
        "wxpay_refund_query",
    ] {
        // Not even what is wrong with the parameters is told to a stranger.
        for body in ["{}", r#"{"out_trade_no":"ORDER_1"}"#] {
            let came = t.post(&format!("/wx-pay/{action}"), &[], body).await;
            assert_refused(&came, 401, "UNAUTHENTICATED", action);
        }
        let at_root = t.post("/", &[], json!({"_action": action}).to_string()).await;
        assert_refused(&at_root, 401, "UNAUTHENTICATED", action);
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

async fn a_token_that_is_not_a_usable_login_is_refused(store: Store) {
    let t = TestApp::start(store).await;
    let now = t.clock.now().as_second();
    let good = claims(&t, "alice");
    let real = t.token("alice");
    let anonymous = t.world.gateway().mint_token("alice", &TokenOptions::anonymous());
    let expired = TokenOptions {
        expires_in: -1,
        ..TokenOptions::default()
    };
    let mut cases = vec![
        ("nothing".to_owned(), String::new()),
        ("no token".to_owned(), "Bearer".to_owned()),
        ("an empty token".to_owned(), "Bearer ".to_owned()),
        ("garbage".to_owned(), "Bearer garbage".to_owned()),
        ("three parts of garbage".to_owned(), "Bearer a.b.c".to_owned()),
        ("dots".to_owned(), "Bearer ..".to_owned()),
        ("another scheme".to_owned(), format!("Basic {real}")),
        ("no scheme".to_owned(), real.clone()),
        ("a part too many".to_owned(), format!("Bearer {real}.x")),
        ("two tokens".to_owned(), format!("Bearer {real} {real}")),
        ("an anonymous login".to_owned(), bearer(&anonymous)),
        (
            "an expired login".to_owned(),
            bearer(&t.world.gateway().mint_token("alice", &expired)),
        ),
    ];
    for (member, value) in [
        ("scope", json!("anonymous")),
        ("scope", json!("user anonymous")),
        ("scope", json!(["user", "anonymous"])),
        ("name", json!("Anonymous")),
        ("provider_type", json!("anonymous")),
        ("provider_type", json!("ANONYMOUS")),
        ("provider", json!("anonymous")),
        ("sub", json!("")),
        ("sub", Value::Null),
        ("sub", json!(5)),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("x".repeat(257))),
        ("exp", Value::Null),
        ("exp", json!("9999999999")),
        ("exp", json!(true)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(now)),
        ("exp", json!(now - 1)),
        ("nbf", json!(now + 3600)),
    ] {
        let about = format!("{member} = {value}");
        cases.push((about, bearer(&token_of(&with(good.clone(), member, value)))));
    }
    for member in ["sub", "exp"] {
        cases.push((
            format!("no {member}"),
            bearer(&token_of(&without(good.clone(), member))),
        ));
    }
    for no_claims in [json!([]), json!("alice"), json!(5), Value::Null] {
        cases.push((format!("claims {no_claims}"), bearer(&token_of(&no_claims))));
    }
    for (about, authorization) in cases {
        let came = place(&t, &[("authorization", &authorization)], &order("ORDER_1", 100)).await;
        assert_refused(&came, 401, "UNAUTHENTICATED", &about);
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
    assert_eq!(t.state("ORDER_1").await, None);
}

async fn a_login_of_any_usable_form_is_taken(store: Store) {
    let t = TestApp::start(store).await;
    let now = t.clock.now().as_second();
    let good = claims(&t, "alice");
    for (count, usable) in [
        good.clone(),
        json!({"sub": "alice", "exp": now + 1000}),
        with(good.clone(), "scope", json!(["user"])),
        with(good.clone(), "name", json!("anonymous coward")),
        with(good.clone(), "provider_type", json!("wechat")),
        with(good.clone(), "nbf", json!(now)),
        with(good.clone(), "meta", Value::Null),
        with(good.clone(), "sub", json!("用户")),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER_{count}");
        let authorization = bearer(&token_of(&usable));
        place(&t, &[("authorization", &authorization)], &order(&number, 100))
            .await
            .data();
    }
    for scheme in ["bearer", "BEARER"] {
        let authorization = format!("{scheme} {}", t.token("alice"));
        let came = t
            .act_as(&authorization, QUERY, json!({"out_trade_no": "ORDER_0"}))
            .await;
        assert_eq!(came.data()["out_trade_no"], "ORDER_0", "{scheme}");
    }
}

async fn a_token_is_taken_until_it_expires(store: Store) {
    let t = TestApp::start(store).await;
    t.placed("ORDER_1", 100).await;
    let authorization = bearer(&t.token("alice"));
    let query = json!({"out_trade_no": "ORDER_1"});
    t.advance(std::time::Duration::from_secs(7190));
    t.act_as(&authorization, QUERY, query.clone()).await.data();
    t.advance(std::time::Duration::from_secs(20));
    let came = t.act_as(&authorization, QUERY, query).await;
    assert_refused(&came, 401, "UNAUTHENTICATED", "after two hours");
}

async fn two_authorizations_are_none(store: Store) {
    let t = TestApp::start(store).await;
    let (alice, operator) = (bearer(&t.token("alice")), bearer(OPERATOR));
    for (first, second) in [(&alice, &alice), (&alice, &operator), (&operator, &alice)] {
        let headers = [("authorization", first.as_str()), ("authorization", second.as_str())];
        let came = place(&t, &headers, &order("ORDER_1", 100)).await;
        assert_refused(&came, 401, "UNAUTHENTICATED", "two headers");
    }
    let joined = format!("{alice}, {operator}");
    let came = place(&t, &[("authorization", &joined)], &order("ORDER_1", 100)).await;
    assert_refused(&came, 401, "UNAUTHENTICATED", "two in one header");
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

async fn an_operator_is_known_by_a_configured_key_only(store: Store) {
    let second = "op_the_second_key_of_this_test";
    let keys = format!("{},{}", sha256_hex(OPERATOR), sha256_hex(second));
    let t = TestApp::start_with(store, Options::default(), &[("operatorKeys", &keys)]).await;
    for (count, key) in [OPERATOR, second].into_iter().enumerate() {
        let number = format!("ORDER_{count}");
        t.act_as(&bearer(key), "wxpay_order", order(&number, 100)).await.data();
    }
    let hash = sha256_hex(OPERATOR);
    for wrong in [
        "op_",
        "op_wrong",
        &format!("{OPERATOR}x"),
        &OPERATOR.to_ascii_uppercase(),
        OPERATOR.strip_suffix("f").unwrap(),
        // Whoever reads the settings has no key.
        &hash,
        &format!("op_{hash}"),
    ] {
        let came = t.act_as(&bearer(wrong), "wxpay_order", order("ORDER_9", 100)).await;
        assert_refused(&came, 401, "UNAUTHENTICATED", wrong);
    }
    // An operator pays for nobody in particular: the payer has to be named.
    let nameless = t
        .act_as(
            &bearer(OPERATOR),
            "wxpay_order",
            without(order("ORDER_9", 100), "payer"),
        )
        .await;
    assert_refused(&nameless, 400, "INVALID_PARAM", "no payer");
    assert_eq!(t.world.wechat().count(Endpoint::Prepay), 2);
}

async fn with_an_environment_set_only_its_tokens_are_taken(store: Store) {
    let t = TestApp::start_with(store, Options::default(), &[("envId", "sandbox-env")]).await;
    t.placed("ORDER_1", 100).await;
    let good = claims(&t, "alice");
    for other in [
        with(good.clone(), "project_id", json!("other-env")),
        with(good.clone(), "project_id", json!("")),
        with(good.clone(), "project_id", json!(["sandbox-env"])),
        without(good.clone(), "project_id"),
    ] {
        let came = t
            .act_as(&bearer(&token_of(&other)), QUERY, json!({"out_trade_no": "ORDER_1"}))
            .await;
        assert_refused(&came, 401, "UNAUTHENTICATED", &other["project_id"].to_string());
    }
    t.act_as(&bearer(&token_of(&good)), QUERY, json!({"out_trade_no": "ORDER_1"}))
        .await
        .data();
    t.act_as(&bearer(OPERATOR), QUERY, json!({"out_trade_no": "ORDER_1"}))
        .await
        .data();
}

async fn platform_headers_name_nobody_unless_they_are_trusted(store: Store) {
    for setting in ["auto", "false"] {
        let settings = [("trustPlatformHeaders", setting)];
        let t = TestApp::start_with(store, Options::default(), &settings).await;
        let headers = [
            ("x-wx-openid", OPENID),
            ("x-wx-appid", t.world.keys().mini_program_appid()),
            ("x-wx-source", "wx_client"),
        ];
        let came = place(&t, &headers, &order("ORDER_1", 100)).await;
        assert_refused(&came, 401, "UNAUTHENTICATED", setting);

        // Beside a token they neither name the payer nor choose the app nor open somebody's order.
        let mallory = bearer(&t.token("mallory"));
        let headers = [("authorization", mallory.as_str()), ("x-wx-openid", OPENID)];
        let came = place(&t, &headers, &without(order("ORDER_1", 100), "payer")).await;
        assert_refused(&came, 400, "INVALID_PARAM", setting);
        t.act_as(&bearer(OPERATOR), "wxpay_order", order("ORDER_2", 100))
            .await
            .data();
        let query = json!({"out_trade_no": "ORDER_2"}).to_string();
        let came = t.post(&format!("/wx-pay/{QUERY}"), &headers, query).await;
        assert_refused(&came, 403, "FORBIDDEN", setting);
    }
}

async fn with_trusted_headers_the_platform_names_the_payer(store: Store) {
    let settings = [("trustPlatformHeaders", "true")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    let service_app = t.world.keys().appid().to_owned();

    let nameless = |number: &str| without(order(number, 100), "payer");
    place(&t, &[("x-wx-openid", "o_platform")], &nameless("ORDER_1"))
        .await
        .data();
    assert_eq!(payer_at_wechat(&t, "ORDER_1"), "o_platform");

    let headers = [("x-wx-openid", "o_platform"), ("x-wx-appid", service_app.as_str())];
    let came = place(&t, &headers, &nameless("ORDER_2")).await;
    assert_eq!(came.data()["appId"], service_app, "the app that the platform names");
    let headers = [("x-wx-openid", "o_platform"), ("x-wx-appid", "wx0000000000000000")];
    let came = place(&t, &headers, &nameless("ORDER_3")).await;
    assert_eq!(
        came.data()["appId"],
        t.world.keys().mini_program_appid(),
        "an app that is not configured is not chosen"
    );

    // These name nobody, however much they are trusted.
    let integration = t.world.center().integration_id().to_owned();
    for headers in [
        vec![("x-wx-source", "wx_client")],
        vec![("x-wx-source", "wx_devtools"), ("x-wx-appid", service_app.as_str())],
        vec![("x-authmethod", "UNAUTHORIZED")],
        vec![("x-tcb-integration-id", integration.as_str())],
        vec![("x-wx-unionid", "u_platform")],
        vec![("x-wx-openid", "")],
        vec![("x-wx-openid", "two words")],
    ] {
        let came = place(&t, &headers, &order("ORDER_9", 100)).await;
        assert_refused(&came, 401, "UNAUTHENTICATED", &format!("{headers:?}"));
    }
    assert_eq!(t.state("ORDER_9").await, None);
}

async fn nobody_pays_as_somebody_else_than_the_platform_says(store: Store) {
    let settings = [("trustPlatformHeaders", "true")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    let alice = bearer(&t.token("alice"));
    for headers in [
        vec![("x-wx-openid", "o_platform")],
        vec![("x-wx-openid", "o_platform"), ("authorization", alice.as_str())],
    ] {
        let came = place(&t, &headers, &order("ORDER_1", 100)).await;
        assert_refused(&came, 400, "INVALID_PARAM", &format!("{headers:?}"));
        assert!(came.body["msg"].as_str().unwrap().starts_with("payer.openid "));
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
    place(&t, &[("x-wx-openid", OPENID)], &order("ORDER_1", 100))
        .await
        .data();
    assert_eq!(payer_at_wechat(&t, "ORDER_1"), OPENID);

    // An operator acts for the merchant, whatever header came along.
    let operator = bearer(OPERATOR);
    let headers = [("x-wx-openid", "o_platform"), ("authorization", operator.as_str())];
    place(&t, &headers, &order("ORDER_2", 100)).await.data();
    assert_eq!(payer_at_wechat(&t, "ORDER_2"), OPENID);
}

async fn the_payer_is_taken_from_the_login_when_the_body_names_none(store: Store) {
    let settings = [("trustPlatformHeaders", "true")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    let plain = claims(&t, "alice");
    let of_wechat = with(
        with(plain.clone(), "provider_type", json!("wechat")),
        "provider_sub",
        json!("o_provider"),
    );
    let of_meta = with(plain.clone(), "meta.wxOpenId", json!("o_meta"));
    let of_both = with(of_wechat.clone(), "meta.wxOpenId", json!("o_meta"));
    let of_other_provider = with(of_meta.clone(), "provider_sub", json!("not an openid"));
    let of_unnamed_provider = with(plain.clone(), "provider_sub", json!(OPENID));
    for (count, (login, header, payer)) in [
        (&of_wechat, None, "o_provider"),
        (&of_meta, None, "o_meta"),
        (&of_both, None, "o_provider"),
        (&of_other_provider, None, "o_meta"),
        (&of_unnamed_provider, None, OPENID),
        (&plain, Some("o_header"), "o_header"),
    ]
    .into_iter()
    .enumerate()
    {
        for (kind, payer_member) in [
            ("ABSENT", None),
            ("EMPTY", Some(json!({}))),
            ("NULL", Some(json!({"openid": null}))),
        ] {
            let number = format!("ORDER_{count}_{kind}");
            let mut body = without(order(&number, 100), "payer");
            if let Some(member) = payer_member {
                body = with(body, "payer", member);
            }
            let authorization = bearer(&token_of(login));
            let mut headers = vec![("authorization", authorization.as_str())];
            headers.extend(header.map(|openid| ("x-wx-openid", openid)));
            place(&t, &headers, &body).await.data();
            assert_eq!(payer_at_wechat(&t, &number), payer, "{number}");
        }
    }
}

/// A name of one's own choice at some other provider, like somebody's openid.
async fn what_another_provider_calls_a_person_opens_no_order(store: Store) {
    let t = TestApp::start(store).await;
    let alice = t.world.gateway().mint_token("alice", &TokenOptions::wechat(OPENID));
    t.act_as(&bearer(&alice), "wxpay_order", order("ORDER_1", 100))
        .await
        .data();
    let mallory = with(claims(&t, "mallory"), "provider_sub", json!(OPENID));
    for login in [
        mallory.clone(),
        with(mallory.clone(), "provider_type", json!("custom")),
        with(mallory.clone(), "provider", json!("github")),
    ] {
        let authorization = bearer(&token_of(&login));
        for (action, body) in [
            (QUERY, json!({"out_trade_no": "ORDER_1"})),
            ("wxpay_close_order", json!({"out_trade_no": "ORDER_1"})),
            ("wxpay_order", order("ORDER_1", 100)),
        ] {
            let came = t.act_as(&authorization, action, body).await;
            assert_refused(&came, 403, "FORBIDDEN", &format!("{action} {login}"));
        }
    }
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("NOTPAY"));

    // Nor does it say who pays.
    let named = with(mallory, "provider_type", json!("custom"));
    let body = without(order("ORDER_2", 100), "payer");
    let came = place(&t, &[("authorization", &bearer(&token_of(&named)))], &body).await;
    assert_refused(&came, 400, "INVALID_PARAM", "no payer");
}

async fn the_body_may_name_another_payer_beside_a_token(store: Store) {
    let t = TestApp::start(store).await;
    let login = t.world.gateway().mint_token("alice", &TokenOptions::wechat("o_login"));
    t.act_as(&bearer(&login), "wxpay_order", order("ORDER_1", 100))
        .await
        .data();
    assert_eq!(payer_at_wechat(&t, "ORDER_1"), OPENID);
}

/// Everything that somebody could try on alice's paid order with its refund, and on her open order.
fn attempts(t: &TestApp) -> Vec<(&'static str, Value)> {
    let id = t.world.wechat().order("PAID_1").unwrap().transaction_id.unwrap();
    vec![
        (QUERY, json!({"out_trade_no": "OPEN_1"})),
        (QUERY, json!({"out_trade_no": "PAID_1"})),
        ("wxpay_query_order_by_transaction_id", json!({"transaction_id": id})),
        ("wxpay_close_order", json!({"out_trade_no": "OPEN_1"})),
        ("wxpay_close_order", json!({"out_trade_no": "PAID_1"})),
        ("wxpay_order", order("OPEN_1", 100)),
        ("wxpay_order", order("PAID_1", 100)),
        ("wxpay_order", order("OPEN_1", 1)),
        (
            "wxpay_order",
            with(order("OPEN_1", 100), "payer.openid", json!("o_other")),
        ),
        ("wxpay_refund", refund("PAID_1", "REFUND_1", 30, 100)),
        ("wxpay_refund", refund("PAID_1", "REFUND_2", 30, 100)),
        ("wxpay_refund", refund("PAID_1", "REFUND_2", 30, 99)),
        (
            "wxpay_refund",
            json!({"transaction_id": id, "out_refund_no": "REFUND_2", "amount": {"refund": 1, "total": 100}}),
        ),
        ("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})),
    ]
}

async fn with_alices_orders(store: Store, settings: &[(&str, &str)]) -> TestApp {
    let t = TestApp::start_with(store, no_refund_ends(), settings).await;
    t.placed("OPEN_1", 100).await;
    t.paid("PAID_1", 100).await;
    t.act_as(&bearer(OPERATOR), "wxpay_refund", refund("PAID_1", "REFUND_1", 30, 100))
        .await
        .data();
    t
}

async fn a_strangers_order_is_out_of_reach_and_wechat_is_not_asked(store: Store) {
    let t = with_alices_orders(store, &[("trustPlatformHeaders", "true")]).await;
    let asked = t.world.wechat().count(Endpoint::Any);
    let of_wechat = TokenOptions::wechat("o_mallory");
    // The payer's openid as somebody's uid opens nothing, nor does a uid as somebody's openid.
    let strangers = [
        ("mallory", vec![("authorization", bearer(&t.token("mallory")))]),
        (
            "mallory by WeChat",
            vec![(
                "authorization",
                bearer(&t.world.gateway().mint_token("mallory", &of_wechat)),
            )],
        ),
        (
            "a uid like an openid",
            vec![("authorization", bearer(&t.token(OPENID)))],
        ),
        ("an openid like a uid", vec![("x-wx-openid", "alice".to_owned())]),
        ("nearly alice", vec![("authorization", bearer(&t.token("Alice")))]),
    ];
    for (who, headers) in &strangers {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for (action, body) in attempts(&t) {
            let body = if *who == "an openid like a uid" && action == "wxpay_order" {
                with(body, "payer.openid", json!("alice"))
            } else {
                body
            };
            let came = t.post(&format!("/wx-pay/{action}"), &headers, body.to_string()).await;
            assert_refused(&came, 403, "FORBIDDEN", &format!("{who}: {action} {body}"));
        }
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), asked);
    assert_eq!(t.state("OPEN_1").await.as_deref(), Some("NOTPAY"));
    assert_eq!(t.held("PAID_1").await, 30);
    let events = t.events("PAID_1").await;
    assert_eq!(events, ["order.created", "order.paid", "refund.created"]);
}

async fn an_order_is_known_again_by_its_payers_openid(store: Store) {
    let settings = [("trustPlatformHeaders", "true")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    let login = t.world.gateway().mint_token("alice", &TokenOptions::wechat("o_alice"));
    t.act_as(&bearer(&login), "wxpay_order", order("ORDER_1", 100))
        .await
        .data();
    let query = json!({"out_trade_no": "ORDER_1"});
    // The same person in the Mini Program, and after a login that made another uid.
    let by_header = t
        .post(
            &format!("/wx-pay/{QUERY}"),
            &[("x-wx-openid", "o_alice")],
            query.to_string(),
        )
        .await;
    assert_eq!(by_header.data()["out_trade_no"], "ORDER_1");
    let other_uid = t.world.gateway().mint_token("alice2", &TokenOptions::wechat("o_alice"));
    t.act_as(&bearer(&other_uid), QUERY, query.clone()).await.data();
    // And by the uid alone, without the openid.
    t.act(QUERY, query).await.data();
}

async fn an_order_that_an_operator_placed_belongs_to_its_payer(store: Store) {
    let settings = [("trustPlatformHeaders", "true")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    t.act_as(&bearer(OPERATOR), "wxpay_order", order("ORDER_1", 100))
        .await
        .data();
    let query = json!({"out_trade_no": "ORDER_1"});
    let path = format!("/wx-pay/{QUERY}");
    t.post(&path, &[("x-wx-openid", OPENID)], query.to_string())
        .await
        .data();
    let came = t.post(&path, &[("x-wx-openid", "o_other")], query.to_string()).await;
    assert_refused(&came, 403, "FORBIDDEN", "another openid");
}

async fn an_operator_touches_every_order(store: Store) {
    let t = with_alices_orders(store, &[]).await;
    let operator = bearer(OPERATOR);
    let id = t.world.wechat().order("PAID_1").unwrap().transaction_id.unwrap();
    for (action, body) in [
        (QUERY, json!({"out_trade_no": "PAID_1"})),
        ("wxpay_query_order_by_transaction_id", json!({"transaction_id": id})),
        ("wxpay_order", order("OPEN_1", 100)),
        ("wxpay_refund", refund("PAID_1", "REFUND_2", 30, 100)),
        ("wxpay_refund_query", json!({"out_refund_no": "REFUND_1"})),
        ("wxpay_close_order", json!({"out_trade_no": "OPEN_1"})),
    ] {
        t.act_as(&operator, action, body).await.data();
    }
    assert_eq!(t.state("OPEN_1").await.as_deref(), Some("CLOSED"));
    assert_eq!(t.held("PAID_1").await, 60);
}

/// Who may refund alice's order under this policy: alice, somebody else, an operator.
async fn may_refund(store: Store, settings: &[(&str, &str)], allowed: [bool; 3]) {
    let t = TestApp::start_with(store, no_refund_ends(), settings).await;
    t.paid("PAID_1", 100).await;
    let who = [bearer(&t.token("alice")), bearer(&t.token("mallory")), bearer(OPERATOR)];
    let mut held = 0;
    for (count, (authorization, may)) in who.iter().zip(allowed).enumerate() {
        let asked = t.world.wechat().count(Endpoint::Any);
        let number = format!("REFUND_{count}");
        let came = t
            .act_as(authorization, "wxpay_refund", refund("PAID_1", &number, 10, 100))
            .await;
        if may {
            assert_eq!(came.data()["out_refund_no"], number);
            held += 10;
        } else {
            assert_refused(&came, 403, "FORBIDDEN", &format!("{settings:?}, caller {count}"));
            assert_eq!(t.world.wechat().count(Endpoint::Any), asked);
        }
    }
    assert_eq!(t.held("PAID_1").await, held);
    let nobody = t
        .post(
            "/wx-pay/wxpay_refund",
            &[],
            refund("PAID_1", "REFUND_9", 10, 100).to_string(),
        )
        .await;
    assert_refused(&nobody, 401, "UNAUTHENTICATED", "nobody");
}

async fn refunds_of_the_owner_are_the_default(store: Store) {
    may_refund(store, &[], [true, false, true]).await;
    may_refund(store, &[("refundPolicy", "owner")], [true, false, true]).await;
}

async fn refunds_by_operators_only(store: Store) {
    may_refund(store, &[("refundPolicy", "operator")], [false, false, true]).await;
}

async fn refunds_by_anybody_who_is_known(store: Store) {
    may_refund(store, &[("refundPolicy", "any")], [true, true, true]).await;
}
