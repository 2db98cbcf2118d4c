//! WeChat Pay as fast as it can be played: every answer is signed, but the same words within a second are signed once. And a business
//! system that takes whatever it is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Where the business system hears.
pub(crate) const HOOK: &str = "/hook";

/// Who answers.
#[derive(Clone)]
pub(crate) struct Upstream {
    key: Arc<KeyPair>,
    key_id: String,
    mchid: String,
    appid: String,
    /// Signatures of the second that is named.
    signed: Arc<Mutex<(u64, HashMap<String, String>)>>,
    /// Questions about orders, and webhooks, that were answered.
    answered: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Upstream {
    pub(crate) fn of(key_id: String, mchid: String, appid: String) -> Self {
        Self {
            key: Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap()),
            key_id,
            mchid,
            appid,
            signed: Arc::default(),
            answered: Arc::default(),
        }
    }

    /// Questions about orders that were answered.
    pub(crate) fn asked(&self) -> usize {
        self.answered.0.load(Ordering::Relaxed)
    }

    /// Webhooks that were taken.
    pub(crate) fn told(&self) -> usize {
        self.answered.1.load(Ordering::Relaxed)
    }

    /// The public key in the form of the setting.
    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().unwrap();
        pem::encode(&pem::Pem::new("PUBLIC KEY", der.as_ref()))
    }

    /// Listens, and says where.
    pub(crate) async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    /// The four headers of a body that is sent now.
    pub(crate) fn headers(&self, body: &str) -> Vec<(&'static str, String)> {
        const NONCE: &str = "0123456789abcdef0123456789abcdef";
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let signature = {
            let mut signed = self.signed.lock().unwrap();
            if signed.0 != now {
                *signed = (now, HashMap::new());
            }
            let known = signed.1.get(body).cloned();
            known.unwrap_or_else(|| {
                let mut signature = vec![0; self.key.public_modulus_len()];
                let text = format!("{now}\n{NONCE}\n{body}\n");
                self.key
                    .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
                    .unwrap();
                let signature = STANDARD.encode(signature);
                signed.1.insert(body.to_owned(), signature.clone());
                signature
            })
        };
        vec![
            ("wechatpay-timestamp", now.to_string()),
            ("wechatpay-nonce", NONCE.to_owned()),
            ("wechatpay-signature", signature),
            ("wechatpay-serial", self.key_id.clone()),
        ]
    }

    /// What is told of a payment, in an answer and in a callback.
    pub(crate) fn paid(&self, number: &str) -> serde_json::Value {
        json!({
            "mchid": self.mchid, "appid": self.appid, "out_trade_no": number, "transaction_id": format!("4200{number}"),
            "trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功", "bank_type": "OTHERS", "attach": "",
            "success_time": "2026-11-23T10:34:56+08:00", "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            "amount": {"total": 20, "payer_total": 20, "currency": "CNY", "payer_currency": "CNY"},
        })
    }
}

async fn answer(State(upstream): State<Upstream>, request: Request) -> Response {
    let path = request.uri().path();
    if path == HOOK {
        upstream.answered.1.fetch_add(1, Ordering::Relaxed);
        return ().into_response();
    }
    let body = match path.strip_prefix("/v3/pay/transactions/out-trade-no/") {
        None => json!({"prepay_id": "wx26112410242200000000000000000000bench"}).to_string(),
        Some(number) if number.starts_with("OPEN") => json!({
            "mchid": upstream.mchid, "appid": upstream.appid, "out_trade_no": number, "trade_state": "NOTPAY",
            "trade_state_desc": "订单未支付", "amount": {"total": 20, "currency": "CNY"},
        })
        .to_string(),
        Some(number) => {
            upstream.answered.0.fetch_add(1, Ordering::Relaxed);
            upstream.paid(number).to_string()
        }
    };
    let headers = upstream.headers(&body);
    let mut response = body.into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
