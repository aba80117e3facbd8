//! `/readyz`: whether what is told here is all that there is to tell.

use super::Shared;
use crate::report::{Status, StreamState};
use axum::{extract::State, http::StatusCode};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long the judge may be at one thing; it comes round every 5 seconds at least.
const ROUND_MAX: Duration = Duration::from_secs(30);

/// When the judge last came round. Whoever answers for it is on another thread, and would say for
/// ever what it said last.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// It has come round.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn stopped_since(&self) -> Option<Duration> {
        let beaten_at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beaten_at.map(|at| at.elapsed()).filter(|since| *since > ROUND_MAX)
    }
}

/// 200 where all streams are connected and caught up with; else 503, and a line that says why.
pub(super) async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let why = match shared.pulse.stopped_since() {
        Some(since) => Some(format!("the judge has been at one thing for {} s", since.as_secs())),
        None => why_not(&shared.status.borrow()),
    };
    match why {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

/// What keeps a watch from being ready; `None` where it is.
fn why_not(status: &Status) -> Option<String> {
    if status.ready {
        return None;
    }
    if let Some(node) = &status.waits_for {
        return Some(format!("{node}: waiting for its server, which has not answered yet"));
    }
    let why = |stream: &StreamState| {
        let why = match (stream.connected, stream.begun, stream.caught_up) {
            (false, ..) => "not connected",
            (_, false, _) => "not begun",
            (.., false) => "not caught up",
            _ => return None,
        };
        Some(format!("{}: {why}", stream.node))
    };
    let streams: Vec<String> = status.streams.iter().filter_map(why).collect();
    Some(if streams.is_empty() { "starting".to_owned() } else { streams.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_stream_and_why() {
        let stream = |node: &str, connected, begun, caught_up| StreamState {
            node: node.to_owned(),
            connected,
            begun,
            caught_up,
            ..StreamState::default()
        };
        let mut status = Status::default();
        assert_eq!(why_not(&status).unwrap(), "starting");
        status.streams = vec![
            stream("a", false, true, false),
            stream("b", true, false, false),
            stream("c", true, true, false),
            stream("d", true, true, true),
        ];
        let why = "a: not connected, b: not begun, c: not caught up";
        assert_eq!(why_not(&status).unwrap(), why);
        status.waits_for = Some("b".to_owned());
        let why = "b: waiting for its server, which has not answered yet";
        assert_eq!(why_not(&status).unwrap(), why);
        status.waits_for = None;
        status.ready = true;
        assert_eq!(why_not(&status), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_judge_that_does_not_come_round_shows() {
        let pulse = Pulse::default();
        assert_eq!(pulse.stopped_since(), None, "not begun");
        pulse.beat();
        tokio::time::advance(ROUND_MAX).await;
        assert_eq!(pulse.stopped_since(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pulse.stopped_since(), Some(ROUND_MAX + Duration::from_secs(1)));
        pulse.beat();
        assert_eq!(pulse.stopped_since(), None);
    }
}
