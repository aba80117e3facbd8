//! Parts of a stream that are missing: binlogs that were purged before they were read, or files
//! that nobody gave.
//!
//! What other nodes wrote, and the missing part has shown, counts as shown somewhere in it. What
//! the node itself wrote there is known as copies alone: no conflict is looked for with them, since
//! a copy does not tell what its original had seen. The rows that they wrote are followed as far
//! as the copies tell. None of it depends on whether a copy, or an original, is read before the
//! gap is met or after it.

use super::{
    Report, Seen, Verifier,
    compare::Unseen,
    ledger::{Position, Step},
    open::OpenId,
    shown::Place,
};
use crate::model::{BlindSpotReason, CommitTime, Gtid, GtidSet, NodeIndex};
use serde::{Deserialize, Serialize};

/// Gaps of one stream that are remembered; what lies in older ones counts as shown before all.
const GAPS_MAX: usize = 1_000;

/// A part of a stream that is missing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Gap {
    /// What was logged in it.
    missing: GtidSet,
    /// The ordinal that stands for all of it.
    ordinal: u64,
}

impl Gap {
    pub(super) fn has(&self, gtid: &Gtid) -> bool {
        self.missing.contains(gtid)
    }

    fn place(&self) -> Place {
        Place::between(self.ordinal - 1, self.ordinal)
    }
}

impl Verifier {
    /// A part of a node's stream is missing: these transactions were logged there, and will not
    /// be shown.
    ///
    /// # Input
    /// `missing`: nothing that the stream has shown, or began with. `detail`: what is missing, for
    /// a person; no two gaps have the same.
    pub fn gap(
        &mut self,
        node: NodeIndex,
        missing: &GtidSet,
        detail: String,
        when: CommitTime,
        out: &mut Vec<Report>,
    ) {
        let stream = &mut self.streams[node.at()];
        // Never right at the start: what passes there may have passed before the stream began.
        stream.ordinal = stream.ordinal.max(1) + 1;
        stream.other_write = stream.ordinal;
        let ordinal = stream.ordinal;
        self.part_anonymous(node, ordinal);
        self.enter_gap(node, Gap { missing: missing.clone(), ordinal }, out);
        self.blind(node, BlindSpotReason::Gap, None, detail, 1, when, out);
    }

    /// Notes what a gap of a node's stream hides.
    fn enter_gap(&mut self, node: NodeIndex, gap: Gap, out: &mut Vec<Report>) {
        let stream = &mut self.streams[node.at()];
        let was_behind = stream.is_behind();
        let (missing, place) = (&gap.missing.clone(), gap.place());
        stream.baseline.extend(missing);
        if stream.gaps.len() >= GAPS_MAX {
            stream.gaps.remove(0);
        }
        stream.gaps.push(gap);
        for behind in &mut stream.behind {
            *behind = behind.minus(missing);
        }
        let is_behind = stream.is_behind();
        self.disturb_all();
        let hidden: Vec<OpenId> = self.open.ids().filter(|id| self.is_hidden(*id, node)).collect();
        for id in hidden {
            self.enter_passed(id, node, place, Unseen::Unread);
            self.set_place(id, node, place, None, out);
        }
        self.give_up_originals(node, missing, 2 * place.at - 1);
        if was_behind && !is_behind {
            self.release_held(node, out);
        }
        self.judge_meetings(false, out);
    }

    /// Whatever comes next of a source without GTIDs tells what of it a gap has hidden.
    fn part_anonymous(&mut self, node: NodeIndex, ordinal: u64) {
        let stream = &mut self.streams[node.at()];
        let seen = stream.own.keys().chain(stream.shown.keys()).copied();
        let parted: Vec<usize> =
            seen.filter(|number| self.sources.of(*number).is_anonymous()).collect();
        for number in parted {
            // Of several gaps in a row the first is where they may have passed.
            stream.parted.entry(number).or_insert(ordinal);
        }
    }

    /// The first transaction of a source without GTIDs after a gap: all between it and the last one
    /// before was logged there.
    pub(super) fn close_anonymous_gap(
        &mut self,
        seen: Seen,
        last: Option<u64>,
        out: &mut Vec<Report>,
    ) {
        let Seen { node, gtid, source, .. } = seen;
        let Some(ordinal) = self.streams[node.at()].parted.remove(&source) else { return };
        let Some(last) = last.filter(|last| last + 1 < gtid.sequence) else { return };
        let mut missing = GtidSet::default();
        missing.add_range(gtid.source, last + 1, gtid.sequence - 1);
        self.enter_gap(node, Gap { missing, ordinal }, out);
    }

    /// Whether an open original of another node has passed in the newest gap of a node's stream.
    fn is_hidden(&self, id: OpenId, node: NodeIndex) -> bool {
        let open = self.open.get(id);
        let gap = self.streams[node.at()].gaps.last();
        open.origin != node
            && open.places[node.at()].is_none()
            && gap.is_some_and(|gap| gap.has(&open.gtid))
    }

    /// The gap of a node's stream that a transaction was logged in.
    pub(super) fn gap_of(&self, node: NodeIndex, gtid: &Gtid) -> Option<Place> {
        let gaps = &self.streams[node.at()].gaps;
        gaps.iter().find(|gap| gap.has(gtid)).map(Gap::place)
    }

    /// Where, in the ledger's order, a transaction stands that a node logged before its stream
    /// began, or in a gap.
    pub(super) fn unread_position(&self, node: NodeIndex, gtid: &Gtid, ordinal: u64) -> Position {
        match self.gap_of(node, gtid) {
            Some(place) => (2 * place.at - 1, gtid.sequence),
            None => (0, ordinal),
        }
    }

    /// Notes that an original, just read, has passed in gaps of other streams.
    pub(super) fn enter_gaps(&mut self, seen: Seen, id: OpenId) {
        for node in self.nodes.indices().filter(|node| *node != seen.node) {
            if let Some(place) = self.gap_of(node, &seen.gtid) {
                self.enter_passed(id, node, place, Unseen::Unread);
                self.open.set_place(id, node, place, None);
                self.disturb_touches(id);
            }
        }
    }

    /// In which order a stream has the writes of a transaction that it does not show is not known.
    pub(super) fn disturb_touches(&mut self, id: OpenId) {
        let keys: Vec<u128> = self.open.touches_of(id).map(|touch| touch.key).collect();
        for key in keys {
            if let Some(entry) = self.ledger.get_mut(key) {
                entry.disturbed = true;
            }
        }
    }

    /// Copies whose originals lie in a gap of their own stream, or before it, wait no longer; `at`
    /// is where that is, in the ledger's order.
    pub(super) fn give_up_originals(&mut self, node: NodeIndex, missing: &GtidSet, at: u64) {
        let sources: Vec<_> = missing.iter().map(|(source, _)| *source).collect();
        for source in sources {
            let number = self.sources.number(source);
            let mut given_up = Vec::new();
            for stream in &mut self.streams {
                let Some(log) = stream.shown.get_mut(&number) else { continue };
                given_up.extend(
                    log.forget_early_of(|sequence| missing.contains(&Gtid { source, sequence })),
                );
            }
            for gtid in given_up.into_iter().map(|sequence| Gtid { source, sequence }) {
                self.early_rows.take(&gtid);
                self.assume_original(node, gtid, at);
            }
        }
    }

    /// Copies with lower numbers than an original's were counted otherwise than their originals:
    /// these do not come under such names.
    pub(super) fn give_up_names_below(&mut self, node: NodeIndex, gtid: Gtid) {
        let Some(number) = self.sources.known(&gtid.source) else { return };
        for at in 0..self.streams.len() {
            let log = self.streams[at].shown.get_mut(&number);
            for sequence in log.map(|log| log.pass_below(gtid.sequence)).unwrap_or_default() {
                let name = Gtid { sequence, ..gtid };
                self.early_rows.take(&name);
                self.assume_original(node, name, 0);
            }
        }
    }

    /// What the original of an early copy did to the rows is taken from the copy.
    fn assume_original(&mut self, node: NodeIndex, gtid: Gtid, at: u64) {
        for key in self.ledger.extra.remove(&gtid).unwrap_or_default() {
            let Some(entry) = self.ledger.get_mut(key) else { continue };
            let Some(write) = entry.writes().iter().find(|write| write.gtid == gtid) else {
                continue;
            };
            let mut write = write.clone();
            let change = write.steps.iter().flatten().find_map(|step| step.change);
            write.steps[node.at()] = Some(Step {
                position: (at, gtid.sequence),
                change,
                coordinates: None,
                skipped: false,
                assumed: true,
            });
            let steps = write.steps.clone();
            entry.write(write).steps = steps;
            entry.disturbed = true;
            self.ledger.touched.push(key);
        }
    }
}
