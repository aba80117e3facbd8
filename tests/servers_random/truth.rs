//! What there is to find, from what was written; and what was found.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::Table;
use crate::support::keys::Key;
use crate::workload::Change;

/// One transaction that a master committed and logged.
pub struct Committed {
    pub gtid: String,
    pub changes: Vec<Change>,
}

/// What a finding is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fact {
    pub kind: String,
    pub table: String,
    /// JSON.
    pub key: String,
    /// For conflicts.
    pub conflict: Option<String>,
    /// a's before b's.
    pub gtids: Vec<String>,
}

/// A finding as a line of NDJSON has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub fact: Fact,
    pub severity: String,
    pub certainty: String,
    /// The files that hold the transactions' originals.
    pub files: Vec<String>,
}

/// All findings by their ids, each as its last line has it.
pub fn findings_of(ndjson: &str) -> BTreeMap<String, Found> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let must = |value: &Value| text(value).unwrap_or_else(|| panic!("no text: {value}"));
    let found = ndjson.lines().map(|line| {
        let finding: Value = serde_json::from_str(line).expect("one JSON object a line");
        let transactions = finding["transactions"].as_array().expect("transactions");
        let fact = Fact {
            kind: must(&finding["kind"]),
            table: text(&finding["table"]).unwrap_or_default(),
            key: finding["key"].to_string(),
            conflict: text(&finding["conflict"]),
            gtids: transactions.iter().filter_map(|of| text(&of["gtid"])).collect(),
        };
        let (severity, certainty) = (must(&finding["severity"]), must(&finding["certainty"]));
        let file = |of: &Value| {
            let origin = of["origin"].as_str()?;
            text(&of["coordinates"][origin]["file"])
        };
        let files = transactions.iter().filter_map(file).collect();
        (must(&finding["id"]), Found { fact, severity, certainty, files })
    });
    found.collect()
}

/// The conflicts among the transactions of a round, which none of the other side had seen: every
/// pair that touched one key.
pub fn conflicts(tables: &[Table], a: &[Committed], b: &[Committed]) -> BTreeSet<Fact> {
    let of_b: Vec<_> = b.iter().map(|transaction| (transaction, touches(transaction))).collect();
    let mut facts = BTreeSet::new();
    for of_a in a {
        for ((table, key), did_a) in touches(of_a) {
            for (transaction, touches) in &of_b {
                let Some(did_b) = touches.get(&(table, key.clone())) else { continue };
                facts.insert(Fact {
                    kind: "write_conflict".to_owned(),
                    table: tables[table].full_name(),
                    key: tables[table].key_json(&key),
                    conflict: Some(format!("{did_a}_{did_b}")),
                    gtids: vec![of_a.gtid.clone(), transaction.gtid.clone()],
                });
            }
        }
    }
    facts
}

/// The keys that a transaction touched, with what it did to each, net.
fn touches(transaction: &Committed) -> BTreeMap<(usize, Key), &'static str> {
    let mut rows: BTreeMap<(usize, Key), (bool, bool)> = BTreeMap::new();
    for Change { table, before, after } in &transaction.changes {
        let key = |image: &Option<(Key, _)>| image.as_ref().map(|(key, _)| key.clone());
        let (before, after) = (key(before), key(after));
        let keys: BTreeSet<Key> = [&before, &after].into_iter().flatten().cloned().collect();
        for key in keys {
            let (was, is) = (before.as_ref() == Some(&key), after.as_ref() == Some(&key));
            rows.entry((*table, key)).or_insert((was, is)).1 = is;
        }
    }
    let net = |(was, is)| match (was, is) {
        (_, false) => "delete",
        (false, true) => "insert",
        (true, true) => "update",
    };
    rows.into_iter().map(|(key, states)| (key, net(states))).collect()
}

/// The rows that a node wrote and another owns, once for each transaction. A row that changes its
/// key is named by the new one.
pub fn violations(tables: &[Table], node: &str, of_node: &[Committed]) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    for transaction in of_node {
        for change in &transaction.changes {
            let table = &tables[change.table];
            let images = [&change.before, &change.after].into_iter().flatten();
            let foreign =
                images.clone().any(|(key, row)| table.owner(key, row).is_some_and(|o| o != node));
            let Some((key, _)) = images.last().filter(|_| foreign) else { continue };
            let by_table = matches!(table.rule, crate::model::Rule::Table(_));
            facts.insert(Fact {
                kind: if by_table { "table_ownership" } else { "row_ownership" }.to_owned(),
                table: table.full_name(),
                key: table.key_json(key),
                conflict: None,
                gtids: vec![transaction.gtid.clone()],
            });
        }
    }
    facts
}
