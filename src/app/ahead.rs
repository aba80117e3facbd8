//! What was read and not judged yet, and the copies in it that show what their originals do not.
//!
//! An original that was logged as statements has no rows. A node with `binlog_format=ROW` logs its
//! copy as rows, and these stand for the original's: they are looked for in what was read ahead of
//! the other streams, and among the copies that were observed before. The engine sees an original
//! with rows, at its own place, so nothing of the order rule changes.

use crate::{
    feed::{FeedItem, live::LiveEvent},
    model::{Gtid, GtidSource, NodeIndex, Transaction},
};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// What a stream delivers.
pub(super) trait Delivered {
    /// The item that it is, if it is one.
    fn item(&self) -> Option<&FeedItem>;

    /// The transaction that it is.
    fn transaction(&self) -> Option<&Transaction> {
        match self.item() {
            Some(FeedItem::Transaction(tx)) => Some(tx),
            _ => None,
        }
    }
}

impl Delivered for LiveEvent {
    fn item(&self) -> Option<&FeedItem> {
        match self {
            LiveEvent::Item(item) => Some(item),
            _ => None,
        }
    }
}

impl Delivered for (FeedItem, u64) {
    fn item(&self) -> Option<&FeedItem> {
        Some(&self.0)
    }
}

/// What was read of one stream and not judged yet.
pub(super) struct Ahead<T> {
    items: VecDeque<T>,
    /// How many were taken from the front, ever.
    taken: u64,
    /// Numbers of its transactions, counted from the stream's beginning; noted once somebody has
    /// asked, for most logs hold no statements.
    numbers: HashMap<Gtid, u64>,
    /// The first that is not noted.
    unnoted: Option<u64>,
    /// Of sources that are logged in the order of their numbers: the highest that was noted.
    highest: HashMap<GtidSource, u64>,
}

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Ahead {
            items: VecDeque::new(),
            taken: 0,
            numbers: HashMap::new(),
            unnoted: None,
            highest: HashMap::new(),
        }
    }
}

impl<T: Delivered> Ahead<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.items.front()
    }

    pub(super) fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    pub(super) fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        self.items.extend(items);
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.taken += 1;
        if self.unnoted.is_some()
            && let Some(gtid) = item.transaction().and_then(|tx| tx.gtid)
        {
            self.numbers.remove(&gtid);
        }
        Some(item)
    }

    /// The first, unless it is so.
    pub(super) fn pop_unless(&mut self, is_so: impl Fn(&T) -> bool) -> Option<T> {
        self.front().filter(|first| !is_so(first))?;
        self.pop()
    }

    /// The transaction of this GTID, if it was noted and not taken.
    pub(super) fn get(&self, gtid: &Gtid) -> Option<&Transaction> {
        let number = self.numbers.get(gtid)?;
        let at = usize::try_from(number.checked_sub(self.taken)?).ok()?;
        self.items.get(at)?.transaction()
    }

    /// Whether it was noted that the stream has come to the GTID, or past it: then none comes.
    pub(super) fn has_passed(&self, gtid: &Gtid) -> bool {
        self.highest.get(&gtid.source).is_some_and(|highest| *highest >= gtid.sequence)
    }

    /// Notes the transactions that were read since this was done last.
    pub(super) fn note(&mut self) {
        let first = self.unnoted.unwrap_or(0).max(self.taken);
        let skipped = usize::try_from(first - self.taken).unwrap_or(usize::MAX);
        for (number, item) in (first..).zip(self.items.iter().skip(skipped)) {
            let Some(gtid) = item.transaction().and_then(|tx| tx.gtid) else { continue };
            self.numbers.insert(gtid, number);
            if gtid.source.is_ordered() {
                let highest = self.highest.entry(gtid.source).or_default();
                *highest = gtid.sequence.max(*highest);
            }
        }
        self.unnoted = Some(self.taken + self.items.len() as u64);
    }
}

/// Whether a transaction is an original whose rows only copies may show.
pub(super) fn wants_rows(tx: &Transaction, node: NodeIndex, origin: Option<NodeIndex>) -> bool {
    origin == Some(node) && tx.wants_rows()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommitTime, Coordinates, Tag};

    fn gtid(sequence: u64) -> Gtid {
        Gtid { source: GtidSource::MySql { uuid: [0; 16], tag: Tag::default() }, sequence }
    }

    fn transaction(sequence: u64) -> Transaction {
        let at = Coordinates { file: "f".into(), start: 0, end: 0 };
        Transaction::empty(Some(gtid(sequence)), 1, at, CommitTime::default())
    }

    fn found(ahead: &mut Ahead<LiveEvent>, sequence: u64) -> Option<u64> {
        ahead.note();
        ahead.get(&gtid(sequence)).and_then(|tx| tx.gtid).map(|gtid| gtid.sequence)
    }

    fn item(sequence: u64) -> LiveEvent {
        LiveEvent::Item(FeedItem::Transaction(Box::new(transaction(sequence))))
    }

    #[test]
    fn what_was_read_is_found_until_it_is_taken() {
        let mut ahead = Ahead::<LiveEvent>::default();
        for sequence in 1..=3 {
            ahead.push(item(sequence));
        }
        drop(ahead.pop());
        assert_eq!([1, 2, 3, 4].map(|n| found(&mut ahead, n)), [None, Some(2), Some(3), None]);
        ahead.push(LiveEvent::CaughtUp);
        ahead.push(item(4));
        drop(ahead.pop());
        assert_eq!([2, 3, 4].map(|n| found(&mut ahead, n)), [None, Some(3), Some(4)]);
        while ahead.pop().is_some() {}
        assert!(ahead.is_empty() && ahead.front().is_none() && ahead.numbers.is_empty());
    }
}
