//! What a receiver sees of the sending, over both databases: no service listens, and nothing is sent but what a test sends.

mod receiver;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use tokio::sync::Semaphore;

use self::receiver::{NEXT_SECRET, Receiver, SECRET};
use super::*;
use crate::clock::Clock;
use crate::config::tests::read_with;
use crate::domain::event::{Delivery, EventKind, NewEvent};
use crate::domain::ids::{OutTradeNo, new_id};
use crate::flows::tick;
use crate::store::outbox::Replay;
use crate::store::tests::database::{Database, Store, on_both_stores};

on_both_stores!(
    in_order_within_a_stream_and_side_by_side_across_streams,
    one_that_is_slow_to_answer_holds_up_no_other_stream,
    several_senders_send_each_event_once,
    whoever_dies_with_an_event_lets_another_one_send_it_after_the_lease,
    a_process_that_wakes_up_too_late_sends_nothing,
    what_is_ended_late_changes_nothing,
    the_receiver_may_ask_for_a_longer_pause_and_not_for_a_shorter_one,
    only_2xx_is_an_answer_that_takes_an_event,
    a_redirect_is_not_followed,
    an_answer_without_an_end_is_an_answer,
    a_first_attempt_ends_within_its_budget_and_is_written_down,
    what_was_tried_before_is_no_first_attempt,
    a_replayed_event_goes_before_the_later_ones_of_its_stream,
    each_secret_signs_the_newest_first,
    what_is_added_while_the_last_one_ends_is_not_forgotten,
    a_turn_whose_time_is_over_says_that_something_still_waits_to_be_told,
);

struct Stage {
    app: App,
    receiver: Receiver,
    clock: Clock,
    database: Database,
}

impl Stage {
    async fn set(store: Store) -> Self {
        let (database, receiver) = (Database::fresh(store).await, Receiver::start().await);
        let clock = Clock::movable();
        let app = sender(&database, &receiver, &clock, SECRET).await;
        Self {
            app,
            receiver,
            clock,
            database,
        }
    }

    /// One more instance over the same books.
    async fn another(&self) -> App {
        sender(&self.database, &self.receiver, &self.clock, SECRET).await
    }

    /// Adds events to a stream, in this order.
    async fn tell(&self, stream: &str, kinds: &[EventKind]) {
        for kind in kinds {
            let mut tx = self.app.db.begin().await.unwrap();
            let payload = format!(
                r#"{{"version":1,"type":"{}","data":{{"out_trade_no":"{stream}"}}}}"#,
                kind.as_str()
            );
            let event = NewEvent::of_order(*kind, &OutTradeNo::parse(stream).unwrap(), payload);
            assert!(outbox::add(&mut tx, &event, self.clock.now_ms()).await.unwrap());
            tx.commit().await.unwrap();
        }
    }

    /// Milliseconds until the next event is due.
    async fn due_in(&self) -> Option<i64> {
        let next = outbox::next_due(&self.app.db).await.unwrap();
        next.map(|at| at - self.clock.now_ms())
    }

    /// Ids, states and attempts of the events in this state, newest first.
    async fn kept(&self, state: Delivery) -> Vec<outbox::Kept> {
        let wanted = outbox::Wanted {
            those: outbox::Those::In(state),
            after: None,
            most: 10_000,
        };
        outbox::list(&self.app.db, &wanted).await.unwrap()
    }

    /// Takes the one event that is due, as a sender does.
    async fn taken(&self) -> Taken {
        claim(&self.app, Which::Due, 1).await.unwrap().0.pop().unwrap()
    }
}

async fn sender(database: &Database, receiver: &Receiver, clock: &Clock, secrets: &str) -> App {
    let config = read_with(&[
        ("DATABASE_URL", &database.url),
        ("webhookUrl", &receiver.url),
        ("webhookSecret", secrets),
    ]);
    crate::boot::assemble(config.unwrap(), clock.clone()).await.unwrap()
}

const LIFE: [EventKind; 4] = [
    EventKind::OrderCreated,
    EventKind::OrderPaid,
    EventKind::RefundCreated,
    EventKind::RefundSucceeded,
];

fn names(kinds: &[EventKind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.as_str()).collect()
}

async fn in_order_within_a_stream_and_side_by_side_across_streams(store: Store) {
    let stage = Stage::set(store).await;
    for n in 0..4 {
        stage.tell(&format!("ORDER_{n}"), &LIFE).await;
    }
    // Nobody is answered before all streams have one under way: whoever sent them one after the other would not come to an end.
    let together = Arc::new(tokio::sync::Barrier::new(4));
    stage.receiver.answer(move |_| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            StatusCode::OK.into_response()
        }
    });
    let delivered = due(&stage.app).await.unwrap();
    assert_eq!((delivered.taken, delivered.refused), (16, 0));
    for n in 0..4 {
        assert_eq!(stage.receiver.kinds_of(&format!("ORDER_{n}")), names(&LIFE));
    }
    assert_eq!((stage.receiver.overlaps(), stage.receiver.forged()), (vec![], 0));
    assert_eq!(stage.due_in().await, None);
    assert_eq!(stage.kept(Delivery::Delivered).await.len(), 16);
}

async fn one_that_is_slow_to_answer_holds_up_no_other_stream(store: Store) {
    let stage = Stage::set(store).await;
    let release = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&release);
    stage.receiver.answer(move |got| {
        let held = Arc::clone(&held);
        async move {
            if got.subject == "ORDER_SLOW" {
                held.acquire().await.unwrap().forget();
            }
            StatusCode::OK.into_response()
        }
    });
    let stop = CancellationToken::new();
    let dispatcher = stage.app.tasks.spawn(dispatch(stage.app.clone(), stop.clone()));
    stage.tell("ORDER_SLOW", &LIFE[..2]).await;
    stage.receiver.until(|got| got.len() == 1).await;
    // While it waits for its answer, what becomes due is sent at once.
    stage.tell("ORDER_1", &LIFE).await;
    stage.receiver.until(|got| got.len() == 5).await;
    assert_eq!(stage.receiver.kinds_of("ORDER_SLOW"), ["order.created"]);
    release.add_permits(1);
    stage.receiver.until(|got| got.len() == 6).await;
    // A stop waits for the answer to what is under way.
    stop.cancel();
    assert!(!dispatcher.is_finished());
    release.add_permits(1);
    dispatcher.await.unwrap();
    assert_eq!(stage.kept(Delivery::Delivered).await.len(), 6);
}

async fn several_senders_send_each_event_once(store: Store) {
    let stage = Stage::set(store).await;
    for n in 0..20 {
        stage.tell(&format!("ORDER_{n}"), &LIFE).await;
    }
    let (second, third) = (stage.another().await, stage.another().await);
    let rounds = tokio::join!(due(&stage.app), due(&second), due(&third));
    // One whose round found nothing to take, because another one had it just then, has ended early.
    let rest = due(&stage.app).await.unwrap();
    let taken = rounds.0.unwrap().taken + rounds.1.unwrap().taken + rounds.2.unwrap().taken + rest.taken;
    assert_eq!((taken, stage.receiver.got().len()), (80, 80));
    assert!(stage.receiver.got().iter().all(|got| got.before == 0));
    for n in 0..20 {
        assert_eq!(stage.receiver.kinds_of(&format!("ORDER_{n}")), names(&LIFE));
    }
    assert_eq!(stage.receiver.overlaps(), [""; 0]);
}

async fn whoever_dies_with_an_event_lets_another_one_send_it_after_the_lease(store: Store) {
    let stage = Stage::set(store).await;
    stage.receiver.answer(|_| std::future::pending());
    stage.tell("ORDER_1", &LIFE[..2]).await;
    let dying = stage.another().await;
    let sending = stage.app.tasks.spawn(async move { due(&dying).await });
    stage.receiver.until(|got| got.len() == 1).await;
    sending.abort();

    stage.receiver.answer_with(200);
    assert_eq!(due(&stage.app).await.unwrap(), Delivered::default(), "it is taken");
    stage.clock.advance(LEASE_MS);
    assert_eq!(due(&stage.app).await.unwrap().taken, 2);
    let got = stage.receiver.got();
    assert_eq!((&got[0].id, got[1].before), (&got[1].id, 1), "the same id");
    assert_eq!(got[2].kind, "order.paid");
    let first = stage.kept(Delivery::Delivered).await.pop().unwrap();
    assert_eq!((first.attempts, first.kind.as_str()), (2, "order.created"));
}

async fn a_process_that_wakes_up_too_late_sends_nothing(store: Store) {
    let stage = Stage::set(store).await;
    stage.tell("ORDER_1", &LIFE[..1]).await;
    let sender = stage.app.webhooks.clone().unwrap();
    let begin_by = stage.clock.now_ms() + BEGIN_MS;
    let event = stage.taken().await;
    stage.clock.advance(BEGIN_MS + 1);
    assert!(!attempt(&stage.app, &sender, &event, begin_by, PATIENCE).await.unwrap());
    assert_eq!(stage.receiver.got().len(), 0);
    stage.clock.advance(LEASE_MS);
    assert_eq!(due(&stage.app).await.unwrap().taken, 1);
}

async fn what_is_ended_late_changes_nothing(store: Store) {
    let stage = Stage::set(store).await;
    stage.tell("ORDER_1", &LIFE[..2]).await;
    let late = stage.taken().await;
    stage.clock.advance(LEASE_MS);
    let current = stage.taken().await;
    assert_eq!(
        (&late.event_id, late.attempt, current.attempt),
        (&current.event_id, 1, 2)
    );
    let end = async |event: &Taken, then| {
        let ended = Ended {
            began_at: 1,
            at: 2,
            status: None,
            problem: None,
            then,
        };
        let mut tx = stage.app.db.begin().await.unwrap();
        let written = outbox::end(&mut tx, event, &ended).await.unwrap();
        tx.commit().await.unwrap();
        written
    };
    for then in [Then::Delivered, Then::Again(5), Then::Dead] {
        assert!(!end(&late, then).await, "{then:?}");
    }
    assert_eq!(stage.kept(Delivery::Waiting).await.len(), 2);
    assert!(end(&current, Then::Delivered).await);
    assert!(!end(&current, Then::Dead).await, "it ends once");
    assert_eq!(stage.kept(Delivery::Delivered).await[0].attempts, 2);
    assert_eq!(stage.taken().await.kind, "order.paid");
}

async fn the_receiver_may_ask_for_a_longer_pause_and_not_for_a_shorter_one(store: Store) {
    let stage = Stage::set(store).await;
    let first = PAUSES_MS[0]..=PAUSES_MS[0] * 6 / 5;
    let hour = 3_600_000..=3_600_000;
    let cases = [
        ("ORDER_0", "0", first.clone()),
        ("ORDER_1", "120", 120_000..=120_000),
        ("ORDER_2", "999999999", hour),
        ("ORDER_3", "Wed, 21 Oct 2026 07:28:00 GMT", first.clone()),
        ("ORDER_4", "soon", first),
    ];
    for (stream, asked, expected) in cases {
        stage.receiver.answer(move |_| async move {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, asked)]).into_response()
        });
        let before = stage.clock.now_ms();
        stage.tell(stream, &LIFE[..1]).await;
        assert_eq!(due(&stage.app).await.unwrap().refused, 1);
        let waiting = stage.kept(Delivery::Waiting).await;
        let kept = waiting.iter().find(|kept| kept.stream == stream).unwrap();
        let (at, passed) = (kept.deliver_at.unwrap() - before, stage.clock.now_ms() - before);
        let expected = *expected.start()..=*expected.end() + passed;
        assert!(expected.contains(&at), "{asked}: {at} is not in {expected:?}");
    }
}

async fn only_2xx_is_an_answer_that_takes_an_event(store: Store) {
    let stage = Stage::set(store).await;
    for status in [200, 201, 202, 204, 299] {
        stage.receiver.answer_with(status);
        stage.tell(&format!("ORDER_{status}"), &LIFE[..1]).await;
        assert_eq!(due(&stage.app).await.unwrap().taken, 1, "{status}");
    }
    for status in [300, 304, 400, 401, 404, 408, 409, 429, 500, 502, 503, 599] {
        stage.receiver.answer_with(status);
        stage.tell(&format!("ORDER_{status}"), &LIFE[..1]).await;
        assert_eq!(due(&stage.app).await.unwrap().refused, 1, "{status}");
        let kept = &stage.kept(Delivery::Waiting).await[0];
        assert_eq!(kept.problem.as_deref(), Some(format!("status {status}").as_str()));
    }
    stage.receiver.answer_with(410);
    stage.tell("ORDER_410", &LIFE[..2]).await;
    assert_eq!(due(&stage.app).await.unwrap().refused, 2, "and the next of its stream");
    assert_eq!(stage.kept(Delivery::Dead).await.len(), 2);
}

async fn a_redirect_is_not_followed(store: Store) {
    let stage = Stage::set(store).await;
    for status in [301, 302, 303, 307, 308] {
        stage.receiver.answer(move |_| async move {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::LOCATION, "/elsewhere")]).into_response()
        });
        stage.tell(&format!("ORDER_{status}"), &LIFE[..1]).await;
        assert_eq!(due(&stage.app).await.unwrap().refused, 1, "{status}");
    }
    assert!(stage.receiver.got().iter().all(|got| got.path == "/hook"));
}

async fn an_answer_without_an_end_is_an_answer(store: Store) {
    let stage = Stage::set(store).await;
    stage.receiver.answer(|_| async {
        let chunk = axum::body::Bytes::from_static(&[b'x'; 8192]);
        let endless = futures_util::stream::repeat_with(move || Ok::<_, std::convert::Infallible>(chunk.clone()));
        (StatusCode::OK, Body::from_stream(endless)).into_response()
    });
    stage.tell("ORDER_1", &LIFE[..1]).await;
    assert_eq!(due(&stage.app).await.unwrap().taken, 1);
}

async fn a_first_attempt_ends_within_its_budget_and_is_written_down(store: Store) {
    let stage = Stage::set(store).await;
    stage.tell("ORDER_1", &LIFE[..2]).await;
    assert_eq!(
        first_attempts(&stage.app, LEAST_PATIENCE).await.unwrap(),
        Delivered::default(),
        "too little to begin with"
    );
    assert!(stage.due_in().await.unwrap() <= 0, "and nothing was taken");
    stage.receiver.answer(|_| std::future::pending());
    let delivered = first_attempts(&stage.app, Duration::from_secs(1)).await.unwrap();
    assert_eq!((delivered.taken, delivered.refused), (0, 1));
    let kept = stage.kept(Delivery::Waiting).await.pop().unwrap();
    assert_eq!((kept.attempts, kept.problem.as_deref()), (1, Some("no answer in time")));
    assert!(
        stage.due_in().await.unwrap() <= PAUSES_MS[0] * 6 / 5,
        "by the schedule, not by a lease"
    );

    stage.receiver.answer_with(204);
    stage.tell("ORDER_2", &LIFE).await;
    let delivered = first_attempts(&stage.app, Duration::from_mins(1)).await.unwrap();
    assert_eq!((delivered.taken, delivered.refused), (4, 0), "a stream goes on");
}

async fn what_was_tried_before_is_no_first_attempt(store: Store) {
    let stage = Stage::set(store).await;
    stage.receiver.answer_with(500);
    stage.tell("ORDER_1", &LIFE[..1]).await;
    assert_eq!(due(&stage.app).await.unwrap().refused, 1);
    stage.clock.advance(PAUSES_MS[0] * 2);
    stage.receiver.answer_with(200);
    assert_eq!(
        first_attempts(&stage.app, Duration::from_mins(1)).await.unwrap(),
        Delivered::default()
    );
    assert_eq!(due(&stage.app).await.unwrap().taken, 1);
}

async fn a_replayed_event_goes_before_the_later_ones_of_its_stream(store: Store) {
    let stage = Stage::set(store).await;
    stage.receiver.answer(|got| async move {
        let gone = got.kind == "order.created";
        let status = if gone {
            StatusCode::GONE
        } else {
            StatusCode::BAD_GATEWAY
        };
        status.into_response()
    });
    stage.tell("ORDER_1", &LIFE[..3]).await;
    assert_eq!(due(&stage.app).await.unwrap().refused, 2);
    let dead = stage.kept(Delivery::Dead).await.pop().unwrap();
    let now = stage.clock.now_ms();
    assert_eq!(
        outbox::replay(&stage.app.db, &dead.event_id, None, now).await.unwrap(),
        Replay::Waits("ORDER_1".to_owned())
    );
    stage.receiver.answer_with(200);
    assert_eq!(due(&stage.app).await.unwrap().taken, 3);
    let created = "order.created";
    assert_eq!(
        stage.receiver.kinds_of("ORDER_1"),
        [created, "order.paid", created, "order.paid", "refund.created"]
    );

    // One that is being sent keeps its turn: two of a stream are never sent at a time.
    stage.tell("ORDER_1", &LIFE[3..]).await;
    let under_way = stage.taken().await;
    let replay = async |id: &str| outbox::replay(&stage.app.db, id, None, now).await.unwrap();
    assert_eq!(replay(&under_way.event_id).await, Replay::UnderWay);
    assert_eq!(replay(&dead.event_id).await, Replay::Waits("ORDER_1".to_owned()));
    assert_eq!(due(&stage.app).await.unwrap(), Delivered::default());
    stage.clock.advance(LEASE_MS);
    assert_eq!(due(&stage.app).await.unwrap().taken, 2);
    let order = stage.receiver.kinds_of("ORDER_1");
    assert_eq!(order[5..], ["refund.succeeded", created]);
    assert_eq!(replay("no-such-id").await, Replay::Unknown);
}

async fn each_secret_signs_the_newest_first(store: Store) {
    let stage = Stage::set(store).await;
    let both = format!("{NEXT_SECRET},{SECRET}");
    let app = sender(&stage.database, &stage.receiver, &stage.clock, &both).await;
    stage.tell("ORDER_1", &LIFE[..1]).await;
    assert_eq!(due(&app).await.unwrap().taken, 1);
    let got = &stage.receiver.got()[0];
    let signatures = got.headers["webhook-signature"].to_str().unwrap();
    let by = |secret| {
        let library = standardwebhooks::Webhook::new(secret).unwrap();
        // With both signatures, either of the two is genuine to the library, its five minutes included.
        library.verify(&got.body, &got.headers).unwrap();
        library.sign(&got.id, got.timestamp, &got.body).unwrap()
    };
    assert_eq!(signatures, format!("{} {}", by(NEXT_SECRET), by(SECRET)));
    assert_eq!(got.headers["content-type"], "application/json");
    let changed = standardwebhooks::Webhook::new(SECRET).unwrap();
    assert!(changed.verify(b"{}", &got.headers).is_err());
}

async fn what_is_added_while_the_last_one_ends_is_not_forgotten(store: Store) {
    let stage = Stage::set(store).await;
    let other = stage.another().await;
    for n in 0..50 {
        let stream = format!("ORDER_{n}");
        stage.tell(&stream, &LIFE[..1]).await;
        let ((), sent) = tokio::join!(stage.tell(&stream, &LIFE[1..3]), due(&other));
        sent.unwrap();
        due(&stage.app).await.unwrap();
        assert_eq!(stage.receiver.kinds_of(&stream), names(&LIFE[..3]), "{n}");
    }
    assert_eq!(
        (stage.kept(Delivery::Waiting).await.len(), stage.due_in().await),
        (0, None)
    );
    assert_eq!(stage.receiver.overlaps(), [""; 0]);
}

/// A day and a bit, whatever the dice say; and what failed together does not come back together.
#[test]
fn the_last_attempt_is_made_after_a_day_and_before_a_day_and_a_third() {
    let after = |id: &str| -> i64 {
        let pause = |turn: i64| {
            let event = Taken {
                event_id: id.to_owned(),
                stream: String::new(),
                kind: String::new(),
                payload: String::new(),
                attempt: turn,
                turn,
            };
            match next(&event, 0, None) {
                Then::Again(at) => Some(at),
                Then::Delivered | Then::Dead => None,
            }
        };
        let pauses: Vec<i64> = (1..).map_while(pause).collect();
        assert_eq!(pauses.len(), PAUSES_MS.len());
        for (pause, least) in pauses.iter().zip(PAUSES_MS) {
            assert!((least..=least * 6 / 5).contains(pause), "{pause} for {least}");
        }
        pauses.iter().sum()
    };
    let hour = 3_600_000;
    let mut sums: Vec<i64> = (0..100).map(|_| after(&new_id())).collect();
    assert!(sums.iter().all(|sum| (24 * hour..32 * hour).contains(sum)), "{sums:?}");
    sums.sort_unstable();
    sums.dedup();
    assert!(sums.len() > 50, "{sums:?}");
    assert!(PAUSES_MS.is_sorted());
}

async fn a_turn_whose_time_is_over_says_that_something_still_waits_to_be_told(store: Store) {
    let stage = Stage::set(store).await;
    stage.tell("ORDER_1", &[EventKind::OrderCreated]).await;
    stage.receiver.answer(async |_| StatusCode::OK.into_response());
    // Nothing is left to ask WeChat about: it is the event alone.
    let turn = tick::tick(&stage.app, Some(Duration::ZERO)).await.unwrap();
    assert_eq!((turn.delivered.taken, turn.swept.more, turn.more), (0, false, true));
    let turn = tick::tick(&stage.app, None).await.unwrap();
    assert_eq!((turn.delivered.taken, turn.swept.more, turn.more), (1, false, false));
}
