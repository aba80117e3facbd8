//! What a watch keeps, and when it tells: first committed, then told, so that nothing that was
//! told is lost and nothing is told twice over a restart.
//!
//! A commit waits for the disk, so findings wait here for the next one: [`PACE`] apart while there
//! is something to do. Where the store fails, findings wait until it works again; past
//! [`WAITING_MAX`] they are told without being kept, for an alarm is worth more than its memory.

use super::watch::WatchSink;
use crate::{
    config::WatchConfig,
    engine::Report,
    metrics::Metrics,
    model::{CommitTime, Finding, FindingId, Nodes, State},
    report::Record,
    store::{Batch, Change, Checkpoint, Committed, PRUNE_BATCH, Store, StoreError, StoredFinding},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{error, info};

/// From one commit to the next at least.
const PACE: Duration = Duration::from_millis(100);
/// The same where no finding waits, only the checkpoint has moved.
const CHECKPOINT_PACE: Duration = Duration::from_secs(1);
/// From a commit that failed to the next attempt.
const RETRY: Duration = Duration::from_secs(2);
/// From one look for findings to delete to the next.
const PRUNE_PACE: Duration = Duration::from_secs(600);
/// Findings that wait for a commit at most; about 1 KB each.
const WAITING_MAX: usize = 20_000;

/// Findings on their way through the store to whoever is told.
pub(super) struct Keeper {
    store: Option<Store>,
    nodes: Nodes,
    metrics: Arc<Metrics>,
    /// How long closed findings are kept, in microseconds; `None`: for ever.
    keep: Option<i64>,
    /// In the order in which they came; one that comes again before it is committed takes the
    /// place of the earlier one.
    waiting: Vec<Report>,
    places: BTreeMap<FindingId, usize>,
    /// The streams have moved since the last commit.
    moved: bool,
    failing: bool,
    committed_at: Instant,
    pruned_at: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(
        store: Option<Store>,
        config: &WatchConfig,
        nodes: Nodes,
        metrics: Arc<Metrics>,
    ) -> Keeper {
        let keep = i64::try_from(config.retention.as_micros()).ok().filter(|keep| *keep > 0);
        let now = Instant::now();
        Keeper {
            store,
            nodes,
            metrics,
            keep,
            waiting: Vec::new(),
            places: BTreeMap::new(),
            moved: false,
            failing: false,
            // The first finding waits for nothing.
            committed_at: now.checked_sub(CHECKPOINT_PACE).unwrap_or(now),
            pruned_at: None,
        }
    }

    /// Says that a stream has moved, so that its checkpoint is worth a commit.
    pub(super) fn moved(&mut self) {
        self.moved = self.store.is_some();
    }

    /// Takes a finding that is news or settled.
    pub(super) fn take(&mut self, report: Report, sink: &mut impl WatchSink) {
        if let Some(place) = self.places.get(&report.finding.id) {
            self.waiting[*place] = report;
        } else if self.store.is_some() && self.waiting.len() < WAITING_MAX {
            self.places.insert(report.finding.id, self.waiting.len());
            self.waiting.push(report);
        } else if report.news {
            self.tell(&report.finding, report.first, sink);
            sink.flush();
        }
    }

    /// How long until there is something to commit; `None` while there is nothing.
    pub(super) fn due(&self) -> Option<Duration> {
        let pace = match (self.failing, self.waiting.is_empty(), self.moved) {
            (true, ..) => RETRY,
            (_, false, _) => PACE,
            (_, true, true) => CHECKPOINT_PACE,
            (_, true, false) => return None,
        };
        Some(pace.saturating_sub(self.committed_at.elapsed()))
    }

    /// Commits what waits, with the checkpoints, and tells what of it is new or changed.
    pub(super) fn commit(
        &mut self,
        now: CommitTime,
        checkpoints: Vec<Checkpoint>,
        sink: &mut impl WatchSink,
    ) {
        let Some(store) = &mut self.store else { return };
        let findings = self.waiting.iter().map(|of| stored(&of.finding, &self.nodes)).collect();
        let batch = Batch { now: now.micros, findings, checkpoints, ..Batch::default() };
        let committed = store.commit(&batch);
        self.committed_at = Instant::now();
        match committed {
            Ok(committed) => {
                if std::mem::take(&mut self.failing) {
                    info!("the store works again");
                }
                self.moved = false;
                self.places.clear();
                self.metrics.set_checkpoint(now);
                self.tell_committed(&committed, sink);
                self.prune(now);
            }
            Err(error) => self.failed(&error),
        }
    }

    /// The end: commits what waits, and tells it even where that fails.
    pub(super) fn end(
        &mut self,
        now: CommitTime,
        checkpoints: Vec<Checkpoint>,
        sink: &mut impl WatchSink,
    ) {
        self.commit(now, checkpoints, sink);
        for report in std::mem::take(&mut self.waiting) {
            self.tell(&report.finding, report.first, sink);
        }
        sink.flush();
    }

    fn tell_committed(&mut self, committed: &[Committed], sink: &mut impl WatchSink) {
        let waiting = std::mem::take(&mut self.waiting);
        for (mut report, committed) in waiting.into_iter().zip(committed) {
            if committed.change == Change::Same {
                continue;
            }
            if committed.is_acknowledged && report.finding.state == State::Open {
                report.finding.state = State::Acknowledged;
            }
            self.tell(&report.finding, committed.change == Change::New, sink);
        }
        sink.flush();
    }

    fn failed(&mut self, error: &StoreError) {
        self.metrics.store_error();
        if !std::mem::replace(&mut self.failing, true) {
            error!("{error}");
            error!(
                "findings are told when the store works again, tried every {} s; past {WAITING_MAX} \
                 that wait they are told at once and not kept",
                RETRY.as_secs()
            );
        }
    }

    /// Deletes some of what is older than it has to be.
    fn prune(&mut self, now: CommitTime) {
        let (Some(store), Some(keep)) = (&mut self.store, self.keep) else { return };
        if self.pruned_at.is_some_and(|at| at.elapsed() < PRUNE_PACE) {
            return;
        }
        match store.prune(now.micros, keep) {
            // There is more: the next commit goes on.
            Ok(PRUNE_BATCH) => {}
            Ok(_) => self.pruned_at = Some(Instant::now()),
            Err(error) => {
                self.pruned_at = Some(Instant::now());
                self.failed(&error);
            }
        }
    }

    fn tell(&self, finding: &Finding, first: bool, sink: &mut impl WatchSink) {
        if first {
            self.metrics.finding(finding, super::watch::now());
        }
        sink.finding(finding, &self.nodes);
    }
}

/// A finding as the store keeps it.
fn stored(finding: &Finding, nodes: &Nodes) -> StoredFinding {
    let record = Record::new(finding, nodes);
    StoredFinding {
        kind: finding.kind,
        severity: finding.severity,
        certainty: finding.certainty,
        state: finding.state,
        outcome: finding.outcome,
        settled: finding.settled,
        first_seen: finding.first_seen.micros,
        last_seen: finding.last_seen.micros,
        healed_at: finding.healed.as_ref().map(|healed| healed.at.micros),
        key: record.key.as_ref().map(ToString::to_string),
        record: serde_json::to_string(&record).unwrap_or_default(),
        id: record.id,
        table: record.table,
        group: record.group,
    }
}
