//! One at a time per number, in this process.
//!
//! The books are right without this; it only spares WeChat the same question fifty times at once. Between several instances the
//! conditional UPDATEs and WeChat's own idempotence do the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

type Queue = Arc<tokio::sync::Mutex<()>>;

/// Queues by number.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Mutex<HashMap<String, Queue>>);

/// The right to act on a number; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    numbers: &'a Numbers,
    number: String,
    held: Option<OwnedMutexGuard<()>>,
}

impl Numbers {
    /// Waits until nobody else acts on this number; `None` when that takes longer than `patience`.
    pub(crate) async fn turn_within(&self, number: &str, patience: Duration) -> Option<Turn<'_>> {
        tokio::time::timeout(patience, self.turn(number)).await.ok()
    }

    /// Waits until nobody else acts on this number.
    pub(crate) async fn turn(&self, number: &str) -> Turn<'_> {
        let queue = Arc::clone(self.lock().entry(number.to_owned()).or_default());
        let mut turn = Turn {
            numbers: self,
            number: number.to_owned(),
            held: None,
        };
        turn.held = Some(queue.lock_owned().await);
        turn
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Queue>> {
        // A map of queues is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.numbers.lock();
        drop(self.held.take());
        if queues
            .get(&self.number)
            .is_some_and(|queue| Arc::strong_count(queue) == 1)
        {
            queues.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn one_at_a_time_per_number_and_nothing_is_left_behind() {
        let numbers = Arc::new(Numbers::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let all = (0..50).map(|turn| {
            let (numbers, inside) = (Arc::clone(&numbers), Arc::clone(&inside));
            async move {
                let _turn = numbers.turn(if turn % 2 == 0 { "even" } else { "odd" }).await;
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        });
        futures_util::future::join_all(all).await;
        assert!(numbers.lock().is_empty());
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_leaves_the_queue() {
        let numbers = Numbers::default();
        let first = numbers.turn("n").await;
        let second = numbers.turn_within("n", Duration::from_millis(5)).await;
        assert!(second.is_none());
        drop(first);
        assert!(numbers.lock().is_empty());
    }
}
