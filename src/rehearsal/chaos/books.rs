//! What has to hold once everything is quiet: the books of the service against those of WeChat, order by order and in their sums.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz};

use super::plan::{Buyer, Order, Plan};
use super::{Check, Stage};
use crate::domain::ids::OutTradeNo;
use crate::domain::reconciliation::Bill;
use crate::sandbox::RefundStatus;
use crate::store::history;
use crate::store::timeline::{self, Cause, Happened, OrderHistory};

/// How payments and ends of refunds became known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) by_callback: usize,
    pub(super) by_asking: usize,
}

/// Everything that has to hold. A further check is a further line here.
pub(super) async fn check(stage: &Stage, plan: &Plan) -> anyhow::Result<(Vec<Check>, Found)> {
    let histories = histories(stage, plan).await?;
    let mut found = Found::default();
    for history in &histories {
        found.add(history);
    }
    let of_each = |check: fn(&Stage, &Order, &OrderHistory) -> Vec<String>| -> Vec<String> {
        let both = plan.orders.iter().zip(&histories);
        both.flat_map(|(order, history)| check(stage, order, history)).collect()
    };
    let anomalies = history::anomalies(stage.service.db()).await?;
    let checks = vec![
        Check {
            name: "every order and refund stands where WeChat Pay has it / 每笔订单与退款状态一致",
            complaints: of_each(standing),
        },
        Check {
            name: "each fact was told exactly once / 每个事实恰好一个事件",
            complaints: of_each(telling),
        },
        Check {
            name: "the business side heard all of it, once and in order / 业务系统依序收到每个事实",
            complaints: untold_of(stage, plan, &histories),
        },
        Check {
            name: "the sums agree / 金额合计一致",
            complaints: sums(stage, plan, &histories),
        },
        Check {
            name: "nothing is unexplained / 没有无法解释的事实",
            complaints: anomalies
                .iter()
                .map(|(kind, subject)| format!("{kind} of {subject}"))
                .collect(),
        },
        Check {
            name: "nothing is left open / 没有未了结的订单",
            complaints: open_of(&histories),
        },
    ];
    Ok((checks, found))
}

/// What the business side does not know as the books have it.
pub(super) async fn untold(stage: &Stage, plan: &Plan) -> anyhow::Result<Vec<String>> {
    Ok(untold_of(stage, plan, &histories(stage, plan).await?))
}

fn untold_of(stage: &Stage, plan: &Plan, histories: &[OrderHistory]) -> Vec<String> {
    let business = stage.world.business();
    let mut complaints = Vec::new();
    for (order, history) in plan.orders.iter().zip(histories) {
        let (heard, told) = (business.heard_of(&order.number), events_of(history));
        if heard != told {
            complaints.push(format!("of order {} it heard {heard:?}, not {told:?}", order.number));
        }
    }
    if business.overlaps() + business.refused() > 0 {
        let (overlaps, refused) = (business.overlaps(), business.refused());
        complaints.push(format!("{overlaps} messages by two at a time, {refused} not genuine"));
    }
    complaints
}

/// The events of an order, in the order in which they are told.
fn events_of(history: &OrderHistory) -> Vec<&str> {
    let mut events: Vec<(i64, &str)> = history
        .timeline
        .iter()
        .filter_map(|entry| match &entry.happened {
            Happened::Event { name, position, .. } => Some((*position, name.as_str())),
            Happened::Order { .. }
            | Happened::Refund { .. }
            | Happened::Transfer { .. }
            | Happened::Request { .. }
            | Happened::Callback { .. }
            | Happened::Attempt { .. }
            | Happened::Anomaly { .. }
            | Happened::Resolved { .. } => None,
        })
        .collect();
    events.sort_unstable();
    events.into_iter().map(|(_, name)| name).collect()
}

/// The bill of each day of the scene against the store, by what the command `reconcile` runs. The clock goes on to the morning after.
pub(super) async fn bills(stage: &Stage, first: Date) -> anyhow::Result<Check> {
    let in_china = |at: Timestamp| tz::offset(8).to_datetime(at).date();
    let last = in_china(stage.world.clock().now());
    let morning = tz::offset(8).to_timestamp(last.tomorrow()?.at(10, 0, 0, 0))?;
    stage.advance(morning.duration_since(stage.world.clock().now()).try_into()?)?;
    let mut complaints = Vec::new();
    for day in first.series(1.day()).take_while(|day| *day <= last) {
        let run = stage.service.reconcile(day, Bill::Trade, false).await?;
        if !run.agrees() || run.here != run.there {
            complaints.push(format!(
                "{day}: {} differences, here {:?}, in the bill {:?}",
                run.differences, run.here, run.there
            ));
        }
    }
    Ok(Check {
        name: "the bill of each day agrees / 每日账单一致",
        complaints,
    })
}

/// What WeChat is still to be asked about.
pub(super) async fn open(stage: &Stage, plan: &Plan) -> anyhow::Result<Vec<String>> {
    Ok(open_of(&histories(stage, plan).await?))
}

async fn histories(stage: &Stage, plan: &Plan) -> anyhow::Result<Vec<OrderHistory>> {
    let mut histories = Vec::new();
    for order in &plan.orders {
        let number = OutTradeNo::parse(order.number.as_str())?;
        let history = timeline::of_order(stage.service.db(), &number).await?;
        histories.push(history.with_context(|| format!("order {number} is not in the store"))?);
    }
    Ok(histories)
}

fn open_of(histories: &[OrderHistory]) -> Vec<String> {
    let mut open = Vec::new();
    for OrderHistory { order, refunds, .. } in histories {
        if order.ask_at_ms.is_some() {
            open.push(format!("order {} ({})", order.out_trade_no, order.state));
        }
        let refunds = refunds.iter().filter(|refund| refund.ask_at_ms.is_some());
        open.extend(refunds.map(|refund| format!("refund {} ({})", refund.out_refund_no, refund.state)));
    }
    open
}

/// States and numbers, and what the buyer's deed has to lead to.
fn standing(stage: &Stage, order: &Order, history: &OrderHistory) -> Vec<String> {
    let (wechat, number) = (stage.world.wechat(), &order.number);
    let Some(there) = wechat.order(number) else {
        return vec![format!("WeChat Pay does not have order {number}")];
    };
    let mut complaints = Vec::new();
    let (ours, theirs) = (history.order.state.as_str(), there.state.as_str());
    let expected = match order.buyer {
        Buyer::Pays if order.refunds.is_empty() => "SUCCESS",
        Buyer::Pays => "REFUND",
        Buyer::Cancels | Buyer::Leaves | Buyer::IsRefused => "CLOSED",
    };
    if ours != theirs || ours != expected {
        complaints.push(format!(
            "order {number} is {ours}, at WeChat Pay {theirs}, and should be {expected}"
        ));
    }
    if history.order.transaction_id != there.transaction_id || history.order.total_fen.get() != there.total {
        complaints.push(format!("order {number} has another payment or total at WeChat Pay"));
    }
    let here: BTreeMap<&str, &str> = history
        .refunds
        .iter()
        .map(|refund| (refund.out_refund_no.as_str(), refund.state.as_str()))
        .collect();
    let there: BTreeMap<&str, &str> = there
        .refunds
        .iter()
        .filter_map(|number| Some((number.as_str(), wechat.refund(number)?.status.as_str())))
        .collect();
    if here != there || here.len() != order.refunds.len() {
        complaints.push(format!("refunds of {number}: {here:?}, at WeChat Pay {there:?}"));
    }
    complaints
}

/// The facts of an order by what WeChat says of it, against the events.
fn telling(stage: &Stage, order: &Order, history: &OrderHistory) -> Vec<String> {
    let mut expected = vec!["order.created"];
    expected.push(match order.buyer {
        Buyer::Pays => "order.paid",
        Buyer::Cancels | Buyer::Leaves | Buyer::IsRefused => "order.closed",
    });
    for refund in &order.refunds {
        expected.push("refund.created");
        match stage.world.wechat().refund(&refund.number).map(|refund| refund.status) {
            Some(RefundStatus::Success) => expected.push("refund.succeeded"),
            Some(RefundStatus::Closed) => expected.push("refund.closed"),
            Some(RefundStatus::Abnormal) => expected.push("refund.abnormal"),
            Some(RefundStatus::Processing) | None => {}
        }
    }
    // That a refund was stuck for a while is news only if it was heard while it was.
    let stuck = |name: &&str| *name == "refund.abnormal" && !expected.contains(name);
    let mut told: Vec<&str> = events_of(history).into_iter().filter(|name| !stuck(name)).collect();
    told.sort_unstable();
    expected.sort_unstable();
    if told == expected {
        Vec::new()
    } else {
        vec![format!("of order {} was told {told:?}, not {expected:?}", order.number)]
    }
}

/// What was paid and what went back, in fen, over all orders and order by order.
fn sums(stage: &Stage, plan: &Plan, histories: &[OrderHistory]) -> Vec<String> {
    let wechat = stage.world.wechat();
    let mut complaints = Vec::new();
    let (mut ours, mut theirs) = ((0_i64, 0_i64), (0_i64, 0_i64));
    for (order, history) in plan.orders.iter().zip(histories) {
        let Some(there) = wechat.order(&order.number) else {
            continue;
        };
        if there.transaction_id.is_some() {
            theirs.0 = theirs.0.saturating_add(there.total);
        }
        if matches!(history.order.state.as_str(), "SUCCESS" | "REFUND") {
            ours.0 = ours.0.saturating_add(history.order.total_fen.get());
        }
        let back = there.refunds.iter().filter_map(|number| wechat.refund(number));
        let back = back.filter(|refund| refund.status != RefundStatus::Closed);
        let back = back.fold(0_i64, |sum, refund| sum.saturating_add(refund.refund));
        let held = history.order.held_fen.get();
        if held != back || held > history.order.total_fen.get() {
            complaints.push(format!(
                "of order {} {held} fen are held, at WeChat Pay {back}",
                order.number
            ));
        }
        theirs.1 = theirs.1.saturating_add(back);
        ours.1 = ours.1.saturating_add(held);
    }
    if ours != theirs {
        complaints.push(format!("paid and refunded: {ours:?} fen, at WeChat Pay {theirs:?}"));
    }
    complaints
}

impl Found {
    fn add(&mut self, history: &OrderHistory) {
        for entry in &history.timeline {
            let cause = match &entry.happened {
                Happened::Order { state, cause } if *state == "SUCCESS" => *cause,
                Happened::Refund { state, cause, .. } if matches!(state.as_str(), "SUCCESS" | "CLOSED") => *cause,
                Happened::Order { .. }
                | Happened::Refund { .. }
                | Happened::Transfer { .. }
                | Happened::Request { .. }
                | Happened::Callback { .. }
                | Happened::Event { .. }
                | Happened::Attempt { .. }
                | Happened::Anomaly { .. }
                | Happened::Resolved { .. } => continue,
            };
            match cause {
                Cause::Callback => self.by_callback += 1,
                Cause::Answer | Cause::Request => self.by_asking += 1,
            }
        }
    }
}
