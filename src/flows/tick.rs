//! One turn of everything that otherwise runs beside the requests: for a timer that calls, and for the command line.

use std::time::Duration;

use tokio::time::Instant;

use super::deliver::{self, Delivered};
use super::sweep::{self, Swept};
use crate::app::App;
use crate::store::error::StoreError;
use crate::store::outbox;

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ticked {
    /// What was asked about.
    pub(crate) swept: Swept,
    /// What was told.
    pub(crate) delivered: Delivered,
    /// Time was up before everything was done that is due: the next turn goes on.
    pub(crate) more: bool,
}

/// Asks about what is open and due, and tells the business side what is due, for `budget` at most; `None` is to the end of it. Whatever
/// it begins, it ends before it returns.
///
/// Any number of turns may run at once: every row is taken by one of them.
pub(crate) async fn tick(app: &App, budget: Option<Duration>) -> Result<Ticked, StoreError> {
    let end = budget.map(|budget| Instant::now() + budget);
    app.wechat.tend_keys().await;
    // What is found is to be told in the same turn.
    let swept = sweep::sweep(app, end).await?;
    let delivered = match end {
        None => deliver::due(app).await?,
        Some(end) => deliver::within(app, end).await?,
    };
    let waits = app.webhooks.is_some()
        && outbox::next_due(&app.db)
            .await?
            .is_some_and(|at| at <= app.clock.now_ms());
    Ok(Ticked {
        swept,
        delivered,
        more: swept.more || waits,
    })
}
