//! Merchant transfers, as the tests ask for them and look at them.

use std::time::{Duration, Instant};

use pay_common::domain::ids::OutBillNo;
use pay_common::store::history;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};

use super::app::{Came, OPENID, OPERATOR, TestApp};

pub const TRANSFER: &str = "wxpay_transfer";
pub const BY_NUMBER: &str = "wxpay_transfer_bill_query";
pub const BY_BILL: &str = "wxpay_transfer_bill_query_by_no";

/// The usual transfer.
pub fn transfer(number: &str, amount: i64) -> Value {
    json!({
        "out_bill_no": number,
        "openid": OPENID,
        "transfer_amount": amount,
        "transfer_scene_id": "1000",
        "transfer_remark": "Prize",
        "transfer_scene_report_infos": [
            {"info_type": "活动名称", "info_content": "Autumn draw"},
            {"info_type": "奖励说明", "info_content": "Third prize"},
        ],
    })
}

impl TestApp {
    /// An action of the merchant's own server.
    pub async fn operate(&self, action: &str, body: Value) -> Came {
        self.act_as(&format!("Bearer {OPERATOR}"), action, body).await
    }

    /// A transfer that WeChat has accepted.
    pub async fn transferred(&self, number: &str, amount: i64) -> Value {
        self.operate(TRANSFER, transfer(number, amount)).await.data().clone()
    }

    /// One that has arrived and of which nobody was told.
    pub async fn arrived_unheard(&self, number: &str) {
        self.world.wechat().lose_callbacks(u32::MAX);
        self.transferred(number, 500).await;
        self.world.wechat().confirm_transfer(number).unwrap();
    }

    /// The state of a transfer in the books.
    pub async fn transfer_state(&self, number: &str) -> Option<String> {
        let number = OutBillNo::parse(number).unwrap();
        history::state_of_transfer(self.service.db(), &number).await.unwrap()
    }

    /// The events of a transfer.
    pub async fn transfer_events(&self, number: &str) -> Vec<String> {
        let number = OutBillNo::parse(number).unwrap();
        history::events_of_transfer(self.service.db(), &number).await.unwrap()
    }

    /// Waits until the books say so.
    pub async fn eventually_transfer(&self, number: &str, state: &str) {
        let started = Instant::now();
        while self.transfer_state(number).await.as_deref() != Some(state) {
            assert!(started.elapsed() < Duration::from_secs(10), "{number} is not {state}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the business side is told of a transfer, in order.
    pub async fn told_of_transfer(&self, number: &str) -> Vec<Value> {
        let payloads = self
            .texts(&format!(
                "SELECT payload FROM events WHERE stream = 'transfer/{number}' ORDER BY position"
            ))
            .await;
        payloads
            .iter()
            .map(|payload| serde_json::from_str(payload).unwrap())
            .collect()
    }

    /// The first column of what a query over the books finds.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        sqlx::any::install_default_drivers();
        let mut conn = sqlx::AnyConnection::connect(&self.database.url).await.unwrap();
        let rows = sqlx::query(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_all(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}
