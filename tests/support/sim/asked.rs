//! Masters that do not log what they apply, and are asked: what their servers answer, and what the
//! engine must make of it.

use super::{
    check::{Names, same},
    oracle::{Pair, conflicts},
    rng::Rng,
    streams::{Reading, Turns, gtid},
    world::{Family, Id, World},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    iter::repeat,
};
use twinlog::model::*;

/// Per node that is asked: the lengths of its whole log at each answer.
pub type Moments = BTreeMap<usize, Vec<usize>>;

/// What was met.
#[derive(Default, Debug)]
pub struct Met {
    pub runs: u64,
    pub exact: u64,
    pub possible: u64,
    pub possible_false: u64,
}

/// A whole world, of which some nodes show no copies and are asked at random moments.
pub fn reading<'w>(world: &'w World, rng: &mut Rng) -> (Reading<'w>, Moments) {
    let mut reading = Reading::whole(world);
    let nodes = world.setup.nodes;
    let sure = rng.below(nodes);
    let mut moments = Moments::new();
    for node in 0..nodes {
        if node != sure && rng.chance(40) {
            continue;
        }
        let log = &world.masters[node].log;
        let shown = |at: &usize| log[*at].server == node;
        let own = (0..log.len()).filter(shown).map(|at| reading.streams[node][at].clone());
        reading.streams[node] = own.collect();
        let often = rng.pick(&[5, 30, 80]);
        let mut at: Vec<usize> = (0..log.len()).filter(|_| rng.chance(often)).collect();
        // At the end nothing moves any more, and is asked often enough.
        at.extend([log.len(); 5]);
        reading.answers[node] = Some(answers(world, node, &at, rng));
        moments.insert(node, at);
    }
    (reading, moments)
}

/// What a node's server answers at these moments. What is done shows in the next answer at the
/// latest, and nothing shows before it is done.
fn answers(world: &World, node: usize, moments: &[usize], rng: &mut Rng) -> Vec<Applied> {
    let (master, family) = (&world.masters[node], world.setup.family);
    let mut last = 0;
    let mut shown = [0; 2];
    let mut answers = Vec::new();
    for now in moments {
        for shown in &mut shown {
            *shown = (*shown).max(last + rng.below(now - last + 1));
        }
        last = *now;
        let passed = |id: &&Id| master.places[*id] <= 2 * shown[0] as u64;
        let applied = master.places.keys().filter(|id| id.origin != node).filter(passed);
        let own = master.log[..shown[1]].iter().map(|entry| entry.id);
        answers.push(Applied {
            applied: set(family, applied.copied()),
            own: set(family, own.filter(|id| id.origin == node)),
        });
    }
    answers
}

fn set(family: Family, ids: impl Iterator<Item = Id>) -> GtidSet {
    let mut set = GtidSet::default();
    for id in ids {
        match family {
            Family::MySql => drop(set.add(&gtid(family, id))),
            _ => set.add_up_to(&gtid(family, id)),
        }
    }
    set
}

/// Runs the engine in each of these orders: the same answers, nothing missed, nothing certain that
/// is not so, and nothing possible that the answers decide.
pub fn check(
    reading: &Reading,
    moments: &Moments,
    turns: &[Turns],
    met: &mut Met,
) -> Result<usize, String> {
    let told = |turns: Turns| {
        let answer = reading.run(turns);
        let conflicts = answer.findings.into_iter();
        let conflicts = conflicts.filter(|finding| finding.kind == FindingKind::WriteConflict);
        (conflicts.collect::<Vec<Finding>>(), answer.open_transactions)
    };
    let logs =
        moments.keys().flat_map(|node| reading.world.masters[*node].log.iter().zip(repeat(node)));
    let injected =
        logs.into_iter().any(|(entry, node)| entry.server == *node && entry.id.origin != *node);
    let (first, open) = told(turns[0]);
    for other in &turns[1..] {
        let (second, left) = told(*other);
        // What an operator injected stands in the log, and the server says that it was applied:
        // the place is that of whichever is read first.
        if !injected {
            let [one, two] = [&first, &second].map(|found| comparable(reading, moments, found));
            same(&one, &two).map_err(|e| format!("{other:?}: {e}"))?;
        }
        if open != left {
            return Err(format!("{other:?} ends with other open transactions"));
        }
    }
    met.runs += turns.len() as u64;
    let names = Names::new(reading);
    let truth = conflicts(reading).truth;
    let mut found: BTreeSet<Pair> = BTreeSet::new();
    for finding in &first {
        let pair = (names.row(finding), names.id(finding, 0), names.id(finding, 1));
        found.insert(pair);
        match finding.certainty {
            Certainty::Exact => met.exact += 1,
            Certainty::Possible => met.possible += 1,
        }
        met.possible_false += u64::from(!truth.contains(&pair));
        if finding.certainty == Certainty::Exact && !truth.contains(&pair) {
            return Err(format!("false: {pair:?}"));
        }
        if finding.certainty == Certainty::Possible && !is_close(reading, moments, &pair) {
            return Err(format!("possible, but the answers decide it: {pair:?}"));
        }
    }
    // Where nobody knows the order, a write that found what the other left was written over it:
    // it would have to be by chance that it had not come.
    let by_chance = reading.world.setup.values < 1_000 || !reading.world.silent.is_empty();
    let may_miss = |pair: &Pair| by_chance && is_close(reading, moments, pair);
    let missed = truth.difference(&found).find(|pair| !may_miss(pair));
    match missed {
        Some(missed) => Err(format!("missed: {missed:?}")),
        None => Ok(open),
    }
}

/// What must not depend on the order of reading. A hole in the log of a node that is not asked is
/// doubtful as long as a server has not said which writes it can have passed before.
fn comparable(reading: &Reading, moments: &Moments, found: &[Finding]) -> Vec<Finding> {
    let setup = &reading.world.setup;
    let has_holes = setup.family == Family::MariaDb && moments.len() < setup.nodes;
    let certainty = |of: &Finding| if has_holes { Certainty::Possible } else { of.certainty };
    found.iter().map(|of| Finding { certainty: certainty(of), ..of.clone() }).collect()
}

/// Whether the answers leave the order of a pair open, on one of the nodes that are asked: or its
/// holes do, on one that is not.
fn is_close(reading: &Reading, moments: &Moments, (_, one, two): &Pair) -> bool {
    let around = |here: Id, came: Id| {
        let node = here.origin;
        let master = &reading.world.masters[node];
        let Some(moments) = moments.get(&node) else {
            return !master.shows(came, &(0..master.log.len()));
        };
        let own = master.places[&here];
        let at = |index: usize| moments.get(index).map_or(u64::MAX, |at| 2 * *at as u64);
        // The server counts all up to the number that it has come to, whatever became of them.
        let ordered = reading.world.setup.family == Family::MariaDb;
        let counts = |id: &Id| {
            id.same_source(&came)
                && (id.number == came.number || ordered && id.number > came.number)
        };
        let places = master.places.iter().filter(|(id, _)| counts(id));
        let done = places.map(|(_, place)| *place).min().unwrap_or(u64::MAX);
        let first = moments.partition_point(|now| 2 * (*now as u64) < done);
        let after = first.checked_sub(3).map_or(0, at);
        own > after && own <= at(first + 2)
    };
    around(*one, *two) || around(*two, *one)
}
