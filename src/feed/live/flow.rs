//! How much of a stream is under way: read, and not judged yet.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

/// Bytes of one stream's transactions that are under way, and their bound.
///
/// A reader that has a transaction to give waits until those before it are judged, or leave room
/// for it; so does one that reads a transaction which outgrows the room. One alone always has room:
/// what bounds that is [`Flow::transaction_bytes_max`].
#[derive(Debug)]
pub struct Flow {
    bytes_max: AtomicUsize,
    /// Given, and not judged.
    given: AtomicUsize,
    /// Of the transaction that is being read.
    reading: AtomicUsize,
    room: Notify,
}

impl Default for Flow {
    fn default() -> Self {
        let (given, reading) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Flow { bytes_max: AtomicUsize::new(usize::MAX), given, reading, room: Notify::new() }
    }
}

impl Flow {
    /// Sets the bound, before the stream is followed.
    pub fn bound(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Relaxed);
    }

    /// Bytes of a transaction past which its rows are counted, and not held.
    pub fn transaction_bytes_max(&self) -> usize {
        self.bytes_max.load(Relaxed)
    }

    /// Bytes under way.
    pub fn bytes(&self) -> usize {
        self.given.load(Relaxed) + self.reading.load(Relaxed)
    }

    /// A transaction of so many bytes was judged, or will not be.
    pub fn judged(&self, bytes: usize) {
        let less = |given: usize| Some(given.saturating_sub(bytes));
        // It cannot fail: there is always a number.
        let _ = self.given.fetch_update(Relaxed, Relaxed, less);
        self.room.notify_one();
    }

    /// Nothing is under way any more: the stream is followed anew.
    pub(super) fn restart(&self) {
        self.given.store(0, Relaxed);
        self.reading.store(0, Relaxed);
    }

    /// Notes what the transaction that is being read has come to.
    pub(super) fn reads(&self, bytes: usize) {
        self.reading.store(bytes, Relaxed);
    }

    /// Waits until there is room for a transaction of so many bytes.
    pub(super) async fn until_room(&self, bytes: usize) {
        loop {
            let given = self.given.load(Relaxed);
            if given == 0 || given.saturating_add(bytes) <= self.bytes_max.load(Relaxed) {
                return;
            }
            self.room.notified().await;
        }
    }

    /// A transaction of so many bytes is given to the judge.
    pub(super) fn gives(&self, bytes: usize) {
        self.reading.store(0, Relaxed);
        self.given.fetch_add(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, time::Duration};

    #[tokio::test]
    async fn what_is_under_way_is_bounded_and_one_alone_has_room() {
        let flow = Arc::new(Flow::default());
        flow.bound(100);
        flow.until_room(1_000).await;
        flow.gives(1_000);
        let waits = {
            let flow = flow.clone();
            tokio::spawn(async move { flow.until_room(1).await })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waits.is_finished(), "{flow:?}");
        flow.judged(1_000);
        waits.await.expect("it ends");
        flow.gives(60);
        flow.until_room(40).await;
        flow.reads(7);
        assert_eq!(flow.bytes(), 67);
    }
}
