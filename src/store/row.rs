//! Reads columns, and turns what this version did not write into an error that names its place.

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
