//! A day's bill against the books: what fits is left alone, what does not is found, and nothing counts of a bill that is not WeChat's.

use pay_common::domain::reconciliation::Bill;
use pay_common::sandbox::{BillFault, BillLines, RefundEnd, TradeLine};
use serde_json::{Value, json};

use crate::support::app::{TestApp, refund};
use crate::support::bills::{DAY, Found, after_a_day, payment, refunded};
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    a_day_agrees_and_so_do_its_neighbours,
    each_injected_difference_is_found_and_none_is_invented,
    what_the_books_have_wrong_is_found_too,
    nothing_counts_of_a_bill_that_may_not_be_believed,
    a_day_without_a_bill_is_refused_and_one_without_lines_is_empty,
    the_same_difference_is_one_anomaly_however_often_it_is_found,
    what_a_lost_callback_told_is_repaired_by_asking,
    a_refund_of_which_only_a_callback_told_belongs_to_the_day_that_wechat_says,
    an_order_that_was_placed_before_these_books_existed_agrees,
    transfers_are_compared_with_the_fund_flow,
);

/// Kind, subject and number of a difference.
type Named<'a> = (&'a str, &'a str, &'a str);

/// What a test does to the lines of a bill.
type Change = fn(&mut BillLines);

fn found(differences: &[Named]) -> Found {
    let mut found: Found = differences
        .iter()
        .map(|(kind, subject, number)| ((*kind).to_owned(), (*subject).to_owned(), (*number).to_owned()))
        .collect();
    found.sort();
    found
}

/// A column of the last run.
async fn last(t: &TestApp, column: &str) -> String {
    let query =
        format!("SELECT CAST({column} AS TEXT) FROM reconciliations ORDER BY began_at DESC, run_id DESC LIMIT 1");
    t.texts(&query).await.remove(0)
}

async fn a_day_agrees_and_so_do_its_neighbours(store: Store) {
    let t = after_a_day(store).await;
    let run = t
        .service
        .reconcile(DAY.parse().unwrap(), Bill::Trade, false)
        .await
        .unwrap();
    assert_eq!(t.differences(&run.run_id).await, []);
    assert_eq!((run.lines, run.others, run.repairs), (8, 0, None));
    assert_eq!(run.here, run.there);
    assert_eq!((run.here.payments.count, run.here.payments.fen), (3, 800));
    assert_eq!((run.here.refunds.count, run.here.refunds.fen), (5, 200));
    assert_eq!(last(&t, "outcome").await, "AGREE");
    let sums: Value = serde_json::from_str(&last(&t, "sums").await).unwrap();
    assert_eq!(sums["here"]["payments"], json!({"count": 3, "fen": 800}));
    assert_eq!(sums["here"], sums["there"]);

    assert_eq!(t.reconciled("2026-11-21", false).await.1, []);
    t.go_to("2026-11-24T10:00:00+08:00");
    assert_eq!(t.reconciled("2026-11-23", false).await.1, []);
    // A day later the bill is still the same.
    assert_eq!(t.reconciled(DAY, true).await.1, []);
    assert_eq!(t.anomalies().await, Vec::<String>::new());
}

/// A line of another order.
fn other(lines: &BillLines, number: &str) -> TradeLine {
    let line = lines.trade.iter().find(|line| line.out_trade_no == "ORDER_1").unwrap();
    TradeLine {
        out_trade_no: number.to_owned(),
        transaction_id: format!("4200{number}"),
        ..line.clone()
    }
}

async fn each_injected_difference_is_found_and_none_is_invented(store: Store) {
    let t = after_a_day(store).await;
    let changes: &[(Change, &[Named])] = &[
        (|_| {}, &[]),
        (|lines| lines.trade.reverse(), &[]),
        // Another system of the merchant, under an app of its own.
        (
            |lines| {
                let foreign = TradeLine {
                    appid: "wxffffffffffffffff".to_owned(),
                    ..other(lines, "POS_1")
                };
                lines.trade.push(foreign);
            },
            &[],
        ),
        // A refund may have gone on since the bill was made.
        (
            |lines| refunded(lines, "R_SUCCESS").status = "PROCESSING".to_owned(),
            &[],
        ),
        (
            |lines| refunded(lines, "R_CLOSED").status = "PROCESSING".to_owned(),
            &[],
        ),
        (|lines| refunded(lines, "R_LATER").status = "CHANGE".to_owned(), &[]),
        // It moved no money, whether it is listed or not.
        (
            |lines| {
                lines.trade.retain(|line| {
                    line.refund
                        .as_ref()
                        .is_none_or(|refund| refund.out_refund_no != "R_CLOSED")
                })
            },
            &[],
        ),
        (
            |lines| lines.trade.push(other(lines, "POS_1")),
            &[("missing_here", "payment", "POS_1")],
        ),
        (
            |lines| lines.trade.retain(|line| line.out_trade_no != "ORDER_LATE"),
            &[("missing_there", "payment", "ORDER_LATE")],
        ),
        (
            |lines| lines.trade.clear(),
            &[
                ("missing_there", "payment", "ORDER_1"),
                ("missing_there", "payment", "ORDER_2"),
                ("missing_there", "payment", "ORDER_LATE"),
                ("missing_there", "refund", "R_SUCCESS"),
                ("missing_there", "refund", "R_LATER"),
                ("missing_there", "refund", "R_STUCK"),
                ("missing_there", "refund", "R_EVE"),
            ],
        ),
        (
            |lines| payment(lines, "ORDER_1").total = 101,
            &[("amount", "payment", "ORDER_1")],
        ),
        (
            |lines| payment(lines, "ORDER_1").currency = "USD".to_owned(),
            &[("amount", "payment", "ORDER_1")],
        ),
        (
            |lines| payment(lines, "ORDER_1").state = "REVOKED".to_owned(),
            &[("state", "payment", "ORDER_1")],
        ),
        (
            |lines| payment(lines, "ORDER_1").transaction_id = "4200000000000000000000000009".to_owned(),
            &[("state", "payment", "ORDER_1")],
        ),
        (
            |lines| payment(lines, "ORDER_1").appid = "wxffffffffffffffff".to_owned(),
            &[("state", "payment", "ORDER_1")],
        ),
        // It was placed here, and was not paid as far as is known.
        (
            |lines| {
                lines.trade.push(TradeLine {
                    total: 300,
                    ..other(lines, "ORDER_OPEN")
                })
            },
            &[("state", "payment", "ORDER_OPEN")],
        ),
        (
            |lines| {
                lines.trade.push(TradeLine {
                    total: 400,
                    ..other(lines, "ORDER_CLOSED")
                })
            },
            &[("state", "payment", "ORDER_CLOSED")],
        ),
        (
            |lines| {
                let twice = payment(lines, "ORDER_2").clone();
                lines.trade.push(twice);
            },
            &[("missing_here", "payment", "ORDER_2")],
        ),
        (
            |lines| refunded(lines, "R_SUCCESS").amount = 29,
            &[("refund", "refund", "R_SUCCESS")],
        ),
        (
            |lines| refunded(lines, "R_SUCCESS").status = "FAIL".to_owned(),
            &[("refund", "refund", "R_SUCCESS")],
        ),
        (
            |lines| refunded(lines, "R_CLOSED").status = "SUCCESS".to_owned(),
            &[("refund", "refund", "R_CLOSED")],
        ),
        (
            |lines| refunded(lines, "R_STUCK").status = "SUCCESS".to_owned(),
            &[("refund", "refund", "R_STUCK")],
        ),
        (
            |lines| refunded(lines, "R_STUCK").status = "WHAT".to_owned(),
            &[("refund", "refund", "R_STUCK")],
        ),
        (
            |lines| refunded(lines, "R_EVE").refund_id = "50000000000000000000000000009".to_owned(),
            &[("refund", "refund", "R_EVE")],
        ),
        (
            |lines| {
                let refund = lines.trade.iter_mut().find(|line| line.refund.is_some()).unwrap();
                refund.out_trade_no = "ORDER_LATE".to_owned();
            },
            &[("refund", "refund", "R_SUCCESS")],
        ),
        (
            |lines| refunded(lines, "R_EVE").out_refund_no = "R_UNKNOWN".to_owned(),
            &[
                ("missing_here", "refund", "R_UNKNOWN"),
                ("missing_there", "refund", "R_EVE"),
            ],
        ),
        // By hand in the merchant platform: it has WeChat's number alone.
        (
            |lines| {
                let refund = refunded(lines, "R_EVE");
                refund.out_refund_no = "0".to_owned();
                refund.refund_id = "50000000000000000000000000009".to_owned();
            },
            &[
                ("missing_here", "refund", "50000000000000000000000000009"),
                ("missing_there", "refund", "R_EVE"),
            ],
        ),
    ];
    for (number, (change, expected)) in changes.iter().enumerate() {
        t.bill_with(change);
        let (_, differences) = t.reconciled(DAY, false).await;
        assert_eq!(differences, found(expected), "change {number}");
        let outcome = if expected.is_empty() { "AGREE" } else { "DIFFER" };
        assert_eq!(last(&t, "outcome").await, outcome, "change {number}");
        assert_eq!(last(&t, "differences").await, expected.len().to_string());
    }
}

async fn what_the_books_have_wrong_is_found_too(store: Store) {
    let t = after_a_day(store).await;
    for (statement, expected) in [
        (
            "UPDATE orders SET state = 'NOTPAY', transaction_id = NULL, paid_at = NULL WHERE out_trade_no = 'ORDER_1'",
            ("state", "payment", "ORDER_1"),
        ),
        ("UPDATE orders SET total = 201 WHERE out_trade_no = 'ORDER_2'", ("amount", "payment", "ORDER_2")),
        ("UPDATE orders SET out_trade_no = 'ORDER_GONE' WHERE out_trade_no = 'ORDER_LATE'", ("missing_here", "payment", "ORDER_LATE")),
        ("UPDATE refunds SET amount = 31 WHERE out_refund_no = 'R_SUCCESS'", ("refund", "refund", "R_SUCCESS")),
        ("UPDATE refunds SET state = 'CREATED' WHERE out_refund_no = 'R_LATER'", ("refund", "refund", "R_LATER")),
        ("DELETE FROM refunds WHERE out_refund_no = 'R_STUCK'", ("missing_here", "refund", "R_STUCK")),
        // It was paid on the day before, they say.
        (
            "UPDATE orders SET state = 'SUCCESS', transaction_id = '4200000000000000000000000008', paid_at = created_at - 3600000
              WHERE out_trade_no = 'ORDER_OPEN'",
            ("missing_there", "payment", "ORDER_OPEN"),
        ),
    ] {
        t.tamper(statement).await;
        let (_, differences) = t.reconciled(DAY, false).await;
        assert!(differences.contains(&found(&[expected])[0]), "{statement}: {differences:?}");
    }
    let (run, differences) = t.reconciled(DAY, false).await;
    // The order that has another number now is not in the bill.
    assert_eq!(differences.len(), 8, "{differences:?}");
    let sides = t
        .texts(&format!(
            "SELECT here || ' | ' || there FROM differences WHERE run_id = '{run}' AND number = 'ORDER_2'"
        ))
        .await;
    let sides: Vec<Value> = sides[0]
        .split(" | ")
        .map(|side| serde_json::from_str(side).unwrap())
        .collect();
    assert_eq!(
        (&sides[0]["amount"], &sides[0]["state"]),
        (&json!(201), &json!("REFUND"))
    );
    assert_eq!(
        (&sides[1]["amount"], &sides[1]["state"]),
        (&json!(200), &json!("SUCCESS"))
    );
}

async fn nothing_counts_of_a_bill_that_may_not_be_believed(store: Store) {
    let t = after_a_day(store).await;
    // It would differ in every line.
    t.bill_with(|lines| lines.trade.iter_mut().for_each(|line| line.out_trade_no.insert(0, 'X')));
    for (fault, problem) in [
        (BillFault::WrongHash, "the bill has the hash"),
        (BillFault::WrongSummary, "the summary of the bill does not agree"),
        (BillFault::Short, "the gzip file cannot be unpacked"),
        (BillFault::Cut, "the outcome is unknown"),
        (BillFault::ExpiredToken, "refused with 400"),
        (
            BillFault::OtherHost("http://127.0.0.1:1".to_owned()),
            "is no address of WeChat Pay",
        ),
    ] {
        t.world.wechat().spoil_bill(fault.clone());
        let refused = t
            .service
            .reconcile(DAY.parse().unwrap(), Bill::Trade, true)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains(problem), "{fault:?}: {refused}");
        assert_eq!(last(&t, "outcome").await, "FAILED", "{fault:?}");
        assert!(last(&t, "problem").await.contains(problem), "{fault:?}");
    }
    assert_eq!(t.texts("SELECT CAST(COUNT(*) AS TEXT) FROM differences").await, ["0"]);
    assert_eq!(
        t.texts("SELECT CAST(COUNT(*) AS TEXT) FROM reconciliations WHERE outcome <> 'FAILED'")
            .await,
        ["0"]
    );
    assert_eq!(t.anomalies().await, Vec::<String>::new());

    t.world.wechat().allow_bills(false);
    let refused = t
        .service
        .reconcile(DAY.parse().unwrap(), Bill::Trade, false)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("403 NO_AUTH"), "{refused}");
}

async fn a_day_without_a_bill_is_refused_and_one_without_lines_is_empty(store: Store) {
    let t = after_a_day(store).await;
    let refused = async |day: &str| {
        let refused = t.service.reconcile(day.parse().unwrap(), Bill::Trade, false).await;
        refused.unwrap_err().to_string()
    };
    for day in ["2026-11-23", "2026-11-24", "2027-01-01"] {
        let why = refused(day).await;
        assert!(why.contains("is not over in China") && why.contains("10:00"), "{why}");
    }
    t.go_to("2026-11-23T09:00:00+08:00");
    assert!(refused(DAY).await.contains("is ready at 10:00 today"));
    // Its own word counts, whatever our clock says.
    t.go_to("2026-11-23T10:00:00+08:00");
    t.world.clock().move_to("2026-11-23T09:58:00+08:00".parse().unwrap());
    assert!(refused(DAY).await.contains("still making the bill"));
    assert_eq!(last(&t, "outcome").await, "FAILED");
    t.world.clock().move_to("2026-11-23T10:00:00+08:00".parse().unwrap());

    // Nothing happened, and nothing is in the books.
    assert_eq!(t.reconciled("2026-11-20", false).await.1, []);
    t.tamper("UPDATE orders SET paid_at = paid_at - 86400000 WHERE out_trade_no = 'ORDER_EVE'")
        .await;
    let (_, differences) = t.reconciled("2026-11-20", false).await;
    assert_eq!(differences, found(&[("missing_there", "payment", "ORDER_EVE")]));
}

async fn the_same_difference_is_one_anomaly_however_often_it_is_found(store: Store) {
    let t = after_a_day(store).await;
    t.bill_with(|lines| {
        lines.trade.push(other(lines, "POS_1"));
        payment(lines, "ORDER_2").total = 201;
    });
    for _ in 0..3 {
        assert_eq!(t.reconciled(DAY, false).await.1.len(), 2);
    }
    let mut kinds = t.anomalies().await;
    kinds.sort();
    assert_eq!(kinds, ["bill_amount", "bill_missing_here"]);
    let told = "SELECT payload FROM events WHERE kind = 'anomaly.detected' AND payload LIKE '%bill_amount%'";
    let told = t.texts(told).await;
    assert_eq!(told.len(), 1);
    let told: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(
        (&told["version"], &told["type"]),
        (&json!(1), &json!("anomaly.detected"))
    );
    let data = &told["data"];
    assert_eq!(
        (
            &data["subject"],
            &data["date"],
            &data["bill"],
            &data["here"]["amount"],
            &data["there"]["amount"]
        ),
        (
            &json!("ORDER_2"),
            &json!(DAY),
            &json!("trade"),
            &json!(200),
            &json!(201)
        )
    );

    // Both runs stand, and whoever resolved it has not made it fit.
    t.tamper("UPDATE anomalies SET resolved_at = 1, note = 'seen'").await;
    assert_eq!(t.reconciled(DAY, false).await.1.len(), 2);
    t.bill_with(|_| {});
    assert_eq!(t.reconciled(DAY, false).await.1, []);
    let outcomes = t
        .texts("SELECT outcome FROM reconciliations ORDER BY began_at, run_id")
        .await;
    assert_eq!(outcomes, ["DIFFER", "DIFFER", "DIFFER", "DIFFER", "AGREE"]);
    assert_eq!(t.texts("SELECT note FROM anomalies").await, ["seen", "seen"]);
}

async fn what_a_lost_callback_told_is_repaired_by_asking(store: Store) {
    let t = after_a_day(store).await;
    // As they were before WeChat told of it.
    for statement in [
        "UPDATE orders SET state = 'NOTPAY', transaction_id = NULL, paid_at = NULL, payer_total = NULL WHERE out_trade_no = 'ORDER_1'",
        "DELETE FROM events WHERE fact = 'order.paid/ORDER_1'",
        "UPDATE refunds SET state = 'PROCESSING', ended_at = NULL WHERE out_refund_no IN ('R_SUCCESS', 'R_CLOSED')",
        "UPDATE orders SET held = held + 20 WHERE out_trade_no = 'ORDER_2'",
        "DELETE FROM events WHERE fact IN ('refund.succeeded/R_SUCCESS', 'refund.closed/R_CLOSED')",
    ] {
        t.tamper(statement).await;
    }
    t.bill_with(|lines| {
        lines.trade.push(other(lines, "POS_1"));
        payment(lines, "ORDER_LATE").total = 501;
    });
    let (before, differences) = t.reconciled(DAY, false).await;
    let unmendable = [
        ("missing_here", "payment", "POS_1"),
        ("amount", "payment", "ORDER_LATE"),
    ];
    let mendable = [
        ("state", "payment", "ORDER_1"),
        ("refund", "refund", "R_SUCCESS"),
        ("refund", "refund", "R_CLOSED"),
    ];
    assert_eq!(differences, found(&[&unmendable[..], &mendable[..]].concat()));
    t.tamper("DELETE FROM anomalies").await;

    let (run, differences) = t.reconciled(DAY, true).await;
    assert_eq!(differences, found(&unmendable));
    assert_eq!(t.state("ORDER_1").await.as_deref(), Some("REFUND"));
    assert_eq!(t.held("ORDER_2").await, 80);
    let told = "SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE fact IN ('order.paid/ORDER_1', 'refund.succeeded/R_SUCCESS', 'refund.closed/R_CLOSED')";
    assert_eq!(t.texts(told).await, ["3"]);
    // What is mended needs nobody.
    let mut kinds = t.anomalies().await;
    kinds.sort();
    assert_eq!(kinds, ["bill_amount", "bill_missing_here"]);
    let repairs = last(&t, "repairs").await;
    assert_ne!(repairs, before);
    assert_eq!(t.differences(&repairs).await.len(), 5);
    assert_eq!(last(&t, "run_id").await, run);
    // There is nothing left to mend.
    assert_eq!(t.reconciled(DAY, true).await.1, found(&unmendable));
}

/// The answer to the application was lost, and the callback does not say when it was applied for.
async fn a_refund_of_which_only_a_callback_told_belongs_to_the_day_that_wechat_says(store: Store) {
    let t = after_a_day(store).await;
    for statement in [
        // Asked for on the day, heard of on the next.
        "UPDATE refunds SET applied_at = NULL, accepted_at = accepted_at + 50000000 WHERE out_refund_no = 'R_SUCCESS'",
        // Asked for on the day before.
        "UPDATE refunds SET applied_at = NULL, created_at = created_at - 50000000 WHERE out_refund_no = 'R_EVE'",
    ] {
        t.tamper(statement).await;
    }
    t.bill_with(|lines| {
        lines.trade.retain(|line| {
            line.refund
                .as_ref()
                .is_none_or(|refund| refund.out_refund_no != "R_SUCCESS")
        });
    });
    let (_, differences) = t.reconciled(DAY, false).await;
    assert_eq!(differences, found(&[("missing_there", "refund", "R_SUCCESS")]));
    let dated = "SELECT out_refund_no FROM refunds WHERE applied_at IS NULL";
    assert_eq!(t.texts(dated).await, Vec::<String>::new());
    assert_eq!(t.reconciled("2026-11-21", false).await.1, []);
}

async fn an_order_that_was_placed_before_these_books_existed_agrees(store: Store) {
    let t = after_a_day(store).await.with_new_books(store).await;
    let all_there = |lines: &mut BillLines| {
        lines
            .trade
            .retain(|line| line.out_trade_no == "ORDER_2" && line.refund.is_none())
    };
    t.bill_with(all_there);
    assert_eq!(
        t.reconciled(DAY, false).await.1,
        found(&[("missing_here", "payment", "ORDER_2")])
    );
    // Whoever acts on it brings it into the books.
    let operator = format!("Bearer {}", crate::support::app::OPERATOR);
    let back = t
        .act_as(&operator, "wxpay_refund", refund("ORDER_2", "R_NEW", 10, 200))
        .await;
    back.data();
    t.world.wechat().finish_refund("R_NEW", RefundEnd::Success).unwrap();
    let run = t
        .service
        .reconcile(DAY.parse().unwrap(), Bill::Trade, false)
        .await
        .unwrap();
    assert!(run.agrees());
    assert_eq!(run.here.payments, run.there.payments);
    t.bill_with(|lines| lines.trade.clear());
    assert_eq!(
        t.reconciled(DAY, false).await.1,
        found(&[("missing_there", "payment", "ORDER_2")])
    );
}

async fn transfers_are_compared_with_the_fund_flow(store: Store) {
    let t = after_a_day(store).await;
    t.go_to("2026-11-24T23:59:00+08:00");
    for number in ["TB1", "TB2", "TB3", "TBOPEN"] {
        t.transferred(number, 500).await;
    }
    t.world.wechat().confirm_transfer("TB1").unwrap();
    t.eventually_transfer("TB1", "SUCCESS").await;
    t.go_to("2026-11-25T00:00:00+08:00");
    t.world.wechat().confirm_transfer("TB2").unwrap();
    t.eventually_transfer("TB2", "SUCCESS").await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.world.wechat().confirm_transfer("TB3").unwrap();
    t.go_to("2026-11-26T10:00:00+08:00");
    let day = "2026-11-25";

    let (_, differences) = t.reconciled_with(day, Bill::FundFlow, false).await;
    let bill = |number: &str| t.world.wechat().transfer(number).unwrap().transfer_bill_no;
    assert_eq!(differences, found(&[("state", "transfer", &bill("TB3"))]));
    assert_eq!(t.reconciled_with(day, Bill::FundFlow, true).await.1, []);
    assert_eq!(t.transfer_state("TB3").await.as_deref(), Some("SUCCESS"));
    assert_eq!(t.reconciled_with("2026-11-24", Bill::FundFlow, false).await.1, []);
    // Payments and refunds move other money on that day.
    let run = t
        .service
        .reconcile(DAY.parse().unwrap(), Bill::FundFlow, false)
        .await
        .unwrap();
    assert!(run.agrees() && run.lines > 0 && run.others == run.lines, "{run:?}");

    let (one, two) = (bill("TB2"), bill("TB3"));
    let (amount, gone) = (one.clone(), two.clone());
    t.bill_with(move |lines| {
        lines.flow.retain(|line| line.business_no != gone);
        let line = lines.flow.iter_mut().find(|line| line.business_no == amount);
        if let Some(line) = line {
            let unknown = pay_common::sandbox::FlowLine {
                business_no: "1330000000000000000000000000009".to_owned(),
                ..line.clone()
            };
            line.amount = 501;
            lines.flow.push(unknown);
        }
    });
    let (_, differences) = t.reconciled_with(day, Bill::FundFlow, false).await;
    let expected = [
        ("amount", "transfer", one.as_str()),
        ("missing_here", "transfer", "1330000000000000000000000000009"),
        ("missing_there", "transfer", two.as_str()),
    ];
    assert_eq!(differences, found(&expected));
}
