//! Replication is stopped for longer than a copy may take, while much is written.

use crate::bench::{Bench, came_late};
use serde_json::Value;

/// How many transactions each master writes in the meantime.
const TRANSACTIONS: u32 = 300;

pub(crate) fn replication_stopped(bench: &mut Bench) {
    let keys = bench.clash(|bench| {
        for (node, first) in [("a", 1_000_000), ("b", 2_000_000)] {
            let rows = (0..TRANSACTIONS).map(|at| {
                format!(
                    "INSERT INTO t.x VALUES ({}, 'w'); UPDATE t.x SET v = 'u' WHERE id = {0};",
                    first + at
                )
            });
            bench.lab.sql(node, &rows.collect::<String>());
        }
        // What is on its way is late, and is told of once for each direction.
        for node in ["a", "b"] {
            bench.until("copies are late", |bench| {
                bench.found().values().any(|of| is_late(of) && of["node"] == node)
            });
        }
        assert!(bench.metric("pending_keys") >= f64::from(2 * TRANSACTIONS));
    });
    bench.until_told(keys);
    bench.until("late copies have come", |bench| !bench.found().values().any(is_late));
    assert!(bench.found().values().filter(|of| came_late(of)).count() >= 2);
    bench.until("nothing is held", |bench| bench.metric("pending_keys") == 0.0);
    bench.equals_scan();
}

fn is_late(of: &Value) -> bool {
    of["kind"] == "missing_copy" && of["state"] == "open"
}
