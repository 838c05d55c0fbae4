//! Rows whose segments are still coming or being put, and how they settle.

use millstream_media::track::RenditionName;

use super::{GapCause, Output, Recorder};
use crate::index::{Cell, Row, line_up};

/// A segment on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Not finished yet.
    Waiting,
    /// Finished, being put.
    Uploading(Cell),
    /// In the store.
    Stored(Cell),
    /// It will not come.
    Missing,
}

/// A row that is not settled.
#[derive(Clone, Debug)]
pub(super) struct OpenRow {
    /// One for each track of its line-up.
    pub slots: Vec<Slot>,
    /// A jump of the source precedes it.
    pub discontinuity: bool,
}

impl Recorder {
    /// Renditions bring segments in order: what this one has not brought before `number` will not come.
    pub(super) fn give_up_before(&mut self, rendition: &RenditionName, number: u64) {
        for (&n, row) in self.open.range_mut(..number) {
            let place = line_up(n, &self.asset.line_ups).and_then(|l| l.track(rendition)).map(|(p, _)| p);
            let Some(slot) = place.and_then(|p| row.slots.get_mut(p)) else { continue };
            if *slot == Slot::Waiting {
                *slot = Slot::Missing;
                let (rendition, cause) = (rendition.clone(), GapCause::NeverFinished);
                self.outputs.push_back(Output::Gap { rendition, number: n, cause });
            }
        }
    }

    /// A rendition that brings nothing does not hold the others up for ever.
    pub(super) fn give_up_far_behind(&mut self, newest: u64) {
        self.give_up_waiting(newest.saturating_sub(self.settings.max_behind));
    }

    /// Gives up what has not come in rows before `before`.
    fn give_up_waiting(&mut self, before: u64) {
        for (&number, row) in self.open.range_mut(..before) {
            let Some(line_up) = line_up(number, &self.asset.line_ups) else { continue };
            for (slot, track) in row.slots.iter_mut().zip(&line_up.tracks) {
                if *slot == Slot::Waiting {
                    *slot = Slot::Missing;
                    let (rendition, cause) = (track.name.clone(), GapCause::NeverFinished);
                    self.outputs.push_back(Output::Gap { rendition, number, cause });
                }
            }
        }
    }

    /// Moves settled rows to the index, oldest first.
    pub(super) fn settle(&mut self) {
        let uploading = |r: &OpenRow| r.slots.iter().any(|s| matches!(s, Slot::Uploading(_)));
        if self.ending && !self.open.values().any(uploading) {
            self.give_up_waiting(u64::MAX);
        }
        while let Some(entry) = self.open.first_entry() {
            let number = *entry.key();
            let Some(line_up) = line_up(number, &self.asset.line_ups) else {
                entry.remove();
                continue;
            };
            let is_open = entry.get().slots.iter().any(|s| matches!(s, Slot::Waiting | Slot::Uploading(_)));
            if is_open {
                break;
            }
            let is_there = |s: &Slot| matches!(s, Slot::Stored(_));
            let mut named = line_up.tracks.iter().zip(&entry.get().slots).filter(|(_, s)| is_there(s));
            let has_inits = named.all(|(t, _)| self.inits.contains(&(t.name.clone(), line_up.init.clone())));
            if !has_inits {
                break;
            }
            let open = entry.remove();
            self.publishing.given_up(number);
            let cells: Vec<Option<Cell>> =
                open.slots.iter().map(|s| if let Slot::Stored(c) = s { Some(*c) } else { None }).collect();
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let mut row = Row { number, discontinuity: open.discontinuity, cells };
            match self.index.last().and_then(|l| Some((l, crate::index::line_up(l.number, &self.asset.line_ups)?))) {
                None => row.discontinuity = false,
                Some((last, last_line_up)) => row.discontinuity |= !row.continues(last, last_line_up, line_up),
            }
            if self.asset.start.is_none() {
                self.publishing.document_changed();
            }
            self.asset.start = self.asset.start.or_else(|| row.start(line_up));
            self.asset.end = row.end(line_up).or(self.asset.end);
            self.index.push(row);
            self.asset.bytes = self.index.bytes();
        }
        self.finish_if_ended();
    }
}
