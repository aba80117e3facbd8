//! How many findings a store holds open, without reading them.

use super::{Store, StoreError};
use crate::model::FindingKind;

/// What a store holds that has not healed; what is acknowledged is among it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenCounts {
    /// By kind.
    pub kinds: Vec<(FindingKind, u64)>,
    /// Rows that differ, by table; the table with most of them first.
    pub divergences: Vec<(String, u64)>,
}

impl Store {
    /// Counts what has not healed. It passes over all findings: to be asked once, at a start.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_counts(&self) -> Result<OpenCounts, StoreError> {
        let read = || {
            let sql = "SELECT kind, count(*) FROM findings WHERE state <> 'healed' GROUP BY kind";
            let kinds = self.counts(sql, [])?;
            let kinds = kinds.into_iter();
            let kinds = kinds.filter_map(|(word, n)| Some((FindingKind::parse(&word)?, n)));
            let sql = "SELECT table_name, count(*) FROM findings
                WHERE state <> 'healed' AND kind = ?1 AND table_name IS NOT NULL
                GROUP BY table_name ORDER BY count(*) DESC, table_name";
            let divergences = self.counts(sql, [FindingKind::Divergence.as_str()])?;
            Ok(OpenCounts { kinds: kinds.collect(), divergences })
        };
        read().map_err(|source| self.fails("count findings", source))
    }

    fn counts(
        &self,
        sql: &str,
        bound: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<(String, u64)>> {
        let mut statement = self.connection.prepare(sql)?;
        let count = |row: &rusqlite::Row<'_>| {
            let count: i64 = row.get(1)?;
            Ok((row.get(0)?, count.unsigned_abs()))
        };
        statement.query_map(bound, count)?.collect()
    }
}
