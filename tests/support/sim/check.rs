//! The demands on the engine, for one reading of one world.

use super::{
    oracle::{Pair, conflicts, handovers, violations},
    streams::{Answer, Reading, Turns, gtid, table_name},
    world::{Id, RowName},
};
use std::collections::{BTreeMap, BTreeSet};
use twinlog::model::*;

/// What was met, to see that a test tests something.
#[derive(Default, Debug)]
pub struct Met {
    pub runs: u64,
    pub exact: u64,
    pub possible: u64,
    /// Possible ones that are none: only holes can make such.
    pub possible_false: u64,
    pub handovers: u64,
    pub violations: u64,
    pub held: u64,
}

/// Runs the engine in each of these orders; the answers must be equal, and equal to the oracle's.
pub fn check(reading: &Reading, turns: &[Turns], met: &mut Met) -> Result<Answer, String> {
    let first = reading.run(turns[0]);
    for other in &turns[1..] {
        let second = reading.run(*other);
        same(&first.findings, &second.findings).map_err(|e| format!("{:?}: {e}", other))?;
        if (first.open_transactions, first.open_keys)
            != (second.open_transactions, second.open_keys)
        {
            return Err(format!("{other:?} ends with other open transactions"));
        }
    }
    met.runs += turns.len() as u64;
    met.held += first.open_transactions as u64;
    let names = Names::new(reading);
    check_conflicts(reading, &names, &first, met)?;
    check_sets(reading, &names, &first, met)?;
    Ok(first)
}

fn same(first: &[Finding], second: &[Finding]) -> Result<(), String> {
    let different = first.iter().zip(second).find(|(x, y)| x != y);
    if let Some((x, y)) = different {
        return Err(format!("depends on the order of reading:\n{x:#?}\n{y:#?}"));
    }
    match first.len() == second.len() {
        true => Ok(()),
        false => Err(format!("{} findings or {}", first.len(), second.len())),
    }
}

/// From what findings name to what the world names.
struct Names {
    ids: BTreeMap<Gtid, Id>,
}

impl Names {
    fn new(reading: &Reading) -> Self {
        let family = reading.world.setup.family;
        let logs = reading.world.masters.iter().flat_map(|master| &master.log);
        Names { ids: logs.map(|entry| (gtid(family, entry.id), entry.id)).collect() }
    }

    fn row(&self, finding: &Finding) -> RowName {
        let bytes = &finding.key.as_ref().unwrap().bytes;
        let table = finding.table.as_ref().unwrap();
        let table = (0..=255).find(|t| table_name(*t) == *table).unwrap();
        (table, i64::from_le_bytes(bytes[..].try_into().unwrap()))
    }

    fn id(&self, finding: &Finding, at: usize) -> Id {
        self.ids[&finding.transactions[at].gtid.unwrap()]
    }
}

fn check_conflicts(
    reading: &Reading,
    names: &Names,
    answer: &Answer,
    met: &mut Met,
) -> Result<(), String> {
    let want = conflicts(reading);
    let mut found: BTreeMap<Pair, Certainty> = BTreeMap::new();
    for finding in answer.findings.iter().filter(|f| f.kind == FindingKind::WriteConflict) {
        let pair = (names.row(finding), names.id(finding, 0), names.id(finding, 1));
        if found.insert(pair, finding.certainty).is_some() {
            return Err(format!("told twice: {pair:?}"));
        }
        match finding.certainty {
            Certainty::Exact => met.exact += 1,
            Certainty::Possible => met.possible += 1,
        }
    }
    let rows: BTreeSet<RowName> = found.keys().map(|pair| pair.0).collect();
    // Of two nodes read from their beginning, the first conflict of a row is always told. From a
    // later start it may be out of sight, and where a third node or an operator's skip leaves the
    // very values that another write has left, no log without copies tells who it was.
    let setup = &reading.world.setup;
    let seen_whole = setup.nodes == 2
        && !setup.strict
        && setup.values > 1
        && reading.read.iter().all(|read| read.start == 0);
    let need_not =
        |pair: &Pair| want.silent.contains(pair) && (!seen_whole || rows.contains(&pair.0));
    let mut missed = want.truth.iter().filter(|pair| !found.contains_key(pair));
    if let Some(missed) = missed.find(|pair| !need_not(pair)) {
        return Err(format!("missed: {missed:?}"));
    }
    for (pair, certainty) in found {
        met.possible_false += u64::from(!want.truth.contains(&pair));
        if certainty == Certainty::Exact && !want.truth.contains(&pair) {
            return Err(format!("false: {pair:?}"));
        }
        if certainty == Certainty::Possible && !want.undecided.contains(&pair) {
            return Err(format!("possible, but the logs decide it: {pair:?}"));
        }
    }
    Ok(())
}

/// Ownership and handovers: exactly the oracle's.
fn check_sets(
    reading: &Reading,
    names: &Names,
    answer: &Answer,
    met: &mut Met,
) -> Result<(), String> {
    use FindingKind::{NearConflict, RowOwnership, SharedKey, TableOwnership};
    let (mut owned, mut handed) = (BTreeSet::new(), BTreeSet::new());
    for finding in &answer.findings {
        let new = match finding.kind {
            TableOwnership | RowOwnership => {
                owned.insert((finding.kind, names.row(finding), names.id(finding, 0)))
            }
            SharedKey | NearConflict => {
                let ids = (names.id(finding, 0), names.id(finding, 1));
                handed.insert((finding.kind, names.row(finding), ids.0, ids.1))
            }
            FindingKind::WriteConflict => true,
            FindingKind::BlindSpot => matches!(
                finding.reason,
                // Cut logs end at different places.
                Some(BlindSpotReason::NoCopies | BlindSpotReason::Gap)
            ),
            FindingKind::Divergence | FindingKind::MissingCopy => true,
            FindingKind::DdlConflict
            | FindingKind::UnknownOrigin
            | FindingKind::ReplicationLoop => false,
        };
        if !new {
            return Err(format!("not expected: {finding:#?}"));
        }
    }
    let (want_owned, want_handed) = (violations(reading), handovers(reading));
    met.violations += owned.len() as u64;
    met.handovers += handed.len() as u64;
    if let Some(wrong) = owned.symmetric_difference(&want_owned).next() {
        return Err(format!("ownership: {wrong:?}, wanted: {}", want_owned.contains(wrong)));
    }
    match handed.symmetric_difference(&want_handed).next() {
        Some(wrong) => Err(format!("handover: {wrong:?}, wanted: {}", want_handed.contains(wrong))),
        None => Ok(()),
    }
}
