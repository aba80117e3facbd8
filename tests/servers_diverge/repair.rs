//! `twinlog findings repair`: its SQL, run by hand on the loser, makes the masters the same.
//!
//! The winner's rows are taken from its log. So none is deleted there without the log: of such a
//! row no log could tell that it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::rounds::{Rounds, mark, rows};
use crate::support::lab::Lab;
use crate::tables::{Place, Table, difference};
use crate::truth::{Agreement, Told};
use crate::writes::Writer;
use crate::{Scan, known};

pub const WINNER: &str = "a";
pub const LOSER: &str = "b";

/// Repairs all rows that differ, and demands that none does; then writes to each of them, and
/// demands that the log, too, shows all healed.
pub fn repair(lab: &Lab, tables: &[Table], rounds: &mut Rounds) {
    let differing = differing(lab, tables);
    known::check_rows(differing.keys());
    let scan = Scan::of(lab);
    let sql = script(lab, &scan);
    // It must keep itself out of the loser's log, else it would be replicated to the winner.
    let logged = lab.last_number(LOSER);
    lab.sql(LOSER, &sql);
    assert_eq!(lab.last_number(LOSER), logged, "the repair is in the log of {LOSER}\n{sql}");
    let left = self::differing(lab, tables);
    assert!(left.is_empty(), "after the repair: {left:#?}\n{sql}");
    println!("{} rows repaired", differing.len());

    lab.sql(WINNER, &touches(tables, differing.keys(), &mut rounds.writer));
    lab.settle();
    mark(lab);
    let left = self::differing(lab, tables);
    assert!(left.is_empty(), "after the repaired rows were written: {left:#?}");
    let after = Scan::of(lab);
    let agreement = Agreement::of(&BTreeSet::new(), &after.told);
    println!("after the repair: {agreement}");
    let faults = agreement.faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for place in differing.keys() {
        assert!(is_healed(place, &after.told), "no divergence of {place:?} has healed");
    }
}

fn is_healed(place: &Place, told: &BTreeMap<String, Told>) -> bool {
    let of = |told: &&Told| told.kind == "divergence" && told.place == *place;
    told.values().filter(of).any(|told| told.state == "healed")
}

fn differing(lab: &Lab, tables: &[Table]) -> BTreeMap<Place, String> {
    let [a, b] = rows(lab, tables);
    difference(&a, &b)
}

/// What the command prints for all rows that are told to differ.
fn script(lab: &Lab, scan: &Scan) -> String {
    let findings = lab.dir().join("findings.ndjson");
    std::fs::write(&findings, &scan.ndjson).expect("a write");
    let mut repair = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    repair.args(["findings", "repair", "--all-open", "--winner", WINNER, "--from"]);
    repair.arg(&findings);
    for node in ["a", "b"] {
        repair.arg(format!("{node}={}", lab.binlog_dir(node).display()));
    }
    let output = repair.output().expect("twinlog runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{stderr}\n{stdout}");
    stdout
}

/// Writes to each of these rows, so that the log shows what both masters have there now.
fn touches<'a>(
    tables: &[Table],
    places: impl Iterator<Item = &'a Place>,
    writer: &mut Writer,
) -> String {
    let mut sql = String::new();
    for place in places {
        let table = tables.iter().find(|table| table.full_name() == place.0).expect("a table");
        let key = table.key_at(place).expect("a key of that table");
        sql += &writer.upsert_new(table, &key).sql;
    }
    sql
}
