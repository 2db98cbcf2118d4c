//! The guards of the statements are the tables of the domain: every pair of state and fact, on both databases.

mod asking;
mod connections;
#[path = "../../tests/support/database.rs"]
#[expect(
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "shared with the tests over HTTP"
)]
pub(crate) mod database;
mod days;
mod plans;
mod usual_ways;

use database::{Database, Store, on_both_stores};

use super::db::{Db, Dialect, Tx};
use super::orders::{self, Payment};
use super::requests::{self, About, Request};
use super::transfers::{self, Particulars};
use super::{anomalies, at_once, callbacks, outbox, refunds, usual};
use crate::domain::anomaly::{AnomalyKind, NewAnomaly};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::ids::{AppId, Openid, OutBillNo, OutRefundNo, OutTradeNo, TransactionId, TransferBillNo};
use crate::domain::money::Fen;
use crate::domain::order::{Fact, NewOrder, OrderKind, OrderOptions, Owner, Step, TradeState};
use crate::domain::refund::{NewRefund, RefundFact, RefundState, RefundStep};
use crate::domain::transfer::{NewTransfer, TransferFact, TransferState, TransferStep};

on_both_stores!(
    every_fact_moves_an_order_as_the_domain_says,
    every_fact_moves_a_refund_as_the_domain_says,
    every_fact_moves_a_transfer_as_the_domain_says,
    a_transfer_is_read_back_as_it_was_written,
    due_transfers_are_claimed_once_and_again_after_the_lease,
    a_payment_of_another_amount_or_app_moves_nothing,
    holds_never_pass_the_total_however_many_come_at_once,
    one_fact_is_one_event_and_events_of_a_stream_are_numbered,
    a_fact_heard_again_is_counted_on_its_row,
    what_is_asked_again_is_counted_and_nobody_fills_the_store_by_asking,
    due_rows_are_claimed_once_and_again_after_the_lease,
    what_is_not_committed_has_not_happened,
    an_order_is_read_back_as_it_was_written,
    a_refund_belongs_to_an_order,
    whoever_sends_is_woken_by_what_is_to_be_sent_and_by_nothing_else,
    the_next_of_a_stream_wakes_whoever_sends,
);

const APP: &str = "wx2421b1c4370ec43b";

struct Books {
    db: Db,
    database: Database,
}

async fn books(store: Store) -> Books {
    let database = Database::fresh(store).await;
    let db = Db::open(&database.url).await.unwrap();
    assert_eq!(
        db.dialect(),
        if store == Store::Sqlite {
            Dialect::Sqlite
        } else {
            Dialect::Postgres
        }
    );
    Books { db, database }
}

fn number(text: &str) -> OutTradeNo {
    OutTradeNo::parse(text).unwrap()
}

fn refund_number(text: &str) -> OutRefundNo {
    OutRefundNo::parse(text).unwrap()
}

fn fen(fen: i64) -> Fen {
    Fen::positive(fen).unwrap()
}

fn new_order(text: &str) -> NewOrder {
    NewOrder {
        kind: OrderKind::Jsapi,
        out_trade_no: number(text),
        app_id: AppId::parse(APP).unwrap(),
        description: "Test product".to_owned(),
        total: fen(100),
        address_of_connection: false,
        payer: None,
        options: OrderOptions::default(),
        owner: Owner {
            sub: Some("alice".to_owned()),
            openid: None,
        },
    }
}

/// An intent within a transaction, of which the test sees more than the service does.
async fn insert_intent(tx: &mut Tx, text: &str, ask_at: i64) -> bool {
    let values = usual::intent(&new_order(text), "{}", 1, ask_at);
    let inserted = at_once::run(tx.conn(), usual::INTENT.server, &values).await;
    inserted.unwrap().is_some()
}

/// What one call did to one row.
async fn order_after(books: &Books, text: &str, fact: Fact) -> bool {
    let number = number(text);
    let transaction_id = TransactionId::parse(format!("42{text}")).unwrap();
    let mut tx = books.db.begin().await.unwrap();
    let moved = match fact {
        Fact::Accepted => orders::mark_accepted(tx.conn(), &number, Some("wx-prepay"), 2, 9)
            .await
            .unwrap()
            .is_some(),
        Fact::Rejected => orders::mark_rejected(tx.conn(), &number, 2).await.unwrap(),
        Fact::Paid => {
            let payment = Payment {
                out_trade_no: &number,
                transaction_id: &transaction_id,
                total: fen(100),
                app_id: APP,
                payer_total: None,
                payer: None,
                paid_at: 2,
            };
            orders::mark_paid(tx.conn(), &payment).await.unwrap().is_some()
        }
        Fact::Closed => orders::mark_closed(tx.conn(), &number, 2, 3).await.unwrap().is_some(),
        Fact::Refunded => orders::mark_refunded(tx.conn(), &number).await.unwrap(),
    };
    tx.commit().await.unwrap();
    moved
}

async fn order_state(books: &Books, text: &str) -> TradeState {
    let mut conn = books.db.read().await.unwrap();
    orders::find(&mut conn, &number(text)).await.unwrap().unwrap().state
}

/// An order that has come to a state by the way that leads there.
async fn order_in(books: &Books, text: &str, state: TradeState) {
    let mut tx = books.db.begin().await.unwrap();
    assert!(insert_intent(&mut tx, text, 10).await);
    tx.commit().await.unwrap();
    let way: &[Fact] = match state {
        TradeState::Created => &[],
        TradeState::Failed => &[Fact::Rejected],
        TradeState::NotPay => &[Fact::Accepted],
        TradeState::Success => &[Fact::Accepted, Fact::Paid],
        TradeState::Refund => &[Fact::Accepted, Fact::Paid, Fact::Refunded],
        TradeState::Closed => &[Fact::Accepted, Fact::Closed],
    };
    for fact in way {
        assert!(order_after(books, text, *fact).await);
    }
    assert_eq!(order_state(books, text).await, state);
}

async fn every_fact_moves_an_order_as_the_domain_says(store: Store) {
    let books = books(store).await;
    for (row, state) in TradeState::ALL.into_iter().enumerate() {
        for (column, fact) in Fact::ALL.into_iter().enumerate() {
            let name = format!("ORDER_{row}_{column}");
            order_in(&books, &name, state).await;
            let expected = state.after(fact);
            let moved = order_after(&books, &name, fact).await;
            let now = order_state(&books, &name).await;
            match expected {
                Step::To(next) => assert_eq!((moved, now), (true, next), "{state:?} after {fact:?}"),
                Step::Known | Step::Contradiction => {
                    assert_eq!((moved, now), (false, state), "{state:?} after {fact:?}");
                }
            }
        }
    }
}

async fn refund_in(books: &Books, name: &str, state: RefundState) {
    let new = NewRefund {
        out_refund_no: refund_number(name),
        out_trade_no: number("ORDER_1"),
        amount: fen(1),
        request: "{}".to_owned(),
    };
    let mut tx = books.db.begin().await.unwrap();
    assert!(refunds::insert_intent(tx.conn(), &new, 1, 10).await.unwrap());
    let fact = match state {
        RefundState::Created => None,
        RefundState::Failed => Some(RefundFact::Unknown),
        RefundState::Processing => Some(RefundFact::Processing),
        RefundState::Success => Some(RefundFact::Success),
        RefundState::Closed => Some(RefundFact::Closed),
        RefundState::Abnormal => Some(RefundFact::Abnormal),
    };
    if let Some(fact) = fact {
        assert!(
            refunds::apply(tx.conn(), &new.out_refund_no, fact, None, 2, 20)
                .await
                .unwrap()
        );
    }
    tx.commit().await.unwrap();
}

async fn every_fact_moves_a_refund_as_the_domain_says(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::Success).await;
    for (row, state) in RefundState::ALL.into_iter().enumerate() {
        for (column, fact) in RefundFact::ALL.into_iter().enumerate() {
            let name = format!("R_{row}_{column}");
            refund_in(&books, &name, state).await;
            let mut tx = books.db.begin().await.unwrap();
            // A refund that was given up is reopened before anything else can be said of it.
            let reopened = refunds::reopen(tx.conn(), &refund_number(&name), 3, 30).await.unwrap();
            assert_eq!(reopened, state == RefundState::Failed);
            if reopened && fact == RefundFact::Unknown {
                continue;
            }
            let moved = refunds::apply(tx.conn(), &refund_number(&name), fact, None, 3, 30)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            let mut conn = books.db.read().await.unwrap();
            let now = refunds::find(&mut conn, &refund_number(&name))
                .await
                .unwrap()
                .unwrap()
                .state;
            match state.after(fact) {
                RefundStep::To(next) => assert_eq!((moved, now), (true, next), "{state:?} after {fact:?}"),
                RefundStep::Known | RefundStep::Contradiction => {
                    assert_eq!((moved, now), (false, state), "{state:?} after {fact:?}");
                }
            }
        }
    }
}

fn new_transfer(name: &str) -> NewTransfer {
    NewTransfer {
        out_bill_no: OutBillNo::parse(name).unwrap(),
        app_id: AppId::parse(APP).unwrap(),
        openid: Openid::parse("o_receiver").unwrap(),
        amount: fen(500),
        request: "{}".to_owned(),
        name_digest: Some("digest".to_owned()),
        owner: Owner {
            sub: Some("alice".to_owned()),
            openid: None,
        },
    }
}

/// What one fact did to one row.
async fn transfer_after(books: &Books, name: &str, fact: TransferFact) -> bool {
    let bill = TransferBillNo::parse(format!("1330{name}")).unwrap();
    let particulars = Particulars {
        transfer_bill_no: (fact != TransferFact::Unknown).then_some(&bill),
        fail_reason: (fact == TransferFact::Fail).then_some("OVERDUE_CLOSE"),
        package_info: (fact == TransferFact::WaitUserConfirm).then_some("package"),
    };
    let mut tx = books.db.begin().await.unwrap();
    let number = OutBillNo::parse(name).unwrap();
    let moved = transfers::apply(tx.conn(), &number, fact, particulars, 2, 20)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    moved
}

async fn transfer_state(books: &Books, name: &str) -> TransferState {
    let mut conn = books.db.read().await.unwrap();
    let number = OutBillNo::parse(name).unwrap();
    transfers::find(&mut conn, &number).await.unwrap().unwrap().state
}

/// A transfer that has come to a state by the shortest way.
async fn transfer_in(books: &Books, name: &str, state: TransferState) {
    let mut tx = books.db.begin().await.unwrap();
    assert!(
        transfers::insert_intent(tx.conn(), &new_transfer(name), 1, 10)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    let fact = match state {
        TransferState::Created => None,
        TransferState::Rejected => Some(TransferFact::Unknown),
        other => Some(TransferFact::of_state(other.as_str()).unwrap()),
    };
    if let Some(fact) = fact {
        assert!(transfer_after(books, name, fact).await);
    }
    assert_eq!(transfer_state(books, name).await, state);
}

async fn every_fact_moves_a_transfer_as_the_domain_says(store: Store) {
    let books = books(store).await;
    for (row, state) in TransferState::ALL.into_iter().enumerate() {
        for (column, fact) in TransferFact::ALL.into_iter().enumerate() {
            let name = format!("T{row}x{column}");
            transfer_in(&books, &name, state).await;
            let expected = state.after(fact);
            let moved = transfer_after(&books, &name, fact).await;
            let now = transfer_state(&books, &name).await;
            match expected {
                TransferStep::To(next) => assert_eq!((moved, now), (true, next), "{state:?} after {fact:?}"),
                TransferStep::Known | TransferStep::Contradiction => {
                    assert_eq!((moved, now), (false, state), "{state:?} after {fact:?}");
                }
            }
            // What is given up, and only that, may be asked for again.
            let mut tx = books.db.begin().await.unwrap();
            let again = transfers::asked_for(tx.conn(), &OutBillNo::parse(name).unwrap(), 3, 30)
                .await
                .unwrap();
            let open = matches!(now, TransferState::Created | TransferState::Rejected);
            assert_eq!(again, open, "{now:?}");
        }
    }
}

async fn a_transfer_is_read_back_as_it_was_written(store: Store) {
    let books = books(store).await;
    transfer_in(&books, "T1", TransferState::WaitUserConfirm).await;
    let number = OutBillNo::parse("T1").unwrap();
    let read = async || {
        let mut conn = books.db.read().await.unwrap();
        transfers::find(&mut conn, &number).await.unwrap().unwrap()
    };
    let (asked, held) = (new_transfer("T1"), read().await);
    assert_eq!(
        (held.out_bill_no, held.openid, held.amount, held.owner),
        (asked.out_bill_no, asked.openid, asked.amount, asked.owner)
    );
    assert_eq!((held.request, held.name_digest), (asked.request, asked.name_digest));
    assert_eq!(held.transfer_bill_no, TransferBillNo::parse("1330T1").ok());
    assert_eq!(held.package_info.as_deref(), Some("package"));
    assert!(held.accepted && held.asked_for_at == 1);

    // What WeChat says once is not forgotten when it is not said again.
    assert!(transfer_after(&books, "T1", TransferFact::Transfering).await);
    assert_eq!(read().await.package_info.as_deref(), Some("package"));
}

async fn due_transfers_are_claimed_once_and_again_after_the_lease(store: Store) {
    let books = books(store).await;
    for state in TransferState::ALL {
        transfer_in(&books, state.as_str().replace('_', "").as_str(), state).await;
    }
    let claim = async |now, lease| {
        let mut tx = books.db.begin().await.unwrap();
        let (taken, due) = transfers::claim_due(tx.conn(), books.db.dialect(), now, lease, 50)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(taken, due.len());
        let mut due: Vec<_> = due
            .into_iter()
            .map(|due| (due.transfer.state.as_str(), due.asked))
            .collect();
        due.sort_unstable();
        due
    };
    let open = |asked| {
        let mut open: Vec<_> = TransferState::ALL
            .into_iter()
            .filter(|state| !state.is_end() && *state != TransferState::Rejected)
            .map(|state| (state.as_str(), asked))
            .collect();
        open.sort_unstable();
        open
    };
    assert_eq!(
        claim(10, 1000).await,
        [("CREATED", 1)],
        "an intent is due before what was accepted"
    );
    assert_eq!(claim(20, 1000).await.len(), open(1).len() - 1);
    assert_eq!(claim(999, 2000).await, [], "taken is taken");
    assert_eq!(
        claim(1000, 2000).await,
        open(2),
        "whoever died with it lets it become due again"
    );
}

async fn a_payment_of_another_amount_or_app_moves_nothing(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::NotPay).await;
    let (order, id) = (number("ORDER_1"), TransactionId::parse("42").unwrap());
    for (total, app_id) in [(fen(99), APP), (fen(101), APP), (fen(100), "wx0000000000000000")] {
        let payment = Payment {
            out_trade_no: &order,
            transaction_id: &id,
            total,
            app_id,
            payer_total: None,
            payer: None,
            paid_at: 2,
        };
        let mut tx = books.db.begin().await.unwrap();
        assert!(
            orders::mark_paid(tx.conn(), &payment).await.unwrap().is_none(),
            "{total} {app_id}"
        );
        tx.commit().await.unwrap();
    }
    assert_eq!(order_state(&books, "ORDER_1").await, TradeState::NotPay);
}

async fn holds_never_pass_the_total_however_many_come_at_once(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::Success).await;
    let holds = (0..20).map(|_| async {
        let mut tx = books.db.begin().await.unwrap();
        let held = orders::hold(tx.conn(), &number("ORDER_1"), fen(30)).await.unwrap();
        tx.commit().await.unwrap();
        held
    });
    let held = futures_util::future::join_all(holds)
        .await
        .into_iter()
        .filter(|held| *held)
        .count();
    assert_eq!(held, 3);
    order_in(&books, "ORDER_2", TradeState::NotPay).await;
    let mut tx = books.db.begin().await.unwrap();
    assert!(
        !orders::hold(tx.conn(), &number("ORDER_2"), fen(1)).await.unwrap(),
        "what is not paid is not refunded"
    );
}

fn event(kind: EventKind) -> NewEvent {
    NewEvent::of_order(kind, &number("ORDER_1"), "{}".to_owned())
}

async fn one_fact_is_one_event_and_events_of_a_stream_are_numbered(store: Store) {
    let books = books(store).await;
    for (kind, added) in [
        (EventKind::OrderCreated, true),
        (EventKind::OrderPaid, true),
        (EventKind::OrderPaid, false),
        (EventKind::OrderClosed, true),
    ] {
        let mut tx = books.db.begin().await.unwrap();
        assert_eq!(outbox::add(&mut tx, &event(kind), 5).await.unwrap(), added, "{kind:?}");
        tx.commit().await.unwrap();
    }
    let events = super::history::events_of(&books.db, &number("ORDER_1")).await.unwrap();
    assert_eq!(events, ["order.created", "order.paid", "order.closed"]);

    let note = NewAnomaly {
        id: "ANOMALY_1".to_owned(),
        kind: AnomalyKind::UnknownOrder,
        subject: "ORDER_9".to_owned(),
        fact: "payment/42".to_owned(),
        detail: "{}".to_owned(),
    };
    for added in [true, false] {
        let mut tx = books.db.begin().await.unwrap();
        assert_eq!(anomalies::add(&mut tx, &note, 5).await.unwrap(), added);
        tx.commit().await.unwrap();
    }
    assert_eq!(
        super::history::anomalies(&books.db).await.unwrap(),
        [("unknown_order".to_owned(), "ORDER_9".to_owned())]
    );
}

async fn a_fact_heard_again_is_counted_on_its_row(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::NotPay).await;
    for at in [5, 6, 7] {
        let heard = callbacks::Heard {
            fact: "payment/ORDER_1/42".to_owned(),
            stream: "ORDER_1",
            event_type: Some("TRANSACTION.SUCCESS"),
            notification_id: None,
            proof: "signature",
            outcome: "applied",
            resource: "{}",
        };
        let mut tx = books.db.begin().await.unwrap();
        callbacks::record(tx.conn(), &heard, at).await.unwrap();
        tx.commit().await.unwrap();
    }
    let history = super::timeline::of_order(&books.db, &number("ORDER_1")).await.unwrap();
    let timeline = history.unwrap().timeline;
    let heard: Vec<_> = timeline
        .iter()
        .filter(|entry| entry.happened.kind() == "callback")
        .collect();
    assert_eq!(heard.len(), 1);
    let what = heard[0].happened.to_string();
    assert!(heard[0].at_ms == 5 && what.ends_with("applied, 3 times"), "{heard:?}");
}

async fn what_is_asked_again_is_counted_and_nobody_fills_the_store_by_asking(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::NotPay).await;
    let request = |number: &str, who: String| Request {
        about: About::Order {
            number: Some(number.to_owned()),
            transaction: None,
        },
        action: "wxpay_close_order",
        subject: String::new(),
        who,
        outcome: "FORBIDDEN",
    };
    let many = requests::MOST_OF_A_STREAM + 10;
    for stranger in 0..many {
        let request = request("ORDER_1", format!("token {stranger}"));
        requests::record(&books.db, &request, stranger).await.unwrap();
    }
    // One that is kept is counted, also when there is no room for another.
    for at in [1000, 1001] {
        let request = request("ORDER_1", "token 3".to_owned());
        requests::record(&books.db, &request, at).await.unwrap();
    }
    // A NUL is a character to JSON, and none to PostgreSQL.
    let unknown = request("ORDER_9", "token \0".to_owned());
    requests::record(&books.db, &unknown, 5).await.unwrap();
    let mut conn = books.db.read().await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM requests")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(rows, requests::MOST_OF_A_STREAM);
    let kept: String = sqlx::query_scalar(
        "SELECT CAST(first_at AS TEXT) || ' ' || CAST(last_at AS TEXT) || ' ' || CAST(times AS TEXT)
           FROM requests WHERE stream = 'ORDER_1' AND who = 'token 3'",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(kept, "3 1001 3");
}

async fn due_rows_are_claimed_once_and_again_after_the_lease(store: Store) {
    let books = books(store).await;
    for row in 0..30 {
        order_in(&books, &format!("ORDER_{row}"), TradeState::NotPay).await;
    }
    order_in(&books, "ORDER_PAID", TradeState::Success).await;
    let claimers = (0..4).map(|_| async {
        let mut claimed = Vec::new();
        loop {
            let mut tx = books.db.begin().await.unwrap();
            let (_, due) = orders::claim_due(tx.conn(), books.db.dialect(), 10, 1000, 7)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            if due.is_empty() {
                return claimed;
            }
            claimed.extend(due.into_iter().map(|due| due.order.out_trade_no));
        }
    });
    let mut claimed: Vec<_> = futures_util::future::join_all(claimers)
        .await
        .into_iter()
        .flatten()
        .collect();
    claimed.sort();
    let all = claimed.len();
    claimed.dedup();
    assert_eq!((all, claimed.len()), (30, 30), "each once, and nothing that is settled");

    let mut tx = books.db.begin().await.unwrap();
    assert!(
        orders::claim_due(tx.conn(), books.db.dialect(), 999, 2000, 50)
            .await
            .unwrap()
            .1
            .is_empty()
    );
    let (_, again) = orders::claim_due(tx.conn(), books.db.dialect(), 1000, 2000, 50)
        .await
        .unwrap();
    assert!(
        again.len() == 30 && again.iter().all(|due| due.asked == 2),
        "whoever died with it lets it become due again"
    );
}

async fn what_is_not_committed_has_not_happened(store: Store) {
    let books = books(store).await;
    {
        let mut tx = books.db.begin().await.unwrap();
        assert!(insert_intent(&mut tx, "ORDER_1", 10).await);
    }
    let mut conn = books.db.read().await.unwrap();
    assert!(orders::find(&mut conn, &number("ORDER_1")).await.unwrap().is_none());
}

async fn an_order_is_read_back_as_it_was_written(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::Success).await;
    let mut conn = books.db.read().await.unwrap();
    let order = orders::find(&mut conn, &number("ORDER_1")).await.unwrap().unwrap();
    assert_eq!(order.total, fen(100));
    assert_eq!(order.app_id.as_str(), APP);
    assert_eq!(
        order.owner,
        Owner {
            sub: Some("alice".to_owned()),
            openid: None
        }
    );
    assert_eq!(order.prepay, Some(("wx-prepay".to_owned(), 2)));
    let by_payment = orders::find_by_transaction(&mut conn, &TransactionId::parse("42ORDER_1").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(by_payment.out_trade_no, order.out_trade_no);
}

async fn a_refund_belongs_to_an_order(store: Store) {
    let books = books(store).await;
    let stray = NewRefund {
        out_refund_no: refund_number("R_1"),
        out_trade_no: number("ORDER_1"),
        amount: fen(1),
        request: "{}".to_owned(),
    };
    let mut tx = books.db.begin().await.unwrap();
    assert!(refunds::insert_intent(tx.conn(), &stray, 1, 10).await.is_err());
}

/// Whether somebody who waits for events to send would wake up now.
fn woken(db: &Db) -> bool {
    use futures_util::FutureExt as _;
    db.told().now_or_never().is_some()
}

async fn whoever_sends_is_woken_by_what_is_to_be_sent_and_by_nothing_else(store: Store) {
    let books = books(store).await;
    let db = books.db.clone().telling();
    assert!(!woken(&db), "nothing has happened yet");
    for (kind, news) in [(EventKind::OrderCreated, true), (EventKind::OrderCreated, false)] {
        let mut tx = db.begin().await.unwrap();
        assert_eq!(outbox::add(&mut tx, &event(kind), 5).await.unwrap(), news);
        assert!(!woken(&db), "it is not written yet");
        tx.commit().await.unwrap();
        assert_eq!(woken(&db), news, "a fact that was told before is nothing to send");
    }
    let mut tx = db.begin().await.unwrap();
    outbox::add(&mut tx, &event(EventKind::OrderPaid), 5).await.unwrap();
    drop(tx);
    assert!(!woken(&db), "what is not committed has not happened");
}

/// Only one of a stream is due at a time, so the end of one is what makes the next one due.
async fn the_next_of_a_stream_wakes_whoever_sends(store: Store) {
    let books = books(store).await;
    let db = books.db.clone().telling();
    let mut tx = db.begin().await.unwrap();
    for kind in [EventKind::OrderCreated, EventKind::OrderPaid] {
        assert!(outbox::add(&mut tx, &event(kind), 5).await.unwrap());
    }
    tx.commit().await.unwrap();
    assert!(woken(&db));
    for (kind, another) in [("order.created", true), ("order.paid", false)] {
        let mut tx = db.begin().await.unwrap();
        let taken = outbox::claim_due(&mut tx, outbox::Which::Due, 5, 1000, 16)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            taken.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
            [kind]
        );
        assert!(!woken(&db), "what is taken is nothing to send");
        let ended = outbox::Ended {
            began_at: 5,
            at: 5,
            status: Some(200),
            problem: None,
            then: outbox::Then::Delivered,
        };
        let mut tx = db.begin().await.unwrap();
        assert!(outbox::end(&mut tx, &taken[0], &ended).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(woken(&db), another, "after {kind}");
    }
}

/// On SQLite a transaction that may write is alone anyway. It is asked not to wait, so that nothing hangs on how long that takes.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn whoever_holds_an_order_or_a_transfer_is_alone_with_it() {
    let books = books(Store::Postgres).await;
    order_in(&books, "ORDER_1", TradeState::Success).await;
    order_in(&books, "ORDER_2", TradeState::Success).await;
    transfer_in(&books, "T1", TransferState::Created).await;
    transfer_in(&books, "T2", TransferState::Created).await;
    let transfer = |name: &str| OutBillNo::parse(name).unwrap();
    let mut held = books.db.begin().await.unwrap();
    orders::lock(held.conn(), &number("ORDER_1")).await.unwrap();
    transfers::lock(held.conn(), &transfer("T1")).await.unwrap();
    let impatient = async || {
        let mut tx = books.db.begin().await.unwrap();
        sqlx::query("SET LOCAL lock_timeout = '50ms'")
            .execute(tx.conn())
            .await
            .unwrap();
        tx
    };
    assert!(
        orders::lock(impatient().await.conn(), &number("ORDER_1"))
            .await
            .is_err()
    );
    assert!(
        transfers::lock(impatient().await.conn(), &transfer("T1"))
            .await
            .is_err()
    );
    // Others are not held up, and neither is whoever comes after it.
    orders::lock(impatient().await.conn(), &number("ORDER_2"))
        .await
        .unwrap();
    transfers::lock(impatient().await.conn(), &transfer("T2"))
        .await
        .unwrap();
    held.commit().await.unwrap();
    orders::lock(impatient().await.conn(), &number("ORDER_1"))
        .await
        .unwrap();
    transfers::lock(impatient().await.conn(), &transfer("T1"))
        .await
        .unwrap();
}

/// The events of one stream: whoever adds one waits for whoever ends one.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn whoever_adds_an_event_is_alone_with_its_stream() {
    let books = books(Store::Postgres).await;
    let db = books.db.clone().telling();
    let mut tx = db.begin().await.unwrap();
    assert!(outbox::add(&mut tx, &event(EventKind::OrderCreated), 5).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let taken = outbox::claim_due(&mut tx, outbox::Which::Due, 5, 1000, 16)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    // The end of an event, its transaction not over yet.
    let ended = outbox::Ended {
        began_at: 5,
        at: 5,
        status: None,
        problem: None,
        then: outbox::Then::Again(9),
    };
    let mut ending = db.begin().await.unwrap();
    assert!(outbox::end(&mut ending, &taken[0], &ended).await.unwrap());
    let mut tx = db.begin().await.unwrap();
    sqlx::query("SET LOCAL lock_timeout = '50ms'")
        .execute(tx.conn())
        .await
        .unwrap();
    assert!(outbox::add(&mut tx, &event(EventKind::OrderPaid), 5).await.is_err());
    ending.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(outbox::add(&mut tx, &event(EventKind::OrderPaid), 5).await.unwrap());
}
