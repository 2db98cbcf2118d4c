//! The outside world on loopback: WeChat Pay, the API gateway, the Integration Center, and the buyer.
//!
//! [`World::start`] puts them on real sockets, with keys made on the spot, and says which settings the service needs to
//! live among them. They are as strict as the real ones, and can be told to fail in every way in which the real ones
//! fail. They share no line with the service: what both got wrong would otherwise look right.
//!
//! Nothing here ever talks to an address that is not on this host.

mod authority;
mod business;
mod center;
mod clock;
mod control;
mod crypto;
mod gateway;
mod journal;
mod keys;
mod offiaccount;
mod options;
mod outbound;
mod phone;
mod platform;
mod service;
mod socket;
mod tasks;
mod wechat;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

pub use self::business::{Business, Heard, Mood};
pub use self::center::{
    Center, Content, DIRECT_ORDER_PATH, DIRECT_REFUND_PATH, DIRECT_TRANSFER_PATH, Forward, ForwardShape, NotForwarded,
    ORDER_PATH, REFUND_PATH, RawData, TRANSFER_PATH,
};
pub use self::clock::Clock;
pub use self::gateway::{Gateway, TokenOptions};
pub use self::journal::{Entry, Journal, Party, Proof};
pub use self::keys::Keys;
pub use self::offiaccount::Offiaccount;
pub use self::options::{Options, Ports};
pub use self::outbound::{CallError, Headers, Reply};
pub use self::phone::Phone;
pub use self::platform::{KeyMode, NoRotation, PlatformCertificate};
pub(crate) use self::wechat::weather::Dice;
pub use self::wechat::{
    After, BillFault, BillLines, Channel, Delivery, Endpoint, Fault, FaultRule, FlowLine, HoldGuard, Impossible,
    Notice, OrderView, Payment, RETRY_SCHEDULE, RefundEnd, RefundLine, RefundStatus, RefundView, Seen,
    SignedNotification, TradeColumns, TradeLine, TradeState, TransferEnd, TransferStart, TransferState, TransferView,
    WeatherReport, Wechat,
};
use self::{outbound::Outbound, platform::Platform, service::Service, socket::Port, tasks::Tasks};

/// Why a world did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken.
    #[error("cannot listen on port {port} of 127.0.0.1: {source}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// The address is not on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox talks to nobody but this host, and {0} is not on it")]
pub struct NotLoopback(pub SocketAddr);

/// The parties together, cheap to clone.
#[derive(Clone)]
pub(crate) struct Sides {
    pub(crate) wechat: Wechat,
    pub(crate) gateway: Gateway,
    pub(crate) center: Center,
    pub(crate) business: Business,
    pub(crate) offiaccount: Offiaccount,
    pub(crate) phone: Phone,
    pub(crate) journal: Journal,
}

/// A simulated world. It ends when it is dropped: every socket is closed, what is still being answered is cut, and
/// no callback follows.
pub struct World {
    sides: Sides,
    keys: Arc<Keys>,
    platform: Platform,
    clock: Clock,
    service: Service,
    tasks: Tasks,
    control: SocketAddr,
    direct_callbacks: bool,
}

impl World {
    /// Starts all parties on 127.0.0.1. Must be called on a tokio runtime, on which they then run.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let ports = options.ports;
        let (wechat_port, gateway_port) = (open(ports.wechat).await?, open(ports.gateway).await?);
        let (center_port, control_port) = (open(ports.center).await?, open(ports.control).await?);
        let (business_port, offiaccount_port) = (open(ports.business).await?, open(ports.offiaccount).await?);
        let phone_port = open(ports.phone).await?;
        let control = control_port.address();
        let (clock, tasks, outbound) = (Clock::default(), Tasks::here(), Outbound::new()?);
        let journal = Journal::new(clock.clone(), options.explains);
        let service = Service::new(outbound.clone(), journal.clone());
        let keys = match options.keys {
            Some(keys) => keys,
            None => tasks::busy(Keys::shared).await,
        };
        let platform = {
            let (keys, now) = (keys.clone(), clock.now());
            tasks::busy(move || Platform::new(keys, options.key_mode, now)).await
        };

        let rules = wechat::Rules {
            retry_unit: options.retry_unit,
            callback_time_out: options.callback_time_out,
            refund_after: options.refund_after,
            refund_gap: options.refund_gap,
            balance: options.balance,
            transfer_balance: options.transfer_balance,
            transfer_start: options.transfer_start,
            cancel_after: options.cancel_after,
            bill_bom: options.bill_bom,
            chaos: options.chaos,
        };
        let around = wechat::Surroundings {
            keys: keys.clone(),
            platform: platform.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            outbound: outbound.clone(),
            journal: journal.clone(),
            receiver: if options.direct_callbacks {
                Party::Service
            } else {
                Party::Center
            },
        };
        let wechat = Wechat::start(wechat_port, rules, around);
        let around = gateway::Surroundings {
            keys: keys.clone(),
            clock: clock.clone(),
            journal: journal.clone(),
            service: service.clone(),
            env_id: options.env_id,
            function: options.function,
        };
        let gateway = Gateway::start(gateway_port, &tasks, around);
        let center = Center::start(
            center_port,
            &tasks,
            keys.clone(),
            platform.clone(),
            clock.clone(),
            service.clone(),
            options.integration_id,
        );
        let business = Business::start(business_port, &tasks, clock.clone(), journal.clone());
        let offiaccount = Offiaccount::start(offiaccount_port, &tasks, keys.clone(), clock.clone(), journal.clone());
        let around = phone::Surroundings {
            keys: keys.clone(),
            clock: clock.clone(),
            journal: journal.clone(),
            service: service.clone(),
            wechat: wechat.clone(),
            center: center.clone(),
            offiaccount: offiaccount.clone(),
            gateway: gateway.clone(),
        };
        let phone = Phone::start(phone_port, &tasks, around)?;
        let sides = Sides {
            wechat,
            gateway,
            center,
            business,
            offiaccount,
            phone,
            journal,
        };
        control::serve(control_port, &tasks, sides.clone());
        Ok(Self {
            sides,
            keys,
            platform,
            clock,
            service,
            tasks,
            control,
            direct_callbacks: options.direct_callbacks,
        })
    }

    /// Tells the gateway and the Integration Center where the service listens. The service needs WeChat's address
    /// before it starts, so this comes second.
    pub fn set_service(&self, address: SocketAddr) -> Result<(), NotLoopback> {
        if !address.ip().is_loopback() {
            return Err(NotLoopback(address));
        }
        self.service.set(address);
        Ok(())
    }

    /// The settings to start the service with, under the names that the platform injects: with WeChat's public key, or
    /// with the root that issues its certificates, or with both.
    ///
    /// With `direct_callbacks` the notify URLs are the service's own once [`World::set_service`] has named it; before
    /// that they are those of a relay that passes every byte on to it.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let (keys, center) = (&self.keys, self.sides.center.url());
        let [order, refund, transfer] = if self.direct_callbacks {
            let service = self
                .service
                .address()
                .map_or(center, |address| format!("http://{address}"));
            [DIRECT_ORDER_PATH, DIRECT_REFUND_PATH, DIRECT_TRANSFER_PATH].map(|path| format!("{service}{path}"))
        } else {
            [ORDER_PATH, REFUND_PATH, TRANSFER_PATH].map(|path| format!("{center}{path}"))
        };
        let mut settings = vec![
            (
                "signMode",
                if self.direct_callbacks { "sdk" } else { "gateway" }.to_owned(),
            ),
            ("appId", keys.mini_program_appid().to_owned()),
            ("service_app_id", keys.appid().to_owned()),
            ("merchantId", keys.mchid().to_owned()),
            ("merchantSerialNumber", keys.serial_no().to_owned()),
            ("apiV3Key", keys.api_v3_key().to_owned()),
            ("privateKey", keys.merchant_private_pem()),
            ("notifyURLPayURL", order),
            ("notifyURLRefundsURL", refund),
            ("transferNotifyUrl", transfer),
            ("wechatPayBaseUrl", self.sides.wechat.url()),
            ("integrationId", self.sides.center.integration_id().to_owned()),
        ];
        let mode = self.platform.mode();
        if mode != KeyMode::Certificates {
            settings.push(("wxPayPublicKey", keys.wechat_public_pem()));
            settings.push(("wxPayPublicKeyId", keys.public_key_id().to_owned()));
        }
        if mode != KeyMode::PublicKey {
            settings.push(("wxPayRootCertificate", keys.wechat_root_pem()));
        }
        settings
    }

    /// WeChat Pay and the buyer.
    pub const fn wechat(&self) -> &Wechat {
        &self.sides.wechat
    }

    /// The API gateway.
    pub const fn gateway(&self) -> &Gateway {
        &self.sides.gateway
    }

    /// The Integration Center.
    pub const fn center(&self) -> &Center {
        &self.sides.center
    }

    /// The merchant's business system. [`World::settings`] does not name it: who wants to be told adds [`Business::settings`].
    pub const fn business(&self) -> &Business {
        &self.sides.business
    }

    /// The Official Account. [`World::settings`] does not name it: who wants web authorization adds [`Offiaccount::settings`].
    pub const fn offiaccount(&self) -> &Offiaccount {
        &self.sides.offiaccount
    }

    /// The buyer's phone, and the merchant's shop. [`World::settings`] does not name them: who wants a cashier to pay at adds
    /// [`Phone::settings`] after [`Offiaccount::settings`].
    pub const fn phone(&self) -> &Phone {
        &self.sides.phone
    }

    /// The keys and names of the merchant.
    pub const fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// The clock that the parties share.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What went between the parties.
    pub const fn journal(&self) -> &Journal {
        &self.sides.journal
    }

    /// The control address.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

async fn open(port: u16) -> Result<Port, StartError> {
    Port::open(port)
        .await
        .map_err(|source| StartError::Listen { port, source })
}

/// A lock whose holder cannot have left anything half done: every change under it is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a JSON object one more member, or another value for one that it has.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod openapi;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing;
