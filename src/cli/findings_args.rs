//! The command line of `twinlog findings`.

use super::{
    args::{FailOn, Format, kind},
    explain::{EXPLAIN_HELP, ExplainArgs, REPAIR_HELP, RepairArgs},
};
use crate::{
    app::until::Until,
    model::{FindingKind, State},
};
use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(super) enum FindingsCommand {
    /// List findings, the newest first
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// Show everything known of one finding
    #[command(after_help = SHOW_HELP)]
    Show(ShowArgs),
    /// Prove a finding: both orders, the rows as each stream has them, and commands that show it
    #[command(after_help = EXPLAIN_HELP)]
    Explain(ExplainArgs),
    /// Print SQL that makes a diverged row what it is on the winner; it is never run
    #[command(after_help = REPAIR_HELP)]
    Repair(RepairArgs),
    /// Take note of a finding, so that it is not open any more
    #[command(after_help = ACK_HELP)]
    Ack(AckArgs),
}

const LIST_HELP: &str = "\
Examples:
  twinlog findings list --store twinlog.db
  twinlog findings list --store twinlog.db --kind write_conflict --table 'shop.*' --limit 20
  twinlog findings list --from scan.ndjson --state all --format ndjson | jq .message

As text, findings of one group (a kind, a table and a transaction) in one state are one line that
ends with how many more there are.";

const SHOW_HELP: &str = "\
Examples:
  twinlog findings show 3f2a9c --store twinlog.db
  twinlog findings show 3f2a9c --from scan.ndjson --format json";

const ACK_HELP: &str = "\
Examples:
  twinlog findings ack 3f2a9c --store twinlog.db --by ann --why 'ticket 42' --until 2027-01-31
  twinlog findings ack 3f2a9c --store twinlog.db --by ann --why 'repaired' --until 7d
  twinlog findings ack --remove 3f2a9c --store twinlog.db";

/// Where to look.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct LookupArgs {
    /// The store of a watch (watch.store), whether that runs or not
    #[arg(long, value_name = "FILE")]
    pub(super) store: Option<PathBuf>,
    /// What scan or watch has written, as NDJSON or JSON; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) lookup: LookupArgs,
    /// Only these kinds of findings
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub(super) kind: Vec<FindingKind>,
    /// Only findings in these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', default_value = "open,acknowledged")]
    state: Vec<StateArg>,
    /// Only tables that match these globs over schema.table
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(super) table: Vec<String>,
    /// Only findings of at least this severity
    #[arg(long, value_name = "SEVERITY")]
    pub(super) severity: Option<FailOn>,
    /// At most so many lines, the newest
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// How findings are printed
    #[arg(long, default_value = "text")]
    pub(super) format: Format,
    /// As text, each finding of a group on a line of its own
    #[arg(long)]
    pub(super) all: bool,
}

impl ListArgs {
    /// The states asked for; empty for all.
    pub(super) fn states(&self) -> Vec<State> {
        if self.state.contains(&StateArg::All) {
            return Vec::new();
        }
        let state = |state: &StateArg| match state {
            StateArg::Healed => State::Healed,
            StateArg::Acknowledged => State::Acknowledged,
            StateArg::Open | StateArg::All => State::Open,
        };
        self.state.iter().map(state).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum StateArg {
    Open,
    Healed,
    Acknowledged,
    All,
}

#[derive(clap::Args, Debug)]
pub(super) struct ShowArgs {
    /// The finding's id, or its first digits (4 or more)
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) lookup: LookupArgs,
    /// How it is printed
    #[arg(long, default_value = "text")]
    pub(super) format: ShowFormat,
}

/// How one finding is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum ShowFormat {
    Text,
    Json,
    Ndjson,
}

#[derive(clap::Args, Debug)]
pub(super) struct AckArgs {
    /// The finding's id, or its first digits (4 or more)
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) lookup: LookupArgs,
    /// Who takes note of it
    #[arg(long, value_name = "NAME", required_unless_present = "remove", value_parser = words)]
    pub(super) by: Option<String>,
    /// Why it is known, for whoever reads this next
    #[arg(long, value_name = "TEXT", required_unless_present = "remove", value_parser = words)]
    pub(super) why: Option<String>,
    /// The last day on which that holds, in UTC, or for how long; without it, for good
    #[arg(long, value_name = "DATE|DURATION", value_parser = Until::parse)]
    pub(super) until: Option<Until>,
    /// Take the note back
    #[arg(long, conflicts_with_all = ["by", "why", "until"])]
    pub(super) remove: bool,
}

fn words(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("is empty".to_owned()),
        words => Ok(words.to_owned()),
    }
}
