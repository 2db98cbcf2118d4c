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

/// What makes a forward worth believing.
const FORWARDED: &str = "转发本身没有签名。可信的是 rawData.resource 密文：只有微信支付和商户的 APIv3 密钥能加密出可解开的内容；没有密文时，服务向微信支付查询。\n\
A forward carries no signature. What counts is the ciphertext in rawData.resource, which only WeChat Pay and the merchant's APIv3 key can have made; without it, the service asks WeChat Pay.";

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
        if from == Party::Center {
            self.journal.proven(number, "无签名 / not signed", FORWARDED.as_bytes());
        }
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
