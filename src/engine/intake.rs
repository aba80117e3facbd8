//! Taking in transactions: originals are opened, copies show them, and both close them.

use super::{
    Report, Seen, Verifier, blank,
    compare::{Unseen, digest},
    id::IdHasher,
    open::OpenId,
    shown::{EarlyCopy, Place},
    stream::LOOPS_MAX,
    tally::TallyKey,
};
use crate::model::{
    BlindSpotReason, Coordinates, Finding, FindingKind, NodeIndex, Severity, Transaction,
};

impl Verifier {
    pub(super) fn observe_original(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let Seen { node, gtid, source, .. } = seen;
        let stream = &mut self.streams[node.at()];
        let highest = stream.own.get(&source).copied();
        let again = gtid.source.is_ordered()
            && (highest.is_some_and(|highest| gtid.sequence <= highest)
                || stream.baseline.contains(&gtid));
        if again {
            return self.report_loop(seen, tx, "its own origin", out);
        }
        if highest.is_none()
            && let Some(log) = stream.shown.get_mut(&source)
        {
            // Empty transactions of this source were taken for injected ones: they are its own.
            log.forget_early();
        }
        stream.own.insert(source, gtid.sequence.max(highest.unwrap_or(0)));
        self.owners.insert(source, node);
        self.early_rows.take(&gtid);
        let newest = &mut self.newest[node.at()];
        *newest = (*newest).max(Some(tx.committed_at));
        let coverage = &mut self.coverage.streams[node.at()];
        coverage.originals += 1;
        let rows = tx.rows.len() as u64;
        if coverage.biggest.as_ref().is_none_or(|(most, _)| rows > *most) && rows > 0 {
            coverage.biggest = Some((rows, gtid.to_string()));
        }
        let id = self.open_transaction(seen, tx);
        self.judge_ownership(node, tx, Some(id), out);
        self.judge_handovers(seen, tx, out);
        self.add_touches(seen, id, tx, out);
        self.enter_original(seen, id, out);
        self.enter_gaps(seen, id);
        self.judge_conflicts(seen, id, tx, out);
        self.judge_definitions(seen, id, tx, out);
        self.enter_emptying(seen, id, tx);
        self.close_if_shown(id, out);
    }

    fn open_transaction(&mut self, seen: Seen, tx: &Transaction) -> OpenId {
        let Seen { node, gtid, source, .. } = seen;
        if gtid.source.is_counted() {
            self.give_up_names_below(node, gtid);
        }
        let stream = &self.streams[node.at()];
        let before = (stream.other_write, stream.is_behind());
        let id = self.open.insert(seen, tx, digest(tx), before);
        for (at, other) in self.streams.iter_mut().enumerate() {
            if at == node.at() || !other.begun || other.has_in_gap(&gtid) {
                continue;
            }
            let other_node = NodeIndex(at as u8);
            if other.baseline.contains(&gtid) {
                self.open.set_place(id, other_node, Place::BASELINE, None);
                continue;
            }
            other.copies_due += 1;
            let log = other.shown.get_mut(&source);
            let shown = log.and_then(|log| log.take(gtid.sequence, gtid.source.is_ordered()));
            if let Some((place, coordinates)) = shown {
                self.open.set_place(id, other_node, place, coordinates);
            } else if !other.copies_are_logged
                && let Some(place) = other.asked.place_of(source, &gtid)
            {
                self.open.set_place(id, other_node, place, None);
            }
        }
        self.open_by_origin[node.at()] += 1;
        self.by_sequence.entry(source).or_default().insert(gtid.sequence, id);
        id
    }

    pub(super) fn observe_copy(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let Seen { node, origin, gtid, source, .. } = seen;
        let stream = &mut self.streams[node.at()];
        stream.copies += 1;
        self.coverage.streams[node.at()].copies += 1;
        let again = gtid.source.is_ordered()
            && (stream.shown.get(&source).is_some_and(|log| gtid.sequence <= log.last().0)
                || stream.baseline.contains(&gtid));
        if again {
            return self.report_loop(seen, tx, "a node that had it already", out);
        }
        let before_start =
            self.streams[origin.at()].begun && self.streams[origin.at()].baseline.contains(&gtid);
        if before_start {
            self.enter_copy(seen, tx, None, out);
            if !self.streams[origin.at()].has_in_gap(&gtid) {
                self.judge_late_copy(seen, tx, out);
                self.judge_late_definitions(seen, tx, out);
            }
        } else {
            self.streams[node.at()].comes_past_start_of(origin);
        }
        if !tx.is_empty() {
            self.owners.insert(source, origin);
        }
        self.mark_shown(seen, tx, out);
        if !self.streams[origin.at()].begun {
            let detail = format!("the stream of node {} is not read", self.nodes[origin].name);
            let rows = tx.rows.len().max(1) as u64;
            let reason = BlindSpotReason::NoStream;
            self.blind(node, reason, None, detail, rows, tx.committed_at, out);
        }
        self.keep_early_rows(node, &gtid, tx);
        self.judge_local(seen, tx, out);
        self.remember_copy(seen, tx, out);
    }

    /// Notes that a stream has shown a transaction: the open one becomes shown there, and with an
    /// ordered source all before it have passed.
    pub(super) fn mark_shown(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let Seen { node, gtid, source, ordinal, .. } = seen;
        let coordinates = tx.coordinates.clone();
        let open_here = self.by_sequence.get(&source);
        let found = open_here.and_then(|open| open.get(&gtid.sequence)).copied();
        let stream = &mut self.streams[node.at()];
        let (baseline_is_whole, mut late) = (stream.baseline_is_whole, false);
        let baseline_names_source = stream.baseline.names(&gtid.source);
        let log = stream.shown.entry(source).or_default();
        let (last, last_ordinal) = log.last();
        debug_assert!(!gtid.source.is_ordered() || last < gtid.sequence);
        let mut place = Place::between(last_ordinal, ordinal);
        let mut passed_below = if gtid.source.is_ordered() { gtid.sequence } else { 0 };
        // No head names what has no GTID: that it begins late is no sign of a backup.
        let heads_tell_all =
            baseline_is_whole || baseline_names_source || gtid.source.is_anonymous();
        if !heads_tell_all && log.begins_late(gtid.sequence) {
            place = Place::BASELINE;
            passed_below = log.certainly_unlogged_below(gtid.source.is_ordered());
            late = true;
        }
        let mut passed = Vec::new();
        if let Some(open) = open_here.filter(|_| passed_below > last) {
            let unplaced = |id: &OpenId| self.open.get(*id).places[node.at()].is_none();
            passed.extend(open.range(last + 1..passed_below).filter(unplaced));
        }
        // Nobody asks any more for the copy of an original that was let go.
        let was_let_go = self.let_go.get(&source).is_some_and(|last| gtid.sequence <= *last);
        let waits = found.is_none() && !was_let_go && self.may_be_read_later(seen, tx);
        let (is_empty, injected) = (tx.is_empty(), seen.origin == node);
        let hides_rows = tx.hides_rows();
        let coordinates_of_it = coordinates.clone();
        let copy =
            EarlyCopy { ordinal, coordinates: coordinates_of_it, is_empty, injected, hides_rows };
        let log = self.streams[node.at()].shown.entry(source).or_default();
        log.show(gtid.sequence, copy, waits);
        for id in passed {
            let unseen = if late { Unseen::Unread } else { Unseen::NoTrace };
            self.enter_passed(id, node, place, unseen);
            self.set_place(id, node, place, None, out);
        }
        if late {
            self.streams[node.at()].never_comes_to(&gtid.source, passed_below);
            let detail = format!(
                "this stream begins to show transactions of {} at number {}: what came before was \
                 never logged there (restored from a backup?) and counts as applied before",
                gtid.source, gtid.sequence
            );
            self.blind_lightly(node, BlindSpotReason::Gap, None, &detail, 1, tx.committed_at, out);
        }
        if found.is_some() || waits {
            self.enter_copy(seen, tx, found, out);
        }
        if let Some(id) = found {
            let place = if injected { Place::injected(ordinal) } else { Place::exact(ordinal) };
            self.set_place(id, node, place, Some(coordinates), out);
        }
        if gtid.source.is_ordered() {
            for finding in self.doubts.remove(&(node, source)).unwrap_or_default() {
                self.pending.not_before(finding, gtid, node, out);
            }
        }
    }

    /// Whether a transaction's original is still to come, in its origin's stream.
    ///
    /// An empty one of MySQL may be one that an operator injected: its server id tells who did,
    /// not whose GTID it is. That is known from transactions of the source that have rows.
    fn may_be_read_later(&self, seen: Seen, tx: &Transaction) -> bool {
        let owner = match tx.is_empty() && !seen.gtid.source.is_ordered() {
            true => self.owners.get(&seen.source).copied(),
            false => Some(seen.origin),
        };
        owner.is_none_or(|owner| {
            let stream = &self.streams[owner.at()];
            stream.begun && !stream.baseline.contains(&seen.gtid)
        })
    }

    /// Notes where an open transaction took effect in another node's stream.
    pub(super) fn set_place(
        &mut self,
        id: OpenId,
        node: NodeIndex,
        place: Place,
        coordinates: Option<Coordinates>,
        out: &mut Vec<Report>,
    ) {
        let open = self.open.get(id);
        if open.origin == node {
            return;
        }
        for finding in self.open.findings(id) {
            self.pending.shown(*finding, open.gtid, node, place, coordinates.as_ref(), out);
        }
        self.shown_at_last(id, node, coordinates.as_ref(), out);
        if self.is_shown(id, Some(node)) {
            self.close(id, out);
        } else {
            self.open.set_place(id, node, place, coordinates);
        }
    }

    /// Whether nothing holds an open transaction any more, with what a node's stream shows `now`.
    fn is_shown(&self, id: OpenId, now: Option<NodeIndex>) -> bool {
        let open = self.open.get(id);
        let others = self.nodes.indices().filter(|node| *node != open.origin);
        let mut others = others.filter(|node| self.streams[node.at()].begun).peekable();
        let alone = others.peek().is_none();
        let shown = others.all(|node| Some(node) == now || open.places[node.at()].is_some());
        shown && (alone || !self.streams[open.origin.at()].is_behind())
    }

    fn close_if_shown(&mut self, id: OpenId, out: &mut Vec<Report>) {
        if self.is_shown(id, None) {
            self.close(id, out);
        }
    }

    pub(super) fn close(&mut self, id: OpenId, out: &mut Vec<Report>) {
        if !self.ledger.extra.is_empty() {
            self.ledger.extra.remove(&self.open.get(id).gtid);
        }
        let gone = self.open.remove(id);
        self.definitions.close(id, &gone);
        self.open_by_origin[gone.origin.at()] -= 1;
        if let Some(open) = self.by_sequence.get_mut(&gone.source) {
            open.remove(gone.sequence, id);
        }
        for finding in gone.findings {
            self.pending.closed(finding, out);
        }
    }

    /// The open transaction that was committed first, as far as the order of the sources tells.
    pub(super) fn oldest(&self) -> Option<OpenId> {
        let first = self.by_sequence.values().filter_map(|open| open.first());
        first.min_by_key(|id| {
            let open = self.open.get(*id);
            (open.committed_at, open.ordinal, open.origin)
        })
    }

    /// The stream has come to where the others began: what was held only for that can go.
    pub(super) fn release_held(&mut self, node: NodeIndex, out: &mut Vec<Report>) {
        let held: Vec<OpenId> =
            self.open.ids().filter(|id| self.open.get(*id).origin == node).collect();
        for id in held {
            self.close_if_shown(id, out);
        }
    }

    pub(super) fn observe_unattributed(
        &mut self,
        node: NodeIndex,
        origin: Option<NodeIndex>,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        let reference = self.reference(node, tx, origin, None);
        self.disturb_rows(tx);
        let stream = &mut self.streams[node.at()];
        stream.other_write = stream.ordinal;
        if origin.is_some() {
            if origin != Some(node) {
                stream.copies += 1;
            }
            if tx.gtid.is_none() && (!tx.rows.is_empty() || !tx.statements.is_empty()) {
                let detail = "copies without a GTID or commit time that are like no original of \
                              their second: conflicts with them may be missed";
                let rows = tx.rows.len().max(1) as u64;
                let reason = BlindSpotReason::Anonymous;
                self.blind(node, reason, None, detail.into(), rows, tx.committed_at, out);
            }
            if origin == Some(node) {
                self.coverage.streams[node.at()].originals += 1;
                self.coverage.streams[node.at()].rows_seen += tx.rows.len() as u64;
                self.judge_ownership(node, tx, None, out);
            }
            return;
        }
        self.coverage.streams[node.at()].foreign += 1;
        if let Some(gtid) = tx.gtid {
            let source = self.sources.number(gtid.source);
            let ordinal = self.streams[node.at()].ordinal;
            let log = self.streams[node.at()].shown.entry(source).or_default();
            if gtid.source.is_ordered() && gtid.sequence <= log.last().0 {
                let seen = Seen { node, origin: node, gtid, source, ordinal };
                return self.report_loop(
                    seen,
                    tx,
                    "a node, under a server id that is nobody's",
                    out,
                );
            }
            let (coordinates, is_empty) = (tx.coordinates.clone(), tx.is_empty());
            let (injected, hides_rows) = (false, tx.hides_rows());
            let copy = EarlyCopy { ordinal, coordinates, is_empty, injected, hides_rows };
            log.show(gtid.sequence, copy, false);
        }
        let source = tx.gtid.map_or("no GTID".to_owned(), |gtid| gtid.source.to_string());
        let key = TallyKey {
            kind: FindingKind::UnknownOrigin,
            severity: Severity::Warning,
            reason: None,
            node,
            table: None,
            detail: format!("server id {} ({source}) belongs to no node", tx.server_id),
        };
        self.tally.count(key, 1, tx.committed_at, Some(reference), out);
    }

    pub(super) fn report_loop(
        &mut self,
        seen: Seen,
        tx: &Transaction,
        by: &str,
        out: &mut Vec<Report>,
    ) {
        let stream = &mut self.streams[seen.node.at()];
        if stream.loops.len() >= LOOPS_MAX || !stream.loops.insert(seen.gtid) {
            return;
        }
        let origin = self.nodes.by_server_id(tx.server_id);
        let reference = self.reference(seen.node, tx, origin, None);
        let id = IdHasher::new(FindingKind::ReplicationLoop)
            .gtid(Some(seen.gtid))
            .number(u128::from(seen.node.0))
            .finish();
        let finding = Finding {
            node: Some(seen.node),
            detail: Some(format!("logged again by {by}")),
            transactions: vec![reference],
            ..blank(id, FindingKind::ReplicationLoop, Severity::Critical, tx.committed_at)
        };
        out.push(Report { finding, news: true, first: true });
    }
}
