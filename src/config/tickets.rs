//! Order tickets: with which secrets the merchant's backend signs them, and whether an order needs one.

use secrecy::{ExposeSecret as _, SecretString};

use super::read::Reader;

/// HMAC-SHA-256 is as strong as its output is long; a shorter secret is weaker than that (RFC 7518, 3.2).
const FEWEST_BYTES: usize = 32;

/// What is taken as an order ticket.
#[derive(Debug)]
pub struct OrderTickets {
    /// Any of them may have signed; several only while one is replaced by another. Empty: no ticket is taken.
    secrets: Vec<SecretString>,
    /// Whether nobody but an operator may order without a ticket.
    pub required: bool,
}

impl OrderTickets {
    /// The secrets, for the one place that verifies tickets.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        self.secrets.iter().map(|secret| secret.expose_secret().as_bytes())
    }

    #[cfg(test)]
    pub(crate) fn of(secrets: &[&str]) -> Self {
        Self {
            secrets: secrets.iter().map(|secret| SecretString::from(*secret)).collect(),
            required: false,
        }
    }

    /// Whether tickets are taken and none is needed: a page that leaves it out then still chooses what it pays.
    pub(super) fn are_optional(&self) -> bool {
        !self.required && !self.secrets.is_empty()
    }
}

pub(super) fn order_tickets(r: &mut Reader<'_>) -> Option<OrderTickets> {
    let required = r.truth("requireOrderTicket");
    let listed: Vec<&str> = r
        .text("orderTicketSecret")
        .map(|value| value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect())
        .unwrap_or_default();
    if listed.iter().any(|secret| secret.len() < FEWEST_BYTES) {
        r.problem(
            "orderTicketSecret",
            "must be at least 32 bytes, each of them where several are separated by commas: openssl rand -hex 32",
            "至少 32 字节；以逗号分隔多个时每个都须如此：openssl rand -hex 32",
        );
    }
    if required == Some(true) && listed.is_empty() {
        r.problem(
            "orderTicketSecret",
            "is required when requireOrderTicket is true: without it no ticket is genuine and nobody could order",
            "requireOrderTicket 为 true 时必须设置，否则没有票据能通过验证，无人可以下单",
        );
    }
    Some(OrderTickets {
        secrets: listed.into_iter().map(SecretString::from).collect(),
        required: required?,
    })
}
