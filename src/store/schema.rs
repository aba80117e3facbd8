//! The tables, as a list of steps from an empty file to today's.

use super::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Each step leads from the version of its place in this list to the next one. A step that was
/// released is never changed: stores that took it are out there.
///
/// Times are microseconds since the Unix epoch, UTC.
pub(super) const STEPS: &[&str] = &[
    // 1: findings, who has acknowledged them, and where the streams have been read to.
    "CREATE TABLE findings (
        id TEXT PRIMARY KEY NOT NULL,
        kind TEXT NOT NULL,
        severity TEXT NOT NULL,
        certainty TEXT NOT NULL,
        outcome TEXT,
        -- open or healed; acknowledged follows from the other table
        state TEXT NOT NULL,
        settled INTEGER NOT NULL,
        table_name TEXT,
        key TEXT,
        group_id TEXT NOT NULL,
        -- commit times, by the origins' clocks
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        healed_at INTEGER,
        -- times of this machine: when it was healed, and when it was last written here
        closed_at INTEGER,
        written_at INTEGER NOT NULL,
        -- what has been told of it: one word for each combination of state, certainty and outcome
        told TEXT NOT NULL,
        -- the line of NDJSON
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX findings_by_time ON findings (last_seen, id);
    CREATE INDEX findings_by_group ON findings (group_id);
    CREATE TABLE acknowledgements (
        finding_id TEXT PRIMARY KEY NOT NULL REFERENCES findings (id) ON DELETE CASCADE,
        who TEXT NOT NULL,
        why TEXT NOT NULL,
        at INTEGER NOT NULL,
        -- it ends at this time; null: never
        until INTEGER
    ) STRICT;
    CREATE TABLE checkpoint (
        node TEXT PRIMARY KEY NOT NULL,
        file TEXT NOT NULL,
        offset INTEGER NOT NULL,
        gtid_set TEXT NOT NULL,
        committed_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT;",
    // 2: rows that are under suspicion of differing.
    "CREATE TABLE ledger (
        table_name TEXT NOT NULL,
        key_hash BLOB NOT NULL,
        -- for people
        key TEXT NOT NULL,
        finding_id TEXT,
        since INTEGER NOT NULL,
        -- for the engine: what it remembers of the row, and in which form
        form INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (table_name, key_hash)
    ) STRICT;
    CREATE INDEX findings_by_closing ON findings (closed_at) WHERE closed_at IS NOT NULL;",
    // 3: what pages ask for. One index has all that a list is filtered by, in the list's order.
    "ALTER TABLE findings ADD COLUMN more INTEGER NOT NULL DEFAULT 0;
    DROP INDEX findings_by_time;
    DROP INDEX findings_by_group;
    CREATE INDEX findings_listed ON findings
        (last_seen, id, state, kind, severity, table_name, group_id);
    CREATE INDEX findings_by_group ON findings (group_id, state, last_seen, id, more);
    CREATE INDEX findings_by_kind ON findings (kind, severity, state, more);
    CREATE INDEX findings_by_table ON findings (table_name, kind, severity, state);
    CREATE INDEX findings_by_beginning ON findings (first_seen, kind);",
    // 4: what a restart goes on with. The ledger's rows are in the memory now.
    "DROP TABLE ledger;
    DROP TABLE checkpoint;
    CREATE TABLE checkpoint (
        node TEXT PRIMARY KEY NOT NULL,
        file TEXT NOT NULL,
        -- the last transaction: where it begins and ends, and its GTID
        start INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        last TEXT NOT NULL,
        gtid_set TEXT NOT NULL,
        -- the last GTID of each domain, by MariaDB's order
        heads TEXT NOT NULL,
        -- what was purged before the stream was begun, by MySQL
        purged TEXT NOT NULL,
        committed_at INTEGER NOT NULL
    ) STRICT;
    -- what the engine remembers at the checkpoints, in parts; its form is in meta
    CREATE TABLE memory (part INTEGER PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) STRICT;",
];

/// The version that this program writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// In the file's head, for `file` and for us: this is a store of twinlog. The letters `twlg`.
pub(super) const APPLICATION_ID: i64 = 0x7477_6c67;

/// The version of a store; 0 of an empty file.
///
/// # Errors
/// A file that is something else, or was written by a later twinlog.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables = || {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    let read = || Ok((pragma("user_version")?, pragma("application_id")?, tables()?));
    let (version, application, tables) = read().map_err(|source| match source {
        rusqlite::Error::SqliteFailure(error, _)
            if error.code == rusqlite::ErrorCode::NotADatabase =>
        {
            StoreError::NotAStore { path: path.to_owned(), found: "it is no SQLite file" }
        }
        source => StoreError::Sqlite { path: path.to_owned(), doing: "read it", source },
    })?;
    if application != APPLICATION_ID && (version, application, tables) != (0, 0, 0) {
        let found = "it is another program's SQLite file";
        return Err(StoreError::NotAStore { path: path.to_owned(), found });
    }
    if version > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok(version)
}

/// Takes the steps that are left, each whole or not at all.
pub(super) fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(0);
    for (at, step) in STEPS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", at as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
