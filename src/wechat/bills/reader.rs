//! The bytes of a bill's file: unpacked, hashed and read in one pass, a slice at a time.

use std::io::Write as _;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use flate2::write::MultiGzDecoder;

use super::error::BillError;
use super::parse::{Counted, Parser, Record};

/// How a gzip file begins, and no text does.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// So much is unpacked before its rows are handed on. Deflate makes at most a thousand bytes of one, so that this bounds the memory that
/// any file can take.
const SLICE: usize = 4096;

/// Over which bytes WeChat's hash was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hashed {
    /// The text, as WeChat's examples have it.
    Text,
    /// The gzip file. The documentation does not say that it is the text.
    File,
}

/// A bill that was read to its end, has the hash that WeChat has signed, and agrees with its own summary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Whole {
    /// How many rows there were.
    pub rows: u64,
    /// What the hash was over.
    pub hashed: Hashed,
}

/// Reads a file.
pub(crate) struct Reader<R: Record> {
    unpacker: Unpacker,
    file: Context,
    text: Context,
    parser: Parser<R>,
}

enum Unpacker {
    /// Not yet two bytes.
    Unknown(Vec<u8>),
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl<R: Record> Reader<R> {
    pub(crate) fn new() -> Self {
        Self {
            unpacker: Unpacker::Unknown(Vec::new()),
            file: Context::new(&SHA1_FOR_LEGACY_USE_ONLY),
            text: Context::new(&SHA1_FOR_LEGACY_USE_ONLY),
            parser: Parser::new(),
        }
    }

    /// The pieces in which a chunk is to be [read](Self::read).
    pub(crate) fn slices(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
        chunk.chunks(SLICE)
    }

    /// Reads on, and appends the rows that have ended to `rows`.
    pub(crate) fn read(&mut self, slice: &[u8], rows: &mut Vec<R>) -> Result<(), BillError> {
        self.file.update(slice);
        if let Unpacker::Unknown(start) = &mut self.unpacker {
            start.extend_from_slice(slice);
            if start.len() < GZIP.len() {
                return Ok(());
            }
            let start = std::mem::take(start);
            self.unpacker = if start.starts_with(&GZIP) {
                Unpacker::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
            } else {
                Unpacker::Plain
            };
            return self.unpack(&start, rows);
        }
        self.unpack(slice, rows)
    }

    fn unpack(&mut self, slice: &[u8], rows: &mut Vec<R>) -> Result<(), BillError> {
        let Unpacker::Gzip(gzip) = &mut self.unpacker else {
            return self.understand(slice, rows);
        };
        gzip.write_all(slice).map_err(|error| damaged(&error))?;
        let text = std::mem::take(gzip.get_mut());
        self.understand(&text, rows)
    }

    fn understand(&mut self, text: &[u8], rows: &mut Vec<R>) -> Result<(), BillError> {
        self.text.update(text);
        Ok(self.parser.feed(text, rows)?)
    }

    /// The file has ended; gives what it is if it is what WeChat has signed: SHA-1 in lower-case hexadecimal digits.
    pub(crate) fn finish(mut self, signed: &str, rows: &mut Vec<R>) -> Result<Whole, BillError> {
        match &mut self.unpacker {
            Unpacker::Unknown(start) => {
                let start = std::mem::take(start);
                self.understand(&start, rows)?;
            }
            Unpacker::Plain => {}
            Unpacker::Gzip(gzip) => {
                gzip.try_finish().map_err(|error| damaged(&error))?;
                let text = std::mem::take(gzip.get_mut());
                self.understand(&text, rows)?;
            }
        }
        let (text, file) = (hex(self.text), hex(self.file));
        // First the hash: what is wrong with another file's content is of no interest.
        let hashed = if text == signed {
            Hashed::Text
        } else if file == signed {
            Hashed::File
        } else {
            return Err(BillError::Hash {
                signed: signed.to_owned(),
                found: text,
            });
        };
        let Counted { rows, differences } = self.parser.finish()?;
        if differences.is_empty() {
            Ok(Whole { rows, hashed })
        } else {
            Err(BillError::Summary(differences))
        }
    }
}

fn damaged(error: &std::io::Error) -> BillError {
    BillError::Packing(error.to_string())
}

fn hex(digest: Context) -> String {
    let digest = digest.finish();
    let digits: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests;
