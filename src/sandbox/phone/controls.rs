//! What the person in front of the phone can make happen, and everything that did.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Browser, Phone, Way};
use crate::sandbox::{
    journal::Party,
    wechat::{Endpoint, Fault},
};

/// As long as WeChat waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
pub(super) struct From {
    #[serde(default)]
    from: usize,
}

/// Everything since that entry, the sheet, and where the newest order stands.
pub(super) async fn now(State(phone): State<Phone>, Query(From { from }): Query<From>) -> Json<Value> {
    let around = &phone.inner.around;
    let (sheet, newest, browser, way) = phone.held(|held| {
        let sheet = held.sheet.as_ref().map(|sheet| {
            json!({
                "out_trade_no": sheet.order.out_trade_no,
                "total": sheet.order.total,
                "description": sheet.order.params.get("description"),
            })
        });
        (sheet, held.newest.clone(), held.browser, held.way)
    });
    let order = newest.map(|number| {
        let state = around.wechat.order(&number).map(|order| order.state.as_str());
        json!({"out_trade_no": number, "trade_state": state})
    });
    Json(json!({"entries": around.journal.since(from), "sheet": sheet, "order": order, "browser": browser, "way": way}))
}

#[derive(Deserialize)]
pub(super) struct Network {
    action: Action,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// The next callback never arrives, however often it is sent.
    Lose,
    /// The next one arrives three times.
    Duplicate,
    /// The next ones are late.
    Delay,
    /// Somebody says that the newest order is paid, though nobody paid.
    Forge,
    Well,
}

pub(super) async fn network(
    State(phone): State<Phone>,
    Json(Network { action }): Json<Network>,
) -> (StatusCode, Json<Value>) {
    let around = &phone.inner.around;
    let wechat = &around.wechat;
    match action {
        Action::Lose => wechat.lose_callbacks(u32::MAX),
        Action::Duplicate => wechat.duplicate_callback(2),
        Action::Delay => wechat.delay_callbacks(3, Duration::from_secs(4)),
        Action::Well => wechat.lose_callbacks(0),
        Action::Forge => {
            let newest = phone.held(|held| held.newest.clone());
            let Some(order) = newest.and_then(|number| wechat.order(&number)) else {
                return (
                    StatusCode::CONFLICT,
                    Json(json!({"error": "WeChat knows no order yet"})),
                );
            };
            let forged = around.center.forge(&order);
            let body = Bytes::from(forged.body.to_string());
            let sent = around
                .service
                .post(Party::Forger, &forged.path, &forged.headers, body, PATIENCE);
            let status = sent.await.map(|reply| reply.status).ok();
            return (StatusCode::OK, Json(json!({"answered": status})));
        }
    }
    (StatusCode::OK, Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct Trouble {
    what: What,
    /// What the merchant entered, for [`What::Directory`].
    directory: Option<String>,
}

/// What merchants get wrong, as WeChat's and the guide's questions and answers have it.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// Nothing is wrong.
    Well,
    /// Q1: the openid is one of another app.
    OpenidOfOtherApp,
    /// Q1: the page hard-codes another appId.
    HardCodedApp,
    /// Q2: the app is not bound to the merchant.
    AppNotBound,
    /// Q3: the page is outside the authorized directories.
    Directory,
    /// Q4: the domain is not the web authorization domain.
    NoCode,
    /// The code was used already.
    CodeUsed,
    /// A snapshot of the page.
    Visitor,
    /// Q5: another browser.
    OutsideWechat,
    /// Q6: another browser with WeChat's name.
    Disguised,
    /// The session is over.
    SessionOver,
    /// The seed's way, through the gateway.
    Gateway,
    /// The service's own way.
    Session,
}

pub(super) async fn trouble(
    State(phone): State<Phone>,
    Json(Trouble { what, directory }): Json<Trouble>,
) -> Json<Value> {
    let around = &phone.inner.around;
    let (wechat, offiaccount) = (&around.wechat, &around.offiaccount);
    let refuse = |code: &str, message: &str| {
        wechat.fault(
            Endpoint::Prepay,
            Fault::Refuse {
                status: 400,
                code: code.to_owned(),
                message: message.to_owned(),
                signed: true,
            },
        );
    };
    match what {
        What::Gateway => phone.held(|held| held.way = Way::Gateway),
        What::Session => phone.held(|held| held.way = Way::Session),
        What::Well => {
            wechat.clear_faults();
            wechat.lose_callbacks(0);
            offiaccount.make_well();
            phone.held(|held| {
                held.browser = Browser::Wechat;
                held.directory = None;
                held.hard_coded_app = false;
                held.forgets_session = false;
            });
        }
        What::OpenidOfOtherApp => refuse("PARAM_ERROR", "appid和openid不匹配"),
        What::AppNotBound => refuse("APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配，请检查后再试"),
        What::HardCodedApp => phone.held(|held| held.hard_coded_app = true),
        What::Directory => {
            let entered = directory.unwrap_or_else(|| format!("{}/shop/", phone.url()));
            phone.held(|held| held.directory = Some(entered));
        }
        What::NoCode => offiaccount.set_domain("another.example.com"),
        What::CodeUsed => {
            // The browser starts over once by itself.
            offiaccount.refuse_next(40163);
            offiaccount.refuse_next(40163);
        }
        What::Visitor => offiaccount.set_visitor(true),
        What::OutsideWechat => phone.held(|held| held.browser = Browser::Other),
        What::Disguised => phone.held(|held| held.browser = Browser::Disguised),
        What::SessionOver => phone.held(|held| held.forgets_session = true),
    }
    Json(json!({}))
}
