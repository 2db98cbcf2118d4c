//! How long the command `reconcile` takes for a bill of so many lines, and how much memory: the release binary as a process of its own,
//! over a store that is filled by SQL. Fails unless exactly the differences are found that were put there.
//!
//! `cargo bench --bench reconcile -- --lines 1000000 --database-url postgres://...`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measurement that meets the unexpected is none"
)]

mod day;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use jiff::{Timestamp, ToSpan as _, tz};
use pay_common::sandbox::{Options, World};
use pay_common::store::db::Db;

use self::day::Day;

#[derive(Debug, Parser)]
struct Arguments {
    /// Lines of the bill: nine payments, then a refund of one of them.
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// Differences of each kind.
    #[arg(long, default_value_t = 10)]
    differences: u64,
    /// An empty database; without it, a SQLite file that is thrown away.
    #[arg(long)]
    database_url: Option<String>,
    /// Said by `cargo bench` to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(run(&arguments));
}

async fn run(arguments: &Arguments) {
    let folder = tempfile::tempdir().unwrap();
    let url = arguments.database_url.clone();
    let url = url.unwrap_or_else(|| format!("sqlite://{}", folder.path().join("store.db").display()));
    let world = World::start(Options::default()).await.unwrap();
    let date = tz::offset(8).to_datetime(Timestamp::now()).date();
    let day = Day {
        date: date.checked_sub(2.days()).unwrap(),
        lines: arguments.lines,
        differences: arguments.differences,
        app_id: world
            .settings()
            .iter()
            .find(|(name, _)| *name == "appId")
            .unwrap()
            .1
            .clone(),
        mchid: world.keys().mchid().to_owned(),
    };
    Db::open(&url).await.unwrap().close().await;
    let filled = Instant::now();
    day.fill(&url).await;
    println!("the store is filled in {} s", filled.elapsed().as_secs());
    let text = day.bill();
    println!("the bill has {} MB", text.len() / 1_000_000);
    world.wechat().bill_is(text.as_bytes());
    drop(text);

    let (document, took, peak) = reconcile(&world, &url, &day).await;
    day.check(&document);
    println!(
        "{} lines, {} differences: {}.{:03} s, at most {} MiB",
        arguments.lines,
        5 * arguments.differences,
        took.as_secs(),
        took.subsec_millis(),
        peak / 1024
    );
}

/// Runs the command to its end; gives what it wrote, how long it took, and the most memory that was resident, in kibibytes.
async fn reconcile(world: &World, url: &str, day: &Day) -> (serde_json::Value, Duration, u64) {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pay-common"))
        .args(["reconcile", "--format", "json", "--date", &day.date.to_string()])
        .env_clear()
        .envs(world.settings())
        .env("DATABASE_URL", url)
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let output = child.stdout.take().unwrap();
    let written = std::thread::spawn(move || std::io::read_to_string(output).unwrap());
    let mut peak = 0;
    let ended = loop {
        let memory = std::fs::read_to_string(&status).unwrap_or_default();
        let line = memory.lines().find(|line| line.starts_with("VmHWM"));
        // A process that has just ended has none.
        if let Some(kibibytes) = line.and_then(|line| line.split_whitespace().nth(1)) {
            peak = kibibytes.parse().unwrap();
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let took = started.elapsed();
    let expected = i32::from(day.differences > 0);
    assert_eq!(ended.code(), Some(expected));
    let document = serde_json::from_str(&written.join().unwrap()).unwrap();
    (document, took, peak)
}
