//! A segment's pictures encoded again: the worker reads them as a file of this process's memory, and makes them in the
//! codec, size, rate and bit rate that they have.
//!
//! In the file one picture follows the other on the grid of the track's rate, whatever times they have: by their places they
//! are found again.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use millstream_archive::precise::{Recode, RecodeError, Recoded, Recoder};
use millstream_encode::file_encoder::{FileEncoder, FileError, FileEvent, FilePlan};
use millstream_encode::ladder::{AudioSettings, InputShape, LadderConfig, RenditionConfig};
use millstream_encode::process::WorkerProcess;
use millstream_encode_wire::message::VideoCodec;
use millstream_media::cmaf::{ChunkHead, chunk, init_segment};
use millstream_media::codec::VideoConfig;
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::track::TrackMedia;
use millstream_media::unit::Sample;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::Semaphore;

/// Workers for the ends of clips at once, of all clips.
const WORKERS: usize = 2;
/// Most pictures of a segment: a minute at 60 a second.
const MAX_PICTURES: usize = 3600;

/// Encodes with this worker.
pub fn recoder(worker: PathBuf, memory_mib: u64) -> Recoder {
    let (worker, seats) = (Arc::new(WorkerProcess { path: worker, memory_mib }), Arc::new(Semaphore::new(WORKERS)));
    Arc::new(move |job| {
        let (worker, seats) = (Arc::clone(&worker), Arc::clone(&seats));
        Box::pin(async move {
            let _seat = seats.acquire_owned().await.map_err(|e| RecodeError::Failed(e.to_string()))?;
            recode(&worker, job).await
        })
    })
}

async fn recode(worker: &WorkerProcess, job: Recode) -> Result<Recoded, RecodeError> {
    let unable = |why: &str| RecodeError::Unable(format!("rendition {} {why}", job.track.name));
    let TrackMedia::Video { config, width, height, frame_rate } = &job.track.media else {
        return Err(unable("has no pictures"));
    };
    if job.samples.len() > MAX_PICTURES {
        return Err(unable("has segments of more than 3600 pictures"));
    }
    let rate = frame_rate.or_else(|| mean_rate(&job)).ok_or_else(|| unable("has no frame rate that can be made"))?;
    let video = RenditionConfig {
        name: Some(job.track.name.clone()),
        height: *height,
        width: Some(*width),
        codec: codec_of(config),
        encoder: None,
        bit_rate: Some(job.track.bit_rate.max(10_000)),
        preset: None,
    };
    let ladder = LadderConfig { video: vec![video], audio: AudioSettings::default() };
    let shape = InputShape { width: *width, height: *height, pixel_aspect: (1, 1) };
    let mut ladder = ladder.resolve(Some(shape)).map_err(|e| RecodeError::Unable(e.to_string()))?;
    ladder.audio = None;
    // One run without a boundary: no key frame but the first.
    let grid = u32::try_from(job.samples.len()).ok().and_then(|count| SegmentGrid::new(rate, count + 1));
    let grid = grid.ok_or_else(|| unable("has too many pictures"))?;
    let file = file_of(&job, rate).map_err(|e| RecodeError::Failed(e.to_string()))?;
    let (mut encoder, facts) = FileEncoder::open(worker, file).await.map_err(failed)?;
    if facts.video.as_ref().is_some_and(|v| v.pixel_aspect.0 != v.pixel_aspect.1) {
        return Err(unable("has pixels that are not square, which the encode worker would make square"));
    }
    encoder.start(FilePlan { grid, ladder, first_frame: job.first as u64 }).await.map_err(failed)?;
    let mut made = None;
    let mut pictures: Vec<(bool, Bytes)> = Vec::with_capacity(job.end - job.first);
    while pictures.len() < job.end - job.first {
        match encoder.next().await.map_err(failed)? {
            FileEvent::Started { track, .. } => match track.media {
                TrackMedia::Video { config, .. } => made = Some(config),
                TrackMedia::Audio { .. } => {}
            },
            FileEvent::Failed { reason, .. } => return Err(unable(&format!("cannot be encoded here: {reason}"))),
            FileEvent::Sample { sample, .. } => {
                let place = sample.dts / u64::from(rate.frame_ticks());
                if place != (job.first + pictures.len()) as u64 || (pictures.is_empty() && !sample.key) {
                    let text = format!("the encode worker made picture {place} out of turn");
                    return Err(RecodeError::Failed(text));
                }
                pictures.push((sample.key, sample.data));
            }
            FileEvent::Warning(text) => tracing::warn!(text, "encoding the end of a clip"),
            FileEvent::Finished => {
                let (made, all) = (pictures.len(), job.end - job.first);
                return Err(RecodeError::Failed(format!("the encode worker made {made} of {all} pictures")));
            }
            _ => {}
        }
    }
    let config = made.ok_or_else(|| RecodeError::Failed("the encode worker said no parameters".to_owned()))?;
    Ok(Recoded { config, pictures })
}

const fn codec_of(config: &VideoConfig) -> VideoCodec {
    match config {
        VideoConfig::Avc(_) => VideoCodec::H264,
        VideoConfig::Hevc(_) => VideoCodec::Hevc,
        VideoConfig::Av1(_) => VideoCodec::Av1,
    }
}

/// By the number of pictures in the segment.
fn mean_rate(job: &Recode) -> Option<FrameRate> {
    let ticks: u64 = job.samples.iter().map(|s| u64::from(s.duration)).sum();
    let pictures = job.samples.len() as u64 * u64::from(job.track.timescale.get());
    FrameRate::new(u32::try_from((pictures + ticks / 2).checked_div(ticks)?.clamp(1, 240)).ok()?, 1)
}

/// The segment as a file in memory whose pictures follow one another at `rate`.
fn file_of(job: &Recode, rate: FrameRate) -> io::Result<File> {
    let mut order: Vec<usize> = (0..job.samples.len()).collect();
    let shown = |i: &usize| job.samples.get(*i).map(|s| s.dts.saturating_add_signed(i64::from(s.composition_offset)));
    order.sort_by_key(shown);
    let mut places = vec![0_i64; order.len()];
    for (place, sample) in order.into_iter().enumerate() {
        if let Some(of) = places.get_mut(sample) {
            *of = place as i64;
        }
    }
    // So that none is shown before it is decoded.
    let delay = places.iter().enumerate().map(|(i, place)| i as i64 - place).max().unwrap_or(0);
    let scale = i64::from(job.track.timescale.get()) * i64::from(rate.den());
    let ticks = |frames: i64| (frames * scale + i64::from(rate.num()) / 2) / i64::from(rate.num());
    let place = |(i, (sample, place)): (usize, (&Sample, i64))| {
        let dts = ticks(i as i64);
        Sample {
            dts: u64::try_from(dts).unwrap_or(0),
            composition_offset: i32::try_from(ticks(place + delay) - dts).unwrap_or(0),
            duration: u32::try_from(ticks(i as i64 + 1) - dts).unwrap_or(1),
            ..sample.clone()
        }
    };
    let samples: Vec<Sample> = job.samples.iter().zip(places).enumerate().map(place).collect();
    let head = ChunkHead { segment: 0, part: 0, opens_at: None };
    let chunk = chunk(head, &samples).map_err(io::Error::other)?;
    let mut file = File::from(memfd_create("clip", MemfdFlags::CLOEXEC)?);
    file.write_all(&init_segment(&job.track))?;
    file.write_all(&chunk.bytes)?;
    Ok(file)
}

fn failed(error: FileError) -> RecodeError {
    match error {
        FileError::Unreadable(why) => RecodeError::Unable(why),
        FileError::Start(_) => RecodeError::Unable(error.to_string()),
        FileError::Died(_) => RecodeError::Failed(error.to_string()),
    }
}
