//! Web authorization: a browser goes to WeChat and comes back as somebody, and pays as nobody else.

use std::collections::BTreeMap;
use std::time::Duration;

use pay_common::sandbox::Options;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use url::Url;

use crate::support::app::{Came, OPENID, OPERATOR, TestApp, order};
use crate::support::database::Store;

const SHOP: &str = "https://shop.example.com";
const IN_WECHAT: &str = "Mozilla/5.0 (Linux; Android 14) MicroMessenger/8.0.50";
const SOMEBODY_ELSE: &str = "oUpF8uMuAJO_somebody_else___";

/// A service behind TLS, of which WeChat knows the domain. Nothing here depends on the database.
async fn app(more: &[(&str, &str)]) -> TestApp {
    use crate::support::database::Database;
    use crate::support::offline::Offline;
    let mut offline = Offline::over(Database::fresh(Store::Sqlite).await, Options::default(), &[]).await;
    for (name, value) in offline.world.offiaccount().settings() {
        offline.set(name, &value);
    }
    offline.set("oauthReturnOrigins", SHOP);
    offline.set("publicUrl", "https://pay.example.com");
    for (name, value) in more {
        offline.set(name, value);
    }
    let t = offline.start().await;
    t.world.offiaccount().set_domain("pay.example.com");
    t
}

/// A browser inside WeChat: it keeps cookies, and follows a redirect only when it is told to.
struct Browser<'a> {
    t: &'a TestApp,
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

/// An answer to a browser.
#[derive(Debug)]
struct Page {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Page {
    #[track_caller]
    fn location(&self) -> &str {
        assert_eq!(self.status, 302, "{self:?}");
        self.headers[LOCATION].to_str().unwrap()
    }

    fn error(&self) -> (u16, String) {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        (self.status, body["error"].as_str().unwrap_or_default().to_owned())
    }
}

impl<'a> Browser<'a> {
    fn of(t: &'a TestApp) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(IN_WECHAT)
            .build()
            .unwrap();
        let cookies = BTreeMap::new();
        Self { t, http, cookies }
    }

    /// `https://pay.example.com` is the service; TLS ends before it.
    fn address(&self, url: &str) -> String {
        let path = url.strip_prefix("https://pay.example.com").unwrap_or(url);
        if path.starts_with('/') {
            self.t.url(path)
        } else {
            path.to_owned()
        }
    }

    fn sent(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    async fn open(&mut self, url: &str) -> Page {
        self.open_as(url, "application/json").await
    }

    async fn open_as(&mut self, url: &str, accept: &str) -> Page {
        let address = self.address(url);
        let mut request = self.http.get(&address).header("accept", accept);
        if !self.cookies.is_empty() && address.starts_with(&self.t.url("/")) {
            request = request.header(COOKIE, self.sent());
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age="] {
                assert!(cookie.contains(part), "{cookie}");
            }
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{cookie}");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Page {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.text().await.unwrap(),
        }
    }

    /// To WeChat and back: the address of the callback with its code.
    async fn visit_wechat(&mut self, return_to: &str) -> String {
        let mut authorize = Url::parse("https://pay.example.com/oauth/authorize").unwrap();
        authorize.query_pairs_mut().append_pair("return_to", return_to);
        let sent = self.open(authorize.as_str()).await;
        let asked = self.open(sent.location()).await;
        asked.location().to_owned()
    }

    /// Logs in, the whole way.
    async fn log_in(&mut self) {
        let back = self.visit_wechat("/pay").await;
        let arrived = self.open(&back).await;
        assert_eq!(arrived.location(), "https://pay.example.com/pay");
    }

    async fn post(&self, body: &Value, headers: &[(&str, &str)]) -> Came {
        let cookies = self.sent();
        let mut all = vec![("cookie", cookies.as_str())];
        all.extend_from_slice(headers);
        self.t.post("/", &all, body.to_string()).await
    }

    fn session(&self) -> Option<&String> {
        self.cookies.get("__Host-pay_session")
    }
}

fn action(name: &str, mut body: Value) -> Value {
    body["_action"] = json!(name);
    body
}

/// The payer that WeChat was told.
fn payer(t: &TestApp, out_trade_no: &str) -> String {
    t.world.wechat().order(out_trade_no).unwrap().openid.unwrap_or_default()
}

#[tokio::test]
async fn the_address_is_wechats_with_everything_that_it_checks() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    let sent = browser.open("/oauth/authorize?return_to=/pay").await;
    let url = Url::parse(sent.location()).unwrap();
    assert_eq!(url.path(), "/connect/oauth2/authorize");
    assert_eq!(url.fragment(), Some("wechat_redirect"));
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["appid", "redirect_uri", "response_type", "scope", "state"]);
    assert_eq!(pairs[0].1, t.world.keys().appid());
    assert_eq!(pairs[1].1, "https://pay.example.com/oauth/callback");
    assert_eq!((pairs[2].1.as_str(), pairs[3].1.as_str()), ("code", "snsapi_base"));
    assert_eq!(sent.headers["cache-control"], "no-store");
    assert!(!sent.location().contains("secret"));
}

#[tokio::test]
async fn a_buyer_comes_back_as_herself_and_orders() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    let needed = browser.open("/pay/context").await;
    assert!(needed.text.contains("\"needed\""), "{needed:?}");
    browser.log_in().await;
    assert!(browser.open("/pay/context").await.text.contains("\"done\""));

    let mut body = action("wxpay_order", order("ORDER_1", 20));
    body.as_object_mut().unwrap().remove("payer");
    let placed = browser.post(&body, &[]).await;
    assert_eq!(placed.data()["appId"], t.world.keys().appid());
    assert_eq!(payer(&t, "ORDER_1"), OPENID);
    let asked = action("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"}));
    assert_eq!(browser.post(&asked, &[]).await.data()["trade_state"], "NOTPAY");
}

#[tokio::test]
async fn whatever_the_page_says_the_sessions_openid_pays() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    browser.log_in().await;
    let mut body = action("wxpay_order", order("ORDER_1", 20));
    body["payer"] = json!({"openid": SOMEBODY_ELSE});
    assert_eq!(browser.post(&body, &[]).await.status, 200);
    assert_eq!(payer(&t, "ORDER_1"), OPENID);
    // An openid is one of its app.
    body["out_trade_no"] = json!("ORDER_2");
    body["appid"] = json!(t.world.keys().mini_program_appid());
    let refused = browser.post(&body, &[]).await;
    assert_eq!(refused.failure(), (400, "INVALID_PARAM"));
}

#[tokio::test]
async fn the_order_of_one_session_is_not_anothers() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    browser.log_in().await;
    assert_eq!(
        browser
            .post(&action("wxpay_order", order("ORDER_1", 20)), &[])
            .await
            .status,
        200
    );
    t.world.offiaccount().set_buyer(SOMEBODY_ELSE);
    let mut other = Browser::of(&t);
    other.log_in().await;
    for name in ["wxpay_query_order_by_out_trade_no", "wxpay_close_order"] {
        let asked = action(name, json!({"out_trade_no": "ORDER_1"}));
        assert_eq!(other.post(&asked, &[]).await.failure(), (403, "FORBIDDEN"), "{name}");
    }
}

#[tokio::test]
async fn a_ticket_for_somebody_else_is_not_paid_by_this_session() {
    let secret = "0123456789abcdef0123456789abcdef";
    let t = app(&[("orderTicketSecret", secret), ("requireOrderTicket", "true")]).await;
    let mut browser = Browser::of(&t);
    browser.log_in().await;
    let ticket = |number: &str, payer: Option<&str>| {
        let mut claims = order(number, 20);
        claims.as_object_mut().unwrap().remove("payer");
        if let Some(openid) = payer {
            claims["payer"] = json!({"openid": openid});
        }
        claims["exp"] = json!(t.clock.now().as_second() + 600);
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let text = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        action("wxpay_order", json!({"order_ticket": text}))
    };
    let refused = browser.post(&ticket("ORDER_1", Some(SOMEBODY_ELSE)), &[]).await;
    assert_eq!(refused.failure(), (403, "ORDER_TICKET_INVALID"));
    assert_eq!(browser.post(&ticket("ORDER_2", Some(OPENID)), &[]).await.status, 200);
    assert_eq!(browser.post(&ticket("ORDER_3", None), &[]).await.status, 200);
    assert_eq!(payer(&t, "ORDER_3"), OPENID);
}

#[tokio::test]
async fn nobody_is_sent_to_a_page_of_somebody_elses() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    for allowed in [
        "/pay?a=b",
        "https://shop.example.com/done",
        "https://pay.example.com/pay",
    ] {
        let back = browser.visit_wechat(allowed).await;
        let arrived = browser.open(&back).await;
        assert!(arrived.location().ends_with(allowed), "{arrived:?}");
    }
    for refused in [
        "https://evil.example/",
        "//evil.example/",
        "/%5cevil.example".replace("%5c", "\\").as_str(),
        "https://shop.example.com@evil.example/",
        "https://shop.example.com.evil.example/",
        "javascript:alert(1)",
        "/oauth/authorize?return_to=/oauth/authorize",
    ] {
        let mut url = Url::parse("https://pay.example.com/oauth/authorize").unwrap();
        url.query_pairs_mut().append_pair("return_to", refused);
        let page = browser.open(url.as_str()).await;
        assert_eq!(page.error(), (400, "RETURN_TO_NOT_ALLOWED".to_owned()), "{refused}");
        assert!(page.headers.get(LOCATION).is_none() && page.headers.get(SET_COOKIE).is_none());
    }
}

#[tokio::test]
async fn a_state_is_good_in_the_browser_that_it_was_made_for() {
    let t = app(&[]).await;
    let mut attacker = Browser::of(&t);
    let back = attacker.visit_wechat("/pay").await;
    // The attacker's own code, opened by the victim: she would pay what she believes to be hers.
    let mut victim = Browser::of(&t);
    victim.visit_wechat("/pay").await;
    assert_eq!(
        victim.open(&back).await.error(),
        (400, "OAUTH_STATE_INVALID".to_owned())
    );
    assert!(victim.session().is_none());
    let code_only = Url::parse(&back).unwrap();
    let code = code_only
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    for query in [
        format!("code={code}"),
        format!("code={code}&state="),
        format!("code={code}&state=%0d%0a"),
        String::new(),
    ] {
        let page = victim.open(&format!("/oauth/callback?{query}")).await;
        assert_eq!(page.error(), (400, "OAUTH_STATE_INVALID".to_owned()), "{query}");
    }
    assert_eq!(t.world.offiaccount().exchanges(), 0, "WeChat is not even asked");
}

#[tokio::test]
async fn a_journey_is_over_after_ten_minutes() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    let back = browser.visit_wechat("/pay").await;
    t.advance(Duration::from_secs(601));
    assert_eq!(
        browser.open(&back).await.error(),
        (400, "OAUTH_STATE_INVALID".to_owned())
    );
}

#[tokio::test]
async fn a_page_that_is_loaded_twice_arrives_twice_and_wechat_is_asked_once() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    let back = browser.visit_wechat("/pay").await;
    let (mut one, mut two) = (Browser::of(&t), Browser::of(&t));
    (one.cookies, two.cookies) = (browser.cookies.clone(), browser.cookies.clone());
    let (first, second) = tokio::join!(one.open(&back), two.open(&back));
    assert_eq!(first.location(), second.location());
    assert!(one.session().is_some() && two.session().is_some());
    assert_eq!(
        one.open(&back).await.location(),
        first.location(),
        "and once more, by the back button"
    );
    assert_eq!(t.world.offiaccount().exchanges(), 1);
}

#[tokio::test]
async fn with_a_code_that_is_used_or_too_old_the_browser_starts_over_once() {
    let t = app(&[]).await;
    for errcode in [40163, 40029] {
        let mut browser = Browser::of(&t);
        t.world.offiaccount().refuse_next(errcode);
        let back = browser.visit_wechat("https://shop.example.com/cart").await;
        let again = browser.open(&back).await;
        assert!(again.location().contains("/connect/oauth2/authorize?"), "{again:?}");
        let back = browser.open(again.location()).await.location().to_owned();
        assert_eq!(browser.open(&back).await.location(), "https://shop.example.com/cart");

        let mut unlucky = Browser::of(&t);
        t.world.offiaccount().refuse_next(errcode);
        t.world.offiaccount().refuse_next(errcode);
        let back = unlucky.visit_wechat("/pay").await;
        let again = unlucky.open(&back).await;
        let back = unlucky.open(again.location()).await.location().to_owned();
        assert_eq!(
            unlucky.open(&back).await.error(),
            (400, "OAUTH_CODE_INVALID".to_owned())
        );
        assert!(unlucky.session().is_none());
    }
}

#[tokio::test]
async fn whoever_is_no_buyer_is_told_why() {
    let t = app(&[]).await;
    for (errcode, status, error) in [
        (-1, 503, "OAUTH_UNAVAILABLE"),
        (45011, 503, "OAUTH_UNAVAILABLE"),
        (40013, 502, "OAUTH_REFUSED"),
        (40125, 502, "OAUTH_REFUSED"),
        (40164, 502, "OAUTH_REFUSED"),
    ] {
        let mut browser = Browser::of(&t);
        t.world.offiaccount().refuse_next(errcode);
        let back = browser.visit_wechat("/pay").await;
        assert_eq!(
            browser.open(&back).await.error(),
            (status, error.to_owned()),
            "{errcode}"
        );
        assert!(browser.session().is_none());
    }
    t.world.offiaccount().set_visitor(true);
    let mut visitor = Browser::of(&t);
    let back = visitor.visit_wechat("/pay").await;
    assert_eq!(visitor.open(&back).await.error(), (403, "OAUTH_VISITOR".to_owned()));
    let state = back.split("state=").nth(1).unwrap();
    let without = visitor.open(&format!("/oauth/callback?state={state}")).await;
    assert_eq!(without.error(), (400, "OAUTH_CODE_MISSING".to_owned()));
}

#[tokio::test]
async fn a_person_reads_a_page_in_her_language_with_a_way_back() {
    let t = app(&[]).await;
    t.world.offiaccount().refuse_next(45011);
    let mut browser = Browser::of(&t);
    let back = browser
        .visit_wechat(
            "https://shop.example.com/\"><script>alert(1)</script>"
                .replace('"', "%22")
                .replace(['<', '>'], "")
                .as_str(),
        )
        .await;
    let page = browser.open_as(&back, "text/html,*/*").await;
    assert_eq!(
        (page.status, page.headers["content-type"].to_str().unwrap()),
        (503, "text/html; charset=utf-8")
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(
        page.text.contains("lang=\"zh-CN\"") && page.text.contains("微信"),
        "{}",
        page.text
    );
    let link = page.text.split("<a href=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(
        link.starts_with("authorize?return_to=https%3A%2F%2Fshop.example.com%2F"),
        "{link}"
    );
    // The link works.
    assert_eq!(browser.open(&format!("/oauth/{link}")).await.status, 302);
}

#[tokio::test]
async fn a_session_counts_on_the_services_own_pages_until_it_is_over() {
    let t = app(&[("sessionTime", "120")]).await;
    let mut browser = Browser::of(&t);
    browser.log_in().await;
    let asked = action("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"}));
    let unknown = browser.post(&asked, &[("origin", "https://pay.example.com")]).await;
    assert_ne!(unknown.status, 401, "{unknown:?}");
    for foreign in [
        ("origin", SHOP),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let refused = browser.post(&asked, &[foreign]).await;
        assert_eq!(refused.failure(), (401, "UNAUTHENTICATED"), "{foreign:?}");
    }
    t.advance(Duration::from_secs(120));
    assert_eq!(browser.post(&asked, &[]).await.failure(), (401, "UNAUTHENTICATED"));
    assert!(browser.open("/pay/context").await.text.contains("\"needed\""));
}

#[tokio::test]
async fn a_session_cannot_be_made_up_and_is_no_token() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    browser.log_in().await;
    let genuine = browser.session().unwrap().clone();
    let asked = action("wxpay_query_order_by_out_trade_no", json!({"out_trade_no": "ORDER_1"}));
    // In front of the gateway's decoder it names no sub.
    let as_token = t
        .post(
            "/",
            &[("authorization", &format!("Bearer {genuine}"))],
            asked.to_string(),
        )
        .await;
    assert_eq!(as_token.failure(), (401, "UNAUTHENTICATED"));
    let parts: Vec<&str> = genuine.split('.').collect();
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = json!({"openid": SOMEBODY_ELSE, "appid": t.world.keys().appid(), "exp": 9_999_999_999_i64});
    let payload = engine.encode(claims.to_string());
    let none = engine.encode(json!({"alg": "none"}).to_string());
    for forged in [
        format!("{}.{payload}.{}", parts[0], parts[2]),
        format!("{none}.{payload}."),
        t.token_of("u1", OPENID),
        "x".repeat(9000),
    ] {
        let mut forger = Browser::of(&t);
        forger.cookies.insert("__Host-pay_session".to_owned(), forged);
        assert_eq!(forger.post(&asked, &[]).await.failure(), (401, "UNAUTHENTICATED"));
    }
    // Under the name that another site of the domain could have planted.
    let mut planted = Browser::of(&t);
    planted.cookies.insert("pay_session".to_owned(), genuine);
    assert_eq!(planted.post(&asked, &[]).await.failure(), (401, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn a_buyer_is_no_operator() {
    let t = app(&[]).await;
    let mut browser = Browser::of(&t);
    browser.log_in().await;
    let tick = t.post("/internal/tick", &[("cookie", &browser.sent())], "").await;
    assert_eq!(tick.failure(), (403, "FORBIDDEN"));
    let transfer = json!({
        "out_bill_no": "BILL1", "transfer_amount": 30, "transfer_scene_id": "1000", "openid": OPENID,
        "transfer_remark": "x", "transfer_scene_report_infos": [{"info_type": "a", "info_content": "b"}],
    });
    let refused = browser.post(&action("wxpay_transfer", transfer), &[]).await;
    assert_eq!(refused.failure(), (403, "FORBIDDEN"));
    // An operator key beside the cookie is the operator's.
    let key = format!("Bearer {OPERATOR}");
    let asked = t
        .post(
            "/internal/tick",
            &[("cookie", &browser.sent()), ("authorization", &key)],
            "",
        )
        .await;
    assert_eq!(asked.status, 200);
}

#[tokio::test]
async fn without_an_appsecret_there_is_no_web_authorization() {
    let t = TestApp::start(Store::Sqlite).await;
    let mut browser = Browser::of(&t);
    for path in ["/oauth/authorize?return_to=/pay", "/oauth/callback?code=a&state=b"] {
        assert_eq!(
            browser.open(path).await.error(),
            (404, "WEB_AUTHORIZATION_OFF".to_owned())
        );
    }
    assert!(browser.open("/pay/context").await.text.contains("\"off\""));
}
