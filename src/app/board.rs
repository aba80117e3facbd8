//! What a watch shows of itself to pages and terminals: a snapshot now and then, never the judge.

use super::{caught_up::CaughtUp, watch::now};
use crate::{
    engine::{Compared, Verifier},
    feed::live::ServerFacts,
    metrics::Metrics,
    model::{CommitTime, Gtid, Node, NodeIndex, Nodes, Transaction},
    report::{Check, Memory, OriginState, Shown, Status, StreamState},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// From one snapshot to the next at least.
const PACE: Duration = Duration::from_millis(250);

/// The state that is shown, as it grows.
pub(super) struct Board {
    status: Status,
    /// By stream and origin as in the status: the last transaction, written out when it is shown.
    last: Vec<Vec<Option<Gtid>>>,
    /// By node: whether its stream is read to its end.
    caught_up: Vec<CaughtUp>,
    snapshots: watch::Sender<Arc<Status>>,
    /// Something has changed since the last snapshot.
    changed: bool,
    published_at: Option<Instant>,
}

impl Board {
    pub(super) fn new(nodes: &Nodes) -> Board {
        let stream = |(_, node): (NodeIndex, &Node)| StreamState {
            node: node.name.clone(),
            shown: nodes
                .iter()
                .map(|(_, of)| Shown { origin: Some(of.name.clone()), ..Shown::default() })
                .collect(),
            ..StreamState::default()
        };
        let origins = nodes
            .iter()
            .map(|(_, of)| OriginState { node: of.name.clone(), ..OriginState::default() });
        let status = Status {
            started_at: now(),
            streams: nodes.iter().map(stream).collect(),
            origins: origins.collect(),
            ..Status::default()
        };
        let snapshots = watch::Sender::new(Arc::new(status.clone()));
        let last = vec![Vec::new(); nodes.len()];
        let caught_up = nodes.indices().map(|_| CaughtUp::default()).collect();
        Board { status, last, caught_up, snapshots, changed: true, published_at: None }
    }

    /// Where snapshots come out.
    pub(super) fn snapshots(&self) -> watch::Receiver<Arc<Status>> {
        self.snapshots.subscribe()
    }

    /// Before anything is judged: a node's server is waited for, and why, for a person, once that
    /// is known.
    ///
    /// # Output
    /// The snapshot that says so.
    pub(super) fn waits_for(&mut self, node: NodeIndex, why: Option<String>) -> Arc<Status> {
        self.status.waits_for = Some(self.status.streams[node.at()].node.clone());
        self.stream(node).error = why;
        let snapshot = Arc::new(self.status.clone());
        self.snapshots.send_replace(snapshot.clone());
        snapshot
    }

    /// A node's server has answered.
    pub(super) fn met(&mut self, node: NodeIndex, facts: &ServerFacts) {
        self.status.waits_for = None;
        let stream = self.stream(node);
        (stream.server, stream.error) = (facts.version.clone(), None);
    }

    fn stream(&mut self, node: NodeIndex) -> &mut StreamState {
        self.changed = true;
        &mut self.status.streams[node.at()]
    }

    pub(super) fn begun(&mut self, node: NodeIndex) {
        self.stream(node).begun = true;
    }

    pub(super) fn connected(&mut self, node: NodeIndex) {
        let stream = self.stream(node);
        (stream.connected, stream.error) = (true, None);
    }

    /// The connection is lost, and why, for a person.
    pub(super) fn disconnected(&mut self, node: NodeIndex, error: String) {
        self.caught_up[node.at()].lost();
        let stream = self.stream(node);
        (stream.connected, stream.error) = (false, Some(error));
    }

    /// Commits to the store fail since then; `None`: it works.
    pub(super) fn store_fails(&mut self, since: Option<CommitTime>) {
        if self.status.store_fails_since != since {
            self.status.store_fails_since = since;
            self.changed = true;
        }
    }

    /// What is held. It moves with every transaction, which are shown anyway; what shows by itself
    /// is a step of a hundredth.
    pub(super) fn holds(&mut self, memory: Memory) {
        let old = self.status.memory;
        let step = old.held_bytes.abs_diff(memory.held_bytes) > memory.limit_bytes / 100;
        if step || old.nearly_full != memory.nearly_full || old.limit_bytes != memory.limit_bytes {
            self.changed = true;
        }
        self.status.memory = memory;
    }

    pub(super) fn caught_up(&mut self, node: NodeIndex) {
        self.caught_up[node.at()].told();
        self.stream(node).caught_up_at = Some(now());
    }

    /// How a node's server is set.
    pub(super) fn checked(&mut self, node: NodeIndex, checks: Vec<Check>) {
        self.stream(node).checks = checks;
    }

    /// Which binlog files a node's server has, by number.
    pub(super) fn has_files(&mut self, node: NodeIndex, oldest: u64, newest: u64) {
        let stream = self.stream(node);
        (stream.oldest_file_number, stream.newest_file_number) = (Some(oldest), Some(newest));
    }

    /// A stream has shown a transaction of `origin`.
    pub(super) fn shown(
        &mut self,
        node: NodeIndex,
        origin: Option<NodeIndex>,
        transaction: &Transaction,
    ) {
        let committed_at = transaction.committed_at;
        let is_original = origin == Some(node);
        let caught_up = &mut self.caught_up[node.at()];
        caught_up.judged(committed_at, transaction.logged_at, is_original, now());
        let stream = self.stream(node);
        stream.at = Some(transaction.coordinates.clone());
        stream.newest = stream.newest.max(Some(committed_at));
        stream.delay_seconds = Some((now().micros - committed_at.micros).max(0) as f64 / 1e6);
        let place = match origin {
            Some(origin) => origin.at(),
            None => {
                if stream.shown.last().is_some_and(|last| last.origin.is_some()) {
                    stream.shown.push(Shown::default());
                }
                stream.shown.len() - 1
            }
        };
        let shown = &mut stream.shown[place];
        shown.transactions += 1;
        shown.committed_at = Some(committed_at);
        let last = &mut self.last[node.at()];
        last.resize(last.len().max(place + 1), None);
        last[place] = transaction.gtid;
    }

    /// Up to when everything of an origin is verified: what is pending bounds it; where nothing
    /// is, all that its server had logged when it was last caught up with has been shown.
    fn verified_until(&self, node: NodeIndex, verifier: &Verifier) -> Option<CommitTime> {
        let shown = verifier.verified_until(node);
        let caught_up = self.status.streams[node.at()].caught_up_at;
        match verifier.open_transactions_of(node) {
            0 => shown.max(caught_up),
            _ => shown,
        }
    }

    /// Makes a snapshot, if one is due and anything has changed, and brings the gauges that say
    /// the same up to date: not for every transaction.
    ///
    /// # Output
    /// The snapshot, if there is a new one.
    pub(super) fn publish(
        &mut self,
        nodes: &Nodes,
        verifier: &Verifier,
        metrics: &Metrics,
    ) -> Option<Arc<Status>> {
        if !self.changed || self.published_at.is_some_and(|at| at.elapsed() < PACE) {
            return None;
        }
        self.changed = false;
        self.published_at = Some(Instant::now());
        for node in nodes.indices() {
            let verified_until = self.verified_until(node, verifier);
            let compared = verifier.coverage().compared[node.at()];
            let Compared { identical, differs, unverifiable } = compared;
            let origin = &mut self.status.origins[node.at()];
            origin.pending = verifier.open_transactions_of(node);
            origin.verified_until = verified_until;
            (origin.identical, origin.differs, origin.unverifiable) =
                (identical, differs, unverifiable);
            metrics.set_pending(node, origin.pending);
            metrics.set_verified(node, [identical, differs, unverifiable]);
            if let Some(until) = verified_until {
                metrics.set_verified_until(node, until);
            }
        }
        for (stream, last) in self.status.streams.iter_mut().zip(&self.last) {
            for (shown, gtid) in stream.shown.iter_mut().zip(last) {
                shown.gtid = gtid.map(|gtid| gtid.to_string());
            }
        }
        self.status.pending_keys = verifier.open_keys();
        metrics.set_pending_keys(self.status.pending_keys);
        for (stream, caught_up) in self.status.streams.iter_mut().zip(&self.caught_up) {
            stream.caught_up = caught_up.is();
        }
        self.status.ready =
            self.status.streams.iter().all(|of| of.begun && of.connected && of.caught_up);
        let snapshot = Arc::new(self.status.clone());
        self.snapshots.send_replace(snapshot.clone());
        Some(snapshot)
    }

    /// How long until a snapshot is due; `None` while nothing has changed.
    pub(super) fn due(&self) -> Option<Duration> {
        let waited = self.published_at.map_or(PACE, |at| at.elapsed());
        self.changed.then(|| PACE.saturating_sub(waited))
    }
}
