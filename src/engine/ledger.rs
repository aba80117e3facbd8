//! The ledger: rows whose writes the streams do not show alike, or not in one order.
//!
//! Most rows never get here: one node writes them, and every copy wrote what its original wrote.
//! An entry is made for a row when something else comes: another node writes it while a write of
//! the first is on its way, a copy differs from its original, a copy leaves the row out.
//!
//! # Meeting points
//!
//! An entry holds the row's writes in each stream's order, from the last *meeting point* on: a
//! place in every stream up to which all streams have shown the same transactions. Between two
//! meeting points lies a *segment*. When all streams have come to the end of a segment, what each
//! left of the row is compared: there, and only there, do they have to agree. Which places these
//! are depends on the order within each stream alone, never on how the streams are interleaved.

use super::{held::heap_of, state::PackedState};
use crate::model::{
    CommitTime, Coordinates, Finding, Gtid, LastWrite, NodeIndex, RowKey, TransactionRef,
};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A place in a stream's order: an ordinal `n` is `2 n`, a hole before it `2 n - 1`, and what was
/// applied before the stream began is 0; and a second number where many have one place.
pub(super) type Position = (u64, u64);

/// After everything.
pub(super) const LAST: Position = (u64::MAX, 0);

/// What a transaction did to the row in one stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) before: PackedState,
    pub(super) after: PackedState,
    /// How the images are laid out; states of different shapes do not compare.
    pub(super) shape: u32,
}

/// A transaction's place in one stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) position: Position,
    /// `None` where the stream shows the transaction, or has passed it, without the row.
    pub(super) change: Option<Change>,
    /// Where it stands; `None` for a hole and for what was before the start.
    pub(super) coordinates: Option<Coordinates>,
    /// Known to have been skipped there: an operator injected an empty one in its place.
    pub(super) skipped: bool,
    /// The change is what the origin's was, taken over; this stream does not show it.
    pub(super) assumed: bool,
}

/// A transaction that wrote the row, or should have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Write {
    pub(super) gtid: Gtid,
    pub(super) origin: NodeIndex,
    pub(super) server_id: u32,
    pub(super) committed_at: CommitTime,
    /// Per node; `None` where its stream has not come to it.
    pub(super) steps: Vec<Option<Step>>,
}

impl Write {
    /// The transaction as a finding names it.
    pub(super) fn reference(&self) -> TransactionRef {
        let step = |step: &Option<Step>| step.as_ref()?.coordinates.clone();
        let own = self.steps[self.origin.at()].as_ref().and_then(|step| step.change);
        let change = own.or_else(|| self.steps.iter().flatten().find_map(|step| step.change));
        TransactionRef {
            origin: Some(self.origin),
            server_id: self.server_id,
            gtid: Some(self.gtid),
            operation: change.map(|c| super::open::net_operation(c.before, c.after)),
            committed_at: self.committed_at,
            coordinates: self.steps.iter().map(step).collect(),
        }
    }
}

/// What a stream's row is, as far as the stream tells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) state: PackedState,
    shape: u32,
    /// The stream has shown something that does not go with this state, and not said why.
    pub(super) doubtful: bool,
    /// Its last write of the row since the streams last agreed.
    pub(super) last: Option<LastWrite>,
}

/// How the streams compare at a meeting point.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    /// The transactions of the segment, in no order that means anything.
    pub(super) segment: Vec<Write>,
    /// Whether all streams hold the same; `None` where the logs do not tell.
    pub(super) same: Option<bool>,
    /// Some state is doubtful.
    pub(super) doubtful: bool,
    /// What a stream holds hangs on what it applied before it began, in an unknown order.
    pub(super) unread: bool,
    /// States of different shapes met.
    pub(super) shapes_differ: bool,
    /// A stream found the row other than it had left it.
    pub(super) drift: bool,
    /// Transactions that a stream should have applied and, as its row shows, has not.
    pub(super) missing: Vec<(Gtid, NodeIndex)>,
}

/// One row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) row: RowKey,
    /// Per node what its stream held at the last meeting point; kept while a divergence is open.
    pub(super) sides: Vec<Option<Side>>,
    /// Writes past the last meeting point, in the order in which they were read.
    writes: Vec<Write>,
    /// Unsettled conflicts about the row.
    pub(super) conflicts: Vec<(u64, [Gtid; 2])>,
    /// The divergence that holds now.
    pub(super) open: Option<Box<Finding>>,
    /// The divergence was told by itself, and not only counted in its group.
    pub(super) told: bool,
    /// Something that the ledger does not follow may have written the row.
    pub(super) disturbed: bool,
    /// How the key was spelled first; see [`crate::model::Key::spelling`].
    spelling: Option<u16>,
    /// It was spelled otherwise, too: this may be two rows.
    may_be_two: bool,
    /// Bytes, when it was weighed last.
    #[serde(skip)]
    bytes: usize,
    /// It stood then: see [`Weight::standing`].
    #[serde(skip)]
    stands: bool,
}

/// Rows that need watching, by the hash of their key.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    entries: HashMap<u128, Box<Entry>>,
    /// Entries that may have come to a meeting point.
    pub(super) touched: Vec<u128>,
    /// Entries whose next meeting point lies past what a stream has made sure of.
    pub(super) deferred: BTreeSet<u128>,
    /// Rows that some copy of a transaction wrote and its original did not, or of which the
    /// original has not been read; as long as it is open, or awaited.
    pub(super) extra: HashMap<Gtid, Vec<u128>>,
    /// Per stream, how far it had made sure when these were last looked at.
    pub(super) sure: Vec<Position>,
    #[serde(skip)]
    weight: Weight,
}

/// What entries take, each as it was weighed last.
#[derive(Default)]
struct Weight {
    /// Bytes beside the entries themselves.
    heap: usize,
    /// Entries that nothing is on its way for: their rows differ, until somebody writes them.
    standing: usize,
    /// Bytes of these.
    standing_bytes: usize,
}

impl Weight {
    fn add(&mut self, entry: &mut Entry) {
        (entry.bytes, entry.stands) = (entry.heap(), entry.writes.is_empty());
        self.heap += entry.bytes;
        if entry.stands {
            self.standing += 1;
            self.standing_bytes += size_of::<Entry>() + entry.bytes;
        }
    }

    fn take(&mut self, entry: &mut Entry) {
        let bytes = std::mem::take(&mut entry.bytes);
        self.heap -= bytes;
        if std::mem::take(&mut entry.stands) {
            self.standing -= 1;
            self.standing_bytes -= size_of::<Entry>() + bytes;
        }
    }
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains(&self, key: u128) -> bool {
        self.entries.contains_key(&key)
    }

    pub(super) fn get_mut(&mut self, key: u128) -> Option<&mut Entry> {
        self.entries.get_mut(&key).map(|entry| &mut **entry)
    }

    pub(super) fn insert(&mut self, key: u128, entry: Entry) -> &mut Entry {
        self.entries.entry(key).insert(Box::new(entry)).into_mut()
    }

    pub(super) fn remove(&mut self, key: u128) -> Option<Entry> {
        self.deferred.remove(&key);
        let mut gone = self.entries.remove(&key)?;
        self.weight.take(&mut gone);
        if self.entries.capacity() > 1024.max(4 * self.entries.len()) {
            self.entries.shrink_to(2 * self.entries.len());
        }
        Some(*gone)
    }

    /// Weighs an entry that may have grown.
    pub(super) fn weigh(&mut self, key: u128) {
        if let Some(entry) = self.entries.get_mut(&key) {
            self.weight.take(entry);
            self.weight.add(entry);
        }
    }

    /// Weighs all entries: they were read from a memory.
    pub(super) fn weigh_all(&mut self) {
        self.weight = Weight::default();
        self.entries.values_mut().for_each(|entry| self.weight.add(entry));
    }

    /// Rows, and their bytes, that no stream will make go: nothing is on its way for them.
    pub(super) fn standing(&self) -> (usize, usize) {
        (self.weight.standing, self.weight.standing_bytes)
    }

    /// Bytes held: those of entries that were just made, or have just grown, are counted when they
    /// are judged.
    pub(super) fn bytes(&self) -> usize {
        self.weight.heap
            + self.entries.len() * size_of::<Entry>()
            + self.entries.allocation_size()
            + self.touched.capacity() * size_of::<u128>()
            + self.deferred.len() * DEFERRED_BYTES
            + self.extra.allocation_size()
            + self.extra.len() * EXTRA_BYTES
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&u128, &mut Entry)> {
        self.entries.iter_mut().map(|(key, entry)| (key, &mut **entry))
    }

    pub(super) fn keys(&self) -> Vec<u128> {
        let mut keys: Vec<u128> = self.entries.keys().copied().collect();
        keys.sort_unstable();
        keys
    }
}

/// A key's share of a tree whose nodes stand half full.
const DEFERRED_BYTES: usize = 2 * size_of::<u128>();

/// Bytes of a list of keys that has one: a list begins with room for four.
const EXTRA_BYTES: usize = 4 * size_of::<u128>();

/// What the ledger has to know of the streams.
pub(super) struct Streams {
    /// Those that are read.
    pub(super) begun: Vec<usize>,
    /// Per stream: how far it has made sure of what it shows.
    pub(super) sure: Vec<Position>,
}

/// What an entry says when it is asked for its next meeting point.
pub(super) enum Next {
    /// Some stream has not come to it.
    Waits,
    /// It lies past a place that a stream has not made sure of.
    Deferred,
    Meets(Box<Meeting>),
}

impl Entry {
    pub(super) fn new(row: RowKey, nodes: usize) -> Entry {
        Entry {
            row,
            sides: vec![None; nodes],
            writes: Vec::new(),
            conflicts: Vec::new(),
            open: None,
            told: false,
            disturbed: false,
            spelling: None,
            may_be_two: false,
            bytes: 0,
            stands: false,
        }
    }

    /// Bytes beside the entry itself.
    fn heap(&self) -> usize {
        let steps = self.writes.iter().map(|write| write.steps.capacity());
        let open = self.open.as_deref().map_or(0, |f| size_of::<Finding>() + heap_of(f));
        self.row.bytes.len()
            + self.sides.capacity() * size_of::<Option<Side>>()
            + self.writes.capacity() * size_of::<Write>()
            + steps.sum::<usize>() * size_of::<Option<Step>>()
            + self.conflicts.capacity() * size_of::<(u64, [Gtid; 2])>()
            + open
    }

    /// Notes how the key is spelled in a write.
    pub(super) fn spelled(&mut self, spelling: u16) {
        self.may_be_two |= *self.spelling.get_or_insert(spelling) != spelling;
    }

    /// Bytes of an entry with one write that one of so many nodes has shown, about.
    pub(super) fn bytes_at_least(nodes: usize) -> usize {
        let lists = nodes * (size_of::<Option<Side>>() + size_of::<Option<Step>>());
        size_of::<Entry>() + size_of::<Write>() + lists
    }

    /// Nothing is on its way, and nothing is wrong.
    pub(super) fn is_done(&self) -> bool {
        self.writes.is_empty() && self.open.is_none()
    }

    /// Writes that some stream has still to show.
    pub(super) fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The write of that transaction, which is added if it is new.
    pub(super) fn write(&mut self, new: Write) -> &mut Write {
        let known = self.writes.iter().rposition(|write| write.gtid == new.gtid);
        let at = known.unwrap_or_else(|| {
            // Most rows have one or two, and a list that grows by itself begins with four.
            if self.writes.len() == self.writes.capacity() {
                self.writes.reserve_exact(1 + self.writes.len() / 2);
            }
            self.writes.push(new);
            self.writes.len() - 1
        });
        &mut self.writes[at]
    }

    /// Takes out the transactions up to the next meeting point, and compares what they left.
    ///
    pub(super) fn next_meeting(&mut self, streams: &Streams) -> Next {
        let Streams { begun, sure, .. } = streams;
        let Some(mut segment) = self.segment(begun) else { return Next::Waits };
        let past = |at: &usize| {
            let steps = segment.iter().filter_map(|write| self.writes[*write].steps[*at].as_ref());
            steps.map(|step| step.position).max().is_some_and(|last| last > sure[*at])
        };
        if begun.iter().any(past) {
            return Next::Deferred;
        }
        segment.sort_unstable_by(|x, y| y.cmp(x));
        let taken: Vec<Write> = segment.into_iter().map(|at| self.writes.remove(at)).collect();
        Next::Meets(Box::new(self.meet(taken, streams)))
    }

    /// The smallest set of writes, as places in `writes`, that stands at the head of every stream.
    fn segment(&self, begun: &[usize]) -> Option<Vec<usize>> {
        let position = |write: &Write, node: usize| write.steps[node].as_ref().map(|s| s.position);
        let first = *begun.first()?;
        let heads = self.writes.iter().enumerate();
        let heads = heads.filter_map(|(at, write)| Some((position(write, first)?, at)));
        let (_, head) = heads.min()?;
        let mut limits = vec![None; self.sides.len()];
        let (mut taken, mut grown) = (vec![false; self.writes.len()], vec![head]);
        taken[head] = true;
        while let Some(at) = grown.pop() {
            for node in begun {
                // A write that some stream has not shown: the streams do not meet yet.
                let position = position(&self.writes[at], *node)?;
                limits[*node] = limits[*node].max(Some(position));
            }
            for (other, write) in self.writes.iter().enumerate().filter(|(at, _)| !taken[*at]) {
                let stands_before = begun
                    .iter()
                    .any(|node| position(write, *node).is_some_and(|p| Some(p) <= limits[*node]));
                if stands_before {
                    grown.push(other);
                }
            }
            grown.iter().for_each(|at| taken[*at] = true);
        }
        Some((0..taken.len()).filter(|at| taken[*at]).collect())
    }

    /// Plays a segment in each stream, and compares.
    fn meet(&mut self, segment: Vec<Write>, streams: &Streams) -> Meeting {
        let begun = &streams.begun;
        let fresh = self.open.is_none();
        let mut meeting = Meeting {
            segment,
            same: Some(true),
            doubtful: self.disturbed || self.may_be_two,
            unread: false,
            shapes_differ: false,
            drift: false,
            missing: Vec::new(),
        };
        let bases = match fresh {
            true => meeting.bases(streams, self.sides.len()),
            false => std::mem::take(&mut self.sides),
        };
        self.sides = bases;
        for node in begun {
            self.sides[*node] = self.sides[*node].take().map(|side| meeting.play(*node, side));
        }
        let sides = || begun.iter().filter_map(|node| self.sides[*node].as_ref());
        meeting.doubtful |= sides().any(|side| side.doubtful);
        meeting.doubtful |= meeting.segment.iter().any(|write| write.gtid.source.is_counted());
        // Of two nodes, what one had applied before its stream began are the other's originals, in
        // their order. Of three, nobody knows whose came last.
        let assumed = |write: &Write| write.steps.iter().flatten().any(|step| step.assumed);
        meeting.doubtful |= begun.len() > 2 && meeting.segment.iter().any(assumed);
        meeting.unread = sides().any(|side| side.state == PackedState::UNKNOWN);
        meeting.shapes_differ = shapes_differ(sides());
        meeting.same = match meeting.shapes_differ {
            true => None,
            false => differ(&self.sides, begun, fresh && !meeting.drift).map(|differ| !differ),
        };
        meeting
    }

    /// Forgets what the streams held: they agree, or nobody can tell.
    pub(super) fn forget_sides(&mut self) {
        self.sides.iter_mut().for_each(|side| *side = None);
        self.disturbed = false;
    }
}

/// Whether some two of these sides certainly differ, or all certainly agree.
///
/// `agreed` says that they agreed before: then one partial image on all sides leaves them agreed,
/// as far as images show.
fn differ(sides: &[Option<Side>], begun: &[usize], agreed: bool) -> Option<bool> {
    let known: Vec<&Side> = begun.iter().filter_map(|node| sides[*node].as_ref()).collect();
    let mut answer = Some(false);
    for (at, side) in known.iter().enumerate() {
        for other in &known[..at] {
            if side.shape != other.shape && !side.state.is_absent() && !other.state.is_absent() {
                answer = None;
                continue;
            }
            match side.state.same(other.state) {
                Some(false) => return Some(true),
                Some(true) => {}
                None if agreed && side.state.is_one_partial(other.state) => {}
                None => answer = None,
            }
        }
    }
    answer
}

fn shapes_differ<'a>(sides: impl Iterator<Item = &'a Side>) -> bool {
    let mut shapes = sides.filter(|side| !side.state.is_absent()).map(|side| side.shape);
    let first = shapes.next();
    shapes.any(|shape| Some(shape) != first)
}

impl Meeting {
    /// One stream's steps in its order.
    fn steps(&self, node: usize) -> Vec<(&Write, &Step)> {
        let steps = self.segment.iter().filter_map(|w| Some((w, w.steps[node].as_ref()?)));
        let mut steps: Vec<_> = steps.collect();
        steps.sort_by_key(|(write, step)| (step.position, write.gtid));
        steps
    }

    /// What each stream's row was before the segment, where nobody has kept it: as its own first
    /// write found it, or, where it wrote nothing, as the others found it.
    fn bases(&mut self, streams: &Streams, nodes: usize) -> Vec<Option<Side>> {
        let begun = &streams.begun;
        let mut found = vec![None; nodes];
        for node in begun {
            let steps = self.steps(*node);
            let first = steps.into_iter().find_map(|(_, s)| Some((s.change?, s.assumed)));
            let first = first.filter(|(_, assumed)| !assumed);
            found[*node] = first.map(|(change, _)| Side::new(change));
        }
        // Only a change without the log can make two streams find the row different.
        self.drift |= differ(&found, begun, true) == Some(true);
        let agreed = found.iter().flatten().next().cloned();
        let assumed =
            || self.segment.iter().flat_map(|w| &w.steps).flatten().find_map(|s| s.change);
        let agreed = agreed.or_else(|| assumed().map(Side::new));
        for node in begun {
            // What the stream has not shown is taken from the others: nothing proves it. Where they
            // found the row different, there is not even that.
            let state = |state| if self.drift { PackedState::UNKNOWN } else { state };
            let assumed = || {
                let side = agreed.clone();
                side.map(|side| Side { doubtful: true, state: state(side.state), ..side })
            };
            found[*node] = found[*node].take().or_else(assumed);
        }
        found
    }

    /// Plays the segment's steps of one stream over what its row was.
    fn play(&mut self, node: usize, mut side: Side) -> Side {
        let (mut drift, mut missing) = (false, Vec::new());
        let mut before_start: Option<NodeIndex> = None;
        // Whether `side` is what the stream itself has shown in this segment.
        let mut shown = false;
        for (write, step) in self.steps(node) {
            match step.change {
                Some(change) if step.assumed => {
                    // What was before the start came in an order that no log shows, but for one
                    // node's own.
                    let known = before_start.is_none_or(|origin| origin == write.origin);
                    before_start = Some(write.origin);
                    side.state = if known { change.after } else { PackedState::UNKNOWN };
                    side.shape = change.shape;
                    shown = false;
                }
                Some(change) => {
                    let other = side.state.same(change.before) == Some(false);
                    drift |= other && shown && !side.doubtful && side.shape == change.shape;
                    side.state = change.after;
                    side.shape = change.shape;
                    side.doubtful = false;
                    side.last = step.coordinates.clone().map(|coordinates| LastWrite {
                        gtid: Some(write.gtid),
                        origin: Some(write.origin),
                        is_absent: change.after.is_absent(),
                        coordinates,
                    });
                    shown = true;
                }
                None if step.skipped || node == write.origin.at() => {}
                None if side.allows_no_trace_of(write) => {}
                None => {
                    side.doubtful = true;
                    missing.push((write.gtid, NodeIndex(node as u8)));
                }
            }
        }
        self.drift |= drift;
        self.missing.extend(missing);
        side
    }
}

impl Side {
    fn new(first: Change) -> Side {
        Side { state: first.before, shape: first.shape, doubtful: false, last: None }
    }

    /// Whether a transaction that was applied over this state leaves no trace in the log: it
    /// changes nothing, or, passed over in IDEMPOTENT mode, finds no row.
    fn allows_no_trace_of(&self, write: &Write) -> bool {
        let own = write.steps[write.origin.at()].as_ref().and_then(|step| step.change);
        let Some(change) = own else { return true };
        let unchanged = self.state.same(change.after);
        let missing = self.state.is_absent() && !change.before.is_absent();
        missing || unchanged != Some(false)
    }
}
