//! What a number names: one thing is shown at once, of several there is a list, and of what is not in the books the anomalies about it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::html;
use serde::Deserialize;

use super::anomalies;
use super::desk::{Answer, Desk};
use super::places::Page;
use crate::auth::jws;
use crate::http::failure::Failure;
use crate::store::lookup::{self, Named};

pub(super) async fn page(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let asked = desk.visit.asked("q").unwrap_or_default();
    let title = desk.say("查找", "Search");
    if asked.is_empty() {
        let body = html! { p { (desk.say(
            "在上方输入任一编号：商户订单号、微信支付订单号、退款单号（商户或微信）、转账单号（商户或微信）、通知或异常的编号、订单票据。",
            "Enter any number above: of an order or its payment, of a refund or a transfer (yours or WeChat Pay's), of an event or an anomaly; or an order ticket.",
        )) } };
        return Ok(Answer::page(title, body));
    }
    let of_ticket = ticket_number(asked);
    let number = of_ticket.as_deref().unwrap_or(asked);
    let found = lookup::named(&desk.app.db, number).await?;
    if let [one] = found.as_slice() {
        let (page, number) = place(one);
        return Ok(Answer::Go(desk.to(page, &[("no", number)])));
    }
    let about = crate::store::anomalies::about(&desk.app.db, number).await?;
    let body = html! {
        @if found.is_empty() && about.is_empty() {
            p role="status" { (desk.say("账本中没有此编号：", "This is not in the books: ")) code { (number) } }
        }
        @if !found.is_empty() {
            p { (desk.say("此编号对应多项：", "This names several:")) }
            ul { @for named in &found {
                @let (page, number) = place(named);
                li { a href=(desk.to(page, &[("no", number)])) { (what(desk, named)) " " code { (number) } } }
            } }
        }
        @if !about.is_empty() {
            h2 { (desk.say("有关此编号的异常", "Anomalies about it")) }
            (anomalies::table(desk, Page::Search, &about))
        }
    };
    Ok(Answer::page(title, body))
}

fn place(named: &Named) -> (Page, &str) {
    match named {
        Named::Order(number) => (Page::Order, number),
        Named::Transfer(number) => (Page::Transfer, number),
    }
}

fn what<'t>(desk: &Desk<'_>, named: &Named) -> &'t str {
    match named {
        Named::Order(_) => desk.say("订单", "Order"),
        Named::Transfer(_) => desk.say("转账", "Transfer"),
    }
}

/// The order that a ticket is for. Whether it is genuine does not matter to whoever looks the order up.
fn ticket_number(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        out_trade_no: String,
    }
    if !jws::is_compact(text) {
        return None;
    }
    let content = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&content).ok()?;
    Some(claims.out_trade_no)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_for_one_number() {
        let ticket = |content: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(content));
        let of = |content: &str| ticket_number(&ticket(content));
        assert_eq!(of(r#"{"out_trade_no":"ORDER_1","exp":1}"#).as_deref(), Some("ORDER_1"));
        assert_eq!(of(r#"{"out_trade_no":1}"#), None);
        assert_eq!(of("not JSON"), None);
        assert_eq!(ticket_number("ORDER_1"), None);
        assert_eq!(ticket_number("a.!.c"), None);
    }
}
