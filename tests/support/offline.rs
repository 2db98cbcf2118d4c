//! The world and the books while no service runs.

use pay_common::boot::Service;
use pay_common::clock::Clock;
use pay_common::sandbox::{Options, World};

use super::app::{TestApp, config, settings};
use super::database::Database;

/// Everything but the service.
pub struct Offline {
    pub world: World,
    pub clock: Clock,
    pub http: reqwest::Client,
    pub settings: Vec<(String, String)>,
    /// After all that holds connections.
    pub database: Database,
}

impl Offline {
    /// A world around these books.
    pub async fn over(database: Database, options: Options, more: &[(&str, &str)]) -> Self {
        let world = super::app::world(options).await;
        let settings = settings(&world, &database, more);
        Self {
            world,
            clock: Clock::movable(),
            http: super::app::http(),
            settings,
            database,
        }
    }

    /// Starts the service over these books.
    pub async fn start(self) -> TestApp {
        let service = self.service().await;
        self.with(service)
    }

    /// A service over these books, not yet known to the world.
    pub async fn service(&self) -> Service {
        self.starting().await
    }

    /// The same, to be awaited wherever it is to live.
    pub fn starting(&self) -> impl Future<Output = Service> + Send + 'static {
        let (config, clock) = (config(&self.settings), self.clock.clone());
        async move { Service::start(config, clock).await.unwrap() }
    }

    /// With a service that was started.
    pub fn with(self, service: Service) -> TestApp {
        self.world.set_service(service.address()).unwrap();
        TestApp {
            door: service.address(),
            world: self.world,
            service,
            clock: self.clock,
            http: self.http,
            settings: self.settings,
            database: self.database,
        }
    }

    /// With another value of a setting.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }
}

impl TestApp {
    /// The service on its own, and everything but the service.
    pub fn part(self) -> (Service, Offline) {
        let offline = Offline {
            world: self.world,
            clock: self.clock,
            http: self.http,
            settings: self.settings,
            database: self.database,
        };
        (self.service, offline)
    }
}
