//! The demands on the engine, for one reading of one world.

use super::{
    oracle::{Pair, conflicts, handovers, settled_rows, violations},
    streams::{Answer, Reading, Turns, gtid, table_name},
    world::{Family, Id, RowName},
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
    /// Rows that differ at the end, and those of them that are told as possible.
    pub divergent: u64,
    pub divergent_possible: u64,
    /// Rows that differ and are not told, since no head says what came before a stream.
    pub divergent_unknown: u64,
    /// Rows told as possibly divergent that are not.
    pub divergent_false: u64,
    pub healed: u64,
}

/// Runs the engine in each of these orders; the answers must be equal, and equal to the oracle's.
pub fn check(reading: &Reading, turns: &[Turns], met: &mut Met) -> Result<Answer, String> {
    let first = reading.run(turns[0]);
    for other in &turns[1..] {
        let second = reading.run(*other);
        let [one, two] = [&first, &second].map(|answer| comparable(reading, answer));
        same(&one, &two).map_err(|e| format!("{:?}: {e}", other))?;
        if (first.open_transactions, first.open_keys)
            != (second.open_transactions, second.open_keys)
        {
            return Err(format!("{other:?} ends with other open transactions"));
        }
    }
    met.runs += turns.len() as u64;
    met.held += first.open_transactions as u64;
    let names = Names::new(reading);
    // Where rows change without the log, they prove nothing of the order.
    if reading.world.silent.is_empty() {
        check_conflicts(reading, &names, &first, met)?;
    }
    check_divergences(reading, &names, &first, met)?;
    check_sets(reading, &names, &first, met)?;
    Ok(first)
}

/// What must not depend on the order of reading: everything. Where streams begin in the middle,
/// what was applied before is known only as far as it has been read, so what became of the first
/// rows may hang on it.
fn comparable(reading: &Reading, answer: &Answer) -> Vec<Finding> {
    let all = || answer.findings.iter().cloned();
    if reading.read.iter().all(|read| read.start == 0) {
        return all().collect();
    }
    let of_rows = |finding: &Finding| {
        matches!(finding.kind, FindingKind::Divergence | FindingKind::MissingCopy)
    };
    let kept = all().filter(|finding| !of_rows(finding));
    kept.map(|finding| Finding { outcome: None, ..finding }).collect()
}

pub fn same(first: &[Finding], second: &[Finding]) -> Result<(), String> {
    let only = |these: &[Finding], those: &[Finding]| {
        let missing = these.iter().filter(|finding| !those.contains(finding));
        missing.map(brief).collect::<Vec<_>>().join("\n")
    };
    let (here, there) = (only(first, second), only(second, first));
    match here.is_empty() && there.is_empty() && first.len() == second.len() {
        true => Ok(()),
        false => Err(format!("depends on the order of reading:\n{here}\nor\n{there}")),
    }
}

/// What tells two findings apart, for a person.
fn brief(finding: &Finding) -> String {
    let places = finding.transactions.iter().map(|t| {
        let at = |c: &Option<Coordinates>| c.as_ref().map(|c| c.start);
        (t.gtid.map(|g| g.to_string()), t.coordinates.iter().map(at).collect::<Vec<_>>())
    });
    let written = finding
        .last_written
        .iter()
        .map(|w| w.as_ref().map(|w| (w.gtid.map(|g| g.to_string()), w.coordinates.start)));
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} seen {} {}",
        finding.id,
        finding.kind.as_str(),
        finding.state,
        finding.certainty,
        finding.outcome,
        finding.cause,
        finding.key.as_ref().map(|key| (key.table.name.clone(), key.bytes[0])),
        finding.detail,
        places.collect::<Vec<_>>(),
        (written.collect::<Vec<_>>(), finding.healed.as_ref()),
        finding.first_seen.micros,
        finding.last_seen.micros,
    )
}

/// From what findings name to what the world names.
pub struct Names {
    ids: BTreeMap<Gtid, Id>,
}

impl Names {
    pub fn new(reading: &Reading) -> Self {
        let family = reading.world.setup.family;
        let logs = reading.world.masters.iter().flat_map(|master| &master.log);
        Names { ids: logs.map(|entry| (gtid(family, entry.id), entry.id)).collect() }
    }

    pub fn row(&self, finding: &Finding) -> RowName {
        let bytes = &finding.key.as_ref().unwrap().bytes;
        let table = finding.table.as_ref().unwrap();
        let table = (0..=255).find(|t| table_name(*t) == *table).unwrap();
        (table, i64::from_le_bytes(bytes[..].try_into().unwrap()))
    }

    fn is_of(&self, finding: &Finding, row: RowName) -> bool {
        finding.key.is_some() && finding.index.is_none() && self.row(finding) == row
    }

    pub fn id(&self, finding: &Finding, at: usize) -> Id {
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
        let has_heads = setup.family != Family::Anonymous;
        if certainty == Certainty::Possible && has_heads && !want.undecided.contains(&pair) {
            return Err(format!("possible, but the logs decide it: {pair:?}"));
        }
    }
    Ok(())
}

/// Divergences that are open at the end: exactly the rows that differ, of those on which nothing is
/// on its way.
fn check_divergences(
    reading: &Reading,
    names: &Names,
    answer: &Answer,
    met: &mut Met,
) -> Result<(), String> {
    let mut open: BTreeMap<RowName, Certainty> = BTreeMap::new();
    for finding in answer.findings.iter().filter(|f| f.kind == FindingKind::Divergence) {
        if finding.state == State::Healed {
            met.healed += 1;
        } else if open.insert(names.row(finding), finding.certainty).is_some() {
            return Err(format!("open twice: {finding:#?}"));
        }
    }
    let from_start = reading.read.iter().all(|read| read.start == 0);
    for row in settled_rows(reading).into_iter().filter(|row| !reading.world.is_hidden(*row)) {
        let values = reading.world.masters.iter().map(|master| master.rows.get(&row));
        let differs = values.collect::<BTreeSet<_>>().len() > 1;
        let told = open.get(&row);
        met.divergent += u64::from(differs);
        match (differs, told) {
            // Where a write may have been before the log, or have changed nothing there, its row
            // is not known.
            (true, None) if reading.world.setup.family == Family::Anonymous => {
                met.divergent_unknown += 1;
            }
            (true, None) if from_start => {
                let told = answer.findings.iter().filter(|finding| names.is_of(finding, row));
                let told: Vec<String> = told.map(brief).collect();
                return Err(format!("not told that it differs: {row:?}\n{}", told.join("\n")));
            }
            (false, Some(Certainty::Exact)) => {
                let told = answer.findings.iter().filter(|finding| names.is_of(finding, row));
                let told: Vec<String> = told.map(brief).collect();
                return Err(format!("told that it differs: {row:?}\n{}", told.join("\n")));
            }
            (true, Some(Certainty::Possible)) => met.divergent_possible += 1,
            (false, Some(Certainty::Possible)) => met.divergent_false += 1,
            _ => {}
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
                Some(BlindSpotReason::NoCopies | BlindSpotReason::Gap | BlindSpotReason::Anonymous)
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
