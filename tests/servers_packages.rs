//! Other people's binlogs: those of the servers' own test suites, of fifteen years, some damaged on
//! purpose, against what the servers' own tools say of them. `scripts/read-packages` reads them.

use serde_json::Value;
use std::{collections::BTreeMap, path::Path, process::Command};

/// What scripts/read-packages says of each file.
fn read_packages() -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/read-packages");
    let output = Command::new(script)
        .args(["--json", "--twinlog", env!("CARGO_BIN_EXE_twinlog")])
        .output()
        .expect("scripts/read-packages runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let files: Vec<Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    let problems: Vec<&Value> = files.iter().filter(|of| !of["problem"].is_null()).collect();
    assert!(output.status.success() && problems.is_empty(), "{problems:#?}\n{errors}");
    files
}

/// Rows in all, of a map by table and operation.
fn rows(of: &Value) -> u64 {
    of["rows"].as_object().expect("rows").values().filter_map(Value::as_u64).sum()
}

/// Whether README promises that logs of such a server are read.
fn is_promised(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0_u32);
    let version_number = (next(), next());
    match version.contains("MariaDB") {
        true => version_number >= (10, 2),
        false => version_number >= (5, 6),
    }
}

#[test]
fn every_binlog_of_the_servers_own_test_suites_is_read_or_refused_with_a_reason() {
    let files = read_packages();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut compared, mut in_both) = (0, 0);
    for of in &files {
        let outcome = of["outcome"].as_str().expect("an outcome");
        *outcomes.entry(outcome).or_default() += 1;
        let tool = &of["by_tool"];
        let is_read = tool["read"].as_bool().expect("yes or no");
        if outcome == "whole" {
            if !is_read {
                // A damaged incident event is an incident all the same: a blind spot.
                let said = of["not_judged"].as_object().expect("reasons");
                assert!(!said.is_empty(), "{} refuses it: {of:#}", tool["tool"]);
                continue;
            }
            assert_eq!(of["rows"], tool["rows"], "{of:#}");
            (compared, in_both) = (compared + 1, in_both + rows(of));
            continue;
        }
        let reason = &of["reason"];
        let message = reason["message"].as_str().expect("a message");
        assert!(reason["offset"].is_u64() && message.contains("hint: "), "{of:#}");
        if outcome == "part" {
            let name = of["file"].as_str().and_then(|path| path.rsplit('/').next());
            assert!(reason["file"] == "file" || reason["file"].as_str() == name, "{of:#}");
        }
        let version = of["server"].as_str().expect("a version");
        if !is_read || !is_promised(version) {
            continue;
        }
        // The tools say nothing of a file that is cut off, of one transaction inside another, and
        // of a wrong checksum of the one event that turns the others' checksums off.
        let passed_over = ["ends too early", "it ends inside", "in a format_description event"];
        let is_passed_over = passed_over.iter().any(|what| message.contains(what));
        let is_relay = of["relay_log"].as_bool().expect("yes or no");
        assert!(is_relay || is_passed_over, "{} reads it: {of:#}", tool["tool"]);
    }
    println!("{outcomes:?}; {in_both} rows in {compared} files, as the servers' tools count them");
    // As many as there were when this was written, or about that.
    assert!(files.len() >= 140 && compared >= 110 && in_both >= 14_000, "{outcomes:?}");
}
