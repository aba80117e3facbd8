//! How many findings a watch tells, and how: a storm of them neither fills the disk nor holds the
//! judge up.
//!
//! Up to [`WatchConfig::findings_per_minute`](crate::config::WatchConfig) they are told in full; up
//! to [`BRIEF`] times as many in brief; the rest is counted, by kind and table, in one
//! `bound_reached` for as long as it lasts. Divergences that were only counted are told when it is
//! over, as far as they are still open: the engine knows them all.

use super::watch::{Judge, WatchSink};
use crate::{
    engine::Report,
    model::{
        BlindSpotReason, CommitTime, Finding, FindingId, FindingKind, Severity, TransactionRef,
    },
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

/// How many times as many findings as are told in full are told in brief.
pub(super) const BRIEF: u64 = 5;
/// What is counted at once.
const MINUTE: Duration = Duration::from_secs(60);
/// Kinds and tables that are told apart in one storm.
const COUNTS_MAX: usize = 1_000;

/// How a finding is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Full,
    Brief,
    Counted,
}

/// What was taken in this minute, and what was only counted.
pub(super) struct Rates {
    /// In full, a minute; 0 is no bound.
    full_max: u64,
    minute: Instant,
    taken: u64,
    storm: Option<Storm>,
    /// Divergences were only counted.
    owes: bool,
    /// Rows whose divergences may not have been told.
    pub(super) owed: Vec<u128>,
}

/// For as long as there are more findings than are told.
struct Storm {
    since: CommitTime,
    counted_at: Instant,
    told_at: Instant,
    counts: BTreeMap<(FindingKind, Option<String>), Finding>,
    /// Some are new, or have grown.
    grown: bool,
}

impl Rates {
    pub(super) fn new(full_max: u64) -> Rates {
        let (minute, owed) = (Instant::now(), Vec::new());
        Rates { full_max, minute, taken: 0, storm: None, owes: false, owed }
    }

    /// How one more finding is told.
    pub(super) fn way(&mut self) -> Way {
        if self.minute.elapsed() >= MINUTE {
            (self.minute, self.taken) = (Instant::now(), 0);
        }
        self.taken += 1;
        match self.taken {
            _ if self.full_max == 0 => Way::Full,
            taken if taken <= self.full_max => Way::Full,
            taken if taken <= self.full_max.saturating_mul(BRIEF) => Way::Brief,
            _ => Way::Counted,
        }
    }

    /// How many more are told in full in this minute.
    pub(super) fn room(&self) -> u64 {
        match self.minute.elapsed() >= MINUTE {
            true => self.full_max,
            false => self.full_max.saturating_sub(self.taken),
        }
    }

    /// Counts a finding that is not told.
    pub(super) fn count(&mut self, of: &Finding, why: &str, now: CommitTime) {
        self.owes |= of.kind == FindingKind::Divergence;
        let storm = self.storm.get_or_insert_with(|| Storm {
            since: now,
            counted_at: Instant::now(),
            // The first count is told at once.
            told_at: Instant::now().checked_sub(MINUTE).unwrap_or_else(Instant::now),
            counts: BTreeMap::new(),
            grown: false,
        });
        (storm.counted_at, storm.grown) = (Instant::now(), true);
        let mut key = (of.kind, of.table.clone());
        if storm.counts.len() >= COUNTS_MAX && !storm.counts.contains_key(&key) {
            key.1 = None;
        }
        let since = storm.since;
        let counted = storm.counts.entry(key).or_insert_with_key(|(kind, table)| {
            let table = table.clone();
            Finding { table, count: 0, ..counting(*kind, of.table.as_deref(), why, since) }
        });
        counted.count += 1;
        counted.last_seen = now;
    }

    /// What was counted, as it stands now: once a minute, and when a minute has passed without
    /// more.
    pub(super) fn counted(&mut self, at_end: bool) -> Vec<Report> {
        let Some(storm) = &mut self.storm else { return Vec::new() };
        let over = at_end || storm.counted_at.elapsed() >= MINUTE;
        if !over && (!storm.grown || storm.told_at.elapsed() < MINUTE) {
            return Vec::new();
        }
        (storm.told_at, storm.grown) = (Instant::now(), false);
        let tell = |of: &Finding| {
            let finding = Finding { settled: over, ..of.clone() };
            Report { finding, news: true, first: true }
        };
        let told = storm.counts.values().map(tell).collect();
        if over {
            self.storm = None;
        }
        told
    }

    /// When something is to be told that was counted.
    pub(super) fn due(&self) -> Option<Duration> {
        let storm = self.storm.as_ref()?;
        let over = MINUTE.saturating_sub(storm.counted_at.elapsed());
        match storm.grown {
            true => Some(over.min(MINUTE.saturating_sub(storm.told_at.elapsed()))),
            false => Some(over),
        }
    }

    /// Whether there is something to tell that was only counted, and room for it.
    pub(super) fn owes(&self) -> bool {
        self.storm.is_none() && (self.owes || !self.owed.is_empty()) && self.room() > 1
    }

    /// Whether it is time to tell the divergences that were only counted; true once.
    pub(super) fn owes_divergences(&mut self) -> bool {
        self.storm.is_none() && std::mem::take(&mut self.owes)
    }
}

/// The finding that counts others.
fn counting(kind: FindingKind, table: Option<&str>, why: &str, since: CommitTime) -> Finding {
    let (kind, table) = (kind.as_str(), table.unwrap_or_default());
    let about = format!("counted {kind} {table} {}", since.micros);
    Finding {
        reason: Some(BlindSpotReason::BoundReached),
        detail: Some(format!("findings of kind {kind}, {why}: they are counted, and not told")),
        first_seen: since,
        last_seen: since,
        ..Finding::new(
            FindingId(xxh3_128(about.as_bytes())),
            FindingKind::BlindSpot,
            Severity::Warning,
        )
    }
}

/// A finding without what is only there for convenience: it can be found in the logs by its GTIDs.
pub(super) fn brief(finding: Finding) -> Finding {
    let without_places = |of: TransactionRef| {
        let coordinates = vec![None; of.coordinates.len()];
        TransactionRef { coordinates, ..of }
    };
    Finding {
        detail: None,
        owner: None,
        last_written: Vec::new(),
        transactions: finding.transactions.into_iter().map(without_places).collect(),
        ..finding
    }
}

/// Divergences that one commit takes once more at most.
const OWED_AT_ONCE: u64 = 500;

impl Judge {
    /// After a storm: takes the divergences that are open once more, a few at a time. The store
    /// knows which of them were told; without a store they stay counted.
    pub(super) fn tell_owed(&mut self, sink: &mut impl WatchSink) {
        if self.keeper.keeps() && self.keeper.rates.owes_divergences() {
            self.keeper.rates.owed = self.verifier.rows_that_differ();
        }
        let rates = &mut self.keeper.rates;
        let room = (rates.room() / 2).min(OWED_AT_ONCE) as usize;
        let from = rates.owed.len().saturating_sub(room);
        for key in rates.owed.split_off(from) {
            if let Some(finding) = self.verifier.open_divergence(key) {
                self.reports.push(Report { finding, news: true, first: true });
            }
        }
        if !self.reports.is_empty() {
            self.sort_out(sink);
        }
    }
}
