//! Small scopes, enumerated whole: every short schedule of two masters, against the oracle.
//!
//! Many schedules make the same logs: those that differ only by a step that does nothing, in the
//! order of steps on different nodes, or in the names of nodes, rows and values. Each history, the
//! logs and what passed without a trace, is judged once. `TWINLOG_TEST_SECONDS` of 60 and more
//! goes one step deeper.

#[path = "support/sim/mod.rs"]
mod sim;

use std::collections::BTreeSet;

use sim::{
    check::{Met, check},
    rng::Rng,
    streams::{Reading, Turns},
    world::{Family, RowName, Setup, World},
};

/// One step of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// A node writes these rows, to a value that no other step writes.
    Touch(usize, &'static [RowName]),
    /// A node writes row 1: to a value that others write, too, or away.
    Write(usize, Option<u32>),
    /// The next transaction of this node is applied on the other.
    Replicate(usize),
}

const BOTH: [RowName; 2] = [(2, 1), (2, 2)];
const ROW_1: &[RowName] = BOTH.split_at(1).0;
const ROW_2: &[RowName] = BOTH.split_at(1).1;

/// Rows 1, 2, or both, written on a or b; every write changes the row wherever it is applied.
const TOUCHES: [Step; 8] = [
    Step::Touch(0, ROW_1),
    Step::Touch(0, ROW_2),
    Step::Touch(0, &BOTH),
    Step::Touch(1, ROW_1),
    Step::Touch(1, ROW_2),
    Step::Touch(1, &BOTH),
    Step::Replicate(0),
    Step::Replicate(1),
];

/// One row with two values, so that many applies change nothing; row 2 only bounds the holes.
const WRITES: [Step; 10] = [
    Step::Write(0, Some(1)),
    Step::Write(0, Some(2)),
    Step::Write(0, None),
    Step::Touch(0, ROW_2),
    Step::Write(1, Some(1)),
    Step::Write(1, Some(2)),
    Step::Write(1, None),
    Step::Touch(1, ROW_2),
    Step::Replicate(0),
    Step::Replicate(1),
];

/// Goes through all schedules below a world.
struct Walk<'s> {
    steps: &'s [Step],
    depth: usize,
    /// Histories met, and those of them with all brought everywhere.
    met_before: BTreeSet<String>,
    settled_before: BTreeSet<String>,
    met: Met,
    path: Vec<Step>,
}

impl Walk<'_> {
    fn visit(&mut self, world: &World) {
        if !self.met_before.insert(world.describe()) {
            return;
        }
        self.judge(world);
        if self.path.len() == self.depth {
            return;
        }
        for step in self.steps.iter().copied() {
            let mut next = world.clone();
            if !self.is_renamed(step) && take(&mut next, step) {
                self.path.push(step);
                self.visit(&next);
                self.path.pop();
            }
        }
    }

    /// The same schedule is met with other names: begun by node a, with row 1 or value 1 first.
    fn is_renamed(&self, step: Step) -> bool {
        let names_row = |step: &Step| matches!(step, Step::Touch(_, rows) if rows.len() == 1);
        let both_rows_alike = self.steps.contains(&Step::Touch(0, ROW_1));
        match step {
            Step::Touch(1, _) | Step::Write(1, _) if self.path.is_empty() => true,
            Step::Touch(_, rows) if rows == ROW_2 && both_rows_alike => {
                !self.path.iter().any(names_row)
            }
            Step::Write(_, Some(2)) => !self.path.iter().any(|s| matches!(s, Step::Write(..))),
            _ => false,
        }
    }

    fn judge(&mut self, world: &World) {
        let some = Turns::Random(self.met_before.len() as u64);
        let turns = match self.path.len() < 7 {
            true => &[Turns::Whole, Turns::WholeFromLast, Turns::Each(1), Turns::Each(2), some][..],
            false => &[Turns::WholeFromLast, some][..],
        };
        self.demand(world, turns);
        let mut settled = world.clone();
        settled.settle(&mut Rng::new(0));
        if !self.settled_before.insert(settled.describe()) {
            return;
        }
        // Without a last transaction of each node a hole at the end is not certain.
        let held = self.demand(&settled, turns);
        let holes = settled.setup.family == Family::MariaDb && self.steps == WRITES;
        assert!(holes || held == 0, "{held} held after {:?}", self.path);
        if holes {
            settled.flush(&mut Rng::new(0));
            let held = self.demand(&settled, turns);
            assert_eq!(held, 0, "held after {:?}", self.path);
        }
    }

    fn demand(&mut self, world: &World, turns: &[Turns]) -> usize {
        let answer = check(&Reading::whole(world), turns, &mut self.met);
        match answer {
            Ok(answer) => answer.open_transactions + answer.open_keys,
            Err(e) => {
                panic!("{:?}, {:?}: {e}\n{}", world.setup.family, self.path, world.describe())
            }
        }
    }
}

/// Takes a step; false when it does nothing.
///
/// Time and new values follow from the node's log, so that equal histories look equal.
fn take(world: &mut World, step: Step) -> bool {
    if let Step::Touch(node, _) | Step::Write(node, _) = step {
        let newest = world.masters[node].log.iter().map(|entry| entry.micros).max();
        world.micros = newest.unwrap_or(1_000_000_000_000) + 1_500_000;
    }
    match step {
        Step::Touch(node, rows) => {
            let value = 1_000 * (node + 1) + world.masters[node].log.len();
            world.write(node, rows, Some(value as u32))
        }
        Step::Write(node, value) => world.write(node, ROW_1, value),
        Step::Replicate(from) => {
            let link = world.links.iter().position(|link| link.from == from);
            let link = link.expect("both nodes replicate");
            world.deliver(link, &mut Rng::new(0), false)
        }
    }
}

fn walk(family: Family, steps: &[Step], depth: usize) -> Met {
    let setup = Setup {
        family,
        nodes: 2,
        ring: true,
        parallel: false,
        strict: false,
        domains: 1,
        shared_domain: false,
        tables: 3,
        keys: 2,
        values: 2,
    };
    let deeper = sim::seconds(0).as_secs() >= 60;
    let mut walk = Walk {
        steps,
        depth: depth + usize::from(deeper),
        met_before: BTreeSet::new(),
        settled_before: BTreeSet::new(),
        met: Met::default(),
        path: Vec::new(),
    };
    let start = sim::clock();
    walk.visit(&World::new(setup));
    let (depth, met) = (walk.depth, walk.met);
    let (all, settled) = (walk.met_before.len(), walk.settled_before.len());
    let seconds = start.elapsed().as_secs_f32();
    println!(
        "{family:?}: {all} histories of up to {depth} steps, {settled} settled ones, {met:?}, \
         {seconds:.1} s"
    );
    met
}

fn touches(family: Family) {
    let met = walk(family, &TOUCHES, 7);
    assert!(met.exact > 0);
    assert_eq!(met.possible_false, 0, "without holes every doubt is a conflict");
}

fn writes(family: Family, depth: usize) {
    let met = walk(family, &WRITES, depth);
    assert!(met.exact > 0);
    assert_eq!(met.possible_false > 0, family == Family::MariaDb, "only holes leave doubts");
}

#[test]
fn every_short_schedule_is_decided_on_mysql() {
    touches(Family::MySql);
}

#[test]
fn every_short_schedule_is_decided_on_mariadb() {
    touches(Family::MariaDb);
}

#[test]
fn every_short_schedule_with_silent_applies_is_decided_on_mysql() {
    writes(Family::MySql, 6);
}

#[test]
fn every_short_schedule_with_silent_applies_is_decided_or_possible_on_mariadb() {
    writes(Family::MariaDb, 7);
}
