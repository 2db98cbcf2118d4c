//! Pages of another origin: what a browser is told, and that nobody is kept out by it.

use pay_common::sandbox::Options;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::support::app::{TestApp, order};
use crate::support::database::Store;

const SHOP: &str = "https://shop.example.com";
const OTHER: &str = "http://localhost:5173";
const EVIL: &str = "https://shop.example.com.evil.example";

/// Nothing here touches the books, so one of the two databases is enough.
async fn with_origins(allowed: &str) -> TestApp {
    TestApp::start_with(Store::Sqlite, Options::default(), &[("corsAllowOrigin", allowed)]).await
}

async fn ask(t: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let mut request = t.http.request(method, t.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.text().await.unwrap())
}

async fn preflight(t: &TestApp, path: &str, origin: &str) -> (u16, HeaderMap, String) {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    ask(t, Method::OPTIONS, path, &headers).await
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap());
    assert_eq!(values.next(), None, "{name} stands twice: {headers:?}");
    value
}

fn about_origins(headers: &HeaderMap) -> Vec<&str> {
    let names = headers.keys().map(reqwest::header::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_told_what_a_page_may_send() {
    let t = with_origins(&format!("{SHOP}, {OTHER}")).await;
    for path in ["/", "/wx-pay/wxpay_order", "/healthz", "/no/such/path"] {
        for origin in [SHOP, OTHER] {
            let (status, headers, body) = preflight(&t, path, origin).await;
            assert_eq!((status, body.as_str()), (204, ""), "{path}");
            assert_eq!(value(&headers, "access-control-allow-origin"), Some(origin));
            assert_eq!(
                value(&headers, "access-control-allow-methods"),
                Some("GET, POST, OPTIONS")
            );
            assert_eq!(
                value(&headers, "access-control-allow-headers"),
                Some("content-type, authorization, x-request-id, accept-language")
            );
            assert_eq!(value(&headers, "vary"), Some("Origin"));
            assert_eq!(value(&headers, "access-control-allow-credentials"), None);
            assert!(value(&headers, "x-request-id").is_some());
        }
    }
}

#[tokio::test]
async fn every_answer_can_be_read_by_a_page_of_a_listed_origin() {
    let t = with_origins(SHOP).await;
    let authorization = format!("Bearer {}", t.token("alice"));
    let post = |path: &'static str, authorization: Option<String>, body: String| {
        let mut request = t.http.post(t.url(path)).header("origin", SHOP).body(body);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.header("content-type", "application/json").send()
    };
    let good = Some(authorization);
    let order = order("ORDER_1", 100).to_string();
    let answers = [
        (200, post("/wx-pay/wxpay_order", good.clone(), order).await),
        (400, post("/wx-pay/wxpay_order", good.clone(), "{}".to_owned()).await),
        (400, post("/", good, "not json".to_owned()).await),
        (401, post("/wx-pay/wxpay_order", None, "{}".to_owned()).await),
        (404, post("/no/such/path", None, "{}".to_owned()).await),
        (405, post("/healthz", None, "{}".to_owned()).await),
        (200, t.http.get(t.url("/healthz")).header("origin", SHOP).send().await),
    ];
    for (status, answer) in answers {
        let answer = answer.unwrap();
        let headers = answer.headers().clone();
        assert_eq!(answer.status().as_u16(), status, "{headers:?}");
        assert_eq!(value(&headers, "access-control-allow-origin"), Some(SHOP), "{status}");
        assert_eq!(value(&headers, "access-control-expose-headers"), Some("x-request-id"));
        assert_eq!(value(&headers, "vary"), Some("Origin"));
        assert_eq!(about_origins(&headers).len(), 2, "{headers:?}");
    }
}

#[tokio::test]
async fn an_origin_that_is_not_listed_hears_nothing_of_it_and_is_served() {
    let t = with_origins(SHOP).await;
    let authorization = format!("Bearer {}", t.token("alice"));
    for (count, origin) in [
        EVIL,
        "http://shop.example.com",
        "https://shop.example.com:8443",
        "null",
        "*",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let (status, headers, _) = preflight(&t, "/", origin).await;
        assert_eq!((status, about_origins(&headers)), (204, vec![]), "{origin}");
        assert_eq!(value(&headers, "vary"), Some("Origin"));

        let number = format!("ORDER_{count}");
        let headers = [("authorization", authorization.as_str()), ("origin", origin)];
        let came = t
            .post("/wx-pay/wxpay_order", &headers, order(&number, 100).to_string())
            .await;
        came.data();
        assert_eq!(about_origins(&came.headers), Vec::<&str>::new(), "{origin}");
        assert_eq!(value(&came.headers, "vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn what_is_no_page_hears_only_that_answers_differ_by_origin() {
    let t = with_origins(SHOP).await;
    let (status, headers, _) = ask(&t, Method::GET, "/healthz", &[]).await;
    assert_eq!((status, about_origins(&headers)), (200, vec![]));
    assert_eq!(value(&headers, "vary"), Some("Origin"));
    // An OPTIONS that no browser asks before a call is a method like any other.
    for headers in [
        vec![],
        vec![("origin", SHOP)],
        vec![("access-control-request-method", "POST")],
    ] {
        let (status, _, body) = ask(&t, Method::OPTIONS, "/", &headers).await;
        assert_eq!(status, 405, "{headers:?}");
        assert!(body.contains("METHOD_NOT_ALLOWED"), "{body}");
    }
}

#[tokio::test]
async fn every_origin_is_allowed_only_where_that_is_set_and_never_with_credentials() {
    let t = with_origins("*").await;
    for origin in [SHOP, EVIL, "null"] {
        let (status, headers, _) = preflight(&t, "/", origin).await;
        assert_eq!(
            (status, value(&headers, "access-control-allow-origin")),
            (204, Some("*"))
        );
        assert_eq!(value(&headers, "access-control-allow-credentials"), None);
        assert_eq!(value(&headers, "vary"), None, "the answer is the same for all");
    }
}

#[tokio::test]
async fn without_the_setting_there_is_nothing_of_it() {
    let t = TestApp::start(Store::Sqlite).await;
    let (status, headers, _) = preflight(&t, "/", SHOP).await;
    assert_eq!((status, about_origins(&headers)), (405, vec![]));
    assert_eq!(value(&headers, "vary"), None);
    let came = t.post("/", &[("origin", SHOP)], json!({}).to_string()).await;
    assert_eq!((came.status, about_origins(&came.headers)), (400, vec![]));
}
