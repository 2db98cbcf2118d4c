//! A day's bill against the books, both ways.
//!
//! The bill goes to the disk while it is hashed, and nothing is compared before its hash and its own sums are right. Then what the books
//! have of the day goes there too, and the two are compared part by part. Every difference is kept with its run, and is an anomaly.

pub(crate) mod days;
mod differences;
mod join;
mod lines;
mod repair;
mod spool;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::Date;
use tokio::sync::mpsc::{self, Sender};

use self::days::Day;
pub(crate) use self::days::DayError;
use self::differences::{Told, differences};
use self::lines::Ours;
pub(crate) use self::spool::Sums;
use self::spool::{Cut, Slip, Spool};
use crate::app::App;
use crate::domain::reconciliation::Bill;
use crate::store::error::StoreError;
use crate::store::reconciliation::{self as books, Ending};
use crate::telemetry;
use crate::wechat::bills::{self, Account, Applied, BillError, BillFile, Packing, TradeBillKind};
use crate::wechat::error::WechatError;

/// Rows that wait between two steps.
const WAITING: usize = 1024;

/// Why a day could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The day has no bill yet.
    #[error(transparent)]
    Day(#[from] DayError),
    /// WeChat still makes the bill.
    #[error("WeChat Pay is still making the bill: again in half an hour / 账单仍在生成，请半小时后重试")]
    NotYet,
    /// WeChat does not give the bill.
    #[error("WeChat Pay does not give the bill: {0} / 无法取得账单")]
    Wechat(#[from] WechatError),
    /// There is a bill that may not be believed.
    #[error("the bill is refused, and nothing of it counts: {0} / 账单不可信，未采用任何内容")]
    Bill(BillError),
    /// The books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat does not say to which day a refund belongs.
    #[error("WeChat Pay does not say when refund {number} was applied for: {source} / 无法查询退款的申请时间")]
    Undated {
        /// The refund.
        number: String,
        /// Why not.
        source: WechatError,
    },
    /// The temporary files.
    #[error("the temporary files (TMPDIR) cannot be used: {0} / 临时文件不可用")]
    Disk(#[from] std::io::Error),
    /// A defect.
    #[error("a step ended before its time: {0} / 步骤异常终止")]
    Defect(&'static str),
}

impl From<BillError> for ReconcileError {
    fn from(error: BillError) -> Self {
        match error {
            BillError::Wechat(error) => Self::Wechat(error),
            BillError::Packing(_)
            | BillError::Malformed(_)
            | BillError::Hash { .. }
            | BillError::Summary(_)
            | BillError::Abandoned => Self::Bill(error),
        }
    }
}

/// What is to be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The day in China.
    pub(crate) day: Date,
    /// The bill.
    pub(crate) bill: Bill,
    /// Whether WeChat is asked about what differs, and the two are compared again.
    pub(crate) repair: bool,
}

/// How far a run is, for whoever watches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    lines: Arc<AtomicU64>,
    books: Arc<AtomicU64>,
}

impl Progress {
    /// Lines of the bill that came, and entries of the books that were read.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.lines.load(Ordering::Relaxed), self.books.load(Ordering::Relaxed))
    }

    fn read(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.books.fetch_add(entries, Ordering::Relaxed);
    }

    /// Of the entry of a line, counted.
    fn counting<R, F>(&self, mut entry_of: F) -> impl FnMut(R) -> Option<Slip> + use<R, F>
    where
        F: FnMut(R) -> Option<Slip>,
    {
        let lines = Arc::clone(&self.lines);
        move |row| {
            lines.fetch_add(1, Ordering::Relaxed);
            entry_of(row)
        }
    }
}

/// What came of one comparison. Times in Unix milliseconds.
#[derive(Clone, Debug)]
pub struct Run {
    /// Under which it is kept.
    pub run_id: String,
    /// The day.
    pub day: Date,
    /// The bill.
    pub bill: Bill,
    /// When it began.
    pub began_at: i64,
    /// When it ended.
    pub ended_at: i64,
    /// Lines of the bill.
    pub lines: u64,
    /// Lines that are of no app of this service, or of nothing that it does.
    pub others: u64,
    /// What the books count to the day.
    pub here: Sums,
    /// What the bill counts of this service's apps.
    pub there: Sums,
    /// How many differences there are.
    pub differences: i64,
    /// The run before WeChat was asked, where it was.
    pub repairs: Option<String>,
}

impl Run {
    /// Whether the two sides agree.
    pub const fn agrees(&self) -> bool {
        self.differences == 0
    }
}

/// The bill of the day.
struct There {
    spool: Spool,
    cut: Cut,
    lines: u64,
}

/// A run that has begun.
struct Begun {
    run_id: String,
    at: i64,
    repairs: Option<String>,
}

/// Compares a day's bill with the books. Nothing is refused because somebody else does so at the same time.
pub(crate) async fn reconcile(app: &App, wanted: &Wanted, progress: &Progress) -> Result<Run, ReconcileError> {
    let day = Day::with_a_bill(wanted.day, app.clock.now())?;
    let begun = begin(app, day, wanted.bill, None).await?;
    let there = match bill(app, day, wanted.bill, progress).await {
        Ok(there) => Arc::new(there),
        Err(error) => return Err(failed(app, &begun, error).await),
    };
    // What can be mended is no anomaly; what cannot is one of the second comparison's.
    let first = compare(app, (day, wanted.bill), begun, &there, !wanted.repair, progress).await?;
    if !wanted.repair || first.agrees() {
        return Ok(first);
    }
    repair::ask(app, &first.run_id).await?;
    let begun = begin(app, day, wanted.bill, Some(first.run_id)).await?;
    compare(app, (day, wanted.bill), begun, &there, true, progress).await
}

async fn begin(app: &App, day: Day, bill: Bill, repairs: Option<String>) -> Result<Begun, ReconcileError> {
    let at = app.clock.now_ms();
    let date = day.date.to_string();
    let run_id = books::begin(&app.db, (&date, bill), repairs.as_deref(), at).await?;
    Ok(Begun { run_id, at, repairs })
}

/// Writes down that a run failed, and gives back why.
async fn failed(app: &App, begun: &Begun, error: ReconcileError) -> ReconcileError {
    let problem = error.to_string();
    let ending = Ending {
        outcome: "FAILED",
        lines: 0,
        others: 0,
        differences: 0,
        sums: None,
        problem: Some(&problem),
    };
    if let Err(error) = books::end(&app.db, &begun.run_id, &ending, app.clock.now_ms()).await {
        tracing::error!(%error, run = begun.run_id, "that a reconciliation failed could not be written down");
    }
    error
}

/// The bill, on the disk, once its hash and its sums are right.
async fn bill(app: &App, day: Day, bill: Bill, progress: &Progress) -> Result<There, ReconcileError> {
    let (wechat, date) = (&app.wechat, day.date);
    let cut = Cut::default();
    let mut spool = Spool::empty()?;
    let mut lines = 0_u64;
    match bill {
        Bill::Trade => {
            if let Some(file) = ready(bills::trade_bill(wechat, date, TradeBillKind::All, Packing::Gzip).await?)? {
                let ours = Ours::of(&app.config);
                let entry_of = progress.counting(move |row| Some(ours.trade(row)));
                let (filled, whole) = spooled(spool, &cut, |rows| file.download(wechat, rows), entry_of).await?;
                (spool, lines) = (filled, whole.rows);
            }
        }
        Bill::FundFlow => {
            // A merchant without an operation account pays transfers from the basic one.
            for account in [Account::Basic, Account::Operation] {
                let applied = bills::fund_flow_bill(wechat, date, account, Packing::Gzip).await?;
                let Some(file) = ready(applied)? else { continue };
                let entry_of = progress.counting(lines::flow);
                let (filled, whole) = spooled(spool, &cut, |rows| file.download(wechat, rows), entry_of).await?;
                (spool, lines) = (filled, lines.saturating_add(whole.rows));
            }
        }
    }
    Ok(There { spool, cut, lines })
}

fn ready<R>(applied: Applied<R>) -> Result<Option<BillFile<R>>, ReconcileError> {
    match applied {
        Applied::Ready(file) => Ok(Some(file)),
        // Nothing happened on that day; then nothing may be in the books.
        Applied::Empty => Ok(None),
        Applied::NotYet => Err(ReconcileError::NotYet),
    }
}

/// Brings what is sent to the disk, and gives what came of the sending.
async fn spooled<R, T, E, F>(
    spool: Spool,
    cut: &Cut,
    send: impl FnOnce(Sender<R>) -> F,
    entry_of: impl FnMut(R) -> Option<Slip> + Send + 'static,
) -> Result<(Spool, T), ReconcileError>
where
    R: Send + 'static,
    F: Future<Output = Result<T, E>>,
    ReconcileError: From<E>,
{
    let (sender, rows) = mpsc::channel(WAITING);
    let filling = spool.fill(cut.clone(), rows, entry_of);
    let sent = send(sender).await;
    let filled = filling
        .await
        .map_err(|error| ReconcileError::Defect(telemetry::ending(&error)))?;
    // First the disk: where it is full, the sending says only that nobody takes its rows.
    Ok((filled?, sent?))
}

/// Compares, and writes down how it ended.
async fn compare(
    app: &App,
    (day, bill): (Day, Bill),
    begun: Begun,
    there: &Arc<There>,
    are_anomalies: bool,
    progress: &Progress,
) -> Result<Run, ReconcileError> {
    let told = Told {
        run_id: &begun.run_id,
        day,
        bill,
        are_anomalies,
    };
    let (here, differences) = match differences(app, &told, there, progress).await {
        Ok(found) => found,
        Err(error) => return Err(failed(app, &begun, error).await),
    };
    let ours = there.spool.sums;
    let sums = serde_json::json!({"here": here, "there": ours}).to_string();
    let others = there.lines.saturating_sub(ours.count());
    let ended_at = app.clock.now_ms();
    let ending = Ending {
        outcome: if differences == 0 { "AGREE" } else { "DIFFER" },
        lines: i64::try_from(there.lines).unwrap_or(i64::MAX),
        others: i64::try_from(others).unwrap_or(i64::MAX),
        differences,
        sums: Some(&sums),
        problem: None,
    };
    books::end(&app.db, &begun.run_id, &ending, ended_at).await?;
    let (run, day, name) = (begun.run_id.as_str(), day.date, bill.as_str());
    if differences == 0 {
        tracing::info!(run, %day, bill = name, lines = there.lines, "the books and the bill agree");
    } else {
        tracing::error!(run, %day, bill = name, lines = there.lines, differences, "the books and the bill differ");
    }
    Ok(Run {
        run_id: begun.run_id,
        day,
        bill,
        began_at: begun.at,
        ended_at,
        lines: there.lines,
        others,
        here,
        there: ours,
        differences,
        repairs: begun.repairs,
    })
}
