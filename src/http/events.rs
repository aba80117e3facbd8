//! Tells pages that something has changed, so that they fetch themselves again.

use super::Shared;
use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use std::{convert::Infallible, time::Duration};

/// From one event to the next at least; while findings come by the thousand a page cannot.
const PACE: Duration = Duration::from_millis(500);
/// The same while only the streams move, which they always do.
const QUIET_PACE: Duration = Duration::from_secs(2);

/// Server-sent events: `change` whenever findings or streams have changed.
pub(super) async fn events(
    State(shared): State<Shared>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (news, status) = (shared.news.subscribe(), shared.status.clone());
    let changes = stream::unfold((news, status), |(mut news, mut status)| async {
        tokio::time::sleep(PACE).await;
        let moved = async {
            tokio::time::sleep(QUIET_PACE - PACE).await;
            status.changed().await
        };
        let gone = tokio::select! {
            changed = news.changed() => changed.is_err(),
            changed = moved => changed.is_err(),
        };
        news.mark_unchanged();
        status.mark_unchanged();
        (!gone).then(|| (Ok(change()), (news, status)))
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}

/// Browsers pass over events without data.
fn change() -> Event {
    Event::default().event("change").data("now")
}
