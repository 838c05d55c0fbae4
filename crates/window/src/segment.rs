//! One segment of one rendition as the window holds it, and the row of them that a rendition has.

use std::collections::BTreeMap;

use millstream_media::segment::Chunk;
use millstream_media::time::{MonoTime, NANOS_PER_SECOND, Timescale};
use millstream_media::track::RenditionName;

/// How far a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Chunks still come.
    Open,
    /// All chunks are there; it never changes again.
    Whole,
    /// Given up: it has a place in time, but no bytes.
    Gap,
}

/// A segment of a rendition.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub state: State,
    /// Decode time of the first sample, in ticks.
    pub start: u64,
    /// In ticks.
    pub duration: u64,
    pub chunks: Vec<Chunk>,
    /// Sum of the chunks' lengths.
    pub bytes: u64,
    /// When its bytes may go; none while it is listed or open.
    pub expires: Option<MonoTime>,
}

impl Segment {
    pub fn open(start: u64) -> Self {
        Segment { state: State::Open, start, duration: 0, chunks: Vec::new(), bytes: 0, expires: None }
    }

    pub fn gap(start: u64, duration: u64) -> Self {
        Segment { state: State::Gap, start, duration, chunks: Vec::new(), bytes: 0, expires: None }
    }

    pub fn is_settled(&self) -> bool {
        self.state != State::Open
    }

    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.duration)
    }
}

/// The listed parts of a segment that was given up.
#[derive(Clone, Debug)]
pub(crate) struct Abandoned {
    pub rendition: RenditionName,
    pub number: u64,
    pub chunks: Vec<Chunk>,
    /// Sum of the chunks' lengths.
    pub bytes: u64,
    /// When they may go.
    pub expires: MonoTime,
}

/// The segments of one rendition name by number, over all periods and sessions that are still held.
pub(crate) type Row = BTreeMap<u64, Segment>;

/// Ticks of one scale in nanoseconds.
pub(crate) fn nanos(ticks: u64, scale: Timescale) -> u64 {
    let ns = u128::from(ticks) * NANOS_PER_SECOND as u128 / u128::from(scale.get());
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// Ticks of one scale in another, to the nearest.
pub(crate) fn rescale(ticks: u64, from: Timescale, to: Timescale) -> u64 {
    let (from, to) = (u128::from(from.get()), u128::from(to.get()));
    u64::try_from((u128::from(ticks) * to + from / 2) / from).unwrap_or(u64::MAX)
}
