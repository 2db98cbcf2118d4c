//! Calls that the simulated parties make. None of them ever leaves this host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use url::{Host, Url};

/// Header names and values in the order in which they are sent.
pub type Headers = Vec<(String, String)>;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

impl Reply {
    /// Whether the status is a 2xx.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is not on this host; nothing was sent.
    #[error("the sandbox calls nothing but http addresses on loopback, and not {0}")]
    NotLoopback(String),
    /// The service's address was not set yet; see `World::set_service`.
    #[error("nobody has told the sandbox where the service listens")]
    NoService,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Broken(String),
}

/// The one HTTP client of the sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    client: reqwest::Client,
}

impl Outbound {
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .tls_certs_only([])
            .resolve("localhost", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
            .connect_timeout(Duration::from_secs(3))
            .build()?;
        Ok(Self { client })
    }

    /// Posts `body` with exactly these headers.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &Headers,
        body: Bytes,
        time_out: Duration,
    ) -> Result<Reply, CallError> {
        let url = loopback(url)?;
        let mut request = self.client.post(url).timeout(time_out).body(body);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.map_err(broken)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Reply {
            status,
            headers,
            body: answer.bytes().await.map_err(broken)?,
        })
    }
}

fn broken(error: reqwest::Error) -> CallError {
    if error.is_timeout() {
        CallError::TimedOut
    } else {
        CallError::Broken(error.without_url().to_string())
    }
}

/// The address, if it is an `http` one on this host.
pub(crate) fn loopback(url: &str) -> Result<Url, CallError> {
    let refused = || CallError::NotLoopback(url.to_owned());
    let parsed = Url::parse(url).map_err(|_| refused())?;
    let here = match parsed.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if here && parsed.scheme() == "http" {
        Ok(parsed)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_on_loopback_is_called() {
        for fine in [
            "http://127.0.0.1:3000/x",
            "http://[::1]:80/",
            "http://localhost/wechatpay/order",
        ] {
            assert!(loopback(fine).is_ok(), "{fine}");
        }
        for refused in [
            "https://pay.example.com/wechatpay/order",
            "http://192.168.1.1/",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://user@10.0.0.1/",
            "https://127.0.0.1/",
            "not an address",
        ] {
            assert!(loopback(refused).is_err(), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_foreign_address_is_refused_before_anything_is_sent() {
        let outbound = Outbound::new().unwrap();
        let sent = outbound
            .post("http://192.0.2.1/", &vec![], Bytes::new(), Duration::from_secs(1))
            .await;
        assert!(matches!(sent, Err(CallError::NotLoopback(_))));
    }
}
