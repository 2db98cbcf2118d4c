//! One attack or fault: what it is, what is at stake, how often it was tried, and the table of all of them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::support::database::Store;

/// How often something was tried.
#[derive(Clone, Debug, Default)]
pub struct Tried(Arc<AtomicUsize>);

impl Tried {
    /// Once more; said after it was seen to hold.
    pub fn once(&self) {
        self.times(1);
    }

    /// So many times more.
    pub fn times(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a case is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Kind {
    /// Somebody wants something that is not his.
    Attack,
    /// Something breaks.
    Fault,
    /// Many things happen in a generated order.
    History,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A case on both databases.
#[derive(Clone, Copy)]
pub struct Case {
    pub kind: Kind,
    /// The function that tries it.
    pub name: &'static str,
    /// What the attacker wins, or what is lost, if it does not hold.
    pub at_stake: &'static str,
    pub run: fn(Store, Tried) -> Running,
}

/// Lists cases: `cases!(Attack: a_function => "what the attacker wins", ...)` makes `pub fn cases()` of a module.
macro_rules! cases {
    ($kind:ident: $($name:ident => $at_stake:literal),* $(,)?) => {
        pub fn cases() -> Vec<$crate::case::Case> {
            vec![$($crate::case::Case {
                kind: $crate::case::Kind::$kind,
                name: stringify!($name),
                at_stake: $at_stake,
                run: |store, tried| Box::pin($name(store, tried)),
            }),*]
        }
    };
}
pub(crate) use cases;

/// One line of the table.
#[derive(Debug, Default)]
struct Line {
    sqlite: Option<(usize, bool)>,
    postgres: Option<(usize, bool)>,
}

type Lines = Arc<Mutex<BTreeMap<(Kind, &'static str), Line>>>;

/// Runs the chosen cases and prints the table.
pub fn run(arguments: &Arguments, cases: Vec<Case>) -> ExitCode {
    let lines = Lines::default();
    let mut trials = Vec::new();
    for case in cases.clone() {
        for store in [Store::Sqlite, Store::Postgres] {
            let lines = Arc::clone(&lines);
            let name = format!("{}_on_{}", case.name, format!("{store:?}").to_ascii_lowercase());
            let trial = Trial::test(name, move || try_it(case, store, &lines));
            trials.push(trial.with_ignored_flag(store == Store::Postgres && !cfg!(with_postgres)));
        }
    }
    let conclusion = libtest_mimic::run(arguments, trials);
    if !arguments.list {
        print(&cases, &lines.lock().unwrap());
    }
    conclusion.exit_code()
}

fn try_it(case: Case, store: Store, lines: &Lines) -> Result<(), Failed> {
    let tried = Tried::default();
    let running = std::panic::AssertUnwindSafe(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on((case.run)(store, tried.clone()));
    });
    let outcome = std::panic::catch_unwind(running);
    let held = outcome.is_ok() && tried.count() > 0;
    let mut lines = lines.lock().unwrap();
    let line = lines.entry((case.kind, case.name)).or_default();
    let cell = match store {
        Store::Sqlite => &mut line.sqlite,
        Store::Postgres => &mut line.postgres,
    };
    *cell = Some((tried.count(), held));
    drop(lines);
    match outcome {
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(()) if tried.count() == 0 => Err("it tried nothing".into()),
        Ok(()) => Ok(()),
    }
}

fn print(cases: &[Case], lines: &BTreeMap<(Kind, &'static str), Line>) {
    let cell = |cell: Option<(usize, bool)>| match cell {
        Some((count, true)) => count.to_string(),
        Some((count, false)) => format!("{count} FAILED"),
        None => "-".to_owned(),
    };
    println!("| | tried | SQLite | PostgreSQL | held | at stake |\n| --- | --- | --- | --- | --- | --- |");
    for ((kind, name), line) in lines {
        let at_stake = cases
            .iter()
            .find(|case| case.name == *name)
            .map_or("", |case| case.at_stake);
        let held = [line.sqlite, line.postgres].into_iter().flatten().all(|(_, held)| held);
        println!(
            "| {} | {} | {} | {} | {} | {at_stake} |",
            format!("{kind:?}").to_lowercase(),
            name.replace('_', " "),
            cell(line.sqlite),
            cell(line.postgres),
            if held { "yes" } else { "NO" },
        );
    }
    let (mut tried, mut held, mut cases) = (0, 0, 0);
    for (count, ok) in lines.values().flat_map(|line| [line.sqlite, line.postgres]).flatten() {
        tried += count;
        cases += 1;
        held += usize::from(ok);
    }
    println!("\n{held} of {cases} cases held, {tried} tries");
}
