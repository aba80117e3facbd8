//! What counting a transaction costs the judge: `Metrics::observe`, for each size of transaction.
//!
//!     cargo bench --bench metrics
#![expect(clippy::disallowed_methods, reason = "the clock of a benchmark")]

use std::{hint::black_box, sync::Arc, time::Instant};
use twinlog::{
    metrics::Metrics,
    model::{
        CommitTime, Coordinates, Node, NodeIndex, Nodes, Operation, RowChange, RowState,
        Transaction,
    },
};

const ROUNDS: u32 = 1_000_000;

fn transaction(rows: usize) -> Transaction {
    let operations = [Operation::Insert, Operation::Update, Operation::Delete];
    let row = |at: usize| RowChange {
        table: 0,
        operation: operations[at % 3],
        rule_values: None,
        keys: None,
        before: RowState::Absent,
        after: RowState::Absent,
    };
    let at = Coordinates { file: Arc::from("a-bin.000001"), start: 4, end: 400 };
    let committed_at = CommitTime::from_micros(1_000_000);
    Transaction {
        rows: (0..rows).map(row).collect(),
        ..Transaction::empty(None, 1, at, committed_at)
    }
}

fn main() {
    let node = |name: &str| Node { name: name.into(), ..Node::default() };
    let nodes = Nodes::new(vec![node("a"), node("b")]);
    let metrics = Metrics::new(&nodes, [].into_iter(), [].into_iter()).expect("metrics");
    let now = CommitTime::from_micros(1_020_000);
    for rows in [0, 1, 4, 100, 10_000] {
        let tx = transaction(rows);
        let rounds = ROUNDS / (1 + rows as u32 / 10);
        for (what, stream) in [("original", 0), ("copy", 1)] {
            let start = Instant::now();
            for _ in 0..rounds {
                metrics.observe(NodeIndex(stream), Some(NodeIndex(0)), black_box(&tx), now);
            }
            let nanos = start.elapsed().as_nanos() as f64 / f64::from(rounds);
            println!("{what:<8} of {rows:>5} rows: {nanos:>8.0} ns");
        }
    }
}
