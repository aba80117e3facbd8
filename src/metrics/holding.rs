//! Findings that hold: told, and not healed since.

use super::names;
use crate::model::{Finding, FindingId, FindingKind, State};
use prometheus::{IntGaugeVec, Registry};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Tables that are told apart; the rest count as `other`.
const TABLES_MAX: usize = 100;

/// The gauges of what holds.
pub(super) struct Holding {
    kinds: IntGaugeVec,
    tables: IntGaugeVec,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tables: BTreeSet<String>,
    /// Of what can heal: what holds, with its table.
    open: BTreeMap<FindingId, Option<String>>,
}

impl Holding {
    pub(super) fn register(r: &Registry) -> prometheus::Result<Holding> {
        let help = "Findings told since the start that still hold";
        let kinds = names::int_gauges(r, "open_findings", help, &["kind"])?;
        let help = "Rows that differ between the masters, by table; tables past the first 100 \
                    count as other";
        let tables = names::int_gauges(r, "open_divergences", help, &["table"])?;
        for kind in FindingKind::ALL {
            kinds.with_label_values(&[kind.as_str()]);
        }
        tables.with_label_values(&["other"]);
        Ok(Holding { kinds, tables, known: Mutex::default() })
    }

    /// Takes in a finding that is told, `first` for the first time.
    pub(super) fn told(&self, finding: &Finding, first: bool) {
        let kind = finding.kind.as_str();
        if !finding.kind.can_heal() {
            self.kinds.with_label_values(&[kind]).add(i64::from(first));
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let was = known.open.contains_key(&finding.id);
        let is = finding.state != State::Healed;
        if was == is {
            return;
        }
        let step = if is { 1 } else { -1 };
        self.kinds.with_label_values(&[kind]).add(step);
        let table = match is {
            true => {
                let table = finding.table.as_deref().filter(|_| counts_by_table(finding));
                let label = table.map(|table| known.label(table));
                known.open.insert(finding.id, label.clone());
                label
            }
            false => known.open.remove(&finding.id).flatten(),
        };
        if let Some(table) = table {
            self.tables.with_label_values(&[table]).add(step);
        }
    }
}

/// Whether it counts by table.
fn counts_by_table(finding: &Finding) -> bool {
    finding.kind == FindingKind::Divergence
}

impl Known {
    fn label(&mut self, table: &str) -> String {
        if self.tables.len() < TABLES_MAX || self.tables.contains(table) {
            self.tables.insert(table.to_owned());
            return table.to_owned();
        }
        "other".to_owned()
    }
}
