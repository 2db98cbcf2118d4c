//! What the console shows of the books: any number finds its order, with all that happened and what is left of the money.

use std::time::Duration;

use pay_common::sandbox::RefundEnd;
use serde_json::json;

use crate::operators::{messy, start};
use crate::support::app::{OPENID, OPERATOR, TestApp, order, refund};
use crate::support::browser::{Browser, Page};
use crate::support::command::run;
use crate::support::database::{Store, on_both_stores};

on_both_stores!(
    any_number_leads_to_its_order,
    an_order_is_shown_with_its_money_its_callbacks_and_its_history_in_order,
    a_transfer_is_shown_and_found_by_either_number,
    what_remains_is_what_can_still_be_refunded,
    what_is_not_in_the_books_is_told_with_the_anomalies_about_it,
    orders_are_listed_newest_first_page_by_page,
    today_is_counted_in_beijing_time,
    hostile_texts_are_only_texts,
    a_number_that_no_book_can_hold_is_in_none,
    a_store_that_is_gone_is_a_page_too,
);

async fn any_number_leads_to_its_order(store: Store) {
    let t = start(store).await;
    messy(&t).await;
    let refund = t.world.wechat().refund("REFUND_2").unwrap();
    let event = t
        .texts("SELECT event_id FROM events WHERE kind = 'order.paid'")
        .await
        .remove(0);
    let anomaly = t.texts("SELECT anomaly_id FROM anomalies").await.remove(0);
    let ticket = {
        let claims = json!({"out_trade_no": "ORDER_1", "exp": 1});
        let key = jsonwebtoken::EncodingKey::from_secret(b"whatever signs tickets there, and long enough");
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let mut browser = Browser::signed_in(&t).await;
    for number in [
        "ORDER_1",
        "  ORDER_1 ",
        &refund.transaction_id,
        "REFUND_2",
        &refund.refund_id,
        &event,
        &anomaly,
        &ticket,
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", number)
            .finish();
        let found = browser.get(&format!("/console/search?{query}")).await;
        assert_eq!(found.location(), "order?no=ORDER_1", "{number}");
    }
}

/// The texts of the timeline's entries, tags taken out.
fn timeline(page: &Page) -> Vec<String> {
    let list = page.text.split("<ol class=\"timeline\">").nth(1).unwrap();
    let list = list.split("</ol>").next().unwrap();
    list.split("<li").skip(1).map(plain).collect()
}

fn plain(markup: &str) -> String {
    let mut text = String::new();
    let mut is_in_tag = markup.starts_with([' ', '>']);
    for c in markup.chars() {
        match c {
            '<' => is_in_tag = true,
            '>' => is_in_tag = false,
            _ if is_in_tag => {}
            _ => text.push(c),
        }
    }
    text
}

async fn an_order_is_shown_with_its_money_its_callbacks_and_its_history_in_order(store: Store) {
    let t = start(store).await;
    messy(&t).await;
    let url = t.database.url.as_str();
    crate::support::command::eventually(url, &["orders", "show", "ORDER_1", "--json"], |history| {
        let entries = history["timeline"].as_array().unwrap();
        entries.iter().filter(|entry| entry["kind"] == "request").count() == 7
    })
    .await;
    let mut browser = Browser::signed_in(&t).await;
    let page = browser.get("/console/order?no=ORDER_1").await;
    assert_eq!(page.status, 200);
    // 20 fen: 5 are back, 7 under way, and 8 are left.
    page.assert_shows(&[
        "REFUND</span> <span class=\"meaning\">paid, with refunds</span>",
        "Paid back</dt><dd><span class=\"amount\">¥0.05</span>",
        "Refunds under way</dt><dd><span class=\"amount\">¥0.07</span>",
        "<strong class=\"amount\" id=\"remaining\">¥0.08</strong>",
        "sub <code>alic…</code>",
    ]);
    let transaction = t.world.wechat().refund("REFUND_1").unwrap().transaction_id;
    page.assert_shows(&[&transaction, "REFUND_1", "REFUND_2", "PROCESSING"]);
    let callbacks = page.text.split("id=\"callbacks\"").nth(1).unwrap();
    let callbacks = plain(callbacks.split("</section>").next().unwrap());
    for part in [
        "TRANSACTION.SUCCESS",
        "ciphertext the APIv3 ciphertext",
        "applied in the books",
        "anomaly kept as an anomaly",
        "REFUND.SUCCESS",
    ] {
        assert!(callbacks.contains(part), "{part}: {callbacks}");
    }
    let entries = timeline(&page);
    let times: Vec<&str> = entries.iter().map(|entry| entry.get(..23).unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let at = |part: &str| {
        let found = entries.iter().position(|entry| entry.contains(part));
        found.unwrap_or_else(|| panic!("{part} is not in {entries:#?}"))
    };
    let story = [
        "CREATED being placed · asked for here",
        "NOTPAY not paid yet · WeChat Pay's answer",
        "SUCCESS paid · a callback",
        "REFUND_1 ¥0.05 CREATED being asked for · asked for here",
        "REFUND_1 ¥0.05 SUCCESS paid back · a callback",
    ]
    .map(at);
    assert!(story.is_sorted(), "{entries:#?}");
    for part in [
        "wxpay_order · token alic… · OK · 3 times, last",
        "wxpay_close_order · token bob… · FORBIDDEN",
        "order.created · attempt 1 · HTTP 503, 31 ms · status 503",
        "order.paid · attempt 1 · no answer, 1000 ms · timed out",
        "amount_mismatch · ORDER_1 · open",
        "order.paid DEAD given up",
    ] {
        at(part);
    }
    page.assert_hides(&[OPENID, "oBOB56789012345678901234567", "prepay_id", OPERATOR]);
    // The same in Chinese.
    let page = browser.get("/console/order?no=ORDER_1&lang=zh").await;
    page.assert_shows(&["可退余额", "已支付，有退款", "全部经过", "证明", "APIv3 密文"]);
    assert_eq!(timeline(&page).len(), entries.len());
}

async fn a_transfer_is_shown_and_found_by_either_number(store: Store) {
    let t = start(store).await;
    t.transferred("BILL01", 123_456).await;
    t.world.wechat().confirm_transfer("BILL01").unwrap();
    t.eventually_transfer("BILL01", "SUCCESS").await;
    let bill = t.texts("SELECT transfer_bill_no FROM transfers").await.remove(0);
    let mut browser = Browser::signed_in(&t).await;
    for number in ["BILL01", &bill] {
        let found = browser.get(&format!("/console/search?q={number}")).await;
        assert_eq!(found.location(), "transfer?no=BILL01", "{number}");
    }
    let page = browser.get("/console/transfer?no=BILL01").await;
    page.assert_shows(&[
        "¥1,234.56",
        &bill,
        "SUCCESS</span> <span class=\"meaning\">paid</span>",
        "oUpF…eS6o",
    ]);
    page.assert_hides(&[OPENID]);
    assert!(timeline(&page).iter().any(|entry| entry.contains("transfer.succeeded")));
    // An order of the same number is another thing, and either can be chosen.
    t.placed("BILL01", 20).await;
    let both = browser.get("/console/search?q=BILL01").await;
    both.assert_shows(&["order?no=BILL01", "transfer?no=BILL01", "names several"]);
}

async fn what_remains_is_what_can_still_be_refunded(store: Store) {
    let t = start(store).await;
    t.placed("ORDER_1", 100).await;
    let mut browser = Browser::signed_in(&t).await;
    let mut remaining = async |expected: &str| {
        let page = browser.get("/console/order?no=ORDER_1").await;
        page.assert_shows(&[&format!("id=\"remaining\">{expected}</strong>")]);
    };
    remaining("—").await;
    t.world.wechat().pay("ORDER_1").unwrap();
    t.eventually("ORDER_1", "SUCCESS").await;
    remaining("¥1.00").await;
    t.act("wxpay_refund", refund("ORDER_1", "R_1", 60, 100)).await.data();
    remaining("¥0.40").await;
    let too_much = t.act("wxpay_refund", refund("ORDER_1", "R_2", 41, 100)).await;
    assert_eq!(too_much.failure(), (409, "REFUND_EXCEEDS_ORDER"));
    // A refund that is closed gives its amount back.
    t.world.wechat().finish_refund("R_1", RefundEnd::Closed).unwrap();
    while t.held("ORDER_1").await != 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    remaining("¥1.00").await;
    t.act("wxpay_refund", refund("ORDER_1", "R_3", 100, 100)).await.data();
    remaining("¥0.00").await;
}

async fn what_is_not_in_the_books_is_told_with_the_anomalies_about_it(store: Store) {
    let t = start(store).await;
    t.paid("ORDER_1", 20).await;
    let strange = t.world.wechat().payment_notification_with("ORDER_1", |note| {
        note.resource["out_trade_no"] = json!("ORDER_UNKNOWN");
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    assert_eq!(t.forward(&strange).await.status, 200);
    let mut browser = Browser::signed_in(&t).await;
    let id = t.texts("SELECT anomaly_id FROM anomalies").await.remove(0);
    for number in ["ORDER_UNKNOWN", &id] {
        let found = browser.get(&format!("/console/search?q={number}")).await;
        found.assert_shows(&["unknown_order", "Mark as resolved", "placed by another system?"]);
        assert_eq!(found.status, 200);
    }
    for nothing in [
        "NEVER_HEARD_OF",
        "%",
        "'; DROP TABLE orders; --",
        "a%00b",
        "e30.e30.e30",
    ] {
        let query = nothing.replace('\'', "%27").replace(' ', "+").replace("%;", "%25;");
        let query = if nothing == "%" { "%25".to_owned() } else { query };
        let found = browser.get(&format!("/console/search?q={query}")).await;
        found.assert_shows(&["This is not in the books"]);
    }
    browser.get("/console/search").await.assert_shows(&["Enter any number"]);
    for path in [
        "/console/order?no=NEVER_HEARD_OF",
        "/console/order",
        "/console/transfer?no=NEVER",
        "/console/order?no=%2F",
    ] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}

async fn orders_are_listed_newest_first_page_by_page(store: Store) {
    let t = TestApp::start(store).await;
    for number in 100..153 {
        t.placed(&format!("ORDER_{number}"), 20).await;
        t.advance(Duration::from_millis(5));
    }
    t.act("wxpay_close_order", json!({"out_trade_no": "ORDER_120"})).await;
    let mut browser = Browser::signed_in(&t).await;
    let shown = |page: &Page| -> Vec<String> {
        let rows = page.text.split("order?no=").skip(1);
        rows.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let first = browser.get("/console/orders").await;
    let numbers = shown(&first);
    assert_eq!(
        (numbers.len(), numbers[0].as_str(), numbers[49].as_str()),
        (50, "ORDER_152", "ORDER_103")
    );
    first.assert_shows(&["orders?after=ORDER_103"]);
    first.assert_hides(&["First page"]);
    // What comes meanwhile moves no row from one page to another.
    t.placed("ORDER_999", 20).await;
    let second = browser.get("/console/orders?after=ORDER_103").await;
    assert_eq!(shown(&second), ["ORDER_102", "ORDER_101", "ORDER_100"]);
    second.assert_shows(&["First page"]);
    second.assert_hides(&["Next page"]);
    let closed = browser.get("/console/orders?state=CLOSED").await;
    assert_eq!(shown(&closed), ["ORDER_120"]);
    closed.assert_shows(&["aria-current=\"true\">CLOSED"]);
    let open = browser.get("/console/orders?state=NOTPAY").await;
    open.assert_shows(&["orders?state=NOTPAY&amp;after=ORDER_103"]);
    // What nobody ever made up leads nowhere and breaks nothing.
    for odd in ["?after=NONE_SUCH", "?after=%27", "?state=odd"] {
        assert_eq!(browser.get(&format!("/console/orders{odd}")).await.status, 200, "{odd}");
    }
}

async fn today_is_counted_in_beijing_time(store: Store) {
    let t = start(store).await;
    t.paid("ORDER_1", 12_345).await;
    t.paid("ORDER_2", 5).await;
    t.placed("ORDER_3", 700).await;
    t.act("wxpay_refund", refund("ORDER_1", "R_1", 345, 12_345))
        .await
        .data();
    let strange = t.world.wechat().payment_notification_with("ORDER_1", |note| {
        note.resource["out_trade_no"] = json!("ORDER_UNKNOWN");
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    assert_eq!(t.forward(&strange).await.status, 200);
    let mut browser = Browser::signed_in(&t).await;
    let figures = |page: &Page| -> Vec<String> {
        let all = page.text.split("<strong>").skip(1);
        all.map(|rest| rest.split("</strong>").next().unwrap().to_owned())
            .collect()
    };
    let page = browser.get("/console").await;
    // Placed, paid, refunded; open orders, refunds, transfers; anomalies, dead, waiting.
    assert_eq!(
        figures(&page),
        ["3", "¥123.50", "¥3.45", "1", "1", "0", "1", "0", "0"],
        "{}",
        page.text
    );
    page.assert_shows(&["2 orders", "1 refunds", "Without webhookUrl nobody is told"]);
    // Tomorrow is another day, and what is open stays open.
    t.advance(Duration::from_hours(24));
    let mut browser = Browser::signed_in(&t).await;
    let tomorrow = browser.get("/console").await;
    assert_eq!(figures(&tomorrow)[..6], ["0", "¥0.00", "¥0.00", "1", "1", "0"]);
}

async fn hostile_texts_are_only_texts(store: Store) {
    let t = start(store).await;
    t.paid("ORDER_1", 20).await;
    let attack = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";
    let strange = t.world.wechat().payment_notification_with("ORDER_1", |note| {
        note.resource["out_trade_no"] = json!(attack);
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    t.forward(&strange).await;
    sqlx_write(
        &t,
        "UPDATE anomalies SET subject = '\"><script>alert(1)</script>', kind = '<b>new</b>'",
    )
    .await;
    sqlx_write(
        &t,
        "INSERT INTO requests (stream, action, subject, who, outcome, first_at, last_at, times)
         VALUES ('ORDER_1', '<script>alert(1)</script>', '\"onload=\"x', '<img src=x>', '&', 1, 1, 1)",
    )
    .await;
    let mut browser = Browser::of(&t);
    browser.sign_in(OPERATOR, "<script>alert(1)</script>").await;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("q", attack)
        .append_pair("lang", "en")
        .append_pair("x", attack)
        .finish();
    for path in [
        "/console",
        "/console/anomalies",
        "/console/anomalies?which=%22%3E%3Cscript%3E",
        "/console/order?no=ORDER_1",
        "/console/order?no=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/console?said=%3Cscript%3E",
        &format!("/console/search?{query}"),
    ] {
        let page = browser.get(path).await;
        page.assert_hides(&["<script", "<img", "<b>new", "\"onload"]);
        page.assert_shows(&["&lt;script&gt;"]);
    }
    let page = browser.get("/console/order?no=ORDER_1").await;
    page.assert_shows(&["&lt;img src=x&gt;", "&quot;onload=&quot;x", "&amp;"]);
}

/// To PostgreSQL a NUL is no text at all.
async fn a_number_that_no_book_can_hold_is_in_none(store: Store) {
    let t = start(store).await;
    t.paid("ORDER_1", 20).await;
    let mut browser = Browser::signed_in(&t).await;
    for path in [
        "/console/search?q=a%00b",
        "/console/order?no=a%00b",
        "/console/transfer?no=a%00b",
        "/console/orders?after=a%00b&state=a%00b",
        "/console/anomalies?after=a%00b&which=all&kind=a%00b",
        "/console/webhooks?after=a%00b",
        "/console/webhooks?after=a%00b&those=DEAD",
    ] {
        let page = browser.get(path).await;
        assert!([200, 404].contains(&page.status), "{path}: {page:?}");
    }
}

async fn sqlx_write(t: &TestApp, statement: &'static str) {
    use sqlx::Connection as _;
    sqlx::any::install_default_drivers();
    let mut conn = sqlx::AnyConnection::connect(&t.database.url).await.unwrap();
    sqlx::query(statement).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

async fn a_store_that_is_gone_is_a_page_too(store: Store) {
    let t = start(store).await;
    let mut browser = Browser::signed_in(&t).await;
    t.service.db().close().await;
    let page = browser.get("/console").await;
    assert_eq!(page.status, 503);
    page.assert_shows(&["That did not work", "STORE"]);
    page.assert_hides(&["sqlx", "pool"]);
}

/// What the page says is what the command says.
#[tokio::test]
async fn the_console_and_the_command_agree() {
    let t = start(Store::Sqlite).await;
    t.paid("ORDER_1", 20).await;
    t.act("wxpay_order", order("ORDER_1", 20)).await;
    let mut browser = Browser::signed_in(&t).await;
    let entries = timeline(&browser.get("/console/order?no=ORDER_1").await).len();
    let history = run(&t.database.url, &["orders", "show", "ORDER_1", "--json"]).document();
    assert!(entries <= history["timeline"].as_array().unwrap().len());
    assert!(entries >= 5, "{entries}");
}
