//! The targets: what each does with its bytes, and how much memory it may take.

mod config;
mod events;
mod file;
mod gtid;
mod json;
mod payload;
mod rows;

pub use gtid::KINDS as GTID_KINDS;
pub use rows::KINDS as ROW_KINDS;

/// A part of twinlog that reads what others wrote.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Bytes that it may hold whatever its input.
    fixed: usize,
    /// Bytes that it may hold for a byte of input.
    per_byte: usize,
}

impl Target {
    /// Bytes that it may hold at a time: `docs/limits.md` states the same.
    pub fn bound(&self, data: &[u8]) -> usize {
        self.fixed + self.per_byte * data.len()
    }
}

const MIB: usize = 1 << 20;

/// A row of one byte may become a cell for each column of its table, for evidence; these have a
/// bound of their own.
const EVIDENCE_BYTES: usize = 300 * MIB;

/// What the rows of one transaction may take before they are counted only, while their buffers
/// double.
const ROWS_BYTES: usize = 4 * MIB;

pub const TARGETS: [Target; 9] = [
    target("event", events::events, ROWS_BYTES + EVIDENCE_BYTES, 600),
    target("table_map", events::table_map, MIB, 400),
    target("rows", rows::rows, ROWS_BYTES + EVIDENCE_BYTES, 600),
    target("gtid", gtid::gtid, MIB, 200),
    // A block of zstd says in 4 bytes what expands to 128 KiB, and buffers double.
    target("payload", payload::payload, ROWS_BYTES + EVIDENCE_BYTES, 2 * (128 << 10)),
    target("json", json::json, MIB, 400),
    target("statement", events::statement, MIB, 2_000),
    target("config", config::config, 64 * MIB, 4_000),
    target("file", file::file, ROWS_BYTES + 2 * MIB, 2_000),
];

const fn target(name: &'static str, run: fn(&[u8]), fixed: usize, per_byte: usize) -> Target {
    Target { name, run, fixed, per_byte }
}
