//! The command line of `twinlog scan`: exit codes, streams, formats and filters.

mod support;

use std::fs;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::recorded::recorded;
use tempfile::TempDir;

/// One conflict, the divergence that came of it, and one `info`.
const CONFLICT: &str = "mariadb118-03-update-update";
/// One blind spot, a warning.
const WARNING: &str = "mariadb118-07-no-log-replica-updates";
/// One `info`.
const INFO: &str = "mysql97-01-relog-clean";
/// Nothing at all; the files are compressed with zstd.
const NOTHING: &str = "mariadb118-13-large";
/// Three files a node.
const FILES: &str = "mysql97-08-baseline";

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn findings(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.findings().iter().map(|finding| finding["id"].to_string()).collect()
    }

    #[track_caller]
    fn assert_fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

fn twinlog(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    ran(command.args(arguments).output().expect("twinlog runs"))
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn sources(sample: &str) -> [String; 2] {
    ["a", "b"].map(|node| source(node, &recorded().join(sample).join(node)))
}

fn source(node: &str, path: &Path) -> String {
    format!("{node}={}", path.display())
}

/// Scans a sample as NDJSON.
fn scan(sample: &str, options: &[&str]) -> Ran {
    let [a, b] = sources(sample);
    twinlog(&[&["scan", "--format", "ndjson", &a, &b], options].concat())
}

/// A copy of one node's files of a sample.
fn copy(sample: &str, node: &str) -> TempDir {
    let dir = TempDir::with_prefix("twinlog-cli-").expect("a directory");
    for entry in fs::read_dir(recorded().join(sample).join(node)).expect("a sample") {
        let from = entry.expect("an entry").path();
        fs::copy(&from, dir.path().join(from.file_name().expect("a name"))).expect("a copy");
    }
    dir
}

fn write_config(text: &str) -> (TempDir, String) {
    let dir = TempDir::with_prefix("twinlog-cli-").expect("a directory");
    let path: PathBuf = dir.path().join("twinlog.toml");
    fs::write(&path, text).expect("a write");
    let path = path.display().to_string();
    (dir, path)
}

#[test]
fn help_names_the_exit_codes() {
    let help = twinlog(&["scan", "--help"]);
    assert_eq!(help.code, Some(0));
    for line in ["Exit codes:", "  0  ", "  1  ", "  2  ", "  3  ", "Examples:"] {
        assert!(help.stdout.contains(line), "no {line:?} in: {}", help.stdout);
    }
    assert_eq!(
        twinlog(&["--version"]).stdout.trim(),
        concat!("twinlog ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn exit_codes_tell_clean_findings_usage_and_incomplete_apart() {
    assert_eq!(scan(NOTHING, &[]).code, Some(0));
    assert_eq!(scan(INFO, &[]).code, Some(0));
    assert_eq!(scan(WARNING, &[]).code, Some(1));
    assert_eq!(scan(CONFLICT, &[]).code, Some(1));
    assert_eq!(twinlog(&["scan"]).code, Some(2));
    assert_eq!(twinlog(&["scan", "a=/nowhere/at/all"]).code, Some(3));
}

#[test]
fn fail_on_moves_the_line_between_0_and_1() {
    for (sample, codes) in [(INFO, [1, 0, 0]), (WARNING, [1, 1, 0]), (CONFLICT, [1, 1, 1])] {
        for (severity, code) in ["info", "warning", "critical"].iter().zip(codes) {
            let ran = scan(sample, &["--fail-on", severity]);
            assert_eq!(ran.code, Some(code), "{sample} {severity}");
        }
    }
}

#[test]
fn ndjson_is_one_finding_a_line_and_nothing_else() {
    let ran = scan(CONFLICT, &[]);
    let findings = ran.findings();
    let mut kinds: Vec<&str> = findings.iter().filter_map(|f| f["kind"].as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["divergence", "shared_key", "write_conflict"]);
    let of = |kind: &str| findings.iter().find(|finding| finding["kind"] == kind).expect("one");
    let (conflict, divergence) = (of("write_conflict"), of("divergence"));
    assert_eq!(conflict["table"], "t.x");
    assert_eq!(conflict["key"], serde_json::json!({"id": 1}));
    assert_eq!(conflict["index"], "PRIMARY");
    assert_eq!(conflict["severity"], "critical");
    assert_eq!(conflict["transactions"][0]["gtid"], "1-1-4");
    assert_eq!(conflict["transactions"][1]["coordinates"]["b"]["file"], "b-bin.000001");
    assert_eq!(conflict["id"].as_str().map(str::len), Some(32));
    assert_eq!(conflict["outcome"], "diverged");
    assert_eq!(divergence["cause"], "conflict");
    // Each ends with what the other wrote.
    assert_eq!(divergence["last_written"]["a"]["gtid"], "2-2-1");
    assert_eq!(divergence["last_written"]["b"]["gtid"], "1-1-4");
    assert!(!ran.stderr.is_empty(), "the summary goes to stderr");
    assert!(scan(NOTHING, &[]).stdout.is_empty());
}

#[test]
fn json_is_one_object_with_summary_and_findings() {
    for sample in [CONFLICT, NOTHING] {
        let [a, b] = sources(sample);
        let ran = twinlog(&["scan", "--format", "json", &a, &b]);
        let object: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
        let findings = object["findings"].as_array().expect("findings");
        assert_eq!(findings, &scan(sample, &[]).findings());
        let summary = object["summary"].as_object().expect("a summary");
        assert!(summary["bytes"].as_u64() > Some(1000), "{summary:?}");
        assert_eq!(summary["incomplete"], serde_json::json!([]));
        assert_eq!(summary["rows_judged"], summary["rows_seen"]);
    }
}

#[test]
fn text_names_the_row_and_both_transactions() {
    let [a, b] = sources(CONFLICT);
    let ran = twinlog(&["scan", &a, &b]);
    for word in ["t.x", "id=1", "1-1-4", "2-2-1", "neither had seen the other's write"] {
        assert!(ran.stdout.contains(word), "no {word:?} in: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\x1b'), "no colours on a pipe");
    assert!(twinlog(&["scan", "--color", "always", &a, &b]).stdout.contains('\x1b'));
}

#[test]
fn quiet_says_nothing_but_findings_and_errors() {
    let quiet = scan(CONFLICT, &["--quiet"]);
    assert_eq!((quiet.stderr.as_str(), quiet.code), ("", Some(1)));
    assert_eq!(quiet.stdout, scan(CONFLICT, &[]).stdout);
    let dir = copy(CONFLICT, "a");
    cut(&dir.path().join("a-bin.000001"), 10);
    let [a, b] = [source("a", dir.path()), sources(CONFLICT)[1].clone()];
    twinlog(&["scan", "--quiet", &a, &b]).assert_fails(3, &["a-bin.000001 at offset "]);
}

#[test]
fn filters_take_kinds_and_tables() {
    let kinds = |options: &[&str]| -> Vec<String> {
        let findings = scan(CONFLICT, options).findings();
        findings.iter().filter_map(|f| f["kind"].as_str()).map(str::to_owned).collect()
    };
    assert_eq!(kinds(&["--kind", "write_conflict"]), ["write_conflict"]);
    assert_eq!(kinds(&["--kind", "shared_key"]), ["shared_key"]);
    assert_eq!(kinds(&["--kind", "shared_key,write_conflict"]).len(), 2);
    assert_eq!(kinds(&["--kind", "shared_key", "--kind", "write_conflict"]).len(), 2);
    assert_eq!(kinds(&["--kind", "divergence"]), ["divergence"]);
    assert_eq!(kinds(&["--table", "t.*"]).len(), 3);
    assert_eq!(kinds(&["--table", "u.*,t.[wx]"]).len(), 3);
    assert_eq!(kinds(&["--table", "u.*"]).len(), 0);
    // What is filtered out does not count for the exit code.
    assert_eq!(scan(CONFLICT, &["--kind", "shared_key"]).code, Some(0));
    assert_eq!(scan(CONFLICT, &["--table", "u.*"]).code, Some(0));
}

#[test]
fn wrong_usage_is_named() {
    let [a, b] = sources(CONFLICT);
    twinlog(&["scan"]).assert_fails(2, &["NODE=SOURCE"]);
    twinlog(&["scan", "a"]).assert_fails(2, &["write NODE=SOURCE"]);
    twinlog(&["scan", &a, &b, "--kind", "conflict"]).assert_fails(2, &["write_conflict"]);
    twinlog(&["scan", &a, &b, "--format", "xml"]).assert_fails(2, &["ndjson"]);
    twinlog(&["scan", &a, &b, "--table", "x"]).assert_fails(2, &["x"]);
    twinlog(&["scan", &a, &b, "--table", "t.[x"]).assert_fails(2, &["t.[x"]);
    twinlog(&["scan", &a, &b, "--config", "/nowhere/twinlog.toml"])
        .assert_fails(2, &["/nowhere/twinlog.toml"]);
    let (_dir, config) = write_config("[nodes.a]\nserver_id = 1\n");
    twinlog(&["scan", &a, &b, "--config", &config])
        .assert_fails(2, &["twinlog.toml:2", "server_ids"]);
}

#[test]
fn a_node_that_the_configuration_does_not_know_is_named() {
    let [a, b] = sources(CONFLICT);
    let (_dir, config) = write_config("[nodes.a]\nserver_ids = [1]\n[nodes.b]\nserver_ids = [2]\n");
    assert_eq!(twinlog(&["scan", "--config", &config, &a, &b]).code, Some(1));
    let c = b.replacen("b=", "c=", 1);
    twinlog(&["scan", "--config", &config, &a, &c])
        .assert_fails(2, &["no node is called \"c\"", "hint"]);
}

#[test]
fn one_server_under_two_names_is_refused() {
    let [a, b] = sources(CONFLICT);
    let twice = a.replacen("a=", "b=", 1);
    twinlog(&["scan", &a, &twice])
        .assert_fails(2, &["nodes a and b both have server id 1", "hint"]);
    let (_dir, config) = write_config("[nodes.a]\nserver_ids = [1]\n[nodes.b]\nserver_ids = [2]\n");
    let swapped = [a.replacen("a=", "b=", 1), b.replacen("b=", "a=", 1)];
    twinlog(&["scan", "--config", &config, &swapped[0], &swapped[1]])
        .assert_fails(2, &["written by server id", "another node's directory"]);
}

#[test]
fn a_file_that_the_index_lists_and_is_not_there_is_named() {
    let dir = copy(FILES, "a");
    fs::remove_file(dir.path().join("a-bin.000002")).expect("it was there");
    let [a, b] = [source("a", dir.path()), sources(FILES)[1].clone()];
    let ran = twinlog(&["scan", &a, &b]);
    ran.assert_fails(3, &["node a", "a-bin.000002", "a-bin.index", "hint"]);
    assert!(ran.stdout.is_empty());
}

#[test]
fn a_missing_file_between_two_is_3_whatever_is_asked_for() {
    for (sample, hidden) in [(FILES, "aaaaaaaaaaaa:5"), ("mariadb118-08-baseline", "1-1-5")] {
        let dir = copy(sample, "a");
        for gone in ["a-bin.000002", "a-bin.index"] {
            fs::remove_file(dir.path().join(gone)).expect("it was there");
        }
        let [a, b] = [source("a", dir.path()), sources(sample)[1].clone()];
        let ran = twinlog(&["scan", "--format", "ndjson", &a, &b]);
        ran.assert_fails(3, &["node a: before a-bin.000003", hidden, "is in no file", "hint"]);
        assert!(ran.findings().iter().any(|finding| finding["reason"] == "gap"));
        for options in [["--kind", "write_conflict"], ["--fail-on", "critical"]] {
            let ran = twinlog(&[&["scan", &a, &b][..], &options].concat());
            ran.assert_fails(3, &["is in no file read"]);
        }
    }
}

#[test]
fn files_out_of_order_are_refused() {
    let [a, b] = sources(FILES);
    let file = |number| format!("{a}/a-bin.00000{number}");
    for pair in [[file(2), file(1)], [file(1), file(1)]] {
        twinlog(&["scan", &pair[0], &pair[1], &b])
            .assert_fails(2, &["node a", "a-bin.000001 comes after", "hint"]);
    }
}

#[test]
fn what_is_no_binlog_is_named() {
    let b = &sources(CONFLICT)[1];
    let dir = TempDir::with_prefix("twinlog-cli-").expect("a directory");
    let directory = source("a", dir.path());
    twinlog(&["scan", &directory, b]).assert_fails(3, &["node a", "no binlogs in this directory"]);
    let file = dir.path().join("a-bin.000001");
    for (bytes, words) in [
        (&b"no binlog at all, but long enough to hold a header"[..], "the file is no binlog"),
        (b"", "the file is empty"),
        (b"\xfebin", "the event ends too early"),
        (b"\xfdbin and what follows is encrypted", "encrypted"),
    ] {
        fs::write(&file, bytes).expect("a write");
        twinlog(&["scan", &directory, b])
            .assert_fails(3, &["node a", "a-bin.000001", words, "hint"]);
        let named = source("a", &file);
        twinlog(&["scan", &named, b]).assert_fails(3, &["node a", "a-bin.000001", words]);
    }
    twinlog(&["scan", "a=/nowhere/at/all", b]).assert_fails(3, &["node a", "/nowhere/at/all"]);
}

#[test]
fn a_cut_off_file_is_3_and_what_was_found_before_is_told() {
    let dir = copy(CONFLICT, "b");
    cut(&dir.path().join("b-bin.000001"), 10);
    let [a, b] = [sources(CONFLICT)[0].clone(), source("b", dir.path())];
    let ran = twinlog(&["scan", "--format", "ndjson", &a, &b]);
    ran.assert_fails(3, &["node b", "b-bin.000001 at offset ", "hint"]);
    let kinds: Vec<Value> = ran.findings().iter().map(|finding| finding["kind"].clone()).collect();
    assert!(kinds.contains(&Value::from("write_conflict")), "{kinds:?}");
    let json = twinlog(&["scan", "--format", "json", &a, &b]);
    let object: Value = serde_json::from_str(&json.stdout).expect("one JSON object");
    let incomplete = object["summary"]["incomplete"][0].as_str().expect("what was not read");
    assert!(incomplete.contains("b-bin.000001 at offset "), "{incomplete}");
}

/// Takes so many bytes from a file's end.
fn cut(path: &Path, bytes: usize) {
    let whole = fs::read(path).expect("a file");
    fs::write(path, &whole[..whole.len() - bytes]).expect("a write");
}

#[test]
fn however_the_files_are_named_the_findings_are_the_same() {
    let sample = "mariadb118-08-baseline";
    let [a, b] = sources(sample);
    let ids = scan(sample, &[]).ids();
    assert_eq!(ids.len(), 2);
    let all = |arguments: &[&str]| {
        let ran = twinlog(&[&["scan", "--format", "ndjson"], arguments].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        ran.ids()
    };
    assert_eq!(all(&[&b, &a]), ids, "in another order");
    assert_eq!(all(&[&format!("{a}/a-bin.0000*"), &b]), ids, "by a pattern");
    let files: Vec<String> = (1..=3).map(|n| format!("{a}/a-bin.00000{n}")).collect();
    assert_eq!(all(&[&files[0], &files[1], &files[2], &b]), ids, "one by one");
    let dir = copy(sample, "a");
    fs::remove_file(dir.path().join("a-bin.index")).expect("an index");
    assert_eq!(all(&[&source("a", dir.path()), &b]), ids, "without an index");
    let packed = dir.path().join("a-bin.000001");
    let bytes = fs::read(&packed).expect("a file");
    fs::write(packed.with_extension("000001.zst"), zstd::encode_all(&bytes[..], 1).expect("zstd"))
        .expect("a write");
    fs::remove_file(&packed).expect("a file");
    assert_eq!(all(&[&source("a", dir.path()), &b]), ids, "one of them compressed");
}

#[test]
fn a_suppressed_finding_is_counted_apart() {
    let suppress = |kind: &str, until: &str| {
        format!(
            "[[suppress]]\nkind = \"{kind}\"\ntables = [\"t.x\"]\nuntil = \"{until}\"\n\
             why = \"known\"\n"
        )
    };
    let config = |until: &str| {
        let nodes = "[nodes.a]\nserver_ids = [1]\n[nodes.b]\nserver_ids = [2]\n";
        [nodes, &suppress("write_conflict", until), &suppress("divergence", until)].concat()
    };
    let (_dir, path) = write_config(&config("2999-12-31"));
    let ran = scan(CONFLICT, &["--config", &path]);
    assert_eq!((ran.code, ran.findings().len()), (Some(0), 1));
    assert!(ran.stderr.contains("suppressed by the configuration: 2"), "{}", ran.stderr);
    let (_dir, path) = write_config(&config("2020-12-31"));
    assert_eq!(scan(CONFLICT, &["--config", &path]).code, Some(1));
}

#[test]
fn findings_that_cannot_be_written_are_an_error() {
    let [a, b] = sources(CONFLICT);
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.args(["scan", &a, &b]).stderr(Stdio::piped());
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let full = ran(command.stdout(full).output().expect("twinlog runs"));
    full.assert_fails(3, &["cannot write findings"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("twinlog runs");
    drop(child.stdout.take());
    ran(child.wait_with_output().expect("twinlog ends")).assert_fails(3, &[]);
}

/// Where the last event of a type begins in a binlog file.
fn last_event(path: &Path, kind: u8) -> usize {
    let bytes = fs::read(path).expect("a file");
    let (mut at, mut found) = (4, None);
    while let Some(header) = bytes.get(at..at + 19) {
        if header[4] == kind {
            found = Some(at);
        }
        at += u32::from_le_bytes(header[9..13].try_into().expect("4 bytes")) as usize;
    }
    found.expect("an event of this type")
}

#[test]
fn a_later_file_that_cannot_be_read_hides_no_findings() {
    for (bytes, word) in [
        (&b""[..], "a-bin.000002 at offset 0: the file is empty"),
        (b"\xfebin and then rubbish that is no event", "a-bin.000002 at offset 4"),
    ] {
        let dir = copy(CONFLICT, "a");
        fs::write(dir.path().join("a-bin.000002"), bytes).expect("a write");
        fs::write(dir.path().join("a-bin.index"), "./a-bin.000001\n./a-bin.000002\n")
            .expect("a write");
        let [a, b] = [source("a", dir.path()), sources(CONFLICT)[1].clone()];
        let ran = twinlog(&["scan", "--format", "ndjson", &a, &b]);
        ran.assert_fails(3, &["node a", word, "hint"]);
        assert!(ran.findings().iter().any(|finding| finding["kind"] == "write_conflict"));
        let made = ran.stderr.contains("the server had just made it, or the copy failed");
        assert_eq!(made, bytes.is_empty(), "{}", ran.stderr);
    }
}

#[test]
fn relay_logs_are_left_out_where_there_are_binlogs() {
    let [a, b] = sources(CONFLICT);
    let dir = copy(CONFLICT, "a");
    let path = |name: &str| dir.path().join(name);
    fs::copy(path("a-bin.000001"), path("relay-bin.000001")).expect("a copy");
    fs::write(path("relay-bin.index"), "./relay-bin.000001\n").expect("a write");
    fs::remove_file(path("a-bin.index")).expect("an index");
    let directory = source("a", dir.path());
    let ran = twinlog(&["scan", "--format", "ndjson", &directory, &b]);
    assert_eq!(ran.ids(), scan(CONFLICT, &[]).ids(), "{}", ran.stderr);
    assert_eq!(twinlog(&["scan", &format!("{directory}/*"), &b]).code, Some(1));
    fs::remove_file(path("a-bin.000001")).expect("a file");
    // Where there is nothing else they are read: these are binlogs, but for the name.
    for index in [true, false] {
        let ran = twinlog(&["scan", "--format", "ndjson", &directory, &b]);
        assert_eq!(ran.ids(), scan(CONFLICT, &[]).ids(), "{}", ran.stderr);
        if index {
            fs::remove_file(path("relay-bin.index")).expect("an index");
        }
    }
    // Under another name, what its server said of it tells.
    let mut bytes = fs::read(path("relay-bin.000001")).expect("a file");
    // That it is in use is no part of the checksum; that it is a relay log is.
    bytes[4 + 17] = 0x40;
    let end = 4 + u32::from_le_bytes(bytes[13..17].try_into().expect("4 bytes")) as usize;
    let sum = crc32fast::hash(&bytes[4..end - 4]).to_le_bytes();
    bytes[end - 4..end].copy_from_slice(&sum);
    fs::write(path("renamed.000001"), bytes).expect("a write");
    let renamed = source("a", &path("renamed.000001"));
    twinlog(&["scan", &renamed, &b])
        .assert_fails(3, &["renamed.000001", "nothing was received", "hint"]);
    twinlog(&["scan", &a, &renamed, &b])
        .assert_fails(3, &["binlogs and relay logs are given as one stream", "hint"]);
    assert_eq!(twinlog(&["scan", &a, &b]).code, Some(1));
}

#[test]
fn a_file_cut_inside_a_transaction_is_named_and_not_the_next_one() {
    const XID: u8 = 16;
    let dir = copy(FILES, "a");
    let path = dir.path().join("a-bin.000001");
    let at = last_event(&path, XID);
    let bytes = fs::read(&path).expect("a file").len() - at;
    cut(&path, bytes);
    let [a, b] = [source("a", dir.path()), sources(FILES)[1].clone()];
    let place = format!("a-bin.000001 at offset {at}: it ends inside transaction");
    twinlog(&["scan", &a, &b]).assert_fails(3, &["node a", &place, "hint"]);
}

#[test]
fn a_packed_file_that_is_cut_off_or_damaged_is_named_with_the_place() {
    let [_, b] = sources(NOTHING);
    for damaged in [false, true] {
        let dir = copy(NOTHING, "a");
        let path = dir.path().join("a-bin.000001.zst");
        let mut bytes = fs::read(&path).expect("a file");
        let half = bytes.len() / 2;
        match damaged {
            true => bytes[half..half + 200].fill(0xff),
            false => bytes.truncate(half),
        }
        fs::write(&path, bytes).expect("a write");
        let words = ["node a", "a-bin.000001 at offset ", "the event ends too early", "hint"];
        twinlog(&["scan", &source("a", dir.path()), &b]).assert_fails(3, &words);
    }
}

#[test]
fn a_pattern_names_files_as_they_are_called() {
    let sample = "mariadb118-08-baseline";
    let [_, b] = sources(sample);
    let dir = copy(sample, "a");
    fs::remove_file(dir.path().join("a-bin.index")).expect("an index");
    let directory = source("a", dir.path());
    twinlog(&["scan", &format!("{directory}/a-bin.*.zst"), &b])
        .assert_fails(3, &["no file matches this pattern"]);
    // The plain file is taken and not the packed one, which cannot be read here.
    fs::write(dir.path().join("a-bin.000001.zst"), "rubbish").expect("a write");
    for from in [directory.clone(), format!("{directory}/a-bin.*")] {
        let ran = twinlog(&["scan", "--format", "ndjson", &from, &b]);
        assert_eq!((ran.code, ran.ids()), (Some(1), scan(sample, &[]).ids()), "{}", ran.stderr);
    }
}

#[test]
fn a_table_pattern_without_a_dot_gets_a_hint_that_is_one() {
    let [a, b] = sources(CONFLICT);
    let hints = |pattern: &str| twinlog(&["scan", &a, &b, "--table", pattern]).stderr;
    assert!(hints("orders").contains(r#""orders.*""#));
    let bracket = hints("[");
    assert!(!bracket.contains("[.*"), "{bracket}");
    assert!(bracket.contains("write schema.table"), "{bracket}");
}

#[test]
fn an_incident_outside_a_transaction_is_told() {
    const INCIDENT: u8 = 26;
    let dir = copy(CONFLICT, "a");
    let path = dir.path().join("a-bin.000001");
    let mut bytes = fs::read(&path).expect("a file");
    let mut event =
        vec![0, 0, 0, 0x60, INCIDENT, 1, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    event.extend(crc32fast::hash(&event).to_le_bytes());
    bytes.extend(event);
    fs::write(&path, bytes).expect("a write");
    let [a, b] = [source("a", dir.path()), sources(CONFLICT)[1].clone()];
    let ran = twinlog(&["scan", "--format", "ndjson", &a, &b]);
    let findings = ran.findings();
    let count = |reason| findings.iter().filter(|finding| finding["reason"] == reason).count();
    assert_eq!((count("incident"), count("anonymous")), (1, 0), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_file_that_is_no_schema_is_refused_with_what_to_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("schema.json");
    let (file, a) = (path.display().to_string(), format!("a={}", dir.path().display()));
    let scan = || twinlog(&["scan", "--schema", &file, &a]);
    scan().assert_fails(2, &[&file, "cannot be read", "hint: write it with: twinlog schema"]);
    fs::write(&path, "[nodes.a]").expect("a file");
    scan().assert_fails(2, &[&file, "this is no schema file", "hint: write it with"]);
    fs::write(&path, "{\"twinlog_schema\": 2}").expect("a file");
    scan().assert_fails(2, &[&file, "schema version 2"]);
    let config = dir.path().join("twinlog.toml");
    fs::write(&config, "[nodes.a]\n").expect("a file");
    let schema = twinlog(&["schema", "--config", &config.display().to_string()]);
    schema.assert_fails(2, &["nodes.a has no url", "hint: url ="]);
}

/// Scans with something on standard input.
fn scan_fed(input: &[u8], arguments: &[&str]) -> Ran {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input).and_then(|()| file.rewind()).expect("a write");
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.args(["scan", "--format", "ndjson"]).args(arguments).stdin(Stdio::from(file));
    ran(command.output().expect("twinlog runs"))
}

/// All files of one node of a sample, one after the other.
fn cat(sample: &str, node: &str) -> Vec<u8> {
    let dir = recorded().join(sample).join(node);
    let entries = fs::read_dir(dir).expect("a sample").map(|entry| entry.expect("one").path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending != "index"));
    files.sort();
    files.iter().flat_map(|file| fs::read(file).expect("a file")).collect()
}

#[test]
fn standard_input_is_files_one_after_the_other() {
    for sample in [CONFLICT, FILES, NOTHING] {
        let b = &sources(sample)[1];
        let (fed, files) = (scan_fed(&cat(sample, "a"), &["a=-", b]), scan(sample, &[]));
        assert_eq!((fed.ids(), fed.code), (files.ids(), files.code), "{sample}: {}", fed.stderr);
    }
    let fed = scan_fed(&cat(CONFLICT, "a"), &["a=-", &sources(CONFLICT)[1]]);
    assert!(fed.stdout.contains("\"file\":\"stdin.000001\""), "{}", fed.stdout);
}

#[test]
fn standard_input_that_cannot_be_is_named() {
    let (a, b) = (cat(FILES, "a"), &sources(FILES)[1]);
    scan_fed(&a, &["a=-", "b=-"]).assert_fails(2, &["a=- and b=-", "hint: one source at most"]);
    scan_fed(&a, &["a=-", &sources(FILES)[0], b]).assert_fails(2, &["node a: standard input and"]);
    scan_fed(b"", &["a=-", b]).assert_fails(3, &["node a: standard input: nothing came", "hint"]);
    scan_fed(b"not a log", &["a=-", b]).assert_fails(3, &["stdin.000001 at offset 0", "no binlog"]);
    scan_fed(&a[..a.len() - 5], &["a=-", b]).assert_fails(3, &["node a: stdin.000003 at offset "]);
    let both = [a, cat(FILES, "b")].concat();
    scan_fed(&both, &["a=-", b]).assert_fails(3, &["stdin.000004 at offset 4", "server id 2"]);
}

#[test]
fn a_server_and_files_are_not_one_stream() {
    let [a, b] = sources(CONFLICT);
    let server = "a=mysql://twinlog@127.0.0.1:1";
    twinlog(&["scan", server, &a, &b]).assert_fails(2, &["its server and another source", "hint"]);
    twinlog(&["scan", "a=mysql://twinlog:secret@h", &b]).assert_fails(2, &["has a password in it"]);
    twinlog(&["scan", "a=mysql://nobody", &b]).assert_fails(2, &["node a: the url", "hint"]);
    twinlog(&["scan", server, &b])
        .assert_fails(3, &["node a: mysql://twinlog@127.0.0.1:1", "hint"]);
}

/// Packs a file in its place.
fn pack(program: &str, path: &Path) {
    let packed = Command::new(program).args(["-q", path.to_str().expect("UTF-8")]).status();
    assert!(packed.expect("it runs").success());
    // zstd keeps what it has packed.
    let _ = fs::remove_file(path);
}

#[test]
fn packed_files_and_plain_ones_are_one_stream() {
    let dir = copy(FILES, "a");
    pack("gzip", &dir.path().join("a-bin.000001"));
    pack("zstd", &dir.path().join("a-bin.000003"));
    let [a, b] = [source("a", dir.path()), sources(FILES)[1].clone()];
    let whole = scan(FILES, &[]);
    let mixed = twinlog(&["scan", "--format", "ndjson", &a, &b]);
    assert_eq!((&mixed.stdout, mixed.code), (&whole.stdout, whole.code), "{}", mixed.stderr);
    fs::remove_file(dir.path().join("a-bin.index")).expect("an index");
    let by_number = twinlog(&["scan", "--format", "ndjson", &a, &b]);
    assert_eq!(by_number.stdout, whole.stdout);
    for (packed, plain) in
        [("a-bin.000001.gz", "a-bin.000001"), ("a-bin.000003.zst", "a-bin.000003")]
    {
        let path = dir.path().join(packed);
        let before = fs::read(&path).expect("a file");
        cut(&path, 12);
        let words = [format!("node a: {plain} at offset "), "the file is cut off".to_owned()];
        twinlog(&["scan", "-q", &a, &b]).assert_fails(3, &words.each_ref().map(String::as_str));
        fs::write(&path, before).expect("a write");
    }
}
