//! The command line of `twinlog findings`, over what scans of recorded logs write and over stores.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use support::recorded::recorded;
use tempfile::TempDir;
use twinlog::{
    model::{Certainty, FindingKind, Severity, State},
    store::{Batch, Checkpoint, Memory, Store, StoredFinding},
};

/// One conflict, the divergence that came of it, and one `info`.
const CONFLICT: &str = "mariadb118-03-update-update";

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn assert_fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.stdout, "");
    }

    #[track_caller]
    fn assert_fine(self) -> Ran {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }
}

fn twinlog(arguments: &[&str]) -> Ran {
    piped(arguments, "")
}

/// Runs with this on standard input.
fn piped(arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What a scan of a sample writes.
fn scanned(format: &str) -> String {
    let sources =
        ["a", "b"].map(|node| format!("{node}={}", recorded().join(CONFLICT).join(node).display()));
    twinlog(&["scan", "--quiet", "--format", format, &sources[0], &sources[1]]).stdout
}

fn directory() -> TempDir {
    TempDir::with_prefix("twinlog-findings-").unwrap()
}

fn written(text: &str) -> (TempDir, String) {
    let dir = directory();
    let path = dir.path().join("findings");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

/// A finding for a store; `record` needs no more fields than are shown.
fn finding(id: &str, group: u8, kind: FindingKind, second: u8) -> StoredFinding {
    let id = format!("{id:0<32}");
    let group = format!("{group:032x}");
    let message = format!("t.x (id={second}): a and b both wrote it; neither had seen the other's");
    let record = serde_json::json!({
        "id": id, "kind": kind.as_str(), "severity": "critical", "certainty": "exact",
        "state": "open", "table": "t.x", "key": {"id": second}, "group": group, "more": 0,
        "last_seen": format!("2026-11-23T18:00:{second:02}Z"), "message": message,
        "transactions": [],
    });
    StoredFinding {
        kind,
        severity: Severity::Critical,
        certainty: Certainty::Exact,
        state: State::Open,
        outcome: None,
        settled: false,
        table: Some("t.x".to_owned()),
        key: Some(format!("{{\"id\":{second}}}")),
        first_seen: 0,
        last_seen: 1_795_456_800_000_000 + i64::from(second) * 1_000_000,
        healed_at: None,
        record: record.to_string(),
        id,
        group,
        more: 0,
    }
}

/// A store with four findings: two of one group, one that has healed, and another kind. It stays
/// open, as under a watch.
fn store() -> (TempDir, String, Store) {
    let dir = directory();
    let path = dir.path().join("twinlog.db");
    let mut store = Store::open(&path).unwrap();
    let mut findings = vec![
        finding("abcd1", 1, FindingKind::WriteConflict, 1),
        finding("abcd2", 1, FindingKind::WriteConflict, 2),
        finding("bbbb", 2, FindingKind::Divergence, 3),
        finding("cccc", 3, FindingKind::TableOwnership, 4),
    ];
    findings[2].state = State::Healed;
    findings[2].record = findings[2].record.replace("\"open\"", "\"healed\"");
    store.commit(&Batch { now: 1, findings, ..Batch::default() }).unwrap();
    (dir, path.display().to_string(), store)
}

fn ids(ran: &Ran) -> Vec<String> {
    let records = ran.records();
    records.iter().map(|record| record["id"].as_str().unwrap().replace("0", "")).collect()
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = twinlog(&["findings", "--help"]).assert_fine();
    for line in ["Examples:", "Exit codes:", "  0  ", "  2  ", "  3  ", "list", "show", "ack"] {
        assert!(help.stdout.contains(line), "no {line:?} in: {}", help.stdout);
    }
    for command in ["list", "show", "ack"] {
        let help = twinlog(&["findings", command, "--help"]).assert_fine();
        for word in ["Examples:", "--store", "--from"] {
            assert!(help.stdout.contains(word), "no {word:?} in: {}", help.stdout);
        }
    }
}

#[test]
fn a_scan_is_listed_whatever_its_format() {
    let ndjson = scanned("ndjson");
    let (_dir, lines) = written(&ndjson);
    let (_dir2, object) = written(&scanned("json"));
    let pretty: Value = serde_json::from_str(&scanned("json")).unwrap();
    let (_dir3, pretty) = written(&serde_json::to_string_pretty(&pretty).unwrap());
    let mut first: Option<String> = None;
    for (file, input) in
        [(lines.as_str(), ""), (&object, ""), (&pretty, ""), ("-", ndjson.as_str())]
    {
        let list = ["findings", "list", "--from", file];
        let text = piped(&list, input).assert_fine();
        assert_eq!(text.stdout.lines().count(), 4, "{}", text.stdout);
        assert!(text.stdout.lines().all(|line| line.chars().count() <= 100), "{}", text.stdout);
        assert!(text.stdout.contains("critical  write_conflict"), "{}", text.stdout);
        assert_eq!(*first.get_or_insert(text.stdout.clone()), text.stdout);
        let records = piped(&[&list[..], &["--format", "ndjson"]].concat(), input).assert_fine();
        let mut sorted: Vec<&str> = records.stdout.lines().collect();
        let mut expected: Vec<&str> = ndjson.lines().collect();
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "records are what the scan wrote");
    }
    let json = twinlog(&["findings", "list", "--from", &lines, "--format", "json"]).assert_fine();
    let (_dir4, again) = written(&json.stdout);
    let text = twinlog(&["findings", "list", "--from", &again]).assert_fine();
    assert_eq!(Some(text.stdout), first, "what it writes it can read");
}

#[test]
fn filters_choose_findings() {
    let (_dir, file) = written(&scanned("ndjson"));
    let kinds = |options: &[&str]| -> Vec<String> {
        let list = ["findings", "list", "--from", &file, "--format", "ndjson"];
        let records = twinlog(&[&list[..], options].concat()).assert_fine().records();
        records.iter().map(|record| record["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&[]).len(), 3);
    assert_eq!(kinds(&["--kind", "shared_key"]), ["shared_key"]);
    assert_eq!(kinds(&["--severity", "warning"]), ["divergence", "write_conflict"]);
    assert_eq!(kinds(&["--severity", "info"]).len(), 3);
    assert_eq!(kinds(&["--table", "t.*"]).len(), 3);
    assert_eq!(kinds(&["--table", "u.*"]).len(), 0);
    assert_eq!(kinds(&["--state", "healed"]).len(), 0);
    assert_eq!(kinds(&["--state", "healed,open"]).len(), 3);
    assert_eq!(kinds(&["--limit", "1"]).len(), 1);
    assert_eq!(kinds(&["--limit", "0"]).len(), 0);
    let none = twinlog(&["findings", "list", "--from", &file, "--table", "u.*"]).assert_fine();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "0 lines\n"));
}

#[test]
fn a_store_is_listed_beside_its_writer() {
    let (_dir, path, _store) = store();
    let list = |options: &[&str]| {
        let list = ["findings", "list", "--store", &path];
        twinlog(&[&list[..], options].concat()).assert_fine()
    };
    let ndjson = |options: &[&str]| ids(&list(&[&["--format", "ndjson"], options].concat()));
    assert_eq!(ndjson(&[]), ["cccc", "abcd2", "abcd1"], "the newest first, and none that healed");
    assert_eq!(ndjson(&["--state", "all"]), ["cccc", "bbbb", "abcd2", "abcd1"]);
    assert_eq!(ndjson(&["--state", "healed"]), ["bbbb"]);
    assert_eq!(ndjson(&["--kind", "write_conflict", "--limit", "1"]), ["abcd2"]);
    let folded = list(&[]).stdout;
    assert_eq!(folded.lines().count(), 3, "{folded}");
    assert!(folded.lines().any(|line| line.ends_with(" (+1)")), "{folded}");
    assert_eq!(list(&["--all"]).stdout.lines().count(), 4);
    let cut = list(&["--limit", "1"]);
    assert_eq!(cut.stderr, "1 line, 1 more past --limit\n");
    assert_eq!(list(&["--quiet"]).stderr, "");
    assert!(list(&["--color", "always"]).stdout.contains("\x1b["));
    assert!(!folded.contains('\x1b'));
}

#[test]
fn one_finding_is_shown_by_the_beginning_of_its_id() {
    let (_dir, path, _store) = store();
    let show = |id: &str, options: &[&str]| {
        let show = ["findings", "show", id, "--store", &path];
        twinlog(&[&show[..], options].concat())
    };
    let whole = format!("{:0<32}", "abcd1");
    for id in ["abcd1", "ABCD1", "abcd10", &whole] {
        let text = show(id, &[]).assert_fine().stdout;
        assert!(text.contains(&whole) && text.contains("id=1"), "{text}");
    }
    let json = show("abcd1", &["--format", "json"]).assert_fine();
    let record: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(record["id"], whole.as_str());
    assert_eq!(show("cccc", &["--format", "ndjson"]).assert_fine().records().len(), 1);
    let candidates = ["abcd10", "abcd20", "write_conflict t.x", "hint: give more"];
    show("abcd", &[]).assert_fails(2, &candidates);
    show("abc", &[]).assert_fails(2, &["no id of a finding", "4 to 32 hex digits"]);
    show("wxyz", &[]).assert_fails(2, &["no id of a finding"]);
    show(&format!("{whole}0"), &[]).assert_fails(2, &["no id of a finding"]);
    show("dddd", &[]).assert_fails(2, &["no finding's id begins with dddd", "hint"]);
    let (_dir2, file) = written(&scanned("ndjson"));
    let all = twinlog(&["findings", "list", "--from", &file, "--format", "ndjson"]).records();
    let handover = all.iter().find(|record| record["kind"] == "shared_key").unwrap();
    let id = handover["id"].as_str().unwrap();
    let text = twinlog(&["findings", "show", &id[..8], "--from", &file]).assert_fine().stdout;
    for word in [id, "b-bin.000001", "in a: not shown"] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[test]
fn an_acknowledged_finding_says_by_whom_and_until_when() {
    let (_dir, path, mut store) = store();
    let run =
        |arguments: &[&str]| twinlog(&[&["findings"][..], arguments, &["--store", &path]].concat());
    let ack = ["ack", "abcd1", "--by", "ann", "--why", "ticket 42"];
    let ran = run(&[&ack[..], &["--until", "2999-01-31"]].concat()).assert_fine();
    assert!(ran.stderr.contains("is acknowledged"), "{}", ran.stderr);
    let listed = |state| ids(&run(&["list", "--format", "ndjson", "--state", state]));
    assert_eq!(listed("acknowledged"), ["abcd1"]);
    assert_eq!(listed("open"), ["cccc", "abcd2"]);
    assert_eq!(run(&["list"]).stdout.lines().count(), 4, "states are not folded together");
    let record = &run(&["show", "abcd1", "--format", "ndjson"]).assert_fine().records()[0];
    assert_eq!(record["state"], "acknowledged");
    assert_eq!(record["acknowledgement"]["by"], "ann");
    assert_eq!(record["acknowledgement"]["until"], "2999-02-01T00:00:00Z");
    let text = run(&["show", "abcd1"]).stdout;
    assert!(text.contains("acknowledged by ann at ") && text.contains("ticket 42"), "{text}");
    // The watch goes on, and the finding comes again.
    let again = vec![finding("abcd1", 1, FindingKind::WriteConflict, 1)];
    store.commit(&Batch { now: 2, findings: again, ..Batch::default() }).unwrap();
    assert_eq!(listed("acknowledged"), ["abcd1"]);
    run(&["ack", "--remove", "abcd1"]).assert_fine();
    assert_eq!(listed("acknowledged"), [""; 0]);
    run(&["ack", "--remove", "abcd1"]).assert_fails(2, &["is not acknowledged"]);
    // A short one ends.
    run(&[&ack[..], &["--until", "1ms"]].concat()).assert_fine();
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(listed("acknowledged"), [""; 0]);
}

#[test]
fn wrong_usage_of_ack_is_named() {
    let (_dir, path, _store) = store();
    let ack =
        |options: &[&str]| twinlog(&[&["findings", "ack", "--store", &path][..], options].concat());
    ack(&["abcd1"]).assert_fails(2, &["--by", "--why"]);
    ack(&["abcd1", "--by", "ann"]).assert_fails(2, &["--why"]);
    ack(&["abcd1", "--by", "ann", "--why", " "]).assert_fails(2, &["is empty"]);
    let given = ["abcd1", "--by", "ann", "--why", "x"];
    for until in ["soon", "2027-02-30", "7"] {
        ack(&[&given[..], &["--until", until]].concat()).assert_fails(2, &["30d or 12h"]);
    }
    ack(&[&given[..], &["--until", "2020-01-01"]].concat()).assert_fails(2, &["in the past"]);
    ack(&["abcd", "--by", "ann", "--why", "x"]).assert_fails(2, &["more than one finding"]);
    ack(&["--remove", "abcd1", "--by", "ann"]).assert_fails(2, &["--remove"]);
    let (_dir2, file) = written(&scanned("ndjson"));
    let from = ["findings", "ack", "abcd1", "--by", "ann", "--why", "x", "--from", &file];
    twinlog(&from).assert_fails(2, &["cannot be acknowledged", "hint: --store FILE"]);
}

#[test]
fn bad_input_is_named() {
    let list = |options: &[&str]| twinlog(&[&["findings", "list"][..], options].concat());
    list(&[]).assert_fails(2, &["--store"]);
    list(&["--store", "a", "--from", "b"]).assert_fails(2, &["cannot be used with"]);
    list(&["--from", "-", "--table", "x"]).assert_fails(2, &["x"]);
    list(&["--from", "-", "--kind", "conflict"]).assert_fails(2, &["write_conflict"]);
    list(&["--store", "/nowhere/x.db"]).assert_fails(2, &["no store at /nowhere/x.db", "hint"]);
    list(&["--from", "/nowhere/x"]).assert_fails(2, &["/nowhere/x", "hint"]);
    let (_dir, path) = written("no store, and no finding either");
    list(&["--store", &path]).assert_fails(3, &["is no store of twinlog", "hint"]);
    list(&["--from", &path]).assert_fails(3, &["findings:1: no finding", "hint"]);
    let cut = scanned("ndjson");
    let (_dir2, path) = written(&cut[..cut.len() - 10]);
    list(&["--from", &path]).assert_fails(3, &["findings:3: no finding"]);
    let (_dir3, path) = written("{\"findings\": [{\"id\": 1}]}");
    list(&["--from", &path]).assert_fails(3, &["findings[1]: no finding"]);
    assert_eq!(piped(&["findings", "list", "--from", "-"], "").assert_fine().stdout, "");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_dir4, path) = written(&scanned("ndjson"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    let output = command.args(["findings", "list", "--from", &path]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn of_a_watchs_lines_the_last_state_of_a_finding_counts() {
    let first = finding("abcd", 1, FindingKind::Divergence, 1).record;
    let healed = first.replace("\"open\"", "\"healed\"");
    let (_dir, path) = written(&format!("{first}\n{healed}\n"));
    let list = ["findings", "list", "--from", &path, "--format", "ndjson", "--state", "all"];
    let records = twinlog(&list).assert_fine().records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["state"], "healed");
}

#[test]
fn many_findings_are_listed_page_by_page() {
    let dir = directory();
    let path = dir.path().join("twinlog.db");
    let mut store = Store::open(&path).unwrap();
    let count = 20_001;
    let kind = FindingKind::WriteConflict;
    let some: Vec<StoredFinding> = (0..250).map(|n| finding("", n, kind, n % 60)).collect();
    let of = |n: u32| {
        let some = &some[n as usize % some.len()];
        let id = format!("{n:032x}");
        let record = some.record.replacen(&some.id, &id, 1);
        StoredFinding { id, record, ..some.clone() }
    };
    let findings = (0..count).map(of).collect();
    store.commit(&Batch { now: 1, findings, ..Batch::default() }).unwrap();
    let path = path.display().to_string();
    let ran = twinlog(&["findings", "list", "--store", &path]).assert_fine();
    assert!(ran.stdout.lines().count() > 200, "{}", ran.stderr);
    let list = ["findings", "list", "--store", &path, "--format", "ndjson"];
    assert_eq!(twinlog(&list).assert_fine().stdout.lines().count(), count as usize);
}

/// Which file the writer of the next test writes.
const STORE_VARIABLE: &str = "TWINLOG_TEST_STORE";

/// The writer of the next test, in a process of its own: numbered commits until it is killed.
#[test]
#[ignore = "runs until it is killed; a_killed_writer_leaves_a_whole_store runs it"]
#[expect(clippy::disallowed_methods, reason = "how a test speaks to its own second process")]
fn writes_until_it_is_killed() {
    let Ok(path) = std::env::var(STORE_VARIABLE) else { return };
    let mut store = Store::open(Path::new(&path)).unwrap();
    let first = store.checkpoints().unwrap().first().map_or(0, |at| at.offset);
    for number in first + 1.. {
        let of = |n: u64| {
            let finding = finding("", 1, FindingKind::WriteConflict, 1);
            StoredFinding { id: format!("{:032x}", number * 10 + n), ..finding }
        };
        let checkpoint = Checkpoint {
            node: "a".to_owned(),
            file: "a-bin.000001".to_owned(),
            start: 4,
            offset: number,
            last: String::new(),
            gtid_set: String::new(),
            heads: String::new(),
            purged: String::new(),
            committed_at: 0,
        };
        let findings = (0..10).map(of).collect();
        let batch = Batch { now: 1, findings, checkpoints: vec![checkpoint] };
        let write = |into: &mut dyn Write| into.write_all(&number.to_be_bytes());
        store.commit_with(&batch, Some(Memory { form: "numbers", write: &write })).unwrap();
        eprintln!("committed {number}");
    }
}

#[test]
fn a_killed_writer_leaves_a_whole_store() {
    let dir = directory();
    let path: PathBuf = dir.path().join("twinlog.db");
    let mut before = 0;
    for round in 0..4 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(STORE_VARIABLE, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Some commits, and then in the middle of one, at another place each time.
        let mut stderr = writer.stderr.take().unwrap();
        let mut said = [0; 12];
        for _ in 0..5 + round {
            stderr.read_exact(&mut said).unwrap();
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        writer.kill().unwrap();
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        writer.wait().unwrap();
        let store = Store::look(&path).unwrap();
        let at = store.checkpoints().unwrap()[0].offset;
        assert!(at > before, "{at} {before}");
        before = at;
        let mut count = 0;
        let take = |_| {
            count += 1;
            true
        };
        store.each(&Default::default(), 1, |_| true, take).unwrap();
        assert_eq!(count, 10 * at, "findings and checkpoint agree");
        let told = rest.lines().filter_map(|line| line.strip_prefix("committed ")?.parse().ok());
        let told: u64 = told.max().unwrap_or(0);
        assert!(at >= told, "what was told is there: {told} {at}");
        drop(store);
        let path = path.display().to_string();
        let list = ["findings", "list", "--store", &path, "--format", "ndjson"];
        let listed = twinlog(&list).assert_fine().stdout.lines().count();
        assert_eq!(listed as u64, count);
    }
}
