//! The known files, plain and packed, whole and damaged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::wechat::bills::error::{Malformed, Problem};
use crate::wechat::bills::fund_flow::FundFlowRow;
use crate::wechat::bills::trade::TradeRow;
use crate::wechat::tests_support::vectors;

struct Known {
    text: Vec<u8>,
    gzip: Vec<u8>,
    hash: String,
}

fn known(name: &str) -> Known {
    let all = vectors("bills_composed.json");
    let mut cases = all["cases"].as_array().unwrap().iter();
    let case: &Value = cases.find(|case| case["name"] == *name).unwrap();
    let part = |member: &str| case[member].as_str().unwrap().to_owned();
    Known {
        text: part("csv").into_bytes(),
        gzip: STANDARD.decode(part("gzip_base64")).unwrap(),
        hash: part("sha1_of_decompressed_utf8"),
    }
}

fn read<R: Record>(file: &[u8], slice: usize, signed: &str) -> (Vec<R>, Result<Whole, BillError>) {
    let (mut reader, mut rows) = (Reader::new(), Vec::new());
    for slice in file.chunks(slice) {
        if let Err(error) = reader.read(slice, &mut rows) {
            return (rows, Err(error));
        }
    }
    let whole = reader.finish(signed, &mut rows);
    (rows, whole)
}

#[test]
fn the_known_files_have_the_known_hash_plain_and_packed_in_any_pieces() {
    for name in ["trade_ALL", "trade_SUCCESS", "trade_REFUND"] {
        let Known { text, gzip, hash } = known(name);
        for file in [&text, &gzip] {
            for slice in [1, 2, 5, 100, SLICE] {
                let (rows, whole) = read::<TradeRow>(file, slice, &hash);
                let whole = whole.unwrap();
                assert_eq!(whole.hashed, Hashed::Text);
                assert_eq!(whole.rows, u64::try_from(rows.len()).unwrap());
                assert!(whole.rows > 0);
            }
        }
    }
    let Known { gzip, hash, .. } = known("fundflow_BASIC");
    assert_eq!(read::<FundFlowRow>(&gzip, SLICE, &hash).1.unwrap().rows, 2);
}

#[test]
fn a_hash_over_the_gzip_file_is_taken_too_and_told_apart() {
    let Known { gzip, .. } = known("trade_ALL");
    let mut over_file = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    over_file.update(&gzip);
    let (_, whole) = read::<TradeRow>(&gzip, SLICE, &hex(over_file));
    assert_eq!(whole.unwrap().hashed, Hashed::File);
}

#[test]
fn another_hash_is_never_whole() {
    let Known { text, gzip, hash } = known("trade_ALL");
    for file in [&text, &gzip] {
        let (_, whole) = read::<TradeRow>(file, SLICE, &"0".repeat(40));
        let Err(BillError::Hash { found, .. }) = whole else {
            panic!("{whole:?}")
        };
        assert_eq!(found, hash);
    }
    let text = String::from_utf8(text).unwrap().replace("`12345.67", "`12345.68");
    let (_, whole) = read::<TradeRow>(text.as_bytes(), SLICE, &hash);
    assert!(matches!(whole, Err(BillError::Hash { .. })), "{whole:?}");
}

#[test]
fn a_file_that_ends_too_soon_is_never_whole() {
    let Known { text, gzip, hash } = known("trade_ALL");
    for end in 0..text.len() {
        assert!(
            read::<TradeRow>(&text[..end], SLICE, &hash).1.is_err(),
            "{end} bytes of text"
        );
    }
    for end in 0..gzip.len() {
        assert!(
            read::<TradeRow>(&gzip[..end], SLICE, &hash).1.is_err(),
            "{end} bytes of gzip"
        );
    }
}

#[test]
fn a_damaged_gzip_file_is_never_whole() {
    let Known { gzip, hash, .. } = known("trade_ALL");
    // Behind the ten bytes of its head, which say when and where it was made.
    for at in 10..gzip.len() {
        let mut damaged = gzip.clone();
        damaged[at] ^= 1;
        assert!(read::<TradeRow>(&damaged, SLICE, &hash).1.is_err(), "byte {at}");
    }
    let more = [gzip.as_slice(), b"more"].concat();
    assert!(matches!(
        read::<TradeRow>(&more, SLICE, &hash).1,
        Err(BillError::Packing(_))
    ));
}

#[test]
fn a_gzip_file_of_two_members_is_one_text() {
    let Known { text, hash, .. } = known("trade_ALL");
    let (one, other) = text.split_at(text.len() / 2);
    let pack = |text: &[u8]| {
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        file.write_all(text).unwrap();
        file.finish().unwrap()
    };
    let file = [pack(one), pack(other)].concat();
    for slice in [1, 50, SLICE] {
        assert_eq!(read::<TradeRow>(&file, slice, &hash).1.unwrap().rows, 3);
    }
}

#[test]
fn what_a_slice_can_unpack_to_is_bounded() {
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let line = [&b"x".repeat(60_000)[..], b"\n"].concat();
    for _ in 0..1000 {
        file.write_all(&line).unwrap();
    }
    let file = file.finish().unwrap();
    let mut gzip = MultiGzDecoder::new(Vec::new());
    for slice in Reader::<TradeRow>::slices(&file) {
        gzip.write_all(slice).unwrap();
        let unpacked = std::mem::take(gzip.get_mut()).len();
        assert!(unpacked <= SLICE * 1100, "{unpacked} bytes of one slice");
    }
}

#[test]
fn an_empty_file_is_no_bill() {
    let nothing = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let (_, whole) = read::<TradeRow>(b"", 1, nothing);
    let malformed = Malformed {
        line: 1,
        column: "byte 1".to_owned(),
        problem: Problem::NoHeader,
    };
    assert!(matches!(whole, Err(BillError::Malformed(found)) if found == malformed));
}
