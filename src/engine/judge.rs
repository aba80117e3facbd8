//! Write conflicts: pairs of originals that no stream puts in one order.

use super::{
    Report, Seen, Verifier, blank,
    id::IdHasher,
    open::{OpenId, OpenTransaction, TouchView},
    pending::{Order, Side},
    rows::{keys_of, row_key},
    shown::Place,
    whole_rows::{WHOLE_ROW, whole_row_changes},
};
use crate::model::{
    BlindSpotReason, CommitTime, ConflictKind, Finding, FindingKind, Gtid, GtidSource, Key,
    NodeIndex, Operation, Outcome, RowKey, Severity, Transaction, TransactionRef,
};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// A pair of touches on one key that turned out to be in conflict.
struct Clash {
    key: Key,
    table: u32,
    row: usize,
    mine: Operation,
    theirs: Operation,
    /// This transaction may have passed in the other's stream before the other.
    doubt_mine: bool,
    /// The other may have passed in this stream before this one.
    doubt_theirs: bool,
    /// The other found what this one left, and this one what the other left.
    written_over: [bool; 2],
    /// The other found the row otherwise than this one left it, and the other way round.
    found_otherwise: [bool; 2],
    /// Place of the unique key in the table's, from 1; 0 for the primary key.
    unique: u8,
    /// The keys are spelled differently, and may not be one; or one of the two wrote by statements
    /// what a copy shows, and its own node may have found other rows.
    may_be_two: bool,
}

/// A row of a late copy (its place, key and net operation) and the open touch that it meets.
type LateTouch = (usize, Key, Operation, TouchView);

/// Pairs that are only counted, per table and lower node: how many, the first and the last.
type Untold = BTreeMap<(u32, NodeIndex), (u64, CommitTime, CommitTime)>;

/// Conflicts of one write with one node's writes to the same row that are told one by one.
const PAIRS_MAX: u8 = 30;

/// Why a conflict is possible where one of the two was logged as statements.
const OF_COPY: &str = "one was written by a statement, and the row is the one that a copy shows";

/// What the rest of them is called.
const PAIRS: &str = "pairs of conflicting writes to one row, past the first 30 of a write: \
                     the row is reported, these pairs are only counted";

impl Verifier {
    /// Looks for open originals of other nodes that touch the same keys, in no common order.
    pub(super) fn judge_conflicts(
        &mut self,
        seen: Seen,
        id: OpenId,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        let (clashes, untold) = self.clashes(seen, id, tx);
        for ((table, node), (count, first, last)) in untold {
            let table = Some(tx.tables[table as usize].full_name());
            let reason = BlindSpotReason::BoundReached;
            self.blind_lightly(node, reason, table.clone(), PAIRS, count, first, out);
            self.blind_lightly(node, reason, table, PAIRS, 0, last, out);
        }
        for (other, mut clashes) in clashes {
            clashes.sort_by_key(|clash| (clash.table, clash.key.hash));
            for of_table in clashes.chunk_by(|x, y| x.table == y.table) {
                self.report_clashes(seen, id, other, tx, of_table, out);
            }
        }
    }

    /// The clashes of an original with open ones, by the other transaction.
    ///
    /// Others on a key are taken in the order of their streams: what an earlier write there found
    /// decides whether this transaction may have passed unseen before a later one.
    fn clashes(
        &mut self,
        seen: Seen,
        id: OpenId,
        tx: &Transaction,
    ) -> (BTreeMap<OpenId, Vec<Clash>>, Untold) {
        let mut untold = Untold::new();
        let mut clashes: BTreeMap<OpenId, Vec<Clash>> = BTreeMap::new();
        let others = self.nodes.indices().filter(|node| *node != seen.origin);
        let others: Vec<NodeIndex> =
            others.filter(|node| self.open_by_origin[node.at()] > 0).collect();
        if others.is_empty() {
            return (clashes, untold);
        }
        let mine: Vec<TouchView> = self.open.touches_of(id).collect();
        let contested = |touch: &&TouchView| {
            others.iter().any(|node| self.open.touches_on(touch.key, *node).next().is_some())
        };
        let contested: Vec<TouchView> = mine.iter().filter(contested).copied().collect();
        if contested.is_empty() {
            return (clashes, untold);
        }
        let places = places_of(tx);
        for touch in contested {
            let mut theirs: Vec<TouchView> = Vec::new();
            for node in &others {
                let from = theirs.len();
                theirs.extend(self.open.touches_on(touch.key, *node));
                theirs[from..].reverse();
            }
            // One row that takes a unique value on both sides clashes by its primary key.
            let by_value = touch.unique != 0 && touch.unique != WHOLE_ROW;
            theirs.retain(|other| !by_value || other.after != touch.after);
            for other in theirs {
                let Some((row, key)) = places.get(&touch.key).copied() else { continue };
                if let Some(doubts) = self.unordered(seen, id, &touch, &other) {
                    let table = tx.rows[row].table;
                    if self.is_one_too_many(&touch, &other) {
                        // Whichever of the two is read last: the pair counts the same.
                        let other = self.open.get(other.owner);
                        let when = other.committed_at.max(tx.committed_at);
                        let place = (table, other.origin.min(seen.node));
                        let (count, first, last) = untold.entry(place).or_insert((0, when, when));
                        *count += 1;
                        (*first, *last) = ((*first).min(when), (*last).max(when));
                        continue;
                    }
                    let place = (key, table, row);
                    let clash = self.clash(place, &touch, &other, doubts);
                    clashes.entry(other.owner).or_default().push(clash);
                }
            }
        }
        (clashes, untold)
    }

    fn clash(
        &self,
        (key, table, row): (Key, u32, usize),
        mine: &TouchView,
        theirs: &TouchView,
        [doubt_mine, doubt_theirs]: [bool; 2],
    ) -> Clash {
        let both = [(mine, theirs), (theirs, mine)];
        // What a copy found and left is of its own node: it proves no order.
        let of_copy = [mine, theirs].iter().any(|of| self.open.get(of.owner).rows_of_copy);
        let written_over = |one: &TouchView, two| !of_copy && one.is_what_was_found_by(two);
        Clash {
            key,
            table,
            row,
            mine: mine.operation,
            theirs: theirs.operation,
            doubt_mine,
            doubt_theirs,
            written_over: both.map(|(one, two)| written_over(one, two)),
            found_otherwise: both.map(|(one, two)| !one.may_pass_before(two)),
            unique: mine.unique,
            may_be_two: mine.spelling != theirs.spelling || mine.unique == WHOLE_ROW || of_copy,
        }
    }

    /// Whether one of the two has enough conflicts with the other's node on this key: two counters
    /// that both sides raise a thousand times in one lag make a million pairs that say the same.
    ///
    /// A touch's conflicts with one node's originals are met in the order of that node's stream,
    /// however the streams are interleaved, so the pairs that are told are always the same ones.
    fn is_one_too_many(&mut self, mine: &TouchView, theirs: &TouchView) -> bool {
        let my_node = self.open.get(mine.owner).origin;
        let their_node = self.open.get(theirs.owner).origin;
        let of_mine = self.open.count_conflict(mine.id, their_node);
        let of_theirs = self.open.count_conflict(theirs.id, my_node);
        of_mine.max(of_theirs) >= PAIRS_MAX
    }

    /// `None` when one of the two happened before the other. Otherwise whether this one may have
    /// passed in the other's stream before the other, and the other in this one's.
    fn unordered(
        &mut self,
        seen: Seen,
        id: OpenId,
        mine: &TouchView,
        theirs: &TouchView,
    ) -> Option<[bool; 2]> {
        let (this, other) = (self.open.get(id), self.open.get(theirs.owner));
        let other_node = other.origin;
        let my_place = this.places[other_node.at()];
        let their_place = other.places[seen.node.at()];
        // A stream that has shown the other one has done so before this moment.
        if their_place.is_some_and(|place| place.is_before(seen.ordinal)) {
            return None;
        }
        if my_place.is_some_and(|place| place.is_before(other.ordinal)) {
            return None;
        }
        let at_mine = (seen.node, seen.ordinal, this.other_write);
        let at_theirs = (other_node, other.ordinal, other.other_write);
        let doubt_mine = self.may_have_passed(id, mine, theirs, at_theirs);
        Some([doubt_mine, self.may_have_passed(theirs.owner, theirs, mine, at_mine)])
    }

    /// Whether a transaction may have passed, without a trace, in another node's stream before
    /// the original `later`, which stands there at `ordinal`; it is not shown there before.
    ///
    /// Then it has passed after its last neighbour below. The rows tell whether it can have: as
    /// `later` found the row, and as the node's other originals in between found it. Where others
    /// wrote in between, or what was written is not known, they tell nothing.
    fn may_have_passed(
        &mut self,
        id: OpenId,
        touch: &TouchView,
        later: &TouchView,
        (node, ordinal, other_write): (NodeIndex, u64, u64),
    ) -> bool {
        let open = self.open.get(id);
        let stream = &self.streams[node.at()];
        if !stream.copies_are_logged {
            return open.places[node.at()].is_some_and(|place| place.is_around(ordinal));
        }
        let after = match open.places[node.at()] {
            Some(place) => place.after,
            None => stream.shown.get(&open.source).map_or(0, |log| log.last().1),
        };
        if !open.gtid.source.is_ordered() || after >= ordinal {
            return false;
        }
        // Copies of its own source do not stand after its last neighbour below.
        let written_between = other_write > after;
        // With three nodes it may have been lost on its way, by the rows of a node in between.
        let may_be_lost = self.nodes.len() > 2;
        let unknown =
            may_be_lost || written_between || (after == 0 && self.is_start_unknown(node, id));
        let may = unknown || touch.may_pass_before(later);
        self.open.note_may_have_passed(touch, (node, after), may)
    }

    /// Whether a transaction may have passed in a stream before the stream began, and a row may
    /// have been written there after that, unread.
    ///
    /// What its origin had shown by then cannot be such a write, if it is the node's own: the
    /// node had written it before the transaction came to be. A third node's copy can.
    fn is_start_unknown(&self, node: NodeIndex, id: OpenId) -> bool {
        let open = self.open.get(id);
        let baseline = &self.streams[node.at()].baseline;
        let third = |source: &GtidSource| match source {
            GtidSource::MariaDb { server_id, .. } => {
                *source != open.gtid.source && self.nodes.by_server_id(*server_id) != Some(node)
            }
            GtidSource::MySql { .. }
            | GtidSource::Anonymous { .. }
            | GtidSource::Counted { .. } => true,
        };
        let head_is_silent = open.gtid.source.is_anonymous();
        head_is_silent || open.was_behind || baseline.iter().any(|(source, _)| third(source))
    }

    /// Reports the clashes of two transactions on one table.
    fn report_clashes(
        &mut self,
        seen: Seen,
        id: OpenId,
        other: OpenId,
        tx: &Transaction,
        clashes: &[Clash],
        out: &mut Vec<Report>,
    ) {
        let with_order = clashes.iter().map(|clash| (clash, self.order_of(seen, id, other, clash)));
        let mut kept: Vec<(&Clash, Order)> = with_order.collect();
        let is_asked = |node: NodeIndex| !self.streams[node.at()].copies_are_logged;
        // What the server says leaves the order open, and the rows tell it.
        let is_over = |side: &Side| is_asked(side.other) && side.doubt && side.written_over;
        kept.retain(|(_, order)| !order.sides.iter().any(is_over));
        let (told, more) = self.within_limit(kept.len());
        for (at, (clash, order)) in kept.into_iter().take(told).enumerate() {
            let theirs = self.open_reference(other, Some(clash.theirs));
            let mine = self.open_reference(id, Some(clash.mine));
            let mut key = row_key(tx, &tx.rows[clash.row], &clash.key);
            key.index = clash.unique.checked_sub(1).map(u16::from);
            let mut finding = conflict([mine, theirs], key, clash.key.hash);
            if clash.unique == WHOLE_ROW {
                finding.key = None;
            }
            finding.certainty = order.certainty();
            finding.outcome = Some(Outcome::Pending);
            let of_copy = self.open.get(id).rows_of_copy || self.open.get(other).rows_of_copy;
            finding.detail = of_copy.then(|| OF_COPY.to_owned());
            finding.more = if at + 1 == told { more } else { 0 };
            let serial = self.add_conflict(finding, 2, order, Some(clash.key.hash), out);
            self.open.add_finding(id, serial);
            self.open.add_finding(other, serial);
        }
    }

    /// How many of a group's rows are told one by one, and how many are counted.
    fn within_limit(&self, rows: usize) -> (usize, u64) {
        let told = rows.min(usize::try_from(self.settings.group_limit).unwrap_or(usize::MAX));
        (told, (rows - told) as u64)
    }

    fn order_of(&self, seen: Seen, id: OpenId, other: OpenId, clash: &Clash) -> Order {
        let (this, other) = (self.open.get(id), self.open.get(other));
        let mine = Side {
            gtid: this.gtid,
            other: other.origin,
            other_ordinal: other.ordinal,
            awaited: this.places[other.origin.at()].is_none(),
            undecided: self.is_undecided(this, other.origin, other.ordinal),
            doubt: clash.doubt_mine,
            written_over: clash.written_over[0],
            found_otherwise: clash.found_otherwise[0],
        };
        let theirs = Side {
            gtid: other.gtid,
            other: seen.node,
            other_ordinal: seen.ordinal,
            awaited: true,
            undecided: self.is_undecided(other, seen.node, seen.ordinal),
            doubt: clash.doubt_theirs,
            written_over: clash.written_over[1],
            found_otherwise: clash.found_otherwise[1],
        };
        Order { sides: [mine, theirs], may_be_two: clash.may_be_two, row: clash.key.hash }
    }

    /// Whether a node's server has yet to say how an open transaction stands to one of its own.
    pub(super) fn is_undecided(
        &self,
        open: OpenTransaction<'_>,
        node: NodeIndex,
        ordinal: u64,
    ) -> bool {
        let stream = &self.streams[node.at()];
        !stream.copies_are_logged
            && open.places[node.at()].is_none()
            && stream.asked.is_undecided(ordinal)
    }

    /// Judges a copy whose original lies before the start of its own stream.
    ///
    /// There it stands before everything that was read; here it stands after every open original
    /// of this node. Those that its origin had not applied by its start conflict with it.
    pub(super) fn judge_late_copy(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let mut net: BTreeMap<u128, (usize, Key, Operation)> = BTreeMap::new();
        for (at, row) in tx.rows.iter().enumerate() {
            for key in keys_of(row) {
                let first = net.entry(key.hash).or_insert((at, key, row.operation));
                first.2 = add_up(first.2, row.operation);
            }
        }
        let mut met: BTreeMap<(OpenId, u32), Vec<LateTouch>> = BTreeMap::new();
        for (hash, (at, key, operation)) in net {
            for touch in self.open.touches_on(hash, seen.node) {
                let places = self.open.get(touch.owner).places;
                if places[seen.origin.at()] != Some(Place::BASELINE) {
                    let group = met.entry((touch.owner, tx.rows[at].table)).or_default();
                    group.push((at, key, operation, touch));
                }
            }
        }
        for ((owner, _), rows) in met {
            let (told, more) = self.within_limit(rows.len());
            for (nth, (at, key, operation, touch)) in rows.into_iter().take(told).enumerate() {
                let mine = self.reference(seen.node, tx, Some(seen.origin), Some(operation));
                let theirs = self.open_reference(owner, Some(touch.operation));
                let order = Order { row: key.hash, ..self.late_order(seen, owner) };
                let row = row_key(tx, &tx.rows[at], &key);
                let mut finding = conflict([mine, theirs], row, key.hash);
                finding.certainty = order.certainty();
                finding.outcome = Some(Outcome::Pending);
                finding.more = if nth + 1 == told { more } else { 0 };
                let serial = self.add_conflict(finding, 1, order, Some(key.hash), out);
                self.open.add_finding(owner, serial);
            }
        }
    }

    /// Tells and keeps a conflict, and finds it again when a stream decides it. One whose order a
    /// server has yet to say is told when it has.
    pub(super) fn add_conflict(
        &mut self,
        finding: Finding,
        open: usize,
        order: Order,
        row: Option<u128>,
        out: &mut Vec<Report>,
    ) -> u64 {
        let pair = [order.sides[0].gtid, order.sides[1].gtid];
        let doubts = order.sides.iter().filter(|side| side.doubt && side.awaited);
        let places: Vec<_> = doubts.map(|side| (side.other, side.gtid.source)).collect();
        let undecided = order.sides.iter().filter(|side| side.undecided);
        let undecided: Vec<_> = undecided.map(|side| (side.other, side.other_ordinal)).collect();
        if undecided.is_empty() {
            out.push(Report { finding: finding.clone(), news: true, first: true });
        }
        let serial = self.pending.add(finding, open, Some(order));
        for (node, ordinal) in undecided {
            self.streams[node.at()].asked.awaits(ordinal, serial);
        }
        let awaits_row = row.is_some_and(|row| self.await_outcome(row, serial, pair));
        self.pending.await_row(serial, awaits_row, out);
        for (node, source) in places {
            let source = self.sources.number(source);
            self.doubts.entry((node, source)).or_default().push(serial);
        }
        serial
    }

    /// An open original may have passed in the other's stream before that began, without a trace:
    /// a baseline that names what was logged does not name it. No row that is read tells.
    pub(super) fn late_order(&self, seen: Seen, id: OpenId) -> Order {
        let open = self.open.get(id);
        let side = |gtid: Gtid, other: NodeIndex, other_ordinal: u64, awaited: bool| Side {
            gtid,
            other,
            other_ordinal,
            awaited,
            undecided: false,
            doubt: false,
            written_over: false,
            found_otherwise: true,
        };
        let place = open.places[seen.origin.at()];
        let shown = &self.streams[seen.origin.at()].shown;
        let after_start = match place {
            Some(place) => place.is_after(0),
            None => shown.get(&open.source).is_some_and(|log| log.last().1 > 0),
        };
        let doubt = open.gtid.source.is_ordered() && !after_start;
        Order {
            sides: [
                Side { doubt, ..side(open.gtid, seen.origin, 0, place.is_none()) },
                side(seen.gtid, seen.node, open.ordinal, false),
            ],
            may_be_two: false,
            row: 0,
        }
    }
}

/// Where a transaction has each key first: its row, and the key.
fn places_of(tx: &Transaction) -> HashMap<u128, (usize, Key)> {
    let mut places: HashMap<u128, (usize, Key)> = HashMap::new();
    for (at, row) in tx.rows.iter().enumerate() {
        for key in keys_of(row) {
            places.entry(key.hash).or_insert((at, key));
        }
    }
    for take in &tx.unique_takes {
        places.entry(take.key.hash).or_insert((take.row as usize, take.key));
    }
    if tx.rows.iter().any(|row| row.keys.is_none()) {
        for (row, change) in whole_row_changes(tx) {
            places.entry(change.key.hash).or_insert((row, change.key));
        }
    }
    places
}

/// What two operations on one row come to.
fn add_up(first: Operation, last: Operation) -> Operation {
    match (first, last) {
        (_, Operation::Delete) => Operation::Delete,
        (Operation::Insert, _) => Operation::Insert,
        _ => Operation::Update,
    }
}

/// A conflict of two transactions on one row, unsettled.
fn conflict(mut pair: [TransactionRef; 2], key: RowKey, hash: u128) -> Finding {
    pair.sort_by_key(|transaction| transaction.origin);
    let [low, high] = &pair;
    let kind = FindingKind::WriteConflict;
    let table = key.table.full_name();
    let (first, second) = (low.gtid, high.gtid);
    let id = IdHasher::new(kind).text(&table).number(hash).gtid(first).gtid(second).finish();
    let group = IdHasher::new(kind).text(&table).gtid(first).gtid(second).finish();
    let operations = low.operation.zip(high.operation);
    let when: CommitTime = low.committed_at.max(high.committed_at);
    Finding {
        settled: false,
        table: Some(table),
        index: key
            .index
            .and_then(|at| Some(key.table.unique_keys.get(usize::from(at))?.name.clone())),
        key: Some(key),
        conflict: operations.map(|(low, high)| ConflictKind(low, high)),
        group,
        transactions: pair.into(),
        ..blank(id, kind, Severity::Critical, when)
    }
}
