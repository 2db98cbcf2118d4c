//! When an order is asked about, whether it is to be closed, and whose it is: each statement by itself.

use super::database::{Store, on_both_stores};
use super::{Books, books, fen, insert_intent, number, orders, refund_number, refunds};
use crate::domain::ids::AppId;
use crate::domain::order::{OrderKind, TradeState};
use crate::domain::refund::NewRefund;
use crate::store::orders::Adopted;

on_both_stores!(
    what_is_due_next_is_what_is_due_first,
    only_an_order_that_wechat_never_had_is_opened_again,
    a_close_is_asked_for_and_taken_back_while_an_order_is_open,
    a_question_that_nobody_answered_does_not_count,
    an_order_belongs_to_nobody_once_it_turns_out_to_be_placed_elsewhere,
    an_order_enters_once,
);

async fn with_intents(store: Store, names: &[(&str, i64)]) -> Books {
    let books = books(store).await;
    let mut tx = books.db.begin().await.unwrap();
    for (name, ask_at) in names {
        assert!(insert_intent(&mut tx, name, *ask_at).await);
    }
    tx.commit().await.unwrap();
    books
}

/// When it is asked about next, and how often that was done.
async fn asking(books: &Books, name: &str) -> (Option<i64>, i64) {
    let mut conn = books.db.read().await.unwrap();
    let row = sqlx::query("SELECT ask_at, asked FROM orders WHERE out_trade_no = $1")
        .bind(name)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    let (ask_at, asked) = (
        crate::store::row::maybe_number(&row, "ask_at"),
        crate::store::row::number(&row, "asked"),
    );
    (ask_at.unwrap(), asked.unwrap())
}

async fn what_is_due_next_is_what_is_due_first(store: Store) {
    let books = books(store).await;
    let mut tx = books.db.begin().await.unwrap();
    assert_eq!(orders::next_due(tx.conn()).await.unwrap(), None);
    assert_eq!(refunds::next_due(tx.conn()).await.unwrap(), None);
    for (name, ask_at) in [("ORDER_1", 70), ("ORDER_2", 50), ("ORDER_3", 60)] {
        assert!(insert_intent(&mut tx, name, ask_at).await);
    }
    for (name, ask_at) in [("REFUND_1", 90), ("REFUND_2", 80)] {
        let refund = NewRefund {
            out_refund_no: refund_number(name),
            out_trade_no: number("ORDER_1"),
            amount: fen(1),
            request: "{}".to_owned(),
        };
        refunds::insert_intent(tx.conn(), &refund, 1, ask_at).await.unwrap();
    }
    assert_eq!(orders::next_due(tx.conn()).await.unwrap(), Some(50));
    assert_eq!(refunds::next_due(tx.conn()).await.unwrap(), Some(80));
}

async fn only_an_order_that_wechat_never_had_is_opened_again(store: Store) {
    let books = with_intents(store, &[("ORDER_1", 10)]).await;
    let order = number("ORDER_1");
    let mut tx = books.db.begin().await.unwrap();
    assert!(!orders::reopen(tx.conn(), &order, 20).await.unwrap(), "it is open");
    assert!(orders::mark_rejected(tx.conn(), &order, 2).await.unwrap());
    assert!(orders::reopen(tx.conn(), &order, 20).await.unwrap());
    assert!(!orders::reopen(tx.conn(), &order, 30).await.unwrap(), "by one of two");
    tx.commit().await.unwrap();
    assert_eq!(asking(&books, "ORDER_1").await, (Some(20), 0));
}

async fn a_close_is_asked_for_and_taken_back_while_an_order_is_open(store: Store) {
    let books = with_intents(store, &[("ORDER_1", 10)]).await;
    let order = number("ORDER_1");
    let mut tx = books.db.begin().await.unwrap();
    assert!(orders::ask_close(tx.conn(), &order, 3, 13).await.unwrap());
    let asked = async |tx: &mut crate::store::db::Tx| {
        let held = orders::find(tx.conn(), &number("ORDER_1")).await.unwrap();
        held.unwrap().close_asked_at
    };
    assert_eq!(asked(&mut tx).await, Some(3));
    orders::unask_close(tx.conn(), &order).await.unwrap();
    assert_eq!(asked(&mut tx).await, None);
    assert!(orders::mark_closed(tx.conn(), &order, 4, 14).await.unwrap().is_some());
    assert!(
        !orders::ask_close(tx.conn(), &order, 5, 15).await.unwrap(),
        "it is closed"
    );
    assert!(!orders::ask_close(tx.conn(), &number("ORDER_2"), 5, 15).await.unwrap());
}

async fn a_question_that_nobody_answered_does_not_count(store: Store) {
    let books = with_intents(store, &[("ORDER_1", 10)]).await;
    let order = number("ORDER_1");
    for (at, asked) in [(10, 1), (20, 2)] {
        let mut tx = books.db.begin().await.unwrap();
        let dialect = books.db.dialect();
        let (taken, _) = orders::claim_due(tx.conn(), dialect, at, at + 10, 5).await.unwrap();
        assert_eq!(taken, 1);
        tx.commit().await.unwrap();
        assert_eq!(asking(&books, "ORDER_1").await, (Some(at + 10), asked));
    }
    let mut tx = books.db.begin().await.unwrap();
    orders::not_answered(tx.conn(), &order, 35).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(asking(&books, "ORDER_1").await, (Some(35), 1));
    // Asked for once more: what was said so far says nothing of that.
    let mut tx = books.db.begin().await.unwrap();
    orders::attempt(tx.conn(), &order, 40).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(asking(&books, "ORDER_1").await, (Some(40), 0));
}

async fn an_order_belongs_to_nobody_once_it_turns_out_to_be_placed_elsewhere(store: Store) {
    let books = with_intents(store, &[("ORDER_1", 10), ("ORDER_2", 10)]).await;
    let mut tx = books.db.begin().await.unwrap();
    let accepted = orders::mark_accepted(tx.conn(), &number("ORDER_2"), Some("wx-prepay"), 2, 9).await;
    assert!(accepted.unwrap().is_some());
    assert!(orders::disown(tx.conn(), &number("ORDER_1")).await.unwrap());
    assert!(
        !orders::disown(tx.conn(), &number("ORDER_2")).await.unwrap(),
        "it is from here"
    );
    for (name, owner) in [("ORDER_1", None), ("ORDER_2", Some("alice"))] {
        let held = orders::find(tx.conn(), &number(name)).await.unwrap().unwrap();
        assert_eq!(held.owner.sub.as_deref(), owner, "{name}");
    }
}

async fn an_order_enters_once(store: Store) {
    let books = books(store).await;
    let (order, app) = (number("ORDER_1"), AppId::parse(super::APP).unwrap());
    let adopted = Adopted {
        kind: OrderKind::Jsapi,
        out_trade_no: &order,
        app_id: &app,
        total: fen(100),
        payer: None,
        state: TradeState::NotPay,
        transaction_id: None,
        paid_at: None,
    };
    let mut tx = books.db.begin().await.unwrap();
    assert!(orders::adopt(tx.conn(), &adopted, 7).await.unwrap());
    assert!(!orders::adopt(tx.conn(), &adopted, 8).await.unwrap());
    let held = orders::find(tx.conn(), &order).await.unwrap().unwrap();
    assert_eq!(
        (held.state, held.created_at, held.request.as_str()),
        (TradeState::NotPay, 7, "")
    );
    // Nobody placed it here, so there is nobody to take it from.
    assert!(!orders::disown(tx.conn(), &order).await.unwrap());
}
