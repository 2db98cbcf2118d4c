//! What can become of a question to WeChat Pay, told apart by what may be done about it.

use serde_json::value::RawValue;

use super::verify::NotGenuine;

/// WeChat's refusal: a 4xx with its code.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// WeChat's code, as it came; empty when there was none.
    pub code: String,
    /// WeChat's words for a person.
    pub message: String,
    /// The whole answer, for the caller; `None` when it is empty or not JSON.
    pub body: Option<Box<RawValue>>,
    /// WeChat's `Request-ID`; its support asks for it.
    pub request_id: Option<String>,
    /// Whether the refusal is signed. Only then may it move a state: a proxy can also say 404.
    pub proven: bool,
}

impl Refusal {
    /// Whether this is the code, in any of the spellings that WeChat has used for it.
    pub fn is(&self, code: &str) -> bool {
        let plain = |code: &str| code.replace('_', "");
        plain(&self.code) == plain(code)
    }

    /// Whether it says, with WeChat's signature, that the number is not known: the order or refund was never accepted.
    pub fn proves_absence(&self) -> bool {
        self.proven
            && self.status == 404
            && ["ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS", "NOT_FOUND"]
                .iter()
                .any(|code| self.is(code))
    }

    /// Whether it says that requests come too fast.
    pub fn too_fast(&self) -> bool {
        self.status == 429
    }
}

/// Why a question has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum WechatError {
    /// WeChat said no.
    #[error("refused with {} {}", .0.status, .0.code)]
    Refused(Box<Refusal>),
    /// So many questions are under way that this one was not put at all.
    #[error("too many questions are under way")]
    Busy,
    /// WeChat has not heard the question: the connection was never there, or no answer could have been verified.
    #[error("nothing was sent: {0}")]
    NeverSent(String),
    /// The question may have been heard; what became of it is not known.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(Unknown),
    /// There is an answer, and it is not proven to be WeChat's.
    #[error("the answer is not genuine: {0}")]
    NotGenuine(#[from] NotGenuine),
}

/// Why an outcome is unknown.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unknown {
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// WeChat, or something in front of it, has a failure.
    #[error("status {status} {code}")]
    Failing {
        /// The HTTP status.
        status: u16,
        /// WeChat's code; empty when the answer is not WeChat's.
        code: String,
    },
    /// Signed, and not in the documented form.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

impl WechatError {
    /// One word for each kind, for counts.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Busy => "busy",
            Self::NeverSent(_) => "never_sent",
            Self::OutcomeUnknown(Unknown::TimedOut) => "timed_out",
            Self::OutcomeUnknown(_) => "unknown",
            Self::NotGenuine(_) => "not_genuine",
        }
    }

    /// Whether no answer came in time.
    pub fn timed_out(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(Unknown::TimedOut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever counts them has rules by these words.
    #[test]
    fn each_kind_of_no_answer_keeps_its_word() {
        let words = [
            WechatError::Busy,
            WechatError::OutcomeUnknown(Unknown::TimedOut),
            WechatError::OutcomeUnknown(Unknown::Unreadable(String::new())),
            WechatError::NotGenuine(crate::wechat::verify::NotGenuine::Probe),
        ]
        .map(|error| error.as_str());
        assert_eq!(words, ["busy", "timed_out", "unknown", "not_genuine"]);
    }

    fn refusal(status: u16, code: &str, proven: bool) -> Refusal {
        Refusal {
            status,
            code: code.to_owned(),
            message: String::new(),
            body: None,
            request_id: None,
            proven,
        }
    }

    #[test]
    fn the_spellings_of_a_code_are_one() {
        for spelling in ["ORDERPAID", "ORDER_PAID"] {
            assert!(refusal(400, spelling, true).is("ORDER_PAID"));
        }
        assert!(!refusal(400, "ORDER_CLOSED", true).is("ORDER_PAID"));
    }

    #[test]
    fn only_a_signed_404_with_wechats_code_proves_absence() {
        assert!(refusal(404, "ORDERNOTEXIST", true).proves_absence());
        assert!(refusal(404, "RESOURCE_NOT_EXISTS", true).proves_absence());
        assert!(!refusal(404, "ORDER_NOT_EXIST", false).proves_absence());
        assert!(!refusal(404, "", true).proves_absence());
        assert!(!refusal(404, "MCH_NOT_EXISTS", true).proves_absence());
        assert!(!refusal(400, "ORDER_NOT_EXIST", true).proves_absence());
    }
}
