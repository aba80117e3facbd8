//! Counters of a live stream that others read while it runs.

use super::Flow;
use crate::binlog::event;
use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Where a live stream is, for metrics and pages.
#[derive(Debug, Default)]
pub struct StreamStatus {
    connected: AtomicBool,
    connections: AtomicU64,
    events: AtomicU64,
    /// Events by their type byte.
    kinds: Kinds,
    bytes: AtomicU64,
    transactions: AtomicU64,
    /// File and offset change together: two atomics could show the old file's offset in the new
    /// file.
    place: Mutex<(Arc<str>, u64)>,
    flow: Flow,
}

/// A counter for every value of an event's type byte.
#[derive(Debug)]
struct Kinds([AtomicU64; 256]);

impl Default for Kinds {
    fn default() -> Self {
        Kinds([const { AtomicU64::new(0) }; 256])
    }
}

impl StreamStatus {
    /// What of the stream is under way to the judge.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Whether the server is sending.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// How often the server has begun to send.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Events received, those that repeat after a reconnect included.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Bytes of these events.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Transactions delivered.
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Relaxed)
    }

    /// The file and offset that has been read up to; an empty name before the first connection.
    pub fn position(&self) -> (String, u64) {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        (place.0.to_string(), place.1)
    }

    pub(super) fn set_connected(&self, connected: bool) {
        if connected && !self.connected.swap(true, Relaxed) {
            self.connections.fetch_add(1, Relaxed);
        }
        self.connected.store(connected, Relaxed);
    }

    /// Events received, by the names of [`event::kind_name`].
    pub fn events_by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let mut by_name: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (kind, count) in self.kinds.0.iter().enumerate() {
            *by_name.entry(event::kind_name(kind as u8)).or_default() += count.load(Relaxed);
        }
        by_name.into_iter()
    }

    pub(super) fn count_event(&self, event: &[u8]) {
        self.events.fetch_add(1, Relaxed);
        if let Some(kind) = event.get(4) {
            self.kinds.0[usize::from(*kind)].fetch_add(1, Relaxed);
        }
        self.bytes.fetch_add(event.len() as u64, Relaxed);
    }

    pub(super) fn count_transaction(&self) {
        self.transactions.fetch_add(1, Relaxed);
    }

    pub(super) fn set_position(&self, file: &Arc<str>, offset: u64) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&place.0, file) {
            place.0 = file.clone();
        }
        place.1 = offset;
    }
}
