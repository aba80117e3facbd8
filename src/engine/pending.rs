//! Findings that later transactions of the streams can still change.

use super::{Report, shown::Place};
use crate::model::{Certainty, Coordinates, Finding, Gtid, NodeIndex, Outcome};
use std::collections::BTreeMap;

/// Unsettled findings, by a serial number.
#[derive(Default)]
pub(super) struct Pending {
    findings: BTreeMap<u64, Unsettled>,
    serial: u64,
}

/// A finding, and what it waits for.
struct Unsettled {
    finding: Finding,
    /// Open transactions that it is about.
    open: usize,
    order: Option<Order>,
}

/// For a conflict: what is known of the order, from each transaction's side.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) sides: [Side; 2],
}

/// One transaction of a conflict, as the other's stream has it.
#[derive(Clone, Debug)]
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
    /// The other transaction may have been written over this one, if that stream shows no copies
    /// at all.
    pub(super) doubt_without_copies: bool,
}

impl Order {
    pub(super) fn certainty(&self) -> Certainty {
        match self.sides.iter().any(|side| side.doubt) {
            true => Certainty::Possible,
            false => Certainty::Exact,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.sides.iter().any(|side| side.awaited) {
            true => Outcome::Pending,
            false => Outcome::Unknown,
        }
    }
}

impl Pending {
    /// Keeps a finding until `open` transactions have closed.
    pub(super) fn add(&mut self, finding: Finding, open: usize, order: Option<Order>) -> u64 {
        self.serial += 1;
        self.findings.insert(self.serial, Unsettled { finding, open, order });
        self.serial
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

    fn tell_change(unsettled: &mut Unsettled, out: &mut Vec<Report>) {
        let Some(order) = &unsettled.order else { return };
        let now = (order.certainty(), Some(order.outcome()));
        let finding = &mut unsettled.finding;
        if (finding.certainty, finding.outcome) != now {
            (finding.certainty, finding.outcome) = now;
            out.push(Report { finding: finding.clone(), news: true });
        }
    }

    /// A transaction has closed.
    pub(super) fn closed(&mut self, serial: u64, out: &mut Vec<Report>) {
        let Some(unsettled) = self.findings.get_mut(&serial) else { return };
        unsettled.open -= 1;
        if unsettled.open == 0 {
            let gone = self.findings.remove(&serial).expect("it was there");
            let finding = Finding { settled: true, ..gone.finding };
            out.push(Report { finding, news: false });
        }
    }

    /// The end: everything is reported as it stands. In the streams named by `without_copies`
    /// the order is not in the log.
    pub(super) fn settle(
        &mut self,
        without_copies: impl Fn(NodeIndex) -> bool,
        out: &mut Vec<Report>,
    ) {
        for (_, Unsettled { mut finding, order, .. }) in std::mem::take(&mut self.findings) {
            let mut sides = order.iter().flat_map(|order| &order.sides);
            let doubt = |s: &Side| s.awaited && s.doubt_without_copies && without_copies(s.other);
            let news = sides.any(doubt) && finding.certainty == Certainty::Exact;
            if news {
                finding.certainty = Certainty::Possible;
            }
            finding.settled = true;
            out.push(Report { finding, news });
        }
    }
}
