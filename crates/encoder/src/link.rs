//! The worker's side of the conversation: a reading thread, a writing thread, and the signs of life.
//!
//! Bounds: [`QUEUED_MESSAGES`] messages wait for the pipeline, [`OUTBOX_MESSAGES`] for the socket. A full queue holds
//! back whoever fills it, so that in the end the server keeps what the worker cannot take.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_encode_wire::frame;
use millstream_encode_wire::message::{FromWorker, ToWorker, WorkerStats};

use crate::clock;

/// Messages that wait for the pipeline.
const QUEUED_MESSAGES: usize = 32;
/// Messages that wait for the socket.
const OUTBOX_MESSAGES: usize = 256;
/// A piece of work longer than this is a hang: the worker then answers nothing more, and the server ends it.
const STUCK_AFTER: Duration = Duration::from_millis(2500);

/// Counters and signs of life that all threads share.
#[derive(Default)]
pub struct Shared {
    /// Pictures decoded.
    pub decoded: AtomicU64,
    /// Units that could not be decoded.
    pub decode_errors: AtomicU64,
    /// Frames of the grid made.
    pub frames_out: AtomicU64,
    /// Frames of the grid that repeat the one before.
    pub repeated: AtomicU64,
    /// Pictures without a slot.
    pub dropped: AtomicU64,
    /// When the pipeline began what it is doing, in milliseconds plus one; 0 while it waits for input.
    busy_since: AtomicU64,
}

impl Shared {
    /// The pipeline begins a piece of work, or comes forward in one.
    pub fn busy(&self) {
        self.busy_since.store(clock::uptime().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    /// The pipeline waits for input.
    pub fn idle(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    /// Counts one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn is_stuck(&self) -> bool {
        let since = self.busy_since.load(Ordering::Relaxed);
        since != 0 && clock::uptime() > Duration::from_millis(since) + STUCK_AFTER
    }

    fn stats(&self) -> WorkerStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerStats {
            decoded: get(&self.decoded),
            decode_errors: get(&self.decode_errors),
            frames_out: get(&self.frames_out),
            repeated: get(&self.repeated),
            dropped: get(&self.dropped),
            cpu_ms: clock::cpu_ms(),
        }
    }
}

/// Where messages to the server go.
#[derive(Clone)]
pub struct Outbox(SyncSender<(FromWorker, Bytes)>);

impl Outbox {
    /// Sends a message; waits while the socket is full. Without a server it goes nowhere.
    pub fn send(&self, message: FromWorker, payload: Bytes) {
        // The writing thread ends only with the process.
        let _ = self.0.send((message, payload));
    }

    /// Tells the operator something.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(FromWorker::Warning(text.into()), Bytes::new());
    }
}

/// What the pipeline is given.
pub type Inbox = Receiver<(ToWorker, Bytes)>;

/// Starts the threads on the socket. They end with the process.
pub fn start(socket: UnixStream, shared: &Arc<Shared>) -> std::io::Result<(Inbox, Outbox)> {
    let (to_pipeline, inbox) = mpsc::sync_channel(QUEUED_MESSAGES);
    let (to_socket, messages) = mpsc::sync_channel(OUTBOX_MESSAGES);
    let outbox = Outbox(to_socket);
    let writing = socket.try_clone()?;
    spawn("write", move || write(writing, &messages))?;
    let (pongs, health) = (outbox.clone(), shared.clone());
    spawn("read", move || read(socket, &to_pipeline, &pongs, &health))?;
    let (beats, health) = (outbox.clone(), shared.clone());
    spawn("stats", move || beat(&beats, &health))?;
    Ok((inbox, outbox))
}

/// Ends the process at once; used when the server is gone, while other threads are inside the libraries.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process without running anything else.
    unsafe { libc::_exit(code) }
}

/// Starts a thread with a name that `top -H` shows.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

/// Reads until the server closes its end, which ends the process.
fn read(mut socket: UnixStream, pipeline: &SyncSender<(ToWorker, Bytes)>, pongs: &Outbox, shared: &Shared) {
    let mut buffer = BytesMut::with_capacity(256 * 1024);
    let mut piece = vec![0; 64 * 1024];
    loop {
        loop {
            match frame::decode::<ToWorker>(&mut buffer) {
                Ok(Some((ToWorker::Ping { token }, _))) => {
                    if !shared.is_stuck() {
                        pongs.send(FromWorker::Pong { token }, Bytes::new());
                    }
                }
                Ok(Some(message)) => {
                    if pipeline.send(message).is_err() {
                        return; // The pipeline has finished; the writing thread ends the process.
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    pongs.warn(format!("the server sent {error}"));
                    exit_now(2);
                }
            }
        }
        match socket.read(&mut piece) {
            Ok(0) => exit_now(0),
            Ok(n) => buffer.extend_from_slice(piece.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => exit_now(1),
        }
    }
}

/// Writes what comes, many messages with one call where they wait; ends the process after the last.
fn write(mut socket: UnixStream, messages: &Receiver<(FromWorker, Bytes)>) {
    let mut buffer = BytesMut::new();
    while let Ok(first) = messages.recv() {
        let mut next = Some(first);
        let mut finished = false;
        while let Some((message, payload)) = next.take() {
            finished = message == FromWorker::Finished;
            // A unit over the limit of a frame cannot be said; the viewer sees a gap.
            let _ = frame::encode(&message, &payload, &mut buffer);
            if buffer.len() < 64 * 1024 && !finished {
                next = messages.try_recv().ok();
            }
        }
        if socket.write_all(&buffer).is_err() {
            exit_now(1);
        }
        buffer.clear();
        if finished {
            exit_now(0);
        }
    }
}

/// Says the counters once a second, as long as the pipeline comes forward; ends the process if the server is gone
/// while everything else is stuck. (`PR_SET_PDEATHSIG` would do that too, but it fires when the server's thread that
/// started the worker ends, and threads of a server come and go.)
#[allow(clippy::disallowed_methods, reason = "the worker's own heartbeat; nothing of media time depends on it")]
fn beat(outbox: &Outbox, shared: &Shared) {
    let parent = std::os::unix::process::parent_id();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        if std::os::unix::process::parent_id() != parent {
            exit_now(0);
        }
        if !shared.is_stuck() {
            // A full queue shows life by itself.
            let _ = outbox.0.try_send((FromWorker::Stats(shared.stats()), Bytes::new()));
        }
    }
}
