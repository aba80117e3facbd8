//! `twinlog findings explain` and `twinlog findings repair`.

use super::{
    Exit,
    args::source,
    complain,
    findings::{find, load},
    findings_args::LookupArgs,
};
use crate::{
    app::{
        explain::explain as explain_finding,
        repair::{RepairOptions, repair as repair_findings},
        sources::EvidenceSources,
    },
    config::Config,
    report::{Refusal, explanation_text, terminal::clean_json},
};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::{
    io::{self, Write},
    path::PathBuf,
};

pub(super) const EXPLAIN_HELP: &str = "\
Examples:
  twinlog scan --format ndjson a=DIR b=DIR > findings.ndjson
  twinlog findings explain 5f03a1c2 --from findings.ndjson a=DIR b=DIR
  twinlog findings explain 5f03a1c2 --from findings.ndjson --config twinlog.toml

Exit codes:
  0  explained
  2  wrong usage or configuration
  3  a transaction could not be read again; the rest is printed";

pub(super) const REPAIR_HELP: &str = "\
Examples:
  twinlog findings repair 5f03a1c2 --from findings.ndjson --winner a a=DIR b=DIR > repair.sql
  twinlog findings repair --all-open --from findings.ndjson --config twinlog.toml

The SQL is printed, never run. Exit codes:
  0  every finding asked for is repaired by a script
  2  wrong usage or configuration
  3  some could not be repaired; the reasons are in the output and on stderr";

/// Where findings and rows are read.
#[derive(Args, Debug)]
pub(super) struct EvidenceArgs {
    #[command(flatten)]
    lookup: LookupArgs,
    /// Ownership rules, and the nodes' servers (twinlog.toml)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, default_value = "text")]
    format: EvidenceFormat,
}

/// Text for people, or one JSON object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum EvidenceFormat {
    Text,
    Json,
}

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// A finding's id, or its beginning; and the nodes' binlogs as NODE=SOURCE
    #[arg(value_name = "ID|NODE=SOURCE", required = true, value_parser = target)]
    targets: Vec<Target>,
    #[command(flatten)]
    evidence: EvidenceArgs,
}

#[derive(Args, Debug)]
pub(super) struct RepairArgs {
    /// Ids of findings, or their beginnings; and the nodes' binlogs as NODE=SOURCE
    #[arg(value_name = "ID|NODE=SOURCE", value_parser = target)]
    targets: Vec<Target>,
    /// All open divergences
    #[arg(long)]
    all_open: bool,
    /// Whose row stays where no ownership rule says
    #[arg(long, value_name = "NODE")]
    winner: Option<String>,
    /// Columns that the server computes: COLUMN, or SCHEMA.TABLE.COLUMN
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    generated: Vec<String>,
    #[command(flatten)]
    evidence: EvidenceArgs,
}

/// A word of the command line.
#[derive(Clone, Debug)]
enum Target {
    Id(String),
    Source(String, PathBuf),
}

/// Hex digits of an id that are needed at least.
const ID_DIGITS_MIN: usize = 4;

fn target(text: &str) -> Result<Target, String> {
    if text.contains('=') {
        return source(text).map(|(node, path)| Target::Source(node, path));
    }
    let id = text.to_ascii_lowercase();
    match id.len() >= ID_DIGITS_MIN && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(Target::Id(id)),
        false => Err(format!(
            "write the first {ID_DIGITS_MIN} or more hex digits of a finding's id, or NODE=SOURCE"
        )),
    }
}

/// Explains a finding.
pub(super) fn explain(args: ExplainArgs, colour: bool) -> Exit {
    told(try_explain(args, colour))
}

/// Makes repair scripts.
pub(super) fn repair(args: RepairArgs) -> Exit {
    told(try_repair(args))
}

fn told(result: anyhow::Result<Exit>) -> Exit {
    result.unwrap_or_else(|error| {
        complain(&error);
        Exit::Usage
    })
}

fn try_explain(args: ExplainArgs, colour: bool) -> anyhow::Result<Exit> {
    let (ids, named) = split(args.targets);
    let [id] = ids.as_slice() else {
        anyhow::bail!("explain takes the id of one finding, not of {}", ids.len());
    };
    let opened = open(&args.evidence, &named)?;
    let record = find(&args.evidence.lookup, id)?.value();
    let explanation = explain_finding(&record, &opened.sources)?;
    let text = match args.evidence.format {
        EvidenceFormat::Text => explanation_text(&explanation, colour),
        EvidenceFormat::Json => clean_json(&explanation.to_json().to_string()) + "\n",
    };
    let exit = if explanation.is_whole() { Exit::Clean } else { Exit::Incomplete };
    Ok(if print(&text) { exit } else { Exit::Incomplete })
}

fn try_repair(args: RepairArgs) -> anyhow::Result<Exit> {
    let (ids, named) = split(args.targets);
    if ids.is_empty() != args.all_open {
        anyhow::bail!("give the ids of findings, or --all-open");
    }
    let opened = open(&args.evidence, &named)?;
    let lookup = &args.evidence.lookup;
    let mut wanted: Vec<Value> = Vec::new();
    if args.all_open {
        wanted = load(lookup)?;
        wanted.retain(is_open);
    }
    for id in &ids {
        wanted.push(what_differs(find(lookup, id)?.value(), lookup)?);
    }
    if wanted.is_empty() {
        complain(&"no open divergence: nothing to repair");
    }
    let options = RepairOptions {
        sources: &opened.sources,
        config: opened.config.as_ref(),
        winner: args.winner.as_deref(),
        generated: &args.generated,
    };
    let mut repair = repair_findings(&wanted, &options)?;
    repair.refused.extend(wanted.iter().filter_map(untold));
    let text = match args.evidence.format {
        EvidenceFormat::Text => repair.text(),
        EvidenceFormat::Json => clean_json(&repair.to_json().to_string()) + "\n",
    };
    for refused in &repair.refused {
        complain(&format!("finding {}: {}", refused.finding, refused.reason));
    }
    let exit = if repair.refused.is_empty() { Exit::Clean } else { Exit::Incomplete };
    Ok(if print(&text) { exit } else { Exit::Incomplete })
}

/// A divergence that holds, and that nobody has taken note of.
fn is_open(record: &Value) -> bool {
    record["kind"] == "divergence" && record["state"] == "open"
}

/// What there is to repair of a finding: of a conflict that diverged, the divergence of its row,
/// for that may have healed since, or be about later writes.
fn what_differs(record: Value, lookup: &LookupArgs) -> anyhow::Result<Value> {
    if record["kind"] != "write_conflict" || record["outcome"] != "diverged" {
        return Ok(record);
    }
    let is_its = |other: &Value| {
        let same = other["table"] == record["table"] && other["key"] == record["key"];
        same && other["kind"] == "divergence" && other["state"] != "healed"
    };
    load(lookup)?.into_iter().find(is_its).ok_or_else(|| {
        let id = record["id"].as_str().unwrap_or("?");
        anyhow::anyhow!(
            "finding {id}: its row does not differ now, as far as the findings tell\n  hint: \
             twinlog findings list --kind divergence --state all"
        )
    })
}

/// Rows that a finding only counts: no script repairs them.
fn untold(record: &Value) -> Option<Refusal> {
    let more = record["more"].as_u64().filter(|more| *more > 0)?;
    Some(Refusal {
        finding: record["id"].as_str().unwrap_or("?").to_owned(),
        row: record["table"].as_str().unwrap_or("?").to_owned(),
        reason: format!(
            "{more} more rows of its group differ and were only counted: scan again with a higher \
             defaults.group_limit"
        ),
    })
}

fn split(targets: Vec<Target>) -> (Vec<String>, Vec<(String, PathBuf)>) {
    let (mut ids, mut sources) = (Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Id(id) => ids.push(id),
            Target::Source(node, path) => sources.push((node, path)),
        }
    }
    (ids, sources)
}

/// What the common arguments name.
struct Opened {
    config: Option<Config>,
    sources: EvidenceSources,
}

fn open(args: &EvidenceArgs, named: &[(String, PathBuf)]) -> anyhow::Result<Opened> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let sources = EvidenceSources::new(named, config.as_ref())?;
    Ok(Opened { config, sources })
}

fn print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                complain(&format!("cannot write: {error}"));
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_ids_or_sources() {
        assert!(matches!(target("5F03"), Ok(Target::Id(id)) if id == "5f03"));
        assert!(matches!(target("a=dir"), Ok(Target::Source(node, _)) if node == "a"));
        assert!(target("5f0").is_err() && target("nothex").is_err() && target("=x").is_err());
    }
}
