//! `twinlog watch` with a store, beside real masters: nothing is told twice over a restart, and
//! acknowledgements show.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod support;

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::lab::{Lab, Server};

/// How long anything here may take before the test has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A watch that runs; killed with the test.
struct Watch {
    child: Child,
    findings: PathBuf,
    log: PathBuf,
}

impl Watch {
    fn start(lab: &Lab, round: u32) -> Watch {
        let path = |name: &str| lab.dir().join(format!("{name}-{round}"));
        let (findings, log) = (path("findings"), path("log"));
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(config(lab))
            .stdout(File::create(&findings).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Watch { child, findings, log }
    }

    /// What it has told so far.
    fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.findings).unwrap();
        // The last line may still be on its way.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for something, which is looked at every moment.
    fn until(&mut self, what: &str, mut done: impl FnMut(&[Value]) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(&self.told()) {
            let log = fs::read_to_string(&self.log).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "the watch has ended: {log}");
            assert!(Instant::now() < deadline, "{what}: {:#?}\n{log}", self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn store(lab: &Lab) -> String {
    lab.dir().join("twinlog.db").display().to_string()
}

/// Over sockets; with the first rows of the logs again at every start.
fn config(lab: &Lab) -> PathBuf {
    let url = |node: &str| {
        let socket = lab.node(node).socket.display().to_string();
        format!("[nodes.{node}]\nurl = \"mysql://root@localhost?socket={socket}\"\n")
    };
    let path = lab.dir().join("watch.toml");
    let watch = "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\n";
    let text = format!("{}{}{watch}store = \"{}\"\n", url("a"), url("b"), store(lab));
    fs::write(&path, text).unwrap();
    path
}

fn findings(lab: &Lab, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.arg("findings").args(arguments).args(["--store", &store(lab)]).output().unwrap()
}

/// All findings in the store.
fn stored(lab: &Lab) -> Vec<Value> {
    let output = findings(lab, &["list", "--state", "all", "--format", "ndjson"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn conflicts(findings: &[Value]) -> Vec<(&Value, &Value)> {
    let conflicts = findings.iter().filter(|finding| finding["kind"] == "write_conflict");
    conflicts.map(|finding| (&finding["key"]["id"], &finding["outcome"])).collect()
}

#[test]
fn what_was_told_before_a_crash_is_told_once() {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.settle();
    lab.idempotent();
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x VALUES (1, '{node}'), (2, '{node}')"));
    }
    let mut watch = Watch::start(&lab, 1);
    watch.until("two conflicts", |told| conflicts(told).len() == 2);
    let told = watch.told();
    assert_eq!(stored(&lab).len(), told.len(), "what was told is kept");
    let second = Command::new(env!("CARGO_BIN_EXE_twinlog"))
        .args(["watch", "--config"])
        .arg(config(&lab))
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{said}");
    let process = format!("in use by another twinlog (process {})", watch.child.id());
    assert!(said.contains(&process), "{said}");
    let id = told.iter().find(|finding| finding["key"]["id"] == 1).unwrap()["id"].clone();
    let id = id.as_str().unwrap();
    let ack = findings(&lab, &["ack", id, "--by", "ann", "--why", "known"]);
    assert!(ack.status.success(), "{ack:?}");

    // Killed, as by a crash; the next one reads the same logs from their beginning.
    drop(watch);
    let mut watch = Watch::start(&lab, 2);
    lab.start_replication();
    lab.settle();
    lab.sql("a", "INSERT INTO t.x VALUES (3, 'a')");
    lab.settle();
    watch.until("both conflicts settled", |_| {
        conflicts(&stored(&lab)).iter().all(|(_, outcome)| *outcome != "pending")
    });
    watch.until("the change told", |told| conflicts(told).len() == 2);
    let again = watch.told();
    assert!(conflicts(&again).iter().all(|(_, outcome)| **outcome != "pending"), "{again:#?}");
    for finding in &again {
        let state = if finding["id"] == id { "acknowledged" } else { "open" };
        assert_eq!(finding["state"], state, "{finding}");
        let same = |other: &&Value| {
            ["id", "certainty", "outcome"].iter().all(|field| other[field] == finding[field])
        };
        assert_eq!(told.iter().find(same), None, "told twice");
    }
}
