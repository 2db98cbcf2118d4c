//! The books as they are on the disk.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

#[derive(Clone, Debug)]
pub struct Order {
    pub number: String,
    pub state: String,
    pub total: i64,
    pub held: i64,
    pub transaction_id: Option<String>,
    /// Placed before these books existed.
    pub adopted: bool,
    pub accepted: bool,
    pub paid: bool,
    pub closed: bool,
    /// It is to be asked about.
    pub open: bool,
}

#[derive(Clone, Debug)]
pub struct Refund {
    pub number: String,
    pub order: String,
    pub refund_id: Option<String>,
    pub amount: i64,
    pub state: String,
    pub accepted: bool,
}

#[derive(Clone, Debug)]
pub struct Transfer {
    pub number: String,
    pub bill: Option<String>,
    pub amount: i64,
    pub state: String,
    pub accepted: bool,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub fact: String,
    pub stream: String,
    pub position: i64,
    pub kind: String,
}

#[derive(Clone, Debug, Default)]
pub struct Books {
    pub orders: Vec<Order>,
    pub refunds: Vec<Refund>,
    pub transfers: Vec<Transfer>,
    pub events: Vec<Event>,
    /// Kind and subject.
    pub anomalies: Vec<(String, String)>,
}

impl Books {
    /// What the books hold of numbers that begin like this.
    pub async fn read(conn: &mut AnyConnection, prefix: &str) -> Self {
        let is_there = |row: &AnyRow, column: &str| row.get::<Option<i64>, _>(column).is_some();
        let orders = rows(
            conn,
            "SELECT out_trade_no, state, total, held, transaction_id, request, accepted_at, paid_at, closed_at, ask_at
               FROM orders WHERE out_trade_no LIKE $1 ORDER BY 1",
            prefix,
        )
        .await;
        let refunds = rows(
            conn,
            "SELECT out_refund_no, out_trade_no, refund_id, amount, state, accepted_at
               FROM refunds WHERE out_trade_no LIKE $1 ORDER BY 1",
            prefix,
        )
        .await;
        let transfers = rows(
            conn,
            "SELECT out_bill_no, transfer_bill_no, amount, state, accepted_at
               FROM transfers WHERE out_bill_no LIKE $1 ORDER BY 1",
            prefix,
        )
        .await;
        let events = rows(
            conn,
            "SELECT fact, stream, position, kind FROM events
              WHERE stream LIKE $1 OR stream LIKE 'transfer/' || $1 ORDER BY stream, position",
            prefix,
        )
        .await;
        let anomalies = rows(
            conn,
            "SELECT kind, subject FROM anomalies WHERE subject LIKE $1 ORDER BY created_at, anomaly_id",
            prefix,
        )
        .await;
        Self {
            orders: orders
                .iter()
                .map(|row| Order {
                    number: row.get("out_trade_no"),
                    state: row.get("state"),
                    total: row.get("total"),
                    held: row.get("held"),
                    transaction_id: row.get("transaction_id"),
                    adopted: row.get::<String, _>("request").is_empty(),
                    accepted: is_there(row, "accepted_at"),
                    paid: is_there(row, "paid_at"),
                    closed: is_there(row, "closed_at"),
                    open: is_there(row, "ask_at"),
                })
                .collect(),
            refunds: refunds
                .iter()
                .map(|row| Refund {
                    number: row.get("out_refund_no"),
                    order: row.get("out_trade_no"),
                    refund_id: row.get("refund_id"),
                    amount: row.get("amount"),
                    state: row.get("state"),
                    accepted: is_there(row, "accepted_at"),
                })
                .collect(),
            transfers: transfers
                .iter()
                .map(|row| Transfer {
                    number: row.get("out_bill_no"),
                    bill: row.get("transfer_bill_no"),
                    amount: row.get("amount"),
                    state: row.get("state"),
                    accepted: is_there(row, "accepted_at"),
                })
                .collect(),
            events: events
                .iter()
                .map(|row| Event {
                    fact: row.get("fact"),
                    stream: row.get("stream"),
                    position: row.get("position"),
                    kind: row.get("kind"),
                })
                .collect(),
            anomalies: anomalies.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }
    }

    /// The events of one stream, in the order in which they are told.
    pub fn told(&self, stream: &str) -> Vec<&Event> {
        self.events.iter().filter(|event| event.stream == stream).collect()
    }

    /// Their kinds.
    pub fn kinds(&self, stream: &str) -> Vec<&str> {
        self.told(stream).iter().map(|event| event.kind.as_str()).collect()
    }
}

async fn rows(conn: &mut AnyConnection, query: &'static str, prefix: &str) -> Vec<AnyRow> {
    sqlx::query(query)
        .bind(format!("{prefix}%"))
        .fetch_all(conn)
        .await
        .unwrap()
}
