//! `docs/settings.md` is made of the table that the readers of settings use, and of the file of defaults.

use std::fmt::Write as _;
use std::path::Path;

use pay_common::config::Config;
use pay_common::config::settings::{self, Form, Setting, Unit, Without};

/// What stands above the tables.
const HEAD: &str = "\
# Settings 设置

Made of the code by `cargo test`; do not edit. `UPDATE_GOLDEN=1 cargo test --test api settings` writes it anew.
由代码生成，请勿手工编辑。

- Every setting can stand in an environment variable, in a file named by `--config` (TOML), or in `config/default.toml`; the environment wins
  over the file, and that over the defaults. The names are the same everywhere, and those that the platform injects are kept.
  每项设置可来自环境变量、`--config` 指定的 TOML 文件或 `config/default.toml`，前者优先；名称处处相同，平台注入的名称不变。
- Empty is the same as not set. Blanks around a value do not count. A name in a file that is no setting stops the start.
  空值等同于未设置；文件中出现未知名称会阻止启动。
- All problems are told at once, and no value with them. `pay-common doctor` then tries what the settings point at.
  所有问题一次性列出，且不显示取值；`pay-common doctor` 进一步逐项验证。
- **secret**: its value opens something. A settings file that holds one belongs to the service alone (`chmod 600`); a warning says so when
  others can read it. [SECURITY.md](../SECURITY.md) says what each opens and how to replace it.
  **secret** 表示机密：含有机密的设置文件应仅服务自身可读。
- The reason of each default stands beside it in [config/default.toml](../config/default.toml).
  每项默认值的理由见该文件。
- `auto` asks whether this is the cloud function platform: `TENCENTCLOUD_RUNENV` or `SCF_RUNTIME` is set there.
  `auto` 以这两个环境变量判断是否在云函数平台上。

Traces have the variables of OpenTelemetry, `OTEL_EXPORTER_OTLP_ENDPOINT` and its companions, which are no settings of this service:
[observability](observability/README.md). 链路追踪使用 OpenTelemetry 自己的环境变量。
";

/// Thousands apart: 16777216 is hard to read.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn takes(setting: &Setting) -> String {
    match setting.form {
        Form::Number { from, to, unit } => {
            let (english, chinese) = match unit {
                Unit::Seconds => (" s", "秒"),
                Unit::Milliseconds => (" ms", "毫秒"),
                Unit::Bytes => (" bytes", "字节"),
                Unit::PerSecond => (" per second; 0: no limit", "次每秒，0 不限"),
                Unit::Pieces => ("", ""),
            };
            let bounds = format!("{} to {}{english}", grouped(from), grouped(to));
            match chinese {
                "" => bounds,
                chinese => format!("{bounds} / {chinese}"),
            }
        }
        Form::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Form::Text(english, chinese) => format!("{english} / {chinese}"),
    }
}

fn without(setting: &Setting, defaults: &toml::Table) -> String {
    match setting.without {
        Without::Required => "**required 必填**".to_owned(),
        Without::Default => format!("`{}`", defaults[setting.name].as_str().unwrap()),
        Without::Says(english, chinese) if english == chinese => english.to_owned(),
        Without::Says(english, chinese) => format!("{english} / {chinese}"),
    }
}

fn rendered() -> String {
    let defaults: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    let mut page = HEAD.to_owned();
    for group in settings::GROUPS {
        write!(page, "\n## {} {}\n\n", group.english, group.chinese).unwrap();
        page.push_str("| name | without it | takes | what for |\n| --- | --- | --- | --- |\n");
        for setting in group.settings {
            let secret = if setting.is_secret { " **secret**" } else { "" };
            let cells = [
                format!("`{}`{secret}", setting.name),
                without(setting, &defaults),
                takes(setting),
                format!("{} / {}", setting.english, setting.chinese),
            ];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            writeln!(page, "| {} |", cells.join(" | ")).unwrap();
        }
    }
    page
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let page = rendered();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        page, expected,
        "UPDATE_GOLDEN=1 cargo test --test api settings writes it anew"
    );
}

/// The file of defaults and the reference name the same settings as the service knows.
#[test]
fn the_reference_has_every_setting_and_no_other() {
    let page = rendered();
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(rows.len(), settings::all().count());
    assert!(rows.iter().all(|name| Config::has_setting(name)), "{rows:?}");
}
