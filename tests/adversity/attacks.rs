//! What somebody tries who wants something that is not his. A module for each thing he may want.

use crate::case::Case;

mod bodies;
mod chosen;
mod exhaustion;
mod forged;
mod genuine;
mod impostors;
mod logins;
mod members;
mod paths;
mod payouts;
mod refunds;
mod replays;
mod signatures;
mod standing;
mod strangers;
mod tickets;
mod unkeepable;

/// Every attack.
pub fn cases() -> Vec<Case> {
    [
        forged::cases(),
        genuine::cases(),
        unkeepable::cases(),
        replays::cases(),
        signatures::cases(),
        logins::cases(),
        impostors::cases(),
        strangers::cases(),
        chosen::cases(),
        tickets::cases(),
        refunds::cases(),
        payouts::cases(),
        paths::cases(),
        bodies::cases(),
        members::cases(),
        exhaustion::cases(),
    ]
    .concat()
}
