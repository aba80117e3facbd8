//! What has become of each node's originals.

use super::{
    Metrics, names,
    streams::{gauge, raise},
};
use crate::model::{CommitTime, NodeIndex, Nodes};
use prometheus::{Gauge, IntCounter, IntGauge, Registry, Result};

/// What a comparison of a copy with its original says.
const VERIFIED: [&str; 3] = ["identical", "differs", "unverifiable"];

/// The series of one origin.
pub(super) struct Origin {
    pending: IntGauge,
    verified_until: Gauge,
    /// In the order of [`VERIFIED`].
    verified: [IntCounter; 3],
}

/// What is said of all origins.
pub(super) struct Origins {
    by_node: Vec<Origin>,
    pending_keys: IntGauge,
}

impl Origins {
    /// Registers what is counted by origin; every series at zero.
    pub(super) fn register(r: &Registry, nodes: &Nodes) -> Result<Origins> {
        let help = "Transactions that some stream has not shown yet";
        let pending = names::int_gauges(r, "pending_transactions", help, &["origin"])?;
        let help = "Keys held for them";
        let pending_keys = names::int_gauge(r, "pending_keys", help)?;
        let help = "Every transaction of the origin up to this commit time was seen in all \
                    streams and judged; 0 before it is known";
        let until = "verified_until_timestamp_seconds";
        let verified_until = names::gauges(r, until, help, &["origin"])?;
        let help = "Copies compared with their originals, by the node they came from";
        let total = "transactions_verified_total";
        let verified = names::counters(r, total, help, &["origin", "result"])?;
        let origin = |name: &str| Origin {
            pending: pending.with_label_values(&[name]),
            verified_until: verified_until.with_label_values(&[name]),
            verified: VERIFIED.map(|result| verified.with_label_values(&[name, result])),
        };
        let by_node = nodes.iter().map(|(_, node)| origin(&node.name)).collect();
        Ok(Origins { by_node, pending_keys })
    }
}

impl Metrics {
    /// Says how many transactions of an origin some stream has not shown.
    pub fn set_pending(&self, origin: NodeIndex, transactions: usize) {
        self.origins.by_node[origin.at()].pending.set(gauge(transactions as u64));
    }

    /// Says how many keys are held for transactions that some stream has not shown.
    pub fn set_pending_keys(&self, keys: usize) {
        self.origins.pending_keys.set(gauge(keys as u64));
    }

    /// Says up to when every transaction of an origin has been seen everywhere.
    pub fn set_verified_until(&self, origin: NodeIndex, until: CommitTime) {
        self.origins.by_node[origin.at()].verified_until.set(until.micros as f64 / 1e6);
    }

    /// Raises the copies of an origin's transactions that were compared to totals, by result:
    /// identical, differs, unverifiable.
    pub fn set_verified(&self, origin: NodeIndex, totals: [u64; 3]) {
        for (counter, total) in self.origins.by_node[origin.at()].verified.iter().zip(totals) {
            raise(counter, total);
        }
    }
}
