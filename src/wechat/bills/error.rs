//! Why a bill may not be believed.

use crate::wechat::error::WechatError;

/// Why there is no bill, or none that may be believed.
#[derive(Debug, thiserror::Error)]
pub enum BillError {
    /// The question, or the connection while the file came. An expired address is [`WechatError::Refused`]: apply again.
    #[error(transparent)]
    Wechat(#[from] WechatError),
    /// The gzip file is damaged or ends too soon.
    #[error("the gzip file cannot be unpacked: {0}")]
    Packing(String),
    /// The text is not in the documented form.
    #[error("the bill cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// Another file than WeChat has signed the hash of.
    #[error("the bill has the hash {found}, and WeChat has signed {signed}")]
    Hash {
        /// What WeChat has signed.
        signed: String,
        /// What the text that came has.
        found: String,
    },
    /// The summary at its end says something else than its rows.
    #[error("the summary of the bill does not agree with its rows: {0:?}")]
    Summary(Vec<Difference>),
    /// Nobody takes the rows any more.
    #[error("nobody takes the rows of the bill any more")]
    Abandoned,
}

/// A number of the summary that the rows do not come to. Both in the unit of the column: ones, fen, or hundred-thousandths of a yuan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The column of the summary.
    pub column: &'static str,
    /// What the summary says.
    pub said: i64,
    /// What the rows come to.
    pub counted: i128,
}

/// What is wrong with the text of a bill, and where. Nothing of its content is repeated: a bill has the openids of payers.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, {column}: {problem}")]
pub struct Malformed {
    /// From 1.
    pub line: u64,
    /// The name of the column, or how many bytes or cells into the line.
    pub column: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with the text of a bill.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Longer than any line of a bill.
    #[error("the line is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The first line does not name columns.
    #[error("there is no header")]
    NoHeader,
    /// A column is not there that has to be.
    #[error("the column is missing")]
    NoColumn,
    /// Two columns of one name.
    #[error("the column is there twice")]
    Twice,
    /// A row with more cells, or fewer, than its header.
    #[error("{found} cells, and the header has {expected}")]
    Cells {
        /// Columns of the header.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// The values of the summary begin without a backtick.
    #[error("the line does not begin with a backtick")]
    NoBacktick,
    /// Not `yyyy-MM-dd HH:mm:ss`.
    #[error("it is no time")]
    NotTime,
    /// Not a whole number of fen, written in yuan, or negative.
    #[error("it is no amount")]
    NotAmount,
    /// Not an amount of at most five decimals.
    #[error("it is no fee")]
    NotFee,
    /// Not a whole number.
    #[error("it is no number")]
    NotNumber,
    /// Neither income nor expense.
    #[error("it is neither income nor expense")]
    NotDirection,
    /// The row of a refund without the number of one.
    #[error("there is a refund without a number")]
    NoRefundNumber,
    /// It ends before its summary.
    #[error("it ends before its summary")]
    NoSummary,
    /// Something follows the summary.
    #[error("something follows the summary")]
    AfterSummary,
}
