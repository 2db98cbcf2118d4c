//! Every path on one page.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};

use super::entry::{self, Door};
use super::failure::Failure;
use super::{cors, ops};
use crate::app::App;
use crate::wechat::notification::Subject;

/// The service's paths.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", post(root))
        .route("/wx-pay/{action}", post(named))
        .route("/wechatpay/order", post(order_callback))
        .route("/wechatpay/refund", post(refund_callback))
        .route("/wechatpay/transfer", post(transfer_callback))
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), cors::layer))
        .with_state(app)
}

async fn root(State(app): State<App>, request: Request) -> Response {
    entry::receive(app, request, Door::Root).await
}

async fn named(State(app): State<App>, action: Result<Path<String>, PathRejection>, request: Request) -> Response {
    // Bytes that are no text name no action; the answer shows them as they were sent.
    let action = action.map_or_else(|_| request.uri().path().to_owned(), |Path(action)| action);
    entry::receive(app, request, Door::Named(action)).await
}

async fn order_callback(State(app): State<App>, request: Request) -> Response {
    entry::receive(app, request, Door::Callback(Subject::Payment)).await
}

async fn refund_callback(State(app): State<App>, request: Request) -> Response {
    entry::receive(app, request, Door::Callback(Subject::Refund)).await
}

async fn transfer_callback(State(app): State<App>, request: Request) -> Response {
    entry::receive(app, request, Door::Callback(Subject::Transfer)).await
}

async fn not_found(headers: HeaderMap) -> Response {
    entry::stray(&headers, &Failure::NotFound)
}

async fn method_not_allowed(headers: HeaderMap) -> Response {
    entry::stray(&headers, &Failure::MethodNotAllowed)
}
