//! The API gateway of `CloudBase`: it lets nobody in without a valid login and passes the rest on to the service.

mod keyring;
mod logins;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use self::keyring::KeyRing;
pub use self::token::TokenOptions;
use super::{
    Keys,
    clock::Clock,
    crypto::random_text,
    journal::{Journal, Party},
    outbound::{CallError, Headers, Reply},
    service::Service,
    socket::Port,
    tasks::Tasks,
};

/// A function is given a minute.
const FUNCTION_TIME_OUT: Duration = Duration::from_mins(1);

/// A handle on the simulated gateway; clones are the same one.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    keys: KeyRing,
    clock: Clock,
    journal: Journal,
    service: Service,
    env_id: String,
    function: String,
    address: SocketAddr,
}

/// What the gateway shares with the other parties.
pub(crate) struct Surroundings {
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) service: Service,
    pub(crate) env_id: String,
    pub(crate) function: String,
}

impl Gateway {
    pub(crate) fn start(port: Port, tasks: &Tasks, around: Surroundings) -> Self {
        let inner = Inner {
            keys: KeyRing::new(around.keys),
            clock: around.clock,
            journal: around.journal,
            service: around.service,
            env_id: around.env_id,
            function: around.function,
            address: port.address(),
        };
        let gateway = Self { inner: Arc::new(inner) };
        let router = Router::new()
            .route("/v1/functions/{name}", post(invoke))
            .route("/auth/v1/jwks", get(jwks))
            .route("/auth/v1/signin", post(logins::sign_in))
            .route("/auth/v1/signin/anonymously", post(logins::sign_in_anonymously))
            .route("/auth/v1/user/me", get(logins::whoever_calls))
            .layer(from_fn(logins::for_pages))
            .with_state(gateway.clone());
        port.serve(tasks, router);
        gateway
    }

    /// The address that stands for `https://{env}.api.tcloudbasegateway.com`.
    pub fn url(&self) -> String {
        format!("http://{}", self.inner.address)
    }

    /// The address that a page posts its actions to.
    pub fn function_url(&self) -> String {
        format!("{}/v1/functions/{}?webfn=true", self.url(), self.inner.function)
    }

    /// The address of the key set with which tokens are verified.
    pub fn jwks_url(&self) -> String {
        format!("{}/auth/v1/jwks", self.url())
    }

    /// The environment id, which every token names as its project.
    pub fn env_id(&self) -> &str {
        &self.inner.env_id
    }

    /// An access token for the user `sub`, as a login hands it out. Takes some milliseconds.
    pub fn mint_token(&self, sub: &str, options: &TokenOptions) -> String {
        token::mint(
            &self.inner.keys.signing(),
            &self.inner.env_id,
            sub,
            options,
            self.inner.clock.now(),
        )
    }

    /// From now on another key signs tokens; the former ones stay published, and their tokens good. Gives the new
    /// `kid`. Takes as long as generating a key does, when this is the first rotation of that depth with these keys.
    pub fn rotate_gateway_key(&self) -> String {
        self.inner.keys.rotate()
    }

    /// Only the key that signs is published any more; tokens of the former ones are refused. Gives how many there were.
    pub fn retire_old_gateway_key(&self) -> usize {
        self.inner.keys.retire()
    }

    /// How often the key set was fetched.
    pub fn jwks_fetches(&self) -> usize {
        self.inner.keys.fetches()
    }

    /// The headers with which the gateway passes a request on.
    fn onward(&self, sent: &HeaderMap, request_id: &str) -> Headers {
        // Each of these would name a caller that the platform vouches for.
        const OWN: [&str; 4] = ["x-wx-", "x-tcb-", "x-cloudbase-", "x-request-id"];
        const OF_THE_CONNECTION: [&str; 6] = [
            "host",
            "connection",
            "content-length",
            "transfer-encoding",
            "keep-alive",
            "upgrade",
        ];
        let passes =
            |name: &str| !OWN.iter().any(|prefix| name.starts_with(prefix)) && !OF_THE_CONNECTION.contains(&name);
        let mut headers: Headers = sent
            .iter()
            .filter(|(name, _)| passes(name.as_str()))
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        headers.push(("x-cloudbase-context".to_owned(), self.context()));
        headers.push(("x-request-id".to_owned(), request_id.to_owned()));
        headers
    }

    /// Temporary credentials of the platform: a secret that a service must keep to itself.
    fn context(&self) -> String {
        let context = json!({
            "env": self.inner.env_id,
            "tmpSecretId": format!("AKID{}", random_text(32)),
            "tmpSecretKey": random_text(32),
            "sessionToken": random_text(64),
        });
        STANDARD.encode(context.to_string())
    }
}

async fn jwks(State(gateway): State<Gateway>) -> Json<Value> {
    Json(gateway.inner.keys.fetch())
}

async fn invoke(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let what = format!("POST /v1/functions/{name}");
    let number = gateway.inner.journal.sent(Party::Page, Party::Gateway, what);
    let answer = gateway
        .pass_on(&name, query.as_deref(), &headers, body, &request_id)
        .await;
    let (answer, note) = match answer {
        Ok(reply) => (answer_of_the_service(reply, &request_id), String::new()),
        Err(refusal) => (refusal.response(&request_id), refusal.code.to_owned()),
    };
    gateway
        .inner
        .journal
        .answered(number, Some(answer.status().as_u16()), note);
    answer
}

impl Gateway {
    async fn pass_on(
        &self,
        name: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
        request_id: &str,
    ) -> Result<Reply, Refusal> {
        let mut sent = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(Ok(authorization)), None) = (sent.next().map(|value| value.to_str()), sent.next()) else {
            return Err(Refusal::credentials("one Authorization header is needed"));
        };
        token::check(
            &self.inner.keys,
            &self.inner.env_id,
            authorization,
            self.inner.clock.now(),
        )
        .map_err(|reason| Refusal::credentials(&reason))?;
        if name != self.inner.function {
            let message = format!("there is no function {name}");
            return Err(Refusal {
                status: StatusCode::NOT_FOUND,
                code: "FUNCTION_NOT_FOUND",
                message,
            });
        }
        let web_function = query.unwrap_or_default().split('&').any(|pair| pair == "webfn=true");
        if !web_function {
            let message = "an HTTP function is called with webfn=true".to_owned();
            return Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                code: "INVALID_PARAM",
                message,
            });
        }
        let onward = self.onward(headers, request_id);
        let reply = self
            .inner
            .service
            .post(Party::Gateway, "/", &onward, body, FUNCTION_TIME_OUT)
            .await;
        reply.map_err(|error| match error {
            CallError::TimedOut => Refusal {
                status: StatusCode::GATEWAY_TIMEOUT,
                code: "FUNCTION_TIME_LIMIT_EXCEEDED",
                message: error.to_string(),
            },
            CallError::NotLoopback(_) | CallError::NoService | CallError::Broken(_) => Refusal {
                status: StatusCode::BAD_GATEWAY,
                code: "FUNCTION_INVOCATION_FAILED",
                message: error.to_string(),
            },
        })
    }
}

struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn credentials(reason: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "INVALID_CREDENTIALS",
            message: reason.to_owned(),
        }
    }

    fn response(&self, request_id: &str) -> Response {
        let body = json!({"code": self.code, "message": self.message, "requestId": request_id});
        (self.status, Json(body)).into_response()
    }
}

fn answer_of_the_service(reply: Reply, request_id: &str) -> Response {
    const PASSES: [HeaderName; 4] = [
        header::CONTENT_TYPE,
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
        header::CACHE_CONTROL,
    ];
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for name in PASSES {
        if let Some(value) = reply.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    let own = reply.headers.get("x-request-id").cloned();
    if let Some(id) = own.or_else(|| request_id.parse().ok()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

#[cfg(test)]
mod tests;
