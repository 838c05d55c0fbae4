//! From a file to an asset: the worker encodes, the assembly packages, the archive's recording stores.
//!
//! Media time begins at 1970-01-01T00:00:00Z with the first picture, so that segment numbers, names and times are a
//! function of the file and the ladder. An import that was stopped goes on with the first segment that the store does not
//! have of all renditions.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use millstream_archive::asset::{Asset, TrackInfo};
use millstream_archive::pictures::Pictures;
use millstream_archive::recording::Options;
use millstream_archive::{AssetId, Handle, Recording, Store, StoreError};
use millstream_encode::file_encoder::{FileEncoder, FileError, FileEvent, FilePlan};
use millstream_encode::ladder::{InputShape, LadderConfig};
use millstream_encode::process::WorkerProcess;
use millstream_encode::rate;
use millstream_encode_wire::message::{FileFacts, PictureKind, WorkerStats};
use millstream_media::cmaf;
use millstream_media::grid::SegmentGrid;
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track};
use millstream_package::assembly::{Assembly, Output};
use millstream_window::{Timing, period};
use tokio::sync::watch;

use crate::abreast::Abreast;

/// Segments handed over that the recording has not taken: its own bound in bytes is what holds an import back.
const QUEUE: usize = 4;
/// A recording that is stuck is not waited for longer when an import stops.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// What every import of a node shares.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The encode worker.
    pub worker: PathBuf,
    /// Limit of its address space in MiB.
    pub memory_mib: u64,
    /// The renditions.
    pub ladder: LadderConfig,
    /// Length of segments, in milliseconds.
    pub segment_millis: u32,
    /// Where assets go.
    pub store: Store,
    /// How recordings are put there. Its spool is not used: the uploaded file is there until all is stored.
    pub recording: Options,
}

/// What is made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The asset.
    pub asset: AssetId,
    /// Its title.
    pub title: String,
}

/// What an import tells while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The file was looked at.
    Probed(FileFacts),
    /// It goes on with this segment; those before are stored.
    GoesOn(u64),
    /// Media up to here is packaged.
    Position(UtcTime),
    /// The worker's counters.
    Stats(WorkerStats),
    /// For the operator.
    Note(String),
}

/// How an import ended.
#[derive(Debug)]
pub enum Outcome {
    /// The asset is whole, but for these losses.
    Done {
        /// What is missing of the file.
        losses: Vec<String>,
    },
    /// It was told to stop and can go on later.
    Stopped,
    /// The asset was deleted meanwhile.
    Deleted,
}

/// Why there is no asset, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The file, or the ladder for it: cause and mend. Trying again does not help.
    #[error("{0}")]
    Unusable(String),
    /// The worker ended. Another one may come further.
    #[error("{0}")]
    Worker(FileError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unreadable(reason) => Failure::Unusable(reason),
            error => Failure::Worker(error),
        }
    }
}

/// Imports a file, from where the store says it was left. `stop` ends it so that it can go on.
///
/// # Errors
/// [`Failure`]; what was made is stored, and the asset is left open.
pub async fn run(
    setup: &Setup,
    wanted: &Wanted,
    file: File,
    mut stop: watch::Receiver<bool>,
    mut tell: impl FnMut(News),
) -> Result<Outcome, Failure> {
    let worker = WorkerProcess { path: setup.worker.clone(), memory_mib: setup.memory_mib };
    let (mut encoder, facts) = FileEncoder::open(&worker, file).await?;
    let mut plan = plan(setup, &facts)?;
    tell(News::Probed(facts));
    let target = Timing::epoch_locked(plan.grid).target_duration();
    let asset = Asset::import(wanted.asset.clone(), &wanted.title, setup.store.clock().utc(), target);
    let options = Options { spool: None, patient: true, queue: QUEUE, ..setup.recording.clone() };
    let (handle, recording) = match Recording::open(setup.store.clone(), options, asset).await {
        Ok(opened) => opened,
        // It was ended before its document here could say so, or it is being deleted.
        Err(StoreError::Exists { .. }) => return ended_before(setup, wanted).await,
        Err(error) => return Err(error.into()),
    };
    let first = recording.next_number().unwrap_or(1);
    plan.first_frame = plan.grid.first_frame(first);
    if first > 1 {
        tell(News::GoesOn(first));
    }
    let mut stored = tokio::spawn(recording.run());
    let (pictures, put) = Pictures::begin_patient(setup.store.clone(), wanted.asset.clone());
    let mut drawn = tokio::spawn(put);
    let mut work = Work::new(&plan, first, handle, pictures);
    let made = {
        let encoding = std::pin::pin!(encode(&mut encoder, plan, &mut work, &mut tell));
        match select(encoding, std::pin::pin!(stop.wait_for(|s| *s))).await {
            Either::Left((made, _)) => made,
            Either::Right(_) => Ok(None),
        }
    };
    drop(encoder);
    let ends = matches!(made, Ok(Some(_)));
    if ends && let Some(position) = work.finish().await {
        tell(News::Position(position));
    }
    let has_any = work.has_any || first > 1;
    let was_deleted = work.handle.is_closed();
    if !ends || !has_any {
        // Cut instead, it stays open all the same.
        let left = tokio::time::timeout(LEAVE_WITHIN, work.handle.put_leave()).await;
        if left.is_err() {
            stored.abort();
        }
    }
    drop(work);
    // Until all is put; or not, if it is to stop.
    let all = async {
        let _ = (&mut drawn).await;
        (&mut stored).await
    };
    let stored = match select(std::pin::pin!(all), std::pin::pin!(stop.wait_for(|s| *s))).await {
        Either::Left((asset, _)) => asset.ok(),
        Either::Right(_) => None,
    };
    // The newest tiles are to be there when it goes on; what is put later than that would outlive a deletion.
    if !drawn.is_finished() && tokio::time::timeout(LEAVE_WITHIN, &mut drawn).await.is_err() {
        drawn.abort();
    }
    match made? {
        _ if was_deleted => Ok(Outcome::Deleted),
        Some(losses) if !has_any => Err(Failure::Unusable(match losses.is_empty() {
            true => "nothing of the file could be decoded; it is damaged, or not what its beginning says".to_owned(),
            false => losses.join("; "),
        })),
        Some(losses) if stored.is_some() => Ok(Outcome::Done { losses }),
        _ => Ok(Outcome::Stopped),
    }
}

/// The asset is not open any more.
async fn ended_before(setup: &Setup, wanted: &Wanted) -> Result<Outcome, Failure> {
    let (asset, _) = millstream_archive::documents::asset(&setup.store, &wanted.asset).await?;
    Ok(match asset.state {
        millstream_archive::State::Deleting => Outcome::Deleted,
        _ => Outcome::Done { losses: Vec::new() },
    })
}

/// Ends an import that cannot be gone on with: what is stored becomes a whole asset. Returns whether there is any.
///
/// # Errors
/// The store failed.
pub async fn close(setup: &Setup, wanted: &Wanted) -> Result<bool, StoreError> {
    let asset = match millstream_archive::documents::asset(&setup.store, &wanted.asset).await {
        Ok((asset, _)) => asset,
        Err(StoreError::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let options = Options { spool: None, ..setup.recording.clone() };
    let (handle, recording) = Recording::open(setup.store.clone(), options, asset).await?;
    if recording.next_number().is_none() {
        return Ok(false);
    }
    drop(handle);
    recording.run().await;
    Ok(true)
}

/// What is made of a file.
fn plan(setup: &Setup, facts: &FileFacts) -> Result<FilePlan, Failure> {
    let (mean, on_grid) = facts.video.as_ref().map_or((None, None), |v| (v.mean_rate, v.grid_rate));
    let grid = SegmentGrid::with_segment_millis(rate::of_file(mean, on_grid), setup.segment_millis);
    let shape =
        facts.video.as_ref().map(|v| InputShape { width: v.width, height: v.height, pixel_aspect: v.pixel_aspect });
    let mut ladder = setup.ladder.resolve(shape).map_err(|e| Failure::Unusable(e.to_string()))?;
    if facts.audio.is_none() {
        ladder.audio = None;
    }
    Ok(FilePlan { grid, ladder, first_frame: 0 })
}

/// Until the file was read (its losses), or the asset is deleted (`None`).
async fn encode(
    encoder: &mut FileEncoder,
    plan: FilePlan,
    work: &mut Work,
    tell: &mut impl FnMut(News),
) -> Result<Option<Vec<String>>, Failure> {
    encoder.start(plan).await?;
    let mut losses = Vec::new();
    loop {
        match encoder.next().await? {
            FileEvent::Started { track, from_segment } => work.started(track, from_segment),
            FileEvent::Failed { name, reason } => {
                work.failed(&name);
                tell(News::Note(format!("rendition {name} cannot be made: {reason}")));
            }
            FileEvent::Sample { rendition, sample } => work.sample(rendition, sample),
            FileEvent::Picture { kind: PictureKind::Tile, time, data } => work.pictures.put_tile(time, data).await,
            FileEvent::Picture { kind: PictureKind::Poster, data, .. } => work.pictures.put_poster(data).await,
            FileEvent::Stats(stats) => tell(News::Stats(stats)),
            FileEvent::Warning(text) => tell(News::Note(text)),
            FileEvent::Read { losses: said } => losses = said,
            FileEvent::Finished => return Ok(Some(losses)),
        }
        if let Some(position) = work.hand_over().await {
            tell(News::Position(position));
        }
        if work.handle.is_closed() {
            return Ok(None);
        }
    }
}

/// The packaging of one import.
struct Work {
    grid: SegmentGrid,
    handle: Handle,
    pictures: Pictures,
    assembly: Assembly,
    abreast: Abreast,
    /// The rendition by which the picture's time is known.
    leading: Option<RenditionName>,
    sound: Option<RenditionName>,
    tracks: Vec<Track>,
    /// Tracks that are in force with the next segment.
    line_up: Option<(u64, Vec<(Track, Bytes)>)>,
    chunks: BTreeMap<RenditionName, Vec<Chunk>>,
    jumped: Option<u64>,
    has_any: bool,
}

impl Work {
    fn new(plan: &FilePlan, first: u64, handle: Handle, pictures: Pictures) -> Self {
        let video: Vec<RenditionName> = plan.ladder.video.iter().map(|r| r.name.clone()).collect();
        let audio = plan.ladder.audio.iter().map(|r| r.name.clone()).collect();
        Work {
            grid: plan.grid,
            handle,
            pictures,
            abreast: Abreast::new(!video.is_empty()),
            leading: video.first().cloned(),
            sound: plan.ladder.audio.as_ref().map(|a| a.name.clone()),
            // A segment is one chunk: nobody reads it while it is made.
            assembly: Assembly::new(plan.grid, plan.grid.frames_per_segment(), first, video, audio),
            tracks: Vec::new(),
            line_up: None,
            chunks: BTreeMap::new(),
            jumped: None,
            has_any: false,
        }
    }

    fn started(&mut self, track: Track, from_segment: u64) {
        complain(self.assembly.started(track, from_segment));
    }

    fn failed(&mut self, name: &RenditionName) {
        complain(self.assembly.failed(name));
    }

    fn sample(&mut self, rendition: RenditionName, sample: millstream_media::unit::Sample) {
        if self.leading.as_ref() == Some(&rendition) {
            let frame = sample.dts / u64::from(self.grid.rate().frame_ticks());
            self.abreast.picture(self.grid.frame_time(frame + 1));
        }
        let is_sound = self.sound.as_ref() == Some(&rendition);
        if is_sound {
            self.abreast.sound(rendition, sample);
        } else {
            complain(self.assembly.sample(&rendition, sample));
        }
        while let Some((rendition, sample)) = self.abreast.pull() {
            complain(self.assembly.sample(&rendition, sample));
        }
    }

    /// Closes what is open and hands it over. Returns its end.
    async fn finish(&mut self) -> Option<UtcTime> {
        complain(self.assembly.finish());
        self.hand_over().await
    }

    /// Hands over what is whole, and waits for room. Returns the end of the newest segment.
    async fn hand_over(&mut self) -> Option<UtcTime> {
        let mut position = None;
        while let Some(output) = self.assembly.poll() {
            match output {
                Output::BeginPeriod { first_segment, tracks } => {
                    self.tracks.clone_from(&tracks);
                    let with_init = tracks.into_iter().map(|t| {
                        let init = cmaf::init_segment(&t);
                        (t, init)
                    });
                    self.line_up = Some((first_segment, with_init.collect()));
                }
                Output::Chunk(rendition, chunk) => self.chunks.entry(rendition).or_default().push(chunk),
                Output::Discontinuity(segment) => self.jumped = Some(segment),
                Output::Lost(rendition, _) => {
                    self.chunks.remove(&rendition);
                }
                Output::End(rendition, end) => position = self.segment(&rendition, end).await.or(position),
                Output::Warning(rendition, warning) => tracing::warn!(%rendition, %warning, "packaging an import"),
            }
        }
        position
    }

    async fn segment(&mut self, rendition: &RenditionName, end: SegmentEnd) -> Option<UtcTime> {
        let chunks = self.chunks.remove(rendition)?;
        if let Some((first, tracks)) = self.line_up.take() {
            let init = period::init_version(&tracks);
            let info = |track: &Track| TrackInfo { pictures: track.is_video(), ..TrackInfo::of(track) };
            let tracks = tracks.into_iter().map(|(track, init)| (info(&track), init)).collect();
            self.handle.put_line_up(first, &init, tracks).await.ok()?;
        }
        let jump = end.discontinuity || self.jumped == Some(end.segment);
        self.handle.put_segment(rendition, end.segment, jump, &chunks).await.ok()?;
        self.has_any = true;
        let scale = self.tracks.iter().find(|t| t.name == *rendition).map_or(Timescale::AUDIO_48K, |t| t.timescale);
        Some(UtcTime::from_ticks(end.start + end.duration, scale))
    }
}

fn complain(result: Result<(), millstream_package::assembly::Error>) {
    if let Err(error) = result {
        tracing::warn!(%error, "packaging an import");
    }
}
