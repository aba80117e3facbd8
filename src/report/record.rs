//! A finding as one JSON object: the contract with scripts.

use super::{message, rfc3339};
use crate::binlog::value::decode_key;
use crate::model::{
    Cause, Certainty, Coordinates, Finding, NodeIndex, Nodes, Outcome, RowKey, TransactionRef,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A finding as it is written: every field in every record, null where it does not apply.
#[derive(Serialize, Clone, Debug)]
pub struct Record {
    /// 32 hex digits, the same in every run over the same input.
    pub id: String,
    /// Kind.
    pub kind: &'static str,
    /// `info`, `warning`, `critical`.
    pub severity: &'static str,
    /// `exact` or `possible`.
    pub certainty: &'static str,
    /// `open`, `healed`, `acknowledged`.
    pub state: &'static str,
    /// `schema.table`.
    pub table: Option<String>,
    /// `{"column": value}` of the primary key.
    pub key: Option<Value>,
    /// The key's name: `PRIMARY`, or the unique key's.
    pub index: Option<String>,
    /// For conflicts: the operations, the lower node's first.
    pub conflict: Option<String>,
    /// For conflicts: what became of the row.
    pub outcome: Option<&'static str>,
    /// For divergences: how it came to be.
    pub cause: Option<&'static str>,
    /// For divergences, by node: where its stream last wrote the row; null where the row stands as
    /// it was before.
    pub last_written: Option<Value>,
    /// For what has healed: when.
    pub healed_at: Option<String>,
    /// For what has healed: the GTID of the transaction that did it.
    pub healed_by: Option<String>,
    /// For ownership: the owners' names.
    pub owner: Option<Vec<String>>,
    /// For ownership: the rule's number and tables.
    pub rule: Option<Value>,
    /// For row ownership: `moves` when the write moves the row between owners, else `stays`.
    pub change: Option<&'static str>,
    /// For what is about one stream: its node.
    pub node: Option<String>,
    /// For blind spots: why.
    pub reason: Option<&'static str>,
    /// For what is about one stream: what exactly.
    pub detail: Option<String>,
    /// Events, rows or transactions it stands for.
    pub count: u64,
    /// The transactions it is about.
    pub transactions: Vec<Value>,
    /// Findings of one kind, table and transaction (or pair) share it.
    pub group: String,
    /// Rows of the group past its limit.
    pub more: u64,
    /// Commit time of the transaction that made it a finding.
    pub first_seen: String,
    /// Commit time of the newest transaction it is about.
    pub last_seen: String,
    /// One line for people.
    pub message: String,
}

impl Record {
    /// Writes a finding down, with its key decoded and its nodes named.
    pub fn new(finding: &Finding, nodes: &Nodes) -> Record {
        let name = |node: &NodeIndex| nodes[*node].name.clone();
        let owner = finding.owner.as_ref();
        let rows = finding.kind == crate::model::FindingKind::RowOwnership;
        Record {
            id: finding.id.to_string(),
            kind: finding.kind.as_str(),
            severity: finding.severity.as_str(),
            certainty: certainty(finding.certainty),
            state: finding.state.as_str(),
            table: finding.table.clone(),
            key: finding.key.as_ref().map(key_json),
            index: finding
                .key
                .as_ref()
                .map(|_| finding.index.as_deref().unwrap_or("PRIMARY").to_owned()),
            conflict: finding.conflict.map(|kind| kind.to_string()),
            outcome: finding.outcome.map(Outcome::as_str),
            cause: finding.cause.map(Cause::as_str),
            last_written: last_written(finding, nodes),
            healed_at: finding.healed.as_ref().map(|healed| rfc3339(healed.at)),
            healed_by: finding.healed.as_ref().and_then(|h| h.by).map(|gtid| gtid.to_string()),
            owner: owner.map(|owner| owner.nodes.iter().map(name).collect()),
            rule: owner.map(|owner| match &owner.rule {
                Some((number, tables)) => json!({"number": number, "tables": tables}),
                None => json!({"number": null, "tables": "defaults.unlisted_tables"}),
            }),
            change: owner
                .filter(|_| rows)
                .map(|owner| if owner.moves_row { "moves" } else { "stays" }),
            node: finding.node.as_ref().map(name),
            reason: finding.reason.map(|reason| reason.as_str()),
            detail: finding.detail.clone(),
            count: finding.count,
            transactions: finding.transactions.iter().map(|t| transaction(t, nodes)).collect(),
            group: finding.group.to_string(),
            more: finding.more,
            first_seen: rfc3339(finding.first_seen),
            last_seen: rfc3339(finding.last_seen),
            message: message(finding, nodes),
        }
    }
}

fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Exact => "exact",
        Certainty::Possible => "possible",
    }
}

/// A value of a record for people: text without its quotes, all else as JSON.
pub fn told_json(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// By node: the transaction that wrote the row last there, or null.
fn last_written(finding: &Finding, nodes: &Nodes) -> Option<Value> {
    if finding.last_written.is_empty() {
        return None;
    }
    let by_node = nodes.iter().map(|(node, of)| {
        let write = finding.last_written.get(node.at()).and_then(Option::as_ref);
        let write = write.map_or(Value::Null, |write| {
            json!({
                "gtid": write.gtid.map(|gtid| gtid.to_string()),
                "origin": write.origin.map(|node| nodes[node].name.clone()),
                "absent": write.is_absent,
                "coordinates": coordinates_json(&write.coordinates),
            })
        });
        (of.name.clone(), write)
    });
    Some(Value::Object(by_node.collect()))
}

/// The key's columns by name; undecodable bytes, which the engine has judged all the same, as hex.
pub(super) fn key_json(key: &RowKey) -> Value {
    match decode_key(&key.table, key.columns(), &key.bytes) {
        Ok(columns) => {
            let columns = columns.into_iter().map(|(name, value)| (name, value.to_json()));
            Value::Object(columns.collect::<Map<_, _>>())
        }
        Err(_) => {
            let hex: String = key.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"#key": format!("0x{hex}")})
        }
    }
}

fn transaction(transaction: &TransactionRef, nodes: &Nodes) -> Value {
    let coordinates = nodes.iter().map(|(node, of)| {
        let at = transaction.coordinates.get(node.at()).and_then(Option::as_ref);
        (of.name.clone(), at.map_or(Value::Null, coordinates_json))
    });
    json!({
        "origin": transaction.origin.map(|node| nodes[node].name.clone()),
        "server_id": transaction.server_id,
        "gtid": transaction.gtid.map(|gtid| gtid.to_string()),
        "operation": transaction.operation.map(|operation| operation.as_str()),
        "committed_at": rfc3339(transaction.committed_at),
        "coordinates": coordinates.collect::<Map<_, _>>(),
    })
}

pub(super) fn coordinates_json(at: &Coordinates) -> Value {
    json!({"file": &*at.file, "start": at.start, "end": at.end})
}
