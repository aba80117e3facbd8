//! SQL that makes a diverged row on one node what it is on another. It is printed, never run.

use super::{
    sources::EvidenceSources,
    told::{Told, order},
};
use crate::{
    binlog::{
        evidence::{Cell, Change, RowOf, TableFacts},
        value::Value as Decoded,
    },
    config::Config,
    engine::Ownership,
    feed::Wanted,
    model::{Coordinates, RuleValue},
    report::{Refusal, Repair, RowRepair, RowWanted, Script, row_statements},
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// What a repair goes by, beside the findings.
pub struct RepairOptions<'a> {
    /// Where the rows are read again.
    pub sources: &'a EvidenceSources,
    /// Ownership rules; the owner of a row wins.
    pub config: Option<&'a Config>,
    /// Who wins where no rule says.
    pub winner: Option<&'a str>,
    /// `schema.table.column`, or `column`, of columns that the server computes.
    pub generated: &'a [String],
}

/// Makes the scripts that repair these findings, one for each node that has to change.
///
/// # Output
/// A finding that cannot be repaired is among the refused, with the reason. Of several findings
/// about one row the divergence counts.
///
/// # Errors
/// A rule whose tables are no glob; the configuration refuses those first.
pub fn repair(records: &[Value], options: &RepairOptions<'_>) -> anyhow::Result<Repair> {
    let ownership = match options.config {
        Some(config) => Some(Ownership::new(config.ownership.clone(), config.unlisted)?),
        None => None,
    };
    let mut scripts: BTreeMap<String, Vec<RowRepair>> = BTreeMap::new();
    let mut refused = Vec::new();
    let mut done: Vec<(Value, Value)> = Vec::new();
    let mut records: Vec<&Value> = records.iter().collect();
    // Stable: else as they came.
    records.sort_by_key(|record| record["kind"] != "divergence");
    for record in records {
        let row = (record["table"].clone(), record["key"].clone());
        if !row.1.is_null() && done.contains(&row) {
            continue;
        }
        let read = Told::read(record).map_err(|error| error.to_string());
        let made = read.and_then(|told| {
            let one = One { told: &told, options, ownership: ownership.as_ref() };
            one.repair()
        });
        match made {
            Ok(made) => {
                done.push(row);
                for (node, row) in made {
                    scripts.entry(node).or_default().push(row);
                }
            }
            Err(reason) => refused.push(Refusal {
                finding: record["id"].as_str().unwrap_or("?").to_owned(),
                row: format!(
                    "{} {}",
                    record["table"].as_str().unwrap_or("no table"),
                    record["key"]
                ),
                reason,
            }),
        }
    }
    let scripts = scripts.into_iter().map(|(node, mut rows)| {
        // First what has to go: it may hold a unique value that another row is to have.
        rows.sort_by_key(|row| !row.deletes);
        Script { node, rows }
    });
    let scripts = scripts.collect();
    Ok(Repair { scripts, refused })
}

/// One finding on its way to a repair.
struct One<'a> {
    told: &'a Told<'a>,
    options: &'a RepairOptions<'a>,
    ownership: Option<&'a Ownership>,
}

/// A node's row as its stream left it.
struct Last {
    of: Arc<TableFacts>,
    /// An image that has the key's values.
    key: Vec<Cell>,
    /// `None`: there is no such row.
    row: Option<Vec<Cell>>,
    source: String,
}

/// Reasons are for people, so they are told as text.
type Refused<T> = Result<T, String>;

impl One<'_> {
    fn repair(&self) -> Refused<Vec<(String, RowRepair)>> {
        self.ensure_repairable()?;
        let row = self.told.row().ok_or("its key cannot be read")?;
        let (winner, why) = self.winner(&row)?;
        let last = self.last(winner, &row)?;
        let key: Vec<usize> = row.key.keys().filter_map(|name| last.of.place(name)).collect();
        let wanted = match &last.row {
            Some(cells) => RowWanted::Present(cells),
            None => RowWanted::Absent,
        };
        let generated: Vec<String> = self
            .options
            .generated
            .iter()
            .filter_map(|column| match column.rsplit_once('.') {
                Some((table, column)) => (table == row.table).then(|| column.to_owned()),
                None => Some(column.clone()),
            })
            .collect();
        let statements = row_statements(&last.of, &key, &last.key, wanted, &generated)?;
        let losers = self.told.streams.iter().filter(|node| **node != winner);
        let made = losers.map(|loser| {
            let row = RowRepair {
                finding: self.told.text("id").to_owned(),
                table: row.table.clone(),
                key: Value::Object(row.key.clone()).to_string(),
                winner: winner.to_owned(),
                why: why.clone(),
                source: last.source.clone(),
                is_certain: self.told.text("certainty") != "possible",
                statements: statements.clone(),
                deletes: last.row.is_none(),
            };
            ((*loser).to_owned(), row)
        });
        Ok(made.collect())
    }

    fn ensure_repairable(&self) -> Refused<()> {
        let (kind, state) = (self.told.text("kind"), self.told.text("state"));
        let outcome = self.told.text("outcome");
        match kind {
            "divergence" | "write_conflict" if state == "healed" => {
                return Err("it has healed: there is nothing to repair".to_owned());
            }
            "divergence" => {}
            "write_conflict" if outcome == "diverged" => {}
            "write_conflict" => {
                return Err(format!("its outcome is {outcome}, and not diverged"));
            }
            _ => return Err(format!("a {kind} finding is about no row that differs")),
        }
        let index = self.told.text("index");
        if !matches!(index, "" | "PRIMARY") {
            return Err(format!(
                "two rows clash in unique key {index}: which one stays is for you"
            ));
        }
        match self.told.key() {
            None => Err("it names no row".to_owned()),
            Some(_) => Ok(()),
        }
    }

    /// Who wins, and why: the owner by the rules, else as the command line says.
    fn winner(&self, row: &RowOf) -> Refused<(&str, String)> {
        let owner = self.owner(row)?;
        let named = self.options.winner;
        let streams = &self.told.streams;
        let by_name = |name: &str| streams.iter().find(|node| **node == name).copied();
        match (owner, named) {
            (Some((owners, why)), _) if owners.len() == 1 => match by_name(&owners[0]) {
                Some(node) => Ok((node, why)),
                None => Err(format!("{}, the owner ({why}), has no stream here", owners[0])),
            },
            (Some((owners, why)), Some(named)) if !owners.iter().any(|owner| owner == named) => {
                Err(format!("--winner {named} is no owner: {} are ({why})", owners.join(", ")))
            }
            (_, Some(named)) => by_name(named)
                .map(|node| (node, "by --winner".to_owned()))
                .ok_or_else(|| format!("--winner {named}: the streams are {}", streams.join(", "))),
            (_, None) => Err(format!(
                "no ownership rule says whose row stays\nhint: give --winner NODE, one of {}; or a \
                 --config with rules",
                streams.join(", ")
            )),
        }
    }

    /// The owners of the row by the rules, and the rule.
    fn owner(&self, row: &RowOf) -> Refused<Option<(Vec<String>, String)>> {
        let (Some(ownership), Some(config)) = (self.ownership, self.options.config) else {
            return Ok(None);
        };
        let owner = match ownership.column_of(&row.table) {
            None => ownership.owner(&row.table, None),
            Some(column) => {
                let mut owners = Vec::new();
                for node in &self.told.streams {
                    let last = self.last(node, row)?;
                    let cells = last.row.as_ref().unwrap_or(&last.key);
                    let at =
                        (0..cells.len()).find(|at| last.of.name(*at).eq_ignore_ascii_case(column));
                    let value = at.and_then(|at| rule_value(&cells[at]));
                    owners.extend(ownership.owner(&row.table, value.as_ref()));
                }
                owners.dedup();
                match owners.as_slice() {
                    [_] => owners.pop(),
                    // The row would move between owners, or the log does not say: ask.
                    _ => None,
                }
            }
        };
        Ok(owner.map(|owner| {
            let names = owner.nodes.iter().map(|node| config.nodes[node.at()].name.clone());
            let (number, tables) = owner.rule.unwrap_or_default();
            (
                names.collect(),
                format!("the owner by ownership rule {number} ({})", tables.join(", ")),
            )
        }))
    }

    /// The row as a node's stream left it.
    fn last(&self, node: &str, row: &RowOf) -> Refused<Last> {
        let written = self.told.last_written.iter().find(|(of, _)| *of == node);
        match written {
            Some((_, Some(write))) => {
                let change = self.change(node, &write.at, write.gtid, row, false)?;
                let last = after(change, row, source(node, &write.at, write.gtid))?;
                match write.is_absent == last.row.is_none() {
                    true => Ok(last),
                    false => {
                        Err(format!("the finding and {} do not agree on the row", last.source))
                    }
                }
            }
            Some((_, None)) => self.before_all(node, row),
            None => {
                // A conflict: as the last of its transactions left the row.
                let shown = self.told.transactions.iter().filter_map(|one| {
                    let at = one.coordinates.iter().find(|(of, _)| *of == node)?.1.as_ref()?;
                    Some((at, one.gtid))
                });
                let newest = shown.max_by(|x, y| order(x.0).cmp(&order(y.0)));
                let (at, gtid) =
                    newest.ok_or(format!("{node}'s stream shows none of its writes"))?;
                let change = self.change(node, at, gtid, row, false)?;
                after(change, row, source(node, at, gtid))
            }
        }
    }

    /// The row as it stands on a node that has written it in none of the finding's transactions:
    /// as another stream's first write found it.
    fn before_all(&self, node: &str, row: &RowOf) -> Refused<Last> {
        let mut why = format!("no stream shows how the row on {node} was before");
        for other in self.told.streams.iter().filter(|other| **other != node) {
            let shown = self.told.transactions.iter().filter_map(|one| {
                let at = one.coordinates.iter().find(|(of, _)| of == other)?.1.as_ref()?;
                Some((at, one.gtid))
            });
            let Some((at, gtid)) = shown.min_by(|x, y| order(x.0).cmp(&order(y.0))) else {
                continue;
            };
            match self.change(other, at, gtid, row, true) {
                Ok(change) => {
                    let source = format!("before {}", source(other, at, gtid));
                    return Ok(before(change, row, source));
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// The first, or last, change of the row in a transaction of a stream.
    fn change(
        &self,
        node: &str,
        at: &Coordinates,
        gtid: Option<&str>,
        row: &RowOf,
        first: bool,
    ) -> Refused<Change> {
        let wanted =
            Wanted { at: at.clone(), gtid: gtid.map(str::to_owned), row: Some(row.clone()) };
        let read = self.options.sources.read(node, &wanted).ok_or_else(|| {
            format!("no source of {node}\nhint: give {node}=DIRECTORY, or --config with its url")
        })?;
        let evidence = read.map_err(|error| error.to_string())?;
        if evidence.more > 0 {
            return Err("the transaction changes the row more often than is read".to_owned());
        }
        let mut changes = evidence.changes;
        let change = match first {
            true => changes.into_iter().next(),
            false => changes.pop(),
        };
        let undecoded = evidence.not_decoded.join("; ");
        change.ok_or_else(|| match undecoded.as_str() {
            "" => format!("{} does not change the row", source(node, at, gtid)),
            why => why.to_owned(),
        })
    }
}

fn source(node: &str, at: &Coordinates, gtid: Option<&str>) -> String {
    format!("{node} {}:{} {}", at.file, at.start, gtid.unwrap_or("without a GTID"))
}

/// The row after a change; another row's key means that this one is gone.
fn after(change: Change, row: &RowOf, source: String) -> Refused<Last> {
    let Change { of, before, after, .. } = &change;
    // What the after image leaves out is as it was.
    let merged = after.as_ref().map(|after| {
        let old = before.iter().flatten().chain(std::iter::repeat(&Cell::NotLogged));
        let merge = |(new, old): (&Cell, &Cell)| match new {
            Cell::NotLogged => old.clone(),
            new => new.clone(),
        };
        after.iter().zip(old).map(merge).collect::<Vec<Cell>>()
    });
    let of = of.clone();
    match merged {
        Some(cells) if change.has(&cells, row) => {
            Ok(Last { of, key: cells.clone(), row: Some(cells), source })
        }
        _ => {
            let key = before.clone().ok_or("the log shows no image of the row")?;
            Ok(Last { of, key, row: None, source })
        }
    }
}

/// The row before a change.
fn before(change: Change, row: &RowOf, source: String) -> Last {
    let of = change.of.clone();
    match &change.before {
        Some(cells) if change.has(cells, row) => {
            Last { of, key: cells.clone(), row: Some(cells.clone()), source }
        }
        _ => Last { of, key: change.after.unwrap_or_default(), row: None, source },
    }
}

/// A cell as a row rule reads it.
fn rule_value(cell: &Cell) -> Option<RuleValue> {
    Some(match cell {
        Cell::NotLogged => return None,
        Cell::Null => RuleValue::Null,
        Cell::Value(Decoded::Int(number)) => RuleValue::Int((*number).into()),
        Cell::Value(Decoded::UInt(number)) => RuleValue::Int((*number).into()),
        Cell::Value(Decoded::Year(year)) => RuleValue::Int((*year).into()),
        Cell::Value(Decoded::Text(text)) | Cell::Recoded(text, _) => RuleValue::Text(text.clone()),
        _ => RuleValue::Unsupported,
    })
}
