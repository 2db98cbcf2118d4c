//! The cashier as it is served; `tests/browser` uses it.

use pay_common::sandbox::Options;

use crate::support::app::TestApp;
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;

const FILES: [(&str, &str); 6] = [
    ("/pay", "text/html; charset=utf-8"),
    ("/pay/cashier.css", "text/css; charset=utf-8"),
    ("/pay/cashier.js", "text/javascript; charset=utf-8"),
    ("/pay/view.js", "text/javascript; charset=utf-8"),
    ("/pay/texts.js", "text/javascript; charset=utf-8"),
    ("/pay/icon.svg", "image/svg+xml"),
];

async fn app(origins: &str) -> TestApp {
    let mut offline = Offline::over(Database::fresh(Store::Sqlite).await, Options::default(), &[]).await;
    for (name, value) in offline.world.offiaccount().settings() {
        offline.set(name, &value);
    }
    offline.set("oauthReturnOrigins", origins);
    offline.start().await
}

#[tokio::test]
async fn its_files_are_for_everybody_and_may_load_nothing_from_elsewhere() {
    let t = app("").await;
    for (path, media) in FILES {
        let file = t.http.get(t.url(path)).send().await.unwrap();
        assert_eq!(file.status(), 200, "{path}");
        let header = |name: &str| file.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), media);
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-cache");
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{policy}"
        );
        assert!(policy.ends_with("frame-ancestors 'self'"), "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"),
            "{policy}"
        );
        let tag = header("etag");
        let again = t
            .http
            .get(t.url(path))
            .header("if-none-match", &tag)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), 304, "{path}");
    }
    let none = t.http.get(t.url("/pay/other.js")).send().await.unwrap();
    assert_eq!(none.status(), 404);
}

#[tokio::test]
async fn only_pages_that_may_be_returned_to_may_show_it_in_a_frame() {
    let t = app("https://shop.example.com, https://m.shop.example.com").await;
    let page = t.http.get(t.url("/pay")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    let framed_by = "frame-ancestors 'self' https://shop.example.com https://m.shop.example.com";
    assert!(policy.ends_with(framed_by), "{policy}");
}
