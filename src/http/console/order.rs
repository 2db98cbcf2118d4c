//! One order: how it stands, what was refunded of it and what still can be, which callbacks told of it, and all that happened.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::desk::{Answer, Desk};
use super::listing;
use super::places::Page;
use super::shown::{NOTHING, code, facts, maybe_time, maybe_yuan, state, time, yuan};
use super::{timeline, words};
use crate::domain::ids::OutTradeNo;
use crate::domain::money::Fen;
use crate::domain::order::TradeState;
use crate::domain::refund::RefundState;
use crate::http::failure::Failure;
use crate::store::timeline::{self as history, Entry, Happened, OrderHead, OrderHistory, RefundHead};

pub(super) async fn page(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let asked = desk.visit.asked("no").unwrap_or_default();
    let found = match OutTradeNo::parse(asked) {
        Ok(number) => history::of_order(&desk.app.db, &number).await?,
        Err(_) => None,
    };
    let Some(OrderHistory {
        order,
        refunds,
        timeline: entries,
    }) = found
    else {
        return Ok(unknown(desk, asked));
    };
    let body = html! {
        (head(desk, &order, &refunds))
        section aria-labelledby="refunds" {
            h2 id="refunds" { (desk.say("退款", "Refunds")) }
            (of_refunds(desk, &refunds))
        }
        section aria-labelledby="callbacks" {
            h2 id="callbacks" { (desk.say("回调", "Callbacks")) }
            (callbacks(desk, &entries))
        }
        section aria-labelledby="timeline" {
            h2 id="timeline" { (desk.say("全部经过", "All that happened")) }
            (timeline::list(desk, Page::Order, &entries, order.ask_at_ms))
        }
    };
    let title = format!("{} {}", desk.say("订单", "Order"), order.out_trade_no);
    Ok(Answer::page(title, body))
}

/// What there is to see of a number that is not in the books.
pub(super) fn unknown(desk: &Desk<'_>, asked: &str) -> Answer {
    let body =
        html! { p role="status" { (desk.say("账本中没有此编号：", "This is not in the books: ")) code { (asked) } } };
    Answer::with(StatusCode::NOT_FOUND, desk.say("没有找到", "Not found"), body)
}

fn head(desk: &Desk<'_>, order: &OrderHead, refunds: &[RefundHead]) -> Markup {
    let standing = Standing::of(order, refunds);
    let owner = html! {
        @match (&order.owner_sub, &order.owner_openid) {
            (None, None) => (NOTHING),
            (sub, openid) => {
                @if let Some(sub) = sub { "sub " code { (sub) } " " }
                @if let Some(openid) = openid { "openid " code { (openid) } }
            }
        }
    };
    let amounts = facts(&[
        (
            desk.say("状态", "State"),
            state(desk.visit, &order.state, words::order(&order.state)),
        ),
        (desk.say("订单金额", "Amount"), amount(order.total_fen)),
        (
            desk.say("用户实付", "Paid by the payer"),
            html! { span.amount { (maybe_yuan(order.payer_total_fen)) } },
        ),
        (
            desk.say("已退款", "Paid back"),
            html! { span.amount { (maybe_yuan(standing.back)) } },
        ),
        (
            desk.say("退款中", "Refunds under way"),
            html! { span.amount { (maybe_yuan(standing.under_way)) } },
        ),
        (
            desk.say("可退余额", "Can still be refunded"),
            html! { strong.amount id="remaining" { (maybe_yuan(standing.remaining)) } },
        ),
    ]);
    let names = facts(&[
        (
            desk.say("微信支付订单号", "WeChat Pay's number"),
            code(order.transaction_id.as_deref()),
        ),
        (desk.say("类型", "Kind"), html! { code { (order.trade_type) } }),
        (desk.say("应用", "App"), html! { code { (order.app_id) } }),
        (desk.say("所有者（部分隐藏）", "Owner (shortened)"), owner),
        (desk.say("创建", "Created"), time(order.created_at_ms)),
        (desk.say("支付", "Paid"), maybe_time(order.paid_at_ms)),
        (desk.say("关闭", "Closed"), maybe_time(order.closed_at_ms)),
    ]);
    html! { section.cards aria-label=(desk.say("订单现状", "How it stands")) { (amounts) (names) } }
}

fn amount(amount: Fen) -> Markup {
    html! { span.amount { (yuan(amount)) } }
}

/// What became of the money of an order.
#[derive(Debug, Eq, PartialEq)]
struct Standing {
    /// What the payer has back.
    back: Option<Fen>,
    /// What is held by refunds that have not ended.
    under_way: Option<Fen>,
    /// What can still be refunded; `None` where nothing was paid.
    remaining: Option<Fen>,
}

impl Standing {
    fn of(order: &OrderHead, refunds: &[RefundHead]) -> Self {
        let ended = refunds
            .iter()
            .filter(|refund| refund.state == RefundState::Success.as_str());
        let back = ended
            .map(|refund| refund.amount_fen)
            .try_fold(Fen::ZERO, Fen::checked_add);
        let is_paid = matches!(
            TradeState::parse(&order.state),
            Some(TradeState::Success | TradeState::Refund)
        );
        Self {
            back,
            under_way: back.and_then(|back| order.held_fen.checked_sub(back)),
            // The same difference that the guard of a refund goes by.
            remaining: order.total_fen.checked_sub(order.held_fen).filter(|_| is_paid),
        }
    }
}

fn of_refunds(desk: &Desk<'_>, refunds: &[RefundHead]) -> Markup {
    let names = [
        desk.say("退款单号", "Refund"),
        desk.say("状态", "State"),
        desk.say("金额", "Amount"),
        desk.say("微信支付退款单号", "WeChat Pay's number"),
        desk.say("下次查询", "Asked about next"),
    ];
    let rows: Vec<Vec<Markup>> = refunds
        .iter()
        .map(|refund| {
            vec![
                html! { code { (refund.out_refund_no) } },
                state(desk.visit, &refund.state, words::refund(&refund.state)),
                amount(refund.amount_fen),
                code(refund.refund_id.as_deref()),
                maybe_time(refund.ask_at_ms),
            ]
        })
        .collect();
    html! {
        @if rows.is_empty() { p { (desk.say("没有退款。", "There is no refund.")) } }
        @else { (listing::table(desk.say("退款", "Refunds"), &names, &rows)) }
    }
}

/// Those of the entries that callbacks told of, each with what proved it and what became of it.
pub(super) fn callbacks(desk: &Desk<'_>, entries: &[Entry]) -> Markup {
    let names = [
        desk.say("首次", "First"),
        desk.say("事件", "Event"),
        desk.say("证明", "Proof"),
        desk.say("结果", "Outcome"),
        desk.say("次数", "Times"),
    ];
    let row = |entry: &Entry| match &entry.happened {
        Happened::Callback {
            fact,
            event_type,
            proof,
            outcome,
            last_at_ms,
            times,
            ..
        } => Some(vec![
            time(entry.at_ms),
            html! { (event_type.as_deref().unwrap_or(NOTHING)) br; code { (fact) } },
            timeline::word(desk, proof, words::proof(proof)),
            timeline::word(desk, outcome, words::outcome(outcome)),
            html! { (times) @if *times > 1 { ", " (desk.say("最近", "last")) " " (time(*last_at_ms)) } },
        ]),
        Happened::Order { .. }
        | Happened::Refund { .. }
        | Happened::Transfer { .. }
        | Happened::Request { .. }
        | Happened::Event { .. }
        | Happened::Attempt { .. }
        | Happened::Anomaly { .. }
        | Happened::Resolved { .. } => None,
    };
    let rows: Vec<Vec<Markup>> = entries.iter().filter_map(row).collect();
    html! {
        @if rows.is_empty() { p { (desk.say("没有可证明的回调。", "No callback was proven.")) } }
        @else { (listing::table(desk.say("回调", "Callbacks"), &names, &rows)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fen(fen: i64) -> Fen {
        Fen::not_negative(fen).unwrap()
    }

    fn order(state: &str, total: i64, held: i64) -> OrderHead {
        OrderHead {
            out_trade_no: "ORDER_1".to_owned(),
            trade_type: "JSAPI".to_owned(),
            state: state.to_owned(),
            total_fen: fen(total),
            held_fen: fen(held),
            app_id: "wx1".to_owned(),
            owner_sub: None,
            owner_openid: None,
            transaction_id: None,
            payer_total_fen: None,
            created_at_ms: 0,
            paid_at_ms: None,
            closed_at_ms: None,
            ask_at_ms: None,
            asked: 0,
        }
    }

    fn refund(state: &str, amount: i64) -> RefundHead {
        RefundHead {
            out_refund_no: "REFUND_1".to_owned(),
            refund_id: None,
            amount_fen: fen(amount),
            state: state.to_owned(),
            ask_at_ms: None,
        }
    }

    #[test]
    fn what_remains_is_what_refunds_do_not_hold_of_what_was_paid() {
        let refunds = [
            refund("SUCCESS", 5),
            refund("PROCESSING", 7),
            refund("CLOSED", 3),
            refund("FAILED", 2),
        ];
        let standing = Standing::of(&order("REFUND", 20, 12), &refunds);
        let expected = Standing {
            back: Some(fen(5)),
            under_way: Some(fen(7)),
            remaining: Some(fen(8)),
        };
        assert_eq!(standing, expected);
        for unpaid in ["CREATED", "NOTPAY", "CLOSED", "FAILED"] {
            assert_eq!(Standing::of(&order(unpaid, 20, 0), &[]).remaining, None, "{unpaid}");
        }
        assert_eq!(Standing::of(&order("SUCCESS", 20, 0), &[]).remaining, Some(fen(20)));
    }
}
