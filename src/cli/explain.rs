//! `twinlog findings explain` and `twinlog findings repair`.

use super::{Exit, args::source, complain};
use crate::{
    app::{
        explain::explain as explain_finding,
        repair::{RepairOptions, repair as repair_findings},
        sources::EvidenceSources,
    },
    config::Config,
    report::explanation_text,
};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
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
    /// Findings as twinlog printed them: ndjson, or the json of a scan; - is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
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
    /// All open divergences, and conflicts that diverged
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

/// Explains a finding; `records` are the findings known, where `--from` names none.
pub(super) fn explain(args: ExplainArgs, records: Option<Vec<Value>>, colour: bool) -> Exit {
    told(try_explain(args, records, colour))
}

/// Makes repair scripts; `records` as for [`explain`].
pub(super) fn repair(args: RepairArgs, records: Option<Vec<Value>>) -> Exit {
    told(try_repair(args, records))
}

fn told(result: anyhow::Result<Exit>) -> Exit {
    result.unwrap_or_else(|error| {
        complain(&error);
        Exit::Usage
    })
}

fn try_explain(
    args: ExplainArgs,
    records: Option<Vec<Value>>,
    colour: bool,
) -> anyhow::Result<Exit> {
    let (ids, named) = split(args.targets);
    let [id] = ids.as_slice() else {
        anyhow::bail!("explain takes the id of one finding, not of {}", ids.len());
    };
    let opened = open(&args.evidence, records, &named)?;
    let explanation = explain_finding(by_id(&opened.records, id)?, &opened.sources)?;
    let text = match args.evidence.format {
        EvidenceFormat::Text => explanation_text(&explanation, colour),
        EvidenceFormat::Json => explanation.to_json().to_string() + "\n",
    };
    let exit = if explanation.is_whole() { Exit::Clean } else { Exit::Incomplete };
    Ok(if print(&text) { exit } else { Exit::Incomplete })
}

fn try_repair(args: RepairArgs, records: Option<Vec<Value>>) -> anyhow::Result<Exit> {
    let (ids, named) = split(args.targets);
    if ids.is_empty() != args.all_open {
        anyhow::bail!("give the ids of findings, or --all-open");
    }
    let opened = open(&args.evidence, records, &named)?;
    let wanted: Vec<Value> = match args.all_open {
        true => opened.records.iter().filter(|record| is_open(record)).cloned().collect(),
        false => {
            let found = ids.iter().map(|id| by_id(&opened.records, id).cloned());
            found.collect::<anyhow::Result<_>>()?
        }
    };
    if wanted.is_empty() {
        complain(&"no open divergence: nothing to repair");
    }
    let options = RepairOptions {
        sources: &opened.sources,
        config: opened.config.as_ref(),
        winner: args.winner.as_deref(),
        generated: &args.generated,
    };
    let repair = repair_findings(&wanted, &options)?;
    let text = match args.evidence.format {
        EvidenceFormat::Text => repair.text(),
        EvidenceFormat::Json => repair.to_json().to_string() + "\n",
    };
    for refused in &repair.refused {
        complain(&format!("finding {}: {}", refused.finding, refused.reason));
    }
    let exit = if repair.refused.is_empty() { Exit::Clean } else { Exit::Incomplete };
    Ok(if print(&text) { exit } else { Exit::Incomplete })
}

/// A divergence that holds, or a conflict that ended in one.
fn is_open(record: &Value) -> bool {
    let is_kind = record["kind"] == "divergence"
        || record["kind"] == "write_conflict" && record["outcome"] == "diverged";
    is_kind && record["state"] == "open"
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
    records: Vec<Value>,
    config: Option<Config>,
    sources: EvidenceSources,
}

fn open(
    args: &EvidenceArgs,
    records: Option<Vec<Value>>,
    named: &[(String, PathBuf)],
) -> anyhow::Result<Opened> {
    let records = match (&args.from, records) {
        (Some(path), _) => read_records(path)?,
        (None, Some(records)) => records,
        (None, None) => anyhow::bail!("no findings\n  hint: give --from FILE"),
    };
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let sources = EvidenceSources::new(named, config.as_ref())?;
    Ok(Opened { records, config, sources })
}

/// Reads findings as twinlog prints them: one JSON object a line, or a scan's whole JSON. Of
/// several with one id the last counts, as `watch` tells them.
///
/// # Errors
/// A file that cannot be read, and a line that is no JSON object.
pub(super) fn read_records(path: &Path) -> anyhow::Result<Vec<Value>> {
    let name = path.display();
    let read = match path == Path::new("-") {
        true => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(path),
    };
    let text = read.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
    if let Ok(Value::Object(mut whole)) = serde_json::from_str(&text)
        && let Some(Value::Array(findings)) = whole.remove("findings")
    {
        return Ok(newest(findings));
    }
    let mut records = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(record @ Value::Object(_)) => records.push(record),
            _ => anyhow::bail!(
                "{name}, line {}: no JSON object\n  hint: give what twinlog scan --format ndjson, \
                 or json, has printed",
                at + 1
            ),
        }
    }
    Ok(newest(records))
}

/// The last record of each id, in the order in which the ids first came.
fn newest(records: Vec<Value>) -> Vec<Value> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<Value> = Vec::new();
    for record in records {
        let id = record["id"].as_str().unwrap_or_default().to_owned();
        match places.get(&id) {
            Some(place) => kept[*place] = record,
            None => {
                places.insert(id, kept.len());
                kept.push(record);
            }
        }
    }
    kept
}

/// The one finding whose id begins so.
pub(super) fn by_id<'a>(records: &'a [Value], id: &str) -> anyhow::Result<&'a Value> {
    let begins = |record: &&Value| record["id"].as_str().is_some_and(|of| of.starts_with(id));
    let mut found = records.iter().filter(begins);
    match (found.next(), found.count()) {
        (Some(record), 0) => Ok(record),
        (Some(_), more) => anyhow::bail!("{} findings have ids that begin with {id}", more + 1),
        (None, _) => anyhow::bail!("no finding has an id that begins with {id}"),
    }
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
    fn the_last_record_of_an_id_counts_and_prefixes_are_unique() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings");
        fs::write(
            &path,
            "{\"id\":\"aaaa1\",\"n\":1}\n\n{\"id\":\"aaaa2\"}\n{\"id\":\"aaaa1\",\"n\":2}\n",
        )
        .unwrap();
        let records = read_records(&path).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(by_id(&records, "aaaa1").unwrap()["n"], 2);
        let error = |id| by_id(&records, id).unwrap_err().to_string();
        assert_eq!(error("aaaa"), "2 findings have ids that begin with aaaa");
        assert_eq!(error("bbbb"), "no finding has an id that begins with bbbb");
        fs::write(&path, "{\"findings\":[{\"id\":\"cccc\"}],\n\"summary\":{}}\n").unwrap();
        assert_eq!(read_records(&path).unwrap().len(), 1);
        fs::write(&path, "{\"id\":\"a\"}\nx\n").unwrap();
        let error = read_records(&path).unwrap_err().to_string();
        assert!(error.contains(", line 2: no JSON object\n  hint: "), "{error}");
    }

    #[test]
    fn words_are_ids_or_sources() {
        assert!(matches!(target("5F03"), Ok(Target::Id(id)) if id == "5f03"));
        assert!(matches!(target("a=dir"), Ok(Target::Source(node, _)) if node == "a"));
        assert!(target("5f0").is_err() && target("nothex").is_err() && target("=x").is_err());
    }
}
