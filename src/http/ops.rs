//! Whether the process lives, and whether it can do its work.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::entry::about_itself;
use crate::app::App;

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz(headers: HeaderMap) -> Response {
    about_itself(&headers, StatusCode::OK, &json!({"status": "ok"}))
}

/// `GET /readyz`: the store answers. Keys and migrations were checked before the port was opened.
pub(crate) async fn readyz(State(app): State<App>, headers: HeaderMap) -> Response {
    match app.db.ping().await {
        Ok(()) => about_itself(&headers, StatusCode::OK, &json!({"status": "ok", "store": "ok"})),
        Err(error) => {
            tracing::error!(%error, "not ready: the store does not answer");
            let said = json!({"status": "unavailable", "store": "unavailable"});
            about_itself(&headers, StatusCode::SERVICE_UNAVAILABLE, &said)
        }
    }
}
