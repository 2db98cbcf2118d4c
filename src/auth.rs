//! Whether a signed text is genuine: the tokens of logins, and order tickets. Asks the platform for its keys; knows no request and no order.

pub(crate) mod jwks;
pub(crate) mod jws;
pub(crate) mod keyring;
pub(crate) mod token;
