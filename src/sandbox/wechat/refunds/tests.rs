use super::super::books::{Channel, TradeState};
use super::super::buyer::{Payment, RefundEnd};
use super::*;
use crate::sandbox::{Keys, testing};

const NUMBER: &str = "ORD20261123000001";

/// Books with one order of 100 fen, of which the buyer paid 90.
fn paid() -> (Books, Timestamp) {
    let (mut books, keys) = (Books::default(), Keys::shared());
    let now = "2026-11-23T15:04:05+08:00".parse().unwrap();
    books
        .prepay(Channel::Jsapi, testing::order(&keys, NUMBER), &keys, now)
        .unwrap();
    let coupon = Payment {
        payer_total: Some(90),
        ..Payment::default()
    };
    books.pay(NUMBER, &coupon, now).unwrap();
    (books, now)
}

fn body(out_refund_no: &str, refund: i64) -> Value {
    json!({
        "out_trade_no": NUMBER, "out_refund_no": out_refund_no,
        "amount": {"refund": refund, "total": 100, "currency": "CNY"},
    })
}

fn code(result: Result<Accepted, Refusal>) -> (u16, String) {
    let refusal = result.err().unwrap();
    (refusal.status, refusal.code)
}

fn coded(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_refund_is_accepted_before_it_arrives() {
    let (mut books, now) = paid();
    let accepted = books.refund(body("R1", 40), now).unwrap();
    assert_eq!(accepted.answer["status"], "PROCESSING");
    assert_eq!(accepted.answer.get("success_time"), None);
    assert_eq!(
        accepted.answer["amount"],
        json!({
            "total": 100, "refund": 40, "payer_total": 90, "payer_refund": 36, "settlement_refund": 36,
            "settlement_total": 90, "discount_refund": 4, "currency": "CNY",
        })
    );
    assert_eq!(books.orders[NUMBER].state(now), TradeState::Refund);
    books.end_refund("R1", RefundEnd::Success, now).unwrap();
    let arrived = books.query_refund("R1").unwrap();
    assert_eq!(
        (&arrived["status"], &arrived["success_time"]),
        (&json!("SUCCESS"), &json!("2026-11-23T15:04:05+08:00"))
    );
}

#[test]
fn the_sum_of_refunds_never_passes_the_order() {
    let (mut books, now) = paid();
    books.refund(body("R1", 60), now).unwrap();
    assert_eq!(code(books.refund(body("R2", 41), now)), coded(400, "INVALID_REQUEST"));
    books.refund(body("R2", 40), now).unwrap();
    assert_eq!(code(books.refund(body("R3", 1), now)), coded(400, "INVALID_REQUEST"));
    // What is abnormal keeps its amount, what is closed gives it back.
    books.end_refund("R1", RefundEnd::Abnormal, now).unwrap();
    assert_eq!(code(books.refund(body("R3", 1), now)), coded(400, "INVALID_REQUEST"));
    books.end_refund("R2", RefundEnd::Closed, now).unwrap();
    books.refund(body("R3", 40), now).unwrap();
}

#[test]
fn the_same_refund_again_is_the_existing_one() {
    let (mut books, now) = paid();
    let first = books.refund(body("R1", 100), now).unwrap();
    let again = books.refund(body("R1", 100), now).unwrap();
    assert!(first.is_new && !again.is_new);
    assert_eq!(first.answer, again.answer);
    assert_eq!(code(books.refund(body("R1", 99), now)), coded(400, "INVALID_REQUEST"));
}

#[test]
fn the_number_of_wechat_wins_over_the_number_of_the_merchant() {
    let (mut books, now) = paid();
    let transaction_id = books.orders[NUMBER].paid.clone().unwrap().transaction_id;
    let mut by_id = body("R1", 1);
    by_id["out_trade_no"] = json!("ORDER_OF_SOMEBODY");
    by_id["transaction_id"] = json!(transaction_id);
    assert_eq!(books.refund(by_id, now).unwrap().answer["out_trade_no"], NUMBER);
    let mut wrong = body("R2", 1);
    wrong["transaction_id"] = json!("4200002026202611230000000000");
    assert_eq!(code(books.refund(wrong, now)), coded(404, "RESOURCE_NOT_EXISTS"));
}

#[test]
fn nothing_is_refunded_that_was_not_paid() {
    let (mut books, now) = paid();
    let keys = Keys::shared();
    books
        .prepay(Channel::Jsapi, testing::order(&keys, "UNPAID_1"), &keys, now)
        .unwrap();
    for number in ["UNPAID_1", "UNKNOWN_1"] {
        let mut refund = body("R1", 1);
        refund["out_trade_no"] = json!(number);
        assert_eq!(code(books.refund(refund, now)), coded(404, "RESOURCE_NOT_EXISTS"));
    }
    assert_eq!(books.query_refund("R1").unwrap_err().code, "RESOURCE_NOT_EXISTS");
}

#[test]
fn the_total_of_the_order_is_repeated_and_the_window_is_a_year() {
    let (mut books, now) = paid();
    let mut rest = body("R1", 40);
    rest["amount"]["total"] = json!(60);
    assert_eq!(code(books.refund(rest, now)), coded(400, "INVALID_REQUEST"));
    let late = now + SignedDuration::from_hours(366 * 24);
    assert_eq!(code(books.refund(body("R1", 40), late)), coded(400, "INVALID_REQUEST"));
}

#[test]
fn an_order_has_fifty_refunds_at_most() {
    let (mut books, now) = paid();
    for n in 0..50 {
        books.refund(body(&format!("R{n}"), 1), now).unwrap();
    }
    assert_eq!(code(books.refund(body("R50", 1), now)), coded(400, "INVALID_REQUEST"));
}

#[test]
fn refunds_of_one_order_keep_their_distance_when_asked_to() {
    let (mut books, now) = paid();
    books.refund_gap = std::time::Duration::from_mins(1);
    books.refund(body("R1", 1), now).unwrap();
    assert_eq!(code(books.refund(body("R2", 1), now)), coded(429, "FREQUENCY_LIMITED"));
    books.refund(body("R1", 1), now).unwrap();
    books.refund(body("R2", 1), now + SignedDuration::from_mins(1)).unwrap();
}

#[test]
fn a_merchant_without_money_cannot_refund() {
    let (mut books, now) = paid();
    books.balance = Some(50);
    assert_eq!(code(books.refund(body("R1", 51), now)), coded(403, "NOT_ENOUGH"));
    books.refund(body("R1", 50), now).unwrap();
    assert_eq!(code(books.refund(body("R2", 1), now)), coded(403, "NOT_ENOUGH"));
    books.end_refund("R1", RefundEnd::Closed, now).unwrap();
    books.refund(body("R2", 50), now).unwrap();
}

#[test]
fn a_refund_ends_once_but_an_abnormal_one_can_still_end_well() {
    let (mut books, now) = paid();
    books.refund(body("R1", 1), now).unwrap();
    books.end_refund("R1", RefundEnd::Abnormal, now).unwrap();
    assert!(books.end_refund("R1", RefundEnd::Closed, now).is_err());
    let ended = books.end_refund("R1", RefundEnd::Success, now).unwrap();
    assert!(books.end_refund("R1", RefundEnd::Success, now).is_err());
    let told = announcement(&ended, "1900007291");
    assert_eq!(told["refund_status"], "SUCCESS");
    assert_eq!(
        told["amount"],
        json!({"total": 100, "refund": 1, "payer_total": 90, "payer_refund": 0})
    );
    assert_eq!((told.get("status"), told.get("channel")), (None, None));
}
