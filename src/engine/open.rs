//! Open transactions: originals that some stream has not shown yet, and the keys they touch.

use super::shown::Place;
use crate::model::{CommitTime, Coordinates, Gtid, NODES_MAX, NodeIndex, Operation, RowState};
use hashbrown::HashTable;
use std::collections::VecDeque;

/// An open transaction's place in the table. Places are used again after a close.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct OpenId(u32);

/// A touch's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TouchId(u32);

const NONE: u32 = u32::MAX;

/// An original that is not yet shown by every other stream.
#[derive(Debug)]
pub(super) struct OpenTransaction {
    pub(super) origin: NodeIndex,
    pub(super) source: usize,
    pub(super) gtid: Gtid,
    pub(super) server_id: u32,
    /// Its ordinal in the origin's stream.
    pub(super) ordinal: u64,
    pub(super) committed_at: CommitTime,
    /// Per node: where its stream shows the transaction.
    pub(super) coordinates: Vec<Option<Coordinates>>,
    /// Per node: where it took effect in that node's stream, as far as is known.
    pub(super) places: Vec<Option<Place>>,
    /// Ordinal of the newest write in the origin's stream before it that no original tells of.
    pub(super) other_write: u64,
    /// The origin's stream had not come yet to where all others began.
    pub(super) was_behind: bool,
    /// Per node that touches were noted for: the place after which those notes hold.
    noted: Vec<(NodeIndex, u64)>,
    /// Unsettled findings that this transaction is in.
    pub(super) findings: Vec<u64>,
    /// Counts the transactions that had this place before; tells a stale queue entry.
    serial: u64,
    first_touch: u32,
}

/// What an open transaction did to one key, net.
///
/// Kept to 64 bytes: with replication stopped there is one for every row written. The two states
/// are packed (see [`pack`]). The chain of a node's touches on a key is linked both ways because
/// transactions mostly close oldest first, and a counter row may have a long chain.
#[derive(Clone, Copy, Debug)]
struct Touch {
    key: u128,
    before: u64,
    after: u64,
    owner: u32,
    origin: NodeIndex,
    newer_of_key: u32,
    older_of_key: u32,
    next_of_owner: u32,
    /// Bit n: this transaction may have passed in node n's stream without leaving a trace,
    /// judged by the row's states that later touches there have seen.
    may_have_passed: u16,
    /// Part of an update that moves a row to another key.
    moves: bool,
    /// Per node: conflicts with touches of its originals, counted up to 255.
    conflicts: [u8; NODES_MAX],
}

impl Touch {
    fn is_on(&self, key: u128, origin: NodeIndex) -> bool {
        self.key == key && self.origin == origin
    }
}

/// Chains are told apart by node: a node's own writes to a hot row are never walked for it.
fn chain_hash(key: u128, origin: NodeIndex) -> u64 {
    // An odd multiple moves the node into the high bits, which the hash table looks at first.
    key as u64 ^ u64::from(origin.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A touch as others see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TouchView {
    pub(super) id: TouchId,
    pub(super) key: u128,
    pub(super) owner: OpenId,
    pub(super) operation: Operation,
    before: PackedState,
    after: PackedState,
    moves: bool,
}

impl TouchView {
    /// Whether this touch may have passed, without a trace, over a row that was as `later` found
    /// it.
    ///
    /// MariaDB logs no copy of a change that changes nothing, nor, in IDEMPOTENT mode, of an
    /// update or delete of a row that is missing. A row that moves is skipped for what stands at
    /// its other key.
    pub(super) fn may_pass_before(&self, later: &TouchView) -> bool {
        let found = later.before;
        let unknown = [self.before, self.after, found].contains(&PARTIAL);
        let missing = found == ABSENT && self.operation != Operation::Insert;
        let unchanged = found == self.after && self.operation != Operation::Delete;
        self.moves || unknown || missing || unchanged
    }

    /// Whether `later` found the row exactly as this touch left it, and as nobody else is known
    /// to have left it: a touch that changed nothing, all in all, leaves no such mark.
    pub(super) fn is_what_was_found_by(&self, later: &TouchView) -> bool {
        self.after == later.before && self.after != PARTIAL && self.after != self.before
    }
}

/// A row's state in 64 bits: the lower half of an image's hash, but for two values.
///
/// States are compared only to tell a finding that is certain from one that is possible, so two
/// images that share 64 bits make a certain finding possible, and never a possible one certain.
pub(super) type PackedState = u64;

const ABSENT: PackedState = 0;
const PARTIAL: PackedState = 1;

fn pack(state: RowState) -> PackedState {
    match state {
        RowState::Absent => ABSENT,
        RowState::Partial { .. } => PARTIAL,
        RowState::Image(hash) => (hash as u64).max(2),
    }
}

/// All open transactions with their touches, by key.
///
/// Touches stand in one vector and are linked twice: by key (a hash table holds the newest of
/// each key) and by transaction. So a touch costs its 64 bytes and about 10 of the hash table.
#[derive(Default)]
pub(super) struct OpenTable {
    transactions: Vec<Option<OpenTransaction>>,
    free_transactions: Vec<u32>,
    touches: Vec<Touch>,
    free_touches: Vec<u32>,
    heads: HashTable<u32>,
    oldest: VecDeque<(u32, u64)>,
    serial: u64,
    open: usize,
}

impl OpenTable {
    /// Number of open transactions.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Number of touches held, over all transactions.
    pub(super) fn touches_len(&self) -> usize {
        self.touches.len() - self.free_touches.len()
    }

    /// Takes in an original; it has no touches yet.
    pub(super) fn insert(&mut self, mut transaction: OpenTransaction) -> OpenId {
        self.serial += 1;
        self.open += 1;
        transaction.serial = self.serial;
        transaction.first_touch = NONE;
        let place = match self.free_transactions.pop() {
            Some(place) => {
                self.transactions[place as usize] = Some(transaction);
                place
            }
            None => {
                self.transactions.push(Some(transaction));
                (self.transactions.len() - 1) as u32
            }
        };
        self.oldest.push_back((place, self.serial));
        OpenId(place)
    }

    /// The oldest open transaction.
    pub(super) fn oldest(&mut self) -> Option<OpenId> {
        while let Some(&(place, serial)) = self.oldest.front() {
            if self.transactions[place as usize].as_ref().is_some_and(|t| t.serial == serial) {
                return Some(OpenId(place));
            }
            self.oldest.pop_front();
        }
        None
    }

    pub(super) fn get(&self, id: OpenId) -> &OpenTransaction {
        self.transactions[id.0 as usize].as_ref().expect("an OpenId lives as long as its entry")
    }

    pub(super) fn get_mut(&mut self, id: OpenId) -> &mut OpenTransaction {
        self.transactions[id.0 as usize].as_mut().expect("an OpenId lives as long as its entry")
    }

    /// All open transactions, in no order that means anything.
    pub(super) fn ids(&self) -> impl Iterator<Item = OpenId> {
        let open = self.transactions.iter().enumerate().filter(|(_, t)| t.is_some());
        open.map(|(place, _)| OpenId(place as u32))
    }

    /// Adds what one row change of `owner` did to a key; changes of one key add up.
    pub(super) fn touch(
        &mut self,
        owner: OpenId,
        key: u128,
        [before, after]: [RowState; 2],
        moves: bool,
    ) {
        let origin = self.get(owner).origin;
        let head = self.find_head(key, origin);
        if let Some(head) = head
            && self.touches[head as usize].owner == owner.0
        {
            let touch = &mut self.touches[head as usize];
            touch.after = pack(after);
            touch.moves |= moves;
            return;
        }
        let place = self.place_touch(Touch {
            key,
            before: pack(before),
            after: pack(after),
            owner: owner.0,
            origin,
            newer_of_key: NONE,
            older_of_key: head.unwrap_or(NONE),
            next_of_owner: self.get(owner).first_touch,
            may_have_passed: 0,
            moves,
            conflicts: [0; NODES_MAX],
        });
        self.get_mut(owner).first_touch = place;
        if let Some(head) = head {
            self.touches[head as usize].newer_of_key = place;
        }
        let touches = &self.touches;
        let same = |at: &u32| touches[*at as usize].is_on(key, origin);
        let hash = |at: &u32| chain_hash(touches[*at as usize].key, touches[*at as usize].origin);
        match self.heads.find_mut(chain_hash(key, origin), same) {
            Some(head) => *head = place,
            None => {
                self.heads.insert_unique(chain_hash(key, origin), place, hash);
            }
        }
    }

    fn place_touch(&mut self, touch: Touch) -> u32 {
        match self.free_touches.pop() {
            Some(place) => {
                self.touches[place as usize] = touch;
                place
            }
            None => {
                assert!(self.touches.len() < NONE as usize, "the bound on open rows is below this");
                self.touches.push(touch);
                (self.touches.len() - 1) as u32
            }
        }
    }

    fn find_head(&self, key: u128, origin: NodeIndex) -> Option<u32> {
        let same = |at: &u32| self.touches[*at as usize].is_on(key, origin);
        self.heads.find(chain_hash(key, origin), same).copied()
    }

    /// The touches of one transaction.
    pub(super) fn touches_of(&self, owner: OpenId) -> impl Iterator<Item = TouchView> {
        let mut at = self.get(owner).first_touch;
        std::iter::from_fn(move || {
            let view = self.view(at)?;
            at = self.touches[at as usize].next_of_owner;
            Some(view)
        })
    }

    /// The touches of one key by one node's originals, the newest first.
    pub(super) fn touches_on(
        &self,
        key: u128,
        origin: NodeIndex,
    ) -> impl Iterator<Item = TouchView> {
        let mut at = self.find_head(key, origin).unwrap_or(NONE);
        std::iter::from_fn(move || {
            let view = self.view(at)?;
            at = self.touches[at as usize].older_of_key;
            Some(view)
        })
    }

    fn view(&self, at: u32) -> Option<TouchView> {
        let touch = self.touches.get(at as usize)?;
        Some(TouchView {
            id: TouchId(at),
            key: touch.key,
            owner: OpenId(touch.owner),
            operation: net_operation(touch.before, touch.after),
            before: touch.before,
            after: touch.after,
            moves: touch.moves,
        })
    }

    /// Counts a conflict of a touch with one of a node's originals; gives how many there were.
    pub(super) fn count_conflict(&mut self, id: TouchId, node: NodeIndex) -> u8 {
        let count = &mut self.touches[id.0 as usize].conflicts[node.at()];
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// Notes that a touch may have passed unseen in `node`'s stream, after the place `after`; tells
    /// whether it may have.
    pub(super) fn note_may_have_passed(
        &mut self,
        view: &TouchView,
        (node, after): (NodeIndex, u64),
        may: bool,
    ) -> bool {
        self.forget_notes(view.owner, node, after);
        let touch = &mut self.touches[view.id.0 as usize];
        touch.may_have_passed |= u16::from(may) << node.0;
        touch.may_have_passed >> node.0 & 1 == 1
    }

    /// Forgets what was noted of a transaction and a node's stream, if that was before `after`:
    /// the stream has shown meanwhile that it had not passed then.
    fn forget_notes(&mut self, owner: OpenId, node: NodeIndex, after: u64) {
        let open = self.get_mut(owner);
        match open.noted.iter_mut().find(|noted| noted.0 == node) {
            None => return open.noted.push((node, after)),
            Some(noted) if noted.1 == after => return,
            Some(noted) => noted.1 = after,
        }
        let mut at = open.first_touch;
        while at != NONE {
            let touch = &mut self.touches[at as usize];
            touch.may_have_passed &= !(1 << node.0);
            at = touch.next_of_owner;
        }
    }

    /// Takes a transaction out, with its touches.
    pub(super) fn remove(&mut self, id: OpenId) -> OpenTransaction {
        let gone = self.transactions[id.0 as usize].take();
        let gone = gone.expect("an OpenId lives as long as its entry");
        self.free_transactions.push(id.0);
        self.open -= 1;
        let mut at = gone.first_touch;
        while at != NONE {
            self.unlink(at);
            self.free_touches.push(at);
            at = self.touches[at as usize].next_of_owner;
        }
        gone
    }

    /// Takes a touch out of its key's chain.
    fn unlink(&mut self, place: u32) {
        let Touch { key, origin, newer_of_key, older_of_key, .. } = self.touches[place as usize];
        if older_of_key != NONE {
            self.touches[older_of_key as usize].newer_of_key = newer_of_key;
        }
        if newer_of_key != NONE {
            self.touches[newer_of_key as usize].older_of_key = older_of_key;
            return;
        }
        let touches = &self.touches;
        let same = |at: &u32| touches[*at as usize].is_on(key, origin);
        let found = self.heads.find_entry(chain_hash(key, origin), same);
        let mut head = found.expect("every touch is in the chain of its key");
        match older_of_key {
            NONE => drop(head.remove()),
            older => *head.get_mut() = older,
        }
    }
}

impl OpenTransaction {
    #[expect(clippy::too_many_arguments, reason = "one place that builds it")]
    pub(super) fn new(
        origin: NodeIndex,
        source: usize,
        gtid: Gtid,
        server_id: u32,
        ordinal: u64,
        committed_at: CommitTime,
        coordinates: Coordinates,
        nodes: usize,
    ) -> Self {
        let mut known = vec![None; nodes];
        known[origin.at()] = Some(coordinates);
        OpenTransaction {
            origin,
            source,
            gtid,
            server_id,
            ordinal,
            committed_at,
            coordinates: known,
            places: vec![None; nodes],
            other_write: 0,
            was_behind: false,
            noted: Vec::new(),
            findings: Vec::new(),
            serial: 0,
            first_touch: NONE,
        }
    }
}

/// What several changes of one row come to.
fn net_operation(before: PackedState, after: PackedState) -> Operation {
    match (before, after) {
        (_, ABSENT) => Operation::Delete,
        (ABSENT, _) => Operation::Insert,
        _ => Operation::Update,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GtidSource, Tag};
    use std::sync::Arc;

    fn open(table: &mut OpenTable, sequence: u64) -> OpenId {
        let source = GtidSource::MySql { uuid: [0; 16], tag: Tag::default() };
        let at = Coordinates { file: Arc::from("f"), start: 0, end: 0 };
        let time = CommitTime::default();
        let gtid = Gtid { source, sequence };
        table.insert(OpenTransaction::new(NodeIndex(0), 0, gtid, 1, sequence, time, at, 2))
    }

    #[test]
    fn a_touch_is_64_bytes() {
        assert_eq!(size_of::<Touch>(), 64);
    }

    #[test]
    fn chains_survive_removal_in_any_order() {
        let state = RowState::Image(9);
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut table = OpenTable::default();
            let ids: Vec<_> = (0..3).map(|n| open(&mut table, n)).collect();
            for id in &ids {
                table.touch(*id, 7, [state, state], false);
                table.touch(*id, 7, [state, RowState::Absent], false);
                table.touch(*id, 8, [RowState::Absent, state], false);
            }
            let on_7: Vec<_> = table.touches_on(7, NodeIndex(0)).map(|t| t.owner).collect();
            assert_eq!(on_7, [ids[2], ids[1], ids[0]]);
            assert!(table.touches_on(7, NodeIndex(0)).all(|t| t.operation == Operation::Delete));
            for (gone, at) in order.into_iter().enumerate() {
                table.remove(ids[at]);
                assert_eq!(table.touches_on(7, NodeIndex(0)).count(), 2 - gone);
                assert_eq!(table.touches_on(8, NodeIndex(0)).count(), 2 - gone);
            }
            assert_eq!((table.len(), table.touches_len()), (0, 0));
            assert!(table.heads.is_empty());
        }
    }

    #[test]
    fn the_oldest_is_found_past_closed_ones() {
        let mut table = OpenTable::default();
        let ids: Vec<_> = (0..3).map(|n| open(&mut table, n)).collect();
        table.remove(ids[0]);
        let again = open(&mut table, 3);
        assert_eq!(again, ids[0], "the place is used again");
        assert_eq!(table.oldest(), Some(ids[1]));
    }
}
