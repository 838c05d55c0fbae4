//! Starts and stops a task for each enabled channel as the registry changes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use millstream_control::channel::{ChannelConfig, ChannelName, Mode};
use millstream_control::registry::{Change, Channel, Channels, Registry};
use millstream_ingest::source::SourceMessage;
use millstream_media::time::Clock;
use millstream_origin::channel::ChannelOrigin;
use millstream_origin::origin::Origin;
use millstream_telemetry::Metrics;
use millstream_window::Window;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::archive::Archive;
use super::contributed::Upload;
use super::gate::Gate;
use super::passthrough;
use super::protection::Shelf;
use super::task::{Command, Task};

/// Source messages that may wait for a channel's task; while they do, the publisher's connection is not read.
const SOURCE_QUEUE: usize = 64;
/// Objects of uploads that may wait for a channel's task; while they do, their connections are not read.
const UPLOAD_QUEUE: usize = 16;
/// Commands that may wait for a channel's task.
const COMMAND_QUEUE: usize = 16;
/// Time a channel's task has to end in.
const END_PATIENCE: Duration = Duration::from_secs(12);

/// How often the runtime looks whether every task still works.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// What every channel's task is given.
#[derive(Clone)]
pub struct Surroundings {
    /// Definitions and documents.
    pub registry: Arc<Registry>,
    /// Where windows are served from.
    pub origin: Arc<Origin>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
    /// Where channels are recorded, if there is a store.
    pub archive: Archive,
    /// The encode worker's program.
    pub worker: PathBuf,
    /// Content keys.
    pub shelf: Shelf,
}

/// Senders to the tasks of enabled channels, by channel name.
pub(super) type Routes = Arc<RwLock<HashMap<String, Route>>>;

/// The ways into a channel's task.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Of connections.
    pub(super) source: mpsc::Sender<SourceMessage>,
    /// Of uploads.
    pub(super) uploads: mpsc::Sender<Upload>,
}

/// The channels at work.
pub struct Runtime {
    surroundings: Surroundings,
    routes: Routes,
    running: HashMap<ChannelName, Running>,
    /// Tasks that put out their last segments. Nobody waits for them but what comes next for the same channel.
    ending: HashMap<ChannelName, JoinHandle<()>>,
}

struct Running {
    channel: Arc<Channel>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Runtime {
    /// A runtime without channels, and the gate that publishers of its channels come through.
    pub fn new(surroundings: Surroundings) -> (Self, Gate) {
        let routes = Routes::default();
        let gate = Gate::new(
            Arc::clone(&surroundings.registry),
            Arc::clone(&routes),
            Arc::clone(&surroundings.clock),
            surroundings.metrics.server(),
        );
        (Runtime { surroundings, routes, running: HashMap::new(), ending: HashMap::new() }, gate)
    }

    /// Follows the registry until `stop` says true, then lets every channel put out what it has.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.surroundings.registry.subscribe();
        let mut known = Arc::new(Channels::default());
        loop {
            let now = changes.borrow_and_update().clone();
            for change in now.changes_since(&known) {
                self.apply(change).await;
            }
            known = now;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(CHECK_EVERY) => self.check(),
            }
        }
        let names: Vec<ChannelName> = self.running.keys().cloned().collect();
        for name in &names {
            self.end(name, Command::Shutdown, false);
        }
        for (_, ending) in self.ending {
            let _ = ending.await;
        }
    }

    /// Starts tasks that have died again: a fault in one channel is not to keep it off the air, nor touch another.
    fn check(&mut self) {
        self.ending.retain(|_, ending| !ending.is_finished());
        let dead: Vec<Arc<Channel>> =
            self.running.values().filter(|r| r.task.is_finished()).map(|r| Arc::clone(&r.channel)).collect();
        for channel in dead {
            tracing::error!(channel = %channel.config.name, "the channel's task died; it starts again");
            self.take(&channel.config.name);
            self.start(&channel);
        }
    }

    async fn apply(&mut self, change: Change) {
        match change {
            Change::Added(channel) => self.add(&channel).await,
            Change::Updated { now, .. } => self.update(&now).await,
            Change::Removed(channel) => {
                let name = &channel.config.name;
                if !self.end(name, Command::End, true) {
                    self.surroundings.origin.remove(name.as_str());
                    self.surroundings.metrics.remove_channel(name.as_str());
                }
            }
        }
    }

    /// Waits until nothing of the channel's last task is left.
    async fn ended(&mut self, name: &ChannelName) {
        if let Some(ending) = self.ending.remove(name) {
            let _ = ending.await;
        }
    }

    /// Every channel has its URLs, also while it is stopped.
    async fn add(&mut self, channel: &Arc<Channel>) {
        self.ended(&channel.config.name).await;
        let name = channel.config.name.as_str();
        // A list that goes on after a restart must not count fewer discontinuities than the one before it.
        let kept = self.surroundings.registry.documents().load_continuity(&channel.config.name).await;
        let discontinuity_sequence = kept.ok().flatten().unwrap_or_default().discontinuity_sequence;
        let config = millstream_window::Config { discontinuity_sequence, ..window_config(&channel.config) };
        let origin = Arc::new(ChannelOrigin::new(Window::new(config), stale_after(&channel.config)));
        origin.set_dvr(dvr(&channel.config));
        self.surroundings.origin.insert(name, origin);
        if channel.config.enabled {
            self.start(channel);
        } else {
            self.show_stopped(channel);
        }
    }

    async fn update(&mut self, channel: &Arc<Channel>) {
        let name = &channel.config.name;
        match (self.running.get(name), channel.config.enabled) {
            (Some(running), true) => {
                let command = Command::Configure(Box::new(channel.config.clone()));
                if running.commands.send(command).await.is_err() {
                    tracing::error!(channel = %name, "the channel's task is gone; it starts again");
                    self.take(name);
                    self.start(channel);
                } else if let Some(running) = self.running.get_mut(name) {
                    running.channel = Arc::clone(channel);
                }
            }
            // The task says by itself that it is off air.
            (Some(_), false) => {
                self.end(name, Command::End, false);
            }
            (None, true) => {
                self.ended(name).await;
                self.start(channel);
            }
            (None, false) => self.show_stopped(channel),
        }
        if let Some(origin) = self.surroundings.origin.channel(name.as_str()) {
            origin.set_stale_after(stale_after(&channel.config));
            origin.set_dvr(dvr(&channel.config));
        }
    }

    fn start(&mut self, channel: &Arc<Channel>) {
        let name = channel.config.name.clone();
        let Some(origin) = self.surroundings.origin.channel(name.as_str()) else { return };
        let (source_in, source_out) = mpsc::channel(SOURCE_QUEUE);
        let (uploads, uploads_out) = mpsc::channel(UPLOAD_QUEUE);
        let (commands, command_out) = mpsc::channel(COMMAND_QUEUE);
        let surroundings = self.surroundings.clone();
        let opened = Arc::clone(channel);
        let task = tokio::spawn(async move {
            Task::open(surroundings, &opened, origin).await.run(source_out, uploads_out, command_out).await;
        });
        self.routes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.as_str().to_owned(), Route { source: source_in, uploads });
        self.running.insert(name, Running { channel: Arc::clone(channel), commands, task });
    }

    fn show_stopped(&self, channel: &Arc<Channel>) {
        if let Some(origin) = self.surroundings.origin.channel(channel.config.name.as_str()) {
            let metrics = self.surroundings.metrics.channel(channel.config.name.as_str());
            let clock = Arc::clone(&self.surroundings.clock);
            // Making a reporter writes the status that viewers' pages read.
            super::report::Reporter::new(channel.status.clone(), origin, clock, metrics, &channel.config);
        }
    }

    /// Takes the channel's route away, so that its publisher is let go.
    fn take(&mut self, name: &ChannelName) -> Option<Running> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
        self.running.remove(name)
    }

    /// Lets the channel's task end, and with `remove` everything of the channel go after it, without waiting: other
    /// channels' changes go on. `false` if it has no task.
    fn end(&mut self, name: &ChannelName, command: Command, remove: bool) -> bool {
        let Some(running) = self.take(name) else { return false };
        let (name, surroundings) = (name.clone(), self.surroundings.clone());
        let key = name.clone();
        let ending = tokio::spawn(async move {
            let mut task = running.task;
            let end = async {
                let _ = running.commands.send(command).await;
                (&mut task).await
            };
            match tokio::time::timeout(END_PATIENCE, end).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(channel = %name, %error, "the channel's task died"),
                Err(_) => {
                    tracing::error!(channel = %name, "the channel did not end in time and is cut");
                    task.abort();
                }
            }
            if remove {
                surroundings.origin.remove(name.as_str());
                surroundings.metrics.remove_channel(name.as_str());
            }
        });
        self.ending.insert(key, ending);
        true
    }
}

fn window_config(config: &ChannelConfig) -> millstream_window::Config {
    millstream_window::Config {
        list_duration: Duration::from_millis(config.window_seconds.millis().into()),
        ..millstream_window::Config::default()
    }
}

/// How far back viewers may go. What is not recorded is gone when it leaves the window; a recording of earlier is not
/// shown while the channel does not record.
fn dvr(config: &ChannelConfig) -> Duration {
    if config.record { Duration::from_millis(config.dvr_seconds.millis().into()) } else { Duration::ZERO }
}

/// Age of the newest media at which manifests answer 503. An encoded channel puts out filler, so three segments and a
/// moment without anything new mean that something is wrong here.
fn stale_after(config: &ChannelConfig) -> Duration {
    match config.mode {
        Mode::Abr => Duration::from_millis(3 * u64::from(config.segment_seconds.millis()) + 6000),
        Mode::Passthrough | Mode::Cmaf => passthrough::stale_after(config),
    }
}
