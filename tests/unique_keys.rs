//! Conflicts in unique keys, which only a schema names.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Scans a scenario with the schema beside it.
fn scan(name: &str) -> Vec<Value> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_twinlog"))
        .args(["scan", "--format", "ndjson", "--schema"])
        .arg(sample.join("schema.json"))
        .args(["a", "b"].map(|node| format!("{node}={}", sample.join(node).display())))
        .output()
        .expect("twinlog runs");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn two_rows_that_take_one_unique_value_are_a_conflict() {
    let found = scan("mysql97-04-unique-secondary-idempotent");
    let conflicts: Vec<&Value> =
        found.iter().filter(|finding| finding["kind"] == "write_conflict").collect();
    let [conflict] = conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!(conflict["index"], "v");
    assert_eq!(conflict["key"], serde_json::json!({ "v": "uk" }));
    assert_eq!(conflict["certainty"], "exact");
    let rows = found.iter().filter(|finding| finding["kind"] == "divergence");
    let mut rows: Vec<i64> = rows.filter_map(|row| row["key"]["id"].as_i64()).collect();
    rows.sort_unstable();
    assert_eq!(rows, [100, 101], "each master has the row that the other one made");
}
