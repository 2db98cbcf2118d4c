//! The buyer's phone, for a person to look at: WeChat's own browser around the cashier, the pay sheet, and beside it everything that the
//! parties say to each other.
//!
//! WeChat's browser is a proxy in front of the service. It says that it is WeChat, and gives every page the bridge, which is as strict
//! as the real one: see `bridge`.

mod bridge;
mod browser;
mod controls;
mod shop;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use self::bridge::Sheet;
use super::{
    Center, Gateway, Keys, Offiaccount, Wechat, clock::Clock, crypto::random_hex, journal::Journal, lock,
    service::Service, socket::Port, tasks::Tasks,
};

/// A handle on the phone; clones are the same one.
#[derive(Clone)]
pub struct Phone {
    inner: Arc<Inner>,
}

struct Inner {
    around: Surroundings,
    address: SocketAddr,
    http: reqwest::Client,
    /// What the merchant's shop signs its order tickets with.
    ticket_secret: String,
    state: Mutex<Held>,
}

/// Whom the phone talks to.
pub(crate) struct Surroundings {
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) service: Service,
    pub(crate) wechat: Wechat,
    pub(crate) center: Center,
    pub(crate) offiaccount: Offiaccount,
    pub(crate) gateway: Gateway,
}

/// How the page reaches the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// By itself, with the session of web authorization.
    #[default]
    Session,
    /// Through the gateway, with a login of `CloudBase`, as the guide's page does.
    Gateway,
}

/// Which browser opens the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Browser {
    #[default]
    Wechat,
    /// Any other one.
    Other,
    /// Any other one that says it is WeChat; it has no bridge.
    Disguised,
}

#[derive(Default)]
struct Held {
    way: Way,
    browser: Browser,
    /// What the merchant entered as "JSAPI Pay Authorization Directory"; nothing is the right one.
    directory: Option<String>,
    /// The page calls the bridge with an app of its own.
    hard_coded_app: bool,
    /// The next request with a session has none any more.
    forgets_session: bool,
    sheet: Option<Sheet>,
    /// What a page waits for that will be gone before it hears of it.
    unheard: Option<tokio::sync::oneshot::Sender<serde_json::Value>>,
    orders: usize,
    newest: Option<String>,
}

/// The files that the phone serves by itself.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("phone/index.html")),
    (
        "/phone/phone.css",
        "text/css; charset=utf-8",
        include_str!("phone/phone.css"),
    ),
    (
        "/phone/phone.js",
        "text/javascript; charset=utf-8",
        include_str!("phone/phone.js"),
    ),
    (
        "/phone/words.js",
        "text/javascript; charset=utf-8",
        include_str!("phone/words.js"),
    ),
    (
        "/phone/bridge.js",
        "text/javascript; charset=utf-8",
        include_str!("phone/bridge.js"),
    ),
    (
        "/phone/shop",
        "text/html; charset=utf-8",
        include_str!("phone/shop.html"),
    ),
];

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

impl Phone {
    pub(crate) fn start(port: Port, tasks: &Tasks, around: Surroundings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .tls_certs_only([])
            .build()?;
        let inner = Inner {
            around,
            address: port.address(),
            http,
            ticket_secret: random_hex(64),
            state: Mutex::default(),
        };
        let phone = Self { inner: Arc::new(inner) };
        let mut router = Router::new();
        for (path, content_type, text) in FILES {
            router = router.route(path, get(move || async move { file(content_type, text) }));
        }
        let router = router
            .route("/phone/hooks.js", get(shop::hooks))
            .route("/phone/token", get(shop::token))
            .route("/phone/order", post(shop::order))
            .route("/phone/bridge", post(bridge::invoke))
            .route("/phone/tap", post(bridge::tap))
            .route("/phone/now", get(controls::now))
            .route("/phone/network", post(controls::network))
            .route("/phone/trouble", post(controls::trouble))
            .fallback(browser::open)
            .with_state(phone.clone());
        port.serve(tasks, router);
        Ok(phone)
    }

    /// The address to open in a browser.
    pub fn url(&self) -> String {
        format!("http://{}", self.inner.address)
    }

    /// What makes the service a cashier for this phone: to be said after the settings of the Official Account.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("orderTicketSecret", self.inner.ticket_secret.clone()),
            ("merchantName", "沙箱小店 Sandbox shop".to_owned()),
            // So that the browser stays inside the phone on its way to WeChat.
            ("wechatOpenBaseUrl", self.url()),
        ]
    }

    /// Changes what the phone holds, under its lock.
    fn held<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        change(&mut lock(&self.inner.state))
    }
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests;
