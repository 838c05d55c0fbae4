//! `millstream serve --role edge`: the same HTTP front before a cache instead of an origin.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Json;
use axum::Router;
use axum::routing::get;
use millstream_control::api::{self, Guard};
use millstream_edge::Edge;
use millstream_http::front;
use millstream_media::time::Clock;
use millstream_telemetry::Metrics;
use tokio::sync::watch;

use super::{LISTENING_FILE, access, announce, descriptors, fence, folder, operations, operators, wait_for_signal};
use crate::clock::SystemClock;
use crate::config::Config;

/// Runs an edge until a signal.
///
/// # Errors
/// If it cannot start.
pub async fn serve(config: Config) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Metrics::new();
    let drain = Duration::from_millis(config.server.drain_seconds.millis().into());
    descriptors::raise(config.limits.http_connections);
    let _folder = folder::take(&config.server.data_dir)?;
    let edge = Arc::new(Edge::open(settings(&config)?, &metrics).await?);
    let mut listening = BTreeMap::new();
    let doors = super::http::doors(&config, &mut listening, &clock).await?;
    super::http::outlive_hangup()?;

    let (stop, stopping) = watch::channel(false);
    let (stop_http, http_stopping) = watch::channel(false);
    let (status, time) = (Arc::clone(&edge), Arc::clone(&clock));
    let router = Router::new()
        .route("/api/v1/edge", get(move || async move { Json(status.origins()) }))
        .route("/api/v1/time", get(move || async move { api::time_now(time.as_ref()) }))
        .merge(operations::router(metrics.clone(), None, clock.as_ref(), stopping));
    let operators = operators::of_edge(&config, &listening, &clock);
    let guard = Guard { operators, hosts: config.server.hosts.clone().into() };
    let router = guard.before(router).fallback(operations::nothing_here);
    let media: Arc<dyn millstream_delivery::answer::Delivery> = Arc::<Edge>::clone(&edge);
    let media = access::guard(&config, &clock, fence::behind_proxies(&config, media)?)?;
    let media = fence::fence(&config, &clock, fence::screen(&config, media)?)?;
    let site = front::Site {
        media,
        router: super::http::routes(router, &config, &clock)?,
        metrics: metrics.http(),
        clock: Arc::clone(&clock),
    };
    let limits = super::http::limits(&config, drain)?;
    let web = tokio::spawn(front::run(doors, site, limits, metrics.server(), http_stopping));
    announce(&config.server.data_dir, &listening)?;

    let reason = wait_for_signal().await?;
    tracing::info!(reason, "stopping: readyz fails first, then answers end");
    stop.send_replace(true);
    // Load balancers look about once a second.
    tokio::time::sleep(READY_GRACE.min(drain)).await;
    stop_http.send_replace(true);
    if tokio::time::timeout(drain + Duration::from_secs(1), web).await.is_err() {
        tracing::warn!("answers were not all sent within server.drain_seconds");
    }
    edge.close().await;
    let _ = std::fs::remove_file(config.server.data_dir.join(LISTENING_FILE));
    tracing::info!("stopped");
    Ok(())
}

/// Time between a `/readyz` that fails and the end of listening.
const READY_GRACE: Duration = Duration::from_secs(1);

fn settings(config: &Config) -> Result<millstream_edge::Config> {
    let set = &config.edge;
    let path = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    Ok(millstream_edge::Config {
        origin_ca: path(&set.origin_ca),
        origin_secret: fence::origin_secret(config)?,
        identity: fence::identity(config)?,
        memory_bytes: usize::try_from(set.memory_bytes).unwrap_or(usize::MAX),
        disk_bytes: usize::try_from(set.disk_bytes).unwrap_or(usize::MAX),
        disk_path: path(&set.disk_path).unwrap_or_else(|| config.server.data_dir.join("edge-cache")),
        answer_timeout: Duration::from_millis(set.failover_ms.into()),
        waiting_per_address: set.waiting_per_address,
        ..millstream_edge::Config::new(set.origins.clone())
    })
}
