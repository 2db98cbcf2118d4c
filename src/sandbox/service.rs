//! The service under test, as the other parties reach it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;

use super::{
    journal::{Journal, Party},
    lock,
    outbound::{CallError, Headers, Outbound, Reply},
};

/// Where the service listens, as soon as somebody has said so.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    address: Arc<Mutex<Option<SocketAddr>>>,
    outbound: Outbound,
    journal: Journal,
}

impl Service {
    pub(crate) fn new(outbound: Outbound, journal: Journal) -> Self {
        Self {
            address: Arc::default(),
            outbound,
            journal,
        }
    }

    pub(crate) fn set(&self, address: SocketAddr) {
        *lock(&self.address) = Some(address);
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *lock(&self.address)
    }

    /// Posts to the service and writes it down.
    pub(crate) async fn post(
        &self,
        from: Party,
        path: &str,
        headers: &Headers,
        body: Bytes,
        time_out: Duration,
    ) -> Result<Reply, CallError> {
        let number = self.journal.sent(from, Party::Service, format!("POST {path}"));
        let reply = match self.address() {
            Some(address) => {
                self.outbound
                    .post(&format!("http://{address}{path}"), headers, body, time_out)
                    .await
            }
            None => Err(CallError::NoService),
        };
        match &reply {
            Ok(reply) => self.journal.answered(number, Some(reply.status), ""),
            Err(error) => self.journal.answered(number, None, error.to_string()),
        }
        reply
    }
}
