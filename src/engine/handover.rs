//! Handovers: a node writes a row that another node wrote a short while before.
//!
//! A handover can be seen in one stream alone: node b's stream shows the copy of Ta, then the
//! original Tb, both with the key. Ta was applied when Tb was written, so Tb followed Ta on every
//! node. One stream decides, so the answer does not depend on how far the others were read.

use crate::model::{CommitTime, Coordinates, Gtid, NodeIndex, Operation};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::VecDeque;

/// A copy that touched a key not long ago.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct RecentCopy {
    pub(super) origin: NodeIndex,
    pub(super) server_id: u32,
    pub(super) gtid: Gtid,
    pub(super) committed_at: CommitTime,
    pub(super) coordinates: Coordinates,
}

/// One key that a recent copy touched.
#[derive(Serialize, Deserialize)]
struct Touched {
    key: u128,
    /// Serial of the copy in `copies`.
    copy: u64,
    operation: Operation,
}

/// The keys that copies in one stream touched within the window, at most `limit` of them.
///
/// A queue in stream order, and a hash table from a key to its newest place in the queue.
#[derive(Serialize, Deserialize)]
#[serde(from = "Written")]
pub(super) struct RecentCopies {
    #[serde(skip)]
    window_micros: i64,
    #[serde(skip)]
    limit: usize,
    touched: VecDeque<Touched>,
    /// Serial of the first entry of `touched`.
    touched_base: u64,
    copies: VecDeque<RecentCopy>,
    copies_base: u64,
    #[serde(serialize_with = "places")]
    newest: HashTable<u64>,
    /// Keys forgotten before their window had passed.
    forgotten: u64,
}

/// What is written of [`RecentCopies`].
#[derive(Deserialize)]
struct Written {
    touched: VecDeque<Touched>,
    touched_base: u64,
    copies: VecDeque<RecentCopy>,
    copies_base: u64,
    newest: Vec<u64>,
    forgotten: u64,
}

fn places<S: Serializer>(newest: &HashTable<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(newest)
}

impl From<Written> for RecentCopies {
    fn from(written: Written) -> Self {
        let Written { touched, touched_base, copies, copies_base, newest: places, forgotten } =
            written;
        let mut newest = HashTable::with_capacity(places.len());
        let hash = |place: &u64| touched[(place - touched_base) as usize].key as u64;
        for place in places {
            newest.insert_unique(hash(&place), place, hash);
        }
        let mut recent = RecentCopies::new(0, 0);
        (recent.touched, recent.touched_base) = (touched, touched_base);
        (recent.copies, recent.copies_base) = (copies, copies_base);
        (recent.newest, recent.forgotten) = (newest, forgotten);
        recent
    }
}

impl RecentCopies {
    pub(super) fn new(window_micros: i64, limit: usize) -> Self {
        RecentCopies {
            window_micros,
            limit,
            touched: VecDeque::new(),
            touched_base: 0,
            copies: VecDeque::new(),
            copies_base: 0,
            newest: HashTable::new(),
            forgotten: 0,
        }
    }

    /// Goes on with these limits: they are not written down.
    pub(super) fn set_limits(&mut self, window_micros: i64, limit: usize) {
        (self.window_micros, self.limit) = (window_micros, limit);
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.touched.capacity() * size_of::<Touched>()
            + self.copies.capacity() * size_of::<RecentCopy>()
            + self.newest.allocation_size()
    }

    /// Bytes of one key that is remembered, at most: its copy wrote no other, and all tables have
    /// just grown.
    pub(super) const KEY_BYTES: usize =
        2 * (size_of::<Touched>() + size_of::<RecentCopy>() + 2 * size_of::<u64>());

    /// False when both windows are off and nothing needs to be remembered.
    pub(super) fn is_on(&self) -> bool {
        self.window_micros > 0
    }

    /// Keys forgotten since the last call, because the limit was reached.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Remembers a copy and the keys it touched.
    pub(super) fn remember(
        &mut self,
        copy: RecentCopy,
        keys: impl Iterator<Item = (u128, Operation)>,
    ) {
        self.expire(copy.committed_at);
        let mut keys = keys.peekable();
        if keys.peek().is_none() {
            return;
        }
        let serial = self.copies_base + self.copies.len() as u64;
        self.copies.push_back(copy);
        for (key, operation) in keys {
            if self.touched.len() >= self.limit {
                self.forgotten += u64::from(self.pop_oldest());
            }
            let place = self.touched_base + self.touched.len() as u64;
            self.touched.push_back(Touched { key, copy: serial, operation });
            self.point_to(key, place);
        }
    }

    /// The copy that touched the key last, if it is within the window; the key is forgotten, for
    /// the write that asks is now the newest touch.
    pub(super) fn take(
        &mut self,
        key: u128,
        now: CommitTime,
    ) -> Option<(RecentCopy, Operation, i64)> {
        let (touched, base) = (&self.touched, self.touched_base);
        let same = |place: &u64| touched[(place - base) as usize].key == key;
        let place = self.newest.find_entry(key as u64, same).ok()?.remove().0;
        let touched = &self.touched[(place - base) as usize];
        let copy = &self.copies[(touched.copy - self.copies_base) as usize];
        // Two clocks: what looks like the past of the other one counts as no time at all.
        let passed = (now.micros - copy.committed_at.micros).max(0);
        (passed <= self.window_micros).then(|| (copy.clone(), touched.operation, passed))
    }

    fn point_to(&mut self, key: u128, place: u64) {
        let (touched, base) = (&self.touched, self.touched_base);
        let key_of = |place: &u64| touched[(place - base) as usize].key;
        match self.newest.find_mut(key as u64, |at| key_of(at) == key) {
            Some(newest) => *newest = place,
            None => {
                self.newest.insert_unique(key as u64, place, |at| key_of(at) as u64);
            }
        }
    }

    fn expire(&mut self, now: CommitTime) {
        while let Some(oldest) = self.touched.front() {
            let copy = &self.copies[(oldest.copy - self.copies_base) as usize];
            if now.micros - copy.committed_at.micros <= self.window_micros {
                break;
            }
            self.pop_oldest();
        }
    }

    /// Drops the oldest touched key; true when it was still its key's newest.
    fn pop_oldest(&mut self) -> bool {
        let Some(oldest) = self.touched.front() else { return false };
        let (key, copy, place) = (oldest.key, oldest.copy, self.touched_base);
        let newest = self.newest.find_entry(key as u64, |at| *at == place);
        let was_newest = newest.map(|entry| entry.remove()).is_ok();
        self.touched.pop_front();
        self.touched_base += 1;
        let needed = self.touched.front().map_or(copy + 1, |next| next.copy);
        while self.copies_base < needed && !self.copies.is_empty() {
            self.copies.pop_front();
            self.copies_base += 1;
        }
        was_newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GtidSource, Tag};
    use std::sync::Arc;

    fn copy(sequence: u64, seconds: u32) -> RecentCopy {
        let source = GtidSource::MySql { uuid: [0; 16], tag: Tag::default() };
        RecentCopy {
            origin: NodeIndex(0),
            server_id: 1,
            gtid: Gtid { source, sequence },
            committed_at: CommitTime::from_seconds(seconds),
            coordinates: Coordinates { file: Arc::from("f"), start: 0, end: 0 },
        }
    }

    fn taken(recent: &mut RecentCopies, key: u128, seconds: u32) -> Option<u64> {
        recent.take(key, CommitTime::from_seconds(seconds)).map(|(copy, ..)| copy.gtid.sequence)
    }

    #[test]
    fn the_newest_copy_within_the_window_is_found_once() {
        let mut recent = RecentCopies::new(10_000_000, 100);
        let insert = |key| (key, Operation::Insert);
        recent.remember(copy(1, 100), [1, 2].map(insert).into_iter());
        recent.remember(copy(2, 105), [2, 3].map(insert).into_iter());
        assert_eq!(taken(&mut recent, 2, 106), Some(2));
        assert_eq!(taken(&mut recent, 2, 106), None, "the asking write is the newest touch now");
        assert_eq!(taken(&mut recent, 1, 111), None, "11 s are past the window");
        recent.remember(copy(3, 116), std::iter::empty());
        assert_eq!((recent.touched.len(), recent.newest.len(), recent.copies.len()), (0, 0, 0));
        assert_eq!(taken(&mut recent, 3, 116), None);
        assert_eq!(recent.take_forgotten(), 0);
    }

    #[test]
    fn the_limit_is_kept_and_counted() {
        let mut recent = RecentCopies::new(i64::MAX / 2, 2);
        for n in 1..=5 {
            recent.remember(copy(n, 1), [(u128::from(n), Operation::Insert)].into_iter());
        }
        assert_eq!(recent.touched.len(), 2);
        assert_eq!(recent.take_forgotten(), 3);
        assert_eq!(taken(&mut recent, 4, 2), Some(4));
        assert_eq!(taken(&mut recent, 1, 2), None);
        // The limit drops an entry that is nobody's newest any more: nothing was lost.
        recent.remember(copy(6, 1), [(6, Operation::Insert)].into_iter());
        assert_eq!(recent.take_forgotten(), 0);
    }
}
