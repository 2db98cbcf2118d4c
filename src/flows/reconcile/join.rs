//! Two sides against each other, part by part. What does not fit at first sight is looked at again in the books as they are then: they go
//! on while they are read.

use std::collections::HashMap;
use std::io;

use tokio::sync::mpsc::Sender;

use super::spool::{Slip, Spool};
use crate::domain::reconciliation::{Entry, Span, Subject, judge};

/// What did not fit at first sight.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Suspect {
    pub(super) here: Option<Entry>,
    pub(super) there: Option<Entry>,
    /// The bill had a line of that number before.
    pub(super) again: bool,
}

/// Sends every suspect; blocks. Ends early when nobody takes them any more.
pub(super) fn join(day: Span, books: &Spool, lines: &Spool, suspects: &Sender<Suspect>) -> io::Result<()> {
    for number in 0..Spool::parts() {
        let found = part(day, books.part(number)?, lines.part(number)?, |suspect| {
            suspects.blocking_send(suspect).is_ok()
        })?;
        if !found {
            break;
        }
    }
    Ok(())
}

/// Compares one part; `false` when the suspects were not wanted to the end.
fn part(
    day: Span,
    books: impl Iterator<Item = io::Result<Slip>>,
    lines: impl Iterator<Item = io::Result<Slip>>,
    mut suspect: impl FnMut(Suspect) -> bool,
) -> io::Result<bool> {
    let mut held: HashMap<(Subject, String), (Entry, bool)> = HashMap::new();
    for slip in books {
        let entry = slip?.entry;
        held.insert((entry.subject, entry.number.clone()), (entry, false));
    }
    for slip in lines {
        let Slip { entry, ours } = slip?;
        let known = held.get_mut(&(entry.subject, entry.number.clone()));
        let (here, again) = match known {
            // Another system's, and this service has no part in it.
            None if !ours => continue,
            None => (None, false),
            Some((here, seen)) => {
                let again = std::mem::replace(seen, true);
                if !again && judge(day, Some(here), Some(&entry)).is_none() {
                    continue;
                }
                (Some(here.clone()), again)
            }
        };
        let there = Some(entry);
        if !suspect(Suspect { here, there, again }) {
            return Ok(false);
        }
    }
    for (here, seen) in held.into_values() {
        let alone = Suspect {
            here: Some(here),
            there: None,
            again: false,
        };
        if !seen && !suspect(alone) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
