//! Metrics of the configuration: whether what the file says is what holds.

use super::{Metrics, names};
use crate::model::CommitTime;
use prometheus::{Gauge, IntCounterVec, IntGauge, Registry, Result};

const RESULTS: [&str; 2] = ["success", "failure"];

pub(super) struct Reloads {
    total: IntCounterVec,
    successful: IntGauge,
    at: Gauge,
}

impl Reloads {
    pub(super) fn register(r: &Registry) -> Result<Reloads> {
        let help = "Times that the configuration was read again, by whether it was taken";
        let total = names::counters(r, "config_reloads_total", help, &["result"])?;
        RESULTS.iter().for_each(|result| drop(total.with_label_values(&[result])));
        let help = "Whether the configuration was taken when it was last read: 1, or 0";
        let successful = names::int_gauge(r, "config_last_reload_successful", help)?;
        successful.set(1);
        let help = "When the configuration that holds was read";
        let at = names::gauge(r, "config_last_reload_success_timestamp_seconds", help)?;
        Ok(Reloads { total, successful, at })
    }
}

impl Metrics {
    /// The configuration was read at the start.
    pub fn configured(&self, at: CommitTime) {
        self.reloads.at.set(at.micros as f64 / 1e6);
    }

    /// It was read again: when it was taken, or `None` where it is wrong and the old one stays.
    pub fn reloaded(&self, at: Option<CommitTime>) {
        let result = RESULTS[usize::from(at.is_none())];
        self.reloads.total.with_label_values(&[result]).inc();
        self.reloads.successful.set(i64::from(at.is_some()));
        if let Some(at) = at {
            self.configured(at);
        }
    }
}
