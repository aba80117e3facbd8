//! HTTP: metrics and health.

use crate::{metrics::Metrics, report::Status};
use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::watch;

/// What the pages read: snapshots, never the engine.
#[derive(Clone)]
pub struct Shared {
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Called before the metrics are read, to bring those up to date that others count.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
    /// All streams are connected and have begun.
    pub ready: Arc<AtomicBool>,
    /// Where the streams are.
    pub status: watch::Receiver<Arc<Status>>,
}

/// The routes.
pub fn router(shared: Shared) -> Router {
    let metrics = shared.clone();
    Router::new()
        .route(
            "/metrics",
            get(move || async move {
                (metrics.refresh)();
                let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
                (kind, metrics.metrics.text())
            }),
        )
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                match shared.ready.load(Ordering::Relaxed) {
                    true => (StatusCode::OK, "ready\n").into_response(),
                    false => {
                        let why = "not ready: not all streams are connected\n";
                        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
                    }
                }
            }),
        )
}

/// Serves until the listener fails.
///
/// # Errors
/// What the listener says.
pub async fn serve(listener: tokio::net::TcpListener, shared: Shared) -> std::io::Result<()> {
    axum::serve(listener, router(shared)).await
}
