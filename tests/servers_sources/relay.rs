//! Relay logs: the stream of the server that they were received from.

use crate::{
    run::{Ran, conflict_on, explain, files, scan, source, twinlog},
    support::lab::{Lab, LabOptions, Server},
};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[test]
fn mariadb_relay_logs_are_their_sources_stream() {
    are_their_sources_stream(Server::MariaDb);
}

#[test]
fn mysql_relay_logs_are_their_sources_stream() {
    are_their_sources_stream(Server::MySql);
}

fn are_their_sources_stream(server: Server) {
    let lab = Lab::pair(server);
    let relay = received(&lab);
    let (a, b) = (source("a", &relay), files(&lab, "b"));
    let of_binlogs = scan(&[&files(&lab, "a"), &b]);
    let of_relay = scan(&[&a, &b]);
    same_conflicts(&of_relay, &of_binlogs);
    large_transactions_are_shown(&lab, &of_relay, [&a, &b]);
    one_file_will_do(&relay, &of_relay, &b);
    a_transaction_that_was_sent_again_counts_once(&relay, &of_relay, &b);
    one_that_was_not_received_whole_is_told(&relay, &of_relay, &b);
    what_cannot_be_is_refused(&lab, &relay);
}

fn replica_word(lab: &Lab) -> &'static str {
    match lab.server() {
        Server::MariaDb => "SLAVE",
        Server::MySql => "REPLICA",
    }
}

/// Has b receive conflicts that it does not apply: in several relay logs, the last of them inside
/// of a large transaction where the server begins a new one there.
fn received(lab: &Lab) -> PathBuf {
    lab.sql(
        "a",
        "CREATE DATABASE t;
         CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(3000));
         INSERT INTO t.x VALUES (1, 'one'), (2, 'two')",
    );
    lab.settle();
    let replica = replica_word(lab);
    lab.sql("b", &format!("STOP {replica} SQL_THREAD; SET GLOBAL max_relay_log_size = 4096"));
    let large = |from: u64| -> String {
        let row = |id| format!("INSERT INTO t.x VALUES ({id}, REPEAT('x', 2000));");
        format!("BEGIN; {} COMMIT;", (from..from + 4).map(row).collect::<String>())
    };
    for node in ["a", "b"] {
        lab.sql(node, &format!("UPDATE t.x SET v = '{node}' WHERE id = 1; {}", large(10)));
    }
    lab.sql("a", &format!("FLUSH BINARY LOGS; UPDATE t.x SET v = 'a' WHERE id = 2; {}", large(20)));
    lab.sql("a", "INSERT INTO t.x VALUES (30, 'the last')");
    // Its own transactions, which a does not apply for the conflict, are not in what it receives.
    let relay = lab.binlog_dir("b").parent().unwrap().join("relay");
    until("b has received it all", || holds(&relay, b"the last"));
    relay
}

/// The type of the event that commits.
const XID: u8 = 16;

fn has_text(file: &Path, text: &[u8]) -> bool {
    fs::read(file).unwrap().windows(text.len()).any(|window| window == text)
}

fn holds(dir: &Path, text: &[u8]) -> bool {
    relay_logs(dir).iter().any(|file| has_text(file, text))
}

fn relay_logs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending != "index"));
    files.sort();
    files
}

fn same_conflicts(of_relay: &Ran, of_binlogs: &Ran) {
    let conflicts = |ran: &Ran| -> Vec<String> {
        ran.told().into_iter().filter(|told| told.contains("write_conflict")).collect()
    };
    assert_eq!(of_relay.code, Some(1), "{}", of_relay.stderr);
    assert_eq!(conflicts(of_relay), conflicts(of_binlogs));
    assert_eq!(conflicts(of_relay).len(), 5, "{}", of_relay.stdout);
    let conflict = conflict_on(of_relay, 1);
    assert_eq!(conflict["certainty"], "exact");
    let file = conflict["transactions"][0]["coordinates"]["a"]["file"].as_str().unwrap();
    assert!(file.starts_with("b-relay.0"), "{file}");
    let silent = of_relay.findings().into_iter().find(|of| of["reason"] == "no_copies").unwrap();
    let detail = silent["detail"].as_str().unwrap();
    assert!(detail.contains("relay logs") && detail.contains("server id 2"), "{detail}");
}

/// Also where a relay log ends inside of it.
fn large_transactions_are_shown(lab: &Lab, of_relay: &Ran, sources: [&str; 2]) {
    let relay = lab.binlog_dir("b").parent().unwrap().join("relay");
    for id in 10..14 {
        let explained = explain(of_relay, &conflict_on(of_relay, id), &sources);
        explained.assert_says(0, &[]);
        let row = format!("\"id\":{id}");
        assert!(explained.stdout.contains(&row), "{}", explained.stdout);
    }
    let spans = conflict_on(of_relay, 10)["transactions"][0]["coordinates"]["a"].clone();
    let file = relay.join(spans["file"].as_str().unwrap());
    let is_split = spans["end"].as_u64() == Some(fs::metadata(file).unwrap().len());
    assert_eq!(is_split, lab.server() == Server::MariaDb, "{spans}");
}

/// A copy of relay logs, without the index.
fn copy(relay: &Path) -> TempDir {
    let dir = TempDir::with_prefix("twinlog-relay-").unwrap();
    for file in relay_logs(relay) {
        fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
    }
    dir
}

fn one_file_will_do(relay: &Path, of_relay: &Ran, b: &str) {
    let at = conflict_on(of_relay, 1)["transactions"][0]["coordinates"]["a"].clone();
    let last = relay_logs(relay).pop().unwrap();
    let first = relay.join(at["file"].as_str().unwrap());
    assert_ne!(first, last);
    // The first conflict's relay log, up to the large transaction.
    let dir = TempDir::with_prefix("twinlog-relay-").unwrap();
    let copied = dir.path().join(first.file_name().unwrap());
    fs::write(&copied, &fs::read(&first).unwrap()[..at["end"].as_u64().unwrap() as usize]).unwrap();
    let one = scan(&[&source("a", &copied), b]);
    assert_eq!(one.code, Some(1), "{}", one.stderr);
    assert_eq!(conflict_on(&one, 1)["id"], conflict_on(of_relay, 1)["id"]);
}

/// The length of the event at this offset.
fn event_bytes(file: &[u8], at: usize) -> usize {
    u32::from_le_bytes(file[at + 9..at + 13].try_into().unwrap()) as usize
}

/// As after a lost connection: the beginning of a transaction, and then all of it.
fn a_transaction_that_was_sent_again_counts_once(relay: &Path, of_relay: &Ran, b: &str) {
    let at = conflict_on(of_relay, 1)["transactions"][0]["coordinates"]["a"].clone();
    let start = at["start"].as_u64().unwrap() as usize;
    let dir = copy(relay);
    let file = dir.path().join(at["file"].as_str().unwrap());
    let whole = fs::read(&file).unwrap();
    let gtid = event_bytes(&whole, start);
    let part = start..start + gtid + event_bytes(&whole, start + gtid);
    let mut again = whole[..start].to_vec();
    again.extend(&whole[part.clone()]);
    again.extend(&whole[start..]);
    fs::write(&file, again).unwrap();
    let ran = scan(&[&source("a", dir.path()), b]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.told(), of_relay.told());
    let moved = conflict_on(&ran, 1)["transactions"][0]["coordinates"]["a"].clone();
    assert_eq!(moved["start"].as_u64(), Some((start + part.len()) as u64));
    // The beginning alone, and then another transaction: the rest is missing.
    let end = at["end"].as_u64().unwrap() as usize;
    let lost = [&whole[..part.end], &whole[end..]].concat();
    fs::write(&file, lost).unwrap();
    let words = ["it ends inside transaction", file.file_name().unwrap().to_str().unwrap()];
    scan(&[&source("a", dir.path()), b]).assert_says(3, &words);
}

fn one_that_was_not_received_whole_is_told(relay: &Path, of_relay: &Ran, b: &str) {
    let dir = copy(relay);
    let mut files = relay_logs(dir.path());
    // A later one may have been begun, with nothing in it.
    while !has_text(files.last().unwrap(), b"the last") {
        fs::remove_file(files.pop().unwrap()).unwrap();
    }
    let last = files.pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    let (mut at, mut before) = (4, 4);
    while at < bytes.len() {
        if bytes[at + 4] == XID {
            before = at;
        }
        at += event_bytes(&bytes, at);
    }
    let name = last.file_name().unwrap().to_str().unwrap();
    for cut in [before, before + 10] {
        fs::write(&last, &bytes[..cut]).unwrap();
        let ran = scan(&[&source("a", dir.path()), b]);
        let place = format!("node a: {name} at offset {before}");
        ran.assert_says(3, &[&place, "hint:"]);
        assert_eq!(conflict_on(&ran, 1)["id"], conflict_on(of_relay, 1)["id"]);
    }
}

fn what_cannot_be_is_refused(lab: &Lab, relay: &Path) {
    let [a, b] = ["a", "b"].map(|node| files(lab, node));
    let dir = copy(relay);
    let files = relay_logs(dir.path());
    fs::remove_file(&files[files.len() - 2]).unwrap();
    let missing = twinlog(&["scan", &source("a", dir.path()), &b]);
    missing.assert_says(3, &["the relay logs between", "and this one are missing", "hint: copy"]);
    let own = twinlog(&["scan", &a, &source("b", relay)]);
    own.assert_says(2, &["nodes a and b both have server id 1", "under its name"]);
    let both = twinlog(&["scan", &a, &source("a", relay), &b]);
    both.assert_says(3, &["binlogs and relay logs are given as one stream"]);
    let config = lab.dir().join("ids.toml");
    fs::write(&config, "[nodes.a]\nserver_ids = [1]\n[nodes.b]\nserver_ids = [2]\n").unwrap();
    let config = config.to_str().unwrap();
    let own = twinlog(&["scan", "--config", config, &a, &source("b", relay)]);
    own.assert_says(2, &["node b: its relay logs were sent by server id 1", "hint: relay logs"]);
}

#[test]
fn relay_logs_without_copies_make_no_certain_conflicts_of_a_third_node() {
    let lab = Lab::start(Server::MariaDb, LabOptions { nodes: 3, ..LabOptions::default() });
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(100))");
    lab.sql("a", "INSERT INTO t.x VALUES (1, 'one')");
    lab.settle();
    // a writes over what came from b; to b nothing comes.
    lab.sql("b", "STOP SLAVE SQL_THREAD; UPDATE t.x SET v = 'from b' WHERE id = 1");
    until("a has applied it", || lab.sql("a", "SELECT v FROM t.x").trim() == "from b");
    lab.sql("a", "UPDATE t.x SET v = 'over it' WHERE id = 1");
    let relay = lab.binlog_dir("b").parent().unwrap().join("relay");
    until("b has received it", || holds(&relay, b"over it"));
    let ran = scan(&[&source("a", &relay), &files(&lab, "b"), &files(&lab, "c")]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.told().iter().all(|told| !told.contains("write_conflict")), "{}", ran.stdout);
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not yet: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
