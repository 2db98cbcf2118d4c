//! An order: what is asked of WeChat, what is held here, and the only moves it can make.

use serde::Serialize;

use super::ids::{AppId, Openid, OutTradeNo, TransactionId};
use super::money::Fen;

/// How an order is paid. The names in the store and on the wire are WeChat's `trade_type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OrderKind {
    /// An Official Account page or a Mini Program.
    Jsapi,
    /// A browser outside WeChat.
    H5,
    /// A QR code.
    Native,
    /// A mobile app.
    App,
}

impl OrderKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Jsapi, Self::H5, Self::Native, Self::App];

    /// WeChat's `trade_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jsapi => "JSAPI",
            Self::H5 => "MWEB",
            Self::Native => "NATIVE",
            Self::App => "APP",
        }
    }

    /// The kind of that `trade_type`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Milliseconds for which what an order is paid with is handed out again. A prepay id and a QR code live 2 hours, the address of
    /// an H5 payment 5 minutes (APIv3, "time limits"); the payer needs some of that.
    pub const fn reused_for_ms(self) -> i64 {
        match self {
            Self::Jsapi | Self::Native | Self::App => 110 * 60 * 1000,
            Self::H5 => 3 * 60 * 1000,
        }
    }
}

/// What a caller asks for: everything that WeChat will be told, checked.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// How it is paid.
    pub kind: OrderKind,
    /// The merchant's number.
    pub out_trade_no: OutTradeNo,
    /// The app that the payer uses.
    pub app_id: AppId,
    /// Shown to the payer; 1 to 127 characters.
    pub description: String,
    /// What is to be paid.
    pub total: Fen,
    /// Who pays; required for JSAPI, and said of no other kind.
    pub payer: Option<Openid>,
    /// The payer's address is the connection's, not the request's word: it may be another one when the order is asked for again.
    pub address_of_connection: bool,
    /// What WeChat takes besides.
    pub options: OrderOptions,
    /// Whom the order will belong to.
    pub owner: Owner,
}

/// The optional members of an order, as WeChat documents them (limits in characters).
#[derive(Clone, Debug, Default, Serialize)]
pub struct OrderOptions {
    /// Pay-until, RFC 3339 with offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_expire: Option<String>,
    /// Given back in queries, callbacks and bills; 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach: Option<String>,
    /// Coupon tag; 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goods_tag: Option<String>,
    /// Offers the e-invoice entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_fapiao: Option<bool>,
    /// The goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// Where and from which address is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scene_info: Option<SceneInfo>,
    /// How the merchant gets the money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle_info: Option<SettleInfo>,
}

/// The goods of an order.
#[derive(Clone, Debug, Serialize)]
pub struct Detail {
    /// The price before discounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_price: Option<Fen>,
    /// Number of the merchant's receipt; 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_id: Option<String>,
    /// One entry per kind of goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goods_detail: Option<Vec<Goods>>,
}

/// One kind of goods.
#[derive(Clone, Debug, Serialize)]
pub struct Goods {
    /// The merchant's number of it; 32.
    pub merchant_goods_id: String,
    /// WeChat's number of it; 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wechatpay_goods_id: Option<String>,
    /// Its name; 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goods_name: Option<String>,
    /// How many; at least 1.
    pub quantity: i64,
    /// The price of one.
    pub unit_price: Fen,
}

/// Where an order is paid.
#[derive(Clone, Debug, Serialize)]
pub struct SceneInfo {
    /// The payer's address as the public internet sees it; 45.
    pub payer_client_ip: String,
    /// A device of the merchant; 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// A shop of the merchant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_info: Option<StoreInfo>,
    /// Where an H5 payment starts; required for that kind, and said of no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h5_info: Option<H5Info>,
}

/// Where an H5 payment starts.
#[derive(Clone, Debug, Serialize)]
pub struct H5Info {
    /// `Wap`, `iOS` or `Android`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the app or the site; 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// Address of the site; 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_url: Option<String>,
    /// iOS bundle; 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// Android package; 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
}

/// A shop of the merchant.
#[derive(Clone, Debug, Serialize)]
pub struct StoreInfo {
    /// The merchant's number of it; 32.
    pub id: String,
    /// Its name; 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Code of its district; 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area_code: Option<String>,
    /// Its address; 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// How the merchant gets the money.
#[derive(Clone, Debug, Serialize)]
pub struct SettleInfo {
    /// Freezes the money for profit sharing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profit_sharing: Option<bool>,
}

/// Whom an order belongs to: whoever placed it. Either of the two suffices to be recognised again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Owner {
    /// `sub` of the token it was placed with.
    pub sub: Option<String>,
    /// The openid that the platform or the token vouched for; for an order placed by the merchant's server, its payer.
    pub openid: Option<Openid>,
}

/// An order as the store holds it.
#[derive(Clone, Debug)]
pub struct Order {
    /// How it is paid.
    pub kind: OrderKind,
    /// The merchant's number.
    pub out_trade_no: OutTradeNo,
    /// The app it was placed for.
    pub app_id: AppId,
    /// What is to be paid.
    pub total: Fen,
    /// Whom it belongs to.
    pub owner: Owner,
    /// The body that WeChat was, or is about to be, asked with. Empty for an order that was placed before this store existed.
    pub request: String,
    /// Where it stands.
    pub state: TradeState,
    /// What WeChat gave to pay with, and when (Unix milliseconds).
    pub prepay: Option<(String, i64)>,
    /// WeChat's number of the payment.
    pub transaction_id: Option<TransactionId>,
    /// What is refunded or held for refunds under way.
    pub held: Fen,
    /// When it was first asked for, Unix milliseconds.
    pub created_at: i64,
    /// When WeChat accepted it, Unix milliseconds.
    pub accepted_at: Option<i64>,
    /// Set when a close was asked for.
    pub close_asked_at: Option<i64>,
}

/// Where an order stands. WeChat's names where it has one; `CREATED` and `FAILED` are ours: not yet, and never, accepted by WeChat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TradeState {
    /// We are about to ask, or have asked and do not know the answer.
    Created,
    /// WeChat never accepted it.
    Failed,
    /// It can be paid.
    NotPay,
    /// It is paid.
    Success,
    /// It is paid, and at least one refund was accepted, whatever its amount or end.
    Refund,
    /// It can no longer be paid.
    Closed,
}

impl TradeState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::Failed,
        Self::NotPay,
        Self::Success,
        Self::Refund,
        Self::Closed,
    ];

    /// The name in the store and in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Failed => "FAILED",
            Self::NotPay => "NOTPAY",
            Self::Success => "SUCCESS",
            Self::Refund => "REFUND",
            Self::Closed => "CLOSED",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// The whole life of an order: what a fact that WeChat vouches for does to it.
    ///
    /// The guards of the UPDATEs in `store::orders` are this table again; a test walks every pair over both databases.
    pub const fn after(self, fact: Fact) -> Step {
        use {
            Fact as F,
            Step::{Contradiction, Known, To},
            TradeState as S,
        };
        match (self, fact) {
            (S::Created, F::Accepted) => To(S::NotPay),
            (S::Created, F::Rejected) => To(S::Failed),
            // Money that arrives is real, also after a close that it overtook and after a refusal that was not the last word.
            (S::Created | S::NotPay | S::Closed | S::Failed, F::Paid) => To(S::Success),
            (S::Created | S::NotPay, F::Closed) => To(S::Closed),
            (S::Success, F::Refunded) => To(S::Refund),
            (S::NotPay | S::Success | S::Refund | S::Closed, F::Accepted) => Known,
            (S::Success | S::Refund, F::Paid) | (S::Refund, F::Refunded) => Known,
            (S::Closed, F::Closed) | (S::Failed, F::Rejected) => Known,
            // Given up here, closed there: nobody can pay it either way.
            (S::Failed, F::Closed) => Known,
            (S::Created | S::NotPay | S::Closed | S::Failed, F::Refunded) => Contradiction,
            (S::NotPay | S::Success | S::Refund | S::Closed, F::Rejected) => Contradiction,
            (S::Success | S::Refund, F::Closed) => Contradiction,
            (S::Failed, F::Accepted) => Contradiction,
        }
    }
}

/// What can become known of an order, always by WeChat's proven word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fact {
    /// WeChat has the order and it can be paid.
    Accepted,
    /// WeChat does not have the order.
    Rejected,
    /// It was paid.
    Paid,
    /// It can no longer be paid.
    Closed,
    /// A refund of it was accepted.
    Refunded,
}

impl Fact {
    /// Every fact.
    pub const ALL: [Self; 5] = [Self::Accepted, Self::Rejected, Self::Paid, Self::Closed, Self::Refunded];
}

/// What a fact does to a state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// It moves there.
    To(TradeState),
    /// It was heard before; there is nothing to tell.
    Known,
    /// Genuine, and yet it cannot be: for a person.
    Contradiction,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_name() {
        for state in TradeState::ALL {
            assert_eq!(TradeState::parse(state.as_str()), Some(state));
        }
        assert_eq!(TradeState::parse("PAID"), None);
    }

    #[test]
    fn a_kind_keeps_its_name() {
        for kind in OrderKind::ALL {
            assert_eq!(OrderKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(OrderKind::parse("MICROPAY"), None);
    }

    #[test]
    fn what_an_order_is_paid_with_is_handed_out_while_it_lives() {
        let minutes = OrderKind::ALL.map(|kind| kind.reused_for_ms() / 60_000);
        assert_eq!(minutes, [110, 3, 110, 110]);
    }

    #[test]
    fn no_fact_leads_back() {
        // The rank of a state: a move always goes to a higher one.
        let rank = |state| match state {
            TradeState::Created => 0,
            TradeState::Failed | TradeState::NotPay => 1,
            TradeState::Closed => 2,
            TradeState::Success => 3,
            TradeState::Refund => 4,
        };
        for state in TradeState::ALL {
            for fact in Fact::ALL {
                if let Step::To(next) = state.after(fact) {
                    assert!(rank(next) > rank(state), "{state:?} after {fact:?} is {next:?}");
                }
            }
        }
    }

    #[test]
    fn a_payment_is_never_a_contradiction() {
        for state in TradeState::ALL {
            assert_ne!(state.after(Fact::Paid), Step::Contradiction, "{state:?}");
        }
    }

    #[test]
    fn a_fact_heard_twice_moves_once() {
        for state in TradeState::ALL {
            for fact in Fact::ALL {
                if let Step::To(next) = state.after(fact) {
                    assert_eq!(next.after(fact), Step::Known, "{state:?} after {fact:?} twice");
                }
            }
        }
    }
}
