//! What callers asked for besides the first placing of an order: one row for each action, caller and outcome, however often it came.

use super::db::Db;
use super::error::StoreError;
use super::row;

/// The most rows of one order or transfer. What comes beyond is in the log only: nobody fills the store by asking.
pub(crate) const MOST_OF_A_STREAM: i64 = 64;

/// What a request is about. Only what is in the books has a history.
#[derive(Clone, Debug)]
pub(crate) enum About {
    /// An order, by its number or by WeChat's.
    Order {
        number: Option<String>,
        transaction: Option<String>,
    },
    /// A transfer, by its number.
    Transfer(String),
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) about: About,
    pub(crate) action: &'static str,
    /// The refund's number; else empty.
    pub(crate) subject: String,
    /// The kind of caller, and a shortened name.
    pub(crate) who: String,
    /// `OK`, or the constant of the refusal.
    pub(crate) outcome: &'static str,
}

/// Keeps it, or counts it when the same was kept before. What is not in the books is not kept.
pub(crate) async fn record(db: &Db, request: &Request, now: i64) -> Result<(), StoreError> {
    let (number, transaction, transfer) = match &request.about {
        About::Order { number, transaction } => (number.as_deref(), transaction.as_deref(), None),
        About::Transfer(number) => (None, None, Some(number.as_str())),
    };
    let mut conn = db.write().await?;
    sqlx::query(
        "INSERT INTO requests (stream, action, subject, who, outcome, first_at, last_at, times)
         SELECT known.stream, $4, $5, $6, $7, $8, $8, 1
           FROM (SELECT out_trade_no AS stream FROM orders WHERE out_trade_no = $1
                 UNION
                 SELECT out_trade_no FROM orders WHERE transaction_id = $2
                 UNION
                 SELECT 'transfer/' || out_bill_no FROM transfers WHERE out_bill_no = $3) known
          WHERE (SELECT COUNT(*) FROM requests r WHERE r.stream = known.stream) < $9
             OR (SELECT COUNT(*) FROM requests r
                  WHERE r.stream = known.stream AND r.action = $4 AND r.subject = $5 AND r.who = $6 AND r.outcome = $7) > 0
         ON CONFLICT (stream, action, subject, who, outcome)
         DO UPDATE SET times = requests.times + 1, last_at = excluded.last_at",
    )
    .bind(number)
    .bind(transaction)
    .bind(transfer)
    .bind(request.action)
    .bind(&request.subject)
    .bind(&*row::storable(&request.who))
    .bind(request.outcome)
    .bind(now)
    .bind(MOST_OF_A_STREAM)
    .execute(&mut *conn)
    .await?;
    conn.keep().await
}
