//! Whether the books can be kept: reachable, of this version, durable.

use std::path::Path;
use std::time::Duration;

use super::{Finding, PATIENCE};
use crate::config::Config;
use crate::store::error::StoreError;
use crate::store::examine::{self, Examined};

pub(super) async fn books(config: &Config) -> Vec<Finding> {
    let url = config.database_url();
    let is_sqlite = url.starts_with("sqlite:");
    let examined = tokio::time::timeout(PATIENCE.min(Duration::from_secs(8)), examine::examine(url)).await;
    let mut findings = match examined {
        Ok(Ok(examined)) => found(&examined),
        Ok(Err(StoreError::Absent(file))) => vec![to_be_made(&file)],
        Ok(Err(error)) => vec![unreachable(is_sqlite, &super::reach::causes(&error))],
        Err(_) => vec![unreachable(is_sqlite, "no answer in time")],
    };
    if is_sqlite {
        findings.extend(medium(examine::sqlite_file(url)));
    }
    findings
}

fn unreachable(is_sqlite: bool, why: &str) -> Finding {
    let finding = Finding::failed(
        "store.reach",
        format!("账本无法打开：{why}"),
        format!("the store cannot be opened: {why}"),
    );
    if is_sqlite {
        return finding.cure(
            "请检查文件与目录的权限、磁盘空间，以及文件是否为 SQLite 数据库",
            "look at the permissions of the file and its directory, at the disk's space, and whether it is a SQLite file",
        );
    }
    let (chinese, english) = if why.contains("password") || why.contains("authentication") {
        ("用户名或密码错误", "user or password is wrong")
    } else if why.contains("does not exist") {
        (
            "数据库或用户不存在：请先创建（CREATE DATABASE）",
            "the database or the user does not exist: create it (CREATE DATABASE)",
        )
    } else {
        (
            "请检查 DATABASE_URL 的主机与端口、网络与防火墙、数据库是否运行",
            "look at host and port in DATABASE_URL, at the network in between, and whether the server runs",
        )
    };
    finding.cure(chinese, english)
}

/// A store that is made at the first start, if it can be.
fn to_be_made(file: &str) -> Finding {
    let directory = Path::new(file).parent().filter(|path| !path.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // The directory is made as well; what counts is the next one that is there, which may be no directory.
    let there = directory
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    match tempfile::NamedTempFile::new_in(there) {
        Ok(_) => Finding::ok(
            "store.reach",
            format!("{file} 尚不存在，首次启动时建立"),
            format!("{file} is not there yet: it is made at the first start"),
        ),
        Err(error) => Finding::failed(
            "store.reach",
            format!("{file} 不存在，且 {} 不可写：{error}", there.display()),
            format!(
                "{file} is not there and {} cannot be written to: {error}",
                there.display()
            ),
        )
        .cure(
            "请让运行本服务的用户可写该目录，或在 DATABASE_URL 中指定其他位置",
            "let the service's user write to that directory, or name another place in DATABASE_URL",
        ),
    }
}

fn found(examined: &Examined) -> Vec<Finding> {
    let mut findings = vec![
        Finding::ok("store.reach", "账本可访问", "the store answers"),
        version(examined),
    ];
    findings.extend(durable(&examined.settings));
    if examined.open_anomalies > 0 {
        let count = examined.open_anomalies;
        findings.push(
            Finding::warning(
                "store.anomalies",
                format!("有 {count} 项异常待处理"),
                format!("{count} anomalies are not resolved"),
            )
            .cure("pay-common anomalies list", "pay-common anomalies list"),
        );
    }
    if examined.dead_messages > 0 {
        let count = examined.dead_messages;
        findings.push(
            Finding::warning(
                "store.webhooks",
                format!("有 {count} 条通知已放弃投递"),
                format!("{count} messages to your system were given up"),
            )
            .cure("pay-common webhooks replay --dead", "pay-common webhooks replay --dead"),
        );
    }
    findings
}

fn version(examined: &Examined) -> Finding {
    let check = "store.version";
    let expected = examined.expected;
    match examined.version {
        Some(found) if found == expected => Finding::ok(
            check,
            format!("存储版本 {found}"),
            format!("the store is at version {found}"),
        ),
        Some(found) if found > expected => Finding::failed(
            check,
            format!("存储版本 {found} 比本程序（{expected}）新"),
            format!("the store is at version {found}, newer than this binary's {expected}"),
        )
        .cure("请使用更新的程序", "use the newer binary"),
        found => {
            let found = found.unwrap_or(0);
            Finding::warning(
                check,
                format!("存储版本 {found}，本程序为 {expected}，启动时自动升级"),
                format!(
                    "the store is at version {found} and this binary at {expected}: it is migrated at the next start"
                ),
            )
            .cure("或现在执行 pay-common migrate", "or now, by pay-common migrate")
        }
    }
}

/// Whether what was answered is still there after the power went.
fn durable(settings: &[(&'static str, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, value) in settings {
        let check = format!("store.{name}");
        match (*name, value.as_str()) {
            ("fsync" | "full_page_writes", "off") => findings.push(
                Finding::failed(
                    check,
                    format!("PostgreSQL 的 {name}=off：断电会丢失已确认的付款"),
                    format!("PostgreSQL runs with {name}=off: a power failure loses payments that were acknowledged"),
                )
                .cure(format!("请设置 {name}=on"), format!("set {name}=on")),
            ),
            ("synchronous_commit", "off") => findings.push(
                Finding::failed(
                    check,
                    "synchronous_commit=off：崩溃会丢失刚确认的付款",
                    "synchronous_commit=off: a crash loses payments that were just acknowledged",
                )
                .cure(
                    "请设置 synchronous_commit=on",
                    "set synchronous_commit=on for this database or role",
                ),
            ),
            ("transaction_read_only", "on") => findings.push(
                Finding::failed(
                    check,
                    "数据库只读（可能是备库）",
                    "the database takes no writes: perhaps it is a standby",
                )
                .cure("请连接主库", "connect to the primary"),
            ),
            ("server_version_num", number) if number.parse::<u32>().is_ok_and(|number| number < 120_000) => findings
                .push(
                    Finding::warning(
                        check,
                        format!("PostgreSQL 版本过旧（{number}）"),
                        format!("this PostgreSQL is too old to be tested with ({number})"),
                    )
                    .cure("请使用 12 或更新版本", "use version 12 or newer"),
                ),
            _ => {}
        }
    }
    if !settings.is_empty() && findings.is_empty() {
        findings.push(Finding::ok(
            "store.durable",
            "提交即落盘",
            "what is committed is on the disk",
        ));
    }
    findings
}

/// On what kind of file system a SQLite file lies.
fn medium(file: &str) -> Option<Finding> {
    let directory = Path::new(file).parent().filter(|path| !path.as_os_str().is_empty());
    let directory = std::path::absolute(directory.unwrap_or(Path::new("."))).ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let kind = mounted(&mounts, &directory)?;
    let check = "store.medium";
    Some(match kind {
        "tmpfs" | "ramfs" => Finding::failed(
            check,
            format!("账本位于内存文件系统（{kind}），重启即丢失"),
            format!("the store lies in memory ({kind}): a restart loses it"),
        )
        .cure("请放在磁盘上，或使用 PostgreSQL", "put it on a disk, or use PostgreSQL"),
        "overlay" => Finding::warning(
            check,
            "账本位于容器自身的文件系统，容器重建即丢失",
            "the store lies in the container's own file system: a new container has none of it",
        )
        .cure(
            "请挂载数据卷，或使用 PostgreSQL",
            "mount a volume for it, or use PostgreSQL",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "fuse.sshfs" => Finding::warning(
            check,
            format!("账本位于网络文件系统（{kind}），SQLite 的锁在其上不可靠"),
            format!("the store lies on a network file system ({kind}), where SQLite's locks cannot be relied on"),
        )
        .cure("请使用本地磁盘，或使用 PostgreSQL", "use a local disk, or PostgreSQL"),
        _ => Finding::ok(
            check,
            format!("账本位于磁盘（{kind}）"),
            format!("the store lies on a disk ({kind})"),
        ),
    })
}

/// The kind of file system that holds a directory: that of the longest mount point above it, and of the last one mounted there.
fn mounted<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut columns = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (columns.next(), columns.next()) else {
            continue;
        };
        if directory.starts_with(point) && best.is_none_or(|(longest, _)| point.len() >= longest) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn what_loses_an_acknowledged_payment_is_a_failure() {
        for (name, value) in [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("synchronous_commit", "off"),
            ("transaction_read_only", "on"),
        ] {
            let findings = durable(&[(name, value.to_owned())]);
            assert_eq!(findings[0].verdict, Verdict::Failed, "{name}");
        }
        let fine = durable(&[("fsync", "on".to_owned()), ("synchronous_commit", "local".to_owned())]);
        assert_eq!((fine.len(), fine[0].verdict), (1, Verdict::Ok));
        assert!(durable(&[]).is_empty(), "SQLite is opened with what it needs");
        let old = durable(&[("server_version_num", "110022".to_owned())]);
        assert_eq!(old[0].verdict, Verdict::Warning);
    }

    #[test]
    fn a_store_of_another_version_is_told() {
        let of = |version, expected| {
            version_of(&Examined {
                version,
                expected,
                settings: Vec::new(),
                open_anomalies: 0,
                dead_messages: 0,
            })
        };
        assert_eq!(of(Some(5), 5), Verdict::Ok);
        assert_eq!(of(Some(6), 5), Verdict::Failed);
        assert_eq!(of(Some(4), 5), Verdict::Warning);
        assert_eq!(of(None, 5), Verdict::Warning);
    }

    fn version_of(examined: &Examined) -> Verdict {
        version(examined).verdict
    }

    #[test]
    fn a_directory_is_on_the_nearest_mount() {
        let mounts = "overlay / overlay rw 0 0\ntmpfs /data tmpfs rw 0 0\n/dev/sdb /data/books ext4 rw 0 0\n";
        for (directory, kind) in [
            ("/srv", "overlay"),
            ("/data/x", "tmpfs"),
            ("/data/books/2026", "ext4"),
            ("/database", "overlay"),
        ] {
            assert_eq!(mounted(mounts, Path::new(directory)), Some(kind), "{directory}");
        }
    }
}
