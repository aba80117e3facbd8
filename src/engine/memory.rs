//! What a verifier remembers, written down and read back.
//!
//! A daemon that is killed goes on from what was written down last: the streams are read again from
//! there, and the same transactions give the same findings, since nothing but the streams and the
//! memory decides them. So the memory is whole. Rules and limits are not part of it.

use super::{Ownership, Report, Settings, Verifier, rules::Rules};
use crate::model::{BlindSpotReason, CommitTime, NodeIndex, Nodes, shared};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A verifier's memory on its way out.
pub struct Memory<'v>(&'v Verifier);

/// A verifier's memory as it was written down: [`Verifier::go_on`] goes on with it.
pub struct Remembered(Verifier);

impl Serialize for Memory<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        shared::once(|| self.0.serialize(serializer))
    }
}

impl<'de> Deserialize<'de> for Remembered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        shared::once(|| Verifier::deserialize(deserializer).map(Remembered))
    }
}

/// A memory is of other nodes: it is by node, in the order of their names.
#[derive(Debug, thiserror::Error)]
#[error("it is of nodes {}", .0.join(", "))]
pub struct OtherNodes(pub Vec<String>);

impl Verifier {
    /// Says that an earlier run had come to where a stream goes on, and that what it remembered is
    /// gone.
    pub fn forgot(&mut self, node: NodeIndex, when: CommitTime, out: &mut Vec<Report>) {
        let detail = "the memory of an earlier run is gone: rows that differed then are not \
                      followed, and what was on its way then is judged as at a first start";
        self.blind_lightly(node, BlindSpotReason::Gap, None, detail, 1, when, out);
    }

    /// All that is remembered, to be written down by any serializer.
    pub fn memory(&self) -> Memory<'_> {
        Memory(self)
    }

    /// A verifier that goes on with a memory as if nothing had happened in between: what it is
    /// given next is what came next in each stream.
    ///
    /// # Errors
    /// The memory is of nodes with other names.
    pub fn go_on(
        memory: Remembered,
        nodes: Nodes,
        ownership: Ownership,
        settings: Settings,
    ) -> Result<Verifier, OtherNodes> {
        let names = |nodes: &Nodes| -> Vec<String> {
            nodes.iter().map(|(_, node)| node.name.clone()).collect()
        };
        let remembered = names(&memory.0.nodes);
        if remembered != names(&nodes) {
            return Err(OtherNodes(remembered));
        }
        let rules = Rules::of_all(&nodes, ownership);
        let mut verifier = Verifier { nodes, rules, ..memory.0 };
        verifier.set_settings(settings);
        verifier.ledger.weigh_all();
        verifier.count_held();
        Ok(verifier)
    }
}
