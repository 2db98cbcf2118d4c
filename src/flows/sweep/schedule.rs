//! When WeChat is asked about what is still open.
//!
//! A callback that is lost must not keep a paid order unknown, and an order may cost 12 questions in its whole life. Most buyers pay
//! within a minute of the order, so nine questions are spent on its first 81 seconds: a payment in that time is known 9 seconds later
//! at the latest, and the time of the question itself. One more comes between that and the order's end, one at its end, just before it
//! is closed, and one when it was closed, for a payment that overtook the close.
//!
//! The moments are counted from the acceptance of the order, not from the last question: slow answers do not add up, and what was missed
//! while nobody swept is not made up for.

use crate::domain::order::Order;
use crate::flows::{FIRST_ASK_MS, INTENT_GRACE_MS};

/// Questions in a life that WeChat answers, at most.
const MOST: i64 = 12;

/// Of these, for the end: one before the order is closed, one after.
const FOR_THE_END: i64 = 2;

/// Questions while the buyer is paying, each `FIRST_ASK_MS` after the one before.
const DENSE: i64 = 9;

/// Milliseconds after which WeChat closes an order that names no end (APIv3, "time limits").
const WECHATS_OWN_END_MS: i64 = 7 * 86_400_000;

/// Milliseconds that WeChat is given to close an order by itself.
const WECHAT_CLOSES_MS: i64 = 3_600_000;

/// Longest pause, in milliseconds, before a question that WeChat did not answer is put again.
const LONGEST_PAUSE_MS: i64 = 3_600_000;

/// Milliseconds between one question about a refund under way and the next; to a card it can take days.
const REFUND_PAUSES_MS: [i64; 7] = [60_000, 300_000, 600_000, 1_200_000, 1_800_000, 21_600_000, 86_400_000];

/// The same for a transfer under way; its receiver has 24 hours.
const TRANSFER_PAUSES_MS: [i64; 7] = [60_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 21_600_000];

/// From when to when an order is asked about, Unix milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Life {
    from: i64,
    end: i64,
    /// Whether it is closed here at its end; WeChat closes the others.
    closes: bool,
}

impl Life {
    /// An order lives to the end that it was placed with, else for so long. One that WeChat is only now known to have begins now.
    pub(super) fn of(order: &Order, close_unpaid_after_ms: Option<i64>, now: i64) -> Self {
        let from = order.accepted_at.unwrap_or(now);
        let own = time_expire(&order.request);
        match close_unpaid_after_ms {
            Some(after) => Self {
                from,
                end: own.unwrap_or_else(|| from.saturating_add(after)),
                closes: true,
            },
            None => Self {
                from,
                end: own
                    .unwrap_or_else(|| from.saturating_add(WECHATS_OWN_END_MS))
                    .saturating_add(WECHAT_CLOSES_MS),
                closes: false,
            },
        }
    }

    /// Whether it is time to close the order.
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.closes && now >= self.end
    }

    /// When WeChat is asked about it next, after `asked` questions that it answered with "unpaid"; `None` is never again.
    pub(super) fn next(&self, asked: i64, now: i64) -> Option<i64> {
        let early = asked < MOST - FOR_THE_END;
        self.early()
            .filter(|at| early && *at < self.end)
            .chain([self.end])
            .find(|at| *at > now)
    }

    /// The moments before its end.
    fn early(&self) -> impl Iterator<Item = i64> {
        let dense = (1..=DENSE).map(|n| n.saturating_mul(FIRST_ASK_MS));
        // As many times later than the last of these as the end is later than it: minutes for an order of minutes, hours for one of days.
        let length = self.end.saturating_sub(self.from).max(0);
        let middle = DENSE.saturating_mul(FIRST_ASK_MS).saturating_mul(length).isqrt();
        dense.chain([middle]).map(|after| self.from.saturating_add(after))
    }
}

/// Milliseconds until a question that WeChat did not answer is put again, by how old its subject is: ever more seldom, and for ever.
pub(super) fn unanswered(age: i64) -> i64 {
    (age / 2).clamp(INTENT_GRACE_MS, LONGEST_PAUSE_MS)
}

/// Milliseconds until a refund is asked about again.
pub(super) fn refund(asked: i64) -> i64 {
    nth(&REFUND_PAUSES_MS, asked)
}

/// Milliseconds until a transfer is asked about again.
pub(super) fn transfer(asked: i64) -> i64 {
    nth(&TRANSFER_PAUSES_MS, asked)
}

/// The pause after the n-th question; the last one after all further ones.
fn nth(pauses: &[i64], asked: i64) -> i64 {
    let index = usize::try_from(asked.saturating_sub(1)).unwrap_or(0);
    let pause = pauses.get(index).or_else(|| pauses.last());
    pause.copied().unwrap_or(LONGEST_PAUSE_MS)
}

/// Until when the order may be paid by its own word, Unix milliseconds.
fn time_expire(request: &str) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Request {
        time_expire: Option<String>,
    }
    let request: Request = serde_json::from_str(request).ok()?;
    Some(request.time_expire?.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: [i64; 13] = [1, 9, 60, 85, 86, 90, 300, 600, 1800, 7200, 86_400, 604_800, 1_296_000];

    fn life(seconds: i64, closes: bool) -> Life {
        Life {
            from: 0,
            end: seconds * 1000,
            closes,
        }
    }

    /// When an order that stays unpaid is asked about until it is closed or left alone, milliseconds after its acceptance. Each question
    /// takes so long.
    fn asks(life: Life, takes: i64) -> Vec<i64> {
        let mut asks = Vec::new();
        let mut now = 0;
        while let Some(at) = life
            .next(i64::try_from(asks.len()).unwrap(), now)
            .filter(|_| !life.is_over(now))
        {
            asks.push(at.max(now));
            now = at.max(now) + takes;
        }
        asks
    }

    #[test]
    fn an_order_of_ten_minutes_is_asked_about_while_its_buyer_pays_once_between_and_at_its_end() {
        let dense = [9_000, 18_000, 27_000, 36_000, 45_000, 54_000, 63_000, 72_000, 81_000];
        assert_eq!(asks(life(600, true), 0), [&dense[..], &[220_454, 600_000]].concat());
        assert_eq!(
            asks(life(7200, true), 0),
            [&dense[..], &[763_675, 7_200_000]].concat(),
            "the longer it lives, the later"
        );
    }

    #[test]
    fn a_payment_in_the_first_81_seconds_is_known_within_ten() {
        for seconds in LIVES {
            let asks = asks(life(seconds, true), 0);
            for paid in (0..81_000).filter(|paid| *paid < seconds * 1000) {
                let known = asks.iter().find(|at| **at > paid);
                assert!(
                    known.is_some_and(|at| at - paid <= 9_000),
                    "paid {paid} ms after, of {seconds} s"
                );
            }
        }
    }

    #[test]
    fn no_order_is_asked_about_more_than_12_times() {
        for seconds in LIVES {
            for takes in [0, 200, 9_499, 9_501, 20_000] {
                let closed = asks(life(seconds, true), takes);
                // And once when it was closed.
                assert!(closed.len() < 12, "{seconds} s: {closed:?}");
                assert!(closed.is_sorted(), "{seconds} s: {closed:?}");
                assert!(
                    closed.last().unwrap() + takes >= seconds * 1000,
                    "{seconds} s: asked at its end"
                );
                let left = asks(life(seconds, false), takes);
                assert!(left.len() < 12 && left.is_sorted(), "{seconds} s: {left:?}");
            }
        }
    }

    #[test]
    fn questions_that_were_needed_before_the_acceptance_are_saved_later_and_the_end_keeps_its_own() {
        let life = life(600, true);
        assert_eq!(life.next(9, 80_000), Some(81_000));
        assert_eq!(life.next(10, 80_000), Some(600_000));
        assert_eq!(life.next(1000, 80_000), Some(600_000));
    }

    #[test]
    fn what_nobody_swept_for_is_not_made_up_for() {
        assert_eq!(life(600, true).next(1, 62_000), Some(63_000));
        assert_eq!(life(600, true).next(1, 599_999), Some(600_000));
        assert_eq!(life(600, true).next(1, 600_000), None, "it is to be closed");
    }

    #[test]
    fn what_is_not_answered_is_asked_again_ever_more_seldom_and_for_ever() {
        let mut age = 0;
        let pauses: Vec<i64> = (0..40)
            .map(|_| {
                let pause = unanswered(age);
                age += pause;
                pause
            })
            .collect();
        assert!(
            pauses.is_sorted() && pauses[0] == 15_000 && pauses[39] == 3_600_000,
            "{pauses:?}"
        );
        for pauses in [refund, transfer] {
            let asked: Vec<i64> = (1..10).map(pauses).collect();
            assert!(asked.is_sorted() && asked[0] > 0, "{asked:?}");
            assert_eq!(pauses(10), pauses(1_000_000));
        }
    }

    #[test]
    fn an_order_that_is_not_closed_here_is_asked_about_when_wechat_has_closed_it() {
        let left = life(604_800 + 3600, false);
        assert!(!left.is_over(i64::MAX));
        assert_eq!(asks(left, 0).last(), Some(&608_400_000));
        assert_eq!(left.next(1, 608_400_000), None);
    }

    #[test]
    fn an_orders_own_end_is_read_from_what_was_asked() {
        let request = r#"{"out_trade_no":"ORDER_1","time_expire":"2026-11-23T16:00:00+08:00"}"#;
        assert_eq!(time_expire(request), Some(1_795_420_800_000));
        assert_eq!(time_expire("{}"), None);
    }
}
