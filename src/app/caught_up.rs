//! Whether a stream is read to its end, near enough.
//!
//! A server that has nothing more to send says so, but only after a second without a write. A busy
//! one is judged by the age of what is read: when it was logged there, or committed. These are its
//! clock, and that is what it is good for: no finding depends on it.

use crate::model::CommitTime;
use std::time::Duration;
use tokio::time::Instant;

/// A stream that is no further behind is caught up.
const NEAR_MICROS: i64 = 5_000_000;
/// One that was caught up, and is further behind than this, is not any more. In between all stays
/// as it was, so that nobody is told one thing and then the other all the time.
const FAR_MICROS: i64 = 30_000_000;
/// How long the server's own word holds against the age of what came after it.
const WORD_HOLDS: Duration = Duration::from_secs(30);

/// One stream.
#[derive(Default)]
pub(super) struct CaughtUp {
    is: bool,
    /// When the server last said that it has nothing more.
    told_at: Option<Instant>,
}

impl CaughtUp {
    pub(super) fn is(&self) -> bool {
        self.is
    }

    /// The server has nothing more to send.
    pub(super) fn told(&mut self) {
        (self.is, self.told_at) = (true, Some(Instant::now()));
    }

    /// The connection is lost: what comes after is not known.
    pub(super) fn lost(&mut self) {
        *self = CaughtUp::default();
    }

    /// A transaction was judged. A copy whose log has only the commit of its original proves
    /// nothing by being old: replication may be behind, and its reader not.
    pub(super) fn judged(
        &mut self,
        committed_at: CommitTime,
        logged_at: Option<CommitTime>,
        is_original: bool,
        now: CommitTime,
    ) {
        let age = now.micros.saturating_sub(logged_at.unwrap_or(committed_at).micros);
        let tells_age = is_original || logged_at.is_some();
        if age <= NEAR_MICROS {
            self.is = true;
        } else if age > FAR_MICROS
            && tells_age
            && self.told_at.is_none_or(|at| at.elapsed() > WORD_HOLDS)
        {
            self.is = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transaction that was committed so many milliseconds ago, and logged where it is told.
    fn judge(of: &mut CaughtUp, original: bool, age: i64, logged: Option<i64>) -> bool {
        let now = CommitTime::from_seconds(1_000_000);
        let ago = |millis: i64| CommitTime::from_micros(now.micros - 1000 * millis);
        of.judged(ago(age), logged.map(ago), original, now);
        of.is()
    }

    #[tokio::test(start_paused = true)]
    async fn near_is_caught_up_and_in_between_stays() {
        let mut of = CaughtUp::default();
        assert!(!of.is(), "nothing is known yet");
        assert!(!judge(&mut of, true, 3_600_000, None), "an hour behind");
        assert!(!judge(&mut of, true, 10_000, None), "coming closer");
        assert!(judge(&mut of, true, 200, None), "200 ms behind");
        assert!(judge(&mut of, true, 29_000, None), "a long transaction");
        assert!(judge(&mut of, true, -7_000, None), "a clock that is ahead");
        assert!(!judge(&mut of, true, 31_000, None));
        assert!(!judge(&mut of, true, 29_000, None), "not again before it is near");
        assert!(judge(&mut of, true, 4_000, None));
        of.lost();
        assert!(!of.is());
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_word_holds_for_a_while() {
        let mut of = CaughtUp::default();
        of.told();
        assert!(of.is());
        // A clock that is behind, or a session with a time of its own.
        assert!(judge(&mut of, true, 3_600_000, None));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(of.is(), "silence is no news");
        assert!(!judge(&mut of, true, 3_600_000, None));
        of.told();
        assert!(of.is());
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_copy_proves_nothing_unless_its_log_says_when_it_came() {
        let mut of = CaughtUp::default();
        assert!(judge(&mut of, true, 0, None));
        assert!(judge(&mut of, false, 3_600_000, None), "replication is behind, not the reader");
        assert!(judge(&mut of, false, 3_600_000, Some(100)));
        assert!(!judge(&mut of, false, 3_700_000, Some(3_600_000)));
        assert!(judge(&mut of, false, 3_700_000, Some(100)), "MySQL says when it logged it");
        assert!(judge(&mut of, false, 100, None));
    }
}
