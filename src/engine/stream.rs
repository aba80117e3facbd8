//! What the engine knows of one node's stream.

use super::{
    asked::Asked,
    gap::Gap,
    handover::RecentCopies,
    shown::{DISORDER_MAX, ShownLog},
    xa::Prepared,
};
use crate::model::{Gtid, GtidSet, GtidSource, NodeIndex};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One node's stream.
#[derive(Serialize, Deserialize)]
pub(super) struct Stream {
    /// Whether the stream is read; set by `begin`.
    pub(super) begun: bool,
    /// What its node had logged (or, live, applied) before the stream began, and what lies in
    /// gaps of it.
    pub(super) baseline: GtidSet,
    /// Copies of an old history that may still come: see `anew`.
    pub(super) old: GtidSet,
    /// XA transactions that are prepared there, and not ended.
    pub(super) prepared: Prepared,
    /// Parts of it that are missing.
    pub(super) gaps: Vec<Gap>,
    /// Sources without GTIDs of which a gap has hidden some: the gap's ordinal.
    pub(super) parted: BTreeMap<usize, u64>,
    /// The baseline names all that was applied, not only what was logged.
    pub(super) baseline_is_whole: bool,
    /// Reading it ended in an error, before its end.
    pub(super) cut: bool,
    /// Whether its server logs what it applies, as far as is known.
    pub(super) copies_are_logged: bool,
    /// Why it leaves out other nodes' transactions, all or some, where that is known beforehand.
    pub(super) leaves_out: Option<String>,
    /// What its server says it has applied, where they are not.
    pub(super) asked: Asked,
    /// Transactions observed so far.
    pub(super) ordinal: u64,
    /// Copies of other nodes' transactions observed so far.
    pub(super) copies: u64,
    /// Other nodes' originals read that its node did not have before the stream began.
    pub(super) copies_due: u64,
    /// What it has shown, by source.
    pub(super) shown: BTreeMap<usize, ShownLog>,
    /// Sources of which this stream holds originals with content, and the highest number seen.
    pub(super) own: BTreeMap<usize, u64>,
    /// Per node: what its stream began with and this stream has not come to yet.
    ///
    /// While there is any, a copy may still come whose original lies before its own stream's
    /// start, and that conflicts with an original of this stream that everybody else has shown.
    /// So this stream's originals stay open until then.
    pub(super) behind: Vec<GtidSet>,
    /// Per node: copies here of what it committed after its stream's start.
    past_start: Vec<u64>,
    /// Ordinal of the newest write that no original of its node tells of: a copy, or what the log
    /// does not show as rows.
    pub(super) other_write: u64,
    /// Keys that copies touched not long ago.
    pub(super) recent: RecentCopies,
    /// Loops told already.
    pub(super) loops: BTreeSet<Gtid>,
}

/// Loops that are told one by one, per stream.
pub(super) const LOOPS_MAX: usize = 1_000;

impl Stream {
    pub(super) fn new(recent: RecentCopies) -> Self {
        Stream {
            begun: false,
            baseline_is_whole: false,
            cut: false,
            copies_are_logged: true,
            leaves_out: None,
            asked: Asked::default(),
            baseline: GtidSet::default(),
            old: GtidSet::default(),
            prepared: Prepared::default(),
            gaps: Vec::new(),
            parted: BTreeMap::new(),
            ordinal: 0,
            copies: 0,
            copies_due: 0,
            shown: BTreeMap::new(),
            own: BTreeMap::new(),
            behind: Vec::new(),
            past_start: Vec::new(),
            other_write: 0,
            recent,
            loops: BTreeSet::new(),
        }
    }

    /// Whether a transaction was logged in a part that is missing.
    pub(super) fn has_in_gap(&self, gtid: &Gtid) -> bool {
        self.gaps.iter().any(|gap| gap.has(gtid))
    }

    /// Whether the stream has not come yet to where all others began.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.iter().any(|behind| !behind.is_empty())
    }

    /// Says what the others began with, of what can still come here.
    pub(super) fn set_behind(&mut self, others: Vec<GtidSet>) {
        self.past_start = vec![0; others.len()];
        self.behind = others;
        for behind in &mut self.behind {
            *behind = behind.minus(&self.baseline);
        }
    }

    /// Takes a transaction off what this stream is behind.
    pub(super) fn comes_to(&mut self, gtid: &Gtid) {
        if !self.is_behind() {
            return;
        }
        let mut passed = GtidSet::default();
        match gtid.source.is_ordered() {
            true => passed.add_up_to(gtid),
            false => drop(passed.add(gtid)),
        }
        for behind in &mut self.behind {
            *behind = behind.minus(&passed);
        }
    }

    /// Takes off what was never logged here: numbers of a source below this one.
    pub(super) fn never_comes_to(&mut self, source: &GtidSource, below: u64) {
        for behind in &mut self.behind {
            behind.remove_below(source, below);
        }
    }

    /// Counts a copy of what a node committed after its stream's start. What it had before comes
    /// first; when so many have come, the rest of that never will: the GTIDs of a server that is
    /// gone, or what this one was restored with.
    pub(super) fn comes_past_start_of(&mut self, node: NodeIndex) {
        self.past_start[node.at()] += 1;
        if self.past_start[node.at()] >= DISORDER_MAX {
            self.behind[node.at()] = GtidSet::default();
        }
    }
}

/// Numbers the sources, so that the hot path handles small integers.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Sources {
    numbers: BTreeMap<GtidSource, usize>,
    last: Option<(GtidSource, usize)>,
    /// By number.
    sources: Vec<GtidSource>,
}

impl Sources {
    /// A source's number, if it has one.
    pub(super) fn known(&self, source: &GtidSource) -> Option<usize> {
        match self.last {
            Some((last, number)) if last == *source => Some(number),
            _ => self.numbers.get(source).copied(),
        }
    }

    /// The source of a number.
    pub(super) fn of(&self, number: usize) -> GtidSource {
        self.sources[number]
    }

    pub(super) fn number(&mut self, source: GtidSource) -> usize {
        if let Some((last, number)) = self.last
            && last == source
        {
            return number;
        }
        let next = self.numbers.len();
        let number = *self.numbers.entry(source).or_insert(next);
        if number == next {
            self.sources.push(source);
        }
        self.last = Some((source, number));
        number
    }
}
