//! Generated histories: callers, buyers, WeChat, sweeps, faults and crashes in any order, against a model of what has to come of it.
//!
//! `SEED` and `HISTORIES` choose which, and how many; the same seed is the same history. One that goes wrong is made as small as it can be
//! while it still goes wrong, and printed with its seed.

mod asking;
mod model;
mod player;
mod rest;
mod stage;
mod step;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use pay_common::sandbox::{Fault, RefundEnd};
use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::stage::Stage;
use self::step::{Call, Step, TOTAL};
use crate::case::{Tried, cases};
use crate::support::database::Store;

cases!(History:
    histories_that_went_wrong_once => "what was mended, and comes back",
    generated_histories => "what nobody thought of",
    a_history_that_goes_wrong_is_seen_and_made_small => "every line of this table about histories",
);

/// The usual order.
const PLACE: Call = Call::Place { order: 0, total: 100 };

/// How many, unless `HISTORIES` says otherwise.
const USUAL: u64 = 500;

/// Stages at once: while one waits, another one works.
const STAGES: u64 = 6;

/// Histories on one stage; WeChat remembers every question, and the books every order.
const ON_ONE_STAGE: u64 = 60;

/// Candidates that are tried to make a history smaller.
const MOST_CANDIDATES: usize = 250;

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.into_string().ok()?.parse().ok()
}

async fn generated_histories(store: Store, tried: Tried) {
    let (seed, count) = (number("SEED").unwrap_or(0), number("HISTORIES").unwrap_or(USUAL));
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
    let lane = async || {
        let mut stage = Stage::set(store).await;
        let mut played = 0;
        while failed.lock().unwrap().is_none() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            if played == ON_ONE_STAGE {
                stage = Stage::set(store).await;
                played = 0;
            }
            let history = seed.wrapping_add(at);
            let steps = tree(history).current();
            if let Err(wrong) = played_to_the_end(&mut stage, history, &steps).await {
                failed.lock().unwrap().get_or_insert((history, wrong));
                return;
            }
            played += 1;
            tried.once();
        }
    };
    join_all((0..STAGES.min(count)).map(|_| lane())).await;
    let failed = failed.lock().unwrap().take();
    if let Some((history, wrong)) = failed {
        let (steps, smaller) = made_small(store, history, played_to_the_end);
        panic!(
            "history {history} goes wrong; replay it with SEED={history} HISTORIES=1 cargo test --test adversity histories\n\
             {wrong}\n\nas small as it can be, it is\n{steps:#?}\nand goes wrong like this: {smaller:?}"
        );
    }
}

/// WeChat never had the order, as it said twice. Then it is asked for again, by its caller or before its close, and the process dies at
/// that moment: the books have to say that it may be there now.
fn given_up_and_asked_for_again(again: Call) -> Vec<Step> {
    let absent = || Step::TroubledSweep {
        seconds: 16,
        fault: Fault::DropBefore,
        times: 1,
    };
    let crash = |call, done| Step::Crash { call, done };
    vec![crash(PLACE, false), absent(), absent(), crash(again, true)]
}

/// A refund is closed, and nobody has told: the books still hold its amount, and refuse what would be too much with it.
fn a_closed_refund_that_nobody_told_of() -> Vec<Step> {
    let refund = |refund, amount| {
        Step::Calm(Call::Refund {
            order: 0,
            refund,
            amount,
        })
    };
    let end = Step::EndRefund {
        order: 0,
        refund: 0,
        end: RefundEnd::Closed,
    };
    vec![
        Step::Calm(PLACE),
        Step::Pay { order: 0 },
        refund(0, 30),
        end,
        refund(1, TOTAL),
    ]
}

async fn histories_that_went_wrong_once(store: Store, tried: Tried) {
    let mut stage = Stage::set(store).await;
    let again = [PLACE, Call::Close { order: 0 }];
    let known = again
        .map(given_up_and_asked_for_again)
        .into_iter()
        .chain([a_closed_refund_that_nobody_told_of()]);
    for (history, steps) in (0..).zip(known) {
        assert_eq!(
            played_to_the_end(&mut stage, history, &steps).await,
            Ok(()),
            "{steps:#?}"
        );
        tried.once();
    }
}

/// The history of that seed, and every way to make it smaller.
fn tree(history: u64) -> impl ValueTree<Value = Vec<Step>> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&history.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    loop {
        let tree = step::history().new_tree(&mut runner).unwrap();
        if tree.current().len() >= 8 {
            return tree;
        }
    }
}

async fn played_to_the_end(stage: &mut Stage, history: u64, steps: &[Step]) -> Result<(), String> {
    let name = format!("H{history:08}");
    match AssertUnwindSafe(player::play(stage, &name, steps)).catch_unwind().await {
        Ok(played) => played,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            Err(said.unwrap_or_else(|| "it panicked".to_owned()))
        }
    }
}

/// The smallest history found that still goes wrong, and how; nothing when the same steps went well when they were played again.
fn made_small(
    store: Store,
    history: u64,
    play: impl AsyncFn(&mut Stage, u64, &[Step]) -> Result<(), String>,
) -> (Vec<Step>, Option<String>) {
    // A tree stays on its thread.
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        let goes_wrong = |steps: &[Step]| {
            runtime.block_on(async {
                // Each on a stage of its own: the one before left its rubbish.
                let mut stage = Stage::set(store).await;
                play(&mut stage, history, steps).await.err()
            })
        };
        let mut tree = tree(history);
        let mut smallest = (tree.current(), goes_wrong(&tree.current()));
        if smallest.1.is_none() {
            return smallest;
        }
        let mut candidates = 0;
        'smaller: while candidates < MOST_CANDIDATES && tree.simplify() {
            loop {
                candidates += 1;
                if let Some(wrong) = goes_wrong(&tree.current()) {
                    smallest = (tree.current(), Some(wrong));
                    break;
                }
                if candidates >= MOST_CANDIDATES || !tree.complicate() {
                    break 'smaller;
                }
            }
        }
        smallest
    })
}

/// Somebody marks an order as paid by hand: that is seen, and the steps that have nothing to do with it are left out.
async fn a_history_that_goes_wrong_is_seen_and_made_small(store: Store, tried: Tried) {
    let sabotaged = async |stage: &mut Stage, history: u64, steps: &[Step]| {
        let name = format!("H{history:08}");
        player::play(stage, &name, steps).await?;
        let touched = sqlx::query("UPDATE orders SET state = 'SUCCESS' WHERE state = 'CLOSED'")
            .execute(&mut *stage.conn.lock().await)
            .await
            .unwrap();
        if touched.rows_affected() == 0 {
            return Ok(());
        }
        let books = crate::invariants::Books::read(&mut *stage.conn.lock().await, &name).await;
        match crate::invariants::complaints(&books, stage.t().world.wechat(), &[]).as_slice() {
            [] => Ok(()),
            complaints => Err(complaints.join("\n")),
        }
    };
    // The first seed whose history leaves an order unpaid.
    for history in 0..20 {
        let (steps, wrong) = made_small(store, history, sabotaged);
        let Some(wrong) = wrong else { continue };
        assert!(wrong.contains("(SUCCESS): WeChat has it as Some(Closed)"), "{wrong}");
        assert!(
            steps.len() <= 2,
            "an order that is placed, and nothing else: {steps:#?}"
        );
        tried.once();
        return;
    }
    panic!("in twenty histories, no order was left unpaid");
}
