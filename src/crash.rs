//! Where a process may die: before and after each commit, before and after each question to WeChat.
//!
//! In a build with the simulator, the environment variable `PAY_COMMON_KILL_AT` names one of these places by its number, counted
//! from the start; the process kills itself there as SIGKILL would, so that a test can visit every place. Otherwise this is nothing.

/// A place between two steps.
#[cfg(not(feature = "sandbox"))]
#[expect(clippy::unused_async, reason = "the same form as in a build with the simulator")]
pub(crate) async fn boundary() {}

/// A place between two steps.
#[cfg(feature = "sandbox")]
pub(crate) async fn boundary() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PLACE: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var_os("PAY_COMMON_KILL_AT")?.into_string().ok()?.parse().ok());
    static SEEN: AtomicU64 = AtomicU64::new(0);

    let Some(place) = *PLACE else { return };
    if SEEN.fetch_add(1, Ordering::Relaxed) + 1 == place {
        // Only a signal from outside ends a process without a destructor, a flush or a handler.
        let kill = std::process::Command::new("kill")
            .args(["-KILL", &std::process::id().to_string()])
            .status();
        tracing::error!(?kill, "the process should be dead");
        std::future::pending::<()>().await;
    }
}
