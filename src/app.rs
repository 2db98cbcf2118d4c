//! What every flow needs, in one place that is cheap to share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::auth::browsers::Browsers;
use crate::auth::keyring::Keyring;
use crate::auth::operators::Operators;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::cashier::Cashier;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::outbound::webhook::Sender;
use crate::store::db::Db;
use crate::wechat::client::Client;

/// The service's parts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Parts>);

/// See [`App`].
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) wechat: Client,
    /// Tells the business side, where there is one.
    pub(crate) webhooks: Option<Arc<Sender>>,
    /// The keys of logins, where tokens are verified here.
    pub(crate) login_keys: Option<Keyring>,
    /// The merchant's own people and servers, by their keys.
    pub(crate) operators: Operators,
    /// Browsers whose owner is known by web authorization, where that is on.
    pub(crate) browsers: Option<Browsers>,
    /// The buyer's page.
    pub(crate) cashier: Cashier,
    pub(crate) clock: Clock,
    /// One at a time per order and refund number.
    pub(crate) numbers: Numbers,
    /// Who has asked too much.
    pub(crate) limits: Limits,
    /// How many requests may wait to be written down for people.
    pub(crate) notes: Arc<Semaphore>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// What runs, so that a stop can wait for it.
    pub(crate) tasks: TaskTracker,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
