//! When findings were made, counted in bounded memory whatever time they span.

use crate::{
    model::{CommitTime, FindingKind},
    report::page::{Class, Timeline},
};
use std::collections::BTreeMap;

/// Steps that are told apart; past that, they become twice as long.
const STEPS_MAX: usize = 4_000;
/// The first length of a step.
const STEP_MICROS: i64 = 1_000_000;

/// Findings by time and class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeSpread {
    step: i64,
    counts: BTreeMap<(i64, Class), (FindingKind, u64)>,
}

impl Default for TimeSpread {
    fn default() -> Self {
        TimeSpread { step: STEP_MICROS, counts: BTreeMap::new() }
    }
}

impl TimeSpread {
    /// Counts a finding.
    pub fn add(&mut self, kind: FindingKind, at: CommitTime) {
        let key = (at.micros.div_euclid(self.step), Class::of(kind));
        self.counts.entry(key).or_insert((kind, 0)).1 += 1;
        while self.counts.len() > STEPS_MAX && self.step < i64::MAX / 2 {
            self.step *= 2;
            for ((step, class), (kind, count)) in std::mem::take(&mut self.counts) {
                let key = (step.div_euclid(2), class);
                self.counts.entry(key).or_insert((kind, 0)).1 += count;
            }
        }
    }

    /// All findings counted.
    pub fn count(&self) -> u64 {
        self.counts.values().map(|(_, count)| count).sum()
    }

    /// The timeline of a span, of at most `bars` bars of a length that people count in; and the
    /// findings that are outside it.
    pub fn timeline(&self, span: (CommitTime, CommitTime), bars: usize) -> (Timeline, u64) {
        let (first, last) = (span.0.micros, span.1.micros);
        let wanted = last.saturating_sub(first) / (bars.max(2) as i64 - 1) + 1;
        let step = ROUND.into_iter().find(|step| *step >= wanted.max(self.step));
        let step = step.unwrap_or(wanted.max(self.step));
        let start = first.div_euclid(step) * step;
        let used = usize::try_from((last - start) / step + 1).unwrap_or(bars).min(bars);
        let mut timeline = Timeline::new(start, step, used);
        for ((at, _), (kind, count)) in &self.counts {
            // A step may begin before the span does, and reach into it.
            let begin = at.saturating_mul(self.step);
            let end = begin.saturating_add(self.step - 1);
            timeline.add(*kind, begin.max(start.min(end)), *count);
        }
        let shown: u64 = timeline.bars.iter().flatten().sum();
        (timeline, self.count() - shown)
    }
}

/// Lengths of bars, in microseconds: 1 s to a week.
const ROUND: [i64; 14] = [
    1_000_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    10_800_000_000,
    21_600_000_000,
    43_200_000_000,
    86_400_000_000,
    172_800_000_000,
    345_600_000_000,
    604_800_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> CommitTime {
        CommitTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn every_finding_is_in_a_bar_or_counted_as_outside() {
        for seconds in [0, 1, 90, 3_600, 86_400 * 365] {
            let mut spread = TimeSpread::default();
            let begin = 1_795_456_879;
            for place in 0..=100 {
                spread.add(FindingKind::WriteConflict, at(begin + seconds * place / 100));
            }
            spread.add(FindingKind::BlindSpot, CommitTime::default());
            let (timeline, outside) = spread.timeline((at(begin), at(begin + seconds)), 96);
            assert_eq!((spread.count(), outside), (102, 1), "{seconds}");
            assert!((1..=96).contains(&timeline.bars.len()), "{}", timeline.bars.len());
        }
    }

    #[test]
    fn it_stays_small_whatever_time_it_spans() {
        let mut spread = TimeSpread::default();
        for place in 0..20_000 {
            spread.add(FindingKind::WriteConflict, at(place * 86_400 * 7 - 1));
        }
        assert!(spread.counts.len() <= STEPS_MAX);
        let (timeline, outside) = spread.timeline((at(-1), at(20_000 * 86_400 * 7)), 96);
        assert_eq!(outside, 0);
        assert_eq!(timeline.bars.iter().flatten().sum::<u64>(), 20_000);
    }
}
