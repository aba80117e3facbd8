//! What hostile input is given to, and where it comes from.
//!
//! Each target is a plain function of bytes. `tests/hostile.rs` compiles this as a part of itself
//! and runs all of them on seeds and a few thousand mutations of these; `fuzz_targets/` hands them
//! to libFuzzer, which goes by coverage and takes as long as it is given (`scripts/fuzz`).
//!
//! **What must hold:** no panic, no hang, no more memory than [`targets::Target::bound`] says, and
//! what the two readers of the log tell of one input agrees.
#![allow(dead_code, unreachable_pub, reason = "not all that compile this use all of it")]

pub mod counting;
pub mod framing;
pub mod mutate;
pub mod seeds;
pub mod targets;

/// Runs a target; gives the most memory that it held at a time, in bytes.
///
/// # Panics
/// Where something does not hold.
pub fn run(name: &str, data: &[u8]) -> usize {
    let target = targets::TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("no target is called {name}"));
    let peak = counting::peak_of(|| (target.run)(data));
    let bound = target.bound(data);
    assert!(peak <= bound, "{name} held {peak} bytes of {} of input: past {bound}", data.len());
    peak
}
