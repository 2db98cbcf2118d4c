//! The process ends while fifty things are being done: killed at any moment, or asked to end.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::actions::{Action, finish, stage_with};
use crate::case::{Tried, cases};
use crate::support::app::TestApp;
use crate::support::database::Store;
use crate::support::process::Process;

cases!(Fault:
    the_process_is_killed_under_load => "money moved that nobody knows of, deeds answered and lost",
    the_process_is_asked_to_end_under_load => "deeds answered and lost, half-done rows",
);

/// Milliseconds after the first call.
const MOMENTS: [u64; 6] = [8, 20, 45, 90, 160, 280];

async fn the_process_is_killed_under_load(store: Store, tried: Tried) {
    for moment in MOMENTS {
        let mut t = stage_with(store, &[("logFormat", "json")]).await;
        let deeds = prepared(&t).await;
        let process = opened(&mut t);
        let kills = async {
            tokio::time::sleep(Duration::from_millis(moment)).await;
            tokio::task::spawn_blocking(move || drop(process)).await.unwrap();
        };
        let (answers, ()) = tokio::join!(done(&t, &deeds), kills);
        tried.times(settled(t, &deeds, &answers).await);
    }
}

async fn the_process_is_asked_to_end_under_load(store: Store, tried: Tried) {
    let mut answered = 0;
    for moment in MOMENTS {
        let mut t = stage_with(store, &[("logFormat", "json")]).await;
        let deeds = prepared(&t).await;
        let mut process = opened(&mut t);
        let ends = async {
            tokio::time::sleep(Duration::from_millis(moment)).await;
            let pid = process.pid().to_string();
            let asked = std::process::Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap();
            assert!(asked.success());
            tokio::task::spawn_blocking(move || process.wait()).await.unwrap()
        };
        let (answers, code) = tokio::join!(done(&t, &deeds), ends);
        assert_eq!(code, Some(0), "it ended by itself, and well");
        answered += answers.iter().flatten().count();
        tried.times(settled(t, &deeds, &answers).await);
    }
    assert!(answered > 0, "it answered somebody before it ended");
}

/// Fifty things to do, and a few more.
async fn prepared(t: &TestApp) -> Vec<(Action, String)> {
    let mut deeds = Vec::new();
    for round in 0..4 {
        // The sweep is no call.
        let actions = Action::ALL.into_iter().filter(|action| *action != Action::Sweep);
        deeds.extend(actions.map(|action| (action, action.number(round))));
    }
    for some in deeds.chunks(10) {
        join_all(some.iter().map(|(action, number)| action.prepare(t, number))).await;
    }
    deeds
}

/// A process over the same books, to which everybody goes from now on.
fn opened(t: &mut TestApp) -> Process {
    let process = Process::start(&t.settings);
    t.door = process.address.expect("it listens");
    t.world.set_service(t.door).unwrap();
    process
}

async fn done(t: &TestApp, deeds: &[(Action, String)]) -> Vec<Option<Value>> {
    join_all(deeds.iter().map(|(action, number)| action.deed(t, number))).await
}

/// What was answered is true, and the next start leaves nothing half done.
async fn settled(t: TestApp, deeds: &[(Action, String)], answers: &[Option<Value>]) -> usize {
    for ((action, number), answer) in deeds.iter().zip(answers) {
        if answer.is_some() {
            action.assert_done(&t, number).await;
        }
    }
    let t = t.restart().await;
    // Nobody repeats the half of it: the sweep has to find out by itself.
    for _ in 0..3 {
        t.advance(Duration::from_secs(61));
        t.service.sweep().await.unwrap();
    }
    crate::invariants::invariants(&t).await;
    finish(&t, deeds).await;
    deeds.len()
}
