//! Something big in the store, in parts: the memory of a watch.

use rusqlite::{Connection, OptionalExtension};
use std::io::{self, Read, Write};

/// Bytes of a part. SQLite holds a value whole while it is bound.
const PART_BYTES: usize = 1 << 20;

/// Writes parts, in place of those that are there.
pub(super) struct PartsWriter<'c> {
    connection: &'c Connection,
    part: Vec<u8>,
    count: i64,
    written: u64,
}

impl<'c> PartsWriter<'c> {
    /// Deletes the old parts; within a transaction they are there again if it fails.
    pub(super) fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("DELETE FROM memory")?.execute([])?;
        Ok(PartsWriter { connection, part: Vec::new(), count: 0, written: 0 })
    }

    fn put(&mut self) -> io::Result<()> {
        let sql = "INSERT INTO memory (part, bytes) VALUES (?1, ?2)";
        let put = self.connection.prepare_cached(sql);
        put.and_then(|mut put| put.execute((self.count, &self.part))).map_err(io::Error::other)?;
        self.count += 1;
        self.written += self.part.len() as u64;
        self.part.clear();
        Ok(())
    }

    /// Writes what is left; gives the number of bytes in all.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        if !self.part.is_empty() {
            self.put()?;
        }
        Ok(self.written)
    }
}

impl Write for PartsWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == PART_BYTES {
            self.put()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the parts one after the other.
pub(super) struct PartsReader<'c> {
    connection: &'c Connection,
    part: Vec<u8>,
    read: usize,
    next: i64,
}

impl<'c> PartsReader<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        PartsReader { connection, part: Vec::new(), read: 0, next: 0 }
    }
}

impl Read for PartsReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.part.len() {
            let sql = "SELECT bytes FROM memory WHERE part = ?1";
            let row = self.connection.query_row(sql, [self.next], |row| row.get(0)).optional();
            self.part = row.map_err(io::Error::other)?.unwrap_or_default();
            (self.read, self.next) = (0, self.next + 1);
        }
        let taken = into.len().min(self.part.len() - self.read);
        into[..taken].copy_from_slice(&self.part[self.read..self.read + taken]);
        self.read += taken;
        Ok(taken)
    }
}
