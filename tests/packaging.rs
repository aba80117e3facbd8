//! The systemd unit, as systemd reads it. `scripts/install-deps` installs `systemd-analyze`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path, process::Command};

/// From 0 to 10, as `systemd-analyze security` counts; its list grows from version to version.
const EXPOSURE_MAX: f64 = 2.0;

/// Runs it on the unit, with the program that is here; what it says.
fn analyze(arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/twinlog.service");
    let text = fs::read_to_string(unit).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/twinlog watch"), "{text}");
    let text = text.replace("/usr/bin/twinlog", env!("CARGO_BIN_EXE_twinlog"));
    let here = dir.path().join("twinlog.service");
    fs::write(&here, text).unwrap();
    let output = Command::new("systemd-analyze").args(arguments).arg(&here).output();
    let output = output.expect("systemd-analyze runs; scripts/install-deps installs it");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let said = analyze(&["verify", "--man=no"]);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("twinlog")).collect();
    assert_eq!(about_it, [""; 0]);
}

#[test]
fn the_unit_exposes_little() {
    let said = analyze(&["security", "--offline=true", "--no-pager"]);
    let line = said.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    println!("{line}");
    let (_, level) = line.split_once(".service: ").unwrap();
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE_MAX, "{said}");
}
