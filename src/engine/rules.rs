//! The rules by which each stream is judged.
//!
//! They may change while it is read, and each stream comes to that moment by itself: what was read
//! under a rule, with the column that it asks for, is judged by it.

use super::{Ownership, Settings, Verifier};
use crate::model::{NodeIndex, Nodes, Table, TableId};
use std::{collections::BTreeMap, sync::Arc};

/// The rules of one stream.
pub(super) struct Rules {
    ownership: Arc<Ownership>,
    by_table: BTreeMap<TableId, TableRule>,
}

/// What is remembered of a table.
#[derive(Clone)]
pub(super) struct TableRule {
    pub(super) name: Arc<str>,
    /// The first rule that matches it.
    pub(super) rule: Option<usize>,
}

impl Rules {
    fn new(ownership: Arc<Ownership>) -> Rules {
        Rules { ownership, by_table: BTreeMap::new() }
    }

    /// The same for every node.
    pub(super) fn of_all(nodes: &Nodes, ownership: Ownership) -> Vec<Rules> {
        let ownership = Arc::new(ownership);
        nodes.indices().map(|_| Rules::new(ownership.clone())).collect()
    }

    pub(super) fn ownership(&self) -> Arc<Ownership> {
        self.ownership.clone()
    }

    /// A table's name, and the rule that holds for it.
    pub(super) fn of(&mut self, table: &Table) -> TableRule {
        let known = self.by_table.entry(table.id).or_insert_with(|| {
            let name = table.full_name();
            TableRule { rule: self.ownership.rule_of(&name), name: Arc::from(name) }
        });
        known.clone()
    }
}

impl Verifier {
    /// Says by which rules a node's stream was read from here on. What was judged stays.
    ///
    /// # Input
    /// Rules about the same nodes.
    pub fn set_rules(&mut self, node: NodeIndex, ownership: Arc<Ownership>) {
        self.rules[node.at()] = Rules::new(ownership);
        self.streams[node.at()].prepared.forget_rule_values();
        self.early_rows.forget_rule_values();
    }

    /// Takes other limits and windows for what is judged from here on. What no longer fits into
    /// them is let go.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        let (window, limit) = self.settings.recent(&self.nodes);
        for stream in &mut self.streams {
            stream.recent.set_limits(window, limit);
        }
    }
}
