//! What an operator's number names: an order by any of its numbers, or a transfer.

use super::db::Db;
use super::error::StoreError;
use super::row;

/// What a number belongs to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Named {
    /// An order, by its `out_trade_no`.
    Order(String),
    /// A transfer, by its `out_bill_no`.
    Transfer(String),
}

/// Everything that a number names: an order's, a payment's, a refund's (either of its numbers), an event's, an anomaly's, a transfer's
/// (either of its numbers). Empty when it is none.
///
/// Two of them have no index, WeChat's numbers of a refund and of a transfer: those tables are read through only when nothing else is
/// found.
pub(crate) async fn named(db: &Db, number: &str) -> Result<Vec<Named>, StoreError> {
    let number = &*row::storable(number);
    let mut conn = db.read().await?;
    let mut rows = sqlx::query(
        "SELECT 'order' AS kind, out_trade_no AS number FROM orders WHERE out_trade_no = $1
         UNION
         SELECT 'order', out_trade_no FROM orders WHERE transaction_id = $1
         UNION
         SELECT 'order', out_trade_no FROM refunds WHERE out_refund_no = $1
         UNION
         SELECT 'stream', stream FROM events WHERE event_id = $1
         UNION
         SELECT 'subject', subject FROM anomalies WHERE anomaly_id = $1
         UNION
         SELECT 'transfer', out_bill_no FROM transfers WHERE out_bill_no = $1",
    )
    .bind(number)
    .fetch_all(&mut *conn)
    .await?;
    if rows.is_empty() {
        rows = sqlx::query(
            "SELECT 'order' AS kind, out_trade_no AS number FROM refunds WHERE refund_id = $1
             UNION
             SELECT 'transfer', out_bill_no FROM transfers WHERE transfer_bill_no = $1",
        )
        .bind(number)
        .fetch_all(&mut *conn)
        .await?;
    }
    drop(conn);
    let mut found = Vec::new();
    for row in &rows {
        let (kind, number) = (row::text(row, "kind")?, row::text(row, "number")?);
        match kind.as_str() {
            "order" => found.push(Named::Order(number)),
            "transfer" => found.push(Named::Transfer(number)),
            "stream" => match number.split_once('/') {
                Some(("transfer", number)) => found.push(Named::Transfer(number.to_owned())),
                Some(("anomaly", id)) => found.extend(Box::pin(named(db, id)).await?),
                Some(_) | None => found.push(Named::Order(number)),
            },
            // An anomaly's: of an order, a refund or a transfer, or of what is not in the books.
            _ => found.extend(Box::pin(named(db, &number)).await?),
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
