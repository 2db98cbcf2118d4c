//! The merchant's shop: it signs order tickets, and for the guide's way it logs its buyer in.

use aws_lc_rs::hmac;
use axum::{Json, extract::State, http::header, response::IntoResponse};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::Phone;
use crate::sandbox::{crypto::random_digits, gateway::TokenOptions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    total: Option<i64>,
    description: Option<String>,
    out_trade_no: Option<String>,
    /// Seconds until the ticket is over.
    seconds: Option<i64>,
}

/// A new order of the shop's: the link that its page would have.
pub(super) async fn order(State(phone): State<Phone>, Json(wanted): Json<Wanted>) -> Json<Value> {
    let orders = phone.held(|held| {
        held.orders += 1;
        held.orders
    });
    let number = wanted
        .out_trade_no
        .unwrap_or_else(|| format!("SHOP_{}_{orders}", random_digits(6)));
    phone.held(|held| held.newest = Some(number.clone()));
    let claims = json!({
        "out_trade_no": number,
        "description": wanted.description.unwrap_or_else(|| "手冲咖啡一杯 A cup of coffee".to_owned()),
        "amount": {"total": wanted.total.unwrap_or(20), "currency": "CNY"},
        "exp": phone.inner.around.clock.now().as_second() + wanted.seconds.unwrap_or(600),
    });
    let ticket = phone.ticket(&claims);
    let return_to: String = byte_serialize(format!("{}/phone/shop", phone.url()).as_bytes()).collect();
    let link = format!("/pay#ticket={ticket}&return_to={return_to}");
    Json(json!({"out_trade_no": number, "link": link, "ticket": ticket}))
}

impl Phone {
    /// A compact JWS with HS256.
    fn ticket(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.inner.ticket_secret.as_bytes());
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }
}

/// A login of `CloudBase`, for the page that goes through the gateway.
pub(super) async fn token(State(phone): State<Phone>) -> Json<Value> {
    let gateway = &phone.inner.around.gateway;
    Json(json!({"access_token": gateway.mint_token("buyer-1", &TokenOptions::default())}))
}

/// What a page of the merchant's own says to the cashier.
pub(super) async fn hooks(State(phone): State<Phone>) -> impl IntoResponse {
    let around = &phone.inner.around;
    let gateway = around.gateway.function_url().replacen(&around.gateway.url(), "", 1);
    let hook = json!({"gateway": gateway, "openid": around.offiaccount.buyer(), "appid": around.keys.appid(), "payee": "沙箱小店 Sandbox shop"});
    let script = format!(
        "globalThis.payCashier = {{ ...{hook}, getAccessToken: async () => (await (await fetch('/phone/token')).json()).access_token }}\n"
    );
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], script)
}
