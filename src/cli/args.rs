//! The command line.

use super::findings_args::FindingsCommand;
use crate::{
    config::parse_duration,
    model::{FindingKind, Severity},
};
use clap::{Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};

/// Reports which writes broke the rules of a MySQL/MariaDB master-master pair, exactly.
///
/// twinlog reads the binary logs of masters that replicate to each other, attributes every row
/// to the node it came from, and reports writes outside a node's tables or rows and the same key
/// written on both sides at once. It never writes to a master.
#[derive(Parser, Debug)]
#[command(version, propagate_version = true, max_term_width = 100, after_help = HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Say less: no summary, no progress
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Scan historical binlogs, one source per node
    #[command(after_help = SCAN_HELP)]
    Scan(ScanArgs),
    /// Follow live masters and report findings as they happen
    #[command(after_help = WATCH_HELP)]
    Watch(WatchArgs),
    /// Look findings up, in a store or in what a scan has written
    #[command(after_help = FINDINGS_HELP)]
    Findings {
        #[command(subcommand)]
        command: FindingsCommand,
    },
    /// Write keys and columns of all tables, for scans without a server
    #[command(after_help = SCHEMA_HELP)]
    Schema(SchemaArgs),
    /// Ask a watch whether it is well, as a container's health check does
    #[command(after_help = HEALTH_HELP)]
    Health(HealthArgs),
}

const HELP: &str = "\
Examples:
  twinlog scan a=/var/lib/mysql-a b=/var/lib/mysql-b
  twinlog watch --config twinlog.toml";

const SCAN_HELP: &str = "\
Examples:
  twinlog scan a=/var/lib/mysql-a b=/var/lib/mysql-b
  twinlog scan --config twinlog.toml a=/backup/a 'b=/backup/b/mysql-bin.0000*.zst'
  twinlog scan --config twinlog.toml a=mysql://twinlog@10.0.0.1:3306 b=/backup/b
  zcat /backup/a/bin.0*.gz | twinlog scan a=- b=/backup/b
  twinlog scan --format ndjson --kind write_conflict a=DIR b=DIR | jq .message
  twinlog scan --report report.html --format ndjson a=DIR b=DIR > findings.ndjson

Exit codes:
  0  nothing at or above --fail-on
  1  findings at or above --fail-on
  2  wrong usage or configuration
  3  the input could not be verified whole; findings so far are printed";

const WATCH_HELP: &str = "\
Examples:
  twinlog watch --config twinlog.toml
  twinlog watch --config twinlog.toml --format text
  twinlog watch --config twinlog.toml --live

Findings go to stdout, the log to stderr. Served on watch.listen (http://127.0.0.1:9477):
  /          the status page
  /metrics   for Prometheus
  /healthz   200 while the process is alive
  /readyz    200 when every node is connected and caught up with, else 503 and why

SIGTERM and SIGINT end it within 5 seconds. SIGHUP reads FILE again.";

const FINDINGS_HELP: &str = "\
Examples:
  twinlog findings list --store /var/lib/twinlog/twinlog.db
  twinlog findings show 3f2a9c --store /var/lib/twinlog/twinlog.db
  twinlog scan --format ndjson a=DIR b=DIR | twinlog findings list --from -

Exit codes:
  0  done
  2  wrong usage: no such finding, more than one, no such store
  3  a store or file that cannot be read";
const SCHEMA_HELP: &str = "\
Examples:
  twinlog schema --config twinlog.toml > schema.json
  twinlog scan --schema schema.json a=/backup/a b=/backup/b

The accounts need SELECT on the tables. Nodes that define a table differently each have an entry.";

const HEALTH_HELP: &str = "\
Examples:
  twinlog health
  twinlog health --url http://127.0.0.1:9477/healthz

Exit codes:
  0  the answer is a 2xx
  1  any other answer, or none within 2 seconds
  2  no such URL";

#[derive(clap::Args, Debug)]
pub(super) struct HealthArgs {
    /// What to ask; plain HTTP
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9477/readyz")]
    pub(super) url: String,
}

#[derive(clap::Args, Debug)]
pub(super) struct SchemaArgs {
    /// Nodes with their urls (twinlog.toml)
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

#[derive(clap::Args, Debug)]
pub(super) struct ScanArgs {
    /// Node and binlogs: a directory, a file (also .gz, .zst), a pattern, a server as
    /// mysql://user@host:port, or - for standard input; repeat for more
    #[arg(value_name = "NODE=SOURCE", required = true, value_parser = source)]
    pub(super) sources: Vec<(String, PathBuf)>,
    /// Ownership rules and names (twinlog.toml)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Keys and columns of the tables, as twinlog schema writes them
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
    /// Where a stream shows no copies: how far apart writes of one row may be committed that did
    /// not know of each other
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(super) window: Duration,
    /// How findings are printed
    #[arg(long, default_value = "text")]
    pub(super) format: Format,
    /// Also write a report, one HTML file, with the values of the rows
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Only these kinds of findings
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub(super) kind: Vec<FindingKind>,
    /// Only tables that match these globs over schema.table
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(super) table: Vec<String>,
    /// The severity from which findings make the exit code 1
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    pub(super) fail_on: FailOn,
}

#[derive(clap::Args, Debug)]
pub(super) struct WatchArgs {
    /// Nodes, rules and where to listen (twinlog.toml)
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// How findings are printed
    #[arg(long, default_value = "ndjson")]
    pub(super) format: WatchFormat,
    /// Show streams and findings on the terminal, redrawn as things change; q ends it
    #[arg(long, conflicts_with = "format")]
    pub(super) live: bool,
    /// Say more in the log
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// How the log is written: lines for people, or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "live")]
    pub(super) log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Ndjson,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum WatchFormat {
    Text,
    Ndjson,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum FailOn {
    Info,
    Warning,
    Critical,
}

impl FailOn {
    pub(super) fn severity(self) -> Severity {
        match self {
            FailOn::Info => Severity::Info,
            FailOn::Warning => Severity::Warning,
            FailOn::Critical => Severity::Critical,
        }
    }
}

pub(super) fn source(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((node, source)) if !node.is_empty() && !source.is_empty() => {
            Ok((node.to_owned(), PathBuf::from(source)))
        }
        _ => Err("write NODE=SOURCE, for example a=/var/lib/mysql".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

pub(super) fn kind(word: &str) -> Result<FindingKind, String> {
    FindingKind::parse(word).ok_or_else(|| {
        let known: Vec<_> = FindingKind::ALL.into_iter().map(FindingKind::as_str).collect();
        format!("no such kind; the kinds are {}", known.join(", "))
    })
}
