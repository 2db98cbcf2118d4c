//! A day in China that is over and has a bill.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use pay_common::domain::reconciliation::Bill;
use pay_common::sandbox::{BillLines, Options, RefundEnd, RefundLine, TradeLine};
use serde_json::json;
use sqlx::Connection as _;

use super::app::{TestApp, refund};
use super::database::Store;

/// The day of the bill.
pub const DAY: &str = "2026-11-22";

/// Kind, subject and number of each difference, in the order of their texts.
pub type Found = Vec<(String, String, String)>;

impl TestApp {
    /// Everybody's clock is put to this moment.
    pub fn go_to(&self, at: &str) {
        let at: Timestamp = at.parse().unwrap();
        self.world.clock().move_to(at);
        self.clock.advance(at.as_millisecond() - self.clock.now_ms());
    }

    /// Compares the trade bill of a day; gives the run's id and what differs.
    pub async fn reconciled(&self, day: &str, repair: bool) -> (String, Found) {
        self.reconciled_with(day, Bill::Trade, repair).await
    }

    pub async fn reconciled_with(&self, day: &str, bill: Bill, repair: bool) -> (String, Found) {
        let run = self
            .service
            .reconcile(day.parse().unwrap(), bill, repair)
            .await
            .unwrap();
        let found = self.differences(&run.run_id).await;
        assert_eq!(run.agrees(), found.is_empty());
        (run.run_id, found)
    }

    /// The differences of a run as they are kept.
    pub async fn differences(&self, run: &str) -> Found {
        let rows = self
            .texts(&format!(
                "SELECT kind || '/' || subject || '/' || number FROM differences WHERE run_id = '{run}'"
            ))
            .await;
        let mut found: Found = rows
            .iter()
            .map(|row| {
                let mut parts = row.splitn(3, '/').map(str::to_owned);
                let mut part = || parts.next().unwrap();
                (part(), part(), part())
            })
            .collect();
        found.sort();
        found
    }

    /// Waits until the books say so of a refund.
    pub async fn eventually_refund(&self, number: &str, state: &str) {
        let query = format!("SELECT state FROM refunds WHERE out_refund_no = '{number}'");
        let started = Instant::now();
        while self.texts(&query).await != [state] {
            assert!(started.elapsed() < Duration::from_secs(10), "{number} is not {state}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A statement over the books, behind the back of the service.
    pub async fn tamper(&self, statement: &str) {
        sqlx::any::install_default_drivers();
        let mut conn = sqlx::AnyConnection::connect(&self.database.url).await.unwrap();
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let done = sqlx::query(statement).execute(&mut conn).await.unwrap();
        assert!(done.rows_affected() > 0);
        conn.close().await.unwrap();
    }

    /// Every bill from now on has its lines changed so.
    pub fn bill_with(&self, change: impl FnMut(&mut BillLines) + Send + 'static) {
        self.world.wechat().bill_with(change);
    }
}

/// The line of a payment.
pub fn payment<'a>(lines: &'a mut BillLines, number: &str) -> &'a mut TradeLine {
    let line = |line: &&mut TradeLine| line.out_trade_no == number && line.refund.is_none();
    lines.trade.iter_mut().find(line).unwrap()
}

/// The line of a refund.
pub fn refunded<'a>(lines: &'a mut BillLines, number: &str) -> &'a mut RefundLine {
    let refunds = lines.trade.iter_mut().filter_map(|line| line.refund.as_mut());
    let mut refunds = refunds;
    refunds.find(|refund| refund.out_refund_no == number).unwrap()
}

/// A service that was there on the day before, on the day and on the day after, at ten in the morning of which it is now.
pub async fn after_a_day(store: Store) -> TestApp {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[]).await;
    let wechat = t.world.wechat();
    t.go_to("2026-11-21T23:59:00+08:00");
    t.paid("ORDER_EVE", 100).await;
    t.go_to("2026-11-22T00:00:00+08:00");
    t.paid("ORDER_1", 100).await;
    t.go_to("2026-11-22T12:00:00+08:00");
    t.paid("ORDER_2", 200).await;
    for (number, amount) in [("R_SUCCESS", 30), ("R_LATER", 40), ("R_CLOSED", 20), ("R_STUCK", 10)] {
        t.act("wxpay_refund", refund("ORDER_2", number, amount, 200))
            .await
            .data();
    }
    // Of a payment of the day before.
    t.act("wxpay_refund", refund("ORDER_EVE", "R_EVE", 100, 100))
        .await
        .data();
    for (number, end) in [
        ("R_SUCCESS", RefundEnd::Success),
        ("R_CLOSED", RefundEnd::Closed),
        ("R_STUCK", RefundEnd::Abnormal),
        ("R_EVE", RefundEnd::Success),
    ] {
        wechat.finish_refund(number, end).unwrap();
    }
    t.placed("ORDER_OPEN", 300).await;
    t.placed("ORDER_CLOSED", 400).await;
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_CLOSED"}))
        .await
        .data();
    t.go_to("2026-11-22T23:58:00+08:00");
    t.placed("ORDER_LATE", 500).await;
    t.go_to("2026-11-22T23:59:30+08:00");
    wechat.lose_callbacks(u32::MAX);
    wechat.pay("ORDER_LATE").unwrap();
    t.go_to("2026-11-23T00:05:00+08:00");
    wechat.lose_callbacks(0);
    t.service.sweep().await.unwrap();
    assert_eq!(t.state("ORDER_LATE").await.as_deref(), Some("SUCCESS"));
    t.paid("ORDER_NEXT", 100).await;
    t.act("wxpay_refund", refund("ORDER_1", "R_NEXT", 10, 100)).await.data();
    t.go_to("2026-11-23T09:30:00+08:00");
    // The bill was made before.
    wechat.finish_refund("R_LATER", RefundEnd::Success).unwrap();
    wechat.finish_refund("R_NEXT", RefundEnd::Success).unwrap();
    t.go_to("2026-11-23T10:00:00+08:00");
    // Whatever callback was late, or lost.
    t.service.sweep().await.unwrap();
    for refund in ["R_SUCCESS", "R_LATER", "R_EVE", "R_NEXT"] {
        t.eventually_refund(refund, "SUCCESS").await;
    }
    t.eventually_refund("R_CLOSED", "CLOSED").await;
    t.eventually_refund("R_STUCK", "ABNORMAL").await;
    t
}
