//! Recorded binlogs, and scans of files inside the test's own process.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file compiles this as a part of itself, and uses a part of it"
)]

use std::path::{Path, PathBuf};

use twinlog::app::scan::{Scan, ScanError, ScanInput, ScanSink};
use twinlog::config::Config;
use twinlog::model::{Finding, Nodes};
use twinlog::report::Record;

/// Where the recorded binlogs are.
pub fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// The directories of all recorded scenarios, by name.
pub fn samples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(recorded()).expect("tests/recorded");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut samples: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    samples.sort();
    samples
}

/// What a scan said.
#[derive(Debug, Default)]
pub struct Said {
    /// Every finding, in the order told.
    pub findings: Vec<Record>,
    /// What kept it from reading on, as stderr shows it. With any, the exit code is 3.
    pub errors: Vec<String>,
}

impl Said {
    /// Findings that are more than an `info`.
    pub fn alarms(&self) -> impl Iterator<Item = &Record> {
        self.findings.iter().filter(|finding| finding.severity != "info")
    }
}

/// Scans the sources of nodes a and b without a configuration.
pub fn scan(a: &Path, b: &Path) -> Said {
    let sources = vec![("a".to_owned(), a.to_owned()), ("b".to_owned(), b.to_owned())];
    let input = ScanInput {
        sources,
        config: Config::default(),
        schema: None,
        window: std::time::Duration::from_secs(5),
    };
    let scan = match Scan::prepare(input) {
        Ok(scan) => scan,
        Err(ScanError::Feed(error)) => {
            return Said { errors: vec![error.to_string()], ..Said::default() };
        }
        Err(error @ ScanError::Usage(_)) => panic!("{}: {error}", a.display()),
    };
    let mut collector = Collector { nodes: scan.nodes().clone(), findings: Vec::new() };
    let end = scan.run(&mut collector).expect("no rules, so all of them compile");
    Said {
        findings: collector.findings,
        errors: end.errors.iter().map(ToString::to_string).collect(),
    }
}

struct Collector {
    nodes: Nodes,
    findings: Vec<Record>,
}

impl ScanSink for Collector {
    fn finding(&mut self, finding: &Finding) {
        self.findings.push(Record::new(finding, &self.nodes));
    }

    fn progress(&mut self, _bytes: u64) {}
}
