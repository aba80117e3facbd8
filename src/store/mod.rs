//! The store: findings, acknowledgements, and what a restart goes on with.
//!
//! **Architecture invariants.** What a [`Batch`] holds is committed all or not at all, with the
//! memory that belongs to its checkpoints, so that findings, checkpoints and memory never
//! contradict each other. One process writes findings; any number
//! may look and acknowledge beside it. The store reads no clock and decides nothing about
//! findings. SQL stands in here alone, behind an API without SQL in it, so that another database
//! can take its place (`docs/decisions/0004-rusqlite-for-the-store.md`).
//!
//! Times are microseconds since the Unix epoch, UTC.

mod counts;
mod error;
mod lock;
mod memory;
mod page;
mod parts;
mod query;
mod schema;
#[cfg(test)]
mod tests;

pub use counts::OpenCounts;
pub use error::StoreError;
pub use page::{KindCount, Listed, PageQuery, TableCount};
pub use query::{After, Kept, Query};

use crate::model::{Certainty, FindingKind, Outcome, Severity, State};
use lock::Lock;
use parts::{PartsReader, PartsWriter};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, TransactionBehavior, named_params, types::ValueRef,
};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long to wait for another program that writes, when nobody waits for us.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for the watch, whose streams wait meanwhile; it tries again later.
const PATIENCE_OF_WATCH: Duration = Duration::from_secs(1);
/// Findings that one call of [`Store::prune`] deletes at most: the watch does it between two
/// commits.
pub const PRUNE_BATCH: usize = 500;

/// A store, open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    _lock: Option<Lock>,
}

/// What a store keeps of a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFinding {
    /// 32 hex digits.
    pub id: String,
    /// Kind.
    pub kind: FindingKind,
    /// Severity.
    pub severity: Severity,
    /// Whether the logs prove it.
    pub certainty: Certainty,
    /// Open or healed; acknowledgements are the store's own.
    pub state: State,
    /// For conflicts: what became of the row.
    pub outcome: Option<Outcome>,
    /// True when nothing can change it any more. A settled finding is never overwritten by one
    /// that is not: that is the same finding, read again from its beginning after a restart.
    pub settled: bool,
    /// `schema.table`.
    pub table: Option<String>,
    /// The row's key, as people write it.
    pub key: Option<String>,
    /// Findings of one kind, table and transaction (or pair) share it.
    pub group: String,
    /// Rows of the group past its limit, counted on its last finding.
    pub more: u64,
    /// Commit time of the transaction that made it a finding.
    pub first_seen: i64,
    /// Commit time of the newest transaction it is about.
    pub last_seen: i64,
    /// Commit time of the transaction that healed it.
    pub healed_at: Option<i64>,
    /// The finding as a line of NDJSON.
    pub record: String,
}

/// Where a node's stream goes on after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The node's name.
    pub node: String,
    /// Binlog file, by its base name; empty where nothing was judged yet.
    pub file: String,
    /// Offset in it at which the last transaction begins, in bytes.
    pub start: u64,
    /// Offset in it up to which it was judged, in bytes.
    pub offset: u64,
    /// The last transaction's GTID; empty where it has none.
    pub last: String,
    /// All GTIDs up to there, as the server writes them.
    pub gtid_set: String,
    /// MariaDB: the last GTID of each domain up to there.
    pub heads: String,
    /// MySQL: what the server had purged before the stream was begun.
    pub purged: String,
    /// Commit time of the newest transaction up to there.
    pub committed_at: i64,
}

/// What is committed together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The time of this machine.
    pub now: i64,
    /// Findings to add or to bring up to date.
    pub findings: Vec<StoredFinding>,
    /// Where streams go on after a restart; only in a batch with a [`Memory`], which belongs to
    /// them.
    pub checkpoints: Vec<Checkpoint>,
}

/// What is remembered at a batch's checkpoints.
pub struct Memory<'m> {
    /// In which form; whoever reads it has to know that form.
    pub form: &'m str,
    /// Writes it.
    pub write: &'m dyn Fn(&mut dyn Write) -> std::io::Result<()>,
}

/// What a commit made of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was not in the store.
    New,
    /// It never had this state, certainty and outcome together.
    Changed,
    /// All of that has been told before.
    Same,
}

/// A finding that was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// What has become of it.
    pub change: Change,
    /// Somebody has taken note of it, and that still holds.
    pub is_acknowledged: bool,
    /// It was in the store before, and had not healed.
    pub was_open: bool,
    /// It is in the store now, and has not healed.
    pub is_open: bool,
}

/// What was deleted of old findings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pruned {
    /// How many in all. With [`PRUNE_BATCH`] there may be more.
    pub count: usize,
    /// Those of kinds that cannot heal, by kind: they counted as open.
    pub open: BTreeMap<FindingKind, u64>,
}

/// That somebody has taken note of a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// Why it is no reason to worry.
    pub why: String,
    /// When it was given.
    pub at: i64,
    /// When it ends; `None`: never.
    pub until: Option<i64>,
}

impl Acknowledgement {
    /// Whether it holds at a time.
    pub fn holds(&self, now: i64) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Store {
    /// Opens a store to write findings to, as the only process that does; makes it where there is
    /// none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it; a file that cannot be made, is
    /// something else, or was written by a later twinlog.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        // Made here and not by SQLite, for the mode: findings hold keys of rows. A file that is
        // there is not opened: to close it again would drop what locks SQLite has on it.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        if let Err(source) = made
            && source.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(StoreError::Io { path: path.to_owned(), doing: "make it", source });
        }
        let lock = Lock::take(path)?;
        let mut store = Store::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, PATIENCE_OF_WATCH)?;
        store._lock = Some(lock);
        let version = schema::version(&store.connection, path)?;
        store.upgrade(version)?;
        Ok(store)
    }

    /// Opens a store that is there to look into it, beside a process that writes to it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], and what [`Store::open`] says of files.
    pub fn look(path: &Path) -> Result<Store, StoreError> {
        Store::beside(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a store that is there to acknowledge findings, beside a process that writes to it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], and what [`Store::open`] says of files.
    pub fn acknowledge_in(path: &Path) -> Result<Store, StoreError> {
        Store::beside(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn beside(path: &Path, flags: OpenFlags) -> Result<Store, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let store = Store::connect(path, flags, PATIENCE)?;
        match schema::version(&store.connection, path)? {
            schema::VERSION => Ok(store),
            // Nobody else may be using the older form while it changes; an older watch might.
            older => {
                let lock = Lock::take(path)?;
                let mut writer = Store::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, PATIENCE)?;
                writer.upgrade(older)?;
                drop(lock);
                Ok(store)
            }
        }
    }

    fn connect(path: &Path, flags: OpenFlags, patience: Duration) -> Result<Store, StoreError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(patience)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| {
            let doing = "open it";
            StoreError::Sqlite { path: path.to_owned(), doing, source }
        })?;
        Ok(Store { path: path.to_owned(), connection, _lock: None })
    }

    /// From this version to today's. Readers go on beside a writer in WAL mode; FULL makes every
    /// commit outlive a loss of power, since what was told must not be told again.
    fn upgrade(&mut self, version: i64) -> Result<(), StoreError> {
        let connection = &mut self.connection;
        let upgraded = (|| {
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            schema::migrate(connection, version)
        })();
        upgraded.map_err(|source| self.fails("bring it up to date", source))
    }

    fn fails(&self, doing: &'static str, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { path: self.path.clone(), doing, source }
    }

    /// Commits a batch, all of it or, on an error, nothing.
    ///
    /// # Output
    /// For each finding of the batch, in its order, what was made of it.
    ///
    /// # Errors
    /// What SQLite says: a full disk, a file that another program holds.
    pub fn commit(&mut self, batch: &Batch) -> Result<Vec<Committed>, StoreError> {
        self.commit_with(batch, None).map(|(committed, _)| committed)
    }

    /// The same, with what is remembered at the batch's checkpoints, in place of what was kept
    /// before; gives its size in bytes, too.
    ///
    /// # Errors
    /// As [`Store::commit`]; and what the memory says that writes itself.
    pub fn commit_with(
        &mut self,
        batch: &Batch,
        memory: Option<Memory<'_>>,
    ) -> Result<(Vec<Committed>, u64), StoreError> {
        let committed = (|| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            let upsert = |finding| upsert(&transaction, finding, batch.now);
            let committed = batch.findings.iter().map(upsert).collect::<Result<_, _>>()?;
            let mut size = 0;
            if let Some(memory) = memory {
                transaction.execute("DELETE FROM checkpoint", [])?;
                for checkpoint in &batch.checkpoints {
                    put_checkpoint(&transaction, checkpoint)?;
                }
                size = put_memory(&transaction, &memory)?;
            }
            transaction.commit()?;
            Ok((committed, size))
        })();
        committed.map_err(|source| self.fails("write findings", source))
    }

    /// Whether there is a finding of this whole id.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn has(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM findings WHERE id = ?1)";
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut sql| sql.query_row([id], |row| row.get(0)));
        found.map_err(|source| self.fails("look for a finding", source))
    }

    /// Takes note of a finding, in place of an earlier note; false when there is no such finding.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn acknowledge(&self, id: &str, ack: &Acknowledgement) -> Result<bool, StoreError> {
        let sql = "INSERT OR REPLACE INTO acknowledgements (finding_id, who, why, at, until)
            SELECT id, ?2, ?3, ?4, ?5 FROM findings WHERE id = ?1";
        let values = (id, &ack.by, &ack.why, ack.at, ack.until);
        let changed = self.connection.execute(sql, values);
        Ok(changed.map_err(|source| self.fails("acknowledge a finding", source))? > 0)
    }

    /// Takes a note back; false when there was none.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn remove_acknowledgement(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM acknowledgements WHERE finding_id = ?1";
        let changed = self.connection.execute(sql, [id]);
        Ok(changed.map_err(|source| self.fails("remove an acknowledgement", source))? > 0)
    }

    /// Deletes findings that were closed longer than `keep` ago, in microseconds: those that have
    /// healed, and of kinds that cannot heal those that nothing has been heard of since.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn prune(&mut self, now: i64, keep: i64) -> Result<Pruned, StoreError> {
        let lasting = FindingKind::ALL.into_iter().filter(|kind| kind.can_heal());
        let lasting: Vec<String> = lasting.map(|kind| format!("'{}'", kind.as_str())).collect();
        // Old logs are read, too: what was found in them today is kept from today on.
        let sql = format!(
            "DELETE FROM findings WHERE rowid IN (
                SELECT rowid FROM findings WHERE closed_at < ?1
                UNION
                SELECT rowid FROM findings
                WHERE last_seen < ?1 AND written_at < ?1 AND kind NOT IN ({})
                LIMIT ?2)
            RETURNING kind, state",
            lasting.join(", ")
        );
        let before = now.saturating_sub(keep);
        let mut pruned = Pruned::default();
        let deleted = self.delete(&sql, (before, PRUNE_BATCH as i64), &mut pruned);
        deleted.map_err(|source| self.fails("delete old findings", source))?;
        Ok(pruned)
    }

    /// Deletes so many findings that are closed, the oldest first: those that have healed, then, of
    /// kinds that cannot heal, those that nothing can change any more. Open ones stay.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn let_go(&mut self, count: u64) -> Result<Pruned, StoreError> {
        let healed = "SELECT rowid FROM findings WHERE closed_at IS NOT NULL
            ORDER BY closed_at LIMIT ?1";
        let lasting = FindingKind::ALL.into_iter().filter(|kind| kind.can_heal());
        let lasting: Vec<String> = lasting.map(|kind| format!("'{}'", kind.as_str())).collect();
        let settled = format!(
            "SELECT rowid FROM findings WHERE settled AND kind NOT IN ({})
            ORDER BY last_seen LIMIT ?1",
            lasting.join(", ")
        );
        let (mut pruned, count) = (Pruned::default(), count as usize);
        for which in [healed, settled.as_str()] {
            let left = count - pruned.count.min(count);
            if left > 0 {
                let sql =
                    format!("DELETE FROM findings WHERE rowid IN ({which}) RETURNING kind, state");
                self.delete(&sql, [left as i64], &mut pruned)
                    .map_err(|source| self.fails("let findings go", source))?;
            }
        }
        Ok(pruned)
    }

    /// Deletes, and counts what was deleted.
    fn delete(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        pruned: &mut Pruned,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(sql)?;
        let mut deleted = statement.query(values)?;
        while let Some(row) = deleted.next()? {
            pruned.count += 1;
            let kind = FindingKind::parse(row.get_ref(0)?.as_str()?);
            if let Some(kind) = kind.filter(|_| row.get_ref(1).is_ok_and(is_open)) {
                *pruned.open.entry(kind).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Where each node's stream has been read to.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        let sql = "SELECT node, file, start, offset, last, gtid_set, heads, purged, committed_at
            FROM checkpoint ORDER BY node";
        let read = || {
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(Checkpoint {
                    node: row.get(0)?,
                    file: row.get(1)?,
                    start: row.get::<_, i64>(2)?.cast_unsigned(),
                    offset: row.get::<_, i64>(3)?.cast_unsigned(),
                    last: row.get(4)?,
                    gtid_set: row.get(5)?,
                    heads: row.get(6)?,
                    purged: row.get(7)?,
                    committed_at: row.get(8)?,
                })
            })?;
            rows.collect::<Result<_, _>>()
        };
        read().map_err(|source| self.fails("read the checkpoint", source))
    }

    /// What is remembered at the checkpoints; `None` where nothing is, or in another form.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn memory(&self, form: &str) -> Result<Option<impl Read>, StoreError> {
        let sql = "SELECT value = ?2 FROM meta WHERE name = ?1";
        let same = self.connection.query_row(sql, (MEMORY_FORM, form), |row| row.get::<_, bool>(0));
        let same = same.optional().map_err(|source| self.fails("read the memory", source))?;
        Ok((same == Some(true)).then(|| PartsReader::new(&self.connection)))
    }
}

/// Whether a state says that a finding has not healed.
fn is_open(state: ValueRef<'_>) -> bool {
    state.as_str().is_ok_and(|state| state != "healed")
}

/// What of a finding is told once: a line is printed when one of these changes.
fn telling(finding: &StoredFinding) -> String {
    let certainty = certainty(finding.certainty);
    let outcome = finding.outcome.map_or("", Outcome::as_str);
    format!("{}/{certainty}/{outcome};", finding.state.as_str())
}

fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Exact => "exact",
        Certainty::Possible => "possible",
    }
}

fn upsert(
    connection: &Connection,
    finding: &StoredFinding,
    now: i64,
) -> rusqlite::Result<Committed> {
    let sql = "SELECT f.settled, f.told, a.at IS NOT NULL AND (a.until IS NULL OR a.until > ?2),
            f.state
        FROM findings f LEFT JOIN acknowledgements a ON a.finding_id = f.id WHERE f.id = ?1";
    let mut was_open = false;
    let old: Option<(bool, String, bool)> = connection
        .prepare_cached(sql)?
        .query_row((&finding.id, now), |row| {
            was_open = is_open(row.get_ref(3)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let telling = telling(finding);
    let (change, told, is_acknowledged) = match old {
        None => (Change::New, telling, false),
        Some((settled, _, acknowledged)) if settled && !finding.settled => {
            let (change, is_acknowledged) = (Change::Same, acknowledged);
            return Ok(Committed { change, is_acknowledged, was_open, is_open: was_open });
        }
        Some((_, told, acknowledged)) if told.split_inclusive(';').any(|of| of == telling) => {
            (Change::Same, told, acknowledged)
        }
        Some((_, told, acknowledged)) => (Change::Changed, told + &telling, acknowledged),
    };
    let is_healed = finding.state == State::Healed;
    let sql = "INSERT INTO findings (id, kind, severity, certainty, outcome, state, settled,
            table_name, key, group_id, more, first_seen, last_seen, healed_at, closed_at,
            written_at, told, record)
        VALUES (:id, :kind, :severity, :certainty, :outcome, :state, :settled, :table, :key,
            :group, :more, :first_seen, :last_seen, :healed_at, :closed_at, :now, :told, :record)
        ON CONFLICT (id) DO UPDATE SET severity = excluded.severity,
            certainty = excluded.certainty, outcome = excluded.outcome, state = excluded.state,
            settled = excluded.settled, key = excluded.key, group_id = excluded.group_id,
            more = excluded.more,
            first_seen = excluded.first_seen, last_seen = excluded.last_seen,
            healed_at = excluded.healed_at,
            closed_at = iif(excluded.closed_at IS NULL, NULL,
                coalesce(closed_at, excluded.closed_at)),
            written_at = excluded.written_at, told = excluded.told, record = excluded.record";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": finding.id,
        ":kind": finding.kind.as_str(),
        ":severity": finding.severity.as_str(),
        ":certainty": certainty(finding.certainty),
        ":outcome": finding.outcome.map(Outcome::as_str),
        ":state": if is_healed { "healed" } else { "open" },
        ":settled": finding.settled,
        ":table": finding.table,
        ":key": finding.key,
        ":group": finding.group,
        ":more": finding.more.cast_signed(),
        ":first_seen": finding.first_seen,
        ":last_seen": finding.last_seen,
        ":healed_at": finding.healed_at,
        ":closed_at": is_healed.then_some(now),
        ":now": now,
        ":told": told,
        ":record": finding.record,
    })?;
    let (is_acknowledged, is_open) = (is_acknowledged && !is_healed, !is_healed);
    Ok(Committed { change, is_acknowledged, was_open, is_open })
}

fn put_checkpoint(connection: &Connection, of: &Checkpoint) -> rusqlite::Result<()> {
    let sql = "INSERT INTO checkpoint
            (node, file, start, offset, last, gtid_set, heads, purged, committed_at)
        VALUES (:node, :file, :start, :offset, :last, :gtid_set, :heads, :purged, :committed_at)";
    let values = named_params! {
        ":node": of.node,
        ":file": of.file,
        ":start": of.start.cast_signed(),
        ":offset": of.offset.cast_signed(),
        ":last": of.last,
        ":gtid_set": of.gtid_set,
        ":heads": of.heads,
        ":purged": of.purged,
        ":committed_at": of.committed_at,
    };
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// Where the form of the memory stands in the table `meta`.
const MEMORY_FORM: &str = "memory_form";

fn put_memory(connection: &Connection, memory: &Memory<'_>) -> rusqlite::Result<u64> {
    let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute((MEMORY_FORM, memory.form))?;
    let mut parts = PartsWriter::begin(connection)?;
    let written = (memory.write)(&mut parts).and_then(|()| parts.finish());
    // What SQLite said is inside, and so is the reason of an encoder.
    written.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
