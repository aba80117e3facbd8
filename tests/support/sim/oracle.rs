//! The slow obvious oracle: all pairs, by their positions in whole logs.

use super::{
    streams::{OWNED_ROWS, OWNED_TABLE, Reading, gtid, row_owner},
    world::{Entry, Family, Id, RowName},
};
use std::collections::{BTreeMap, BTreeSet};
use twinlog::model::FindingKind;

/// A row and two transactions, the one of the lower node first.
pub type Pair = (RowName, Id, Id);

/// The conflicts among what is read.
#[derive(Default)]
pub struct Conflicts {
    /// True ones: they must be reported.
    pub truth: BTreeSet<Pair>,
    /// Those of which the logs alone allow both readings: `possible` is a right answer.
    pub undecided: BTreeSet<Pair>,
    /// Those that a stream without any copy leaves to the rows' states: one that was written over
    /// what the other left need not be reported, if another one of the row is.
    pub silent: BTreeSet<Pair>,
}

/// An entry with its place in its own node's log.
struct Original<'w> {
    entry: &'w Entry,
    index: usize,
}

fn originals<'w>(reading: &'w Reading, node: usize) -> Vec<Original<'w>> {
    let range = reading.read[node].clone();
    let log = &reading.world.masters[node].log;
    let entries = range.map(|index| Original { entry: &log[index], index });
    entries.filter(|o| o.entry.id.origin == node && o.entry.server == node).collect()
}

/// Every pair of originals of different nodes, both read, that share a key.
///
/// Conflict: neither node's log shows the other's transaction before its own.
pub fn conflicts(reading: &Reading) -> Conflicts {
    let mut found = Conflicts::default();
    let masters = &reading.world.masters;
    let place = |node, id, name| reading.world.truth(node, id, name);
    for a in 0..masters.len() {
        for b in a + 1..masters.len() {
            for ta in originals(reading, a) {
                for tb in originals(reading, b) {
                    let (ta_id, tb_id) = (ta.entry.id, tb.entry.id);
                    let names = ta.entry.names();
                    let shared = tb.entry.names().into_iter().filter(|name| names.contains(name));
                    let undecided = may_precede(reading, b, ta_id, tb.index)
                        || may_precede(reading, a, tb_id, ta.index);
                    let silent = is_silent(reading, a) || is_silent(reading, b);
                    for name in shared {
                        let pair = (name, ta_id, tb_id);
                        let first_in_b = place(b, ta_id, name) < place(b, tb_id, name);
                        let first_in_a = place(a, tb_id, name) < place(a, ta_id, name);
                        if !first_in_b && !first_in_a {
                            found.truth.insert(pair);
                        }
                        if undecided {
                            found.undecided.insert(pair);
                        }
                        if silent {
                            found.silent.insert(pair);
                        }
                    }
                }
            }
        }
    }
    late_conflicts(reading, &mut found);
    found
}

/// Pairs of which one original lies before the start of its stream: node `a` shows the copy after
/// an original of its own.
fn late_conflicts(reading: &Reading, found: &mut Conflicts) {
    let (masters, family) = (&reading.world.masters, reading.world.setup.family);
    for a in 0..masters.len() {
        for copy_index in reading.read[a].clone() {
            let copy = &masters[a].log[copy_index];
            let b = copy.id.origin;
            let before_start = reading.baselines[b].contains(&gtid(family, copy.id));
            if b == a || copy.server != b || !before_start {
                continue;
            }
            for ta in originals(reading, a).iter().filter(|ta| ta.index < copy_index) {
                if reading.baselines[b].contains(&gtid(family, ta.entry.id)) {
                    continue;
                }
                let index = masters[b].log.iter().position(|entry| entry.id == copy.id).unwrap();
                let undecided = may_precede(reading, b, ta.entry.id, index);
                for name in copy.names().intersection(&ta.entry.names()) {
                    let own = reading.world.truth(b, copy.id, *name);
                    let conflict = reading.world.truth(b, ta.entry.id, *name) > own;
                    let pair = match a < b {
                        true => (*name, ta.entry.id, copy.id),
                        false => (*name, copy.id, ta.entry.id),
                    };
                    if conflict {
                        found.truth.insert(pair);
                    }
                    if undecided {
                        found.undecided.insert(pair);
                    }
                }
            }
        }
    }
}

/// Whether what was read of a node's log leaves it open that `id` passed there, without a trace,
/// before the entry `index`: it is not shown, its source is ordered, and its neighbours hold the
/// entry between them.
///
/// A log that shows no copies at all tells no order, in either family.
fn may_precede(reading: &Reading, node: usize, id: Id, index: usize) -> bool {
    let range = reading.read[node].clone();
    let log = &reading.world.masters[node].log;
    if reading.world.masters[node].shows(id, &range) {
        return false;
    }
    if is_silent(reading, node) {
        return true;
    }
    let of_source = |at: &usize| log[*at].id.same_source(&id);
    let below = range.clone().filter(of_source).rfind(|at| log[*at].id.number < id.number);
    let above = range.clone().filter(of_source).find(|at| log[*at].id.number > id.number);
    let ordered = reading.world.setup.family != Family::MySql;
    ordered && below.is_none_or(|below| below < index) && above.is_none_or(|above| index < above)
}

/// Whether what was read of a node's log shows no copies at all.
fn is_silent(reading: &Reading, node: usize) -> bool {
    let log = &reading.world.masters[node].log;
    log[reading.read[node].clone()].iter().all(|entry| entry.server == node)
}

/// Rows that an original wrote without owning them.
pub fn violations(reading: &Reading) -> BTreeSet<(FindingKind, RowName, Id)> {
    let nodes = reading.world.setup.nodes;
    let mut found = BTreeSet::new();
    for node in 0..nodes {
        for Original { entry, .. } in originals(reading, node) {
            for change in &entry.changes {
                let name = (change.table, change.keys[1]);
                let foreign = |key: &i64| row_owner(nodes, *key) != node;
                if change.table == OWNED_TABLE && node != 0 {
                    found.insert((FindingKind::TableOwnership, name, entry.id));
                }
                if change.table == OWNED_ROWS && change.keys.iter().any(foreign) {
                    found.insert((FindingKind::RowOwnership, name, entry.id));
                }
            }
        }
    }
    found
}

/// A handover: kind, row, who wrote it first, who took over.
pub type Handover = (FindingKind, RowName, Id, Id);

/// Each original's rows that a copy was the last to write before, within the windows.
pub fn handovers(reading: &Reading) -> BTreeSet<Handover> {
    let mut found = BTreeSet::new();
    for node in 0..reading.world.setup.nodes {
        let mut last: BTreeMap<RowName, usize> = BTreeMap::new();
        let log = &reading.world.masters[node].log;
        for index in reading.read[node].clone() {
            let entry = &log[index];
            for name in entry.names() {
                let Some(before) = last.insert(name, index).map(|at| &log[at]) else { continue };
                if entry.id.origin != node || before.id.origin == node {
                    continue;
                }
                let passed = seen_micros(reading, entry) - seen_micros(reading, before);
                if passed < reading.settings.near_conflict_window_micros {
                    found.insert((FindingKind::NearConflict, name, before.id, entry.id));
                } else if passed <= reading.settings.shared_key_window_micros {
                    found.insert((FindingKind::SharedKey, name, before.id, entry.id));
                }
            }
        }
    }
    found
}

/// Commit time as the family logs it.
fn seen_micros(reading: &Reading, entry: &Entry) -> i64 {
    match reading.world.setup.family {
        Family::MySql => entry.micros,
        _ => entry.micros / 1_000_000 * 1_000_000,
    }
}

/// Rows that were written, and on which everything is everywhere or never will be: read to the end,
/// and every transaction on them is shown by all, or passed.
pub fn settled_rows(reading: &Reading) -> BTreeSet<RowName> {
    let masters = &reading.world.masters;
    if reading.read.iter().zip(masters).any(|(read, master)| read.end < master.log.len()) {
        return BTreeSet::new();
    }
    let mut rows: BTreeMap<RowName, bool> = BTreeMap::new();
    for (node, master) in masters.iter().enumerate() {
        for (index, entry) in master.log.iter().enumerate() {
            let is_read = reading.read[node].contains(&index);
            let passed = masters.iter().all(|other| {
                let later =
                    |e: &Entry| e.id.same_source(&entry.id) && e.id.number >= entry.id.number;
                let ordered = reading.world.setup.family != Family::MySql;
                let shown = other.log.iter().any(|e| e.id == entry.id);
                shown || ordered && other.log.iter().any(later)
            });
            for name in entry.names() {
                let row = rows.entry(name).or_insert(true);
                *row &= passed || !is_read;
            }
        }
    }
    rows.into_iter().filter(|(_, settled)| *settled).map(|(row, _)| row).collect()
}
