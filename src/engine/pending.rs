//! Findings that later transactions of the streams can still change.

use super::{Report, held::heap_of, open::TouchView, shown::Place};
use crate::model::{Certainty, Coordinates, Finding, Gtid, NodeIndex, Outcome};
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
    /// This transaction may have passed there unseen, before the other: the row's states allow it.
    pub(super) doubt: bool,
    /// What the row's states say of the order, should that stream show no copies at all.
    pub(super) without_copies: WithoutCopies,
}

/// What two writes of a row say of their order where no copy shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum WithoutCopies {
    /// The later one found what the earlier one left: it was written over it.
    Over,
    /// The earlier one may have passed before without leaving a trace.
    Undecided,
    /// It cannot have been there when the later one was written.
    After,
}

impl WithoutCopies {
    pub(super) fn of(earlier: &TouchView, later: &TouchView) -> Self {
        if earlier.is_what_was_found_by(later) {
            WithoutCopies::Over
        } else if earlier.may_pass_before(later) {
            WithoutCopies::Undecided
        } else {
            WithoutCopies::After
        }
    }
}

impl Order {
    pub(super) fn certainty(&self) -> Certainty {
        match self.may_be_two || self.sides.iter().any(|side| side.doubt) {
            true => Certainty::Possible,
            false => Certainty::Exact,
        }
    }

    /// Decides by the row's states what no copy will show, in streams without copies; false when
    /// they say that one was written over the other.
    pub(super) fn settle_without_copies(&mut self, is_silent: impl Fn(NodeIndex) -> bool) -> bool {
        for side in self.sides.iter_mut().filter(|side| side.awaited && is_silent(side.other)) {
            match side.without_copies {
                WithoutCopies::Over => return false,
                WithoutCopies::Undecided => side.doubt = true,
                WithoutCopies::After => {}
            }
        }
        true
    }
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
        out.extend(self.remove(oldest).map(|unsettled| {
            let finding = Finding { settled: true, ..unsettled.finding };
            Report { finding, news: false, first: false }
        }));
        true
    }

    /// Keeps a finding until `open` transactions have closed.
    pub(super) fn add(&mut self, finding: Finding, open: usize, order: Option<Order>) -> u64 {
        self.serial += 1;
        let (awaits_row, outcome, errors) = (false, None, BTreeMap::new());
        let detail = finding.detail.clone();
        let details = detail.as_ref().map_or(0, String::capacity);
        let bytes = NODE_BYTES + heap_of(&finding) + details;
        self.bytes += bytes;
        let unsettled =
            Unsettled { finding, open, order, awaits_row, outcome, errors, detail, bytes };
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
        let Some(order) = &mut unsettled.order else { return };
        for side in &mut order.sides {
            if side.gtid == gtid && side.other == node {
                if place.is_before(side.other_ordinal) {
                    // It was applied before the stream began, which the stream tells only now.
                    self.remove(serial);
                    return;
                }
                side.awaited = false;
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

    pub(super) fn tell_change(unsettled: &mut Unsettled, out: &mut Vec<Report>) {
        let Some(order) = &unsettled.order else { return };
        let certainty = order.certainty();
        let (outcome, detail) = unsettled.held_up(unsettled.outcome_now());
        let finding = &mut unsettled.finding;
        let news = (finding.certainty, finding.outcome) != (certainty, outcome);
        if news || finding.detail != detail {
            (finding.certainty, finding.outcome, finding.detail) = (certainty, outcome, detail);
            out.push(Report { finding: finding.clone(), news: true, first: false });
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
            let gone = self.remove(serial).expect("it was there");
            let finding = Finding { settled: true, ..gone.finding };
            out.push(Report { finding, news: false, first: false });
        }
    }

    /// The end: everything is reported as it stands. In the streams named by `is_silent` no
    /// copy shows the order; there the row's states tell a handover from a conflict. What a
    /// stream never logged was applied there before it began.
    pub(super) fn settle(
        &mut self,
        is_silent: impl Fn(NodeIndex) -> bool,
        mut never_logged: impl FnMut(NodeIndex, Gtid) -> bool,
        out: &mut Vec<Report>,
    ) {
        self.bytes = 0;
        for (_, Unsettled { mut finding, order, .. }) in std::mem::take(&mut self.findings) {
            let mut news = false;
            if let Some(mut order) = order {
                let mut awaited = order.sides.iter().filter(|side| side.awaited);
                let applied_before = awaited.any(|side| never_logged(side.other, side.gtid));
                if applied_before || !order.settle_without_copies(&is_silent) {
                    continue;
                }
                news = order.certainty() != finding.certainty;
                finding.certainty = order.certainty();
            }
            finding.settled = true;
            out.push(Report { finding, news, first: false });
        }
    }
}
