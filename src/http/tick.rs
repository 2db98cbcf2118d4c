//! `POST /internal/tick`: a turn of the work that needs no request, for a platform that freezes the process between requests.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{caller, entry};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::flows::tick::{self, Ticked};

/// Longest time of a turn: within what a timer of the platform waits for an answer, and within a call to WeChat of the request's own.
const BUDGET: Duration = Duration::from_secs(8);

/// Answers with what was done. Two turns at once harm nothing.
pub(crate) async fn tick(State(app): State<App>, headers: HeaderMap) -> Response {
    match run(&app, &headers).await {
        Ok(done) => entry::about_itself(&headers, StatusCode::OK, &envelope(&done)),
        Err(failure) => entry::stray(&headers, &failure),
    }
}

async fn run(app: &App, headers: &HeaderMap) -> Result<Ticked, Failure> {
    app.limits.admit()?;
    let caller = caller::identify(app, headers).await?;
    if !matches!(caller.authority, Authority::Operator) {
        return Err(Failure::OperatorOnly);
    }
    let budget = BUDGET.min(app.config.limits.request_time / 2);
    // A task of its own: a caller who goes away in the middle does not cut off what was begun.
    let turn = {
        let app = app.clone();
        async move { tick::tick(&app, Some(budget)).await }
    };
    match app.tasks.spawn(turn).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Failure::Internal(crate::telemetry::ending(&error).to_owned())),
    }
}

fn envelope(done: &Ticked) -> Value {
    json!({
        "code": 0,
        "msg": "success",
        "data": {
            "orders": done.swept.orders,
            "refunds": done.swept.refunds,
            "transfers": done.swept.transfers,
            "webhooks": {"delivered": done.delivered.taken, "failed": done.delivered.refused},
            "more": done.more,
        },
    })
}
