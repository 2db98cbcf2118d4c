//! The files of bills.

use std::fmt::Debug;
use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use crate::wechat::bills::parse::{Counted, Parser, Record};
use crate::wechat::bills::reader::{Reader, Whole};
use crate::wechat::bills::{BillError, FundFlowRow, Malformed, TradeRow};

/// Where a bill is cut into pieces makes no difference, nor whether it is packed, and what is not whole is not taken for it.
///
/// # Panics
/// When that does not hold.
pub fn bill(bytes: &[u8]) -> bool {
    let trade = is_read::<TradeRow>(bytes);
    let flow = is_read::<FundFlowRow>(bytes);
    assert!(!(trade && flow), "no text is both kinds of bill");
    trade || flow
}

fn is_read<R: Record + Debug + PartialEq>(bytes: &[u8]) -> bool {
    let whole = parsed::<R>(bytes, bytes.len().max(1));
    for size in [1, 3, 61] {
        assert_eq!(parsed::<R>(bytes, size), whole, "in pieces of {size} bytes");
    }
    // Perhaps it is a gzip file itself; whatever it is, another hash is not its own.
    let (_, found) = unpacked::<R>(bytes, &"0".repeat(40));
    assert!(found.is_err(), "a hash that nothing has");
    let packed = gzip(bytes);
    let (_, found) = unpacked::<R>(&packed, &"0".repeat(40));
    let hash = match found {
        Err(BillError::Hash { found, .. }) => found,
        Err(BillError::Malformed(found)) => {
            assert_eq!(whole.1.as_ref(), Err(&found), "packed and plain");
            return false;
        }
        other => unreachable!("{other:?}"),
    };
    let (rows, found) = unpacked::<R>(&packed, &hash);
    match (found, &whole.1) {
        (Ok(found), Ok(counted)) => {
            assert_eq!((&rows, found.rows), (&whole.0, counted.rows));
            assert!(counted.differences.is_empty(), "a summary that differs is not whole");
            true
        }
        (Err(BillError::Summary(found)), Ok(counted)) => {
            assert_eq!(found, counted.differences);
            false
        }
        (Err(BillError::Malformed(found)), Err(malformed)) => {
            assert_eq!(found, *malformed);
            false
        }
        (found, other) => unreachable!("packed {found:?}, plain {other:?}"),
    }
}

fn parsed<R: Record>(bytes: &[u8], size: usize) -> (Vec<R>, Result<Counted, Malformed>) {
    let (mut parser, mut rows) = (Parser::new(), Vec::new());
    for piece in bytes.chunks(size) {
        if let Err(malformed) = parser.feed(piece, &mut rows) {
            return (rows, Err(malformed));
        }
    }
    (rows, parser.finish())
}

fn unpacked<R: Record>(file: &[u8], signed: &str) -> (Vec<R>, Result<Whole, BillError>) {
    let (mut reader, mut rows) = (Reader::new(), Vec::new());
    for slice in Reader::<R>::slices(file) {
        if let Err(error) = reader.read(slice, &mut rows) {
            return (rows, Err(error));
        }
    }
    let whole = reader.finish(signed, &mut rows);
    (rows, whole)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    let written = file.write_all(bytes).and_then(|()| file.finish());
    written.expect("a Vec takes every write")
}
