//! A simulator of masters that replicate to each other, and the slow obvious oracle.
//!
//! It shares no code with the engine: the truth comes from positions in whole logs and from what
//! the simulator itself did.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a simulator that is wrong may stop the test")]

pub mod asked;
pub mod check;
pub mod kills;
pub mod oracle;
pub mod rng;
pub mod streams;
pub mod world;

/// Runs seeds from 0 on, so many, or as many as `TWINLOG_TEST_SECONDS` has time for; a failing one
/// is named. A number and not a time: the same seeds on every machine.
///
/// # Output
/// How many. `None` where `TWINLOG_SEED` has named the one to run: then there is nothing to count.
pub fn run_seeds(count: u64, mut run: impl FnMut(u64) -> Result<(), String>) -> Option<u64> {
    let mut run = |seed| run(seed).unwrap_or_else(|e| panic!("TWINLOG_SEED={seed}: {e}"));
    if let Some(seed) = environment("TWINLOG_SEED") {
        run(seed.parse().expect("TWINLOG_SEED is a number"));
        return None;
    }
    let (start, budget) = (clock(), self::seconds(0));
    let mut seeds = 0;
    while seeds < count || start.elapsed() < budget {
        run(seeds);
        seeds += 1;
    }
    Some(seeds)
}

/// How long a test may go on, in seconds.
pub fn seconds(default: u64) -> std::time::Duration {
    let text = environment("TWINLOG_TEST_SECONDS");
    std::time::Duration::from_secs(text.map_or(default, |t| t.parse().expect("a number")))
}

#[expect(clippy::disallowed_methods, reason = "a test takes its budget from the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A clock for time budgets; no verdict depends on it.
#[expect(clippy::disallowed_methods, reason = "a test measures its own time budget")]
pub fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
