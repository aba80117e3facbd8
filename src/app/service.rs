//! What a watch tells the service manager, where there is one: the protocol of `sd_notify`.
//!
//! The watchdog is told from the judge's own loop and nowhere else: whoever hangs, in a write that
//! nobody reads or in a disk that does not answer, tells nothing.

use crate::report::Status;
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;

/// The service manager, as the judge speaks to it; without one nothing is said.
pub(super) struct Service {
    /// How often the watchdog has to be told, halved.
    watchdog: Option<Duration>,
    beaten_at: Option<Instant>,
    ready: bool,
    /// The line that was told last.
    status: String,
}

impl Service {
    pub(super) fn new() -> Service {
        let watchdog = sd_notify::watchdog_enabled().map(|within| within / 2);
        Service { watchdog, beaten_at: None, ready: false, status: String::new() }
    }

    /// The judge has come round: tells the watchdog, if it is time to.
    pub(super) fn alive(&mut self) {
        let Some(pace) = self.watchdog else { return };
        if self.beaten_at.is_none_or(|at| at.elapsed() >= pace) {
            self.beaten_at = Some(Instant::now());
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// How long until the watchdog has to be told.
    pub(super) fn due(&self) -> Option<Duration> {
        let pace = self.watchdog?;
        Some(self.beaten_at.map_or(Duration::ZERO, |at| pace.saturating_sub(at.elapsed())))
    }

    /// Where the streams are, in a line. The first time that all are followed, the service is up.
    pub(super) fn show(&mut self, status: &Status) {
        let line = line(status);
        let is_followed = status.streams.iter().all(|stream| stream.begun && stream.connected);
        if is_followed && !self.ready {
            self.ready = true;
            tell(&[NotifyState::Ready, NotifyState::Status(&line)]);
        } else if self.status != line {
            tell(&[NotifyState::Status(&line)]);
        }
        self.status = line;
    }

    /// The configuration is read again.
    pub(super) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// It has been.
    pub(super) fn reloaded(&self) {
        // One that is not up yet does not become so by this.
        if self.ready {
            tell(&[NotifyState::Ready]);
        }
    }
}

/// It ends, because it was told to.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("told to end")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("the service manager cannot be told: {error}");
    }
}

/// The line that `systemctl status` shows.
fn line(status: &Status) -> String {
    let state = |of: &crate::report::StreamState| {
        let what = match (of.connected, of.begun && of.caught_up) {
            (true, true) => "caught up",
            (true, false) => "catching up",
            (false, _) => "not connected",
        };
        format!("{}: {what}", of.node)
    };
    let mut line = status.streams.iter().map(state).collect::<Vec<_>>().join(", ");
    if status.store_fails_since.is_some() {
        line.push_str("; the store fails");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::StreamState;

    #[test]
    fn a_line_says_where_each_stream_is() {
        let stream = |node: &str, connected, caught_up| StreamState {
            node: node.to_owned(),
            connected,
            begun: true,
            caught_up,
            ..StreamState::default()
        };
        let streams =
            vec![stream("a", true, true), stream("b", true, false), stream("c", false, true)];
        let mut status = Status { streams, ..Status::default() };
        assert_eq!(line(&status), "a: caught up, b: catching up, c: not connected");
        status.store_fails_since = Some(crate::model::CommitTime::from_seconds(1));
        assert!(line(&status).ends_with("; the store fails"));
    }
}
