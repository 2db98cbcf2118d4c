//! When WeChat is asked about what is still open.
//!
//! A callback that is lost must not keep a paid order unknown. Most buyers pay within a minute of the order, so for that long WeChat is
//! asked every 8 seconds: a payment in the first 64 seconds is known 8 seconds later at the latest, and the time of the questions
//! themselves. After that come three questions in the order's whole life, whichever of these are first: one after 3 minutes, one after
//! 10, one at its end, when it is closed; and one more when it was closed, for a payment that overtook the close. That is 12 at most.

use crate::domain::order::Order;

/// Milliseconds from the n-th question about an unpaid order to the next.
const ORDER_PAUSES_MS: [i64; 9] = [8_000, 8_000, 8_000, 8_000, 8_000, 8_000, 8_000, 116_000, 420_000];

/// The same once those are used up, for an order that has no end: nothing can be paid two hours after it was placed, unless it is asked
/// for again, and that asks WeChat.
const ENDLESS_PAUSES_MS: [i64; 2] = [1_800_000, 5_400_000];

/// What WeChat did not answer is no question about the order; it is repeated after so many milliseconds when nothing else is due before.
const UNANSWERED_MS: [i64; 5] = [8_000, 30_000, 60_000, 300_000, 1_800_000];

/// Milliseconds between one question about an intent and the next: an order, a close, of which nobody knows what became.
const INTENT_PAUSES_MS: [i64; 6] = [15_000, 30_000, 60_000, 120_000, 300_000, 1_800_000];

/// The same for a refund under way; to a card it can take days.
const REFUND_PAUSES_MS: [i64; 7] = [60_000, 300_000, 600_000, 1_200_000, 1_800_000, 21_600_000, 86_400_000];

/// The same for a transfer under way; its receiver has 24 hours.
const TRANSFER_PAUSES_MS: [i64; 7] = [60_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 21_600_000];

/// When WeChat is asked next about an order that it said is unpaid, after `asked` questions; `None` is never again. `end` is when the
/// order is closed.
pub(super) fn unpaid(asked: i64, now: i64, end: Option<i64>) -> Option<i64> {
    let done = usize::try_from(asked.saturating_sub(1)).unwrap_or(0);
    let pause = ORDER_PAUSES_MS.get(done);
    let next = pause.map(|pause| now.saturating_add(*pause));
    match (next, end) {
        (Some(next), Some(end)) => Some(next.min(end.max(now))),
        (None, Some(end)) => Some(end.max(now)),
        (Some(next), None) => Some(next),
        (None, None) => ENDLESS_PAUSES_MS
            .get(done.saturating_sub(ORDER_PAUSES_MS.len()))
            .map(|pause| now.saturating_add(*pause)),
    }
}

/// Milliseconds until a question that WeChat did not answer is put again.
pub(super) fn unanswered(asked: i64) -> i64 {
    nth(&UNANSWERED_MS, asked)
}

/// Milliseconds until an intent is asked about again.
pub(super) fn intent(asked: i64) -> i64 {
    nth(&INTENT_PAUSES_MS, asked)
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
    pause.copied().unwrap_or(UNANSWERED_MS[0])
}

/// When an unpaid order is closed, Unix milliseconds: at the end that it was placed with, else so long after its acceptance.
pub(super) fn end(order: &Order, close_unpaid_after_ms: Option<i64>) -> Option<i64> {
    let after = close_unpaid_after_ms?;
    let accepted = order.accepted_at.unwrap_or(order.created_at);
    Some(time_expire(&order.request).unwrap_or_else(|| accepted.saturating_add(after)))
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
    use crate::flows::FIRST_ASK_MS;

    /// When an order that stays unpaid is asked about, milliseconds after its acceptance, until it is closed or nobody asks any more.
    fn life(end: Option<i64>) -> Vec<i64> {
        let mut asks = vec![FIRST_ASK_MS];
        while let Some(now) = asks.last().copied().filter(|now| end.is_none_or(|end| *now < end)) {
            let asked = i64::try_from(asks.len()).unwrap();
            match unpaid(asked, now, end) {
                Some(next) => asks.push(next),
                None => break,
            }
        }
        asks
    }

    #[test]
    fn an_unpaid_order_is_asked_about_every_8_seconds_while_its_buyer_pays_and_at_its_end() {
        let seconds: Vec<i64> = life(Some(600_000)).iter().map(|ms| ms / 1000).collect();
        assert_eq!(seconds, [8, 16, 24, 32, 40, 48, 56, 64, 180, 600]);
    }

    #[test]
    fn no_order_is_asked_about_more_than_12_times() {
        for end in [1, 8, 9, 60, 300, 600, 601, 1800, 7200, 7 * 86_400] {
            let asks = life(Some(end * 1000));
            // And once when it was closed.
            assert!(asks.len() < 12, "{end} s: {asks:?}");
            assert!(asks.is_sorted(), "{end} s: {asks:?}");
            assert!(*asks.last().unwrap() >= end * 1000, "{end} s: asked at its end");
        }
        assert_eq!(life(None).len(), 12);
    }

    #[test]
    fn an_end_that_is_over_is_now() {
        assert_eq!(unpaid(1, 1000, Some(5)), Some(1000));
        assert_eq!(unpaid(40, 1000, Some(5)), Some(1000));
    }

    #[test]
    fn what_is_not_answered_is_asked_again_ever_more_seldom_and_for_ever() {
        for pauses in [unanswered, intent, refund, transfer] {
            let asked: Vec<i64> = (1..10).map(pauses).collect();
            assert!(asked.is_sorted() && asked[0] > 0, "{asked:?}");
            assert_eq!(pauses(10), pauses(1_000_000));
        }
    }

    #[test]
    fn an_orders_own_end_is_read_from_what_was_asked() {
        let request = r#"{"out_trade_no":"ORDER_1","time_expire":"2026-11-23T16:00:00+08:00"}"#;
        assert_eq!(time_expire(request), Some(1_795_420_800_000));
        assert_eq!(time_expire("{}"), None);
    }
}
