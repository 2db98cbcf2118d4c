//! A service that only listens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::Value;

use super::until;
use crate::sandbox::{lock, socket::Port, tasks::Tasks};

/// One request that reached the service.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A service that writes down what it hears and answers what it was told to, then 200.
#[derive(Clone)]
pub(crate) struct Listener {
    address: std::net::SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
    tasks: Tasks,
}

impl Listener {
    pub(super) async fn start() -> Self {
        let port = Port::open(0).await.unwrap();
        let tasks = Tasks::here();
        let listener = Self {
            address: port.address(),
            heard: Arc::default(),
            statuses: Arc::default(),
            tasks: tasks.clone(),
        };
        port.serve(&tasks, Router::new().fallback(hear).with_state(listener.clone()));
        listener
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn stop(&self) {
        self.tasks.stop();
    }

    pub(crate) fn answer(&self, statuses: &[u16]) {
        lock(&self.statuses).extend(statuses);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn hears(&self, count: usize) -> Vec<Heard> {
        until(|| lock(&self.heard).len() >= count).await;
        self.heard()
    }
}

async fn hear(State(listener): State<Listener>, request: Request) -> (StatusCode, &'static str) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let heard = Heard {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    lock(&listener.heard).push(heard);
    let status = lock(&listener.statuses).pop_front().unwrap_or(200);
    (StatusCode::from_u16(status).unwrap(), r#"{"code":0}"#)
}
