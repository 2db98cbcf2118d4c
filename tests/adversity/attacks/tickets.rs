//! An order at one's own price where the merchant's backend signs it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pay_common::sandbox::Options;
use serde_json::{Value, json};

use super::standing::refused;
use crate::case::{Tried, cases};
use crate::support::app::{OPENID, OPERATOR, TestApp, order};
use crate::support::body::{with, without};
use crate::support::database::Store;

cases!(Attack:
    an_order_without_a_genuine_ticket => "an order at one's own price",
    a_genuine_ticket_with_something_else_beside_it => "a dear order at the price of a cheap one",
    a_ticket_of_another_time_or_person => "yesterday's price, or somebody else's discount",
    one_ticket_for_more_than_one_order => "two orders for one signature",
);

const SECRET: &str = "the-secret-of-the-backend-0123456789";

async fn selling(store: Store) -> TestApp {
    let settings = [
        ("orderTicketSecret", SECRET),
        ("requireOrderTicket", "true"),
        ("trustPlatformHeaders", "true"),
    ];
    TestApp::start_with(store, Options::default(), &settings).await
}

fn claims(t: &TestApp, number: &str, total: i64) -> Value {
    json!({
        "out_trade_no": number, "description": "Signed product", "amount": {"total": total, "currency": "CNY"},
        "exp": t.clock.now().as_second() + 600,
    })
}

fn signed_with(secret: &[u8], header: &Header, claims: &Value) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn signed(claims: &Value) -> String {
    signed_with(SECRET.as_bytes(), &Header::default(), claims)
}

fn page(ticket: &str) -> Value {
    json!({"order_ticket": ticket, "payer": {"openid": OPENID}})
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

async fn an_order_without_a_genuine_ticket(store: Store, tried: Tried) {
    let t = selling(store).await;
    let before = t.standing().await;
    let cheap = claims(&t, "ORDER_1", 1);
    let good = signed(&cheap);
    let parts: Vec<&str> = good.split('.').collect();
    let under = |header: Value| {
        let signed = format!("{}.{}", part(&header), parts[1]);
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        format!(
            "{signed}.{}",
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap()
        )
    };
    let with_kid = |kid: &str| {
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::default()
        };
        signed_with(b"the-secret-of-mallory-0123456789-0123", &header, &cheap)
    };
    let mut tickets = vec![
        json!(null),
        json!(""),
        json!(5),
        json!(true),
        json!([good]),
        json!({"jws": good}),
        cheap.clone(),
        json!(cheap.to_string()),
        json!(format!("{}.{}.", parts[0], parts[1])),
        json!(format!("{}.{}", parts[0], parts[1])),
        json!(format!("{good}.x")),
        json!(format!("{good} ")),
        json!(format!("{good}=")),
        json!(format!(
            "{}.{}.{}",
            parts[0],
            part(&with(cheap.clone(), "amount.total", json!(2))),
            parts[2]
        )),
        json!(format!("{}.{}.{}", part(&json!({"alg": "none"})), parts[1], parts[2])),
        json!("x".repeat(20_000)),
    ];
    for alg in [
        json!("none"),
        json!("None"),
        json!("HS384"),
        json!("HS512"),
        json!("RS256"),
        json!("ES256"),
        json!(null),
        json!(["HS256"]),
        json!("hs256"),
    ] {
        tickets.push(json!(under(json!({"alg": alg, "typ": "JWT"}))));
        tickets.push(json!(format!("{}.{}.", part(&json!({"alg": alg})), parts[1])));
    }
    for more in [
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": []}),
        json!({"crit": ["exp"]}),
    ] {
        let mut header = json!({"alg": "HS256"});
        header
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        tickets.push(json!(under(header)));
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        tickets.push(json!(signed_with(SECRET.as_bytes(), &Header::new(algorithm), &cheap)));
    }
    for secret in [
        "",
        "secret",
        "the-secret-of-the-backend-012345678",
        "THE-SECRET-OF-THE-BACKEND-0123456789",
        "the-secret-of-the-backend-0123456789 ",
        "null",
        OPERATOR,
    ] {
        tickets.push(json!(signed_with(secret.as_bytes(), &Header::default(), &cheap)));
    }
    for kid in ["../../dev/null", "' UNION SELECT 'x", "0", "https://evil.example/key"] {
        tickets.push(json!(with_kid(kid)));
    }
    let (alice, operator) = (t.bearer("alice"), format!("Bearer {OPERATOR}"));
    for ticket in tickets {
        for headers in [
            [("authorization", alice.as_str())],
            [("authorization", operator.as_str())],
            [("x-wx-openid", OPENID)],
        ] {
            let body = with(order("ORDER_1", 1), "order_ticket", ticket.clone());
            let came = t.post("/wx-pay/wxpay_order", &headers, body.to_string()).await;
            assert_eq!(came.status, 403, "{ticket}: {came:?}");
            assert_eq!(t.standing().await, before, "{ticket}");
            tried.once();
        }
    }
    // The same under names that somebody might look for it.
    for member in ["ticket", "orderTicket", "ORDER_TICKET", "order_ticket\u{0}", "token"] {
        let came = t
            .act("wxpay_order", with(order("ORDER_1", 1), member, json!(good)))
            .await;
        assert_eq!(came.failure(), (403, "ORDER_TICKET_REQUIRED"), "{member}: {came:?}");
        assert_eq!(t.standing().await, before, "{member}");
        tried.once();
    }
    for (kind, body) in [
        ("wxpay_order_native", without(order("ORDER_1", 1), "payer")),
        ("wxpay_order_app", without(order("ORDER_1", 1), "payer")),
    ] {
        let came = t.act(kind, body).await;
        assert_eq!(came.failure(), (403, "ORDER_TICKET_REQUIRED"), "{kind}: {came:?}");
        tried.once();
    }
}

async fn a_genuine_ticket_with_something_else_beside_it(store: Store, tried: Tried) {
    let t = selling(store).await;
    for (count, beside) in [
        json!({"amount": {"total": 1, "currency": "CNY"}}),
        json!({"amount": {"total": 1, "payer_total": 1}}),
        json!({"amount": 1}),
        json!({"amount": null}),
        json!({"amount": "free"}),
        json!({"description": "Other"}),
        json!({"description": null}),
        json!({"amount": {"currency": "USD", "total": 100}}),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER_{count}");
        let mut body = page(&signed(&claims(&t, &number, 100)));
        body.as_object_mut()
            .unwrap()
            .extend(beside.as_object().unwrap().clone());
        t.act("wxpay_order", body).await.data();
        let asked = t.world.wechat().order(&number).unwrap().params.clone();
        assert_eq!(asked["amount"], json!({"total": 100, "currency": "CNY"}), "{beside}");
        assert_eq!(asked["description"], "Signed product", "{beside}");
        tried.once();
    }
    let before = t.standing().await;
    let plain = page(&signed(&claims(&t, "ORDER_9", 100)));
    for (member, value) in [
        ("out_trade_no", json!("ORDER_8")),
        ("out_trade_no", json!("order_9")),
        ("out_trade_no", json!(["ORDER_9"])),
        ("attach", json!("item=8")),
        ("goods_tag", json!("FREE")),
        ("detail", json!({"cost_price": 1})),
        ("settle_info", json!({"profit_sharing": true})),
        ("time_expire", json!("2099-01-01T00:00:00+08:00")),
        ("support_fapiao", json!(true)),
        ("notify_url", json!("https://evil.example/")),
        ("mchid", json!("1900000001")),
        ("appid", json!("wx0000000000000000")),
        ("total", json!(1)),
        ("order_ticket2", json!("x")),
    ] {
        let came = t.act("wxpay_order", with(plain.clone(), member, value.clone())).await;
        assert!(refused(&came), "{member} {value}: {came:?}");
        assert_eq!(t.standing().await, before, "{member} {value}");
        tried.once();
    }
    // What a backend signed by mistake is held to the same rules.
    for (member, value) in [
        ("amount.total", json!(0)),
        ("amount.total", json!(-1)),
        ("amount.total", json!(1.5)),
        ("amount.total", json!("100")),
        ("amount", json!(1e2)),
        ("amount", json!("100")),
        ("amount.currency", json!("USD")),
        ("mchid", json!("1900000001")),
        ("notify_url", json!("https://evil.example/")),
        ("out_trade_no", json!("../x")),
    ] {
        let ticket = signed(&with(claims(&t, "ORDER_9", 100), member, value.clone()));
        let came = t.act("wxpay_order", page(&ticket)).await;
        assert!(refused(&came), "{member} {value}: {came:?}");
        assert_eq!(t.standing().await, before, "{member} {value}");
        tried.once();
    }
}

async fn a_ticket_of_another_time_or_person(store: Store, tried: Tried) {
    let t = selling(store).await;
    let before = t.standing().await;
    let now = t.clock.now().as_second();
    for (member, value) in [
        ("exp", json!(now)),
        ("exp", json!(now - 1)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(now + 26 * 3600)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!("9999999999")),
        ("exp", json!(null)),
        ("nbf", json!(now + 300)),
        ("nbf", json!("now")),
        ("iat", json!(now + 300)),
        ("sub", json!("bob")),
        ("sub", json!("Alice")),
        ("sub", json!(["alice"])),
        ("sub", json!("")),
        ("sub", json!({"alice": true})),
        ("typ", json!("refund")),
        ("out_refund_no", json!("REFUND_1")),
        ("transfer_amount", json!(500)),
    ] {
        let ticket = signed(&with(claims(&t, "ORDER_1", 100), member, value.clone()));
        let came = t.act("wxpay_order", page(&ticket)).await;
        assert_eq!(came.status, 403, "{member} {value}: {came:?}");
        assert_eq!(t.standing().await, before, "{member} {value}");
        tried.once();
    }
    // It is for orders, not for what else has a body.
    for action in [
        "wxpay_refund",
        "wxpay_close_order",
        "wxpay_query_order_by_out_trade_no",
        "wxpay_transfer",
    ] {
        let came = t.act(action, page(&signed(&claims(&t, "ORDER_1", 100)))).await;
        assert!(refused(&came), "{action}: {came:?}");
        assert_eq!(t.standing().await, before, "{action}");
        tried.once();
    }
    // An openid that happens to be her uid is not she.
    let of_alice = page(&signed(&with(claims(&t, "ORDER_1", 100), "sub", json!("alice"))));
    let came = t
        .post("/wx-pay/wxpay_order", &[("x-wx-openid", "alice")], of_alice.to_string())
        .await;
    assert_eq!(came.status, 403, "{came:?}");
    assert_eq!(t.standing().await, before);
    tried.once();
}

async fn one_ticket_for_more_than_one_order(store: Store, tried: Tried) {
    let t = selling(store).await;
    let ticket = signed(&claims(&t, "ORDER_1", 100));
    let answers = join_all((0..40).map(|n| {
        let mut body = page(&ticket);
        body["amount"] = json!({"total": n + 1});
        let body = if n % 4 == 3 {
            with(body, "out_trade_no", json!(format!("ORDER_{n}")))
        } else {
            body
        };
        t.act("wxpay_order", body)
    }))
    .await;
    for (n, came) in answers.iter().enumerate() {
        if n % 4 == 3 {
            assert_eq!(came.failure(), (403, "ORDER_TICKET_INVALID"), "{came:?}");
        } else {
            assert_eq!(came.data()["prepay_id"], answers[0].data()["prepay_id"]);
        }
    }
    assert_eq!(t.deeds().len(), 1, "one order, once");
    assert_eq!(
        t.world.wechat().order("ORDER_1").unwrap().params["amount"]["total"],
        100
    );
    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    for sub in ["alice", "mallory"] {
        let came = t.act_as(&t.bearer(sub), "wxpay_order", page(&ticket)).await;
        assert_ne!(came.body["code"], 0, "{came:?}");
        tried.once();
    }
    assert_eq!(t.deeds().len(), 1, "and none once it is paid");
    assert_eq!(t.events("ORDER_1").await, ["order.created", "order.paid"]);
    tried.times(answers.len());
}
