//! Every path on one page.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

use super::entry::{self, Door};
use super::failure::Failure;
use super::{cashier, console, cors, oauth, openapi, ops, tick};
use crate::app::App;
use crate::wechat::notification::Subject;

/// The paths of the callbacks that the Integration Center forwards.
pub(crate) const CALLBACK_PATHS: [(&str, Subject); 3] = [
    ("/wechatpay/order", Subject::Payment),
    ("/wechatpay/refund", Subject::Refund),
    ("/wechatpay/transfer", Subject::Transfer),
];

/// The other paths, with what answers there.
fn routes() -> [(&'static str, MethodRouter<App>); 11] {
    [
        ("/", post(root)),
        ("/wx-pay/{action}", post(named)),
        ("/oauth/authorize", get(oauth::authorize)),
        ("/oauth/callback", get(oauth::callback)),
        ("/pay/context", get(oauth::context)),
        ("/internal/tick", post(tick::tick)),
        ("/healthz", get(ops::healthz)),
        ("/readyz", get(ops::readyz)),
        ("/metrics", get(ops::metrics)),
        ("/openapi.json", get(openapi::json)),
        ("/docs", get(openapi::docs)),
    ]
}

/// All paths, for whoever describes them. Those of the console are not among them: they are for people, and change as their pages do.
#[cfg(test)]
pub(crate) fn paths() -> Vec<&'static str> {
    let callbacks = CALLBACK_PATHS.into_iter().map(|(path, _)| path);
    let others = routes().into_iter().chain(cashier::routes()).map(|(path, _)| path);
    others.chain(callbacks).collect()
}

/// The service's paths.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes().into_iter().chain(cashier::routes()) {
        router = router.route(path, methods);
    }
    for (path, subject) in CALLBACK_PATHS {
        let callback =
            move |State(app): State<App>, request: Request| entry::receive(app, request, Door::Callback(subject));
        router = router.route(path, post(callback));
    }
    router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    router = router.layer(middleware::from_fn_with_state(app.clone(), cors::layer));
    // After that layer: no page of another origin has anything to read of the console.
    router = router.merge(console::router());
    if app.config.serverless {
        router = router.layer(middleware::from_fn_with_state(app.clone(), at_rest));
    }
    router.with_state(app)
}

/// Once its answer is there, the process may be frozen, with all that was to be done after it.
async fn at_rest(State(app): State<App>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    app.db.at_rest().await;
    answer
}

async fn root(State(app): State<App>, request: Request) -> Response {
    entry::receive(app, request, Door::Root).await
}

async fn named(State(app): State<App>, action: Result<Path<String>, PathRejection>, request: Request) -> Response {
    // Bytes that are no text name no action; the answer shows them as they were sent.
    let action = action.map_or_else(|_| request.uri().path().to_owned(), |Path(action)| action);
    entry::receive(app, request, Door::Named(action)).await
}

async fn not_found(headers: HeaderMap) -> Response {
    entry::stray(&headers, &Failure::NotFound)
}

async fn method_not_allowed(headers: HeaderMap) -> Response {
    entry::stray(&headers, &Failure::MethodNotAllowed)
}
