//! The encoder of a channel: a task that owns the worker process and does what the supervisor says.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use millstream_encode_wire::frame;
use millstream_encode_wire::message::{FromWorker, Ladder};
use millstream_media::grid::{FrameIndex, SegmentGrid};
use millstream_media::time::{Clock, UtcTime};
use millstream_media::unit::Contribution;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::event::EncoderEvent;
use crate::process::{Connection, Launch, WorkerProcess};
use crate::supervisor::{self, Action, Supervisor};

/// Commands that wait for the task. A full queue holds the sender back.
const QUEUED_COMMANDS: usize = 64;
/// Events that wait for the owner.
const QUEUED_EVENTS: usize = 256;
/// Events beyond the queue with which the worker is still listened to.
const HELD_EVENTS: usize = 64;
/// Bytes encoded for the worker at a time.
const WRITE_BYTES: usize = 64 * 1024;

/// What an encoder is started with.
#[derive(Clone, Debug)]
pub struct EncoderConfig {
    /// Path of `millstream-encoder`; [`WorkerProcess::beside`] finds the one that was installed with this program.
    pub worker: PathBuf,
    /// Limit of the worker's address space in MiB; a 2160p ladder needs about 2,000.
    pub memory_mib: u64,
    /// Frame rate and segment length of the output.
    pub grid: SegmentGrid,
    /// What to make.
    pub ladder: Ladder,
    /// First frame of the output: the one nearest to the first unit's time.
    pub first_frame: FrameIndex,
    /// Text on the slate (ASCII, at most 64 characters).
    pub slate_text: String,
}

/// Starts encoders.
pub struct Encoder;

/// The way to an encoder. Dropping it without [`EncoderHandle::finish`] ends the worker at once.
#[derive(Clone, Debug)]
pub struct EncoderHandle(mpsc::Sender<Command>);

/// The encoder's task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encoder has ended")]
pub struct Ended;

#[derive(Debug)]
enum Command {
    Contribution(Contribution),
    Advance { until: UtcTime, slate: bool },
    Reconfigure { ladder: Ladder, at_segment: u64 },
    Finish,
}

impl Encoder {
    /// Starts an encoder on the current tokio runtime. A worker that cannot be started is tried again, and said in
    /// [`EncoderEvent::Warning`].
    pub fn spawn(config: EncoderConfig, clock: Arc<dyn Clock>) -> (EncoderHandle, mpsc::Receiver<EncoderEvent>) {
        let EncoderConfig { worker, memory_mib, grid, ladder, first_frame, slate_text } = config;
        let launch = WorkerProcess { path: worker, memory_mib };
        Self::spawn_with(supervisor::Config::new(grid, ladder, first_frame, slate_text), launch, clock)
    }

    /// As [`Encoder::spawn`], with every time and bound, and another way to start workers.
    pub fn spawn_with(
        config: supervisor::Config,
        launch: impl Launch,
        clock: Arc<dyn Clock>,
    ) -> (EncoderHandle, mpsc::Receiver<EncoderEvent>) {
        let (to_task, commands) = mpsc::channel(QUEUED_COMMANDS);
        let (events, from_task) = mpsc::channel(QUEUED_EVENTS);
        let supervisor = Supervisor::new(config, clock.mono());
        let task = Task { supervisor, launch, clock, commands, events, connection: None, finishing: false };
        tokio::spawn(task.run());
        (EncoderHandle(to_task), from_task)
    }
}

impl EncoderHandle {
    /// Gives a part of the contribution. Waits only while the task is busy; a slow worker does not hold the sender back:
    /// beyond 6 s whole GOPs are dropped and reported.
    ///
    /// # Errors
    /// [`Ended`] after the end.
    pub async fn send(&self, part: Contribution) -> Result<(), Ended> {
        self.command(Command::Contribution(part)).await
    }

    /// Makes all output up to `until`, with the last picture or the slate, and silence.
    ///
    /// # Errors
    /// [`Ended`] after the end.
    pub async fn advance(&self, until: UtcTime, slate: bool) -> Result<(), Ended> {
        self.command(Command::Advance { until, slate }).await
    }

    /// Makes `ladder` from segment `at_segment` on; if that has begun, from the next boundary.
    ///
    /// # Errors
    /// [`Ended`] after the end.
    pub async fn reconfigure(&self, ladder: Ladder, at_segment: u64) -> Result<(), Ended> {
        self.command(Command::Reconfigure { ladder, at_segment }).await
    }

    /// Encodes what is there; [`EncoderEvent::Finished`] says that all is out.
    ///
    /// # Errors
    /// [`Ended`] after the end.
    pub async fn finish(&self) -> Result<(), Ended> {
        self.command(Command::Finish).await
    }

    async fn command(&self, command: Command) -> Result<(), Ended> {
        self.0.send(command).await.map_err(|_| Ended)
    }
}

struct Task<L> {
    supervisor: Supervisor,
    launch: L,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<EncoderEvent>,
    connection: Option<Open>,
    finishing: bool,
}

struct Open {
    connection: Connection,
    input: BytesMut,
    output: BytesMut,
}

/// What woke the task.
enum Wake {
    Command(Option<Command>),
    Delivered,
    NoOwner,
    Written(io::Result<usize>),
    Read(io::Result<usize>),
    Timer,
}

impl<L: Launch> Task<L> {
    async fn run(mut self) {
        let mut event = None;
        loop {
            self.act().await;
            self.fill_output();
            if event.is_none() {
                event = self.supervisor.poll_event();
            }
            if event.is_none() && self.supervisor.is_over() {
                return;
            }
            match self.wait(&mut event).await {
                Wake::Command(Some(command)) => self.command(command),
                Wake::Command(None) if self.finishing => self.commands.close(),
                // The owner has gone without finishing.
                Wake::Command(None) | Wake::NoOwner => return,
                Wake::Delivered | Wake::Written(Ok(1..)) => {}
                Wake::Read(Ok(1..)) => self.receive(),
                Wake::Written(result) | Wake::Read(result) => self.lost(result.err()).await,
                Wake::Timer => {}
            }
            self.supervisor.tick(self.clock.mono());
        }
    }

    /// Does what the supervisor asks for.
    async fn act(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Kill => {
                    if let Some(open) = self.connection.take() {
                        // The new worker does not wait for the old one's end.
                        tokio::spawn(open.connection.end());
                    }
                }
                Action::Start => match self.launch.launch() {
                    Ok(connection) => {
                        self.connection = Some(Open { connection, input: BytesMut::new(), output: BytesMut::new() });
                        self.supervisor.started(self.clock.mono());
                    }
                    Err(error) => self.supervisor.died(format!("it cannot be started: {error}"), self.clock.mono()),
                },
            }
        }
    }

    /// Encodes messages for the worker, as many as are written at a time.
    fn fill_output(&mut self) {
        let Some(open) = &mut self.connection else { return };
        while open.output.len() < WRITE_BYTES {
            let Some((message, payload)) = self.supervisor.poll_message() else { return };
            if let Err(error) = frame::encode(&message, &payload, &mut open.output) {
                tracing::warn!(%error, "an access unit is left out");
            }
        }
    }

    async fn wait(&mut self, event: &mut Option<EncoderEvent>) -> Wake {
        let timer = self.supervisor.next_tick().since(self.clock.mono());
        let listens = self.supervisor.events_waiting() < HELD_EVENTS;
        if !listens {
            self.supervisor.paused(self.clock.mono());
        }
        let (reader, writer) = match &mut self.connection {
            Some(Open { connection, input, output }) => {
                (Some((&mut connection.reader, input)), Some((&mut connection.writer, output)))
            }
            None => (None, None),
        };
        let reads = reader.is_some() && listens;
        let writes = writer.as_ref().is_some_and(|(_, output)| !output.is_empty());
        tokio::select! {
            permit = self.events.reserve(), if event.is_some() => match permit {
                Ok(permit) => {
                    if let Some(event) = event.take() {
                        permit.send(event);
                    }
                    Wake::Delivered
                }
                Err(_) => Wake::NoOwner,
            },
            result = async {
                match reader {
                    Some((reader, input)) => reader.read_buf(input).await,
                    None => std::future::pending().await,
                }
            }, if reads => Wake::Read(result),
            result = async {
                match writer {
                    Some((writer, output)) => writer.write_buf(output).await,
                    None => std::future::pending().await,
                }
            }, if writes => Wake::Written(result),
            command = self.commands.recv(), if !(self.finishing && self.commands.is_closed()) => Wake::Command(command),
            () = tokio::time::sleep(timer) => Wake::Timer,
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Contribution(part) => self.supervisor.contribution(part, self.clock.mono()),
            Command::Advance { until, slate } => self.supervisor.advance(until, slate),
            Command::Reconfigure { ladder, at_segment } => self.supervisor.reconfigure(ladder, at_segment),
            Command::Finish => {
                self.finishing = true;
                self.supervisor.finish();
            }
        }
    }

    /// Hands what was read to the supervisor.
    fn receive(&mut self) {
        let now = self.clock.mono();
        while let Some(open) = &mut self.connection {
            match frame::decode::<FromWorker>(&mut open.input) {
                Ok(Some((message, payload))) => self.supervisor.message(message, payload, now),
                Ok(None) => return,
                Err(error) => {
                    self.supervisor.died(format!("it sent {error}"), now);
                    return;
                }
            }
        }
    }

    /// The worker's end is closed.
    async fn lost(&mut self, error: Option<io::Error>) {
        let Some(open) = self.connection.take() else { return };
        let status = open.connection.end().await;
        let reason = status.or(error.map(|e| e.to_string())).unwrap_or_else(|| "it closed the connection".to_owned());
        self.supervisor.died(reason, self.clock.mono());
    }
}
