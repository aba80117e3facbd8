//! The verifier: transactions in, findings out.
//!
//! **Architecture invariants.** The engine is pure: no I/O, no clock, no randomness, no async; the
//! same input gives the same findings, byte for byte. It never sees a binlog's bytes, only the
//! facts of [`crate::model`]. Its findings do not depend on how a reader interleaves the streams,
//! only on the order within each stream.
//!
//! # The order rule
//!
//! Every node logs what it applies, so each stream holds all transactions in the order in which
//! that node's rows saw them. For an original Ta of node a and an original Tb of node b:
//!
//! - Ta happened before Tb if stream b shows the copy of Ta before Tb;
//! - Tb happened before Ta if stream a shows the copy of Tb before Ta;
//! - neither, and both touch one key: a **write conflict**.
//!
//! "Not shown yet" counts as "after", so a conflict is known once both originals have been read.
//! An original is held until every other stream has shown it; after that no later original can
//! conflict with it. So memory follows replication lag, not history.
//!
//! # Where a copy does not show
//!
//! MariaDB logs nothing for an applied change that changes nothing. A later number of the same
//! domain and server makes that hole certain, and bounds its place in the stream by its
//! neighbours. A pair that falls within these bounds is undecided by the order alone; then the
//! row's states decide, or the finding is `possible` (see `may_pass_before` in `open`).
//! The states tell only while nobody but the node's own originals wrote within the bounds: after
//! a third node's copy, a statement, a gap, or an unread start the finding is `possible`.

mod coverage;
mod handover;
mod id;
mod judge;
mod open;
mod ownership;
mod pending;
mod rows;
mod shown;
mod stream;
mod tally;
#[cfg(test)]
mod tests;

pub use coverage::{Coverage, StreamCoverage, TableCount};
pub use open::NODES_MAX;
pub use ownership::Ownership;

use crate::model::{
    BlindSpotReason, Certainty, CommitTime, Coordinates, Finding, FindingId, FindingKind, Gtid,
    GtidSet, NodeIndex, Nodes, Operation, Severity, State, TableId, Transaction, TransactionRef,
};
use handover::RecentCopies;
use id::IdHasher;
use open::{OpenId, OpenTable, OpenTransaction};
use pending::Pending;
use shown::{EarlyCopy, Place};
use std::collections::BTreeMap;
use stream::{LOOPS_MAX, Sources, Stream};
use tally::{Tally, TallyKey};

/// Limits and windows of a [`Verifier`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How long a handover is remembered, in microseconds; 0 turns `shared_key` off.
    pub shared_key_window_micros: i64,
    /// A handover quicker than this is a `near_conflict`, in microseconds; 0 turns it off.
    pub near_conflict_window_micros: i64,
    /// Rows of a group that are told one by one.
    pub group_limit: u64,
    /// Keys of open transactions held at most; past that the oldest transaction is let go.
    pub open_keys_max: usize,
    /// Keys of recent copies remembered per stream at most, for handovers.
    pub recent_keys_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shared_key_window_micros: 600_000_000,
            near_conflict_window_micros: 1_000_000,
            group_limit: 1_000,
            open_keys_max: 20_000_000,
            recent_keys_max: 200_000,
        }
    }
}

/// A finding as it stands now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The finding; `settled` when nothing can change it any more.
    pub finding: Finding,
    /// True when it is new, or its certainty or outcome changed.
    pub news: bool,
    /// True when it is new.
    pub first: bool,
}

/// Judges the transactions of all streams.
pub struct Verifier {
    nodes: Nodes,
    ownership: Ownership,
    settings: Settings,
    streams: Vec<Stream>,
    sources: Sources,
    open: OpenTable,
    /// Per source: open transactions by sequence number.
    by_sequence: BTreeMap<usize, BTreeMap<u64, OpenId>>,
    /// Per source: the node it belongs to, as transactions that have rows tell.
    owners: BTreeMap<usize, NodeIndex>,
    pending: Pending,
    /// Conflicts that wait for a node's stream to show more of a source, by both.
    doubts: BTreeMap<(NodeIndex, usize), Vec<u64>>,
    tally: Tally,
    rules_by_table: BTreeMap<TableId, TableRule>,
    coverage: Coverage,
    /// Per node: commit time of its newest original.
    newest: Vec<Option<CommitTime>>,
    open_by_origin: Vec<usize>,
}

/// What the engine remembers of a table.
#[derive(Clone)]
struct TableRule {
    name: std::sync::Arc<str>,
    rule: Option<usize>,
}

/// A transaction of a known node, where it was observed.
#[derive(Clone, Copy)]
struct Seen {
    node: NodeIndex,
    origin: NodeIndex,
    gtid: Gtid,
    source: usize,
    ordinal: u64,
}

impl Verifier {
    /// A verifier of these nodes.
    ///
    /// # Input
    /// At most [`NODES_MAX`] nodes; names and server ids checked by the configuration.
    pub fn new(nodes: Nodes, ownership: Ownership, settings: Settings) -> Self {
        assert!(nodes.len() <= NODES_MAX, "the configuration allows no more nodes");
        let window = settings.shared_key_window_micros.max(settings.near_conflict_window_micros);
        let limit = settings.recent_keys_max;
        let streams = nodes.indices().map(|_| Stream::new(RecentCopies::new(window, limit)));
        let coverage = Coverage {
            streams: vec![StreamCoverage::default(); nodes.len()],
            ..Default::default()
        };
        Verifier {
            streams: streams.collect(),
            newest: vec![None; nodes.len()],
            open_by_origin: vec![0; nodes.len()],
            nodes,
            ownership,
            settings,
            sources: Sources::default(),
            open: OpenTable::default(),
            by_sequence: BTreeMap::new(),
            owners: BTreeMap::new(),
            pending: Pending::default(),
            doubts: BTreeMap::new(),
            tally: Tally::default(),
            rules_by_table: BTreeMap::new(),
            coverage,
        }
    }

    /// The nodes, as given to [`Verifier::new`].
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Says what a node's server had logged, or applied, before its stream begins.
    ///
    /// Every stream that will be observed must begin before any transaction is: what one stream
    /// began with decides how long another's transactions are held.
    pub fn begin(&mut self, node: NodeIndex, baseline: GtidSet) {
        assert!(self.streams.iter().all(|s| s.ordinal == 0), "all streams begin before any moves");
        let stream = &mut self.streams[node.at()];
        stream.begun = true;
        stream.baseline = baseline;
        for at in 0..self.streams.len() {
            let mut others = GtidSet::default();
            for other in self.streams.iter().filter(|s| s.begun) {
                others.extend(&other.baseline);
            }
            self.streams[at].behind = others.minus(&self.streams[at].baseline);
        }
    }

    /// Says that a stream's baseline came from its server and names all that was applied there.
    ///
    /// The heads of files name only what was logged: a server restored from a backup has more.
    pub fn baseline_is_whole(&mut self, node: NodeIndex) {
        self.streams[node.at()].baseline_is_whole = true;
    }

    /// Says that a node's server does not log what it applies: `log_replica_updates` is OFF.
    ///
    /// Its stream shows no copies, so there the row's states alone tell a handover from a conflict.
    pub fn without_copies(&mut self, node: NodeIndex, when: CommitTime, out: &mut Vec<Report>) {
        self.streams[node.at()].copies_are_logged = false;
        let detail = "log_replica_updates is OFF there: this stream shows no other node's \
                      transactions, so the order of writes is not in the log";
        self.blind(node, BlindSpotReason::NoCopies, None, detail.to_owned(), 1, when, out);
    }

    /// Judges the next transaction of a node's stream.
    ///
    /// # Output
    /// Appends to `out` every finding that is new, changed or settled by it.
    pub fn observe(&mut self, node: NodeIndex, tx: &Transaction, out: &mut Vec<Report>) {
        assert!(self.streams[node.at()].begun, "a stream begins before it is observed");
        let stream = &mut self.streams[node.at()];
        stream.ordinal += 1;
        let ordinal = stream.ordinal;
        self.coverage.streams[node.at()].meet(tx.committed_at);
        let origin = self.nodes.by_server_id(tx.server_id);
        self.count_blind_spots(node, origin, tx, out);
        let (Some(origin), Some(gtid)) = (origin, tx.gtid) else {
            return self.observe_unattributed(node, origin, tx, out);
        };
        let source = self.sources.number(gtid.source);
        let seen = Seen { node, origin, gtid, source, ordinal };
        if origin != node {
            self.observe_copy(seen, tx, out);
        } else if tx.is_empty() && !gtid.source.is_ordered() {
            self.observe_empty(seen, tx, out);
        } else {
            self.observe_original(seen, tx, out);
        }
        let stream = &mut self.streams[node.at()];
        let shows_all = tx.statements.is_empty() && tx.blind_spots.is_empty();
        if !shows_all || (origin != node && !tx.rows.is_empty()) {
            stream.other_write = ordinal;
        }
        if stream.catches_up_with(&gtid) {
            self.release_held(node, out);
        }
        self.keep_bound(node, tx.committed_at, out);
    }

    /// A part of a node's stream is missing; the next transaction follows what `baseline` names.
    ///
    /// What the missing part has shown counts as shown, at an unknown place in it.
    pub fn gap(
        &mut self,
        node: NodeIndex,
        baseline: &GtidSet,
        detail: String,
        when: CommitTime,
        out: &mut Vec<Report>,
    ) {
        let stream = &mut self.streams[node.at()];
        let after = stream.ordinal;
        stream.ordinal += 1;
        stream.other_write = stream.ordinal;
        let place = Place::between(after, stream.ordinal);
        stream.baseline.extend(baseline);
        stream.behind = stream.behind.minus(baseline);
        let hidden: Vec<OpenId> = self
            .open
            .ids()
            .filter(|id| {
                let open = self.open.get(*id);
                open.origin != node
                    && open.places[node.at()].is_none()
                    && baseline.contains(&open.gtid)
            })
            .collect();
        for id in hidden {
            self.set_place(id, node, place, None, out);
        }
        self.blind(node, BlindSpotReason::Gap, None, detail, 1, when, out);
    }

    /// The end of all streams: settles what is left, as it stands.
    pub fn finish(&mut self, out: &mut Vec<Report>) {
        let is_silent = |s: &Stream| s.begun && s.copies == 0 && s.copies_due > 0;
        let silent: Vec<bool> = self.streams.iter().map(is_silent).collect();
        for node in self.nodes.indices().filter(|node| silent[node.at()]) {
            let when = self.newest[node.at()].unwrap_or_default();
            let detail = "no other node's transaction is in this stream: \
                          log_replica_updates is OFF there, or nothing was applied"
                .to_owned();
            self.blind(node, BlindSpotReason::NoCopies, None, detail, 1, when, out);
        }
        let streams = &self.streams;
        let sources = &mut self.sources;
        let never_logged = |node: NodeIndex, gtid: Gtid| {
            let log = streams[node.at()].shown.get(&sources.number(gtid.source));
            log.is_some_and(|log| log.was_never_logged(gtid.sequence))
        };
        self.pending.settle(|node| silent[node.at()], never_logged, out);
        self.tally.settle(out);
    }

    /// What was judged so far.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Number of transactions that some stream has not shown yet.
    pub fn open_transactions(&self) -> usize {
        self.open.len()
    }

    /// Number of keys held for them.
    pub fn open_keys(&self) -> usize {
        self.open.touches_len()
    }

    /// Number of open transactions of one origin.
    pub fn open_transactions_of(&self, origin: NodeIndex) -> usize {
        self.open_by_origin[origin.at()]
    }

    /// Commit time up to which every transaction of an origin has been seen in all streams.
    pub fn verified_until(&self, origin: NodeIndex) -> Option<CommitTime> {
        let of_origin = self.by_sequence.values().filter_map(|open| open.values().next());
        of_origin
            .map(|id| self.open.get(*id))
            .filter(|open| open.origin == origin)
            .map(|open| open.committed_at)
            .min()
            .or(self.newest[origin.at()])
    }
}

/// Taking in originals and copies.
impl Verifier {
    fn observe_original(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let Seen { node, gtid, source, .. } = seen;
        let stream = &mut self.streams[node.at()];
        let highest = stream.own.get(&source).copied();
        let again = gtid.source.is_ordered()
            && (highest.is_some_and(|highest| gtid.sequence <= highest)
                || stream.baseline.contains(&gtid));
        if again {
            return self.report_loop(seen, tx, "its own origin", out);
        }
        if highest.is_none()
            && let Some(log) = stream.shown.get_mut(&source)
        {
            // Empty transactions of this source were taken for injected ones: they are its own.
            log.forget_early();
        }
        stream.own.insert(source, gtid.sequence.max(highest.unwrap_or(0)));
        self.owners.insert(source, node);
        let newest = &mut self.newest[node.at()];
        *newest = (*newest).max(Some(tx.committed_at));
        let coverage = &mut self.coverage.streams[node.at()];
        coverage.originals += 1;
        let rows = tx.rows.len() as u64;
        if coverage.biggest.as_ref().is_none_or(|(most, _)| rows > *most) && rows > 0 {
            coverage.biggest = Some((rows, gtid.to_string()));
        }
        let id = self.open_transaction(seen, tx);
        self.judge_ownership(node, tx, Some(id), out);
        self.judge_handovers(seen, tx, out);
        self.add_touches(seen, id, tx, out);
        self.judge_conflicts(seen, id, tx, out);
        self.close_if_shown(id, out);
    }

    fn open_transaction(&mut self, seen: Seen, tx: &Transaction) -> OpenId {
        let Seen { node, gtid, source, ordinal, .. } = seen;
        let mut open = OpenTransaction::new(
            node,
            source,
            gtid,
            tx.server_id,
            ordinal,
            tx.committed_at,
            tx.coordinates.clone(),
            self.nodes.len(),
        );
        open.other_write = self.streams[node.at()].other_write;
        open.was_behind = !self.streams[node.at()].behind.is_empty();
        for (at, other) in self.streams.iter_mut().enumerate() {
            if at == node.at() || !other.begun {
                continue;
            }
            if other.baseline.contains(&gtid) {
                open.places[at] = Some(Place::BASELINE);
                continue;
            }
            other.copies_due += 1;
            let Some(log) = other.shown.get_mut(&source) else { continue };
            if let Some((place, coordinates)) = log.take(gtid.sequence, gtid.source.is_ordered()) {
                open.places[at] = Some(place);
                open.coordinates[at] = coordinates;
            }
        }
        let id = self.open.insert(open);
        self.open_by_origin[node.at()] += 1;
        self.by_sequence.entry(source).or_default().insert(gtid.sequence, id);
        id
    }

    fn observe_copy(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let Seen { node, origin, gtid, source, .. } = seen;
        let stream = &mut self.streams[node.at()];
        stream.copies += 1;
        self.coverage.streams[node.at()].copies += 1;
        let again = gtid.source.is_ordered()
            && (stream.shown.get(&source).is_some_and(|log| gtid.sequence <= log.last().0)
                || stream.baseline.contains(&gtid));
        if again {
            return self.report_loop(seen, tx, "a node that had it already", out);
        }
        let before_start =
            self.streams[origin.at()].begun && self.streams[origin.at()].baseline.contains(&gtid);
        if before_start {
            self.judge_late_copy(seen, tx, out);
        }
        if !tx.is_empty() {
            self.owners.insert(source, origin);
        }
        self.mark_shown(seen, tx, out);
        if !self.streams[origin.at()].begun {
            let detail = format!("the stream of node {} is not read", self.nodes[origin].name);
            let rows = tx.rows.len().max(1) as u64;
            let reason = BlindSpotReason::NoStream;
            self.blind(node, reason, None, detail, rows, tx.committed_at, out);
        }
        self.judge_local(seen, tx, out);
        self.remember_copy(seen, tx, out);
    }

    /// An empty MySQL transaction under the node's own server id: its own, or one that an
    /// operator injected to skip another node's transaction. Either way this stream will not
    /// show that GTID again.
    fn observe_empty(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        if !self.streams[seen.node.at()].own.contains_key(&seen.source) {
            self.mark_shown(seen, tx, out);
        }
    }

    /// Notes that a stream has shown a transaction: the open one becomes shown there, and with an
    /// ordered source all before it have passed.
    fn mark_shown(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let Seen { node, gtid, source, ordinal, .. } = seen;
        let coordinates = tx.coordinates.clone();
        let open_here = self.by_sequence.get(&source);
        let found = open_here.and_then(|open| open.get(&gtid.sequence)).copied();
        let stream = &mut self.streams[node.at()];
        let (baseline_is_whole, mut late) = (stream.baseline_is_whole, false);
        let baseline_names_source = stream.baseline.names(&gtid.source);
        let log = stream.shown.entry(source).or_default();
        let (last, last_ordinal) = log.last();
        debug_assert!(!gtid.source.is_ordered() || last < gtid.sequence);
        let mut place = Place::between(last_ordinal, ordinal);
        let mut passed_below = if gtid.source.is_ordered() { gtid.sequence } else { 0 };
        let heads_tell_all = baseline_is_whole || baseline_names_source;
        if !heads_tell_all && log.begins_late(gtid.sequence) {
            place = Place::BASELINE;
            passed_below = log.certainly_unlogged_below(gtid.source.is_ordered());
            late = true;
        }
        let mut passed = Vec::new();
        if let Some(open) = open_here.filter(|_| passed_below > last) {
            let unplaced = |id: &OpenId| self.open.get(*id).places[node.at()].is_none();
            let open = open.range(last + 1..passed_below).map(|(_, id)| *id);
            passed.extend(open.filter(unplaced));
        }
        let waits = found.is_none() && self.may_be_read_later(seen, tx);
        let copy = EarlyCopy { ordinal, coordinates: coordinates.clone() };
        let log = self.streams[node.at()].shown.entry(source).or_default();
        log.show(gtid.sequence, copy, waits);
        for id in passed {
            self.set_place(id, node, place, None, out);
        }
        if late {
            let detail = format!(
                "this stream begins to show transactions of {} at number {}: what came before was \
                 never logged there (restored from a backup?) and counts as applied before",
                gtid.source, gtid.sequence
            );
            self.blind_lightly(node, BlindSpotReason::Gap, None, &detail, 1, tx.committed_at, out);
        }
        if let Some(id) = found {
            self.set_place(id, node, Place::exact(ordinal), Some(coordinates), out);
        }
        if gtid.source.is_ordered() {
            for finding in self.doubts.remove(&(node, source)).unwrap_or_default() {
                self.pending.not_before(finding, gtid, node, out);
            }
        }
    }

    /// Whether a transaction's original is still to come, in its origin's stream.
    ///
    /// An empty one of MySQL may be one that an operator injected: its server id tells who did,
    /// not whose GTID it is. That is known from transactions of the source that have rows.
    fn may_be_read_later(&self, seen: Seen, tx: &Transaction) -> bool {
        let owner = match tx.is_empty() && !seen.gtid.source.is_ordered() {
            true => self.owners.get(&seen.source).copied(),
            false => Some(seen.origin),
        };
        owner.is_none_or(|owner| {
            let stream = &self.streams[owner.at()];
            stream.begun && !stream.baseline.contains(&seen.gtid)
        })
    }

    /// Notes where an open transaction took effect in another node's stream.
    fn set_place(
        &mut self,
        id: OpenId,
        node: NodeIndex,
        place: Place,
        coordinates: Option<Coordinates>,
        out: &mut Vec<Report>,
    ) {
        let open = self.open.get_mut(id);
        if open.origin == node {
            return;
        }
        open.places[node.at()] = Some(place);
        for finding in &open.findings {
            self.pending.shown(*finding, open.gtid, node, place, coordinates.as_ref(), out);
        }
        open.coordinates[node.at()] = coordinates;
        self.close_if_shown(id, out);
    }

    fn close_if_shown(&mut self, id: OpenId, out: &mut Vec<Report>) {
        let open = self.open.get(id);
        let others =
            self.streams.iter().enumerate().filter(|(at, s)| s.begun && *at != open.origin.at());
        let mut others = others.map(|(at, _)| at).peekable();
        let alone = others.peek().is_none();
        let shown = others.all(|at| open.places[at].is_some());
        let held = !self.streams[open.origin.at()].behind.is_empty();
        if shown && (alone || !held) {
            self.close(id, out);
        }
    }

    fn close(&mut self, id: OpenId, out: &mut Vec<Report>) {
        let gone = self.open.remove(id);
        self.open_by_origin[gone.origin.at()] -= 1;
        if let Some(open) = self.by_sequence.get_mut(&gone.source)
            && open.get(&gone.gtid.sequence) == Some(&id)
        {
            open.remove(&gone.gtid.sequence);
        }
        for finding in gone.findings {
            self.pending.closed(finding, out);
        }
    }

    /// The stream has come to where the others began: what was held only for that can go.
    fn release_held(&mut self, node: NodeIndex, out: &mut Vec<Report>) {
        let held: Vec<OpenId> =
            self.open.ids().filter(|id| self.open.get(*id).origin == node).collect();
        for id in held {
            self.close_if_shown(id, out);
        }
    }

    /// Keeps the number of open keys within its bound, by letting the oldest go.
    fn keep_bound(&mut self, node: NodeIndex, when: CommitTime, out: &mut Vec<Report>) {
        let mut let_go = 0;
        while self.open.touches_len() > self.settings.open_keys_max
            && let Some(oldest) = self.open.oldest()
        {
            let_go += self.open.touches_of(oldest).count() as u64;
            self.close(oldest, out);
        }
        if let_go > 0 {
            let detail = "keys of transactions not yet shown by all streams: \
                          conflicts with the oldest are no longer looked for";
            self.blind(node, BlindSpotReason::BoundReached, None, detail.into(), let_go, when, out);
        }
    }

    fn observe_unattributed(
        &mut self,
        node: NodeIndex,
        origin: Option<NodeIndex>,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        let reference = self.reference(node, tx, origin, None);
        let stream = &mut self.streams[node.at()];
        stream.other_write = stream.ordinal;
        if origin.is_some() {
            let detail = "transactions without a GTID: their copies cannot be recognised";
            let rows = tx.rows.len().max(1) as u64;
            let reason = BlindSpotReason::Anonymous;
            self.blind(node, reason, None, detail.into(), rows, tx.committed_at, out);
            if origin == Some(node) {
                self.coverage.streams[node.at()].originals += 1;
                self.coverage.streams[node.at()].rows_seen += tx.rows.len() as u64;
                self.judge_ownership(node, tx, None, out);
            }
            return;
        }
        self.coverage.streams[node.at()].foreign += 1;
        if let Some(gtid) = tx.gtid {
            let source = self.sources.number(gtid.source);
            let ordinal = self.streams[node.at()].ordinal;
            let log = self.streams[node.at()].shown.entry(source).or_default();
            if gtid.source.is_ordered() && gtid.sequence <= log.last().0 {
                let seen = Seen { node, origin: node, gtid, source, ordinal };
                return self.report_loop(
                    seen,
                    tx,
                    "a node, under a server id that is nobody's",
                    out,
                );
            }
            let copy = EarlyCopy { ordinal, coordinates: tx.coordinates.clone() };
            log.show(gtid.sequence, copy, false);
        }
        let source = tx.gtid.map_or("no GTID".to_owned(), |gtid| gtid.source.to_string());
        let key = TallyKey {
            kind: FindingKind::UnknownOrigin,
            severity: Severity::Warning,
            reason: None,
            node,
            table: None,
            detail: format!("server id {} ({source}) belongs to no node", tx.server_id),
        };
        self.tally.count(key, 1, tx.committed_at, Some(reference), out);
    }

    fn report_loop(&mut self, seen: Seen, tx: &Transaction, by: &str, out: &mut Vec<Report>) {
        let stream = &mut self.streams[seen.node.at()];
        if stream.loops.len() >= LOOPS_MAX || !stream.loops.insert(seen.gtid) {
            return;
        }
        let origin = self.nodes.by_server_id(tx.server_id);
        let reference = self.reference(seen.node, tx, origin, None);
        let id = IdHasher::new(FindingKind::ReplicationLoop)
            .gtid(Some(seen.gtid))
            .number(u128::from(seen.node.0))
            .finish();
        let finding = Finding {
            node: Some(seen.node),
            detail: Some(format!("logged again by {by}")),
            transactions: vec![reference],
            ..blank(id, FindingKind::ReplicationLoop, Severity::Critical, tx.committed_at)
        };
        out.push(Report { finding, news: true, first: true });
    }
}

/// Small helpers of all judges.
impl Verifier {
    #[expect(clippy::too_many_arguments, reason = "the facts of one blind spot")]
    fn blind(
        &mut self,
        node: NodeIndex,
        reason: BlindSpotReason,
        table: Option<String>,
        detail: String,
        count: u64,
        when: CommitTime,
        out: &mut Vec<Report>,
    ) {
        self.coverage.streams[node.at()].missed(reason, count);
        let (kind, severity) = (FindingKind::BlindSpot, Severity::Warning);
        let key = TallyKey { kind, severity, reason: Some(reason), node, table, detail };
        self.tally.count(key, count, when, None, out);
    }

    /// A bound that hides nothing but what is itself only worth knowing.
    #[expect(clippy::too_many_arguments, reason = "the facts of one blind spot")]
    fn blind_lightly(
        &mut self,
        node: NodeIndex,
        reason: BlindSpotReason,
        table: Option<String>,
        detail: &str,
        count: u64,
        when: CommitTime,
        out: &mut Vec<Report>,
    ) {
        let (kind, severity) = (FindingKind::BlindSpot, Severity::Info);
        let (reason, detail) = (Some(reason), detail.to_owned());
        let key = TallyKey { kind, severity, reason, node, table, detail };
        self.tally.count(key, count, when, None, out);
    }

    fn count_blind_spots(
        &mut self,
        node: NodeIndex,
        origin: Option<NodeIndex>,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        for spot in &tx.blind_spots {
            let (table, detail) = (spot.table.clone(), spot.detail.clone());
            self.blind(node, spot.reason, table, detail, spot.count, tx.committed_at, out);
        }
        if origin == Some(node) {
            self.count_statements(node, tx, out);
        }
    }

    /// A transaction as a finding names it, known from one stream.
    fn reference(
        &self,
        node: NodeIndex,
        tx: &Transaction,
        origin: Option<NodeIndex>,
        operation: Option<Operation>,
    ) -> TransactionRef {
        let mut coordinates = vec![None; self.nodes.len()];
        coordinates[node.at()] = Some(tx.coordinates.clone());
        TransactionRef {
            origin,
            server_id: tx.server_id,
            gtid: tx.gtid,
            operation,
            committed_at: tx.committed_at,
            coordinates,
        }
    }

    /// An open transaction as a finding names it, known from all streams.
    fn open_reference(&self, id: OpenId, operation: Option<Operation>) -> TransactionRef {
        let open = self.open.get(id);
        TransactionRef {
            origin: Some(open.origin),
            server_id: open.server_id,
            gtid: Some(open.gtid),
            operation,
            committed_at: open.committed_at,
            coordinates: open.coordinates.clone(),
        }
    }
}

/// A settled, certain finding about nothing yet.
fn blank(id: FindingId, kind: FindingKind, severity: Severity, when: CommitTime) -> Finding {
    Finding {
        id,
        kind,
        severity,
        certainty: Certainty::Exact,
        state: State::Open,
        settled: true,
        table: None,
        key: None,
        conflict: None,
        outcome: None,
        owner: None,
        node: None,
        reason: None,
        detail: None,
        count: 1,
        transactions: Vec::new(),
        group: id,
        more: 0,
        first_seen: when,
        last_seen: when,
    }
}
