//! How long a server is left alone before it is asked again.

use super::DropReason;
use std::time::Duration;

/// What may pass by itself: tried again soon, so that little is missed.
const USUAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// What a person has to mend. Servers count refused accounts, and lock out who asks too often.
const REFUSED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// From one attempt to the next: twice as long each time, with a part by chance, so that those who
/// lost a server together do not come back together.
#[derive(Default)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// After an attempt that failed so: half of the time to all of it.
    pub(super) fn after(&mut self, reason: DropReason) -> Duration {
        let (least, most) = match reason {
            DropReason::Auth | DropReason::Grant => REFUSED,
            _ => USUAL,
        };
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
    }
}
