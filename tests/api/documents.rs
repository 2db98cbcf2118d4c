//! The documents are true: both READMEs say the same, links lead somewhere, settings are settings, what there is to see to has its place in
//! the handbook. What their shell blocks say is run: `commands.rs`.

use std::path::Path;

use pay_common::config::Config;
use pay_common::domain::anomaly::AnomalyKind;
use pay_common::domain::reconciliation::DifferenceKind;
use pay_common::domain::refund::RefundState;

use crate::support::page::{Block, Page, pages};

/// Each leads to the other, and that is all in which they differ besides the language.
const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// In what the two say another thing.
fn drift(one: &Page, other: &Page) -> Vec<String> {
    let levels = |page: &Page| -> Vec<usize> { page.headings.iter().map(|(level, _)| *level).collect() };
    let sorted = |list: &[String]| -> Vec<String> {
        let mut list: Vec<String> = list
            .iter()
            .filter(|one| !READMES.contains(&one.as_str()))
            .cloned()
            .collect();
        list.sort_unstable();
        list
    };
    let mut drift = Vec::new();
    if levels(one) != levels(other) {
        drift.push(format!("headings: {:?}, {:?}", one.headings, other.headings));
    }
    if one.rows != other.rows {
        drift.push(format!("rows and items: {}, {}", one.rows, other.rows));
    }
    let blocks = one.blocks.iter().zip(&other.blocks);
    drift.extend(
        blocks
            .filter(|(one, other)| one != other)
            .map(|pair| format!("a block: {pair:?}")),
    );
    if one.blocks.len() != other.blocks.len() {
        drift.push(format!("blocks: {}, {}", one.blocks.len(), other.blocks.len()));
    }
    for (what, one, other) in [
        ("links", &one.links, &other.links),
        ("words in backticks", &one.spans, &other.spans),
    ] {
        let (one, other) = (sorted(one), sorted(other));
        if one != other {
            drift.push(format!("{what}: {one:?}, {other:?}"));
        }
    }
    drift
}

#[test]
fn both_readmes_say_the_same() {
    let [english, chinese] = READMES.map(Page::of);
    assert_eq!(drift(&english, &chinese), [""; 0]);
    assert!(english.links.contains(&READMES[1].to_owned()) && chinese.links.contains(&READMES[0].to_owned()));
}

#[test]
fn a_readme_that_says_something_else_is_noticed() {
    let text = "# a\n\n## b\n\n- x `y` [z](docs/z.md)\n\n```sh\ncargo test\n```\n";
    let page = |text: &str| Page::parse("x.md", text);
    assert_eq!(drift(&page(text), &page(text)), [""; 0]);
    for (from, to) in [
        ("## b", "### b"),
        ("## b", "b"),
        ("cargo test", "cargo  test"),
        ("```sh", "```bash"),
        ("docs/z.md", "docs/y.md"),
        ("`y`", "`x`"),
        ("- x", "- w\n- x"),
        ("```sh\ncargo test\n```\n", ""),
    ] {
        assert_ne!(
            drift(&page(text), &page(&text.replace(from, to))),
            [""; 0],
            "{from} {to}"
        );
    }
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut followed = 0;
    for page in pages() {
        for link in &page.links {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&page.name).parent().unwrap();
            let target = match path {
                "" => page.name.clone(),
                path => plain(&folder.join(path)),
            };
            assert!(root.join(&target).exists(), "{}: {link}", page.name);
            if !anchor.is_empty() {
                let anchors = Page::of(&target).anchors();
                assert!(
                    anchors.contains(&anchor.to_owned()),
                    "{}: {link} in {anchors:?}",
                    page.name
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 60, "only {followed} links were followed");
}

/// `docs/../a` is `a`.
fn plain(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.iter().map(|part| part.to_str().unwrap()) {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn what_is_shown_as_settings_are_settings() {
    let mut shown = 0;
    for page in pages() {
        for Block { language, text } in &page.blocks {
            let names: Vec<String> = match language.as_str() {
                "toml" => text.parse::<toml::Table>().unwrap().keys().cloned().collect(),
                "ini" => text
                    .lines()
                    .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
                    .collect(),
                _ => continue,
            };
            for name in &names {
                assert!(Config::has_setting(name), "{}: {name}", page.name);
            }
            shown += names.len();
        }
    }
    assert!(shown > 10, "only {shown} settings were read");
}

/// Everything that an operator can meet has its row.
#[test]
fn the_handbook_knows_everything_that_there_is_to_see_to() {
    let handbook = include_str!("../../docs/operations.md");
    let row = |page: &str, name: &str| page.lines().any(|line| line.starts_with(&format!("| `{name}` |")));
    for kind in AnomalyKind::ALL.map(AnomalyKind::as_str) {
        assert!(row(handbook, kind), "{kind}");
    }
    for state in RefundState::ALL.map(RefundState::as_str) {
        assert!(state == "SUCCESS" || row(handbook, state), "{state}");
    }
    let reconciliation = include_str!("../../docs/reconciliation.md");
    for kind in DifferenceKind::ALL.map(DifferenceKind::as_str) {
        assert!(row(reconciliation, kind), "{kind}");
    }
    let alerts = include_str!("../../docs/observability/alerts.yaml");
    let alerts: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        assert!(handbook.contains(&format!("`{alert}`")), "{alert}");
    }
}
