//! Who buys what, who pays, and what goes back: all of it out of the seed.

use crate::domain::order::OrderKind;
use crate::sandbox::Dice;

/// What the buyer of an order does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Buyer {
    /// Pays.
    Pays,
    /// Closes the pay sheet and does not come back.
    Cancels,
    /// Never sees it.
    Leaves,
    /// Is too late: the merchant closes the order.
    IsRefused,
}

/// How a refund ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The money arrives.
    Success,
    /// Nothing is paid back.
    Closed,
    /// It gets stuck, and the money arrives later.
    AbnormalFirst,
}

/// A part of an order that goes back.
#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) number: String,
    /// In fen.
    pub(super) amount: u64,
    pub(super) end: End,
}

/// One order of the scene.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: String,
    pub(super) kind: OrderKind,
    /// In fen.
    pub(super) total: u64,
    pub(super) buyer: Buyer,
    pub(super) refunds: Vec<Refund>,
    /// Decides whose turn it is when the buyers act.
    turn: u64,
}

/// The whole scene.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) orders: Vec<Order>,
}

impl Plan {
    /// So many orders; `run` makes their numbers differ from those of another run over the same store.
    pub(super) fn new(seed: u64, orders: usize, run: &str) -> Self {
        let orders = (0..orders).map(|place| Order::new(seed, place, run)).collect();
        Self { orders }
    }

    /// The orders as their buyers act: in another order than they were placed in.
    pub(super) fn by_turn(&self) -> Vec<&Order> {
        let mut orders: Vec<&Order> = self.orders.iter().collect();
        orders.sort_by_key(|order| order.turn);
        orders
    }
}

impl Order {
    fn new(seed: u64, place: usize, run: &str) -> Self {
        let mut dice = Dice::new(seed, &format!("order {place}"));
        let kind = match dice.below(4) {
            0 => OrderKind::H5,
            1 => OrderKind::Native,
            2 => OrderKind::App,
            _ => OrderKind::Jsapi,
        };
        let total = dice.between(10, 10_000);
        let buyer = match dice.below(10) {
            0..=6 => Buyer::Pays,
            7 => Buyer::Cancels,
            8 => Buyer::Leaves,
            _ => Buyer::IsRefused,
        };
        let parts = if buyer == Buyer::Pays { dice.below(4) } else { 0 };
        let refunds = (1..=parts).map(|part| Refund {
            number: format!("BACK_{place}_{part}{run}"),
            amount: total / 3,
            end: match dice.below(10) {
                0..=6 => End::Success,
                7..=8 => End::Closed,
                _ => End::AbnormalFirst,
            },
        });
        let refunds = refunds.collect();
        Self {
            number: format!("ORDER_{place}{run}"),
            kind,
            total,
            buyer,
            refunds,
            turn: dice.below(u64::MAX),
        }
    }
}
