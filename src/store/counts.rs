//! How many findings a store holds open, without reading them.

use super::{Store, StoreError};
use crate::model::FindingKind;
use std::collections::BTreeMap;

/// What a store holds that has not healed; what is acknowledged is among it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenCounts {
    /// By kind.
    pub kinds: BTreeMap<FindingKind, u64>,
    /// Rows that differ, by table; the table with most of them first.
    pub divergences: Vec<(String, u64)>,
}

impl Store {
    /// How many findings there are. It passes over all: to be asked once, at a start.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn count(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM findings";
        let count = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(|source| self.fails("count findings", source))
    }

    /// Counts what has not healed. It passes over all findings, at about a microsecond each: to be
    /// asked once, at a start.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_counts(&self) -> Result<OpenCounts, StoreError> {
        let sql = "SELECT kind, iif(kind = ?1, table_name, NULL) AS of, count(*) AS n
            FROM findings WHERE state <> 'healed' GROUP BY kind, of ORDER BY n DESC, of";
        let read = || {
            let mut counts = OpenCounts::default();
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([FindingKind::Divergence.as_str()])?;
            while let Some(row) = rows.next()? {
                let count = row.get::<_, i64>(2)?.unsigned_abs();
                if let Some(kind) = FindingKind::parse(row.get_ref(0)?.as_str()?) {
                    *counts.kinds.entry(kind).or_default() += count;
                }
                if let Some(table) = row.get(1)? {
                    counts.divergences.push((table, count));
                }
            }
            Ok(counts)
        };
        read().map_err(|source| self.fails("count findings", source))
    }
}
