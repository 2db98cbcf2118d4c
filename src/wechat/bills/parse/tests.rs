//! What is read of a bill, and what is refused and where.

use serde_json::Value;

use super::*;
use crate::wechat::bills::fund_flow::{Direction, FundFlowRow};
use crate::wechat::bills::trade::{TradeRow, TradeState};
use crate::wechat::tests_support::vectors;

fn known(name: &str) -> String {
    let all = vectors("bills_composed.json");
    let mut cases = all["cases"].as_array().unwrap().iter();
    let case: &Value = cases.find(|case| case["name"] == *name).unwrap();
    case["csv"].as_str().unwrap().to_owned()
}

fn read<R: Record>(text: impl AsRef<[u8]>) -> Result<(Vec<R>, Counted), Malformed> {
    let (mut parser, mut rows) = (Parser::new(), Vec::new());
    parser.feed(text.as_ref(), &mut rows)?;
    Ok((rows, parser.finish()?))
}

#[track_caller]
fn refused<R: Record + std::fmt::Debug>(text: impl AsRef<[u8]>, line: u64, column: &str, problem: Problem) {
    let expected = Malformed {
        line,
        column: column.to_owned(),
        problem,
    };
    assert_eq!(read::<R>(text).unwrap_err(), expected);
}

#[test]
fn a_bill_of_all_orders_reads_as_it_is_known_to() {
    let (rows, counted) = read::<TradeRow>(known("trade_ALL")).unwrap();
    assert_eq!(
        counted,
        Counted {
            rows: 3,
            differences: Vec::new()
        }
    );
    let [payment, large, refund] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(payment.at_ms, 1_795_312_801_000);
    assert_eq!(payment.app_id, "wx2421b1c4370ec43b");
    assert_eq!(payment.mchid, "1900007291");
    assert_eq!(payment.transaction_id, "4200002026202611221000000001");
    assert_eq!(payment.out_trade_no, "ORD20261122000001");
    assert_eq!(payment.trade_type, "JSAPI");
    assert_eq!(
        (&payment.state, payment.currency.as_str()),
        (&TradeState::Success, "CNY")
    );
    assert_eq!(payment.total.unwrap().get(), 100);
    assert_eq!(
        (payment.settled.get(), payment.coupon.get(), payment.fee.get()),
        (90, 10, 540)
    );
    assert_eq!(payment.refund, None);
    assert_eq!((large.total.unwrap().get(), large.fee.get()), (1_234_567, 7_407_402));
    assert_eq!((&refund.state, refund.total.unwrap().get()), (&TradeState::Refund, 0));
    assert_eq!(refund.fee.get(), -216);
    let part = refund.refund.as_ref().unwrap();
    assert_eq!(part.refund_id.as_deref(), Some("50300002026112212345678901234"));
    assert_eq!(part.out_refund_no.as_deref(), Some("REF20261122000001"));
    assert_eq!(
        (part.amount.unwrap().get(), part.settled.get(), part.coupon.get()),
        (40, 36, 0)
    );
    assert_eq!(part.status, "SUCCESS");
    assert_eq!((part.applied_ms, part.arrived_ms), (None, None));
}

#[test]
fn bills_of_payments_and_of_refunds_alone_have_columns_of_their_own() {
    let (rows, counted) = read::<TradeRow>(known("trade_SUCCESS")).unwrap();
    assert_eq!(
        counted,
        Counted {
            rows: 2,
            differences: Vec::new()
        }
    );
    assert!(
        rows.iter()
            .all(|row| row.state == TradeState::Success && row.refund.is_none())
    );
    let (rows, counted) = read::<TradeRow>(known("trade_REFUND")).unwrap();
    assert_eq!(
        counted,
        Counted {
            rows: 1,
            differences: Vec::new()
        }
    );
    let part = rows[0].refund.as_ref().unwrap();
    assert_eq!(
        (part.applied_ms, part.arrived_ms),
        (Some(1_795_316_400_000), Some(1_795_316_405_000))
    );
}

#[test]
fn a_fund_flow_bill_reads_as_it_is_known_to() {
    let (rows, counted) = read::<FundFlowRow>(known("fundflow_BASIC")).unwrap();
    assert_eq!(
        counted,
        Counted {
            rows: 2,
            differences: Vec::new()
        }
    );
    assert_eq!(rows[0].direction, Direction::Income);
    assert_eq!((rows[0].amount.get(), rows[0].balance.get()), (90, 10_090));
    assert_eq!(rows[0].business_no, "4200002026202611221000000001");
    assert_eq!(
        (rows[1].name.as_str(), rows[1].direction),
        ("商家转账", Direction::Expense)
    );
    assert_eq!(rows[1].at_ms, 1_795_331_520_000);
    assert_eq!(rows[1].voucher.as_deref(), Some("TB20261122000001"));
    assert_eq!(rows[1].flow_no, "1000002026112200000002");
}

#[test]
fn where_it_is_cut_into_pieces_makes_no_difference() {
    let text = known("trade_ALL");
    let whole = read::<TradeRow>(&text).unwrap();
    for size in [1, 2, 3, 7, 64, 1000] {
        let (mut parser, mut rows) = (Parser::new(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            parser.feed(piece, &mut rows).unwrap();
        }
        assert_eq!((rows, parser.finish().unwrap()), whole, "pieces of {size} bytes");
    }
}

#[test]
fn neither_byte_order_mark_nor_carriage_returns_nor_a_last_line_end_are_needed() {
    let text = known("trade_ALL");
    let whole = read::<TradeRow>(&text).unwrap();
    let bare = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    assert_eq!(read(&bare).unwrap(), whole);
    assert_eq!(read(bare.trim_end()).unwrap(), whole);
    assert_eq!(read(format!("{text}\r\n\r\n")).unwrap(), whole);
}

#[test]
fn columns_are_found_by_name_and_some_may_be_missing() {
    let text = known("trade_ALL");
    let whole = read::<TradeRow>(&text).unwrap().0;
    // Each line reversed, and a column that nobody knows at its end.
    let mut lines: Vec<String> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let cells: Vec<&str> = line.split(',').rev().collect();
        let new = if line.starts_with('`') { "`?" } else { "新列" };
        lines.push(format!("{},{new}", cells.join(",")));
    }
    assert_eq!(read::<TradeRow>(lines.join("\n")).unwrap().0, whole);
    // Without the columns that old merchants do not have.
    let mut lines: Vec<String> = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let kept = if number < 4 { 24 } else { 5 };
        lines.push(cells[..kept].join(","));
    }
    let (rows, counted) = read::<TradeRow>(lines.join("\n")).unwrap();
    assert_eq!(
        counted,
        Counted {
            rows: 3,
            differences: Vec::new()
        }
    );
    assert!(rows.iter().all(|row| row.total.is_none()));
    assert_eq!(rows[2].refund.as_ref().unwrap().amount, None);
}

#[test]
fn a_summary_that_the_rows_do_not_come_to_is_told_number_by_number() {
    let text = known("trade_ALL").replace("`3.0,`12346.57", "`4.0,`12346.58");
    let (_, counted) = read::<TradeRow>(text).unwrap();
    let difference = |column, said, counted| Difference { column, said, counted };
    let expected = [
        difference("总交易单数", 4, 3),
        difference("应结订单总金额", 1_234_658, 1_234_657),
    ];
    assert_eq!(counted.differences, expected);
    let text = known("fundflow_BASIC").replace("`2,`1,`0.90,`1,`5.00", "`2,`2,`0.90,`0,`5.01");
    let (_, counted) = read::<FundFlowRow>(text).unwrap();
    let columns: Vec<_> = counted.differences.iter().map(|found| found.column).collect();
    assert_eq!(columns, ["收入笔数", "支出笔数", "支出金额"]);
}

#[test]
fn a_bill_without_rows_is_a_bill() {
    let text = known("trade_ALL");
    let header = text.lines().next().unwrap();
    let summary = "总交易单数,应结订单总金额\r\n`0.0,`0.00\r\n";
    let (rows, counted) = read::<TradeRow>(format!("{header}\r\n{summary}")).unwrap();
    assert_eq!(
        (rows.len(), counted),
        (
            0,
            Counted {
                rows: 0,
                differences: Vec::new()
            }
        )
    );
}

#[test]
fn what_cannot_be_read_is_named_by_line_and_column() {
    let text = known("trade_ALL");
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let trade = refused::<TradeRow>;
    trade(String::new(), 1, "byte 1", Problem::NoHeader);
    trade("\r\n".to_owned(), 1, "byte 1", Problem::NoHeader);
    trade("`1,`2\r\n".to_owned(), 1, "byte 1", Problem::NoHeader);
    trade("<html>".to_owned(), 1, "交易时间", Problem::NoColumn);
    trade(with("商户订单号", "订单号"), 1, "商户订单号", Problem::NoColumn);
    trade(with("费率备注", "手续费"), 1, "手续费", Problem::Twice);
    trade(
        with("`2026-11-22 10:00:01", "`2026-11-22 10:00"),
        2,
        "交易时间",
        Problem::NotTime,
    );
    trade(with("`0.90", "`0.905"), 2, "应结订单金额", Problem::NotAmount);
    trade(with("`0.90", "`-0.90"), 2, "应结订单金额", Problem::NotAmount);
    trade(with("`74.07402", "`74.074021"), 3, "手续费", Problem::NotFee);
    trade(with("`0.40", "`"), 4, "申请退款金额", Problem::NotAmount);
    let refund = "`50300002026112212345678901234,`REF20261122000001";
    trade(with(refund, "`0,`0"), 4, "微信退款单号", Problem::NoRefundNumber);
    trade(
        with("`JSAPI,", ""),
        2,
        "cell 27",
        Problem::Cells {
            expected: 27,
            found: 26,
        },
    );
    trade(
        with("`JSAPI,", "`JSAPI,`JSAPI,"),
        2,
        "cell 28",
        Problem::Cells {
            expected: 27,
            found: 28,
        },
    );
    trade(with("总交易单数", "单数"), 6, "总交易单数", Problem::NoColumn);
    trade(with("`3.0,", "`3.5,"), 6, "总交易单数", Problem::NotNumber);
    trade(with("`3.0,", "3.0,"), 6, "byte 1", Problem::NoBacktick);
    trade(format!("{text}`1"), 7, "byte 1", Problem::AfterSummary);
    let lines: Vec<&str> = text.lines().collect();
    trade(lines[..4].join("\r\n"), 5, "byte 1", Problem::NoSummary);
    trade(lines[..5].join("\r\n"), 6, "byte 1", Problem::NoSummary);
    trade(lines[..1].join("\r\n"), 2, "byte 1", Problem::NoSummary);
    let flow = known("fundflow_BASIC").replacen("收入,", "存入,", 1);
    refused::<FundFlowRow>(flow, 2, "收支类型", Problem::NotDirection);
}

#[test]
fn a_payment_that_was_taken_back_is_neither_refused_nor_lost() {
    let text = known("trade_ALL").replace(
        "`REFUND,`OTHERS,`CNY,`0.00,`0.00,`50300002026112212345678901234,`REF20261122000001",
        "`REVOKED,`OTHERS,`CNY,`0.00,`0.00,`0,`0",
    );
    let (rows, counted) = read::<TradeRow>(text).unwrap();
    assert_eq!((&rows[2].state, counted.differences.len()), (&TradeState::Revoked, 0));
    let part = rows[2].refund.as_ref().unwrap();
    assert_eq!(
        (&part.refund_id, &part.out_refund_no, part.settled.get()),
        (&None, &None, 36)
    );
}

#[test]
fn what_is_no_text_is_named_by_its_byte() {
    let mut bytes = known("trade_ALL").into_bytes();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[header + 9] = 0xff;
    refused::<TradeRow>(bytes, 2, "byte 10", Problem::NotUtf8);
}

#[test]
fn a_line_without_an_end_takes_no_more_memory_than_the_longest() {
    let (mut parser, mut rows) = (Parser::<TradeRow>::new(), Vec::new());
    let mut fed = 0;
    let refused = loop {
        fed += 1000;
        if let Err(refused) = parser.feed(&[b'x'; 1000], &mut rows) {
            break refused;
        }
        assert!(fed <= MOST_LINE_BYTES, "{fed} bytes of one line");
    };
    assert_eq!((refused.line, refused.problem), (1, Problem::TooLong));
    assert!(fed > MOST_LINE_BYTES);
}
