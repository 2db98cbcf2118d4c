//! What somebody tries who wants something that is not his. A module for each thing he may want.

use crate::case::Case;

mod exhaustion;
mod forged;

/// Every attack.
pub fn cases() -> Vec<Case> {
    [exhaustion::cases(), forged::cases()].concat()
}
