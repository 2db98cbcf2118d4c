//! The service as a process of its own, to be killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// The binary, running or dead.
pub struct Process {
    child: Child,
    /// Where it listens; `None` when it died before it did.
    pub address: Option<SocketAddr>,
    lines: Arc<Mutex<Vec<String>>>,
    /// Reads its lines until it closes them.
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the binary with exactly these settings, and waits until it listens or is dead.
    pub fn start(settings: &[(String, String)]) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_pay-common")), settings)
    }

    /// The same by a shell that sets limits first, like `ulimit -n 64`.
    pub fn start_within(limits: &str, settings: &[(String, String)]) -> Self {
        let mut shell = Command::new("/bin/sh");
        let binary = env!("CARGO_BIN_EXE_pay-common");
        shell.args(["-c", &format!("{limits}; exec \"$0\""), binary]);
        Self::start_as(shell, settings)
    }

    fn start_as(mut command: Command, settings: &[(String, String)]) -> Self {
        let mut child = command
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            // No settings file of the place where the tests run.
            .current_dir(std::env::temp_dir())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, listening) = mpsc::channel();
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = said["address"].as_str() {
                    // Nobody waits for the second one.
                    let _unheard = sender.send(address.parse().unwrap());
                }
                kept.lock().unwrap().push(line);
            }
        });
        // Ends at once when the process dies: its standard error output closes.
        let address = listening.recv_timeout(Duration::from_secs(20)).ok();
        Self {
            child,
            address,
            lines,
            reader: Some(reader),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address.expect("it listens"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// The exit code; `None` when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        // What it said last is in the log as well.
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        code
    }

    pub fn is_dead(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
