//! Who is let into the console, for how long, and what a browser may do with its pages.

use std::time::Duration;

use pay_common::sandbox::Options;

use crate::support::app::{OPENID, OPERATOR, TestApp, sha256_hex};
use crate::support::browser::{Browser, Page};
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;

const SECOND: &str = "op_test_second_key";
const HALF_A_DAY: Duration = Duration::from_hours(12);

/// Who is let in does not depend on the database.
async fn app(more: &[(&str, &str)]) -> TestApp {
    TestApp::start_with(Store::Sqlite, Options::default(), more).await
}

fn is_sign_in(page: &Page) -> bool {
    page.text.contains("type=\"password\"") && !page.text.contains("sign-out")
}

#[tokio::test]
async fn a_key_opens_it_and_leaving_shuts_it() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    let door = browser.get("/console").await;
    assert!(door.status == 200 && is_sign_in(&door), "{door:?}");
    assert_eq!(browser.sign_in(OPERATOR, " Anna ").await.location(), "../console");
    let inside = browser.get("/console").await;
    inside.assert_shows(&["Overview", "Anna (operator key ", "Sign out"]);
    assert_eq!(inside.status, 200);
    let left = browser
        .submit("/console/sign-out", &inside.form("sign-out", ""), &[])
        .await;
    assert_eq!(left.location(), "../console?said=signed-out");
    let outside = browser.get("/console?said=signed-out").await;
    assert!(is_sign_in(&outside));
    outside.assert_shows(&["You are signed out."]);
    assert_eq!(browser.get("/console/").await.location(), "../console");
}

#[tokio::test]
async fn a_wrong_key_opens_nothing() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    let hash = sha256_hex(OPERATOR);
    for wrong in ["", "op_", "op_test_0123456789abcdee", hash.as_str(), &"x".repeat(5000)] {
        let refused = browser.sign_in(wrong, "").await;
        assert!(refused.status == 401 && is_sign_in(&refused), "{wrong}: {refused:?}");
        refused.assert_shows(&["This is not an operator key."]);
        refused.assert_hides(&["op_test"]);
    }
    assert!(browser.cookies.is_empty());
    // The key is no login of an API, and a key of an API in a header is no session.
    browser.says.push(("authorization", format!("Bearer {OPERATOR}")));
    assert!(is_sign_in(&browser.get("/console").await));
}

#[tokio::test]
async fn without_a_session_no_page_shows_anything_and_every_way_leads_back() {
    let t = app(&[]).await;
    t.placed("ORDER_1", 20).await;
    let mut browser = Browser::of(&t);
    for page in [
        "search?q=ORDER_1",
        "orders",
        "order?no=ORDER_1",
        "transfer?no=X",
        "anomalies",
        "webhooks",
    ] {
        let sent = browser.get(&format!("/console/{page}")).await;
        assert!(sent.location().starts_with("../console?next="), "{sent:?}");
        sent.assert_hides(&["ORDER_1</code>"]);
    }
    let wanted = browser.get("/console/order?no=ORDER_1").await;
    let door = browser.get(wanted.location().trim_start_matches("..")).await;
    let form = door.form("sign-in", "");
    let inside = browser.submit("/console/sign-in", &form, &[("key", OPERATOR)]).await;
    assert_eq!(inside.location(), "order?no=ORDER_1");
    // Wherever else a link says, it leads to the console only.
    let mut other = Browser::of(&t);
    for next in ["https://evil.example/", "//evil.example", "../pay", "/", "resolve"] {
        let sent = other
            .post("/console/sign-in", &[("key", OPERATOR), ("next", next)])
            .await;
        assert_eq!(sent.location(), "../console", "{next}");
    }
}

#[tokio::test]
async fn where_no_key_is_configured_there_is_no_console() {
    let t = app(&[("operatorKeys", "")]).await;
    let mut browser = Browser::of(&t);
    for path in ["/console", "/console/orders", "/console/anything"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.assert_shows(&["operatorKeys", "sha256sum"]);
        assert!(!page.text.contains("type=\"password\""));
    }
    let refused = browser.sign_in("", "").await;
    assert_eq!(refused.status, 404);
    assert!(browser.cookies.is_empty());
}

#[tokio::test]
async fn a_session_ends_after_half_a_day() {
    let t = app(&[]).await;
    let mut browser = Browser::signed_in(&t).await;
    t.advance(HALF_A_DAY - Duration::from_secs(60));
    assert!(!is_sign_in(&browser.get("/console").await));
    let page = browser.get("/console").await;
    let form = page.form("sign-out", "");
    t.advance(Duration::from_secs(61));
    assert!(is_sign_in(&browser.get("/console").await));
    // Also what was open is over.
    let late = browser
        .submit("/console/resolve", &form, &[("id", "x"), ("note", "x")])
        .await;
    assert!(late.status == 401 && is_sign_in(&late), "{late:?}");
    late.assert_shows(&["nothing was done"]);
}

#[tokio::test]
async fn a_key_that_is_taken_out_takes_its_sessions_with_it_and_no_other_instance_asks_again() {
    let keys = format!("{},{}", sha256_hex(OPERATOR), sha256_hex(SECOND));
    let offline = Offline::over(
        Database::fresh(Store::Sqlite).await,
        Options::default(),
        &[("operatorKeys", &keys)],
    )
    .await;
    let mut t = offline.start().await;
    let mut cookies = Vec::new();
    for key in [OPERATOR, SECOND] {
        let mut browser = Browser::of(&t);
        browser.sign_in(key, "").await;
        cookies.push(browser.cookies);
    }
    // Another instance, and this one after its restart, knows both.
    t = t.restart().await;
    for cookies in &cookies {
        let mut browser = Browser::of(&t);
        browser.cookies = cookies.clone();
        assert!(!is_sign_in(&browser.get("/console").await));
    }
    let (service, mut offline) = t.part();
    service.stop().await;
    offline.set("operatorKeys", &sha256_hex(SECOND));
    let t = offline.start().await;
    let mut still = Vec::new();
    for cookies in cookies {
        let mut browser = Browser::of(&t);
        browser.cookies = cookies;
        still.push(!is_sign_in(&browser.get("/console").await));
    }
    assert_eq!(still, [false, true]);
}

#[tokio::test]
async fn a_session_that_is_not_signed_here_is_none() {
    let t = app(&[]).await;
    let genuine = Browser::signed_in(&t).await.cookies["pay_console"].clone();
    let elsewhere = app(&[]).await;
    let (service, mut offline) = elsewhere.part();
    service.stop().await;
    offline.set("apiV3Key", "0123456789abcdef0123456789abcdef");
    let elsewhere = offline.start().await;
    let foreign = Browser::signed_in(&elsewhere).await.cookies["pay_console"].clone();
    let parts: Vec<&str> = genuine.split('.').collect();
    let claims = serde_json::json!({"key": "00000000", "nonce": "A", "exp": t.clock.now().as_second() + 600});
    let signed_with = |secret: &str| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let mut forged = vec![
        String::new(),
        "x".to_owned(),
        foreign,
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(43)),
        format!("{genuine}.{}", parts[2]),
        signed_with(&sha256_hex(OPERATOR)),
        signed_with(OPERATOR),
        t.token("alice"),
    ];
    forged.push(OPERATOR.to_owned());
    for session in forged {
        let mut browser = Browser::of(&t);
        browser.cookies.insert("pay_console".to_owned(), session.clone());
        let page = browser.get("/console").await;
        assert!(page.status == 200 && is_sign_in(&page), "{session}");
    }
    // Two of one name: somebody has planted one of them.
    let mut browser = Browser::of(&t);
    browser
        .says
        .push(("cookie", format!("pay_console={genuine}; pay_console={genuine}")));
    assert!(is_sign_in(&browser.get("/console").await));
}

#[tokio::test]
async fn a_session_of_the_console_is_no_login_of_the_api() {
    let t = app(&[]).await;
    let session = Browser::signed_in(&t).await.cookies["pay_console"].clone();
    let body = serde_json::json!({"out_trade_no": "ORDER_1"}).to_string();
    for headers in [
        vec![("cookie", format!("pay_console={session}"))],
        vec![("authorization", format!("Bearer {session}"))],
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let came = t.post("/internal/tick", &headers, body.clone()).await;
        assert!(matches!(came.status, 401 | 403), "{came:?}");
    }
}

#[tokio::test]
async fn tries_are_few() {
    let t = app(&[("maxRequestsPerSecond", "0")]).await;
    let mut browser = Browser::of(&t);
    let mut refused = 0;
    for n in 0..30 {
        let came = browser.sign_in(&format!("op_guess_{n}"), "").await;
        match came.status {
            401 => {}
            429 => {
                assert!(came.header("retry-after").parse::<u64>().unwrap() >= 1);
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(refused >= 15, "{refused}");
    // A right key is then no way to find out that it is right.
    assert_eq!(browser.sign_in(OPERATOR, "").await.status, 429);
}

#[tokio::test]
async fn the_cookie_is_for_the_console_only_and_with_tls_for_tls_only() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    let plain = browser.sign_in(OPERATOR, "").await;
    let plain = plain.header("set-cookie");
    assert!(plain.starts_with("pay_console="), "{plain}");
    assert!(
        plain.ends_with("; HttpOnly; SameSite=Strict; Path=/console; Max-Age=43200"),
        "{plain}"
    );

    let mut browser = Browser::of(&t);
    browser.says.push(("x-forwarded-proto", "https".to_owned()));
    let secure = browser.sign_in(OPERATOR, "").await;
    let secure = secure.header("set-cookie");
    assert!(secure.starts_with("__Secure-pay_console="), "{secure}");
    assert!(
        secure.ends_with("; HttpOnly; SameSite=Strict; Secure; Path=/console; Max-Age=43200"),
        "{secure}"
    );
    assert!(!is_sign_in(&browser.get("/console").await));

    let t = app(&[("publicUrl", "https://pay.example.com/fn")]).await;
    let mut browser = Browser::of(&t);
    let below = browser.sign_in(OPERATOR, "").await;
    assert!(
        below.header("set-cookie").contains("; Secure; Path=/fn/console;"),
        "{below:?}"
    );
}

#[tokio::test]
async fn what_another_page_sends_is_refused() {
    let t = app(&[]).await;
    let mut browser = Browser::signed_in(&t).await;
    let page = browser.get("/console").await;
    let form = page.form("sign-out", "");
    let token = &form[0].1;
    // Without the token of the session, or with another's.
    let other = Browser::signed_in(&t).await.get("/console").await.form("sign-out", "");
    assert_ne!(&other[0].1, token);
    for wrong in ["", "x", &other[0].1, token.get(1..).unwrap()] {
        let refused = browser.post("/console/sign-out", &[("token", wrong)]).await;
        assert_eq!(refused.status, 403, "{wrong}");
        refused.assert_shows(&["nothing was done"]);
    }
    assert_eq!(
        browser
            .post("/console/resolve", &[("id", "x"), ("note", "x")])
            .await
            .status,
        403
    );
    // With it, and yet from somewhere else.
    let own = format!("http://{}", t.door);
    for (name, value, expected) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 404),
        ("origin", own.as_str(), 404),
    ] {
        browser.says.push((
            if name == "origin" { "origin" } else { "sec-fetch-site" },
            value.to_owned(),
        ));
        let came = browser
            .post(
                "/console/resolve",
                &[("token", token), ("id", "unknown"), ("note", "x")],
            )
            .await;
        browser.says.pop();
        assert_eq!(came.status, expected, "{name}: {value}: {came:?}");
    }
    // Nobody is signed in by a page of somebody else's.
    let mut stranger = Browser::of(&t);
    stranger.says.push(("origin", "https://evil.example".to_owned()));
    assert_eq!(stranger.sign_in(OPERATOR, "").await.status, 403);
    assert!(stranger.cookies.is_empty());
}

/// The cookie does not come along when a link of another site's is followed; so the page asks for itself.
#[tokio::test]
async fn whoever_comes_by_a_link_from_elsewhere_need_not_sign_in_again() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    browser.says.push(("sec-fetch-site", "cross-site".to_owned()));
    let again = browser.get("/console/order?no=ORDER_1").await;
    assert_eq!((again.status, again.header("refresh")), (200, "0"));
    again.assert_hides(&["password", "ORDER_1</code>"]);
    browser.says.pop();
    browser.says.push(("sec-fetch-site", "same-origin".to_owned()));
    assert!(
        !browser
            .get("/console/order?no=ORDER_1")
            .await
            .headers
            .contains_key("refresh")
    );
}

#[tokio::test]
async fn no_page_runs_a_script_or_is_framed_or_kept() {
    let t = app(&[("corsAllowOrigin", "*")]).await;
    t.placed("ORDER_1", 20).await;
    let mut browser = Browser::of(&t);
    let mut pages = vec![browser.get("/console").await, browser.sign_in("op_wrong", "").await];
    pages.push(browser.sign_in(OPERATOR, "").await);
    for path in [
        "/console",
        "/console/search",
        "/console/orders",
        "/console/order?no=ORDER_1",
        "/console/order?no=NONE",
        "/console/anomalies",
        "/console/webhooks",
        "/console/nowhere",
    ] {
        pages.push(browser.get(path).await);
    }
    browser.says.push(("origin", "https://shop.example".to_owned()));
    pages.push(browser.get("/console").await);
    for page in pages {
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(page.header(name), value);
        }
        assert!(page.headers.contains_key("x-request-id"));
        assert!(!page.headers.contains_key("access-control-allow-origin"));
        let tags = page.text.split('<').filter_map(|piece| piece.split('>').next());
        for tag in tags {
            for never in ["script", "style=", "onload", "onclick", "javascript:", "http-equiv"] {
                assert!(!tag.contains(never), "{tag}");
            }
        }
        page.assert_hides(&[OPENID, OPERATOR, "://"]);
    }
    let style = browser.get("/console/console.css").await;
    assert_eq!(
        (style.status, style.header("content-type")),
        (200, "text/css; charset=utf-8")
    );
    assert_eq!(style.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn what_is_no_page_and_what_is_not_asked_like_that_is_told() {
    let t = app(&[]).await;
    let mut browser = Browser::signed_in(&t).await;
    let nowhere = browser.get("/console/nowhere/at/all").await;
    assert_eq!(nowhere.status, 404);
    nowhere.assert_shows(&["There is no such page", "NOT_FOUND"]);
    for path in ["/console", "/console/orders", "/console/order"] {
        let came = browser.post(path, &[]).await;
        assert_eq!((came.status, came.header("allow")), (405, "GET,HEAD"), "{path}");
        came.assert_shows(&["METHOD_NOT_ALLOWED"]);
    }
    for path in [
        "/console/sign-in",
        "/console/sign-out",
        "/console/resolve",
        "/console/replay",
    ] {
        let came = browser.get(path).await;
        assert_eq!((came.status, came.header("allow")), (405, "POST"), "{path}");
    }
    // A form is a form, and has an end.
    let json = browser.post_json("/console/sign-in").await;
    assert_eq!(json.status, 415);
    let long = "x".repeat(40_000);
    assert_eq!(browser.post("/console/sign-in", &[("key", &long)]).await.status, 413);
}

#[tokio::test]
async fn it_speaks_chinese_and_english() {
    let t = app(&[]).await;
    let mut browser = Browser::signed_in(&t).await;
    let english = browser.get("/console/anomalies?which=all").await;
    english.assert_shows(&["<html lang=\"en\">", "Anomalies", "?which=all&amp;lang=zh"]);
    // The choice of the link is kept, whatever the browser prefers.
    let chinese = browser.get("/console/anomalies?which=all&lang=zh").await;
    chinese.assert_shows(&["<html lang=\"zh-CN\">", "异常", "?which=all&amp;lang=en"]);
    assert!(
        chinese
            .header("set-cookie")
            .starts_with("pay_console_language=zh; HttpOnly; SameSite=Strict; Path=/console;")
    );
    browser
        .get("/console")
        .await
        .assert_shows(&["<html lang=\"zh-CN\">", "今日", "北京时间"]);
    browser.get("/console?lang=en").await.assert_shows(&["Today"]);
    browser.get("/console").await.assert_shows(&["Today"]);
    browser.get("/console?lang=fr").await.assert_shows(&["Today"]);
    let mut other = Browser::of(&t);
    other.says = vec![("accept-language", "zh-CN,zh;q=0.9,en;q=0.8".to_owned())];
    other.get("/console").await.assert_shows(&["登录", "运维密钥"]);
    let refused = other.sign_in("op_wrong", "").await;
    refused.assert_shows(&["密钥不正确。"]);
}
