//! Divergence: rows that the streams do not agree on, from the ledger's meeting points.
//!
//! Each transaction is compared row by row, where a stream shows its copy. What is the same in all
//! streams is forgotten at once; the rest goes through the [`super::ledger`].

use super::{
    Report, Seen, Verifier, blank,
    definitions::emptied,
    id::IdHasher,
    ledger::{Change, Entry, LAST, Meeting, Next, Position, Step, Streams, Write},
    open::{KeyChange, OpenId, OpenTransaction, TouchView},
    rows::key_changes,
    shown::Place,
    state::PackedState,
};
use crate::model::{
    BlindSpotReason, Cause, Certainty, Finding, FindingId, FindingKind, Gtid, Healed, Key,
    NodeIndex, Outcome, RowKey, Severity, State, Transaction, TransactionRef,
};
use std::collections::BTreeMap;

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

impl Verifier {
    /// Whether there is anything to compare: two streams, and every one shows copies.
    fn compares(&self) -> bool {
        let begun = || self.streams.iter().filter(|stream| stream.begun);
        begun().count() > 1 && begun().all(|stream| stream.copies_are_logged)
    }

    /// Whether a hole may lie before the start of the stream, in what is not read of it.
    fn may_precede_start(&self, place: &Place, node: usize) -> bool {
        !place.is_shown() && place.after == 0 && !self.streams[node].baseline.is_empty()
    }

    fn begun(&self) -> Vec<usize> {
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
        let left_out = places.iter().any(|(_, place)| *place != Place::BASELINE);
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
    }

    /// Adds what an open original did to a row, in its own stream and where it is known to have
    /// passed without the row.
    fn enter_touch(&mut self, id: OpenId, touch: &TouchView) {
        let mut write = self.write_of(id, touch);
        let (key, gtid) = (touch.key, write.gtid);
        for (at, step) in write.steps.iter_mut().enumerate() {
            let open = self.open.get(id);
            if let Some(place) = open.places[at].filter(|place| !touch.settled && place.at > 0) {
                // What an early copy did to the row is in the entry already, if it did anything.
                *step = Some(Step {
                    position: position(&place, open),
                    change: None,
                    coordinates: open.coordinates(at),
                    skipped: place.is_skipped() || self.may_precede_start(&place, at),
                    assumed: false,
                });
            }
        }
        let Some(entry) = self.ledger.get_mut(key) else { return };
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
            let (coordinates, assumed) = (open.coordinates(at), place.at == 0);
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
        if self.ledger.len() >= self.settings.ledger_rows_max {
            self.ledger_overflow += 1;
            return;
        }
        let mut entry = Entry::new(row, self.streams.len());
        entry.disturbed = self.ledger_overflow > 0;
        for node in self.nodes.indices() {
            let mut touches: Vec<TouchView> = self.open.touches_on(key, node).collect();
            touches.reverse();
            for touch in touches.iter().filter(|touch| Some(touch.owner) != except) {
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
        let origin = open.origin;
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
        for (key, copy) in &theirs {
            // The copy wrote a row that its original did not.
            self.ensure_entry(*key, row_key(tx, copy), None);
            self.enter_left_out(id, *key, tx, copy, origin);
            self.enter_step(seen, tx, id, *key, Some(copy));
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
        let step = step(seen, tx, copy);
        entry.write(new).steps[seen.node.at()] = Some(step);
        self.ledger.touched.push(key);
    }

    /// Notes that the original, and the copies that came already, left a row out. What an original
    /// wrote by a statement in its text, the copy's rows tell.
    fn enter_left_out(
        &mut self,
        id: OpenId,
        key: u128,
        tx: &Transaction,
        copy: &Net,
        origin: NodeIndex,
    ) {
        let mut new = self.bare_write(id);
        let open = self.open.get(id);
        let by_statement = !open.shows_all;
        let shape = tx.tables[copy.table as usize].shape;
        for at in 0..new.steps.len() {
            let own = at == origin.at();
            let place = if own { Some(Place::exact(open.ordinal)) } else { open.places[at] };
            let Some(place) = place else { continue };
            let assumed = own && by_statement || place.at == 0;
            let change = Change { before: copy.before, after: copy.after, shape };
            new.steps[at] = Some(Step {
                position: position(&place, open),
                change: assumed.then_some(change),
                coordinates: open.coordinates(at),
                skipped: place.is_skipped(),
                assumed,
            });
        }
        let Some(entry) = self.ledger.get_mut(key) else { return };
        entry.write(new);
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
        if seen.origin == seen.node || is_read && !before_start {
            // Injected by an operator, or its original was let go.
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
                        position: (0, seen.ordinal),
                        change: Some(change),
                        coordinates: None,
                        skipped: false,
                        assumed: true,
                    });
                }
            }
            let Some(entry) = self.ledger.get_mut(key) else { return };
            let write = entry.write(Write {
                gtid: seen.gtid,
                origin: seen.origin,
                server_id: tx.server_id,
                committed_at: tx.committed_at,
                steps,
            });
            write.steps[seen.node.at()] = Some(step(seen, tx, Some(&copy)));
            self.ledger.touched.push(key);
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
        let before_start = self.may_precede_start(&place, node.at());
        let unread = unseen == Unseen::Unread || before_start;
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

    /// Forgets the rows of a transaction that was let go before all streams had shown it.
    pub(super) fn forget_rows(&mut self, id: OpenId, out: &mut Vec<Report>) {
        let keys: Vec<u128> = self.open.touches_of(id).map(|touch| touch.key).collect();
        for key in keys {
            let Some(entry) = self.ledger.remove(key) else { continue };
            for (conflict, _) in entry.conflicts {
                self.pending.decide(conflict, Outcome::Unknown, out);
            }
            if let Some(finding) = entry.open.filter(|_| entry.told) {
                let finding = Finding { settled: true, certainty: Certainty::Possible, ..*finding };
                out.push(Report { finding, news: true, first: false });
            }
        }
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
    fn sure(&self, node: usize) -> Position {
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
        let late = self.streams.iter().map(|stream| !stream.baseline.is_empty()).collect();
        let streams = Streams { begun: self.begun(), sure, late };
        let mut groups = Groups::default();
        for key in keys {
            loop {
                let Some(entry) = self.ledger.get_mut(key) else { break };
                match entry.next_meeting(&streams) {
                    Next::Waits => break,
                    Next::Deferred => {
                        self.ledger.deferred.insert(key);
                        break;
                    }
                    Next::Meets(meeting) => self.judge_meeting(key, &meeting, &mut groups, out),
                }
            }
            if self.ledger.get_mut(key).is_some_and(|entry| entry.is_done()) {
                self.ledger.remove(key);
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
        let certainty = match meeting.doubtful {
            true => Certainty::Possible,
            false => Certainty::Exact,
        };
        match (meeting.same, entry.open.take()) {
            (Some(false), None) => {
                let mut finding = opened(key, entry, meeting);
                finding.certainty = certainty;
                entry.told = groups.admits(&finding, limit);
                if entry.told {
                    groups.told(&finding, key, out.len());
                    out.push(Report { finding: finding.clone(), news: true, first: true });
                }
                entry.open = Some(Box::new(finding));
            }
            (Some(false), Some(mut finding)) => {
                let before = finding.certainty;
                entry.update(&mut finding, meeting);
                finding.certainty = certainty;
                if before != certainty && entry.told {
                    out.push(Report { finding: (*finding).clone(), news: true, first: false });
                }
                entry.open = Some(finding);
            }
            (Some(true), Some(mut finding)) => {
                finding.certainty = certainty;
                entry.update(&mut finding, meeting);
                heal(&mut finding, meeting);
                if entry.told {
                    out.push(Report { finding: *finding, news: true, first: false });
                }
                entry.forget_sides();
            }
            (Some(true), None) => {
                if meeting.drift {
                    let mut finding = opened(key, entry, meeting);
                    finding.certainty = certainty;
                    heal(&mut finding, meeting);
                    if groups.admits(&finding, limit) {
                        groups.told(&finding, key, out.len());
                        out.push(Report { finding, news: true, first: true });
                    }
                }
                entry.forget_sides();
            }
            (None, None) if meeting.drift && !meeting.shapes_differ => {
                // It differed, and what was written over it does not tell all columns.
                let mut finding = opened(key, entry, meeting);
                finding.certainty = Certainty::Possible;
                entry.told = groups.admits(&finding, limit);
                if entry.told {
                    groups.told(&finding, key, out.len());
                    out.push(Report { finding: finding.clone(), news: true, first: true });
                }
                entry.open = Some(Box::new(finding));
            }
            (None, open) => {
                let is_open = open.is_some();
                entry.open = open.map(|mut finding| {
                    entry.update(&mut finding, meeting);
                    finding
                });
                if !is_open {
                    entry.forget_sides();
                }
                self.tell_unknown(key, meeting, out);
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
        if self.ledger_overflow > 0 {
            let detail = "rows that the masters may differ on, past the number that is followed";
            let (node, reason) = (NodeIndex(0), BlindSpotReason::BoundReached);
            let when = self.newest[0].unwrap_or_default();
            let count = self.ledger_overflow;
            self.blind(node, reason, None, detail.to_owned(), count, when, out);
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

impl Entry {
    /// Brings a divergence up to date with what the streams wrote last.
    fn update(&self, finding: &mut Finding, meeting: &Meeting) {
        finding.last_written =
            self.sides.iter().map(|side| side.as_ref().and_then(|s| s.last.clone())).collect();
        finding.last_seen = finding.last_seen.max(last_write(meeting).committed_at);
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
    entry.update(&mut finding, meeting);
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
    fn last_in(&self, node: usize) -> Option<&Write> {
        let wrote = self.segment.iter().filter_map(|write| {
            let step = write.steps[node].as_ref()?;
            step.change.map(|_| ((step.position, write.gtid), write))
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
    /// Whether one more of its group is told; else it is counted.
    fn admits(&mut self, finding: &Finding, limit: u64) -> bool {
        let group = self.0.entry(finding.group).or_default();
        let admitted = group.told < limit;
        group.told += u64::from(admitted);
        group.more += u64::from(!admitted);
        admitted
    }

    fn told(&mut self, finding: &Finding, key: u128, at: usize) {
        self.0.entry(finding.group).or_default().last = Some((key, at));
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
