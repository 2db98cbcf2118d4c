//! What `docs/deploy` holds is what is deployed: it can be read, and says what the binary does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pay_common::config::Config;
use serde_json::Value;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_function_starts_the_binary_on_the_platforms_port() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy/scf_bootstrap");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111);
    let script = file("docs/deploy/scf_bootstrap");
    assert!(
        script.starts_with("#!/bin/sh\n") && script.contains("PORT=9000"),
        "{script}"
    );
    assert!(script.ends_with("exec ./pay-common\n"), "{script}");
}

#[test]
fn the_platforms_files_set_settings_that_there_are() {
    for name in ["docs/deploy/cloudbaserc.json", "docs/deploy/cloudbaserc.image.json"] {
        let document: Value = serde_json::from_str(&file(name)).unwrap();
        let function = &document["functions"][0];
        assert_eq!(
            (&function["name"], &function["type"]),
            (&"pay-common".into(), &"HTTP".into()),
            "{name}"
        );
        let settings = function["envVariables"].as_object().unwrap();
        assert!(
            settings.keys().all(|setting| Config::has_setting(setting)),
            "{name}: {settings:?}"
        );
        // A frozen process has no disk.
        assert!(settings.contains_key("DATABASE_URL"), "{name}");
    }
    assert_eq!(
        serde_json::from_str::<Value>(&file("docs/deploy/cloudbaserc.image.json")).unwrap()["functions"][0]["imageConfig"]
            ["imagePort"],
        9000
    );
}

/// No engine builds images here; what the file says is checked, and `scripts/run-in-empty-root` runs what it would hold.
#[test]
fn the_image_holds_the_binary_without_the_simulator_and_runs_it_as_nobody() {
    let dockerfile = file("Dockerfile");
    let (build, image) = dockerfile.split_once("\nFROM scratch\n").unwrap();
    assert!(
        build.contains("cargo build --release --locked --no-default-features"),
        "{build}"
    );
    assert!(image.contains("\nUSER 65532:65532\n"), "{image}");
    let copied: Vec<&str> = image.lines().filter(|line| line.starts_with("COPY ")).collect();
    assert_eq!(copied.len(), 2, "the certificates and the binary: {copied:?}");
    assert!(!image.contains("RUN "), "there is no shell to run it");
}

#[test]
fn systemd_waits_for_a_stop_as_long_as_it_takes() {
    let unit = file("docs/deploy/pay-common.service");
    assert!(
        unit.contains("\nTimeoutStopSec=20\n"),
        "stopTimeoutMs of 15 s, 3 s for the store: {unit}"
    );
    assert!(
        unit.contains("\nDynamicUser=yes\n") && unit.contains("\nLoadCredential="),
        "{unit}"
    );
}
