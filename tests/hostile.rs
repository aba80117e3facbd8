//! Hostile input, for a moment: every fuzz target on its seeds, on what found something once, and on
//! a few thousand mutations that are the same every time. `scripts/fuzz` does it for hours.

#![expect(clippy::disallowed_methods, reason = "a test's clock")]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::{mutate, run, seeds};
use std::time::{Duration, Instant};

/// Mutations of each target; `TWINLOG_FUZZ_RUNS` asks for another number.
const RUNS: u64 = 3_000;

/// No input of 64 KiB may take longer, in a build that is not optimised, on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);

fn runs() -> u64 {
    std::env::var("TWINLOG_FUZZ_RUNS").ok().map_or(RUNS, |runs| runs.parse().expect("a number"))
}

/// Shows the input when a target panics.
struct Shown<'a> {
    what: &'a str,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.input.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{}: the input, in hex: {hex}", self.what);
        }
    }
}

fn try_one(target: &str, what: &str, input: &[u8]) -> usize {
    let _shown = Shown { what, input };
    let start = Instant::now();
    let peak = run(target, input);
    let took = start.elapsed();
    assert!(took < LONGEST, "{target}: {what} took {took:?}");
    peak
}

fn try_target(target: &str) {
    let seeds = seeds::of(target);
    assert!(seeds.len() >= 5, "{target} has {} seeds", seeds.len());
    let (mut most, mut most_for) = (0, 0);
    let mut note = |peak: usize, input: &[u8]| {
        if peak > most {
            (most, most_for) = (peak, input.len());
        }
    };
    let found = seeds::found(target);
    for (name, input) in &found {
        note(try_one(target, name, input), input);
    }
    for (number, input) in seeds.iter().enumerate() {
        note(try_one(target, &format!("seed {number}"), input), input);
    }
    for number in 0..runs() {
        let input = mutate::mutated(&seeds, &mut mutate::Chance(number));
        note(try_one(target, &format!("mutation {number}"), &input), &input);
    }
    let count = seeds.len() + found.len();
    println!(
        "{target}: {count} seeds, {} mutations; at most {most} bytes held, for {most_for}",
        runs()
    );
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            try_target(stringify!($name));
        })*

        #[test]
        fn every_target_is_tried() {
            let mut names = [$(stringify!($name)),*];
            let mut known = fuzz::targets::TARGETS.map(|target| target.name);
            names.sort_unstable();
            known.sort_unstable();
            assert_eq!(names, known);
        }
    };
}

targets! { event table_map rows gtid payload json statement config file }
