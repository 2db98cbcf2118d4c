//! What breaks, and when: every action meets every fault, and afterwards the books are right.

use crate::case::Case;

mod actions;
mod checker;
mod clock;
mod database;
mod load;
mod network;
mod oddities;
mod wechat;

/// Every fault.
pub fn cases() -> Vec<Case> {
    [
        checker::cases(),
        wechat::cases(),
        network::cases(),
        database::cases(),
        clock::cases(),
        load::cases(),
        oddities::cases(),
    ]
    .concat()
}
