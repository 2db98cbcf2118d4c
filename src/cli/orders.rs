//! `orders`: one order's whole history, or a list of orders.

mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment, Color};
use serde::Serialize;

use super::output;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::TradeState;
use crate::store::listing::{self, Wanted};
use crate::store::timeline::OrderHead;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows everything that happened to an order, or to a transfer, in time order / 按时间顺序显示订单或转账的全部历史
    Show(show::Arguments),
    /// Lists orders, newest first / 列出订单，最新在前
    ///
    /// There is no index by time, because every order would pay for it: the whole table of orders is read through for each page (a
    /// million orders take about a second). / 没有按时间的索引（否则每次下单都要付出代价）：每页都会扫描整个订单表（百万订单约一秒）。
    List(ListArguments),
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only in this state: CREATED, NOTPAY, SUCCESS, REFUND, CLOSED or FAILED / 只看某一状态
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<TradeState>,
    /// Created from this moment on: a day in China time, or RFC 3339 / 起始时间（含）
    #[arg(long, value_name = "TIME", value_parser = output::moment)]
    since: Option<i64>,
    /// Created before this moment / 截止时间（不含）
    #[arg(long, value_name = "TIME", value_parser = output::moment)]
    until: Option<i64>,
    /// The page that follows on this order, the last one of the page before / 从上一页最后一笔订单继续
    #[arg(long, value_name = "NO")]
    after: Option<OutTradeNo>,
    /// The most that are listed / 最多列出的条数
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// One JSON document instead of a table / 以 JSON 输出
    #[arg(long)]
    json: bool,
}

fn state(text: &str) -> Result<TradeState, String> {
    TradeState::parse(&text.to_ascii_uppercase())
        .ok_or_else(|| "must be CREATED, NOTPAY, SUCCESS, REFUND, CLOSED or FAILED / 不是订单状态".to_owned())
}

#[derive(Serialize)]
struct List {
    orders: Vec<OrderHead>,
    /// What `--after` takes for the next page; `null` when this was the last.
    next_after: Option<String>,
}

pub(super) async fn run(file: Option<PathBuf>, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Show(arguments) => show::run(file, &arguments).await,
        Command::List(arguments) => list(file, arguments).await,
    }
}

async fn list(file: Option<PathBuf>, arguments: ListArguments) -> anyhow::Result<()> {
    let db = output::store(file).await?;
    let wanted = Wanted {
        state: arguments.state,
        since: arguments.since,
        until: arguments.until,
        after: arguments.after,
        // One more tells whether there is a next page.
        most: arguments.limit.saturating_add(1),
    };
    let mut orders = listing::orders(&db, &wanted).await?;
    db.close().await;
    let limit = usize::try_from(arguments.limit)?;
    let is_more = orders.len() > limit;
    orders.truncate(limit);
    let last = orders.last().map(|order| order.out_trade_no.clone());
    let next_after = last.filter(|_| is_more);
    if arguments.json {
        return output::json(&List { orders, next_after });
    }
    if orders.is_empty() {
        return output::say("no such order / 没有符合条件的订单");
    }
    let mut table = output::table(&[
        "out_trade_no",
        "state / 状态",
        "yuan / 金额",
        "held / 退款占用",
        "kind / 类型",
        "owner / 所有者",
        "created / 创建",
        "paid / 支付",
        "asked next / 下次查询",
    ]);
    for order in &orders {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(&order.out_trade_no),
            standing(&order.state),
            right(order.total_fen.yuan()),
            right(order.held_fen.yuan()),
            Cell::new(&order.trade_type),
            Cell::new(owner(order)),
            Cell::new(output::time(order.created_at_ms)),
            Cell::new(output::maybe_time(order.paid_at_ms)),
            Cell::new(output::maybe_time(order.ask_at_ms)),
        ]);
    }
    output::say(&table.to_string())?;
    match next_after {
        Some(number) => output::say(&format!("more: --after {number} / 下一页")),
        None => Ok(()),
    }
}

/// A state, in the colour of what it means for the merchant.
fn standing(state: &str) -> Cell {
    let colour = match TradeState::parse(state) {
        Some(TradeState::Success) => Color::Green,
        Some(TradeState::Refund) => Color::Cyan,
        Some(TradeState::Created | TradeState::NotPay) => Color::Yellow,
        Some(TradeState::Closed | TradeState::Failed) | None => Color::Grey,
    };
    output::marked(state, colour)
}

/// Whose it is, by the ends of their names.
fn owner(order: &OrderHead) -> String {
    let sub = order.owner_sub.as_ref().map(|sub| format!("sub {sub}"));
    let openid = order.owner_openid.as_ref().map(|openid| format!("openid {openid}"));
    let names: Vec<String> = sub.into_iter().chain(openid).collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        output::safe(&names.join(", "))
    }
}
