//! The world and the service in it, on one stage.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::SandboxArguments;
use crate::boot::Service;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::source::Source;
use crate::domain::ids::new_id;
use crate::sandbox::{Options, World};

/// The operator's key on this stage; it opens nothing anywhere else.
pub(super) const OPERATOR_KEY: &str = "op_sandbox";

/// Where the buyer's page is served from.
pub(super) const ORIGIN: &str = "https://shop.example";

/// The simulated world with the service in its middle.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) service: Service,
    clock: Clock,
    /// The store that is thrown away at the end.
    scratch: Option<PathBuf>,
}

impl Stage {
    pub(super) async fn set_up(arguments: &SandboxArguments, options: Options) -> anyhow::Result<Self> {
        let key_mode = arguments.key_mode.into();
        Self::with(arguments, Options { key_mode, ..options }).await
    }

    /// The same in a world that is exactly so.
    pub(super) async fn with(arguments: &SandboxArguments, options: Options) -> anyhow::Result<Self> {
        Self::at(arguments, options, Clock::System).await
    }

    /// The same at the time of that clock. Where it can be moved, nothing sweeps by itself.
    pub(super) async fn at(arguments: &SandboxArguments, options: Options, clock: Clock) -> anyhow::Result<Self> {
        let world = World::start(options).await?;
        let (database_url, scratch) = match &arguments.database_url {
            Some(url) => (url.clone(), None),
            None => {
                let folder = std::env::temp_dir().join(format!("pay-common-sandbox-{}", new_id()));
                (format!("sqlite://{}", folder.join("store.db").display()), Some(folder))
            }
        };
        let operator = Sha256::digest(OPERATOR_KEY)
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let sweep_interval = match &clock {
            Clock::System => "1",
            Clock::Shifted(_) => "0",
        };
        let mut settings: Vec<(&str, String)> = world.settings();
        settings.extend(world.business().settings());
        settings.extend(world.offiaccount().settings());
        settings.extend(world.phone().settings());
        settings.extend([
            ("bindAddress", "127.0.0.1".to_owned()),
            ("PORT", arguments.port.to_string()),
            ("DATABASE_URL", database_url),
            ("operatorKeys", operator),
            ("sweepInterval", sweep_interval.to_owned()),
            ("corsAllowOrigin", ORIGIN.to_owned()),
        ]);
        settings.extend(
            arguments
                .settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        let config = Config::read(&Source::of_pairs(settings)?)?;
        let service = Service::start(config, clock.clone()).await?;
        world.set_service(service.address())?;
        Ok(Self {
            world,
            service,
            clock,
            scratch,
        })
    }

    /// Everybody's clock goes on. A clock that cannot be moved stays where it is.
    pub(super) fn advance(&self, by: Duration) -> anyhow::Result<()> {
        self.clock.advance(i64::try_from(by.as_millis())?);
        self.world.clock().advance(by);
        Ok(())
    }

    pub(super) async fn strike(self) {
        self.service.stop().await;
        drop(self.world);
        if let Some(folder) = self.scratch {
            // A folder that stays in the temporary directory harms nobody.
            drop(std::fs::remove_dir_all(folder));
        }
    }
}
