//! Findings that later transactions of the streams can still change.

use super::{Report, held::heap_of, shown::Place};
use crate::model::{Certainty, Coordinates, Finding, FindingKind, Gtid, NodeIndex, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Findings that are kept until they settle; about 1 KB each.
pub(super) const UNSETTLED_MAX: usize = 200_000;

/// A finding's share of a tree whose nodes stand half full.
const NODE_BYTES: usize = size_of::<Unsettled>() + 2 * size_of::<u64>();

/// Unsettled findings, by a serial number.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) findings: BTreeMap<u64, Unsettled>,
    pub(super) serial: u64,
    /// The highest serial when it was last asked which nodes are awaited.
    pub(super) asked: u64,
    /// Bytes of the findings.
    bytes: usize,
}

/// A finding, and what it waits for.
#[derive(Serialize, Deserialize)]
pub(super) struct Unsettled {
    finding: Finding,
    /// Open transactions that it is about.
    open: usize,
    pub(super) order: Option<Order>,
    /// The ledger will tell what becomes of its row.
    awaits_row: bool,
    /// It has been told. One is not as long as a server has yet to say whether it is a conflict.
    told: bool,
    /// What the ledger told.
    pub(super) outcome: Option<Outcome>,
    /// Per node: the error that has stopped its applier.
    pub(super) errors: BTreeMap<NodeIndex, String>,
    /// The finding's own detail.
    pub(super) detail: Option<String>,
    /// Bytes, when it came.
    bytes: usize,
}

impl Unsettled {
    /// As it stands. One whose order no server has said is possible.
    fn settle(mut self) -> Report {
        let first = !self.told;
        if first {
            self.finding.certainty = Certainty::Possible;
        }
        Report { finding: Finding { settled: true, ..self.finding }, news: first, first }
    }

    fn outcome_now(&self) -> Option<Outcome> {
        let order = self.order.as_ref()?;
        let awaited = self.awaits_row || order.sides.iter().any(|side| side.awaited);
        let open = if awaited { Outcome::Pending } else { Outcome::Unknown };
        Some(self.outcome.unwrap_or(open))
    }
}

/// For a conflict: what is known of the order, from each transaction's side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) sides: [Side; 2],
    /// The keys are spelled differently, in a collation that is not known to the letter.
    pub(super) may_be_two: bool,
    /// The hash of the row's key; 0 for what is about no row.
    pub(super) row: u128,
}

/// What tells of the order in a stream that turned out to be without copies.
pub(super) struct Silence<'a> {
    /// Whether a node's stream is one.
    pub(super) is_silent: &'a dyn Fn(NodeIndex) -> bool,
    /// Whether nobody wrote a row after a transaction, but for one node: that node then found the
    /// row as the transaction had left it, if it had come.
    pub(super) is_last: &'a mut dyn FnMut(&Gtid, u128, NodeIndex) -> bool,
    /// How far apart commit times are, in microseconds, that tell the order.
    pub(super) window_micros: i64,
    /// Whether a transaction was applied on a node before its stream began.
    pub(super) was_never_logged: &'a mut dyn FnMut(NodeIndex, Gtid) -> bool,
}

/// One transaction of a conflict, as the other's stream has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) gtid: Gtid,
    /// The other transaction's origin, whose stream has to show this one.
    pub(super) other: NodeIndex,
    /// The other transaction's ordinal there.
    pub(super) other_ordinal: u64,
    /// That stream has not shown this transaction yet.
    pub(super) awaited: bool,
    /// That stream shows no copies, and its server has yet to say whether this one came first.
    pub(super) undecided: bool,
    /// This transaction may have passed there unseen, before the other: the row's states allow it.
    pub(super) doubt: bool,
    /// The other one found what this one left: it was written over it, if that stream does not
    /// say otherwise.
    pub(super) written_over: bool,
    /// The other one found the row otherwise than this one left it.
    pub(super) found_otherwise: bool,
}

impl Order {
    pub(super) fn certainty(&self) -> Certainty {
        let in_doubt = |side: &Side| side.doubt || side.gtid.source.is_counted();
        match self.may_be_two || self.sides.iter().any(in_doubt) {
            true => Certainty::Possible,
            false => Certainty::Exact,
        }
    }

    /// Decides what no copy shows, in streams that turned out to be without copies; false when
    /// one was written over the other, or long after it. Where the row's states do not prove that
    /// it had not come it stays in doubt.
    fn settle_silent(&mut self, silence: &mut Silence<'_>, finding: &Finding) -> bool {
        for side in self.sides.iter_mut().filter(|side| side.awaited) {
            if (silence.was_never_logged)(side.other, side.gtid) {
                return false;
            }
            if !(silence.is_silent)(side.other) {
                continue;
            }
            let had_not_come =
                side.found_otherwise && (silence.is_last)(&side.gtid, self.row, side.other);
            let is_long_before = || is_long_before(finding, &side.gtid, silence.window_micros);
            if side.written_over || !had_not_come && is_long_before() {
                return false;
            }
            side.doubt |= !had_not_come;
        }
        true
    }

    fn is_undecided(&self) -> bool {
        self.sides.iter().any(|side| side.undecided)
    }
}

/// Whether a conflict's transaction was committed more than the window before the other one.
fn is_long_before(finding: &Finding, gtid: &Gtid, window_micros: i64) -> bool {
    let [one, two] = finding.transactions.as_slice() else { return false };
    let (this, other) = if one.gtid.as_ref() == Some(gtid) { (one, two) } else { (two, one) };
    let apart = other.committed_at.micros.saturating_sub(this.committed_at.micros);
    apart > window_micros
}

impl Pending {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a finding still waits.
    pub(super) fn has(&self, serial: u64) -> bool {
        self.findings.contains_key(&serial)
    }

    fn remove(&mut self, serial: u64) -> Option<Unsettled> {
        let gone = self.findings.remove(&serial)?;
        self.bytes -= gone.bytes;
        Some(gone)
    }

    /// Settles the oldest finding as it stands, if there are more than may be kept.
    pub(super) fn keep_bound(&mut self, bytes_max: usize, out: &mut Vec<Report>) -> bool {
        let oldest = self.findings.first_key_value().map(|(serial, _)| *serial);
        let Some(oldest) =
            oldest.filter(|_| self.findings.len() > UNSETTLED_MAX || self.bytes > bytes_max)
        else {
            return false;
        };
        out.extend(self.remove(oldest).map(Unsettled::settle));
        true
    }

    /// Keeps a finding until `open` transactions have closed.
    pub(super) fn add(&mut self, finding: Finding, open: usize, order: Option<Order>) -> u64 {
        self.serial += 1;
        let (awaits_row, outcome, errors) = (false, None, BTreeMap::new());
        let told = order.as_ref().is_none_or(|order| !order.is_undecided());
        let detail = finding.detail.clone();
        let details = detail.as_ref().map_or(0, String::capacity);
        let bytes = NODE_BYTES + heap_of(&finding) + details;
        self.bytes += bytes;
        let unsettled =
            Unsettled { finding, open, order, awaits_row, told, outcome, errors, detail, bytes };
        self.findings.insert(self.serial, unsettled);
        self.serial
    }

    /// Counts one more that the finding stands for, past its group's limit.
    pub(super) fn add_more(&mut self, serial: u64) {
        if let Some(unsettled) = self.findings.get_mut(&serial) {
            unsettled.finding.more += 1;
        }
    }

    /// A stream has shown a transaction, or passed it.
    pub(super) fn shown(
        &mut self,
        serial: u64,
        gtid: Gtid,
        node: NodeIndex,
        place: Place,
        coordinates: Option<&Coordinates>,
        out: &mut Vec<Report>,
    ) {
        let Some(unsettled) = self.findings.get_mut(&serial) else { return };
        let transactions = &mut unsettled.finding.transactions;
        if let Some(shown) = transactions.iter_mut().find(|t| t.gtid == Some(gtid)) {
            shown.coordinates[node.at()] = coordinates.cloned();
        }
        let is_of_row = unsettled.finding.kind == FindingKind::WriteConflict;
        let Some(order) = &mut unsettled.order else { return };
        for side in &mut order.sides {
            if side.gtid == gtid && side.other == node {
                // What the server says leaves the order open, and the rows tell it.
                let is_over = is_of_row
                    && side.undecided
                    && side.written_over
                    && place.is_around(side.other_ordinal);
                if place.is_before(side.other_ordinal) || is_over {
                    // Or it was applied before the stream began, which that tells only now.
                    self.remove(serial);
                    return;
                }
                side.awaited = false;
                side.doubt |= std::mem::take(&mut side.undecided);
                side.doubt &= !place.is_after(side.other_ordinal);
            }
        }
        Self::tell_change(unsettled, out);
    }

    /// A stream whose order is kept has shown `gtid`: what comes after it in its source and has
    /// not been shown there has not passed before.
    pub(super) fn not_before(
        &mut self,
        serial: u64,
        gtid: Gtid,
        node: NodeIndex,
        out: &mut Vec<Report>,
    ) {
        let Some(unsettled) = self.findings.get_mut(&serial) else { return };
        let Some(order) = &mut unsettled.order else { return };
        for side in &mut order.sides {
            // What is still awaited there is of a higher number: the lower ones have passed.
            let after = side.gtid.source == gtid.source && side.awaited && side.other == node;
            side.doubt &= !after;
        }
        Self::tell_change(unsettled, out);
    }

    /// A node's server has not applied a transaction, though its own transaction of a conflict is
    /// long in its log.
    ///
    /// # Input
    /// `is_open`: whether a transaction is still held; of one that is not, nothing is known.
    pub(super) fn came_after(
        &mut self,
        serial: u64,
        node: NodeIndex,
        is_open: impl Fn(&Gtid) -> bool,
        out: &mut Vec<Report>,
    ) {
        let Some(unsettled) = self.findings.get_mut(&serial) else { return };
        let Some(order) = &mut unsettled.order else { return };
        for side in order.sides.iter_mut().filter(|side| side.other == node) {
            if std::mem::take(&mut side.undecided) {
                side.doubt = !is_open(&side.gtid);
            }
        }
        Self::tell_change(unsettled, out);
    }

    pub(super) fn tell_change(unsettled: &mut Unsettled, out: &mut Vec<Report>) {
        let Some(order) = unsettled.order.as_ref().filter(|order| !order.is_undecided()) else {
            return;
        };
        let certainty = order.certainty();
        let (outcome, detail) = unsettled.held_up(unsettled.outcome_now());
        let finding = &mut unsettled.finding;
        let first = !std::mem::replace(&mut unsettled.told, true);
        let news = (finding.certainty, finding.outcome) != (certainty, outcome);
        if first || news || finding.detail != detail {
            (finding.certainty, finding.outcome, finding.detail) = (certainty, outcome, detail);
            out.push(Report { finding: finding.clone(), news: true, first });
        }
    }

    /// Keeps a conflict until the ledger tells what became of its row, if it will.
    pub(super) fn await_row(&mut self, serial: u64, awaits: bool, out: &mut Vec<Report>) {
        if let Some(unsettled) = self.findings.get_mut(&serial) {
            unsettled.awaits_row = awaits;
            unsettled.open += usize::from(awaits);
            Self::tell_change(unsettled, out);
        }
    }

    /// The ledger tells what became of a conflict's row.
    pub(super) fn decide(&mut self, serial: u64, outcome: Outcome, out: &mut Vec<Report>) {
        let Some(unsettled) = self.findings.get_mut(&serial) else { return };
        unsettled.awaits_row = false;
        unsettled.outcome = Some(outcome);
        Self::tell_change(unsettled, out);
        self.closed(serial, out);
    }

    /// A transaction has closed.
    pub(super) fn closed(&mut self, serial: u64, out: &mut Vec<Report>) {
        let Some(unsettled) = self.findings.get_mut(&serial) else { return };
        unsettled.open -= 1;
        if unsettled.open == 0 {
            out.extend(self.remove(serial).map(Unsettled::settle));
        }
    }

    /// The end: everything is reported as it stands. In streams without copies the row's states
    /// tell a handover from a conflict. What a stream never logged was applied there before it
    /// began.
    pub(super) fn settle(&mut self, mut silence: Silence<'_>, out: &mut Vec<Report>) {
        self.bytes = 0;
        for (_, mut unsettled) in std::mem::take(&mut self.findings) {
            let mut news = false;
            let finding = &mut unsettled.finding;
            if let Some(order) = &mut unsettled.order {
                if !order.settle_silent(&mut silence, finding) {
                    continue;
                }
                news = order.certainty() != finding.certainty;
                finding.certainty = order.certainty();
            }
            let settled = unsettled.settle();
            out.push(Report { news: news || settled.news, ..settled });
        }
    }
}
