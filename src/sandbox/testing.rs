//! What the sandbox's own tests need: a merchant that signs with the `rsa` crate, and a service that only listens.

mod listener;
mod shop;

use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use self::listener::{Heard, Listener};
pub(crate) use self::shop::{Answer, Shop};
use super::{Keys, Options, World};

/// A world, a merchant that asks WeChat, and a service that takes what comes.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) shop: Shop,
    pub(crate) service: Listener,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let world = World::start(options).await.unwrap();
        let service = Listener::start().await;
        world
            .set_service(
                service
                    .url()
                    .parse::<reqwest::Url>()
                    .unwrap()
                    .socket_addrs(|| None)
                    .unwrap()[0],
            )
            .unwrap();
        Self {
            shop: Shop::of(&world),
            world,
            service,
        }
    }

    /// The body of an order whose payment is announced at the Integration Center.
    pub(crate) fn order(&self, out_trade_no: &str) -> Value {
        let mut order = order(self.world.keys(), out_trade_no);
        order["notify_url"] = json!(format!("{}{}", self.world.center().url(), super::ORDER_PATH));
        order
    }

    /// An order that was placed and paid, without a callback.
    pub(crate) async fn paid(&self, out_trade_no: &str) -> String {
        let placed = self
            .shop
            .post("/v3/pay/transactions/jsapi", &self.order(out_trade_no))
            .await;
        assert_eq!(placed.status, 200, "{}", placed.body);
        let quietly = super::Payment {
            notify: false,
            ..super::Payment::default()
        };
        self.world.wechat().pay_with(out_trade_no, &quietly).unwrap()
    }

    pub(crate) fn refund(&self, out_trade_no: &str, out_refund_no: &str, refund: i64) -> Value {
        json!({
            "out_trade_no": out_trade_no, "out_refund_no": out_refund_no,
            "notify_url": format!("{}{}", self.world.center().url(), super::REFUND_PATH),
            "amount": {"refund": refund, "total": 100, "currency": "CNY"},
        })
    }

    /// The body of a transfer whose end is announced at the Integration Center.
    pub(crate) fn transfer(&self, out_bill_no: &str, amount: i64) -> Value {
        let mut body = transfer(self.world.keys(), out_bill_no, amount);
        body["notify_url"] = json!(format!("{}{}", self.world.center().url(), super::TRANSFER_PATH));
        body
    }
}

/// The smallest transfer, without a callback.
pub(crate) fn transfer(keys: &Keys, out_bill_no: &str, amount: i64) -> Value {
    json!({
        "appid": keys.appid(), "out_bill_no": out_bill_no, "transfer_scene_id": "1000",
        "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "transfer_amount": amount, "transfer_remark": "Prize",
        "transfer_scene_report_infos": [
            {"info_type": "活动名称", "info_content": "Autumn draw"},
            {"info_type": "奖励说明", "info_content": "Third prize"},
        ],
    })
}

/// The smallest order in the JSAPI channel.
pub(crate) fn order(keys: &Keys, out_trade_no: &str) -> Value {
    json!({
        "appid": keys.appid(), "mchid": keys.mchid(), "description": "Annual pass", "out_trade_no": out_trade_no,
        "notify_url": "https://pay.example.com/wechatpay/order", "amount": {"total": 100, "currency": "CNY"},
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    })
}

/// An HTTP client that goes nowhere but where it is told.
pub(crate) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(10)).build().unwrap()
}

/// Waits until something is true, and fails when it does not become so.
pub(crate) async fn until(mut is_true: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not become true within five seconds");
}
