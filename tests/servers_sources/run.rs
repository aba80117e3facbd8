//! `twinlog`, as a person runs it.

use crate::support::lab::Lab;
use serde_json::Value;
use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The findings of a scan as NDJSON, sorted by id.
    pub(crate) fn findings(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        let mut findings: Vec<Value> =
            lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        findings.sort_by_key(|finding| finding["id"].to_string());
        findings
    }

    /// Kind, key and id of all findings.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = |of: &Value| format!("{} {} {}", of["kind"], of["key"], of["id"]);
        self.findings().iter().map(told).collect()
    }

    #[track_caller]
    pub(crate) fn assert_says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        // Lines are broken where there is room.
        let text = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(text.contains(word), "no {word:?} in: {}", self.stderr);
        }
        assert!(!text.contains("panicked"), "{text}");
    }
}

fn command(arguments: &[&str], password: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.args(arguments).stdin(Stdio::null()).env_remove("MYSQL_PWD");
    if let Some(password) = password {
        command.env("MYSQL_PWD", password);
    }
    command
}

/// Runs it with the password of the lab's account in the environment.
pub(crate) fn twinlog(arguments: &[&str]) -> Ran {
    Ran::of(command(arguments, Some(Lab::PASSWORD)).output().unwrap())
}

/// Runs it with another one, or none.
pub(crate) fn twinlog_with(password: Option<&str>, arguments: &[&str]) -> Ran {
    Ran::of(command(arguments, password).output().unwrap())
}

/// Runs it beside the test.
pub(crate) fn spawn(arguments: &[&str]) -> thread::JoinHandle<Ran> {
    let mut command = command(arguments, Some(Lab::PASSWORD));
    thread::spawn(move || Ran::of(command.output().unwrap()))
}

/// Runs it with something on standard input.
pub(crate) fn twinlog_fed(input: Vec<u8>, arguments: &[&str]) -> Ran {
    let mut command = command(arguments, None);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended before it has read all.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let ran = Ran::of(child.wait_with_output().unwrap());
    writer.join().unwrap();
    ran
}

pub(crate) fn source(node: &str, path: &Path) -> String {
    format!("{node}={}", path.display())
}

pub(crate) fn files(lab: &Lab, node: &str) -> String {
    source(node, lab.binlog_dir(node))
}

pub(crate) fn server(lab: &Lab, node: &str) -> String {
    format!("{node}={}", lab.url(node))
}

/// A scan as NDJSON.
pub(crate) fn scan(sources: &[&str]) -> Ran {
    twinlog(&[&["scan", "--format", "ndjson"], sources].concat())
}

/// What a scan of the files says.
pub(crate) fn scan_of_files(lab: &Lab) -> Ran {
    let ran = scan(&[&files(lab, "a"), &files(lab, "b")]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    ran
}

/// The id of the write conflict on a row.
pub(crate) fn conflict_on(ran: &Ran, id: u64) -> Value {
    let is_it = |of: &Value| of["kind"] == "write_conflict" && of["key"]["id"] == id;
    let found = ran.findings().into_iter().find(is_it);
    found.unwrap_or_else(|| panic!("no conflict on {id}: {}", ran.stdout))
}

/// Explains a finding, as JSON, of what a scan has printed.
pub(crate) fn explain(ran: &Ran, finding: &Value, sources: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("findings.ndjson");
    std::fs::write(&file, &ran.stdout).unwrap();
    let (id, file) = (finding["id"].as_str().unwrap(), file.to_str().unwrap());
    let options = ["findings", "explain", id, "--from", file, "--format", "json"];
    twinlog(&[&options, sources].concat())
}
