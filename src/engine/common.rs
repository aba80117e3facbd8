//! What many open transactions have in common, kept once.

use super::Seen;
use crate::model::{GtidSource, NodeIndex, Operation, Table, Transaction, shared::Shared};
use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// What a transaction's rows did to a table.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Wrote {
    pub(super) inserts: bool,
    pub(super) updates: bool,
    pub(super) deletes: bool,
}

impl Wrote {
    pub(super) fn add(&mut self, operation: Operation) {
        match operation {
            Operation::Insert => self.inserts = true,
            Operation::Update => self.updates = true,
            Operation::Delete => self.deletes = true,
        }
    }

    pub(super) fn extend(&mut self, other: Wrote) {
        self.inserts |= other.inserts;
        self.updates |= other.updates;
        self.deletes |= other.deletes;
    }

    pub(super) fn is_nothing(self) -> bool {
        self == Wrote::default()
    }
}

/// What the rows of a transaction did to its tables, one by one.
pub(super) fn wrote(tx: &Transaction, into: &mut Vec<Wrote>) {
    into.clear();
    into.resize(tx.tables.len(), Wrote::default());
    for row in &tx.rows {
        into[row.table as usize].add(row.operation);
    }
}

/// The facts of an open transaction that others share: a busy node writes the same tables over and
/// over, into one file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Common {
    pub(super) origin: NodeIndex,
    pub(super) source: usize,
    pub(super) gtid_source: GtidSource,
    pub(super) server_id: u32,
    /// The origin's stream had not come yet to where all others began.
    pub(super) was_behind: bool,
    /// Its log shows all that it did as rows.
    pub(super) shows_all: bool,
    /// It holds statements: `definitions` has an entry of its own for it.
    pub(super) has_statements: bool,
    /// Its rows are those that a copy shows.
    pub(super) rows_of_copy: bool,
    /// The file in the origin's stream.
    #[serde(with = "crate::model::shared")]
    pub(super) file: Arc<str>,
    /// The tables of its rows, and what they did there.
    #[serde(with = "tables")]
    pub(super) tables: Box<[(Arc<Table>, Wrote)]>,
}

impl Common {
    fn bytes(&self) -> usize {
        size_of::<Common>() + self.tables.len() * size_of::<(Arc<Table>, Wrote)>()
    }
}

/// All that are in use.
#[derive(Default, Deserialize)]
#[serde(from = "Vec<Shared<Arc<Common>>>")]
pub(super) struct Commons {
    known: HashTable<Arc<Common>>,
    /// At this number, what nobody uses is thrown away.
    full_at: usize,
    /// Bytes of what is known.
    bytes: usize,
    wrote: Vec<Wrote>,
}

impl Serialize for Commons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.in_use().cloned().map(Shared))
    }
}

impl From<Vec<Shared<Arc<Common>>>> for Commons {
    fn from(known: Vec<Shared<Arc<Common>>>) -> Self {
        let mut commons = Commons { full_at: known.len(), ..Commons::default() };
        for Shared(common) in known {
            commons.bytes += common.bytes();
            commons.known.insert_unique(hash_of(&common), common, hash_of);
        }
        commons
    }
}

impl Commons {
    /// The common facts of an original, those of an earlier one where they are the same.
    pub(super) fn of(&mut self, seen: Seen, was_behind: bool, tx: &Transaction) -> Arc<Common> {
        wrote(tx, &mut self.wrote);
        let of_tables = || tx.tables.iter().zip(&self.wrote);
        let hash = hash(seen, was_behind, of_tables().map(|(table, wrote)| (&**table, *wrote)));
        let (shows_all, has_statements) = (!tx.hides_rows(), !tx.statements.is_empty());
        let rows_of_copy = tx.has_rows_of_copy();
        let shown = (shows_all, has_statements, rows_of_copy);
        let same = |known: &Arc<Common>| {
            (known.source, known.origin, known.server_id, known.was_behind)
                == (seen.source, seen.origin, tx.server_id, was_behind)
                && (known.shows_all, known.has_statements, known.rows_of_copy) == shown
                && known.file == tx.coordinates.file
                && known.tables.len() == tx.tables.len()
                && known.tables.iter().zip(of_tables()).all(|((table, wrote), new)| {
                    wrote == new.1 && (Arc::ptr_eq(table, new.0) || table == new.0)
                })
        };
        if let Some(known) = self.known.find(hash, same) {
            return known.clone();
        }
        let common = Arc::new(Common {
            origin: seen.origin,
            source: seen.source,
            gtid_source: seen.gtid.source,
            server_id: tx.server_id,
            was_behind,
            shows_all,
            has_statements,
            rows_of_copy,
            file: tx.coordinates.file.clone(),
            tables: of_tables().map(|(table, wrote)| (table.clone(), *wrote)).collect(),
        });
        if self.known.len() >= self.full_at {
            self.known.retain(|common| Arc::strong_count(common) > 1);
            self.bytes = self.known.iter().map(|common| common.bytes()).sum();
            self.known.shrink_to(2 * self.known.len(), hash_of);
            self.full_at = (2 * self.known.len()).max(64);
        }
        self.bytes += common.bytes();
        self.known.insert_unique(hash, common.clone(), hash_of);
        common
    }

    /// Bytes held, the tables' own not counted: readers keep them.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.known.allocation_size()
    }

    /// Those that open transactions have, in no order that means anything.
    pub(super) fn in_use(&self) -> impl Iterator<Item = &Arc<Common>> {
        self.known.iter().filter(|common| Arc::strong_count(common) > 1)
    }
}

/// Tables are held by many, so they are written once.
mod tables {
    use super::{Arc, Deserialize, Deserializer, Serializer, Shared, Table, Wrote};

    type Tables = Box<[(Arc<Table>, Wrote)]>;

    pub(super) fn serialize<S: Serializer>(of: &Tables, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(of.iter().map(|(table, wrote)| (Shared(table.clone()), *wrote)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(of: D) -> Result<Tables, D::Error> {
        let tables = Vec::<(Shared<Arc<Table>>, Wrote)>::deserialize(of)?;
        Ok(tables.into_iter().map(|(table, wrote)| (table.0, wrote)).collect())
    }
}

fn hash_of(common: &Arc<Common>) -> u64 {
    let tables = common.tables.iter().map(|(table, wrote)| (&**table, *wrote));
    mixed((common.source, common.origin, common.was_behind), tables)
}

fn hash<'a>(seen: Seen, was_behind: bool, tables: impl Iterator<Item = (&'a Table, Wrote)>) -> u64 {
    mixed((seen.source, seen.origin, was_behind), tables)
}

fn mixed<'a>(
    (source, origin, was_behind): (usize, NodeIndex, bool),
    tables: impl Iterator<Item = (&'a Table, Wrote)>,
) -> u64 {
    let mix = |sum: u64, next: u64| (sum.rotate_left(5) ^ next).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start = mix(source as u64, u64::from(origin.0) << 1 | u64::from(was_behind));
    let sum = tables.fold(start, |sum, (table, wrote)| {
        let did = [wrote.inserts, wrote.updates, wrote.deletes].map(u64::from);
        mix(sum, table.id.0 as u64 ^ u64::from(table.shape) ^ did[0] << 2 ^ did[1] << 1 ^ did[2])
    });
    sum ^ sum >> 32
}
