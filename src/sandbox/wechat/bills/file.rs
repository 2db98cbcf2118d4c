//! The file of a bill as an answer: raw bytes, in the pieces and with the end that a test asked for.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use hyper::body::Frame;
use tokio::time::{Sleep, sleep};

use super::BillFault;

const PIECES: usize = 16;

/// A file that is about to be sent.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) gzip: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) fault: Option<BillFault>,
}

impl File {
    /// Without `Content-Encoding`: who asked for a gzip file gets a file.
    pub(crate) fn into_answer(mut self) -> Response {
        if matches!(self.fault, Some(BillFault::Cut | BillFault::Short)) {
            self.bytes.truncate(self.bytes.len() / 2);
        }
        let body = match self.fault {
            Some(BillFault::Cut) => Body::new(Pieces::of(&self.bytes, 1, Duration::ZERO, true)),
            Some(BillFault::Slow(pause)) => Body::new(Pieces::of(&self.bytes, PIECES, pause, false)),
            _ => Body::from(self.bytes),
        };
        let media_type = if self.gzip { "application/x-gzip" } else { "text/plain" };
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }
}

/// A body that takes its time, and may break.
struct Pieces {
    left: VecDeque<Bytes>,
    pause: Duration,
    waits: Pin<Box<Sleep>>,
    breaks: bool,
}

impl Pieces {
    fn of(bytes: &[u8], pieces: usize, pause: Duration, breaks: bool) -> Self {
        let size = bytes.len().div_ceil(pieces).max(1);
        Self {
            left: bytes.chunks(size).map(Bytes::copy_from_slice).collect(),
            pause,
            waits: Box::pin(sleep(pause)),
            breaks,
        }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.waits.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.waits = Box::pin(sleep(self.pause));
        Poll::Ready(match self.left.pop_front() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.breaks => Some(Err(io::ErrorKind::ConnectionReset.into())),
            None => None,
        })
    }
}
