//! Orders in a list, newest first.

use super::db::Db;
use super::error::StoreError;
use super::timeline::OrderHead;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::TradeState;

/// Which orders. Times in Unix milliseconds, of the order's creation.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) state: Option<TradeState>,
    /// From this moment on.
    pub(crate) since: Option<i64>,
    /// Before this moment.
    pub(crate) until: Option<i64>,
    /// The last order of the page before.
    pub(crate) after: Option<OutTradeNo>,
    /// The most rows.
    pub(crate) most: i64,
}

/// The newest orders that are wanted.
///
/// No index leads there, because every order would pay for it at its placing: the table is read through, and the newest are kept.
pub(crate) async fn orders(db: &Db, wanted: &Wanted) -> Result<Vec<OrderHead>, StoreError> {
    let mut conn = db.read().await?;
    let rows = sqlx::query(
        "SELECT out_trade_no, kind, state, total, held, app_id, owner_sub, owner_openid, transaction_id, payer_total,
                created_at, paid_at, closed_at, ask_at, asked
           FROM orders
          WHERE ($1 IS NULL OR state = $1) AND created_at >= $2 AND created_at < $3
            AND ($4 IS NULL OR (created_at, out_trade_no) < (SELECT created_at, out_trade_no FROM orders WHERE out_trade_no = $4))
          ORDER BY created_at DESC, out_trade_no DESC LIMIT $5",
    )
    .bind(wanted.state.map(TradeState::as_str))
    .bind(wanted.since.unwrap_or(0))
    .bind(wanted.until.unwrap_or(i64::MAX))
    .bind(wanted.after.as_ref().map(OutTradeNo::as_str))
    .bind(wanted.most)
    .fetch_all(&mut *conn)
    .await?;
    rows.iter().map(super::timeline::head).collect()
}
