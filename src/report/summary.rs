//! What a run covered, in numbers.

use super::rfc3339;
use crate::engine::{Coverage, StreamCoverage};
use crate::model::{FindingKind, Nodes, Severity};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The end of a scan: what was read, what was judged, what was found.
#[derive(Serialize, Clone, Debug)]
pub struct Summary {
    /// Bytes of binlog read, all streams.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Rows in originals.
    pub rows_seen: u64,
    /// Rows in originals that were judged by the order rule.
    pub rows_judged: u64,
    /// What was not judged, by reason.
    pub not_judged: BTreeMap<&'static str, u64>,
    /// Per node.
    pub streams: Map<String, Value>,
    /// Rows written, per table and origin.
    pub tables: Vec<Value>,
    /// Findings by kind and severity.
    pub findings: Vec<Value>,
    /// What stopped the scan short, one line each; empty when everything was read.
    pub incomplete: Vec<String>,
}

/// Findings counted by kind and severity.
pub type Counts = BTreeMap<(FindingKind, Severity), u64>;

impl Summary {
    /// Sums a run up.
    pub fn new(
        coverage: &Coverage,
        nodes: &Nodes,
        counts: &Counts,
        bytes: u64,
        seconds: f64,
        incomplete: Vec<String>,
    ) -> Summary {
        let mut not_judged = BTreeMap::new();
        for stream in &coverage.streams {
            for (reason, count) in &stream.not_judged {
                *not_judged.entry(reason.as_str()).or_default() += count;
            }
        }
        let streams = nodes.iter().filter(|(_, of)| of.has_stream);
        Summary {
            bytes,
            seconds,
            rows_seen: coverage.streams.iter().map(|s| s.rows_seen).sum(),
            rows_judged: coverage.streams.iter().map(|s| s.rows_judged).sum(),
            not_judged,
            streams: streams
                .map(|(node, of)| (of.name.clone(), stream(&coverage.streams[node.at()])))
                .collect(),
            tables: tables(coverage, nodes),
            findings: counts
                .iter()
                .map(|((kind, severity), count)| {
                    json!({"kind": kind.as_str(), "severity": severity.as_str(), "count": count})
                })
                .collect(),
            incomplete,
        }
    }

    /// Rows judged of rows seen, in percent, never rounded up: 100 means all.
    pub fn percent_judged(&self) -> String {
        let hundredths = match self.rows_seen {
            0 => 10_000,
            seen => u128::from(self.rows_judged) * 10_000 / u128::from(seen),
        };
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

fn stream(of: &StreamCoverage) -> Value {
    let span = of.span.map(|(first, last)| json!([rfc3339(first), rfc3339(last)]));
    json!({
        "originals": of.originals,
        "copies": of.copies,
        "unknown_origin": of.foreign,
        "rows_seen": of.rows_seen,
        "rows_judged": of.rows_judged,
        "span": span,
        "biggest_transaction": of.biggest.as_ref().map(|(rows, gtid)| {
            json!({"gtid": gtid, "rows": rows})
        }),
    })
}

fn tables(coverage: &Coverage, nodes: &Nodes) -> Vec<Value> {
    let row = |((table, origin), count): (&(String, _), &crate::engine::TableCount)| {
        let origin: &crate::model::NodeIndex = origin;
        json!({
            "table": table,
            "origin": nodes[*origin].name,
            "inserts": count.inserts,
            "updates": count.updates,
            "deletes": count.deletes,
        })
    };
    coverage.tables.iter().map(row).collect()
}
