//! The tasks of one world: they all end with it.

use tokio::{runtime::Handle, task};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Starts tasks and stops them together.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    runtime: Handle,
    stop: CancellationToken,
}

impl Tasks {
    /// Tasks on the runtime of the caller.
    pub(crate) fn here() -> Self {
        Self {
            runtime: Handle::current(),
            stop: CancellationToken::new(),
        }
    }

    /// Runs `work` beside everything else; it is dropped where it stands when the world stops.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn_to_the_end(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// The same for work that ends by itself once [`Tasks::stopped`] is over.
    pub(crate) fn spawn_to_the_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    pub(crate) fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.stop.clone().cancelled_owned()
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Runs something that keeps a core busy for milliseconds away from the tasks that wait.
pub(crate) async fn busy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
