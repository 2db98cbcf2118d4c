//! Which days have a bill, and where a day begins and ends.

use jiff::civil::{Date, time};
use jiff::{Timestamp, tz};

use crate::domain::reconciliation::Span;

/// The hour in China at which the bill of the day before is ready.
const READY_AT_HOUR: i8 = 10;

/// Why a day has no bill yet.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DayError {
    /// It is not over, or the calendar ends.
    #[error(
        "{0} is not over in China: its bill is ready at 10:00 on the day after / 该日（北京时间）尚未结束，账单于次日 10:00 可用"
    )]
    NotOver(Date),
    /// It is not yet ten in the morning.
    #[error("the bill of {0} is ready at 10:00 today, China time / 该日账单于今日北京时间 10:00 可用")]
    NotReady(Date),
}

/// A day in China that is over and has a bill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    pub(super) date: Date,
    pub(super) span: Span,
}

impl Day {
    pub(super) fn with_a_bill(date: Date, now: Timestamp) -> Result<Self, DayError> {
        let not_over = || DayError::NotOver(date);
        let moment = |date: Date, hour: i8| tz::offset(8).to_timestamp(date.to_datetime(time(hour, 0, 0, 0)));
        let next = date.tomorrow().map_err(|_| not_over())?;
        let (Ok(from), Ok(until), Ok(ready)) = (moment(date, 0), moment(next, 0), moment(next, READY_AT_HOUR)) else {
            return Err(not_over());
        };
        if now < until {
            return Err(not_over());
        }
        if now < ready {
            return Err(DayError::NotReady(date));
        }
        let (from_ms, until_ms) = (from.as_millisecond(), until.as_millisecond());
        Ok(Self {
            date,
            span: Span { from_ms, until_ms },
        })
    }
}

/// The day before this moment's in China.
pub(crate) fn yesterday(now: Timestamp) -> Date {
    let today = tz::offset(8).to_datetime(now).date();
    today.yesterday().unwrap_or(today)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(moment: &str) -> Timestamp {
        moment.parse().unwrap()
    }

    #[test]
    fn a_day_has_a_bill_from_ten_in_the_morning_of_the_next_day_in_china() {
        let day: Date = "2026-11-22".parse().unwrap();
        let refused = |now: &str| Day::with_a_bill(day, at(now)).map(|day| day.date).unwrap_err();
        assert_eq!(refused("2026-11-20T10:00:00+08:00"), DayError::NotOver(day));
        assert_eq!(refused("2026-11-22T23:59:59.999+08:00"), DayError::NotOver(day));
        assert_eq!(refused("2026-11-22T16:00:00Z"), DayError::NotReady(day));
        assert_eq!(refused("2026-11-23T09:59:59.999+08:00"), DayError::NotReady(day));
        assert!(Day::with_a_bill(day, at("2026-11-23T02:00:00Z")).is_ok());
        assert_eq!(
            Day::with_a_bill(Date::MAX, Timestamp::MAX).map(|day| day.date),
            Err(DayError::NotOver(Date::MAX))
        );
    }

    #[test]
    fn a_day_is_chinas_from_midnight_to_midnight() {
        let day = Day::with_a_bill("2026-11-22".parse().unwrap(), at("2027-01-01T00:00:00Z")).unwrap();
        for (moment, is_in) in [
            ("2026-11-21T23:59:59.999+08:00", false),
            ("2026-11-22T00:00:00+08:00", true),
            ("2026-11-22T15:59:59.999Z", true),
            ("2026-11-23T00:00:00+08:00", false),
        ] {
            assert_eq!(day.span.holds(at(moment).as_millisecond()), is_in, "{moment}");
        }
        assert_eq!(yesterday(at("2026-11-22T16:00:00Z")).to_string(), "2026-11-22");
        assert_eq!(yesterday(at("2026-11-22T15:59:59Z")).to_string(), "2026-11-21");
    }
}
