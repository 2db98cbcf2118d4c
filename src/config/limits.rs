//! How much is taken at a time: from a connection, from a request, from a caller, and for WeChat Pay.

use std::num::NonZeroU32;
use std::time::Duration;

use super::read::Reader;

/// Bounds on what others can make this service do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest body, in bytes.
    pub body_bytes: usize,
    /// How deep a body may nest.
    pub json_depth: usize,
    /// For the headers of a request, and for an idle connection.
    pub header_time: Duration,
    /// For a body to arrive.
    pub body_time: Duration,
    /// For a request, from its headers to its answer.
    pub request_time: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// Actions a second of all callers together; `None` is no limit.
    pub requests: Option<NonZeroU32>,
    /// Actions a second of one caller; `None` is no limit. Operators have none.
    pub requests_per_caller: Option<NonZeroU32>,
    /// Questions to WeChat Pay under way at a time.
    pub upstream: usize,
    /// Questions to WeChat Pay a second that only a callback without a proof asks for; `None` is no limit.
    pub confirmations: Option<NonZeroU32>,
    /// How long a stop waits for what runs.
    pub stop_time: Duration,
}

pub(super) fn limits(r: &mut Reader<'_>) -> Option<Limits> {
    let body_bytes = size(r, "maxBodyBytes");
    let json_depth = size(r, "maxJsonDepth");
    let header_time = r.number("headerTimeoutMs").map(Duration::from_millis);
    let body_time = r.number("bodyTimeoutMs").map(Duration::from_millis);
    let request_time = r.number("requestTimeoutMs").map(Duration::from_millis);
    let connections = size(r, "maxConnections");
    let requests = rate(r, "maxRequestsPerSecond");
    let requests_per_caller = rate(r, "maxCallerRequestsPerSecond");
    let upstream = size(r, "maxUpstreamCalls");
    let confirmations = rate(r, "maxConfirmationsPerSecond");
    let stop_time = r.number("stopTimeoutMs").map(Duration::from_millis);
    Some(Limits {
        body_bytes: body_bytes?,
        json_depth: json_depth?,
        header_time: header_time?,
        body_time: body_time?,
        request_time: request_time?,
        connections: connections?,
        requests: NonZeroU32::new(requests?),
        requests_per_caller: NonZeroU32::new(requests_per_caller?),
        upstream: upstream?,
        confirmations: NonZeroU32::new(confirmations?),
        stop_time: stop_time?,
    })
}

fn size(r: &mut Reader<'_>, setting: &'static str) -> Option<usize> {
    r.number(setting).and_then(|number| usize::try_from(number).ok())
}

/// A number a second; 0 is no limit.
fn rate(r: &mut Reader<'_>, setting: &'static str) -> Option<u32> {
    r.number(setting).and_then(|number| u32::try_from(number).ok())
}
