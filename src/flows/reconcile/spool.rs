//! Entries on the disk, cut by their number into parts: what has one number on two sides is in the same part of both, so that two parts
//! at a time are enough to compare, however long the bill is.
//!
//! Neither a table of the store nor an order of reading: the store's own work is not slowed down by a bill, the two databases sort texts
//! differently, and a part is compared in one pass. The files have no name, so that nothing is left of a process that dies.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write};

use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use crate::domain::reconciliation::{Entry, Subject};

/// So many parts that one of a bill of five million lines takes some 30 MB.
const PARTS: usize = 64;

/// What is written at once to one part.
const BUFFER: usize = 16 * 1024;

/// By what a number's part is found; the same for both sides.
#[derive(Clone, Default)]
pub(super) struct Cut(RandomState);

impl Cut {
    fn part(&self, number: &str) -> usize {
        let parts = u64::try_from(PARTS).unwrap_or(1);
        usize::try_from(self.0.hash_one(number) % parts).unwrap_or(0)
    }
}

/// How many and how much, in fen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// How much, in fen.
    pub fen: i64,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.count = self.count.saturating_add(1);
        self.fen = self.fen.saturating_add(entry.amount.unwrap_or(0));
    }
}

/// The sums of one side.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Sums {
    /// Payments.
    pub payments: Sum,
    /// Refunds, also those that paid nothing back.
    pub refunds: Sum,
    /// Transfers.
    pub transfers: Sum,
}

impl Sums {
    fn add(&mut self, entry: &Entry) {
        let sum = match entry.subject {
            Subject::Payment => &mut self.payments,
            Subject::Refund => &mut self.refunds,
            Subject::Transfer => &mut self.transfers,
        };
        sum.add(entry);
    }

    /// How many there are of any kind.
    pub(super) const fn count(&self) -> u64 {
        let Self {
            payments,
            refunds,
            transfers,
        } = self;
        payments
            .count
            .saturating_add(refunds.count)
            .saturating_add(transfers.count)
    }
}

/// An entry and whether it is of an app of this service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slip {
    pub(super) entry: Entry,
    pub(super) ours: bool,
}

/// One side, on the disk.
pub(super) struct Spool {
    parts: Vec<File>,
    /// Of ours.
    pub(super) sums: Sums,
}

impl Spool {
    /// A side without anything.
    pub(super) fn empty() -> io::Result<Self> {
        Ok(Self {
            parts: parts()?,
            sums: Sums::default(),
        })
    }

    /// Writes what comes of the rows, until their sender goes; a second file of the same side goes on where the first ended.
    pub(super) fn fill<R: Send + 'static>(
        mut self,
        cut: Cut,
        mut rows: Receiver<R>,
        mut entry_of: impl FnMut(R) -> Option<Slip> + Send + 'static,
    ) -> JoinHandle<io::Result<Self>> {
        tokio::task::spawn_blocking(move || {
            let mut writers = Vec::with_capacity(PARTS);
            for mut part in self.parts {
                part.seek(io::SeekFrom::End(0))?;
                writers.push(BufWriter::with_capacity(BUFFER, part));
            }
            while let Some(row) = rows.blocking_recv() {
                let Some(slip) = entry_of(row) else { continue };
                if slip.ours {
                    self.sums.add(&slip.entry);
                }
                if let Some(writer) = writers.get_mut(cut.part(&slip.entry.number)) {
                    write(writer, &slip)?;
                }
            }
            let files = writers.into_iter().map(BufWriter::into_inner);
            let files: Result<Vec<File>, _> = files.collect();
            self.parts = files.map_err(io::IntoInnerError::into_error)?;
            Ok(self)
        })
    }

    /// How many parts there are.
    pub(super) const fn parts() -> usize {
        PARTS
    }

    /// What is in a part, in the order in which it came.
    pub(super) fn part(&self, number: usize) -> io::Result<impl Iterator<Item = io::Result<Slip>>> {
        let mut file = self.parts.get(number).ok_or(io::ErrorKind::NotFound)?;
        file.rewind()?;
        Ok(BufReader::new(file).lines().map(|line| read(&line?)))
    }
}

fn parts() -> io::Result<Vec<File>> {
    (0..PARTS).map(|_| tempfile::tempfile()).collect()
}

/// As a list without names: half as long, a line each.
fn write(to: &mut impl Write, slip: &Slip) -> io::Result<()> {
    let Entry {
        subject,
        number,
        of,
        id,
        app_id,
        amount,
        currency,
        state,
        at_ms,
    } = &slip.entry;
    let packed = (
        subject, number, of, id, app_id, amount, currency, state, at_ms, slip.ours,
    );
    serde_json::to_writer(&mut *to, &packed)?;
    to.write_all(b"\n")
}

fn read(line: &str) -> io::Result<Slip> {
    let (subject, number, of, id, app_id, amount, currency, state, at_ms, ours) = serde_json::from_str(line)?;
    let entry = Entry {
        subject,
        number,
        of,
        id,
        app_id,
        amount,
        currency,
        state,
        at_ms,
    };
    Ok(Slip { entry, ours })
}
