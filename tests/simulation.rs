//! A seeded simulation of masters: the engine against the truth that the simulator knows.
//!
//! A failing seed is printed; `TWINLOG_SEED=n` runs it alone, `TWINLOG_TEST_SECONDS=n` runs longer.

#[path = "support/sim/mod.rs"]
mod sim;

use sim::{
    check::{Met, check},
    rng::Rng,
    streams::{Reading, Turns},
    world::{Family, Setup, World},
};

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
fn live(rng: &mut Rng) -> World {
    let mut world = World::new(setup(rng));
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
    let mut world = live(&mut rng);
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
    if let Some(seed) = sim::environment("TWINLOG_SEED") {
        let seed = seed.parse().expect("TWINLOG_SEED is a number");
        if let Err(e) = run(seed, &mut met) {
            panic!("seed {seed}: {e}");
        }
        return;
    }
    let (start, budget) = (sim::clock(), sim::seconds(10));
    let mut seeds = 0;
    while seeds < 500 || start.elapsed() < budget {
        if let Err(e) = run(seeds, &mut met) {
            panic!("TWINLOG_SEED={seeds}: {e}");
        }
        seeds += 1;
    }
    println!("{seeds} seeds, {met:?}");
    assert!(met.exact > 0 && met.possible > 0 && met.handovers > 0 && met.violations > 0);
}
