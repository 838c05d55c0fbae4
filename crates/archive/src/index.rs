//! Which segments an asset has: one row for each segment number, one cell for each track of the row's line-up.

use millstream_media::time::{NANOS_PER_SECOND, Timescale, UtcTime};
use serde::{Deserialize, Serialize};

use crate::asset::{LineUp, TrackInfo};
use crate::layout;

/// Version of the format of [`Page`].
const FORMAT: u32 = 1;
/// Where one row's media does not begin at the end of the row before by more than this, there is a hole.
const HOLE_NANOS: i64 = 50_000_000;

/// A whole segment of one track, in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u32, u32, u32)", into = "(u64, u32, u32, u32)")]
pub struct Cell {
    /// Decode time of its first sample, in ticks.
    pub start: u64,
    /// In ticks.
    pub duration: u32,
    /// Length in bytes.
    pub bytes: u32,
    /// Bytes from its start to the end of its first sample.
    pub head: u32,
}

impl From<(u64, u32, u32, u32)> for Cell {
    fn from((start, duration, bytes, head): (u64, u32, u32, u32)) -> Self {
        Cell { start, duration, bytes, head }
    }
}

impl From<Cell> for (u64, u32, u32, u32) {
    fn from(c: Cell) -> Self {
        (c.start, c.duration, c.bytes, c.head)
    }
}

impl Cell {
    /// Start of its media.
    pub fn time(&self, scale: Timescale) -> UtcTime {
        UtcTime::from_ticks(self.start, scale)
    }

    /// End of its media.
    pub fn end(&self, scale: Timescale) -> UtcTime {
        UtcTime::from_ticks(self.end_ticks(), scale)
    }

    /// End of its media, in ticks.
    pub const fn end_ticks(&self) -> u64 {
        self.start.saturating_add(self.duration as u64)
    }

    /// Its duration in nanoseconds.
    pub fn nanos(&self, scale: Timescale) -> u64 {
        u64::from(self.duration) * NANOS_PER_SECOND as u64 / u64::from(scale.get())
    }
}

/// A segment number with what there is of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Segment number.
    #[serde(rename = "n")]
    pub number: u64,
    /// The row does not continue the one before: a hole, other tracks, or a jump of the source.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub discontinuity: bool,
    /// For each track of its line-up; `None` for a gap. At least one is there.
    #[serde(rename = "c")]
    pub cells: Vec<Option<Cell>>,
}

impl Row {
    /// Start of the row: that of its first track that is there.
    pub fn start(&self, line_up: &LineUp) -> Option<UtcTime> {
        self.first(line_up).map(|(c, t)| c.time(t.timescale))
    }

    /// End of the row: that of its first track that is there.
    pub fn end(&self, line_up: &LineUp) -> Option<UtcTime> {
        self.first(line_up).map(|(c, t)| c.end(t.timescale))
    }

    /// Whether every track of the line-up is there.
    pub fn is_whole(&self) -> bool {
        self.cells.iter().all(Option::is_some)
    }

    /// Sum of its cells, in bytes.
    pub fn bytes(&self) -> u64 {
        self.cells.iter().flatten().map(|c| u64::from(c.bytes)).sum()
    }

    /// The first track that is there.
    pub fn first<'a>(&self, line_up: &'a LineUp) -> Option<(Cell, &'a TrackInfo)> {
        self.cells.iter().zip(&line_up.tracks).find_map(|(c, t)| Some(((*c)?, t)))
    }

    /// Whether it goes on where `before` ends, under the next number, with the same tracks, if under other keys.
    pub fn continues(&self, before: &Row, before_line_up: &LineUp, line_up: &LineUp) -> bool {
        let numbers = before.number.checked_add(1) == Some(self.number);
        let tracks = before_line_up.continues_in(line_up);
        let pair = before
            .cells
            .iter()
            .zip(&self.cells)
            .zip(&line_up.tracks)
            .find_map(|((a, b), t)| Some(((*b)?.time(t.timescale), (*a)?.end(t.timescale))));
        // Where no track is in both, the rows' own times tell.
        let pair = pair.or_else(|| Some((self.start(line_up)?, before.end(before_line_up)?)));
        let joined = pair.is_some_and(|(start, end)| start.nanos_since(end).abs() <= HOLE_NANOS);
        numbers && tracks && joined
    }
}

/// One page of the stored index: the rows that start in [`layout::PAGE_SECONDS`] seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Version of this format.
    pub format: u32,
    /// Rows by number, ascending.
    pub rows: Vec<Row>,
}

impl Page {
    /// A page of these rows.
    pub fn new(rows: Vec<Row>) -> Self {
        Page { format: FORMAT, rows }
    }

    /// What both know. Rows are only added and never changed, so two writers agree on their union; where they differ
    /// in one row (each lost another rendition) the one with more cells wins, then the first.
    pub fn merge(self, other: Page) -> Page {
        let mut rows = self.rows;
        for row in other.rows {
            match rows.binary_search_by_key(&row.number, |r| r.number) {
                Ok(at) => {
                    let have = |r: &Row| r.cells.iter().flatten().count();
                    if let Some(mine) = rows.get_mut(at).filter(|mine| have(&row) > have(mine)) {
                        *mine = row;
                    }
                }
                Err(at) => rows.insert(at, row),
            }
        }
        Page::new(rows)
    }
}

/// The rows of an asset.
#[derive(Clone, Debug, Default)]
pub struct Index {
    rows: Vec<Row>,
    bytes: u64,
}

impl Index {
    /// From rows in any order; of two with one number the first stays.
    pub fn new(mut rows: Vec<Row>) -> Self {
        rows.sort_by_key(|r| r.number);
        rows.dedup_by_key(|r| r.number);
        let bytes = rows.iter().map(Row::bytes).sum();
        Index { rows, bytes }
    }

    /// Rows, oldest first.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The newest row.
    pub fn last(&self) -> Option<&Row> {
        self.rows.last()
    }

    /// Sum of all segments, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a row behind the last one; one that is not behind it is refused.
    pub fn push(&mut self, row: Row) -> bool {
        let behind = self.rows.last().is_none_or(|l| l.number < row.number);
        if behind {
            self.bytes += row.bytes();
            self.rows.push(row);
        }
        behind
    }

    /// The rows of one page.
    pub fn page(&self, page: i64, line_ups: &[LineUp]) -> Page {
        let rows = self.rows.iter().rev().map(|r| (page_of(r, line_ups), r));
        let mut rows: Vec<Row> = rows
            .skip_while(|(p, _)| p.is_some_and(|p| p > page))
            .take_while(|(p, _)| p.is_none_or(|p| p == page))
            .map(|(_, r)| r.clone())
            .collect();
        rows.reverse();
        Page::new(rows)
    }
}

/// The line-up of a row.
pub fn line_up(number: u64, line_ups: &[LineUp]) -> Option<&LineUp> {
    let after = line_ups.partition_point(|l| l.first <= number);
    line_ups.get(after.checked_sub(1)?)
}

/// The page that holds a row.
pub fn page_of(row: &Row, line_ups: &[LineUp]) -> Option<i64> {
    Some(layout::page_of(row.start(line_up(row.number, line_ups)?)?))
}
