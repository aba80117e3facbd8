//! A seeded simulation of masters: the engine against the truth that the simulator knows.
//!
//! A failing seed is printed; `TWINLOG_SEED=n` runs it alone, `TWINLOG_TEST_SECONDS=n` runs longer.

#[path = "support/sim/mod.rs"]
mod sim;

use sim::{
    asked,
    check::{Met, check},
    rng::Rng,
    streams::{Reading, Turns},
    world::{Family, Setup, World},
};
use twinlog::model::{BlindSpotReason, Certainty, CommitTime, Finding, FindingKind, State};

const TURNS: [Turns; 6] = [
    Turns::Whole,
    Turns::WholeFromLast,
    Turns::Each(1),
    Turns::Random(1),
    Turns::Random(2),
    Turns::Killed(3),
];

fn setup(rng: &mut Rng) -> Setup {
    let family = rng.pick(&[Family::MySql, Family::MariaDb]);
    Setup {
        family,
        nodes: rng.pick(&[2, 2, 3, 4]),
        ring: rng.chance(50),
        parallel: rng.chance(50),
        strict: rng.chance(30),
        domains: rng.pick(&[1, 1, 2]),
        shared_domain: family == Family::MariaDb && rng.chance(25),
        tables: rng.pick(&[1, 2, 3]),
        keys: rng.pick(&[1, 2, 4, 8]),
        values: rng.pick(&[1, 2, 3, 1_000_000]),
    }
}

/// Lets masters work for a while; links stall and come back.
fn live(setup: Setup, rng: &mut Rng) -> World {
    let mut world = World::new(setup);
    let steps = rng.pick(&[6, 12, 25, 60]);
    let busy = rng.pick(&[20, 40, 60]);
    let silent = rng.pick(&[0, 0, 5]);
    for _ in 0..steps {
        world.micros += rng.below(2_000_000) as i64;
        let link = rng.below(world.links.len());
        if rng.chance(silent) {
            let node = rng.below(world.setup.nodes);
            world.write_silently(node, rng);
        } else if rng.chance(busy) {
            let node = rng.below(world.setup.nodes);
            world.commit_random(node, rng);
        } else if rng.chance(10) {
            world.links[link].stalled = !world.links[link].stalled;
        } else if !world.links[link].stalled {
            for _ in 0..1 + rng.below(4) {
                let skip = rng.chance(30);
                world.deliver(link, rng, skip);
            }
        }
    }
    world
}

/// One seed: a world, read whole, and in a part.
fn run(seed: u64, met: &mut Met) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut world = live(setup(&mut rng), &mut rng);
    let settled = rng.chance(60);
    if settled {
        world.settle(&mut rng);
        world.flush(&mut rng);
    }
    let ends: Vec<usize> = world.masters.iter().map(|master| master.log.len()).collect();
    let part = |rng: &mut Rng, end: usize| rng.below(end + 1);
    let starts: Vec<usize> = match rng.below(3) {
        0 => vec![0; ends.len()],
        _ => ends.iter().map(|end| part(&mut rng, *end) / 2).collect(),
    };
    let cut: Vec<usize> =
        starts.iter().zip(&ends).map(|(s, e)| s + part(&mut rng, e - s)).collect();
    let applied = rng.chance(50);
    let range = |ends: &[usize]| starts.iter().zip(ends).map(|(s, e)| *s..*e).collect();
    for (part, all) in [
        (Reading::whole(&world), true),
        (Reading::new(&world, range(&ends), applied), true),
        (Reading::new(&world, range(&cut), applied), false),
    ] {
        let tell = |e| {
            let setup = world.setup;
            format!("{setup:?}\n{:?} applied {applied}\n{e}\n{}", part.read, world.describe())
        };
        let answer = check(&part, &TURNS, met).map_err(tell)?;
        if settled && all && (answer.open_transactions, answer.open_keys) != (0, 0) {
            return Err(tell(format!("holds {} transactions", answer.open_transactions)));
        }
    }
    Ok(())
}

#[test]
fn the_engine_agrees_with_the_simulated_truth() {
    let mut met = Met::default();
    let ran = sim::run_seeds(2_000, |seed| run(seed, &mut met));
    let Some(seeds) = ran else { return };
    println!("{seeds} seeds, {met:?}");
    assert!(met.exact > 0 && met.possible > 0 && met.handovers > 0 && met.violations > 0);
}

/// Masters without GTIDs.
fn without_gtids(rng: &mut Rng) -> World {
    let one = Setup { domains: 1, shared_domain: false, ..setup(rng) };
    let mut world = live(Setup { family: Family::MariaDb, ..one }, rng);
    if rng.chance(60) {
        world.settle(rng);
        world.flush(rng);
    }
    world.setup.family = Family::Anonymous;
    world
}

/// One seed: masters without GTIDs, whose logs are read whole.
fn run_anonymous(seed: u64, met: &mut Met) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let world = without_gtids(&mut rng);
    let tell = |e| format!("{:?}\n{e}\n{}", world.setup, world.describe());
    check(&Reading::whole(&world), &TURNS, met).map(drop).map_err(tell)
}

#[test]
fn without_gtids_nothing_is_missed_and_nothing_certain_is_false() {
    let mut met = Met::default();
    let ran = sim::run_seeds(1_000, |seed| run_anonymous(seed, &mut met));
    let Some(seeds) = ran else { return };
    println!("{seeds} seeds, {met:?}");
    assert!(met.exact > 0 && met.possible > 0 && met.handovers > 0);
    assert!(met.divergent > 0 && met.divergent_unknown < met.divergent / 4, "{met:?}");
}

/// One seed: masters whose log has no commit times either. Counts the conflicts that commit times
/// tell, those of them that are told without, and those that are told without alone.
fn run_counted(seed: u64, counts: &mut [usize; 3]) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let world = without_gtids(&mut rng);
    let conflicts = |findings: &[Finding]| -> Vec<_> {
        let is_conflict = |of: &&Finding| of.kind == FindingKind::WriteConflict;
        let of_row = |of: &Finding| (of.key.as_ref().map(|key| key.bytes.clone()), of.conflict);
        findings.iter().filter(is_conflict).map(of_row).collect()
    };
    let timed = conflicts(&Reading::whole(&world).run(Turns::Whole).findings);
    let mut reading = Reading::whole(&world);
    // Many in one second, or few.
    let scale = rng.pick(&[1, 10]);
    for tx in reading.streams.iter_mut().flatten() {
        tx.gtid = None;
        let seconds = tx.committed_at.micros / 1_000_000 / scale * scale;
        tx.committed_at = CommitTime::from_seconds(seconds as u32);
    }
    for turns in TURNS {
        let answer = reading.run(turns);
        let rests_on_names = [FindingKind::WriteConflict, FindingKind::Divergence];
        let is_exact = |of: &&Finding| {
            let is_open = of.state != State::Healed;
            of.certainty == Certainty::Exact && is_open && rests_on_names.contains(&of.kind)
        };
        if let Some(exact) = answer.findings.iter().find(is_exact) {
            return Err(format!("{turns:?}: {exact:#?}\n{}", world.describe()));
        }
        let mut told = conflicts(&answer.findings);
        for pair in &timed {
            if let Some(at) = told.iter().position(|of| of == pair) {
                told.swap_remove(at);
                counts[1] += 1;
            }
        }
        counts[0] += timed.len();
        counts[2] += told.len();
    }
    Ok(())
}

#[test]
fn without_commit_times_nothing_is_certain_and_hardly_anything_missed() {
    let mut counts = [0; 3];
    let ran = sim::run_seeds(300, |seed| run_counted(seed, &mut counts));
    let Some(seeds) = ran else { return };
    let [conflicts, told, more] = counts;
    println!("{seeds} seeds, {conflicts} conflicts, {told} told, and {more} more");
    assert!(conflicts > 0 && told * 100 > conflicts * 99, "{told} of {conflicts}");
    assert!(more * 100 < conflicts, "{more} beside {conflicts}");
}

/// With little memory no more is told than with enough, nothing certain that is not so, and what
/// is left out has a blind spot. Gives whether the bound was reached.
fn run_bounded(seed: u64) -> Result<bool, String> {
    let mut rng = Rng::new(seed);
    let world = live(setup(&mut rng), &mut rng);
    let memory = rng.pick(&[2_000, 6_000, 12_000, 30_000]);
    let whole = Reading::whole(&world).run(Turns::Whole);
    // Of what has healed it says how certain that is.
    let is_exact = |of: &&Finding| of.certainty == Certainty::Exact && of.state != State::Healed;
    let mut reached = false;
    for turns in TURNS {
        let bounded = Reading::whole(&world).with_memory(memory).run(turns);
        let blind =
            bounded.findings.iter().any(|of| of.reason == Some(BlindSpotReason::BoundReached));
        reached |= blind;
        let of_rows = |of: &&Finding| of.kind != FindingKind::BlindSpot;
        let tell = |what: &str, of: &Finding| {
            Err(format!("{what}, {turns:?}, {memory} bytes, {of:#?}\n{}", world.describe()))
        };
        for found in bounded.findings.iter().filter(of_rows).filter(is_exact) {
            let same = |of: &Finding| match found.kind {
                FindingKind::Divergence => of.kind == found.kind && of.key == found.key,
                _ => of.id == found.id,
            };
            if !whole.findings.iter().any(same) {
                return tell("told with little memory alone", found);
            }
        }
        if !blind {
            let lost = whole.findings.iter().find(|of| !bounded.findings.contains(of));
            if let Some(lost) = lost {
                return tell("lost without a blind spot", lost);
            }
        }
    }
    Ok(reached)
}

#[test]
fn with_little_memory_what_is_not_told_is_named() {
    let mut reached = 0;
    let ran =
        sim::run_seeds(1_000, |seed| run_bounded(seed).map(|bound| reached += u64::from(bound)));
    let Some(seeds) = ran else { return };
    println!("{seeds} seeds, the bound was reached in {reached}");
    assert!(reached > seeds / 10 && reached < seeds, "{reached} of {seeds}");
}

/// One seed: masters of which some do not log what they apply, and are asked.
fn run_asked(seed: u64, met: &mut asked::Met) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut world = live(setup(&mut rng), &mut rng);
    let settled = rng.chance(60);
    if settled {
        world.settle(&mut rng);
        world.flush(&mut rng);
    }
    if world.setup.strict && world.setup.family == Family::MariaDb {
        // A transaction that an operator skips counts as applied on the server, and never was:
        // there is no moment of it to compare with.
        return Ok(());
    }
    let (reading, moments) = asked::reading(&world, &mut rng);
    let tell = |e| format!("{:?}\n{moments:?}\n{e}\n{}", world.setup, world.describe());
    let open = asked::check(&reading, &moments, &TURNS, met).map_err(tell)?;
    match settled && open > 0 {
        true => Err(tell(format!("holds {open} transactions"))),
        false => Ok(()),
    }
}

#[test]
fn without_copies_the_order_is_what_servers_say() {
    let mut met = asked::Met::default();
    let ran = sim::run_seeds(2_000, |seed| run_asked(seed, &mut met));
    let Some(seeds) = ran else { return };
    println!("{seeds} seeds, {met:?}");
    assert!(met.exact > 0 && met.possible > 0 && met.possible_false > 0, "{met:?}");
}
