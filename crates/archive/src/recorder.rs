//! The core of a recording: finished segments in; uploads, index pages, playlists and gaps out. No tasks, no clock.
//!
//! A row (one segment number over all tracks) is *settled* when each of its segments is in the store or known to be
//! missing, and the init segments are in the store. Only settled rows are published, in order, and a settled row never
//! changes: so no reader sees a reference to an object that is not there, and playlists only grow.

mod open_rows;
mod publication;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use millstream_media::track::RenditionName;

use crate::asset::{Asset, LineUp, MAX_LINE_UPS, State, TrackInfo};
use crate::index::{Cell, Index, Row, line_up};
use open_rows::{OpenRow, Slot};
pub use publication::{File, Publication, files};

/// Bounds and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rows a rendition may lag behind the newest before its missing segments are given up. Default 16.
    pub max_behind: u64,
    /// Shortest time between two publications, but for the first and the last. Default 10 s.
    pub publish_every: Duration,
    /// Playlists are rewritten as often as they cost at most one byte in so many recorded ones, so that a long recording
    /// does not spend more and more on its own table of contents. Default 20.
    pub manifest_share: u64,
    /// Bytes of playlists that are free, so that a short recording is always fresh. Default 4 MiB.
    pub manifest_credit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_behind: 16,
            publish_every: Duration::from_secs(10),
            manifest_share: 20,
            manifest_credit: 4 << 20,
        }
    }
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Put an init segment, and say [`Recorder::init_stored`].
    PutInit {
        /// Of which rendition.
        rendition: RenditionName,
        /// Its version.
        version: String,
    },
    /// Put a segment, and say [`Recorder::stored`], or [`Recorder::lost`] if its bytes are gone.
    PutSegment {
        /// Of which rendition.
        rendition: RenditionName,
        /// Its number.
        number: u64,
    },
    /// The segment is in the store and in the stored index: the spool may forget it.
    Release {
        /// Of which rendition.
        rendition: RenditionName,
        /// Its number.
        number: u64,
    },
    /// A segment will not be in the recording.
    Gap {
        /// Of which rendition.
        rendition: RenditionName,
        /// Its number.
        number: u64,
        /// Why.
        cause: GapCause,
    },
}

/// Why a segment is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// It was never finished.
    NeverFinished,
    /// It was finished, but could not be kept until the store took it.
    Lost,
}

/// Why a segment was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Before the first set of tracks.
    #[error("segment {0} comes before any set of tracks")]
    NoLineUp(u64),
    /// The line-up has no such rendition.
    #[error("segment {0} is of a rendition that is not in its set of tracks")]
    UnknownRendition(u64),
    /// The row was given up or is in the recording.
    #[error("segment {0} comes after its place was settled")]
    Late(u64),
    /// The recording has ended.
    #[error("segment {0} comes after the end of the recording")]
    Ended(u64),
}

/// The asset has had too many sets of tracks; the recording must go on in a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the asset has had {MAX_LINE_UPS} sets of tracks; record on in a new asset")]
pub struct TooManyLineUps;

/// A segment that a recording left behind when it was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of which rendition.
    pub rendition: RenditionName,
    /// Its number.
    pub number: u64,
    /// Its place.
    pub cell: Cell,
    /// It was marked as the first after a jump of the source.
    pub discontinuity: bool,
    /// It is in the store; else it is in the spool.
    pub in_store: bool,
}

/// The core of one recording.
#[derive(Clone, Debug)]
pub struct Recorder {
    settings: Settings,
    asset: Asset,
    index: Index,
    open: BTreeMap<u64, OpenRow>,
    /// Highest number that each rendition has finished or lost.
    progress: BTreeMap<RenditionName, u64>,
    /// Init segments that are in the store.
    inits: BTreeSet<(RenditionName, String)>,
    ending: bool,
    outputs: VecDeque<Output>,
    publishing: publication::Progress,
}

impl Recorder {
    /// A recording that begins.
    pub fn new(settings: Settings, asset: Asset) -> Self {
        Self::resume(settings, asset, Vec::new(), Vec::new(), BTreeSet::new())
    }

    /// A recording that goes on: `rows` are those of the stored index, `found` what else the store and the spool have,
    /// `inits` the init segments in the store.
    pub fn resume(
        settings: Settings,
        mut asset: Asset,
        rows: Vec<Row>,
        mut found: Vec<Found>,
        inits: BTreeSet<(RenditionName, String)>,
    ) -> Self {
        let index = Index::new(rows);
        // The document may be older than the index.
        let first = index.rows().first().and_then(|r| r.start(line_up(r.number, &asset.line_ups)?));
        let last = index.last().and_then(|r| r.end(line_up(r.number, &asset.line_ups)?));
        (asset.start, asset.end) = (first.or(asset.start), last.or(asset.end));
        asset.bytes = index.bytes();
        let publishing = publication::Progress::resumed(&index, &settings);
        let mut recorder = Recorder {
            settings,
            asset,
            index,
            open: BTreeMap::new(),
            progress: BTreeMap::new(),
            inits,
            ending: false,
            outputs: VecDeque::new(),
            publishing,
        };
        // In the store before in the spool, so that what is there twice is not put again.
        found.sort_by(|a, b| (a.number, &a.rendition, !a.in_store).cmp(&(b.number, &b.rendition, !b.in_store)));
        let mut before: Option<(u64, RenditionName)> = None;
        for f in found {
            if before.as_ref().is_some_and(|(n, r)| *n == f.number && *r == f.rendition) {
                continue;
            }
            before = Some((f.number, f.rendition.clone()));
            let (rendition, number) = (f.rendition.clone(), f.number);
            match recorder.take(&f.rendition, f.number, f.cell, f.discontinuity, f.in_store) {
                Ok(()) => {}
                Err(_) if f.in_store => {}
                Err(_) => recorder.outputs.push_back(Output::Release { rendition, number }),
            }
        }
        recorder.settle();
        recorder
    }

    /// A set of tracks is in force from row `first` on; `init` names its init segments. The same set again changes
    /// nothing, but its init segments are put if they are not in the store yet.
    pub fn begin(&mut self, first: u64, init: &str, tracks: Vec<TrackInfo>) -> Result<(), TooManyLineUps> {
        let next = LineUp { first, init: init.to_owned(), tracks };
        for track in &next.tracks {
            let key = (track.name.clone(), next.init.clone());
            if !self.inits.contains(&key) {
                self.outputs.push_back(Output::PutInit { rendition: key.0, version: key.1 });
            }
        }
        if self.asset.line_ups.last().is_some_and(|l| l.is_as(&next)) {
            return Ok(());
        }
        if self.asset.line_ups.len() >= MAX_LINE_UPS {
            return Err(TooManyLineUps);
        }
        // One that has no rows is replaced.
        let used = self.index.last().map(|r| r.number).max(self.open.keys().next_back().copied());
        self.asset.line_ups.retain(|l| l.first < first || used.is_some_and(|u| l.first <= u));
        // Line-ups stay in order, whatever the caller says.
        let least = self.asset.line_ups.last().map_or(0, |l| l.first.saturating_add(1));
        self.asset.line_ups.push(LineUp { first: first.max(least), ..next });
        self.publishing.line_up_changed();
        Ok(())
    }

    /// A segment is finished and kept by the shell until it is in the store.
    pub fn finished(
        &mut self,
        rendition: &RenditionName,
        number: u64,
        cell: Cell,
        discontinuity: bool,
    ) -> Result<(), Refused> {
        self.take(rendition, number, cell, discontinuity, false)?;
        self.settle();
        Ok(())
    }

    /// A finished segment could not be kept.
    pub fn lost(&mut self, rendition: &RenditionName, number: u64) -> Result<(), Refused> {
        let place = self.place(rendition, number)?;
        self.asset.lose(rendition, number);
        self.publishing.document_changed();
        self.put_slot(rendition, number, place, Slot::Missing, false);
        self.outputs.push_back(Output::Gap { rendition: rendition.clone(), number, cause: GapCause::Lost });
        self.settle();
        Ok(())
    }

    /// A segment is in the store.
    pub fn stored(&mut self, rendition: &RenditionName, number: u64) {
        if let Some(slot) = self.slot(rendition, number)
            && let Slot::Uploading(cell) = *slot
        {
            *slot = Slot::Stored(cell);
        }
        self.settle();
    }

    /// The bytes of a segment that was to be put are gone (the spool was damaged).
    pub fn vanished(&mut self, rendition: &RenditionName, number: u64) {
        if let Some(slot) = self.slot(rendition, number)
            && matches!(slot, Slot::Uploading(_))
        {
            *slot = Slot::Missing;
            self.asset.lose(rendition, number);
            self.publishing.document_changed();
            self.outputs.push_back(Output::Gap { rendition: rendition.clone(), number, cause: GapCause::Lost });
        }
        self.settle();
    }

    /// An init segment is in the store.
    pub fn init_stored(&mut self, rendition: &RenditionName, version: &str) {
        self.inits.insert((rendition.clone(), version.to_owned()));
        self.settle();
    }

    /// No segment comes any more. What is being put is waited for.
    pub fn end(&mut self) {
        self.ending = true;
        self.settle();
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the end is published: nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.asset.state != State::Recording && self.publishing.is_idle() && self.outputs.is_empty()
    }

    /// The asset's document as it is now.
    pub const fn asset(&self) -> &Asset {
        &self.asset
    }

    /// Settled rows.
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Rows that are not settled.
    pub fn open_rows(&self) -> usize {
        self.open.len()
    }

    fn take(
        &mut self,
        rendition: &RenditionName,
        number: u64,
        cell: Cell,
        discontinuity: bool,
        in_store: bool,
    ) -> Result<(), Refused> {
        let place = self.place(rendition, number)?;
        let slot = if in_store { Slot::Stored(cell) } else { Slot::Uploading(cell) };
        self.put_slot(rendition, number, place, slot, discontinuity);
        if !in_store {
            self.outputs.push_back(Output::PutSegment { rendition: rendition.clone(), number });
        }
        Ok(())
    }

    /// Where a new segment belongs in its row.
    fn place(&self, rendition: &RenditionName, number: u64) -> Result<usize, Refused> {
        if self.ending || self.asset.state != State::Recording {
            return Err(Refused::Ended(number));
        }
        let settled = self.index.last().is_some_and(|l| number <= l.number) || self.publishing.is_given_up(number);
        if settled || self.progress.get(rendition).is_some_and(|p| number <= *p) {
            return Err(Refused::Late(number));
        }
        let line_up = line_up(number, &self.asset.line_ups).ok_or(Refused::NoLineUp(number))?;
        line_up.track(rendition).map(|(place, _)| place).ok_or(Refused::UnknownRendition(number))
    }

    fn put_slot(&mut self, rendition: &RenditionName, number: u64, place: usize, slot: Slot, discontinuity: bool) {
        self.progress.insert(rendition.clone(), number);
        self.give_up_before(rendition, number);
        if !self.open.contains_key(&number)
            && let Some(line_up) = line_up(number, &self.asset.line_ups)
        {
            // Who is further already will not bring this one.
            let passed = |t: &TrackInfo| self.progress.get(&t.name).is_some_and(|p| *p > number);
            let slots = line_up.tracks.iter().map(|t| if passed(t) { Slot::Missing } else { Slot::Waiting }).collect();
            self.open.insert(number, OpenRow { slots, discontinuity: false });
        }
        if let Some(row) = self.open.get_mut(&number) {
            row.discontinuity |= discontinuity;
            if let Some(s) = row.slots.get_mut(place) {
                *s = slot;
            }
        }
        self.give_up_far_behind(number);
    }

    fn slot(&mut self, rendition: &RenditionName, number: u64) -> Option<&mut Slot> {
        let (place, _) = line_up(number, &self.asset.line_ups)?.track(rendition)?;
        self.open.get_mut(&number)?.slots.get_mut(place)
    }
}

#[cfg(test)]
mod tests;
