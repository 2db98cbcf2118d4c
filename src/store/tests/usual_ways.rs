//! What is done at once comes to the same books as what is done statement by statement, and does nothing where that does something else.

use std::time::Duration;

use tokio::task::JoinSet;

use super::database::{Store, on_both_stores};
use super::{
    APP, Books, EventKind, Fact, NewEvent, Payment, Step, TradeState, TransactionId, books, callbacks, fen,
    insert_intent, new_order, number, order_in, order_state, orders, outbox, usual,
};
use crate::store::callbacks::Heard;
use crate::store::usual::{Accepted, Usual};

on_both_stores!(
    at_once_and_by_statements_the_books_are_the_same,
    only_an_intent_of_that_amount_and_app_is_accepted_at_once,
    only_an_order_that_waits_for_that_payment_is_paid_at_once,
    a_callback_is_counted_only_to_the_letter,
    of_many_who_ask_for_one_number_at_once_one_has_it,
    of_many_at_once_each_hears_what_became_of_its_own,
    one_that_breaks_a_rule_of_the_books_takes_nobody_with_it,
    only_a_broken_rule_of_the_books_is_an_unusual_case,
    whoever_goes_away_while_others_wait_takes_nobody_with_them,
);

fn event(kind: EventKind, text: &str) -> NewEvent {
    NewEvent::of_order(kind, &number(text), format!("{{\"of\":\"{text}\"}}"))
}

fn heard(text: &str, resource: &'static str) -> Heard<'static> {
    Heard {
        fact: format!("payment/{text}"),
        stream: "ORDER",
        event_type: Some("TRANSACTION.SUCCESS"),
        notification_id: None,
        proof: "ciphertext",
        outcome: "applied",
        resource,
    }
}

async fn accept(books: &Books, text: &str, total: i64, app_id: &str) -> bool {
    let number = number(text);
    let order = Accepted {
        out_trade_no: &number,
        total: fen(total),
        app_id,
        prepay: "wx-prepay",
        ask_at: 9,
    };
    usual::accept(&books.db, &order, &event(EventKind::OrderCreated, text), 2)
        .await
        .unwrap()
}

async fn pay(books: &Books, text: &str, total: i64, app_id: &str, resource: &'static str) -> Option<Usual> {
    let number = number(text);
    let transaction_id = TransactionId::parse(format!("42{text}")).unwrap();
    let payment = Payment {
        out_trade_no: &number,
        transaction_id: &transaction_id,
        total: fen(total),
        app_id,
        payer_total: Some(fen(total)),
        payer: None,
        paid_at: 2,
    };
    let event = event(EventKind::OrderPaid, text);
    usual::pay(&books.db, &payment, &event, &heard(text, resource), 3)
        .await
        .unwrap()
}

/// Every column of every row that belongs to an order, but for what is drawn by lot.
async fn all_of(books: &Books, text: &str) -> Vec<String> {
    let mut conn = books.db.read().await.unwrap();
    let mut found = Vec::new();
    for statement in [
        "SELECT kind || app_id || total || owner_sub || COALESCE(owner_openid, '-') || request || state || COALESCE(prepay, '-')
                || COALESCE(prepay_at, -1) || '/' || COALESCE(payer_total, -1) || '/' || held || '/' || created_at || '/'
                || COALESCE(accepted_at, -1) || '/' || COALESCE(failed_at, -1) || '/' || COALESCE(paid_at, -1) || '/'
                || COALESCE(closed_at, -1) || '/' || COALESCE(ask_at, -1) || '/' || asked || COALESCE(transaction_id, '-') AS row
           FROM orders WHERE out_trade_no = $1",
        "SELECT fact || position || kind || payload || created_at || delivery || COALESCE(deliver_at, -1) AS row
           FROM events WHERE stream = $1 ORDER BY position",
        "SELECT fact || event_type || proof || outcome || resource || first_at || '/' || last_at || '/' || times AS row
           FROM callbacks WHERE fact = 'payment/' || $1",
    ] {
        let rows = sqlx::query(statement).bind(text).fetch_all(&mut *conn).await.unwrap();
        found.extend(rows.iter().map(|row| crate::store::row::text(row, "row").unwrap().replace(text, "N")));
    }
    found
}

async fn at_once_and_by_statements_the_books_are_the_same(store: Store) {
    for tells in [false, true] {
        let mut books = books(store).await;
        if tells {
            books.db = books.db.telling();
        }
        // At once; where a server has to hold the stream first, the payment is not.
        assert!(
            usual::insert_intent(&books.db, &new_order("ORDER_1"), "{}", 1, 10)
                .await
                .unwrap()
        );
        assert!(accept(&books, "ORDER_1", 100, APP).await);
        let holds = tells && store == Store::Postgres;
        let paid = pay(&books, "ORDER_1", 100, APP, "{}").await;
        assert_eq!(paid, (!holds).then_some(Usual::Applied));

        let mut tx = books.db.begin().await.unwrap();
        assert!(insert_intent(&mut tx, "ORDER_2", 10).await);
        let accepted = orders::mark_accepted(tx.conn(), &number("ORDER_2"), Some("wx-prepay"), 2, 9).await;
        assert!(accepted.unwrap().is_some());
        assert!(
            outbox::add(&mut tx, &event(EventKind::OrderCreated, "ORDER_2"), 2)
                .await
                .unwrap()
        );
        if !holds {
            let (order, transaction_id) = (number("ORDER_2"), TransactionId::parse("42ORDER_2").unwrap());
            let payment = Payment {
                out_trade_no: &order,
                transaction_id: &transaction_id,
                total: fen(100),
                app_id: APP,
                payer_total: Some(fen(100)),
                payer: None,
                paid_at: 2,
            };
            assert!(orders::mark_paid(tx.conn(), &payment).await.unwrap().is_some());
            assert!(
                outbox::add(&mut tx, &event(EventKind::OrderPaid, "ORDER_2"), 3)
                    .await
                    .unwrap()
            );
            callbacks::record(tx.conn(), &heard("ORDER_2", "{}"), 3).await.unwrap();
        }
        tx.commit().await.unwrap();
        let at_once = all_of(&books, "ORDER_1").await;
        assert_eq!(at_once, all_of(&books, "ORDER_2").await, "tells: {tells}");
        assert_eq!(at_once.len(), if holds { 2 } else { 4 });
    }
}

async fn only_an_intent_of_that_amount_and_app_is_accepted_at_once(store: Store) {
    let books = books(store).await;
    for state in TradeState::ALL {
        let text = format!("ORDER_{}", state.as_str());
        order_in(&books, &text, state).await;
        let before = all_of(&books, &text).await;
        for (total, app_id) in [(101, APP), (100, "wx0000000000000000")] {
            assert!(
                !accept(&books, &text, total, app_id).await,
                "{state:?} {total} {app_id}"
            );
        }
        assert_eq!(all_of(&books, &text).await, before);
        assert_eq!(
            accept(&books, &text, 100, APP).await,
            state == TradeState::Created,
            "{state:?}"
        );
        if let Step::To(after) = state.after(Fact::Accepted)
            && state == TradeState::Created
        {
            assert_eq!(order_state(&books, &text).await, after);
        } else {
            assert_eq!(all_of(&books, &text).await, before);
        }
    }
    assert!(!accept(&books, "NOBODYS", 100, APP).await);
}

async fn only_an_order_that_waits_for_that_payment_is_paid_at_once(store: Store) {
    let books = books(store).await;
    for state in TradeState::ALL {
        let text = format!("ORDER_{}", state.as_str());
        order_in(&books, &text, state).await;
        let before = all_of(&books, &text).await;
        for (total, app_id) in [(101, APP), (100, "wx0000000000000000")] {
            assert_eq!(
                pay(&books, &text, total, app_id, "{}").await,
                None,
                "{state:?} {total} {app_id}"
            );
        }
        assert_eq!(all_of(&books, &text).await, before);
        let usual = state == TradeState::NotPay;
        assert_eq!(
            pay(&books, &text, 100, APP, "{}").await,
            usual.then_some(Usual::Applied),
            "{state:?}"
        );
        assert_eq!(all_of(&books, &text).await == before, !usual, "{state:?}");
    }
    // Nobody was given anything to pay it with: a person hears of that, and it becomes its payer's.
    order_in(&books, "ORDER_1", TradeState::Created).await;
    let mut tx = books.db.begin().await.unwrap();
    let accepted = orders::mark_accepted(tx.conn(), &number("ORDER_1"), None, 2, 9).await;
    assert!(accepted.unwrap().is_some());
    tx.commit().await.unwrap();
    assert_eq!(pay(&books, "ORDER_1", 100, APP, "{}").await, None);
    // It was given up for a while.
    order_in(&books, "ORDER_2", TradeState::NotPay).await;
    let mut tx = books.db.begin().await.unwrap();
    sqlx::query("UPDATE orders SET failed_at = 1 WHERE out_trade_no = 'ORDER_2'")
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(pay(&books, "ORDER_2", 100, APP, "{}").await, None);
    assert_eq!(pay(&books, "NOBODYS", 100, APP, "{}").await, None);
}

async fn a_callback_is_counted_only_to_the_letter(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::NotPay).await;
    assert_eq!(pay(&books, "ORDER_1", 100, APP, "{}").await, Some(Usual::Applied));
    assert_eq!(pay(&books, "ORDER_1", 100, APP, "{}").await, Some(Usual::Known));
    assert_eq!(pay(&books, "ORDER_1", 100, APP, "{\"other\":1}").await, None);
    assert_eq!(pay(&books, "ORDER_1", 100, APP, "{}").await, Some(Usual::Known));
    let rows = all_of(&books, "ORDER_1").await;
    assert!(rows.last().unwrap().ends_with("/3"), "three times: {rows:?}");
    // What was an anomaly the first time is one again, and a person hears of it.
    let mut tx = books.db.begin().await.unwrap();
    let mut strange = heard("ORDER_2", "{}");
    strange.outcome = "anomaly";
    callbacks::record(tx.conn(), &strange, 3).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(pay(&books, "ORDER_2", 100, APP, "{}").await, None);
}

async fn of_many_who_ask_for_one_number_at_once_one_has_it(store: Store) {
    let books = books(store).await;
    let asked: JoinSet<bool> = (0..200)
        .map(|n| {
            let db = books.db.clone();
            async move {
                let order = new_order(&format!("ORDER_{}", n % 50));
                let had = usual::insert_intent(&db, &order, "{}", 1, 10).await.unwrap();
                // Whoever is told finds it in the books, over any connection: it is committed.
                let mut conn = db.read().await.unwrap();
                let held = orders::find(&mut conn, &order.out_trade_no).await.unwrap();
                assert!(held.is_some());
                had
            }
        })
        .collect();
    assert_eq!(asked.join_all().await.into_iter().filter(|had| *had).count(), 50);
    for n in 0..50 {
        assert_eq!(order_state(&books, &format!("ORDER_{n}")).await, TradeState::Created);
    }
}

async fn of_many_at_once_each_hears_what_became_of_its_own(store: Store) {
    let books = books(store).await;
    // Of each kind every third or fourth does not fit the books: a taken number, another amount, a payment that was heard of.
    let taken = |n: usize| n % 3 == 1;
    let dearer = |n: usize| n % 4 == 2;
    for n in 0..24 {
        if taken(n) {
            order_in(&books, &format!("FRESH_{n}"), TradeState::Created).await;
        }
        order_in(&books, &format!("ASKED_{n}"), TradeState::Created).await;
        order_in(&books, &format!("OPEN_{n}"), TradeState::NotPay).await;
        if taken(n) {
            assert!(pay(&books, &format!("OPEN_{n}"), 100, APP, "{}").await.is_some());
        }
    }
    let intents = (0..24).map(|n| {
        let (db, order) = (&books.db, new_order(&format!("FRESH_{n}")));
        async move { usual::insert_intent(db, &order, "{}", 1, 10).await.unwrap() }
    });
    let acceptances = (0..24).map(|n| {
        let (books, total) = (&books, if dearer(n) { 101 } else { 100 });
        async move { accept(books, &format!("ASKED_{n}"), total, APP).await }
    });
    let payments = (0..24).map(|n| {
        let (books, total) = (&books, if dearer(n) && !taken(n) { 101 } else { 100 });
        async move { pay(books, &format!("OPEN_{n}"), total, APP, "{}").await }
    });
    let all = futures_util::future::join3(
        futures_util::future::join_all(intents),
        futures_util::future::join_all(acceptances),
        futures_util::future::join_all(payments),
    );
    let (intents, acceptances, payments) = all.await;
    for n in 0..24 {
        assert_eq!(intents[n], !taken(n), "intent {n}");
        assert_eq!(acceptances[n], !dearer(n), "acceptance {n}");
        let paid = match (taken(n), dearer(n)) {
            (true, _) => Some(Usual::Known),
            (false, true) => None,
            (false, false) => Some(Usual::Applied),
        };
        assert_eq!(payments[n], paid, "payment {n}");
        for (number, moved) in [("ASKED", acceptances[n]), ("OPEN", payments[n].is_some())] {
            let state = match (number, moved) {
                ("ASKED", false) => TradeState::Created,
                ("OPEN", true) => TradeState::Success,
                _ => TradeState::NotPay,
            };
            assert_eq!(
                order_state(&books, &format!("{number}_{n}")).await,
                state,
                "{number} {n}"
            );
        }
    }
}

async fn one_that_breaks_a_rule_of_the_books_takes_nobody_with_it(store: Store) {
    let books = books(store).await;
    let texts: Vec<String> = (0..40).map(|n| format!("ORDER_{n}")).collect();
    for (n, text) in texts.iter().enumerate() {
        order_in(&books, text, TradeState::Created).await;
        if n % 10 == 3 {
            // Somebody told of it before: that cannot be, and so nothing is done here.
            let mut tx = books.db.begin().await.unwrap();
            outbox::add(&mut tx, &event(EventKind::OrderCreated, text), 1)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    }
    let accepted = futures_util::future::join_all(texts.iter().map(|text| accept(&books, text, 100, APP))).await;
    for (n, (text, accepted)) in texts.iter().zip(accepted).enumerate() {
        assert_eq!(accepted, n % 10 != 3, "{text}");
        let expected = if accepted {
            TradeState::NotPay
        } else {
            TradeState::Created
        };
        assert_eq!(order_state(&books, text).await, expected, "{text}");
    }
}

async fn only_a_broken_rule_of_the_books_is_an_unusual_case(store: Store) {
    let books = books(store).await;
    order_in(&books, "ORDER_1", TradeState::Created).await;
    let mut tx = books.db.begin().await.unwrap();
    sqlx::query("ALTER TABLE events RENAME TO events_elsewhere")
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let number = number("ORDER_1");
    let order = Accepted {
        out_trade_no: &number,
        total: fen(100),
        app_id: APP,
        prepay: "wx-prepay",
        ask_at: 9,
    };
    let accepted = usual::accept(&books.db, &order, &event(EventKind::OrderCreated, "ORDER_1"), 2).await;
    assert!(accepted.is_err(), "whoever asks is told: {accepted:?}");
    assert_eq!(order_state(&books, "ORDER_1").await, TradeState::Created);
}

async fn whoever_goes_away_while_others_wait_takes_nobody_with_them(store: Store) {
    let books = books(store).await;
    for round in 0..20_u64 {
        let asked: JoinSet<(u64, bool)> = (0..24_u64)
            .map(|n| {
                let db = books.db.clone();
                async move {
                    let order = new_order(&format!("ORDER_{round}_{n}"));
                    let asked = usual::insert_intent(&db, &order, "{}", 1, 10);
                    let patience = if n % 3 == 0 {
                        Duration::from_micros(round * 40 + n * 20)
                    } else {
                        Duration::from_secs(10)
                    };
                    let told = tokio::time::timeout(patience, asked).await;
                    // "It is there already" is said to one whose intent was written by somebody who went away before saying so.
                    (n, told.is_ok_and(|told| told.is_ok()))
                }
            })
            .collect();
        for (n, told) in asked.join_all().await {
            if n % 3 != 0 {
                assert!(told, "round {round}");
                assert_eq!(
                    order_state(&books, &format!("ORDER_{round}_{n}")).await,
                    TradeState::Created
                );
            }
        }
        // Nobody left a transaction open.
        let last = new_order(&format!("LAST_{round}"));
        assert!(usual::insert_intent(&books.db, &last, "{}", 1, 10).await.unwrap());
        let mut tx = books.db.begin().await.unwrap();
        assert!(insert_intent(&mut tx, &format!("AFTER_{round}"), 10).await);
        tx.commit().await.unwrap();
        assert_eq!(order_state(&books, &format!("LAST_{round}")).await, TradeState::Created);
    }
}

/// A server that went away a moment after it answered, and is there again.
#[tokio::test]
#[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
async fn a_connection_that_died_within_its_trusted_time_is_replaced_unnoticed() {
    let books = books(Store::Postgres).await;
    let own = super::Db::open(&books.database.url).await.unwrap();
    for round in 0..5 {
        let order = new_order(&format!("BEFORE_{round}"));
        assert!(usual::insert_intent(&books.db, &order, "{}", 1, 10).await.unwrap());
        let mut conn = own.write().await.unwrap();
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut *conn)
        .await
        .unwrap();
        drop(conn);
        let order = new_order(&format!("AFTER_{round}"));
        assert!(usual::insert_intent(&books.db, &order, "{}", 1, 10).await.unwrap());
    }
}
