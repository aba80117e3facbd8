//! How many bytes the engine holds, and what it lets go where they come to a bound.
//!
//! What is counted is what grows with lag: open transactions, the ledger, findings that wait, and
//! copies of either kind. It is counted as it comes and goes, so asking costs nothing; how near it
//! is to what the allocator has given out, `tests/held_bytes.rs` measures. What does not grow with
//! lag (tables, counted findings, rules) has bounds of its own, and is not counted.

use super::{
    Report, Settings, Verifier, ledger::Entry, open::OpenId, pending::UNSETTLED_MAX, stream::Stream,
};
use crate::model::{
    BlindSpotReason, Certainty, CommitTime, Coordinates, Finding, Gtid, LastWrite, NodeIndex,
    Outcome, Transaction, TransactionRef,
};

/// After so many transactions, what is counted by source is counted anew.
const RECOUNT_EVERY: u32 = 64;

/// What is held, as it was counted last.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    /// Bytes held by source and by stream.
    by_source: usize,
    /// Bytes of copies that wait for their originals.
    early: usize,
    /// Transactions since that was counted.
    since: u32,
    /// Bytes of XA transactions that are prepared.
    pub(super) prepared: usize,
    /// Bytes that others hold of the same bound.
    elsewhere: usize,
}

/// Something that is held, and how much of it may be: bytes, or a number of things.
///
/// Only what goes when streams are read on counts, and only the room that it may take: what stays
/// held all the same is in neither number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// What is held.
    pub held: usize,
    /// What may be.
    pub max: usize,
}

impl Share {
    /// Whether more than so many eighths of it are held. Where there is no room at all it never
    /// is: reading on makes none.
    ///
    /// # Example
    /// ```
    /// use twinlog::engine::Share;
    ///
    /// assert!(Share { held: 7, max: 8 }.is_past(6));
    /// assert!(!Share { held: 6, max: 8 }.is_past(6));
    /// assert!(!Share { held: 1, max: 0 }.is_past(6));
    /// ```
    pub fn is_past(self, eighths: u8) -> bool {
        self.max > 0 && self.held as u128 * 8 > self.max as u128 * u128::from(eighths)
    }

    fn with(self, more: usize) -> Share {
        Share { held: self.held.saturating_add(more), ..self }
    }
}

impl Settings {
    /// Bytes of findings that wait, at most.
    pub(super) fn pending_bytes_max(&self) -> usize {
        self.memory_bytes / 8
    }

    /// Bytes of rows that are followed, at most.
    pub(super) fn ledger_bytes_max(&self) -> usize {
        self.memory_bytes / 4
    }

    /// Bytes of copies that wait for their originals, at most.
    pub(super) fn early_bytes_max(&self) -> usize {
        self.memory_bytes / 8
    }

    /// Bytes of their rows, kept for originals that were logged as statements, at most.
    pub(super) fn early_rows_bytes_max(&self) -> usize {
        self.memory_bytes / 64
    }

    /// Bytes of keys that copies touched not long ago, of all streams, at most.
    pub(super) fn recent_bytes_max(&self) -> usize {
        self.memory_bytes / 16
    }
}

impl Verifier {
    /// Bytes held of what grows with lag, as far as they are counted: within a tenth of what the
    /// allocator has given out.
    pub fn held_bytes(&self) -> usize {
        self.open.bytes()
            + self.ledger.bytes()
            + self.pending.bytes()
            + self.definitions.bytes()
            + self.held.by_source
            + self.held.prepared
            + self.early_rows.bytes()
            + self.held.early
    }

    /// Says how many bytes others hold that belong under the same bound: transactions that wait to
    /// be observed. What is held here has room for the rest.
    pub fn others_hold(&mut self, bytes: usize) {
        self.held.elsewhere = bytes;
    }

    /// All that is held, and each share of it that has a bound of its own, as far as it grows while
    /// one stream is ahead of another.
    pub fn shares(&self) -> [Share; 6] {
        let bytes = self.held_bytes() + self.held.elsewhere;
        [
            Share { held: bytes, max: self.settings.memory_bytes },
            self.ledger_share(),
            self.ledger_rows(),
            Share { held: self.pending.bytes(), max: self.settings.pending_bytes_max() },
            Share { held: self.pending.findings.len(), max: UNSETTLED_MAX },
            Share { held: self.held.early, max: self.settings.early_bytes_max() },
        ]
    }

    /// Bytes of rows that are followed because something is on its way.
    fn ledger_share(&self) -> Share {
        let (_, standing) = self.ledger.standing();
        Share {
            held: self.ledger.bytes().saturating_sub(standing),
            max: self.settings.ledger_bytes_max().saturating_sub(standing),
        }
    }

    /// Their number.
    fn ledger_rows(&self) -> Share {
        let (standing, _) = self.ledger.standing();
        Share {
            held: self.ledger.len().saturating_sub(standing),
            max: self.settings.ledger_rows_max.saturating_sub(standing),
        }
    }

    /// Whether a transaction is a copy whose original has not been read, with so many rows that
    /// following them would take more than so many eighths of the ledger's share. Once the original
    /// is read, none of them has to be followed.
    pub fn would_crowd(&self, node: NodeIndex, tx: &Transaction, eighths: u8) -> bool {
        let rows = tx.rows.len();
        let bytes = rows.saturating_mul(Entry::bytes_at_least(self.streams.len()));
        let crowds = self.ledger_share().with(bytes).is_past(eighths)
            || self.ledger_rows().with(rows).is_past(eighths);
        crowds && self.nodes.by_server_id(tx.server_id) != Some(node) && self.would_grow(node, tx)
    }

    /// Whether observing a transaction of a node's stream would make what is held more: an
    /// original that some other stream has not shown, or a copy whose original has not been read.
    pub fn would_grow(&self, node: NodeIndex, tx: &Transaction) -> bool {
        let name = tx.gtid.or_else(|| self.name_by_count(node, tx));
        let Some(gtid) = name.filter(|_| !tx.is_empty()) else { return false };
        match self.nodes.by_server_id(tx.server_id) {
            Some(origin) if origin == node => !self.is_shown_elsewhere(node, &gtid),
            Some(_) => self.open_id(&gtid).is_none(),
            None => false,
        }
    }

    /// Whether in every other stream the copy of an original waits for it.
    fn is_shown_elsewhere(&self, node: NodeIndex, gtid: &Gtid) -> bool {
        let Some(source) = self.sources.known(&gtid.source) else { return false };
        let waits = |stream: &Stream| {
            stream.shown.get(&source).is_some_and(|log| log.has_waiting(gtid.sequence))
        };
        let mut others = self.nodes.indices().filter(|other| *other != node);
        others.all(|other| waits(&self.streams[other.at()]))
    }

    fn open_id(&self, gtid: &Gtid) -> Option<OpenId> {
        let source = self.sources.known(&gtid.source)?;
        self.by_sequence.get(&source)?.get(&gtid.sequence).copied()
    }

    /// Counts what is held by source and by stream.
    pub(super) fn count_held(&mut self) {
        let logs = self.streams.iter().flat_map(|stream| stream.shown.values());
        self.held.early = logs.map(|log| log.bytes()).sum();
        let of_stream = |stream: &Stream| stream.recent.bytes() + stream.asked.bytes();
        let recent: usize = self.streams.iter().map(of_stream).sum();
        let sequences: usize = self.by_sequence.values().map(|open| open.bytes()).sum();
        let doubts = self.doubts.values().map(|doubts| doubts.capacity() * size_of::<u64>());
        self.held.count_prepared(self.streams.iter().map(|stream| &stream.prepared));
        self.held.by_source = recent + sequences + doubts.sum::<usize>();
        self.held.since = 0;
    }

    /// Whether the ledger has no room for another row.
    pub(super) fn ledger_is_full(&self) -> bool {
        self.ledger.len() >= self.settings.ledger_rows_max
            || self.ledger.bytes() > self.settings.ledger_bytes_max()
    }

    /// Keeps what is held within its bounds, by letting the oldest go.
    pub(super) fn keep_bound(&mut self, node: NodeIndex, when: CommitTime, out: &mut Vec<Report>) {
        self.held.since += 1;
        if self.held.since >= RECOUNT_EVERY {
            self.count_held();
            self.forget_doubts();
        }
        self.keep_early_bound(when, out);
        if self.overflowing {
            self.tell_overflow(out);
        }
        let (mut keys, mut transactions) = (0_u64, 0_u64);
        while self.is_over()
            && let Some(oldest) = self.oldest()
        {
            (transactions, self.overflowing) = (transactions + 1, true);
            keys += self.open.touches_of(oldest).count() as u64;
            self.forget_rows(oldest, out);
            let (source, number) =
                (self.open.get(oldest).source, self.open.get(oldest).gtid.sequence);
            let last = self.let_go.entry(source).or_default();
            *last = number.max(*last);
            self.close(oldest, out);
        }
        let (mut settled, bytes_max) = (0, self.settings.pending_bytes_max());
        while self.pending.keep_bound(bytes_max, out) {
            settled += 1;
        }
        if settled > 0 {
            let detail = "findings settled before all streams have shown their transactions: their \
                          outcome and coordinates stay as they were";
            let reason = BlindSpotReason::BoundReached;
            self.blind_lightly(node, reason, None, detail, settled, when, out);
        }
        if transactions > 0 {
            let detail = "keys of transactions not yet shown by all streams: \
                          conflicts with the oldest are no longer looked for";
            let (reason, count) = (BlindSpotReason::BoundReached, keys.max(1));
            self.blind(node, reason, None, detail.into(), count, when, out);
        }
    }

    /// Tells of rows that the ledger had no room for.
    ///
    /// What was forgotten while it was in flight is missing in entries that are made later: they
    /// tell nothing for certain, until all streams have shown what was in flight.
    pub(super) fn tell_overflow(&mut self, out: &mut Vec<Report>) {
        let count = std::mem::take(&mut self.ledger_overflow);
        if count > 0 {
            let detail = "rows that the masters may differ on, past the number that is followed";
            let (node, reason) = (NodeIndex(0), BlindSpotReason::BoundReached);
            let when = self.newest[0].unwrap_or_default();
            self.blind(node, reason, None, detail.to_owned(), count, when, out);
        }
        let awaits = |stream: &Stream| stream.shown.values().any(|log| log.awaits());
        if self.open.len() == 0 && !self.streams.iter().any(awaits) && self.has_passed_let_go() {
            self.overflowing = false;
        }
    }

    /// Whether all streams have come to what was let go.
    fn has_passed_let_go(&self) -> bool {
        self.let_go.iter().all(|(source, last)| {
            let owner = self.owners.get(source);
            let mut others = self.nodes.indices().filter(|node| Some(node) != owner);
            others.all(|node| {
                let stream = &self.streams[node.at()];
                let shown = stream.shown.get(source).map_or(0, |log| log.last().0);
                !stream.begun || shown >= *last
            })
        })
    }

    fn is_over(&self) -> bool {
        self.held_bytes() + self.held.elsewhere > self.settings.memory_bytes
    }

    /// Forgets findings that have settled since a stream was awaited for them.
    fn forget_doubts(&mut self) {
        for serials in self.doubts.values_mut().filter(|serials| serials.len() > DOUBTS_MIN) {
            if serials.len() > 2 * self.pending.findings.len() {
                serials.retain(|serial| self.pending.has(*serial));
                serials.shrink_to_fit();
            }
        }
    }

    /// Copies that wait for originals which their own stream does not deliver: past their bound
    /// only the place of the first ones is kept.
    fn keep_early_bound(&mut self, when: CommitTime, out: &mut Vec<Report>) {
        let bytes_max = self.settings.early_bytes_max();
        if self.held.early <= bytes_max {
            return;
        }
        let mut forgotten = vec![0_u64; self.streams.len()];
        while self.held.early > bytes_max
            && let Some((node, source)) = self.most_early()
        {
            // Half of them: so often is not looked for who has most.
            let Some(log) = self.streams[node].shown.get_mut(&source) else { break };
            let numbers: Vec<u64> = (0..log.waiting_len().div_ceil(2))
                .map_while(|_| log.forget_first_early())
                .collect();
            forgotten[node] += numbers.len() as u64;
            self.overflowing = true;
            let gtid_source = self.sources.of(source);
            for sequence in numbers {
                self.forget_early_rows(&Gtid { source: gtid_source, sequence }, out);
            }
            self.count_held();
        }
        for (at, count) in forgotten.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let detail = "copies of transactions that their own node's stream has not delivered: \
                          of the first ones only their place is kept, and their rows are not \
                          compared";
            let (node, reason) = (NodeIndex(at as u8), BlindSpotReason::BoundReached);
            self.blind(node, reason, None, detail.into(), count, when, out);
        }
    }

    /// The stream and the source with the most copies that wait.
    fn most_early(&self) -> Option<(usize, usize)> {
        let streams = self.streams.iter().enumerate();
        let logs = streams.flat_map(|(at, stream)| {
            stream.shown.iter().map(move |(source, log)| (log.waiting_len(), at, *source))
        });
        logs.max().filter(|(waiting, ..)| *waiting > 0).map(|(_, at, source)| (at, source))
    }

    /// Forgets the rows that an early copy wrote.
    fn forget_early_rows(&mut self, gtid: &Gtid, out: &mut Vec<Report>) {
        for key in self.ledger.extra.remove(gtid).unwrap_or_default() {
            self.forget_row(key, out);
        }
    }

    /// Notes that the rows of copies that wait for this original are not followed any more: what it
    /// wrote there is not taken for left out.
    pub(super) fn forget_copy(&mut self, gtid: &Gtid) {
        let source = self.sources.number(gtid.source);
        self.overflowing = true;
        for stream in &mut self.streams {
            if let Some(log) = stream.shown.get_mut(&source) {
                log.hides(gtid.sequence);
            }
        }
    }

    /// Forgets a row that is followed: what becomes of it will not be known.
    pub(super) fn forget_row(&mut self, key: u128, out: &mut Vec<Report>) {
        let Some(entry) = self.ledger.remove(key) else { return };
        for write in entry.writes().iter().filter(|write| write.steps[write.origin.at()].is_none())
        {
            self.forget_copy(&write.gtid);
        }
        for (conflict, _) in entry.conflicts {
            self.pending.decide(conflict, Outcome::Unknown, out);
        }
        if let Some(finding) = entry.open.filter(|_| entry.told) {
            let news = finding.certainty != Certainty::Possible;
            let finding = Finding { settled: true, certainty: Certainty::Possible, ..*finding };
            out.push(Report { finding, news, first: false });
        }
    }
}

/// Findings of a doubt that are too few to be looked through.
const DOUBTS_MIN: usize = 1_000;

/// Bytes of a finding beside itself, on the heap.
pub(super) fn heap_of(finding: &Finding) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
    let places = |transaction: &TransactionRef| {
        transaction.coordinates.capacity() * size_of::<Option<Coordinates>>()
    };
    text(&finding.table)
        + text(&finding.detail)
        + finding.key.as_ref().map_or(0, |key| key.bytes.len())
        + finding.last_written.capacity() * size_of::<Option<LastWrite>>()
        + finding.transactions.capacity() * size_of::<TransactionRef>()
        + finding.transactions.iter().map(places).sum::<usize>()
}
