//! The file of a bill over the wire: for as long as it takes, as long as something comes.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::BillFile;
use super::error::BillError;
use super::parse::Record;
use super::reader::{Hashed, Reader, Whole};
use crate::telemetry;
use crate::wechat::client::{Client, sending_failed};
use crate::wechat::error::{Unknown, WechatError};

/// Longest silence. A whole bill may take minutes, so there is no limit to that.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// Takes none of the client's seats: it lasts for minutes, there is one a day, and those are for questions that somebody waits for.
pub(super) async fn download<R: Record + Send>(
    client: &Client,
    bill: &BillFile<R>,
    rows: Sender<R>,
    stall: Duration,
) -> Result<Whole, BillError> {
    let started = Instant::now();
    let mut response = unless_stalled(stall, client.fetch(&bill.url)).await?;
    let mut reader = Reader::new();
    let mut read = Vec::new();
    while let Some(chunk) = unless_stalled(stall, async { response.chunk().await.map_err(sending_failed) }).await? {
        for slice in Reader::<R>::slices(&chunk) {
            reader.read(slice, &mut read)?;
            send(&mut read, &rows).await?;
        }
    }
    let whole = reader.finish(&bill.hash, &mut read)?;
    send(&mut read, &rows).await?;
    let (count, ms) = (whole.rows, telemetry::ms(started.elapsed()));
    // The address is not for the log: who has it within five minutes needs only a signature.
    match whole.hashed {
        Hashed::Text => tracing::info!(rows = count, ms, "a bill came whole; WeChat's hash is over its text"),
        Hashed::File => tracing::info!(
            rows = count,
            ms,
            "a bill came whole; WeChat's hash is over its gzip file"
        ),
    }
    Ok(whole)
}

/// Waits for whoever takes the rows, for as long as they like.
async fn send<R: Send>(read: &mut Vec<R>, rows: &Sender<R>) -> Result<(), BillError> {
    for row in read.drain(..) {
        rows.send(row).await.map_err(|_| BillError::Abandoned)?;
    }
    Ok(())
}

async fn unless_stalled<T>(
    stall: Duration,
    work: impl Future<Output = Result<T, WechatError>>,
) -> Result<T, WechatError> {
    timeout(stall, work)
        .await
        .unwrap_or(Err(WechatError::OutcomeUnknown(Unknown::TimedOut)))
}
