//! Copies that a stream has not shown in time.
//!
//! Whether a stream is late is judged by the time up to which it is known to have been read: what
//! its server had logged by then, it has shown. A scan has commit times for that. A watch goes by
//! how long it has waited itself, so that no clock that jumps, a server's or its own, makes a copy
//! late.

use super::{Report, Settings, Verifier, blank, id::IdHasher, open::OpenId, shown::DISORDER_MAX};
use crate::model::{
    Certainty, CommitTime, Coordinates, Finding, FindingKind, Healed, NodeIndex, Severity, State,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Originals of a source that a stream has not shown in time, by both.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Overdue(BTreeMap<(NodeIndex, usize), Late>);

/// One source in one stream.
#[derive(Serialize, Deserialize)]
struct Late {
    /// All open originals of lower numbers are shown there.
    from: u64,
    /// The finding that is open, and the original that it is about.
    told: Option<(Box<Finding>, OpenId)>,
    /// Originals of this number and lower ones are counted.
    counted: Option<u64>,
    /// The time up to which the stream was judged last. It means nothing after a restart.
    #[serde(skip, default = "long_ago")]
    judged: i64,
    /// The next finding is told at this time or later.
    #[serde(skip, default = "long_ago")]
    quiet_until: i64,
}

fn long_ago() -> i64 {
    i64::MIN
}

/// Which originals have been waited for long enough.
enum Due {
    /// Those committed before this.
    Committed(i64),
    /// Those of up to these numbers, by source.
    Observed(BTreeMap<usize, u64>),
}

impl Due {
    fn has(&self, source: usize, sequence: u64, committed_at: CommitTime) -> bool {
        match self {
            Due::Committed(limit) => committed_at.micros < *limit,
            Due::Observed(highest) => highest.get(&source).is_some_and(|most| sequence <= *most),
        }
    }
}

impl Default for Late {
    fn default() -> Self {
        Late { from: 0, told: None, counted: None, judged: long_ago(), quiet_until: long_ago() }
    }
}

impl Verifier {
    /// Looks for originals that a node's stream has not shown within `missing_after`, by their
    /// commit times.
    ///
    /// # Input
    /// `now`: what the node's server had logged by then has been observed.
    pub fn advance(&mut self, node: NodeIndex, now: CommitTime, out: &mut Vec<Report>) {
        let limit = now.micros.saturating_sub(self.settings.missing_after_micros);
        self.look_for_late(node, now.micros, &Due::Committed(limit), out);
    }

    /// Notes what has been observed by now, for [`Verifier::advance_waiting`].
    ///
    /// # Input
    /// `now`: by a clock that does not jump, from any moment on; the same for all calls.
    pub fn note_waiting(&mut self, now: Duration) {
        let highest = self.by_sequence.iter().map(|(source, open)| (*source, open.last_number()));
        self.waited.note(now, missing_after(&self.settings), highest);
    }

    /// Looks for originals that a node's stream has not shown, though they were observed
    /// `missing_after` ago; up to an eighth of that later.
    ///
    /// It looks at the oldest original of each source that the stream has not shown, and counts
    /// each of those after it once: cheap enough to be asked for every second.
    ///
    /// # Input
    /// `until`: what the node's server had logged by then has been observed.
    pub fn advance_waiting(&mut self, node: NodeIndex, until: Duration, out: &mut Vec<Report>) {
        let Some(highest) = self.waited.before(until, missing_after(&self.settings)) else {
            return;
        };
        let due = Due::Observed(highest.clone());
        let until = i64::try_from(until.as_micros()).unwrap_or(i64::MAX);
        self.look_for_late(node, until, &due, out);
    }

    fn look_for_late(&mut self, node: NodeIndex, until: i64, due: &Due, out: &mut Vec<Report>) {
        let stream = &self.streams[node.at()];
        let is_off = self.settings.missing_after_micros == 0;
        let shows_copies = stream.copies_are_logged && stream.leaves_out.is_none();
        if is_off || !stream.begun || !shows_copies {
            return;
        }
        let sources: Vec<usize> = self.by_sequence.keys().copied().collect();
        for source in sources {
            let mut late = self.overdue.0.remove(&(node, source)).unwrap_or_default();
            late.judged = late.judged.max(until);
            self.judge_late(node, source, due, &mut late, out);
            self.overdue.0.insert((node, source), late);
        }
    }

    /// Judges one source in one stream: what is due should be there.
    fn judge_late(
        &self,
        node: NodeIndex,
        source: usize,
        due: &Due,
        late: &mut Late,
        out: &mut Vec<Report>,
    ) {
        let Some(open) = self.by_sequence.get(&source) else { return };
        if let Some((finding, id)) = &mut late.told {
            let sequence = finding.transactions[0].gtid.map_or(0, |gtid| gtid.sequence);
            if open.get(&sequence) != Some(id) {
                // It was let go before it was shown: nothing will be known of it.
                finding.settled = true;
                out.push(Report { finding: (**finding).clone(), news: false, first: false });
                late.told = None;
            }
        }
        let log = self.streams[node.at()].shown.get(&source);
        let lacks = |sequence: u64, id: OpenId| {
            let open = self.open.get(id);
            let unseen = open.origin != node && open.places[node.at()].is_none();
            unseen && !log.is_some_and(|log| log.was_never_logged(sequence))
        };
        let number = |id: OpenId| self.open.get(id).gtid.sequence;
        let oldest = open.range(late.from..u64::MAX).find(|id| lacks(number(*id), *id));
        let reached = oldest.or_else(|| open.range(late.from..u64::MAX).last());
        // Appliers without commit order show numbers above one that is still to come.
        late.from = reached.map_or(late.from, |id| number(id).saturating_sub(DISORDER_MAX));
        let Some(id) = oldest else { return };
        let is_due = due.has(source, number(id), self.open.get(id).committed_at);
        let first = late.told.is_none() && is_due && late.judged >= late.quiet_until;
        if first {
            late.told = Some((Box::new(self.late_finding(node, id)), id));
            late.counted = None;
        }
        let Some((finding, _)) = &mut late.told else { return };
        let from = late.counted.map_or(number(id), |counted| counted + 1);
        for id in open.range(from..u64::MAX) {
            let (at, committed_at) = (number(id), self.open.get(id).committed_at);
            if !due.has(source, at, committed_at) {
                break;
            }
            late.counted = Some(at);
            if lacks(at, id) {
                finding.count += 1;
                finding.last_seen = finding.last_seen.max(committed_at);
            }
        }
        if first {
            out.push(Report { finding: (**finding).clone(), news: true, first: true });
        }
    }

    fn late_finding(&self, node: NodeIndex, id: OpenId) -> Finding {
        let mut reference = self.open_reference(id, None);
        let open = self.open.get(id);
        // Which others show it already depends on how far they were read.
        for (at, place) in reference.coordinates.iter_mut().enumerate() {
            *place = place.take().filter(|_| at == open.origin.at());
        }
        let (from, to) = (&self.nodes[open.origin].name, &self.nodes[node].name);
        let since = duration(self.settings.missing_after_micros);
        let mut detail =
            format!("not shown for {since}; replication from {from} to {to} is behind or stopped");
        if open.gtid.source.is_ordered() {
            // Nothing came of the source since: a hole would look the same.
            detail += ", or applying it changed nothing there";
        }
        let kind = FindingKind::MissingCopy;
        let about = IdHasher::new(kind).text("late").gtid(reference.gtid);
        let certainty = match open.gtid.source.is_ordered() {
            true => Certainty::Possible,
            false => Certainty::Exact,
        };
        Finding {
            settled: false,
            certainty,
            node: Some(node),
            detail: Some(detail),
            count: 0,
            transactions: vec![reference],
            ..blank(
                about.number(u128::from(node.0)).finish(),
                kind,
                Severity::Warning,
                open.committed_at,
            )
        }
    }

    /// A stream has shown an open transaction, or passed it.
    pub(super) fn shown_at_last(
        &mut self,
        id: OpenId,
        node: NodeIndex,
        coordinates: Option<&Coordinates>,
        out: &mut Vec<Report>,
    ) {
        let source = self.open.get(id).source;
        let Some(late) = self.overdue.0.get_mut(&(node, source)) else { return };
        if late.told.as_ref().is_none_or(|(_, told)| *told != id) {
            return;
        }
        let Some((mut finding, _)) = late.told.take() else { return };
        let open = self.open.get(id);
        finding.transactions[0].coordinates[node.at()] = coordinates.cloned();
        // While replication catches up, one a time is enough.
        late.quiet_until = late.judged.saturating_add(self.settings.missing_after_micros);
        finding.state = State::Healed;
        finding.settled = true;
        finding.healed = Some(Healed { at: open.committed_at, by: Some(open.gtid) });
        out.push(Report { finding: *finding, news: true, first: false });
    }

    /// The end: what the streams have not shown by their own last transactions.
    pub(super) fn settle_missing(&mut self, silent: &[bool], out: &mut Vec<Report>) {
        let mut found = Vec::new();
        for node in self.nodes.indices() {
            let end = self.coverage.streams[node.at()].span.map(|(_, last)| last);
            // What a cut stream does not show proves nothing; silence has a blind spot of its own.
            if let Some(end) = end.filter(|_| !self.streams[node.at()].cut && !silent[node.at()]) {
                self.advance(node, end, &mut found);
            }
        }
        for (_, late) in std::mem::take(&mut self.overdue.0) {
            found.extend(late.told.map(|(finding, _)| {
                let finding = Finding { settled: true, ..*finding };
                Report { finding, news: false, first: false }
            }));
        }
        // Sources are numbered as they are met.
        found.sort_by_key(|report| (report.finding.node, report.finding.transactions[0].gtid));
        out.append(&mut found);
    }
}

/// As the configuration writes it: `5m0s`.
fn duration(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) if micros < 1_000_000 => format!("{}ms", micros / 1000),
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn missing_after(settings: &Settings) -> Duration {
    Duration::from_micros(settings.missing_after_micros.unsigned_abs())
}
