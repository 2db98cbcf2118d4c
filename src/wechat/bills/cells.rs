//! One line of a bill: the names in a header, the cells of a row, and what is written in a cell.
//!
//! There are no quotes: each cell of a row begins with a backtick, and commas in free text were replaced by WeChat. Columns are found
//! by name; which there are has changed over the years.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::tz;

use super::error::Problem;
use crate::domain::money::{Fee, Fen};

/// What is wrong with a line, and at which column.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(super) column: Cow<'static, str>,
    pub(super) problem: Problem,
}

impl Wrong {
    pub(super) fn at(column: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self {
            column: column.into(),
            problem,
        }
    }
}

/// The names of the columns, in order.
#[derive(Debug)]
pub(crate) struct Header(Vec<String>);

/// Where a column stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    at: usize,
}

impl Header {
    /// Some headers write the unit in brackets of the Chinese kind.
    pub(super) fn read(line: &str) -> Result<Self, Wrong> {
        if line.is_empty() || line.starts_with('`') {
            return Err(Wrong::at("byte 1", Problem::NoHeader));
        }
        let name = |name: &str| name.trim().replace('（', "(").replace('）', ")");
        Ok(Self(line.split(',').map(name).collect()))
    }

    pub(super) fn required(&self, name: &'static str) -> Result<Column, Wrong> {
        self.optional(name)?.ok_or_else(|| Wrong::at(name, Problem::NoColumn))
    }

    pub(super) fn optional(&self, name: &'static str) -> Result<Option<Column>, Wrong> {
        let mut named = self.0.iter().enumerate().filter(|(_, column)| *column == name);
        let found = named.next().map(|(at, _)| Column { name, at });
        match named.next() {
            Some(_) => Err(Wrong::at(name, Problem::Twice)),
            None => Ok(found),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.0.len()
    }
}

/// The cells of one row, as many as its header has columns.
#[derive(Debug)]
pub(crate) struct Cells<'a>(Vec<&'a str>);

impl<'a> Cells<'a> {
    pub(super) fn read(line: &'a str, expected: usize) -> Result<Self, Wrong> {
        let cells = line
            .strip_prefix('`')
            .ok_or_else(|| Wrong::at("byte 1", Problem::NoBacktick))?;
        let cells: Vec<&str> = cells.split(",`").collect();
        if cells.len() == expected {
            Ok(Self(cells))
        } else {
            let found = cells.len();
            let first_wrong = format!("cell {}", found.min(expected).saturating_add(1));
            Err(Wrong::at(first_wrong, Problem::Cells { expected, found }))
        }
    }

    pub(super) fn text(&self, column: Column) -> &'a str {
        self.0.get(column.at).copied().unwrap_or_default()
    }

    /// A text that is to be kept.
    pub(super) fn owned(&self, column: Column) -> String {
        self.text(column).to_owned()
    }

    /// A number of WeChat's or the merchant's; `None` where WeChat writes that there is none.
    pub(super) fn number(&self, column: Option<Column>) -> Option<String> {
        match self.text(column?) {
            "" | "0" => None,
            number => Some(number.to_owned()),
        }
    }

    pub(super) fn fen(&self, column: Column) -> Result<Fen, Wrong> {
        scaled(self.text(column), 2)
            .and_then(Fen::not_negative)
            .ok_or_else(|| Wrong::at(column.name, Problem::NotAmount))
    }

    pub(super) fn fee(&self, column: Column) -> Result<Fee, Wrong> {
        scaled(self.text(column), 5)
            .map(Fee::hundred_thousandths)
            .ok_or_else(|| Wrong::at(column.name, Problem::NotFee))
    }

    /// A number of the summary, in units of ten to the power of minus `places`.
    pub(super) fn total(&self, column: Column, places: usize) -> Result<i64, Wrong> {
        scaled(self.text(column), places).ok_or_else(|| Wrong::at(column.name, Problem::NotNumber))
    }

    /// Unix milliseconds of a time in China.
    pub(super) fn time_ms(&self, column: Column) -> Result<i64, Wrong> {
        time_ms(self.text(column)).ok_or_else(|| Wrong::at(column.name, Problem::NotTime))
    }

    /// The same for a time that may be still to come.
    pub(super) fn optional_time_ms(&self, column: Option<Column>) -> Result<Option<i64>, Wrong> {
        match column {
            Some(column) if !self.text(column).is_empty() => self.time_ms(column).map(Some),
            _ => Ok(None),
        }
    }
}

/// The decimal number times ten to the power of `places`, if that is a whole number. Never by way of a float.
fn scaled(text: &str, places: usize) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let kept = fraction.chars().chain(std::iter::repeat('0')).take(places);
    let mut number: i64 = 0;
    for digit in whole.chars().chain(kept) {
        number = number.checked_mul(10)?.checked_add(digit.to_digit(10)?.into())?;
    }
    if fraction.chars().skip(places).any(|digit| digit != '0') {
        return None;
    }
    Some(if negative { -number } else { number })
}

/// `yyyy-MM-dd HH:mm:ss` in China. It has no offset of its own.
fn time_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ')?;
    let [year, month, day] = parts(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = parts(time, ':', [2, 2, 2])?;
    let small = |part: i16| i8::try_from(part).ok();
    let (month, day) = (small(month)?, small(day)?);
    let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
    let local = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(tz::offset(8).to_timestamp(local).ok()?.as_millisecond())
}

/// Three numbers of so many digits each.
fn parts(text: &str, between: char, digits: [usize; 3]) -> Option<[i16; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    match parts.next() {
        Some(_) => None,
        None => Some(numbers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_exact_or_none() {
        for (text, fen) in [
            ("0.00", 0),
            ("0.01", 1),
            ("1", 100),
            ("1.0", 100),
            ("45.10000", 4510),
            ("12345.67", 1_234_567),
            ("0092233720368547758.07", i64::MAX),
            ("-0.36", -36),
            ("-0.00", 0),
        ] {
            assert_eq!(scaled(text, 2), Some(fen), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "--1",
            "1,000.00",
            "1e2",
            "0.005",
            "1.2.3",
            " 1",
            "1 ",
            "NaN",
            "１",
            "92233720368547758.08",
            "0.00-",
        ] {
            assert_eq!(scaled(text, 2), None, "{text}");
        }
        assert_eq!(scaled("45.0", 0), Some(45));
        assert_eq!(scaled("45.5", 0), None);
        assert_eq!(scaled("-0.00216", 5), Some(-216));
        assert_eq!(scaled("0.000001", 5), None);
    }

    #[test]
    fn a_time_is_chinas_and_complete_or_none() {
        assert_eq!(time_ms("2026-11-23 16:00:00"), Some(1_795_420_800_000));
        assert_eq!(time_ms("2024-02-29 00:00:00"), Some(1_709_136_000_000));
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T16:00:00",
            "2026-11-23 16:00",
            "2026-11-23 16:00:00.000",
            "2026-11-23 16:00:60",
            "2026-11-23 24:00:00",
            "2026-02-29 00:00:00",
            "2026-13-01 00:00:00",
            "26-11-23 16:00:00",
            "2026-11-23  6:00:00",
            "2026-11-23 +6:00:00",
            "2026-11-23 16:00:00 ",
            "2026-11-23 16:00:00:00",
        ] {
            assert_eq!(time_ms(text), None, "{text}");
        }
    }
}
