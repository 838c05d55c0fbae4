//! One video rendition: its encoder on a thread of its own, fed with scaled pictures in the order of their slots.

use std::sync::mpsc::{self, Receiver, SyncSender};

use bytes::Bytes;
use millstream_encode_wire::message::{FromWorker, VideoCodec, VideoRendition};
use millstream_media::codec::nal::{NalCodec, Strip, annexb_to_length_prefixed};
use millstream_media::codec::{Av1Config, AvcConfig, HevcConfig};
use millstream_media::grid::{FrameIndex, SegmentGrid};

use crate::libav::{Coded, Encoder, Frame, VideoEncoderSetup, has_encoder};
use crate::link::{self, Outbox};
use crate::options;

/// Pictures that wait for one encoder.
const QUEUED_PICTURES: usize = 4;

/// A picture for one slot.
struct Job {
    frame: FrameIndex,
    key: bool,
    picture: Frame,
}

/// A running rendition. Dropping it without [`Running::finish`] abandons what it holds back.
pub struct Running {
    jobs: SyncSender<Job>,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    /// Starts the thread. Frames before `resume` are out already and are not made again.
    pub fn start(
        rendition: VideoRendition,
        grid: SegmentGrid,
        resume: FrameIndex,
        outbox: Outbox,
    ) -> std::io::Result<Running> {
        let (jobs, queue) = mpsc::sync_channel(QUEUED_PICTURES);
        let name = format!("enc-{}", rendition.name);
        let thread = link::spawn(&name, move || Work { rendition, grid, resume, outbox }.run(&queue))?;
        Ok(Running { jobs, thread })
    }

    /// Gives it the picture of a slot; waits while the encoder is behind.
    pub fn push(&self, frame: FrameIndex, key: bool, picture: Frame) {
        // After a failure there is nobody to take it; the others go on.
        let _ = self.jobs.send(Job { frame, key, picture });
    }

    /// Whether it has ended by a failure.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets it encode what it holds back and end.
    pub fn finish(self) {
        drop(self.jobs);
        let _ = self.thread.join();
    }
}

/// An open encoder.
struct Run {
    encoder: Encoder,
    /// Its first frame.
    base: FrameIndex,
    /// Its configuration is known and said.
    announced: bool,
}

struct Work {
    rendition: VideoRendition,
    grid: SegmentGrid,
    resume: FrameIndex,
    outbox: Outbox,
}

impl Work {
    fn run(self, queue: &Receiver<Job>) {
        if let Err(reason) = self.encode(queue) {
            let name = self.rendition.name.clone();
            self.outbox.send(FromWorker::RenditionFailed { name, reason }, Bytes::new());
        }
    }

    fn encode(&self, queue: &Receiver<Job>) -> Result<(), String> {
        let setup = options::setup(&self.rendition, self.grid)?;
        let Some(first) = queue.iter().find(|job| job.frame >= self.resume) else { return Ok(()) };
        let mut run = Run { encoder: self.open(&setup)?, base: first.frame, announced: false };
        run.announced = self.announce(&run.encoder.extradata(), None, run.base)?;
        for mut job in std::iter::once(first).chain(queue.iter()) {
            let in_step = options::forces_keys(&setup.encoder) || self.grid.is_boundary(run.base);
            if !in_step && self.grid.is_boundary(job.frame) {
                self.flush(&mut run)?;
                run.encoder = self.open(&setup)?;
                run.base = job.frame;
            }
            // Frame numbers count from the encoder's first, so that equal pictures give equal bytes.
            job.picture.set_pts((job.frame - run.base) as i64);
            job.picture.force_key(job.key || job.frame == run.base);
            run.encoder.send(Some(&job.picture)).map_err(|e| self.failed(&e))?;
            drop(job);
            self.take(&mut run)?;
        }
        self.flush(&mut run)
    }

    /// Gets everything the encoder holds back.
    fn flush(&self, run: &mut Run) -> Result<(), String> {
        run.encoder.send(None).map_err(|e| self.failed(&e))?;
        self.take(run)
    }

    /// Delivers what is ready.
    fn take(&self, run: &mut Run) -> Result<(), String> {
        while let Some(coded) = run.encoder.receive().map_err(|e| self.failed(&e))? {
            run.announced = run.announced || self.announce(&[], Some(&coded), run.base)?;
            self.deliver(coded, run.base)?;
        }
        Ok(())
    }

    fn failed(&self, error: &crate::libav::Error) -> String {
        format!("rendition {}: {} failed ({error})", self.rendition.name, self.rendition.encoder)
    }

    fn open(&self, setup: &VideoEncoderSetup) -> Result<Encoder, String> {
        Encoder::open_video(setup).map_err(|error| {
            let VideoRendition { name, encoder, codec, preset, .. } = &self.rendition;
            if has_encoder(encoder) {
                format!(
                    "rendition {name}: {encoder} does not open ({error}); check that the device is there and that \
                     preset {preset:?}, size and bit rate are ones it knows, or use another encoder"
                )
            } else {
                format!(
                    "rendition {name}: this FFmpeg has no encoder {encoder}; install an FFmpeg that has it, or use \
                     one of {}",
                    options::known(*codec)
                )
            }
        })
    }

    /// Says that the rendition has started, once its configuration is known; `false` if it is not known yet.
    fn announce(&self, extradata: &[u8], first: Option<&Coded>, base: FrameIndex) -> Result<bool, String> {
        let source = match first {
            Some(coded) => &coded.data[..],
            None if extradata.is_empty() => return Ok(false),
            None => extradata,
        };
        let record = match self.rendition.codec {
            VideoCodec::H264 => AvcConfig::from_annexb(source).map(|c| c.record),
            VideoCodec::Hevc => HevcConfig::from_annexb(source).map(|c| c.record),
            VideoCodec::Av1 if source.first() == Some(&0x81) => Ok(Bytes::copy_from_slice(source)),
            VideoCodec::Av1 => Av1Config::from_obus(source).map(|c| c.record),
        };
        let VideoRendition { name, width, height, encoder, .. } = &self.rendition;
        let record = record.map_err(|e| format!("rendition {name}: {encoder} wrote an unusable configuration: {e}"))?;
        let message = FromWorker::RenditionStarted {
            name: name.clone(),
            audio: false,
            from_segment: self.grid.segment_of_frame(base),
            width: *width,
            height: *height,
        };
        self.outbox.send(message, record);
        Ok(true)
    }

    fn deliver(&self, coded: Coded, base: FrameIndex) -> Result<(), String> {
        let name = self.rendition.name.clone();
        let Ok(offset) = u64::try_from(coded.pts) else { return Ok(()) };
        let frame = base + offset;
        if self.grid.is_boundary(frame) && !coded.key {
            return Err(format!(
                "rendition {name}: {} makes no key frame where a segment begins; use another encoder",
                self.rendition.encoder
            ));
        }
        let codec = match self.rendition.codec {
            VideoCodec::H264 => Some(NalCodec::Avc),
            VideoCodec::Hevc => Some(NalCodec::Hevc),
            VideoCodec::Av1 => None,
        };
        let payload = match codec {
            Some(codec) => annexb_to_length_prefixed(&coded.data, codec, Strip::ParameterSetsAndFiller)
                .map_err(|e| format!("rendition {name}: the encoder wrote an unusable picture: {e}"))?,
            // The container marks where temporal units begin: their delimiters go (AV1 in ISOBMFF 2.4).
            None => Bytes::from(coded.data.strip_prefix(&[0x12, 0]).map(<[u8]>::to_vec).unwrap_or(coded.data)),
        };
        self.outbox.send(FromWorker::Video { name, frame, key: coded.key }, payload);
        Ok(())
    }
}
