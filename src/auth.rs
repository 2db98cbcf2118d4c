//! Who somebody is: whether a signed text is genuine (the tokens of logins, order tickets, operator keys, what browsers keep), and whose code WeChat gave
//! out. Asks the platform for its keys and WeChat for openids; knows no request and no order.

pub(crate) mod authorizer;
pub(crate) mod browsers;
pub(crate) mod jwks;
pub(crate) mod jws;
pub(crate) mod keyring;
pub(crate) mod operators;
pub(crate) mod session;
pub(crate) mod token;
