//! `orders show NO`.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{Cell, Color, Table};

use super::owner;
use crate::cli::output;
use crate::domain::ids::{OutBillNo, OutTradeNo};
use crate::domain::money::Fen;
use crate::store::lookup::{self, Named};
use crate::store::timeline::{self, Entry, Happened, OrderHead, TransferHead};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Any number: `out_trade_no`, `transaction_id`, `out_refund_no`, `refund_id`, an event's or an anomaly's id; of a transfer, `out_bill_no` or `transfer_bill_no` / 任一编号
    #[arg(value_name = "NO")]
    number: String,
    /// The transfer, where an order has the same number / 订单与转账同号时显示转账
    #[arg(long)]
    transfer: bool,
    /// One JSON document instead of tables: times in Unix milliseconds, amounts in fen / 以 JSON 输出（时间为毫秒，金额为分）
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    let db = output::store(file).await?;
    let found = lookup::named(&db, &arguments.number).await?;
    let (transfers, orders): (Vec<&Named>, Vec<&Named>) =
        found.iter().partition(|named| matches!(named, Named::Transfer(_)));
    let both = !transfers.is_empty() && !orders.is_empty();
    let chosen = if arguments.transfer || orders.is_empty() {
        transfers
    } else {
        orders
    };
    let said = match chosen.as_slice() {
        [] => nothing(arguments),
        [Named::Order(number)] => {
            let number = OutTradeNo::parse(number.as_str())?;
            match timeline::of_order(&db, &number).await? {
                None => nothing(arguments),
                Some(history) if arguments.json => output::json(&history),
                Some(history) => output::say(&format!(
                    "{}\n{}",
                    of_order(&history.order),
                    of_timeline(&history.timeline, history.order.ask_at_ms)
                )),
            }
        }
        [Named::Transfer(number)] => {
            let number = OutBillNo::parse(number.as_str())?;
            match timeline::of_transfer(&db, &number).await? {
                None => nothing(arguments),
                Some(history) if arguments.json => output::json(&history),
                Some(history) => output::say(&format!(
                    "{}\n{}",
                    of_transfer(&history.transfer),
                    of_timeline(&history.timeline, history.transfer.ask_at_ms)
                )),
            }
        }
        several => {
            let numbers: Vec<&str> = several
                .iter()
                .map(|named| match named {
                    Named::Order(number) | Named::Transfer(number) => number.as_str(),
                })
                .collect();
            anyhow::bail!("it names several: {} / 对应多个编号", numbers.join(", "))
        }
    };
    db.close().await;
    said?;
    if both && !arguments.transfer && !arguments.json {
        return output::say("a transfer has the same number: --transfer / 另有同号转账");
    }
    Ok(())
}

fn nothing(arguments: &Arguments) -> anyhow::Result<()> {
    let what = if arguments.transfer {
        "transfer"
    } else {
        "order, payment, refund, event, anomaly or transfer"
    };
    anyhow::bail!(
        "there is no {what} {} in this store / 存储中没有此编号",
        output::safe(&arguments.number)
    )
}

fn of_order(order: &OrderHead) -> Table {
    output::facts(&[
        ("order / 订单", order.out_trade_no.clone()),
        ("state / 状态", order.state.clone()),
        ("yuan / 金额", order.total_fen.yuan()),
        ("held by refunds / 退款占用", order.held_fen.yuan()),
        (
            "paid by the payer / 用户实付",
            order.payer_total_fen.map_or_else(|| "-".to_owned(), Fen::yuan),
        ),
        ("kind / 类型", order.trade_type.clone()),
        ("app / 应用", order.app_id.clone()),
        ("owner / 所有者", owner(order)),
        (
            "transaction_id",
            order.transaction_id.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        ("created / 创建", output::time(order.created_at_ms)),
        ("paid / 支付", output::maybe_time(order.paid_at_ms)),
        ("closed / 关闭", output::maybe_time(order.closed_at_ms)),
    ])
}

fn of_transfer(transfer: &TransferHead) -> Table {
    output::facts(&[
        ("transfer / 转账", transfer.out_bill_no.clone()),
        ("state / 状态", transfer.state.clone()),
        ("yuan / 金额", transfer.amount_fen.yuan()),
        ("app / 应用", transfer.app_id.clone()),
        ("receiver / 收款人", transfer.openid.clone()),
        (
            "transfer_bill_no",
            transfer.transfer_bill_no.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        (
            "why it failed / 失败原因",
            transfer.fail_reason.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        ("created / 创建", output::time(transfer.created_at_ms)),
        ("ended / 结束", output::maybe_time(transfer.ended_at_ms)),
    ])
}

/// What happened, and when WeChat is asked next.
fn of_timeline(timeline: &[Entry], ask_at_ms: Option<i64>) -> Table {
    let mut table = output::table(&["time / 时间", "", "what happened / 事件"]);
    for entry in timeline {
        let (kind, what) = (entry.happened.kind(), entry.happened.to_string());
        let last = match &entry.happened {
            Happened::Request { last_at_ms, times, .. } | Happened::Callback { last_at_ms, times, .. }
                if *times > 1 =>
            {
                format!(", last {}", output::time(*last_at_ms))
            }
            Happened::Event {
                deliver_at_ms: Some(at),
                ..
            } => format!(", next attempt {}", output::time(*at)),
            Happened::Request { .. }
            | Happened::Callback { .. }
            | Happened::Event { .. }
            | Happened::Order { .. }
            | Happened::Refund { .. }
            | Happened::Transfer { .. }
            | Happened::Attempt { .. }
            | Happened::Anomaly { .. }
            | Happened::Resolved { .. } => String::new(),
        };
        table.add_row([
            Cell::new(output::time(entry.at_ms)),
            colour(&entry.happened).map_or_else(|| Cell::new(kind), |colour| output::marked(kind, colour)),
            Cell::new(output::safe(&format!("{what}{last}"))),
        ]);
    }
    if let Some(at) = ask_at_ms {
        table.add_row([
            output::time(at).as_str(),
            "next",
            "WeChat Pay is asked again / 再次查询微信支付",
        ]);
    }
    table
}

/// What wants to be noticed.
fn colour(happened: &Happened) -> Option<Color> {
    match happened {
        Happened::Anomaly {
            resolved_at_ms: None, ..
        } => Some(Color::Red),
        Happened::Event { delivery, .. } if delivery == "DEAD" => Some(Color::Red),
        Happened::Attempt { problem: Some(_), .. } => Some(Color::Yellow),
        Happened::Request { outcome, .. } if outcome != "OK" => Some(Color::Yellow),
        Happened::Anomaly { .. }
        | Happened::Event { .. }
        | Happened::Attempt { .. }
        | Happened::Request { .. }
        | Happened::Order { .. }
        | Happened::Refund { .. }
        | Happened::Transfer { .. }
        | Happened::Callback { .. }
        | Happened::Resolved { .. } => None,
    }
}
