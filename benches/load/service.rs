//! The service as a process of its own, and what it uses.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running service; it ends when this is dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
}

impl Service {
    /// Starts the binary with exactly these settings, and waits until it listens.
    pub(crate) fn start(settings: &[(String, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pay-common"))
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .current_dir(std::env::temp_dir())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .inspect(|line| {
                if line.contains("\"ERROR\"") {
                    println!("{line}");
                }
            })
            .find_map(|line| {
                let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                said["address"].as_str().map(str::to_owned)
            })
            .expect("the service listens");
        // Read on, or its log would fill the pipe; what is an error is worth seeing.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| line.contains("\"ERROR\"")) {
                println!("{line}");
            }
        });
        Self {
            child,
            url: format!("http://{address}"),
        }
    }

    /// Processor time used so far, by the kernel's count of hundredths of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name, in parentheses, may hold anything; user and system time are the 12th and 13th after it.
        let after_name = stat.rsplit_once(')').unwrap().1;
        let ticks: u64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// The most memory that was resident, in kibibytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
