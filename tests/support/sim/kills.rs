//! Kills: the memory is written down now and then, and a run goes on from what was written last.

use super::{rng::Rng, streams::Turns};
use std::collections::BTreeMap;
use twinlog::engine::{Report, Verifier};

/// When to write down and when to kill.
pub struct Kills {
    rng: Option<Rng>,
    written: Option<Written>,
}

struct Written {
    memory: Vec<u8>,
    /// Steps taken by then, and reports made.
    steps: usize,
    reports: usize,
}

impl Kills {
    pub fn new(turns: Turns) -> Self {
        let rng = match turns {
            Turns::Killed(seed) => Some(Rng::new(seed)),
            _ => None,
        };
        Kills { rng, written: None }
    }

    /// After a step: nothing, or a kill: the memory to go on with. What was told since is told
    /// again, and the steps since are taken again, in another order of the streams.
    pub fn after(
        &mut self,
        next: &mut usize,
        order: &mut [(usize, usize)],
        verifier: &Verifier,
        reports: &mut Vec<Report>,
    ) -> Option<Vec<u8>> {
        let rng = self.rng.as_mut()?;
        if rng.chance(15) {
            let memory = rmp_serde::to_vec(&verifier.memory()).unwrap();
            self.written = Some(Written { memory, steps: *next, reports: reports.len() });
        }
        let written = self.written.as_ref().filter(|_| rng.chance(15))?;
        *next = written.steps;
        reports.truncate(written.reports);
        merge_anew(&mut order[written.steps..], rng);
        Some(written.memory.clone())
    }
}

/// The same steps of each stream, in another order of the streams.
fn merge_anew(steps: &mut [(usize, usize)], rng: &mut Rng) {
    let mut left: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (stream, at) in steps.iter().rev() {
        left.entry(*stream).or_default().push(*at);
    }
    for step in steps {
        let streams: Vec<usize> = left.keys().copied().collect();
        let stream = rng.pick(&streams);
        let rest = left.get_mut(&stream).unwrap();
        *step = (stream, rest.pop().unwrap());
        if rest.is_empty() {
            left.remove(&stream);
        }
    }
}
