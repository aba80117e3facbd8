//! HTTP: metrics, health, the status page, and the same as JSON.
//!
//! **Architecture invariant.** `http` reads snapshots and the store, never the engine; it changes
//! nothing but acknowledgements. On an address that is not loopback everything but metrics and
//! health wants the token, over TLS; row values are on a page only where `watch.evidence` is
//! `full`. Everything that a stranger may hold has a limit: connections (`crowd`), time (`serve`)
//! and bytes; and all of it is on a thread of its own.

mod access;
mod answer;
mod api;
mod crowd;
mod events;
mod findings;
mod pages;
mod patient;
mod pulse;
mod query;
mod serve;
mod tls;

pub use access::Access;
pub use findings::Findings;
pub use pulse::Pulse;
pub use serve::serve;
pub use tls::{Tls, TlsError};

use crate::{
    metrics::Metrics,
    report::{Explanation, Repair, Status, page::Rows},
};
use axum::{
    Router, extract::DefaultBodyLimit, http::header, middleware, response::IntoResponse,
    routing::get,
};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What the pages read: snapshots, never the engine.
#[derive(Clone)]
pub struct Shared {
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Called before the metrics are read, to bring those up to date that others count.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
    /// Whether the judge comes round.
    pub pulse: Arc<Pulse>,
    /// Where the streams are.
    pub status: watch::Receiver<Arc<Status>>,
    /// The findings.
    pub findings: Arc<Findings>,
    /// Counts up whenever findings change.
    pub news: watch::Sender<u64>,
    /// What a page cannot know by itself.
    pub desk: Arc<dyn Desk>,
    /// Findings that may be read from the servers at once.
    pub explaining: Arc<Semaphore>,
    /// Who may see pages.
    pub access: Arc<Access>,
}

/// What pages need of the program beyond findings. Each call may wait for disks and servers.
pub trait Desk: Send + Sync {
    /// What proves a finding, and what repairs it: its rows are read from the servers again.
    ///
    /// # Errors
    /// Why it cannot be explained, for a person.
    fn explain(&self, record: &Value) -> Result<Explained, String>;
    /// The same without the rows, which waits for nobody; `why` they are not there.
    ///
    /// # Errors
    /// Why it cannot be explained, for a person.
    fn outline(&self, record: &Value, why: &str) -> Result<Explained, String>;
    /// Takes note of a finding. `until` is a date, a duration, or empty: for good.
    ///
    /// # Errors
    /// What is wrong, for the person who takes note.
    fn acknowledge(&self, id: &str, by: &str, why: &str, until: &str) -> Result<(), String>;
    /// Takes the note back.
    ///
    /// # Errors
    /// What is wrong, for the person.
    fn withdraw(&self, id: &str) -> Result<(), String>;
}

/// A finding, explained.
#[derive(Debug)]
pub struct Explained {
    /// The order of its transactions, and what was read of them.
    pub explanation: Explanation,
    /// Whether row values may be shown.
    pub rows: Rows,
    /// Scripts that repair it, for each node that could win.
    pub repairs: Vec<(String, Repair)>,
    /// What each command line does, and the command.
    pub commands: Vec<(&'static str, String)>,
}

/// Bytes that a form may have.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// The routes.
pub fn router(shared: Shared) -> Router {
    let pages = Router::new()
        .route("/", get(pages::overview))
        .route("/findings/{id}", get(pages::finding))
        .route("/findings/{id}/acknowledge", get(pages::back).post(pages::acknowledge))
        .route("/findings/{id}/withdraw", get(pages::back).post(pages::withdraw))
        .route("/events", get(events::events))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/findings", get(api::findings))
        .route("/api/v1/findings/{id}", get(api::finding))
        .layer(middleware::from_fn_with_state(shared.clone(), access::check));
    let door = Router::new()
        .route("/login", get(access::login_page).post(access::login))
        .route("/static/style.css", get(pages::style))
        .route("/static/page.js", get(pages::script))
        .layer(middleware::from_fn_with_state(shared.clone(), access::unless_closed));
    Router::new()
        .merge(pages)
        .merge(door)
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(pulse::ready))
        .fallback(answer::not_found)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn(answer::in_time))
        .layer(middleware::from_fn(answer::headers))
        .with_state(shared)
}

async fn metrics(axum::extract::State(shared): axum::extract::State<Shared>) -> impl IntoResponse {
    (shared.refresh)();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, shared.metrics.text())
}

#[cfg(test)]
mod tests;
