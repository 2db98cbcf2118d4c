//! A change that is a transaction of its own, as each database is told of it.
//!
//! A server gets one statement. The thread of a file gets several in one text, and like changes of several requests in one text as well:
//! each way to that thread and back wakes two threads, which costs more than most statements.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use sqlx::AssertSqlSafe;

/// Like changes in one text, at most: SQLite keeps each text prepared.
pub(super) const ALIKE: usize = 8;

/// A change. What it returns is one row, or none when it did not fit the books.
pub(super) struct Change {
    /// One statement; what belongs to it is within.
    pub(super) server: &'static str,
    /// Statements, one after the other. All of them count the same `$1` and so on.
    file: &'static [&'static str],
    /// Of so many of them within a transaction.
    within: [OnceLock<Arc<str>>; ALIKE],
    /// Of so many of them as a transaction.
    whole: [OnceLock<Arc<str>>; ALIKE],
}

impl Change {
    pub(super) const fn new(server: &'static str, file: &'static [&'static str]) -> Self {
        Self {
            server,
            file,
            within: [const { OnceLock::new() }; ALIKE],
            whole: [const { OnceLock::new() }; ALIKE],
        }
    }

    /// Statements of one of it.
    pub(super) const fn statements(&self) -> usize {
        self.file.len()
    }

    /// The text of so many of it, each with so many values of its own; with the transaction around them or without.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is made of literals of this crate, and of the numbers of their values"
    )]
    pub(super) fn text(&self, times: usize, values: usize, whole: bool) -> AssertSqlSafe<Arc<str>> {
        let make = || {
            let changes = (0..times)
                .flat_map(|before| {
                    self.file
                        .iter()
                        .map(move |statement| counted_from(statement, before * values))
                })
                .collect::<Vec<_>>()
                .join("; ");
            if whole {
                format!("BEGIN IMMEDIATE; {changes}; COMMIT").into()
            } else {
                changes.into()
            }
        };
        let kept = if whole { &self.whole } else { &self.within };
        AssertSqlSafe(match kept.get(times.wrapping_sub(1)) {
            Some(kept) => Arc::clone(kept.get_or_init(make)),
            None => make(),
        })
    }
}

/// The statement with `$1` as the value after so many others.
fn counted_from(statement: &str, before: usize) -> String {
    let mut parts = statement.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().expect("in the statements here a number follows each $");
        write!(text, "${}{rest}", before + number).expect("a text takes every text");
    }
    text
}

/// What stands for `$1` and so on. It may be an openid, so it has no `Debug` by which it could come into a log.
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_counts_its_own_values() {
        let change = Change::new(
            "",
            &[
                "UPDATE a SET b = $2, c = '$12' WHERE d = $1",
                "DELETE FROM e WHERE f=$12",
            ],
        );
        let text = |times, whole| change.text(times, 12, whole).0;
        assert_eq!(
            &*text(1, false),
            "UPDATE a SET b = $2, c = '$12' WHERE d = $1; DELETE FROM e WHERE f=$12"
        );
        assert_eq!(
            &*text(2, true),
            "BEGIN IMMEDIATE; UPDATE a SET b = $2, c = '$12' WHERE d = $1; DELETE FROM e WHERE f=$12; \
             UPDATE a SET b = $14, c = '$24' WHERE d = $13; DELETE FROM e WHERE f=$24; COMMIT"
        );
        assert_eq!(change.statements(), 2);
    }
}
