//! What somebody tries who wants something that is not his. A module for each thing he may want.

use crate::case::Case;

mod bodies;
mod chosen;
mod forged;
mod genuine;
mod logins;
mod paths;
mod payouts;
mod refunds;
mod replays;
mod signatures;
mod standing;
mod strangers;
mod tickets;

/// Every attack.
pub fn cases() -> Vec<Case> {
    [
        forged::cases(),
        genuine::cases(),
        replays::cases(),
        signatures::cases(),
        logins::cases(),
        strangers::cases(),
        chosen::cases(),
        tickets::cases(),
        refunds::cases(),
        payouts::cases(),
        paths::cases(),
        bodies::cases(),
    ]
    .concat()
}
