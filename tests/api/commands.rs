//! Every command of the documents is run: by this file, word for word, with the binary among the simulated parties; or by `.ci/run`. What acts
//! on the outside is listed with the reason.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan as _, tz};
use pay_common::sandbox::Options;
use serde_json::{Value, json};

use crate::support::app::{TestApp, order, refund, sha256_hex};
use crate::support::command::{Said, eventually};
use crate::support::database::{Database, Store, on_both_stores};
use crate::support::offline::Offline;
use crate::support::page::{Page, pages};

on_both_stores!(what_the_documents_say_is_run);

/// The operator's key of the documents.
const KEY: &str = "op_sandbox";

/// How a command is run that is not simply run to its end here.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// `.ci/run` has this line.
    Ci(&'static str),
    /// Here, until it says this; then it is told to end.
    Until(&'static str),
    /// Here, and it ends with this code.
    Ends(i32),
    /// Here; before 10:00 in China there is no bill of yesterday yet, and it ends with 2.
    FromTen,
    /// By nobody: it acts on something that no test has.
    Outside(&'static str),
}

const BUILDER: Way = Way::Outside(
    "it needs a container engine; `deployment` reads the Dockerfile, `scripts/run-in-empty-root` runs its content",
);
const SERVER: Way = Way::Outside("it changes a server's own folders and units; `deployment` reads the unit");

const KNOWN: &[(&str, Way)] = &[
    ("cargo test", Way::Ci("cargo test --locked")),
    ("cargo test --test adversity", Way::Ci("cargo test --locked")),
    // The same histories, and more of them.
    (
        "HISTORIES=10000 cargo test --test adversity histories",
        Way::Ci("cargo test --locked"),
    ),
    ("fuzz/run", Way::Ci("fuzz/run 60")),
    ("tests/sdks/run", Way::Ci("tests/sdks/run")),
    ("tests/sdks/run wechatpayv3", Way::Ci("tests/sdks/run")),
    (
        "scripts/release",
        Way::Ci("CARGO_TARGET_DIR=target/static nice -n 19 scripts/release $how >\"$release_log\" 2>&1 &"),
    ),
    ("cargo run -- sandbox", Way::Until("Ctrl-C ends it")),
    (
        "cargo run -- sandbox --port 3000 --database-url sqlite://first.db",
        Way::Until("Ctrl-C ends it"),
    ),
    ("pay-common serve --config settings.toml", Way::Until("listening on")),
    (
        "target/deploy/pay-common serve --config settings.toml",
        Way::Until("listening on"),
    ),
    ("pay-common reconcile", Way::FromTen),
    // Not a callback: refused, and that is what the page says.
    (
        "curl -sS -X POST http://127.0.0.1:3000/wechatpay/order -H 'Content-Type: application/json' -d '{}'",
        Way::Ends(22),
    ),
    ("docker build -t pay-common .", BUILDER),
    (
        "docker run -p 3000:3000 --env-file settings.env -v pay-common:/data -e DATABASE_URL=sqlite:///data/pay-common.db pay-common",
        BUILDER,
    ),
    ("install -m 755 target/deploy/pay-common /usr/local/bin/", SERVER),
    (
        "install -d -m 700 /etc/pay-common && install -m 600 settings.toml /etc/pay-common/",
        SERVER,
    ),
    (
        "install -m 644 docs/deploy/pay-common.service /etc/systemd/system/",
        SERVER,
    ),
    ("systemctl daemon-reload && systemctl enable --now pay-common", SERVER),
    ("journalctl -u pay-common -o cat", SERVER),
];

/// What else is simply run to its end: programs that do no more than they are told, in a folder of the test's own.
const HARMLESS: [&str; 12] = [
    "pay-common",
    "cargo run -- ",
    "target/deploy/pay-common",
    "curl",
    "openssl",
    "echo",
    "printf",
    "chmod 600 settings.toml",
    "sqlite3 pay-common.db",
    "pg_",
    "scripts/sqlite-to-postgres",
    "sha256sum",
];

/// What the documents promise that these print.
const SAYS: &[(&str, &str)] = &[
    ("cargo run -- sandbox --once", "28 of 28 steps held"),
    ("cargo run -- sandbox --once --chaos 7", "books agree"),
    ("pay-common doctor --config settings.toml", "0 failed, "),
    ("pay-common doctor --explain APPID_MCHID_NOT_MATCH", "not bound"),
    ("pay-common orders show ORDER_1", "order.paid"),
    ("pay-common orders list", "ORDER_1"),
    ("DATABASE_URL=\"$EMPTY_DATABASE_URL\" pay-common orders list", "ORDER_1"),
    ("pay-common anomalies list", "amount_mismatch"),
    (
        "curl -sS -X POST http://127.0.0.1:3000/wechatpay/order -H 'Content-Type: application/json' -d '{}'",
        "\"code\":\"FAIL\"",
    ),
    ("curl -sS http://127.0.0.1:3000/readyz", "\"status\":\"ok\""),
    (
        "curl -sS -X POST https://YOUR-SERVICE/internal/tick -H 'Authorization: Bearer op_...'",
        "\"more\":",
    ),
];

fn way(line: &str) -> Option<Way> {
    KNOWN.iter().find(|(known, _)| *known == line).map(|(_, way)| *way)
}

/// A line without the variables that are set for it alone.
fn program(line: &str) -> &str {
    let is_setting = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    match line.split_once(' ') {
        Some((first, rest)) if is_setting(first) && !first.contains("$(") => program(rest),
        _ => line,
    }
}

/// Whether it does no more than to set a variable of the shell, to words or to random ones.
fn only_sets(line: &str) -> bool {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let Some((name, value)) = line.split_once('=') else {
        return false;
    };
    let random = value.split_once("$(").map(|(_, command)| command);
    let is_random = random.is_some_and(|command| command.starts_with("openssl rand ") && command.ends_with(')'));
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-:/.,".contains(c);
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && (is_random || value.chars().all(plain))
}

/// Whether it is run here.
fn runs_here(line: &str) -> bool {
    match way(line) {
        Some(Way::Until(_) | Way::Ends(_) | Way::FromTen) => true,
        Some(Way::Ci(_) | Way::Outside(_)) => false,
        None => {
            let is_harmless = |part: &str| {
                HARMLESS
                    .iter()
                    .any(|harmless| program(part.trim()).starts_with(harmless))
            };
            only_sets(line) || line.split([';', '|', '&']).all(is_harmless)
        }
    }
}

/// Programs that a stranger need not have to run the tests; `.ci/run` installs them.
const PROGRAMS: [&str; 8] = [
    "bash",
    "curl",
    "openssl",
    "sha256sum",
    "sqlite3",
    "pg_dump",
    "pg_restore",
    "psql",
];

/// Whether this machine has the programs that a command names. Where everything is required, it has to.
fn has_programs(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    // The shell that runs it, and what the script needs.
    let of_script = if command.contains("sqlite-to-postgres") {
        "sqlite3 psql"
    } else {
        ""
    };
    let words: Vec<&str> = command
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .chain(of_script.split(' '))
        .chain(["bash"])
        .collect();
    let named = |program: &&str| words.contains(program);
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(named)
        .filter(|program| !installed(program))
        .collect();
    if !missing.is_empty() {
        assert!(
            std::env::var_os("REQUIRE_COMMANDS").is_none(),
            "{missing:?} for {command}"
        );
        drop(writeln!(std::io::stderr(), "not run, without {missing:?}: {command}"));
    }
    missing.is_empty()
}

/// Every command, with its page.
fn commands() -> Vec<(String, Vec<String>)> {
    let blocks = |page: Page| {
        let name = page.name.clone();
        page.commands().into_iter().map(move |block| (name.clone(), block))
    };
    pages().into_iter().flat_map(blocks).collect()
}

#[test]
fn nobody_finds_a_command_that_is_not_run() {
    let ci: BTreeSet<&str> = include_str!("../../.ci/run").lines().map(str::trim).collect();
    let mut met = BTreeSet::new();
    for (page, block) in commands() {
        for line in block {
            assert!(
                runs_here(&line) || way(&line).is_some(),
                "{page}: nobody runs `{line}`: say in tests/api/commands.rs who does"
            );
            met.insert(line);
        }
    }
    assert!(met.len() > 40, "only {} commands were found", met.len());
    for (line, way) in KNOWN {
        assert!(met.contains(*line), "no page says `{line}` any longer");
        match way {
            Way::Ci(run) => assert!(ci.contains(run), "`.ci/run` has no line `{run}`"),
            Way::Outside(reason) => assert!(reason.len() > 20, "{line}"),
            Way::Until(_) | Way::Ends(_) | Way::FromTen => {}
        }
    }
    for (line, _) in SAYS {
        assert!(met.contains(*line), "no page says `{line}` any longer");
    }
}

#[test]
fn a_command_that_nobody_knows_is_not_run() {
    for line in [
        "rm -rf /",
        "X=1 reboot",
        "X=$(reboot)",
        "X=1; reboot",
        "echo 1 && reboot",
        "curl x | sh",
        "docker push pay-common",
        "kubectl apply -f x",
        "cargo publish",
    ] {
        assert!(!runs_here(line) && way(line).is_none(), "{line}");
    }
    for line in [
        "key=op_$(openssl rand -hex 24)",
        "export DATABASE_URL=sqlite://first.db",
        "X=1 pay-common doctor",
        "printf %s \"$key\" | sha256sum",
    ] {
        assert!(runs_here(line), "{line}");
    }
    let page = Page::parse(
        "x.md",
        "```console\n$ pay-common doctor # why\nprinted\n```\n- a\n  ```sh\n  curl -d '#1' \\\n  x\n  # only said\n  ```\n```js\nno()\n```\n",
    );
    assert_eq!(page.commands(), [["pay-common doctor"], ["curl -d '#1' x"]]);
}

/// Commands within a sentence or a table are not run, but they have to be commands.
#[test]
fn what_is_named_in_a_sentence_is_a_command_that_there_is() {
    let mut named = BTreeSet::new();
    for page in pages() {
        for span in &page.spans {
            if let Some(arguments) = span.strip_prefix("pay-common ") {
                named.insert(arguments.replace("DAY", "2026-11-22"));
            }
        }
    }
    assert!(named.len() > 10, "{named:?}");
    for arguments in named {
        // What stands before `--help` is read first, and refused if there is no such thing.
        let output = Command::new(env!("CARGO_BIN_EXE_pay-common"))
            .args(arguments.split_whitespace())
            .arg("--help")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "pay-common {arguments}: {:?}",
            Said::from(output)
        );
    }
}

/// The binary, a service, and what the documents speak of: an order that is paid and refunded, an anomaly, events that were told.
struct Stage {
    t: TestApp,
    /// Where the commands are run.
    folder: PathBuf,
    /// For what is copied or restored; where there is a server.
    empty: Option<Database>,
    replaced: Vec<(&'static str, String)>,
}

impl Stage {
    async fn set(store: Store) -> Self {
        let options = Options {
            refund_after: None,
            ..Options::default()
        };
        let mut offline = Offline::over(Database::fresh(store).await, options, &[]).await;
        offline.set("operatorKeys", &sha256_hex(KEY));
        for (name, value) in offline.world.business().settings() {
            offline.set(name, &value);
        }
        let t = offline.start().await;
        let (anomaly, event) = history(&t).await;

        let folder = std::env::temp_dir().join(format!("pay-common-documents-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        symlink(env!("CARGO_BIN_EXE_pay-common"), folder.join("bin/pay-common")).unwrap();
        symlink(root.join("scripts"), folder.join("scripts")).unwrap();
        if let Some(file) = t.database.url.strip_prefix("sqlite://") {
            symlink(file, folder.join("pay-common.db")).unwrap();
        }
        let settings: toml::Table = t
            .settings
            .iter()
            .map(|(name, value)| (name.clone(), toml::Value::String(value.clone())))
            .collect();
        let file = folder.join("settings.toml");
        std::fs::write(&file, settings.to_string()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();

        let empty = if cfg!(with_postgres) {
            Some(Database::fresh(Store::Postgres).await)
        } else {
            None
        };
        let day = tz::offset(8).to_datetime(Timestamp::now()).date();
        let replaced = vec![
            ("http://127.0.0.1:3000", format!("http://{}", t.door)),
            ("https://YOUR-SERVICE", format!("http://{}", t.door)),
            ("op_...", KEY.to_owned()),
            (
                "--database-url sqlite://first.db",
                format!("--database-url sqlite://{}/first.db", folder.display()),
            ),
            ("sqlite://first.db", t.database.url.clone()),
            ("--port 3000", "--port 0".to_owned()),
            ("2026-11-22", day.checked_sub(2.days()).unwrap().to_string()),
            ("ANOMALY_ID", anomaly),
            ("EVENT_ID", event),
            ("target/deploy/pay-common", "pay-common".to_owned()),
            ("cargo run -- ", "pay-common ".to_owned()),
        ];
        Self {
            t,
            folder,
            empty,
            replaced,
        }
    }

    /// Whether this stage has what the command needs.
    fn has(&self, line: &str) -> bool {
        let sqlite = self.t.database.url.starts_with("sqlite:");
        let of_a_file =
            line.contains("pay-common.db") || (line.contains("EMPTY_DATABASE_URL") && !line.starts_with("pg_"));
        let of_a_server = line.starts_with("pg_");
        let no_server = line.contains("EMPTY_DATABASE_URL") && self.empty.is_none();
        !(of_a_file && !sqlite || of_a_server && sqlite || no_server) && has_programs(line)
    }

    /// Runs the commands of a block one after the other in one shell, and gives what each of them said.
    fn run(&self, block: &[String]) -> Vec<(String, String)> {
        let lines: Vec<&String> = block.iter().filter(|line| runs_here(line) && self.has(line)).collect();
        if lines.is_empty() {
            return Vec::new();
        }
        // A failure of the service is one of the command.
        let mut script = "curl() { command curl --fail-with-body \"$@\"; }\n".to_owned();
        for (place, line) in lines.iter().enumerate() {
            let mut command = (*line).clone();
            for (from, to) in &self.replaced {
                command = command.replace(from, to);
            }
            let leaves = program(line).starts_with("curl") && command.contains("https://");
            assert!(!leaves, "it leaves this machine: {command}");
            let expected = match way(line) {
                Some(Way::Ends(code)) => code,
                Some(Way::FromTen) if tz::offset(8).to_datetime(Timestamp::now()).hour() < 10 => 2,
                _ => 0,
            };
            let command = match way(line) {
                Some(Way::Until(text)) => until(&command, text, place),
                _ => format!("{{ {command}\n}} >out.{place} 2>&1"),
            };
            script.push_str(&format!(
                "{command}\nstatus=$?; [ $status = {expected} ] || {{ echo \"line {place} ended with $status\"; cat out.{place}; exit 1; }}\n"
            ));
        }
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).env_clear().current_dir(&self.folder);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.folder.join("bin")).chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(folders).unwrap());
        shell.env("DATABASE_URL", &self.t.database.url).env("key", KEY);
        if let Some(empty) = &self.empty {
            shell.env("EMPTY_DATABASE_URL", &empty.url);
        }
        // Where the page names a file, all of them come from there.
        if !block.iter().any(|line| line.contains("--config")) {
            shell.envs(self.t.settings.iter().map(|(name, value)| (name, value)));
        }
        let said = Said::from(shell.output().unwrap());
        assert_eq!(said.code, Some(0), "{lines:#?}\n{}{}", said.out, said.err);
        let outputs = lines.iter().enumerate().map(|(place, line)| {
            let output = std::fs::read_to_string(self.folder.join(format!("out.{place}"))).unwrap();
            ((*line).clone(), output)
        });
        outputs.collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A command that runs on, until it says so.
fn until(command: &str, text: &str, place: usize) -> String {
    format!(
        "{command} >out.{place} 2>&1 & held=$!\n\
         for _ in $(seq 300); do grep -q '{text}' out.{place} && break; sleep 0.1; done\n\
         kill -TERM $held; wait $held && grep -q '{text}' out.{place}"
    )
}

/// What the documents speak of; gives the ids of an anomaly and of an event.
async fn history(t: &TestApp) -> (String, String) {
    let wechat = t.world.wechat();
    t.paid("ORDER_1", 20).await;
    t.act("wxpay_refund", refund("ORDER_1", "REFUND_1", 20, 20))
        .await
        .data();
    t.act("wxpay_order", order("ORDER_2", 20)).await.data();
    wechat.pay("ORDER_2").unwrap();
    t.eventually("ORDER_2", "SUCCESS").await;
    let strange = wechat.payment_notification_with("ORDER_2", |note| {
        note.resource["amount"]["total"] = json!(1);
        note.resource["transaction_id"] = json!("4200000000000000000000000009");
    });
    let strange = t.world.center().forward_of(&strange.unwrap()).unwrap();
    assert_eq!(t.forward(&strange).await.status, 200);

    let url = &t.database.url;
    let anomalies = eventually(url, &["anomalies", "list", "--json"], |document| {
        document["anomalies"][0]["anomaly_id"].is_string()
    })
    .await;
    let is_told = |event: &Value| event["type"] == "order.created" && event["stream"] == "ORDER_1";
    let delivered = eventually(
        url,
        &["webhooks", "list", "--state", "DELIVERED", "--json"],
        |document| document["events"].as_array().unwrap().iter().any(is_told),
    )
    .await;
    let event = delivered["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| is_told(event));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&anomalies["anomalies"][0]["anomaly_id"]),
        text(&event.unwrap()["event_id"]),
    )
}

async fn what_the_documents_say_is_run(store: Store) {
    let stage = Stage::set(store).await;
    let mut ran = BTreeSet::new();
    for (page, block) in commands() {
        // What does not depend on the store is run once.
        if store == Store::Postgres && page != "docs/operations.md" {
            continue;
        }
        let said = tokio::task::block_in_place(|| stage.run(&block));
        for (line, output) in said {
            let promised = SAYS.iter().filter(|(said, _)| *said == line);
            for (_, text) in promised {
                assert!(
                    output.contains(text),
                    "{page}: `{line}` does not say {text:?}: {output}"
                );
            }
            ran.insert(line);
        }
    }
    let elsewhere = |line: &String| !stage.has(line) || store == Store::Postgres;
    for (page, block) in commands() {
        for line in block.iter().filter(|line| runs_here(line) && !elsewhere(line)) {
            assert!(ran.contains(line), "{page}: {line}");
        }
    }
}

/// A simulator that somebody plays with; ends with the test.
struct Sandbox {
    child: Child,
    printed: Vec<String>,
}

impl Sandbox {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pay-common"))
            .arg("sandbox")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let printed = lines.take_while(|line| !line.starts_with("Ctrl-C")).collect();
        Self { child, printed }
    }

    /// What the printed line that has all these parts says when it is copied.
    fn copied(&self, parts: &[&str]) -> String {
        let line = |parts: &[&str]| {
            let found = self
                .printed
                .iter()
                .find(|line| parts.iter().all(|part| line.contains(part)));
            found
                .unwrap_or_else(|| panic!("{parts:?} in {:#?}", self.printed))
                .clone()
        };
        let script = format!("{}\n{}", line(&["TOKEN='"]), line(parts));
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        let said = Said::from(output);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.out
    }

    /// The same, until it says so.
    fn eventually(&self, parts: &[&str], text: &str) {
        let started = Instant::now();
        loop {
            let said = self.copied(parts);
            if said.contains(text) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{parts:?}: {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// As `docs/getting-started.md` says: from the top down.
#[test]
fn the_lines_that_the_sandbox_prints_can_be_copied() {
    if !has_programs("curl") {
        return;
    }
    let sandbox = Sandbox::start();
    for (parts, text) in [
        (&["wxpay_order\"", "ORDER_1"][..], "\"paySign\""),
        (&["/pay'", "ORDER_1"][..], "\"transaction_id\""),
    ] {
        let said = sandbox.copied(parts);
        assert!(said.contains(text), "{parts:?}: {said}");
    }
    sandbox.eventually(&["webfn", "query_order_by_out_trade_no"], "\"trade_state\":\"SUCCESS\"");
    let said = sandbox.copied(&["wxpay_refund\"", "REFUND_1"]);
    assert!(said.contains("\"status\":\"PROCESSING\""), "{said}");
    sandbox.eventually(&["wxpay_refund_query"], "\"status\":\"SUCCESS\"");
    for (parts, text) in [
        (&["wxpay_order\"", "ORDER_2"][..], "\"paySign\""),
        (&["wxpay_close_order", "ORDER_2"][..], "\"code\":0"),
        (&["/journal"][..], "ORDER_2"),
        (&["curl", "op_sandbox"][..], "\"code\":0"),
    ] {
        let said = sandbox.copied(parts);
        assert!(said.contains(text), "{parts:?}: {said}");
    }
}
