//! What a day brought, and what is open now. No statement reads the whole books: each goes by an index, or by the ids of a few days.

use sqlx::Row as _;

use super::db::Db;
use super::error::StoreError;
use super::row;
use crate::domain::money::Fen;
use crate::domain::reconciliation::Span;

/// Milliseconds by which the id of an event may be of an earlier time than the event: ids are made by the clock of the system.
const OLDER_IDS_MS: i64 = 86_400_000;

/// How many, and how much together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sum {
    pub(crate) count: i64,
    pub(crate) amount: Fen,
}

/// What a day brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Brought {
    /// Orders that WeChat accepted.
    pub(crate) placed: i64,
    /// Orders that were paid, by WeChat's time of the payment.
    pub(crate) paid: Sum,
    /// Refunds that WeChat took on, by its time; without those that were closed.
    pub(crate) refunded: Sum,
}

/// What WeChat is still to be asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StillOpen {
    /// Orders that are neither paid nor closed.
    pub(crate) orders: i64,
    /// Refunds under way.
    pub(crate) refunds: i64,
    /// Transfers under way.
    pub(crate) transfers: i64,
}

/// The statement of [`Brought::placed`]. An id begins with its time, so this reads the events of about two days.
pub(super) const PLACED: &str = "SELECT COUNT(*) FROM events
      WHERE event_id >= $1 AND kind = 'order.created' AND created_at >= $2 AND created_at < $3";

/// The statement of [`Brought::paid`].
pub(super) const PAID: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(total), 0) AS BIGINT) FROM orders
      WHERE paid_at >= $1 AND paid_at < $2 AND state IN ('SUCCESS', 'REFUND')";

/// The statement of [`Brought::refunded`].
pub(super) const REFUNDED: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM refunds
      WHERE accepted_at IS NOT NULL AND COALESCE(applied_at, accepted_at) >= $1 AND COALESCE(applied_at, accepted_at) < $2
        AND state IN ('PROCESSING', 'SUCCESS', 'ABNORMAL')";

/// What that day brought so far.
pub(crate) async fn brought(db: &Db, day: Span) -> Result<Brought, StoreError> {
    let mut conn = db.read().await?;
    // An index by time would cost every order.
    let placed = sqlx::query_scalar(PLACED)
        .bind(first_id_of(day.from_ms.saturating_sub(OLDER_IDS_MS)))
        .bind(day.from_ms)
        .bind(day.until_ms)
        .fetch_one(&mut *conn)
        .await?;
    let paid = sqlx::query(PAID)
        .bind(day.from_ms)
        .bind(day.until_ms)
        .fetch_one(&mut *conn)
        .await?;
    let refunded = sqlx::query(REFUNDED)
        .bind(day.from_ms)
        .bind(day.until_ms)
        .fetch_one(&mut *conn)
        .await?;
    let sum = |found: &sqlx::any::AnyRow, table| {
        let amount = Fen::not_negative(found.try_get(1)?);
        Ok::<_, StoreError>(Sum {
            count: found.try_get(0)?,
            amount: row::read(amount, table, "amount", "of a day")?,
        })
    };
    Ok(Brought {
        placed,
        paid: sum(&paid, "orders")?,
        refunded: sum(&refunded, "refunds")?,
    })
}

/// What is open now.
pub(crate) async fn still_open(db: &Db) -> Result<StillOpen, StoreError> {
    let mut conn = db.read().await?;
    let orders = sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE ask_at IS NOT NULL")
        .fetch_one(&mut *conn)
        .await?;
    let refunds = sqlx::query_scalar("SELECT COUNT(*) FROM refunds WHERE ask_at IS NOT NULL")
        .fetch_one(&mut *conn)
        .await?;
    let transfers = sqlx::query_scalar("SELECT COUNT(*) FROM transfers WHERE ask_at IS NOT NULL")
        .fetch_one(&mut *conn)
        .await?;
    Ok(StillOpen {
        orders,
        refunds,
        transfers,
    })
}

/// What every id of that moment or a later one is not less than, as text (UUID version 7).
pub(super) fn first_id_of(at_ms: i64) -> String {
    let hex = format!("{:012x}", at_ms.max(0));
    let (high, low) = hex.split_at_checked(8).unwrap_or((&hex, ""));
    format!("{high}-{low}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::domain::ids::new_id;

    #[test]
    fn an_id_is_not_less_than_the_first_of_its_time_and_less_than_that_of_a_later_one() {
        let before = Clock::System.now_ms();
        let id = new_id();
        let after = Clock::System.now_ms();
        assert!(first_id_of(before) <= id, "{id}");
        assert!(first_id_of(after + 1) > id, "{id}");
        assert!(first_id_of(before - OLDER_IDS_MS) < id, "{id}");
        assert_eq!(first_id_of(0), "00000000-0000");
        assert_eq!(first_id_of(-1), "00000000-0000");
    }
}
