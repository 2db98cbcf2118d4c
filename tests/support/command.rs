//! The operator's commands: the binary over the store of a test, with nothing else in its environment.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The JSON document of a command that went well.
    #[track_caller]
    pub fn document(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The command over this store, not yet run. It knows the store's address and no other setting.
pub fn command(database_url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pay-common"));
    command
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(database_url: &str, arguments: &[&str]) -> Said {
    command(database_url, arguments).output().unwrap().into()
}

/// Runs it again and again until its document is as it has to be: some of it is written beside the answers.
pub async fn eventually(database_url: &str, arguments: &[&str], fits: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let document = run(database_url, arguments).document();
        if fits(&document) {
            return document;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{document:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
