//! What one stream has shown of one source of transactions.

use crate::model::Coordinates;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Between which places of a stream a transaction took effect on that stream's rows.
///
/// Places are ordinals of transactions in the stream, from 1; 0 is before the stream began.
/// `after < place <= at`: for a transaction that the stream shows, `after` is `at - 1` and the
/// place is certain. For a hole (MariaDB logs nothing for a change that changed nothing) all that
/// is certain is that it passed between its neighbours; `after` is 0 where the stream has shown no
/// neighbour below, and then it may have passed before the stream began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) after: u64,
    pub(super) at: u64,
    /// The stream shows it: it is no hole.
    shown: bool,
    /// What the stream shows is an empty transaction that an operator injected in its place.
    skipped: bool,
    /// The stream shows it, but not all its rows are known from there.
    hidden: bool,
}

impl Place {
    /// Before the stream began.
    pub(super) const BASELINE: Place = Place::between(0, 0);

    pub(super) fn exact(ordinal: u64) -> Place {
        Place { shown: true, ..Place::between(ordinal - 1, ordinal) }
    }

    /// Of a hole: somewhere between its neighbours.
    pub(super) const fn between(after: u64, at: u64) -> Place {
        Place { after, at, shown: false, skipped: false, hidden: false }
    }

    /// Of a copy whose rows are not known: somewhere past one ordinal, up to another.
    pub(super) fn hidden(after: u64, at: u64) -> Place {
        Place { shown: true, hidden: true, ..Place::between(after, at) }
    }

    /// Of what a server says to have applied past one ordinal, up to another.
    pub(super) fn told(after: u64, at: u64) -> Place {
        Place::hidden(after, at)
    }

    /// Of an empty transaction that an operator injected.
    pub(super) fn injected(ordinal: u64) -> Place {
        Place { skipped: true, ..Place::exact(ordinal) }
    }

    pub(super) fn is_shown(&self) -> bool {
        self.shown
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.skipped
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Neither before nor after the original at `ordinal`, for certain.
    pub(super) fn is_around(&self, ordinal: u64) -> bool {
        !self.is_before(ordinal) && !self.is_after(ordinal)
    }

    /// Certainly before the original at `ordinal`.
    pub(super) fn is_before(&self, ordinal: u64) -> bool {
        self.at < ordinal
    }

    /// Certainly after what stands at `ordinal`, where 0 is before the stream began.
    pub(super) fn is_after(&self, ordinal: u64) -> bool {
        self.after >= ordinal && (self.after > 0 || self.shown)
    }
}

/// A copy that a stream showed before its original was read from the origin's stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct EarlyCopy {
    pub(super) ordinal: u64,
    pub(super) coordinates: Coordinates,
    /// It changes nothing: a no-op, or one that an operator injected.
    pub(super) is_empty: bool,
    /// An operator injected it.
    pub(super) injected: bool,
    /// It may have written rows that it does not show.
    pub(super) hides_rows: bool,
}

/// Copies of neighbouring numbers of which no more is known than where they stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// The lowest and the highest number.
    numbers: (u64, u64),
    /// They stand past the first of these ordinals, up to the second.
    ordinals: (u64, u64),
    /// How many there are, of those whose originals have not been read.
    count: u64,
    /// They are all that lie between the lowest and the highest.
    is_whole: bool,
}

impl Run {
    fn has(&self, sequence: u64) -> bool {
        (self.numbers.0..=self.numbers.1).contains(&sequence)
    }

    /// The original of one of them is read; true when it was the last.
    fn take(&mut self, sequence: u64, ordered: bool) -> bool {
        self.count = self.count.saturating_sub(1);
        if ordered {
            // Smaller ones do not come any more.
            self.numbers.0 = sequence + 1;
            return self.numbers.0 > self.numbers.1;
        }
        self.is_whole && self.count == 0
    }

    fn join(&mut self, other: &Run) {
        self.numbers.0 = self.numbers.0.min(other.numbers.0);
        self.numbers.1 = self.numbers.1.max(other.numbers.1);
        self.ordinals.0 = self.ordinals.0.min(other.ordinals.0);
        self.ordinals.1 = self.ordinals.1.max(other.ordinals.1);
        self.count += other.count;
        self.is_whole &= other.is_whole;
    }
}

/// Runs that are told apart, of one source in one stream; past that the two lowest become one.
const RUNS_MAX: usize = 1_000;

/// Bytes of a copy that waits: in two trees whose nodes stand half full.
const EARLY_BYTES: usize = 2 * (size_of::<(u64, EarlyCopy)>() + size_of::<u64>());

/// What a stream has shown of one source, as far as later questions need it.
#[derive(Default, Debug, Serialize, Deserialize)]
pub(super) struct ShownLog {
    /// Copies whose originals have not been read: they wait here for them.
    early: BTreeMap<u64, EarlyCopy>,
    /// The highest sequence number shown and its ordinal; 0, 0 before the first.
    last: (u64, u64),
    /// Ordinal of the copy with the highest sequence number below every waiting one.
    below: u64,
    /// Transactions below this number were never logged here: see [`ShownLog::begins_late`].
    unlogged_below: u64,
    /// Ordinals of the copies that wait.
    waiting: BTreeSet<u64>,
    /// Copies that waited for too long, with too many others; in the order of their numbers.
    runs: Vec<Run>,
}

/// How high the first number of a source must be to tell of a restored backup; what is missing
/// below a lower one may be holes, numbers of others in a shared domain, or still on its way.
const PREFIX_MIN: u64 = 1024;

/// How far appliers without commit order are taken to run ahead of themselves. MySQL bounds it by
/// `replica_checkpoint_group`, 512 by default.
pub(super) const DISORDER_MAX: u64 = 1024;

impl ShownLog {
    /// The highest sequence number shown, and its ordinal.
    pub(super) fn last(&self) -> (u64, u64) {
        self.last
    }

    /// Notes that a stream whose head knows nothing of the source begins to show it at `first`.
    ///
    /// A server that was restored from a backup has the transactions before, though its log never
    /// did: not even `gtid_purged` is named by the heads of files. They count as applied before
    /// the stream began. True when there are such.
    pub(super) fn begins_late(&mut self, first: u64) -> bool {
        let late = self.last == (0, 0) && first > PREFIX_MIN;
        if late {
            self.unlogged_below = first;
        }
        late
    }

    /// Numbers below this are certainly part of what was never logged here, and not on their way.
    pub(super) fn certainly_unlogged_below(&self, ordered: bool) -> u64 {
        match ordered {
            true => self.unlogged_below,
            false => self.unlogged_below.saturating_sub(DISORDER_MAX),
        }
    }

    /// Whether, now that the stream has ended, a transaction was never logged here.
    pub(super) fn was_never_logged(&self, sequence: u64) -> bool {
        sequence < self.unlogged_below
    }

    /// Takes note of a copy; `waits` when its original has not been read.
    pub(super) fn show(&mut self, sequence: u64, copy: EarlyCopy, waits: bool) {
        if sequence > self.last.0 {
            self.last = (sequence, copy.ordinal);
        }
        if waits {
            self.waiting.insert(copy.ordinal);
            self.early.insert(sequence, copy);
        } else {
            self.below = copy.ordinal;
        }
    }

    /// Answers, when an original is read, whether its copy has been shown here already.
    ///
    /// `ordered` sources also tell holes: a later number was shown, so this one has passed.
    pub(super) fn take(
        &mut self,
        sequence: u64,
        ordered: bool,
    ) -> Option<(Place, Option<Coordinates>)> {
        if ordered {
            // Originals come in order, so nobody will ask for a smaller number again.
            let passed = self.runs.iter().take_while(|run| run.numbers.1 < sequence).count();
            self.runs.drain(..passed);
            self.pass_below(sequence);
        }
        if let Some(copy) = self.early.remove(&sequence) {
            self.waiting.remove(&copy.ordinal);
            self.below = copy.ordinal;
            let place = match (copy.injected, copy.hides_rows) {
                (true, _) => Place::injected(copy.ordinal),
                (_, true) => Place::hidden(copy.ordinal - 1, copy.ordinal),
                _ => Place::exact(copy.ordinal),
            };
            return Some((place, Some(copy.coordinates)));
        }
        if let Some(at) = self.runs.iter().position(|run| run.has(sequence)) {
            let run = &mut self.runs[at];
            let place = Place::hidden(run.ordinals.0, run.ordinals.1);
            if run.take(sequence, ordered) {
                self.runs.remove(at);
            }
            return Some((place, None));
        }
        if sequence < self.certainly_unlogged_below(ordered) {
            return Some((Place::BASELINE, None));
        }
        if !ordered || self.last.0 <= sequence {
            return None;
        }
        let at = self.early.first_key_value().map_or(self.last.1, |(_, copy)| copy.ordinal);
        Some((Place::between(self.below, at), None))
    }

    /// Lets go of copies with lower numbers, which nobody will ask for again; returns the numbers.
    pub(super) fn pass_below(&mut self, sequence: u64) -> Vec<u64> {
        let mut passed = Vec::new();
        while let Some(entry) = self.early.first_entry().filter(|e| *e.key() < sequence) {
            passed.push(*entry.key());
            self.below = entry.remove().ordinal;
            self.waiting.remove(&self.below);
        }
        passed
    }

    /// Ordinal of the first copy that waits for its original, which may tell of rows that the copy
    /// lacks, and of holes before it.
    pub(super) fn first_waiting(&self) -> Option<u64> {
        self.waiting.first().copied()
    }

    /// Copies with content that still wait for their originals, and the lowest number of these.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let mut waiting = self.early.iter().filter(|(_, copy)| !copy.is_empty);
        let first = waiting.next().map(|(number, _)| *number);
        let waiting = first.map_or(0, |_| 1 + waiting.count() as u64);
        let run = self.runs.first().map(|run| run.numbers.0);
        let runs: u64 = self.runs.iter().map(|run| run.count).sum();
        (waiting + runs, run.into_iter().chain(first).min().unwrap_or(0))
    }

    /// Bytes of the copies that wait.
    pub(super) fn bytes(&self) -> usize {
        self.early.len() * EARLY_BYTES + self.runs.capacity() * size_of::<Run>()
    }

    /// Whether any copy waits, if only by its place.
    pub(super) fn awaits(&self) -> bool {
        !self.early.is_empty() || !self.runs.is_empty()
    }

    /// Whether the copy of this number waits for its original.
    pub(super) fn has_waiting(&self, sequence: u64) -> bool {
        self.early.contains_key(&sequence) || self.runs.iter().any(|run| run.has(sequence))
    }

    /// Copies that wait.
    pub(super) fn waiting_len(&self) -> usize {
        self.early.len()
    }

    /// Notes that the rows of a waiting copy are not known any more.
    pub(super) fn hides(&mut self, sequence: u64) {
        if let Some(copy) = self.early.get_mut(&sequence) {
            copy.hides_rows = true;
        }
    }

    /// Forgets all but the place of the waiting copy with the lowest number; returns the number.
    pub(super) fn forget_first_early(&mut self) -> Option<u64> {
        let (number, copy) = self.early.pop_first()?;
        self.waiting.remove(&copy.ordinal);
        self.below = self.below.max(copy.ordinal);
        let (numbers, ordinals) = ((number, number), (copy.ordinal - 1, copy.ordinal));
        let new = Run { numbers, ordinals, count: 1, is_whole: true };
        // Of what was shown between two numbers that are not neighbours nothing is known.
        let near = |run: &Run| run.numbers.0 <= number && number <= run.numbers.1 + 1;
        match self.runs.iter_mut().find(|run| near(run)) {
            Some(run) => run.join(&new),
            None => {
                let at = self.runs.partition_point(|run| run.numbers.1 < number);
                self.runs.insert(at, new);
            }
        }
        if self.runs.len() > RUNS_MAX {
            let second = self.runs.remove(1);
            self.runs[0].join(&second);
            self.runs[0].is_whole = false;
        }
        Some(number)
    }

    /// Forgets copies that wait for originals of these numbers, which will never come; returns
    /// their numbers.
    pub(super) fn forget_early_of(&mut self, is_of: impl Fn(u64) -> bool) -> Vec<u64> {
        let gone: Vec<u64> = self.early.keys().copied().filter(|number| is_of(*number)).collect();
        for copy in gone.iter().filter_map(|number| self.early.remove(number)) {
            self.waiting.remove(&copy.ordinal);
            self.below = self.below.max(copy.ordinal);
        }
        gone
    }

    /// Forgets copies that wait for originals which will never come.
    pub(super) fn forget_early(&mut self) {
        self.early.clear();
        self.waiting.clear();
        self.runs.clear();
    }
}
