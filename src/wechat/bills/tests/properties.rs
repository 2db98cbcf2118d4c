//! What the simulator writes is what is read, however it arrives; and nothing that arrives ends in a panic.

use proptest::prelude::*;

use super::*;
use crate::domain::money::{Fee, Fen};
use crate::sandbox::{BillLines, FlowLine, RefundLine, TradeColumns, TradeLine};
use crate::wechat::bills::parse::{Counted, Parser, Record};

fn read<R: Record>(text: &[u8], pieces: &[usize]) -> Result<(Vec<R>, Counted), Malformed> {
    let (mut parser, mut rows) = (Parser::new(), Vec::new());
    let mut rest = text;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at((*piece).min(rest.len()));
        parser.feed(piece, &mut rows)?;
        rest = later;
    }
    Ok((rows, parser.finish()?))
}

fn time() -> impl Strategy<Value = Timestamp> {
    (1_500_000_000_i64..2_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn fen() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 1_i64..10_000, 1_i64..1_000_000_000_000]
}

fn number() -> &'static str {
    "[1-9A-Za-z][0-9A-Za-z_|*@-]{0,31}"
}

prop_compose! {
    fn refund()(
        numbers in (number(), number()), times in (time(), prop::option::of(time())), amounts in (fen(), fen(), fen()),
        status in prop::sample::select(vec!["SUCCESS", "PROCESSING", "FAIL", "CHANGE"]),
    ) -> RefundLine {
        RefundLine {
            refund_id: numbers.0, out_refund_no: numbers.1, applied: times.0, arrived: times.1, amount: amounts.0,
            settled: amounts.1, coupon: amounts.2, kind: "ORIGINAL".to_owned(), status: status.to_owned(),
        }
    }
}

prop_compose! {
    fn trade()(
        at in time(), numbers in (number(), number()), amounts in (fen(), fen(), fen()),
        fee in -1_000_000_000_000_i64..1_000_000_000_000, refund in prop::option::of(refund()),
        texts in (any::<String>(), any::<String>()),
    ) -> TradeLine {
        TradeLine {
            at, appid: "wx2421b1c4370ec43b".to_owned(), mchid: "1900007291".to_owned(), transaction_id: numbers.0,
            out_trade_no: numbers.1, openid: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned(), trade_type: "JSAPI".to_owned(),
            state: if refund.is_some() { "REFUND" } else { "SUCCESS" }.to_owned(), bank_type: "OTHERS".to_owned(),
            currency: "CNY".to_owned(), settled: amounts.0, coupon: amounts.1, refund, description: texts.0, attach: texts.1,
            fee, rate: "0.60%".to_owned(), total: amounts.2,
        }
    }
}

prop_compose! {
    fn flow()(
        at in time(), numbers in (number(), number(), prop::option::of(number())), amounts in (fen(), fen()),
        is_income in any::<bool>(), texts in (any::<String>(), any::<String>()),
    ) -> FlowLine {
        FlowLine {
            account: "BASIC".to_owned(), at, business_no: numbers.0, flow_no: numbers.1, name: "交易".to_owned(),
            kind: "交易".to_owned(), is_income, amount: amounts.0, balance: amounts.1, applicant: texts.0, remark: texts.1,
            voucher: numbers.2.unwrap_or_default(),
        }
    }
}

fn amount(fen: i64) -> Fen {
    Fen::not_negative(fen).unwrap()
}

fn expected_trade(line: &TradeLine, columns: TradeColumns) -> TradeRow {
    let with_times = columns == TradeColumns::Refund;
    TradeRow {
        at_ms: line.at.as_millisecond(),
        app_id: line.appid.clone(),
        mchid: line.mchid.clone(),
        transaction_id: line.transaction_id.clone(),
        out_trade_no: line.out_trade_no.clone(),
        trade_type: line.trade_type.clone(),
        state: if line.refund.is_some() {
            TradeState::Refund
        } else {
            TradeState::Success
        },
        currency: line.currency.clone(),
        total: Some(amount(line.total)),
        settled: amount(line.settled),
        coupon: amount(line.coupon),
        refund: line.refund.as_ref().map(|refund| RefundPart {
            refund_id: Some(refund.refund_id.clone()),
            out_refund_no: Some(refund.out_refund_no.clone()),
            amount: Some(amount(refund.amount)),
            settled: amount(refund.settled),
            coupon: amount(refund.coupon),
            status: refund.status.clone(),
            applied_ms: with_times.then(|| refund.applied.as_millisecond()),
            arrived_ms: refund.arrived.filter(|_| with_times).map(Timestamp::as_millisecond),
        }),
        fee: Fee::hundred_thousandths(line.fee),
    }
}

fn expected_flow(line: &FlowLine) -> FundFlowRow {
    FundFlowRow {
        at_ms: line.at.as_millisecond(),
        business_no: line.business_no.clone(),
        flow_no: line.flow_no.clone(),
        name: line.name.clone(),
        kind: line.kind.clone(),
        direction: if line.is_income {
            Direction::Income
        } else {
            Direction::Expense
        },
        amount: amount(line.amount),
        balance: amount(line.balance),
        voucher: Some(line.voucher.clone()).filter(|voucher| !voucher.is_empty()),
    }
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..300, 1..20)
}

proptest! {
    #[test]
    fn a_trade_bill_that_was_written_is_read_in_any_pieces(
        trade in prop::collection::vec(trade(), 0..8), bom in any::<bool>(), pieces in pieces(),
        columns in prop::sample::select(vec![TradeColumns::All, TradeColumns::Success, TradeColumns::Refund]),
    ) {
        let lines = BillLines { trade, flow: Vec::new() };
        let text = lines.trade_bill(columns, bom);
        let (rows, counted) = read::<TradeRow>(text.as_bytes(), &pieces).unwrap();
        let of_the_kind = lines.trade.iter().filter(|line| match columns {
            TradeColumns::All => true,
            TradeColumns::Success => line.refund.is_none(),
            TradeColumns::Refund => line.refund.is_some(),
        });
        let expected: Vec<_> = of_the_kind.map(|line| expected_trade(line, columns)).collect();
        let number = u64::try_from(expected.len()).unwrap();
        prop_assert_eq!(rows, expected);
        prop_assert_eq!(counted, Counted { rows: number, differences: Vec::new() });
    }

    #[test]
    fn a_fund_flow_bill_that_was_written_is_read_in_any_pieces(
        flow in prop::collection::vec(flow(), 0..8), bom in any::<bool>(), pieces in pieces(),
    ) {
        let lines = BillLines { trade: Vec::new(), flow };
        let (rows, counted) = read::<FundFlowRow>(lines.fund_flow_bill(bom).as_bytes(), &pieces).unwrap();
        let expected: Vec<_> = lines.flow.iter().map(expected_flow).collect();
        let number = u64::try_from(expected.len()).unwrap();
        prop_assert_eq!(rows, expected);
        prop_assert_eq!(counted, Counted { rows: number, differences: Vec::new() });
    }

    #[test]
    fn damage_is_refused_in_the_same_place_in_any_pieces(
        trade in prop::collection::vec(trade(), 1..4), pieces in pieces(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let lines = BillLines { trade, flow: Vec::new() };
        let mut text = lines.trade_bill(TradeColumns::All, true).into_bytes();
        for (at, byte) in damage {
            let at = at.index(text.len());
            text[at] = byte;
        }
        prop_assert_eq!(read::<TradeRow>(&text, &pieces), read::<TradeRow>(&text, &[text.len()]));
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in any::<Vec<u8>>(), pieces in pieces()) {
        let trade = read::<TradeRow>(&bytes, &pieces);
        prop_assert!(trade.is_err(), "no bill begins at random");
        prop_assert!(read::<FundFlowRow>(&bytes, &pieces).is_err());
    }
}
