//! Everything that there is to win: what the books say, and what WeChat was asked to do. An attack leaves both as they were.

use std::cell::RefCell;

use pay_common::sandbox::{Forward, Options, SignedNotification};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _, Row as _};

use crate::support::app::{Came, OPENID, TestApp, order, refund};
use crate::support::database::Store;

/// Who attacks, as a login and as a payer.
pub const MALLORY: &str = "mallory";
pub const MALLORYS_OPENID: &str = "oMALLORYxxxxxxxxxxxxxxxxxxxx";

thread_local! {
    /// Whoever looks thousands of times need not knock each time: the address of the books, and a connection to them.
    static WATCHER: RefCell<Option<(String, AnyConnection)>> = const { RefCell::new(None) };
}

/// The books and the deeds at one moment.
#[derive(Debug, Eq, PartialEq)]
pub struct Standing {
    books: Vec<String>,
    deeds: Vec<String>,
}

impl TestApp {
    /// All that counts, at this moment. How often a known fact was heard does not count.
    pub async fn standing(&self) -> Standing {
        Standing {
            books: self.books().await,
            deeds: self.deeds(),
        }
    }

    /// Every order, refund, transfer, event and anomaly.
    pub async fn books(&self) -> Vec<String> {
        let kept = WATCHER.take().filter(|(url, _)| *url == self.database.url);
        let mut conn = match kept {
            Some((_, conn)) => conn,
            None => {
                sqlx::any::install_default_drivers();
                AnyConnection::connect(&self.database.url).await.unwrap()
            }
        };
        let rows = sqlx::query(
            "SELECT 'order ' || out_trade_no || ' ' || state || ' by ' || COALESCE(transaction_id, '-')
                    || ' holds ' || CAST(held AS TEXT) || ' of ' || CAST(total AS TEXT)
                    || ' for ' || COALESCE(owner_sub, '-') || '/' || COALESCE(owner_openid, '-') FROM orders
             UNION ALL
             SELECT 'refund ' || out_refund_no || ' ' || state || ' ' || CAST(amount AS TEXT) FROM refunds
             UNION ALL
             SELECT 'transfer ' || out_bill_no || ' ' || state || ' ' || CAST(amount AS TEXT) || ' to ' || openid
               FROM transfers
             UNION ALL
             SELECT 'event ' || fact FROM events
             UNION ALL
             SELECT 'anomaly ' || fact FROM anomalies
             ORDER BY 1",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        WATCHER.set(Some((self.database.url.clone(), conn)));
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Whatever WeChat was asked to do; a question alone moves nothing.
    pub fn deeds(&self) -> Vec<String> {
        let requests = self.world.wechat().requests();
        let deeds = requests.iter().filter(|seen| seen.method != "GET");
        deeds
            .map(|seen| format!("{} {} {}", seen.method, seen.path_and_query, seen.body))
            .collect()
    }

    /// Every address at which WeChat was asked for anything.
    pub fn addresses(&self) -> Vec<String> {
        let requests = self.world.wechat().requests();
        requests.iter().map(|seen| seen.path_and_query.clone()).collect()
    }

    /// The headers of the login `sub`.
    pub fn bearer(&self, sub: &str) -> String {
        format!("Bearer {}", self.token(sub))
    }

    /// Posts and gives the status alone: for what may be cut off before there is an answer in any form of ours.
    pub async fn post_raw(
        &self,
        path: &str,
        headers: reqwest::header::HeaderMap,
        body: impl Into<reqwest::Body>,
    ) -> u16 {
        let request = self.http.post(self.url(path)).headers(headers).body(body);
        // Whoever hangs up on an attacker has refused him.
        request.send().await.map_or(0, |answer| answer.status().as_u16())
    }

    /// The service still does what it is for.
    pub async fn goes_on(&self, number: &str) {
        self.placed(number, 20).await;
        assert_eq!(self.state(number).await.as_deref(), Some("NOTPAY"));
    }
}

/// A callback was believed, or known before.
pub fn acknowledged(came: &Came) -> bool {
    came.status == 200 && came.body == json!({"code": "SUCCESS", "message": "成功"})
}

/// A callback, or a call, was refused as the caller's fault.
pub fn refused(came: &Came) -> bool {
    (400..500).contains(&came.status) && (came.body["code"] == "FAIL" || came.body["code"] == -1)
}

/// Refunds end when a test says so.
pub fn by_hand() -> Options {
    Options {
        refund_after: None,
        ..Options::default()
    }
}

/// What there is to steal: an order to be paid, a paid one with a refund under way, and a transfer that waits for its receiver.
pub async fn shop(store: Store) -> TestApp {
    shop_with(store, &[]).await
}

pub async fn shop_with(store: Store, settings: &[(&str, &str)]) -> TestApp {
    let t = TestApp::start_with(store, by_hand(), settings).await;
    t.paid("ORDER_PAID", 100).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_OPEN", 100).await;
    t.act("wxpay_refund", refund("ORDER_PAID", "REFUND_1", 40, 100))
        .await
        .data();
    t.transferred("T1", 500).await;
    t
}

/// A paid order of which the service has not heard.
pub async fn paid_unheard(t: &TestApp, number: &str, total: i64) {
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed(number, total).await;
    t.world.wechat().pay(number).unwrap();
}

/// The forward of a notification.
pub fn forwarded(t: &TestApp, note: &SignedNotification) -> Forward {
    t.world.center().forward_of(note).unwrap()
}

/// The order that mallory would place.
pub fn hers(number: &str, total: i64) -> Value {
    let mut order = order(number, total);
    order["payer"]["openid"] = json!(MALLORYS_OPENID);
    order
}

/// What WeChat would say of each thing in the shop, had it happened.
pub fn claims(t: &TestApp) -> Vec<Value> {
    let open = t.world.wechat().order("ORDER_OPEN").unwrap();
    let payment = t.world.center().forge(&open).body["ParsedContent"].clone();
    let mchid = t.world.keys().mchid();
    let refund = |status: &str| {
        json!({
            "mchid": mchid, "out_trade_no": "ORDER_PAID", "transaction_id": "4200000000000000000000000001",
            "out_refund_no": "REFUND_1", "refund_id": "50000000000000000000000000001", "refund_status": status,
            "success_time": "2026-11-23T15:04:05+08:00", "user_received_account": "零钱",
            "amount": {"total": 100, "refund": 40, "payer_total": 100, "payer_refund": 40},
        })
    };
    let transfer = |state: &str| {
        let bill = t.world.wechat().transfer("T1").unwrap().transfer_bill_no;
        json!({
            "out_bill_no": "T1", "transfer_bill_no": bill, "state": state, "mch_id": mchid,
            "transfer_amount": 500, "openid": OPENID, "update_time": "2026-11-23T15:04:05+08:00",
        })
    };
    let mut closed = payment.clone();
    closed["trade_state"] = json!("CLOSED");
    let mut refunded = payment.clone();
    refunded["trade_state"] = json!("REFUND");
    vec![
        payment,
        closed,
        refunded,
        refund("SUCCESS"),
        refund("CLOSED"),
        refund("ABNORMAL"),
        transfer("SUCCESS"),
        transfer("FAIL"),
        transfer("CANCELLED"),
    ]
}
