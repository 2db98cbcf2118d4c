//! How a simulated world is made.

use std::sync::Arc;
use std::time::Duration;

use super::{KeyMode, Keys, TransferStart};

/// The ports of the parties; 0 is any free one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    /// WeChat Pay.
    pub wechat: u16,
    /// The API gateway.
    pub gateway: u16,
    /// The Integration Center.
    pub center: u16,
    /// The control address.
    pub control: u16,
    /// The merchant's business system.
    pub business: u16,
    /// The Official Account.
    pub offiaccount: u16,
    /// The buyer's phone.
    pub phone: u16,
}

/// How a world is made. The default is a world in which everything works, on free ports, with callbacks that are
/// repeated after milliseconds.
#[derive(Debug, Clone)]
pub struct Options {
    /// Fixed ports, for a person who wants to type them.
    pub ports: Ports,
    /// Whether WeChat's callbacks go to the service itself instead of the Integration Center.
    pub direct_callbacks: bool,
    /// The id that forwards carry.
    pub integration_id: String,
    /// The environment id in tokens.
    pub env_id: String,
    /// The name of the function behind the gateway.
    pub function: String,
    /// One unit of [`RETRY_SCHEDULE`](super::RETRY_SCHEDULE); a second is WeChat's own pace.
    pub retry_unit: Duration,
    /// How long WeChat waits for the answer to a callback.
    pub callback_time_out: Duration,
    /// After which time a refund succeeds by itself; `None` is not before [`Wechat::finish_refund`](super::Wechat::finish_refund).
    pub refund_after: Option<Duration>,
    /// How far apart two refunds of one order must be; a minute is WeChat's own rule.
    pub refund_gap: Duration,
    /// What the merchant has for refunds; `None` is always enough.
    pub balance: Option<i64>,
    /// What the merchant has for transfers, on an account of its own; `None` is always enough.
    pub transfer_balance: Option<i64>,
    /// In which state a new transfer is.
    pub transfer_start: TransferStart,
    /// After which time a transfer that was taken back ends by itself; `None` is not before
    /// [`Wechat::end_transfer`](super::Wechat::end_transfer).
    pub cancel_after: Option<Duration>,
    /// Whether bills begin with a byte order mark.
    pub bill_bom: bool,
    /// The seed of a weather in which callbacks are lost, late, repeated and overtaken; `None` is as told by
    /// [`Wechat`](super::Wechat). With a seed, attempts follow [`RETRY_SCHEDULE`](super::RETRY_SCHEDULE) in seconds of the simulated world.
    pub chaos: Option<u64>,
    /// Whether the journal keeps what proves each message: for people, since it costs memory.
    pub explains: bool,
    /// How the merchant verifies WeChat.
    pub key_mode: KeyMode,
    /// Other keys than the shared ones of this process.
    pub keys: Option<Arc<Keys>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ports: Ports::default(),
            direct_callbacks: false,
            integration_id: "wxpay-sandbox".to_owned(),
            env_id: "sandbox-env".to_owned(),
            function: "pay-common".to_owned(),
            // The first wait of 15 units is then 20 ms.
            retry_unit: Duration::from_micros(1333),
            callback_time_out: Duration::from_secs(5),
            refund_after: Some(Duration::from_millis(50)),
            refund_gap: Duration::ZERO,
            balance: None,
            transfer_balance: None,
            transfer_start: TransferStart::default(),
            cancel_after: Some(Duration::from_millis(50)),
            bill_bom: true,
            chaos: None,
            explains: false,
            key_mode: KeyMode::default(),
            keys: None,
        }
    }
}
