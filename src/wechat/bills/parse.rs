//! A bill as it arrives, in pieces that end anywhere, read line by line into rows.
//!
//! Header, rows, summary header, summary. What the summary says is compared with what was counted; whether the bytes are WeChat's is not
//! known here.

use super::cells::{Cells, Header, Wrong};
use super::error::{Difference, Malformed, Problem};

/// Longer than any line: the free texts of one are limited to a few hundred characters.
const MOST_LINE_BYTES: usize = 64 * 1024;

/// A number of the summary, and in which decimal place its unit is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    pub(super) column: &'static str,
    pub(super) places: usize,
}

/// What the lines of one kind of bill are read as.
pub(crate) trait Record: Sized {
    /// Where the columns stand.
    type Columns: std::fmt::Debug;
    /// What a row adds to each of [`Record::TOTALS`]; nothing that can be told where its column is missing.
    type Adds: AsRef<[Option<i128>]>;

    /// The columns of the summary, the number of rows first.
    const TOTALS: &'static [Total];

    /// Finds the columns.
    fn columns(header: &Header) -> Result<Self::Columns, Wrong>;

    /// Reads a row.
    fn read(columns: &Self::Columns, cells: &Cells<'_>) -> Result<(Self, Self::Adds), Wrong>;
}

/// What was read of a bill that was read to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Counted {
    /// The number of rows.
    pub(crate) rows: u64,
    /// What the summary says otherwise.
    pub(crate) differences: Vec<Difference>,
}

/// Reads a bill. After an error nothing of the rest has a meaning.
#[derive(Debug)]
pub(crate) struct Parser<R: Record> {
    /// The line that has begun.
    line: Vec<u8>,
    /// How many lines have ended.
    lines: u64,
    stage: Stage<R::Columns>,
    rows: u64,
    sums: Vec<Option<i128>>,
}

#[derive(Debug)]
enum Stage<C> {
    Header,
    Rows { width: usize, columns: C },
    Summary(Header),
    End(Vec<Difference>),
}

impl<R: Record> Parser<R> {
    pub(crate) fn new() -> Self {
        Self {
            line: Vec::new(),
            lines: 0,
            stage: Stage::Header,
            rows: 0,
            sums: vec![Some(0); R::TOTALS.len()],
        }
    }

    /// Reads on, and appends the rows that have ended to `rows`.
    pub(crate) fn feed(&mut self, bytes: &[u8], rows: &mut Vec<R>) -> Result<(), Malformed> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len().saturating_add(piece.len()) > MOST_LINE_BYTES {
                let at = format!("byte {MOST_LINE_BYTES}");
                return Err(self.malformed(Wrong::at(at, Problem::TooLong)));
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end_line(rows)?;
            }
        }
        Ok(())
    }

    /// The bytes have ended.
    pub(crate) fn finish(mut self) -> Result<Counted, Malformed> {
        if !self.line.is_empty() {
            // Only the summary can be here; a row would lack the summary after it.
            self.end_line(&mut Vec::new())?;
        }
        match self.stage {
            Stage::End(differences) => Ok(Counted {
                rows: self.rows,
                differences,
            }),
            Stage::Header => Err(self.malformed_next(Problem::NoHeader)),
            Stage::Rows { .. } | Stage::Summary(_) => Err(self.malformed_next(Problem::NoSummary)),
        }
    }

    fn end_line(&mut self, rows: &mut Vec<R>) -> Result<(), Malformed> {
        let mut line = std::mem::take(&mut self.line);
        let read = match std::str::from_utf8(&line) {
            Ok(text) => self.read(text, rows),
            Err(error) => {
                let at = error.valid_up_to().saturating_add(1);
                Err(Wrong::at(format!("byte {at}"), Problem::NotUtf8))
            }
        };
        read.map_err(|wrong| self.malformed(wrong))?;
        self.lines += 1;
        line.clear();
        self.line = line;
        Ok(())
    }

    fn read(&mut self, line: &str, rows: &mut Vec<R>) -> Result<(), Wrong> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        match &self.stage {
            Stage::Header => {
                let header = Header::read(line.strip_prefix('\u{feff}').unwrap_or(line))?;
                self.stage = Stage::Rows {
                    width: header.width(),
                    columns: R::columns(&header)?,
                };
            }
            Stage::Rows { width, columns } if line.starts_with('`') => {
                let (row, adds) = R::read(columns, &Cells::read(line, *width)?)?;
                for (sum, add) in self.sums.iter_mut().zip(adds.as_ref()) {
                    *sum = sum.zip(*add).map(|(sum, add)| sum.saturating_add(add));
                }
                self.rows += 1;
                rows.push(row);
            }
            Stage::Rows { .. } => self.stage = Stage::Summary(Header::read(line)?),
            Stage::Summary(header) => {
                let cells = Cells::read(line, header.width())?;
                self.stage = Stage::End(differences(R::TOTALS, &self.sums, header, &cells)?);
            }
            Stage::End(_) if line.is_empty() => {}
            Stage::End(_) => return Err(Wrong::at("byte 1", Problem::AfterSummary)),
        }
        Ok(())
    }

    fn malformed(&self, wrong: Wrong) -> Malformed {
        Malformed {
            line: self.lines.saturating_add(1),
            column: wrong.column.into_owned(),
            problem: wrong.problem,
        }
    }

    fn malformed_next(&self, problem: Problem) -> Malformed {
        self.malformed(Wrong::at("byte 1", problem))
    }
}

/// The first total has to be there; the others are compared where the summary has them and the rows had their column.
fn differences(
    totals: &[Total],
    sums: &[Option<i128>],
    header: &Header,
    cells: &Cells<'_>,
) -> Result<Vec<Difference>, Wrong> {
    let mut differences = Vec::new();
    for (number, (total, sum)) in totals.iter().zip(sums).enumerate() {
        let column = if number == 0 {
            Some(header.required(total.column)?)
        } else {
            header.optional(total.column)?
        };
        let Some(column) = column else { continue };
        let said = cells.total(column, total.places)?;
        if let Some(counted) = *sum
            && counted != i128::from(said)
        {
            differences.push(Difference {
                column: total.column,
                said,
                counted,
            });
        }
    }
    Ok(differences)
}

#[cfg(test)]
mod tests;
