//! Open transactions: originals that some stream has not shown yet, and the keys they touch.

use super::{
    Seen,
    common::{Common, Commons, Wrote},
    key_bytes::KeyBytes,
    pool::Pool,
    shown::Place,
    state::PackedState,
};
use crate::model::{
    CommitTime, Coordinates, Gtid, Key, NODES_MAX, NodeIndex, Operation, RowKey, RowState, Table,
    Transaction, shared::Shared,
};
use hashbrown::{HashMap, HashTable};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An open transaction's place in the table. Places are used again after a close.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct OpenId(u32);

/// A touch's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct TouchId(u32);

const NONE: u32 = u32::MAX;

/// An original that is not yet shown by every other stream, as others see it.
#[derive(Clone, Copy)]
pub(super) struct OpenTransaction<'a> {
    stored: &'a Stored,
    pub(super) origin: NodeIndex,
    pub(super) source: usize,
    pub(super) gtid: Gtid,
    pub(super) server_id: u32,
    /// Its ordinal in the origin's stream.
    pub(super) ordinal: u64,
    pub(super) committed_at: CommitTime,
    /// Per node: where it took effect in that node's stream, as far as is known.
    pub(super) places: Places<'a>,
    /// Ordinal of the newest write in the origin's stream before it that no original tells of.
    pub(super) other_write: u64,
    /// The origin's stream had not come yet to where all others began.
    pub(super) was_behind: bool,
    /// Stands for all its rows: a copy with the same one wrote exactly the same.
    pub(super) digest: u64,
    /// Its log shows all that it did as rows.
    pub(super) shows_all: bool,
    /// Its rows are those that a copy shows: which it wrote on its own node is not certain.
    pub(super) rows_of_copy: bool,
}

/// Where a transaction took effect in the other nodes' streams, by node.
#[derive(Clone, Copy)]
pub(super) struct Places<'a>(&'a [Elsewhere]);

/// An open transaction as it is kept.
///
/// 64 bytes: with replication stopped there is one for every transaction. What others share is in
/// [`Common`], what is rarely there in [`Extra`].
#[derive(Serialize, Deserialize)]
struct Stored {
    /// `None` in a place that is not used.
    common: Option<Shared<Arc<Common>>>,
    extra: Option<Box<Extra>>,
    sequence: u64,
    ordinal: u64,
    /// Microseconds, and in the last bit whether they are whole seconds.
    committed_at: i64,
    digest: u64,
    /// Coordinates in the origin's stream, unless `Extra` has them.
    start: u32,
    length: u32,
    /// How many ordinals before it stands what no original tells of. One too far for this stands
    /// nearer than it is, and can only make a finding possible.
    other_write: u32,
    first_touch: u32,
}

/// What few open transactions have.
#[derive(Default, Serialize, Deserialize)]
struct Extra {
    elsewhere: Vec<Elsewhere>,
    /// Per node that touches were noted for: the place after which those notes hold.
    noted: Vec<(NodeIndex, u64)>,
    /// Unsettled findings that this transaction is in.
    findings: Vec<u64>,
    /// Start and end in the origin's stream, past 4 GiB.
    far: Option<(u64, u64)>,
}

/// Where another node's stream shows a transaction.
#[derive(Serialize, Deserialize)]
struct Elsewhere {
    node: NodeIndex,
    place: Option<Place>,
    coordinates: Option<Coordinates>,
}

/// What is left of a transaction that has closed.
pub(super) struct Closed {
    pub(super) origin: NodeIndex,
    pub(super) source: usize,
    pub(super) sequence: u64,
    pub(super) ordinal: u64,
    /// Unsettled findings that it is in.
    pub(super) findings: Vec<u64>,
}

impl std::ops::Index<usize> for Places<'_> {
    type Output = Option<Place>;
    fn index(&self, node: usize) -> &Option<Place> {
        let known = self.0.iter().find(|elsewhere| elsewhere.node.at() == node);
        known.map_or(&None, |elsewhere| &elsewhere.place)
    }
}

impl Places<'_> {
    /// Whether one of those that are known is so.
    pub(super) fn any(&self, is_so: impl Fn(&Place) -> bool) -> bool {
        self.0.iter().any(|elsewhere| elsewhere.place.as_ref().is_some_and(&is_so))
    }

    /// Those that are known.
    pub(super) fn known(&self) -> Vec<(NodeIndex, Place)> {
        let known = self.0.iter().filter_map(|e| e.place.map(|place| (e.node, place)));
        known.collect()
    }
}

impl OpenTransaction<'_> {
    /// Where a node's stream shows it.
    pub(super) fn coordinates(&self, node: usize) -> Option<Coordinates> {
        let extra = self.stored.extra.as_deref();
        if node == self.origin.at() {
            let start = u64::from(self.stored.start);
            let near = (start, start + u64::from(self.stored.length));
            let (start, end) = extra.and_then(|extra| extra.far).unwrap_or(near);
            let file = self.stored.common().file.clone();
            return Some(Coordinates { file, start, end });
        }
        let mut elsewhere = extra?.elsewhere.iter();
        elsewhere.find(|e| e.node.at() == node)?.coordinates.clone()
    }
}

impl Extra {
    fn bytes(&self) -> usize {
        size_of::<Extra>()
            + self.elsewhere.capacity() * size_of::<Elsewhere>()
            + self.noted.capacity() * size_of::<(NodeIndex, u64)>()
            + self.findings.capacity() * size_of::<u64>()
    }
}

impl Stored {
    fn common(&self) -> &Common {
        &self.common.as_ref().expect("an OpenId lives as long as its entry").0
    }

    fn elsewhere(&self) -> &[Elsewhere] {
        self.extra.as_deref().map_or(&[], |extra| &extra.elsewhere)
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}

fn pack_time(time: CommitTime) -> i64 {
    // Bounded far past any clock: a 62nd bit comes after the year 70,000.
    let micros = time.micros.clamp(i64::MIN >> 1, i64::MAX >> 1);
    micros << 1 | i64::from(time.whole_seconds)
}

fn unpack_time(packed: i64) -> CommitTime {
    CommitTime { micros: packed >> 1, whole_seconds: packed & 1 == 1 }
}

/// What an open transaction did to one key, net.
///
/// Kept to 64 bytes: with replication stopped there is one for every row written. The chain of a
/// node's touches on a key is linked both ways because transactions mostly close oldest first, and
/// a counter row may have a long chain.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
    /// Its key's bytes: address and length.
    key_len: u16,
    key_start: u32,
}

impl Touch {
    fn is_on(&self, key: u128, origin: NodeIndex) -> bool {
        self.key == key && self.origin == origin
    }

    fn chain_hash(&self) -> u64 {
        chain_hash(self.key, self.origin)
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
    /// to have left it: a touch that changed nothing, all in all, leaves no such mark, nor does one
    /// that deletes the row.
    pub(super) fn is_what_was_found_by(&self, later: &TouchView) -> bool {
        let leaves_mark = !self.after.is_partial() && !self.after.is_absent();
        self.after == later.before && leaves_mark && self.after != self.before
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
/// Touches are linked twice: by key (a hash table holds the newest of each key) and by transaction.
/// So a touch costs its 64 bytes, about 8 of the hash tables, and its key's bytes.
#[derive(Default, Serialize, Deserialize)]
#[serde(from = "Written")]
pub(super) struct OpenTable {
    transactions: Pool<Stored>,
    commons: Commons,
    touches: Pool<Touch>,
    key_bytes: KeyBytes,
    #[serde(skip)]
    heads: [HashTable<u32>; HEADS],
    /// Conflicts of a touch with touches of a node's originals, counted up to 255.
    conflicts: HashMap<(u32, NodeIndex), u8>,
    /// Bytes of what few transactions have.
    #[serde(skip)]
    extra_bytes: usize,
}

/// What is written of an [`OpenTable`]: the newest touches are found again.
#[derive(Deserialize)]
struct Written {
    transactions: Pool<Stored>,
    commons: Commons,
    touches: Pool<Touch>,
    key_bytes: KeyBytes,
    conflicts: HashMap<(u32, NodeIndex), u8>,
}

impl From<Written> for OpenTable {
    fn from(written: Written) -> Self {
        let Written { transactions, commons, touches, key_bytes, conflicts } = written;
        let heads = Default::default();
        let extras = transactions.places().filter_map(|at| transactions.get(at).extra.as_deref());
        let extra_bytes = extras.map(Extra::bytes).sum();
        let mut table =
            OpenTable { transactions, commons, touches, key_bytes, heads, conflicts, extra_bytes };
        let touches = &table.touches;
        for place in touches.places().filter(|at| touches.get(*at).newer_of_key == NONE) {
            let hash = touches.get(place).chain_hash();
            let heads = &mut table.heads[head_table(hash)];
            heads.insert_unique(hash, place, |at| touches.get(*at).chain_hash());
        }
        table
    }
}

/// Hash tables of newest touches.
const HEADS: usize = 8;

/// Which of these a hash belongs to. They are of unequal size, from 8 to 15 parts: tables double
/// when they are full, and so do not all double, or stand half empty, at the same time.
const SHARES: [u8; 92] = {
    let (mut shares, mut at, mut table) = ([0; 92], 0, 0);
    while table < HEADS {
        let end = at + 8 + table;
        while at < end {
            shares[at] = table as u8;
            at += 1;
        }
        table += 1;
    }
    shares
};

/// The hash table that a hash belongs to.
fn head_table(hash: u64) -> usize {
    let share = ((hash >> 32 & 0xffff) as usize * SHARES.len()) >> 16;
    usize::from(SHARES[share])
}

impl OpenTable {
    /// Number of open transactions.
    pub(super) fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Number of touches held, over all transactions.
    pub(super) fn touches_len(&self) -> usize {
        self.touches.len()
    }

    /// Takes in an original; it has no touches yet, and no place in other streams.
    pub(super) fn insert(
        &mut self,
        seen: Seen,
        tx: &Transaction,
        digest: u64,
        (other_write, was_behind): (u64, bool),
    ) -> OpenId {
        let Coordinates { start, end, .. } = tx.coordinates;
        let near = (u32::try_from(start).ok()).zip(u32::try_from(end.saturating_sub(start)).ok());
        let near = near.filter(|_| end >= start);
        let far = near.is_none().then(|| Extra { far: Some((start, end)), ..Extra::default() });
        let (start, length) = near.unwrap_or_default();
        self.extra_bytes += far.as_ref().map_or(0, Extra::bytes);
        OpenId(self.transactions.insert(Stored {
            common: Some(Shared(self.commons.of(seen, was_behind, tx))),
            extra: far.map(Box::new),
            sequence: seen.gtid.sequence,
            ordinal: seen.ordinal,
            committed_at: pack_time(tx.committed_at),
            digest,
            start,
            length,
            other_write: u32::try_from(seen.ordinal - other_write).unwrap_or(u32::MAX),
            first_touch: NONE,
        }))
    }

    #[inline]
    pub(super) fn get(&self, id: OpenId) -> OpenTransaction<'_> {
        let stored = self.transactions.get(id.0);
        let common = stored.common();
        OpenTransaction {
            stored,
            origin: common.origin,
            source: common.source,
            gtid: Gtid { source: common.gtid_source, sequence: stored.sequence },
            server_id: common.server_id,
            ordinal: stored.ordinal,
            committed_at: unpack_time(stored.committed_at),
            places: Places(stored.elsewhere()),
            other_write: stored.ordinal - u64::from(stored.other_write),
            was_behind: common.was_behind,
            digest: stored.digest,
            shows_all: common.shows_all,
            rows_of_copy: common.rows_of_copy,
        }
    }

    /// Notes where an open transaction took effect in another node's stream.
    pub(super) fn set_place(
        &mut self,
        id: OpenId,
        node: NodeIndex,
        place: Place,
        coordinates: Option<Coordinates>,
    ) {
        let new = Elsewhere { node, place: Some(place), coordinates };
        self.change_extra(id, |extra| {
            match extra.elsewhere.iter_mut().find(|known| known.node == node) {
                Some(known) => *known = new,
                None => {
                    extra.elsewhere.reserve_exact(1);
                    extra.elsewhere.push(new);
                }
            }
        });
    }

    /// Changes what few transactions have, and counts its bytes.
    fn change_extra(&mut self, id: OpenId, change: impl FnOnce(&mut Extra)) {
        let stored = self.transactions.get_mut(id.0);
        let before = stored.extra.as_deref().map_or(0, Extra::bytes);
        change(stored.extra());
        self.extra_bytes += stored.extra.as_deref().map_or(0, Extra::bytes);
        self.extra_bytes -= before;
    }

    /// Bytes held, as `held` counts them.
    pub(super) fn bytes(&self) -> usize {
        let heads: usize = self.heads.iter().map(HashTable::allocation_size).sum();
        self.transactions.bytes()
            + self.touches.bytes()
            + self.key_bytes.bytes()
            + self.commons.bytes()
            + self.conflicts.allocation_size()
            + self.extra_bytes
            + heads
    }

    /// Notes an unsettled finding that an open transaction is in.
    pub(super) fn add_finding(&mut self, id: OpenId, serial: u64) {
        self.change_extra(id, |extra| extra.findings.push(serial));
    }

    /// Unsettled findings that an open transaction is in.
    pub(super) fn findings(&self, id: OpenId) -> &[u64] {
        self.transactions.get(id.0).extra.as_deref().map_or(&[], |extra| &extra.findings)
    }

    /// All open transactions, in no order that means anything.
    pub(super) fn ids(&self) -> impl Iterator<Item = OpenId> {
        self.transactions.places().map(OpenId)
    }

    /// The tables that open transactions without statements wrote, each maybe many times, in no
    /// order that means anything.
    pub(super) fn tables_written(&self) -> impl Iterator<Item = &Arc<Table>> {
        let without_statements = self.commons.in_use().filter(|common| !common.has_statements);
        let tables = without_statements.flat_map(|common| &common.tables);
        tables.filter(|(_, wrote)| !wrote.is_nothing()).map(|(table, _)| table)
    }

    /// The open transactions without statements that wrote one of these tables, and what they did.
    pub(super) fn writers(
        &self,
        wanted: impl Fn(&Table) -> bool,
        mut each: impl FnMut(OpenId, &Table, Wrote),
    ) {
        let wanted = |(table, wrote): &&(Arc<Table>, Wrote)| !wrote.is_nothing() && wanted(table);
        let mut common: Vec<*const Common> = Vec::new();
        for of in self.commons.in_use().filter(|common| !common.has_statements) {
            if of.tables.iter().any(|table| wanted(&table)) {
                common.push(Arc::as_ptr(of));
            }
        }
        common.sort_unstable();
        let ids = self.ids().filter(|_| !common.is_empty());
        for id in ids {
            let of = self.transactions.get(id.0).common();
            if common.binary_search(&std::ptr::from_ref(of)).is_ok() {
                let tables = of.tables.iter().filter(|table| wanted(table));
                tables.for_each(|(table, wrote)| each(id, table, *wrote));
            }
        }
    }

    /// Adds what one row change of `owner` did to a key; changes of one key add up.
    pub(super) fn touch(&mut self, owner: OpenId, change: &KeyChange, key_bytes: &[u8]) {
        let origin = self.get(owner).origin;
        let key = change.key.hash;
        let [before, after] = change.states.map(PackedState::pack);
        let head = self.find_head(key, origin);
        if let Some(head) = head
            && self.touches.get(head).owner == owner.0
        {
            let touch = self.touches.get_mut(head);
            touch.after = after;
            touch.moves |= change.moves;
            return;
        }
        assert!(self.touches.len() < NONE as usize, "the bound on open rows is below this");
        let (key_start, key_len) = self.key_bytes.keep(key_bytes);
        let place = self.touches.insert(Touch {
            key,
            before,
            after,
            owner: owner.0,
            origin,
            newer_of_key: NONE,
            older_of_key: head.unwrap_or(NONE),
            next_of_owner: self.transactions.get(owner.0).first_touch,
            may_have_passed: 0,
            moves: change.moves,
            settled: false,
            unique: change.unique,
            spelling: change.key.spelling,
            // Servers bound statements to fewer tables; what is past that is told by a wrong name,
            // and judged all the same.
            table: change.table as u16,
            key_len,
            key_start,
        });
        self.transactions.get_mut(owner.0).first_touch = place;
        if let Some(head) = head {
            self.touches.get_mut(head).newer_of_key = place;
        }
        let (touches, hash) = (&self.touches, chain_hash(key, origin));
        let heads = &mut self.heads[head_table(hash)];
        let known = head.and_then(|head| heads.find_mut(hash, |at| *at == head));
        match known {
            Some(head) => *head = place,
            None => {
                heads.insert_unique(hash, place, |at| touches.get(*at).chain_hash());
            }
        }
    }

    /// The row of a touch, for people.
    pub(super) fn row_of(&self, view: &TouchView) -> RowKey {
        let touch = self.touches.get(view.id.0);
        let bytes = self.key_bytes.get((touch.key_start, touch.key_len)).into();
        RowKey { table: self.table_of(view).clone(), index: None, bytes }
    }

    fn table_of(&self, view: &TouchView) -> &Arc<Table> {
        let table = usize::from(self.touches.get(view.id.0).table);
        &self.transactions.get(view.owner.0).common().tables[table].0
    }

    /// How the images of a touch are laid out.
    pub(super) fn shape_of(&self, view: &TouchView) -> u32 {
        self.table_of(view).shape
    }

    /// Notes that the ledger has compared what all streams made of a touch.
    pub(super) fn set_settled(&mut self, owner: OpenId, key: u128) {
        let origin = self.get(owner).origin;
        let found = self.touches_on(key, origin).find(|view| view.owner == owner);
        if let Some(view) = found {
            self.touches.get_mut(view.id.0).settled = true;
        }
    }

    fn find_head(&self, key: u128, origin: NodeIndex) -> Option<u32> {
        let same = |at: &u32| self.touches.get(*at).is_on(key, origin);
        let hash = chain_hash(key, origin);
        self.heads[head_table(hash)].find(hash, same).copied()
    }

    /// The touches of one transaction.
    pub(super) fn touches_of(&self, owner: OpenId) -> impl Iterator<Item = TouchView> {
        let mut at = self.transactions.get(owner.0).first_touch;
        std::iter::from_fn(move || {
            let view = self.view(at)?;
            at = self.touches.get(at).next_of_owner;
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
            at = self.touches.get(at).older_of_key;
            Some(view)
        })
    }

    fn view(&self, at: u32) -> Option<TouchView> {
        if at == NONE {
            return None;
        }
        let touch = self.touches.get(at);
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
        let touch = self.touches.get_mut(view.id.0);
        touch.may_have_passed |= u16::from(may) << node.0;
        touch.may_have_passed >> node.0 & 1 == 1
    }

    /// Forgets what was noted of a transaction and a node's stream, if that was before `after`:
    /// the stream has shown meanwhile that it had not passed then.
    fn forget_notes(&mut self, owner: OpenId, node: NodeIndex, after: u64) {
        let open = self.transactions.get_mut(owner.0);
        let mut at = open.first_touch;
        let noted = open.extra.as_deref_mut().map(|extra| extra.noted.iter_mut());
        match noted.and_then(|mut noted| noted.find(|noted| noted.0 == node)) {
            None => return self.change_extra(owner, |extra| extra.noted.push((node, after))),
            Some(noted) if noted.1 == after => return,
            Some(noted) => noted.1 = after,
        }
        while at != NONE {
            let touch = self.touches.get_mut(at);
            touch.may_have_passed &= !(1 << node.0);
            at = touch.next_of_owner;
        }
    }

    /// Takes a transaction out, with its touches.
    pub(super) fn remove(&mut self, id: OpenId) -> Closed {
        let stored = self.transactions.get_mut(id.0);
        let common = stored.common.take().expect("an OpenId lives as long as its entry").0;
        let extra = stored.extra.take();
        self.extra_bytes -= extra.as_deref().map_or(0, Extra::bytes);
        let findings = extra.map_or(Vec::new(), |extra| extra.findings);
        let mut at = stored.first_touch;
        let (source, origin) = (common.source, common.origin);
        let (sequence, ordinal) = (stored.sequence, stored.ordinal);
        self.transactions.free(id.0);
        while at != NONE {
            self.unlink(at);
            let touch = self.touches.get(at);
            self.key_bytes.release((touch.key_start, touch.key_len));
            let next = touch.next_of_owner;
            self.touches.free(at);
            if !self.conflicts.is_empty() {
                for node in 0..NODES_MAX {
                    self.conflicts.remove(&(at, NodeIndex(node as u8)));
                }
            }
            at = next;
        }
        Closed { origin, source, sequence, ordinal, findings }
    }

    /// Takes a touch out of its key's chain.
    fn unlink(&mut self, place: u32) {
        let Touch { key, origin, newer_of_key, older_of_key, .. } = *self.touches.get(place);
        if older_of_key != NONE {
            self.touches.get_mut(older_of_key).newer_of_key = newer_of_key;
        }
        if newer_of_key != NONE {
            self.touches.get_mut(newer_of_key).older_of_key = older_of_key;
            return;
        }
        let (touches, hash) = (&self.touches, chain_hash(key, origin));
        let heads = &mut self.heads[head_table(hash)];
        let found = heads.find_entry(hash, |at| *at == place);
        let mut head = found.expect("every touch is in the chain of its key");
        if older_of_key != NONE {
            *head.get_mut() = older_of_key;
            return;
        }
        head.remove();
        if heads.capacity() > 1024.max(4 * heads.len()) {
            heads.shrink_to(2 * heads.len(), |at| touches.get(*at).chain_hash());
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
        let at = Coordinates { file: Arc::from("f"), start: 1 << 33, end: 1 << 34 };
        let tx = Transaction::empty(Some(gtid), 1, at, CommitTime::default());
        let origin = NodeIndex(0);
        let seen = Seen { node: origin, origin, gtid, source: 0, ordinal: sequence };
        table.insert(seen, &tx, 0, (0, false))
    }

    fn change(hash: u128, states: [RowState; 2]) -> KeyChange {
        let key = Key { hash, start: 0, len: 0, spelling: 0 };
        KeyChange { key, table: 0, states, moves: false, unique: 0 }
    }

    #[test]
    fn a_touch_and_a_transaction_are_64_bytes() {
        assert_eq!((size_of::<Touch>(), size_of::<Stored>()), (64, 64));
    }

    #[test]
    fn chains_survive_removal_in_any_order() {
        let state = RowState::Image(9);
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut table = OpenTable::default();
            let ids: Vec<_> = (0..3).map(|n| open(&mut table, n)).collect();
            for id in &ids {
                table.touch(*id, &change(7, [state, state]), b"seven");
                table.touch(*id, &change(7, [state, RowState::Absent]), b"seven");
                table.touch(*id, &change(8, [RowState::Absent, state]), b"eight");
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
            assert!(table.heads.iter().all(|heads| heads.is_empty()));
        }
    }

    #[test]
    fn times_and_places_come_back_as_they_were() {
        for time in [CommitTime::from_seconds(7), CommitTime::from_micros(-3)] {
            assert_eq!(unpack_time(pack_time(time)), time);
        }
        let mut table = OpenTable::default();
        let id = open(&mut table, 3);
        table.set_place(id, NodeIndex(1), Place::exact(9), None);
        let open = table.get(id);
        assert_eq!((open.places[0], open.places[1]), (None, Some(Place::exact(9))));
        assert_eq!(open.coordinates(0).map(|at| (at.start, at.end)), Some((1 << 33, 1 << 34)));
    }
}
