//! The report of a scan: one HTML file, written at its end.

mod collector;
#[cfg(test)]
mod tests;

pub use collector::{EVIDENCE_MAX, EVIDENCE_TIME_MAX, LISTED_MAX};

use super::{
    scan::{Scan, ScanEnd},
    sources::EvidenceSources,
};
use crate::{
    config::Config,
    engine::Coverage,
    model::{Finding, FindingKind, NodeIndex, Nodes, Transaction},
    report::{Counts, Summary},
};
use collector::Collector;
use std::{
    io::{self, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::NamedTempFile;

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write the report {}: {source}\n  hint: --report names a file, new or regular, \
     in a directory that exists and that you may write to", .path.display()
)]
pub struct ReportError {
    path: PathBuf,
    source: io::Error,
}

/// The report of a scan, from before it begins.
pub struct ScanReportFile {
    path: PathBuf,
    collector: Collector,
    config: Config,
    files: Vec<(String, Vec<(String, u64)>)>,
    sources: EvidenceSources,
    wanted: Vec<String>,
}

/// What the report says beside what was collected.
struct ScanFacts<'a> {
    summary: &'a Summary,
    coverage: &'a Coverage,
    config: &'a Config,
    files: Vec<(String, Vec<(String, u64)>)>,
    sources: &'a EvidenceSources,
    wanted: Vec<String>,
    suppressed: u64,
}

/// The reading of evidence, as it goes on.
struct Reading<'a> {
    /// How long it has taken so far.
    elapsed: &'a dyn Fn() -> Duration,
    /// Told before each: which it is, from 1, and of how many.
    begun: &'a mut dyn FnMut(usize, usize),
}

impl ScanReportFile {
    /// A report of the findings of some kinds, and about some tables; of all where none are given.
    ///
    /// # Errors
    /// A file that could not be written: better known before the scan than after it.
    pub fn new(
        path: PathBuf,
        kinds: &[FindingKind],
        tables: &[String],
    ) -> Result<Self, ReportError> {
        // It is gone again at once.
        drop(new_file(&path)?);
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let wanted = [("kind", kinds.join(", ")), ("table", tables.join(", "))];
        let wanted = wanted.into_iter().filter(|(_, words)| !words.is_empty());
        Ok(ScanReportFile {
            path,
            collector: Collector::new(Nodes::default()),
            config: Config::default(),
            files: Vec::new(),
            sources: EvidenceSources::default(),
            wanted: wanted.map(|(what, words)| format!("{what} {words}")).collect(),
        })
    }

    /// Takes note of what will be scanned: `named` are the sources of the command line.
    ///
    /// # Errors
    /// Sources that cannot be read.
    pub fn begin(&mut self, scan: &Scan, named: &[(String, PathBuf)]) -> anyhow::Result<()> {
        self.collector = Collector::new(scan.nodes().clone());
        self.config = scan.config().clone();
        self.files = scan.files();
        // What was scanned proves it: no other server is asked.
        self.sources = EvidenceSources::of_scan(named, scan.config())?;
        Ok(())
    }

    /// Takes a finding in its last state.
    pub fn finding(&mut self, finding: &Finding) {
        self.collector.finding(finding);
    }

    /// Takes a transaction as a stream shows it.
    pub fn transaction(&mut self, stream: NodeIndex, transaction: &Transaction) {
        self.collector.transaction(stream, transaction);
    }

    /// Writes the report of a scan that has ended, whole or not. `begun` is told before a finding's
    /// evidence is read: which it is, from 1, and of how many.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(
        self,
        summary: &Summary,
        end: &ScanEnd,
        suppressed: u64,
        begun: &mut dyn FnMut(usize, usize),
    ) -> anyhow::Result<()> {
        self.write_covered(summary, end.verifier.coverage(), suppressed, begun)
    }

    /// Writes the report of a scan that could not begin, and why.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_unread(self, error: String) -> anyhow::Result<()> {
        let (coverage, counts) = (Coverage::default(), Counts::new());
        let summary = Summary::new(&coverage, &Nodes::default(), &counts, 0, 0.0, vec![error]);
        self.write_covered(&summary, &coverage, 0, &mut |_, _| ())
    }

    fn write_covered(
        self,
        summary: &Summary,
        coverage: &Coverage,
        suppressed: u64,
        begun: &mut dyn FnMut(usize, usize),
    ) -> anyhow::Result<()> {
        let (config, files, sources) = (&self.config, self.files, &self.sources);
        let wanted = self.wanted;
        let facts = ScanFacts { summary, coverage, config, files, sources, wanted, suppressed };
        #[expect(clippy::disallowed_methods, reason = "bounds the evidence; it judges nothing")]
        let began = Instant::now();
        let mut reading = Reading { elapsed: &|| began.elapsed(), begun };
        let html = self.collector.html(&facts, &mut reading)?;
        Ok(write_whole(&self.path, &html)?)
    }
}

/// Whether a report may take this place: where nothing is, or a regular file.
///
/// # Errors
/// Anything else there. The report is renamed to its place: that would put a file where a device
/// or a socket was, and take a symbolic link away instead of writing where it leads.
fn ensure_replaceable(path: &Path) -> Result<(), ReportError> {
    let fail = |source| ReportError { path: path.to_owned(), source };
    let there = match path.symlink_metadata() {
        Ok(there) => there.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    let what = match there {
        of if of.is_file() => return Ok(()),
        of if of.is_dir() => "a directory",
        of if of.is_symlink() => "a symbolic link",
        of if of.is_socket() => "a socket",
        of if of.is_fifo() => "a pipe",
        of if of.is_block_device() || of.is_char_device() => "a device",
        _ => "no regular file",
    };
    Err(fail(io::Error::other(format!("it is {what}; only a regular file is replaced"))))
}

/// Writes the file whole or not at all, and readable for its owner only, for it holds values of
/// rows. What was there before is replaced.
fn write_whole(path: &Path, html: &str) -> Result<(), ReportError> {
    let fail = |source| ReportError { path: path.to_owned(), source };
    let mut file = new_file(path)?;
    file.write_all(html.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// A new file of mode 0600 beside the report, to be renamed.
fn new_file(path: &Path) -> Result<NamedTempFile, ReportError> {
    let fail = |source| ReportError { path: path.to_owned(), source };
    ensure_replaceable(path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    tempfile::Builder::new().prefix(".twinlog-report-").tempfile_in(directory).map_err(fail)
}
