//! When and what a recording publishes: index pages often, playlists as often as they are affordable.

use std::collections::BTreeSet;

use millstream_media::time::MonoTime;

use super::{Output, Recorder, Settings};
use crate::asset::{Asset, State};
use crate::hls::View;
use crate::index::{Index, Page, page_of};
use crate::{dash, hls, layout, storyboard};

/// A text file of the asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Rendition folder; `None` for the asset's own folder.
    pub rendition: Option<millstream_media::track::RenditionName>,
    /// File name.
    pub name: &'static str,
    /// What is in it.
    pub text: String,
}

/// What is to be written, in this order: index pages, files as listed, the asset's document last.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Pages of the index by number, oldest first.
    pub pages: Vec<(i64, Page)>,
    /// Media playlists, the MPD, the multivariant playlist.
    pub files: Vec<File>,
    /// The document, if it changed.
    pub asset: Option<Asset>,
    /// Rows of the index that this publication knows.
    rows: usize,
    /// The next pages and playlists are due an interval later.
    is_time: bool,
    changes: u64,
}

/// What is published so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Rows in stored pages.
    rows: usize,
    /// Rows in stored playlists.
    listed: usize,
    /// Changes of the document, and those that are stored.
    changes: u64,
    stored_changes: u64,
    /// The change that brought the newest line-up.
    line_up_change: u64,
    in_flight: bool,
    next: Option<MonoTime>,
    /// Bytes of playlists written, and those of the next ones, by estimate.
    spent: u64,
    cost: u64,
    /// The last playlists say that the asset has ended.
    final_written: bool,
    final_due: bool,
    /// Rows up to here are settled.
    settled: Option<u64>,
}

impl Progress {
    pub fn resumed(index: &Index, settings: &Settings) -> Self {
        // What was spent before is not known: as much as was earned.
        let spent = index.bytes() / settings.manifest_share.max(1);
        // Playlists may be older than the index, so they are written again.
        Progress { rows: index.rows().len(), spent, changes: 1, ..Progress::default() }
    }

    pub fn document_changed(&mut self) {
        self.changes += 1;
    }

    pub fn line_up_changed(&mut self) {
        self.document_changed();
        self.line_up_change = self.changes;
    }

    pub fn given_up(&mut self, number: u64) {
        self.settled = self.settled.max(Some(number));
    }

    pub fn is_given_up(&self, number: u64) -> bool {
        self.settled.is_some_and(|s| number <= s)
    }

    pub fn is_idle(&self) -> bool {
        self.final_written && !self.in_flight && self.changes == self.stored_changes
    }
}

impl Recorder {
    /// When to ask [`Recorder::publication`] again, if nothing comes in before; `None` for not at all.
    pub fn next_publication(&self) -> Option<MonoTime> {
        let p = &self.publishing;
        // The document at once: by it a recording is found again, and its segments are understood.
        let at_once = p.changes > p.stored_changes || p.final_due;
        let new = self.index.rows().len() > p.listed || at_once;
        if p.in_flight || !new {
            return None;
        }
        Some(p.next.filter(|_| !at_once).unwrap_or_default())
    }

    /// Whether the stored document knows all line-ups. Segments wait for that.
    pub const fn line_ups_are_stored(&self) -> bool {
        self.publishing.stored_changes >= self.publishing.line_up_change
    }

    /// What is to be written now, if anything. Say [`Recorder::published`] or [`Recorder::not_published`] before the
    /// next one.
    pub fn publication(&mut self, now: MonoTime) -> Option<Publication> {
        let ends = self.publishing.final_due && !self.publishing.final_written;
        let due = self.next_publication()?;
        if now < due {
            return None;
        }
        let is_time = ends || self.publishing.next.is_none_or(|n| now >= n);
        let rows = self.index.rows().len();
        let earned = self.settings.manifest_credit + self.index.bytes() / self.settings.manifest_share.max(1);
        let affordable = self.publishing.spent + self.publishing.cost <= earned;
        let list = rows > 0 && (ends || (is_time && affordable && rows > self.publishing.listed));
        let pages = if is_time { self.changed_pages() } else { Vec::new() };
        let changed = self.publishing.changes > self.publishing.stored_changes;
        if pages.is_empty() && !list && !changed && !ends {
            self.publishing.next = Some(now + self.settings.publish_every);
            return None;
        }
        let files = if list { self.files() } else { Vec::new() };
        if list {
            let bytes = files.iter().map(|f| f.text.len() as u64).sum();
            self.publishing.cost = bytes;
            self.publishing.spent += bytes;
        }
        self.publishing.in_flight = true;
        let asset = changed.then(|| self.asset.clone());
        // What is left out now is not published by this.
        let rows = if is_time { rows } else { self.publishing.rows };
        Some(Publication { pages, files, asset, rows, is_time, changes: self.publishing.changes })
    }

    /// A publication is in the store.
    pub fn published(&mut self, publication: &Publication, now: MonoTime) {
        let line_ups = &self.asset.line_ups;
        let rows = self.index.rows();
        for row in rows.get(self.publishing.rows..publication.rows).unwrap_or_default() {
            let Some(line_up) = crate::index::line_up(row.number, line_ups) else { continue };
            for (cell, track) in row.cells.iter().zip(&line_up.tracks) {
                if cell.is_some() {
                    let (rendition, number) = (track.name.clone(), row.number);
                    self.outputs.push_back(Output::Release { rendition, number });
                }
            }
        }
        let p = &mut self.publishing;
        p.in_flight = false;
        p.rows = p.rows.max(publication.rows);
        p.stored_changes = p.stored_changes.max(publication.changes);
        if publication.is_time {
            p.next = Some(now + self.settings.publish_every);
        }
        if !publication.files.is_empty() {
            p.listed = p.listed.max(publication.rows);
        }
        let says_ended = publication.asset.as_ref().is_some_and(|a| a.state != State::Recording);
        p.final_written |= says_ended;
        if p.final_written {
            p.final_due = false;
        }
    }

    /// A publication failed; the shell waits before it asks for the next one.
    pub fn not_published(&mut self) {
        self.publishing.in_flight = false;
    }

    /// Once everything is settled after the end, the asset says so.
    pub(super) fn finish_if_ended(&mut self) {
        if self.ending && self.open.is_empty() && self.asset.state == State::Recording {
            self.asset.state = State::Ended;
            self.publishing.document_changed();
            self.publishing.final_due = true;
        }
    }

    fn changed_pages(&self) -> Vec<(i64, Page)> {
        let line_ups = &self.asset.line_ups;
        let new = self.index.rows().get(self.publishing.rows..).unwrap_or_default();
        let numbers: BTreeSet<i64> = new.iter().filter_map(|r| page_of(r, line_ups)).collect();
        numbers.into_iter().map(|n| (n, self.index.page(n, line_ups))).collect()
    }

    fn files(&self) -> Vec<File> {
        let view = View {
            target_duration: self.asset.target_duration,
            state: self.asset.state,
            line_ups: &self.asset.line_ups,
            rows: self.index.rows(),
            of: None,
        };
        files(&view)
    }
}

/// Every file that lists segments, in the order of writing: who names others comes after them.
pub fn files(view: &View<'_>) -> Vec<File> {
    let mut files = Vec::new();
    for track in view.names() {
        let rendition = || Some(track.name.clone());
        files.push(File { rendition: rendition(), name: layout::MEDIA, text: hls::media(view, track) });
        if track.is_video() && !view.is_growing() {
            files.push(File { rendition: rendition(), name: layout::IFRAMES, text: hls::iframes(view, track) });
        }
    }
    if let Some(text) = dash::mpd(view) {
        files.push(File { rendition: None, name: layout::MPD, text });
    }
    files.extend(storyboard::files(view));
    files.push(File { rendition: None, name: layout::MULTIVARIANT, text: hls::multivariant(view) });
    files
}
