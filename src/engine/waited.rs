//! What had been observed of each source, and when, by a clock that does not jump.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// How many notes are made in the time that a copy may take.
const NOTES: u32 = 8;

/// The highest number that had been observed of each source, at times that the caller names.
#[derive(Default)]
pub(super) struct Waited(VecDeque<(Duration, BTreeMap<usize, u64>)>);

impl Waited {
    /// Notes what has been observed by now, unless it was noted just before; what is `after` old
    /// will be asked for.
    pub(super) fn note(
        &mut self,
        now: Duration,
        after: Duration,
        highest: impl Iterator<Item = (usize, u64)>,
    ) {
        if self.0.back().is_some_and(|(at, _)| now < *at + after / NOTES) {
            return;
        }
        // One that is old enough is all that will be asked for.
        while self.0.get(1).is_some_and(|(at, _)| *at + after <= now) {
            self.0.pop_front();
        }
        self.0.push_back((now, highest.collect()));
    }

    /// What had been observed `after` before this time; nothing where that is not known.
    pub(super) fn before(&self, until: Duration, after: Duration) -> Option<&BTreeMap<usize, u64>> {
        let (_, highest) = self.0.iter().rfind(|(at, _)| *at + after <= until)?;
        Some(highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_so_long_ago_is_found_and_little_is_kept() {
        let second = Duration::from_secs;
        let (after, mut waited) = (second(80), Waited::default());
        for now in 0..1000 {
            waited.note(second(now), after, [(7, now)].into_iter());
            assert!(waited.0.len() <= NOTES as usize + 2);
            let found = waited.before(second(now), after).map(|highest| highest[&7]);
            match now.checked_sub(80) {
                None => assert_eq!(found, None),
                Some(then) => assert!(found.unwrap() <= then && then < found.unwrap() + 11),
            }
        }
        assert_eq!(waited.before(second(500), after), None, "forgotten");
    }
}
