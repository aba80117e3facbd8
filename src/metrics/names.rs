//! How a metric is made and registered, with the prefix that all share.

use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, Result, core::Collector,
};

const PREFIX: &str = "twinlog";

/// Seconds: replication is milliseconds when all is well and hours when it is not.
const SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
    7200.0,
];

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: Result<C>) -> Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

fn seconds(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(PREFIX).buckets(SECONDS.to_vec())
}

pub(super) fn counters(r: &Registry, name: &str, help: &str, by: &[&str]) -> Result<IntCounterVec> {
    registered(r, IntCounterVec::new(opts(name, help), by))
}

pub(super) fn float_counters(
    r: &Registry,
    name: &str,
    help: &str,
    by: &[&str],
) -> Result<CounterVec> {
    registered(r, CounterVec::new(opts(name, help), by))
}

pub(super) fn counter(r: &Registry, name: &str, help: &str) -> Result<IntCounter> {
    registered(r, IntCounter::with_opts(opts(name, help)))
}

pub(super) fn gauges(r: &Registry, name: &str, help: &str, by: &[&str]) -> Result<GaugeVec> {
    registered(r, GaugeVec::new(opts(name, help), by))
}

pub(super) fn gauge(r: &Registry, name: &str, help: &str) -> Result<Gauge> {
    registered(r, Gauge::with_opts(opts(name, help)))
}

pub(super) fn int_gauges(r: &Registry, name: &str, help: &str, by: &[&str]) -> Result<IntGaugeVec> {
    registered(r, IntGaugeVec::new(opts(name, help), by))
}

pub(super) fn int_gauge(r: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    registered(r, IntGauge::with_opts(opts(name, help)))
}

pub(super) fn histograms(
    r: &Registry,
    name: &str,
    help: &str,
    by: &[&str],
) -> Result<HistogramVec> {
    registered(r, HistogramVec::new(seconds(name, help), by))
}

pub(super) fn histogram(r: &Registry, name: &str, help: &str) -> Result<Histogram> {
    registered(r, Histogram::with_opts(seconds(name, help)))
}
