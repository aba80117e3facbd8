//! Divergence: rows that the streams do not agree on, from the ledger's meeting points.

use super::{
    Report, Verifier, blank,
    id::IdHasher,
    ledger::{Entry, LAST, Meeting, Next, Position, Step, Streams, Write},
    open::OpenId,
};
use crate::model::{
    BlindSpotReason, Cause, Certainty, Finding, FindingId, FindingKind, Gtid, Healed, NodeIndex,
    Outcome, Severity, State, TransactionRef,
};
use std::collections::BTreeMap;

impl Verifier {
    /// Forgets the rows of a transaction that was let go before all streams had shown it.
    pub(super) fn forget_rows(&mut self, id: OpenId, out: &mut Vec<Report>) {
        let keys: Vec<u128> = self.open.touches_of(id).map(|touch| touch.key).collect();
        for key in keys {
            self.forget_row(key, out);
        }
    }

    /// The rows that differ now, of those that are told by themselves, by the hashes of their keys.
    pub fn rows_that_differ(&mut self) -> Vec<u128> {
        let open = self.ledger.iter_mut().filter(|(_, entry)| entry.open.is_some() && entry.told);
        let mut keys: Vec<u128> = open.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// The divergence of a row as it stands now, if it differs.
    pub fn open_divergence(&mut self, key: u128) -> Option<Finding> {
        let entry = self.ledger.get_mut(key)?;
        entry.open.as_deref().filter(|_| entry.told).cloned()
    }

    /// Ties a conflict to its row: at the next meeting point it is known what became of it.
    pub(super) fn await_outcome(&mut self, key: u128, serial: u64, pair: [Gtid; 2]) -> bool {
        let Some(entry) = self.ledger.get_mut(key) else { return false };
        let has = |gtid: &Gtid| entry.writes().iter().any(|write| write.gtid == *gtid);
        let both = pair.iter().all(has);
        if both {
            entry.conflicts.push((serial, pair));
        }
        both
    }

    /// Up to which place a stream has made sure of what it shows: a copy that waits for its
    /// original may hide holes before it.
    pub(super) fn sure(&self, node: usize) -> Position {
        let logs = self.streams[node].shown.values();
        logs.filter_map(|log| log.first_waiting()).min().map_or(LAST, |first| (2 * first, 0))
    }

    /// Judges the rows whose streams may have met.
    pub(super) fn judge_meetings(&mut self, at_end: bool, out: &mut Vec<Report>) {
        if self.ledger.touched.is_empty() && self.ledger.deferred.is_empty() {
            return;
        }
        let mut keys = std::mem::take(&mut self.ledger.touched);
        // As long as a stream has not come to where the others began, it may show what comes
        // before everything read from them.
        let behind = self.streams.iter().any(|stream| stream.begun && stream.is_behind());
        let sure: Vec<Position> = match (at_end, behind) {
            (true, _) => vec![LAST; self.streams.len()],
            (false, true) => vec![(0, 0); self.streams.len()],
            (false, false) => (0..self.streams.len()).map(|at| self.sure(at)).collect(),
        };
        if sure != self.ledger.sure {
            keys.extend(std::mem::take(&mut self.ledger.deferred));
            self.ledger.sure.clone_from(&sure);
        }
        keys.sort_unstable();
        keys.dedup();
        let streams = Streams { begun: self.begun(), sure };
        let mut groups = Groups::default();
        for key in keys {
            while let Some(entry) = self.ledger.get_mut(key) {
                match entry.next_meeting(&streams) {
                    Next::Waits => break,
                    Next::Deferred => {
                        self.ledger.deferred.insert(key);
                        break;
                    }
                    Next::Meets(meeting) => self.judge_meeting(key, &meeting, &mut groups, out),
                }
            }
            match self.ledger.get_mut(key).is_some_and(|entry| entry.is_done()) {
                true => drop(self.ledger.remove(key)),
                false => self.ledger.weigh(key),
            }
        }
        for (key, more) in groups.hand_out(out) {
            let entry = self.ledger.get_mut(key);
            if let Some(finding) = entry.and_then(|entry| entry.open.as_mut()) {
                finding.more = more;
            }
        }
    }

    fn judge_meeting(
        &mut self,
        key: u128,
        meeting: &Meeting,
        groups: &mut Groups,
        out: &mut Vec<Report>,
    ) {
        for write in &meeting.segment {
            self.mark_settled(write.gtid, key);
        }
        self.tell_missing(meeting, out);
        let Some(entry) = self.ledger.get_mut(key) else { return };
        let outcome = match (meeting.same, meeting.doubtful) {
            (Some(true), false) => Outcome::Converged,
            (Some(false), false) => Outcome::Diverged,
            _ => Outcome::Unknown,
        };
        let in_segment = |gtid: &Gtid| meeting.segment.iter().any(|write| write.gtid == *gtid);
        let mut decided = Vec::new();
        entry.conflicts.retain(|(serial, pair)| {
            let both = pair.iter().all(in_segment);
            decided.extend(both.then_some(*serial));
            !both
        });
        for serial in &decided {
            self.pending.decide(*serial, outcome, out);
        }
        self.judge_states(key, meeting, groups, out);
    }

    /// Opens, changes or heals a divergence.
    fn judge_states(
        &mut self,
        key: u128,
        meeting: &Meeting,
        groups: &mut Groups,
        out: &mut Vec<Report>,
    ) {
        let limit = self.settings.group_limit;
        let Some(entry) = self.ledger.get_mut(key) else { return };
        let mut certainty = match meeting.doubtful {
            true => Certainty::Possible,
            false => Certainty::Exact,
        };
        match (meeting.same, entry.open.take()) {
            (Some(false), Some(mut finding)) => {
                let moved = entry.update(&mut finding, meeting);
                let news = entry.told && (moved || finding.certainty != certainty);
                finding.certainty = certainty;
                if news {
                    out.push(Report { finding: (*finding).clone(), news, first: false });
                }
                entry.open = Some(finding);
            }
            (Some(true), Some(mut finding)) => {
                finding.certainty = certainty;
                let _ = entry.update(&mut finding, meeting);
                heal(&mut finding, meeting);
                if entry.told {
                    out.push(Report { finding: *finding, news: true, first: false });
                }
                entry.forget_sides();
            }
            (Some(true), None) if !meeting.drift => entry.forget_sides(),
            (None, None) if !meeting.drift || meeting.shapes_differ => {
                entry.forget_sides();
                self.tell_unknown(key, meeting, out);
            }
            (None, Some(mut finding)) => {
                if entry.update(&mut finding, meeting) && entry.told {
                    out.push(Report { finding: (*finding).clone(), news: true, first: false });
                }
                entry.open = Some(finding);
                self.tell_unknown(key, meeting, out);
            }
            (same, None) => {
                // Where it drifted, and what was written over it does not tell all columns, it
                // may differ still.
                if same.is_none() {
                    certainty = Certainty::Possible;
                }
                let mut finding = opened(key, entry, meeting);
                finding.certainty = certainty;
                let is_healed = same == Some(true);
                if is_healed {
                    heal(&mut finding, meeting);
                    entry.forget_sides();
                }
                let told = groups.tell(&finding, key, limit, out);
                if !is_healed {
                    (entry.told, entry.open) = (told, Some(Box::new(finding)));
                }
            }
        }
    }

    /// The streams' rows cannot be compared.
    fn tell_unknown(&mut self, key: u128, meeting: &Meeting, out: &mut Vec<Report>) {
        let Some(entry) = self.ledger.get_mut(key) else { return };
        if meeting.unread {
            // It was written on both sides of where a stream begins; nothing is said of it.
            return;
        }
        let (table, last) = (entry.row.table.full_name(), last_write(meeting));
        let (reason, detail) = match meeting.shapes_differ {
            true => (
                BlindSpotReason::LayoutDiffers,
                "the nodes' tables differ in their columns: rows are not compared",
            ),
            false => (
                BlindSpotReason::PartialImage,
                "row images leave columns out: whether the row differs between the masters is not \
                 known (set binlog_row_image=FULL)",
            ),
        };
        let when = last.committed_at;
        self.blind(last.origin, reason, Some(table), detail.to_owned(), 1, when, out);
    }

    fn mark_settled(&mut self, gtid: Gtid, key: u128) {
        let source = self.sources.number(gtid.source);
        let open = self.by_sequence.get(&source).and_then(|open| open.get(&gtid.sequence));
        if let Some(id) = open {
            self.open.set_settled(*id, key);
        }
    }

    /// Reports transactions that left no trace where they should have left one.
    fn tell_missing(&mut self, meeting: &Meeting, out: &mut Vec<Report>) {
        for (gtid, node) in &meeting.missing {
            let Some(write) = meeting.segment.iter().find(|write| write.gtid == *gtid) else {
                continue;
            };
            let step = write.steps[node.at()].as_ref();
            if step.is_some_and(|step| step.coordinates.is_some()) {
                // It is there, without the row: filtered, or the row was missing.
                continue;
            }
            let detail = "it left no trace there, and the rows do not say why: an operator skipped \
                          it, a filter left it out, or the row had been changed without the log";
            let (mut reference, certainty) = (write.reference(), Certainty::Possible);
            reference.operation = None;
            self.tell_missing_copy(*node, reference, certainty, detail, out);
        }
    }

    /// Reports a transaction that a stream does not show, once.
    pub(super) fn tell_missing_copy(
        &mut self,
        node: NodeIndex,
        transaction: TransactionRef,
        certainty: Certainty,
        detail: &str,
        out: &mut Vec<Report>,
    ) {
        let kind = FindingKind::MissingCopy;
        let id = IdHasher::new(kind).gtid(transaction.gtid).number(u128::from(node.0)).finish();
        if self.missing_told.len() >= MISSING_MAX || !self.missing_told.insert(id) {
            return;
        }
        let when = transaction.committed_at;
        let finding = Finding {
            certainty,
            node: Some(node),
            detail: Some(detail.to_owned()),
            transactions: vec![transaction],
            ..blank(id, kind, Severity::Warning, when)
        };
        out.push(Report { finding, news: true, first: true });
    }

    /// The end: divergences are told as they stand.
    pub(super) fn settle_divergences(&mut self, out: &mut Vec<Report>) {
        self.judge_meetings(true, out);
        for key in self.ledger.keys() {
            let Some(entry) = self.ledger.remove(key) else { continue };
            if let Some(finding) = entry.open.filter(|_| entry.told) {
                let finding = Finding { settled: true, ..*finding };
                out.push(Report { finding, news: false, first: false });
            }
        }
        self.tell_overflow(out);
    }
}

impl Entry {
    /// Brings a divergence up to date with what the streams wrote last.
    /// True when the row was written since.
    fn update(&self, finding: &mut Finding, meeting: &Meeting) -> bool {
        let last = self.sides.iter().map(|side| side.as_ref().and_then(|s| s.last.clone()));
        let before = std::mem::replace(&mut finding.last_written, last.collect());
        finding.last_seen = finding.last_seen.max(last_write(meeting).committed_at);
        before != finding.last_written
    }
}

/// The transaction of a segment that was committed last.
fn last_write(meeting: &Meeting) -> &Write {
    let newest = meeting.segment.iter().max_by_key(|write| (write.committed_at, write.gtid));
    newest.expect("a segment holds a write")
}

/// A divergence that begins at a meeting point.
fn opened(key: u128, entry: &Entry, meeting: &Meeting) -> Finding {
    let kind = FindingKind::Divergence;
    let table = entry.row.table.full_name();
    let mut id = IdHasher::new(kind).text(&table).number(key);
    let mut transactions: Vec<TransactionRef> = Vec::new();
    for node in 0..entry.sides.len() {
        let last = meeting.last_in(node);
        id = id.gtid(last.map(|write| write.gtid));
        let Some(last) = last else { continue };
        if transactions.iter().all(|known| known.gtid != Some(last.gtid)) {
            transactions.push(last.reference());
        }
    }
    transactions.sort_by_key(|transaction| (transaction.origin, transaction.gtid));
    let group = IdHasher::new(kind).text(&table);
    let group = transactions.iter().fold(group, |id, transaction| id.gtid(transaction.gtid));
    let when = last_write(meeting).committed_at;
    let mut finding = Finding {
        settled: false,
        key: Some(entry.row.clone()),
        table: Some(table),
        cause: Some(meeting.cause()),
        group: group.finish(),
        transactions,
        ..blank(id.finish(), kind, Severity::Critical, when)
    };
    let _ = entry.update(&mut finding, meeting);
    finding
}

fn heal(finding: &mut Finding, meeting: &Meeting) {
    let healer = last_write(meeting);
    finding.state = State::Healed;
    finding.settled = true;
    finding.healed = Some(Healed { at: healer.committed_at, by: Some(healer.gtid) });
}

impl Meeting {
    /// The transaction of the segment that wrote the row last in a stream.
    ///
    /// One that left it as it found it (an insert and a delete in one, say) is not named beside
    /// others: whether the row is followed when such a one is read depends on the order of reading.
    fn last_in(&self, node: usize) -> Option<&Write> {
        let changes = |step: &Step| step.change.is_some_and(|of| of.before != of.after);
        let any_changes = self.segment.iter().flat_map(|write| &write.steps).flatten().any(changes);
        let wrote = self.segment.iter().filter_map(|write| {
            let step = write.steps[node].as_ref().filter(|step| step.change.is_some())?;
            (!any_changes || changes(step)).then_some(((step.position, write.gtid), write))
        });
        wrote.max_by_key(|(at, _)| *at).map(|(_, write)| write)
    }

    fn cause(&self) -> Cause {
        let first = self.segment.first().map(|write| write.origin);
        // An original that lacks the row is one whose copy wrote more than it did.
        let left_out = |write: &&Write| {
            let own = write.steps[write.origin.at()].as_ref().and_then(|step| step.change);
            own.is_some() && write.steps.iter().flatten().any(|step| step.change.is_none())
        };
        if self.segment.iter().any(|write| Some(write.origin) != first) {
            Cause::Conflict
        } else if self.segment.iter().any(|write| left_out(&write)) {
            Cause::Skipped
        } else if self.drift {
            Cause::Drift
        } else {
            Cause::Applied
        }
    }
}

/// Divergences of one table and transactions, within one moment.
#[derive(Default)]
struct Groups(BTreeMap<FindingId, Group>);

#[derive(Default)]
struct Group {
    told: u64,
    more: u64,
    /// The last that was told: its row, and its place among the reports.
    last: Option<(u128, usize)>,
}

impl Groups {
    /// Tells one more of its group, or counts it.
    fn tell(&mut self, finding: &Finding, key: u128, limit: u64, out: &mut Vec<Report>) -> bool {
        let group = self.0.entry(finding.group).or_default();
        if group.told >= limit {
            group.more += 1;
            return false;
        }
        group.told += 1;
        group.last = Some((key, out.len()));
        out.push(Report { finding: finding.clone(), news: true, first: true });
        true
    }

    /// Counts what was not told on the last of its group that was; gives these with the counts.
    fn hand_out(self, out: &mut [Report]) -> Vec<(u128, u64)> {
        let groups = self.0.into_values().filter(|group| group.more > 0);
        let counted = groups.filter_map(|group| {
            let (key, at) = group.last?;
            out[at].finding.more = group.more;
            Some((key, group.more))
        });
        counted.collect()
    }
}

/// Missing copies that are told one by one.
pub(super) const MISSING_MAX: usize = 100_000;
