//! A store that is forgotten: what a watch shows on its pages where no store is configured.

use super::{PATIENCE, Store, StoreError, schema};
use rusqlite::Connection;
use std::path::PathBuf;

impl Store {
    /// A store in memory, empty.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn in_memory() -> Result<Store, StoreError> {
        let path = PathBuf::from("memory");
        let open = || {
            let mut connection = Connection::open_in_memory()?;
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            schema::migrate(&mut connection, 0)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| {
            let doing = "make it";
            StoreError::Sqlite { path: path.clone(), doing, source }
        })?;
        Ok(Store { path, connection, _lock: None })
    }

    /// Deletes all but `most` findings: what has healed or is only worth knowing goes first, else
    /// the oldest.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn keep_newest(&mut self, most: usize) -> Result<(), StoreError> {
        let sql = "DELETE FROM findings WHERE rowid IN (
            SELECT rowid FROM findings
            ORDER BY state = 'healed' OR severity = 'info', last_seen DESC, id DESC
            LIMIT -1 OFFSET ?1)";
        let deleted = self.connection.execute(sql, [most as i64]);
        deleted.map(drop).map_err(|source| self.fails("delete old findings", source))
    }
}
