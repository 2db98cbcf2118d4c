//! A world and a service that can be killed: it lives in a runtime of its own, and dies with that.

use std::time::Duration;

use pay_common::sandbox::Options;
use sqlx::{AnyConnection, Connection as _};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use crate::support::app::TestApp;
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;

/// Everything that many histories can share, one after the other.
pub struct Stage {
    t: Option<TestApp>,
    runtime: Option<Runtime>,
    /// To look at the books with.
    pub conn: Mutex<AnyConnection>,
    token: String,
    /// Seconds since the token was made, as the world counts.
    token_age: u64,
}

/// A token is good for two hours.
const TOKEN_LIFE: u64 = 5400;

impl Stage {
    pub async fn set(store: Store) -> Self {
        let options = Options {
            refund_after: None,
            // Callbacks are delivered by hand.
            retry_unit: Duration::from_secs(3600),
            ..Options::default()
        };
        let offline = Offline::over(Database::fresh(store).await, options, &[]).await;
        offline.world.wechat().lose_callbacks(u32::MAX);
        let (runtime, t) = started(offline).await;
        sqlx::any::install_default_drivers();
        let conn = Mutex::new(AnyConnection::connect(&t.database.url).await.unwrap());
        let token = format!("Bearer {}", t.token("alice"));
        Self {
            t: Some(t),
            runtime: Some(runtime),
            conn,
            token,
            token_age: 0,
        }
    }

    pub fn t(&self) -> &TestApp {
        self.t
            .as_ref()
            .expect("only killing takes it away, and puts the next one there")
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Everybody's clock goes on.
    pub fn wait(&mut self, seconds: u64) {
        self.t().advance(Duration::from_secs(seconds));
        self.token_age += seconds;
        if self.token_age > TOKEN_LIFE {
            self.token = format!("Bearer {}", self.t().token("alice"));
            self.token_age = 0;
        }
    }

    /// Ends the service in the middle of whatever it does, and starts it again over the same books.
    pub async fn kill(&mut self) {
        let (service, offline) = self.t.take().unwrap().part();
        let runtime = self.runtime.take().unwrap();
        // Every task is dropped where it stands; this returns when all of them are.
        let dying = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)));
        dying.await.unwrap();
        drop(service);
        let (runtime, t) = started(offline).await;
        self.t = Some(t);
        self.runtime = Some(runtime);
    }

    /// Ends it as it should end, and starts it again.
    pub async fn restart(&mut self) {
        let (service, offline) = self.t.take().unwrap().part();
        service.stop().await;
        let old = self.runtime.take().unwrap();
        old.shutdown_background();
        let (runtime, t) = started(offline).await;
        self.t = Some(t);
        self.runtime = Some(runtime);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn started(offline: Offline) -> (Runtime, TestApp) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let service = runtime.spawn(offline.starting()).await.unwrap();
    (runtime, offline.with(service))
}
