//! Every metric, its help and its labels, in one place. `docs/metrics.md` tells them to people;
//! `tests/tidy` compares the two.
//!
//! Labels come from closed sets; every combination that is known from the start is exported as 0
//! from the start, for `increase()` misses the first event of a series that appears with it. No
//! metric carries a key, a GTID, a file name or a row's value.

mod config;
mod findings;
mod holding;
mod names;
mod origins;
mod streams;

pub use findings::Dropped;

use crate::model::{CommitTime, Nodes};
use findings::Told;
use holding::Holding;
use origins::Origins;
use prometheus::{Gauge, IntCounter, IntGauge, Registry, Result, TextEncoder};
use streams::Stream;

/// All metrics of a watching twinlog.
pub struct Metrics {
    registry: Registry,
    /// By node.
    streams: Vec<Stream>,
    origins: Origins,
    told: Told,
    holding: Holding,
    store_errors: IntCounter,
    checkpoint: Gauge,
    held: IntGauge,
    limit: IntGauge,
    reloads: config::Reloads,
}

impl Metrics {
    /// Metrics of these nodes, with `reasons` for which a connection may be lost and the event
    /// types in `event_types`; every known series at zero.
    ///
    /// # Errors
    /// Only a metric that is described wrongly, which a test would show.
    pub fn new<'a>(
        nodes: &Nodes,
        reasons: impl Iterator<Item = &'static str>,
        event_types: impl Iterator<Item = &'a str>,
    ) -> Result<Metrics> {
        let registry = Registry::new();
        let r = &registry;
        let (reasons, event_types): (Vec<_>, Vec<_>) = (reasons.collect(), event_types.collect());
        let help = "Always 1; the version is a label";
        let build = names::gauges(r, "build_info", help, &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        #[cfg(target_os = "linux")]
        r.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let help = "Commits to the store that failed; each is tried again";
        let store_errors = names::counter(r, "store_errors_total", help)?;
        let help = "When findings and checkpoint were last committed to the store; 0 without one";
        let checkpoint = names::gauge(r, "checkpoint_timestamp_seconds", help)?;
        let help = "Bytes held of what is in flight, as far as they are counted";
        let held = names::int_gauge(r, "memory_held_bytes", help)?;
        let help = "Bytes that may be held of it: watch.memory";
        let limit = names::int_gauge(r, "memory_limit_bytes", help)?;
        Ok(Metrics {
            held,
            limit,
            streams: streams::register(r, nodes, &reasons, &event_types)?,
            origins: Origins::register(r, nodes)?,
            told: Told::register(r)?,
            holding: Holding::register(r)?,
            store_errors,
            checkpoint,
            reloads: config::Reloads::register(r)?,
            registry,
        })
    }

    /// Counts a commit to the store that failed.
    pub fn store_error(&self) {
        self.store_errors.inc();
    }

    /// Says when the store was last brought up to date.
    pub fn set_checkpoint(&self, at: CommitTime) {
        self.checkpoint.set(at.micros as f64 / 1e6);
    }

    /// Says how many bytes are held of what is in flight, and how many may be.
    pub fn set_held(&self, bytes: usize, limit: usize) {
        self.held.set(streams::gauge(bytes as u64));
        self.limit.set(streams::gauge(limit as u64));
    }

    /// All metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
