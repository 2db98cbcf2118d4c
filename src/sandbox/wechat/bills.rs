//! The bills of a day: the application, which is signed, and the file, which is not.
//!
//! A bill is made from the books each time somebody applies for it, after the day is over and it is ten in the morning. The file that an
//! application has named stays as it was for the five minutes of its token.

mod file;
mod lines;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan, tz};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

pub(crate) use self::file::File;
pub use self::lines::{BillLines, FlowLine, RefundLine, TradeLine};
pub use self::write::TradeColumns;
use super::Wechat;
use super::refusal::Refusal;
use crate::sandbox::{crypto::random_text, lock};

const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(5);
/// Beijing time of the day after.
const READY_AT_HOUR: i8 = 10;
const ACCOUNTS: [&str; 3] = ["BASIC", "OPERATION", "FEES"];

/// What goes wrong with a bill: with the answer to an application, or with the file that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillFault {
    /// The hash is another file's.
    WrongHash,
    /// The hash is over the file as it is sent, which with `GZIP` is not the text.
    HashOfFile,
    /// The summary counts one line more than there are. The hash is right.
    WrongSummary,
    /// The address names another host, under which the same path would be.
    OtherHost(String),
    /// The token has run out before its time.
    ExpiredToken,
    /// The connection ends in the middle of the file.
    Cut,
    /// The file ends in the middle as if that were its end.
    Short,
    /// The file comes in 16 pieces, each so much later than the one before.
    Slow(Duration),
}

/// What a test does to the lines of every bill.
type Change = Box<dyn FnMut(&mut BillLines) + Send>;

/// What a test has said about bills, and the files that can be had.
#[derive(Default)]
pub(crate) struct Bills {
    files: BTreeMap<String, Issued>,
    faults: Vec<BillFault>,
    change: Option<Change>,
    given: Option<Given>,
    forbidden: bool,
}

/// A trade bill that was made elsewhere.
struct Given {
    hash: String,
    gzip: Vec<u8>,
}

struct Issued {
    until: Timestamp,
    gzip: bool,
    bytes: Vec<u8>,
    fault: Option<BillFault>,
}

impl Bills {
    /// Gives the address under which the file can be had.
    fn issue(&mut self, host: &str, issued: Issued) -> String {
        let token = random_text(64);
        let tar_type = if issued.gzip { "&tartype=gzip" } else { "" };
        let url = format!("{host}/v3/billdownload/file?token={token}{tar_type}");
        self.files.insert(token, issued);
        url
    }
}

/// Which bill is applied for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Trade,
    FundFlow,
}

/// An application whose form is right.
struct Application {
    day: Date,
    /// `bill_type` or `account_type`.
    part: String,
    gzip: bool,
}

impl Wechat {
    /// Every bill from now on has its lines changed so. The summary is made afterwards, and agrees with them.
    pub fn bill_with(&self, change: impl FnMut(&mut BillLines) + Send + 'static) {
        lock(&self.inner.bills).change = Some(Box::new(change));
    }

    /// Every trade bill that is asked for as a gzip file is this text from now on, whatever happened. It is packed once, so that one of
    /// any length is there at once.
    pub fn bill_is(&self, text: &[u8]) {
        let (hash, gzip) = (sha1_hex(text), write::gzip(text));
        lock(&self.inner.bills).given = Some(Given { hash, gzip });
    }

    /// The next application for a bill, or the file that it names, suffers this.
    pub fn spoil_bill(&self, fault: BillFault) {
        lock(&self.inner.bills).faults.push(fault);
    }

    /// Whether the merchant may have bills at all.
    pub fn allow_bills(&self, allowed: bool) {
        lock(&self.inner.bills).forbidden = !allowed;
    }

    /// `GET /v3/bill/tradebill` and `GET /v3/bill/fundflowbill`.
    pub(super) fn apply_for_bill(&self, kind: Kind, query: &str) -> Result<Value, Refusal> {
        let now = self.inner.clock.now();
        let application = Application::read(kind, query)?;
        let mut bills = lock(&self.inner.bills);
        if bills.forbidden {
            return Err(Refusal::new(403, "NO_AUTH", "商户无权限"));
        }
        check_day(application.day, now)?;
        if let (Kind::Trade, true, Some(given)) = (kind, application.gzip, &bills.given) {
            let (hash, bytes) = (given.hash.clone(), given.gzip.clone());
            let until = now + TOKEN_LIFE;
            let issued = Issued {
                until,
                gzip: true,
                bytes,
                fault: None,
            };
            let url = bills.issue(&self.url(), issued);
            return Ok(json!({"hash_type": "SHA1", "hash_value": hash, "download_url": url}));
        }
        let mut lines = self.books().lines_of(application.day, self.inner.keys.mchid());
        if let Some(change) = &mut bills.change {
            change(&mut lines);
        }
        let fault = if bills.faults.is_empty() {
            None
        } else {
            Some(bills.faults.remove(0))
        };
        let one_more = u64::from(fault == Some(BillFault::WrongSummary));
        let bom = self.inner.rules.bill_bom;
        let text = match kind {
            Kind::Trade => {
                let columns = TradeColumns::of(&application.part);
                lines.trade.retain(|line| columns.holds(line));
                (!lines.trade.is_empty()).then(|| write::trade_bill(&lines.trade, columns, bom, one_more))
            }
            Kind::FundFlow => {
                lines.flow.retain(|line| line.account == application.part);
                (!lines.flow.is_empty()).then(|| write::fund_flow_bill(&lines.flow, bom, one_more))
            }
        };
        let text = text.ok_or_else(|| Refusal::new(400, "NO_STATEMENT_EXIST", "账单文件不存在"))?;
        let bytes = if application.gzip {
            write::gzip(text.as_bytes())
        } else {
            text.clone().into_bytes()
        };
        let hash = match &fault {
            Some(BillFault::WrongHash) => sha1_hex(b"another file"),
            Some(BillFault::HashOfFile) => sha1_hex(&bytes),
            _ => sha1_hex(text.as_bytes()),
        };
        let host = match &fault {
            Some(BillFault::OtherHost(host)) => host.clone(),
            _ => self.url(),
        };
        let until = match &fault {
            Some(BillFault::ExpiredToken) => now,
            _ => now + TOKEN_LIFE,
        };
        let issued = Issued {
            until,
            gzip: application.gzip,
            bytes,
            fault,
        };
        let url = bills.issue(&host, issued);
        Ok(json!({"hash_type": "SHA1", "hash_value": hash, "download_url": url}))
    }

    /// `GET /v3/billdownload/file`. No answer of it is signed, a refusal neither.
    pub(super) fn download_bill(&self, query: &str) -> Result<File, Refusal> {
        self.issued(query).map_err(Refusal::unsigned)
    }

    fn issued(&self, query: &str) -> Result<File, Refusal> {
        let mut given = pairs(query, &["token", "tartype"])?;
        let token = given
            .remove("token")
            .ok_or_else(|| Refusal::address("query", "token", "", "必填"))?;
        let bills = lock(&self.inner.bills);
        let now = self.inner.clock.now();
        let live = bills.files.get(&token).filter(|issued| now < issued.until);
        let issued = live.ok_or_else(|| Refusal::invalid("token已失效，请重新申请账单"))?;
        match given.get("tartype").map(String::as_str) {
            Some("gzip") if issued.gzip => {}
            None if !issued.gzip => {}
            other => {
                let value = other.unwrap_or_default();
                return Err(Refusal::address("query", "tartype", value, "与申请账单时不一致"));
            }
        }
        Ok(File {
            gzip: issued.gzip,
            bytes: issued.bytes.clone(),
            fault: issued.fault.clone(),
        })
    }
}

impl Application {
    fn read(kind: Kind, query: &str) -> Result<Self, Refusal> {
        let (part_name, parts): (_, &[&str]) = match kind {
            Kind::Trade => ("bill_type", &["ALL", "SUCCESS", "REFUND"]),
            Kind::FundFlow => ("account_type", &ACCOUNTS),
        };
        let mut given = pairs(query, &["bill_date", part_name, "tar_type"])?;
        let day = given.remove("bill_date").unwrap_or_default();
        let day = date(&day).ok_or_else(|| Refusal::address("query", "bill_date", &day, "格式应为yyyy-MM-dd"))?;
        let mut one_of = |name: &str, words: &[&str]| match given.remove(name) {
            Some(word) if !words.contains(&word.as_str()) => {
                Err(Refusal::address("query", name, &word, "不在取值范围内"))
            }
            word => Ok(word),
        };
        let part = one_of(part_name, parts)?;
        let gzip = one_of("tar_type", &["GZIP"])?.is_some();
        Ok(Self {
            day,
            part: part.unwrap_or_else(|| parts.first().copied().unwrap_or_default().to_owned()),
            gzip,
        })
    }
}

/// A bill is of a day that is over, not longer than three months, and ready at ten in the morning.
fn check_day(day: Date, now: Timestamp) -> Result<(), Refusal> {
    let here = tz::offset(8).to_datetime(now);
    let today = here.date();
    if day >= today {
        return Err(Refusal::invalid("账单日期不能是今天或今天以后"));
    }
    if today.checked_sub(3.months()).is_ok_and(|oldest| day < oldest) {
        return Err(Refusal::invalid("只能下载三个月以内的账单"));
    }
    if today.yesterday().is_ok_and(|yesterday| yesterday == day) && here.hour() < READY_AT_HOUR {
        return Err(Refusal::new(400, "STATEMENT_CREATING", "账单正在生成中，请稍后重试"));
    }
    Ok(())
}

/// The members of a query, each known and given once.
fn pairs(query: &str, known: &[&str]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut given = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()).into_owned() {
        let unknown = !known.contains(&name.as_str());
        if unknown || given.contains_key(&name) {
            return Err(Refusal::address("query", &name, &value, "未定义或重复"));
        }
        given.insert(name, value);
    }
    Ok(given)
}

/// `yyyy-MM-dd` and nothing else.
fn date(text: &str) -> Option<Date> {
    let shaped = text.len() == 10
        && text.char_indices().all(|(at, c)| match at {
            4 | 7 => c == '-',
            _ => c.is_ascii_digit(),
        });
    if shaped { text.parse().ok() } else { None }
}

fn sha1_hex(bytes: &[u8]) -> String {
    let digest = Sha1::digest(bytes);
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests;
