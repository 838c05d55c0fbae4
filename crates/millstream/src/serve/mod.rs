//! `millstream serve`: binds, tells where, runs until told to stop, and stops in order.
//!
//! - [`access`]: who may watch.
//! - [`archive`]: the store of recordings, what is answered from it, and what is deleted in it.
//! - [`countries`]: the country of an address.
//! - [`descriptors`]: how many files and connections may be open.
//! - [`edge`]: the same as an edge.
//! - [`fence`]: who may ask for media at all, and where viewers may be.
//! - [`folder`]: the data folder, held by one server at a time.
//! - [`http`]: the HTTP front's doors and TLS.
//! - [`imports`]: files that become assets.
//! - [`openid`]: log-in by an OpenID Connect issuer.
//! - [`operations`]: `/healthz`, `/readyz`, `/metrics`.
//! - [`operators`]: who may use the API.
//! - [`protection`]: content keys for players.
//! - [`watched`]: files whose changes count.

mod access;
mod archive;
mod countries;
pub mod descriptors;
mod edge;
mod fence;
mod folder;
mod http;
mod imports;
mod openid;
mod operations;
mod operators;
mod protection;
mod uploads;
mod watched;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use millstream_access::StreamKey;
use millstream_archive::library::Library;
use millstream_archive::statistics::Exported;
use millstream_control::api::{self, ApiState, Guard, Signer};
use millstream_control::documents::Documents;
use millstream_control::registry::Registry;
use millstream_http::front;
use millstream_ingest::listener::{self, Listener};
use millstream_media::time::Clock;
use millstream_origin::origin::Origin;
use millstream_telemetry::{Metrics, log};
use tokio::sync::watch;

use crate::channel::protection::Shelf;
use crate::channel::runtime::{Runtime, Surroundings};
use crate::channel::webhook::Webhook;
use crate::clock::SystemClock;
use crate::config::{Config, Loaded};
use crate::{assets, demo, modes};

/// Runs the server until SIGTERM or SIGINT. With a key, it feeds the demo's channel.
///
/// # Errors
/// If it cannot start; each error names the cause and the mend.
pub fn run(loaded: Loaded, demo_key: Option<StreamKey>) -> Result<()> {
    begin(&loaded)?.block_on(serve(loaded.config, demo_key))
}

/// Runs an edge until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start; each error names the cause and the mend.
pub fn run_edge(loaded: Loaded) -> Result<()> {
    begin(&loaded)?.block_on(edge::serve(loaded.config))
}

/// Starts the log, says what was configured, and makes the runtime.
fn begin(loaded: &Loaded) -> Result<tokio::runtime::Runtime> {
    log::init(&loaded.config.log.level, loaded.config.log.format.into())?;
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configuration read");
    }
    for warning in loaded.warnings.iter().chain(&modes::warnings(&loaded.config)) {
        tracing::warn!("{warning}");
    }
    for note in loaded.config.notes() {
        tracing::info!("{note}");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")
}

async fn serve(config: Config, demo_key: Option<StreamKey>) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Metrics::new();
    let drain = Duration::from_millis(config.server.drain_seconds.millis().into());
    descriptors::raise(config.limits.http_connections);
    let _folder = folder::take(&config.server.data_dir)?;
    let documents = Documents::local(&config.store_folder())?;
    let registry = Registry::open(documents, config.channel.clone(), Arc::clone(&clock)).await?;
    let origin = Arc::new(Origin::new(Arc::clone(&clock)));
    let archive = archive::open(&config, &clock)?;
    let worker = worker_path(&config)?;
    if !worker.is_file() {
        tracing::warn!(
            worker = %worker.display(),
            "the encode worker is missing, so only channels in passthrough mode can go on air; install \
             millstream-encoder beside millstream, or set encode.worker"
        );
    }
    let shelf = Shelf::new(config.server.data_dir.join("content-keys"), archive::environment(&config));
    let surroundings = Surroundings {
        registry: Arc::clone(&registry),
        origin: Arc::clone(&origin),
        clock: Arc::clone(&clock),
        metrics: metrics.clone(),
        archive: archive.clone(),
        worker: worker.clone(),
        shelf: shelf.clone(),
    };
    let (runtime, gate) = Runtime::new(surroundings);
    let gate = Arc::new(gate.asking(Webhook::new(&config.ingest)));

    let mut listening = BTreeMap::new();
    let doors = http::doors(&config, &mut listening, &clock).await?;
    // The demo ends with its terminal.
    if demo_key.is_none() {
        http::outlive_hangup()?;
    }
    let rtmp = match config.ingest.rtmp.get() {
        Some(address) => {
            let bound = Listener::bind(address, rtmp_limits(&config), Arc::clone(&gate), Arc::clone(&clock)).await;
            let listener = bound.with_context(|| bind_help("RTMP", "--rtmp", address))?;
            listening.insert("rtmp".to_owned(), listener.local_addr()?.to_string());
            Some(listener)
        }
        None => None,
    };

    let (stop, stopping) = watch::channel(false);
    let (stop_http, http_stopping) = watch::channel(false);
    let policy = archive::policy(&config);
    let library = Library::new(archive.store().clone(), archive.running().clone(), policy);
    let library = library.with_recoder(imports::recoder(worker.clone()));
    let (operators, first_token) = operators::open(&config, &listening, &clock)?;
    let guard = Guard { operators: Arc::clone(&operators), hosts: config.server.hosts.clone().into() };
    let state = ApiState {
        registry,
        operators,
        openid: openid::open(&config, &clock)?,
        library,
        clock: Arc::clone(&clock),
        started: clock.mono(),
        listening: listening.clone(),
        hosts: config.server.hosts.clone(),
        signer: Signer::new(config.signing_folder()),
    };
    let exported = Exported::new(&metrics, Arc::clone(archive.store().statistics()), archive.running().clone());
    let imports = imports::open(&config, &archive, worker)?;
    let operations = operations::router(metrics.clone(), Some(exported), clock.as_ref(), stopping.clone());
    let router = api::imports_router(imports.clone(), guard.clone()).merge(guard.before(operations));
    let router = router.merge(api::router(state)).merge(assets::router(fence::rules(&config)?));
    let router = router.merge(uploads::router(gate, http_stopping.clone()));
    let router = http::routes(router.fallback(operations::nothing_here), &config, &clock)?;
    let media = protection::KeyServer::new(archive::media(&origin, &archive), shelf);
    let media = access::guard(&config, &clock, fence::behind_proxies(&config, Arc::new(media))?)?;
    let media = fence::fence(&config, &clock, fence::screen(&config, media)?)?;
    let site = front::Site { media, router, metrics: metrics.http(), clock: Arc::clone(&clock) };
    let limits = http::limits(&config, drain)?;

    tokio::spawn(archive::keep(archive.clone(), policy, stopping.clone()));
    let channels = tokio::spawn(runtime.run(stopping.clone()));
    let importing = tokio::spawn({
        let stopping = stopping.clone();
        async move { imports.run(stopping).await }
    });
    let ingest = rtmp.map(|listener| {
        let mut stopping = stopping.clone();
        tokio::spawn(listener.run(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        }))
    });
    let web = tokio::spawn(front::run(doors, site, limits, metrics.server(), http_stopping));
    announce(&config.server.data_dir, &listening)?;
    if let Some(token) = &first_token {
        operators::print_first(token, &listening);
    }
    let source = demo_key.map(|key| {
        let http = listening.get("http").cloned().unwrap_or_default();
        println!("Open http://{http}/watch/{} to watch, http://{http}/ for the console. Ctrl-C ends.", demo::CHANNEL);
        tokio::spawn(demo::run_source(listening.get("rtmp").cloned(), key, stopping.clone()))
    });

    let ended = match source {
        Some(source) => tokio::select! {
            signal = wait_for_signal() => signal,
            // Without its source the demo is nothing: its error is the program's.
            result = source => result.context("the demo's test source panicked")?.map(|()| "source ended"),
        },
        None => wait_for_signal().await,
    };
    let reason = match &ended {
        Ok(reason) => *reason,
        Err(_) => "an error",
    };
    tracing::info!(reason, "stopping: contributions end, channels put out what they have");
    stop.send_replace(true);
    if let Some(ingest) = ingest
        && tokio::time::timeout(drain, ingest).await.is_err()
    {
        tracing::warn!("contributions did not end within server.drain_seconds");
    }
    if tokio::time::timeout(drain, channels).await.is_err() {
        tracing::warn!("channels did not end within server.drain_seconds");
    }
    if tokio::time::timeout(drain, importing).await.is_err() {
        tracing::warn!("the import at work did not stop within server.drain_seconds; it goes on with the next start");
    }
    archive.close(drain).await;
    stop_http.send_replace(true);
    if tokio::time::timeout(drain + Duration::from_secs(1), web).await.is_err() {
        tracing::warn!("answers were not all sent within server.drain_seconds");
    }
    let _ = std::fs::remove_file(config.server.data_dir.join(LISTENING_FILE));
    tracing::info!("stopped");
    ended.map(|_| ())
}

/// The bounds of the RTMP listener.
fn rtmp_limits(config: &Config) -> listener::Config {
    listener::Config {
        max_connections: config.limits.rtmp_connections as usize,
        max_connections_per_address: config.limits.rtmp_connections_per_address as usize,
        counted_as: millstream_access::network::client,
        authorize_timeout: Duration::from_millis(config.ingest.authorize_seconds.millis().into())
            + listener::Config::default().authorize_timeout,
        ..listener::Config::default()
    }
}

/// The encode worker: as configured, or beside this program.
fn worker_path(config: &Config) -> Result<PathBuf> {
    if !config.encode.worker.as_os_str().is_empty() {
        return Ok(config.encode.worker.clone());
    }
    let own = std::env::current_exe().context("this program's own path is unknown; set encode.worker")?;
    let Some(folder) = own.parent() else { bail!("this program lies in no folder; set encode.worker") };
    Ok(folder.join("millstream-encoder"))
}

fn bind_help(what: &str, flag: &str, address: SocketAddr) -> String {
    format!("{what} cannot listen on {address}; end the program that does, or choose another address with {flag}")
}

const LISTENING_FILE: &str = "listening.json";

/// Says where the server listens: one line on standard error, and `listening.json` in the data folder, whole or not at
/// all.
fn announce(data_dir: &Path, listening: &BTreeMap<String, String>) -> Result<()> {
    let words: Vec<String> = listening.iter().map(|(name, address)| format!("{name}={address}")).collect();
    let path = data_dir.join(LISTENING_FILE);
    let temporary = data_dir.join(format!("{LISTENING_FILE}.new"));
    std::fs::write(&temporary, serde_json::to_vec(listening)?)
        .and_then(|()| std::fs::rename(&temporary, &path))
        .with_context(|| format!("{} cannot be written; check the folder's permissions", path.display()))?;
    eprintln!("listening {}", words.join(" "));
    Ok(())
}

async fn wait_for_signal() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be awaited")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As over HTTP: who has a /64 is one client.
    #[test]
    fn rtmp_counts_a_network_of_v6_as_one() {
        let as_one = |address: &str| (rtmp_limits(&Config::default()).counted_as)(address.parse().unwrap());
        assert_eq!(as_one("2001:db8::1"), as_one("2001:db8::ffff:2"));
        assert_ne!(as_one("2001:db8::1"), as_one("2001:db8:0:1::1"));
        assert_eq!(as_one("::ffff:192.0.2.1"), as_one("192.0.2.1"));
    }
}
