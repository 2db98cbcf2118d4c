//! What the environment's own logins answer, as far as `@cloudbase/js-sdk` asks for it; and that pages of any origin may call.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gateway, Refusal, TokenOptions, token};
use crate::sandbox::crypto::random_text;

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// A login with user name and password; every password is right but an empty one. The SDK sends its JSON as text.
pub(super) async fn sign_in(State(gateway): State<Gateway>, body: String) -> Response {
    let credentials: Option<Credentials> = serde_json::from_str(&body).ok();
    match credentials.filter(|given| !given.username.is_empty() && !given.password.is_empty()) {
        Some(Credentials { username, .. }) => session(&gateway, &username, &TokenOptions::default()),
        None => refused("invalid_username_or_password"),
    }
}

/// A login of nobody: its token calls no function.
pub(super) async fn sign_in_anonymously(State(gateway): State<Gateway>) -> Response {
    session(&gateway, "anonymous-1", &TokenOptions::anonymous())
}

/// Whose token it is.
pub(super) async fn whoever_calls(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let inner = &gateway.inner;
    let checked = token::check(
        &inner.keys,
        &inner.env_id,
        authorization.unwrap_or_default(),
        inner.clock.now(),
    );
    match checked {
        Ok(()) => Json(json!({"sub": "sandbox", "name": "sandbox"})).into_response(),
        Err(reason) => Refusal::credentials(&reason).response(""),
    }
}

fn session(gateway: &Gateway, sub: &str, options: &TokenOptions) -> Response {
    let access_token = gateway.mint_token(sub, options);
    let said: Value = json!({
        "token_type": "Bearer",
        "access_token": access_token,
        "refresh_token": random_text(43),
        "expires_in": options.expires_in,
        "scope": if options.anonymous { "anonymous" } else { "user" },
        "sub": sub,
    });
    Json(said).into_response()
}

fn refused(error: &str) -> Response {
    let said = json!({"error": error, "error_code": 4001, "error_description": error});
    (StatusCode::BAD_REQUEST, Json(said)).into_response()
}

/// A browser lets pages of every origin call, as where the environment's "secure sources" list them.
pub(super) async fn for_pages(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let names = "authorization, content-type, accept-language, x-request-id, x-sdk-version, x-device-id";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
    }
    response
}
