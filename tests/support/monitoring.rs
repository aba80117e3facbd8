//! Prometheus and Alertmanager with the repository's rules, started by `scripts/monitoring`.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file compiles this as a part of itself, and uses a part of it"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// The rules, from the repository's root.
pub const RULES: &str = "dashboards/prometheus/twinlog.rules.yml";

/// A file or directory of the repository.
pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where the programs are, by name: `PROMETHEUS`, `PROMTOOL`, `ALERTMANAGER`, `AMTOOL`. They are
/// unpacked where they are missing.
pub fn programs() -> BTreeMap<String, PathBuf> {
    let printed = run(&["install"]);
    printed.into_iter().map(|(name, path)| (name, PathBuf::from(path))).collect()
}

/// A running Prometheus that scrapes and evaluates every second, with an Alertmanager; ended when
/// dropped, and when this process ends.
pub struct Monitoring {
    dir: PathBuf,
    facts: BTreeMap<String, String>,
}

impl Monitoring {
    /// Starts both in `dir`, to scrape `target` (host and port) and to tell `webhook`, a URL.
    pub fn start(dir: &Path, target: &str, webhook: &str) -> Monitoring {
        let owner = std::process::id().to_string();
        let path = dir.to_str().expect("a path in UTF-8");
        let options = ["--target", target, "--webhook", webhook, "--owner", &owner];
        let facts = run(&[&["start", path], &options[..]].concat());
        Monitoring { dir: dir.to_owned(), facts }
    }

    /// The address of Prometheus: host and port.
    pub fn prometheus(&self) -> &str {
        self.facts["PROMETHEUS_URL"].trim_start_matches("http://")
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        // No panic here, one may be on its way; the scripts ends both with this process, too.
        let _ = Command::new(root("scripts/monitoring")).arg("stop").arg(&self.dir).status();
    }
}

/// Runs `scripts/monitoring`; returns the `NAME=VALUE` lines that it prints.
fn run(arguments: &[&str]) -> BTreeMap<String, String> {
    let mut command = Command::new(root("scripts/monitoring"));
    let output = command.args(arguments).output().expect("scripts/monitoring runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{message}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let facts = text.lines().filter_map(|line| line.split_once('='));
    facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
