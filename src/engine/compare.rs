//! Comparing copies with their originals, row by row, as the streams show them.
//!
//! What a copy wrote exactly as its original did is forgotten at once; everything else enters the
//! [`super::ledger`].

use super::{
    Report, Seen, Verifier,
    definitions::emptied,
    ledger::{Change, Entry, LAST, Position, Step, Write},
    open::{KeyChange, OpenId, OpenTransaction, TouchView},
    rows::key_changes,
    shown::Place,
    state::PackedState,
};
use crate::model::{Certainty, GtidSource, Key, NodeIndex, RowKey, Transaction};
use std::collections::{BTreeMap, BTreeSet};

/// What a transaction did to a key, net, as one stream shows it.
#[derive(Clone, Copy)]
struct Net {
    key: Key,
    table: u32,
    before: PackedState,
    after: PackedState,
}

/// Net changes by key hash, in its order.
fn net_changes(tx: &Transaction) -> BTreeMap<u128, Net> {
    let mut net: BTreeMap<u128, Net> = BTreeMap::new();
    for KeyChange { key, table, states, .. } in key_changes(tx) {
        let [before, after] = states.map(PackedState::pack);
        let known = net.entry(key.hash).or_insert(Net { key, table, before, after });
        known.after = after;
    }
    net
}

/// Stands for all rows of a transaction: the same for a copy that wrote exactly the same rows,
/// whatever their order.
pub(super) fn digest(tx: &Transaction) -> u64 {
    let mut sum = 0_u64;
    let mix = |a: u64, b: u64| {
        let wide = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
        wide as u64 ^ (wide >> 64) as u64
    };
    for row in &tx.rows {
        let Some([before, after]) = &row.keys else { continue };
        let keys = mix(before.hash as u64, after.hash as u64);
        let [was, is] = [row.before, row.after].map(|state| PackedState::pack(state).bits());
        let shape = u64::from(tx.tables[row.table as usize].shape);
        sum = sum.wrapping_add(mix(keys ^ shape, mix(was, is)));
    }
    sum
}

/// Where an open original stands in another stream. What was there before the start stands in its
/// origin's order; holes at one place are of one source.
fn position(place: &Place, open: OpenTransaction<'_>) -> Position {
    let sequence = open.gtid.sequence;
    match (place.at, place.is_shown()) {
        (0, _) => (0, open.ordinal),
        (at, true) => (2 * at, 0),
        (at, false) => (2 * at - 1, sequence),
    }
}

/// How a transaction's place became known in a stream that does not show its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    /// It left no trace between its neighbours, or an empty one.
    NoTrace,
    /// It lies in a part of the stream that is missing, or before its start.
    Unread,
}

/// Whether no head says that a transaction, which the stream has passed without a trace, came
/// before the stream: it counts as applied there, as its origin wrote it.
fn is_unheaded(place: &Place, source: &GtidSource) -> bool {
    source.is_anonymous() && !place.is_shown() && place.after == 0 && place.at > 0
}

/// Whether a stream does not show what a transaction did there, which counts as what its origin
/// wrote, in an order that is not known.
fn is_assumed(place: &Place, source: &GtidSource) -> bool {
    place.is_hidden() || is_unheaded(place, source)
}

impl Verifier {
    /// Whether there is anything to compare: two streams, and every one shows copies.
    fn compares(&self) -> bool {
        let begun = || self.streams.iter().filter(|stream| stream.begun);
        let leaves_out = begun().any(|stream| stream.leaves_out.is_some());
        begun().count() > 1 && !leaves_out && begun().all(|stream| stream.copies_are_logged)
    }

    /// Whether a hole may lie before the start of the stream, in what is not read of it.
    fn may_precede_start(&self, place: &Place, source: &GtidSource, node: usize) -> bool {
        let before = !place.is_shown() && place.after == 0;
        before && !source.is_anonymous() && !self.streams[node].baseline.is_empty()
    }

    pub(super) fn begun(&self) -> Vec<usize> {
        (0..self.streams.len()).filter(|at| self.streams[*at].begun).collect()
    }

    /// Takes an original into the ledger, for the rows that are not its node's alone right now.
    pub(super) fn enter_original(&mut self, seen: Seen, id: OpenId, out: &mut Vec<Report>) {
        if !self.compares() {
            return;
        }
        for node in self.nodes.indices() {
            if self.open.get(id).places[node.at()].is_some_and(|place| place.is_skipped()) {
                self.tell_injected(id, node, None, out);
            }
        }
        let places = self.open.get(id).places.known();
        let alone = self.open_by_origin[seen.origin.at()] == self.open.len();
        if places.is_empty() && alone && self.ledger.is_empty() && !self.definitions.any_open() {
            return;
        }
        let touches: Vec<TouchView> =
            self.open.touches_of(id).filter(|touch| touch.unique == 0).collect();
        let source = &seen.gtid.source;
        let left_out =
            places.iter().any(|(_, place)| *place != Place::BASELINE && !is_assumed(place, source));
        let before_start: Vec<NodeIndex> = places.iter().map(|(node, _)| *node).collect();
        for touch in touches {
            let others = self.nodes.indices().filter(|node| *node != seen.origin);
            let contested =
                || others.into_iter().any(|n| self.open.touches_on(touch.key, n).next().is_some());
            // Applied before a stream began, though the stream has not shown what it followed here.
            let overtakes = || before_start.iter().any(|node| !self.is_next(&touch, *node));
            let emptied = || {
                let table = self.open.row_of(&touch).table;
                self.definitions.any_open() && !self.definitions.emptying(&table).is_empty()
            };
            if left_out
                || self.ledger.contains(touch.key)
                || contested()
                || overtakes()
                || emptied()
            {
                self.ensure_entry(touch.key, self.open.row_of(&touch), Some(id));
                self.enter_touch(id, &touch);
            }
        }
        if places.iter().any(|(_, place)| is_assumed(place, source)) {
            self.disturb_touches(id);
        }
        self.enter_extra(seen, id);
    }

    /// Adds what an open original did to a row, in its own stream and where it is known to have
    /// passed without the row.
    fn enter_touch(&mut self, id: OpenId, touch: &TouchView) {
        let mut write = self.write_of(id, touch);
        let (key, gtid) = (touch.key, write.gtid);
        for (at, step) in write.steps.iter_mut().enumerate() {
            let open = self.open.get(id);
            let source = &open.gtid.source;
            let shows_rows = |place: &Place| place.at > 0 && !is_assumed(place, source);
            if let Some(place) = open.places[at].filter(|p| !touch.settled && shows_rows(p)) {
                // What an early copy did to the row is in the entry already, if it did anything.
                *step = Some(Step {
                    position: position(&place, open),
                    change: None,
                    coordinates: open.coordinates(at),
                    skipped: place.is_skipped() || self.may_precede_start(&place, source, at),
                    assumed: false,
                });
            }
        }
        let Some(entry) = self.ledger.get_mut(key) else { return };
        entry.spelled(touch.spelling);
        let mut steps = std::mem::take(&mut write.steps);
        let known = entry.write(Write { steps: vec![None; steps.len()], ..write });
        for (known, new) in known.steps.iter_mut().zip(&mut steps) {
            if known.is_none() {
                *known = new.take();
            }
        }
        debug_assert_eq!(known.gtid, gtid);
        self.ledger.touched.push(key);
    }

    /// An open original's write to a row, with what is known of it in all streams.
    fn write_of(&self, id: OpenId, touch: &TouchView) -> Write {
        let open = self.open.get(id);
        let shape = self.open.shape_of(touch);
        let change = Change { before: touch.before, after: touch.after, shape };
        let step = |at: usize| {
            let own = at == open.origin.at();
            let place = if own { Some(Place::exact(open.ordinal)) } else { open.places[at] }?;
            let of_copy = own && open.rows_of_copy;
            let assumed = of_copy || place.at == 0 || is_assumed(&place, &open.gtid.source);
            let coordinates = open.coordinates(at);
            let skipped = place.is_skipped();
            let change = Some(change).filter(|_| !skipped);
            Some(Step { position: position(&place, open), change, coordinates, skipped, assumed })
        };
        Write {
            gtid: open.gtid,
            origin: open.origin,
            server_id: open.server_id,
            committed_at: open.committed_at,
            steps: (0..self.streams.len()).map(step).collect(),
        }
    }

    /// Makes sure that a row has an entry. A new one begins with the row's open originals, but for
    /// `except`: their copies wrote what they wrote, else the row would have had an entry.
    fn ensure_entry(&mut self, key: u128, row: RowKey, except: Option<OpenId>) {
        if self.ledger.contains(key) {
            return;
        }
        if self.ledger_is_full() {
            (self.ledger_overflow, self.overflowing) = (self.ledger_overflow + 1, true);
            return;
        }
        let mut entry = Entry::new(row, self.streams.len());
        entry.disturbed = self.overflowing;
        for node in self.nodes.indices() {
            let mut touches: Vec<TouchView> = self.open.touches_on(key, node).collect();
            touches.reverse();
            for touch in touches.iter().filter(|touch| Some(touch.owner) != except) {
                entry.spelled(touch.spelling);
                let owner = self.open.get(touch.owner);
                entry.disturbed |= owner.places.any(|at| is_assumed(at, &owner.gtid.source));
                entry.write(self.write_of(touch.owner, touch));
            }
        }
        for id in self.definitions.emptying(&entry.row.table) {
            entry.write(self.emptying_write(id));
        }
        self.ledger.insert(key, entry);
        self.ledger.touched.push(key);
    }

    /// Reports a transaction in whose place an operator injected an empty one.
    fn tell_injected(
        &mut self,
        id: OpenId,
        node: NodeIndex,
        at: Option<&Transaction>,
        out: &mut Vec<Report>,
    ) {
        if self.open.touches_of(id).next().is_none() {
            return;
        }
        let mut reference = self.open_reference(id, None);
        let at = at.map(|tx| tx.coordinates.clone());
        let injected = at.or_else(|| reference.coordinates[node.at()].clone());
        // Where others show it depends on how far they were read.
        let origin = self.open.get(id).origin.at();
        for (other, place) in reference.coordinates.iter_mut().enumerate() {
            if other != origin {
                *place = injected.clone().filter(|_| other == node.at());
            }
        }
        let detail = "an empty transaction was injected in its place (gtid_next)";
        self.tell_missing_copy(node, reference, Certainty::Exact, detail, out);
    }

    /// Compares a copy with its original, row by row; `id` is the original, where it has been
    /// read and is open.
    pub(super) fn enter_copy(
        &mut self,
        seen: Seen,
        tx: &Transaction,
        id: Option<OpenId>,
        out: &mut Vec<Report>,
    ) {
        if !self.compares() {
            return;
        }
        self.enter_emptying_copy(seen, tx, id);
        match id {
            Some(id) => {
                if seen.origin == seen.node {
                    self.tell_injected(id, seen.node, Some(tx), out);
                }
                match tx.hides_rows() {
                    true => {
                        self.coverage.compare(seen.origin, None);
                        self.enter_passed(id, seen.node, Place::exact(seen.ordinal), Unseen::Unread)
                    }
                    false => self.compare_copy(seen, tx, id),
                }
            }
            None if self.streams[seen.origin.at()].begun => self.enter_early_copy(seen, tx),
            None => {}
        }
    }

    fn compare_copy(&mut self, seen: Seen, tx: &Transaction, id: OpenId) {
        let open = self.open.get(id);
        let same = digest(tx) == open.digest;
        self.coverage.compare(open.origin, open.shows_all.then_some(same));
        let sources = self.streams[open.origin.at()].own.len();
        let in_order = sources < 2 || !seen.gtid.source.is_ordered();
        let sure = self.sure(seen.node.at()) == LAST;
        let is_new = |key: &Key| !self.ledger.contains(key.hash);
        if same
            && in_order
            && sure
            && (self.ledger.is_empty()
                || tx.rows.iter().filter_map(|row| row.keys).flatten().all(|key| is_new(&key)))
        {
            return;
        }
        let mut theirs = net_changes(tx);
        let touches: Vec<TouchView> =
            self.open.touches_of(id).filter(|touch| touch.unique == 0).collect();
        for touch in &touches {
            let copy = theirs.remove(&touch.key);
            let shape = self.open.shape_of(touch);
            let clean = copy.as_ref().is_some_and(|copy| {
                let same_shape = tx.tables[copy.table as usize].shape == shape;
                same_shape && (copy.before, copy.after) == (touch.before, touch.after)
            });
            if clean && sure && !self.ledger.contains(touch.key) && self.is_next(touch, seen.node) {
                continue;
            }
            self.ensure_entry(touch.key, self.open.row_of(touch), None);
            self.enter_step(seen, tx, id, touch.key, copy.as_ref());
        }
        let others = self.ledger.extra.get(&seen.gtid).cloned().unwrap_or_default();
        for key in others.iter().filter(|key| !theirs.contains_key(*key)) {
            self.enter_step(seen, tx, id, *key, None);
        }
        for (key, copy) in &theirs {
            // The copy wrote a row that its original did not.
            self.ensure_entry(*key, row_key(tx, copy), None);
            let shape = tx.tables[copy.table as usize].shape;
            let change = Change { before: copy.before, after: copy.after, shape };
            self.enter_left_out(id, *key, change);
            self.enter_step(seen, tx, id, *key, Some(copy));
            if !others.contains(key) {
                self.ledger.extra.entry(seen.gtid).or_default().push(*key);
            }
        }
    }

    /// Whether a node's stream has shown everything on the row that the origin wrote before.
    fn is_next(&self, touch: &TouchView, node: NodeIndex) -> bool {
        let origin = self.open.get(touch.owner).origin;
        let mut older = self.open.touches_on(touch.key, origin);
        let mut older = older.by_ref().skip_while(|other| other.owner != touch.owner).skip(1);
        older.all(|other| self.open.get(other.owner).places[node.at()].is_some())
    }

    /// Notes what a copy did to a row; `None` is nothing.
    fn enter_step(
        &mut self,
        seen: Seen,
        tx: &Transaction,
        id: OpenId,
        key: u128,
        copy: Option<&Net>,
    ) {
        let new = self.bare_write(id);
        let Some(entry) = self.ledger.get_mut(key) else { return };
        copy.iter().for_each(|copy| entry.spelled(copy.key.spelling));
        let step = step(seen, tx, copy);
        entry.write(new).steps[seen.node.at()] = Some(step);
        self.ledger.touched.push(key);
    }

    /// Notes that the original, and the copies that came already, left a row out that some copy
    /// wrote. What an original wrote by a statement in its text, the copy's rows tell.
    fn enter_left_out(&mut self, id: OpenId, key: u128, change: Change) {
        let open = self.open.get(id);
        let (by_statement, origin) = (!open.shows_all, open.origin.at());
        let step = |at: usize| {
            let own = at == origin;
            let place = if own { Some(Place::exact(open.ordinal)) } else { open.places[at] }?;
            let assumed = own && by_statement || place.at == 0 || place.is_hidden();
            Some(Step {
                position: position(&place, open),
                change: assumed.then_some(change),
                coordinates: open.coordinates(at),
                skipped: place.is_skipped(),
                assumed,
            })
        };
        let steps: Vec<Option<Step>> = (0..self.streams.len()).map(step).collect();
        let new = self.bare_write(id);
        let Some(entry) = self.ledger.get_mut(key) else { return };
        for (known, new) in entry.write(new).steps.iter_mut().zip(steps) {
            *known = known.take().or(new);
        }
        self.ledger.touched.push(key);
    }

    /// Brings the rows that early copies wrote, and their original, now read, did not, to the
    /// original.
    fn enter_extra(&mut self, seen: Seen, id: OpenId) {
        let Some(mut keys) = self.ledger.extra.remove(&seen.gtid) else { return };
        let own: BTreeSet<u128> = self.open.touches_of(id).map(|touch| touch.key).collect();
        keys.retain(|key| !own.contains(key));
        for key in &keys {
            let entry = self.ledger.get_mut(*key);
            let write =
                entry.and_then(|e| e.writes().iter().find(|w| w.gtid == seen.gtid).cloned());
            let change = write.and_then(|w| w.steps.iter().flatten().find_map(|s| s.change));
            if let Some(change) = change {
                self.enter_left_out(id, *key, change);
            }
        }
        if !keys.is_empty() {
            self.ledger.extra.insert(seen.gtid, keys);
        }
    }

    fn bare_write(&self, id: OpenId) -> Write {
        let open = self.open.get(id);
        Write {
            gtid: open.gtid,
            origin: open.origin,
            server_id: open.server_id,
            committed_at: open.committed_at,
            steps: vec![None; self.streams.len()],
        }
    }

    /// A copy whose original has not been read, or lies before its stream's start.
    fn enter_early_copy(&mut self, seen: Seen, tx: &Transaction) {
        let before_start = self.streams[seen.origin.at()].baseline.contains(&seen.gtid);
        let own = &self.streams[seen.origin.at()].own;
        let is_read = own.get(&seen.source).is_some_and(|highest| seen.gtid.sequence <= *highest);
        if seen.origin == seen.node || is_read && !before_start || tx.hides_rows() {
            // Injected by an operator, or its original was let go, or it may have left anything.
            return;
        }
        for (key, copy) in net_changes(tx) {
            let mut others = self.nodes.indices().filter(|node| *node != seen.origin);
            let contested = others.any(|node| self.open.touches_on(key, node).next().is_some());
            if before_start && !contested && !self.ledger.contains(key) {
                continue;
            }
            self.ensure_entry(key, row_key(tx, &copy), None);
            let mut steps = vec![None; self.streams.len()];
            let shape = tx.tables[copy.table as usize].shape;
            let change = Change { before: copy.before, after: copy.after, shape };
            for (at, stream) in self.streams.iter().enumerate() {
                if stream.begun && stream.baseline.contains(&seen.gtid) {
                    steps[at] = Some(Step {
                        position: self.unread_position(
                            NodeIndex(at as u8),
                            &seen.gtid,
                            seen.ordinal,
                        ),
                        change: Some(change),
                        coordinates: None,
                        skipped: false,
                        assumed: true,
                    });
                }
            }
            let in_gap = self.gap_of(seen.origin, &seen.gtid).is_some();
            let Some(entry) = self.ledger.get_mut(key) else {
                return self.forget_copy(&seen.gtid);
            };
            entry.disturbed |= in_gap;
            entry.spelled(copy.key.spelling);
            let write = entry.write(Write {
                gtid: seen.gtid,
                origin: seen.origin,
                server_id: tx.server_id,
                committed_at: tx.committed_at,
                steps,
            });
            write.steps[seen.node.at()] = Some(step(seen, tx, Some(&copy)));
            self.ledger.touched.push(key);
            if !before_start {
                self.ledger.extra.entry(seen.gtid).or_default().push(key);
            }
        }
    }

    /// Notes that an open original has passed in a stream that does not show its rows.
    pub(super) fn enter_passed(
        &mut self,
        id: OpenId,
        node: NodeIndex,
        place: Place,
        unseen: Unseen,
    ) {
        if !self.compares() || self.open.get(id).origin == node {
            return;
        }
        let touches: Vec<TouchView> =
            self.open.touches_of(id).filter(|touch| touch.unique == 0).collect();
        let extra = self.ledger.extra.get(&self.open.get(id).gtid).cloned().unwrap_or_default();
        for key in extra {
            let (new, position) = (self.bare_write(id), position(&place, self.open.get(id)));
            let Some(entry) = self.ledger.get_mut(key) else { continue };
            let (change, coordinates, skipped, assumed) = (None, None, false, false);
            let step = Step { position, change, coordinates, skipped, assumed };
            entry.write(new).steps[node.at()] = Some(step);
            self.ledger.touched.push(key);
        }
        let source = self.open.get(id).gtid.source;
        let before_start = self.may_precede_start(&place, &source, node.at());
        let unread = unseen == Unseen::Unread || before_start || is_unheaded(&place, &source);
        for touch in touches {
            let known = self.ledger.contains(touch.key);
            if !known && (unread && !before_start || touch.before == touch.after) {
                continue;
            }
            self.ensure_entry(touch.key, self.open.row_of(&touch), None);
            let shape = self.open.shape_of(&touch);
            let change = Change { before: touch.before, after: touch.after, shape };
            let new = self.bare_write(id);
            let position = position(&place, self.open.get(id));
            let Some(entry) = self.ledger.get_mut(touch.key) else { continue };
            entry.write(new).steps[node.at()] = Some(Step {
                position,
                change: Some(change).filter(|_| unread && !before_start),
                coordinates: None,
                skipped: before_start,
                assumed: unread && !before_start,
            });
            entry.disturbed |= is_unheaded(&place, &source);
            self.ledger.touched.push(touch.key);
        }
    }

    /// What an open definition that leaves its table without rows did to a row.
    fn emptying_write(&self, id: OpenId) -> Write {
        let mut write = self.bare_write(id);
        let open = self.open.get(id);
        for at in 0..write.steps.len() {
            let own = at == open.origin.at();
            let place = if own { Some(Place::exact(open.ordinal)) } else { open.places[at] };
            write.steps[at] = place.map(|place| Step {
                position: position(&place, open),
                change: Some(EMPTIED).filter(|_| place.is_shown() && !place.is_skipped()),
                coordinates: open.coordinates(at),
                skipped: place.is_skipped(),
                assumed: false,
            });
        }
        write
    }

    /// Takes an original that leaves tables without rows into the ledger: for all their rows that
    /// are followed, and those that others are writing.
    pub(super) fn enter_emptying(&mut self, seen: Seen, id: OpenId, tx: &Transaction) {
        if tx.statements.is_empty() || !self.compares() {
            return;
        }
        for (schema, name) in emptied(tx) {
            for other in self.definitions.writing(&self.open, schema, name) {
                if self.open.get(other).origin == seen.origin {
                    continue;
                }
                let touches: Vec<TouchView> =
                    self.open.touches_of(other).filter(|touch| touch.unique == 0).collect();
                for touch in touches {
                    let row = self.open.row_of(&touch);
                    if is_of(&row, schema, name) {
                        self.ensure_entry(touch.key, row, None);
                    }
                }
            }
            let write = self.emptying_write(id);
            let mut keys = Vec::new();
            for (key, entry) in self.ledger.iter_mut() {
                if is_of(&entry.row, schema, name) {
                    entry.write(write.clone());
                    keys.push(*key);
                }
            }
            self.ledger.touched.extend(keys);
        }
    }

    /// Takes the copy of such a transaction into the ledger.
    fn enter_emptying_copy(&mut self, seen: Seen, tx: &Transaction, id: Option<OpenId>) {
        if tx.statements.is_empty() || self.ledger.is_empty() {
            return;
        }
        let new = id.map(|id| self.bare_write(id));
        let mut keys = Vec::new();
        for (schema, name) in emptied(tx) {
            for (key, entry) in self.ledger.iter_mut() {
                match &new {
                    _ if !is_of(&entry.row, schema, name) => continue,
                    Some(new) => {
                        let write = entry.write(new.clone());
                        write.steps[seen.node.at()] =
                            Some(Step { change: Some(EMPTIED), ..step(seen, tx, None) });
                    }
                    None => entry.disturbed = true,
                }
                keys.push(*key);
            }
        }
        self.ledger.touched.extend(keys);
    }

    /// A node's rows may have been written in ways that the ledger does not follow.
    pub(super) fn disturb_all(&mut self) {
        self.ledger.iter_mut().for_each(|(_, entry)| entry.disturbed = true);
    }

    /// Rows were written in a stream by a transaction that cannot be followed.
    pub(super) fn disturb_rows(&mut self, tx: &Transaction) {
        if self.ledger.is_empty() {
            return;
        }
        for key in tx.rows.iter().filter_map(|row| row.keys).flatten() {
            if let Some(entry) = self.ledger.get_mut(key.hash) {
                entry.disturbed = true;
            }
        }
    }
}

fn row_key(tx: &Transaction, net: &Net) -> RowKey {
    let table = tx.tables[net.table as usize].clone();
    RowKey { table, index: None, bytes: tx.key_bytes_of(&net.key).into() }
}

/// A row of a table that was emptied.
const EMPTIED: Change =
    Change { before: PackedState::UNKNOWN, after: PackedState::ABSENT, shape: 0 };

/// Whether a row is of a table, or of any in a database.
fn is_of(row: &RowKey, schema: &str, name: Option<&str>) -> bool {
    row.table.schema == schema && name.is_none_or(|name| row.table.name == name)
}

/// What a copy did to a row.
fn step(seen: Seen, tx: &Transaction, copy: Option<&Net>) -> Step {
    let change = copy.map(|copy| Change {
        before: copy.before,
        after: copy.after,
        shape: tx.tables[copy.table as usize].shape,
    });
    Step {
        position: (2 * seen.ordinal, 0),
        change,
        coordinates: Some(tx.coordinates.clone()),
        skipped: seen.origin == seen.node,
        assumed: false,
    }
}
