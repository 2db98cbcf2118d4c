//! Start and stop: the only place that puts the parts together, and the only one that starts what runs beside the requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, Parts};
use crate::auth::browsers::Browsers;
use crate::auth::keyring::Keyring;
use crate::auth::operators::Operators;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::reconciliation::Bill;
use crate::flows::FIRST_ASK_MS;
use crate::flows::deliver::{self, Delivered};
use crate::flows::reconcile::{self, Progress, ReconcileError, Run, Wanted};
use crate::flows::sweep::{self, Swept};
use crate::http::router::router;
use crate::http::server::{self, Bounds};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::outbound::webhook::Sender;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::wechat::certificates::Checks;
use crate::wechat::client::{Client, Patience};
use crate::wechat::keyring::Trust;
use crate::wechat::sign::Signer;

/// How long a stop waits for the store to close, once nothing uses it any longer.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// Requests that may wait to be written down for people. They share the store's writer with the orders.
const WAITING_NOTES: usize = 64;

/// Shortest pause between two sweeps: what becomes due within it is asked about together.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause, whatever `sweepInterval` says: a row that is written in it is seen before it is due.
const LONGEST_PAUSE: Duration = Duration::from_millis(FIRST_ASK_MS.unsigned_abs());

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client of WeChat Pay, or of the keys of logins.
    #[error("an HTTP client cannot be built: {0}")]
    Client(#[from] reqwest::Error),
    /// The port.
    #[error("the address {address} cannot be listened on: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    app: App,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    sweeper: Option<JoinHandle<()>>,
    tender: Option<JoinHandle<()>>,
    dispatcher: Option<JoinHandle<()>>,
}

impl Service {
    /// Opens the store, listens, and begins to sweep.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let wanted = SocketAddr::new(config.host, config.port);
        let listener = TcpListener::bind(wanted).await.map_err(|source| StartError::Listen {
            address: wanted,
            source,
        })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: wanted,
            source,
        })?;
        let app = assemble(config, clock).await?;
        let tasks = app.tasks.clone();
        let bounds = Bounds {
            connections: app.config.limits.connections,
            header_time: app.config.limits.header_time,
        };

        // One of many instances says nothing of the others' intents, and waits for no store.
        if !app.config.serverless
            && let Err(error) = sweep::at_start(&app).await
        {
            // They are due by themselves a little later.
            tracing::error!(%error, "the intents of the last run could not be looked at at once");
        }
        let stop = CancellationToken::new();
        let serving = server::serve(listener, router(app.clone()), bounds, stop.clone(), tasks.clone());
        let server = tasks.spawn(serving);
        // A platform that freezes the process would freeze these in the middle of what they do.
        let beside = !app.config.serverless;
        let sweeper = beside.then(|| tasks.spawn(sweep_on(app.clone(), stop.clone())));
        let tender = beside.then(|| tasks.spawn(tend_on(app.clone(), stop.clone())));
        let dispatcher = beside.then(|| tasks.spawn(deliver::dispatch(app.clone(), stop.clone())));
        // Beside the requests: a start must not depend on WeChat. The first request waits for this one, or tries again.
        let first_keys = app.clone();
        tasks.spawn(async move { first_keys.wechat.tend_keys().await });
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening on {address}");
        Ok(Self {
            app,
            address,
            stop,
            server,
            sweeper,
            tender,
            dispatcher,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its books.
    pub fn db(&self) -> &Db {
        &self.app.db
    }

    /// Asks about everything that is due now.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        sweep::sweep(&self.app, None).await
    }

    /// Tells the business side everything that is due now.
    pub async fn deliver(&self) -> Result<Delivered, StoreError> {
        deliver::due(&self.app).await
    }

    /// Compares a day's bill with the books, and asks WeChat about what differs, if that is wanted.
    pub async fn reconcile(&self, day: Date, bill: Bill, repair: bool) -> Result<Run, ReconcileError> {
        let wanted = Wanted { day, bill, repair };
        reconcile::reconcile(&self.app, &wanted, &Progress::default()).await
    }

    /// Accepts nothing new, lets what runs end (for `stopTimeoutMs` at most), and closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        self.app.tasks.close();
        let stop_time = self.app.config.limits.stop_time;
        if tokio::time::timeout(stop_time, self.app.tasks.wait()).await.is_err() {
            // Every step is durable before the next one begins; what is cut off here is settled at the next start.
            tracing::warn!("stopped before everything had ended; the rest is settled at the next start");
            self.server.abort();
            for beside in [self.sweeper, self.tender, self.dispatcher].into_iter().flatten() {
                beside.abort();
            }
        }
        // What was cut off may still hold a connection; its transaction is rolled back when the process ends.
        if tokio::time::timeout(CLOSE_TIME, self.app.db.close()).await.is_err() {
            tracing::warn!("the store was not closed in time");
        }
    }
}

/// Opens the store and puts the parts together, without a listener and without anything that runs by itself.
pub(crate) async fn assemble(config: Config, clock: Clock) -> Result<App, StartError> {
    let db = if config.serverless {
        Db::open_frozen(config.database_url()).await?
    } else {
        Db::open(config.database_url()).await?
    };
    Ok(assemble_over(db, config, clock)?)
}

/// The same over a store that is open.
pub(crate) fn assemble_over(db: Db, config: Config, clock: Clock) -> Result<App, reqwest::Error> {
    let idle = config.idle_connections();
    let webhooks = match &config.webhook {
        Some(webhook) => Some(Arc::new(Sender::new(webhook, idle)?)),
        None => None,
    };
    // Events are written to be told where there is somebody to tell.
    let db = if webhooks.is_some() { db.telling() } else { db };
    let metrics = Metrics::default();
    let db = db.counting(metrics.clone());
    let wechat = wechat_client(&config, clock.clone())?.counting(metrics.clone());
    let login_keys = match &config.auth_jwks_url {
        Some(url) => Some(Keyring::new(url.clone(), clock.clone())?),
        None => None,
    };
    let browsers = config.web_authorization.as_ref();
    let browsers = browsers.map(|settings| Browsers::new(settings, idle)).transpose()?;
    let root = config.api_v3_key.derived("pay-common: operators, 1");
    let operators = Operators::new(&config.operator_keys, &root);
    let limits = Limits::new(&config.limits);
    Ok(App::new(Parts {
        config,
        db,
        wechat,
        webhooks,
        login_keys,
        operators,
        browsers,
        cashier: crate::http::cashier::Cashier::default(),
        clock,
        numbers: Numbers::default(),
        limits,
        notes: Arc::new(Semaphore::new(WAITING_NOTES)),
        metrics,
        tasks: TaskTracker::new(),
    }))
}

/// The client of WeChat Pay that these settings describe.
pub(crate) fn wechat_client(config: &Config, clock: Clock) -> reqwest::Result<Client> {
    let signer = Signer {
        mchid: config.merchant_id.clone(),
        serial: config.merchant_serial.clone(),
        key: Arc::clone(&config.merchant_key),
    };
    let trust = Trust {
        public: config.wechat_key.clone(),
        certificates: config.platform_certificates.then(|| Checks {
            api_v3_key: Arc::clone(&config.api_v3_key),
            root: config.wechat_root.clone(),
        }),
    };
    let patience = Patience {
        connect: config.connect_timeout,
        call: config.call_timeout,
        at_a_time: config.limits.upstream,
        idle: config.idle_connections(),
    };
    let (base, backup) = (config.wechat_base.clone(), config.wechat_backup.clone());
    Client::new(base, backup, patience, signer, trust, clock)
}

/// Resolves once the process is asked to end. The handlers stand when this returns, before anything else is started.
pub fn terminated() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Asks about what is due, if anything is; how long there will be nothing.
async fn sweep_due(app: &App) -> Result<Duration, StoreError> {
    let left = |at: Option<i64>| at.map_or(i64::MAX, |at| at.saturating_sub(app.clock.now_ms()));
    let mut next = left(sweep::next_due(app).await?);
    if next <= 0 {
        let Swept {
            orders,
            refunds,
            transfers,
            ..
        } = sweep::sweep(app, None).await?;
        tracing::debug!(orders, refunds, transfers, "asked about what is open");
        next = left(sweep::next_due(app).await?);
    }
    Ok(Duration::from_millis(next.max(0).unsigned_abs()))
}

/// Sweeps at the start, and then whenever something is due, or may have become so meanwhile.
async fn sweep_on(app: App, stop: CancellationToken) {
    let Some(pause) = app.config.sweep_interval else { return };
    loop {
        // Looked for first: taking needs the store's writer, and most looks find nothing.
        let left = match sweep_due(&app).await {
            Ok(left) => left.max(LEAST_PAUSE).min(pause),
            Err(error) => {
                tracing::error!(%error, "the sweep could not read or write the store");
                pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(left.min(LONGEST_PAUSE)) => {}
        }
    }
}

/// Looks after the keys, beside the sweep: that one has no end while there is always something due.
async fn tend_on(app: App, stop: CancellationToken) {
    let Some(pause) = app.config.sweep_interval else { return };
    loop {
        app.wechat.tend_keys().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests;
