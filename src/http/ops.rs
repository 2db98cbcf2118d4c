//! Whether the process lives, and whether it can do its work.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::entry::{self, about_itself};
use super::failure::Failure;
use super::text::Language;
use crate::app::App;
use crate::flows::sweep;
use crate::metrics::Standing;
use crate::store::error::StoreError;
use crate::store::figures;

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

/// Longest wait for the store; whoever collects metrics waits some seconds.
const LOOK: Duration = Duration::from_secs(3);

/// `GET /metrics`: what is counted, in OpenMetrics form. When the store does not answer, `store_up` says so, and what only it knows is
/// left out.
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let standing = match tokio::time::timeout(LOOK, standing(&app)).await {
        Ok(Ok(standing)) => Some(standing),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the metrics lack what the store knows");
            None
        }
        Err(_) => None,
    };
    let mut response = match app.metrics.text(&app.config, standing) {
        Ok(text) => {
            let accepts = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
            // The older form reads the same text: what it does not know there are comments.
            let content_type = if accepts.is_some_and(|accepted| accepted.contains("application/openmetrics-text")) {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            } else {
                "text/plain; version=0.0.4; charset=utf-8"
            };
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => entry::refusal(&Failure::Internal(error.to_string()), Language::of(&headers)),
    };
    entry::name(&mut response, &headers);
    response
}

async fn standing(app: &App) -> Result<Standing, StoreError> {
    let figures = figures::figures(&app.db).await?;
    let due = sweep::next_due(app).await?;
    let now = app.clock.now_ms();
    let since =
        |at: Option<i64>| Duration::from_millis(at.map_or(0, |at| now.saturating_sub(at)).max(0).unsigned_abs());
    let (open, idle) = app.db.connections();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(Standing {
        outbox_streams: figures.streams,
        outbox_age: since(figures.oldest_event).as_secs_f64(),
        dead: figures.dead,
        anomalies: figures.anomalies,
        sweep_lag: since(due).as_secs_f64(),
        connections: (count(open), count(idle)),
    })
}
