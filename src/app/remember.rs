//! When the memory is written: often while it is small, seldom while it is big.
//!
//! A restart reads again what came since the memory was written last, so nothing is lost by
//! waiting, and a disk beside production has better things to do.

use std::time::Duration;
use tokio::time::Instant;

/// From one memory to the next at least.
const PACE: Duration = Duration::from_secs(1);
/// Bytes a second that memories cost at most, on average: at the rate of 1 MiB a second, the 100
/// MiB of an hour of stopped replication are written every other minute.
const BYTES_A_SECOND: u64 = 1 << 20;
/// A memory that was bigger than this last time is not written at the end: who waits for the end
/// waits for it.
const AT_THE_END_MAX: u64 = 64 << 20;

/// What decides when the memory is written.
pub(super) struct Remembers {
    /// The streams have moved since.
    pub(super) moved: bool,
    /// Something was judged since that no stream tells again.
    pub(super) must: bool,
    /// Some stream has not begun: there is nothing yet that a restart could go on with.
    pub(super) waits: bool,
    written_at: Instant,
    pace: Duration,
    size: u64,
}

impl Remembers {
    pub(super) fn new() -> Remembers {
        let now = Instant::now();
        let written_at = now.checked_sub(PACE).unwrap_or(now);
        Remembers { moved: false, must: false, waits: false, written_at, pace: PACE, size: 0 }
    }

    /// How long until it shall be written; `None` while nothing has changed.
    pub(super) fn due(&self) -> Option<Duration> {
        match (self.waits, self.must, self.moved) {
            (true, ..) | (_, false, false) => None,
            (_, true, _) => Some(Duration::ZERO),
            (_, _, true) => Some(self.pace.saturating_sub(self.written_at.elapsed())),
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due() == Some(Duration::ZERO)
    }

    /// It was written, in so many bytes.
    pub(super) fn done(&mut self, size: u64) {
        let cost = Duration::from_secs(size / BYTES_A_SECOND);
        (self.moved, self.must, self.size) = (false, false, size);
        (self.written_at, self.pace) = (Instant::now(), cost.max(PACE));
    }

    /// The end: it is written once more, if that takes no time.
    pub(super) fn end(&mut self) {
        self.must |= self.moved && self.size <= AT_THE_END_MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_big_memory_is_written_seldom() {
        let mut remembers = Remembers::new();
        assert_eq!(remembers.due(), None);
        remembers.moved = true;
        assert!(remembers.is_due(), "the first at once");
        remembers.done(1000);
        remembers.moved = true;
        assert_eq!(remembers.due(), Some(PACE));
        tokio::time::advance(PACE).await;
        assert!(remembers.is_due());
        remembers.done(100 << 20);
        assert_eq!(remembers.due(), None);
        remembers.moved = true;
        assert_eq!(remembers.due(), Some(Duration::from_secs(100)));
        remembers.end();
        assert!(!remembers.is_due());
        remembers.must = true;
        assert!(remembers.is_due(), "what no stream tells again is written at any price");
    }
}
