//! `twinlog scan`.

use super::{
    Exit,
    args::{Format, ScanArgs},
    complain,
};
use crate::{
    app::{
        filter::{Fate, Filter},
        scan::{Scan, ScanEnd, ScanError, ScanInput, ScanSink},
        scan_report::ScanReportFile,
    },
    config::{Config, SchemaFile},
    model::{Finding, NodeIndex, Nodes, Severity, Transaction},
    report::{Counts, Record, Summary, finding_text, summary_text, terminal::clean_json},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    time::{Duration, Instant},
};

pub(super) fn run(args: ScanArgs, quiet: bool, colour: bool) -> Exit {
    match try_run(args, quiet, colour) {
        Ok(exit) => exit,
        Err(error) => {
            complain(&error);
            Exit::Usage
        }
    }
}

fn try_run(args: ScanArgs, quiet: bool, colour: bool) -> anyhow::Result<Exit> {
    let config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let schema = args.schema.as_deref().map(SchemaFile::load).transpose()?;
    let mut report =
        args.report.map(|path| ScanReportFile::new(path, &args.kind, &args.table)).transpose()?;
    let filter = Filter::new(args.kind, &args.table, &config.suppress)?;
    let named = args.sources.clone();
    let (sources, window) = (args.sources, args.window);
    let scan = match Scan::prepare(ScanInput { sources, config, schema, window }) {
        Ok(scan) => scan,
        Err(ScanError::Usage(error)) => anyhow::bail!(error),
        Err(ScanError::Feed(error)) => {
            complain(&error);
            if let Some(report) = report {
                tell(report.write_unread(error.to_string()));
            }
            return Ok(Exit::Incomplete);
        }
    };
    if let Some(report) = &mut report {
        report.begin(&scan, &named)?;
    }
    let started = now();
    let bar = progress_bar(scan.total_bytes(), quiet);
    let mut printer = Printer {
        nodes: scan.nodes().clone(),
        filter,
        today: jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date(),
        format: args.format,
        colour,
        out: BufWriter::new(io::stdout().lock()),
        failed: None,
        counts: Counts::new(),
        suppressed: 0,
        printed: 0,
        worst: None,
        shares_terminal: io::stdout().is_terminal() && !bar.is_hidden(),
        bar,
        report,
    };
    printer.open();
    let end = scan.run(&mut printer)?;
    printer.bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    Ok(printer.close(end, seconds, quiet, args.fail_on.severity()))
}

/// Tells what went wrong with the report; true when nothing did.
fn tell(written: anyhow::Result<()>) -> bool {
    written.inspect_err(|error| complain(error)).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "the clock of the summary")]
fn now() -> Instant {
    Instant::now()
}

/// A progress bar on a terminal's stderr, never on a pipe; without an end where that is not known.
fn progress_bar(bytes: Option<u64>, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let Some(bytes) = bytes else {
        let style = ProgressStyle::with_template("{spinner} {binary_bytes} {binary_bytes_per_sec}");
        let style = style.unwrap_or(ProgressStyle::default_spinner());
        return ProgressBar::new_spinner().with_style(style);
    };
    let template =
        "{bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

/// How far the report's evidence is, on a terminal's stderr, never on a pipe.
fn evidence_bar(quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} reading evidence {pos}/{len}, {elapsed}");
    let style = style.unwrap_or(ProgressStyle::default_spinner());
    let bar = ProgressBar::new(0).with_style(style);
    // One finding's evidence in a packed file takes seconds: the spinner shows that it goes on.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints findings as they settle.
struct Printer {
    nodes: Nodes,
    filter: Filter,
    today: jiff::civil::Date,
    format: Format,
    colour: bool,
    out: BufWriter<StdoutLock<'static>>,
    /// The first write that failed; after it nothing more is printed.
    failed: Option<io::Error>,
    counts: Counts,
    suppressed: u64,
    printed: u64,
    worst: Option<Severity>,
    bar: ProgressBar,
    /// Findings go to the terminal that the bar is on: it makes room for them.
    shares_terminal: bool,
    report: Option<ScanReportFile>,
}

impl ScanSink for Printer {
    fn finding(&mut self, finding: &Finding) {
        match self.filter.fate(finding, self.today) {
            Fate::Filtered => return,
            Fate::Suppressed => {
                self.suppressed += 1;
                return;
            }
            Fate::Told => {}
        }
        *self.counts.entry((finding.kind, finding.severity)).or_default() += 1;
        self.worst = self.worst.max(Some(finding.severity));
        if let Some(report) = &mut self.report {
            report.finding(finding);
        }
        let text = match self.format {
            Format::Text => finding_text(finding, &self.nodes, self.colour) + "\n",
            Format::Ndjson => self.json(finding) + "\n",
            Format::Json => {
                let comma = if self.printed > 0 { ",\n" } else { "\n" };
                format!("{comma}{}", self.json(finding))
            }
        };
        self.printed += 1;
        match self.shares_terminal {
            true => self.bar.clone().suspend(|| {
                self.print(&text);
                self.flush();
            }),
            false => self.print(&text),
        }
    }

    fn transaction(&mut self, stream: NodeIndex, transaction: &Transaction) {
        if let Some(report) = &mut self.report {
            report.transaction(stream, transaction);
        }
    }

    fn progress(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

impl Printer {
    fn json(&self, finding: &Finding) -> String {
        let json = serde_json::to_string(&Record::new(finding, &self.nodes));
        clean_json(&json.unwrap_or_default())
    }

    fn print(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text.as_bytes()).err();
        }
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.flush().err();
        }
    }

    fn open(&mut self) {
        if self.format == Format::Json {
            self.print("{\"findings\":[");
        }
    }

    /// Prints the end and tells how the scan ended.
    fn close(mut self, end: ScanEnd, seconds: f64, quiet: bool, fail_on: Severity) -> Exit {
        let incomplete: Vec<String> = end.errors.iter().map(ToString::to_string).collect();
        let mut is_whole = incomplete.is_empty();
        let coverage = end.verifier.coverage();
        let summary =
            Summary::new(coverage, &self.nodes, &self.counts, end.bytes, seconds, incomplete);
        if self.format == Format::Json {
            let summary = serde_json::to_string(&summary).unwrap_or_default();
            self.print(&format!("\n],\n\"summary\":{}}}\n", clean_json(&summary)));
        }
        self.flush();
        if !quiet {
            eprint!("{}", summary_text(&summary));
            if self.suppressed > 0 {
                eprintln!("  suppressed by the configuration: {}", self.suppressed);
            }
        } else {
            summary.incomplete.iter().for_each(|line| complain(line));
        }
        if let Some(report) = self.report.take() {
            let bar = evidence_bar(quiet);
            let mut begun = |at: usize, of: usize| {
                bar.set_length(of as u64);
                bar.set_position(at as u64);
            };
            let written = report.write(&summary, &end, self.suppressed, &mut begun);
            bar.finish_and_clear();
            is_whole &= tell(written);
        }
        match &self.failed {
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Incomplete,
            Some(error) => {
                complain(&format!("cannot write findings: {error}"));
                return Exit::Incomplete;
            }
            None => {}
        }
        if !is_whole {
            Exit::Incomplete
        } else if self.worst >= Some(fail_on) {
            Exit::Findings
        } else {
            Exit::Clean
        }
    }
}
