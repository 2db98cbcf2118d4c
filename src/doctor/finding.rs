//! One line of what `doctor` found.

use crate::text::Text;
use crate::wechat::advice::Advice;

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It was not looked at, and the line says why.
    Skipped,
    /// It works, and has a price or a risk.
    Warning,
    /// Payments do not work like that.
    Failed,
}

impl Verdict {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was looked at, how it is, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    /// A stable name for scripts: the part, a point, and what of it.
    pub(crate) check: String,
    pub(crate) verdict: Verdict,
    pub(crate) why: Text,
    /// What to do; `None` where there is nothing, or where `why` says it already.
    pub(crate) cure: Option<Text>,
}

impl Finding {
    fn new(check: impl Into<String>, verdict: Verdict, chinese: String, english: String) -> Self {
        Self {
            check: check.into(),
            verdict,
            why: Text { chinese, english },
            cure: None,
        }
    }

    pub(crate) fn ok(check: impl Into<String>, chinese: impl Into<String>, english: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, chinese.into(), english.into())
    }

    pub(crate) fn skipped(check: impl Into<String>, chinese: impl Into<String>, english: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, chinese.into(), english.into())
    }

    pub(crate) fn warning(check: impl Into<String>, chinese: impl Into<String>, english: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, chinese.into(), english.into())
    }

    pub(crate) fn failed(check: impl Into<String>, chinese: impl Into<String>, english: impl Into<String>) -> Self {
        Self::new(check, Verdict::Failed, chinese.into(), english.into())
    }

    /// With what to do.
    pub(crate) fn cure(mut self, chinese: impl Into<String>, english: impl Into<String>) -> Self {
        self.cure = Some(Text::new(chinese, english));
        self
    }

    /// With what is known about a refusal of WeChat's, if anything is.
    pub(crate) fn advised(self, advice: Option<Advice>) -> Self {
        match advice {
            Some(Advice { english, chinese }) => self.cure(chinese, english),
            None => self,
        }
    }
}
