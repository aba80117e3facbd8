//! Nodes: the masters, by their names.

use super::GtidSource;
use serde::{Deserialize, Serialize};

/// The most nodes of one ring: what the engine's record of a write has room for.
pub const NODES_MAX: usize = 12;

/// A node by its place in [`Nodes`]; nodes are numbered in the order of their names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NodeIndex(pub u8);

impl NodeIndex {
    /// The place as an index into per-node vectors.
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// One master: its name and the server identities that belong to it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the configuration and on the command line.
    pub name: String,
    /// Every `server_id` it has or had.
    pub server_ids: Vec<u32>,
    /// Every MySQL `server_uuid` it has or had.
    pub server_uuids: Vec<[u8; 16]>,
    /// Whether its binlog is read. A node without a stream is only attributed to.
    pub has_stream: bool,
}

/// All nodes of one ring, sorted by name.
///
/// Sorted, so that the numbering, and with it everything derived from it, does not depend on
/// the order in which a person named them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Nodes(Vec<Node>);

impl Nodes {
    /// Sorts the nodes by name and numbers them. At most [`NODES_MAX`] nodes.
    pub fn new(mut nodes: Vec<Node>) -> Self {
        assert!(nodes.len() <= NODES_MAX, "callers bound the number of nodes");
        nodes.sort_by(|x, y| x.name.cmp(&y.name));
        Nodes(nodes)
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The node of that name.
    pub fn by_name(&self, name: &str) -> Option<NodeIndex> {
        self.indices().find(|&i| self[i].name == name)
    }

    /// The node that claims a server id.
    pub fn by_server_id(&self, server_id: u32) -> Option<NodeIndex> {
        self.indices().find(|&i| self[i].server_ids.contains(&server_id))
    }

    /// The node that claims a server UUID.
    pub fn by_server_uuid(&self, uuid: &[u8; 16]) -> Option<NodeIndex> {
        self.indices().find(|&i| self[i].server_uuids.contains(uuid))
    }

    /// The node whose server numbers transactions of a source.
    pub fn owner_of(&self, source: &GtidSource) -> Option<NodeIndex> {
        match source {
            GtidSource::MariaDb { server_id, .. }
            | GtidSource::Anonymous { server_id }
            | GtidSource::Counted { server_id } => self.by_server_id(*server_id),
            GtidSource::MySql { uuid, .. } => self.by_server_uuid(uuid),
        }
    }

    /// All indices, in the order of names.
    pub fn indices(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.0.len() as u8).map(NodeIndex)
    }

    /// All nodes with their indices, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        self.indices().zip(&self.0)
    }
}

impl std::ops::Index<NodeIndex> for Nodes {
    type Output = Node;
    fn index(&self, node: NodeIndex) -> &Node {
        &self.0[node.at()]
    }
}

impl std::ops::IndexMut<NodeIndex> for Nodes {
    fn index_mut(&mut self, node: NodeIndex) -> &mut Node {
        &mut self.0[node.at()]
    }
}
