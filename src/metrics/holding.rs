//! Findings that hold: told, and not healed since.
//!
//! With a store the gauges say what is in it: they start from what it holds, and each commit tells
//! how it changed that. So nothing is remembered here. Without a store the ids of what can heal are
//! remembered while it holds, [`OPEN_MAX`] at most.

use super::{
    Metrics,
    findings::{Labels, OTHER},
    names,
    streams::gauge,
};
use crate::model::{Finding, FindingId, FindingKind, State};
use prometheus::{IntGauge, IntGaugeVec, Registry, Result};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Tables that are told apart; the rest count as [`OTHER`].
const TABLES_MAX: usize = 100;

/// Ids remembered at most, some 30 bytes each: as many rows as the engine follows. Past that a
/// finding is not counted as open.
const OPEN_MAX: usize = 1_000_000;

/// The gauges of what holds.
pub(super) struct Holding {
    kinds: IntGaugeVec,
    divergences: IntGaugeVec,
    tables: Labels,
    /// Without a store: what can heal and holds.
    open: Mutex<BTreeSet<FindingId>>,
}

impl Holding {
    pub(super) fn register(r: &Registry) -> Result<Holding> {
        let help = "Findings that hold, those in the store at the start among them";
        let kinds = names::int_gauges(r, "open_findings", help, &["kind"])?;
        let help = "Rows that differ between the masters, by table; tables past the first 100 \
                    count as other";
        let divergences = names::int_gauges(r, "open_divergences", help, &["table"])?;
        for kind in FindingKind::ALL {
            kinds.with_label_values(&[kind.as_str()]);
        }
        divergences.with_label_values(&[OTHER]);
        Ok(Holding { kinds, divergences, tables: Labels::new(TABLES_MAX), open: Mutex::default() })
    }

    fn kind(&self, kind: FindingKind) -> IntGauge {
        self.kinds.with_label_values(&[kind.as_str()])
    }

    fn add(&self, finding: &Finding, step: i64) {
        self.kind(finding.kind).add(step);
        if let Some(table) = &finding.table
            && finding.kind == FindingKind::Divergence
        {
            self.divergences.with_label_values(&[self.tables.of(table)]).add(step);
        }
    }
}

impl Metrics {
    /// Says how many findings of a kind the store holds open, before any are told.
    pub fn set_open(&self, kind: FindingKind, count: u64) {
        self.holding.kind(kind).set(gauge(count));
    }

    /// Adds rows of a table that differ as the store has them, before any are told.
    pub fn add_open_divergences(&self, table: &str, count: u64) {
        let holding = &self.holding;
        let label = holding.tables.of(table);
        holding.divergences.with_label_values(&[label]).add(gauge(count));
    }

    /// Takes in a finding that was committed to the store: whether it was open there before, and
    /// whether it is now.
    pub fn kept(&self, finding: &Finding, was_open: bool, is_open: bool) {
        match (was_open, is_open) {
            (false, true) => self.holding.add(finding, 1),
            (true, false) => self.holding.add(finding, -1),
            (false, false) | (true, true) => {}
        }
    }

    /// Takes in that the store has deleted open findings of a kind that cannot heal.
    pub fn forgotten(&self, kind: FindingKind, count: u64) {
        self.holding.kind(kind).sub(gauge(count));
    }

    /// Takes in a finding that is told where there is no store, `first` for the first time.
    pub fn told_without_store(&self, finding: &Finding, first: bool) {
        let holding = &self.holding;
        if !finding.kind.can_heal() {
            holding.kind(finding.kind).add(i64::from(first));
            return;
        }
        let mut open = holding.open.lock().unwrap_or_else(PoisonError::into_inner);
        if finding.state == State::Healed {
            if open.remove(&finding.id) {
                holding.add(finding, -1);
            }
        } else if open.len() < OPEN_MAX && open.insert(finding.id) {
            holding.add(finding, 1);
        }
    }
}
