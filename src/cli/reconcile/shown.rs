//! What came of a comparison, in each of its formats. Differences are read back page by page: there can be millions.

use comfy_table::{Cell, CellAlignment, Color};
use jiff::civil::Date;
use serde::Serialize;

use super::Format;
use crate::cli::output;
use crate::domain::money::Fen;
use crate::domain::reconciliation::{Bill, Entry};
use crate::flows::reconcile::{Run, Sums};
use crate::store::db::Db;
use crate::store::reconciliation::{self as books, Difference, Listed};

/// Differences that are read at once.
const PAGE: i64 = 1000;

/// The most rows of a table; more are for a program.
const MOST_ROWS: i64 = 1000;

/// The columns of `--format csv`. Amounts in fen.
const COLUMNS: [&str; 20] = [
    "date",
    "bill",
    "result",
    "kind",
    "subject",
    "number",
    "here_state",
    "here_amount",
    "here_currency",
    "here_id",
    "here_of",
    "here_app_id",
    "here_time",
    "there_state",
    "there_amount",
    "there_currency",
    "there_id",
    "there_of",
    "there_app_id",
    "there_time",
];

/// Writes results as they come.
pub(super) struct Shown {
    format: Format,
    date: Date,
    bills: usize,
}

/// A run in `--format json`, apart from its lists.
#[derive(Serialize)]
struct Head<'a> {
    bill: Bill,
    run_id: &'a str,
    began_at_ms: i64,
    ended_at_ms: i64,
    lines: u64,
    others: u64,
    here: Sums,
    there: Sums,
    agrees: bool,
}

/// Some of what a run has to tell.
#[derive(Clone, Copy)]
enum List<'a> {
    /// What differs.
    Differences(&'a str),
    /// What differed in the run before, and was settled.
    Repaired(&'a str, &'a str),
}

impl List<'_> {
    /// What an element is called in `--format csv`.
    const fn name(self) -> &'static str {
        match self {
            Self::Differences(_) => "difference",
            Self::Repaired(..) => "repaired",
        }
    }

    /// What the list is called in `--format json`.
    const fn plural(self) -> &'static str {
        match self {
            Self::Differences(_) => "differences",
            Self::Repaired(..) => "repaired",
        }
    }

    /// What it is called in a table.
    const fn title(self) -> &'static str {
        match self {
            Self::Differences(_) => "difference / 差异",
            Self::Repaired(..) => "repaired / 已修复",
        }
    }
}

/// What a person calls a bill.
pub(super) const fn name(bill: Bill) -> &'static str {
    match bill {
        Bill::Trade => "trade bill / 交易账单",
        Bill::FundFlow => "fund flow bill / 资金账单",
    }
}

impl Shown {
    pub(super) fn begin(format: Format, date: Date) -> anyhow::Result<Self> {
        match format {
            Format::Table => {}
            Format::Json => output::say(&format!("{{\n  \"date\": \"{date}\",\n  \"bills\": ["))?,
            Format::Csv => output::say(&COLUMNS.join(","))?,
        }
        Ok(Self { format, date, bills: 0 })
    }

    pub(super) async fn run(&mut self, db: &Db, run: &Run) -> anyhow::Result<()> {
        match self.format {
            Format::Table => self.table(db, run).await?,
            Format::Json => self.json(db, run).await?,
            Format::Csv => self.csv(db, run).await?,
        }
        self.bills += 1;
        Ok(())
    }

    /// `agree` is whether everything does, where that was found out.
    pub(super) fn end(self, agree: Option<bool>) -> anyhow::Result<()> {
        match (self.format, agree) {
            (Format::Json, _) => output::say(&format!("\n  ],\n  \"agree\": {}\n}}", serde_json::to_string(&agree)?)),
            (Format::Table, Some(true)) => output::say("the books agree / 账目一致"),
            (Format::Table, Some(false)) => output::say(
                "the books do NOT agree; `pay-common anomalies list` says what to do about each / 账目不一致，处理建议见 `pay-common anomalies list`",
            ),
            (Format::Table, None) | (Format::Csv, _) => Ok(()),
        }
    }

    async fn json(&self, db: &Db, run: &Run) -> anyhow::Result<()> {
        let head = serde_json::to_string(&Head {
            bill: run.bill,
            run_id: &run.run_id,
            began_at_ms: run.began_at,
            ended_at_ms: run.ended_at,
            lines: run.lines,
            others: run.others,
            here: run.here,
            there: run.there,
            agrees: run.agrees(),
        })?;
        let comma = if self.bills == 0 { "" } else { ",\n" };
        let head = head.strip_suffix('}').unwrap_or(&head);
        output::write(&format!("{comma}    {head}"))?;
        for list in lists(run) {
            output::write(&format!(",\n     \"{}\": [", list.plural()))?;
            let (mut pages, mut comma) = (Pages::of(db, list), "");
            while let Some(page) = pages.next().await? {
                for difference in page {
                    output::write(&format!("{comma}\n      {}", serde_json::to_string(&difference)?))?;
                    comma = ",";
                }
            }
            output::write("]")?;
        }
        output::write("}")
    }

    async fn csv(&self, db: &Db, run: &Run) -> anyhow::Result<()> {
        let bill = run.bill.as_str().to_lowercase();
        for list in lists(run) {
            let (name, mut pages) = (list.name(), Pages::of(db, list));
            while let Some(page) = pages.next().await? {
                let mut lines = csv::Writer::from_writer(Vec::new());
                for difference in &page {
                    lines.write_record(record(&self.date.to_string(), &bill, name, difference))?;
                }
                let lines = String::from_utf8(lines.into_inner().map_err(csv::IntoInnerError::into_error)?)?;
                output::write(&lines)?;
            }
        }
        Ok(())
    }

    async fn table(&self, db: &Db, run: &Run) -> anyhow::Result<()> {
        let Run { lines, others, .. } = run;
        output::say(&format!(
            "{}, {}: {lines} lines, {others} of them of no app or business of this service / 账单 {lines} 行，其中 {others} 行不属于本服务",
            self.date,
            name(run.bill)
        ))?;
        output::say(&sums(run).to_string())?;
        for list in lists(run) {
            let (mut pages, mut rows) = (Pages::of(db, list), 0);
            let colour = match list {
                List::Repaired(..) => Color::Green,
                List::Differences(_) => Color::Red,
            };
            let mut table = output::table(&[list.title(), "number / 单号", "store / 本存储", "bill / 账单"]);
            while rows < MOST_ROWS
                && let Some(page) = pages.next().await?
            {
                for difference in page {
                    rows += 1;
                    let kind = format!("{} {}", difference.subject.as_str(), difference.kind.as_str());
                    table.add_row([
                        output::marked(&kind, colour),
                        Cell::new(output::safe(&difference.number)),
                        Cell::new(side(difference.here.as_ref())),
                        Cell::new(side(difference.there.as_ref())),
                    ]);
                }
            }
            if rows > 0 {
                output::say(&table.to_string())?;
            }
            if rows >= MOST_ROWS {
                output::say(&format!(
                    "the first {rows}; all of them with --format csv / 仅列出前 {rows} 条，全部见 --format csv"
                ))?;
            }
        }
        Ok(())
    }
}

/// What a run has to tell: what differs, and what it has settled, where it tried.
fn lists(run: &Run) -> impl Iterator<Item = List<'_>> {
    let before = run.repairs.iter();
    let repaired = before.map(|before| List::Repaired(before, &run.run_id));
    std::iter::once(List::Differences(&run.run_id)).chain(repaired)
}

/// A list that is read back page by page.
struct Pages<'a> {
    db: &'a Db,
    list: List<'a>,
    after: Option<Listed>,
    over: bool,
}

impl<'a> Pages<'a> {
    const fn of(db: &'a Db, list: List<'a>) -> Self {
        Self {
            db,
            list,
            after: None,
            over: false,
        }
    }

    /// The next page; `None` when there is no more.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<Difference>>> {
        if self.over {
            return Ok(None);
        }
        let after = self.after.take();
        let (page, next) = match self.list {
            List::Differences(run) => books::differences(self.db, run, after, PAGE).await?,
            List::Repaired(before, run) => books::gone(self.db, (before, run), after, PAGE).await?,
        };
        self.over = next.is_none();
        self.after = next;
        Ok(Some(page))
    }
}

/// How many and how much on each side.
fn sums(run: &Run) -> comfy_table::Table {
    let mut table = output::table(&["", "store / 本存储", "yuan / 元", "bill / 账单", "yuan / 元"]);
    let (here, there) = (run.here, run.there);
    let rows: &[_] = match run.bill {
        Bill::Trade => &[
            ("payments / 支付", here.payments, there.payments),
            ("refunds / 退款", here.refunds, there.refunds),
        ],
        Bill::FundFlow => &[("transfers / 转账", here.transfers, there.transfers)],
    };
    for (name, here, there) in rows {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(name),
            right(here.count.to_string()),
            right(yuan(Some(here.fen))),
            right(there.count.to_string()),
            right(yuan(Some(there.fen))),
        ]);
    }
    table
}

fn yuan(fen: Option<i64>) -> String {
    let fen = fen.and_then(Fen::not_negative);
    fen.map_or_else(|| "?".to_owned(), Fen::yuan)
}

/// What a side says, for a person.
fn side(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else {
        return "- (nothing / 无)".to_owned();
    };
    let mut says = format!("{} {} {}", entry.state, yuan(entry.amount), entry.currency);
    for more in [&entry.id, &entry.of, &entry.app_id].into_iter().flatten() {
        says = says + " " + more;
    }
    output::safe(&says)
}

/// A line of `--format csv`, in the order of [`COLUMNS`].
fn record(date: &str, bill: &str, result: &str, difference: &Difference) -> Vec<String> {
    let Difference {
        kind,
        subject,
        number,
        here,
        there,
    } = difference;
    let of_difference = [date, bill, result, kind.as_str(), subject.as_str(), number];
    let sides = [here, there].into_iter().flat_map(|side| {
        let text = |cell: fn(&Entry) -> Option<String>| side.as_ref().and_then(cell).unwrap_or_default();
        [
            text(|entry| Some(entry.state.clone())),
            text(|entry| Some(entry.amount?.to_string())),
            text(|entry| Some(entry.currency.clone())),
            text(|entry| entry.id.clone()),
            text(|entry| entry.of.clone()),
            text(|entry| entry.app_id.clone()),
            text(|entry| entry.at_ms.map(output::time)),
        ]
    });
    of_difference.into_iter().map(str::to_owned).chain(sides).collect()
}
