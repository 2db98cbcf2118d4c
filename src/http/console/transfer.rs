//! One transfer: how it stands, and all that happened.

use maud::html;

use super::desk::{Answer, Desk};
use super::order::{callbacks, unknown};
use super::places::Page;
use super::shown::{NOTHING, code, facts, maybe_time, state, time, yuan};
use super::{timeline, words};
use crate::domain::ids::OutBillNo;
use crate::http::failure::Failure;
use crate::store::timeline as history;

pub(super) async fn page(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let asked = desk.visit.asked("no").unwrap_or_default();
    let found = match OutBillNo::parse(asked) {
        Ok(number) => history::of_transfer(&desk.app.db, &number).await?,
        Err(_) => None,
    };
    let Some(history) = found else {
        return Ok(unknown(desk, asked));
    };
    let (transfer, entries) = (&history.transfer, &history.timeline);
    let standing = facts(&[
        (
            desk.say("状态", "State"),
            state(desk.visit, &transfer.state, words::transfer(&transfer.state)),
        ),
        (
            desk.say("金额", "Amount"),
            html! { strong.amount { (yuan(transfer.amount_fen)) } },
        ),
        (
            desk.say("失败原因", "Why it failed"),
            html! { (transfer.fail_reason.as_deref().unwrap_or(NOTHING)) },
        ),
        (
            desk.say("微信支付转账单号", "WeChat Pay's number"),
            code(transfer.transfer_bill_no.as_deref()),
        ),
        (desk.say("应用", "App"), html! { code { (transfer.app_id) } }),
        (
            desk.say("收款人（部分隐藏）", "Receiver (shortened)"),
            html! { "openid " code { (transfer.openid) } },
        ),
        (desk.say("创建", "Created"), time(transfer.created_at_ms)),
        (desk.say("结束", "Ended"), maybe_time(transfer.ended_at_ms)),
    ]);
    let body = html! {
        section.cards aria-label=(desk.say("转账现状", "How it stands")) { (standing) }
        section aria-labelledby="callbacks" {
            h2 id="callbacks" { (desk.say("回调", "Callbacks")) }
            (callbacks(desk, entries))
        }
        section aria-labelledby="timeline" {
            h2 id="timeline" { (desk.say("全部经过", "All that happened")) }
            (timeline::list(desk, Page::Transfer, entries, transfer.ask_at_ms))
        }
    };
    let title = format!("{} {}", desk.say("转账", "Transfer"), transfer.out_bill_no);
    Ok(Answer::page(title, body))
}
