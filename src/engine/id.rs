//! Identities of findings, derived from what they are about.

use crate::model::{FindingId, FindingKind, Gtid};
use xxhash_rust::xxh3::Xxh3;

/// Collects what a finding is about and hashes it.
///
/// Every part is followed by its length, so that no two lists of parts look alike.
pub(super) struct IdHasher(Xxh3);

impl IdHasher {
    pub(super) fn new(kind: FindingKind) -> Self {
        IdHasher(Xxh3::new()).text(kind.as_str())
    }

    pub(super) fn text(mut self, part: &str) -> Self {
        self.0.update(part.as_bytes());
        self.0.update(&(part.len() as u64).to_le_bytes());
        self
    }

    pub(super) fn number(mut self, part: u128) -> Self {
        self.0.update(&part.to_le_bytes());
        self
    }

    pub(super) fn gtid(self, gtid: Option<Gtid>) -> Self {
        match gtid {
            Some(gtid) => self.text(&gtid.to_string()),
            None => self.text("anonymous"),
        }
    }

    pub(super) fn finish(self) -> FindingId {
        FindingId(self.0.digest128())
    }
}
