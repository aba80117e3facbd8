//! The verifier: transactions in, findings out.
//!
//! **Architecture invariants.** The engine is pure: no I/O, no clock, no randomness, no async; the
//! same input gives the same findings, byte for byte. It never sees a binlog's bytes, only the
//! facts of [`crate::model`]. Its findings do not depend on how a reader interleaves the streams,
//! only on the order within each stream; possible ones of transactions that no log names may, see
//! `counted`.
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
//!
//! Where a server does not log what it applies at all, it is asked: see `asked`.

mod anew;
mod anonymous;
mod asked;
mod common;
mod compare;
mod counted;
mod coverage;
mod definitions;
mod divergence;
mod early_rows;
mod end;
mod gap;
mod handover;
mod held;
mod id;
mod intake;
mod judge;
mod key_bytes;
mod ledger;
mod memory;
mod missing;
mod open;
mod ownership;
mod pending;
mod pool;
mod rows;
mod rules;
mod sequences;
mod shown;
mod state;
mod stopped;
mod stream;
mod tally;
#[cfg(test)]
mod tests;
mod waited;
mod whole_rows;
mod xa;

pub use coverage::{Compared, Coverage, StreamCoverage, TableCount};
pub use held::Share;
pub use memory::{Memory, OtherNodes, Remembered};
pub use ownership::Ownership;

use crate::model::{
    BlindSpotReason, CommitTime, Finding, FindingId, FindingKind, Gtid, GtidSet, GtidSource,
    NodeIndex, Nodes, Operation, Severity, Statement, Transaction, TransactionRef,
};
use asked::Asked;
use definitions::Definitions;
use early_rows::EarlyRows;
use handover::RecentCopies;
use held::Held;
use ledger::Ledger;
use missing::Overdue;
use open::{OpenId, OpenTable};
use pending::Pending;
use rules::Rules;
use sequences::Sequences;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use stream::{Sources, Stream};
use tally::{Tally, TallyKey};
use waited::Waited;

/// Limits and windows of a [`Verifier`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How long a handover is remembered, in microseconds; 0 turns `shared_key` off.
    pub shared_key_window_micros: i64,
    /// A handover quicker than this is a `near_conflict`, in microseconds; 0 turns it off.
    pub near_conflict_window_micros: i64,
    /// Rows of a group that are told one by one.
    pub group_limit: u64,
    /// Bytes held at most, with those of which [`Verifier::others_hold`] tells; past that the
    /// oldest transaction is let go. Findings that wait, rows that are followed and copies have
    /// shares of it.
    pub memory_bytes: usize,
    /// Keys of recent copies remembered per stream at most, for handovers.
    pub recent_keys_max: usize,
    /// Rows that the masters may differ on, followed at most.
    pub ledger_rows_max: usize,
    /// How long a copy may take before it is missing, in microseconds; 0 turns that off.
    pub missing_after_micros: i64,
    /// In a stream that turns out to show no copies: writes whose commit times are at most this far
    /// apart, in microseconds, may not have known of each other.
    pub silent_window_micros: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shared_key_window_micros: 600_000_000,
            near_conflict_window_micros: 1_000_000,
            group_limit: 1_000,
            memory_bytes: 2 << 30,
            recent_keys_max: 200_000,
            ledger_rows_max: 1_000_000,
            missing_after_micros: 300_000_000,
            silent_window_micros: 5_000_000,
        }
    }
}

impl Settings {
    /// Window in microseconds and number of the keys of recent copies.
    fn recent(&self, nodes: &Nodes) -> (i64, usize) {
        let window = self.shared_key_window_micros.max(self.near_conflict_window_micros);
        let room = self.recent_bytes_max() / RecentCopies::KEY_BYTES / nodes.len().max(1);
        // One alone would make room for itself.
        (window, self.recent_keys_max.min(room).max(2))
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
///
/// All that it remembers can be written down and read back: see [`Verifier::memory`].
#[derive(Serialize, Deserialize)]
pub struct Verifier {
    nodes: Nodes,
    /// By node.
    #[serde(skip)]
    rules: Vec<Rules>,
    #[serde(skip)]
    settings: Settings,
    streams: Vec<Stream>,
    sources: Sources,
    open: OpenTable,
    /// Per source: open transactions by sequence number.
    by_sequence: BTreeMap<usize, Sequences>,
    /// Per source: the node it belongs to, as transactions that have rows tell.
    owners: BTreeMap<usize, NodeIndex>,
    pending: Pending,
    /// Conflicts that wait for a node's stream to show more of a source, by both.
    doubts: BTreeMap<(NodeIndex, usize), Vec<u64>>,
    definitions: Definitions,
    tally: Tally,
    coverage: Coverage,
    /// Per node: commit time of its newest original.
    newest: Vec<Option<CommitTime>>,
    open_by_origin: Vec<usize>,
    ledger: Ledger,
    /// Rows that the ledger had no room for, and that have not been told.
    ledger_overflow: u64,
    /// It has none, or has forgotten rows, of what is still in flight.
    overflowing: bool,
    /// Missing copies told already.
    missing_told: BTreeSet<FindingId>,
    overdue: Overdue,
    /// Per source: the highest number that was let go before all streams had shown it.
    let_go: BTreeMap<usize, u64>,
    early_rows: EarlyRows,
    #[serde(skip)]
    held: Held,
    #[serde(skip)]
    waited: Waited,
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
    /// Names and server ids checked by the configuration.
    pub fn new(nodes: Nodes, ownership: Ownership, settings: Settings) -> Self {
        let (window, limit) = settings.recent(&nodes);
        let streams = nodes.indices().map(|_| Stream::new(RecentCopies::new(window, limit)));
        let coverage = Coverage {
            streams: vec![StreamCoverage::default(); nodes.len()],
            compared: vec![Compared::default(); nodes.len()],
            ..Default::default()
        };
        Verifier {
            streams: streams.collect(),
            newest: vec![None; nodes.len()],
            open_by_origin: vec![0; nodes.len()],
            rules: Rules::of_all(&nodes, ownership),
            nodes,
            settings,
            sources: Sources::default(),
            open: OpenTable::default(),
            by_sequence: BTreeMap::new(),
            owners: BTreeMap::new(),
            pending: Pending::default(),
            doubts: BTreeMap::new(),
            definitions: Definitions::default(),
            tally: Tally::default(),
            coverage,
            ledger: Ledger::default(),
            ledger_overflow: 0,
            overflowing: false,
            missing_told: BTreeSet::new(),
            overdue: Overdue::default(),
            let_go: BTreeMap::new(),
            early_rows: EarlyRows::default(),
            held: Held::default(),
            waited: Waited::default(),
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
        let mut others: Vec<GtidSet> = self.streams.iter().map(|s| s.baseline.clone()).collect();
        for baseline in &mut others {
            baseline.retain(|source| self.may_come_from(source));
        }
        for stream in &mut self.streams {
            stream.set_behind(others.clone());
        }
    }

    /// Whether transactions of a source can come at all: from a server of these nodes.
    ///
    /// Old servers' GTIDs stay in every set for ever. MySQL's name a UUID, which only the servers
    /// themselves and the configuration tell.
    fn may_come_from(&self, source: &GtidSource) -> bool {
        let may_be_any = matches!(source, GtidSource::MySql { .. })
            && self.nodes.iter().any(|(_, node)| node.server_uuids.is_empty());
        may_be_any || self.nodes.owner_of(source).is_some()
    }

    /// Says that reading a stream has ended in an error: what it does not show proves nothing.
    pub fn cut_off(&mut self, node: NodeIndex) {
        self.streams[node.at()].cut = true;
    }

    /// Says that a stream's baseline came from its server and names all that was applied there.
    ///
    /// The heads of files name only what was logged: a server restored from a backup has more.
    pub fn baseline_is_whole(&mut self, node: NodeIndex) {
        self.streams[node.at()].baseline_is_whole = true;
    }

    /// Says that a node's server does not log what it applies: `log_replica_updates` is OFF.
    ///
    /// Its stream shows no copies, so the order is what [`Verifier::applied`] is told.
    pub fn without_copies(&mut self, node: NodeIndex, when: CommitTime, out: &mut Vec<Report>) {
        let stream = &mut self.streams[node.at()];
        if std::mem::replace(&mut stream.copies_are_logged, false) {
            stream.asked = Asked::since(stream.ordinal);
        }
        let detail = "log_replica_updates is OFF there: this stream shows no other node's \
                      transactions. Their order is what the server says: conflicts with what was \
                      applied at the same moment are possible ones, and rows are not compared";
        self.blind(node, BlindSpotReason::NoCopies, None, detail.to_owned(), 1, when, out);
    }

    /// Says that a stream leaves out other nodes' transactions, all or some, and why: what it does
    /// not show proves nothing. The order is then taken from elsewhere, as where a stream turns out
    /// to have no copies at all.
    pub fn leaves_copies_out(&mut self, node: NodeIndex, why: String) {
        self.streams[node.at()].leaves_out = Some(why);
    }

    /// Judges the next transaction of a node's stream.
    ///
    /// # Output
    /// Appends to `out` every finding that is new, changed or settled by it.
    pub fn observe(&mut self, node: NodeIndex, tx: &Transaction, out: &mut Vec<Report>) {
        assert!(self.streams[node.at()].begun, "a stream begins before it is observed");
        if let Some(step) = &tx.xa {
            let judged = self.xa_step(node, tx, step);
            return self.observe(node, &judged, out);
        }
        if let Some(gtid) = self.name_by_count(node, tx) {
            let counted = Transaction { gtid: Some(gtid), ..tx.clone() };
            return self.observe(node, &counted, out);
        }
        let stream = &mut self.streams[node.at()];
        stream.ordinal += 1;
        let (ordinal, was_behind) = (stream.ordinal, stream.is_behind());
        self.coverage.streams[node.at()].meet(tx.committed_at);
        let origin = self.nodes.by_server_id(tx.server_id);
        self.count_blind_spots(node, origin, tx, out);
        let (Some(origin), Some(gtid)) = (origin, tx.gtid) else {
            return self.observe_unattributed(node, origin, tx, out);
        };
        let source = self.sources.number(gtid.source);
        let seen = Seen { node, origin, gtid, source, ordinal };
        if gtid.source.is_anonymous() && !self.takes_anonymous(seen, tx, out) {
            return self.observe_unattributed(node, Some(origin), tx, out);
        }
        if origin != node && self.streams[node.at()].is_old(&gtid) {
            self.disturb_rows(tx);
            self.streams[node.at()].other_write = ordinal;
            return;
        }
        // An empty MySQL transaction under the node's own server id is its own, or one that an
        // operator injected to skip another node's. Which one it is tells whether the stream has
        // originals of that source.
        let may_be_injected = tx.is_empty()
            && !gtid.source.is_ordered()
            && !self.streams[node.at()].own.contains_key(&source);
        if origin != node {
            self.observe_copy(seen, tx, out);
        } else if may_be_injected {
            self.mark_shown(seen, tx, out);
        } else {
            self.observe_original(seen, tx, out);
        }
        let stream = &mut self.streams[node.at()];
        if !stream.copies_are_logged {
            if origin == node && !may_be_injected {
                stream.asked.logs(gtid, ordinal);
            }
            self.count_answers(node, out);
        }
        let stream = &mut self.streams[node.at()];
        let harmless = |statement: &Statement| statement.kind.changes_no_rows();
        let hides = tx.blind_spots.iter().any(|spot| spot.reason.hides_rows());
        let shows_all = tx.statements.iter().all(harmless) && !hides;
        if !shows_all || (origin != node && !tx.rows.is_empty()) {
            stream.other_write = ordinal;
        }
        if was_behind {
            stream.comes_to(&gtid);
            if !stream.is_behind() {
                self.release_held(node, out);
            }
        }
        // What an original writes by a statement, the rows of its copies tell.
        let hides_copies = origin != node && tx.hides_rows();
        if hides_copies || tx.blind_spots.iter().any(|spot| spot.reason.hides_rows()) {
            self.disturb_all();
        }
        self.judge_meetings(false, out);
        self.keep_bound(node, tx.committed_at, out);
    }

    /// Reports what is counted, where the count has grown since it was reported last: no news.
    pub fn recount(&mut self, out: &mut Vec<Report>) {
        self.tally.recount(out);
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
        let first = self.by_sequence.values().filter_map(|open| open.first());
        first
            .map(|id| self.open.get(id))
            .filter(|open| open.origin == origin)
            .map(|open| open.committed_at)
            .min()
            .or(self.newest[origin.at()])
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
            coordinates: (0..self.nodes.len()).map(|at| open.coordinates(at)).collect(),
        }
    }
}

/// A settled, certain finding about nothing yet.
fn blank(id: FindingId, kind: FindingKind, severity: Severity, when: CommitTime) -> Finding {
    Finding { settled: true, first_seen: when, last_seen: when, ..Finding::new(id, kind, severity) }
}
