//! Open transactions: originals that some stream has not shown yet, and the keys they touch.

use super::{shown::Place, state::PackedState};
use crate::model::{
    CommitTime, Coordinates, Gtid, Key, NodeIndex, Operation, RowKey, RowState, Table, Transaction,
};
use hashbrown::{HashMap, HashTable};
use std::{collections::VecDeque, sync::Arc};

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
    /// Stands for all its rows: a copy with the same one wrote exactly the same.
    pub(super) digest: u64,
    /// Its log shows all that it did as rows.
    pub(super) shows_all: bool,
    /// The tables of its rows, and the canonical bytes of their keys.
    tables: Box<[Arc<Table>]>,
    key_bytes: Box<[u8]>,
    /// Counts the transactions that had this place before; tells a stale queue entry.
    serial: u64,
    first_touch: u32,
}

/// What an open transaction did to one key, net.
///
/// Kept to 64 bytes: with replication stopped there is one for every row written. The chain of a
/// node's touches on a key is linked both ways because transactions mostly close oldest first, and
/// a counter row may have a long chain.
#[derive(Clone, Copy, Debug)]
struct Touch {
    key: u128,
    before: PackedState,
    after: PackedState,
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
    /// All streams have shown it, and the ledger has compared what they made of it.
    settled: bool,
    /// 0 for the primary key, else the unique key's place in the table's, from 1.
    unique: u8,
    /// See [`crate::model::Key::spelling`].
    spelling: u16,
    /// Place of its table in the owner's.
    table: u16,
    /// Its key in the owner's key bytes.
    key_len: u16,
    key_start: u32,
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
    pub(super) before: PackedState,
    pub(super) after: PackedState,
    pub(super) settled: bool,
    pub(super) unique: u8,
    pub(super) spelling: u16,
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
        let unknown = [self.before, self.after, found].iter().any(|state| state.is_partial());
        let missing = found.is_absent() && self.operation != Operation::Insert;
        let unchanged = found == self.after && self.operation != Operation::Delete;
        self.moves || unknown || missing || unchanged
    }

    /// Whether `later` found the row exactly as this touch left it, and as nobody else is known
    /// to have left it: a touch that changed nothing, all in all, leaves no such mark.
    pub(super) fn is_what_was_found_by(&self, later: &TouchView) -> bool {
        self.after == later.before && !self.after.is_partial() && self.after != self.before
    }
}

/// What one row change did to one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyChange {
    pub(super) key: Key,
    /// Place in the transaction's tables.
    pub(super) table: u32,
    pub(super) states: [RowState; 2],
    /// Part of an update that moves a row to another key.
    pub(super) moves: bool,
    /// 0 for the primary key, else the unique key's place in the table's, from 1.
    pub(super) unique: u8,
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
    /// Conflicts of a touch with touches of a node's originals, counted up to 255.
    conflicts: HashMap<(u32, NodeIndex), u8>,
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
    pub(super) fn touch(&mut self, owner: OpenId, change: &KeyChange) {
        let origin = self.get(owner).origin;
        let key = change.key.hash;
        let [before, after] = change.states.map(PackedState::pack);
        let head = self.find_head(key, origin);
        if let Some(head) = head
            && self.touches[head as usize].owner == owner.0
        {
            let touch = &mut self.touches[head as usize];
            touch.after = after;
            touch.moves |= change.moves;
            return;
        }
        let place = self.place_touch(Touch {
            key,
            before,
            after,
            owner: owner.0,
            origin,
            newer_of_key: NONE,
            older_of_key: head.unwrap_or(NONE),
            next_of_owner: self.get(owner).first_touch,
            may_have_passed: 0,
            moves: change.moves,
            settled: false,
            unique: change.unique,
            spelling: change.key.spelling,
            // Servers bound keys to 3072 bytes and statements to fewer tables; what is past that
            // is told by a wrong name, and judged all the same.
            table: change.table as u16,
            key_len: change.key.len as u16,
            key_start: change.key.start,
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

    /// The row of a touch, for people.
    pub(super) fn row_of(&self, view: &TouchView) -> RowKey {
        let touch = &self.touches[view.id.0 as usize];
        let owner = self.get(view.owner);
        let start = touch.key_start as usize;
        let bytes = owner.key_bytes.get(start..start + usize::from(touch.key_len));
        RowKey {
            table: owner.tables[usize::from(touch.table)].clone(),
            index: None,
            bytes: bytes.unwrap_or_default().into(),
        }
    }

    /// How the images of a touch are laid out.
    pub(super) fn shape_of(&self, view: &TouchView) -> u32 {
        let touch = &self.touches[view.id.0 as usize];
        self.get(view.owner).tables[usize::from(touch.table)].shape
    }

    /// Notes that the ledger has compared what all streams made of a touch.
    pub(super) fn set_settled(&mut self, owner: OpenId, key: u128) {
        let origin = self.get(owner).origin;
        let found = self.touches_on(key, origin).find(|view| view.owner == owner);
        if let Some(view) = found {
            self.touches[view.id.0 as usize].settled = true;
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
            settled: touch.settled,
            unique: touch.unique,
            spelling: touch.spelling,
            moves: touch.moves,
        })
    }

    /// Counts a conflict of a touch with one of a node's originals; gives how many there were.
    pub(super) fn count_conflict(&mut self, id: TouchId, node: NodeIndex) -> u8 {
        let count = self.conflicts.entry((id.0, node)).or_default();
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
            if !self.conflicts.is_empty() {
                for node in 0..gone.places.len() {
                    self.conflicts.remove(&(at, NodeIndex(node as u8)));
                }
            }
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
    /// An original of `origin`, at its place in that node's stream; no touch of it is known yet.
    pub(super) fn new(
        origin: NodeIndex,
        source: usize,
        gtid: Gtid,
        ordinal: u64,
        tx: &Transaction,
        nodes: usize,
    ) -> Self {
        let mut known = vec![None; nodes];
        known[origin.at()] = Some(tx.coordinates.clone());
        OpenTransaction {
            origin,
            source,
            gtid,
            server_id: tx.server_id,
            ordinal,
            committed_at: tx.committed_at,
            coordinates: known,
            places: vec![None; nodes],
            other_write: 0,
            was_behind: false,
            noted: Vec::new(),
            findings: Vec::new(),
            digest: 0,
            shows_all: !tx.hides_rows(),
            tables: tx.tables.clone().into(),
            key_bytes: tx.key_bytes.clone().into(),
            serial: 0,
            first_touch: NONE,
        }
    }
}

/// What several changes of one row come to.
pub(super) fn net_operation(before: PackedState, after: PackedState) -> Operation {
    match (before.is_absent(), after.is_absent()) {
        (_, true) => Operation::Delete,
        (true, _) => Operation::Insert,
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
        let gtid = Gtid { source, sequence };
        let tx = Transaction {
            gtid: Some(gtid),
            server_id: 1,
            coordinates: Coordinates { file: Arc::from("f"), start: 0, end: 0 },
            committed_at: CommitTime::default(),
            logged_at: None,
            tables: Vec::new(),
            rows: Vec::new(),
            key_bytes: Vec::new(),
            rule_values: Vec::new(),
            unique_takes: Vec::new(),
            statements: Vec::new(),
            blind_spots: Vec::new(),
        };
        table.insert(OpenTransaction::new(NodeIndex(0), 0, gtid, sequence, &tx, 2))
    }

    fn change(hash: u128, states: [RowState; 2]) -> KeyChange {
        let key = Key { hash, start: 0, len: 0, spelling: 0 };
        KeyChange { key, table: 0, states, moves: false, unique: 0 }
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
                table.touch(*id, &change(7, [state, state]));
                table.touch(*id, &change(7, [state, RowState::Absent]));
                table.touch(*id, &change(8, [RowState::Absent, state]));
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
