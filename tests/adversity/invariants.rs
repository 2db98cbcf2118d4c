//! What must hold whatever happened, once everything is quiet: our books against WeChat's, the events against the books.
//!
//! Every sentence here is one of the invariants of the money path. They are said of books at rest: faults are over, and what was open
//! has been asked about.

mod books;
mod orders;
mod questions;
mod transfers;

use pay_common::sandbox::{TradeState, Wechat};
use sqlx::Connection as _;

pub use self::books::{Books, Event};
use crate::support::app::TestApp;

/// Fails unless everything holds and nothing is for a person to look at.
#[track_caller]
pub fn invariants(t: &TestApp) -> impl Future<Output = ()> + '_ {
    invariants_but(t, &[])
}

/// The same where exactly these anomalies, as kind and subject, are expected.
#[track_caller]
pub fn invariants_but<'a>(t: &'a TestApp, anomalies: &'a [(&str, &str)]) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let complaints = all_complaints(t, anomalies).await;
        assert!(complaints.is_empty(), "{caller}: {complaints:#?}");
    }
}

/// Everything that does not hold of the whole store.
pub async fn all_complaints(t: &TestApp, anomalies: &[(&str, &str)]) -> Vec<String> {
    let books = read_all(t).await;
    let mut complaints = complaints(&books, t.world.wechat(), anomalies);
    questions::check(&books, t.world.wechat(), &mut complaints);
    complaints
}

/// Everything that does not hold of these books.
pub fn complaints(books: &Books, wechat: &Wechat, anomalies: &[(&str, &str)]) -> Vec<String> {
    let mut complaints = Vec::new();
    orders::check(books, wechat, &mut complaints);
    transfers::check(books, wechat, &mut complaints);
    let mut found: Vec<(&str, &str)> = books
        .anomalies
        .iter()
        .map(|(kind, subject)| (kind.as_str(), subject.as_str()))
        .collect();
    let mut expected = anomalies.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    if found != expected {
        complaints.push(format!("the anomalies are {found:?}, not {expected:?}"));
    }
    complaints
}

/// What was given up although WeChat has it. This must not be at any moment, also while something is broken.
pub fn given_up(books: &Books, wechat: &Wechat) -> Vec<String> {
    let is_open = |number: &str| {
        wechat
            .order(number)
            .is_some_and(|order| order.state != TradeState::Closed)
    };
    let orders = books
        .orders
        .iter()
        .filter(|order| order.state == "FAILED" && is_open(&order.number))
        .map(|order| format!("order {} was given up, and WeChat has it", order.number));
    let refunds = books
        .refunds
        .iter()
        .filter(|refund| refund.state == "FAILED" && wechat.refund(&refund.number).is_some())
        .map(|refund| format!("refund {} was given up, and WeChat has it", refund.number));
    let transfers = books
        .transfers
        .iter()
        .filter(|transfer| transfer.state == "REJECTED" && wechat.transfer(&transfer.number).is_some())
        .map(|transfer| format!("transfer {} was given up, and WeChat has it", transfer.number));
    orders.chain(refunds).chain(transfers).collect()
}

/// Fails if anything was given up that WeChat has.
pub async fn nothing_is_given_up(t: &TestApp) {
    let books = read_all(t).await;
    assert_eq!(given_up(&books, t.world.wechat()), Vec::<String>::new());
}

async fn read_all(t: &TestApp) -> Books {
    sqlx::any::install_default_drivers();
    let mut conn = sqlx::AnyConnection::connect(&t.database.url).await.unwrap();
    let books = Books::read(&mut conn, "").await;
    conn.close().await.unwrap();
    books
}

/// What is wrong with the events of one stream: each fact once, in an order in which it can have happened.
///
/// `expected` names every fact that has to be told; `repeatable` begins the names of those that may be told more than once.
fn of_events(events: &[&Event], expected: &[String], repeatable: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
    let count = i64::try_from(events.len()).unwrap();
    if positions != (1..=count).collect::<Vec<_>>() {
        complaints.push(format!("its events stand at {positions:?}"));
    }
    for fact in expected {
        let told = events.iter().filter(|event| event.fact == *fact).count();
        let told_in_turns = events
            .iter()
            .filter(|event| fact.starts_with(repeatable) && event.fact.starts_with(&format!("{fact}/")))
            .count();
        let once = told == 1 || (told == 0 && told_in_turns >= 1);
        if !once {
            complaints.push(format!("{fact} was told {told} times"));
        }
    }
    for event in events {
        let is_expected = expected.contains(&event.fact) || event.fact.starts_with(repeatable);
        if !is_expected {
            complaints.push(format!("{} was told and did not happen", event.fact));
        }
        if !event.fact.starts_with(&format!("{}/", event.kind)) {
            complaints.push(format!("{} is told as {}", event.fact, event.kind));
        }
    }
    complaints
}
