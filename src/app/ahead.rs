//! What was read and not judged yet, and the copies in it that show what their originals do not.
//!
//! An original that was logged as statements has no rows. A node with `binlog_format=ROW` logs its
//! copy as rows, and these stand for the original's: they are looked for in what was read ahead of
//! the other streams, and among the copies that were judged before their originals, as where two
//! servers' clocks differ. The engine sees an original with rows, at its own place, so nothing of
//! the order rule changes.

use crate::{
    engine::Verifier,
    feed::FeedItem,
    model::{Gtid, GtidSource, NodeIndex, Transaction},
};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// What is looked at in what a stream delivers.
pub(super) trait Delivered {
    fn item(&self) -> &FeedItem;
}

impl Delivered for FeedItem {
    fn item(&self) -> &FeedItem {
        self
    }
}

impl Delivered for (FeedItem, u64) {
    fn item(&self) -> &FeedItem {
        &self.0
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
        if let (Some(_), FeedItem::Transaction(tx)) = (self.unnoted, item.item())
            && let Some(gtid) = &tx.gtid
        {
            self.numbers.remove(gtid);
        }
        Some(item)
    }

    /// The transaction of this GTID, if it was read and is not judged yet.
    pub(super) fn find(&mut self, gtid: &Gtid) -> Option<&Transaction> {
        self.note();
        let number = self.numbers.get(gtid)?;
        let at = usize::try_from(number.checked_sub(self.taken)?).ok()?;
        match self.items.get(at)?.item() {
            FeedItem::Transaction(tx) => Some(tx),
            _ => None,
        }
    }

    /// Whether it has come to the GTID, or past it: then nothing comes that was not found.
    pub(super) fn has_passed(&self, gtid: &Gtid) -> bool {
        self.highest.get(&gtid.source).is_some_and(|highest| *highest >= gtid.sequence)
    }

    fn note(&mut self) {
        let first = self.unnoted.unwrap_or(0).max(self.taken);
        let skipped = usize::try_from(first - self.taken).unwrap_or(usize::MAX);
        for (number, item) in (first..).zip(self.items.iter().skip(skipped)) {
            if let FeedItem::Transaction(tx) = item.item()
                && let Some(gtid) = tx.gtid
            {
                self.numbers.insert(gtid, number);
                if gtid.source.is_ordered() {
                    self.highest.insert(gtid.source, gtid.sequence);
                }
            }
        }
        self.unnoted = Some(self.taken + self.items.len() as u64);
    }
}

/// Bytes of copies that are kept until their originals are read; past that the oldest goes.
const EARLY_BYTES_MAX: usize = 16 << 20;

/// Copies that were judged before their originals.
#[derive(Default)]
pub(super) struct EarlyCopies {
    by_gtid: HashMap<Gtid, Vec<Transaction>>,
    /// In the order in which they came; those that were taken are in it, too.
    order: VecDeque<(Gtid, usize)>,
    bytes: usize,
}

impl EarlyCopies {
    /// Takes a transaction that was just judged: it is kept if it is a copy that came before its
    /// original, and the copies of an original go.
    pub(super) fn meet(
        &mut self,
        tx: Box<Transaction>,
        node: NodeIndex,
        origin: Option<NodeIndex>,
        verifier: &Verifier,
    ) {
        let Some(gtid) = &tx.gtid else { return };
        if origin == Some(node) {
            if !self.by_gtid.is_empty() {
                self.take(gtid);
            }
        } else if origin.is_some() && verifier.awaits_original(node, gtid) {
            self.keep(*tx);
        }
    }

    /// Whether copies of an original are kept.
    pub(super) fn has(&self, gtid: &Gtid) -> bool {
        self.by_gtid.contains_key(gtid)
    }

    fn keep(&mut self, tx: Transaction) {
        let Some(gtid) = tx.gtid else { return };
        let bytes = tx.weight();
        self.bytes += bytes;
        self.order.push_back((gtid, bytes));
        self.by_gtid.entry(gtid).or_default().push(tx);
        while self.bytes > EARLY_BYTES_MAX
            && let Some((oldest, bytes)) = self.order.pop_front()
        {
            self.by_gtid.remove(&oldest);
            self.bytes -= bytes;
        }
    }

    /// The copies of an original that is judged now.
    pub(super) fn take(&mut self, gtid: &Gtid) -> Vec<Transaction> {
        let copies = self.by_gtid.remove(gtid).unwrap_or_default();
        if self.by_gtid.is_empty() {
            self.order.clear();
            self.bytes = 0;
        }
        copies
    }
}

/// Whether a transaction is an original whose rows only copies may show.
pub(super) fn wants_rows(tx: &Transaction, node: NodeIndex, origin: Option<NodeIndex>) -> bool {
    origin == Some(node) && tx.wants_rows()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommitTime, Coordinates, Statement, StatementKind, Tag};

    fn gtid(sequence: u64) -> Gtid {
        Gtid { source: GtidSource::MySql { uuid: [0; 16], tag: Tag::default() }, sequence }
    }

    fn transaction(sequence: u64) -> Transaction {
        let kind = StatementKind::Rows(Vec::new());
        let statement = Statement { schema: "s".into(), text: "x".into(), kind };
        Transaction {
            gtid: Some(gtid(sequence)),
            server_id: 1,
            coordinates: Coordinates { file: "f".into(), start: 0, end: 0 },
            committed_at: CommitTime::default(),
            logged_at: None,
            tables: Vec::new(),
            rows: Vec::new(),
            key_bytes: Vec::new(),
            rule_values: Vec::new(),
            unique_takes: Vec::new(),
            statements: vec![statement],
            blind_spots: Vec::new(),
            xa: None,
        }
    }

    fn found(ahead: &mut Ahead<FeedItem>, sequence: u64) -> Option<u64> {
        ahead.find(&gtid(sequence)).and_then(|tx| tx.gtid).map(|gtid| gtid.sequence)
    }

    #[test]
    fn what_was_read_is_found_until_it_is_taken() {
        let mut ahead = Ahead::<FeedItem>::default();
        for sequence in 1..=3 {
            ahead.push(FeedItem::Transaction(Box::new(transaction(sequence))));
        }
        drop(ahead.pop());
        assert_eq!([1, 2, 3, 4].map(|n| found(&mut ahead, n)), [None, Some(2), Some(3), None]);
        ahead.push(FeedItem::Gap { missing: Default::default(), detail: String::new() });
        ahead.push(FeedItem::Transaction(Box::new(transaction(4))));
        drop(ahead.pop());
        assert_eq!([2, 3, 4].map(|n| found(&mut ahead, n)), [None, Some(3), Some(4)]);
        while ahead.pop().is_some() {}
        assert!(ahead.is_empty() && ahead.front().is_none() && ahead.numbers.is_empty());
    }

    #[test]
    fn early_copies_are_kept_within_a_bound_and_given_once() {
        let mut early = EarlyCopies::default();
        early.keep(transaction(1));
        early.keep(transaction(1));
        assert_eq!([1, 1].map(|n| early.take(&gtid(n)).len()), [2, 0]);
        assert_eq!((early.bytes, early.order.len()), (0, 0));
        let weight = transaction(1).weight();
        let count = (EARLY_BYTES_MAX / weight) as u64 + 10;
        (0..count).for_each(|n| early.keep(transaction(n)));
        assert!(early.bytes <= EARLY_BYTES_MAX && early.by_gtid.len() == early.order.len());
        assert_eq!([0, 9, 10].map(|n| early.take(&gtid(n)).len()), [0, 0, 1]);
    }
}
