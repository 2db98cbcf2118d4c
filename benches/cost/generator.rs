//! So many requests under way at a time, the next one as soon as one is answered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::header::{HeaderMap, HeaderValue};

/// One request and the body that is expected in part.
pub(crate) struct Ask {
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// Puts all questions, and fails unless each is answered by 200 and with `expected` in it.
pub(crate) async fn all(
    base: &str,
    at_a_time: usize,
    expected: &'static str,
    asks: Vec<Ask>,
) -> (Histogram<u64>, Duration) {
    let http = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(at_a_time)
        .build()
        .unwrap();
    let latency = Arc::new(Mutex::new(Histogram::<u64>::new(3).unwrap()));
    let asks = Arc::new(Mutex::new(asks.into_iter()));
    let started = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..at_a_time {
        let (http, latency, asks, base) = (http.clone(), Arc::clone(&latency), Arc::clone(&asks), base.to_owned());
        workers.spawn(async move {
            loop {
                let Some(ask) = asks.lock().unwrap().next() else { break };
                let headers: HeaderMap = ask
                    .headers
                    .iter()
                    .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
                    .collect();
                let began = Instant::now();
                let request = http.post(format!("{base}{}", ask.path)).headers(headers).body(ask.body);
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let said = answer.text().await.unwrap();
                let us = u64::try_from(began.elapsed().as_micros()).unwrap();
                assert!(status == 200 && said.contains(expected), "{status} {said}");
                latency.lock().unwrap().record(us.max(1)).unwrap();
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    let took = started.elapsed();
    let latency = latency.lock().unwrap().clone();
    (latency, took)
}
