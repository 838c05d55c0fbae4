//! What server and worker say to each other.

use millstream_media::grid::{FrameIndex, SegmentGrid};
use millstream_media::time::UtcTime;
use millstream_media::track::RenditionName;
use serde::{Deserialize, Serialize};

/// Codec of an elementary stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264.
    H264,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
}

/// Codec of an audio elementary stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// AAC.
    Aac,
    /// Opus.
    Opus,
}

/// One video rendition of the ladder, every field resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoRendition {
    /// Name in URLs.
    pub name: RenditionName,
    /// Output codec.
    pub codec: VideoCodec,
    /// FFmpeg encoder name, such as `libx264` or `h264_nvenc`.
    pub encoder: String,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Target bit rate in bit/s; the VBV maximum rate is 1.1 times it and the buffer holds one second.
    pub bit_rate: u32,
    /// Encoder preset, such as `veryfast`.
    pub preset: String,
}

/// The audio rendition: AAC-LC at 48 kHz.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioRendition {
    /// Name in URLs.
    pub name: RenditionName,
    /// Target bit rate in bit/s.
    pub bit_rate: u32,
    /// Channels, 1 or 2.
    pub channels: u8,
}

/// Everything the worker is to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// Video renditions, highest first; may be empty (audio only).
    pub video: Vec<VideoRendition>,
    /// The audio rendition; always there, silence where the contribution has no audio.
    pub audio: Option<AudioRendition>,
}

/// A coded unit's times as the worker is given them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitTimes {
    /// Presentation time, UTC media time.
    pub pts: UtcTime,
    /// Decode time.
    pub dts: UtcTime,
    /// A random access point.
    pub key: bool,
}

/// Server to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// First message. Output begins with frame `first_frame` (an IDR, wherever it lies) and, for audio, with the first
    /// 1024-sample frame at or after that frame's time.
    Start {
        /// [`crate::VERSION`].
        version: u16,
        /// Frame rate and segment length of the output.
        grid: SegmentGrid,
        /// What to make.
        ladder: Ladder,
        /// First frame to output.
        first_frame: FrameIndex,
        /// First audio frame to output, in samples at 48 kHz since the epoch, a multiple of 1024.
        first_audio: u64,
        /// Renditions whose frames are out already further than `first_frame`, and the frame each goes on with (an
        /// IDR). After a restart this keeps every rendition without gap and without repetition.
        resume: Vec<(RenditionName, FrameIndex)>,
        /// Text on the slate shown after a time of input loss (ASCII, at most 64 characters).
        slate_text: String,
    },
    /// The contribution's video configuration (again whenever it changes). Payload: the codec's configuration record
    /// (avcC, hvcC or av1C body).
    VideoConfig {
        /// Codec.
        codec: VideoCodec,
    },
    /// The contribution's audio configuration. Payload: AudioSpecificConfig, or dOps body.
    AudioConfig {
        /// Codec.
        codec: AudioCodec,
    },
    /// A video access unit. Payload: its bytes.
    Video(UnitTimes),
    /// An audio access unit. Payload: its bytes.
    Audio(UnitTimes),
    /// Time passes: make every output frame (video and audio) up to `until`, repeating what is there.
    /// Said when the contribution is late or lost, and to bound the wait for one missing track.
    Advance {
        /// Media time up to which output is due.
        until: UtcTime,
        /// Show the slate instead of the last frame.
        slate: bool,
    },
    /// From the first frame of segment `at_segment` on make `ladder` instead. If that frame is already out, at the next
    /// boundary; [`FromWorker::RenditionStarted`] says which it was.
    Reconfigure {
        /// The new ladder.
        ladder: Ladder,
        /// Segment at which it takes effect.
        at_segment: u64,
    },
    /// Answer with [`FromWorker::Pong`]; shows that the worker is alive.
    Ping {
        /// Echoed.
        token: u64,
    },
    /// Encode what is there, flush, answer [`FromWorker::Finished`], exit.
    Finish,
}

/// Worker to server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// First message: the worker is up.
    Hello {
        /// [`crate::VERSION`].
        version: u16,
        /// libavcodec's version and licence, for the log.
        library: String,
    },
    /// A rendition's encoder is open. Payload: its configuration record (avcC, hvcC, av1C) or AudioSpecificConfig.
    /// Comes before the first unit made with it.
    RenditionStarted {
        /// Which rendition.
        name: RenditionName,
        /// `true` for the audio rendition.
        audio: bool,
        /// First segment made with it.
        from_segment: u64,
        /// Width and height in pixels (0 for audio).
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A rendition left the ladder; its last unit was said before this. Another of the same name may follow.
    RenditionEnded {
        /// Which rendition.
        name: RenditionName,
        /// First segment without it.
        at_segment: u64,
    },
    /// A rendition cannot be made; the others go on.
    RenditionFailed {
        /// Which rendition.
        name: RenditionName,
        /// Cause and mend, for the operator.
        reason: String,
    },
    /// An encoded picture, in presentation order (there are no B-frames). Payload: length-prefixed NAL units
    /// (4-byte lengths) or OBUs, parameter sets removed.
    Video {
        /// Which rendition.
        name: RenditionName,
        /// Its slot on the frame grid.
        frame: FrameIndex,
        /// An IDR.
        key: bool,
    },
    /// An encoded audio frame. Payload: one raw AAC frame.
    Audio {
        /// Which rendition.
        name: RenditionName,
        /// Start in samples at 48 kHz since the epoch, a multiple of 1024.
        start: u64,
    },
    /// A picture of what is shown, by itself. Payload: a JPEG. For each tile of the storyboard
    /// ([`millstream_media::storyboard`]) one comes, and posters now and then.
    Picture {
        /// What it is for.
        kind: PictureKind,
        /// Its slot on the frame grid.
        frame: FrameIndex,
    },
    /// What the decoded input looks like now; again whenever it changes.
    Input {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Interlaced (it is then deinterlaced).
        interlaced: bool,
    },
    /// About once a second.
    Stats(WorkerStats),
    /// Something an operator should know; the worker goes on.
    Warning(String),
    /// Answer to [`ToWorker::Ping`].
    Pong {
        /// As asked.
        token: u64,
    },
    /// Everything is out; the worker exits.
    Finished,
    /// The worker was started on a file, has opened it, and waits for [`ToWorker::Start`]. The zero of media time is the
    /// beginning of the file; units come from the file, so that nothing else is sent to it.
    Probed(FileFacts),
    /// The worker was started on a file that cannot be imported: cause and mend. [`FromWorker::Finished`] follows.
    Unreadable(String),
    /// The file was read to its end; all units made of it were said before this.
    FileRead {
        /// What is missing of it, for the operator: at most [`MAX_NOTES`].
        losses: Vec<String>,
    },
}

/// What a picture is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureKind {
    /// A tile of the storyboard, in the storyboard's size.
    Tile,
    /// To stand for the whole: at most 640 pixels wide and high, in its own shape.
    Poster,
}

/// Most notes on a file.
pub const MAX_NOTES: usize = 16;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// FFmpeg's name of the container.
    pub container: String,
    /// Length in nanoseconds, as the file says or its last units show.
    pub duration: Option<u64>,
    /// The video track that is taken.
    pub video: Option<FileVideo>,
    /// The audio track that is taken.
    pub audio: Option<FileAudio>,
    /// What is left out or changed, for the operator: at most [`MAX_NOTES`].
    pub notes: Vec<String>,
}

/// The video track of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVideo {
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Width in pixels, as shown (turned by the file's rotation).
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
    /// Shape of a pixel, width over height.
    pub pixel_aspect: (u32, u32),
    /// Mean pictures per second as a fraction; `None` where the file does not tell.
    pub mean_rate: Option<(u32, u32)>,
    /// The lowest rate on whose grid all pictures seem to lie, as a fraction.
    pub grid_rate: Option<(u32, u32)>,
}

/// The audio track of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAudio {
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
}

/// Counters since the worker's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Pictures decoded.
    pub decoded: u64,
    /// Pictures that could not be decoded.
    pub decode_errors: u64,
    /// Frames of the grid made (each counts once for all renditions).
    pub frames_out: u64,
    /// Grid frames that repeat the one before (variable frame rate, loss).
    pub repeated: u64,
    /// Decoded pictures that found no slot (too late, or more than the grid holds).
    pub dropped: u64,
    /// CPU time of the whole worker process in milliseconds.
    pub cpu_ms: u64,
}
