//! Order tickets: what the merchant's backend has signed, and what a page can still choose beside it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pay_common::sandbox::{Endpoint, Options};
use serde_json::{Value, json};

use crate::support::app::{Came, OPENID, OPERATOR, TestApp, order};
use crate::support::body::{with, without};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    the_same_ticket_is_the_same_order_whatever_stands_beside_it,
    fifty_pages_with_one_ticket_are_one_order_of_its_amount,
);

const SECRET: &str = "the-secret-of-the-backend-0123456789";
const NEXT_SECRET: &str = "the-next-secret-of-the-backend-0123";

async fn with_tickets(store: Store, settings: &[(&str, &str)]) -> TestApp {
    let mut all = vec![("orderTicketSecret", SECRET)];
    all.extend_from_slice(settings);
    TestApp::start_with(store, Options::default(), &all).await
}

async fn only_with_tickets() -> TestApp {
    let settings = [("requireOrderTicket", "true"), ("trustPlatformHeaders", "true")];
    with_tickets(Store::Sqlite, &settings).await
}

/// What a backend signs.
fn claims(t: &TestApp, number: &str, total: i64) -> Value {
    json!({
        "out_trade_no": number,
        "description": "Signed product",
        "amount": {"total": total, "currency": "CNY"},
        "exp": t.clock.now().as_second() + 600,
    })
}

fn signed_with(secret: &str, claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn signed(claims: &Value) -> String {
    signed_with(SECRET, claims)
}

/// What a page sends that has nothing but the ticket and its payer.
fn page(ticket: &str) -> Value {
    json!({"order_ticket": ticket, "payer": {"openid": OPENID}})
}

fn at_wechat(t: &TestApp, number: &str) -> Value {
    t.world.wechat().order(number).unwrap().params.clone()
}

#[track_caller]
fn assert_refused(came: &Came, error: &str, about: &str) {
    assert_eq!(came.failure(), (403, error), "{about}: {came:?}");
    assert_eq!(
        (&came.body["code"], &came.body["data"]),
        (&json!(-1), &Value::Null),
        "{about}"
    );
}

#[tokio::test]
async fn what_the_ticket_says_wins() {
    let t = with_tickets(Store::Sqlite, &[]).await;
    let ticket = signed(&claims(&t, "ORDER_1", 100));
    // A page that lies about everything it may repeat.
    let mut body = with(order("ORDER_1", 1), "order_ticket", json!(ticket));
    body["description"] = json!("Cheap product");
    t.act("wxpay_order", body).await.data();
    let asked = at_wechat(&t, "ORDER_1");
    assert_eq!(asked["amount"], json!({"total": 100, "currency": "CNY"}));
    assert_eq!(asked["description"], "Signed product");

    // And one that leaves it all to the ticket, at the other door.
    let ticket = signed(&claims(&t, "ORDER_2", 200));
    let authorization = format!("Bearer {}", t.token("alice"));
    let body = with(page(&ticket), "_action", json!("wxpay_order"));
    t.post("/", &[("authorization", &authorization)], body.to_string())
        .await
        .data();
    assert_eq!(at_wechat(&t, "ORDER_2")["amount"]["total"], 200);
}

#[tokio::test]
async fn a_ticket_may_say_more_and_then_that_wins_too() {
    let t = with_tickets(Store::Sqlite, &[]).await;
    let mut ticket = claims(&t, "ORDER_1", 100);
    ticket["attach"] = json!("item=7");
    ticket["goods_tag"] = json!("SUMMER");
    ticket["settle_info"] = json!({"profit_sharing": false});
    ticket["payer"] = json!({"openid": "o_signed_payer"});
    for (claim, value) in [
        ("iss", json!("shop")),
        ("aud", json!(["pay"])),
        ("jti", json!("1")),
        ("iat", json!(1)),
    ] {
        ticket[claim] = value;
    }
    // What it says may be repeated.
    let body = with(
        with(page(&signed(&ticket)), "attach", json!("item=7")),
        "out_trade_no",
        json!("ORDER_1"),
    );
    t.act("wxpay_order", body).await.data();
    let asked = at_wechat(&t, "ORDER_1");
    assert_eq!(
        (&asked["attach"], &asked["goods_tag"]),
        (&json!("item=7"), &json!("SUMMER"))
    );
    assert_eq!(asked["settle_info"], json!({"profit_sharing": false}));
    assert_eq!(asked["payer"]["openid"], "o_signed_payer");
}

#[tokio::test]
async fn beside_a_ticket_a_page_cannot_choose_what_the_merchant_acts_on() {
    let t = with_tickets(Store::Sqlite, &[]).await;
    let plain = page(&signed(&claims(&t, "ORDER_1", 100)));
    let with_attach = page(&signed(&with(claims(&t, "ORDER_1", 100), "attach", json!("item=7"))));
    for (body, member, value) in [
        (&plain, "attach", json!("item=8")),
        (&with_attach, "attach", json!("item=8")),
        (&plain, "goods_tag", json!("EVERYTHING_FREE")),
        (&plain, "detail", json!({"cost_price": 1})),
        (&plain, "settle_info", json!({"profit_sharing": true})),
        (&plain, "time_expire", json!("2099-01-01T00:00:00+08:00")),
        (&plain, "support_fapiao", json!(true)),
    ] {
        let came = t.act("wxpay_order", with(body.clone(), member, value)).await;
        assert_eq!(came.failure(), (400, "INVALID_PARAM"), "{member}: {came:?}");
        let said = came.body["msg"].as_str().unwrap();
        assert!(
            said.starts_with(&format!("{member} ")) && said.contains("order_ticket"),
            "{said}"
        );
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
    // From where is paid is the page's to know.
    let scene = json!({"payer_client_ip": "203.0.113.7"});
    t.act(
        "wxpay_order",
        with(with(plain, "scene_info", scene.clone()), "attach", Value::Null),
    )
    .await
    .data();
    assert_eq!(at_wechat(&t, "ORDER_1")["scene_info"], scene);
}

#[tokio::test]
async fn where_tickets_are_required_nobody_orders_without_one() {
    let t = only_with_tickets().await;
    for body in [
        order("ORDER_1", 100),
        with(order("ORDER_1", 100), "order_ticket", Value::Null),
    ] {
        assert_refused(
            &t.act("wxpay_order", body.clone()).await,
            "ORDER_TICKET_REQUIRED",
            "a login",
        );
        let of_platform = t
            .post("/wx-pay/wxpay_order", &[("x-wx-openid", OPENID)], body.to_string())
            .await;
        assert_refused(&of_platform, "ORDER_TICKET_REQUIRED", "the platform");
    }
    let nobody = t
        .post("/wx-pay/wxpay_order", &[], order("ORDER_1", 100).to_string())
        .await;
    assert_eq!(nobody.failure(), (401, "UNAUTHENTICATED"), "who calls comes first");
    assert_eq!(
        (t.world.wechat().count(Endpoint::Any), t.state("ORDER_1").await),
        (0, None)
    );

    let operator = format!("Bearer {OPERATOR}");
    let came = t.act_as(&operator, "wxpay_order", order("ORDER_1", 100)).await;
    assert_refused(&came, "ORDER_TICKET_REQUIRED", "an operator");
    t.act("wxpay_order", page(&signed(&claims(&t, "ORDER_2", 100))))
        .await
        .data();
    let ticket = page(&signed(&claims(&t, "ORDER_3", 100)));
    t.post("/wx-pay/wxpay_order", &[("x-wx-openid", OPENID)], ticket.to_string())
        .await
        .data();
    // Whatever has been ordered is queried without one.
    t.act("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_2"}))
        .await
        .data();
}

#[tokio::test]
async fn a_ticket_that_is_not_genuine_is_none() {
    let t = only_with_tickets().await;
    let claims = claims(&t, "ORDER_1", 1);
    let good = signed(&claims);
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let (head, rest) = good.split_once('.').unwrap();
    let (content, signature) = rest.split_once('.').unwrap();
    // The signature is an HMAC of the right secret over exactly what is sent, under another name.
    let under = |header: Value| {
        let signed = format!("{}.{content}", part(&header));
        let mac = jsonwebtoken::crypto::sign(
            signed.as_bytes(),
            &EncodingKey::from_secret(SECRET.as_bytes()),
            Algorithm::HS256,
        );
        format!("{signed}.{}", mac.unwrap())
    };
    let hs = |algorithm| {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        encode(&Header::new(algorithm), &claims, &key).unwrap()
    };
    let cheaper = with(claims.clone(), "amount.total", json!(2));
    for (about, ticket) in [
        ("no signature", format!("{head}.{content}.")),
        ("alg none", format!("{}.{content}.", part(&json!({"alg": "none"})))),
        ("alg none, signed", under(json!({"alg": "none"}))),
        (
            "alg None",
            format!("{}.{content}.{signature}", part(&json!({"alg": "None"}))),
        ),
        ("HS384", hs(Algorithm::HS384)),
        ("HS512", hs(Algorithm::HS512)),
        ("the secret as if it were an RSA key", under(json!({"alg": "RS256"}))),
        ("an algorithm that is a list", under(json!({"alg": ["HS256"]}))),
        ("no algorithm", under(json!({"typ": "JWT"}))),
        (
            "a critical extension",
            under(json!({"alg": "HS256", "crit": ["b64"], "b64": false})),
        ),
        (
            "another secret",
            signed_with("some-other-secret-0123456789-0123456", &claims),
        ),
        ("the secret cut short", signed_with(SECRET.split_at(32).0, &claims)),
        ("other content", format!("{head}.{}.{signature}", part(&cheaper))),
        ("a part too many", format!("{good}.x")),
        ("two tickets", format!("{good} {good}")),
        ("JSON", claims.to_string()),
        ("nothing", String::new()),
    ] {
        let came = t.act("wxpay_order", page(&ticket)).await;
        assert_refused(&came, "ORDER_TICKET_INVALID", about);
    }
    for no_text in [json!(5), json!(true), claims.clone(), json!([good])] {
        let body = with(order("ORDER_1", 1), "order_ticket", no_text.clone());
        assert_refused(
            &t.act("wxpay_order", body).await,
            "ORDER_TICKET_INVALID",
            &no_text.to_string(),
        );
    }
    assert_eq!(
        (t.world.wechat().count(Endpoint::Any), t.state("ORDER_1").await),
        (0, None)
    );
    t.act("wxpay_order", page(&good)).await.data();
}

#[tokio::test]
async fn a_ticket_for_something_else_is_refused_and_says_what_is_wrong() {
    let t = only_with_tickets().await;
    let good = claims(&t, "ORDER_1", 100);
    let now = t.clock.now().as_second();
    for (claims, about) in [
        (with(good.clone(), "exp", json!(now + 25 * 3600)), "exp"),
        (without(good.clone(), "exp"), "exp"),
        (without(good.clone(), "amount"), "amount"),
        (without(good.clone(), "out_trade_no"), "out_trade_no"),
        (without(good.clone(), "description"), "description"),
        (with(good.clone(), "nbf", json!(now + 300)), "nbf"),
        (with(good.clone(), "iat", json!(now + 300)), "iat"),
        (
            with(good.clone(), "notify_url", json!("https://evil.example/")),
            "notify_url",
        ),
        (with(good.clone(), "total", json!(1)), "total"),
        (with(good.clone(), "sub", json!("bob")), "sub"),
    ] {
        let came = t.act("wxpay_order", page(&signed(&claims))).await;
        assert_refused(&came, "ORDER_TICKET_INVALID", about);
        let said = came.body["msg"].as_str().unwrap();
        assert!(said.contains(about), "{about}: {said}");
    }
    for number in [json!("ORDER_2"), json!("order_1"), json!("ORDER_1 "), json!(1)] {
        let body = with(page(&signed(&good)), "out_trade_no", number.clone());
        assert_refused(
            &t.act("wxpay_order", body).await,
            "ORDER_TICKET_INVALID",
            &number.to_string(),
        );
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

#[tokio::test]
async fn a_ticket_of_one_person_is_nobody_elses() {
    let t = only_with_tickets().await;
    let ticket = page(&signed(&with(claims(&t, "ORDER_1", 100), "sub", json!("alice"))));
    let mallory = format!("Bearer {}", t.token("mallory"));
    let came = t.act_as(&mallory, "wxpay_order", ticket.clone()).await;
    assert_refused(&came, "ORDER_TICKET_INVALID", "another login");
    let came = t
        .post("/wx-pay/wxpay_order", &[("x-wx-openid", "alice")], ticket.to_string())
        .await;
    assert_refused(&came, "ORDER_TICKET_INVALID", "an openid like her uid");
    t.act("wxpay_order", ticket.clone()).await.data();

    // In the Mini Program the payer is who it is for.
    let ticket = page(&signed(&with(
        claims(&t, "ORDER_2", 100),
        "payer.openid",
        json!(OPENID),
    )));
    let by = async |openid: &str| {
        t.post("/wx-pay/wxpay_order", &[("x-wx-openid", openid)], ticket.to_string())
            .await
    };
    assert_eq!(by("o_mallory").await.failure(), (400, "INVALID_PARAM"));
    by(OPENID).await.data();
}

#[tokio::test]
async fn a_ticket_is_taken_until_it_expires() {
    let t = only_with_tickets().await;
    let ticket = page(&signed(&claims(&t, "ORDER_1", 100)));
    t.act("wxpay_order", ticket.clone()).await.data();
    t.advance(std::time::Duration::from_secs(590));
    t.act("wxpay_order", ticket.clone()).await.data();
    t.advance(std::time::Duration::from_secs(10));
    assert_refused(
        &t.act("wxpay_order", ticket).await,
        "ORDER_TICKET_EXPIRED",
        "after ten minutes",
    );
    // The backend makes another for the same order, and it goes on.
    let again = page(&signed(&claims(&t, "ORDER_1", 100)));
    t.act("wxpay_order", again).await.data();
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_are_good() {
    let both = format!("{NEXT_SECRET}, {SECRET}");
    let t = with_tickets(Store::Sqlite, &[("orderTicketSecret", &both)]).await;
    for (count, secret) in [SECRET, NEXT_SECRET].into_iter().enumerate() {
        let ticket = signed_with(secret, &claims(&t, &format!("ORDER_{count}"), 100));
        t.act("wxpay_order", page(&ticket)).await.data();
    }
    for secret in [&both, "neither-of-the-two-secrets-0123456789"] {
        let ticket = signed_with(secret, &claims(&t, "ORDER_9", 100));
        let came = t.act("wxpay_order", page(&ticket)).await;
        assert_refused(&came, "ORDER_TICKET_INVALID", secret);
    }
}

#[tokio::test]
async fn without_a_secret_no_ticket_is_believed_and_none_is_passed_over() {
    let t = TestApp::start(Store::Sqlite).await;
    for secret in [SECRET, "x"] {
        let body = with(
            order("ORDER_1", 1),
            "order_ticket",
            json!(signed_with(secret, &claims(&t, "ORDER_1", 100))),
        );
        let came = t.act("wxpay_order", body).await;
        assert_refused(&came, "ORDER_TICKET_INVALID", secret);
        assert!(came.body["msg"].as_str().unwrap().contains("orderTicketSecret"));
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

#[tokio::test]
async fn a_ticket_may_write_its_amount_as_a_plain_number_of_fen() {
    let t = only_with_tickets().await;
    let ticket = signed(&with(claims(&t, "ORDER_1", 100), "amount", json!(250)));
    t.act("wxpay_order", page(&ticket)).await.data();
    assert_eq!(
        at_wechat(&t, "ORDER_1")["amount"],
        json!({"total": 250, "currency": "CNY"})
    );
    let none = signed(&with(claims(&t, "ORDER_2", 100), "amount", json!(0)));
    assert_eq!(
        t.act("wxpay_order", page(&none)).await.failure(),
        (400, "INVALID_PARAM")
    );
}

#[tokio::test]
async fn the_rules_of_an_order_hold_for_a_ticket() {
    let t = only_with_tickets().await;
    let good = claims(&t, "ORDER_1", 100);
    for (member, value) in [
        ("out_trade_no", json!("no")),
        ("description", json!("x".repeat(128))),
        ("amount", json!("100")),
        ("amount.total", json!(null)),
        ("amount.total", json!(0)),
        ("amount.total", json!(-100)),
        ("amount.total", json!(1.5)),
        ("amount.total", json!("100")),
        ("amount.currency", json!("USD")),
        ("amount.tip", json!(1)),
        ("attach", json!("x".repeat(129))),
        ("payer.openid", json!("")),
        ("appid", json!("wx_of_somebody_else")),
    ] {
        let ticket = signed(&with(good.clone(), member, value.clone()));
        let came = t.act("wxpay_order", page(&ticket)).await;
        assert_eq!(came.failure(), (400, "INVALID_PARAM"), "{member} {value}: {came:?}");
        assert!(
            came.body["msg"].as_str().unwrap().contains(member),
            "{member}: {came:?}"
        );
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

async fn the_same_ticket_is_the_same_order_whatever_stands_beside_it(store: Store) {
    let t = with_tickets(store, &[("requireOrderTicket", "true")]).await;
    let ticket = signed(&claims(&t, "ORDER_1", 100));
    let first = t.act("wxpay_order", page(&ticket)).await.data()["prepay_id"].clone();
    for total in [1, 100, 1000] {
        let body = with(order("ORDER_1", total), "order_ticket", json!(ticket));
        assert_eq!(t.act("wxpay_order", body).await.data()["prepay_id"], first);
    }
    // The number is that order's for ever: not for another payer, not for another person, not once it is paid.
    let other_payer = with(page(&ticket), "payer.openid", json!("o_other"));
    let came = t.act("wxpay_order", other_payer).await;
    assert_eq!(came.failure(), (409, "ORDER_PARAMS_MISMATCH"));
    let mallory = format!("Bearer {}", t.token("mallory"));
    let came = t.act_as(&mallory, "wxpay_order", page(&ticket)).await;
    assert_eq!(came.failure(), (403, "FORBIDDEN"));
    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    let came = t.act("wxpay_order", page(&ticket)).await;
    assert_eq!(came.failure(), (409, "ORDER_PAID"));
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
}

async fn fifty_pages_with_one_ticket_are_one_order_of_its_amount(store: Store) {
    let t = with_tickets(store, &[("requireOrderTicket", "true")]).await;
    let ticket = signed(&claims(&t, "ORDER_1", 100));
    let calls = (1..=50).map(|total| {
        let body = with(order("ORDER_1", total), "order_ticket", json!(ticket));
        t.act("wxpay_order", body)
    });
    let came = futures_util::future::join_all(calls).await;
    let first = came[0].data()["prepay_id"].clone();
    assert!(came.iter().all(|came| came.data()["prepay_id"] == first));
    assert_eq!(at_wechat(&t, "ORDER_1")["amount"]["total"], 100);
    assert_eq!(t.events("ORDER_1").await, ["order.created"]);
}
