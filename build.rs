//! Says to the tests whether a PostgreSQL server is there, and a pooler for it, so that those that need one are listed as skipped when it
//! is not.

use std::path::PathBuf;

fn main() {
    for name in ["TEST_POSTGRES_URL", "REQUIRE_POSTGRES", "REQUIRE_PGBOUNCER"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rustc-check-cfg=cfg(with_postgres)");
    println!("cargo::rustc-check-cfg=cfg(with_pgbouncer)");
    let named = std::env::var_os("TEST_POSTGRES_URL").is_some_and(|url| !url.is_empty());
    let required = |name: &str| std::env::var_os(name).is_some_and(|value| value == "1");
    assert!(
        named || !required("REQUIRE_POSTGRES"),
        "REQUIRE_POSTGRES=1 and TEST_POSTGRES_URL is not set"
    );
    if named {
        println!("cargo::rustc-cfg=with_postgres");
    }
    let pooler = pgbouncer();
    assert!(
        (named && pooler.is_some()) || !required("REQUIRE_PGBOUNCER"),
        "REQUIRE_PGBOUNCER=1 and there is no pgbouncer, or TEST_POSTGRES_URL is not set"
    );
    if let Some(pooler) = pooler {
        println!("cargo::rerun-if-changed={}", pooler.display());
        if named {
            println!("cargo::rustc-cfg=with_pgbouncer");
        }
    }
}

/// Debian puts it where only root looks.
fn pgbouncer() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("pgbouncer"))
        .find(|file| file.is_file())
}
