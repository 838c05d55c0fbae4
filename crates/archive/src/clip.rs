//! Clips: a part of a recording as an asset of its own, whose playlists name the recording's files. Nothing is copied.
//!
//! A clip is made in this order: the reference in the recording's folder, a look whether the recording is being deleted,
//! the playlists, the clip's document. A deletion marks the recording first and looks for references then: one of the
//! two sees the other. The ends of one that is cut between segments are made behind that look.

mod poster;

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_media::time::UtcTime;
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, AssetId, Cut, FORMAT, Kind, State};
use crate::documents;
use crate::hls::{View, span};
use crate::index::{Row, line_up};
use crate::layout;
use crate::precise::{self, CutError, RecodeError, Recoder};
use crate::recorder;
use crate::recording;
use crate::retention;
use crate::running::Tail;
use crate::store::{Store, StoreError};
use crate::storyboard;
use crate::time_shift::TimeShift;

/// Why there is no clip.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClipError {
    /// The range has no media.
    #[error("{of} has nothing between {start} and {end}; it has {}", span_text(.has))]
    Nothing {
        /// Of which asset.
        of: AssetId,
        /// Wanted start.
        start: UtcTime,
        /// Wanted end.
        end: UtcTime,
        /// What there is.
        has: Option<(UtcTime, UtcTime)>,
    },
    /// The asset is being deleted.
    #[error("{0} is being deleted; no clip can be made of it")]
    Deleting(AssetId),
    /// A clip of this name shows something else.
    #[error("the asset {0} is there already and shows something else; choose another name")]
    Exists(AssetId),
    /// Its ends cannot be made here.
    #[error("a precise clip cannot be made: {0}; leave `precise` out, and it is cut at segments")]
    Unable(String),
    /// Its ends could not be made.
    #[error("the clip's ends could not be encoded: {0}")]
    Failed(String),
    /// The store failed.
    #[error("the clip could not be written")]
    Store(#[from] StoreError),
}

impl From<CutError> for ClipError {
    fn from(error: CutError) -> Self {
        match error {
            CutError::Recode(RecodeError::Unable(why)) => ClipError::Unable(why),
            CutError::Recode(RecodeError::Failed(why)) => ClipError::Failed(why),
            CutError::Store(error) => ClipError::Store(error),
        }
    }
}

fn span_text(span: &Option<(UtcTime, UtcTime)>) -> String {
    span.map_or_else(|| "nothing yet".to_owned(), |(start, end)| format!("{start} to {end}"))
}

/// `vod/ASSET/references/CLIP.json`: these rows are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Number of the first row.
    pub first: u64,
    /// Number of the last row.
    pub last: u64,
}

/// What is wanted.
#[derive(Clone)]
pub struct Request {
    /// The clip's name. The same request under the same name again gives the same clip.
    pub id: AssetId,
    /// Of which asset.
    pub of: AssetId,
    /// Media time; the segment that holds it is the first one.
    pub start: UtcTime,
    /// Media time; the segment before it is the last one.
    pub end: UtcTime,
    /// For people.
    pub title: String,
    /// It is cut at frames, by this; without, at segments.
    pub precise: Option<Recoder>,
    /// What the recording knows that the stored index does not say yet, if it runs in this process.
    pub newer: Option<Tail>,
}

/// Makes a clip. It plays when this returns.
///
/// # Errors
/// See [`ClipError`].
pub async fn create(shift: &TimeShift, store: &Store, request: Request) -> Result<Asset, ClipError> {
    let Request { id, of: wanted, mut start, mut end, title, precise, newer } = request;
    let (mut source, newer) = match newer {
        Some(tail) => (Arc::new(tail.asset), tail.rows),
        None => (shift.asset(&wanted).await?, VecDeque::new()),
    };
    // A clip of a clip refers to what the first one was cut from, within its bounds.
    let (of, mut least, mut most) = match &source.kind {
        Kind::Clip { of, first, last } => (of.clone(), *first, *last),
        _ => (wanted.clone(), 0, u64::MAX),
    };
    if source.cut.is_some() {
        start = source.start.map_or(start, |first| start.max(first));
        end = source.end.map_or(end, |last| end.min(last));
        source = shift.asset(&of).await?;
        (least, most) = (0, u64::MAX);
    }
    let mut rows = match shift.rows(&source.id, start, end).await {
        // A recording that has just begun has no document yet.
        Err(StoreError::NotFound { .. }) if !newer.is_empty() => Vec::new(),
        rows => rows?,
    };
    let newest = rows.last().map_or(0, |r| r.number);
    let lies = |row: &Row| {
        let of_row = line_up(row.number, &source.line_ups).and_then(|l| Some((row.start(l)?, row.end(l)?)));
        of_row.is_some_and(|(s, e)| e > start && s < end)
    };
    rows.extend(newer.into_iter().filter(|r| r.number > newest && lies(r)));
    rows.retain(|r| (least..=most).contains(&r.number));
    let nothing = || ClipError::Nothing { of: of.clone(), start, end, has: source.start.zip(source.end) };
    let (Some(first), Some(last)) = (rows.first().map(|r| r.number), rows.last().map(|r| r.number)) else {
        return Err(nothing());
    };
    let mut clip = Asset {
        format: FORMAT,
        id,
        kind: Kind::Clip { of: of.clone(), first, last },
        state: State::Ended,
        channel: source.channel.clone(),
        title,
        created: store.clock().utc(),
        target_duration: source.target_duration,
        line_ups: source.line_ups.clone(),
        start: None,
        end: None,
        cut: precise.is_some().then(|| Cut { start, end, rows: Vec::new() }),
        bytes: 0,
        losses: Vec::new(),
        losses_not_named: 0,
        deleting_since: None,
    };
    // Before anything of it is overwritten.
    match documents::asset(store, &clip.id).await {
        Ok((stored, _)) if shows_as(&stored, &clip) => return Ok(stored),
        Ok(_) => return Err(ClipError::Exists(clip.id)),
        Err(StoreError::NotFound { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    let reference = layout::reference(&of, &clip.id);
    store.put(&reference, documents::text(&Reference { first, last })?).await?;
    let (origin, _) = documents::asset(store, &of).await?;
    if origin.state == State::Deleting {
        store.delete(&reference).await?;
        return Err(ClipError::Deleting(of));
    }
    if let Some(recoder) = &precise {
        let place = precise::Place { store, of: &of, clip: &clip.id };
        match precise::make(&place, recoder, &source.line_ups, &rows, (start, end)).await {
            Ok(Some(made)) => {
                clip.kind = Kind::Clip { of: of.clone(), first: made.numbers.0, last: made.numbers.1 };
                clip.bytes = made.rows.iter().map(Row::bytes).sum();
                clip.line_ups = made.line_ups;
                clip.cut = Some(Cut { start, end, rows: made.rows });
                clip.lay_cut(&mut rows);
            }
            made => {
                discard(store, &of, &clip.id).await?;
                return Err(made.err().map_or_else(nothing, Into::into));
            }
        }
    }
    let view = View {
        target_duration: clip.target_duration,
        state: State::Ended,
        line_ups: &clip.line_ups,
        rows: &rows,
        of: Some(&of),
    };
    let lines = span(&view);
    let files = recorder::files(&view);
    (clip.start, clip.end) = (lines.map(|l| l.0), lines.map(|l| l.1));
    if let Some(start) = clip.start.filter(|_| storyboard::is_there(&view)) {
        poster::put(store, &of, &clip.id, start).await;
    }
    recording::put_files(store, &clip.id, &files).await?;
    match documents::create_asset(store, &clip).await {
        Ok(_) => Ok(clip),
        Err(StoreError::Exists { .. }) => {
            let (stored, _) = documents::asset(store, &clip.id).await?;
            if shows_as(&stored, &clip) { Ok(stored) } else { Err(ClipError::Exists(clip.id)) }
        }
        Err(e) => Err(e.into()),
    }
}

/// Whether two clips are the same one, asked for again.
fn shows_as(stored: &Asset, clip: &Asset) -> bool {
    match (&stored.cut, &clip.cut) {
        (None, None) => stored.kind == clip.kind,
        (Some(a), Some(b)) => {
            let of = |asset: &Asset| match &asset.kind {
                Kind::Clip { of, .. } => Some(of.clone()),
                _ => None,
            };
            (a.start, a.end) == (b.start, b.end) && of(stored) == of(clip)
        }
        _ => false,
    }
}

/// What was put of a clip that is not made after all: its files, and then the reference.
async fn discard(store: &Store, of: &AssetId, clip: &AssetId) -> Result<(), StoreError> {
    for object in store.list(&layout::folder(clip)).await? {
        store.delete(&object.path).await?;
    }
    store.delete(&layout::reference(of, clip)).await
}

/// Deletes a clip: what names it first, the reference last, so that the recording's segments outlive it.
///
/// # Errors
/// The store failed; the same call again goes on.
pub async fn delete(store: &Store, clip: &Asset) -> Result<(), StoreError> {
    let Kind::Clip { of, .. } = &clip.kind else { return Ok(()) };
    retention::withdraw(store, &clip.id).await?;
    let document = layout::file(&clip.id, layout::ASSET);
    for object in store.list(&layout::folder(&clip.id)).await? {
        if object.path != document {
            store.delete(&object.path).await?;
        }
    }
    store.delete(&layout::reference(of, &clip.id)).await?;
    store.delete(&document).await
}

/// The clips that need rows of an asset, by name.
///
/// # Errors
/// The store failed.
pub async fn referring(store: &Store, asset: &AssetId) -> Result<Vec<AssetId>, StoreError> {
    let listed = store.list(&layout::folder(asset).join(layout::REFERENCES)).await?;
    let name = |path: &object_store::path::Path| AssetId::new(path.filename()?.strip_suffix(".json")?);
    let mut clips: Vec<AssetId> = listed.iter().filter_map(|l| name(&l.path)).collect();
    clips.sort_unstable();
    Ok(clips)
}

/// Which rows of an asset clips need.
///
/// # Errors
/// The store failed.
pub async fn references(store: &Store, asset: &AssetId) -> Result<Vec<Reference>, StoreError> {
    let mut found = Vec::new();
    for object in store.list(&layout::folder(asset).join(layout::REFERENCES)).await? {
        match documents::read::<Reference>(store, &object.path).await {
            Ok((reference, _)) => found.push(reference),
            // Gone since it was listed.
            Err(StoreError::NotFound { .. }) => {}
            // Who cannot be read may need everything.
            Err(StoreError::Corrupt { .. }) => found.push(Reference { first: 0, last: u64::MAX }),
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}
