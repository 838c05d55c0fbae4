//! The ends of a clip that begins and ends between segments: of the first and the last segment what is in the clip is made
//! anew, in the clip's own folder; all in between are the recording's.
//!
//! Sound is cut at its frames and copied. Pictures behind the cut at the end are left out, and what is before is copied;
//! only the pictures from the cut at the start to the end of their segment are encoded again, since the first of them must
//! be a key frame. If the encoder's parameters are those of the recording, its init segment stays; otherwise what is made
//! has another one, behind a discontinuity.
//!
//! Bounds: two segments of each rendition in memory, two renditions encoded at once, a minute for all.

mod samples;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use millstream_media::cmaf::read::{self, InitCodec};
use millstream_media::cmaf::{ChunkHead, chunk, init_segment};
use millstream_media::codec::VideoConfig;
use millstream_media::time::UtcTime;
use millstream_media::track::{Track, TrackMedia};
use millstream_media::unit::Sample;
use millstream_window::period::init_version;
use object_store::PutPayload;

use crate::asset::{AssetId, LineUp, Media, Range, TrackInfo};
use crate::index::{Cell, Row, line_up};
use crate::layout;
use crate::store::{Store, StoreError};
use samples::{Range as Ranks, Timed};

/// Renditions that are encoded at once.
const AT_ONCE: usize = 2;
/// So long the ends of a clip may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Pictures that are to be encoded again.
#[derive(Clone, Debug)]
pub struct Recode {
    /// Their track.
    pub track: Track,
    /// A segment of it, in decode order, beginning with a key frame.
    pub samples: Vec<Sample>,
    /// The first picture that is wanted, in the order of presentation.
    pub first: usize,
    /// Behind the last one.
    pub end: usize,
}

/// Pictures that were encoded again, the first a key frame, in the order of presentation, which is that of decoding.
#[derive(Clone, Debug)]
pub struct Recoded {
    /// Codec configuration.
    pub config: VideoConfig,
    /// As many as wanted: whether it is a key frame, and its bytes.
    pub pictures: Vec<(bool, Bytes)>,
}

/// Why pictures could not be encoded again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecodeError {
    /// This node cannot. Trying again does not help.
    #[error("{0}")]
    Unable(String),
    /// It went wrong.
    #[error("{0}")]
    Failed(String),
}

/// Encodes pictures again.
pub type Recoder = Arc<dyn Fn(Recode) -> BoxFuture<'static, Result<Recoded, RecodeError>> + Send + Sync>;

/// Why the ends were not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CutError {
    /// Pictures could not be encoded again.
    #[error("{0}")]
    Recode(#[from] RecodeError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// A clip's rows with its ends made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    /// Numbers of its first and its last row.
    pub numbers: (u64, u64),
    /// Its line-ups.
    pub line_ups: Vec<LineUp>,
    /// The rows that were made.
    pub rows: Vec<Row>,
}

/// Where a clip's segments come from and where its own go.
pub(crate) struct Place<'a> {
    pub store: &'a Store,
    pub of: &'a AssetId,
    pub clip: &'a AssetId,
}

/// Makes the ends of a clip of `rows` that shows [`start`, `end`). `None` if nothing of it is left.
pub(crate) async fn make(
    place: &Place<'_>,
    recoder: &Recoder,
    line_ups: &[LineUp],
    rows: &[Row],
    (start, end): (UtcTime, UtcTime),
) -> Result<Option<Made>, CutError> {
    let made = cut(place, recoder, line_ups, rows, (start, end));
    tokio::time::timeout(WITHIN, made).await.unwrap_or_else(|_| {
        let text = format!(
            "its ends were not encoded within {} s; try again when the server has less to do",
            WITHIN.as_secs()
        );
        Err(RecodeError::Failed(text).into())
    })
}

async fn cut(
    place: &Place<'_>,
    recoder: &Recoder,
    line_ups: &[LineUp],
    rows: &[Row],
    (start, end): (UtcTime, UtcTime),
) -> Result<Option<Made>, CutError> {
    // The frame that is nearest to the time, by the first track of the row. One at its end is the next row's first.
    let (mut first, mut last) = (0, rows.len());
    let mut from = None;
    while let Some(row) = rows.get(first) {
        match boundary(place, line_ups, row, start).await? {
            Boundary::Before => break,
            Boundary::At(at) => {
                from = Some(at);
                break;
            }
            Boundary::Behind => first += 1,
        }
    }
    let mut to = None;
    while let Some(row) = last.checked_sub(1).and_then(|i| rows.get(i)) {
        match boundary(place, line_ups, row, end).await? {
            Boundary::Behind => break,
            Boundary::At(at) => {
                to = Some(at);
                break;
            }
            Boundary::Before => last -= 1,
        }
    }
    let rows = rows.get(first..last).unwrap_or_default();
    let (Some(head), Some(tail)) = (rows.first(), rows.last()) else { return Ok(None) };
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Ok(None);
    }
    let mut made = Made { numbers: (head.number, tail.number), line_ups: Vec::new(), rows: Vec::new() };
    let is_one = head.number == tail.number;
    let mut middle = (head.number, u64::MAX);
    if from.is_some() || (is_one && to.is_some()) {
        let (row, own) = end_row(place, recoder, line_ups, head, (from, to.filter(|_| is_one))).await?;
        made.rows.push(row);
        made.line_ups.push(own);
        middle.0 = head.number + 1;
    }
    let mut own_tail = None;
    if !is_one && to.is_some() {
        let (row, own) = end_row(place, recoder, line_ups, tail, (None, to)).await?;
        made.rows.push(row);
        middle.1 = tail.number;
        own_tail = Some(own);
    }
    if middle.0 <= tail.number && middle.0 < middle.1 {
        if let Some(in_force) = line_up(middle.0, line_ups) {
            made.line_ups.push(LineUp { first: middle.0, ..in_force.clone() });
        }
        let later = line_ups.iter().filter(|l| l.first > middle.0 && l.first < middle.1 && l.first <= tail.number);
        made.line_ups.extend(later.cloned());
    }
    made.line_ups.extend(own_tail);
    Ok(Some(made))
}

/// Where a cut lies.
enum Boundary {
    /// At the row's start, or before.
    Before,
    /// Within.
    At(UtcTime),
    /// At the row's end, or behind.
    Behind,
}

async fn boundary(place: &Place<'_>, line_ups: &[LineUp], row: &Row, wanted: UtcTime) -> Result<Boundary, CutError> {
    let Some(line_up) = line_up(row.number, line_ups) else { return Ok(Boundary::Behind) };
    let cells = || line_up.tracks.iter().zip(&row.cells).filter(|(_, c)| c.is_some());
    let Some((track, _)) = cells().find(|(t, _)| t.is_video()).or_else(|| cells().next()) else {
        return Ok(Boundary::Behind);
    };
    let read = segment(place, line_up, row.number, track).await?;
    let timed = Timed::new(&read.samples, track.timescale);
    Ok(match timed.nearest(wanted) {
        0 => Boundary::Before,
        n if n >= timed.len() => Boundary::Behind,
        n => Boundary::At(timed.start(n)),
    })
}

/// A segment as it is stored.
struct Segment {
    init: Bytes,
    /// With its codec; `None` for one that is not read.
    track: Option<Track>,
    samples: Vec<Sample>,
}

async fn segment(place: &Place<'_>, line_up: &LineUp, number: u64, track: &TrackInfo) -> Result<Segment, CutError> {
    let path = layout::segment(place.of, &track.name, number);
    let corrupt = |reason: String| StoreError::Corrupt { path: path.to_string(), reason };
    if track.protection.is_some() {
        let text = "the recording is encrypted, and this node does not open it".to_owned();
        return Err(RecodeError::Unable(text).into());
    }
    let (init, _) = place.store.get(&layout::init(place.of, &track.name, &line_up.init)).await?;
    let (bytes, _) = place.store.get(&path).await?;
    let described = read::init(&init).map_err(|e| corrupt(e.to_string()))?;
    let mut samples = Vec::new();
    for chunk in read::chunks(&bytes, &described) {
        let chunk = chunk.map_err(|e| corrupt(e.to_string()))?;
        samples.extend(chunk.media_samples(&bytes).map_err(|e| corrupt(e.to_string()))?);
    }
    if samples.is_empty() {
        return Err(corrupt("it has no samples".to_owned()).into());
    }
    let media = match (described.codec, &track.media) {
        (InitCodec::Video(config), Media::Video { width, height, frame_rate, .. }) => {
            Some(TrackMedia::Video { config, width: *width, height: *height, frame_rate: *frame_rate })
        }
        (InitCodec::Audio(config), Media::Audio { .. }) => Some(TrackMedia::Audio { config }),
        _ => None,
    };
    let (name, timescale, bit_rate) = (track.name.clone(), track.timescale, track.bit_rate);
    let track = media.map(|media| Track { name, timescale, bit_rate, media });
    Ok(Segment { init, track, samples })
}

/// A track's part of an end.
struct Part {
    info: TrackInfo,
    track: Track,
    init: Bytes,
    is_new: bool,
    bytes: Bytes,
    cell: Cell,
}

/// Makes and puts the row that stands for `row`, from `from` to `to`.
async fn end_row(
    place: &Place<'_>,
    recoder: &Recoder,
    line_ups: &[LineUp],
    row: &Row,
    (from, to): (Option<UtcTime>, Option<UtcTime>),
) -> Result<(Row, LineUp), CutError> {
    let Some(source) = line_up(row.number, line_ups) else {
        let reason = format!("segment {} belongs to no tracks", row.number);
        return Err(StoreError::Corrupt { path: layout::file(place.of, layout::ASSET).to_string(), reason }.into());
    };
    let there = source.tracks.iter().zip(&row.cells).map(|(track, cell)| (track.clone(), cell.is_some()));
    let mut making: Vec<BoxFuture<'_, Result<Option<Part>, CutError>>> = Vec::new();
    for (info, is_there) in there {
        let cut = part(place, recoder, source, row.number, info, (from, to));
        making.push(Box::pin(async move { if is_there { cut.await.map(Some) } else { Ok(None) } }));
    }
    let parts: Vec<Option<Part>> = stream::iter(making).buffered(AT_ONCE).try_collect().await?;
    let there = || parts.iter().flatten();
    let has_own_init = there().any(|p| p.is_new);
    let version = if has_own_init {
        let tracks: Vec<(Track, Bytes)> = there().map(|p| (p.track.clone(), p.init.clone())).collect();
        format!("{}{}", LineUp::OWN_INIT, init_version(&tracks))
    } else {
        format!("{}{}", LineUp::OWN, source.init)
    };
    for part in there() {
        let name = &part.info.name;
        if has_own_init {
            let init = PutPayload::from(part.init.clone());
            place.store.put(&layout::init(place.clip, name, &version), init).await?;
        }
        let media = PutPayload::from(part.bytes.clone());
        place.store.put(&layout::segment(place.clip, name, row.number), media).await?;
    }
    let infos = source.tracks.iter().zip(&parts).map(|(info, p)| p.as_ref().map_or(info, |p| &p.info).clone());
    let own = LineUp { first: row.number, init: version, tracks: infos.collect() };
    let cells = parts.iter().map(|p| p.as_ref().map(|p| p.cell)).collect();
    Ok((Row { number: row.number, discontinuity: from.is_none() && row.discontinuity, cells }, own))
}

async fn part(
    place: &Place<'_>,
    recoder: &Recoder,
    line_up: &LineUp,
    number: u64,
    mut info: TrackInfo,
    (from, to): (Option<UtcTime>, Option<UtcTime>),
) -> Result<Part, CutError> {
    let Segment { mut init, track, samples } = segment(place, line_up, number, &info).await?;
    let unable = |why: &str| RecodeError::Unable(format!("rendition {} of the recording {why}", info.name));
    let mut track = track.ok_or_else(|| unable("has a codec that is not read here"))?;
    let timed = Timed::new(&samples, info.timescale);
    let Ranks { first, end } = timed.range(from, to);
    let mut is_new = false;
    let cut = if !info.is_video() || (first == 0 && timed.is_prefix(end)) {
        timed.copied(first, end)
    } else {
        if matches!(info.media, Media::Video { range, .. } if range != Range::Sdr) {
            return Err(unable("is HDR, which the encode worker would make SDR").into());
        }
        let wanted = Recode { track: track.clone(), samples: samples.clone(), first, end };
        let Recoded { config, pictures } = recoder(wanted).await?;
        let cut = timed.replaced(first, end, pictures);
        let TrackMedia::Video { config: before, .. } = &mut track.media else {
            return Err(unable("is no video track").into());
        };
        if *before != config {
            *before = config;
            init = init_segment(&track);
            is_new = true;
            info.codec = track.codec_string();
        }
        cut
    };
    let failed = |why: String| RecodeError::Failed(format!("rendition {} cannot be cut: {why}", info.name));
    let opens_at = cut.first().map(|s| samples::presented(s, info.timescale));
    let chunk = chunk(ChunkHead { segment: number, part: 0, opens_at }, &cut).map_err(|e| failed(e.to_string()))?;
    let cell = Cell {
        start: chunk.start,
        duration: u32::try_from(chunk.duration).map_err(|_| failed("it is too long".to_owned()))?,
        bytes: u32::try_from(chunk.bytes.len()).map_err(|_| failed("it is too large".to_owned()))?,
        head: chunk.first_sample_end,
    };
    Ok(Part { info, track, init, is_new, bytes: chunk.bytes, cell })
}
