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

/// `GET /readyz`: the store answers, and there is a key to verify WeChat Pay's answers with. Settings were checked
/// before the port was opened, and migrations too, unless the process is frozen between requests: then this applies them.
pub(crate) async fn readyz(State(app): State<App>, headers: HeaderMap) -> Response {
    let (store, keys) = (app.db.ping().await, app.wechat.has_key());
    if let Err(error) = &store {
        tracing::error!(%error, "not ready: the store does not answer");
    }
    if !keys {
        tracing::warn!("not ready: the platform certificates are not loaded yet");
        // Who is sent no request before this says yes would wait for ever. The question itself does not wait for WeChat.
        let app = app.clone();
        app.tasks.clone().spawn(async move { app.wechat.tend_keys().await });
    }
    let ready = store.is_ok() && keys;
    let said = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "store": if store.is_ok() { "ok" } else { "unavailable" },
        "keys": if keys { "ok" } else { "not_loaded" },
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    about_itself(&headers, status, &said)
}
