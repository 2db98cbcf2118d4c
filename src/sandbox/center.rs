//! The Integration Center of `CloudBase`: it receives WeChat's callbacks, verifies and decrypts them, and forwards
//! the plain content to the service.

mod forward;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

pub use self::forward::{Content, Forward, ForwardShape, RawData};
use super::{
    Keys,
    clock::Clock,
    journal::Party,
    lock,
    outbound::{CallError, Headers, Reply},
    platform::Platform,
    service::Service,
    socket::Port,
    tasks::Tasks,
    wechat::{OrderView, SignedNotification},
};

/// Where payments are announced.
pub const ORDER_PATH: &str = "/wechatpay/order";
/// Where refunds are announced.
pub const REFUND_PATH: &str = "/wechatpay/refund";
/// Where transfers are announced.
pub const TRANSFER_PATH: &str = "/wechatpay/transfer";
/// Where the service takes payments from WeChat itself.
pub const DIRECT_ORDER_PATH: &str = "/wx-pay/unifiedOrderTrigger";
/// Where the service takes refunds from WeChat itself.
pub const DIRECT_REFUND_PATH: &str = "/wx-pay/refundTrigger";
/// Where the service takes transfers from WeChat itself.
pub const DIRECT_TRANSFER_PATH: &str = "/wx-pay/transferTrigger";

/// A little less than the five seconds that WeChat waits.
const FORWARD_TIME_OUT: Duration = Duration::from_millis(4800);

/// A handle on the simulated Integration Center; clones are the same one.
#[derive(Clone)]
pub struct Center {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Arc<Keys>,
    platform: Platform,
    clock: Clock,
    service: Service,
    integration_id: String,
    shape: Mutex<ForwardShape>,
    address: SocketAddr,
}

/// Why a callback is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotForwarded {
    /// A header is missing, the clock is off, the key is unknown or the signature is wrong.
    #[error("the callback is not signed by WeChat Pay: {0}")]
    NotGenuine(String),
    /// It is signed, but does not open or is not what it should be.
    #[error("the callback cannot be read: {0}")]
    Unreadable(String),
}

impl Center {
    pub(crate) fn start(
        port: Port,
        tasks: &Tasks,
        keys: Arc<Keys>,
        platform: Platform,
        clock: Clock,
        service: Service,
        integration_id: String,
    ) -> Self {
        let shape = Mutex::default();
        let inner = Inner {
            keys,
            platform,
            clock,
            service,
            integration_id,
            shape,
            address: port.address(),
        };
        let center = Self { inner: Arc::new(inner) };
        let router = Router::new()
            .route(ORDER_PATH, post(receive))
            .route(REFUND_PATH, post(receive))
            .route(TRANSFER_PATH, post(receive))
            .route(DIRECT_ORDER_PATH, post(relay))
            .route(DIRECT_REFUND_PATH, post(relay))
            .route(DIRECT_TRANSFER_PATH, post(relay))
            .with_state(center.clone());
        port.serve(tasks, router);
        center
    }

    /// The address that stands for `https://{integration}.integration-callback.tcloudbase.com`.
    pub fn url(&self) -> String {
        format!("http://{}", self.inner.address)
    }

    /// The id that every forward carries in `x-tcb-integration-id`.
    pub fn integration_id(&self) -> &str {
        &self.inner.integration_id
    }

    /// Which members the forwards have from now on, and where they go.
    pub fn set_shape(&self, shape: ForwardShape) {
        *lock(&self.inner.shape) = shape;
    }

    /// Verifies and opens a callback and makes the forward of it; nothing is sent.
    pub fn forward_of(&self, notification: &SignedNotification) -> Result<Forward, NotForwarded> {
        let header = |name: &str| notification.header(name).map(str::to_owned);
        self.open(&header, &notification.body)
    }

    /// A forward that nobody has ever verified: it says that the order is paid, though nobody paid. It carries the
    /// right integration id, and no content that only WeChat could have made.
    pub fn forge(&self, order: &OrderView) -> Forward {
        let shape = lock(&self.inner.shape).clone();
        let now = self.inner.clock.now();
        forward::forged(order, self.inner.keys.mchid(), &shape, &self.inner.integration_id, now)
    }

    /// Posts a forward to the service.
    pub async fn send(&self, forward: &Forward) -> Result<Reply, CallError> {
        let body = Bytes::from(forward.body.to_string());
        self.inner
            .service
            .post(Party::Center, &forward.path, &forward.headers, body, FORWARD_TIME_OUT)
            .await
    }

    fn open(&self, header: &dyn Fn(&str) -> Option<String>, body: &str) -> Result<Forward, NotForwarded> {
        let now = self.inner.clock.now();
        forward::verify(&self.inner.platform, header, body, now)?;
        let shape = lock(&self.inner.shape).clone();
        forward::opened(&self.inner.keys, body, &shape, &self.inner.integration_id)
    }
}

async fn receive(State(center): State<Center>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let forward = match center.open(&header, &String::from_utf8_lossy(&body)) {
        Ok(forward) => forward,
        Err(error @ NotForwarded::NotGenuine(_)) => return fail(StatusCode::UNAUTHORIZED, &error.to_string()),
        Err(error @ NotForwarded::Unreadable(_)) => {
            return fail(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
        }
    };
    match center.send(&forward).await {
        Ok(reply) if reply.is_success() => Json(json!({"code": "SUCCESS", "message": "成功"})).into_response(),
        answer => not_taken(answer),
    }
}

/// The public address of a service that takes WeChat's callbacks itself: every byte goes through as it came.
async fn relay(State(center): State<Center>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let passes = |name: &str| !matches!(name, "host" | "content-length" | "connection" | "transfer-encoding");
    let headers: Headers = headers
        .iter()
        .filter(|(name, _)| passes(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    match center
        .inner
        .service
        .post(Party::Wechat, uri.path(), &headers, body, FORWARD_TIME_OUT)
        .await
    {
        Ok(reply) if reply.is_success() => (StatusCode::OK, reply.body).into_response(),
        answer => not_taken(answer),
    }
}

/// What WeChat hears when the service did not say 2xx.
fn not_taken(answer: Result<Reply, CallError>) -> Response {
    match answer {
        Ok(reply) => {
            let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
            fail(status, &format!("the service answered {status}"))
        }
        Err(CallError::TimedOut) => fail(StatusCode::GATEWAY_TIMEOUT, "the service did not answer in time"),
        Err(error) => fail(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

fn fail(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"code": "FAIL", "message": message}))).into_response()
}

#[cfg(test)]
mod tests;
