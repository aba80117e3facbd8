//! Conflicts whose outcome an apply error holds up, as the servers themselves say.

use super::{
    Report, Verifier,
    pending::{Pending, Unsettled},
};
use crate::model::{NodeIndex, Outcome};
use std::collections::BTreeSet;

impl Verifier {
    /// The nodes whose streams have yet to show a conflict's transaction, of conflicts that were
    /// pending when this was asked the last time.
    pub fn awaited_nodes(&mut self) -> BTreeSet<NodeIndex> {
        self.pending.awaited_nodes()
    }

    /// Says what a node's server told of its applier: the number of the error that has stopped it,
    /// or `None` where none has.
    ///
    /// Conflicts that wait for this node have the outcome `stopped` until it goes on.
    pub fn replication_stopped(
        &mut self,
        node: NodeIndex,
        errno: Option<u32>,
        out: &mut Vec<Report>,
    ) {
        let error = errno.map(|errno| format!("error {errno} on {}", self.nodes[node].name));
        self.pending.stopped(node, error.as_deref(), out);
    }
}

impl Pending {
    fn awaited_nodes(&mut self) -> BTreeSet<NodeIndex> {
        let before = std::mem::replace(&mut self.asked, self.serial);
        let known = self.findings.range(..=before).map(|(_, unsettled)| unsettled);
        known.flat_map(Unsettled::awaited_nodes).collect()
    }

    fn stopped(&mut self, node: NodeIndex, error: Option<&str>, out: &mut Vec<Report>) {
        for unsettled in self.findings.values_mut() {
            match error.filter(|_| unsettled.awaited_nodes().any(|awaited| awaited == node)) {
                Some(error) => drop(unsettled.errors.insert(node, error.to_owned())),
                None if unsettled.errors.is_empty() => continue,
                None => drop(unsettled.errors.remove(&node)),
            }
            Self::tell_change(unsettled, out);
        }
    }
}

impl Unsettled {
    /// Nodes whose streams have yet to show a transaction, and decide the outcome by it.
    fn awaited_nodes(&self) -> impl Iterator<Item = NodeIndex> {
        let order = self.order.as_ref().filter(|_| self.outcome.is_none());
        let sides = order.into_iter().flat_map(|order| &order.sides);
        sides.filter(|side| side.awaited).map(|side| side.other)
    }

    /// The errors that hold it up.
    fn errors_now(&self) -> Vec<&str> {
        let awaited: BTreeSet<NodeIndex> = self.awaited_nodes().collect();
        let holds = self.errors.iter().filter(|(node, _)| awaited.contains(node));
        holds.map(|(_, error)| error.as_str()).collect()
    }

    /// `outcome`, unless an error holds it up; and the detail that goes with it.
    pub(super) fn held_up(&self, outcome: Option<Outcome>) -> (Option<Outcome>, Option<String>) {
        let errors = if self.errors.is_empty() { Vec::new() } else { self.errors_now() };
        if errors.is_empty() || outcome != Some(Outcome::Pending) {
            return (outcome, self.detail.clone());
        }
        let said = self
            .detail
            .as_deref()
            .into_iter()
            .chain([errors.join(", ")].iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("; ");
        (Some(Outcome::Stopped), Some(said))
    }
}
