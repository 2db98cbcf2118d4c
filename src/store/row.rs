//! Reads columns, and turns what this version did not write into an error that names its place.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::error::StoreError;

pub(crate) fn text(row: &AnyRow, column: &'static str) -> Result<String, StoreError> {
    Ok(row.try_get(column)?)
}

pub(crate) fn maybe_text(row: &AnyRow, column: &'static str) -> Result<Option<String>, StoreError> {
    Ok(row.try_get(column)?)
}

pub(crate) fn number(row: &AnyRow, column: &'static str) -> Result<i64, StoreError> {
    Ok(row.try_get(column)?)
}

pub(crate) fn maybe_number(row: &AnyRow, column: &'static str) -> Result<Option<i64>, StoreError> {
    Ok(row.try_get(column)?)
}

/// What could be read of a column, or the error that names it.
pub(crate) fn read<T>(value: Option<T>, table: &'static str, column: &'static str, key: &str) -> Result<T, StoreError> {
    value.ok_or_else(|| StoreError::Corrupt {
        table,
        column,
        key: key.to_owned(),
    })
}

/// The longest key, in bytes. An index entry of `PostgreSQL` ends at 2704.
const LONGEST_KEY: usize = 1024;

/// A text of somebody else's as both databases keep it: to JSON a NUL is a character, to `PostgreSQL` it is none.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same of a text that is a key. Whatever would not be told apart any more is, by its digest.
pub(crate) fn key(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_KEY && !text.contains('\0') {
        return Cow::Borrowed(text);
    }
    let begins: String = storable(text).chars().take(LONGEST_KEY / 16).collect();
    let digest = Sha256::digest(text);
    Cow::Owned(digest.iter().fold(begins + "/", |key, byte| format!("{key}{byte:02x}")))
}

/// The rows that can be read. One that cannot is an error in the log and no reason to leave the others.
pub(crate) fn readable<T>(rows: impl Iterator<Item = Result<T, StoreError>>) -> Vec<T> {
    let mut read = Vec::new();
    for row in rows {
        match row {
            Ok(row) => read.push(row),
            Err(error) => tracing::error!(%error, "a row of the store is left out"),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_what_it_is_unless_a_database_cannot_hold_it() {
        assert_eq!(key("payment/ORDER_1/4200"), "payment/ORDER_1/4200");
        let (long, longer) = ("x".repeat(10_000), "x".repeat(10_001));
        let keys = [key("a\0b"), key("a\0c"), key("a\u{fffd}b"), key(&long), key(&longer)];
        for (index, one) in keys.iter().enumerate() {
            assert!(one.len() <= LONGEST_KEY && !one.contains('\0'), "{one}");
            assert!(keys.iter().skip(index + 1).all(|other| other != one), "{one}");
        }
    }

    /// Rows that were written under a key are found under no other one.
    #[test]
    fn the_longest_key_stays_what_it_is_and_a_longer_one_begins_as_it_did() {
        let longest = "x".repeat(LONGEST_KEY);
        assert_eq!(key(&longest), longest);
        let longer = format!("payment/{longest}");
        let begins = longer.chars().take(64).collect::<String>() + "/";
        let kept = key(&longer);
        assert!(kept.starts_with(&begins), "{kept}");
        assert_eq!(kept.len(), begins.len() + 64, "and ends in a digest");
    }
}
