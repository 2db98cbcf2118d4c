//! Says to the tests whether a PostgreSQL server is there, so that those that need one are listed as skipped when it is not.

fn main() {
    println!("cargo::rerun-if-env-changed=TEST_POSTGRES_URL");
    println!("cargo::rerun-if-env-changed=REQUIRE_POSTGRES");
    println!("cargo::rustc-check-cfg=cfg(with_postgres)");
    let named = std::env::var_os("TEST_POSTGRES_URL").is_some_and(|url| !url.is_empty());
    let required = std::env::var_os("REQUIRE_POSTGRES").is_some_and(|value| value == "1");
    assert!(
        named || !required,
        "REQUIRE_POSTGRES=1 and TEST_POSTGRES_URL is not set"
    );
    if named {
        println!("cargo::rustc-cfg=with_postgres");
    }
}
