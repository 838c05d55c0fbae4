//! `/healthz`, `/readyz` and `/metrics`: what load balancers and Prometheus ask.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use millstream_archive::statistics::Exported;
use millstream_media::time::{Clock, UtcTime};
use millstream_telemetry::Metrics;
use millstream_telemetry::process::ProcessMetrics;
use tokio::sync::watch;

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// The routes; an edge has no archive. The server is ready from the start, since everything is bound before it answers, until it stops.
pub fn router(
    metrics: Metrics,
    archive: Option<Exported>,
    clock: &dyn Clock,
    stopping: watch::Receiver<bool>,
) -> Router {
    let started = clock.utc().nanos_since(UtcTime::EPOCH) as f64 / 1e9;
    let archive = Arc::new(archive);
    let process = Arc::new(ProcessMetrics::new(&metrics, env!("CARGO_PKG_VERSION"), started));
    Router::new()
        .route("/healthz", get(move || async move { (NO_STORE, "ok\n") }))
        .route(
            "/readyz",
            get(move || {
                let stops = *stopping.borrow();
                async move {
                    let (status, text) = if stops {
                        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
                    } else {
                        (StatusCode::OK, "ready\n")
                    };
                    (status, NO_STORE, text).into_response()
                }
            }),
        )
        .route("/metrics", get(move || render(metrics.clone(), Arc::clone(&process), Arc::clone(&archive))))
}

/// What no route knows.
pub async fn nothing_here() -> Response {
    let text = "nothing is here; the console is at /, channels are at /watch/NAME and /live/NAME/index.m3u8\n";
    (StatusCode::NOT_FOUND, NO_STORE, text).into_response()
}

async fn render(metrics: Metrics, process: Arc<ProcessMetrics>, archive: Arc<Option<Exported>>) -> Response {
    process.refresh();
    if let Some(archive) = archive.as_ref() {
        archive.refresh();
    }
    let headers =
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, metrics.render()).into_response()
}
