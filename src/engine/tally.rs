//! Findings that stand for many: blind spots and unknown origins, counted.

use super::{Report, id::IdHasher};
use crate::model::{
    BlindSpotReason, CommitTime, Finding, FindingKind, NodeIndex, Severity, TransactionRef,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one counted finding is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct TallyKey {
    pub(super) kind: FindingKind,
    pub(super) severity: Severity,
    pub(super) reason: Option<BlindSpotReason>,
    pub(super) node: NodeIndex,
    pub(super) table: Option<String>,
    /// What exactly: part of the identity, so it must not vary from event to event.
    pub(super) detail: String,
}

/// The counted findings, each told when it is first met, and later with its count.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Tally(BTreeMap<TallyKey, Counted>);

#[derive(Serialize, Deserialize)]
struct Counted {
    finding: Finding,
    /// The count that was told last.
    told: u64,
}

/// Kinds of blind spots that are kept apart; what comes after is counted under the last reason.
const TALLIES_MAX: usize = 10_000;

impl Tally {
    /// Counts `count` more of `key`, met at `when` in `transaction`.
    pub(super) fn count(
        &mut self,
        key: TallyKey,
        count: u64,
        when: CommitTime,
        transaction: Option<TransactionRef>,
        out: &mut Vec<Report>,
    ) {
        if let Some(Counted { finding, .. }) = self.0.get_mut(&key) {
            finding.count += count;
            finding.first_seen = finding.first_seen.min(when);
            finding.last_seen = finding.last_seen.max(when);
            return;
        }
        let mut key = key;
        if self.0.len() >= TALLIES_MAX {
            key.table = None;
            key.detail = "and others, past the limit of kinds that are told apart".to_owned();
        }
        let fresh = !self.0.contains_key(&key);
        let new = |key: &TallyKey| Counted { finding: describe(key, when, transaction), told: 0 };
        let Counted { finding, told } = self.0.entry(key).or_insert_with_key(new);
        finding.count += count;
        finding.last_seen = finding.last_seen.max(when);
        if fresh {
            *told = finding.count;
            out.push(Report { finding: finding.clone(), news: true, first: true });
        }
    }

    /// Those that have grown since they were told, as they stand now.
    pub(super) fn recount(&mut self, out: &mut Vec<Report>) {
        for Counted { finding, told } in self.0.values_mut() {
            if std::mem::replace(told, finding.count) != finding.count {
                out.push(Report { finding: finding.clone(), news: false, first: false });
            }
        }
    }

    /// All of them in their last state.
    pub(super) fn settle(&mut self, out: &mut Vec<Report>) {
        for (_, Counted { mut finding, .. }) in std::mem::take(&mut self.0) {
            finding.settled = true;
            out.push(Report { finding, news: false, first: false });
        }
    }
}

fn describe(key: &TallyKey, when: CommitTime, transaction: Option<TransactionRef>) -> Finding {
    let id = IdHasher::new(key.kind)
        .text(key.reason.map_or("", BlindSpotReason::as_str))
        .number(u128::from(key.node.0))
        .text(key.table.as_deref().unwrap_or(""))
        .text(&key.detail)
        .finish();
    Finding {
        table: key.table.clone(),
        node: Some(key.node),
        reason: key.reason,
        detail: Some(key.detail.clone()),
        count: 0,
        transactions: transaction.into_iter().collect(),
        group: id,
        first_seen: when,
        last_seen: when,
        ..Finding::new(id, key.kind, key.severity)
    }
}
