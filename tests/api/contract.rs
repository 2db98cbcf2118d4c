//! `docs/contract.md` and `SECURITY.md` name a test for every row; and the rows that belong to no other file.

use std::path::{Path, PathBuf};

use pay_common::sandbox::Endpoint;
use serde_json::json;

use crate::support::app::{TestApp, order};
use crate::support::database::Store;

/// Every action, in its own name.
const ACTIONS: [&str; 13] = [
    "wxpay_order",
    "wxpay_order_h5",
    "wxpay_order_native",
    "wxpay_order_app",
    "wxpay_query_order_by_out_trade_no",
    "wxpay_query_order_by_transaction_id",
    "wxpay_close_order",
    "wxpay_refund",
    "wxpay_refund_query",
    "wxpay_transfer",
    "wxpay_transfer_bill_query",
    "wxpay_transfer_batch_query",
    "wxpay_transfer_bill_query_by_no",
];

/// The file in which a test stands: one of `tests/api`, one of `tests/adversity` by its folder, or a module of the service, whose tests may have a file of their own.
fn files_of(module: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(inside) = module.strip_suffix("::tests") else {
        let path = module.replace("::", "/");
        return vec![
            root.join(format!("tests/api/{path}.rs")),
            root.join(format!("tests/adversity/{path}.rs")),
        ];
    };
    let path = inside.replace("::", "/");
    vec![
        root.join(format!("src/{path}.rs")),
        root.join(format!("src/{path}/tests.rs")),
    ]
}

/// Whether a source has a test of that name, and not only a function.
fn runs(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_it = |line: &str| line.starts_with(&format!("fn {name}(")) || line.starts_with(&format!("async fn {name}("));
    let Some(at) = lines.iter().position(|line| is_it(line)) else {
        return false;
    };
    let marked = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#["))
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let mut stamped = lines.iter().skip_while(|line| !line.starts_with("on_both_stores!("));
    let listed = stamped
        .by_ref()
        .take_while(|line| !line.ends_with(");") || line.starts_with("on_both_stores!("))
        .any(|line| line.split(['(', ',', ')']).any(|word| word.trim() == name));
    // A case of the bad day says what is at stake.
    let case = lines.iter().any(|line| line.starts_with("cases!("))
        && lines.iter().any(|line| line.starts_with(&format!("{name} => \"")));
    marked || listed || case
}

/// Whether `tests/browser` has a test of that title; `.ci/run` runs all of them.
fn runs_in_a_browser(file: &str, title: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/browser/{file}.test.mjs"));
    let source = std::fs::read_to_string(path).unwrap_or_default();
    source.lines().any(|line| line.starts_with(&format!("test('{title}',")))
}

/// The rows of the tables whose last column says by which tests a row is shown.
fn rows_that_name_tests(page: &str) -> Vec<&str> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        if !line.starts_with("| ") {
            in_table = false;
        } else if line.ends_with("| shown by |") {
            in_table = true;
        } else if in_table && !line.starts_with("| ---") {
            rows.push(line);
        }
    }
    rows
}

#[test]
fn every_test_that_the_table_names_exists_and_runs() {
    let pages = [
        (include_str!("../../docs/contract.md"), 2..=2, 90),
        (include_str!("../../SECURITY.md"), 2..=5, 17),
    ];
    for (page, cells_of_a_row, fewest_rows) in pages {
        let rows = rows_that_name_tests(page);
        for row in &rows {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            assert!(cells_of_a_row.contains(&cells.len()), "{row}");
            let shown_by = cells.last().unwrap().trim();
            let names: Vec<&str> = shown_by.split(", ").map(|name| name.trim_matches('`')).collect();
            for name in names {
                let (module, function) = name
                    .rsplit_once("::")
                    .unwrap_or_else(|| panic!("{name:?} is no test: {row}"));
                let found = match module.strip_prefix("browser::") {
                    Some(file) => runs_in_a_browser(file, function),
                    None => files_of(module)
                        .iter()
                        .filter_map(|file| std::fs::read_to_string(file).ok())
                        .any(|source| runs(&source, function)),
                };
                assert!(found, "there is no test {name}: {row}");
            }
        }
        assert!(rows.len() > fewest_rows, "only {} rows were read", rows.len());
    }
}

#[test]
fn only_the_tables_that_name_tests_are_read_for_them() {
    let page = "| what | shown by |\n| --- | --- |\n| a | `x::y` |\n\n| secret | opens |\n| --- | --- |\n| b | c |\n";
    assert_eq!(rows_that_name_tests(page), ["| a | `x::y` |"]);
}

#[test]
fn every_party_of_the_threat_model_has_all_its_cells() {
    let page = include_str!("../../SECURITY.md");
    let section = page
        .split("## ")
        .find(|section| section.starts_with("Who is trusted for what"))
        .unwrap();
    let rows = rows_that_name_tests(section);
    assert_eq!(rows.len(), 13);
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 5 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}

#[test]
fn the_table_has_a_row_for_every_action_and_every_setting() {
    let table = include_str!("../../docs/contract.md");
    for action in ACTIONS {
        let row = |line: &str| line.starts_with("| ") && line.contains(&format!("`{action}`"));
        assert!(table.lines().any(row), "{action}");
    }
    let defaults = include_str!("../../config/default.toml");
    let settings = defaults
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with('#'));
    // How the process lives and speaks is no part of the contract.
    let own = [
        "bindAddress",
        "sweepInterval",
        "logLevel",
        "logFormat",
        "wechatPayConnectTimeoutMs",
        "wechatPayTimeoutMs",
        "platformCertificates",
    ];
    for setting in settings.filter(|name| !own.contains(name)) {
        assert!(table.contains(&format!("`{setting}`")), "{setting}");
    }
}

#[test]
fn a_function_that_nobody_runs_is_no_test() {
    let source = "on_both_stores!(\n    one,\n);\nasync fn one(store: Store) {}\nasync fn two(store: Store) {}\n\
                  #[test]\nfn three() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn four() {}\n";
    let ran: Vec<&str> = ["one", "two", "three", "four", "five"]
        .into_iter()
        .filter(|name| runs(source, name))
        .collect();
    assert_eq!(ran, ["one", "three", "four"]);
    assert!(runs("on_both_stores!(one);\nasync fn one(store: Store) {}\n", "one"));
}

#[tokio::test]
async fn whoever_is_not_known_reaches_no_action_by_any_name() {
    let t = TestApp::start(Store::Sqlite).await;
    for action in ACTIONS {
        let by_path = t.post(&format!("/wx-pay/{action}"), &[], "{}").await;
        let by_name = t.post("/", &[], json!({"_action": action}).to_string()).await;
        for came in [by_path, by_name] {
            assert_eq!(came.failure(), (401, "UNAUTHENTICATED"), "{action}: {came:?}");
        }
    }
    assert_eq!(t.world.wechat().count(Endpoint::Any), 0);
}

#[tokio::test]
async fn the_platforms_credentials_go_nowhere() {
    const CREDENTIALS: &str = "temporary-credentials-of-the-platform";
    let t = TestApp::start(Store::Sqlite).await;
    let bearer = format!("Bearer {}", t.token("alice"));
    let headers = [("authorization", bearer.as_str()), ("x-cloudbase-context", CREDENTIALS)];
    for body in [
        order("ORDER_1", 100).to_string(),
        "{}".to_owned(),
        "not json".to_owned(),
    ] {
        let came = t.post("/wx-pay/wxpay_order", &headers, body).await;
        assert!(!format!("{came:?}").contains(CREDENTIALS), "{came:?}");
    }
    assert_eq!(t.world.wechat().count(Endpoint::Prepay), 1);
    assert!(!format!("{:?}", t.world.wechat().requests()).contains(CREDENTIALS));
    let stored = t.texts("SELECT request || prepay || owner_sub FROM orders").await;
    let told = t.texts("SELECT payload FROM events").await;
    assert!(stored.len() == 1 && !told.is_empty());
    assert!(!stored.iter().chain(&told).any(|text| text.contains(CREDENTIALS)));
}
