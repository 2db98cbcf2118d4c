//! The listening side: who may connect, for how long without a word, and how it ends.
//!
//! `axum::serve` has none of these bounds, so connections are handed to hyper here: at most so many at a time (the next ones wait in
//! the kernel's queue), each with a time-out for its first and for every further request's headers, which is also how long an idle
//! connection stays. Node.js closes an idle one after 5 s, so every gateway in front is used to it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::Service as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All headers of a request in bytes; a token and a CloudBase context have a few thousand.
const MOST_HEADER_BYTES: usize = 64 * 1024;

/// Headers in a request.
const MOST_HEADERS: usize = 100;

/// Requests at a time on one HTTP/2 connection.
const MOST_STREAMS: u32 = 256;

/// How long to wait after an accept that failed for want of something, most often of file descriptors.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Bounds of the listening side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// For the headers of a request, and for an idle connection.
    pub(crate) header_time: Duration,
}

/// Serves until `stop`; then accepts nothing more, closes what is idle, and ends when the last request has its answer.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let seats = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &seats) => accepted,
            () = stop.cancelled() => break,
        };
        let Some((connection, seat)) = accepted else { continue };
        let watcher = graceful.watcher();
        let router = router.clone();
        tasks.spawn(async move {
            converse(connection, router, bounds, watcher).await;
            drop(seat);
        });
    }
    // Before the wait: who connects now is refused at once and goes to another instance.
    drop(listener);
    graceful.shutdown().await;
}

/// The next connection, once there is a seat for it; `None` when there was none to be had.
async fn next(listener: &TcpListener, seats: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats)
        .acquire_owned()
        .await
        .expect("nobody closes the semaphore");
    match listener.accept().await {
        Ok((connection, _)) => Some((connection, seat)),
        Err(error) if gone(&error) => None,
        Err(error) => {
            tracing::error!(%error, "no connection can be accepted just now");
            tokio::time::sleep(AFTER_FAILURE).await;
            None
        }
    }
}

/// It was there and went again before it was accepted: nothing is wrong here.
fn gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn converse(
    connection: TcpStream,
    router: Router,
    bounds: Bounds,
    watcher: hyper_util::server::graceful::Watcher,
) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection will be slower than it could be");
    }
    let began = AtomicBool::new(false);
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_time)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_HEADER_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(MOST_HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(bounds.header_time)
        .keep_alive_timeout(bounds.header_time);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(|request| {
        began.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let mut serving = pin!(watcher.watch(server.serve_connection(TokioIo::new(connection), service)));
    // Which version it speaks is read without a time-out of hyper's own: the first request has to be there in time.
    let first = tokio::time::timeout(bounds.header_time, &mut serving).await;
    let ended = match first {
        Ok(ended) => ended,
        Err(_) if began.load(Ordering::Relaxed) => serving.await,
        Err(_) => return,
    };
    if let Err(error) = ended {
        // The other side's doing: it went away, or spoke no HTTP.
        tracing::debug!(error, "a connection ended");
    }
}
