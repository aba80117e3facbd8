//! What is told: findings, by kind, severity and table, and what became of their lines.

use super::{Metrics, names};
use crate::model::{BlindSpotReason, CommitTime, Finding, FindingKind, Severity};
use prometheus::{Histogram, IntCounter, IntCounterVec, Registry, Result};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Tables that are told apart in `twinlog_table_findings_total`; the rest count as [`OTHER`].
const TABLES_MAX: usize = 200;

/// The label of tables that are not told apart.
pub(super) const OTHER: &str = "other";

/// Why a finding was told in part only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// It could not be kept: the store had failed, and too many waited for it.
    Store,
    /// Its line could not be written.
    Output,
    /// It was only counted: there were too many in a minute.
    Rate,
    /// It was only counted: the store is full of open ones.
    Full,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Dropped; 4] = [Dropped::Store, Dropped::Output, Dropped::Rate, Dropped::Full];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Dropped::Store => "store",
            Dropped::Output => "output",
            Dropped::Rate => "rate",
            Dropped::Full => "full",
        }
    }
}

/// The series of what is told.
pub(super) struct Told {
    findings: IntCounterVec,
    table_findings: IntCounterVec,
    tables: Labels,
    blind_spots: IntCounterVec,
    handovers: IntCounter,
    suppressed: IntCounterVec,
    /// In the order of [`Dropped::ALL`].
    dropped: [IntCounter; 4],
    detection_latency: Histogram,
}

impl Told {
    /// Registers what is told; every known series at zero.
    pub(super) fn register(r: &Registry) -> Result<Told> {
        let help = "Findings told for the first time";
        let findings = names::counters(r, "findings_total", help, &["kind", "severity"])?;
        let help = "Findings told for the first time, by table; tables past the first 200 count \
                    as other";
        let table_findings = names::counters(r, "table_findings_total", help, &["kind", "table"])?;
        let help = "Findings that a suppression covers";
        let suppressed = names::counters(r, "findings_suppressed_total", help, &["kind"])?;
        for kind in FindingKind::ALL.map(FindingKind::as_str) {
            suppressed.with_label_values(&[kind]);
            table_findings.with_label_values(&[kind, OTHER]);
            for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
                findings.with_label_values(&[kind, severity.as_str()]);
            }
        }
        let help = "Blind spots told for the first time, by reason";
        let blind_spots = names::counters(r, "blind_spots_total", help, &["reason"])?;
        for reason in BlindSpotReason::ALL {
            blind_spots.with_label_values(&[reason.as_str()]);
        }
        let help = "Handovers told: findings of kind shared_key or near_conflict";
        let handovers = names::counter(r, "handovers_total", help)?;
        let help =
            "Findings that were not kept in the store, not written to the output, or only counted";
        let dropped = names::counters(r, "findings_dropped_total", help, &["reason"])?;
        let help = "From the commit to the finding it makes, where the log has microseconds";
        let detection_latency = names::histogram(r, "detection_latency_seconds", help)?;
        Ok(Told {
            findings,
            table_findings,
            tables: Labels::new(TABLES_MAX),
            blind_spots,
            handovers,
            suppressed,
            dropped: Dropped::ALL.map(|reason| dropped.with_label_values(&[reason.as_str()])),
            detection_latency,
        })
    }
}

impl Metrics {
    /// Counts a finding that is told for the first time.
    pub fn told(&self, finding: &Finding, now: CommitTime) {
        let (told, kind) = (&self.told, finding.kind.as_str());
        told.findings.with_label_values(&[kind, finding.severity.as_str()]).inc();
        if let Some(table) = &finding.table {
            told.table_findings.with_label_values(&[kind, told.tables.of(table)]).inc();
        }
        if let Some(reason) = finding.reason {
            told.blind_spots.with_label_values(&[reason.as_str()]).inc();
        }
        if matches!(finding.kind, FindingKind::SharedKey | FindingKind::NearConflict) {
            told.handovers.inc();
        }
        if !finding.first_seen.whole_seconds && !finding.transactions.is_empty() {
            let latency = (now.micros - finding.first_seen.micros).max(0);
            told.detection_latency.observe(latency as f64 / 1e6);
        }
    }

    /// Counts a finding that a suppression covers.
    pub fn suppressed(&self, kind: FindingKind) {
        self.told.suppressed.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts a finding that could not be kept or written.
    pub fn dropped(&self, reason: Dropped) {
        self.told.dropped[reason as usize].inc();
    }
}

/// Tables that are told apart: the first that come, so that nobody's tables fill the memory.
pub(super) struct Labels {
    limit: usize,
    tables: Mutex<BTreeSet<String>>,
}

impl Labels {
    pub(super) fn new(limit: usize) -> Labels {
        Labels { limit, tables: Mutex::default() }
    }

    /// A table's label; it stays the same for as long as the process runs.
    pub(super) fn of<'a>(&self, table: &'a str) -> &'a str {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.contains(table) {
            return table;
        }
        if tables.len() >= self.limit {
            return OTHER;
        }
        tables.insert(table.to_owned());
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_past_the_limit_count_as_other() {
        let labels = Labels::new(TABLES_MAX);
        for n in 0..TABLES_MAX {
            assert_ne!(labels.of(&format!("s.t{n}")), OTHER);
        }
        assert_eq!(labels.of("s.one_more"), OTHER);
        assert_eq!(labels.of("s.t7"), "s.t7");
        assert_eq!(labels.of("s.one_more"), OTHER, "for good");
    }
}
