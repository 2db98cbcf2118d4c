//! The newest orders, of any state or of one.

use maud::{Markup, html};

use super::desk::{Answer, Desk};
use super::listing::{self, ROWS};
use super::places::Page;
use super::shown::{maybe_time, state, time, yuan};
use super::words;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::TradeState;
use crate::http::failure::Failure;
use crate::store::listing::Wanted;
use crate::store::timeline::OrderHead;

pub(super) async fn page(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let wanted = Wanted {
        state: desk.visit.asked("state").and_then(TradeState::parse),
        since: None,
        until: None,
        after: desk
            .visit
            .asked("after")
            .and_then(|after| OutTradeNo::parse(after).ok()),
        most: ROWS.saturating_add(1),
    };
    let mut found = crate::store::listing::orders(&desk.app.db, &wanted).await?;
    let next = listing::cut(&mut found, |order| &order.out_trade_no);
    let title = desk.say("订单", "Orders");
    let mut states = vec![("", desk.say("全部", "All"))];
    states.extend(TradeState::ALL.map(TradeState::as_str).map(|name| (name, name)));
    let names = [
        desk.say("订单号", "Order"),
        desk.say("状态", "State"),
        desk.say("金额", "Amount"),
        desk.say("退款占用", "Held by refunds"),
        desk.say("创建", "Created"),
        desk.say("支付", "Paid"),
    ];
    let rows: Vec<Vec<Markup>> = found.iter().map(|order| row(desk, order)).collect();
    let body = html! {
        (listing::choices(desk, Page::Orders, "state", desk.say("状态", "State"), &states))
        @if rows.is_empty() { p { (desk.say("没有符合条件的订单。", "There is no such order.")) } }
        @else { (listing::table(title, &names, &rows)) }
        (listing::pages(desk, Page::Orders, next.as_deref()))
    };
    Ok(Answer::page(title, body))
}

fn row(desk: &Desk<'_>, order: &OrderHead) -> Vec<Markup> {
    let number = &order.out_trade_no;
    vec![
        html! { a href=(desk.to(Page::Order, &[("no", number)])) { code { (number) } } },
        state(desk.visit, &order.state, words::order(&order.state)),
        html! { span.amount { (yuan(order.total_fen)) } },
        html! { span.amount { (yuan(order.held_fen)) } },
        time(order.created_at_ms),
        maybe_time(order.paid_at_ms),
    ]
}
