//! wxpay-rs against the simulator: its own HTTP client, its own verification of every answer.
//!
//! The SDK has WeChat Pay's address built in, so it reaches the simulator through `front.py`: WeChat Pay's own name, by
//! `HTTPS_PROXY`, which the SDK reads, with that front's authority in `SSL_CERT_FILE`.
//!
//! ```sh
//! sdk-wxpay-rs CREDENTIALS    # the file that `pay-common sandbox --credentials` writes
//! ```
//!
//! It verifies by WeChat Pay's public key where the credentials have one, and otherwise by the certificates that it
//! downloads.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use serde_json::{Value, json};
use wxpay_rs::auth::Sha256RsaSigner;
use wxpay_rs::cert::{CertDownloader, CertManager, CertificateDownloader as _};
use wxpay_rs::error::WxPayResult;
use wxpay_rs::http::{HttpClient as _, ReqwestHttpClient};
use wxpay_rs::notify::handler::{PaymentExpectation, PaymentNotifyData, RefundExpectation, RefundNotifyData};
use wxpay_rs::notify::{NotifyHandler, NotifyHeaders};
use wxpay_rs::services::payments::PaymentOptions;
use wxpay_rs::services::payments::app::AppRequest;
use wxpay_rs::services::payments::h5::{H5Info, H5Request, SceneInfo};
use wxpay_rs::services::payments::jsapi::{Amount, JsapiRequest, Payer};
use wxpay_rs::services::payments::native::NativeRequest;
use wxpay_rs::services::refund::{RefundAmount, RefundRequest};
use wxpay_rs::{WxPayClient, WxPayConfig, WxPayConfigBuilder, WxPayError};

const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";
const DESCRIPTION: &str = "Image形象店-深圳腾大-QQ公仔";
const PATIENCE: Duration = Duration::from_secs(20);
/// A key that is not the simulator's.
const ANOTHER_KEY: &[u8] = include_bytes!("../../../vectors/doc_test_platform_public_key.pem");

/// A callback as it came.
#[derive(Clone)]
struct Came {
    headers: HeaderMap,
    body: Bytes,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn signature(&self) -> NotifyHeaders<'_> {
        NotifyHeaders {
            timestamp: self.header("wechatpay-timestamp"),
            nonce: self.header("wechatpay-nonce"),
            serial: self.header("wechatpay-serial"),
            signature: self.header("wechatpay-signature"),
        }
    }
}

enum Content {
    Payment(PaymentNotifyData),
    Refund(RefundNotifyData),
}

/// The merchant's server: 204 to what the SDK could open, 401 to everything else.
#[derive(Clone)]
struct Receiver {
    handler: Arc<NotifyHandler>,
    opened: Arc<Mutex<Vec<(Came, Arc<Content>)>>>,
    turned_away: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    async fn open(&self, came: &Came) -> WxPayResult<Content> {
        let verified = self.handler.verify_and_parse(came.signature(), &came.body).await?;
        if verified.request().notify_type.starts_with("REFUND.") {
            let content = self.handler.handle_verified_refund_notify(&verified).await?;
            Ok(Content::Refund(content))
        } else {
            let content = self.handler.handle_verified_payment_notify(&verified).await?;
            Ok(Content::Payment(content))
        }
    }

    async fn wait<T>(&self, wanted: impl Fn(&Came, &Content) -> Option<T>) -> T {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let found = self
                .opened
                .lock()
                .unwrap()
                .iter()
                .find_map(|(came, content)| wanted(came, content));
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "no callback came; {} were turned away",
            self.turned_away.lock().unwrap().len()
        );
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let came = Came { headers, body };
    match receiver.open(&came).await {
        Ok(content) => {
            receiver.opened.lock().unwrap().push((came, Arc::new(content)));
            StatusCode::NO_CONTENT
        }
        Err(_) => {
            receiver.turned_away.lock().unwrap().push(came);
            StatusCode::UNAUTHORIZED
        }
    }
}

/// What the file says, and what this run calls its orders.
struct Given {
    members: Value,
    run: String,
    notify_url: String,
}

impl Given {
    fn text(&self, name: &str) -> String {
        self.members[name]
            .as_str()
            .unwrap_or_else(|| panic!("the credentials have no {name}"))
            .to_owned()
    }

    fn number(&self, name: &str) -> String {
        format!("RS_{}_{name}", self.run)
    }

    fn config(&self) -> WxPayConfigBuilder {
        WxPayConfig::builder()
            .app_id(self.text("service_app_id"))
            .merchant_id(self.text("merchantId"))
            .cert_serial_number(self.text("merchantSerialNumber"))
            .private_key(self.text("privateKey").into_bytes())
            .api_v3_key(self.text("apiV3Key"))
            .timeout(20)
            .max_retries(0)
    }

    fn public_key(&self) -> Option<String> {
        self.members["wxPayPublicKey"].as_str().map(str::to_owned)
    }

    async fn client_by_key(&self, public_key: &[u8]) -> WxPayClient {
        let id = self.text("wxPayPublicKeyId");
        let config = self.config().platform_public_key(id, public_key.to_vec());
        WxPayClient::new(config.build().unwrap()).await.unwrap()
    }

    async fn client_by_certificates(&self) -> WxPayClient {
        let config = self.config().build().unwrap();
        let signer = Sha256RsaSigner::new(&config.merchant_id, &config.private_key, &config.cert_serial_number);
        let manager = Arc::new(CertManager::new());
        let downloader = CertDownloader::new(
            config.base_url(),
            &config.merchant_id,
            Arc::new(signer.unwrap()),
            Arc::new(ReqwestHttpClient::builder().timeout(20).build().unwrap()),
            Arc::clone(&manager),
        );
        let downloaded = downloader.with_api_v3_key(&config.api_v3_key).download().await.unwrap();
        assert_eq!(downloaded.len(), 1, "the merchant has one certificate of WeChat Pay's");
        let client = WxPayClient::builder().config(config).cert_manager(manager);
        client.build().await.unwrap()
    }

    fn jsapi(&self, name: &str, total: u64) -> JsapiRequest {
        JsapiRequest {
            appid: self.text("service_app_id"),
            mchid: self.text("merchantId"),
            description: DESCRIPTION.to_owned(),
            out_trade_no: self.number(name),
            amount: amount(total),
            payer: Some(Payer {
                openid: OPENID.to_owned(),
            }),
            notify_url: Some(self.notify_url.clone()),
        }
    }

    fn refund(&self, name: &str, refund: u64) -> RefundRequest {
        RefundRequest {
            transaction_id: None,
            out_trade_no: Some(self.number("A")),
            out_refund_no: self.number(name),
            reason: Some("商品已售完".to_owned()),
            amount: RefundAmount {
                refund,
                total: 120,
                currency: "CNY".to_owned(),
            },
            notify_url: Some(self.notify_url.clone()),
        }
    }

    async fn control(&self, path: &str, body: Value) -> Value {
        let http = ReqwestHttpClient::builder().timeout(20).build().unwrap();
        let json = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let url = format!("{}{path}", self.text("controlUrl"));
        let answer = http.post(&url, json, &body.to_string()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

fn amount(total: u64) -> Option<Amount> {
    Some(Amount {
        total,
        currency: Some("CNY".to_owned()),
    })
}

fn refused<T>(result: WxPayResult<T>, code: &str) {
    let error = result.err().expect("WeChat Pay refuses this");
    assert_eq!(error.api_code(), Some(code), "{error}");
}

fn is_prepay_id(id: &str) -> bool {
    id.len() == 36 && id.starts_with("wx") && id.chars().all(|c| c.is_ascii_alphanumeric())
}

#[tokio::main]
async fn main() {
    let file = std::env::args().nth(1).expect("the file with the credentials");
    let members = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let run: String = uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect();
    let notify_url = format!("http://{}/notify", listener.local_addr().unwrap());
    let given = Given {
        members,
        run,
        notify_url,
    };
    let wxpay = match given.public_key() {
        Some(key) => given.client_by_key(key.as_bytes()).await,
        None => given.client_by_certificates().await,
    };
    let receiver = Receiver {
        handler: Arc::new(wxpay.notify_handler().unwrap()),
        opened: Arc::default(),
        turned_away: Arc::default(),
    };
    let router = Router::new()
        .route("/notify", post(receive))
        .with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut steps = 0;
    let mut held = |title: &str| {
        steps += 1;
        println!("  ok  {title}");
    };

    let shop = PaymentOptions {
        attach: Some("shop=1".to_owned()),
        ..PaymentOptions::default()
    };
    let first = wxpay
        .jsapi()
        .create_order_with_options(&given.jsapi("A", 120), &shop)
        .await
        .unwrap();
    assert!(is_prepay_id(&first.prepay_id), "{}", first.prepay_id);
    let again = wxpay
        .jsapi()
        .create_order_with_options(&given.jsapi("A", 120), &shop)
        .await
        .unwrap();
    assert_eq!(again.prepay_id, first.prepay_id);
    held("places a JSAPI order, twice the same");

    let like = given.jsapi("N", 120);
    let native = wxpay
        .native()
        .create_order(&NativeRequest {
            appid: like.appid.clone(),
            mchid: like.mchid.clone(),
            description: like.description.clone(),
            out_trade_no: like.out_trade_no,
            amount: amount(120),
            notify_url: like.notify_url.clone(),
        })
        .await
        .unwrap();
    assert!(
        native.code_url.starts_with("weixin://wxpay/bizpayurl?pr="),
        "{}",
        native.code_url
    );
    let h5 = wxpay
        .h5()
        .create_order(&H5Request {
            appid: like.appid.clone(),
            mchid: like.mchid.clone(),
            description: like.description.clone(),
            out_trade_no: given.number("H"),
            amount: amount(120),
            notify_url: like.notify_url.clone(),
            scene_info: Some(SceneInfo {
                payer_client_ip: Some("203.0.113.7".to_owned()),
                device_id: None,
                h5_info: Some(H5Info {
                    r#type: "Wap".to_owned(),
                }),
            }),
        })
        .await
        .unwrap();
    assert!(h5.h5_url.starts_with("https://wx.tenpay.com/"), "{}", h5.h5_url);
    let app = wxpay
        .app()
        .create_order(&AppRequest {
            appid: like.appid,
            mchid: like.mchid,
            description: like.description,
            out_trade_no: given.number("P"),
            amount: amount(120),
            notify_url: like.notify_url,
        })
        .await
        .unwrap();
    assert!(is_prepay_id(&app.prepay_id), "{}", app.prepay_id);
    held("places native, H5 and app orders");

    let found = wxpay.query().by_out_trade_no(&given.number("A")).await.unwrap();
    assert_eq!((found.trade_state.as_str(), found.transaction_id), ("NOTPAY", None));
    assert_eq!(found.amount.map(|amount| amount.total), Some(120));
    held("queries the unpaid order");

    wxpay.query().close(&given.number("N")).await.unwrap();
    let closed = wxpay.query().by_out_trade_no(&given.number("N")).await.unwrap();
    assert_eq!(closed.trade_state, "CLOSED");
    held("closes another, which is then closed");

    refused(
        wxpay.query().by_out_trade_no(&given.number("X")).await,
        "ORDER_NOT_EXIST",
    );
    let other = wxpay
        .jsapi()
        .create_order_with_options(&given.jsapi("A", 121), &shop)
        .await;
    refused(other, "OUT_TRADE_NO_USED");
    held("hears of an unknown order and of other parameters");

    given.control("/network", json!({"action": "probe", "times": 1})).await;
    let paid = given
        .control("/pay", json!({"out_trade_no": given.number("A"), "payer_total": 100}))
        .await;
    let transaction_id = paid["transaction_id"].as_str().unwrap();
    let (came, payment) = receiver
        .wait(|came, content| match content {
            Content::Payment(payment) => Some((came.clone(), payment.clone())),
            Content::Refund(_) => None,
        })
        .await;
    payment
        .validate_order(PaymentExpectation {
            appid: &given.text("service_app_id"),
            mchid: &given.text("merchantId"),
            out_trade_no: &given.number("A"),
            total: 120,
            currency: "CNY",
        })
        .unwrap();
    assert_eq!(
        (payment.transaction_id.as_str(), payment.trade_type.as_str()),
        (transaction_id, "JSAPI")
    );
    assert_eq!(payment.attach.as_deref(), Some("shop=1"));
    assert_eq!(payment.payer.map(|payer| payer.openid).as_deref(), Some(OPENID));
    assert_eq!(payment.amount.and_then(|amount| amount.payer_total), Some(100));
    let turned_away = receiver.turned_away.lock().unwrap().clone();
    assert_eq!(turned_away.len(), 1);
    assert!(
        turned_away[0]
            .header("wechatpay-signature")
            .starts_with("WECHATPAY/SIGNTEST/")
    );
    held("opens the payment callback, and turns the probe before it away");

    let changed = String::from_utf8(came.body.to_vec())
        .unwrap()
        .replace("支付成功", "支付失败");
    assert_ne!(changed.as_bytes(), came.body);
    let changed = Came {
        body: changed.into(),
        ..came
    };
    let refusal = receiver.open(&changed).await.err().expect("it is not what was signed");
    assert!(
        matches!(refusal, WxPayError::NotifySignatureVerificationFailed),
        "{refusal}"
    );
    held("turns a callback away that somebody changed");

    let found = wxpay.query().by_out_trade_no(&given.number("A")).await.unwrap();
    assert_eq!(found.trade_state, "SUCCESS");
    let found = wxpay.query().by_transaction_id(transaction_id).await.unwrap();
    assert_eq!(found.out_trade_no, Some(given.number("A")));
    assert_eq!(found.amount.and_then(|amount| amount.payer_total), Some(100));
    held("queries the paid order by both numbers");

    refused(wxpay.query().close(&given.number("A")).await, "ORDERPAID");
    held("cannot close what is paid");

    let accepted = wxpay.refund().create_refund(&given.refund("R", 60)).await.unwrap();
    assert_eq!(
        (accepted.status.as_str(), accepted.transaction_id.as_str()),
        ("PROCESSING", transaction_id)
    );
    let arrived = receiver
        .wait(|_, content| match content {
            Content::Refund(refund) => Some(refund.clone()),
            Content::Payment(_) => None,
        })
        .await;
    arrived
        .validate_order(RefundExpectation {
            mchid: &given.text("merchantId"),
            out_trade_no: &given.number("A"),
            out_refund_no: &given.number("R"),
            total: 120,
            refund: 60,
        })
        .unwrap();
    assert_eq!(
        (arrived.refund_status.as_str(), arrived.refund_id),
        ("SUCCESS", accepted.refund_id)
    );
    assert_eq!(arrived.amount.map(|amount| amount.payer_refund), Some(50));
    held("refunds a part, and opens the refund callback");

    let found = wxpay.refund().query_refund(&given.number("R")).await.unwrap();
    assert_eq!(
        (found.status.as_str(), found.amount.map(|amount| amount.total)),
        ("SUCCESS", Some(120))
    );
    let found = wxpay.query().by_out_trade_no(&given.number("A")).await.unwrap();
    assert_eq!(found.trade_state, "REFUND");
    held("queries the refund and the refunded order");

    refused(
        wxpay.refund().create_refund(&given.refund("S", 61)).await,
        "INVALID_REQUEST",
    );
    held("cannot refund more than is left");

    if given.public_key().is_some() {
        let doubting = given.client_by_key(ANOTHER_KEY).await;
        let refusal = doubting.jsapi().create_order(&given.jsapi("A2", 120)).await.err();
        assert!(
            matches!(refusal, Some(WxPayError::SignatureVerificationFailed)),
            "{refusal:?}"
        );
        held("believes no answer that another key signed");
    }

    let by = given.public_key().map_or("certificates", |_| "the public key");
    println!("wxpay-rs, by {by}: {steps} steps held");
}
