//! The books cannot be written, or not be reached.
//!
//! A full disk of PostgreSQL cannot be made honestly on a server that others use: it needs a tablespace on a file system of its own. What
//! the service sees of it is a statement that fails and a transaction that is gone, and that is what cut connections are.

use std::time::Duration;

use pay_common::sandbox::TokenOptions;
use sqlx::Connection as _;

use super::actions::{Action, every_action, finish, options, stage, usual};
use crate::case::{Tried, cases};
use crate::gate::{Gate, Way};
use crate::support::app::{TestApp, came, order};
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;
use crate::support::process::Process;

cases!(Fault:
    the_books_are_locked_for_longer_than_anybody_waits => "an answer before it is durable",
    the_books_are_locked_for_a_moment => "a refusal where waiting would have done",
    the_books_cannot_be_reached_for_a_while => "a payment that was acknowledged and is nowhere",
    the_connections_to_the_books_are_cut_at_every_moment => "a half-written deed",
    the_disk_is_full => "a payment that was acknowledged and is nowhere",
);

async fn the_books_are_locked_for_longer_than_anybody_waits(store: Store, tried: Tried) {
    let t = stage(store).await;
    let lock = tokio::sync::Mutex::new(None);
    let breaks = async || *lock.lock().await = Some(t.lock_the_books().await);
    tried.times(every_action(&t, 0, breaks, async || drop(lock.lock().await.take())).await);
}

async fn the_books_are_locked_for_a_moment(store: Store, tried: Tried) {
    let t = stage(store).await;
    let breaks = async || {
        let lock = t.lock_the_books().await;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(lock);
        });
    };
    tried.times(every_action(&t, 0, breaks, async || {}).await);
}

/// PostgreSQL goes away and comes back. A file cannot go away under those who have it open; for SQLite the moment at which it cannot be
/// opened is a start.
async fn the_books_cannot_be_reached_for_a_while(store: Store, tried: Tried) {
    match store {
        Store::Sqlite => {
            let t = stage(store).await;
            let deeds = prepared(&t).await;
            let file = t.database.url.strip_prefix("sqlite://").unwrap().to_owned();
            let (service, offline) = t.part();
            service.stop().await;
            // In its place is something that is no database.
            let aside = format!("{file}.aside");
            std::fs::rename(&file, &aside).unwrap();
            std::fs::create_dir(&file).unwrap();
            let starting =
                pay_common::boot::Service::start(crate::support::app::config(&offline.settings), offline.clock.clone());
            assert!(starting.await.is_err(), "nothing is answered without the books");
            std::fs::remove_dir(&file).unwrap();
            std::fs::rename(&aside, &file).unwrap();
            let t = offline.start().await;
            finish(&t, &deeds).await;
            tried.times(deeds.len());
        }
        Store::Postgres => {
            let (gate, t) = behind_a_gate().await;
            let breaks = async || gate.set(Way::Shut).await;
            tried.times(every_action(&t, 0, breaks, async || gate.set(Way::Open).await).await);
            let breaks = async || gate.set(Way::Silent).await;
            tried.times(every_action(&t, 1, breaks, async || gate.set(Way::Open).await).await);
        }
    }
}

/// Somebody cuts the connections again and again while everything is done. SQLite has none; there the lock comes and goes.
async fn the_connections_to_the_books_are_cut_at_every_moment(store: Store, tried: Tried) {
    let (gate, t) = match store {
        Store::Sqlite => (None, stage(store).await),
        Store::Postgres => {
            let (gate, t) = behind_a_gate().await;
            (Some(gate), t)
        }
    };
    for round in 0..3 {
        let deeds = prepared_in(&t, round).await;
        let over = tokio_util::sync::CancellationToken::new();
        let troubles = async {
            while !over.is_cancelled() {
                match &gate {
                    None => {
                        let lock = t.lock_the_books().await;
                        tokio::time::sleep(Duration::from_millis(13)).await;
                        drop(lock);
                    }
                    Some(_) if round == 1 => terminate(&t).await,
                    // A commit whose answer is lost may have been one.
                    Some(gate) => {
                        gate.set(Way::ResetAtAnswer).await;
                        gate.set(Way::Open).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(17)).await;
            }
        };
        let doing = async {
            let doing = deeds.iter().map(|(action, number)| action.deed(&t, number));
            let answers = futures_util::future::join_all(doing).await;
            over.cancel();
            answers
        };
        let (answers, ()) = tokio::join!(doing, troubles);
        assert_eq!(answers.len(), deeds.len());
        finish(&t, &deeds).await;
        tried.times(deeds.len());
    }
}

/// As an administrator ends them.
async fn terminate(t: &TestApp) {
    let mut conn = sqlx::PgConnection::connect(&t.database.url).await.unwrap();
    sqlx::raw_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
}

async fn behind_a_gate() -> (Gate, TestApp) {
    let database = Database::fresh(Store::Postgres).await;
    let mut url = url::Url::parse(&database.url).unwrap();
    let server = url.socket_addrs(|| Some(5432)).unwrap()[0];
    let gate = Gate::before(server).await;
    url.set_ip_host(gate.address.ip()).unwrap();
    url.set_port(Some(gate.address.port())).unwrap();
    let settings = [&usual()[..], &[("DATABASE_URL", url.as_str())]].concat();
    let t = Offline::over(database, options(), &settings).await.start().await;
    t.world.wechat().lose_callbacks(u32::MAX);
    (gate, t)
}

async fn prepared(t: &TestApp) -> Vec<(Action, String)> {
    prepared_in(t, 0).await
}

async fn prepared_in(t: &TestApp, round: usize) -> Vec<(Action, String)> {
    let deeds: Vec<(Action, String)> = Action::ALL
        .iter()
        .map(|action| (*action, action.number(round)))
        .collect();
    for (action, number) in &deeds {
        action.prepare(t, number).await;
    }
    t.advance(Duration::from_secs(16));
    deeds
}

/// No file longer than so many blocks of 512 bytes; without the signal, the write itself fails.
const FULL: &str = r#"trap "" XFSZ; ulimit -f 600"#;

/// A process that may not make its files longer, as on a full disk. For PostgreSQL see above: here its server shuts down for good, and the
/// service has to say so to everybody until it is back.
async fn the_disk_is_full(store: Store, tried: Tried) {
    if store == Store::Postgres {
        let (gate, t) = behind_a_gate().await;
        gate.set(Way::ResetAtOnce).await;
        let refused = t.act("wxpay_order", order("FULL_1", 20)).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        gate.set(Way::Open).await;
        t.placed("FULL_1", 20).await;
        crate::invariants::invariants(&t).await;
        tried.once();
        return;
    }
    let settings = [&usual()[..], &[("logFormat", "json")]].concat();
    let offline = Offline::over(Database::fresh(store).await, options(), &settings).await;
    // Room for the tables and some orders, not for many.
    let process = Process::start_within(FULL, &offline.settings);
    offline
        .world
        .set_service(process.address.expect("there is room to start"))
        .unwrap();
    let token = offline.world.gateway().mint_token("alice", &TokenOptions::default());
    let place = async |number: &str| {
        let request = offline
            .http
            .post(process.url("/wx-pay/wxpay_order"))
            .bearer_auth(&token);
        came(request.json(&order(number, 20)).send().await.unwrap()).await
    };
    let mut placed = Vec::new();
    let mut refused = Vec::new();
    for n in 0..200 {
        let number = format!("FULL{n:04}");
        let came = place(&number).await;
        match (came.status, came.body["code"] == 0) {
            (200, true) => placed.push(number),
            (503, _) => refused.push(number),
            _ => panic!("{number}: {came:?}\n{}", process.log()),
        }
        if refused.len() == 10 {
            break;
        }
    }
    assert!(
        !placed.is_empty() && refused.len() == 10,
        "{placed:?}\n{}",
        process.log()
    );
    drop(process);

    let t = offline.start().await;
    for number in &placed {
        assert_eq!(
            t.state(number).await.as_deref(),
            Some("NOTPAY"),
            "{number} was answered"
        );
    }
    for number in &refused {
        t.placed(number, 20).await;
    }
    crate::invariants::invariants(&t).await;
    tried.times(placed.len() + refused.len());
}
