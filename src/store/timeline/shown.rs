//! What happened, in one line for a person.

use std::fmt;

use super::{Cause, Happened};

impl Happened {
    /// Where it is kept.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Order { .. } => "order",
            Self::Refund { .. } => "refund",
            Self::Transfer { .. } => "transfer",
            Self::Request { .. } => "request",
            Self::Callback { .. } => "callback",
            Self::Event { .. } => "event",
            Self::Attempt { .. } => "webhook",
            Self::Anomaly { .. } => "anomaly",
            Self::Resolved { .. } => "resolved",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "asked for here",
            Self::Answer => "WeChat Pay's answer",
            Self::Callback => "a callback",
        })
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { state, cause } => write!(f, "{state}: {cause}"),
            Self::Transfer { state, cause } => write!(f, "{state}: {cause}"),
            Self::Refund {
                out_refund_no,
                state,
                amount_fen,
                cause,
            } => write!(f, "{out_refund_no} {} yuan {state}: {cause}", amount_fen.yuan()),
            Self::Request {
                action,
                subject,
                who,
                outcome,
                times,
                ..
            } => {
                let space = if subject.is_empty() { "" } else { " " };
                write!(f, "{action}{space}{subject} by {who}: {outcome}, {}", often(*times))
            }
            Self::Callback {
                fact,
                event_type,
                proof,
                outcome,
                times,
                ..
            } => {
                let event_type = event_type.as_deref().unwrap_or("no event type");
                write!(f, "{event_type} {fact} proven by {proof}: {outcome}, {}", often(*times))
            }
            Self::Event {
                event_id,
                name,
                delivery,
                attempts,
                ..
            } => write!(f, "{name} {event_id}: {delivery}, attempts {attempts}"),
            Self::Attempt {
                name,
                attempt,
                status,
                problem,
                took_ms,
                ..
            } => {
                let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                write!(f, "{name} attempt {attempt}: {status} in {took_ms} ms")?;
                problem.as_ref().map_or(Ok(()), |problem| write!(f, ", {problem}"))
            }
            Self::Anomaly {
                anomaly_id,
                name,
                subject,
                resolved_at_ms,
            } => {
                let standing = if resolved_at_ms.is_some() { "resolved" } else { "OPEN" };
                write!(f, "{name} of {subject} {anomaly_id}: {standing}")
            }
            Self::Resolved {
                anomaly_id,
                name,
                by,
                note,
            } => {
                write!(f, "{name} {anomaly_id}")?;
                by.as_ref().map_or(Ok(()), |by| write!(f, " by {by}"))?;
                write!(f, ": {}", note.as_deref().unwrap_or_default())
            }
        }
    }
}

fn often(times: i64) -> String {
    if times == 1 {
        "once".to_owned()
    } else {
        format!("{times} times")
    }
}
