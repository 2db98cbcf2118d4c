//! What went between the parties, in the order in which it was sent.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::Serialize;

use super::{clock::Clock, lock};

/// One of those who talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The page in the buyer's hand.
    Page,
    /// The buyer at the pay sheet.
    Buyer,
    /// The API gateway of `CloudBase`.
    Gateway,
    /// The service under test.
    Service,
    /// WeChat Pay.
    Wechat,
    /// The Integration Center of `CloudBase`.
    Center,
    /// The merchant's business system, which is told of events.
    Business,
    /// Somebody who pretends to be the Integration Center.
    Forger,
}

/// One message and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The place in the order, from 0.
    pub number: usize,
    /// When it was sent.
    #[serde(serialize_with = "super::clock::in_china")]
    pub at: Timestamp,
    /// Who sent it.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// Method and path, or what happened.
    pub what: String,
    /// The status of the answer; nothing while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What else is worth knowing, for example the error code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What proves the message and its answer; only in a world that explains itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
}

/// What makes a message worth believing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Whose, and by which method.
    pub by: String,
    /// The text that is signed, or what stands in its place. Never a signature, token or key.
    pub text: String,
}

/// Characters of a signed text that are kept.
const MOST_SHOWN: usize = 4000;

/// The timeline that all the parties write. It never holds a token or a key.
#[derive(Debug, Clone)]
pub struct Journal {
    clock: Clock,
    explains: bool,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Journal {
    pub(crate) fn new(clock: Clock, explains: bool) -> Self {
        Self {
            clock,
            explains,
            entries: Arc::default(),
        }
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.entries).clone()
    }

    /// Writes down that something was sent; the answer follows by [`Journal::answered`].
    pub(crate) fn sent(&self, from: Party, to: Party, what: impl Into<String>) -> usize {
        let mut entries = lock(&self.entries);
        let number = entries.len();
        entries.push(Entry {
            number,
            at: self.clock.now(),
            from,
            to,
            what: what.into(),
            status: None,
            note: String::new(),
            proofs: Vec::new(),
        });
        number
    }

    /// Writes down what proves the message or its answer.
    pub(crate) fn proven(&self, number: usize, by: &str, text: &[u8]) {
        if !self.explains {
            return;
        }
        let text = String::from_utf8_lossy(text).chars().take(MOST_SHOWN).collect();
        let by = by.to_owned();
        if let Some(entry) = lock(&self.entries).get_mut(number) {
            entry.proofs.push(Proof { by, text });
        }
    }

    /// The entries from that number on.
    pub(crate) fn since(&self, number: usize) -> Vec<Entry> {
        lock(&self.entries)
            .get(number..)
            .map(<[Entry]>::to_vec)
            .unwrap_or_default()
    }

    pub(crate) fn answered(&self, number: usize, status: Option<u16>, note: impl Into<String>) {
        if let Some(entry) = lock(&self.entries).get_mut(number) {
            entry.status = status;
            entry.note = note.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_written_when_sent_and_completed_when_answered() {
        let journal = Journal::new(Clock::default(), true);
        let first = journal.sent(Party::Service, Party::Wechat, "POST /v3/pay/transactions/jsapi");
        let second = journal.sent(Party::Buyer, Party::Wechat, "pays ORDER_1");
        journal.answered(first, Some(200), "");
        assert_eq!((first, second), (0, 1));
        assert_eq!(journal.entries()[0].status, Some(200));
        assert_eq!(journal.entries()[1].status, None);
        journal.proven(first, "merchant", b"GET\n/\n");
        assert_eq!(journal.since(0)[0].proofs.len(), 1);
        assert_eq!(journal.since(2).len(), 0);
    }
}
