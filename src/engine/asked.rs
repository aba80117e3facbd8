//! Order without copies: what a node's server says it has applied, where its log does not show it.
//!
//! A server that is asked again and again says how far it has applied the others' transactions and
//! how far its own log goes. Two answers put what was applied between them between ordinals of its
//! stream: after what was logged by the one, before what was not yet logged by the other. So an
//! original of another node gets a [`Place`] there, only a wider one than a copy would give it:
//! what lies outside is ordered, a conflict with what lies inside is `possible`.
//!
//! # What an answer proves
//!
//! An answer's `applied` is read before its `own`, and row locks are held until commit. A server
//! counts a transaction as applied, or its own as executed, a moment after the rows are free; so an
//! answer is not taken by itself, but with one to spare on either side:
//!
//! - what an answer has as applied was there before every own transaction that the answer *after*
//!   it has not;
//! - what an answer has not as applied came after every own transaction that the answer *before* it
//!   has.
//!
//! An answer counts as soon as the node's stream has come to all that it names as logged.

use super::{
    Report, Verifier,
    open::OpenId,
    shown::{DISORDER_MAX, Place},
    stream::Stream,
};
use crate::model::{Applied, Gtid, GtidSet, GtidSource, NodeIndex};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Answers that count, and are looked back at: one to spare, and the two around what was applied.
const LOOK_BACK: usize = 3;
/// Answers that wait for a stream. Past that every other one is left out: what lies between two
/// that are farther apart is `possible`, and nothing is lost.
const ANSWERS_MAX: usize = 4_096;
/// Places of a source's transactions whose originals have not been read. Past that the first ones
/// are forgotten: these took effect before what the newest answer has not.
const AHEAD_MAX: usize = 16_384;
/// Own transactions since the last answer. Past that only every other one is known: what was
/// applied between two of them has a wider place.
const OWN_MAX: usize = 65_536;

/// What a node's server has said, as far as it is needed.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Own transactions up to this ordinal are not known one by one.
    since: u64,
    /// What the newest answer has as logged.
    said: GtidSet,
    /// Answers that the stream has not come to.
    answers: VecDeque<Applied>,
    /// The last ones that count, the oldest first.
    counted: VecDeque<Counted>,
    /// Own transactions that the last of them may not have: GTID and ordinal.
    own: VecDeque<(Gtid, u64)>,
    /// By source: places of transactions that were applied before their originals were read.
    ahead: BTreeMap<usize, VecDeque<Ahead>>,
    /// Conflicts that wait for an answer, by the ordinal of the node's own transaction.
    waiting: BTreeMap<u64, Vec<u64>>,
}

/// An answer that counts.
#[derive(Serialize, Deserialize)]
struct Counted {
    /// What this answer and those before it have as applied.
    applied: GtidSet,
    /// All own transactions up to this ordinal are in it.
    all_up_to: u64,
    /// None past this ordinal is.
    none_past: u64,
}

/// Where transactions of these numbers, both included, took effect.
#[derive(Serialize, Deserialize)]
struct Ahead {
    numbers: (u64, u64),
    place: Place,
}

/// Transactions that the newest answer but one has, and none before it had.
struct Passing {
    applied: GtidSet,
    place: Place,
}

impl Asked {
    /// Answers are for what comes after an ordinal.
    pub(super) fn since(ordinal: u64) -> Asked {
        Asked { since: ordinal, ..Asked::default() }
    }

    /// Notes an own transaction of the node.
    pub(super) fn logs(&mut self, gtid: Gtid, ordinal: u64) {
        self.own.push_back((gtid, ordinal));
        if self.own.len() > OWN_MAX {
            keep_every_other(&mut self.own);
        }
    }

    /// Own transactions up to this ordinal came before whatever has no place yet.
    fn settled_up_to(&self) -> u64 {
        let oldest = self.counted.front().filter(|_| self.counted.len() == LOOK_BACK);
        oldest.map_or(0, |counted| counted.all_up_to)
    }

    /// Whether the order of an own transaction and one that has no place yet is not known.
    pub(super) fn is_undecided(&self, ordinal: u64) -> bool {
        ordinal > self.settled_up_to()
    }

    /// Keeps a conflict until an answer tells the order.
    pub(super) fn awaits(&mut self, ordinal: u64, conflict: u64) {
        self.waiting.entry(ordinal).or_default().push(conflict);
    }

    /// Where a transaction took effect whose original is read only now.
    pub(super) fn place_of(&mut self, source: usize, gtid: &Gtid) -> Option<Place> {
        let ahead = self.ahead.entry(source).or_default();
        // Originals come in the order of their numbers, but for what an operator numbered.
        let passed = ahead.partition_point(|of| of.numbers.1 + DISORDER_MAX < gtid.sequence);
        ahead.drain(..passed);
        let has = |of: &&Ahead| (of.numbers.0..=of.numbers.1).contains(&gtid.sequence);
        let known = ahead.iter().find(has).map(|of| of.place);
        known.or_else(|| self.place_of_forgotten(gtid))
    }

    /// Somewhere before what the newest answer has not, for one that an earlier answer has.
    fn place_of_forgotten(&self, gtid: &Gtid) -> Option<Place> {
        let before = self.counted.len().checked_sub(2).map(|at| &self.counted[at])?;
        let none_past = self.counted.back()?.none_past;
        before.applied.contains(gtid).then(|| Place::told(0, none_past))
    }

    /// Bytes held, about.
    pub(super) fn bytes(&self) -> usize {
        let ahead: usize = self.ahead.values().map(|of| of.capacity() * size_of::<Ahead>()).sum();
        let waiting: usize = self.waiting.values().map(|of| 64 + of.capacity() * 8).sum();
        // A set of a few ranges.
        self.answers.len() * 512 + self.own.capacity() * size_of::<(Gtid, u64)>() + ahead + waiting
    }

    /// Takes in an answer that the stream has come to.
    fn count(&mut self, answer: Applied, baseline: &GtidSet) -> Option<Passing> {
        let last = self.counted.back();
        let (mut all_up_to, mut none_past) =
            last.map_or((0, self.since), |last| (last.all_up_to, last.none_past));
        let mut first_without = None;
        for (gtid, ordinal) in &self.own {
            match answer.own.contains(gtid) {
                false => first_without = first_without.or(Some(*ordinal)),
                // Past a number that came late there may be more of them: not one by one.
                true => {
                    none_past = none_past.max(*ordinal);
                    if first_without.is_none() {
                        all_up_to = all_up_to.max(*ordinal);
                    }
                }
            }
        }
        // Where not every own transaction is known, one in between may be in the answer.
        let next = self.own.iter().find(|(_, ordinal)| *ordinal > none_past);
        none_past = next.map_or(none_past, |(_, ordinal)| ordinal - 1);
        while self.own.front().is_some_and(|(_, ordinal)| *ordinal <= all_up_to) {
            self.own.pop_front();
        }
        let mut applied = answer.applied;
        let before = self.counted.len().checked_sub(2).map(|at| &self.counted[at]);
        let passing = self.counted.back().map(|newest| Passing {
            applied: newest.applied.minus(before.map_or(baseline, |before| &before.applied)),
            // What the one before the newest has not came after what the one before that has.
            place: Place::told(self.settled_up_to(), none_past),
        });
        if let Some(newest) = self.counted.back() {
            applied.extend(&newest.applied);
        }
        self.counted.push_back(Counted { applied, all_up_to, none_past });
        if self.counted.len() > LOOK_BACK {
            self.counted.pop_front();
        }
        passing
    }

    /// Keeps the place of transactions whose originals come later.
    fn keep_ahead(&mut self, source: usize, numbers: (u64, u64), place: Place) {
        let ahead = self.ahead.entry(source).or_default();
        ahead.push_back(Ahead { numbers, place });
        if ahead.len() > AHEAD_MAX {
            ahead.pop_front();
        }
    }
}

/// Leaves the first and the last in.
fn keep_every_other<T>(of: &mut VecDeque<T>) {
    let mut at = 0;
    let last = of.len();
    of.retain(|_| {
        at += 1;
        at % 2 == 1 || at == last
    });
}

impl Stream {
    /// Whether it has shown a transaction, or began with it, or never will.
    fn has_come_to(&self, source: Option<usize>, gtid: &Gtid) -> bool {
        let number = |source: usize| {
            let own = self.own.get(&source).copied().unwrap_or(0);
            own.max(self.shown.get(&source).map_or(0, |log| log.last().0))
        };
        self.baseline.contains(gtid) || source.map_or(0, number) >= gtid.sequence
    }
}

impl Verifier {
    /// Takes a server's answer to what it has applied and what it has logged.
    ///
    /// # Input
    /// `node`: one of which [`Verifier::without_copies`] was said; for others an answer means
    /// nothing. `answer`: newer than all that were given before.
    pub fn applied(&mut self, node: NodeIndex, answer: Applied, out: &mut Vec<Report>) {
        let stream = &mut self.streams[node.at()];
        if stream.copies_are_logged || !stream.begun {
            return;
        }
        if !stream.asked.said.minus(&answer.own).is_empty() {
            self.forget_answers(node, out);
        }
        let asked = &mut self.streams[node.at()].asked;
        asked.said.clone_from(&answer.own);
        let answers = &mut asked.answers;
        // A server that is idle says the same again and again; three of a kind do what more would.
        let newest = answers.iter().rev().take(LOOK_BACK);
        if newest.filter(|known| **known == answer).count() == LOOK_BACK {
            return;
        }
        answers.push_back(answer);
        if answers.len() > ANSWERS_MAX {
            keep_every_other(answers);
        }
        self.count_answers(node, out);
    }

    /// A server has less in its log than it had: what it said before means nothing any more.
    fn forget_answers(&mut self, node: NodeIndex, out: &mut Vec<Report>) {
        let stream = &mut self.streams[node.at()];
        let old = std::mem::replace(&mut stream.asked, Asked::since(stream.ordinal));
        for serial in old.waiting.into_values().flatten() {
            self.pending.came_after(serial, node, |_| false, out);
        }
    }

    /// Takes in the answers of a node's server that its stream has come to.
    pub(super) fn count_answers(&mut self, node: NodeIndex, out: &mut Vec<Report>) {
        while self.has_come_to_answer(node) {
            let stream = &mut self.streams[node.at()];
            let Some(answer) = stream.asked.answers.pop_front() else { return };
            if let Some(passing) = stream.asked.count(answer, &stream.baseline) {
                self.pass(node, &passing, out);
            }
            self.decide_waiting(node, out);
        }
    }

    fn has_come_to_answer(&self, node: NodeIndex) -> bool {
        let stream = &self.streams[node.at()];
        stream.asked.answers.front().is_some_and(|answer| {
            answer.own.iter().all(|(source, ranges)| {
                let last = ranges.last().map_or(0, |range| range.1);
                let gtid = Gtid { source: *source, sequence: last };
                stream.has_come_to(self.sources.known(source), &gtid)
            })
        })
    }

    /// Gives transactions that a node has applied their place in its stream.
    fn pass(&mut self, node: NodeIndex, passing: &Passing, out: &mut Vec<Report>) {
        let mut open: Vec<OpenId> = Vec::new();
        for (source, ranges) in passing.applied.iter() {
            let number = self.sources.number(*source);
            if self.owner(source, number) == Some(node) {
                continue;
            }
            for (first, last) in ranges.iter().copied() {
                if let Some(of) = self.by_sequence.get(&number) {
                    open.extend(of.range(first..last.saturating_add(1)));
                }
                let read = self.read_up_to(source, number);
                if read.is_some_and(|read| read < last) {
                    let first = first.max(read.map_or(0, |read| read + 1));
                    let asked = &mut self.streams[node.at()].asked;
                    asked.keep_ahead(number, (first, last), passing.place);
                }
            }
        }
        for id in open {
            let known = self.open.get(id);
            if known.origin != node && known.places[node.at()].is_none() {
                self.set_place(id, node, passing.place, None, out);
            }
        }
    }

    fn owner(&self, source: &GtidSource, number: usize) -> Option<NodeIndex> {
        self.owners.get(&number).copied().or_else(|| self.nodes.owner_of(source))
    }

    /// The highest number of a source that its own node's stream has shown; `None` where that
    /// stream is not read.
    fn read_up_to(&self, source: &GtidSource, number: usize) -> Option<u64> {
        let owner = match self.owner(source, number) {
            Some(owner) => owner,
            // Of a server that has not been heard of: it may turn out to be a node's.
            None => return (!source.is_ordered()).then_some(0),
        };
        let stream = &self.streams[owner.at()];
        let own = stream.own.get(&number).copied().unwrap_or(0);
        stream.begun.then(|| own.max(stream.baseline.last(source).unwrap_or(0)))
    }

    /// Own transactions that answers have as logged came before whatever is not applied.
    fn decide_waiting(&mut self, node: NodeIndex, out: &mut Vec<Report>) {
        let asked = &mut self.streams[node.at()].asked;
        let later = asked.waiting.split_off(&(asked.settled_up_to() + 1));
        for serial in std::mem::replace(&mut asked.waiting, later).into_values().flatten() {
            let (sources, by_sequence) = (&self.sources, &self.by_sequence);
            let is_open = |gtid: &Gtid| {
                let open = sources.known(&gtid.source).and_then(|of| by_sequence.get(&of));
                open.is_some_and(|open| open.get(&gtid.sequence).is_some())
            };
            self.pending.came_after(serial, node, is_open, out);
        }
    }
}
