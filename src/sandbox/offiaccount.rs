//! The Official Account: it asks who opens a page (`open.weixin.qq.com`) and says it to the server that holds its AppSecret
//! (`api.weixin.qq.com`), as strict as WeChat is about both.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::{
    Keys,
    clock::Clock,
    crypto::{random_hex, random_text},
    journal::{Journal, Party},
    lock,
    socket::Port,
    tasks::Tasks,
};

/// How long a code is good, in seconds.
const CODE_LIVES_S: i64 = 300;

/// The openid of whoever opens pages, unless a test says another.
const BUYER: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";

/// A handle on the simulated Official Account; clones are the same one.
#[derive(Clone)]
pub struct Offiaccount {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Arc<Keys>,
    secret: String,
    address: SocketAddr,
    clock: Clock,
    journal: Journal,
    state: Mutex<Remembered>,
}

struct Remembered {
    buyer: String,
    /// The "Web Authorization Domain"; WeChat takes one without scheme and port.
    domain: Option<String>,
    is_visitor: bool,
    codes: HashMap<String, Code>,
    refusals: VecDeque<i64>,
    exchanges: usize,
}

struct Code {
    openid: String,
    at: Timestamp,
    is_used: bool,
}

impl Offiaccount {
    pub(crate) fn start(port: Port, tasks: &Tasks, keys: Arc<Keys>, clock: Clock, journal: Journal) -> Self {
        let inner = Inner {
            keys,
            secret: random_hex(32),
            address: port.address(),
            clock,
            journal,
            state: Mutex::new(Remembered {
                buyer: BUYER.to_owned(),
                domain: None,
                is_visitor: false,
                codes: HashMap::new(),
                refusals: VecDeque::new(),
                exchanges: 0,
            }),
        };
        let offiaccount = Self { inner: Arc::new(inner) };
        let router = Router::new()
            .route("/connect/oauth2/authorize", get(authorize))
            .route("/sns/oauth2/access_token", get(exchange))
            .with_state(offiaccount.clone());
        port.serve(tasks, router);
        offiaccount
    }

    /// The address that stands for `https://open.weixin.qq.com` and `https://api.weixin.qq.com`.
    pub fn url(&self) -> String {
        format!("http://{}", self.inner.address)
    }

    /// What turns the service's web authorization on.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("offiaccountAppId", self.inner.keys.appid().to_owned()),
            ("offiaccountAppSecret", self.inner.secret.clone()),
            ("wechatOpenBaseUrl", self.url()),
            ("wechatApiBaseUrl", self.url()),
        ]
    }

    /// Who opens pages.
    pub(crate) fn buyer(&self) -> String {
        lock(&self.inner.state).buyer.clone()
    }

    /// Who opens pages from now on.
    pub fn set_buyer(&self, openid: &str) {
        openid.clone_into(&mut lock(&self.inner.state).buyer);
    }

    /// Whether she looks at a snapshot of the page, as a visitor.
    pub fn set_visitor(&self, is_visitor: bool) {
        lock(&self.inner.state).is_visitor = is_visitor;
    }

    /// The "Web Authorization Domain": where codes are sent to, and nowhere else. Until it is set, every domain is.
    pub fn set_domain(&self, domain: &str) {
        lock(&self.inner.state).domain = Some(domain.to_owned());
    }

    /// Every domain is the right one again, nobody is a visitor, and no exchange is refused.
    pub(crate) fn make_well(&self) {
        let mut state = lock(&self.inner.state);
        state.domain = None;
        state.is_visitor = false;
        state.refusals.clear();
    }

    /// The next exchange ends with this `errcode`; several are used up one after the other.
    pub fn refuse_next(&self, errcode: i64) {
        lock(&self.inner.state).refusals.push_back(errcode);
    }

    /// How often a code was brought to be exchanged.
    pub fn exchanges(&self) -> usize {
        lock(&self.inner.state).exchanges
    }

    /// What the browser is told instead of a code; the numbers are those of WeChat's error page.
    fn why_not(&self, pairs: &[(String, String)], user_agent: &str) -> Option<(u32, &'static str)> {
        let of = |index: usize, name: &str| {
            let (found, value) = pairs.get(index)?;
            (found == name).then_some(value.as_str())
        };
        // "The parameter order is checked."
        match of(0, "appid") {
            None | Some("") => return Some((10012, "appid参数为空")),
            Some(appid) if appid != self.inner.keys.appid() => return Some((10016, "不支持的appid")),
            Some(_) => {}
        }
        let redirect_uri = match of(1, "redirect_uri") {
            None | Some("") => return Some((10011, "redirect_uri参数为空")),
            Some(uri) => Url::parse(uri).ok(),
        };
        let domain = lock(&self.inner.state).domain.clone();
        let host = redirect_uri.as_ref().and_then(Url::host_str);
        if host.is_none() || domain.is_some_and(|domain| host != Some(domain.as_str())) {
            return Some((10003, "redirect_uri域名与后台配置不一致"));
        }
        if of(2, "response_type") != Some("code") || of(3, "scope") != Some("snsapi_base") {
            return Some((10010, "scope参数为空"));
        }
        let is_state =
            |state: &str| (1..=128).contains(&state.len()) && state.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !of(4, "state").is_some_and(is_state) || pairs.len() > 5 {
            return Some((10013, "state参数为空"));
        }
        (!user_agent.contains("MicroMessenger")).then_some((0, "请在微信客户端打开链接"))
    }

    fn new_code(&self) -> String {
        let code = random_text(32);
        let mut state = lock(&self.inner.state);
        let openid = state.buyer.clone();
        let at = self.inner.clock.now();
        state.codes.insert(
            code.clone(),
            Code {
                openid,
                at,
                is_used: false,
            },
        );
        code
    }

    /// Who it is, or `errcode` and `errmsg`.
    fn exchanged(&self, asked: &HashMap<String, String>) -> Result<Value, (i64, &'static str)> {
        let of = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        let mut state = lock(&self.inner.state);
        state.exchanges += 1;
        if let Some(errcode) = state.refusals.pop_front() {
            return Err((errcode, "as the simulation was told"));
        }
        if of("appid") != self.inner.keys.appid() {
            return Err((40013, "invalid appid"));
        }
        if of("secret") != self.inner.secret {
            return Err((40125, "invalid appsecret"));
        }
        if of("grant_type") != "authorization_code" {
            return Err((40002, "invalid grant_type"));
        }
        if of("code").is_empty() {
            return Err((41008, "missing code"));
        }
        let (is_visitor, now) = (state.is_visitor, self.inner.clock.now());
        let code = state.codes.get_mut(of("code")).ok_or((40029, "invalid code"))?;
        if now.as_second() - code.at.as_second() >= CODE_LIVES_S {
            return Err((40029, "invalid code"));
        }
        if std::mem::replace(&mut code.is_used, true) {
            return Err((40163, "code been used"));
        }
        let mut said = json!({
            "access_token": random_text(64),
            "expires_in": 7200,
            "refresh_token": random_text(64),
            "openid": code.openid,
            "scope": "snsapi_base",
        });
        if is_visitor {
            super::put(&mut said, "is_snapshotuser", json!(1));
        }
        Ok(said)
    }
}

async fn authorize(State(account): State<Offiaccount>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let journal = &account.inner.journal;
    let number = journal.sent(Party::Page, Party::Wechat, "GET /connect/oauth2/authorize");
    let query = query.unwrap_or_default();
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let user_agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if let Some((number_of_error, said)) = account.why_not(&pairs, user_agent) {
        journal.answered(number, Some(200), format!("{number_of_error} {said}"));
        let page = format!(
            "<!doctype html><html lang=zh-CN><meta charset=utf-8><title>{said}</title><p>{said}</p><p>错误码:{number_of_error}</p></html>"
        );
        return (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            page,
        )
            .into_response();
    }
    let value = |name: &str| {
        let found = pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let Ok(mut back) = Url::parse(value("redirect_uri")) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    back.query_pairs_mut()
        .append_pair("code", &account.new_code())
        .append_pair("state", value("state"));
    journal.answered(number, Some(302), "a code / 返回 code");
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

async fn exchange(State(account): State<Offiaccount>, RawQuery(query): RawQuery) -> Json<Value> {
    let journal = &account.inner.journal;
    let number = journal.sent(Party::Service, Party::Wechat, "GET /sns/oauth2/access_token");
    let query = query.unwrap_or_default();
    let asked: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    // Always 200.
    let (note, said) = match account.exchanged(&asked) {
        Ok(said) => ("openid".to_owned(), said),
        Err((errcode, errmsg)) => (
            format!("{errcode} {errmsg}"),
            json!({"errcode": errcode, "errmsg": format!("{errmsg}, rid: {}", random_hex(8))}),
        ),
    };
    journal.answered(number, Some(200), note);
    Json(said)
}
