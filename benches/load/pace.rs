//! Requests at a fixed pace, whatever the answers take: a service that falls behind is measured by how far it falls behind.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// What came of a run. Times are from the moment at which a request was due, not from when it could be sent.
pub(crate) struct Run {
    pub(crate) latency: Histogram<u64>,
    /// Answers that were not the expected one: the status, or none at all.
    pub(crate) errors: Vec<String>,
    pub(crate) took: Duration,
}

impl Run {
    pub(crate) fn ms(&self, percentile: f64) -> f64 {
        let us = u32::try_from(self.latency.value_at_percentile(percentile)).unwrap_or(u32::MAX);
        f64::from(us) / 1000.0
    }
}

/// Posts `count` bodies, so many a second, by the function that makes the n-th of them.
pub(crate) async fn post(
    http: &reqwest::Client,
    url: &str,
    headers: &reqwest::header::HeaderMap,
    per_second: u32,
    bodies: impl ExactSizeIterator<Item = String>,
) -> Run {
    let count = bodies.len();
    let latency = Arc::new(Mutex::new(Histogram::<u64>::new(3).unwrap()));
    let errors = Arc::new(Mutex::new(Vec::new()));
    let pause = Duration::from_secs(1) / per_second;
    let started = Instant::now();
    let mut under_way = tokio::task::JoinSet::new();
    for (n, body) in bodies.enumerate() {
        let due = started + pause * u32::try_from(n).unwrap();
        tokio::time::sleep_until(due.into()).await;
        let request = http.post(url).headers(headers.clone()).body(body);
        let (latency, errors) = (Arc::clone(&latency), Arc::clone(&errors));
        under_way.spawn(async move {
            let outcome = match request.send().await {
                Ok(answer) if answer.status() == 200 => {
                    answer.bytes().await.map(drop).map_err(|error| error.to_string())
                }
                Ok(answer) => Err(answer.status().to_string()),
                Err(error) => Err(error.to_string()),
            };
            let us = u64::try_from(due.elapsed().as_micros()).unwrap();
            latency.lock().unwrap().record(us.max(1)).unwrap();
            if let Err(error) = outcome {
                errors.lock().unwrap().push(error);
            }
        });
        while under_way.try_join_next().is_some() {}
    }
    while let Some(done) = under_way.join_next().await {
        done.unwrap();
    }
    let took = started.elapsed();
    let latency = latency.lock().unwrap().clone();
    assert_eq!(latency.len(), u64::try_from(count).unwrap());
    let errors = std::mem::take(&mut *errors.lock().unwrap());
    Run { latency, errors, took }
}
