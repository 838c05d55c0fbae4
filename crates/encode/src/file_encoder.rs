//! The encoder of a file: a worker process that reads a file which this process opened, at its own pace.
//!
//! Nothing is dropped and nothing is repeated: the worker waits while its output is not taken. A worker that dies is not
//! started again here; whoever imports knows what is stored and begins there anew.

use std::fs::File;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_encode_wire::message::{FileFacts, FromWorker, Ladder, PictureKind, ToWorker, WorkerStats};
use millstream_encode_wire::{VERSION, frame};
use millstream_media::grid::{AAC_FRAME_SAMPLES, FrameIndex, SegmentGrid};
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track};
use millstream_media::unit::Sample;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::process::{Connection, WorkerProcess};
use crate::supervisor::track_of;

/// A worker that is listened to and says nothing for so long hangs. It says something each second, unless one piece of
/// work takes longer, such as looking through a large file without an index.
const SILENCE: Duration = Duration::from_secs(120);

/// What an encoder of a file says, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum FileEvent {
    /// A rendition starts.
    Started {
        /// Its track.
        track: Track,
        /// First segment made of it.
        from_segment: u64,
    },
    /// A rendition cannot be made; the others go on.
    Failed {
        /// Which one.
        name: RenditionName,
        /// Cause and mend.
        reason: String,
    },
    /// An encoded sample.
    Sample {
        /// Which rendition.
        rendition: RenditionName,
        /// On its track's timescale.
        sample: Sample,
    },
    /// A picture by itself: a tile of the storyboard, or a poster.
    Picture {
        /// Which of the two.
        kind: PictureKind,
        /// When it is shown.
        time: UtcTime,
        /// A JPEG.
        data: Bytes,
    },
    /// Counters, about once a second.
    Stats(WorkerStats),
    /// Something an operator should know.
    Warning(String),
    /// The file was read to its end; samples follow no more.
    Read {
        /// What is missing of it.
        losses: Vec<String>,
    },
    /// Everything was said.
    Finished,
}

/// Why a file cannot be encoded, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No worker.
    #[error("the encode worker cannot be started; install millstream-encoder beside millstream, or set encode.worker")]
    Start(#[source] io::Error),
    /// The file is at fault: cause and mend.
    #[error("{0}")]
    Unreadable(String),
    /// The worker ended, or hung.
    #[error("the encode worker ended: {0}")]
    Died(String),
}

/// What is to be made of a file.
#[derive(Clone, Debug)]
pub struct FilePlan {
    /// Frame rate and segment length.
    pub grid: SegmentGrid,
    /// The renditions.
    pub ladder: Ladder,
    /// First frame to make; frame 0 is the beginning of the file.
    pub first_frame: FrameIndex,
}

/// A worker on a file. Dropping it ends the worker.
pub struct FileEncoder {
    connection: Connection,
    input: BytesMut,
    plan: Option<FilePlan>,
}

impl FileEncoder {
    /// Starts a worker on `file`, which it reads from its beginning, and learns what the file holds.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn open(worker: &WorkerProcess, file: File) -> Result<(FileEncoder, FileFacts), FileError> {
        let connection = worker.launch_on(Some(file)).map_err(FileError::Start)?;
        let mut encoder = FileEncoder { connection, input: BytesMut::new(), plan: None };
        loop {
            match encoder.message().await?.0 {
                FromWorker::Hello { version, .. } if version != VERSION => {
                    let text = format!(
                        "it speaks version {version} of the protocol and the server {VERSION}; install millstream and \
                         millstream-encoder together"
                    );
                    return Err(FileError::Died(text));
                }
                FromWorker::Probed(facts) => return Ok((encoder, facts)),
                FromWorker::Unreadable(reason) => return Err(FileError::Unreadable(reason)),
                FromWorker::Warning(text) => tracing::warn!(text, "encode worker"),
                _ => {}
            }
        }
    }

    /// Begins to encode.
    ///
    /// # Errors
    /// The worker is gone.
    pub async fn start(&mut self, plan: FilePlan) -> Result<(), FileError> {
        let samples = plan.grid.frame_time(plan.first_frame).to_ticks(Timescale::AUDIO_48K);
        let start = ToWorker::Start {
            version: VERSION,
            grid: plan.grid,
            ladder: plan.ladder.clone(),
            first_frame: plan.first_frame,
            first_audio: samples.div_ceil(AAC_FRAME_SAMPLES) * AAC_FRAME_SAMPLES,
            resume: Vec::new(),
            slate_text: String::new(),
        };
        let mut wire = BytesMut::new();
        frame::encode(&start, &[], &mut wire).map_err(|e| FileError::Died(e.to_string()))?;
        self.plan = Some(plan);
        match self.connection.writer.write_all(&wire).await {
            Ok(()) => Ok(()),
            Err(error) => Err(FileError::Died(error.to_string())),
        }
    }

    /// What the worker says next. It waits while nobody asks. May be cancelled.
    ///
    /// # Errors
    /// The worker is gone.
    pub async fn next(&mut self) -> Result<FileEvent, FileError> {
        loop {
            let (message, payload) = self.message().await?;
            let Some(plan) = &self.plan else { continue };
            return Ok(match message {
                FromWorker::RenditionStarted { name, audio, from_segment, width, height } => {
                    match track_of(&plan.ladder, plan.grid, &name, audio, (width, height), payload) {
                        Ok(track) => FileEvent::Started { track, from_segment },
                        Err(reason) => FileEvent::Failed { name, reason },
                    }
                }
                FromWorker::RenditionFailed { name, reason } => FileEvent::Failed { name, reason },
                FromWorker::Video { name, frame, key } => {
                    let (dts, duration) = (plan.grid.frame_ticks(frame), plan.grid.rate().frame_ticks());
                    let sample = Sample { dts, composition_offset: 0, duration, key, data: payload };
                    FileEvent::Sample { rendition: name, sample }
                }
                FromWorker::Audio { name, start } => {
                    let duration = AAC_FRAME_SAMPLES as u32;
                    let sample = Sample { dts: start, composition_offset: 0, duration, key: true, data: payload };
                    FileEvent::Sample { rendition: name, sample }
                }
                FromWorker::Picture { kind, frame } => {
                    FileEvent::Picture { kind, time: plan.grid.frame_time(frame), data: payload }
                }
                FromWorker::Stats(stats) => FileEvent::Stats(stats),
                FromWorker::Warning(text) => FileEvent::Warning(text),
                FromWorker::FileRead { losses } => FileEvent::Read { losses },
                FromWorker::Finished => FileEvent::Finished,
                _ => continue,
            });
        }
    }

    async fn message(&mut self) -> Result<(FromWorker, Bytes), FileError> {
        loop {
            match frame::decode::<FromWorker>(&mut self.input) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(error) => return Err(FileError::Died(format!("it sent {error}"))),
            }
            match tokio::time::timeout(SILENCE, self.connection.reader.read_buf(&mut self.input)).await {
                Ok(Ok(1..)) => {}
                Ok(read) => {
                    let error = read.err().map(|e| e.to_string());
                    let status = match &mut self.connection.process {
                        Some(process) => process.wait().await.ok().map(|s| s.to_string()),
                        None => None,
                    };
                    let reason = status.or(error).unwrap_or_else(|| "it closed the connection".to_owned());
                    return Err(FileError::Died(reason));
                }
                Err(_) => return Err(FileError::Died(format!("nothing was heard of it for {} s", SILENCE.as_secs()))),
            }
        }
    }
}
