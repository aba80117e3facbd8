//! How long a server is left alone before it is asked again.

use super::DropReason;
use std::time::Duration;

/// What may pass by itself: tried again soon, so that little is missed.
const USUAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// What a person has to mend. Servers count refused accounts, and lock out who asks too often.
const REFUSED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Another reader took the stream, and every attempt takes it back: seldom, so that two that do not
/// see each other do not spend their time on that.
const TAKEN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// From one attempt to the next: twice as long each time, with a part by chance, so that those who
/// lost a server together do not come back together.
#[derive(Default)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// After an attempt that failed so: half of the time to all of it.
    pub(super) fn after(&mut self, reason: DropReason) -> Duration {
        self.within(match reason {
            DropReason::Auth | DropReason::Grant | DropReason::SameId => REFUSED,
            _ => USUAL,
        })
    }

    /// After another reader took the stream that cannot be looked for.
    pub(super) fn after_taken(&mut self) -> Duration {
        self.within(TAKEN)
    }

    fn within(&mut self, (least, most): (Duration, Duration)) -> Duration {
        let delay = self.next.clamp(least, most);
        self.next = delay * 2;
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// After one that went well.
    pub(super) fn reset(&mut self) {
        self.next = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_left_alone_for_longer_and_longer() {
        let mut backoff = Backoff::default();
        let mut most = USUAL.0;
        for _ in 0..20 {
            let delay = backoff.after(DropReason::Io);
            assert!(most / 2 <= delay && delay <= most, "{delay:?} {most:?}");
            most = (most * 2).min(USUAL.1);
        }
        assert_eq!(most, USUAL.1);
        assert!(backoff.after(DropReason::Auth) >= USUAL.1, "no sooner than before");
        backoff.reset();
        assert!(backoff.after(DropReason::Auth) >= REFUSED.0 / 2);
        let taken: Duration = (0..8).map(|_| backoff.after_taken()).sum();
        assert!(taken > TAKEN.1, "fewer and fewer: {taken:?}");
    }
}
